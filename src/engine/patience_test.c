/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker's patience, by a clock that the test winds: what is polled for, what that
 * costs, and how soon it finds out.
 */
#include "patience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define US        1000ull
#define BUDGET_NS (50 * US)

/* Sleeps cost 4 us of the processor, so are worth 16. */
#define SLEEP_NS       (4 * US)
#define SLEEP_PRICE_NS (PATIENCE_WORTH * SLEEP_NS)

struct bill {
	uint64_t polled_ns; /* looking for work */
	unsigned int sleeps, gaps;
};

/* One gap to the next work, as a worker lives through it; a wake-up takes 30 us. */
static void live(struct patience *patience, struct bill *bill, uint64_t gap_ns)
{
	uint64_t window_ns = patience_begin(patience);

	bill->gaps++;
	if (gap_ns <= window_ns) {
		bill->polled_ns += gap_ns;
		patience_end(patience, gap_ns);
		return;
	}
	bill->polled_ns += window_ns;
	bill->sleeps++;
	patience_slept(patience, SLEEP_NS);
	patience_end(patience, gap_ns + 30 * US);
}

static struct bill live_many(struct patience *patience, uint64_t gap_ns, unsigned int count)
{
	struct bill bill = { 0 };

	while (count--)
		live(patience, &bill, gap_ns);
	return bill;
}

static void small_gaps_are_polled_through(void **state)
{
	struct patience patience;
	struct bill bill;

	patience_init(&patience, BUDGET_NS);
	live_many(&patience, 12 * US, 200);
	bill = live_many(&patience, 12 * US, 1000);
	assert_int_equal(bill.sleeps, 0);
}

/* The window ends with the gap, not before it. */
static void a_gap_as_long_as_a_window_is_within_it(void **state)
{
	struct patience patience;

	patience_init(&patience, BUDGET_NS);
	live_many(&patience, 8 * PATIENCE_FIRST_NS, 200);
	assert_int_equal(patience_window_ns(&patience), 8 * PATIENCE_FIRST_NS);
}

/* What it begins with is what a sleep is taken to be worth; a few samples change nothing. */
static void it_begins_with_what_a_sleep_is_worth(void **state)
{
	struct patience patience;
	uint64_t first_ns;

	patience_init(&patience, BUDGET_NS);
	first_ns = patience_window_ns(&patience);
	assert_in_range(first_ns, PATIENCE_WORTH * PATIENCE_COST_NS / 2,
			PATIENCE_WORTH * PATIENCE_COST_NS);
	live_many(&patience, 900 * US, (PATIENCE_LEAST - 1) * PATIENCE_EVERY);
	assert_int_equal(patience_window_ns(&patience), first_ns);
	live_many(&patience, 900 * US, PATIENCE_EVERY);
	assert_int_equal(patience_window_ns(&patience), 0);
}

/* Also if it slept at each of them before, and they looked long for that. */
static void small_gaps_are_found_out_by_one_that_sleeps(void **state)
{
	struct patience patience;
	struct bill bill;

	patience_init(&patience, BUDGET_NS);
	live_many(&patience, 900 * US, 2000);
	assert_int_equal(patience_window_ns(&patience), 0);
	live_many(&patience, 12 * US, 1000);
	bill = live_many(&patience, 12 * US, 1000);
	assert_int_equal(bill.sleeps, 0);
}

/* What is polled for nothing is the samples, and these are few when they tell nothing new. */
static void for_rare_work_it_sleeps_at_once(void **state)
{
	struct patience patience;
	struct bill bill;

	patience_init(&patience, BUDGET_NS);
	live_many(&patience, 900 * US, 200);
	assert_int_equal(patience_window_ns(&patience), 0);
	bill = live_many(&patience, 900 * US, 1600);
	assert_int_equal(bill.sleeps, 1600);
	assert_in_range(bill.polled_ns, BUDGET_NS, (1600 / PATIENCE_SELDOM + 4) * BUDGET_NS);
}

/* Gaps that a sleep is cheaper than, though the budget would do. */
static void what_a_sleep_is_worth_is_not_exceeded(void **state)
{
	struct patience patience;
	struct bill bill;

	patience_init(&patience, BUDGET_NS);
	live_many(&patience, 40 * US, 400);
	bill = live_many(&patience, 40 * US, 1600);
	assert_int_equal(patience_window_ns(&patience), 0);
	assert_in_range(bill.sleeps, 1590, 1599);
}

/* Twenty frames close to each other, and then nothing for long. */
static void a_burst_is_polled_and_its_end_is_not(void **state)
{
	struct patience patience;
	struct bill bill = { 0 };

	patience_init(&patience, BUDGET_NS);
	for (unsigned int i = 0; i < 42 * 300; i++) {
		if (i == 42 * 100)
			bill = (struct bill){ 0 };
		live(&patience, &bill, i % 21 == 20 ? 5000 * US : 3 * US);
	}
	/* A sleep for each burst, and few more. */
	assert_in_range(bill.sleeps, 400, 404);
	assert_in_range(patience_window_ns(&patience), 3 * US, 9 * US);
}

/* However long nothing was new: the first sample that tells otherwise makes them frequent. */
static void what_is_new_is_found_out_soon(void **state)
{
	struct patience patience;

	patience_init(&patience, BUDGET_NS);
	live_many(&patience, 900 * US, 100000);
	live_many(&patience, 4 * US, PATIENCE_SELDOM + 2 * PATIENCE_MANY * PATIENCE_EVERY);
	assert_true(patience_window_ns(&patience) >= 4 * US);
}

static void it_changes_with_the_work(void **state)
{
	struct patience patience;

	patience_init(&patience, BUDGET_NS);
	for (unsigned int round = 0; round < 5; round++) {
		live_many(&patience, 4 * US, 64 * PATIENCE_EVERY);
		assert_true(patience_window_ns(&patience) >= 4 * US);
		live_many(&patience, 900 * US, 64 * PATIENCE_EVERY);
		assert_int_equal(patience_window_ns(&patience), 0);
	}
}

/* As dear as each other: it does not change for that. */
static void what_is_hardly_cheaper_is_no_reason(void **state)
{
	struct patience patience;
	unsigned int changes = 0;
	struct bill bill = { 0 };
	uint64_t before;

	patience_init(&patience, BUDGET_NS);
	live_many(&patience, SLEEP_PRICE_NS, 1000);
	before = patience_window_ns(&patience);
	for (unsigned int i = 0; i < 5000; i++) {
		live(&patience, &bill, i / 16 % 2 ? 15 * US : 17 * US);
		changes += patience_window_ns(&patience) != before;
		before = patience_window_ns(&patience);
	}
	assert_true(changes <= 1);
}

static void the_price_of_a_sleep_is_measured(void **state)
{
	struct patience patience;

	patience_init(&patience, BUDGET_NS);
	for (unsigned int i = 0; i < 100; i++)
		patience_slept(&patience, 1 * US);
	assert_in_range(patience_sleep_price_ns(&patience), 3800, 4100);
	live_many(&patience, 12 * US, 0);
	for (unsigned int i = 0; i < 100; i++)
		patience_slept(&patience, 1000 * US);
	/* Not beyond the budget. */
	assert_int_equal(patience_sleep_price_ns(&patience), patience.budget_ns);
	/* One sleep that took long says little. */
	patience_init(&patience, BUDGET_NS);
	patience_slept(&patience, 10 * US);
	assert_in_range(patience_sleep_price_ns(&patience), 10 * US, 15 * US);
}

static void without_a_budget_it_sleeps_always(void **state)
{
	struct patience patience;
	struct bill bill;

	patience_init(&patience, 0);
	bill = live_many(&patience, 1 * US, 1000);
	assert_int_equal(bill.polled_ns, 0);
	assert_int_equal(bill.sleeps, 1000);
}

/* Whatever the gaps are. */
static void the_budget_is_the_most_that_is_polled(void **state)
{
	static const uint64_t budgets_us[] = { 1, 3, 50, 1000, 4000 };
	uint64_t random = 1;

	for (unsigned int b = 0; b < 5; b++) {
		struct patience patience;

		patience_init(&patience, budgets_us[b] * US);
		for (unsigned int i = 0; i < 20000; i++) {
			struct bill bill = { 0 };

			random = random * 6364136223846793005ull + 1442695040888963407ull;
			live(&patience, &bill, (random >> 33) % (1ull << (random >> 60)) * US);
			assert_true(bill.polled_ns <= budgets_us[b] * US);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_gaps_are_polled_through),
		cmocka_unit_test(a_gap_as_long_as_a_window_is_within_it),
		cmocka_unit_test(it_begins_with_what_a_sleep_is_worth),
		cmocka_unit_test(small_gaps_are_found_out_by_one_that_sleeps),
		cmocka_unit_test(for_rare_work_it_sleeps_at_once),
		cmocka_unit_test(what_a_sleep_is_worth_is_not_exceeded),
		cmocka_unit_test(a_burst_is_polled_and_its_end_is_not),
		cmocka_unit_test(what_is_new_is_found_out_soon),
		cmocka_unit_test(it_changes_with_the_work),
		cmocka_unit_test(what_is_hardly_cheaper_is_no_reason),
		cmocka_unit_test(the_price_of_a_sleep_is_measured),
		cmocka_unit_test(without_a_budget_it_sleeps_always),
		cmocka_unit_test(the_budget_is_the_most_that_is_polled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
