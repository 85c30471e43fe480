/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control loop: file descriptors, timers, and calls from other threads.
 *
 * One thread runs it (gw_loop_run); callbacks run on that thread, one at a
 * time, and must not block for longer than a few milliseconds. Watches and
 * timers live in their owners' structs: no allocation, and "is it active" is
 * always known.
 */
#pragma once

#include "list.h"
#include <stdbool.h>
#include <stdint.h>

struct gw_loop;

struct gw_watch {
	int fd; /* -1: inactive; so is a struct of zeros */
	uint32_t events;
	void (*fn)(struct gw_watch *watch, uint32_t events);
	struct gw_list node; /* the loop's */
};

struct gw_timer {
	uint64_t due_ns; /* CLOCK_MONOTONIC; 0: inactive */
	void (*fn)(struct gw_timer *timer);
	struct gw_list node; /* the loop's */
};

/* Creation and end: the owner's thread, while gw_loop_run does not run. */
int gw_loop_create(struct gw_loop **loop);
void gw_loop_destroy(struct gw_loop *loop);

/* Runs callbacks until gw_loop_quit (also one that came before), then what is still posted. */
void gw_loop_run(struct gw_loop *loop);
/* Makes gw_loop_run return after the callback of the moment. Threads: any. */
void gw_loop_quit(struct gw_loop *loop);
/* True on the thread that runs the loop now, or runs a gw_loop_call in its place. */
bool gw_loop_is_current(const struct gw_loop *loop);

/*
 * Watches fd for events (EPOLLIN ...). watch must stay where it is until
 * gw_watch_stop. 0 or -errno. Threads: the loop's, or any while it does not run.
 */
int gw_watch_start(struct gw_loop *loop, struct gw_watch *watch, int fd, uint32_t events,
		   void (*fn)(struct gw_watch *watch, uint32_t events));
int gw_watch_change(struct gw_loop *loop, struct gw_watch *watch, uint32_t events);
/* Safe on one that is inactive; no callback of it comes any more. Before the fd is closed. */
void gw_watch_stop(struct gw_loop *loop, struct gw_watch *watch);

/* One shot, from now; a running timer is set anew. Threads: as gw_watch_start. */
void gw_timer_start(struct gw_loop *loop, struct gw_timer *timer, uint64_t delay_ms,
		    void (*fn)(struct gw_timer *timer));
void gw_timer_stop(struct gw_loop *loop, struct gw_timer *timer);

/*
 * Calls fn(arg) on the loop's thread. post returns at once; call returns when it
 * has run (at once, on the loop's own thread; and on the calling thread if the
 * loop does not run). Posted calls keep their order. Threads: any.
 * post: 0, or -ENOMEM; what the loop never comes to run is dropped in gw_loop_destroy.
 */
int gw_loop_post(struct gw_loop *loop, void (*fn)(void *arg), void *arg);
void gw_loop_call(struct gw_loop *loop, void (*fn)(void *arg), void *arg);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t gw_now_ns(void);
