/* SPDX-License-Identifier: BSD-2-Clause */
#include "rx_pool.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Two stacks. A frame has at least one buffer, so there are as many frames as buffers. */
struct rx_pool {
	unsigned int buffers;
	unsigned int free_buffers, free_frames;
	void **buffer;           /* [free_buffers - 1] is the next */
	struct gw_frame **frame; /* [free_frames - 1] is the next */
	struct gw_frame *frames;
};

static void pool_fill(struct rx_pool *pool, uint8_t *memory)
{
	/* The lowest address ends up on top, so that a frame's buffers are neighbours at first. */
	for (unsigned int i = 0; i < pool->buffers; i++) {
		unsigned int from_top = pool->buffers - 1 - i;

		pool->buffer[from_top] = memory + (size_t)i * GW_ARENA_BUFFER_BYTES;
		pool->frame[from_top] = &pool->frames[i];
	}
	pool->free_buffers = pool->free_frames = pool->buffers;
}

int rx_pool_open(struct gw_port *port, unsigned int buffers, struct rx_pool **pool_out,
		 struct gw_error *err)
{
	struct rx_pool *pool = calloc(1, sizeof(*pool));
	void *memory;

	*pool_out = NULL;
	if (!pool)
		goto no_memory;
	pool->buffers = buffers;
	pool->buffer = calloc(buffers, sizeof(*pool->buffer));
	pool->frame = calloc(buffers, sizeof(*pool->frame));
	pool->frames = calloc(buffers, sizeof(*pool->frames));
	if (!pool->buffer || !pool->frame || !pool->frames)
		goto no_memory;
	memory = gw_port_arena_take(port, buffers, err);
	if (!memory) {
		rx_pool_close(pool);
		return err && err->code ? err->code : -ENOMEM;
	}
	pool_fill(pool, memory);
	*pool_out = pool;
	return 0;

no_memory:
	rx_pool_close(pool);
	return gw_error_set(err, -ENOMEM, "port %s: no memory for %u receive buffers",
			    gw_port_name(port), buffers);
}

void rx_pool_close(struct rx_pool *pool)
{
	if (!pool)
		return;
	free(pool->buffer);
	free(pool->frame);
	free(pool->frames);
	free(pool);
}

/* What of a buffer a frame can have. */
static struct iovec part_of(void *buffer, bool first)
{
	uint32_t skip = first ? RX_POOL_HEADROOM : 0;

	return (struct iovec){ (uint8_t *)buffer + skip, GW_ARENA_BUFFER_BYTES - skip };
}

unsigned int rx_pool_room(const struct rx_pool *pool, struct iovec *seg, unsigned int max)
{
	unsigned int count = pool->free_buffers < max ? pool->free_buffers : max;

	for (unsigned int i = 0; i < count; i++)
		seg[i] = part_of(pool->buffer[pool->free_buffers - 1 - i], !i);
	return count;
}

struct gw_frame *rx_pool_take(struct rx_pool *pool, struct gw_queue *queue, uint32_t len)
{
	struct gw_frame *frame = pool->frame[pool->free_frames - 1];
	uint32_t left = len;

	assert(len >= GW_FRAME_LEN_MIN && rx_pool_buffers(len) <= pool->free_buffers);
	pool->free_frames--;
	frame->home = queue;
	frame->memmap = NULL;
	frame->seg = frame->own;
	frame->len = len;
	frame->seg_count = 0;
	frame->holders = 0;
	frame->bounce = 0;
	frame->tag = NULL;
	memset(&frame->header, 0, sizeof(frame->header));
	while (left) {
		struct iovec *seg = &frame->own[frame->seg_count];

		assert(frame->seg_count < GW_FRAME_SEGS);
		*seg = part_of(pool->buffer[--pool->free_buffers], !frame->seg_count);
		if (seg->iov_len > left)
			seg->iov_len = left;
		left -= (uint32_t)seg->iov_len;
		frame->seg_count++;
	}
	memcpy(frame->snapshot, frame->own[0].iov_base, GW_FRAME_SNAPSHOT);
	return frame;
}

void rx_pool_put(struct rx_pool *pool, struct gw_frame *frame)
{
	assert(pool->free_frames < pool->buffers);
	for (unsigned int i = 0; i < frame->seg_count; i++) {
		uint8_t *start = frame->own[i].iov_base;

		assert(pool->free_buffers < pool->buffers);
		pool->buffer[pool->free_buffers++] = i ? start : start - RX_POOL_HEADROOM;
	}
	pool->frame[pool->free_frames++] = frame;
}

unsigned int rx_pool_lent(const struct rx_pool *pool)
{
	return pool->buffers - pool->free_frames;
}
