/* SPDX-License-Identifier: BSD-2-Clause */
#include "worker_state.h"

#include "loop.h"
#include <errno.h>
#include <sys/epoll.h>

/* How often it looks at ports that owe something, whether or not a descriptor fires. */
#define WORKER_OWING_US 20000u
#define WORKER_EVENTS   64

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
void worker_watch(struct worker *worker)
{
	for (unsigned int i = 0; i < worker->seat_count; i++)
		for (unsigned int k = 0; k < GW_QUEUE_FDS; k++)
			watch_drop(worker, &worker->seat[i], k);
	for (unsigned int i = 0; i < worker->seat_count; i++)
		for (unsigned int k = 0; k < GW_QUEUE_FDS; k++)
			watch_set(worker, &worker->seat[i], k);
}

/* ---- what ports want ---- */

/* The most that one of them wants decides. */
void worker_wants(struct worker *worker)
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
void worker_look(struct worker *worker, bool all)
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

void worker_doze(struct worker *worker)
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
