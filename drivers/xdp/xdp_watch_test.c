/* SPDX-License-Identifier: BSD-2-Clause */
/* What wakes the worker: a busy port does without, and no frame is slept over for that. */
#include "xdp_fixture.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define MANY_VISITS 200u
#define FRAME_BYTES 600u

static int wakes(struct fixture *f, int timeout_ms)
{
	struct pollfd fd = { .fd = host_queue(f->port)->fd[0].fd, .events = POLLIN };

	return poll(&fd, 1, timeout_ms);
}

/* False without a program: frames come in another way then, by a descriptor of its own. */
static bool open_lending(struct fixture *f)
{
	fixture_open(f, "up=near,rxring=64", 1500);
	if (f->p->packet) {
		fixture_close(f);
		return false;
	}
	host_lend(f->port, f->memory.memmap);
	return true;
}

/* The worker has no time to sleep. */
static void be_busy(struct fixture *f)
{
	for (unsigned int i = 0; i < MANY_VISITS; i++)
		send_one(f, 0x2000, FRAME_BYTES);
	assert_true(f->p->unwatched);
}

/* Its sockets wake nobody while it is busy, and the worker before it is to sleep. */
static void busy_port_rests_from_events(void **state)
{
	struct fixture f;
	unsigned int us;

	if (!open_lending(&f))
		skip();
	be_busy(&f);
	assert_int_equal(wakes(&f, 0), 0);
	/* Watched again, and that it could send is no news. */
	assert_false(xdp_arm(host_queue(f.port), GW_WANT_RX, &us));
	assert_int_equal(us, 0);
	assert_false(f.p->unwatched);
	assert_int_equal(wakes(&f, 0), 0);
	far_send(f.far, fixture_bytes, FRAME_BYTES);
	assert_int_equal(wakes(&f, LIMIT_MS), 1);
	assert_true(xdp_arm(host_queue(f.port), GW_WANT_RX, &us));
	fixture_close(&f);
}

/* What came while it was busy is found by the look before the sleep. */
static void frame_of_a_busy_time_is_not_slept_over(void **state)
{
	uint64_t end_ms = host_now_ms() + LIMIT_MS;
	struct fixture f;
	unsigned int us;

	if (!open_lending(&f))
		skip();
	be_busy(&f);
	far_send(f.far, fixture_bytes, FRAME_BYTES);
	while (!rx_unread(f.ch))
		assert_true(host_now_ms() < end_ms);
	assert_true(xdp_arm(host_queue(f.port), GW_WANT_RX, &us));
	fixture_close(&f);
}

/* Another socket takes the place of one that is not watched. */
static void socket_of_a_busy_time_wakes_later(void **state)
{
	struct gw_error err = { 0 };
	struct fixture f;
	unsigned int us;

	if (!open_lending(&f))
		skip();
	be_busy(&f);
	if (channel_remap(f.ch, f.memory.memmap, &err))
		fail_msg("%s", err.text);
	assert_true(f.p->unwatched);
	assert_false(xdp_arm(host_queue(f.port), GW_WANT_RX, &us));
	far_send(f.far, fixture_bytes, FRAME_BYTES);
	assert_int_equal(wakes(&f, LIMIT_MS), 1);
	fixture_close(&f);
}

/* Where the kernel refuses to wake, the worker is told to come back by itself. */
static void who_cannot_be_woken_comes_back(void **state)
{
	struct fixture f;
	unsigned int us;
	int epoll_fd;

	if (!open_lending(&f))
		skip();
	be_busy(&f);
	epoll_fd = f.p->epoll_fd;
	f.p->epoll_fd = -1;
	assert_false(xdp_arm(host_queue(f.port), GW_WANT_RX, &us));
	assert_true(us > 0);
	f.p->epoll_fd = epoll_fd;
	assert_false(xdp_arm(host_queue(f.port), GW_WANT_RX, &us));
	assert_int_equal(us, 0);
	fixture_close(&f);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_teardown(fn, fixture_tidy)
	const struct CMUnitTest tests[] = {
		TEST(busy_port_rests_from_events),
		TEST(frame_of_a_busy_time_is_not_slept_over),
		TEST(socket_of_a_busy_time_wakes_later),
		TEST(who_cannot_be_woken_comes_back),
	};

	return fixture_main(tests);
}
