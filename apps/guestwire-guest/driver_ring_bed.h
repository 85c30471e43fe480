/* SPDX-License-Identifier: BSD-2-Clause */
/* A driver's ring, memory for what goes through it, and room for a test to play its device. */
#pragma once

#include "driver_ring.h"
#include "guest_memory.h"

#define BED_RING_SIZE 8u
#define BED_SEGMENTS  4u

/* In a packed ring. */
struct place {
	uint16_t slot;
	bool wrap;
};

struct bed {
	struct guest_memory memory;
	struct driver_ring ring;
	struct guest_span buffer;
	struct ring_segment segments[BED_SEGMENTS]; /* in buffer, of 10, 11.. bytes */
	struct place avail, used;                   /* the device's, if the ring is packed */
};

/* cmocka's. *state: NULL, or anything for a packed ring. */
int bed_setup(void **state);
int bed_teardown(void **state);
#define BED_TEST(fn, packed) \
	cmocka_unit_test_prestate_setup_teardown(fn, bed_setup, bed_teardown, packed)

/* A test of either ring: what was out comes back in its order, and the ring works as a new one. */
void reset_gives_back_what_is_out(void **state);
