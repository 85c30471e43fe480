/* SPDX-License-Identifier: BSD-2-Clause */
/* How a worker waits, and what it says of its time. */
#include "worker_rig.h"

#include "loop.h"
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct gw_worker_info info_now(void)
{
	struct gw_worker_info info;

	worker_read(the_worker, &info);
	return info;
}

static void wait_for_rounds(uint64_t count)
{
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS;

	while (info_now().rounds < count) {
		assert_true(gw_now_ns() < end_ns);
		sched_yield();
	}
}

static void wait_for_a_sleep(void)
{
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS, before = info_now().sleeps;

	/* One is counted when it is over. */
	while (info_now().sleeps == before) {
		assert_true(gw_now_ns() < end_ns);
		worker_apply(the_worker, wait_a_moment, NULL);
	}
}

static void one_port_that_wants_it_keeps_it_awake(void **state)
{
	struct rig *rig = rig_open("a=fake:,wait=poll", "b=fake:,wait=sleep");
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS;

	assert_int_equal(worker_start(the_worker, &err), 0);
	wait_for_rounds(100000);
	/* It looks after them all the same. */
	while (!gw_load_relaxed(&fake_at(rig, 1)->arms)) {
		assert_true(gw_now_ns() < end_ns);
		sched_yield();
	}
	assert_int_equal(info_now().sleeps, 0);
	assert_true(info_now().polls);
	worker_apply(the_worker, down_apply, rig->network.port[0]);
	wait_for_a_sleep();
	assert_false(info_now().polls);
	rig_close(rig);
}

static void dormant_apply(void *arg)
{
	((struct gw_port *)arg)->queue[0]->queue.dormant = true;
}

static void a_port_of_which_nothing_can_come_wants_nothing(void **state)
{
	struct rig *rig = rig_open("a=fake:,wait=poll", "b=fake:,wait=sleep");

	assert_int_equal(worker_start(the_worker, &err), 0);
	wait_for_rounds(1000);
	worker_apply(the_worker, dormant_apply, rig->network.port[0]);
	wait_for_a_sleep();
	assert_int_equal(info_now().window_ns, 0);
	rig_close(rig);
}

static void the_largest_budget_counts(void **state)
{
	struct rig *rig = rig_open("a=fake:,poll_us=3", "b=fake:,wait=sleep");

	assert_int_equal(worker_start(the_worker, &err), 0);
	wait_for_a_sleep();
	assert_int_equal(info_now().window_ns, 3000);
	rig_close(rig);
	rig = rig_open("a=fake:,poll_us=0", "b=fake:,wait=sleep,poll_us=50");
	assert_int_equal(worker_start(the_worker, &err), 0);
	wait_for_a_sleep();
	assert_int_equal(info_now().window_ns, 0);
	rig_close(rig);
}

/* A device that goes on only if it is armed, while another port has work without end. */
static void loans_apply(void *arg)
{
	struct lend *lend = arg;
	struct pair *pair = lend->fake->port->queue[0]->pair_from[0];

	pair->answered = pair->was_answered = true;
	lend_apply(&(struct lend){ fake_of(pair->source), lend->count });
}

static void who_is_owed_something_is_armed_though_it_stays_awake(void **state)
{
	struct rig *rig = rig_open("a=fake:,wait=poll", "b=fake:,bounce=4");
	struct fake *idle = fake_at(rig, 0), *owed = fake_at(rig, 1);
	struct lend lend = { owed, 4 };
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS;

	assert_int_equal(worker_start(the_worker, &err), 0);
	worker_apply(the_worker, loans_apply, &lend);
	assert_true(wait_for_taken(owed, 4));
	/* The other one only every now and then, with all ports. */
	while (gw_load_relaxed(&owed->arms) < gw_load_relaxed(&idle->arms) + 100) {
		assert_true(gw_now_ns() < end_ns);
		sched_yield();
	}
	assert_int_equal(info_now().sleeps, 0);
	rig_close(rig);
}

/* It lends after a while that is no part of any frame's way. */
static void lend_late_apply(void *arg)
{
	struct lend *lend = arg;
	struct gw_port *egress = lend->fake->port, *source = egress->queue[0]->pair_from[0]->source;
	struct lend of_source = { fake_of(source), lend->count };
	struct gw_answer answer = fake_template.answer;

	answer.ends_in_tx = true;
	pair_set_answer(egress->queue[0]->pair_from[0], &answer, NULL, egress->answer_stamp);
	lend_apply(&of_source);
	wait_a_moment(NULL);
}

/* For most of them: a machine may be busy. */
static void check_short(const struct histogram *histogram, uint64_t count)
{
	struct gw_latency latency;

	histogram_read(histogram, &latency);
	assert_int_equal(latency.count, count);
	assert_true(gw_latency_quantile_ns(&latency, 50, 100) < MOMENT_NS / 2);
}

static void frames_are_timed_from_when_they_were_found(void **state)
{
	static const char *const waits[] = { "a=fake:,wait=poll", "a=fake:,wait=sleep" };

	for (unsigned int w = 0; w < 2; w++) {
		struct rig *rig = rig_open(waits[w], "b=sink:");
		struct lend lend = { fake_at(rig, 1), 10 };

		assert_int_equal(worker_start(the_worker, &err), 0);
		for (unsigned int i = 1; i <= 20; i++) {
			worker_apply(the_worker, lend_late_apply, &lend);
			assert_true(wait_for_taken(fake_at(rig, 1), (uint64_t)i * lend.count));
		}
		worker_stop(the_worker);
		check_short(&rig->network.port[0]->queue[0]->forward, 200);
		check_short(&rig->network.port[0]->queue[0]->back, 200);
		rig_close(rig);
	}
}

static void its_time_is_accounted_for(void **state)
{
	struct rig *rig = rig_open("a=fake:", "b=sink:,bounce=4");
	struct lend lend = { fake_at(rig, 0), 200 };
	uint64_t begin_ns = gw_now_ns(), all_ns;
	struct gw_worker_info info;

	assert_int_equal(worker_start(the_worker, &err), 0);
	worker_apply(the_worker, lend_apply, &lend);
	assert_true(wait_for_taken(fake_at(rig, 1), 200));
	wait_for_a_sleep();
	worker_stop(the_worker);
	info = info_now();
	all_ns = info.busy_ns + info.polling_ns + info.asleep_ns;
	assert_true(all_ns <= gw_now_ns() - begin_ns);
	assert_true(info.busy_ns && info.polling_ns && info.asleep_ns);
	assert_true(info.rounds > info.rounds_worked && info.rounds_worked);
	assert_true(info.round.count && info.round.count <= info.rounds_worked);
	rig_close(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_port_that_wants_it_keeps_it_awake),
		cmocka_unit_test(a_port_of_which_nothing_can_come_wants_nothing),
		cmocka_unit_test(the_largest_budget_counts),
		cmocka_unit_test(who_is_owed_something_is_armed_though_it_stays_awake),
		cmocka_unit_test(frames_are_timed_from_when_they_were_found),
		cmocka_unit_test(its_time_is_accounted_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
