/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chores: jobs that may block, one at a time for each port, in order.
 *
 * A port that has jobs has a thread, and one that has none has none. That gives
 * the two promises of driver.h for nothing: control functions of one port never
 * overlap, and a device that takes its time delays no other port.
 */
#pragma once

#include "list.h"
#include <guestwire/error.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* All chores of an engine: to wait for them. */
struct chores {
	pthread_mutex_t lock;
	pthread_cond_t idle;
	unsigned int threads;
	/* The one that ended last: whoever ends next, or waits for all, joins it. */
	pthread_t ended;
	bool has_ended;
};

/* A port's own queue of jobs. */
struct chore_queue {
	struct chores *chores;
	struct gw_list jobs;
	bool running;
};

/* Lives in its owner; may be queued again once its fn has begun to run. */
struct chore_job {
	void (*fn)(struct chore_job *job);
	struct gw_list node;
	bool queued;
};

void chores_init(struct chores *chores);
void chores_destroy(struct chores *chores);
/*
 * Returns when nothing is queued and no thread is left, or after timeout_ms: false.
 * Threads: any but a chore.
 */
bool chores_wait(struct chores *chores, unsigned int timeout_ms);

void chore_queue_init(struct chore_queue *queue, struct chores *chores);
/*
 * Queues a job; one that is queued already goes to the end: it must not overtake
 * what was queued since, such as the question about memory that it is to retire. If
 * no thread can be made (-EAGAIN) it runs at once on the caller's: late, but not lost.
 * Threads: any but a worker.
 */
void chore_add(struct chore_queue *queue, struct chore_job *job, void (*fn)(struct chore_job *job));
