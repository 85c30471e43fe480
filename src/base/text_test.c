/* SPDX-License-Identifier: BSD-2-Clause */
#include "text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void reads_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} good[] = {
		{ "0", 0 },     { "007", 7 },       { "18446744073709551615", UINT64_MAX },
		{ "4K", 4096 }, { "3M", 3u << 20 }, { "2G", 2ull << 30 },
	};
	uint64_t value;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(gw_text_u64("n", good[i].text, 0, UINT64_MAX, &value, NULL), 0);
		assert_int_equal(value, good[i].value);
	}
}

static void refuses_what_is_no_number(void **state)
{
	static const char *const bad[] = { "",
					   "-1",
					   "+1",
					   " 1",
					   "1 ",
					   "1k",
					   "1KK",
					   "K",
					   "x",
					   "0x10",
					   "18446744073709551616",
					   "18446744073709551615K" };
	struct gw_error err;
	uint64_t value = 42;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(gw_text_u64("queue", bad[i], 0, UINT64_MAX, &value, &err),
				 -EINVAL);
		assert_non_null(strstr(err.text, "queue: "));
	}
	assert_int_equal(value, 42);
}

static void refuses_what_is_out_of_range(void **state)
{
	struct gw_error err;
	uint64_t value;

	assert_int_equal(gw_text_u64("queue", "4", 5, 9, &value, &err), -EINVAL);
	assert_string_equal(err.text, "queue: 4 is out of range; 5 to 9 is possible");
	assert_int_equal(gw_text_u64("queue", "10", 5, 9, &value, NULL), -EINVAL);
	assert_int_equal(gw_text_u64("queue", "9", 5, 9, &value, NULL), 0);
}

static void knows_names(void **state)
{
	assert_true(gw_text_is_name("a"));
	assert_true(gw_text_is_name("0eth_1.2-3"));
	assert_true(gw_text_is_name("abcdefghijklmnopqrstuvwxyz01234"));
	assert_false(gw_text_is_name("abcdefghijklmnopqrstuvwxyz012345"));
	assert_false(gw_text_is_name(""));
	assert_false(gw_text_is_name("-a"));
	assert_false(gw_text_is_name(".a"));
	assert_false(gw_text_is_name("a b"));
	assert_false(gw_text_is_name("a/b"));
	assert_false(gw_text_is_name("a\xc3\xa4"));
}

static void copies_within_bounds(void **state)
{
	char small[4];

	assert_true(gw_text_copy(small, sizeof(small), "abc"));
	assert_string_equal(small, "abc");
	assert_false(gw_text_copy(small, sizeof(small), "wxyz"));
	assert_string_equal(small, "wxy");
	assert_false(gw_text_copy(small, 0, "q"));
	assert_string_equal(small, "wxy");
}

static void lists_words_for_people(void **state)
{
	char list[11] = "";

	assert_true(gw_text_list_add(list, sizeof(list), "abc"));
	assert_string_equal(list, "abc");
	assert_true(gw_text_list_add(list, sizeof(list), "defgh"));
	assert_string_equal(list, "abc, defgh");
	assert_false(gw_text_list_add(list, sizeof(list), "i"));
	assert_string_equal(list, "abc, defgh");
	list[3] = 0;
	assert_false(gw_text_list_add(list, sizeof(list), "defghi"));
	assert_string_equal(list, "abc, defgh");
}

static void finds_words_in_lists(void **state)
{
	assert_true(gw_text_has_word("port every", "port"));
	assert_true(gw_text_has_word("port every", "every"));
	assert_false(gw_text_has_word("port every", "ever"));
	assert_false(gw_text_has_word("port every", "ports"));
	assert_false(gw_text_has_word("port every", "port every"));
	assert_false(gw_text_has_word("port every", ""));
	assert_false(gw_text_has_word("", "port"));
	assert_false(gw_text_has_word("", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_numbers),
		cmocka_unit_test(refuses_what_is_no_number),
		cmocka_unit_test(refuses_what_is_out_of_range),
		cmocka_unit_test(knows_names),
		cmocka_unit_test(copies_within_bounds),
		cmocka_unit_test(lists_words_for_people),
		cmocka_unit_test(finds_words_in_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
