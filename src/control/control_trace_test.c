/* SPDX-License-Identifier: BSD-2-Clause */
#include "control_trace.h"
#include "fake_guestwire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct control_trace *open_trace(struct gw_context *context, uint64_t count)
{
	struct gw_trace_options options = { .size = sizeof(options) };
	struct gw_trace *trace;

	assert_int_equal(gw_trace_start(context, &options, &trace, NULL), 0);
	return control_trace_open(trace, count);
}

/* Line i of text, parsed; the caller's. */
static json_t *line_of(const char *text, unsigned int i)
{
	for (; i; i--)
		text = strchr(text, '\n') + 1;
	return json_loadb(text, strcspn(text, "\n"), 0, NULL);
}

static void each_kind_has_its_members(void **state)
{
	static const char *const lines[] = {
		"{\"event\":\"ask\",\"time_ns\":1000,\"source\":\"a\",\"egress\":\"up\","
		"\"why\":\"first\",\"memory\":7}",
		"{\"event\":\"answer\",\"time_ns\":1001,\"source\":\"a\",\"egress\":\"up\","
		"\"memory\":7,\"verdict\":\"partly\",\"reason\":null,"
		"\"text\":\"queue 0, zero-copy\",\"device_reads\":\"dma\",\"ends_in_tx\":false,"
		"\"needs_map\":false,\"single_page_segs\":false,\"page_bytes\":0,\"max_segs\":17}",
		"{\"event\":\"map\",\"time_ns\":1002,\"source\":\"a\",\"egress\":\"up\","
		"\"memory\":7,\"bytes\":67108864,\"duration_ns\":3200000,\"failed\":false,"
		"\"text\":\"queue 0, zero-copy\"}",
		"{\"event\":\"unmap\",\"time_ns\":1003,\"source\":\"a\",\"egress\":\"up\","
		"\"memory\":7,\"bytes\":67108864,\"duration_ns\":3200000}",
		"{\"event\":\"lend\",\"time_ns\":1004,\"source\":\"a\",\"egress\":\"up\","
		"\"loan\":4,\"bytes\":1514,\"header_bytes\":54,\"segments\":["
		"{\"guest_address\":305418240,\"bytes\":1460},"
		"{\"guest_address\":null,\"bytes\":10}]}",
		"{\"event\":\"copy\",\"time_ns\":1005,\"source\":\"a\",\"egress\":\"up\","
		"\"bytes\":1514,\"reason\":\"copybreak\"}",
		"{\"event\":\"drop\",\"time_ns\":1006,\"source\":\"a\",\"egress\":null,"
		"\"frames\":1,\"bytes\":1514,\"reason\":\"egress_full\"}",
		"{\"event\":\"home\",\"time_ns\":1007,\"source\":\"a\",\"egress\":\"up\","
		"\"loan\":7,\"bytes\":1514,\"duration_ns\":12345}",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct gw_trace_event event = fake_event(i);
		json_t *json = control_trace_json(&event);
		char *text = json_dumps(json, JSON_COMPACT);

		assert_string_equal(text, lines[i]);
		free(text);
		json_decref(json);
	}
}

static void a_trace_ends_with_its_count(void **state)
{
	struct gw_context context = { .events = 1000 };
	struct control_trace *trace = open_trace(&context, 300);
	unsigned int lines = 0;
	bool last = false;

	for (unsigned int i = 0; i < 2; i++) {
		size_t len;
		char *text = control_trace_lines(trace, &len, &last);

		assert_int_equal(last, i == 1);
		for (size_t k = 0; k < len; k++)
			lines += text[k] == '\n';
		if (last) {
			json_t *end = line_of(text, 300 - CONTROL_TRACE_BATCH);

			assert_string_equal(json_string_value(json_object_get(end, "event")),
					    "end");
			json_decref(end);
		}
		free(text);
	}
	assert_int_equal(lines, 301);
	control_trace_close(trace);
	assert_int_equal(context.traces, 0);
}

static void what_was_lost_is_said(void **state)
{
	struct gw_context context = { .lost = 5 };
	struct control_trace *trace = open_trace(&context, 0);
	size_t len;
	bool last;
	char *text = control_trace_lines(trace, &len, &last);

	assert_memory_equal(text, "{\"event\":\"lost\",\"count\":5}\n", len);
	assert_false(last);
	free(text);
	assert_null(control_trace_lines(trace, &len, &last));
	control_trace_close(trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_has_its_members),
		cmocka_unit_test(a_trace_ends_with_its_count),
		cmocka_unit_test(what_was_lost_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
