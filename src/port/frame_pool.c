/* SPDX-License-Identifier: BSD-2-Clause */
#include "frame_pool.h"

#include <errno.h>
#include <sys/mman.h>

int frame_pool_init(struct frame_pool *pool, uint32_t count)
{
	const size_t line = FRAME_POOL_ALIGN;
	size_t stack_bytes = (count * sizeof(*pool->idle) + line - 1) / line * line;
	size_t bytes = stack_bytes + count * sizeof(struct pooled_frame);
	struct pooled_frame *frame;

	*pool = (struct frame_pool){ 0 };
	if (!count)
		return 0;
	pool->memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pool->memory == MAP_FAILED) {
		pool->memory = NULL;
		return -ENOMEM;
	}
	/* One that is huge would be there as a whole. A kernel without them says no. */
	madvise(pool->memory, bytes, MADV_NOHUGEPAGE);
	pool->memory_bytes = bytes;
	pool->idle = pool->memory;
	frame = (struct pooled_frame *)((char *)pool->memory + stack_bytes);
	/* The first ones on top. */
	for (; pool->idle_count < count; pool->idle_count++)
		pool->idle[pool->idle_count] = &frame[count - 1 - pool->idle_count].frame;
	return 0;
}

void frame_pool_destroy(struct frame_pool *pool)
{
	if (pool->memory)
		munmap(pool->memory, pool->memory_bytes);
	*pool = (struct frame_pool){ 0 };
}
