/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast is each processor, now?
 *
 * A processor of a virtual machine may be at half its speed for a while, by itself, and the
 * kernel counts no stolen time for it. What was measured then must not be compared with
 * what was measured a moment ago. A loop that works in registers shows it: it runs on all
 * processors that are asked for at the same time, so that two which share a core of the
 * host are seen as well.
 */
#pragma once

#include <stdbool.h>

#define PACE_MAX 64u

/* What is measured while the loop takes more than that many times its best was slow. */
#define PACE_SPREAD_MAX 1.25

/* Processors 0 to count - 1; false: one of them is not there, or not for us. */
bool pace_start(unsigned int count);
/* Nanoseconds of the loop on each, into ns[]. Takes a millisecond of each of them. */
void pace_take(double *ns);
void pace_stop(void);
