/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For ring_crash_test: what is there when a back-end is killed, a guest with its ring and a
 * record, and a look at what it is owed then.
 */
#pragma once

#include "ring.h"

#include "mock_driver.h"
#include <linux/virtio_config.h>

#define FEATURE(bit)      (1ull << (bit))
#define INDIRECT          FEATURE(VIRTIO_RING_F_INDIRECT_DESC)
#define IN_ORDER          FEATURE(VIRTIO_F_IN_ORDER)
#define PACKED            (FEATURE(VIRTIO_F_RING_PACKED) | FEATURE(VIRTIO_F_VERSION_1))
#define MEMORY_BYTES      0x10000ull
#define WATCHED_BYTES     0x4000u /* up to there the device writes */
#define SIZE_MAX_HERE     8u
#define RECORD_BYTES      512u
/* Where the second lap of a packed ring begins. */
#define MOCK_PLACE_SECOND 0u

/* The guest, and what it knows of its chains. */
struct guest {
	struct mock_driver driver;
	uint16_t offered[SIZE_MAX_HERE]; /* heads that are the device's, in their order */
	unsigned int count;
	uint64_t bytes[SIZE_MAX_HERE]; /* of a head's chain */
	uint32_t serial;
};

struct rig {
	struct mock_memory memory;
	struct guest guest;
	uint8_t *record;
	bool based; /* the front-end knows the place: no back-end has died yet */
	/* the back-end that is killed */
	uint64_t seed;
	struct ring *ring;
	uint16_t taken[SIZE_MAX_HERE];
	unsigned int taken_count;
	unsigned int states, states_again; /* that were looked at */
};

/* A guest whose ring was given nothing yet, and an empty record. */
void crash_open(struct rig *rig, uint64_t features, uint32_t size, uint16_t start);
void crash_close(struct rig *rig);

/* One to three buffers, direct or in a table; no two chains have the same bytes. */
bool crash_offer(struct guest *guest);
/* Each chain was the device's, and is no longer. */
void crash_collect(struct guest *guest);

/* The ring of a back-end that begins where another was killed, or the first one. */
struct ring *crash_ring(const struct rig *rig, const struct guest *guest);
/* Killed here: a ring that goes on gives a copy of the guest all that it is owed, once. */
void crash_look(struct rig *rig);
