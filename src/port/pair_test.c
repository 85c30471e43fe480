/* SPDX-License-Identifier: BSD-2-Clause */
/* Pairs: whose word counts, and bounce memory that is given out and comes back. */
#include "pair.h"

#include "fake_device.h"
#include <errno.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct rig {
	struct gw_arena *arena;
	struct gw_port *source, *egress;
	struct pair *pair;
};

static void rig_open(struct rig *rig, const char *source, const char *egress)
{
	struct gw_error err = { 0 };

	fake_template_reset();
	assert_int_equal(arena_create(2u << 20, &rig->arena, &err), 0);
	assert_int_equal(port_parse(source, fake_drivers, &rig->source, &err), 0);
	assert_int_equal(port_parse(egress, fake_drivers, &rig->egress, &err), 0);
	rig->source->arena = rig->egress->arena = rig->arena;
	rig->source->slot = 5;
	assert_int_equal(rig->egress->driver->open(rig->egress, &err), 0);
	assert_int_equal(
		pair_create(rig->source->queue[0], rig->egress->queue[0], &rig->pair, &err), 0);
}

static void rig_close(struct rig *rig)
{
	pair_free(rig->pair);
	rig->egress->driver->close(rig->egress);
	port_free(rig->source);
	port_free(rig->egress);
	arena_destroy(rig->arena);
}

struct share {
	const char *source, *egress;
	uint32_t copybreak, loans, bounce;
	bool never;
};

/* An explicit word beats a default; of two explicit ones the careful one counts. */
static void whose_word_counts(void **state)
{
	static const struct share table[] = {
		{ "a=fake:", "d=fake:", PORT_COPYBREAK_DEFAULT, PORT_LOANS_DEFAULT,
		  PORT_BOUNCE_DEFAULT, false },
		{ "a=fake:,copybreak=256,loans=200,bounce=100", "d=fake:", 256, 200, 100, false },
		{ "a=fake:", "d=fake:,copybreak=256,loans=200,bounce=100", 256, 200, 100, false },
		{ "a=fake:,copybreak=0,loans=200,bounce=9", "d=fake:,copybreak=9,loans=7,bounce=10",
		  9, 7, 9, false },
		{ "a=fake:,loan=never", "d=fake:", PORT_COPYBREAK_DEFAULT, PORT_LOANS_DEFAULT,
		  PORT_BOUNCE_DEFAULT, true },
		{ "a=fake:,loan=auto", "d=fake:,loan=never", PORT_COPYBREAK_DEFAULT,
		  PORT_LOANS_DEFAULT, PORT_BOUNCE_DEFAULT, true },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct rig rig;

		rig_open(&rig, table[i].source, table[i].egress);
		assert_int_equal(rig.pair->copybreak, table[i].copybreak);
		assert_int_equal(rig.pair->loans_max, table[i].loans);
		assert_int_equal(rig.pair->bounce_max, table[i].bounce);
		assert_int_equal(rig.pair->loan_never, table[i].never);
		assert_int_equal(rig.pair->pieces.max,
				 (table[i].loans < GW_BATCH ? GW_BATCH : table[i].loans) + 1);
		assert_int_equal(pair_arena_buffers(rig.source, rig.egress),
				 table[i].bounce + pieces_buffers(rig.pair->pieces.max));
		rig_close(&rig);
	}
}

static void in_arena(const struct rig *rig, const struct gw_frame *frame)
{
	struct iovec range = arena_range(rig->arena);

	for (unsigned int i = 0; i < frame->seg_count; i++) {
		uintptr_t offset = (uintptr_t)frame->seg[i].iov_base - (uintptr_t)range.iov_base;

		assert_true(offset >= ARENA_PAD_BYTES && offset < range.iov_len);
		assert_true(frame->seg[i].iov_len <= range.iov_len - offset);
	}
}

static void buffers_are_apart_bounded_and_come_back_in_any_order(void **state)
{
	struct gw_frame *frame[6];
	struct rig rig;

	rig_open(&rig, "a=fake:", "d=fake:,bounce=6");
	for (unsigned int round = 0; round < 10; round++) {
		for (unsigned int i = 0; i < 6; i++) {
			frame[i] = bounce_get(rig.pair, 1000);
			assert_non_null(frame[i]);
			in_arena(&rig, frame[i]);
			assert_int_equal(frame[i]->pair, 5);
			assert_null(frame[i]->memmap);
			memset(frame[i]->seg[0].iov_base, (int)i, 1000);
		}
		assert_null(bounce_get(rig.pair, 1));
		for (unsigned int i = 0; i < 6; i++)
			for (unsigned int k = 0; k < 1000; k++)
				assert_int_equal(((uint8_t *)frame[i]->seg[0].iov_base)[k], i);
		for (unsigned int i = 0; i < 6; i++)
			bounce_done(rig.pair, frame[(i * 5 + round) % 6]);
		assert_int_equal(rig.pair->bounce_out, 0);
	}
	assert_int_equal(rig.pair->bounce_peak, 6);
	rig_close(&rig);
}

static void a_long_frame_takes_several_buffers(void **state)
{
	struct gw_frame *frame, *other;
	struct rig rig;

	rig_open(&rig, "a=fake:", "d=fake:,bounce=20");
	assert_true(bounce_fits(rig.pair, GW_FRAME_LEN_MAX));
	assert_true(bounce_fits(rig.pair, 20 * 4096));
	assert_false(bounce_fits(rig.pair, 20 * 4096 + 1));
	frame = bounce_get(rig.pair, GW_FRAME_LEN_MAX);
	assert_non_null(frame);
	assert_int_equal(frame->seg_count, 17);
	assert_int_equal(frame->seg[16].iov_len, GW_FRAME_LEN_MAX - 16 * 4096);
	assert_int_equal(rig.pair->bounce_out, 17);
	in_arena(&rig, frame);
	assert_null(bounce_get(rig.pair, 3 * 4096 + 1));
	other = bounce_get(rig.pair, 3 * 4096);
	assert_non_null(other);
	bounce_undo(rig.pair, frame);
	bounce_done(rig.pair, other);
	assert_int_equal(rig.pair->bounce_out, 0);
	assert_int_equal(rig.pair->bounce.free_buffers, 20);
	assert_int_equal(rig.pair->bounce.free_frames, 20);
	rig_close(&rig);
}

/* Segments of every length meet buffers at every place. */
static void bytes_are_copied_in_order(void **state)
{
	static uint8_t from[20000], to[20000];
	static const unsigned int cuts[] = { 1, 7, 4095, 4096, 4097, 13, 5000, 2691 };
	struct gw_frame src = { 0 }, *dst;
	size_t off = 0, got = 0;
	struct rig rig;

	rig_open(&rig, "a=fake:", "d=fake:");
	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 31 >> 3);
	src.seg = src.own;
	for (unsigned int i = 0; i < 8; i++) {
		src.own[i] = (struct iovec){ from + off, cuts[i] };
		off += cuts[i];
	}
	src.seg_count = 8;
	src.len = (uint32_t)off;
	src.header.gso_size = 77;
	memcpy(src.snapshot, from, sizeof(src.snapshot));
	dst = bounce_get(rig.pair, src.len);
	bounce_copy(dst, &src);
	for (unsigned int i = 0; i < dst->seg_count; i++) {
		memcpy(to + got, dst->seg[i].iov_base, dst->seg[i].iov_len);
		got += dst->seg[i].iov_len;
	}
	assert_int_equal(got, off);
	assert_memory_equal(to, from, off);
	assert_int_equal(dst->header.gso_size, 77);
	assert_memory_equal(dst->snapshot, from, sizeof(dst->snapshot));
	bounce_done(rig.pair, dst);
	rig_close(&rig);
}

/*
 * A device with a ring of its own: of the arena one buffer for headers, and what was not
 * sent goes back last first.
 */
static void a_drivers_own_bounce_memory(void **state)
{
	struct gw_frame *frame[4];
	struct rig rig;

	rig_open(&rig, "a=fake:", "d=ring:,bounce=4");
	assert_int_equal(pair_arena_buffers(rig.source, rig.egress), 1);
	for (unsigned int i = 0; i < 4; i++) {
		frame[i] = bounce_get(rig.pair, 100);
		assert_non_null(frame[i]);
	}
	/* The pair's share, although the driver has more. */
	assert_null(bounce_get(rig.pair, 100));
	assert_int_equal(fake_of(rig.egress)->slots_used, 4);
	for (unsigned int i = 4; i > 0; i--)
		bounce_undo(rig.pair, frame[i - 1]);
	assert_int_equal(fake_of(rig.egress)->slots_used, 0);
	assert_int_equal(rig.pair->bounce_out, 0);
	/* Reported by reap, a slot is the driver's by itself. */
	frame[0] = bounce_get(rig.pair, 100);
	bounce_done(rig.pair, frame[0]);
	assert_int_equal(fake_of(rig.egress)->slots_used, 1);
	rig_close(&rig);
}

static void answers_are_kept_and_forgotten(void **state)
{
	struct gw_answer answer = { .verdict = GW_YES, .max_segs = 3 };
	struct gw_memmap *memmap = (struct gw_memmap *)&answer;
	struct rig rig;

	rig_open(&rig, "a=fake:", "d=fake:");
	assert_false(rig.pair->answered);
	rig.pair->asking = true;
	pair_set_answer(rig.pair, &answer, memmap, 9);
	assert_true(rig.pair->answered);
	assert_ptr_equal(rig.pair->answer_memmap, memmap);
	assert_int_equal(rig.pair->answer_stamp, 9);
	assert_true(rig.pair->asking);
	pair_forget_answer(rig.pair);
	assert_false(rig.pair->answered);
	assert_true(rig.pair->was_answered);
	assert_null(rig.pair->answer_memmap);
	rig_close(&rig);
}

static void too_small_an_arena_says_what_to_do(void **state)
{
	struct gw_error err = { 0 };
	struct pair *pair = NULL;
	struct rig rig;

	rig_open(&rig, "a=fake:", "d=fake:,bounce=400");
	assert_int_equal(pair_create(rig.source->queue[0], rig.egress->queue[0], &pair, &err),
			 -ENOMEM);
	assert_non_null(strstr(err.text, "400 bounce buffers from port a to port d"));
	assert_null(pair);
	pair_free(NULL);
	/* What a pair had is given back with it. */
	pair_free(rig.pair);
	assert_int_equal(pair_create(rig.source->queue[0], rig.egress->queue[0], &rig.pair, &err),
			 0);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whose_word_counts),
		cmocka_unit_test(buffers_are_apart_bounded_and_come_back_in_any_order),
		cmocka_unit_test(a_long_frame_takes_several_buffers),
		cmocka_unit_test(bytes_are_copied_in_order),
		cmocka_unit_test(a_drivers_own_bounce_memory),
		cmocka_unit_test(answers_are_kept_and_forgotten),
		cmocka_unit_test(too_small_an_arena_says_what_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
