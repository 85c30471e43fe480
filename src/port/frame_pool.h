/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Idle frames: a stack, so that what came home last, and is in the cache, is taken first.
 *
 * A port that lends has to have a frame for whatever it finds. A guest's transmit ring
 * has a pool of its own for that, of as many frames as heads, so there is always one. But
 * many guests who send in turn would touch as many frames as they have heads, and each of
 * these is out of the cache when its turn comes. So each worker has a pool too, its lanes'
 * ports have it in common (port_queue.h), and they take frames from it first: whoever
 * sends, it is the same few frames. It is as large as is worth it, not as large as could be
 * needed: while devices keep it empty, or a dead one has frames of it for ever, rings
 * take their own.
 *
 * A frame goes home to the pool it came from; which one that is, whoever lent it keeps.
 * So memory comes and goes with a ring, or with a worker, and with nothing else: guests
 * that come, move and go change no pool.
 *
 * Memory that was never written costs nothing: what is idle at the bottom stays so, and most
 * rings never write to a frame of their own. It is mapped, and not from the heap, which would
 * clear, and so write, what somebody had before; and it goes back to the kernel as a whole.
 *
 * Threads: init and destroy are control's, while no worker has the pool. All else is
 * the owning worker's: of a worker's pool that worker, of a ring's who owns the ring.
 */
#pragma once

#include <guestwire/driver.h>
#include <stddef.h>

/* Frames that a worker has: as many as a large ring of a device holds. */
#define FRAME_POOL_SHARED 2048u

#define FRAME_POOL_ALIGN 64u

/* What is written for a frame of one or two segments is in two lines then, not in three. */
struct pooled_frame {
	struct gw_frame frame;
} __attribute__((aligned(FRAME_POOL_ALIGN)));
_Static_assert(offsetof(struct gw_frame, own) + 2 * sizeof(struct iovec) <= 2 * FRAME_POOL_ALIGN,
	       "a frame of two segments is in two lines");

struct frame_pool {
	struct gw_frame **idle; /* the top is last */
	uint32_t idle_count;
	void *memory; /* a mapping: idle, and frames, from the next line on; NULL: none */
	size_t memory_bytes;
};

/* All idle. -ENOMEM: there is nothing to destroy. */
int frame_pool_init(struct frame_pool *pool, uint32_t count);
/* What is still out is not there any more. One that is all zero is fine, and is so after. */
void frame_pool_destroy(struct frame_pool *pool);

/*
 * The end of the stack. Taking n frames is to read them below it, from the top down, and then
 * frame_pool_took; giving back is to write them there, and then frame_pool_got. So a
 * loop has the stack at hand, and the count is written once.
 */
static inline struct gw_frame **frame_pool_end(const struct frame_pool *pool)
{
	return pool->idle + pool->idle_count;
}

static inline void frame_pool_took(struct frame_pool *pool, uint32_t count)
{
	pool->idle_count -= count;
}

static inline void frame_pool_got(struct frame_pool *pool, uint32_t count)
{
	pool->idle_count += count;
}
