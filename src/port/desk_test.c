/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The desk's decisions and its books, on devices that do what they are told; and what
 * becomes of frames where there is no room.
 */
#include "desk_rig.h"

static const char *const two[] = { "a=fake:", "d=fake:,loans=4,bounce=4", NULL };
static const char *const three[] = { "a=fake:", "d=fake:,loans=4,bounce=4", "e=sink:", NULL };

/* ---- the decision ---- */

static void first_frame_asks_once_and_is_copied(void **state)
{
	struct rig rig;

	rig_open(&rig, two);
	offer(&rig, 1, LEN);
	offer(&rig, 1, LEN);
	assert_int_equal(asked, 1);
	assert_int_equal(pair_to(&rig, 1)->ask_memmap == MEMORY_A, 1);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_QUERY_PENDING], 2);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

struct decision {
	const char *spec;
	struct gw_answer answer;
	uint32_t len;
	unsigned int segs;
	enum gw_reason reason;
};

/* What each rule decides, one frame each. */
static void decisions(void **state)
{
	const struct decision table[] = {
		{ "d=fake:", { .verdict = GW_YES, .max_segs = 8 }, 14, 1, GW_REASON_NONE },
		{ "d=fake:,copybreak=256",
		  { .verdict = GW_YES, .max_segs = 8 },
		  256,
		  1,
		  GW_REASON_NONE },
		{ "d=fake:,copybreak=256",
		  { .verdict = GW_YES, .max_segs = 8 },
		  255,
		  1,
		  GW_COPY_COPYBREAK },
		{ "d=sink:,copybreak=256",
		  { .verdict = GW_YES, .max_segs = 8, .ends_in_tx = true },
		  255,
		  1,
		  GW_REASON_NONE },
		{ "d=fake:,loan=never",
		  { .verdict = GW_YES, .max_segs = 8 },
		  LEN,
		  1,
		  GW_COPY_LOAN_NEVER },
		{ "d=fake:",
		  { .verdict = GW_NO, .reason = GW_COPY_MEMORY_FILE },
		  LEN,
		  1,
		  GW_COPY_MEMORY_FILE },
		{ "d=fake:", { .verdict = GW_PARTLY, .max_segs = 8 }, LEN, 8, GW_REASON_NONE },
		{ "d=fake:", { .verdict = GW_PARTLY, .max_segs = 8 }, LEN, 9, GW_COPY_SEGMENTS },
		{ "d=fake:", { .verdict = GW_YES, .max_segs = 1024 }, LEN, 21, GW_COPY_SEGMENTS },
		{ "d=sink:",
		  { .verdict = GW_YES, .max_segs = 1024, .ends_in_tx = true },
		  LEN,
		  21,
		  GW_REASON_NONE },
		{ "d=sink:",
		  { .verdict = GW_YES, .max_segs = 1, .ends_in_tx = true },
		  14,
		  1,
		  GW_REASON_NONE },
		{ "d=fake:",
		  { .verdict = GW_YES, .max_segs = 1, .single_page_segs = true },
		  9000,
		  1,
		  GW_COPY_PAGES },
		{ "d=fake:",
		  { .verdict = GW_YES, .max_segs = 4, .single_page_segs = true },
		  9000,
		  1,
		  GW_REASON_NONE },
		{ "d=fake:",
		  { .verdict = GW_YES,
		    .max_segs = 1,
		    .single_page_segs = true,
		    .page_bytes = 1u << 30 },
		  9000,
		  1,
		  GW_REASON_NONE },
		{ "d=fake:,loans=0",
		  { .verdict = GW_YES, .max_segs = 8 },
		  LEN,
		  1,
		  GW_COPY_LOANS_OUT },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *const specs[] = { "a=fake:", table[i].spec, NULL };
		struct rig rig;

		rig_open(&rig, specs);
		answer(&rig, 1, table[i].answer);
		offer_frame(&rig, 1, frame_of(&rig, table[i].len, table[i].segs), false);
		desk_flush(rig.port[1]->queue[0]);
		if (table[i].reason == GW_REASON_NONE)
			assert_int_equal(pair_to(&rig, 1)->lent_frames, 1);
		else
			assert_int_equal(pair_to(&rig, 1)->reasons[table[i].reason], 1);
		assert_int_equal(asked, 0);
		complete_all(&rig, 1);
		check_books(&rig, 1);
		rig_close(&rig);
	}
}

/* What a device took it still takes: only who was refused is asked about anew. */
static void a_loan_outlives_a_requery_of_the_refused(void **state)
{
	struct gw_answer no = { .verdict = GW_NO, .reason = GW_COPY_MEMORY_TAKEN, .max_segs = 1 };
	struct rig rig;

	rig_open(&rig, two);
	answer(&rig, 1, yes());
	for (unsigned int i = 0; i < 3; i++) {
		gw_port_requery_refused(rig.port[1]);
		offer(&rig, 1, LEN);
	}
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(pair_to(&rig, 1)->lent_frames, 3);
	assert_int_equal(asked, 0);
	answer(&rig, 1, no);
	gw_port_requery_refused(rig.port[1]);
	offer(&rig, 1, LEN);
	offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_MEMORY_TAKEN], 2);
	assert_int_equal(asked, 1);
	/* Doubt is doubt, whatever came after it. */
	answer(&rig, 1, yes());
	gw_port_requery(rig.port[1]);
	gw_port_requery_refused(rig.port[1]);
	offer(&rig, 1, LEN);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_QUERY_PENDING], 1);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* VIRTIO_F_IN_ORDER: a loan that ends later than another must not have begun. */
static void in_order_is_lent_only_where_loans_end_in_tx(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=fake:", "e=sink:", NULL };
	struct gw_answer in_tx = yes();
	struct rig rig;

	in_tx.ends_in_tx = true;
	rig_open(&rig, specs);
	rig.port[0]->queue[0]->queue.in_order = true;
	answer(&rig, 1, yes());
	answer(&rig, 2, in_tx);
	offer(&rig, 1, LEN);
	rig.offered = 0;
	offer(&rig, 2, LEN);
	desk_flush(rig.port[1]->queue[0]);
	desk_flush(rig.port[2]->queue[0]);
	assert_int_equal(pair_to(&rig, 1)->lent_frames, 0);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_IN_ORDER], 1);
	assert_int_equal(pair_to(&rig, 2)->lent_frames, 1);
	complete_all(&rig, 1);
	complete_all(&rig, 2);
	check_books(&rig, 2);
	rig_close(&rig);
}

static void other_memory_and_a_requery_ask_again(void **state)
{
	struct gw_frame *frame;
	struct rig rig;

	rig_open(&rig, two);
	answer(&rig, 1, yes());
	offer(&rig, 1, LEN);
	assert_int_equal(asked, 0);
	frame = frame_of(&rig, LEN, 1);
	frame->memmap = MEMORY_B;
	offer_frame(&rig, 1, frame, false);
	assert_int_equal(asked, 1);
	assert_true(pair_to(&rig, 1)->ask_memmap == MEMORY_B);
	/* An answer that comes meanwhile, to something else, does not permit a second question. */
	answer(&rig, 1, yes());
	gw_port_requery(rig.port[1]);
	offer(&rig, 1, LEN);
	assert_int_equal(asked, 1);
	pair_to(&rig, 1)->asking = false;
	offer(&rig, 1, LEN);
	assert_int_equal(asked, 2);
	desk_flush(rig.port[1]->queue[0]);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

static void a_quarter_of_the_ring_stays_free_of_loans(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=fake:", "e=fake:", NULL };
	struct rig rig;

	rig_open(&rig, specs);
	rig.port[0]->queue[0]->queue.lend_max = 8;
	answer(&rig, 1, yes());
	answer(&rig, 2, yes());
	for (unsigned int i = 0; i < 4; i++)
		offer(&rig, 1, LEN);
	rig.offered = 0;
	for (unsigned int i = 0; i < 4; i++)
		offer(&rig, 2, LEN);
	assert_int_equal(rig.port[0]->queue[0]->lent_out, 6);
	desk_flush(rig.port[1]->queue[0]);
	desk_flush(rig.port[2]->queue[0]);
	assert_int_equal(pair_to(&rig, 2)->reasons[GW_COPY_LOANS_OUT], 2);
	complete_all(&rig, 1);
	complete_all(&rig, 2);
	check_books(&rig, 2);
	rig_close(&rig);
}

/* ---- no room ---- */

static void beyond_loans_and_copies_is_dropped_and_counted(void **state)
{
	struct rig rig;

	rig_open(&rig, three);
	answer(&rig, 1, yes());
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(offer(&rig, 1, LEN), DESK_TAKEN);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(pair_to(&rig, 1)->lent_frames, 4);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_LOANS_OUT], 4);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_FULL], 12);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

static void a_port_that_is_down_drops_and_a_paused_one_makes_wait(void **state)
{
	struct gw_frame *frame;
	struct rig rig;

	rig_open(&rig, two);
	answer(&rig, 1, yes());
	rig.port[1]->paused = 1;
	frame = frame_of(&rig, LEN, 1);
	assert_int_equal(offer_frame(&rig, 1, frame, true), DESK_WAIT);
	rig.port[1]->paused = 0;
	rig.port[1]->up = false;
	assert_int_equal(offer_frame(&rig, 1, frame, true), DESK_TAKEN);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_DOWN], 1);
	assert_int_equal(device(&rig, 1)->tx_calls, 0);
	check_books(&rig, 1);
	rig_close(&rig);
}

static void a_frame_too_long_for_the_port_is_dropped(void **state)
{
	struct rig rig;

	rig_open(&rig, two);
	answer(&rig, 1, yes());
	gw_port_set_max_len(rig.port[1], 1514);
	offer(&rig, 1, 1514);
	offer(&rig, 1, 1515);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(pair_to(&rig, 1)->lent_frames, 1);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_TOO_LONG], 1);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* A frame that the whole share could not hold would block all frames behind it. */
static void a_frame_that_no_bounce_share_can_hold_does_not_wait(void **state)
{
	struct rig rig;

	rig_open(&rig, two);
	answer(&rig, 1, (struct gw_answer){ .reason = GW_COPY_DEVICE_CANNOT });
	assert_int_equal(offer_frame(&rig, 1, frame_of(&rig, 4 * 4096, 1), true), DESK_TAKEN);
	assert_int_equal(offer_frame(&rig, 1, frame_of(&rig, LEN, 1), true), DESK_WAIT);
	desk_put(&rig.source->frame[1]);
	assert_int_equal(offer_frame(&rig, 1, frame_of(&rig, 4 * 4096 + 1, 1), true), DESK_TAKEN);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_TOO_LONG], 1);
	desk_flush(rig.port[1]->queue[0]);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	rig_close(&rig);
}

/* The lender's array is written again by its next rx: such a frame must not stay in an offer. */
static void long_segment_arrays_are_never_kept_in_an_offer(void **state)
{
	static const char *const sink[] = { "a=fake:", "d=sink:", NULL };
	struct gw_answer now = yes();
	struct gw_frame *frame;
	struct rig rig;

	rig_open(&rig, sink);
	now.ends_in_tx = true;
	answer(&rig, 1, now);
	device(&rig, 1)->budget = 1;
	device(&rig, 1)->refusal = GW_DROP_NO_RX_BUFFERS;
	offer(&rig, 1, LEN);
	offer(&rig, 1, LEN);
	frame = frame_of(&rig, LEN, GW_FRAME_SEGS + 1);
	assert_int_equal(offer_frame(&rig, 1, frame, true), DESK_WAIT);
	assert_int_equal(rig.port[1]->queue[0]->offer.count, 1);
	assert_true(rig.port[1]->queue[0]->offer.frame[0] != frame);
	assert_int_equal(frame->holders, 1);
	/* With nowhere to wait it is dropped, for the driver's reason. */
	assert_int_equal(offer_frame(&rig, 1, frame, false), DESK_TAKEN);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_NO_RX_BUFFERS], 1);
	device(&rig, 1)->budget = 8;
	frame = frame_of(&rig, LEN, GW_FRAME_SEGS + 1);
	assert_int_equal(offer_frame(&rig, 1, frame, true), DESK_TAKEN);
	assert_int_equal(rig.port[1]->queue[0]->offer.count, 0);
	assert_int_equal(device(&rig, 1)->taken, 3);
	check_books(&rig, 1);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_frame_asks_once_and_is_copied),
		cmocka_unit_test(decisions),
		cmocka_unit_test(in_order_is_lent_only_where_loans_end_in_tx),
		cmocka_unit_test(other_memory_and_a_requery_ask_again),
		cmocka_unit_test(a_loan_outlives_a_requery_of_the_refused),
		cmocka_unit_test(a_quarter_of_the_ring_stays_free_of_loans),
		cmocka_unit_test(beyond_loans_and_copies_is_dropped_and_counted),
		cmocka_unit_test(a_port_that_is_down_drops_and_a_paused_one_makes_wait),
		cmocka_unit_test(a_frame_too_long_for_the_port_is_dropped),
		cmocka_unit_test(a_frame_that_no_bounce_share_can_hold_does_not_wait),
		cmocka_unit_test(long_segment_arrays_are_never_kept_in_an_offer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
