/* SPDX-License-Identifier: BSD-2-Clause */
/* A worker and a network of two fake ports, for its tests. */
#pragma once

#include "fake_device.h"
#include "worker.h"

/* What is waited for has come by then. */
#define DEADLINE_NS 5000000000ull
/* Long enough that others go on meanwhile. */
#define MOMENT_NS   3000000ull

struct rig {
	struct network network;
	struct gw_arena *arena;
};

extern struct worker *the_worker;
extern struct gw_error err;

/* One at a time; the worker is not started. */
struct rig *rig_open(const char *a, const char *b);
void rig_close(struct rig *rig);
struct fake *fake_at(struct rig *rig, unsigned int i);

/* What the worker has of a fake port, read between two visits: it wakes for that. */
struct look {
	struct fake *fake;
	uint64_t rx_calls, taken, arms;
	unsigned int waiting;
};

struct look look_at(struct fake *fake);

/*
 * These do not wake it. It sleeps when its ports are armed no more; it has come round
 * when rx was called.
 */
void wait_for_sleep(struct fake *fake);
void wait_for_rx(struct fake *fake, uint64_t more_than);
/* The fake has taken so many frames; false after a deadline. Wakes it. */
bool wait_for_taken(struct fake *fake, uint64_t count);

/* ---- for worker_apply ---- */

/* A port lends frames, for all. */
struct lend {
	struct fake *fake;
	unsigned int count;
};

void lend_apply(void *lend);
void down_apply(void *port);
/* Nothing, for MOMENT_NS. */
void wait_a_moment(void *nothing);
