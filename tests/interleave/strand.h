/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads under a test's hands: strands.
 *
 * The program is linked so that calls which make threads, wait, or ask for the time
 * come to strand_calls.c (--wrap, see meson.build). While a run is on, a thread that
 * the library makes is a strand: a stack of its own on the test's one thread, which
 * runs when the test says so and gives the hand back where it would block: in epoll,
 * poll, a condition variable, a join, and at the beginning of each round of a worker.
 * So the test decides who is next, sees the state between any two steps, and the same
 * decisions bring the same run.
 *
 * Time stands still unless the test moves it, but for a little that each round of
 * a worker takes. Ports of a played world say wait=sleep: a round without work is the
 * last before sleep, and one that polls would be one more state for each turn.
 *
 * What this cannot show: what two threads do between two such points. There they
 * share what atomic.h names, and ThreadSanitizer looks at that
 * (scripts/run-checks tsan).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define STRANDS_MAX 16u

enum strand_role { STRAND_HAND, STRAND_CONTROL, STRAND_WORKER, STRAND_CHORE };

/* From here on threads are strands, and time is ours; all before are forgotten. */
void strands_begin(void);
/* All strands must have ended. */
void strands_end(void);

/* The test's own strand, for what blocks (role HAND): runs job(arg) when it is told to. */
void strand_give(void (*job)(void *arg), void *arg);
bool strand_idle(void); /* it has no job */

/* Strands are numbered in the order in which they were made, HAND first. */
unsigned int strand_count(void);
enum strand_role strand_role(unsigned int i);
bool strand_over(unsigned int i);
/*
 * Finds out who has something to do: runs, or what it waits for has come, or its time is
 * over. That asks the kernel, which is most of a run's time: so once after each step, and
 * whoever asks about a strand hears what was found then.
 */
void strands_look(void);
bool strand_can_run(unsigned int i);
void strand_run(unsigned int i);
/* The first moment at which the time of one that waits is over; 0: none. Without workers. */
uint64_t strand_deadline_ns(void);
void strand_advance(uint64_t to_ns);
uint64_t strand_now_ns(void);
/* In how many ms its time is over, roughly; 0: never, 1: now. */
unsigned int strand_patience(unsigned int i);
/* Where it waits and for what, as a number that says the same in each run. */
uint64_t strand_place(unsigned int i);
