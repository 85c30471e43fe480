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
_Static_assert(RX_POOL_SEGS_MAX *GW_ARENA_BUFFER_BYTES >= GW_FRAME_LEN_MAX, "segments");
_Static_assert(RX_POOL_SEGS_MAX <= GW_FRAME_SEGS, "segments in the frame itself");

/* Takes the buffers from the port's arena, where they go back to when the port is closed. */
int rx_pool_open(struct gw_port *port, unsigned int buffers, struct rx_pool **pool,
		 struct gw_error *err);
/* NULL is fine. Frames must be home: their structs are freed. */
void rx_pool_close(struct rx_pool *pool);

/* Describes up to max free buffers, whole ones, and takes none. */
unsigned int rx_pool_room(const struct rx_pool *pool, struct iovec *seg, unsigned int max);
/*
 * A frame of the first len bytes of what rx_pool_room() described, len at least
 * GW_FRAME_LEN_MIN and not beyond that room. Its header is zeroed.
 */
struct gw_frame *rx_pool_take(struct rx_pool *pool, struct gw_queue *queue, uint32_t len);
void rx_pool_put(struct rx_pool *pool, struct gw_frame *frame);
/* Frames that are not home. */
unsigned int rx_pool_lent(const struct rx_pool *pool);
