/* SPDX-License-Identifier: BSD-2-Clause */
/* Whoever claims to read each byte has to: a byte that differs makes another sum. */
#include "read_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Some turns, and each rest. */
#define LEN_MAX (3 * READ_TURN_BYTES)

/* One allocation for each length: what is read beyond it a sanitizer tells. */
static void test_each_byte_is_read(void **state)
{
	for (size_t len = 0; len <= LEN_MAX; len++) {
		uint8_t *bytes = calloc(1, len ? len : 1);

		assert_non_null(bytes);
		assert_int_equal(read_bytes(bytes, len), 0);
		for (size_t i = 0; i < len; i++) {
			bytes[i] = 1;
			assert_int_not_equal(read_bytes(bytes, len), 0);
			bytes[i] = 0;
		}
		free(bytes);
	}
}

static void test_and_none_beyond(void **state)
{
	uint8_t bytes[LEN_MAX + 1] = { 0 };

	for (size_t len = 0; len <= LEN_MAX; len++) {
		bytes[len] = 1;
		assert_int_equal(read_bytes(bytes, len), 0);
		bytes[len] = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_byte_is_read),
		cmocka_unit_test(test_and_none_beyond),
	};

	return cmocka_run_group_tests_name("read_bytes", tests, NULL, NULL);
}
