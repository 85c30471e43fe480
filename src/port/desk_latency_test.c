/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the desk measures of the way of a frame. Time passes when the test says so
 * (gw_now_ns is wrapped), and is looked at when a worker would.
 */
#include "desk_rig.h"

#define US 1000ull

static uint64_t time_ns;

uint64_t __wrap_gw_now_ns(void);
uint64_t __wrap_gw_now_ns(void)
{
	return time_ns;
}

static struct port_clock the_clock;

static void open_at(struct rig *rig, const char *const *specs)
{
	rig_open(rig, specs);
	time_ns = 1000000 * US;
	for (unsigned int i = 0; i < rig->count; i++)
		rig->port[i]->queue[0]->clock = &the_clock;
	port_tick(rig->port[0]->queue[0]);
	for (unsigned int i = 1; i < rig->count; i++)
		answer(rig, i, yes());
}

static void pass(uint64_t us)
{
	time_ns += us * US;
}

/* As a visit: what is offered from here on was found now. */
static void find(struct rig *rig)
{
	the_clock.done_ns = 0;
	rig->port[0]->queue[0]->found_ns = port_tick(rig->port[0]->queue[0]);
}

/* The same without anything found. */
static void visit_again(struct rig *rig)
{
	the_clock.done_ns = 0;
	port_tick(rig->port[1]->queue[0]);
}

static struct gw_latency forward_of(const struct rig *rig)
{
	struct gw_latency latency;

	histogram_read(&rig->port[0]->queue[0]->forward, &latency);
	return latency;
}

static struct gw_latency back_of(const struct rig *rig)
{
	struct gw_latency latency;

	histogram_read(&rig->port[0]->queue[0]->back, &latency);
	return latency;
}

static const char *const two[] = { "a=fake:", "d=fake:,bounce=4,copybreak=256", NULL };

static void from_being_found_until_the_device_took_it(void **state)
{
	struct rig rig;

	open_at(&rig, two);
	find(&rig);
	for (unsigned int i = 0; i < 5; i++)
		offer(&rig, 1, LEN);
	pass(3);
	assert_int_equal(forward_of(&rig).count, 0);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(forward_of(&rig).count, 5);
	assert_int_equal(forward_of(&rig).sum_ns, 5 * 3 * US);
	assert_int_equal(back_of(&rig).count, 0);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

static void a_copy_has_its_frames_time(void **state)
{
	struct rig rig;

	open_at(&rig, two);
	find(&rig);
	offer(&rig, 1, 100);
	offer(&rig, 1, LEN);
	pass(2);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(pair_to(&rig, 1)->copied_frames, 1);
	assert_int_equal(forward_of(&rig).count, 2);
	assert_int_equal(forward_of(&rig).sum_ns, 2 * 2 * US);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* Those that found no room are older than those behind them. */
static void frames_that_waited_have_waited(void **state)
{
	struct rig rig;

	open_at(&rig, two);
	device(&rig, 1)->budget = 1;
	find(&rig);
	offer(&rig, 1, LEN);
	offer(&rig, 1, LEN);
	pass(1);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(forward_of(&rig).count, 1);
	pass(100);
	find(&rig);
	/* It has room again, and says so. */
	device(&rig, 1)->complete = 1;
	desk_reap(rig.port[1]->queue[0]);
	offer(&rig, 1, LEN);
	device(&rig, 1)->budget = 10;
	pass(1);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(forward_of(&rig).count, 3);
	assert_int_equal(forward_of(&rig).sum_ns, (1 + 102 + 1) * US);
	assert_int_equal(forward_of(&rig).max_ns, 102 * US);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

static void what_is_dropped_took_no_time(void **state)
{
	static const char *const three[] = { "a=fake:", "d=fake:", "e=fake:", NULL };
	struct rig rig;

	open_at(&rig, three);
	device(&rig, 1)->budget = 1;
	find(&rig);
	offer(&rig, 1, LEN);
	offer(&rig, 1, LEN);
	pass(1);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_FULL], 1);
	assert_int_equal(forward_of(&rig).count, 1);
	desk_release(rig.port[0]->queue[0]);
	assert_int_equal(back_of(&rig).count, 0);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

static void from_the_devices_end_until_it_is_given_back(void **state)
{
	struct rig rig;

	open_at(&rig, two);
	find(&rig);
	for (unsigned int i = 0; i < 3; i++)
		offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	pass(500);
	visit_again(&rig);
	complete_all(&rig, 1);
	assert_int_equal(back_of(&rig).count, 0);
	pass(4);
	desk_release(rig.port[0]->queue[0]);
	assert_int_equal(back_of(&rig).count, 3);
	assert_int_equal(back_of(&rig).sum_ns, 3 * 4 * US);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* A copy's frame is home as soon as it is made: no device gives it back. */
static void what_was_copied_does_not_come_back(void **state)
{
	struct rig rig;

	open_at(&rig, two);
	find(&rig);
	offer(&rig, 1, 100);
	desk_flush(rig.port[1]->queue[0]);
	pass(5);
	desk_release(rig.port[0]->queue[0]);
	complete_all(&rig, 1);
	desk_release(rig.port[0]->queue[0]);
	assert_int_equal(back_of(&rig).count, 0);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* Of one visit nothing is left for the next. */
static void what_comes_back_after_copies_is_counted_whole(void **state)
{
	struct rig rig;

	open_at(&rig, two);
	for (unsigned int round = 1; round <= 3; round++) {
		find(&rig);
		offer(&rig, 1, 100);
		offer(&rig, 1, 100);
		offer(&rig, 1, LEN);
		desk_flush(rig.port[1]->queue[0]);
		desk_release(rig.port[0]->queue[0]);
		visit_again(&rig);
		complete_all(&rig, 1);
		desk_release(rig.port[0]->queue[0]);
		assert_int_equal(back_of(&rig).count, round);
	}
	check_books(&rig, 1);
	rig_close(&rig);
}

/* Frames that were over at different times of a visit: none has a time that is too short. */
static void the_first_that_was_over_counts_for_all(void **state)
{
	static const char *const three[] = { "a=fake:", "d=fake:", "e=sink:", NULL };
	struct rig rig;

	open_at(&rig, three);
	find(&rig);
	offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	visit_again(&rig);
	complete_all(&rig, 1);
	offer(&rig, 2, LEN);
	pass(5);
	desk_flush(rig.port[2]->queue[0]);
	pass(1);
	desk_release(rig.port[0]->queue[0]);
	assert_int_equal(back_of(&rig).count, 2);
	assert_int_equal(back_of(&rig).sum_ns, 2 * 6 * US);
	rig_close(&rig);
}

/* Loans that end in tx end when that returns. */
static void a_sink_is_done_when_it_took_them(void **state)
{
	static const char *const sink[] = { "a=fake:", "d=sink:", NULL };
	struct rig rig;

	open_at(&rig, sink);
	find(&rig);
	offer(&rig, 1, LEN);
	pass(7);
	desk_flush(rig.port[1]->queue[0]);
	pass(2);
	desk_release(rig.port[0]->queue[0]);
	assert_int_equal(forward_of(&rig).sum_ns, 7 * US);
	assert_int_equal(back_of(&rig).sum_ns, 2 * US);
	assert_int_equal(back_of(&rig).count, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* Lent to two devices: the last one counts, once. */
static void a_frame_that_several_have_comes_back_once(void **state)
{
	static const char *const three[] = { "a=fake:", "d=fake:", "e=fake:", NULL };
	struct gw_frame *frame;
	struct rig rig;

	open_at(&rig, three);
	find(&rig);
	frame = frame_of(&rig, LEN, 1);
	desk_offer(rig.port[1]->queue[0], frame, false);
	desk_offer(rig.port[2]->queue[0], frame, false);
	desk_put(frame);
	desk_flush(rig.port[1]->queue[0]);
	desk_flush(rig.port[2]->queue[0]);
	assert_int_equal(forward_of(&rig).count, 2);
	pass(10);
	visit_again(&rig);
	complete_all(&rig, 1);
	desk_release(rig.port[0]->queue[0]);
	assert_int_equal(back_of(&rig).count, 0);
	pass(10);
	visit_again(&rig);
	complete_all(&rig, 2);
	pass(1);
	desk_release(rig.port[0]->queue[0]);
	assert_int_equal(back_of(&rig).count, 1);
	assert_int_equal(back_of(&rig).sum_ns, 1 * US);
	rig_close(&rig);
}

/* A port that is stopped is reaped between two visits. */
static void what_was_over_before_the_visit_took_no_age(void **state)
{
	struct rig rig;

	open_at(&rig, two);
	find(&rig);
	offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	complete_all(&rig, 1);
	visit_again(&rig);
	pass(1);
	desk_release(rig.port[0]->queue[0]);
	assert_int_equal(back_of(&rig).count, 1);
	assert_int_equal(back_of(&rig).max_ns, 0);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* It is dropped for one, and comes back from the other. */
static void what_one_device_refused_another_gives_back(void **state)
{
	static const char *const three[] = { "a=fake:", "d=fake:", "e=fake:", NULL };
	struct gw_frame *frame;
	struct rig rig;

	open_at(&rig, three);
	device(&rig, 1)->budget = 0;
	find(&rig);
	frame = frame_of(&rig, LEN, 1);
	desk_offer(rig.port[1]->queue[0], frame, false);
	desk_offer(rig.port[2]->queue[0], frame, false);
	desk_put(frame);
	desk_flush(rig.port[1]->queue[0]);
	desk_flush(rig.port[2]->queue[0]);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_FULL], 1);
	visit_again(&rig);
	complete_all(&rig, 2);
	desk_release(rig.port[0]->queue[0]);
	assert_int_equal(back_of(&rig).count, 1);
	rig_close(&rig);
}

/* More than a batch comes home in one visit: each is counted with its own batch. */
static void many_come_back_in_batches(void **state)
{
	struct rig rig;

	open_at(&rig, two);
	find(&rig);
	for (unsigned int i = 0; i < 100; i++)
		offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	complete_all(&rig, 1);
	pass(1);
	desk_release(rig.port[0]->queue[0]);
	assert_int_equal(back_of(&rig).count, 100);
	assert_int_equal(back_of(&rig).max_ns, 1 * US);
	check_books(&rig, 1);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_being_found_until_the_device_took_it),
		cmocka_unit_test(a_copy_has_its_frames_time),
		cmocka_unit_test(frames_that_waited_have_waited),
		cmocka_unit_test(what_is_dropped_took_no_time),
		cmocka_unit_test(from_the_devices_end_until_it_is_given_back),
		cmocka_unit_test(what_was_copied_does_not_come_back),
		cmocka_unit_test(what_comes_back_after_copies_is_counted_whole),
		cmocka_unit_test(the_first_that_was_over_counts_for_all),
		cmocka_unit_test(a_sink_is_done_when_it_took_them),
		cmocka_unit_test(a_frame_that_several_have_comes_back_once),
		cmocka_unit_test(what_was_over_before_the_visit_took_no_age),
		cmocka_unit_test(what_one_device_refused_another_gives_back),
		cmocka_unit_test(many_come_back_in_batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
