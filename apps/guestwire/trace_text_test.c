/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace_text.h"
#include "control_trace.h"
#include "fake_guestwire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The text of an event, which is consumed. */
static char *line(json_t *event, json_int_t *first_ns)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	trace_text(out, event, first_ns);
	fclose(out);
	json_decref(event);
	return text;
}

static void each_kind(void **state)
{
	static const char *const golden[] = {
		"   0.000000  a -> up           ask     about memory 7: the first frame\n",
		"   0.000001  a -> up           answer  partly, reads dma, up to 17 segments: "
		"queue 0, zero-copy\n",
		"   0.000002  a -> up           map     memory 7, 64.0 MiB, in 3.200 ms: "
		"queue 0, zero-copy\n",
		"   0.000003  a -> up           unmap   memory 7, 64.0 MiB, in 3.200 ms\n",
		"   0.000004  a -> up           lend    #4 1514 bytes: header+54 0x12345000+1460 "
		"private+10\n",
		"   0.000005  a -> up           copy    1514 bytes: copybreak\n",
		"   0.000006  a                 drop    1514 bytes: egress_full\n",
		"   0.000007  a -> up           home    #7 after 12.3 us\n",
	};
	json_int_t first_ns = 0;

	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		struct gw_trace_event event = fake_event(i);
		char *text;

		event.time_ns = 1000 + 1000 * i;
		text = line(control_trace_json(&event), &first_ns);
		assert_string_equal(text, golden[i]);
		free(text);
	}
}

static void what_is_no_event_of_a_frame(void **state)
{
	json_int_t first_ns = 5;
	char *text = line(json_pack("{s:s, s:i}", "event", "lost", "count", 9), &first_ns);

	assert_string_equal(text, "lost    9 events, which came faster than they were read\n");
	free(text);
	text = line(json_pack("{s:s, s:s}", "event", "end", "why", "stopped"), &first_ns);
	assert_string_equal(text, "end     stopped\n");
	free(text);
}

static void events_of_another_shape(void **state)
{
	static const char *const shapes[] = {
		"{}",
		"[1]",
		"{\"event\":5,\"segments\":7}",
		"{\"event\":\"lend\",\"segments\":[1,{\"guest_address\":\"x\"}],\"time_ns\":-5}",
		"{\"event\":\"\\u001b[2J\",\"source\":\"\\u001b[2J\",\"time_ns\":1}",
	};

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		json_int_t first_ns = 0;
		char *text = line(json_loads(shapes[i], 0, NULL), &first_ns);

		assert_null(strchr(text, '\033'));
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind),
		cmocka_unit_test(what_is_no_event_of_a_frame),
		cmocka_unit_test(events_of_another_shape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
