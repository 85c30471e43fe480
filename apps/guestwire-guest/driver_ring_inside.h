/* SPDX-License-Identifier: BSD-2-Clause */
/* What a kind of ring has to do for driver_ring.c, which keeps the books for both. */
#pragma once

#include "driver_ring.h"

struct driver_ring_kind_ops {
	int (*open)(struct driver_ring *ring, struct guest_memory *memory, struct fail *fail);
	void (*close)(struct driver_ring *ring);
	/* Empty, at its beginning; nothing is left in shared memory. Also by open. */
	void (*reset)(struct driver_ring *ring);
	/* There is room. Returns the head. */
	uint16_t (*add)(struct driver_ring *ring, const struct ring_segment *segments,
			uint16_t count, bool device_writes, const struct guest_span *table);
	void (*publish)(struct driver_ring *ring);
	/* Of what was published since it was asked last. */
	bool (*wants_kick)(struct driver_ring *ring);
	bool (*has_used)(const struct driver_ring *ring);
	/* Reads the next used element. RING_BAD: the index makes no sense, and is noted. */
	enum ring_reaped (*next_used)(struct driver_ring *ring, uint32_t *id, uint32_t *len);
	/* The chain of this head is over; the next used element is behind it. */
	void (*put)(struct driver_ring *ring, uint16_t head);
	void (*want_call)(struct driver_ring *ring);
	void (*refuse_call)(struct driver_ring *ring);
	uint16_t (*used_idx)(const struct driver_ring *ring);
	uint16_t (*avail_idx)(const struct driver_ring *ring);
	uint32_t (*base)(const struct driver_ring *ring);
	/* Where base is, as places of flights count. */
	uint64_t (*place)(const struct driver_ring *ring, uint32_t base);
};

extern const struct driver_ring_kind_ops driver_ring_split_ops;
extern const struct driver_ring_kind_ops driver_ring_packed_ops;

/* The first thing that was wrong is kept. */
void driver_ring_note(struct driver_ring *ring, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
