/* SPDX-License-Identifier: BSD-2-Clause */
#include "log_limit.h"

#include <stddef.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define BEGIN_NS 5000000000ull

/* Lines that pass of count at this moment; each that passes has the rest told with it. */
static unsigned int passes(struct log_limit *limit, uint64_t now_ns, unsigned int count,
			   uint32_t *told)
{
	unsigned int passed = 0;
	uint32_t suppressed;

	*told = 0;
	for (unsigned int i = 0; i < count; i++) {
		if (!log_limit_pass(limit, now_ns, &suppressed))
			continue;
		passed++;
		*told += suppressed;
	}
	return passed;
}

static void a_burst_passes_and_no_more(void **state)
{
	struct log_limit limit = { 0 };
	uint32_t told;

	assert_int_equal(passes(&limit, BEGIN_NS, 3 * LOG_LIMIT_BURST, &told), LOG_LIMIT_BURST);
	assert_int_equal(told, 0);
	assert_int_equal(passes(&limit, BEGIN_NS + LOG_LIMIT_REFILL_NS - 1, 1, &told), 0);
}

static void one_line_each_interval_then_and_what_was_suppressed_is_told(void **state)
{
	struct log_limit limit = { 0 };
	uint64_t now_ns = BEGIN_NS;
	uint32_t told;

	passes(&limit, now_ns, LOG_LIMIT_BURST + 7, &told);
	now_ns += LOG_LIMIT_REFILL_NS;
	assert_int_equal(passes(&limit, now_ns, 10, &told), 1);
	assert_int_equal(told, 7);
	now_ns += LOG_LIMIT_REFILL_NS;
	assert_int_equal(passes(&limit, now_ns, 1, &told), 1);
	assert_int_equal(told, 9);
	/* A long time gives the burst back, and not more. */
	now_ns += 1000 * LOG_LIMIT_BURST * LOG_LIMIT_REFILL_NS;
	assert_int_equal(passes(&limit, now_ns, 2 * LOG_LIMIT_BURST, &told), LOG_LIMIT_BURST);
	assert_int_equal(told, 0);
}

static void slow_lines_all_pass(void **state)
{
	struct log_limit limit = { 0 };
	uint64_t now_ns = BEGIN_NS;
	uint32_t told;

	for (unsigned int i = 0; i < 10 * LOG_LIMIT_BURST; i++) {
		assert_int_equal(passes(&limit, now_ns, 1, &told), 1);
		now_ns += LOG_LIMIT_REFILL_NS;
	}
}

static void the_end_of_a_flood_is_told(void **state)
{
	struct log_limit limit = { 0 };
	uint32_t told;

	assert_int_equal(log_limit_rest(&limit, BEGIN_NS), 0);
	passes(&limit, BEGIN_NS, LOG_LIMIT_BURST + 5, &told);
	assert_int_equal(log_limit_rest(&limit, BEGIN_NS), 0);
	assert_int_equal(log_limit_rest(&limit, BEGIN_NS + LOG_LIMIT_REFILL_NS), 5);
	assert_int_equal(log_limit_rest(&limit, BEGIN_NS + 2 * LOG_LIMIT_REFILL_NS), 0);
}

static void a_clock_read_late_does_no_harm(void **state)
{
	struct log_limit limit = { 0 };
	uint32_t told;

	passes(&limit, BEGIN_NS, LOG_LIMIT_BURST, &told);
	assert_int_equal(passes(&limit, BEGIN_NS - 1, 1, &told), 0);
	assert_int_equal(passes(&limit, BEGIN_NS + LOG_LIMIT_REFILL_NS, 2, &told), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_passes_and_no_more),
		cmocka_unit_test(one_line_each_interval_then_and_what_was_suppressed_is_told),
		cmocka_unit_test(slow_lines_all_pass),
		cmocka_unit_test(the_end_of_a_flood_is_told),
		cmocka_unit_test(a_clock_read_late_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
