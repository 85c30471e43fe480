/* SPDX-License-Identifier: BSD-2-Clause */
/* A pool's frames: each is there once, in lines of its own, and cold ones cost nothing. */
#include "frame_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define COUNT 300u
#define LARGE 4096u

static struct gw_frame *take(struct frame_pool *pool)
{
	struct gw_frame *frame = frame_pool_end(pool)[-1];

	frame_pool_took(pool, 1);
	return frame;
}

static void give(struct frame_pool *pool, struct gw_frame *frame)
{
	*frame_pool_end(pool) = frame;
	frame_pool_got(pool, 1);
}

static void every_frame_has_its_own_lines(void **state)
{
	static const struct gw_frame zero;
	struct gw_frame *frame[COUNT];
	struct frame_pool pool;

	assert_int_equal(frame_pool_init(&pool, COUNT), 0);
	assert_int_equal(pool.idle_count, COUNT);
	for (unsigned int i = 0; i < COUNT; i++) {
		frame[i] = take(&pool);
		assert_int_equal((uintptr_t)frame[i] % FRAME_POOL_ALIGN, 0);
		assert_memory_equal(frame[i], &zero, sizeof(zero));
		if (i)
			assert_ptr_equal(frame[i], (struct pooled_frame *)frame[i - 1] + 1);
	}
	assert_int_equal(pool.idle_count, 0);
	/* The stack survives all of them being written to. */
	for (unsigned int i = 0; i < COUNT; i++)
		memset(frame[i], 0xff, sizeof(*frame[i]));
	for (unsigned int i = 0; i < COUNT; i++)
		assert_ptr_equal(pool.idle[COUNT - 1 - i], frame[i]);
	frame_pool_destroy(&pool);
}

static void what_came_home_last_is_taken_first(void **state)
{
	struct gw_frame *first, *second;
	struct frame_pool pool;

	assert_int_equal(frame_pool_init(&pool, COUNT), 0);
	first = take(&pool);
	second = take(&pool);
	assert_ptr_not_equal(first, second);
	give(&pool, second);
	give(&pool, first);
	assert_ptr_equal(take(&pool), first);
	assert_ptr_equal(take(&pool), second);
	frame_pool_destroy(&pool);
}

static size_t resident_pages(const struct frame_pool *pool)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), pages, sum = 0;
	unsigned char *in;

	pages = (pool->memory_bytes + page - 1) / page;
	in = calloc(pages, 1);
	assert_non_null(in);
	assert_int_equal(mincore(pool->memory, pool->memory_bytes, in), 0);
	for (size_t i = 0; i < pages; i++)
		sum += in[i] & 1;
	free(in);
	return sum;
}

/* The stack itself is written: 8 bytes a frame, 8 pages here, and the frame. */
static void frames_that_were_never_taken_take_no_memory(void **state)
{
	struct frame_pool pool;

	assert_int_equal(frame_pool_init(&pool, LARGE), 0);
	for (unsigned int i = 0; i < LARGE; i++) {
		struct gw_frame *frame = take(&pool);

		frame->len = i;
		give(&pool, frame);
	}
	assert_in_range(resident_pages(&pool), 1, 10);
	frame_pool_destroy(&pool);
}

static void destroy_takes_nothing_and_twice(void **state)
{
	struct frame_pool pool = { 0 };

	frame_pool_destroy(&pool);
	assert_int_equal(frame_pool_init(&pool, 1), 0);
	frame_pool_destroy(&pool);
	frame_pool_destroy(&pool);
	assert_int_equal(pool.idle_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_has_its_own_lines),
		cmocka_unit_test(what_came_home_last_is_taken_first),
		cmocka_unit_test(frames_that_were_never_taken_take_no_memory),
		cmocka_unit_test(destroy_takes_nothing_and_twice),
	};

	return cmocka_run_group_tests_name("frame_pool", tests, NULL, NULL);
}
