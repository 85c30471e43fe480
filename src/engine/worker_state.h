/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a worker is made of, for the files that are its rooms:
 *
 *   worker.c           its life, and the rounds of its thread
 *   worker_visit.c     frames: what it does for one queue each time it comes round
 *   worker_sleep.c     what wakes it: descriptors, and devices that are armed
 *   worker_commands.c  what other threads have it do, and standing still for them
 */
#pragma once

#include "worker.h"

#include "list.h"
#include "waiting.h"
#include <pthread.h>

/* A lane has one more than ports. */
#define WORKER_SEATS_MAX 512u

/* One port's queue, and the watches that were set for it. */
struct seat {
	struct port_queue *queue;
	struct lane *lane;
	bool armed;
	int watched[GW_QUEUE_FDS]; /* -1: none */
};

struct worker {
	unsigned int index;
	pthread_t thread;
	int epoll_fd, event_fd;
	struct seat seat[WORKER_SEATS_MAX];
	unsigned int seat_count;
	struct port_clock clock;  /* its ports' */
	struct frame_pool frames; /* the same */
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

/* Takes back, receives, forwards, flushes, gives home. Returns whether there was work. */
bool worker_visit(struct seat *seat);

/* Between two visits: watches the descriptors that its queues have now, and no others. */
void worker_watch(struct worker *worker);
/* Between two visits: what its ports want of its waiting, as it is now. */
void worker_wants(struct worker *worker);
/* As before a sleep, without one; all, or only who is owed something for long. */
void worker_look(struct worker *worker, bool all);
/* Sleeps until there may be work. */
void worker_doze(struct worker *worker);

/* On the worker's thread, or when there is none. */
void worker_run_commands(struct worker *worker);
