/* SPDX-License-Identifier: BSD-2-Clause */
/* The loop, and the descriptors of fd.h that it waits for. */
#include "loop.h"

#include "atomic.h"
#include "fd.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#define TEST_DEADLINE_MS 5000

struct fixture {
	struct gw_loop *loop;
	struct gw_timer deadline;
	bool late;
	int fd[2];
	struct gw_watch watch[2];
	unsigned int calls[2];
};

/* Callbacks have no argument of their own; there is one test at a time. */
static struct fixture *test;

static void on_deadline(struct gw_timer *timer)
{
	test->late = true;
	gw_loop_quit(test->loop);
}

static int setup(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){ 0 };
	test = &fixture;
	assert_int_equal(gw_loop_create(&test->loop), 0);
	for (int i = 0; i < 2; i++) {
		test->fd[i] = gw_eventfd();
		assert_true(test->fd[i] >= 0);
	}
	gw_timer_start(test->loop, &test->deadline, TEST_DEADLINE_MS, on_deadline);
	return 0;
}

static int teardown(void **state)
{
	gw_timer_stop(test->loop, &test->deadline);
	gw_loop_destroy(test->loop);
	gw_fds_close(test->fd, 2);
	return 0;
}

static void run(void)
{
	gw_loop_run(test->loop);
	assert_false(test->late);
}

static void on_event_quit(struct gw_watch *watch, uint32_t events)
{
	test->calls[watch - test->watch]++;
	gw_eventfd_clear(watch->fd);
	gw_loop_quit(test->loop);
}

static void watch_fires(void **state)
{
	assert_int_equal(
		gw_watch_start(test->loop, &test->watch[0], test->fd[0], EPOLLIN, on_event_quit),
		0);
	assert_int_equal(
		gw_watch_start(test->loop, &test->watch[0], test->fd[0], EPOLLIN, on_event_quit),
		-EEXIST);
	gw_eventfd_signal(test->fd[0]);
	run();
	assert_int_equal(test->calls[0], 1);
	gw_watch_stop(test->loop, &test->watch[0]);
	assert_int_equal(test->watch[0].fd, -1);
	gw_watch_stop(test->loop, &test->watch[0]);
}

static void on_event_stop_all(struct gw_watch *watch, uint32_t events)
{
	test->calls[watch - test->watch]++;
	gw_watch_stop(test->loop, &test->watch[0]);
	gw_watch_stop(test->loop, &test->watch[1]);
	gw_loop_quit(test->loop);
}

static void on_event_stop_all_and_stay(struct gw_watch *watch, uint32_t events)
{
	test->calls[watch - test->watch]++;
	gw_watch_stop(test->loop, &test->watch[0]);
	gw_watch_stop(test->loop, &test->watch[1]);
}

static void quit_timer(struct gw_timer *timer)
{
	gw_loop_quit(test->loop);
}

/* Both are ready in one batch; whichever comes first takes the other along. */
static void watch_stopped_in_its_own_batch_stays_silent(void **state)
{
	struct gw_timer timer = { 0 };

	for (int i = 0; i < 2; i++) {
		gw_watch_start(test->loop, &test->watch[i], test->fd[i], EPOLLIN,
			       on_event_stop_all_and_stay);
		gw_eventfd_signal(test->fd[i]);
	}
	gw_timer_start(test->loop, &timer, 1, quit_timer);
	run();
	assert_int_equal(test->calls[0] + test->calls[1], 1);
}

static void watch_stop_and_quit_in_a_callback(void **state)
{
	for (int i = 0; i < 2; i++) {
		gw_watch_start(test->loop, &test->watch[i], test->fd[i], EPOLLIN,
			       on_event_stop_all);
		gw_eventfd_signal(test->fd[i]);
	}
	run();
	assert_int_equal(test->calls[0] + test->calls[1], 1);
}

static void watch_of_a_bad_descriptor_is_refused(void **state)
{
	struct gw_watch watch = { .fd = -1 };

	assert_int_equal(gw_watch_start(test->loop, &watch, 9999, EPOLLIN, on_event_quit), -EBADF);
	assert_int_equal(watch.fd, -1);
	assert_int_equal(gw_watch_change(test->loop, &watch, EPOLLIN), -ENOENT);
}

static void watch_change_selects_events(void **state)
{
	struct gw_timer timer = { 0 };

	gw_eventfd_signal(test->fd[0]);
	gw_watch_start(test->loop, &test->watch[0], test->fd[0], 0, on_event_quit);
	gw_timer_start(test->loop, &timer, 1, quit_timer);
	run();
	assert_int_equal(test->calls[0], 0);
	assert_int_equal(gw_watch_change(test->loop, &test->watch[0], EPOLLIN), 0);
	run();
	assert_int_equal(test->calls[0], 1);
	gw_watch_stop(test->loop, &test->watch[0]);
}

static struct gw_timer timers[3];
static unsigned int fired[4], fired_count;

static void on_timer(struct gw_timer *timer)
{
	assert_int_equal(timer->due_ns, 0);
	fired[fired_count++] = (unsigned int)(timer - timers);
	if (fired_count == 2)
		gw_loop_quit(test->loop);
}

static void timers_fire_in_order_and_not_early(void **state)
{
	uint64_t begin_ns = gw_now_ns();

	fired_count = 0;
	gw_timer_start(test->loop, &timers[0], 20, on_timer);
	gw_timer_start(test->loop, &timers[1], 60000, on_timer);
	gw_timer_start(test->loop, &timers[2], 10, on_timer);
	gw_timer_start(test->loop, &timers[1], 5, on_timer); /* set anew */
	gw_timer_stop(test->loop, &timers[2]);
	gw_timer_stop(test->loop, &timers[2]);
	run();
	assert_int_equal(fired_count, 2);
	assert_int_equal(fired[0], 1);
	assert_int_equal(fired[1], 0);
	assert_true(gw_now_ns() - begin_ns >= 20u * 1000000);
}

static void on_timer_again(struct gw_timer *timer)
{
	if (++fired_count == 3)
		gw_loop_quit(test->loop);
	else
		gw_timer_start(test->loop, timer, 0, on_timer_again);
}

static void timer_starts_itself_anew(void **state)
{
	fired_count = 0;
	gw_timer_start(test->loop, &timers[0], 0, on_timer_again);
	run();
	assert_int_equal(fired_count, 3);
}

static unsigned int order[4], order_count;

static void note_order(void *arg)
{
	order[order_count++] = (unsigned int)(uintptr_t)arg;
	if (order_count == 3)
		gw_loop_quit(test->loop);
}

static void posts_keep_their_order(void **state)
{
	order_count = 0;
	for (uintptr_t i = 1; i <= 3; i++)
		assert_int_equal(gw_loop_post(test->loop, note_order, (void *)i), 0);
	assert_int_equal(order_count, 0);
	run();
	assert_int_equal(order[0], 1);
	assert_int_equal(order[1], 2);
	assert_int_equal(order[2], 3);
}

static void note_thread(void *arg)
{
	pthread_t *thread = arg;

	*thread = pthread_self();
	assert_true(gw_loop_is_current(test->loop));
	gw_loop_call(test->loop, note_order, (void *)7);
}

static void call_runs_here_while_the_loop_does_not_run(void **state)
{
	pthread_t thread = 0;

	order_count = 0;
	gw_loop_call(test->loop, note_thread, &thread);
	assert_true(pthread_equal(thread, pthread_self()));
	assert_int_equal(order_count, 1);
	assert_false(gw_loop_is_current(test->loop));
}

static void *run_loop(void *arg)
{
	gw_loop_run(test->loop);
	return NULL;
}

/* No atomics: that is the point. Overlapping calls meet, with a pause in the middle. */
static void count_up(void *arg)
{
	unsigned int *counter = arg, before = gw_read_once(counter);

	sched_yield();
	gw_write_once(counter, before + 1);
}

static void *call_often(void *arg)
{
	for (int i = 0; i < 2000; i++)
		gw_loop_call(test->loop, count_up, arg);
	return NULL;
}

/* Callers begin before the loop runs, go on while it does, and after it has ended. */
static void calls_from_other_threads_never_overlap(void **state)
{
	unsigned int counter = 0;
	pthread_t loop, caller[2];

	for (int i = 0; i < 2; i++)
		pthread_create(&caller[i], NULL, call_often, &counter);
	for (int i = 0; i < 20; i++) {
		pthread_create(&loop, NULL, run_loop, NULL);
		gw_loop_call(test->loop, count_up, &counter);
		gw_loop_quit(test->loop);
		pthread_join(loop, NULL);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(caller[i], NULL);
	assert_int_equal(counter, 2 * 2000 + 20);
	assert_false(test->late);
}

#define GRACE_MS 30 /* how long something is given to happen that must not */

static void signal_event(void *arg)
{
	gw_eventfd_signal(test->fd[0]);
}

static void start_the_loop_meanwhile(void *arg)
{
	struct pollfd posted = { .fd = test->fd[0], .events = POLLIN };

	gw_loop_post(test->loop, signal_event, NULL);
	pthread_create(arg, NULL, run_loop, NULL);
	assert_int_equal(poll(&posted, 1, GRACE_MS), 0);
}

static void run_waits_for_a_call_in_its_place(void **state)
{
	struct pollfd posted = { .fd = test->fd[0], .events = POLLIN };
	pthread_t loop;

	gw_loop_call(test->loop, start_the_loop_meanwhile, &loop);
	assert_int_equal(poll(&posted, 1, TEST_DEADLINE_MS), 1);
	gw_loop_quit(test->loop);
	pthread_join(loop, NULL);
}

static void quit_before_run_is_not_lost(void **state)
{
	gw_loop_quit(test->loop);
	run();
}

static void posts_left_behind_are_freed(void **state)
{
	order_count = 0;
	gw_loop_post(test->loop, note_order, (void *)1);
	/* teardown destroys the loop; the leak checker sees what is forgotten */
}

static void memfd_is_sealed(void **state)
{
	int fd = gw_memfd("test", 8192);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(ftruncate(fd, 16384), -1);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	errno = EDOM;
	gw_fd_close(&fd);
	assert_int_equal(fd, -1);
	gw_fd_close(&fd);
	assert_int_equal(errno, EDOM);
}

#define LOOP_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(watch_fires),
		LOOP_TEST(watch_stopped_in_its_own_batch_stays_silent),
		LOOP_TEST(watch_stop_and_quit_in_a_callback),
		LOOP_TEST(watch_of_a_bad_descriptor_is_refused),
		LOOP_TEST(watch_change_selects_events),
		LOOP_TEST(timers_fire_in_order_and_not_early),
		LOOP_TEST(timer_starts_itself_anew),
		LOOP_TEST(posts_keep_their_order),
		LOOP_TEST(call_runs_here_while_the_loop_does_not_run),
		LOOP_TEST(calls_from_other_threads_never_overlap),
		LOOP_TEST(run_waits_for_a_call_in_its_place),
		LOOP_TEST(quit_before_run_is_not_lost),
		LOOP_TEST(posts_left_behind_are_freed),
		cmocka_unit_test(memfd_is_sealed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
