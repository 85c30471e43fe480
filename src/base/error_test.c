/* SPDX-License-Identifier: BSD-2-Clause */
#include <guestwire/error.h>
#include <guestwire/reason.h>

#include "log.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void sets_code_and_text(void **state)
{
	struct gw_error err = { 0 };

	assert_int_equal(gw_error_set(&err, -EINVAL, "port %s: no", "a"), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_string_equal(err.text, "port a: no");
	assert_int_equal(gw_error_set(NULL, -EBUSY, "nobody listens"), -EBUSY);
}

static void appends_the_words_of_the_system(void **state)
{
	struct gw_error err = { 0 };

	assert_int_equal(gw_error_sys(&err, -ENOENT, "open %s", "/x"), -ENOENT);
	assert_string_equal(err.text, "open /x: No such file or directory");
	assert_int_equal(gw_error_sys(&err, -98765, "odd"), -98765);
	assert_string_equal(err.text, "odd: error 98765");
	assert_int_equal(gw_error_sys(NULL, -EIO, "nobody listens"), -EIO);
}

static void long_texts_are_cut(void **state)
{
	char text[2 * GW_ERROR_TEXT_BYTES];
	struct gw_error err;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	gw_error_sys(&err, -EIO, "%s", text);
	assert_int_equal(strlen(err.text), GW_ERROR_TEXT_BYTES - 1);
}

static void every_reason_has_a_name_of_its_own(void **state)
{
	for (int i = 0; i < GW_REASON_COUNT; i++) {
		assert_non_null(gw_reason_name(i));
		assert_non_null(gw_reason_text(i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(gw_reason_name(i), gw_reason_name(j));
	}
	assert_string_equal(gw_reason_name(GW_COPY_COPYBREAK), "copybreak");
	assert_string_equal(gw_reason_name(GW_DROP_EGRESS_FULL), "egress_full");
	assert_false(gw_reason_is_drop(GW_COPY_PRIVATE_HEADER));
	assert_true(gw_reason_is_drop(GW_DROP_EGRESS_FULL));
}

static void a_reason_beyond_the_table_is_unknown(void **state)
{
	assert_string_equal(gw_reason_name(GW_REASON_COUNT), "unknown");
	assert_string_equal(gw_reason_text((enum gw_reason) - 1), "unknown");
}

#define KEPT_BYTES 64

static void keep_line(void *arg, int level, const char *line)
{
	assert_int_equal(level, LOG_WARNING);
	snprintf(arg, KEPT_BYTES, "%s", line);
}

static void log_lines_are_single_lines(void **state)
{
	char line[KEPT_BYTES] = "";

	gw_log(LOG_WARNING, "no sink: nowhere");
	gw_log_set_sink(keep_line, line);
	gw_log(LOG_WARNING, "guest said %s", "a\nb\033[2J");
	gw_log_set_sink(NULL, NULL);
	assert_string_equal(line, "guest said a b [2J");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_code_and_text),
		cmocka_unit_test(appends_the_words_of_the_system),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(every_reason_has_a_name_of_its_own),
		cmocka_unit_test(a_reason_beyond_the_table_is_unknown),
		cmocka_unit_test(log_lines_are_single_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
