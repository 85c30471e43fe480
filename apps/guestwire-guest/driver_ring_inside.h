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
	/* As driver_ring_add_run, but for what all chains have in common. */
	uint64_t (*add_run)(struct driver_ring *ring, const struct ring_plain *plain,
			    const uint32_t *tokens, uint32_t count, uint16_t flags);
	bool (*has_used)(const struct driver_ring *ring);
	/* Reads the next used element. RING_BAD: the index makes no sense, and is noted. */
	enum ring_reaped (*next_used)(struct driver_ring *ring, uint32_t *id, uint32_t *len);
	/* The chain of this head is over; the next used element is behind it. */
	void (*put)(struct driver_ring *ring, uint16_t head);
	/* As driver_ring_reap_run, not IN_ORDER; each chain is put. */
	uint32_t (*reap_run)(struct driver_ring *ring, uint32_t *tokens, uint32_t *lens,
			     uint32_t max);
	/* IN_ORDER: the next count chains are over, of one descriptor each. */
	void (*put_run)(struct driver_ring *ring, uint32_t count);
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

/* driver_ring_split_run.c, driver_ring_packed_run.c */
uint64_t split_add_run(struct driver_ring *ring, const struct ring_plain *plain,
		       const uint32_t *tokens, uint32_t count, uint16_t flags);
uint32_t split_reap_run(struct driver_ring *ring, uint32_t *tokens, uint32_t *lens, uint32_t max);
void split_put_run(struct driver_ring *ring, uint32_t count);
uint64_t packed_add_run(struct driver_ring *ring, const struct ring_plain *plain,
			const uint32_t *tokens, uint32_t count, uint16_t flags);
uint32_t packed_reap_run(struct driver_ring *ring, uint32_t *tokens, uint32_t *lens, uint32_t max);
void packed_put_run(struct driver_ring *ring, uint32_t count);

/* Of a run: chain number i of it. */
static inline void driver_ring_note_plain(struct driver_ring *ring, uint32_t i, uint16_t head,
					  uint32_t token, uint32_t writable)
{
	ring->flight[head] = (struct ring_flight){ token, writable, (uint32_t)ring->place + i, 1 };
	/* The size is a power of two. */
	ring->order[(ring->avail_idx + i) & (ring->size - 1)] = head;
}

/* What the device says is home, if that is true and it is plain; else nothing. */
static inline bool driver_ring_take_plain(struct driver_ring *ring, uint32_t head, uint32_t *token)
{
	struct ring_flight *flight;

	if (head >= ring->size)
		return false;
	flight = &ring->flight[head];
	if (flight->token == DRIVER_RING_NO_TOKEN || flight->descriptors != 1)
		return false;
	*token = flight->token;
	flight->token = DRIVER_RING_NO_TOKEN;
	return true;
}

/* The first thing that was wrong is kept. */
void driver_ring_note(struct driver_ring *ring, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
