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
#define WORKER_PORTS_MAX    256u
#define WORKER_EVENTS       64
/* A reading of the clock is good for so many visits. */
#define WORKER_CLOCK_VISITS 2u
#define CLOCK_OLD           (WORKER_CLOCK_VISITS + 1)

/* One port and the watches that were set for it. */
struct seat {
	struct gw_port *port;
	struct network *network;
	bool armed;
	int watched[GW_QUEUE_FDS]; /* -1: none */
};

struct command {
	void (*fn)(void *arg);
	void *arg;
	bool done;
	struct gw_list node;
};

struct worker {
	unsigned int index;
	pthread_t thread;
	int epoll_fd, event_fd;
	struct seat seat[WORKER_PORTS_MAX];
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
		worker->seat[i].port->clock = &worker->seat[i].port->own_clock;
	gw_fd_close(&worker->epoll_fd);
	gw_fd_close(&worker->event_fd);
	pthread_cond_destroy(&worker->done);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
}

int worker_add_network(struct worker *worker, struct network *network, struct gw_error *err)
{
	if (worker->seat_count + network->port_count > WORKER_PORTS_MAX)
		return gw_error_set(err, -ENOSPC, "worker %u: more than %u ports; use more workers",
				    worker->index, WORKER_PORTS_MAX);
	for (unsigned int i = 0; i < network->port_count; i++) {
		struct seat *seat = &worker->seat[worker->seat_count++];

		*seat = (struct seat){ .port = network->port[i], .network = network };
		seat->port->clock = &worker->clock;
		for (unsigned int k = 0; k < GW_QUEUE_FDS; k++)
			seat->watched[k] = -1;
	}
	return 0;
}

/* ---- descriptors ---- */

static void watch_drop(struct worker *worker, struct seat *seat, unsigned int k)
{
	struct epoll_event event = { 0 };

	if (seat->watched[k] < 0 || seat->watched[k] == seat->port->queue.fd[k].fd)
		return;
	epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, seat->watched[k], &event);
	seat->watched[k] = -1;
}

static void watch_set(struct worker *worker, struct seat *seat, unsigned int k)
{
	int fd = seat->port->queue.fd[k].fd;
	struct epoll_event event = {
		.events = seat->port->queue.fd[k].events | EPOLLET,
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

static void network_settle(struct network *network)
{
	for (unsigned int i = 0; i < network->port_count; i++)
		desk_flush(network->port[i]);
	for (unsigned int i = 0; i < network->port_count; i++)
		desk_release(network->port[i]);
}

/* Frames that found no room come before new ones. Returns true if all are gone. */
static bool forward_waiting(struct network *network, struct gw_port *port)
{
	port->waiting_next += network_forward(network, port, port->waiting + port->waiting_next,
					      port->waiting_count - port->waiting_next);
	if (port->waiting_next < port->waiting_count)
		return false;
	port->waiting_next = port->waiting_count = 0;
	return true;
}

/* Returns how many frames the port lent. */
static unsigned int take_frames(struct network *network, struct gw_port *port)
{
	struct gw_frame **frames = port->waiting;
	unsigned int count;

	if (!port_usable(port) || port->resting || !port->driver->rx)
		return 0;
	port->found_ns = port->clock->now_ns;
	count = port->driver->rx(&port->queue, frames, GW_BATCH);
	for (unsigned int i = 0; i < count; i++)
		desk_enter(port, frames[i]);
	port->waiting_next = 0;
	port->waiting_count = count;
	if (count)
		forward_waiting(network, port);
	return count;
}

static bool visit(struct seat *seat)
{
	struct gw_port *port = seat->port;
	struct network *network = seat->network;
	uint64_t now_ns = port->clock->now_ns;
	unsigned int work, before = port->waiting_count - port->waiting_next;

	port->clock->visits++;
	port->clock->done_ns = 0;
	work = desk_reap(port);
	network->now_s = (uint32_t)(now_ns / 1000000000ull);
	desk_check_stall(port, now_ns);
	if (forward_waiting(network, port))
		work += before + take_frames(network, port);
	else
		work += before - (port->waiting_count - port->waiting_next);
	work += port->home_count;
	network_settle(network);
	return work > 0;
}

/* ---- sleep ---- */

/* In a network of two, the other port's frames wait for this one. */
static bool awaited(const struct seat *seat)
{
	const struct network *network = seat->network;

	if (seat->port->offer.count)
		return true;
	return network->port_count == 2 && network->port[!seat->port->slot]->waiting_count;
}

static bool arm(struct seat *seat, unsigned int *poll_us)
{
	struct gw_port *port = seat->port;
	unsigned int wants = 0, us = 0;
	bool work = false;

	if (!port->waiting_count && port_usable(port) && !port->resting)
		wants |= GW_WANT_RX;
	if (awaited(seat))
		wants |= GW_WANT_TX;
	if (port->held)
		wants |= GW_WANT_REAP;
	if (wants & (GW_WANT_TX | GW_WANT_REAP))
		us = WORKER_OWING_US;
	if (wants && port->up && port->driver->arm) {
		unsigned int driver_us = 0;

		work = port->driver->arm(&port->queue, wants, &driver_us);
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

		if (seat->armed && seat->port->up)
			seat->port->driver->arm(&seat->port->queue, 0, &us);
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
		uint64_t since_ns = seat->port->owing_since_ns;

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
		const struct gw_port *port = worker->seat[i].port;

		if (!port->up || port->queue.dormant || !(port->driver->rx || port->driver->reap))
			continue;
		polls |= port->wait == PORT_WAIT_POLL;
		if (port->wait == PORT_WAIT_ADAPTIVE && port->poll_us > poll_us)
			poll_us = port->poll_us;
	}
	waiting_want(&worker->waiting, polls, poll_us * 1000ull);
}

/* ---- commands ---- */

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
		command->fn(command->arg);
		watches_sync(worker);
		command->done = true;
	}
	waiting_sync(worker);
	pthread_cond_broadcast(&worker->done);
	pthread_mutex_unlock(&worker->lock);
}

void worker_apply(struct worker *worker, void (*fn)(void *arg), void *arg)
{
	struct command command = { .fn = fn, .arg = arg };

	pthread_mutex_lock(&worker->lock);
	if (!worker->running) {
		fn(arg);
		watches_sync(worker);
	} else {
		gw_list_add_tail(&worker->commands, &command.node);
		/* Pair A: whoever sees attention also sees the command (under the lock). */
		gw_store_release(&worker->attention, 1u);
		gw_eventfd_signal(worker->event_fd);
		while (!command.done)
			pthread_cond_wait(&worker->done, &worker->lock);
	}
	pthread_mutex_unlock(&worker->lock);
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
