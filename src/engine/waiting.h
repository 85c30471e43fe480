/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker between two visits: does it look once more, or sleep? And an account of
 * its time.
 *
 * Ports say how they want to be waited for (wait=, poll_us=); the worker does what the
 * most demanding of them wants, and polls the others along. What it does then is
 *
 *   sleep      after a round that found nothing, if no port has a budget
 *   adaptive   poll as long as patience.h says, then sleep
 *   poll       never sleep; after WAITING_LOOK_ALL_NS without work, and so on, all
 *              ports are armed as before a sleep
 *
 * A worker that stays awake, whether it polls or works, looks every WAITING_LOOK_NS at
 * the ports that are owed something and see no progress: there are devices that go on
 * only if they are armed.
 *
 * While it polls, guests need not kick; before it sleeps they are asked to.
 *
 * No clock is read here: the worker passes what it has. Counters are read by snapshots.
 */
#pragma once

#include "histogram.h"
#include "patience.h"

#define WAITING_LOOK_NS     100000u
#define WAITING_LOOK_ALL_NS 10000000u

enum waiting_step {
	WAITING_POLL, /* another round */
	WAITING_LOOK, /* the same, but first arm the ports that are owed something for long */
	WAITING_LOOK_ALL,
	WAITING_SLEEP,
};

enum waiting_spent { WAITING_BUSY, WAITING_POLLING, WAITING_ASLEEP, WAITING_SPENT_COUNT };

struct waiting {
	/* set between rounds */
	bool polls;
	struct patience patience;

	/* of the worker */
	bool worked;            /* in the round before */
	bool idle, slept;       /* it found nothing; and slept since then */
	uint64_t idle_since_ns; /* if so */
	uint64_t window_ns;     /* polled for this long from then on */
	uint64_t looked_ns, looked_all_ns;
	uint64_t round_ns, spent_till_ns;

	/* counters */
	gw_counter rounds, rounds_worked, sleeps, wakes_worked;
	gw_counter spent_ns[WAITING_SPENT_COUNT];
	gw_counter window_now_ns, sleep_cost_ns;
	uint32_t polls_now;
	struct histogram round;
};

/* The thread begins. */
void waiting_begin(struct waiting *waiting, uint64_t now_ns);
/* What ports want has changed: never to sleep, or to poll for at most budget_ns. */
void waiting_want(struct waiting *waiting, bool polls, uint64_t budget_ns);
/* A round begins. */
void waiting_round(struct waiting *waiting, uint64_t now_ns);
/* It is over, and found work or not; now_ns is when it began. */
enum waiting_step waiting_next(struct waiting *waiting, uint64_t now_ns, bool work);
/* Around a sleep. cost_ns: what it cost of the processor, 0: not measured. */
void waiting_sleeps(struct waiting *waiting, uint64_t now_ns);
void waiting_woken(struct waiting *waiting, uint64_t now_ns, uint64_t cost_ns);
/* What the sleep costs that is to come should be measured. */
static inline bool waiting_measures(const struct waiting *waiting)
{
	return waiting->patience.sampling;
}
/* A copy for people; the index is the caller's. Any thread. */
void waiting_read(const struct waiting *waiting, struct gw_worker_info *info);
