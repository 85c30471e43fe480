/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket against clients that do it right, and all the ways to do it wrong. */
#include "control_server.h"
#include "atomic.h"
#include "control_client.h"
#include "control_pass.h"
#include "control_path.h"
#include "fake_guestwire.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define DEADLINE_MS 5000

static char dir[] = "/tmp/control_server_test.XXXXXX";
static char path[sizeof(dir) + 32];

struct bench {
	struct gw_context context;
	struct gw_loop *loop;
	struct control_server *server;
	pthread_t thread;
	unsigned int stops;
};

static void count_stop(void *arg)
{
	gw_atomic_add(&((struct bench *)arg)->stops, 1);
}

static void *run_loop(void *arg)
{
	gw_loop_run(arg);
	return NULL;
}

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	struct control_actions actions = { .stop = count_stop, .arg = bench };
	struct gw_error err;

	fake_context_fill(&bench->context);
	assert_int_equal(gw_loop_create(&bench->loop), 0);
	assert_int_equal(control_server_open(&bench->server, bench->loop, &bench->context, path, -1,
					     &actions, &err),
			 0);
	assert_int_equal(control_server_serve(bench->server, &err), 0);
	pthread_create(&bench->thread, NULL, run_loop, bench->loop);
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	gw_loop_quit(bench->loop);
	pthread_join(bench->thread, NULL);
	control_server_close(bench->server);
	gw_loop_destroy(bench->loop);
	assert_int_equal(bench->context.taken, bench->context.freed);
	free(bench);
	return 0;
}

/* ---- a client by hand ---- */

static int dial(void)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	control_address(path, &address, NULL);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* One line without its newline into buf; false: end of file before it. */
static bool hear(int fd, char *buf, size_t bytes)
{
	size_t used = 0;

	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		ssize_t got;

		assert_int_equal(poll(&pfd, 1, DEADLINE_MS), 1);
		assert_true(used < bytes);
		got = recv(fd, buf + used, 1, 0);
		if (got <= 0)
			return false;
		if (buf[used] == '\n')
			break;
		used++;
	}
	buf[used] = 0;
	return true;
}

static bool is_closed(int fd)
{
	char c;

	return !hear(fd, &c, 1);
}

/* The next answer on fd has both words. */
static void expect(int fd, const char *word, const char *other)
{
	static char line[1 << 20];

	assert_true(hear(fd, line, sizeof(line)));
	if (!strstr(line, word) || !strstr(line, other))
		fail_msg("no '%s' and '%s' in: %s", word, other, line);
}

/* The server still does what it is for. */
static void expect_alive(void)
{
	int fd = dial();

	say(fd, "{\"command\":\"version\"}\n");
	expect(fd, "\"ok\":true", "9.8.7");
	close(fd);
}

/* ---- as it should be ---- */

static void show_and_version(void **state)
{
	json_t *request = json_pack("{s:s, s:n}", "command", "show", "port"), *reply;
	struct gw_error err;

	assert_int_equal(control_client_call(path, request, DEADLINE_MS, &reply, &err), 0);
	assert_int_equal(json_array_size(json_object_get(reply, "ports")), 3);
	json_decref(reply);
	json_object_set_new(request, "port", json_string("up"));
	assert_int_equal(control_client_call(path, request, DEADLINE_MS, &reply, &err), 0);
	assert_int_equal(json_array_size(json_object_get(reply, "ports")), 1);
	json_decref(reply);
	json_decref(request);
	expect_alive();
}

static void several_requests_on_one_connection(void **state)
{
	int fd = dial();

	say(fd, "{\"command\":\"version\"}\n{\"command\":\"show\",\"port\":\"up\"}\n");
	say(fd, "{\"command\":\"version\"}\n");
	expect(fd, "ok", "9.8.7");
	expect(fd, "ports", "\"up\"");
	expect(fd, "ok", "9.8.7");
	close(fd);
}

static void a_request_in_pieces(void **state)
{
	int fd = dial();

	for (const char *p = "{\"command\":\"version\"}\n"; *p; p++)
		assert_int_equal(send(fd, p, 1, 0), 1);
	expect(fd, "ok", "9.8.7");
	close(fd);
}

static void a_client_that_shuts_its_side_down_is_answered(void **state)
{
	int fd = dial();

	say(fd, "{\"command\":\"version\"}\n{\"command\":\"version\"}\n");
	shutdown(fd, SHUT_WR);
	expect(fd, "ok", "9.8.7");
	expect(fd, "ok", "9.8.7");
	assert_true(is_closed(fd));
	close(fd);
}

static void stop_is_answered_when_all_is_stopped(void **state)
{
	struct bench *bench = *state;
	struct pollfd pfd = { .events = POLLIN };
	int fd = dial(), late;

	say(fd, "{\"command\":\"stop\"}\n");
	expect_alive();
	pfd.fd = fd;
	assert_int_equal(poll(&pfd, 1, 0), 0);
	assert_int_equal(gw_load_acquire(&bench->stops), 1);
	control_server_stopped(bench->server, 7);
	expect(fd, "\"stopped\":true", "\"quarantined\":7");
	assert_true(is_closed(fd));
	late = dial();
	say(late, "{\"command\":\"stop\"}\n");
	expect(late, "\"stopped\":true", "\"quarantined\":7");
	close(late);
	close(fd);
}

static void after_detach_the_path_is_free(void **state)
{
	struct bench *bench = *state;
	int fd = dial();

	say(fd, "{\"command\":\"version\"}\n");
	expect(fd, "ok", "9.8.7");
	control_server_detach(bench->server);
	assert_int_equal(access(path, F_OK), -1);
	say(fd, "{\"command\":\"show\"}\n");
	expect(fd, "stopping", "stopped its ports");
	say(fd, "{\"command\":\"stop\"}\n");
	control_server_stopped(bench->server, 0);
	expect(fd, "\"stopped\":true", "\"quarantined\":0");
	close(fd);
}

static void a_client_that_leaves_while_it_waits_for_stop(void **state)
{
	struct bench *bench = *state;
	int fd = dial();

	say(fd, "{\"command\":\"stop\"}\n");
	close(fd);
	expect_alive();
	control_server_stopped(bench->server, 0);
}

/* Who connects while the daemon starts is not refused, and is answered when it is ready. */
static void a_client_that_comes_before_the_daemon_is_ready(void **state)
{
	struct bench *bench = *state;
	struct control_actions actions = { .stop = count_stop, .arg = bench };
	struct control_server *server;
	struct gw_error err;
	char usual[sizeof(path)];
	struct pollfd pfd = { .events = POLLIN };

	memcpy(usual, path, sizeof(path));
	snprintf(path, sizeof(path), "%s/early", dir);
	assert_int_equal(control_server_open(&server, bench->loop, &bench->context, path, -1,
					     &actions, &err),
			 0);
	pfd.fd = dial();
	say(pfd.fd, "{\"command\":\"version\"}\n");
	assert_int_equal(poll(&pfd, 1, 0), 0);
	assert_int_equal(control_server_serve(server, &err), 0);
	expect(pfd.fd, "ok", "9.8.7");
	close(pfd.fd);
	gw_loop_quit(bench->loop);
	pthread_join(bench->thread, NULL);
	control_server_close(server);
	memcpy(path, usual, sizeof(path));
	pthread_create(&bench->thread, NULL, run_loop, bench->loop);
}

/* ---- hand-over ---- */

/* Hands over, and returns what came: the listening socket. */
static int take_listener(struct bench *bench)
{
	struct gw_error err;
	int pair[2], listener_fd = -1;
	char byte;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(control_server_hand_over(bench->server, pair[0], &err), 0);
	for (byte = 0; byte != '\n';)
		assert_int_equal(control_pass_receive(pair[1], &byte, &listener_fd), 1);
	close(pair[0]);
	assert_int_equal(control_pass_receive(pair[1], &byte, &listener_fd), 0);
	close(pair[1]);
	assert_true(listener_fd >= 0);
	return listener_fd;
}

/* A client that comes while nobody serves. */
static int dial_and_wait(void)
{
	struct pollfd pfd = { .fd = dial(), .events = POLLIN };

	say(pfd.fd, "{\"command\":\"version\"}\n");
	assert_int_equal(poll(&pfd, 1, 0), 0);
	return pfd.fd;
}

static void a_hand_over_that_comes_to_nothing(void **state)
{
	struct bench *bench = *state;
	struct control_actions actions = { .stop = count_stop, .arg = bench };
	struct control_server *other;
	struct gw_error err;
	int fd;

	assert_int_equal(control_server_open(&other, bench->loop, &bench->context, path,
					     take_listener(bench), &actions, &err),
			 0);
	fd = dial_and_wait();
	control_server_close(other);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(control_server_resume(bench->server, &bench->context, &err), 0);
	expect(fd, "ok", "9.8.7");
	close(fd);
	expect_alive();
	control_server_detach(bench->server);
	assert_int_equal(access(path, F_OK), -1);
}

static void another_one_serves_those_who_wait(void **state)
{
	struct bench *bench = *state;
	struct control_actions actions = { .stop = count_stop, .arg = bench };
	struct control_server *other;
	struct gw_error err;
	int fd;

	assert_int_equal(control_server_open(&other, bench->loop, &bench->context, path,
					     take_listener(bench), &actions, &err),
			 0);
	fd = dial_and_wait();
	assert_int_equal(control_server_serve(other, &err), 0);
	expect(fd, "ok", "9.8.7");
	close(fd);
	control_server_detach(bench->server);
	assert_int_equal(access(path, F_OK), 0);
	expect_alive();
	control_server_detach(other);
	assert_int_equal(access(path, F_OK), -1);
	gw_loop_quit(bench->loop);
	pthread_join(bench->thread, NULL);
	control_server_close(other);
	pthread_create(&bench->thread, NULL, run_loop, bench->loop);
}

/* ---- bad input ---- */

static void requests_that_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *line, *code, *text;
	} cases[] = {
		{ "hello\n", "bad_request", "not a line of JSON" },
		{ "\n", "bad_request", "not a line of JSON" },
		{ "{\"command\":\"show\"\n", "bad_request", "not a line of JSON" },
		{ "{\"command\":\"show\"} trailing\n", "bad_request", "not a line of JSON" },
		{ "[1,2]\n", "bad_request", "not a JSON object" },
		{ "{}\n", "bad_request", "has to be there" },
		{ "{\"command\":5}\n", "bad_request", "has to be there" },
		{ "{\"command\":\"dance\"}\n", "unknown_command", "no command 'dance'" },
		{ "{\"command\":\"show\",\"port\":5}\n", "bad_request", "a string or null" },
		{ "{\"command\":\"show\",\"prt\":\"a\"}\n", "bad_request", "unknown member 'prt'" },
		{ "{\"command\":\"stop\",\"port\":\"a\"}\n", "bad_request", "unknown member" },
		{ "{\"command\":\"show\",\"port\":\"b\"}\n", "unknown_port",
		  "no port named 'b'; there are a, up, raw" },
		{ "{\"command\":\"show\",\"command\":\"stop\"}\n", "bad_request", "duplicate" },
		{ "{\"command\":\"\\ud800\"}\n", "bad_request", "JSON" },
		{ "\xff\xfe\x80\n", "bad_request", "JSON" },
	};
	struct bench *bench = *state;
	int fd = dial();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		say(fd, cases[i].line);
		expect(fd, cases[i].code, cases[i].text);
	}
	say(fd, "{\"command\":\"version\"}\n");
	expect(fd, "ok", "9.8.7");
	assert_int_equal(gw_load_acquire(&bench->stops), 0);
	close(fd);
}

static void deeply_nested_json(void **state)
{
	char line[CONTROL_REQUEST_BYTES];
	int fd = dial();

	memset(line, '[', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	assert_int_equal(send(fd, line, sizeof(line), 0), sizeof(line));
	expect(fd, "bad_request", "JSON");
	close(fd);
}

static void a_line_that_is_too_long(void **state)
{
	char line[CONTROL_REQUEST_BYTES];
	int fd = dial();

	memset(line, 'x', sizeof(line));
	assert_int_equal(send(fd, line, sizeof(line), 0), sizeof(line));
	expect(fd, "too_long", "longer than 4096 bytes");
	assert_true(is_closed(fd));
	close(fd);
	expect_alive();
}

static void half_a_request_and_then_gone(void **state)
{
	int fd = dial();

	say(fd, "{\"command\":\"sh");
	close(fd);
	expect_alive();
	fd = dial();
	say(fd, "{\"command\":\"sh");
	shutdown(fd, SHUT_WR);
	expect(fd, "bad_request", "without a newline");
	assert_true(is_closed(fd));
	close(fd);
}

static void zero_bytes_in_a_request(void **state)
{
	static const char line[] = "{\"command\":\"version\0\"}\n";
	int fd = dial();

	assert_int_equal(send(fd, line, sizeof(line) - 1, 0), sizeof(line) - 1);
	expect(fd, "bad_request", "JSON");
	close(fd);
}

static void a_hundred_idle_connections(void **state)
{
	int fds[100];

	for (size_t i = 0; i < 100; i++)
		fds[i] = dial();
	expect_alive();
	expect(fds[0], "too_many", "silent for longest");
	assert_true(is_closed(fds[0]));
	say(fds[99], "{\"command\":\"version\"}\n");
	expect(fds[99], "ok", "9.8.7");
	for (size_t i = 0; i < 100; i++)
		close(fds[i]);
	expect_alive();
}

/* Asks without reading until nothing more goes in; others are served all the while. */
static void a_reader_that_does_not_read(void **state)
{
	static const char line[] = "{\"command\":\"show\"}\n";
	struct bench *bench = *state;
	int fd = dial();
	unsigned int sent = 0, taken;

	for (unsigned int i = 0; i < 20; i++) {
		while (send(fd, line, sizeof(line) - 1, MSG_DONTWAIT) == sizeof(line) - 1)
			sent++;
		expect_alive();
	}
	taken = gw_load_acquire(&bench->context.taken);
	assert_true(taken < sent);
	for (unsigned int i = 0; i < taken; i++)
		expect(fd, "\"ok\":true", "ports");
	expect_alive();
	close(fd);
}

static void a_reader_that_leaves_in_the_middle_of_a_reply(void **state)
{
	static const char line[] = "{\"command\":\"show\"}\n";
	int fd = dial();

	while (send(fd, line, sizeof(line) - 1, MSG_DONTWAIT) == sizeof(line) - 1)
		;
	close(fd);
	expect_alive();
}

static void a_snapshot_that_fails(void **state)
{
	struct bench *bench = *state;
	int fd = dial();

	gw_store_relaxed(&bench->context.take_rc, -ENOMEM);
	say(fd, "{\"command\":\"show\"}\n");
	expect(fd, "failed", "Cannot allocate memory");
	close(fd);
}

/* No descriptor is left to accept with: the server must not spin, and must come back. */
static void no_descriptors_left(void **state)
{
	struct rlimit old, low;
	int first = dial(), fd, spare;

	say(first, "{\"command\":\"version\"}\n");
	expect(first, "ok", "9.8.7");
	getrlimit(RLIMIT_NOFILE, &old);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	spare = dup(fd);
	assert_true(spare > fd);
	low = old;
	low.rlim_cur = (rlim_t)spare + 1;
	setrlimit(RLIMIT_NOFILE, &low);
	{
		struct sockaddr_un address;

		control_address(path, &address, NULL);
		assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	}
	/* The one that was there makes place for the new one. */
	expect(first, "too_many", "silent for longest");
	say(fd, "{\"command\":\"version\"}\n");
	expect(fd, "ok", "9.8.7");
	setrlimit(RLIMIT_NOFILE, &old);
	close(first);
	close(spare);
	close(fd);
	expect_alive();
}

/* ---- traces ---- */

static void trace_request(int fd, const char *members)
{
	char line[256];

	snprintf(line, sizeof(line), "{\"command\":\"trace\"%s}\n", members);
	say(fd, line);
}

static void wait_traces(struct bench *bench, unsigned int count)
{
	uint64_t deadline_ns = gw_now_ns() + DEADLINE_MS * 1000000ull;

	while (gw_load_acquire(&bench->context.traces) != count)
		if (gw_now_ns() > deadline_ns)
			fail_msg("not %u traces", count);
}

static void events_follow_as_they_come(void **state)
{
	struct bench *bench = *state;
	int fd = dial();

	trace_request(fd, ",\"port\":\"a\",\"count\":5");
	expect(fd, "\"ok\":true", "ok");
	gw_store_relaxed(&bench->context.events, 3);
	for (unsigned int i = 0; i < 3; i++)
		expect(fd, "\"event\"", "\"source\":\"a\"");
	expect_alive();
	gw_store_relaxed(&bench->context.events, 9);
	expect(fd, "\"event\":\"unmap\"", "1003");
	expect(fd, "\"event\":\"lend\"", "1004");
	expect(fd, "\"event\":\"end\"", "count");
	assert_true(is_closed(fd));
	close(fd);
	wait_traces(bench, 0);
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
	struct bench *bench = *state;
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
	wait_traces(bench, 0);
	trace_request(fd, "");
	expect(fd, "\"ok\":true", "ok");
	close(fd);
	wait_traces(bench, 0);
}

/* Others are served, and no more is taken out of the rings than one batch after another. */
static void a_tracer_that_does_not_read(void **state)
{
	struct bench *bench = *state;
	int fd = dial();

	trace_request(fd, "");
	expect(fd, "\"ok\":true", "ok");
	gw_store_relaxed(&bench->context.events, UINT64_MAX);
	for (unsigned int i = 0; i < 50; i++)
		expect_alive();
	expect(fd, "\"event\":\"ask\"", "1000");
	expect_alive();
	close(fd);
	wait_traces(bench, 0);
}

static void a_trace_ends_with_the_daemon(void **state)
{
	struct bench *bench = *state;
	int fd = dial(), stuck = dial();

	trace_request(fd, "");
	expect(fd, "\"ok\":true", "ok");
	trace_request(stuck, "");
	expect(stuck, "\"ok\":true", "ok");
	gw_store_relaxed(&bench->context.events, 1);
	expect(fd, "\"event\":\"ask\"", "1000");
	control_server_detach(bench->server);
	expect(fd, "\"event\":\"end\"", "stopped");
	assert_true(is_closed(fd));
	assert_int_equal(gw_load_acquire(&bench->context.traces), 0);
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
	struct bench *bench = *state;
	json_t *request = json_pack("{s:s, s:i}", "command", "trace", "count", 2000);
	struct heard heard = { 0 };
	struct gw_error err;

	gw_store_relaxed(&bench->context.events, 5000);
	assert_int_equal(
		control_client_stream(path, request, DEADLINE_MS, count_line, &heard, &err), 0);
	assert_int_equal(heard.lines, 2002);
	assert_true(heard.end);
	json_object_set_new(request, "port", json_string("zz"));
	assert_int_equal(
		control_client_stream(path, request, DEADLINE_MS, count_line, &heard, &err),
		-EREMOTEIO);
	assert_string_equal(err.text, "no port named 'zz'");
	json_decref(request);
}

/* ---- the client ---- */

static void nobody_is_there(void **state)
{
	json_t *request = json_pack("{s:s}", "command", "version"), *reply = NULL;
	struct gw_error err;

	assert_int_equal(control_client_call("/nonexistent/s", request, 100, &reply, &err),
			 -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/s; is guestwired running?"));
	json_decref(request);
}

static void a_daemon_that_does_not_answer(void **state)
{
	json_t *request = json_pack("{s:s}", "command", "stop"), *reply = NULL;
	struct gw_error err;

	assert_int_equal(control_client_call(path, request, 50, &reply, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "within 50 ms"));
	json_decref(request);
}

static void the_words_of_the_daemon_reach_the_user(void **state)
{
	json_t *request = json_pack("{s:s, s:s}", "command", "show", "port", "zz"), *reply = NULL;
	struct gw_error err;

	assert_int_equal(control_client_call(path, request, DEADLINE_MS, &reply, &err), -EREMOTEIO);
	assert_string_equal(err.text, "no port named 'zz'; there are a, up, raw");
	json_decref(request);
}

static int make_dir(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/sock", dir);
	return 0;
}

static int remove_dir(void **state)
{
	return rmdir(dir);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(show_and_version),
		TEST(several_requests_on_one_connection),
		TEST(a_request_in_pieces),
		TEST(a_client_that_shuts_its_side_down_is_answered),
		TEST(stop_is_answered_when_all_is_stopped),
		TEST(after_detach_the_path_is_free),
		TEST(a_client_that_leaves_while_it_waits_for_stop),
		TEST(a_client_that_comes_before_the_daemon_is_ready),
		TEST(a_hand_over_that_comes_to_nothing),
		TEST(another_one_serves_those_who_wait),
		TEST(requests_that_are_refused_with_a_reason),
		TEST(deeply_nested_json),
		TEST(a_line_that_is_too_long),
		TEST(half_a_request_and_then_gone),
		TEST(zero_bytes_in_a_request),
		TEST(a_hundred_idle_connections),
		TEST(a_reader_that_does_not_read),
		TEST(a_reader_that_leaves_in_the_middle_of_a_reply),
		TEST(a_snapshot_that_fails),
		TEST(no_descriptors_left),
		TEST(events_follow_as_they_come),
		TEST(traces_that_are_refused),
		TEST(a_tracer_that_does_not_read),
		TEST(a_trace_ends_with_the_daemon),
		TEST(a_stream_to_the_client),
		TEST(nobody_is_there),
		TEST(a_daemon_that_does_not_answer),
		TEST(the_words_of_the_daemon_reach_the_user),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
