/* SPDX-License-Identifier: BSD-2-Clause */
/* How frames come home from the desk; and devices that owe some, for too long. */
#include "desk_rig.h"

static const char *const two[] = { "a=fake:", "d=fake:,loans=4,bounce=4", NULL };
static const char *const three[] = { "a=fake:", "d=fake:,loans=4,bounce=4", "e=sink:", NULL };

static void a_frame_with_two_holders_comes_home_once(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=fake:", "e=fake:", NULL };
	struct gw_frame *frame;
	struct rig rig;

	rig_open(&rig, specs);
	answer(&rig, 1, yes());
	answer(&rig, 2, yes());
	frame = frame_of(&rig, LEN, 1);
	desk_offer(rig.port[1]->queue[0], frame, false);
	offer_frame(&rig, 2, frame, false);
	desk_flush(rig.port[1]->queue[0]);
	desk_flush(rig.port[2]->queue[0]);
	complete_all(&rig, 1);
	desk_release(rig.port[0]->queue[0]);
	assert_int_equal(rig.source->came_home[0], 0);
	complete_all(&rig, 2);
	check_books(&rig, 1);
	check_books(&rig, 2);
	rig_close(&rig);
}

/* More frames than the list of those that are home has places. */
static void more_than_a_batch_comes_home(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=fake:,loans=400", NULL };
	struct rig rig;

	rig_open(&rig, specs);
	answer(&rig, 1, yes());
	for (unsigned int i = 0; i < 300; i++)
		assert_int_equal(offer(&rig, 1, LEN), DESK_TAKEN);
	desk_flush(rig.port[1]->queue[0]);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* Two other ports hand over a batch each in one visit: else it would pile up. */
static void what_several_handed_over_is_taken_back_at_once(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=fake:,loans=400", "e=sink:", NULL };
	struct rig rig;

	rig_open(&rig, specs);
	answer(&rig, 1, yes());
	for (unsigned int i = 0; i < 2 * GW_BATCH; i++)
		offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	device(&rig, 1)->complete = 2 * GW_BATCH;
	assert_int_equal(desk_reap(rig.port[1]->queue[0]), 2 * GW_BATCH);
	check_books(&rig, 1);
	rig_close(&rig);
}

static void undelivered_and_failed_frames_are_counted(void **state)
{
	struct pair *pair;
	struct rig rig;

	rig_open(&rig, two);
	pair = pair_to(&rig, 1);
	answer(&rig, 1, yes());
	device(&rig, 1)->drop = 1;
	offer(&rig, 1, LEN);
	offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(pair->reasons[GW_DROP_RX_TOO_SMALL], 1);
	assert_int_equal(pair->lent_frames, 1);
	device(&rig, 1)->status = GW_DONE_FAILED;
	complete_all(&rig, 1);
	assert_int_equal(pair->reasons[GW_DROP_DEVICE_ERROR], 2);
	offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	device(&rig, 1)->status = GW_DONE_KERNEL_COPIED;
	complete_all(&rig, 1);
	assert_int_equal(pair->kernel_copied_bytes, LEN);
	check_books(&rig, 1);
	rig_close(&rig);
}

static void drained_is_told_once_after_the_last_loan(void **state)
{
	struct rig rig;

	rig_open(&rig, two);
	answer(&rig, 1, yes());
	offer(&rig, 1, LEN);
	offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	pair_to(&rig, 1)->watch_zero = true;
	device(&rig, 1)->complete = 1;
	desk_reap(rig.port[1]->queue[0]);
	assert_int_equal(drained, 0);
	complete_all(&rig, 1);
	assert_int_equal(drained, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* Copies go on through a device in quarantine; its trust depends on the loans alone. */
static void quarantine_ends_with_the_last_loan_whatever_is_copied(void **state)
{
	uint64_t stamp;
	struct rig rig;

	rig_open(&rig, two);
	answer(&rig, 1, yes());
	offer(&rig, 1, LEN);
	offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	rig.port[1]->queue[0]->untrusted = true;
	rig.port[1]->queue[0]->quarantined = 2;
	offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_QUARANTINE], 1);
	device(&rig, 1)->complete = 1;
	desk_reap(rig.port[1]->queue[0]);
	assert_int_equal(rig.port[1]->queue[0]->quarantined, 1);
	assert_true(rig.port[1]->queue[0]->untrusted);
	stamp = rig.port[1]->answer_stamp;
	device(&rig, 1)->complete = 1;
	desk_reap(rig.port[1]->queue[0]);
	assert_int_equal(rig.port[1]->queue[0]->held, 1);
	assert_int_equal(rig.port[1]->queue[0]->quarantined, 0);
	assert_false(rig.port[1]->queue[0]->untrusted);
	assert_true(rig.port[1]->answer_stamp == stamp + PORT_DOUBT);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* ---- devices that owe ---- */

static void a_source_waits_until_the_device_is_stalled(void **state)
{
	struct gw_frame *frame;
	struct rig rig;

	rig_open(&rig, two);
	answer(&rig, 1, yes());
	for (unsigned int i = 0; i < 8; i++)
		offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	frame = frame_of(&rig, LEN, 1);
	desk_check_stall(rig.port[1]->queue[0], 1);
	desk_check_stall(rig.port[1]->queue[0], 2);
	assert_int_equal(offer_frame(&rig, 1, frame, true), DESK_WAIT);
	desk_check_stall(rig.port[1]->queue[0], 1 + DESK_STALL_NS);
	assert_int_equal(offer_frame(&rig, 1, frame, true), DESK_WAIT);
	desk_check_stall(rig.port[1]->queue[0], 2 + DESK_STALL_NS);
	assert_int_equal(offer_frame(&rig, 1, frame, true), DESK_TAKEN);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_FULL], 1);
	/* One completion is progress. */
	device(&rig, 1)->complete = 1;
	desk_reap(rig.port[1]->queue[0]);
	desk_check_stall(rig.port[1]->queue[0], 3 + DESK_STALL_NS);
	assert_false(rig.port[1]->queue[0]->stalled);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

static void a_stalled_device_gets_copies_and_paused_is_no_stall(void **state)
{
	struct rig rig;

	rig_open(&rig, three);
	answer(&rig, 1, yes());
	offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	desk_check_stall(rig.port[1]->queue[0], 1);
	rig.port[1]->paused = 1;
	desk_check_stall(rig.port[1]->queue[0], 2);
	desk_check_stall(rig.port[1]->queue[0], 9 + DESK_STALL_NS);
	assert_false(rig.port[1]->queue[0]->stalled);
	rig.port[1]->paused = 0;
	desk_check_stall(rig.port[1]->queue[0], 10 + DESK_STALL_NS);
	desk_check_stall(rig.port[1]->queue[0], 11 + 2 * DESK_STALL_NS);
	assert_true(rig.port[1]->queue[0]->stalled);
	offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_DEVICE_STALLED], 1);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_with_two_holders_comes_home_once),
		cmocka_unit_test(more_than_a_batch_comes_home),
		cmocka_unit_test(what_several_handed_over_is_taken_back_at_once),
		cmocka_unit_test(undelivered_and_failed_frames_are_counted),
		cmocka_unit_test(drained_is_told_once_after_the_last_loan),
		cmocka_unit_test(quarantine_ends_with_the_last_loan_whatever_is_copied),
		cmocka_unit_test(a_source_waits_until_the_device_is_stalled),
		cmocka_unit_test(a_stalled_device_gets_copies_and_paused_is_no_stall),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
