/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket against clients that do it wrong, in all the ways there are. */
#include "control_server.h"
#include "atomic.h"
#include "control_path.h"
#include "control_rig.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

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
	struct rig *rig = *state;
	int fd = dial();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		say(fd, cases[i].line);
		expect(fd, cases[i].code, cases[i].text);
	}
	say(fd, "{\"command\":\"version\"}\n");
	expect(fd, "ok", "9.8.7");
	assert_int_equal(gw_load_acquire(&rig->stops), 0);
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
	struct rig *rig = *state;
	int fd = dial();
	unsigned int sent = 0, taken;

	for (unsigned int i = 0; i < 20; i++) {
		while (send(fd, line, sizeof(line) - 1, MSG_DONTWAIT) == sizeof(line) - 1)
			sent++;
		expect_alive();
	}
	taken = gw_load_acquire(&rig->context.taken);
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
	struct rig *rig = *state;
	int fd = dial();

	gw_store_relaxed(&rig->context.take_rc, -ENOMEM);
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

		control_address(rig_path, &address, NULL);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(requests_that_are_refused_with_a_reason),
		RIG_TEST(deeply_nested_json),
		RIG_TEST(a_line_that_is_too_long),
		RIG_TEST(half_a_request_and_then_gone),
		RIG_TEST(zero_bytes_in_a_request),
		RIG_TEST(a_hundred_idle_connections),
		RIG_TEST(a_reader_that_does_not_read),
		RIG_TEST(a_reader_that_leaves_in_the_middle_of_a_reply),
		RIG_TEST(a_snapshot_that_fails),
		RIG_TEST(no_descriptors_left),
	};

	return cmocka_run_group_tests(tests, rig_make_dir, rig_remove_dir);
}
