/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long to look for work before sleeping.
 *
 * To poll for a time g costs g of a processor; to sleep costs a wake-up, whatever g
 * is. Who knew the gap to the next work would do the cheaper of the two; the gaps of
 * the recent past are the next best thing. So for each window w (0, 1, 2, 4 us ...)
 * there is an expected price of waiting in this way, poll for w and then sleep:
 *
 *     mean over gaps g of:   g <= w ?  g  :  w + sleep_price
 *
 * and the cheapest window is taken. Steady small gaps are polled through, a burst of
 * frames is polled for as long as it lasts and not much longer, and for work that is
 * rare a worker sleeps at once.
 *
 * The price of a sleep is what it costs this worker, measured, times PATIENCE_WORTH:
 * the guest pays for it as well (a kick, so an exit from the guest, and the writing
 * of an eventfd), and so does the frame, by waiting. It is never above the budget,
 * and neither is a window: `budget` is the most that is ever polled for nothing.
 *
 * A gap that was slept through looks longer than it was, by the wake-up; then sleep
 * would always seem right. So only samples count: every 16th gap is polled for the
 * whole budget, to see how long it really is. That is dear where a sleep is right, so
 * after each sample for which the window was as good as any they are half as many, until
 * one tells otherwise.
 *
 * No clock is read here: times are the caller's. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Window number i polls for PATIENCE_FIRST_NS << (i - 1); number 0 for no time. */
#define PATIENCE_FIRST_NS 1024u
#define PATIENCE_WINDOWS  13u
/* What a sleep is worth, in processor time that it costs the worker. */
#define PATIENCE_WORTH    4u
/* What it is taken to cost before one was measured. */
#define PATIENCE_COST_NS  2500u
/* One gap of so many is a sample; of so many, while samples tell nothing new. */
#define PATIENCE_EVERY    16u
#define PATIENCE_SELDOM   256u
/* Nothing is decided from fewer samples; when there are that many, old ones fade. */
#define PATIENCE_LEAST    4u
#define PATIENCE_MANY     32u
/* Another window has to be cheaper by one part of this many. */
#define PATIENCE_MARGIN   8u

struct patience {
	uint64_t asked_ns;  /* the budget as it was given */
	uint64_t budget_ns; /* not beyond the last window */
	uint64_t cost_ns;   /* of a sleep, of the processor */
	unsigned int window, windows;
	bool sampling; /* the gap of now is a sample */
	unsigned int turn, every;
	/* Samples: gaps that window i, and none before, would poll through; [windows]: none. */
	uint32_t count[PATIENCE_WINDOWS + 1];
	uint64_t sum_ns[PATIENCE_WINDOWS + 1];
	uint32_t samples;
};

/* Begins anew. 0: to sleep at once, always. */
void patience_init(struct patience *patience, uint64_t budget_ns);
/* There is nothing to do. For how long to look for work before sleeping. */
uint64_t patience_begin(struct patience *patience);
/* There is, after so long, whether or not a part of it was slept. */
void patience_end(struct patience *patience, uint64_t gap_ns);
/* A sleep has cost so much processor time. */
void patience_slept(struct patience *patience, uint64_t cost_ns);

uint64_t patience_window_ns(const struct patience *patience);
uint64_t patience_sleep_price_ns(const struct patience *patience);
