/* SPDX-License-Identifier: BSD-2-Clause */
/* A driver's ring, memory for what goes through it, and room for a test to play its device. */
#pragma once

#include "driver_ring.h"
#include "guest_memory.h"

#define BED_RING_SIZE 8u
#define BED_SEGMENTS  4u

/* In a packed ring; the device's next one in a split ring is a slot that does not wrap. */
struct place {
	uint16_t slot;
	bool wrap;
};

struct bed {
	struct guest_memory memory;
	struct driver_ring ring;
	struct guest_span buffer;
	struct ring_segment segments[BED_SEGMENTS]; /* in buffer, of 10, 11.. bytes */
	struct place avail, used;                   /* the device's */
};

/* cmocka's. *state: NULL, or anything for a packed ring. */
int bed_setup(void **state);
int bed_teardown(void **state);
#define BED_TEST(fn, packed) \
	cmocka_unit_test_prestate_setup_teardown(fn, bed_setup, bed_teardown, packed)

/* What a device sees of a chain: its first descriptor, and flags that say its kind. */
struct bed_taken {
	uint64_t gpa;
	uint32_t id, len;
	uint16_t flags;
};

/* The device of either ring takes the next chain, of one descriptor; false: there is none. */
bool bed_take(struct bed *bed, struct bed_taken *taken);
/* It writes one used element, which stands for count descriptors or chains. */
void bed_use(struct bed *bed, uint32_t id, uint32_t len, uint32_t count);

/* A test of either ring: what was out comes back in its order, and the ring works as a new one. */
void reset_gives_back_what_is_out(void **state);
