/* SPDX-License-Identifier: BSD-2-Clause */
#include "control_json.h"
#include "fake_guestwire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static const char *text_of(const json_t *json, const char *name)
{
	const char *text = json_string_value(json_object_get(json, name));

	return text ? text : "(none)";
}

static long long number_of(const json_t *json, const char *name)
{
	assert_true(json_is_integer(json_object_get(json, name)));
	return json_integer_value(json_object_get(json, name));
}

static void names_and_numbers_of_a_port(void **state)
{
	struct gw_context context;
	json_t *json, *port;

	fake_context_fill(&context);
	json = control_json_snapshot(&context.snapshot, NULL);
	assert_int_equal(json_array_size(json_object_get(json, "ports")), 3);
	port = json_array_get(json_object_get(json, "ports"), 0);
	assert_string_equal(text_of(port, "name"), "a");
	assert_string_equal(text_of(port, "driver"), "guest");
	assert_string_equal(text_of(port, "target"), "/run/a.sock");
	assert_string_equal(text_of(port, "network"), "red");
	assert_string_equal(text_of(port, "state"), "running");
	assert_string_equal(text_of(port, "status"), "connected");
	assert_string_equal(text_of(port, "device_reads"), "delivery");
	assert_int_equal(number_of(port, "max_len"), 65562);
	assert_int_equal(json_array_size(json_object_get(port, "queue_pairs")), 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(number_of(json_array_get(json_object_get(port, "queue_pairs"), i),
					   "worker"),
				 i % 2);
	assert_int_equal(number_of(port, "rx_frames"), 1100);
	assert_int_equal(number_of(json_object_get(port, "drops"), "bad_header"), 3);
	assert_int_equal(json_object_size(json_object_get(port, "drops")), 1);
	port = json_array_get(json_object_get(json, "ports"), 1);
	assert_int_equal(json_array_size(json_object_get(port, "queue_pairs")), 0);
	json_decref(json);
}

static void how_long_frames_of_a_port_took(void **state)
{
	struct gw_context context;
	json_t *json, *latency, *forward, *bucket;

	fake_context_fill(&context);
	json = control_json_snapshot(&context.snapshot, "a");
	latency = json_object_get(json_array_get(json_object_get(json, "ports"), 0), "latency");
	forward = json_object_get(latency, "forward");
	assert_int_equal(number_of(forward, "count"), 1000);
	assert_int_equal(number_of(forward, "mean_ns"), 4000);
	assert_int_equal(number_of(forward, "p50_ns"), 3584);
	assert_int_equal(number_of(forward, "p99_ns"), 3584);
	assert_int_equal(number_of(forward, "p999_ns"), 150000);
	assert_int_equal(number_of(forward, "max_ns"), 150000);
	assert_int_equal(json_array_size(json_object_get(forward, "buckets")), 2);
	bucket = json_array_get(json_object_get(forward, "buckets"), 1);
	assert_int_equal(json_integer_value(json_array_get(bucket, 0)), 163840);
	assert_int_equal(json_integer_value(json_array_get(bucket, 1)), 5);
	assert_int_equal(number_of(json_object_get(latency, "back"), "count"), 0);
	json_decref(json);
}

static void what_workers_do(void **state)
{
	struct gw_context context;
	json_t *json, *work;

	fake_context_fill(&context);
	json = control_json_snapshot(&context.snapshot, "a");
	assert_int_equal(number_of(json, "workers"), 1);
	assert_int_equal(json_array_size(json_object_get(json, "work")), 1);
	work = json_array_get(json_object_get(json, "work"), 0);
	assert_int_equal(number_of(work, "busy_ns"), 3000000000);
	assert_int_equal(number_of(work, "polling_ns"), 1000000000);
	assert_int_equal(number_of(work, "asleep_ns"), 96000000000);
	assert_int_equal(number_of(work, "sleeps"), 15000);
	assert_int_equal(number_of(work, "wakes_worked"), 14000);
	assert_int_equal(number_of(work, "window_ns"), 4096);
	assert_true(json_is_false(json_object_get(work, "polls")));
	assert_int_equal(number_of(json_object_get(work, "round"), "max_ns"), 5000);
	json_decref(json);
}

static void the_answer_of_a_port_and_why(void **state)
{
	struct gw_context context;
	json_t *json, *answers, *answer;

	fake_context_fill(&context);
	json = control_json_snapshot(&context.snapshot, "raw");
	answers = json_object_get(json_array_get(json_object_get(json, "ports"), 0), "query");
	assert_int_equal(json_array_size(answers), 1);
	answer = json_array_get(answers, 0);
	assert_string_equal(text_of(answer, "source"), "a");
	assert_string_equal(text_of(answer, "verdict"), "no");
	assert_string_equal(text_of(answer, "reason"), "device_cannot_read");
	assert_string_equal(text_of(answer, "text"), "eth2: the device reads its own ring");
	json_decref(json);
}

static void the_ledger_of_a_pair(void **state)
{
	struct gw_context context;
	json_t *json, *pair, *query;

	fake_context_fill(&context);
	json = control_json_snapshot(&context.snapshot, NULL);
	pair = json_array_get(json_object_get(json, "pairs"), 0);
	query = json_object_get(pair, "query");
	assert_string_equal(text_of(pair, "source"), "a");
	assert_string_equal(text_of(pair, "egress"), "up");
	assert_string_equal(text_of(query, "verdict"), "partly");
	assert_true(json_is_null(json_object_get(query, "reason")));
	assert_int_equal(number_of(query, "max_segs"), 17);
	assert_true(json_is_true(json_object_get(json_object_get(pair, "query"), "current")));
	assert_int_equal(number_of(pair, "lent_frames"), 990);
	assert_int_equal(number_of(pair, "frames"), 990 + number_of(pair, "copied_frames"));
	assert_int_equal(number_of(pair, "bytes"),
			 number_of(pair, "lent_bytes") + number_of(pair, "copied_bytes"));
	assert_int_equal(number_of(pair, "lent_bytes"), 1498000);
	assert_int_equal(number_of(pair, "copied_frames"), 10);
	assert_int_equal(number_of(pair, "copied_bytes"), 2000);
	assert_int_equal(number_of(pair, "header_bytes_copied"), 0);
	assert_int_equal(number_of(pair, "kernel_copied_frames"), 990);
	assert_int_equal(number_of(pair, "kernel_copied_bytes"), 1498000);
	assert_int_equal(number_of(pair, "loans_out"), 12);
	assert_int_equal(number_of(pair, "loans_peak"), 64);
	assert_int_equal(number_of(pair, "loans_max"), 128);
	assert_int_equal(number_of(pair, "bounce_peak"), 3);
	assert_int_equal(number_of(json_object_get(pair, "copied_by_reason"), "copybreak"), 8);
	assert_int_equal(json_object_size(json_object_get(pair, "copied_by_reason")), 2);
	assert_int_equal(number_of(json_object_get(pair, "drops_by_reason"), "egress_full"), 5);
	assert_int_equal(number_of(pair, "dropped_frames"), 5);
	json_decref(json);
}

static void a_pair_that_was_not_asked_has_no_verdict(void **state)
{
	struct gw_context context;
	json_t *json, *query;

	fake_context_fill(&context);
	json = control_json_snapshot(&context.snapshot, NULL);
	query = json_object_get(json_array_get(json_object_get(json, "pairs"), 2), "query");
	assert_true(json_is_false(json_object_get(query, "asked")));
	assert_true(json_is_false(json_object_get(query, "current")));
	assert_true(json_is_null(json_object_get(query, "verdict")));
	json_decref(json);
}

static void one_port_and_its_pairs_only(void **state)
{
	struct gw_context context;
	json_t *json;

	fake_context_fill(&context);
	json = control_json_snapshot(&context.snapshot, "up");
	assert_int_equal(json_array_size(json_object_get(json, "ports")), 1);
	assert_int_equal(json_array_size(json_object_get(json, "pairs")), 2);
	json_decref(json);
}

static void text_that_is_no_utf8(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain", "plain" },
		{ "", "" },
		{ "na\xc3\xafve", "na\xc3\xafve" },
		{ "a\xff"
		  "b",
		  "a\xef\xbf\xbd"
		  "b" },
		{ "cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xff\xe2\x82\xac", "\xef\xbf\xbd\xe2\x82\xac" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *json = control_json_text(cases[i].in);

		assert_non_null(json);
		assert_string_equal(json_string_value(json), cases[i].out);
		json_decref(json);
	}
}

static void a_counter_beyond_json_integers_is_capped(void **state)
{
	struct gw_context context;
	struct gw_port_info port;
	json_t *json;

	fake_context_fill(&context);
	port = context.snapshot.ports[0];
	port.rx_bytes = UINT64_MAX;
	context.snapshot.ports = &port;
	context.snapshot.port_count = 1;
	json = control_json_snapshot(&context.snapshot, NULL);
	assert_true(number_of(json_array_get(json_object_get(json, "ports"), 0), "rx_bytes") ==
		    INT64_MAX);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_numbers_of_a_port),
		cmocka_unit_test(how_long_frames_of_a_port_took),
		cmocka_unit_test(what_workers_do),
		cmocka_unit_test(the_answer_of_a_port_and_why),
		cmocka_unit_test(the_ledger_of_a_pair),
		cmocka_unit_test(a_pair_that_was_not_asked_has_no_verdict),
		cmocka_unit_test(one_port_and_its_pairs_only),
		cmocka_unit_test(text_that_is_no_utf8),
		cmocka_unit_test(a_counter_beyond_json_integers_is_capped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
