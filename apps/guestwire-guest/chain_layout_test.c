/* SPDX-License-Identifier: BSD-2-Clause */
/* Every layout covers header and frame exactly, inside its slot, pieces apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chain_layout.h"

#define HEADER 12u

static bool crosses_page(const struct ring_segment *s)
{
	return s->gpa / GUEST_PAGE != (s->gpa + s->len - 1) / GUEST_PAGE;
}

static void check_one(const struct layout_shape *shape, const struct guest_span *slot, size_t room,
		      size_t frame, uint64_t turn)
{
	struct ring_segment s[LAYOUT_MAX_PIECES];
	uint16_t count = layout_place(shape, slot, HEADER, frame, turn, s);
	uint64_t end = slot->gpa, total = 0;

	assert_true(count >= 1 && count <= shape->pieces_high);
	for (uint16_t i = 0; i < count; i++) {
		assert_true(s[i].len >= 1);
		assert_true(s[i].gpa >= end + LAYOUT_GUARD_MIN);
		assert_ptr_equal(s[i].host - slot->host, s[i].gpa - slot->gpa);
		end = s[i].gpa + s[i].len;
		total += s[i].len;
	}
	assert_int_equal(total, HEADER + frame);
	assert_true(end + LAYOUT_GUARD_MIN <= slot->gpa + room);
	if (shape->header == LAYOUT_OWN && count > 1)
		assert_int_equal(s[0].len, HEADER);
	if (shape->header == LAYOUT_SHARED)
		assert_true(s[0].len >= HEADER);
	if (shape->cross_page && count == 1)
		assert_true(crosses_page(&s[0]));
}

static void every_shape(void **state)
{
	static const size_t frames[] = { 0, 1, 14, 15, 60, 300, 1514, 4096, 9000 };
	static uint8_t memory[65536];

	(void)state;
	for (int header = LAYOUT_SHARED; header <= LAYOUT_MIXED; header++)
		for (uint32_t pieces = 1; pieces <= 64; pieces = pieces * 2 + 1)
			for (int bits = 0; bits < 4; bits++) {
				struct layout_shape shape = { (enum layout_header)header, 1, pieces,
							      bits & 1, bits & 2 };
				uint64_t align = shape.cross_page ? GUEST_PAGE : 64;
				struct guest_span slot = { memory, 1 << 20 | align };
				size_t room = layout_room(&shape, HEADER + 9000);

				assert_true(room <= sizeof(memory));
				for (size_t f = 0; f < sizeof(frames) / sizeof(frames[0]); f++)
					for (uint64_t turn = 0; turn < 40; turn++)
						check_one(&shape, &slot, room, frames[f], turn);
			}
}

static void guards_tell(void **state)
{
	static uint8_t memory[65536];
	struct layout_shape shape = { LAYOUT_SPLIT, 5, 5, true, false };
	struct guest_span slot = { memory, 4096 };
	struct ring_segment s[LAYOUT_MAX_PIECES];
	uint8_t in[200], out[200];
	uint16_t count = layout_place(&shape, &slot, HEADER, 188, 3, s);

	(void)state;
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)i;
	layout_guard(s, count);
	layout_scatter(s, count, in);
	assert_true(layout_guards_intact(s, count));
	assert_int_equal(layout_gather(s, count, out, sizeof(out)), sizeof(out));
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(layout_gather(s, count, out, 100), 100);
	s[2].host[s[2].len] = 0;
	assert_false(layout_guards_intact(s, count));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_shape),
		cmocka_unit_test(guards_tell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
