/* SPDX-License-Identifier: BSD-2-Clause */
#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define TEST_BYTES   (2u << 20)
#define TEST_BUFFERS ((TEST_BYTES - ARENA_PAD_BYTES) / GW_ARENA_BUFFER_BYTES)

static int setup(void **state)
{
	struct gw_arena *arena;

	assert_int_equal(arena_create(TEST_BYTES - 5, &arena, NULL), 0);
	*state = arena;
	return 0;
}

static int teardown(void **state)
{
	arena_destroy(*state);
	return 0;
}

static void size_is_rounded_up(void **state)
{
	assert_int_equal(arena_range(*state).iov_len, TEST_BYTES);
}

static void impossible_sizes_are_refused(void **state)
{
	struct gw_arena *arena;
	struct gw_error err;

	assert_int_equal(arena_create(0, &arena, &err), -EINVAL);
	assert_int_equal(arena_create(SIZE_MAX, &arena, &err), -EINVAL);
	arena_destroy(NULL);
}

static void runs_are_apart_and_never_in_the_pad(void **state)
{
	struct iovec range = arena_range(*state);
	uint8_t *a = arena_take(*state, 3), *b = arena_take(*state, 2);

	assert_ptr_equal(a, (uint8_t *)range.iov_base + ARENA_PAD_BYTES);
	assert_ptr_equal(b, a + 3 * GW_ARENA_BUFFER_BYTES);
	memset(a, 1, 3 * GW_ARENA_BUFFER_BYTES);
	memset(b, 2, 2 * GW_ARENA_BUFFER_BYTES);
	assert_int_equal(a[3 * GW_ARENA_BUFFER_BYTES - 1], 1);
	arena_give(*state, a, 3);
	arena_give(*state, b, 2);
}

static void gaps_are_used_again(void **state)
{
	uint8_t *a = arena_take(*state, 4), *b = arena_take(*state, 4);

	arena_give(*state, a, 4);
	assert_ptr_equal(arena_take(*state, 5), b + 4 * GW_ARENA_BUFFER_BYTES);
	assert_ptr_equal(arena_take(*state, 4), a);
}

static void full_means_null(void **state)
{
	uint8_t *all = arena_take(*state, TEST_BUFFERS);

	assert_non_null(all);
	assert_null(arena_take(*state, 1));
	arena_give(*state, all, TEST_BUFFERS);
	assert_null(arena_take(*state, TEST_BUFFERS + 1));
	assert_null(arena_take(*state, 0));
	arena_give(*state, NULL, 1);
	assert_non_null(arena_take(*state, TEST_BUFFERS));
}

static void memory_is_not_there_until_it_is_used(void **state)
{
	struct stat st;

	assert_int_equal(fstat(arena_fd(*state), &st), 0);
	assert_int_equal(st.st_blocks, 0);
	*(uint8_t *)arena_take(*state, 1) = 1;
	assert_int_equal(fstat(arena_fd(*state), &st), 0);
	assert_true(st.st_blocks > 0);
}

static void sealed_and_not_inherited(void **state)
{
	int seals = fcntl(arena_fd(*state), F_GET_SEALS);

	assert_int_equal(seals, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_true(fcntl(arena_fd(*state), F_GETFD) & FD_CLOEXEC);
}

#define ARENA_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARENA_TEST(size_is_rounded_up),
		cmocka_unit_test(impossible_sizes_are_refused),
		ARENA_TEST(runs_are_apart_and_never_in_the_pad),
		ARENA_TEST(gaps_are_used_again),
		ARENA_TEST(full_means_null),
		ARENA_TEST(memory_is_not_there_until_it_is_used),
		ARENA_TEST(sealed_and_not_inherited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
