/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's thread: what wakes it, what it runs for others, and how it ends.
 */
#include "worker.h"

#include "fake_device.h"
#include "fd.h"
#include "loop.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define DEADLINE_NS 5000000000ull

static void ask_nobody(struct pair *pair)
{
}

static struct worker *the_worker;

static void apply_there(struct gw_port *port, void (*fn)(void *arg), void *arg)
{
	worker_apply(the_worker, fn, arg);
}

static const struct port_host host = { .apply = apply_there, .ask = ask_nobody };

struct rig {
	struct network network;
	struct gw_arena *arena;
};

static struct gw_error err;

static struct rig *rig_open(const char *a, const char *b)
{
	static struct rig rig;
	const char *const specs[] = { a, b };

	memset(&rig, 0, sizeof(rig));
	fake_template_reset();
	assert_int_equal(arena_create(4u << 20, &rig.arena, &err), 0);
	assert_int_equal(worker_create(0, &the_worker, &err), 0);
	for (unsigned int i = 0; i < 2; i++) {
		struct gw_port *port = fake_port_open(specs[i], &host, rig.arena);

		assert_int_equal(network_add(&rig.network, port, &err), 0);
	}
	assert_int_equal(network_connect(&rig.network, &err), 0);
	assert_int_equal(worker_add_lane(the_worker, rig.network.lane[0], &err), 0);
	return &rig;
}

static void rig_close(struct rig *rig)
{
	worker_free(the_worker);
	the_worker = NULL;
	network_disconnect(&rig->network);
	for (unsigned int i = 0; i < 2; i++)
		fake_port_close(rig->network.port[i]);
	arena_destroy(rig->arena);
}

static struct fake *fake_at(struct rig *rig, unsigned int i)
{
	return fake_of(rig->network.port[i]);
}

/* ---- what the worker is asked, and waiting for it ---- */

struct look {
	struct fake *fake;
	uint64_t rx_calls, taken, arms;
	unsigned int waiting;
};

static void look_apply(void *arg)
{
	struct look *look = arg;

	look->rx_calls = look->fake->rx_calls;
	look->taken = look->fake->taken;
	look->arms = look->fake->arms;
	look->waiting = look->fake->port->queue[0]->waiting_count -
			look->fake->port->queue[0]->waiting_next;
}

static struct look look_at(struct fake *fake)
{
	struct look look = { .fake = fake };

	worker_apply(the_worker, look_apply, &look);
	return look;
}

/*
 * Waits until the worker sleeps: its visits are counted by rx, which this reads
 * without waking it.
 */
static void wait_for_sleep(struct fake *fake)
{
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS, before, still_ns;

	do {
		before = gw_load_relaxed(&fake->arms);
		still_ns = gw_now_ns() + 2000000;
		while (gw_now_ns() < still_ns)
			sched_yield();
		assert_true(gw_now_ns() < end_ns);
	} while (!before || gw_load_relaxed(&fake->arms) != before);
}

static void wait_for_rx(struct fake *fake, uint64_t more_than)
{
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS;

	while (gw_load_relaxed(&fake->rx_calls) <= more_than) {
		if (gw_now_ns() > end_ns)
			fail_msg("the worker was not woken");
		sched_yield();
	}
}

static struct gw_frame *frame_of(struct fake *fake, unsigned int id)
{
	static uint8_t bytes[64];
	struct iovec seg = { bytes, sizeof(bytes) };

	memset(bytes, 0xff, 6);
	return fake_frame(fake, id, NULL, &seg, 1);
}

struct lend {
	struct fake *fake;
	unsigned int count;
};

static void lend_apply(void *arg)
{
	struct lend *lend = arg;

	for (unsigned int i = 0; i < lend->count; i++) {
		frame_of(lend->fake, i);
		fake_lend(lend->fake, i);
	}
}

static bool wait_for_taken(struct fake *fake, uint64_t count)
{
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS;

	while (look_at(fake).taken < count)
		if (gw_now_ns() > end_ns)
			return false;
	return true;
}

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

/*
 * The command that runs before the end is seen clears the eventfd, which was the
 * end's wake-up too. From inside a command, so that the order is certain.
 */
struct second {
	pthread_t thread;
};

static void *stop_it(void *arg)
{
	worker_stop(the_worker);
	return NULL;
}

#define MOMENT_NS 3000000ull

static void wait_a_moment(void *arg)
{
	uint64_t end_ns = gw_now_ns() + MOMENT_NS;

	while (gw_now_ns() < end_ns)
		sched_yield();
}

static void a_stop_beside_commands_ends_the_thread(void **state)
{
	struct rig *rig = rig_open("a=fake:", "b=fake:");

	for (unsigned int round = 0; round < 50; round++) {
		struct second second;

		assert_int_equal(worker_start(the_worker, &err), 0);
		worker_apply(the_worker, wait_a_moment, NULL);
		pthread_create(&second.thread, NULL, stop_it, NULL);
		worker_apply(the_worker, wait_a_moment, NULL);
		pthread_join(second.thread, NULL);
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

static void down_apply(void *arg)
{
	struct gw_port *port = arg;

	port->up = false;
	desk_abandon(port->queue[0], GW_DROP_EGRESS_DOWN);
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

/* ---- how it waits ---- */

static struct gw_worker_info info_now(void)
{
	struct gw_worker_info info;

	worker_read(the_worker, &info);
	return info;
}

static void wait_for_rounds(uint64_t count)
{
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS;

	while (info_now().rounds < count) {
		assert_true(gw_now_ns() < end_ns);
		sched_yield();
	}
}

static void wait_for_a_sleep(void)
{
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS, before = info_now().sleeps;

	/* One is counted when it is over. */
	while (info_now().sleeps == before) {
		assert_true(gw_now_ns() < end_ns);
		worker_apply(the_worker, wait_a_moment, NULL);
	}
}

static void one_port_that_wants_it_keeps_it_awake(void **state)
{
	struct rig *rig = rig_open("a=fake:,wait=poll", "b=fake:,wait=sleep");
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS;

	assert_int_equal(worker_start(the_worker, &err), 0);
	wait_for_rounds(100000);
	/* It looks after them all the same. */
	while (!gw_load_relaxed(&fake_at(rig, 1)->arms)) {
		assert_true(gw_now_ns() < end_ns);
		sched_yield();
	}
	assert_int_equal(info_now().sleeps, 0);
	assert_true(info_now().polls);
	worker_apply(the_worker, down_apply, rig->network.port[0]);
	wait_for_a_sleep();
	assert_false(info_now().polls);
	rig_close(rig);
}

static void dormant_apply(void *arg)
{
	((struct gw_port *)arg)->queue[0]->queue.dormant = true;
}

static void a_port_of_which_nothing_can_come_wants_nothing(void **state)
{
	struct rig *rig = rig_open("a=fake:,wait=poll", "b=fake:,wait=sleep");

	assert_int_equal(worker_start(the_worker, &err), 0);
	wait_for_rounds(1000);
	worker_apply(the_worker, dormant_apply, rig->network.port[0]);
	wait_for_a_sleep();
	assert_int_equal(info_now().window_ns, 0);
	rig_close(rig);
}

static void the_largest_budget_counts(void **state)
{
	struct rig *rig = rig_open("a=fake:,poll_us=3", "b=fake:,wait=sleep");

	assert_int_equal(worker_start(the_worker, &err), 0);
	wait_for_a_sleep();
	assert_int_equal(info_now().window_ns, 3000);
	rig_close(rig);
	rig = rig_open("a=fake:,poll_us=0", "b=fake:,wait=sleep,poll_us=50");
	assert_int_equal(worker_start(the_worker, &err), 0);
	wait_for_a_sleep();
	assert_int_equal(info_now().window_ns, 0);
	rig_close(rig);
}

/* A device that goes on only if it is armed, while another port has work without end. */
static void loans_apply(void *arg)
{
	struct lend *lend = arg;
	struct pair *pair = lend->fake->port->queue[0]->pair_from[0];

	pair->answered = pair->was_answered = true;
	lend_apply(&(struct lend){ fake_of(pair->source), lend->count });
}

static void who_is_owed_something_is_armed_though_it_stays_awake(void **state)
{
	struct rig *rig = rig_open("a=fake:,wait=poll", "b=fake:,bounce=4");
	struct fake *idle = fake_at(rig, 0), *owed = fake_at(rig, 1);
	struct lend lend = { owed, 4 };
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS;

	assert_int_equal(worker_start(the_worker, &err), 0);
	worker_apply(the_worker, loans_apply, &lend);
	assert_true(wait_for_taken(owed, 4));
	/* The other one only every now and then, with all ports. */
	while (gw_load_relaxed(&owed->arms) < gw_load_relaxed(&idle->arms) + 100) {
		assert_true(gw_now_ns() < end_ns);
		sched_yield();
	}
	assert_int_equal(info_now().sleeps, 0);
	rig_close(rig);
}

/* It lends after a while that is no part of any frame's way. */
static void lend_late_apply(void *arg)
{
	struct lend *lend = arg;
	struct gw_port *egress = lend->fake->port, *source = egress->queue[0]->pair_from[0]->source;
	struct lend of_source = { fake_of(source), lend->count };
	struct gw_answer answer = fake_template.answer;

	answer.ends_in_tx = true;
	pair_set_answer(egress->queue[0]->pair_from[0], &answer, NULL, egress->answer_stamp);
	lend_apply(&of_source);
	wait_a_moment(NULL);
}

/* For most of them: a machine may be busy. */
static void check_short(const struct histogram *histogram, uint64_t count)
{
	struct gw_latency latency;

	histogram_read(histogram, &latency);
	assert_int_equal(latency.count, count);
	assert_true(gw_latency_quantile_ns(&latency, 50, 100) < MOMENT_NS / 2);
}

static void frames_are_timed_from_when_they_were_found(void **state)
{
	static const char *const waits[] = { "a=fake:,wait=poll", "a=fake:,wait=sleep" };

	for (unsigned int w = 0; w < 2; w++) {
		struct rig *rig = rig_open(waits[w], "b=sink:");
		struct lend lend = { fake_at(rig, 1), 10 };

		assert_int_equal(worker_start(the_worker, &err), 0);
		for (unsigned int i = 1; i <= 20; i++) {
			worker_apply(the_worker, lend_late_apply, &lend);
			assert_true(wait_for_taken(fake_at(rig, 1), (uint64_t)i * lend.count));
		}
		worker_stop(the_worker);
		check_short(&rig->network.port[0]->queue[0]->forward, 200);
		check_short(&rig->network.port[0]->queue[0]->back, 200);
		rig_close(rig);
	}
}

static void its_time_is_accounted_for(void **state)
{
	struct rig *rig = rig_open("a=fake:", "b=sink:,bounce=4");
	struct lend lend = { fake_at(rig, 0), 200 };
	uint64_t begin_ns = gw_now_ns(), all_ns;
	struct gw_worker_info info;

	assert_int_equal(worker_start(the_worker, &err), 0);
	worker_apply(the_worker, lend_apply, &lend);
	assert_true(wait_for_taken(fake_at(rig, 1), 200));
	wait_for_a_sleep();
	worker_stop(the_worker);
	info = info_now();
	all_ns = info.busy_ns + info.polling_ns + info.asleep_ns;
	assert_true(all_ns <= gw_now_ns() - begin_ns);
	assert_true(info.busy_ns && info.polling_ns && info.asleep_ns);
	assert_true(info.rounds > info.rounds_worked && info.rounds_worked);
	assert_true(info.round.count && info.round.count <= info.rounds_worked);
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
		cmocka_unit_test(frames_go_through_and_come_home_once),
		cmocka_unit_test(frames_that_wait_are_offered_again_without_a_wake_up),
		cmocka_unit_test(a_port_that_is_paused_or_down_is_not_called),
		cmocka_unit_test(one_port_that_wants_it_keeps_it_awake),
		cmocka_unit_test(a_port_of_which_nothing_can_come_wants_nothing),
		cmocka_unit_test(the_largest_budget_counts),
		cmocka_unit_test(who_is_owed_something_is_armed_though_it_stays_awake),
		cmocka_unit_test(frames_are_timed_from_when_they_were_found),
		cmocka_unit_test(its_time_is_accounted_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
