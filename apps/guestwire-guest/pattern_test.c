/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pattern.h"
#include "tally.h"

#define STREAM    0x01020307u
#define MAX_FRAME 2048u

static const struct pattern_address address = {
	.dst = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	.src = { 2, 0, 0, 0, 0, 9 },
	.ethertype = PATTERN_ETHERTYPE,
};

static enum pattern_verdict check(const uint8_t *frame, size_t len, struct pattern_found *found)
{
	return pattern_check(frame, len, PATTERN_ETHERTYPE, true, found);
}

static void every_size_verifies(void **state)
{
	uint8_t frame[MAX_FRAME];
	struct pattern_found found;

	(void)state;
	for (size_t size = PATTERN_ETH_BYTES; size <= 1514; size++) {
		pattern_make(frame, size, &address, STREAM, size * 77);
		assert_int_equal(check(frame, size, &found), PATTERN_GOOD);
		assert_int_equal(found.size, size);
		assert_int_equal(found.has_sequence, size >= PATTERN_SHORT_MIN);
		if (found.has_sequence)
			assert_int_equal(found.sequence, size * 77);
	}
}

/* One wrong bit anywhere behind the Ethernet header must be seen. */
static void every_bit_counts(void **state)
{
	static const size_t sizes[] = { 16, 19, 20, 23, 37, 38, 45, 46, 60, 200 };
	uint8_t frame[MAX_FRAME];
	struct pattern_found found;

	(void)state;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		pattern_make(frame, sizes[s], &address, STREAM, 5);
		for (size_t bit = PATTERN_ETH_BYTES * 8; bit < sizes[s] * 8; bit++) {
			/* Without fill, stream and sequence have nothing to disagree with. */
			if ((sizes[s] == 16 || sizes[s] == 20) && bit / 8 > PATTERN_ETH_BYTES)
				continue;
			frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(check(frame, sizes[s], &found), PATTERN_CORRUPT);
			frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
}

static void padding_is_accepted_truncation_is_not(void **state)
{
	uint8_t frame[MAX_FRAME];
	struct pattern_found found;

	(void)state;
	for (size_t size = PATTERN_ETH_BYTES; size < PATTERN_PADDED; size++) {
		memset(frame, 0, sizeof(frame));
		pattern_make(frame, size, &address, STREAM, 123);
		assert_int_equal(check(frame, PATTERN_PADDED, &found), PATTERN_GOOD);
		assert_int_equal(found.size, size);
		assert_int_equal(check(frame, PATTERN_PADDED + 1, &found), PATTERN_CORRUPT);
		if (size > PATTERN_ETH_BYTES + 1)
			assert_int_equal(check(frame, size - 1, &found), PATTERN_CORRUPT);
		frame[PATTERN_PADDED - 1] ^= 1;
		assert_int_equal(check(frame, PATTERN_PADDED, &found), PATTERN_CORRUPT);
	}
}

/* The definition is public and scripts implement it too, so it must not drift. These
 * bytes were computed from the text in pattern.h, not by pattern.c. */
static void known_answers(void **state)
{
	static const uint8_t full[] = {
		0x47, 0x57, 0x50, 0x54, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x40, 0x70, 0x10, 0x37, 0xe9, 0xf1, 0x9f,
		0x9c, 0xcb, 0x8b, 0x0c, 0x47, 0x24, 0x98, 0x45, 0x1b, 0x7b, 0x42, 0x86, 0x7e,
		0xc2, 0x3f, 0x0c, 0x96, 0xed, 0xfe, 0xff, 0xb5, 0x60, 0x5e, 0xa2
	};
	static const uint8_t small[] = { 0x9e, 0x07, 0x22, 0x33, 0x44, 0x55, 0xb3, 0x91,
					 0x28, 0x14, 0x79, 0xcd, 0xd4, 0xe7, 0xea, 0x4f };
	static const uint8_t tiny[] = { 0x92, 0x07, 0xd8, 0xa1 };
	uint8_t frame[64];
	struct pattern_found found;

	(void)state;
	pattern_make(frame, 64, &address, 1, 2);
	assert_memory_equal(frame + 14, full, sizeof(full));
	assert_int_equal(check(frame, 64, &found), PATTERN_GOOD);
	frame[12] = 0x08;
	assert_int_equal(check(frame, 64, &found), PATTERN_UNRELATED);
	pattern_make(frame, 30, &address, STREAM, 0x1122334455);
	assert_memory_equal(frame + 14, small, sizeof(small));
	pattern_make(frame, 18, &address, 7, 9);
	assert_memory_equal(frame + 14, tiny, sizeof(tiny));
}

static void stream_of_the_smallest_comes_from_the_source(void **state)
{
	struct pattern_address own = address;
	uint8_t frame[64];
	struct pattern_found found;

	(void)state;
	pattern_default_mac(own.src, STREAM);
	pattern_make(frame, 14, &own, STREAM, 0);
	assert_int_equal(check(frame, 14, &found), PATTERN_GOOD);
	assert_true(found.has_stream);
	assert_int_equal(found.stream, STREAM);
}

static void feed(struct tally *tally, size_t size, uint32_t stream, uint64_t sequence)
{
	uint8_t frame[MAX_FRAME];

	pattern_make(frame, size, &address, stream, sequence);
	tally_frame(tally, frame, size);
}

static void tally_counts_what_happened(void **state)
{
	struct tally tally;
	const struct tally_stream *s;

	(void)state;
	tally_open(&tally, PATTERN_ETHERTYPE, true);
	tally_expect(&tally, STREAM);
	feed(&tally, 100, STREAM, 0);
	feed(&tally, 100, STREAM, 2);
	feed(&tally, 100, STREAM, 1);
	feed(&tally, 100, STREAM, 1);
	feed(&tally, 30, STREAM, 4);
	feed(&tally, 14, STREAM, 5);
	feed(&tally, 100, STREAM + 1, 0);
	s = tally_total(&tally);
	assert_int_equal(s->received, 6);
	assert_int_equal(s->verified, 6);
	assert_int_equal(s->duplicated, 1);
	assert_int_equal(s->out_of_order, 1);
	assert_int_equal(s->anonymous, 1);
	assert_int_equal(tally.foreign, 1);
	assert_int_equal(tally_missing(&tally, 6), 1);
	assert_int_equal(tally_missing(&tally, 0), 0);
	tally_close(&tally);
}

static void tally_sees_corruption(void **state)
{
	struct tally tally;
	uint8_t frame[MAX_FRAME];

	(void)state;
	tally_open(&tally, PATTERN_ETHERTYPE, true);
	pattern_make(frame, 500, &address, STREAM, 0);
	frame[499] ^= 0x10;
	tally_frame(&tally, frame, 500);
	frame[20] ^= 1;
	tally_frame(&tally, frame, 500);
	assert_int_equal(tally_total(&tally)->corrupted, 2);
	assert_int_equal(tally_total(&tally)->verified, 0);
	tally_close(&tally);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_verifies),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(padding_is_accepted_truncation_is_not),
		cmocka_unit_test(known_answers),
		cmocka_unit_test(stream_of_the_smallest_comes_from_the_source),
		cmocka_unit_test(tally_counts_what_happened),
		cmocka_unit_test(tally_sees_corruption),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
