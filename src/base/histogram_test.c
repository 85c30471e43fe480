/* SPDX-License-Identifier: BSD-2-Clause */
#include "histogram.h"

#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct gw_latency read_of(const struct histogram *histogram)
{
	struct gw_latency latency;

	histogram_read(histogram, &latency);
	return latency;
}

/* Each time lies below its bucket's bound and not below the bound before, which is near. */
static void check_time(uint64_t ns)
{
	unsigned int bucket = histogram_bucket(ns);
	uint64_t above = gw_latency_bound_ns(bucket);
	uint64_t least = bucket ? gw_latency_bound_ns(bucket - 1) : 0;

	assert_true(bucket < GW_LATENCY_BUCKETS);
	assert_true(ns < above || above == UINT64_MAX);
	assert_true(ns >= least);
	if (ns >= 256 && above != UINT64_MAX)
		assert_true(above - least <= least / 4);
}

static void every_time_is_in_its_bucket(void **state)
{
	for (uint64_t ns = 0; ns < 20000; ns++)
		check_time(ns);
	for (unsigned int shift = 14; shift < 64; shift++)
		for (int64_t by = -70; by <= 70; by++)
			check_time((1ull << shift) + (uint64_t)by);
	check_time(UINT64_MAX);
}

static void buckets_follow_each_other(void **state)
{
	for (unsigned int i = 1; i < GW_LATENCY_BUCKETS; i++)
		assert_true(gw_latency_bound_ns(i) > gw_latency_bound_ns(i - 1));
	assert_true(gw_latency_bound_ns(GW_LATENCY_BUCKETS - 2) > 3000000000ull);
	assert_int_equal(gw_latency_bound_ns(GW_LATENCY_BUCKETS), UINT64_MAX);
}

static void a_batch_counts_as_its_frames(void **state)
{
	struct histogram histogram = { 0 };
	struct gw_latency latency;

	histogram_add(&histogram, 1000, 64);
	histogram_add(&histogram, 5000, 2);
	histogram_add(&histogram, 100, 1);
	latency = read_of(&histogram);
	assert_int_equal(latency.count, 67);
	assert_int_equal(latency.sum_ns, 64 * 1000 + 2 * 5000 + 100);
	assert_int_equal(latency.max_ns, 5000);
	assert_int_equal(latency.bucket[histogram_bucket(1000)], 64);
}

/* Two readings of the clock in the wrong order are no time of 584 years. */
static void time_does_not_run_backwards(void **state)
{
	struct histogram histogram = { 0 };

	histogram_add(&histogram, (uint64_t)-5, 3);
	assert_int_equal(read_of(&histogram).max_ns, 0);
	assert_int_equal(read_of(&histogram).bucket[0], 3);
}

static void quantiles_are_not_too_low_and_not_by_much_too_high(void **state)
{
	struct histogram histogram = { 0 };
	struct gw_latency latency;

	for (uint64_t ns = 1; ns <= 1000; ns++)
		histogram_add(&histogram, ns * 1000, 1);
	latency = read_of(&histogram);
	assert_in_range(gw_latency_quantile_ns(&latency, 50, 100), 500000, 625000);
	assert_in_range(gw_latency_quantile_ns(&latency, 99, 100), 990000, 1000000);
	assert_int_equal(gw_latency_quantile_ns(&latency, 1, 1), 1000000);
}

/* One slow frame of a thousand is in p99.9 only if it is more than one in a thousand. */
static void a_tail_is_where_it_begins(void **state)
{
	struct histogram histogram = { 0 };
	struct gw_latency latency;

	histogram_add(&histogram, 1000, 999);
	histogram_add(&histogram, 1000000, 1);
	latency = read_of(&histogram);
	assert_in_range(gw_latency_quantile_ns(&latency, 999, 1000), 1000, 1250);
	histogram_add(&histogram, 1000000, 1);
	latency = read_of(&histogram);
	assert_int_equal(gw_latency_quantile_ns(&latency, 999, 1000), 1000000);
	assert_in_range(gw_latency_quantile_ns(&latency, 99, 100), 1000, 1250);
}

static void nothing_has_no_quantiles(void **state)
{
	struct gw_latency latency = { 0 };

	assert_int_equal(gw_latency_quantile_ns(&latency, 99, 100), 0);
	latency.count = 1;
	assert_int_equal(gw_latency_quantile_ns(&latency, 5, 0), 0);
}

/* Counts as they are after years. */
static void large_counts_do_not_overflow(void **state)
{
	struct histogram histogram = { 0 };
	struct gw_latency latency;

	histogram_add(&histogram, 1000, 1ull << 60);
	histogram_add(&histogram, 2000, 1ull << 50);
	latency = read_of(&histogram);
	assert_in_range(gw_latency_quantile_ns(&latency, 999, 1000), 1000, 1250);
	assert_in_range(gw_latency_quantile_ns(&latency, 999999, 1000000), 2000, 2500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_time_is_in_its_bucket),
		cmocka_unit_test(buckets_follow_each_other),
		cmocka_unit_test(a_batch_counts_as_its_frames),
		cmocka_unit_test(time_does_not_run_backwards),
		cmocka_unit_test(quantiles_are_not_too_low_and_not_by_much_too_high),
		cmocka_unit_test(a_tail_is_where_it_begins),
		cmocka_unit_test(nothing_has_no_quantiles),
		cmocka_unit_test(large_counts_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
