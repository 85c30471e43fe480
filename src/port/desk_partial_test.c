/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames with a partial header at the desk: which pieces are lent and which copied, by
 * what reason and share, and that each piece and each parent comes home.
 * Each frame that a device takes is judged, while it has it (partial_rig.h).
 */
#include "partial_rig.h"

/* ---- lent or copied ---- */

static void pieces_are_lent_with_private_headers(void **state)
{
	struct gw_frame *frame;
	struct pair *pair;
	struct rig rig;

	partial_open(&rig, two);
	pair = pair_to(&rig, 1);
	frame = super_of(&rig, &ten, 1500);
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(got.lent, 10);
	assert_int_equal(pair->loans_out, 10);
	assert_int_equal(rig.port[0]->queue[0]->lent_out, 1);
	assert_int_equal(frame->holders, 10);
	assert_int_equal(pair->lent_bytes, 10000);
	assert_int_equal(pair->header_bytes_copied, 10 * 54);
	assert_int_equal(pair->copied_bytes, 0);
	assert_int_equal(pair->supers_cut, 1);
	assert_int_equal(pair->headers_made, 10);
	assert_int_equal(pair->checksums_made, 10);
	assert_int_equal(pair->loans_peak, 10);
	device(&rig, 1)->complete = 9;
	desk_reap(rig.port[1]->queue[0]);
	desk_release(rig.port[0]->queue[0]);
	assert_int_equal(rig.source->came_home[0], 0);
	assert_int_equal(rig.port[0]->queue[0]->lent_out, 1);
	partial_end(&rig);
}

/* For each rule: who decides it, and that the copy is header and payload, completed. */
struct reason_case {
	const char *name, *spec;
	struct gw_answer answer;
	uint32_t step;
	unsigned int copied; /* of ten */
	enum gw_reason reason;
	uint32_t last; /* payload of the last frame; 0: as the others */
	bool stalled, untrusted, unanswered;
};

#define YES(segs, ends)                                                     \
	{                                                                   \
		.verdict = GW_YES, .max_segs = (segs), .ends_in_tx = (ends) \
	}

static const struct reason_case reason_cases[] = {
	{ .name = "lent", .spec = "d=fake:", .answer = YES(64, false), .step = 0 },
	{ .name = "one segment",
	  .spec = "d=fake:",
	  .answer = YES(1, false),
	  .copied = 10,
	  .reason = GW_COPY_PRIVATE_HEADER },
	{ .name = "two segments", .spec = "d=fake:", .answer = YES(2, false) },
	{ .name = "two segments, more slices",
	  .spec = "d=fake:",
	  .answer = YES(2, false),
	  .step = 700,
	  .copied = 10,
	  .reason = GW_COPY_SEGMENTS },
	{ .name = "as many slices as a frame has room for",
	  .spec = "d=fake:",
	  .answer = YES(64, false),
	  .step = 56,
	  .copied = 0 },
	{ .name = "one slice more",
	  .spec = "d=fake:",
	  .answer = YES(64, false),
	  .step = 50,
	  .copied = 10,
	  .reason = GW_COPY_SEGMENTS },
	{ .name = "one slice more, to a device that ends loans in tx",
	  .spec = "d=sink:",
	  .answer = YES(64, true),
	  .step = 50,
	  .copied = 10,
	  .reason = GW_COPY_SEGMENTS },
	{ .name = "a last frame below copybreak",
	  .spec = "d=fake:,copybreak=256",
	  .answer = YES(64, false),
	  .last = 201,
	  .copied = 1,
	  .reason = GW_COPY_COPYBREAK },
	{ .name = "a last frame that is not",
	  .spec = "d=fake:,copybreak=256",
	  .answer = YES(64, false),
	  .last = 202 },
	{ .name = "the same where loans end in tx",
	  .spec = "d=sink:,copybreak=256",
	  .answer = YES(64, true),
	  .last = 201 },
	{ .name = "never",
	  .spec = "d=fake:,loan=never",
	  .answer = YES(64, false),
	  .copied = 10,
	  .reason = GW_COPY_LOAN_NEVER },
	{ .name = "the driver says no",
	  .spec = "d=fake:",
	  .answer = { .verdict = GW_NO, .reason = GW_COPY_MEMORY_FILE },
	  .copied = 10,
	  .reason = GW_COPY_MEMORY_FILE },
	{ .name = "not answered yet",
	  .spec = "d=fake:",
	  .answer = YES(64, false),
	  .unanswered = true,
	  .copied = 10,
	  .reason = GW_COPY_QUERY_PENDING },
	{ .name = "loans used up",
	  .spec = "d=fake:,loans=4",
	  .answer = YES(64, false),
	  .copied = 6,
	  .reason = GW_COPY_LOANS_OUT },
	{ .name = "no loans",
	  .spec = "d=fake:,loans=0",
	  .answer = YES(64, false),
	  .copied = 10,
	  .reason = GW_COPY_LOANS_OUT },
	{ .name = "stalled",
	  .spec = "d=fake:",
	  .answer = YES(64, false),
	  .stalled = true,
	  .copied = 10,
	  .reason = GW_COPY_DEVICE_STALLED },
	{ .name = "quarantine",
	  .spec = "d=fake:",
	  .answer = YES(64, false),
	  .untrusted = true,
	  .copied = 10,
	  .reason = GW_COPY_QUARANTINE },
};

static void each_reason_to_copy_a_piece(void **state)
{
	for (size_t i = 0; i < sizeof(reason_cases) / sizeof(reason_cases[0]); i++) {
		const struct reason_case *c = &reason_cases[i];
		const char *const specs[] = { "a=fake:", c->spec, NULL };
		struct mock_super_shape shape = ten;
		struct pair *pair;
		struct rig rig;

		partial_open(&rig, specs);
		pair = pair_to(&rig, 1);
		answer(&rig, 1, c->answer);
		rig.port[1]->queue[0]->stalled = c->stalled;
		rig.port[1]->queue[0]->untrusted = c->untrusted;
		pair->answered = !c->unanswered;
		if (c->last)
			shape.payload = 9 * shape.gso_size + c->last;
		send_super(&rig, &shape, c->step);
		if (got.copied != c->copied || got.lent != 10 - c->copied)
			fail_msg("%s: %u lent, %u copied", c->name, got.lent, got.copied);
		assert_int_equal(pair->reasons[c->reason], c->copied);
		assert_int_equal(pair->headers_made, got.lent);
		assert_int_equal(pair->checksums_made, 10);
		assert_int_equal(asked, c->unanswered);
		partial_end(&rig);
	}
}

/* A piece's header lies in one page, but its payload may not. */
static void pages_are_counted_with_the_header(void **state)
{
	struct gw_answer pages = yes();
	struct rig rig;

	partial_open(&rig, two);
	pages.single_page_segs = true;
	pages.max_segs = 2;
	answer(&rig, 1, pages);
	send_super(&rig, &ten, 0);
	/* 10000 bytes have two page ends in them, or three. */
	assert_in_range(pair_to(&rig, 1)->reasons[GW_COPY_PAGES], 1, 3);
	assert_int_equal(got.lent + got.copied, 10);
	partial_end(&rig);
}

/* Longer than a bounce buffer: header and payload go on in the next one. */
static void copies_longer_than_a_buffer(void **state)
{
	static const char *const never[] = { "a=fake:", "d=fake:,loan=never", NULL };
	const struct mock_super_shape jumbo = { .payload = 40000, .gso_size = 8946 };
	struct rig rig;

	partial_open(&rig, never);
	send_super(&rig, &jumbo, 777);
	assert_int_equal(got.copied, 5);
	partial_end(&rig);
}

static void any_super_frame_any_answer(void **state)
{
	static const char *const specs[][4] = {
		{ "a=fake:", "d=fake:,loans=20000,bounce=600", NULL },
		{ "a=fake:", "d=fake:,loan=never,bounce=1200", NULL },
		{ "a=fake:", "d=fake:,loans=700,bounce=1000,copybreak=600", NULL },
		{ "a=fake:", "d=sink:", NULL },
	};
	static const uint32_t steps[] = { 0, 0, 60, 100, 777, 1500, 4096, 32768 };
	uint64_t random = 17;

	for (unsigned int i = 0; i < 400; i++) {
		struct mock_super_shape shape = mock_super_any(&random);
		uint32_t step = steps[mock_random(&random) % 8];
		struct gw_answer how = yes();
		struct rig rig;

		partial_open(&rig, specs[i % 4]);
		/* The fake holds 512. */
		if (shape.gso_size < 130)
			shape.gso_size = 130;
		how.max_segs = (uint16_t)(1 + mock_random(&random) % 24);
		how.ends_in_tx = i % 4 == 3;
		answer(&rig, 1, how);
		if (mock_random(&random) % 3 == 0)
			gw_port_set_offloads(rig.port[1],
					     &(struct gw_offloads){ .takes = GW_OFFLOAD_CSUM,
								    .header_private = i % 2 });
		assert_int_equal(offer_super(&rig, 1, super_of(&rig, &shape, step), false),
				 DESK_TAKEN);
		desk_flush(rig.port[1]->queue[0]);
		assert_int_equal(got.lent + got.copied, rig.offered);
		partial_end(&rig);
	}
}

/* ---- shares ---- */

/* A chain of the ring counts once, however many pieces of it are out. */
static void the_ring_share_counts_parents(void **state)
{
	struct rig rig;

	partial_open(&rig, two);
	rig.port[0]->queue[0]->queue.lend_max = 4;
	for (unsigned int i = 0; i < 4; i++)
		offer_super(&rig, 1, super_of(&rig, &ten, 0), false);
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(rig.port[0]->queue[0]->lent_out, 3);
	/* All of the third, which used the share up, and none of the fourth. */
	assert_int_equal(got.lent, 30);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_LOANS_OUT], 10);
	partial_end(&rig);
}

/* Headers are as many as loans, and a loan that ends in tx takes one as well. */
static void headers_never_run_out(void **state)
{
	static const char *const specs[][3] = { { "a=fake:", "d=fake:,loans=1", NULL },
						{ "a=fake:", "d=sink:,loans=1", NULL },
						{ "a=fake:", "d=ring:", NULL } };
	const struct mock_super_shape many = { .payload = 60000, .gso_size = 300 };

	for (unsigned int i = 0; i < 3; i++) {
		struct gw_answer how = yes();
		struct gw_frame *frame;
		struct rig rig;

		partial_open(&rig, specs[i]);
		how.ends_in_tx = i == 1;
		if (i == 2)
			how = (struct gw_answer){ .reason = GW_COPY_DEVICE_CANNOT };
		answer(&rig, 1, how);
		frame = super_of(&rig, &many, 0);
		while (offer_super(&rig, 1, frame, true) == DESK_WAIT) {
			desk_flush(rig.port[1]->queue[0]);
			complete_all(&rig, 1);
			device(&rig, 1)->slots_used = 0;
		}
		assert_int_equal(i == 1 ? got.lent : 0, i == 1 ? 192 : 0);
		desk_flush(rig.port[1]->queue[0]);
		device(&rig, 1)->slots_used = 0;
		assert_int_equal(got.next[1][0], 200);
		partial_end(&rig);
	}
}

/* More loans than there can be headers: the last one is kept for frames that are copied. */
static void the_last_header_is_not_lent(void **state)
{
	struct piece *taken[PIECES_MAX];
	unsigned int count = 0;
	struct pieces *pieces;
	struct rig rig;

	partial_open(&rig, two);
	pieces = &pair_to(&rig, 1)->pieces;
	while (pieces->free_count > 4)
		taken[count++] = piece_get(pieces, &rig.source->frame[0]);
	send_super(&rig, &ten, 0);
	assert_int_equal(got.lent, 3);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_LOANS_OUT], 7);
	while (count)
		piece_put(pieces, taken[--count]);
	partial_end(&rig);
}

/* ---- the way back ---- */

static void shuffle(struct fake *fake, uint64_t *random)
{
	for (unsigned int i = fake->held_count; i > 1; i--) {
		unsigned int k = (unsigned int)(mock_random(random) % i);
		struct gw_frame *frame = fake->held[k];

		fake->held[k] = fake->held[i - 1];
		fake->held[i - 1] = frame;
	}
}

static void parents_come_home_after_their_last_piece_in_any_order(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=fake:,loans=200", NULL };
	uint64_t random = 5;

	for (unsigned int round = 0; round < 20; round++) {
		unsigned int out[8] = { 0 };
		struct rig rig;

		partial_open(&rig, specs);
		for (unsigned int i = 0; i < 8; i++)
			offer_super(&rig, 1, super_of(&rig, &ten, 0), false);
		desk_flush(rig.port[1]->queue[0]);
		shuffle(device(&rig, 1), &random);
		while (device(&rig, 1)->held_count) {
			struct gw_frame *first = device(&rig, 1)->held[0];

			out[piece_of(first)->parent->id]++;
			device(&rig, 1)->complete = 1;
			desk_reap(rig.port[1]->queue[0]);
			desk_release(rig.port[0]->queue[0]);
			for (unsigned int i = 0; i < 8; i++)
				assert_int_equal(rig.source->came_home[i], out[i] == 10);
		}
		partial_end(&rig);
	}
}

static void failed_pieces_are_counted_by_frame(void **state)
{
	struct rig rig;

	partial_open(&rig, two);
	send_super(&rig, &ten, 0);
	device(&rig, 1)->status = GW_DONE_FAILED;
	device(&rig, 1)->complete = 3;
	desk_reap(rig.port[1]->queue[0]);
	device(&rig, 1)->status = GW_DONE_KERNEL_COPIED;
	complete_all(&rig, 1);
	check_dropped(&rig, GW_DROP_DEVICE_ERROR, 3, 3 * TEN_LEN);
	assert_int_equal(pair_to(&rig, 1)->kernel_copied_frames, 7);
	assert_int_equal(pair_to(&rig, 1)->kernel_copied_bytes, 7 * 1054);
	partial_end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_lent_with_private_headers),
		cmocka_unit_test(each_reason_to_copy_a_piece),
		cmocka_unit_test(pages_are_counted_with_the_header),
		cmocka_unit_test(copies_longer_than_a_buffer),
		cmocka_unit_test(any_super_frame_any_answer),
		cmocka_unit_test(the_ring_share_counts_parents),
		cmocka_unit_test(headers_never_run_out),
		cmocka_unit_test(the_last_header_is_not_lent),
		cmocka_unit_test(parents_come_home_after_their_last_piece_in_any_order),
		cmocka_unit_test(failed_pieces_are_counted_by_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
