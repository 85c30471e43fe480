/* SPDX-License-Identifier: BSD-2-Clause */
#include "worker_state.h"

#include "apart.h"
#include "fd.h"
#include "loop.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* A reading of the clock is good for so many visits. */
#define WORKER_CLOCK_VISITS 2u
#define CLOCK_OLD           (WORKER_CLOCK_VISITS + 1)

int worker_create(unsigned int index, struct worker **out, struct gw_error *err)
{
	struct worker *worker = gw_alloc_apart(sizeof(*worker));
	struct epoll_event event = { .events = EPOLLIN };

	if (!worker)
		return gw_error_sys(err, -ENOMEM, "worker %u", index);
	worker->index = index;
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->done, NULL);
	gw_list_init(&worker->commands);
	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	worker->event_fd = gw_eventfd();
	if (frame_pool_init(&worker->frames, FRAME_POOL_SHARED)) {
		worker_free(worker);
		return gw_error_sys(err, -ENOMEM, "worker %u: frames", index);
	}
	if (worker->epoll_fd < 0 || worker->event_fd < 0 ||
	    epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, worker->event_fd, &event)) {
		int code = -errno;

		worker_free(worker);
		return gw_error_sys(err, code, "worker %u: epoll", index);
	}
	*out = worker;
	return 0;
}

static void leave_seat(struct port_queue *queue)
{
	queue->clock = &queue->own_clock;
	queue->frames = NULL;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	worker_stop(worker);
	for (unsigned int i = 0; i < worker->seat_count; i++)
		leave_seat(worker->seat[i].queue);
	gw_fd_close(&worker->epoll_fd);
	gw_fd_close(&worker->event_fd);
	frame_pool_destroy(&worker->frames);
	pthread_cond_destroy(&worker->done);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
}

static void add_seat(struct worker *worker, struct lane *lane, struct port_queue *queue)
{
	struct seat *seat = &worker->seat[worker->seat_count++];

	*seat = (struct seat){ .queue = queue, .lane = lane };
	queue->clock = &worker->clock;
	queue->frames = &worker->frames;
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
		worker_look(worker, false);
		break;
	case WAITING_LOOK_ALL:
		worker_look(worker, true);
		break;
	case WAITING_SLEEP:
		worker_doze(worker);
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
			worker_run_commands(worker);
			worker->clock.visits = CLOCK_OLD;
		}
		/* After the commands: they have cleared the eventfd, which was quit's too. */
		if (gw_load_acquire(&worker->quit))
			return NULL;
		now_ns = round_begin(worker);
		for (unsigned int i = 0; i < worker->seat_count; i++)
			work |= worker_visit(&worker->seat[i]);
		round_end(worker, now_ns, work);
	}
}

int worker_start(struct worker *worker, struct gw_error *err)
{
	int ret;

	/* Who does something in its place, since it does not run, ends first. */
	pthread_mutex_lock(&worker->lock);
	worker_watch(worker);
	worker_wants(worker);
	gw_store_release(&worker->quit, 0u);
	ret = pthread_create(&worker->thread, NULL, worker_main, worker);
	worker->running = !ret;
	pthread_mutex_unlock(&worker->lock);
	return ret ? gw_error_sys(err, -ret, "worker %u: thread", worker->index) : 0;
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
	worker_run_commands(worker);
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
