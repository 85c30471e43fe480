/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors that take their time to close, as whoever sent them likes. */
#include "disposal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LINGER_S  60
#define LOOK_MS   1
#define LOOKS_MAX 20000u

static struct disposal *disposal;

static int setup(void **state)
{
	disposal = disposal_create();
	return disposal ? 0 : -1;
}

static int teardown(void **state)
{
	disposal_free(disposal);
	return 0;
}

static void wait_until_closed(void)
{
	for (unsigned int i = 0; i < LOOKS_MAX && disposal_waiting(disposal); i++)
		poll(NULL, 0, LOOK_MS);
	assert_int_equal(disposal_waiting(disposal), 0);
}

static int connected(int *peer)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	*peer = accept(listener, NULL, NULL);
	assert_true(*peer >= 0);
	close(listener);
	return fd;
}

/* Its close waits until the peer has read it all, or has gone. */
static int lingering(int *peer)
{
	static const char fill[65536];
	const struct linger linger = { 1, LINGER_S };
	int fd = connected(peer);

	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while (write(fd, fill, sizeof(fill)) > 0)
		;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	return fd;
}

static void what_is_added_is_closed(void **state)
{
	int ends[2];

	for (unsigned int i = 0; i < 100; i++) {
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		disposal_add(disposal, ends[0]);
		disposal_add(disposal, ends[1]);
	}
	disposal_add(disposal, -1);
	wait_until_closed();
	assert_int_equal(fcntl(ends[0], F_GETFD), -1);
	assert_int_equal(errno, EBADF);
}

static void one_that_does_not_close_keeps_nobody(void **state)
{
	int peer, ends[2], fd = lingering(&peer);

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	disposal_add(disposal, fd);
	/* The thread may not have come that far; it does not come back from it. */
	for (unsigned int i = 0; i < LOOKS_MAX && fcntl(fd, F_GETFD) >= 0; i++)
		poll(NULL, 0, LOOK_MS);
	disposal_add(disposal, ends[0]);
	disposal_add(disposal, ends[1]);
	assert_int_equal(disposal_waiting(disposal), 3);
	assert_true(fcntl(ends[0], F_GETFD) >= 0);
	close(peer);
	wait_until_closed();
}

static void a_thread_that_is_stuck_is_left_behind(void **state)
{
	int peer;

	disposal_add(disposal, lingering(&peer));
	disposal_free(disposal);
	disposal = NULL;
	close(peer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_added_is_closed),
		TEST(one_that_does_not_close_keeps_nobody),
		TEST(a_thread_that_is_stuck_is_left_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
