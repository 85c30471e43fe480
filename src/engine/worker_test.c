/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's thread: what wakes it, what it runs for others, and how it ends.
 */
#include "worker_rig.h"

#include "apart.h"
#include "fd.h"
#include "loop.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* ---- commands ---- */

struct counting {
	unsigned int *count;
};

static void count_apply(void *arg)
{
	++*((struct counting *)arg)->count;
}

static void *apply_many(void *arg)
{
	for (unsigned int i = 0; i < 500; i++)
		worker_apply(the_worker, count_apply, arg);
	return NULL;
}

static void commands_of_many_threads_run_once_each_and_one_at_a_time(void **state)
{
	struct rig *rig = rig_open("a=fake:", "b=fake:");
	unsigned int count = 0;
	struct counting counting = { &count };
	pthread_t thread[4];

	/* Before the start, during the run, and after the end. */
	worker_apply(the_worker, count_apply, &counting);
	assert_int_equal(worker_start(the_worker, &err), 0);
	for (unsigned int i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, apply_many, &counting);
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	worker_stop(the_worker);
	worker_apply(the_worker, count_apply, &counting);
	assert_int_equal(count, 2002);
	rig_close(rig);
}

/* Threads apply while the worker is being stopped: nobody waits for ever. */
static void commands_that_meet_the_end_run_all_the_same(void **state)
{
	struct rig *rig = rig_open("a=fake:", "b=fake:");

	for (unsigned int round = 0; round < 20; round++) {
		unsigned int count = 0;
		struct counting counting = { &count };
		pthread_t thread[3];

		assert_int_equal(worker_start(the_worker, &err), 0);
		for (unsigned int i = 0; i < 3; i++)
			pthread_create(&thread[i], NULL, apply_many, &counting);
		worker_stop(the_worker);
		for (unsigned int i = 0; i < 3; i++)
			pthread_join(thread[i], NULL);
		assert_int_equal(count, 1500);
	}
	rig_close(rig);
}

/*
 * A worker that is awake finds a command before the eventfd is signalled for it. That
 * signal has to be taken as well: a descriptor that stays ready keeps it from sleeping
 * until the next command. Here the signal comes when the worker has, or would have,
 * taken all that there was.
 */
#define SIGNAL_LATE_NS 300000000ull

static bool signals_late;
static int late_fd;

static bool is_signalled(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) == 1;
}

int __real_gw_eventfd_signal(int fd);
int __wrap_gw_eventfd_signal(int fd);
int __wrap_gw_eventfd_signal(int fd)
{
	uint64_t end_ns = gw_now_ns() + SIGNAL_LATE_NS;

	if (signals_late) {
		signals_late = false;
		late_fd = fd;
		__real_gw_eventfd_signal(fd);
		while (is_signalled(fd) && gw_now_ns() < end_ns)
			sched_yield();
	}
	return __real_gw_eventfd_signal(fd);
}

static void a_command_found_before_its_signal_leaves_none_behind(void **state)
{
	struct rig *rig = rig_open("a=fake:", "b=fake:");
	unsigned int count = 0;
	struct counting counting = { &count };

	assert_int_equal(worker_start(the_worker, &err), 0);
	signals_late = true;
	worker_apply(the_worker, count_apply, &counting);
	assert_int_equal(count, 1);
	assert_false(is_signalled(late_fd));
	rig_close(rig);
}

static void *stop_it(void *arg)
{
	worker_stop(the_worker);
	return NULL;
}

/*
 * The command that runs before the end is seen clears the eventfd, which was the
 * end's wake-up too. From inside a command, so that the order is certain.
 */
static void a_stop_beside_commands_ends_the_thread(void **state)
{
	struct rig *rig = rig_open("a=fake:", "b=fake:");

	for (unsigned int round = 0; round < 50; round++) {
		pthread_t second;

		assert_int_equal(worker_start(the_worker, &err), 0);
		worker_apply(the_worker, wait_a_moment, NULL);
		pthread_create(&second, NULL, stop_it, NULL);
		worker_apply(the_worker, wait_a_moment, NULL);
		pthread_join(second, NULL);
	}
	rig_close(rig);
}

/* ---- descriptors ---- */

struct fds {
	struct gw_port *port;
	int fd[2];
};

static void fds_apply(void *arg)
{
	struct fds *fds = arg;

	for (unsigned int k = 0; k < 2; k++) {
		fds->port->queue[0]->queue.fd[k].fd = fds->fd[k];
		fds->port->queue[0]->queue.fd[k].events = EPOLLIN;
	}
}

static void set_fds(struct gw_port *port, int first, int second)
{
	struct fds fds = { port, { first, second } };

	worker_apply(the_worker, fds_apply, &fds);
}

static void check_wakes(struct fake *fake, int fd)
{
	uint64_t before;

	wait_for_sleep(fake);
	before = gw_load_relaxed(&fake->rx_calls);
	gw_eventfd_signal(fd);
	wait_for_rx(fake, before);
}

static void a_descriptor_wakes_it_each_time_although_nobody_reads_it(void **state)
{
	struct rig *rig = rig_open("a=fake:", "b=fake:");
	struct gw_port *port = rig->network.port[0];
	int fd = gw_eventfd();

	port->queue[0]->queue.fd[0].fd = fd;
	port->queue[0]->queue.fd[0].events = EPOLLIN;
	assert_int_equal(worker_start(the_worker, &err), 0);
	for (unsigned int i = 0; i < 3; i++)
		check_wakes(fake_of(port), fd);
	rig_close(rig);
	gw_fd_close(&fd);
}

static void descriptors_may_change_places(void **state)
{
	struct rig *rig = rig_open("a=fake:", "b=fake:");
	struct gw_port *port = rig->network.port[0];
	struct fake *fake = fake_of(port);
	int one = gw_eventfd(), two = gw_eventfd();

	assert_int_equal(worker_start(the_worker, &err), 0);
	set_fds(port, one, two);
	check_wakes(fake, one);
	check_wakes(fake, two);
	set_fds(port, two, one);
	check_wakes(fake, one);
	check_wakes(fake, two);
	set_fds(port, one, -1);
	check_wakes(fake, one);
	rig_close(rig);
	gw_fd_close(&one);
	gw_fd_close(&two);
}

/* The number of a descriptor that was closed comes back as another file. */
static void a_number_that_names_another_file_is_watched_anew(void **state)
{
	struct rig *rig = rig_open("a=fake:", "b=fake:");
	struct gw_port *port = rig->network.port[0];
	int fd = gw_eventfd(), number = fd;

	assert_int_equal(worker_start(the_worker, &err), 0);
	set_fds(port, fd, -1);
	set_fds(port, -1, -1);
	gw_fd_close(&fd);
	fd = gw_eventfd();
	assert_int_equal(fd, number);
	set_fds(port, fd, -1);
	check_wakes(fake_of(port), fd);
	/* Also without a word in between: the old one left epoll when it was closed. */
	gw_fd_close(&fd);
	fd = gw_eventfd();
	assert_int_equal(fd, number);
	set_fds(port, fd, -1);
	check_wakes(fake_of(port), fd);
	rig_close(rig);
	gw_fd_close(&fd);
}

/* ---- frames ---- */

/* One counts its rounds, and the other one's seats begin behind that, wherever the heap is. */
static void workers_share_no_cache_line(void **state)
{
	enum { MANY = 32 }; /* more than there are holes in the heap */
	struct worker *worker[MANY];
	void *between[MANY];

	for (unsigned int i = 0; i < MANY; i++) {
		between[i] = malloc(1);
		assert_int_equal(worker_create(i, &worker[i], &err), 0);
		assert_int_equal((uintptr_t)worker[i] % GW_APART_BYTES, 0);
	}
	for (unsigned int i = 0; i < MANY; i++) {
		worker_free(worker[i]);
		free(between[i]);
	}
}

/* Of one worker the same, of another another; without a worker none. */
static void lenders_have_the_pool_of_their_worker(void **state)
{
	static const char *const specs[] = { "a=fake:", "b=fake:", "c=fake:", "d=fake:" };
	static struct network network;
	struct worker *worker[2];
	struct port_queue *queue[4];
	struct gw_arena *arena;

	memset(&network, 0, sizeof(network));
	fake_template_reset();
	assert_int_equal(arena_create(16u << 20, &arena, &err), 0);
	for (unsigned int i = 0; i < 4; i++) {
		struct gw_port *port = fake_port_open_in(specs[i], &fake_host, arena, 2, i / 2);

		assert_int_equal(network_add(&network, port, &err), 0);
		queue[i] = port->queue[i / 2];
	}
	assert_int_equal(network_connect(&network, &err), 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(worker_create(i, &worker[i], &err), 0);
		assert_int_equal(worker_add_lane(worker[i], network.lane[i], &err), 0);
	}
	for (unsigned int i = 0; i < 4; i++)
		assert_non_null(queue[i]->frames);
	assert_ptr_equal(queue[0]->frames, queue[1]->frames);
	assert_ptr_equal(queue[2]->frames, queue[3]->frames);
	assert_ptr_not_equal(queue[0]->frames, queue[2]->frames);
	for (unsigned int i = 0; i < 2; i++)
		worker_free(worker[i]);
	for (unsigned int i = 0; i < 4; i++)
		assert_null(queue[i]->frames);
	network_disconnect(&network);
	for (unsigned int i = 0; i < 4; i++)
		fake_port_close(network.port[i]);
	arena_destroy(arena);
}

static void frames_go_through_and_come_home_once(void **state)
{
	struct rig *rig = rig_open("a=fake:", "b=sink:,bounce=4");
	struct lend lend = { fake_at(rig, 0), 200 };

	assert_int_equal(worker_start(the_worker, &err), 0);
	worker_apply(the_worker, lend_apply, &lend);
	assert_true(wait_for_taken(fake_at(rig, 1), 200));
	worker_stop(the_worker);
	for (unsigned int i = 0; i < 200; i++)
		assert_int_equal(fake_at(rig, 0)->came_home[i], 1);
	rig_close(rig);
}

static void room_apply(void *arg)
{
	((struct fake *)arg)->budget = UINT32_MAX;
}

static void no_room_apply(void *arg)
{
	((struct fake *)arg)->budget = 0;
}

/* Nothing fires when the device has room again: the worker looks by itself. */
static void frames_that_wait_are_offered_again_without_a_wake_up(void **state)
{
	struct rig *rig = rig_open("a=fake:", "b=sink:,bounce=4");
	struct lend lend = { fake_at(rig, 0), 100 };
	uint64_t end_ns;

	assert_int_equal(worker_start(the_worker, &err), 0);
	worker_apply(the_worker, no_room_apply, fake_at(rig, 1));
	worker_apply(the_worker, lend_apply, &lend);
	worker_apply(the_worker, room_apply, fake_at(rig, 1));
	end_ns = gw_now_ns() + DEADLINE_NS;
	while (gw_load_relaxed(&fake_at(rig, 1)->taken) < 100 && gw_now_ns() < end_ns)
		sched_yield();
	worker_stop(the_worker);
	assert_int_equal(fake_at(rig, 1)->taken, 100);
	rig_close(rig);
}

static void a_port_that_is_paused_or_down_is_not_called(void **state)
{
	struct rig *rig = rig_open("a=fake:", "b=sink:");
	struct lend lend = { fake_at(rig, 0), 10 };
	uint64_t before;

	assert_int_equal(worker_start(the_worker, &err), 0);
	gw_port_pause(rig->network.port[0]);
	gw_port_pause(rig->network.port[0]);
	worker_apply(the_worker, lend_apply, &lend);
	before = look_at(fake_at(rig, 0)).rx_calls;
	gw_port_resume(rig->network.port[0]);
	assert_int_equal(look_at(fake_at(rig, 0)).rx_calls, before);
	gw_port_resume(rig->network.port[0]);
	assert_true(wait_for_taken(fake_at(rig, 1), 10));
	worker_apply(the_worker, down_apply, rig->network.port[0]);
	before = look_at(fake_at(rig, 0)).rx_calls;
	assert_int_equal(look_at(fake_at(rig, 0)).rx_calls, before);
	rig_close(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_of_many_threads_run_once_each_and_one_at_a_time),
		cmocka_unit_test(commands_that_meet_the_end_run_all_the_same),
		cmocka_unit_test(a_command_found_before_its_signal_leaves_none_behind),
		cmocka_unit_test(a_stop_beside_commands_ends_the_thread),
		cmocka_unit_test(a_descriptor_wakes_it_each_time_although_nobody_reads_it),
		cmocka_unit_test(descriptors_may_change_places),
		cmocka_unit_test(a_number_that_names_another_file_is_watched_anew),
		cmocka_unit_test(workers_share_no_cache_line),
		cmocka_unit_test(lenders_have_the_pool_of_their_worker),
		cmocka_unit_test(frames_go_through_and_come_home_once),
		cmocka_unit_test(frames_that_wait_are_offered_again_without_a_wake_up),
		cmocka_unit_test(a_port_that_is_paused_or_down_is_not_called),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
