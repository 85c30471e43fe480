/* SPDX-License-Identifier: BSD-2-Clause */
/* What a migration asks of a back-end: the dirty log, and its state. */
#include "session.h"

#include "atomic.h"
#include "session_front.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#define LOG_BYTES 8192u
#define FEATURES  FRONT_FEATURES
#define WITH_LOG  (FEATURES | 1ull << VHOST_F_LOG_ALL_BIT)

static struct front front;

static int setup(void **state)
{
	front_open_as(&front, FRONT_ALL_FEATURES, FRONT_ALL_PROTOCOL_FEATURES, 1);
	front_connect(&front);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FEATURES), 0);
	return 0;
}

static int memfd(size_t bytes)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static int log_base(int fd, uint64_t size, uint64_t offset, uint32_t flags)
{
	const struct message_log area = { size, offset };

	return front_send(&front, VHOST_USER_SET_LOG_BASE, flags, &area, sizeof(area), &fd, 1);
}

/* As QEMU: the base, features, addresses; and the other way round at the end. */
static void a_migration_while_rings_run(void **state)
{
	struct dirty_log *first;

	front_start(&front, 0);
	/* The reply comes whether asked for or not. */
	assert_int_equal(log_base(memfd(LOG_BYTES), LOG_BYTES, 0, 0), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_SET_LOG_BASE), 0);
	assert_int_equal(front.logs, 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, WITH_LOG), 0);
	assert_int_equal(front.logs, 1);
	assert_non_null(front.log);
	first = session_log(front.session);
	assert_ptr_equal(front.log, first);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(front_addr(&front, i, FRONT_USER_ADDR + i * 0x10000, 1), 0);
	/* Memory grew: a longer log. */
	assert_int_equal(log_base(memfd(2 * LOG_BYTES), LOG_BYTES, LOG_BYTES, 8), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_SET_LOG_BASE), 0);
	assert_int_equal(front.logs, 2);
	assert_ptr_not_equal(front.log, first);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FEATURES), 0);
	assert_int_equal(front.logs, 3);
	assert_null(front.log);
	assert_null(session_log(front.session));
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(front_addr(&front, i, FRONT_USER_ADDR + i * 0x10000, 0), 0);
	/* The rings saw none of it. */
	assert_int_equal(front.starts[0] + front.starts[1], 2);
	assert_int_equal(front.stops[0] + front.stops[1], 0);
	assert_int_equal(front.feature_sets, 1);
}

/* The destination gets a guest that is being migrated again, or a ring is reset. */
static void a_ring_that_starts_during_a_migration(void **state)
{
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, WITH_LOG), 0);
	front_start(&front, 0);
	assert_null(front.ring[0].config.log); /* no base yet */
	assert_int_equal(log_base(memfd(LOG_BYTES), LOG_BYTES, 0, 0), 0);
	assert_non_null(front.log);
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 0, 0), 0);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_ptr_equal(front.ring[0].config.log, front.log);
}

static void the_log_goes_with_the_connection(void **state)
{
	assert_int_equal(log_base(memfd(LOG_BYTES), LOG_BYTES, 0, 0), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, WITH_LOG), 0);
	front_start(&front, 0);
	session_close(front.session);
	assert_null(front.log);
	assert_int_equal(front.logs, 2);
}

static void reset_device_ends_the_log(void **state)
{
	assert_int_equal(log_base(memfd(LOG_BYTES), LOG_BYTES, 0, 0), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, WITH_LOG), 0);
	assert_non_null(front.log);
	assert_int_equal(front_empty(&front, VHOST_USER_RESET_DEVICE), 0);
	assert_null(front.log);
}

static void other_features_with_the_log_while_running(void **state)
{
	const uint64_t other = WITH_LOG & ~(1ull << 28);

	front_start(&front, 0);
	front_expect_refused(&front, front_ack(&front, VHOST_USER_SET_FEATURES, &other, 8, NULL, 0),
			     VHOST_USER_SET_FEATURES);
	assert_null(front.log);
}

static void log_areas_that_cannot_be(void **state)
{
	static const struct {
		uint64_t size, offset;
	} cases[] = {
		{ 0, 0 },          { LOG_BYTES + 1, 0 },         { LOG_BYTES, 4096 },
		{ UINT64_MAX, 0 }, { 4096, UINT64_MAX - 0x7ff }, { 4096, INT64_MAX },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		front_expect_refused(&front,
				     log_base(memfd(LOG_BYTES), cases[i].size, cases[i].offset, 8),
				     VHOST_USER_SET_LOG_BASE);
	for (unsigned int kind = 0; kind < FRONT_OTHER_FDS; kind++)
		front_expect_refused(&front, log_base(front_other_fd(kind), 4096, 0, 8),
				     VHOST_USER_SET_LOG_BASE);
	assert_null(session_log(front.session));
	/* Pages would be lost, and nobody would know. */
	front_expect_over(&front, log_base(memfd(0), 4096, 0, 0));
}

static void log_base_without_a_descriptor(void **state)
{
	const uint64_t addr = 0x1000;
	const struct message_log area = { 4096, 0 };

	front_expect_refused(&front, front_ack(&front, VHOST_USER_SET_LOG_BASE, &addr, 8, NULL, 0),
			     VHOST_USER_SET_LOG_BASE);
	front_expect_refused(&front, front_ack(&front, VHOST_USER_SET_LOG_BASE, &area, 16, NULL, 0),
			     VHOST_USER_SET_LOG_BASE);
}

static void log_fd_is_taken_and_closed(void **state)
{
	unsigned int open_fds = front_count_fds();
	int fd = front_other_fd(0);

	assert_int_equal(front_ack(&front, VHOST_USER_SET_LOG_FD, NULL, 0, &fd, 1), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_SET_LOG_FD), 0);
	assert_int_equal(front_count_fds(), open_fds);
}

static void front_end_truncates_the_log(void **state)
{
	int fd = memfd(LOG_BYTES), mine = dup(fd);
	uint8_t *byte;

	assert_int_equal(log_base(fd, LOG_BYTES, 0, 0), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, WITH_LOG), 0);
	front_start(&front, 0);
	byte = memmap_translate(session_memmap(front.session), 0, 1);
	assert_int_equal(ftruncate(mine, 0), 0);
	close(mine);
	assert_int_equal(memmap_install_sigbus(), 0);
	dirty_log_mark(front.log, session_memmap(front.session), byte, 1);
	assert_true(session_broken(front.session));
	front_expect_over(&front, front_empty(&front, VHOST_USER_GET_FEATURES));
}

/* ---- state ---- */

static int transfer(uint32_t direction, uint32_t phase, int fd)
{
	const struct message_transfer payload = { direction, phase };

	return front_send(&front, VHOST_USER_SET_DEVICE_STATE_FD, 0, &payload, sizeof(payload), &fd,
			  1);
}

/* The channel that the back-end made; the one that was offered does not matter. */
static int channel(uint32_t direction)
{
	int fd;

	assert_int_equal(transfer(direction, VHOST_USER_STATE_PHASE_STOPPED, front_other_fd(0)), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_SET_DEVICE_STATE_FD), 0);
	fd = dup(front.reply_fd);
	assert_true(fd >= 0);
	return fd;
}

static void expect_no_channel(int ret)
{
	assert_int_equal(ret, 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_SET_DEVICE_STATE_FD),
			 VHOST_USER_STATE_NOFD | 1);
	assert_int_equal(front.reply_fd, -1);
}

static uint64_t check(void)
{
	assert_int_equal(front_empty(&front, VHOST_USER_CHECK_DEVICE_STATE), 0);
	return front_reply_u64(&front, VHOST_USER_CHECK_DEVICE_STATE);
}

static void state_is_saved_and_loaded(void **state)
{
	char bytes[64];
	int fd;

	memcpy(front.state, "what a device knows", 19);
	front.state_len = 19;
	fd = channel(VHOST_USER_STATE_SAVE);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), 19);
	assert_memory_equal(bytes, "what a device knows", 19);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), 0); /* and its end */
	close(fd);
	assert_int_equal(check(), 0);

	fd = channel(VHOST_USER_STATE_LOAD);
	assert_int_equal(write(fd, "some", 4), 4);
	assert_int_equal(write(fd, "thing", 5), 5);
	close(fd);
	assert_int_equal(check(), 0);
	assert_int_equal(front.state_len, 9);
	assert_memory_equal(front.state, "something", 9);
	assert_int_equal(check(), 0); /* asked again */
}

static void a_state_that_is_empty(void **state)
{
	char byte;
	int fd = channel(VHOST_USER_STATE_SAVE);

	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
	close(channel(VHOST_USER_STATE_LOAD));
	assert_int_equal(check(), 0);
	assert_int_equal(front.state_len, 0);
}

struct holder {
	int from, to;
	uint32_t over; /* atomic */
};

/* Waits for a byte on `from`, with the lock of the pipe `to` held. */
static void *hold_pipe(void *arg)
{
	struct holder *holder = arg;

	splice(holder->from, NULL, holder->to, NULL, 1, 0);
	gw_store_release(&holder->over, 1u);
	return NULL;
}

static void hold_until_released(int pipe_fd, uint32_t direction)
{
	/* Longer than all of this takes on a slow machine; it ends a test that fails. */
	const struct timeval patience = { .tv_sec = 20 };
	struct holder holder = { .to = pipe_fd };
	pthread_t thread;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	holder.from = ends[0];
	setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(pthread_create(&thread, NULL, hold_pipe, &holder), 0);
	for (unsigned int i = 0; i < 1000; i++) /* until it waits there, most likely */
		sched_yield();
	assert_int_equal(transfer(direction, VHOST_USER_STATE_PHASE_STOPPED, dup(pipe_fd)), 0);
	check();
	assert_false(gw_load_acquire(&holder.over));
	assert_int_equal(write(ends[1], "x", 1), 1);
	pthread_join(thread, NULL);
	close(ends[0]);
	close(ends[1]);
}

/* He lets nobody write into it, and nobody read from it. */
static void a_pipe_that_is_held(void **state)
{
	int fds[2];

	front.state_len = 19;
	assert_int_equal(pipe(fds), 0);
	hold_until_released(fds[1], VHOST_USER_STATE_SAVE);
	hold_until_released(fds[1], VHOST_USER_STATE_LOAD);
	close(fds[0]);
	close(fds[1]);
}

/* He asks how it went with his end open: what is there is the state. */
static void a_state_that_does_not_end(void **state)
{
	int fd = channel(VHOST_USER_STATE_LOAD);

	assert_int_equal(write(fd, "some", 4), 4);
	assert_int_equal(check(), 0);
	assert_int_equal(front.state_len, 4);
	/* What comes later is of no interest. */
	assert_int_equal(write(fd, "thing", 5), 5);
	assert_int_equal(check(), 0);
	assert_int_equal(front.state_len, 4);
	close(fd);
}

static void a_state_that_is_too_long(void **state)
{
	static const char fill[4097];
	int fd = channel(VHOST_USER_STATE_LOAD);

	assert_int_equal(write(fd, fill, sizeof(fill)), sizeof(fill));
	close(fd);
	assert_int_not_equal(check(), 0);
	assert_int_not_equal(check(), 0); /* it failed, and stays so */
}

static void a_state_of_something_else(void **state)
{
	front.load_ret = -EINVAL;
	close(channel(VHOST_USER_STATE_LOAD));
	assert_int_not_equal(check(), 0);
	/* Another try may go. */
	front.load_ret = 0;
	close(channel(VHOST_USER_STATE_LOAD));
	assert_int_equal(check(), 0);
}

static void transfers_that_cannot_be(void **state)
{
	expect_no_channel(transfer(2, 0, front_other_fd(0)));
	assert_int_not_equal(check(), 0);
	expect_no_channel(transfer(VHOST_USER_STATE_SAVE, 1, front_other_fd(0)));
	/* While a ring runs. */
	close(channel(VHOST_USER_STATE_LOAD));
	front_start(&front, 0);
	expect_no_channel(transfer(VHOST_USER_STATE_SAVE, 0, front_other_fd(0)));
}

#define TEST(name) FRONT_TEST(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_migration_while_rings_run),
		TEST(a_ring_that_starts_during_a_migration),
		TEST(the_log_goes_with_the_connection),
		TEST(reset_device_ends_the_log),
		TEST(other_features_with_the_log_while_running),
		TEST(log_areas_that_cannot_be),
		TEST(log_base_without_a_descriptor),
		TEST(log_fd_is_taken_and_closed),
		TEST(front_end_truncates_the_log),
		TEST(state_is_saved_and_loaded),
		TEST(a_state_that_is_empty),
		TEST(a_pipe_that_is_held),
		TEST(a_state_that_does_not_end),
		TEST(a_state_that_is_too_long),
		TEST(a_state_of_something_else),
		TEST(transfers_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
