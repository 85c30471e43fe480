/* SPDX-License-Identifier: BSD-2-Clause */
#include "worker.h"

#include "fd.h"
#include "loop.h"
#include "waiting.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* How often it looks at ports that owe something, whether or not a descriptor fires. */
#define WORKER_OWING_US     20000u
/* A lane has one more than ports. */
#define WORKER_SEATS_MAX    512u
#define WORKER_EVENTS       64
/* A reading of the clock is good for so many visits. */
#define WORKER_CLOCK_VISITS 2u
#define CLOCK_OLD           (WORKER_CLOCK_VISITS + 1)

/* One port's queue, and the watches that were set for it. */
struct seat {
	struct port_queue *queue;
	struct lane *lane;
	bool armed;
	int watched[GW_QUEUE_FDS]; /* -1: none */
};

struct command {
	void (*fn)(void *arg); /* NULL: to stand still until `released` */
	void *arg;
	bool held, released, done;
	struct gw_list node;
};

struct worker {
	unsigned int index;
	pthread_t thread;
	int epoll_fd, event_fd;
	struct seat seat[WORKER_SEATS_MAX];
	unsigned int seat_count;
	struct port_clock clock; /* its ports' */
	struct waiting waiting;

	pthread_mutex_t lock; /* of the three below */
	pthread_cond_t done;
	struct gw_list commands;
	bool running;

	uint32_t attention; /* atomic: commands or quit are waiting. Pair A */
	uint32_t quit;      /* atomic */

	uint32_t rounds;      /* atomic: the worker counts up */
	uint32_t asleep;      /* atomic: the worker's */
	uint32_t rounds_seen; /* control's */
};

int worker_create(unsigned int index, struct worker **out, struct gw_error *err)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	struct epoll_event event = { .events = EPOLLIN };

	if (!worker)
		return gw_error_sys(err, -ENOMEM, "worker %u", index);
	worker->index = index;
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->done, NULL);
	gw_list_init(&worker->commands);
	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	worker->event_fd = gw_eventfd();
	if (worker->epoll_fd < 0 || worker->event_fd < 0 ||
	    epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, worker->event_fd, &event)) {
		int code = -errno;

		worker_free(worker);
		return gw_error_sys(err, code, "worker %u: epoll", index);
	}
	*out = worker;
	return 0;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	worker_stop(worker);
	for (unsigned int i = 0; i < worker->seat_count; i++)
		worker->seat[i].queue->clock = &worker->seat[i].queue->own_clock;
	gw_fd_close(&worker->epoll_fd);
	gw_fd_close(&worker->event_fd);
	pthread_cond_destroy(&worker->done);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
}

static void add_seat(struct worker *worker, struct lane *lane, struct port_queue *queue)
{
	struct seat *seat = &worker->seat[worker->seat_count++];

	*seat = (struct seat){ .queue = queue, .lane = lane };
	queue->clock = &worker->clock;
	for (unsigned int k = 0; k < GW_QUEUE_FDS; k++)
		seat->watched[k] = -1;
}

int worker_add_lane(struct worker *worker, struct lane *lane, struct gw_error *err)
{
	if (worker->seat_count + lane->count + 1 > WORKER_SEATS_MAX)
		return gw_error_set(err, -ENOSPC, "worker %u: more than %u ports; use more workers",
				    worker->index, WORKER_SEATS_MAX);
	for (unsigned int i = 0; i < lane->count; i++)
		if (port_queue_has_device(lane->queue[i]))
			add_seat(worker, lane, lane->queue[i]);
	if (lane->crossing)
		add_seat(worker, lane, crossing_queue(lane->crossing));
	return 0;
}

/* ---- descriptors ---- */

static void watch_drop(struct worker *worker, struct seat *seat, unsigned int k)
{
	struct epoll_event event = { 0 };

	if (seat->watched[k] < 0 || seat->watched[k] == seat->queue->queue.fd[k].fd)
		return;
	epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, seat->watched[k], &event);
	seat->watched[k] = -1;
}

static void watch_set(struct worker *worker, struct seat *seat, unsigned int k)
{
	int fd = seat->queue->queue.fd[k].fd;
	struct epoll_event event = {
		.events = seat->queue->queue.fd[k].events | EPOLLET,
		.data.ptr = seat,
	};

	seat->watched[k] = fd;
	if (fd < 0)
		return;
	/* The number may name another file than before: then it is not watched any more. */
	if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_MOD, fd, &event) && errno == ENOENT)
		epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* All that is over first: a descriptor may have moved to another place in the table. */
static void watches_sync(struct worker *worker)
{
	for (unsigned int i = 0; i < worker->seat_count; i++)
		for (unsigned int k = 0; k < GW_QUEUE_FDS; k++)
			watch_drop(worker, &worker->seat[i], k);
	for (unsigned int i = 0; i < worker->seat_count; i++)
		for (unsigned int k = 0; k < GW_QUEUE_FDS; k++)
			watch_set(worker, &worker->seat[i], k);
}

/* ---- one visit ---- */

static void lane_settle(struct lane *lane)
{
	for (unsigned int i = 0; i < lane->count; i++)
		desk_flush(lane->queue[i]);
	for (unsigned int i = 0; i < lane->count; i++)
		desk_release(lane->queue[i]);
	if (lane->crossing) {
		desk_release(crossing_queue(lane->crossing));
		crossing_show(lane->crossing);
	}
}

/* Frames that found no room come before new ones. Returns true if all are gone. */
static bool forward_waiting(struct lane *lane, struct port_queue *queue)
{
	if (!queue->waiting_count)
		return true;
	queue->waiting_next += lane_forward(lane, queue, queue->waiting + queue->waiting_next,
					    queue->waiting_count - queue->waiting_next);
	if (queue->waiting_next < queue->waiting_count)
		return false;
	queue->waiting_next = queue->waiting_count = 0;
	return true;
}

/* Returns how many frames the port lent. */
static unsigned int take_frames(struct lane *lane, struct port_queue *queue)
{
	struct gw_frame **frames = queue->waiting;
	unsigned int count;

	if (!port_usable(queue->port) || port_rests(queue->port) || !queue->driver->rx)
		return 0;
	/* Its own queue is never behind: what comes out of it is what others wait for. */
	if (lane->crossing && queue != crossing_queue(lane->crossing) &&
	    crossing_is_behind(lane->crossing))
		return 0;
	queue->found_ns = queue->clock->now_ns;
	count = queue->driver->rx(&queue->queue, frames, GW_BATCH);
	lane_enter(lane, queue, frames, count);
	queue->waiting_next = 0;
	queue->waiting_count = count;
	if (count)
		forward_waiting(lane, queue);
	return count;
}

static bool visit(struct seat *seat)
{
	struct port_queue *queue = seat->queue;
	struct lane *lane = seat->lane;
	uint64_t now_ns = queue->clock->now_ns;
	unsigned int work, before = queue->waiting_count - queue->waiting_next;

	queue->clock->visits++;
	queue->clock->done_ns = 0;
	work = desk_reap(queue);
	lane->now_s = (uint32_t)(now_ns / 1000000000ull);
	desk_check_stall(queue, now_ns);
	if (forward_waiting(lane, queue))
		work += before + take_frames(lane, queue);
	else
		work += before - (queue->waiting_count - queue->waiting_next);
	work += queue->home_count;
	lane_settle(lane);
	return work > 0;
}

/* ---- sleep ---- */

/* In a network of two, the other port's frames wait for this one. */
static bool awaited(const struct seat *seat)
{
	const struct lane *lane = seat->lane;

	if (seat->queue->offer.count)
		return true;
	if (lane->count == 2 && lane->crossing && crossing_queue(lane->crossing)->waiting_count)
		return true;
	return lane->count == 2 && lane->queue[!seat->queue->port->slot]->waiting_count;
}

static bool arm(struct seat *seat, unsigned int *poll_us)
{
	struct port_queue *queue = seat->queue;
	struct gw_port *port = queue->port;
	unsigned int wants = 0, us = 0;
	bool work = false;

	if (!queue->waiting_count && port_usable(port) && !port_rests(port))
		wants |= GW_WANT_RX;
	if (awaited(seat))
		wants |= GW_WANT_TX;
	if (queue->held)
		wants |= GW_WANT_REAP;
	if (wants & (GW_WANT_TX | GW_WANT_REAP))
		us = WORKER_OWING_US;
	if (wants && port->up && queue->driver->arm) {
		unsigned int driver_us = 0;

		work = queue->driver->arm(&queue->queue, wants, &driver_us);
		seat->armed = true;
		if (driver_us && (!us || driver_us < us))
			us = driver_us;
	}
	if (us && (!*poll_us || us < *poll_us))
		*poll_us = us;
	return work;
}

static void disarm(struct worker *worker)
{
	for (unsigned int i = 0; i < worker->seat_count; i++) {
		struct seat *seat = &worker->seat[i];
		unsigned int us = 0;

		if (seat->armed && seat->queue->port->up)
			seat->queue->driver->arm(&seat->queue->queue, 0, &us);
		seat->armed = false;
	}
}

/* As before a sleep, without one: there are devices that go on only then. */
static void look(struct worker *worker, bool all)
{
	uint64_t now_ns = worker->clock.now_ns;
	unsigned int poll_us = 0;

	for (unsigned int i = 0; i < worker->seat_count; i++) {
		struct seat *seat = &worker->seat[i];
		uint64_t since_ns = seat->queue->owing_since_ns;

		if (all || (since_ns && now_ns - since_ns >= WAITING_LOOK_NS))
			arm(seat, &poll_us);
	}
	disarm(worker);
}

/* Processor time of this thread; a system call. */
static uint64_t spent_ns(void)
{
	struct timespec spent;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
	return (uint64_t)spent.tv_sec * 1000000000ull + (uint64_t)spent.tv_nsec;
}

static void sleep_armed(struct worker *worker, unsigned int poll_us)
{
	struct epoll_event events[WORKER_EVENTS];
	struct timespec timeout = { .tv_sec = poll_us / 1000000,
				    .tv_nsec = (long)(poll_us % 1000000) * 1000 };

	waiting_sleeps(&worker->waiting, gw_now_ns());
	gw_store_relaxed(&worker->asleep, 1u);
	epoll_pwait2(worker->epoll_fd, events, WORKER_EVENTS, poll_us ? &timeout : NULL, NULL);
	gw_store_relaxed(&worker->asleep, 0u);
}

static void doze(struct worker *worker)
{
	uint64_t before_ns = waiting_measures(&worker->waiting) ? spent_ns() : 0;
	unsigned int poll_us = 0;
	bool work = false;

	for (unsigned int i = 0; i < worker->seat_count && !work; i++)
		work = arm(&worker->seat[i], &poll_us);
	if (!work)
		sleep_armed(worker, poll_us);
	disarm(worker);
	if (!work)
		waiting_woken(&worker->waiting, gw_now_ns(),
			      before_ns ? spent_ns() - before_ns : 0);
}

/* ---- what ports want ---- */

/* The most that one of them wants decides. */
static void waiting_sync(struct worker *worker)
{
	uint32_t poll_us = 0;
	bool polls = false;

	for (unsigned int i = 0; i < worker->seat_count; i++) {
		const struct port_queue *queue = worker->seat[i].queue;
		const struct gw_port *port = queue->port;

		if (!port->up || queue->queue.dormant ||
		    !(queue->driver->rx || queue->driver->reap))
			continue;
		polls |= port->wait == PORT_WAIT_POLL;
		if (port->wait == PORT_WAIT_ADAPTIVE && port->poll_us > poll_us)
			poll_us = port->poll_us;
	}
	waiting_want(&worker->waiting, polls, poll_us * 1000ull);
}

/* ---- commands ---- */

/* The lock is free meanwhile: other commands may be queued. */
static void stand_still(struct worker *worker, struct command *command)
{
	command->held = true;
	pthread_cond_broadcast(&worker->done);
	/* Nobody need wake who does nothing (worker_nudge). */
	gw_store_relaxed(&worker->asleep, 1u);
	while (!command->released)
		pthread_cond_wait(&worker->done, &worker->lock);
	gw_store_relaxed(&worker->asleep, 0u);
}

static void run_commands(struct worker *worker)
{
	/*
	 * The lock first: a worker that is awake may come here between attention and the
	 * eventfd's signal, and what is signalled after it was cleared would keep this
	 * thread from sleeping until the next command.
	 */
	pthread_mutex_lock(&worker->lock);
	gw_eventfd_clear(worker->event_fd);
	gw_store_release(&worker->attention, 0u);
	while (!gw_list_empty(&worker->commands)) {
		struct command *command =
			gw_container_of(worker->commands.next, struct command, node);

		gw_list_del(&command->node);
		if (command->fn)
			command->fn(command->arg);
		else
			stand_still(worker, command);
		watches_sync(worker);
		command->done = true;
	}
	waiting_sync(worker);
	pthread_cond_broadcast(&worker->done);
	pthread_mutex_unlock(&worker->lock);
}

/* Under the lock; the worker runs. */
static void queue_command(struct worker *worker, struct command *command)
{
	gw_list_add_tail(&worker->commands, &command->node);
	/* Pair A: whoever sees attention also sees the command (under the lock). */
	gw_store_release(&worker->attention, 1u);
	gw_eventfd_signal(worker->event_fd);
}

void worker_apply(struct worker *worker, void (*fn)(void *arg), void *arg)
{
	struct command command = { .fn = fn, .arg = arg };

	pthread_mutex_lock(&worker->lock);
	if (!worker->running) {
		fn(arg);
		watches_sync(worker);
	} else {
		queue_command(worker, &command);
		while (!command.done)
			pthread_cond_wait(&worker->done, &worker->lock);
	}
	pthread_mutex_unlock(&worker->lock);
}

/* One that does not run is kept from beginning to, by its lock. */
static void hold(struct worker *worker, struct command *command)
{
	pthread_mutex_lock(&worker->lock);
	if (!worker->running)
		return;
	queue_command(worker, command);
	while (!command->held)
		pthread_cond_wait(&worker->done, &worker->lock);
	pthread_mutex_unlock(&worker->lock);
}

static void release(struct worker *worker, struct command *command)
{
	if (!command->held) {
		watches_sync(worker);
		pthread_mutex_unlock(&worker->lock);
		return;
	}
	pthread_mutex_lock(&worker->lock);
	command->released = true;
	pthread_cond_broadcast(&worker->done);
	while (!command->done)
		pthread_cond_wait(&worker->done, &worker->lock);
	pthread_mutex_unlock(&worker->lock);
}

void worker_apply_all(struct worker *const *workers, unsigned int count, void (*fn)(void *arg),
		      void *arg)
{
	struct command command[PORT_LANES_MAX] = { 0 };

	if (count == 1) {
		worker_apply(workers[0], fn, arg);
		return;
	}
	for (unsigned int i = 0; i < count; i++)
		hold(workers[i], &command[i]);
	fn(arg);
	for (unsigned int i = count; i > 0; i--)
		release(workers[i - 1], &command[i - 1]);
}

/* ---- the thread ---- */

/* What time it is, for a round: now, or when work was done just before. */
static uint64_t round_begin(struct worker *worker)
{
	if (worker->clock.visits > WORKER_CLOCK_VISITS) {
		worker->clock.now_ns = gw_now_ns();
		worker->clock.visits = 0;
	}
	waiting_round(&worker->waiting, worker->clock.now_ns);
	return worker->clock.now_ns;
}

static void round_end(struct worker *worker, uint64_t now_ns, bool work)
{
	switch (waiting_next(&worker->waiting, now_ns, work)) {
	case WAITING_POLL:
		return;
	case WAITING_LOOK:
		look(worker, false);
		break;
	case WAITING_LOOK_ALL:
		look(worker, true);
		break;
	case WAITING_SLEEP:
		doze(worker);
		break;
	}
	worker->clock.visits = CLOCK_OLD;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	char name[16];

	/* By itself: to name another thread takes a file of /proc. */
	snprintf(name, sizeof(name), "gw-worker-%u", worker->index);
	pthread_setname_np(pthread_self(), name);
	worker->clock.now_ns = gw_now_ns();
	waiting_begin(&worker->waiting, worker->clock.now_ns);
	for (;;) {
		uint64_t now_ns;
		bool work = false;

		gw_store_relaxed(&worker->rounds, worker->rounds + 1);
		/* Pair A. */
		if (gw_load_acquire(&worker->attention)) {
			run_commands(worker);
			worker->clock.visits = CLOCK_OLD;
		}
		/* After the commands: they have cleared the eventfd, which was quit's too. */
		if (gw_load_acquire(&worker->quit))
			return NULL;
		now_ns = round_begin(worker);
		for (unsigned int i = 0; i < worker->seat_count; i++)
			work |= visit(&worker->seat[i]);
		round_end(worker, now_ns, work);
	}
}

int worker_start(struct worker *worker, struct gw_error *err)
{
	int ret;

	watches_sync(worker);
	waiting_sync(worker);
	gw_store_release(&worker->quit, 0u);
	worker->running = true;
	ret = pthread_create(&worker->thread, NULL, worker_main, worker);
	if (ret) {
		worker->running = false;
		return gw_error_sys(err, -ret, "worker %u: thread", worker->index);
	}
	return 0;
}

void worker_stop(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	if (!worker->running) {
		pthread_mutex_unlock(&worker->lock);
		return;
	}
	pthread_mutex_unlock(&worker->lock);
	gw_store_release(&worker->quit, 1u);
	gw_eventfd_signal(worker->event_fd);
	pthread_join(worker->thread, NULL);
	pthread_mutex_lock(&worker->lock);
	worker->running = false;
	pthread_mutex_unlock(&worker->lock);
	run_commands(worker);
}

void worker_read(const struct worker *worker, struct gw_worker_info *info)
{
	waiting_read(&worker->waiting, info);
}

/* ---- one that is stuck ---- */

static void nothing_handler(int number)
{
}

int worker_install_signal(void)
{
	struct sigaction action = { .sa_handler = nothing_handler }, before;

	if (sigaction(WORKER_SIGNAL, NULL, &before))
		return -errno;
	/* A program's own handler interrupts as well. */
	if (before.sa_flags & SA_SIGINFO || before.sa_handler != SIG_DFL)
		return 0;
	return sigaction(WORKER_SIGNAL, &action, NULL) ? -errno : 0;
}

/* Control is what starts and stops workers' threads: the thread is there. */
void worker_nudge(struct worker *worker)
{
	uint32_t rounds = gw_load_relaxed(&worker->rounds);

	if (rounds == worker->rounds_seen && !gw_load_relaxed(&worker->asleep))
		pthread_kill(worker->thread, WORKER_SIGNAL);
	worker->rounds_seen = rounds;
}
