/* SPDX-License-Identifier: BSD-2-Clause */
#include "iov.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define BYTES 40u

/* Cuts len bytes at `p` into segments of `step`, an empty one after each. */
static unsigned int cut(struct iovec *seg, uint8_t *p, size_t len, size_t step)
{
	unsigned int count = 0;

	for (size_t at = 0; at < len; at += step) {
		seg[count++] = (struct iovec){ p + at, step < len - at ? step : len - at };
		seg[count++] = (struct iovec){ p + at, 0 };
	}
	return count;
}

/* Every offset and length, between every two layouts: these bytes move and no others. */
static void any_layout_to_any_other(void **state)
{
	/* Of the exact size, so that a sanitizer sees each byte too far. */
	uint8_t *from = malloc(BYTES), *to = malloc(BYTES), expected[BYTES];
	struct iovec in[2 * BYTES], out[2 * BYTES];

	for (unsigned int i = 0; i < BYTES; i++)
		from[i] = (uint8_t)(i + 1);
	for (unsigned int steps = 0; steps < 7 * 7; steps++) {
		cut(in, from, BYTES, 1 + steps % 7 * 6);
		cut(out, to, BYTES, 1 + steps / 7 * 6);
		for (unsigned int n = 0; n < BYTES * BYTES; n++) {
			unsigned int in_off = n % BYTES, out_off = n / BYTES;
			unsigned int room = BYTES - (in_off > out_off ? in_off : out_off);
			unsigned int len = n % (room + 1);

			memset(to, 0, BYTES);
			memset(expected, 0, BYTES);
			memcpy(expected + out_off, from + in_off, len);
			gw_iov_copy(out, out_off, in, in_off, len);
			assert_memory_equal(to, expected, BYTES);
		}
	}
	free(from);
	free(to);
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
