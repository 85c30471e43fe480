/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon_notify.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

/* Binds a datagram socket to an abstract name of its own, and says it in NOTIFY_SOCKET. */
static int manager(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int len = snprintf(address.sun_path, sizeof(address.sun_path), "@gw-notify-%d", getpid());

	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	address.sun_path[0] = 0;
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)),
			 0);
	return fd;
}

static void expect(int fd, const char *text)
{
	char got[64];

	assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

static void the_manager_hears_it(void **state)
{
	int fd = manager(), to;

	assert_int_equal(daemon_notify_open(&to), 0);
	assert_int_equal(daemon_notify(&to, "READY=1"), 0);
	expect(fd, "READY=1");
	close(fd);
	assert_int_equal(daemon_notify(&to, "STOPPING=1"), -ECONNREFUSED);
	assert_int_equal(to, -1);
}

static void a_manager_that_was_started_anew_hears_it(void **state)
{
	int fd = manager(), to;

	assert_int_equal(daemon_notify_open(&to), 0);
	close(fd);
	fd = manager();
	assert_int_equal(daemon_notify(&to, "STOPPING=1"), 0);
	expect(fd, "STOPPING=1");
	close(fd);
	close(to);
}

static void nobody_wants_to_know(void **state)
{
	int to = 0;

	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(daemon_notify_open(&to), 0);
	assert_int_equal(to, -1);
	assert_int_equal(daemon_notify(&to, "READY=1"), 0);
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(daemon_notify_open(&to), -EINVAL);
	setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	assert_int_equal(daemon_notify_open(&to), -ENOENT);
	assert_int_equal(to, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_manager_hears_it),
		cmocka_unit_test(a_manager_that_was_started_anew_hears_it),
		cmocka_unit_test(nobody_wants_to_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
