/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Super-frames that find no room in the middle: they wait and go on where they were,
 * or the rest is dropped; and what happens to them if the network changes meanwhile.
 */
#include "partial_rig.h"

/* Four lent, four copied, and two that wait; the device has `budget` of the eight. */
static struct gw_frame *begin_ten(struct rig *rig, unsigned int budget)
{
	struct gw_frame *frame;

	partial_open(rig, two_of_four);
	device(rig, 1)->budget = budget;
	frame = super_of(rig, &ten, 0);
	assert_int_equal(offer_super(rig, 1, frame, true), DESK_WAIT);
	desk_flush(rig->port[1]->queue[0]);
	return frame;
}

/* ---- no room in the middle ---- */

/* The place is kept: nothing is lost and nothing is repeated, wherever it stops. */
static void a_super_frame_waits_and_goes_on(void **state)
{
	const struct mock_super_shape many = { .payload = 60001, .gso_size = 600, .seed = 9 };
	struct gw_frame *frame;
	unsigned int waits = 0;
	uint64_t random = 3;
	struct rig rig;

	partial_open(&rig, two_of_four);
	frame = super_of(&rig, &many, 5000);
	device(&rig, 1)->budget = 0;
	while (offer_super(&rig, 1, frame, true) == DESK_WAIT) {
		assert_int_equal(frame->cut, CUT_BEGUN);
		assert_true(frame->holders >= 1);
		device(&rig, 1)->budget = (unsigned int)(mock_random(&random) % 5);
		desk_flush(rig.port[1]->queue[0]);
		device(&rig, 1)->complete = (unsigned int)(mock_random(&random) % 4);
		desk_reap(rig.port[1]->queue[0]);
		waits++;
	}
	assert_true(waits > 10);
	assert_int_equal(frame->cut, CUT_NOT);
	assert_int_equal(pair_to(&rig, 1)->supers_cut, 1);
	/* Others go after it, in order. */
	device(&rig, 1)->budget = 1000;
	desk_flush(rig.port[1]->queue[0]);
	complete_all(&rig, 1);
	assert_int_equal(got.next[1][0], 101);
	offer_super(&rig, 1, super_of(&rig, &one, 0), true);
	partial_end(&rig);
}

/* Where others must not wait for it, what finds no room is dropped: frames and bytes. */
static void with_three_ports_the_rest_is_dropped(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=fake:,loans=4,bounce=4",
					     "e=sink:", NULL };
	struct gw_frame *frame;
	struct rig rig;

	partial_open(&rig, specs);
	frame = super_of(&rig, &ten, 0);
	assert_int_equal(offer_super(&rig, 1, frame, false), DESK_TAKEN);
	assert_int_equal(frame->cut, CUT_NOT);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(got.lent, 4);
	assert_int_equal(got.copied, 4);
	check_dropped(&rig, GW_DROP_EGRESS_FULL, 2, 2 * TEN_LEN);
	partial_end(&rig);
}

/* A stalled device makes nobody wait. */
static void a_stalled_device_drops_the_rest(void **state)
{
	struct rig rig;
	struct gw_frame *frame = begin_ten(&rig, UINT32_MAX);

	rig.port[1]->queue[0]->stalled = true;
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
	check_dropped(&rig, GW_DROP_EGRESS_FULL, 2, 2 * TEN_LEN);
	partial_end(&rig);
}

/* What tx refuses, and nobody keeps: headers and parents come back. */
static void refused_pieces_are_dropped_with_three_ports(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=fake:", "e=sink:", NULL };
	struct rig rig;

	partial_open(&rig, specs);
	got.lossy = true;
	device(&rig, 1)->budget = 3;
	send_super(&rig, &ten, 0);
	assert_int_equal(got.lent, 3);
	check_dropped(&rig, GW_DROP_EGRESS_FULL, 7, 7 * TEN_LEN);
	assert_int_equal(pair_to(&rig, 1)->loans_out, 3);
	partial_end(&rig);
}

/* A piece that the whole bounce share could not hold would wait for nothing. */
static void a_piece_that_no_share_can_hold_does_not_wait(void **state)
{
	static const char *const never[] = { "a=fake:", "d=fake:,loan=never,bounce=2", NULL };
	const struct mock_super_shape jumbo = { .payload = 40000, .gso_size = 8192 };
	struct rig rig;

	partial_open(&rig, never);
	assert_int_equal(offer_super(&rig, 1, super_of(&rig, &jumbo, 0), true), DESK_TAKEN);
	check_dropped(&rig, GW_DROP_TOO_LONG, 5, 40000 + 5 * 54);
	/* Nothing is owed: the device is not to blame. */
	assert_false(rig.port[1]->queue[0]->refused);
	partial_end(&rig);
}

/* But one that is lent needs no bounce buffer: it waits for room in the batch. */
static void a_long_piece_that_is_lent_waits(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=fake:,bounce=2", NULL };
	const struct mock_super_shape jumbo = { .payload = 60000, .gso_size = 8192 };
	struct gw_frame *frame[9];
	struct rig rig;

	partial_open(&rig, specs);
	device(&rig, 1)->budget = 0;
	for (unsigned int i = 0; i < 9; i++) {
		frame[i] = super_of(&rig, &jumbo, 0);
		assert_int_equal(offer_super(&rig, 1, frame[i], true),
				 i < 8 ? DESK_TAKEN : DESK_WAIT);
	}
	device(&rig, 1)->budget = 200;
	assert_int_equal(offer_super(&rig, 1, frame[8], true), DESK_TAKEN);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_TOO_LONG], 0);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(got.lent, 72);
	partial_end(&rig);
}

/* ---- the device changes in the middle ---- */

/* A visit later the device takes more, or less: what was begun is finished as it was begun. */
static void what_was_begun_is_cut_to_the_end(void **state)
{
	struct rig rig;
	struct gw_frame *frame = begin_ten(&rig, UINT32_MAX);

	complete_all(&rig, 1);
	take(&rig, 1, (struct gw_offloads){ .takes = GW_OFFLOAD_ALL });
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(got.whole, 0);
	assert_int_equal(got.next[1][0], 10);
	/* From here on it is whole. */
	offer_super(&rig, 1, super_of(&rig, &ten, 0), true);
	rig.offered -= 9;
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(got.whole, 1);
	partial_end(&rig);
}

static void a_port_that_shrinks_in_the_middle(void **state)
{
	struct rig rig;
	struct gw_frame *frame = begin_ten(&rig, UINT32_MAX);

	complete_all(&rig, 1);
	gw_port_set_max_len(rig.port[1], TEN_LEN - 1);
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
	check_dropped(&rig, GW_DROP_TOO_LONG, 2, 2 * TEN_LEN);
	partial_end(&rig);
}

static void a_port_that_pauses_or_goes_down_in_the_middle(void **state)
{
	struct rig rig;
	struct gw_frame *frame = begin_ten(&rig, UINT32_MAX);

	complete_all(&rig, 1);
	rig.port[1]->paused = 1;
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_WAIT);
	assert_int_equal(frame->cut, CUT_BEGUN);
	rig.port[1]->paused = 0;
	rig.port[1]->up = false;
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
	check_dropped(&rig, GW_DROP_EGRESS_DOWN, 2, 2 * TEN_LEN);
	partial_end(&rig);
}

/* ---- the rest is taken back, or abandoned ---- */

/* Some pieces with the device, some in the batch, the rest not made: as a worker keeps them. */
static struct gw_frame *stop_in_the_middle(struct rig *rig)
{
	struct gw_frame *frame = begin_ten(rig, 2);

	rig->port[0]->queue[0]->waiting[0] = frame;
	rig->port[0]->queue[0]->waiting_count = 1;
	return frame;
}

static void taking_back_in_the_middle(void **state)
{
	struct rig rig;
	struct gw_frame *frame = stop_in_the_middle(&rig);
	struct pair *pair = pair_to(&rig, 1);

	desk_take_back(rig.port[0]->queue[0], rig.port[1]->queue[0]);
	assert_int_equal(rig.port[0]->queue[0]->waiting_count, 0);
	/* What the pair counts as dropped has come in at the source. */
	assert_int_equal(rig.port[0]->queue[0]->rx_frames, 1);
	assert_int_equal(rig.port[0]->queue[0]->rx_bytes, frame->len);
	/* Two were lent and not taken; two were never made. Four copies stay. */
	assert_int_equal(rig.port[1]->queue[0]->offer.count, 4);
	check_dropped(&rig, GW_DROP_EGRESS_FULL, 4, 4 * TEN_LEN);
	assert_int_equal(pair->loans_out, 2);
	assert_int_equal(frame->holders, 2);
	rig.offered = 10;
	got.lossy = true;
	device(&rig, 1)->budget = 100;
	partial_end(&rig);
}

static void abandoning_in_the_middle(void **state)
{
	struct rig rig;
	struct gw_frame *frame = stop_in_the_middle(&rig);
	struct pair *pair = pair_to(&rig, 1);

	desk_abandon(rig.port[1]->queue[0], GW_DROP_EGRESS_DOWN);
	assert_int_equal(pair->reasons[GW_DROP_EGRESS_DOWN], 6);
	assert_int_equal(frame->holders, 3);
	desk_abandon(rig.port[0]->queue[0], GW_DROP_EGRESS_DOWN);
	assert_int_equal(rig.port[0]->queue[0]->rx_drops[GW_DROP_EGRESS_DOWN], 1);
	assert_int_equal(frame->holders, 2);
	rig.offered = 8;
	partial_end(&rig);
}

/* The same struct, with the guest's next frame in it: it begins at its beginning. */
static void a_frame_struct_that_is_used_again(void **state)
{
	const struct mock_super_shape other = { .payload = 3000, .gso_size = 500, .seed = 8 };
	struct gw_frame *frame;
	struct rig rig;

	for (unsigned int i = 0; i < 2; i++) {
		frame = stop_in_the_middle(&rig);
		got.lossy = true;
		if (i)
			desk_abandon(rig.port[0]->queue[0], GW_DROP_EGRESS_DOWN);
		else
			desk_take_back(rig.port[0]->queue[0], rig.port[1]->queue[0]);
		device(&rig, 1)->budget = 100;
		desk_flush(rig.port[1]->queue[0]);
		complete_all(&rig, 1);
		desk_release(rig.port[0]->queue[0]);
		assert_int_equal(rig.source->came_home[0], 1);
		/* Its number again, and other bytes. */
		rig.source->came_home[0] = 0;
		rig.next_id = 0;
		super_free(0);
		got.next[1][0] = 0;
		got.lossy = false;
		assert_true(super_of(&rig, &other, 0) == frame);
		assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
		desk_flush(rig.port[1]->queue[0]);
		assert_int_equal(got.next[1][0], 6);
		rig.offered = 10 + 6 - (i ? 2 : 0);
		partial_end(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_super_frame_waits_and_goes_on),
		cmocka_unit_test(with_three_ports_the_rest_is_dropped),
		cmocka_unit_test(a_stalled_device_drops_the_rest),
		cmocka_unit_test(refused_pieces_are_dropped_with_three_ports),
		cmocka_unit_test(a_piece_that_no_share_can_hold_does_not_wait),
		cmocka_unit_test(a_long_piece_that_is_lent_waits),
		cmocka_unit_test(what_was_begun_is_cut_to_the_end),
		cmocka_unit_test(a_port_that_shrinks_in_the_middle),
		cmocka_unit_test(a_port_that_pauses_or_goes_down_in_the_middle),
		cmocka_unit_test(taking_back_in_the_middle),
		cmocka_unit_test(abandoning_in_the_middle),
		cmocka_unit_test(a_frame_struct_that_is_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
