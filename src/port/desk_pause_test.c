/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port that pauses while its device is given other memory, in a network of several
 * ports: copies wait for it, a batch of them, and what comes on top has a reason of its own.
 */
#include "desk_rig.h"

#define BATCHES 2u

static const char *const several[] = { "a=fake:", "d=fake:", "e=sink:", NULL };

static void paused(struct rig *rig, bool on)
{
	rig->port[1]->paused = on;
}

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_wait_for_a_paused_port_in_their_order),
		cmocka_unit_test(beyond_a_batch_is_dropped_as_paused),
		cmocka_unit_test(bounce_share_bounds_what_waits),
		cmocka_unit_test(what_tx_refuses_for_a_pause_waits),
		cmocka_unit_test(nothing_waits_in_a_drivers_own_memory),
		cmocka_unit_test(batch_of_a_stalled_port_waits_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
