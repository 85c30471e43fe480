/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receive buffers of a port whose device hands over one frame at a time: a pool
 * of arena buffers, and the frames that are made of them.
 *
 *	n = rx_pool_room(pool, seg, max);	free buffers, to read into
 *	len = readv(fd, seg, n);
 *	frame = rx_pool_take(pool, queue, len);	the first of them, as a frame
 *	...
 *	rx_pool_put(pool, frame);		home again
 *
 * Threads: open and close are control functions, the rest is the worker's.
 */
#pragma once

#include <guestwire/driver.h>

struct rx_pool;

/* A frame of the largest size fits into this many buffers. */
#define RX_POOL_SEGS_MAX 17u
/*
 * In its first buffer a frame begins behind so many bytes: those that a guest's buffer
 * has for a header in front of it. Then both lie alike in their pages. If the target of
 * a copy lies a few bytes further on in its page than the source does in its own,
 * processors that compare the lower 12 bits of addresses take each load for one of what
 * was just stored, and the copy takes more than twice as long.
 */
#define RX_POOL_HEADROOM ((uint32_t)sizeof(struct virtio_net_hdr_v1))
_Static_assert(RX_POOL_SEGS_MAX *GW_ARENA_BUFFER_BYTES >= RX_POOL_HEADROOM + GW_FRAME_LEN_MAX,
	       "segments");
_Static_assert(RX_POOL_SEGS_MAX <= GW_FRAME_SEGS, "segments in the frame itself");

/* Takes the buffers from the port's arena, where they go back to when the port is closed. */
int rx_pool_open(struct gw_port *port, unsigned int buffers, struct rx_pool **pool,
		 struct gw_error *err);
/* NULL is fine. Frames must be home: their structs are freed. */
void rx_pool_close(struct rx_pool *pool);

/* How many buffers a frame of this length takes. */
static inline unsigned int rx_pool_buffers(uint32_t len)
{
	return (len + RX_POOL_HEADROOM + GW_ARENA_BUFFER_BYTES - 1) / GW_ARENA_BUFFER_BYTES;
}

/* Describes up to max free buffers, less the headroom of the first, and takes none. */
unsigned int rx_pool_room(const struct rx_pool *pool, struct iovec *seg, unsigned int max);
/*
 * A frame of the first len bytes of what rx_pool_room() described, len at least
 * GW_FRAME_LEN_MIN and not beyond that room. Its header is zeroed.
 */
struct gw_frame *rx_pool_take(struct rx_pool *pool, struct gw_queue *queue, uint32_t len);
void rx_pool_put(struct rx_pool *pool, struct gw_frame *frame);
/* Frames that are not home. */
unsigned int rx_pool_lent(const struct rx_pool *pool);
