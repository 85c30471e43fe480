/* SPDX-License-Identifier: BSD-2-Clause */
#include "apart.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define COUNT 64u

static uintptr_t line_of(const void *memory)
{
	return (uintptr_t)memory / GW_APART_BYTES;
}

/* Of any size: neither among themselves, nor with what others allocate between. */
static void no_two_in_one_line(void **state)
{
	uint8_t *apart[COUNT];
	void *other[COUNT];

	for (size_t i = 0; i < COUNT; i++) {
		apart[i] = gw_alloc_apart(5 * i + 1);
		other[i] = malloc(1);
		assert_non_null(apart[i]);
		assert_int_equal((uintptr_t)apart[i] % GW_APART_BYTES, 0);
	}
	for (size_t i = 0; i < COUNT; i++)
		for (size_t k = 0; k < COUNT; k++) {
			uintptr_t first = line_of(apart[i]), last = line_of(apart[i] + 5 * i);

			assert_false(line_of(other[k]) >= first && line_of(other[k]) <= last);
			assert_false(i != k && line_of(apart[k]) >= first &&
				     line_of(apart[k]) <= last);
		}
	for (size_t i = 0; i < COUNT; i++) {
		free(apart[i]);
		free(other[i]);
	}
}

static void it_is_zeroed(void **state)
{
	for (size_t bytes = 1; bytes < 4096; bytes *= 3) {
		uint8_t *memory = gw_alloc_apart(bytes);

		assert_non_null(memory);
		memset(memory, 0xff, bytes);
		free(memory);
		memory = gw_alloc_apart(bytes);
		assert_non_null(memory);
		for (size_t i = 0; i < bytes; i++)
			assert_int_equal(memory[i], 0);
		free(memory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_two_in_one_line),
		cmocka_unit_test(it_is_zeroed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
