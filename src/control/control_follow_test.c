/* SPDX-License-Identifier: BSD-2-Clause */
/* Traces over the control socket: who follows, who is refused, who does not read. */
#include "control_server.h"
#include "atomic.h"
#include "control_client.h"
#include "control_rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void trace_request(int fd, const char *members)
{
	char line[256];

	snprintf(line, sizeof(line), "{\"command\":\"trace\"%s}\n", members);
	say(fd, line);
}

static void wait_traces(struct rig *rig, unsigned int count)
{
	uint64_t deadline_ns = gw_now_ns() + DEADLINE_MS * 1000000ull;

	while (gw_load_acquire(&rig->context.traces) != count)
		if (gw_now_ns() > deadline_ns)
			fail_msg("not %u traces", count);
}

static void events_follow_as_they_come(void **state)
{
	struct rig *rig = *state;
	int fd = dial();

	trace_request(fd, ",\"port\":\"a\",\"count\":5");
	expect(fd, "\"ok\":true", "ok");
	gw_store_relaxed(&rig->context.events, 3);
	for (unsigned int i = 0; i < 3; i++)
		expect(fd, "\"event\"", "\"source\":\"a\"");
	expect_alive();
	gw_store_relaxed(&rig->context.events, 9);
	expect(fd, "\"event\":\"unmap\"", "1003");
	expect(fd, "\"event\":\"lend\"", "1004");
	expect(fd, "\"event\":\"end\"", "count");
	assert_true(is_closed(fd));
	close(fd);
	wait_traces(rig, 0);
}

static void traces_that_are_refused(void **state)
{
	static const struct {
		const char *members, *code, *text;
	} cases[] = {
		{ ",\"port\":\"b\"", "unknown_port", "no port named 'b'" },
		{ ",\"port\":7", "bad_request", "a string or null" },
		{ ",\"every\":0", "bad_request", "1 to 1000000" },
		{ ",\"every\":\"2\"", "bad_request", "1 to 1000000" },
		{ ",\"count\":-1", "bad_request", "at least 1" },
		{ ",\"count\":1.5", "bad_request", "at least 1" },
		{ ",\"queries\":1", "bad_request", "true or false" },
		{ ",\"ever\":1", "bad_request", "unknown member 'ever'" },
		{ ",\"por\":1", "bad_request", "unknown member 'por'" },
	};
	struct rig *rig = *state;
	int fd = dial(), fds[GW_TRACES_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		trace_request(fd, cases[i].members);
		expect(fd, cases[i].code, cases[i].text);
	}
	for (size_t i = 0; i < GW_TRACES_MAX; i++) {
		fds[i] = dial();
		trace_request(fds[i], "");
		expect(fds[i], "\"ok\":true", "ok");
	}
	trace_request(fd, "");
	expect(fd, "too_many", "enough traces are on");
	for (size_t i = 0; i < GW_TRACES_MAX; i++)
		close(fds[i]);
	wait_traces(rig, 0);
	trace_request(fd, "");
	expect(fd, "\"ok\":true", "ok");
	close(fd);
	wait_traces(rig, 0);
}

/* Others are served, and no more is taken out of the rings than one batch after another. */
static void a_tracer_that_does_not_read(void **state)
{
	struct rig *rig = *state;
	int fd = dial();

	trace_request(fd, "");
	expect(fd, "\"ok\":true", "ok");
	gw_store_relaxed(&rig->context.events, UINT64_MAX);
	for (unsigned int i = 0; i < 50; i++)
		expect_alive();
	expect(fd, "\"event\":\"ask\"", "1000");
	expect_alive();
	close(fd);
	wait_traces(rig, 0);
}

static void a_trace_ends_with_the_daemon(void **state)
{
	struct rig *rig = *state;
	int fd = dial(), stuck = dial();

	trace_request(fd, "");
	expect(fd, "\"ok\":true", "ok");
	trace_request(stuck, "");
	expect(stuck, "\"ok\":true", "ok");
	gw_store_relaxed(&rig->context.events, 1);
	expect(fd, "\"event\":\"ask\"", "1000");
	control_server_detach(rig->server);
	expect(fd, "\"event\":\"end\"", "stopped");
	assert_true(is_closed(fd));
	assert_int_equal(gw_load_acquire(&rig->context.traces), 0);
	close(fd);
	close(stuck);
}

struct heard {
	unsigned int lines;
	bool end;
};

static bool count_line(void *arg, const json_t *event)
{
	struct heard *heard = arg;
	const char *name = json_string_value(json_object_get(event, "event"));

	assert_non_null(name);
	assert_int_equal(heard->lines == 0, strcmp(name, "begin") == 0);
	heard->lines++;
	heard->end = strcmp(name, "end") == 0;
	return !heard->end;
}

static void a_stream_to_the_client(void **state)
{
	struct rig *rig = *state;
	json_t *request = json_pack("{s:s, s:i}", "command", "trace", "count", 2000);
	struct heard heard = { 0 };
	struct gw_error err;

	gw_store_relaxed(&rig->context.events, 5000);
	assert_int_equal(
		control_client_stream(rig_path, request, DEADLINE_MS, count_line, &heard, &err), 0);
	assert_int_equal(heard.lines, 2002);
	assert_true(heard.end);
	json_object_set_new(request, "port", json_string("zz"));
	assert_int_equal(
		control_client_stream(rig_path, request, DEADLINE_MS, count_line, &heard, &err),
		-EREMOTEIO);
	assert_string_equal(err.text, "no port named 'zz'");
	json_decref(request);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(events_follow_as_they_come),  RIG_TEST(traces_that_are_refused),
		RIG_TEST(a_tracer_that_does_not_read), RIG_TEST(a_trace_ends_with_the_daemon),
		RIG_TEST(a_stream_to_the_client),
	};

	return cmocka_run_group_tests(tests, rig_make_dir, rig_remove_dir);
}
