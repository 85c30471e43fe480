/* SPDX-License-Identifier: BSD-2-Clause */
#include "iov.h"

#include <stdint.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define BYTES 40u

/* BYTES bytes in segments of `step`, each followed by a hole of its length, and an empty one. */
static void cut(struct iovec *seg, uint8_t *p, size_t step)
{
	unsigned int count = 0;

	for (size_t at = 0; at < BYTES; at += step) {
		size_t part = step < BYTES - at ? step : BYTES - at;

		seg[count++] = (struct iovec){ p + 2 * at, part };
		seg[count++] = (struct iovec){ p + 2 * at + part, 0 };
	}
}

/* Where byte i lies then. */
static size_t place(size_t i, size_t step)
{
	return 2 * (i - i % step) + i % step;
}

/* Every offset and length, between every two layouts: these bytes move and no others. */
static void any_layout_to_any_other(void **state)
{
	static uint8_t from[2 * BYTES], to[2 * BYTES], expected[2 * BYTES];
	struct iovec in[2 * BYTES], out[2 * BYTES];

	for (unsigned int i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i + 1);
	for (unsigned int steps = 0; steps < 7 * 7; steps++) {
		unsigned int in_step = 1 + steps % 7 * 6, out_step = 1 + steps / 7 * 6;

		cut(in, from, in_step);
		cut(out, to, out_step);
		for (unsigned int n = 0; n < BYTES * BYTES; n++) {
			unsigned int in_off = n % BYTES, out_off = n / BYTES;
			unsigned int room = BYTES - (in_off > out_off ? in_off : out_off);
			unsigned int len = n % (room + 1);

			memset(to, 0, sizeof(to));
			memset(expected, 0, sizeof(expected));
			for (unsigned int i = 0; i < len; i++)
				expected[place(out_off + i, out_step)] =
					from[place(in_off + i, in_step)];
			gw_iov_copy(out, out_off, in, in_off, len);
			assert_memory_equal(to, expected, sizeof(to));
		}
	}
}

/* Nothing is looked at where nothing is to be copied: there may be no segment at all. */
static void nothing_is_copied_from_nothing(void **state)
{
	gw_iov_copy(NULL, 0, NULL, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_layout_to_any_other),
		cmocka_unit_test(nothing_is_copied_from_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
