/* SPDX-License-Identifier: BSD-2-Clause */
/* What was offered and not taken: what waits, what is dropped and why, what is taken back. */
#include "desk_rig.h"

#define BATCHES 2u

static const char *const two[] = { "a=fake:", "d=fake:,loans=4,bounce=4", NULL };
static const char *const three[] = { "a=fake:", "d=fake:,loans=4,bounce=4", "e=sink:", NULL };
static const char *const several[] = { "a=fake:", "d=fake:", "e=sink:", NULL };

static void paused(struct rig *rig, bool on)
{
	rig->port[1]->paused = on;
}

/* ---- what tx does not take ---- */

static void what_tx_refuses_waits_with_two_ports_and_is_dropped_with_three(void **state)
{
	struct rig rig;

	rig_open(&rig, two);
	answer(&rig, 1, yes());
	device(&rig, 1)->budget = 1;
	for (unsigned int i = 0; i < 3; i++)
		offer(&rig, 1, LEN);
	assert_int_equal(desk_flush(rig.port[1]->queue[0]), 1);
	assert_int_equal(rig.port[1]->queue[0]->offer.count, 2);
	device(&rig, 1)->budget = 8;
	assert_int_equal(desk_flush(rig.port[1]->queue[0]), 2);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);

	rig_open(&rig, three);
	answer(&rig, 1, yes());
	device(&rig, 1)->budget = 1;
	for (unsigned int i = 0; i < 3; i++)
		offer(&rig, 1, LEN);
	assert_int_equal(desk_flush(rig.port[1]->queue[0]), 3);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_FULL], 2);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* Neither tx nor a copy: others of the network would pay for it. */
static void a_full_device_is_left_alone_until_it_gives_something_back(void **state)
{
	struct port_queue *egress;
	struct rig rig;

	rig_open(&rig, three);
	egress = rig.port[1]->queue[0];
	answer(&rig, 1, yes());
	device(&rig, 1)->budget = 1;
	offer(&rig, 1, LEN);
	offer(&rig, 1, LEN);
	desk_flush(egress);
	device(&rig, 1)->budget = 8;
	egress->stalled = true; /* it would be copied for */
	offer(&rig, 1, LEN);
	desk_flush(egress);
	assert_int_equal(device(&rig, 1)->tx_calls, 1);
	assert_int_equal(pair_to(&rig, 1)->bounce_peak, 0);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_FULL], 2);
	complete_all(&rig, 1);
	offer(&rig, 1, LEN);
	desk_flush(egress);
	assert_int_equal(device(&rig, 1)->tx_calls, 2);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* One that holds nothing has nothing to give back: it is asked each time. */
static void a_device_that_refuses_all_is_asked_again(void **state)
{
	struct rig rig;

	rig_open(&rig, three);
	answer(&rig, 1, yes());
	device(&rig, 1)->budget = 0;
	offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	device(&rig, 1)->budget = 8;
	offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(pair_to(&rig, 1)->lent_frames, 1);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* The fake checks that its slots come back last first. */
static void slots_of_a_drivers_own_ring_go_back_in_order(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=ring:", "e=sink:", NULL };
	struct rig rig;

	rig_open(&rig, specs);
	answer(&rig, 1, (struct gw_answer){ .reason = GW_COPY_DEVICE_CANNOT });
	device(&rig, 1)->budget = 1;
	for (unsigned int i = 0; i < 5; i++)
		offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(device(&rig, 1)->slots_used, 1);
	assert_int_equal(pair_to(&rig, 1)->copied_frames, 1);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/*
 * ---- a port that pauses ----
 * Its device is given other memory, in a network of several ports: copies wait for it, a
 * batch of them, and what comes on top has a reason of its own.
 */

static void copies_wait_for_a_paused_port_in_their_order(void **state)
{
	struct rig rig;

	rig_open(&rig, several);
	answer(&rig, 1, yes());
	paused(&rig, true);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(offer(&rig, 1, LEN + i), DESK_TAKEN);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(device(&rig, 1)->tx_calls, 0);
	assert_int_equal(rig.port[1]->queue[0]->offer.count, 5);
	/* The guest has its buffers back meanwhile. */
	assert_int_equal(pair_to(&rig, 1)->loans_out, 0);
	paused(&rig, false);
	offer(&rig, 1, LEN + 5);
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(rig.port[1]->queue[0]->offer.frame[i]->len, LEN + i);
	assert_int_equal(desk_flush(rig.port[1]->queue[0]), 6);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_DEVICE_DOWN], 5);
	assert_int_equal(pair_to(&rig, 1)->lent_frames, 1);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

static void beyond_a_batch_is_dropped_as_paused(void **state)
{
	struct rig rig;

	rig_open(&rig, several);
	answer(&rig, 1, yes());
	paused(&rig, true);
	for (unsigned int i = 0; i < BATCHES * GW_BATCH; i++) {
		assert_int_equal(offer(&rig, 1, LEN), DESK_TAKEN);
		desk_flush(rig.port[1]->queue[0]);
	}
	assert_int_equal(rig.port[1]->queue[0]->offer.count, GW_BATCH);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_PAUSED], GW_BATCH);
	paused(&rig, false);
	assert_int_equal(desk_flush(rig.port[1]->queue[0]), GW_BATCH);
	assert_int_equal(pair_to(&rig, 1)->copied_frames, GW_BATCH);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* Bounce buffers that run out meanwhile do so because of the pause. */
static void bounce_share_bounds_what_waits(void **state)
{
	static const char *const few[] = { "a=fake:", "d=fake:,bounce=4", "e=sink:", NULL };
	struct rig rig;

	rig_open(&rig, few);
	answer(&rig, 1, yes());
	paused(&rig, true);
	for (unsigned int i = 0; i < 6; i++)
		offer(&rig, 1, LEN);
	assert_int_equal(rig.port[1]->queue[0]->offer.count, 4);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_PAUSED], 2);
	paused(&rig, false);
	desk_flush(rig.port[1]->queue[0]);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* The driver says so itself before the port pauses: nothing of the batch is lost. */
static void what_tx_refuses_for_a_pause_waits(void **state)
{
	struct rig rig;

	rig_open(&rig, several);
	answer(&rig, 1, yes());
	device(&rig, 1)->budget = 1;
	device(&rig, 1)->refusal = GW_DROP_EGRESS_PAUSED;
	for (unsigned int i = 0; i < 3; i++)
		offer(&rig, 1, LEN);
	assert_int_equal(desk_flush(rig.port[1]->queue[0]), 1);
	assert_int_equal(rig.port[1]->queue[0]->offer.count, 2);
	for (unsigned int i = 2; i < GW_BATCH + 3; i++)
		offer(&rig, 1, LEN);
	assert_int_equal(rig.port[1]->queue[0]->offer.count, GW_BATCH);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_PAUSED], 3);
	device(&rig, 1)->budget = FAKE_FRAMES;
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(rig.port[1]->queue[0]->offer.count, 0);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* Its slots are the device's, of which nobody can say what becomes of them. */
static void nothing_waits_in_a_drivers_own_memory(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=ring:", "e=sink:", NULL };
	struct rig rig;

	rig_open(&rig, specs);
	answer(&rig, 1, (struct gw_answer){ .reason = GW_COPY_DEVICE_CANNOT });
	paused(&rig, true);
	offer(&rig, 1, LEN);
	assert_int_equal(rig.port[1]->queue[0]->offer.count, 0);
	assert_int_equal(device(&rig, 1)->slots_used, 0);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_PAUSED], 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* A pause ends; a device that says so for ever is stalled like any. */
static void batch_of_a_stalled_port_waits_no_more(void **state)
{
	struct rig rig;

	rig_open(&rig, several);
	answer(&rig, 1, yes());
	device(&rig, 1)->budget = 0;
	device(&rig, 1)->refusal = GW_DROP_EGRESS_PAUSED;
	offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	for (unsigned int i = 1; i < 4; i++)
		desk_check_stall(rig.port[1]->queue[0], i * (DESK_STALL_NS + 1));
	assert_true(rig.port[1]->queue[0]->stalled);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(rig.port[1]->queue[0]->offer.count, 0);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_PAUSED], 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* ---- what is given up ---- */

static void abandoning_gives_everything_home(void **state)
{
	struct gw_frame *frame;
	struct rig rig;

	rig_open(&rig, two);
	answer(&rig, 1, yes());
	for (unsigned int i = 0; i < 6; i++)
		offer(&rig, 1, LEN);
	desk_abandon(rig.port[1]->queue[0], GW_DROP_EGRESS_DOWN);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_DOWN], 6);
	frame = frame_of(&rig, LEN, 1);
	rig.port[0]->queue[0]->waiting[0] = frame;
	rig.port[0]->queue[0]->waiting_count = 1;
	desk_abandon(rig.port[0]->queue[0], GW_DROP_EGRESS_DOWN);
	assert_int_equal(rig.port[0]->queue[0]->rx_drops[GW_DROP_EGRESS_DOWN], 1);
	assert_int_equal(rig.port[0]->queue[0]->waiting_count, 0);
	check_books(&rig, 1);
	rig_close(&rig);
}

static void taking_back_leaves_copies_and_what_the_device_holds(void **state)
{
	static const char *const some[] = { "a=fake:", "d=fake:,copybreak=256", NULL };
	struct rig rig;

	rig_open(&rig, some);
	answer(&rig, 1, yes());
	device(&rig, 1)->budget = 1;
	for (unsigned int i = 0; i < 3; i++)
		offer(&rig, 1, LEN);
	offer(&rig, 1, 100); /* a copy */
	offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	rig.port[0]->queue[0]->waiting[0] = frame_of(&rig, LEN, 1);
	rig.port[0]->queue[0]->waiting_count = 1;
	rig.offered++;
	desk_take_back(rig.port[0]->queue[0], rig.port[1]->queue[0]);
	assert_int_equal(rig.port[1]->queue[0]->offer.count, 1);
	assert_int_equal(rig.port[1]->queue[0]->offer.frame[0]->bounce, 1);
	assert_int_equal(pair_to(&rig, 1)->loans_out, 1);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_FULL], 4);
	device(&rig, 1)->budget = 8;
	desk_flush(rig.port[1]->queue[0]);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_tx_refuses_waits_with_two_ports_and_is_dropped_with_three),
		cmocka_unit_test(a_full_device_is_left_alone_until_it_gives_something_back),
		cmocka_unit_test(a_device_that_refuses_all_is_asked_again),
		cmocka_unit_test(slots_of_a_drivers_own_ring_go_back_in_order),
		cmocka_unit_test(copies_wait_for_a_paused_port_in_their_order),
		cmocka_unit_test(beyond_a_batch_is_dropped_as_paused),
		cmocka_unit_test(bounce_share_bounds_what_waits),
		cmocka_unit_test(what_tx_refuses_for_a_pause_waits),
		cmocka_unit_test(nothing_waits_in_a_drivers_own_memory),
		cmocka_unit_test(batch_of_a_stalled_port_waits_no_more),
		cmocka_unit_test(abandoning_gives_everything_home),
		cmocka_unit_test(taking_back_leaves_copies_and_what_the_device_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
