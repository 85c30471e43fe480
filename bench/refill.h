/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Transmit rings that never run dry, without anybody who fills them.
 *
 * Buffers come back in the order in which they were made available, so that the entries of
 * a ring are good for ever, and all that is left to do is to move its available index on.
 * The sink does it that the frames end in: driver null, with this behind its tx. So the
 * worker that empties a ring moves its index, a few nanoseconds for a batch of frames, and no
 * other thread is needed. (One that did, on the processor of a worker, took a fifth of that
 * worker's speed, most of it for being woken.)
 *
 * In place of the build's list of drivers there is one of its own: guest, and refill.
 */
#pragma once

#include "vm.h"

#include <stdbool.h>
#include <stdint.h>

#define REFILL_MAX       512u /* guests */
#define REFILL_RINGS_MAX 8u   /* of one guest, on one worker */
#define REFILL_LANES_MAX 8u   /* workers */

/* What one worker has of one guest. */
struct refill_lane {
	struct vm_ring *ring[REFILL_RINGS_MAX];
	uint16_t used[REFILL_RINGS_MAX]; /* at its last look */
	unsigned int ring_count;
	bool on;
	uint64_t frames; /* that were given back: the worker counts, anybody may read */
} __attribute__((aligned(128)));

struct refill {
	struct refill_lane lane[REFILL_LANES_MAX];
};

/* Before a context is opened. */
void refill_init(void);
/* The guest whose sink is the port refill:NUMBER. */
struct refill *refill_of(unsigned int number);

/* Bytes of guest memory that a ring takes, with a frame of its own for each entry. */
uint64_t refill_ring_room(uint32_t size, uint32_t len);
/* Starts ring number `index`, at addr, fills it, and gives it to the lane. */
void refill_add(struct refill_lane *lane, struct vm *vm, struct vm_ring *ring, unsigned int index,
		uint32_t size, uint64_t addr, uint32_t len);

/* The worker gets all entries of each ring, again and again. */
void refill_begin(struct refill_lane *lane);
/* No more than it has got. */
void refill_end(struct refill_lane *lane);
/* It has given all of them back. */
bool refill_is_over(const struct refill_lane *lane);
