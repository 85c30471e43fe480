/* SPDX-License-Identifier: BSD-2-Clause */
/* Between two visits, by a clock that the test winds: a round takes as long as it says. */
#include "waiting.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define US        1000ull
#define BUDGET_NS (50 * US)

struct rig {
	struct waiting waiting;
	uint64_t begin_ns, now_ns;
	unsigned int looks, looks_all;
	uint64_t cost_ns; /* of a sleep, as measured; 0: it was not */
};

static void rig_open(struct rig *rig, bool polls, uint64_t budget_ns)
{
	memset(rig, 0, sizeof(*rig));
	rig->begin_ns = rig->now_ns = 777 * US;
	waiting_want(&rig->waiting, polls, budget_ns);
	waiting_begin(&rig->waiting, rig->now_ns);
}

static enum waiting_step play_round(struct rig *rig, bool work, uint64_t takes_ns)
{
	enum waiting_step step;

	waiting_round(&rig->waiting, rig->now_ns);
	step = waiting_next(&rig->waiting, rig->now_ns, work);
	rig->looks += step == WAITING_LOOK;
	rig->looks_all += step == WAITING_LOOK_ALL;
	rig->now_ns += takes_ns;
	return step;
}

static void play_sleep(struct rig *rig, uint64_t ns)
{
	waiting_sleeps(&rig->waiting, rig->now_ns);
	rig->now_ns += ns;
	waiting_woken(&rig->waiting, rig->now_ns, rig->cost_ns);
}

/* Rounds that find nothing, until it sleeps; how long it polled. */
static uint64_t polls_for(struct rig *rig)
{
	uint64_t since_ns = rig->now_ns;

	while (play_round(rig, false, 100) != WAITING_SLEEP)
		assert_true(rig->now_ns - since_ns < 1000000000);
	return rig->now_ns - since_ns;
}

static struct gw_worker_info info_of(struct rig *rig)
{
	struct gw_worker_info info;

	waiting_round(&rig->waiting, rig->now_ns);
	waiting_read(&rig->waiting, &info);
	return info;
}

static void it_polls_for_a_window_and_sleeps(void **state)
{
	struct rig rig;
	uint64_t window_ns;

	rig_open(&rig, false, BUDGET_NS);
	window_ns = patience_window_ns(&rig.waiting.patience);
	assert_true(window_ns > 1000);
	assert_in_range(polls_for(&rig), window_ns, window_ns + 200);
	assert_int_equal(info_of(&rig).window_ns, window_ns);
	assert_false(info_of(&rig).polls);
}

/* A wake-up for nothing (a timer, a command) does not begin another window. */
static void woken_for_nothing_it_sleeps_again_at_once(void **state)
{
	struct rig rig;

	rig_open(&rig, false, BUDGET_NS);
	polls_for(&rig);
	play_sleep(&rig, 300 * US);
	assert_int_equal(play_round(&rig, false, 100), WAITING_SLEEP);
	play_sleep(&rig, 300 * US);
	assert_int_equal(play_round(&rig, true, 100), WAITING_POLL);
	assert_true(polls_for(&rig) > 1000);
	assert_int_equal(info_of(&rig).sleeps, 2);
	assert_int_equal(info_of(&rig).wakes_worked, 1);
}

/* Work that was polled for is no wake-up. */
static void what_was_polled_for_woke_nobody(void **state)
{
	struct rig rig;

	rig_open(&rig, false, BUDGET_NS);
	polls_for(&rig);
	play_sleep(&rig, 300 * US);
	play_round(&rig, true, 100);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(play_round(&rig, false, 100), WAITING_POLL);
		assert_int_equal(play_round(&rig, true, 100), WAITING_POLL);
	}
	assert_int_equal(info_of(&rig).wakes_worked, 1);
}

/* Work is rare, or follows itself closely: it polls for it accordingly. */
static void it_learns_from_its_gaps(void **state)
{
	struct rig rig;

	rig_open(&rig, false, BUDGET_NS);
	for (unsigned int i = 0; i < 1000; i++) {
		play_round(&rig, true, 100);
		polls_for(&rig);
		play_sleep(&rig, 2000 * US);
	}
	assert_int_equal(info_of(&rig).window_ns, 0);
	for (unsigned int i = 0; i < 2000; i++) {
		uint64_t end_ns = rig.now_ns + 3 * US;

		play_round(&rig, true, 100);
		while (rig.now_ns < end_ns)
			if (play_round(&rig, false, 100) == WAITING_SLEEP)
				play_sleep(&rig, end_ns - rig.now_ns + 20 * US);
	}
	assert_in_range(info_of(&rig).window_ns, 3 * US, 9 * US);
}

static void what_a_sleep_costs_is_what_was_measured(void **state)
{
	struct rig rig;

	rig_open(&rig, false, BUDGET_NS);
	rig.cost_ns = 9 * US;
	for (unsigned int i = 0; i < 100; i++) {
		play_round(&rig, true, 100);
		polls_for(&rig);
		play_sleep(&rig, 100 * US);
	}
	assert_in_range(info_of(&rig).sleep_cost_ns, 8900, 9000);
}

static void without_a_budget_it_sleeps_after_the_first_round(void **state)
{
	struct rig rig;

	rig_open(&rig, false, 0);
	for (unsigned int i = 0; i < 100; i++) {
		assert_int_equal(play_round(&rig, true, 100), WAITING_POLL);
		assert_int_equal(play_round(&rig, false, 100), WAITING_SLEEP);
		play_sleep(&rig, 5 * US);
	}
}

static void who_polls_never_sleeps_but_looks_after_its_ports(void **state)
{
	struct rig rig;

	rig_open(&rig, true, BUDGET_NS);
	while (rig.now_ns < rig.begin_ns + 1000000 * US)
		assert_int_not_equal(play_round(&rig, false, 200), WAITING_SLEEP);
	assert_in_range(rig.looks_all, 98, 100);
	assert_in_range(rig.looks, 9700, 9900);
	assert_true(info_of(&rig).polls);
}

/* A device of one port may need a push while another port has work without end. */
static void who_works_looks_after_its_ports_as_well(void **state)
{
	struct rig rig;

	rig_open(&rig, false, BUDGET_NS);
	for (unsigned int i = 0; i < 20000; i++)
		play_round(&rig, true, 1 * US);
	assert_in_range(rig.looks, 195, 200);
	/* It would have guests kick that are asked for their frames anyway. */
	assert_int_equal(rig.looks_all, 0);
}

static void what_ports_want_may_change(void **state)
{
	struct rig rig;

	rig_open(&rig, false, BUDGET_NS);
	/* In the middle of it. */
	assert_int_equal(play_round(&rig, false, 100), WAITING_POLL);
	waiting_want(&rig.waiting, false, 0);
	assert_int_equal(play_round(&rig, false, 100), WAITING_SLEEP);
	waiting_want(&rig.waiting, true, 0);
	assert_int_equal(play_round(&rig, false, 100), WAITING_POLL);
	waiting_want(&rig.waiting, false, BUDGET_NS);
	play_round(&rig, true, 100);
	assert_true(polls_for(&rig) > 1000);
}

/* Each command of control says what ports want: what was learned is kept if that is the same. */
static void the_same_once_more_changes_nothing(void **state)
{
	static const uint64_t budgets_ns[] = { BUDGET_NS, 5000 * US, 0 };

	for (unsigned int b = 0; b < 3; b++) {
		struct rig rig;

		rig_open(&rig, false, budgets_ns[b]);
		rig.waiting.patience.samples = 7;
		waiting_want(&rig.waiting, false, budgets_ns[b]);
		assert_int_equal(rig.waiting.patience.samples, 7);
		waiting_want(&rig.waiting, false, budgets_ns[b] + 1);
		assert_int_equal(rig.waiting.patience.samples, 0);
	}
}

/* Several rounds that find nothing are polling, all of them. */
static void time_is_spent_on_what_the_round_was(void **state)
{
	struct rig rig;

	rig_open(&rig, true, 0);
	for (unsigned int i = 0; i < 100; i++)
		play_round(&rig, i % 4 == 0, i % 4 ? 1 * US : 5 * US);
	assert_int_equal(info_of(&rig).busy_ns, 25 * 5 * US);
	assert_int_equal(info_of(&rig).polling_ns, 75 * US);
}

static void its_time_adds_up(void **state)
{
	struct gw_worker_info info;
	struct rig rig;

	rig_open(&rig, false, 0);
	for (unsigned int i = 0; i < 50; i++) {
		play_round(&rig, true, 3 * US);
		play_round(&rig, false, 1 * US);
		play_sleep(&rig, 96 * US);
	}
	info = info_of(&rig);
	assert_int_equal(info.busy_ns, 50 * 3 * US);
	assert_int_equal(info.polling_ns, 50 * 1 * US);
	assert_int_equal(info.asleep_ns, 50 * 96 * US);
	assert_int_equal(info.rounds, 101);
	assert_int_equal(info.rounds_worked, 50);
	assert_int_equal(info.wakes_worked, 49);
}

/* How long it takes to come round, but not how long it slept. */
static void rounds_with_work_are_measured(void **state)
{
	struct gw_worker_info info;
	struct rig rig;

	rig_open(&rig, false, 0);
	for (unsigned int i = 0; i < 10; i++) {
		play_round(&rig, true, 7 * US);
		play_round(&rig, true, 2 * US);
		play_round(&rig, false, 1 * US);
		play_sleep(&rig, 500 * US);
	}
	info = info_of(&rig);
	assert_int_equal(info.round.count, 20);
	assert_int_equal(info.round.sum_ns, 10 * 9 * US);
	assert_int_equal(info.round.max_ns, 7 * US);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_polls_for_a_window_and_sleeps),
		cmocka_unit_test(woken_for_nothing_it_sleeps_again_at_once),
		cmocka_unit_test(what_was_polled_for_woke_nobody),
		cmocka_unit_test(it_learns_from_its_gaps),
		cmocka_unit_test(what_a_sleep_costs_is_what_was_measured),
		cmocka_unit_test(without_a_budget_it_sleeps_after_the_first_round),
		cmocka_unit_test(who_polls_never_sleeps_but_looks_after_its_ports),
		cmocka_unit_test(who_works_looks_after_its_ports_as_well),
		cmocka_unit_test(what_ports_want_may_change),
		cmocka_unit_test(the_same_once_more_changes_nothing),
		cmocka_unit_test(time_is_spent_on_what_the_round_was),
		cmocka_unit_test(its_time_adds_up),
		cmocka_unit_test(rounds_with_work_are_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
