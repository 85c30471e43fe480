/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker: one thread that owns lanes of networks, the ports' queues in them, and
 * all counts.
 *
 * It goes round its ports: take back finished loans, lend and forward a bounded
 * batch, hand over what was offered, give home what is over. When rounds found
 * nothing for as long as it pays to look (waiting.h) it arms what can wake it, looks
 * once more, and sleeps in epoll.
 *
 * All descriptors are watched edge-triggered. That is sound because a worker
 * sleeps only after every source had nothing to give, and it means that nobody
 * has to read an eventfd to quiet it.
 */
#pragma once

#include "network.h"
#include <signal.h>

struct worker;

/* Ignored by default; with a handler it interrupts. */
#define WORKER_SIGNAL SIGURG

int worker_create(unsigned int index, struct worker **worker, struct gw_error *err);
/* Before its lanes go. */
void worker_free(struct worker *worker);
/* Before worker_start. The lane stays the caller's. */
int worker_add_lane(struct worker *worker, struct lane *lane, struct gw_error *err);
int worker_start(struct worker *worker, struct gw_error *err);
/* Ends the thread; afterwards worker_apply runs inline. Safe if it was not started. */
void worker_stop(struct worker *worker);
/*
 * Called every now and then by control: a worker that has not come round since
 * the last call, although it is not asleep, is stuck in a system call, and gets
 * WORKER_SIGNAL, which ends the call (gw_eventfd_signal has the one case).
 */
void worker_nudge(struct worker *worker);
/* How it spends its time. Any thread. */
void worker_read(const struct worker *worker, struct gw_worker_info *info);
/* Installs a handler that does nothing, unless the program has one. 0 or -errno. */
int worker_install_signal(void);

/*
 * Runs fn(arg) between two visits and waits for it; watches of descriptors have
 * been brought up to date when it returns. Threads: any but a worker.
 */
void worker_apply(struct worker *worker, void (*fn)(void *arg), void *arg);
/*
 * The same while several stand still between two visits: fn runs on the calling thread
 * then. Each caller names them in the same order, or two would wait for each other.
 */
void worker_apply_all(struct worker *const *workers, unsigned int count, void (*fn)(void *arg),
		      void *arg);
