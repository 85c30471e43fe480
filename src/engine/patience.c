/* SPDX-License-Identifier: BSD-2-Clause */
#include "patience.h"

static uint64_t window_ns(const struct patience *patience, unsigned int i)
{
	uint64_t ns = i ? (uint64_t)PATIENCE_FIRST_NS << (i - 1) : 0;

	return ns < patience->budget_ns ? ns : patience->budget_ns;
}

uint64_t patience_window_ns(const struct patience *patience)
{
	return window_ns(patience, patience->window);
}

uint64_t patience_sleep_price_ns(const struct patience *patience)
{
	uint64_t price_ns = PATIENCE_WORTH * patience->cost_ns;

	return price_ns < patience->budget_ns ? price_ns : patience->budget_ns;
}

/* The longest window that is not above this time. */
static unsigned int window_within(const struct patience *patience, uint64_t ns)
{
	unsigned int i = patience->windows - 1;

	while (i && window_ns(patience, i) > ns)
		i--;
	return i;
}

void patience_init(struct patience *patience, uint64_t budget_ns)
{
	*patience = (struct patience){ .asked_ns = budget_ns,
				       .budget_ns = budget_ns,
				       .cost_ns = PATIENCE_COST_NS,
				       .every = PATIENCE_EVERY };
	/* The last window is the budget itself. */
	patience->windows = 1;
	while (window_ns(patience, patience->windows - 1) < budget_ns &&
	       patience->windows < PATIENCE_WINDOWS)
		patience->windows++;
	patience->budget_ns = window_ns(patience, patience->windows - 1);
	patience->window = window_within(patience, patience_sleep_price_ns(patience));
}

uint64_t patience_begin(struct patience *patience)
{
	patience->sampling = ++patience->turn >= patience->every;
	if (patience->sampling)
		patience->turn = 0;
	return patience->sampling ? patience->budget_ns : patience_window_ns(patience);
}

/* ---- the decision ---- */

/* What all samples together would have cost with each window. */
static void prices_of(const struct patience *patience, uint64_t price_ns[PATIENCE_WINDOWS])
{
	uint64_t sleep_ns = patience_sleep_price_ns(patience), polled_ns = 0;
	uint64_t longer = patience->samples;

	for (unsigned int i = 0; i < patience->windows; i++) {
		polled_ns += patience->sum_ns[i];
		longer -= patience->count[i];
		price_ns[i] = polled_ns + longer * (window_ns(patience, i) + sleep_ns);
	}
}

static void decide(struct patience *patience)
{
	uint64_t price_ns[PATIENCE_WINDOWS] = { 0 }, now_ns;
	unsigned int best = 0;

	prices_of(patience, price_ns);
	for (unsigned int i = 1; i < patience->windows; i++)
		if (price_ns[i] < price_ns[best])
			best = i;
	now_ns = price_ns[patience->window];
	if (now_ns - price_ns[best] > now_ns / PATIENCE_MARGIN)
		patience->window = best;
}

/* Another window would have been better for this gap. */
static bool regrets(const struct patience *patience, uint64_t gap_ns)
{
	uint64_t sleep_ns = patience_sleep_price_ns(patience);
	uint64_t window = patience_window_ns(patience);
	uint64_t paid_ns = gap_ns <= window ? gap_ns : window + sleep_ns;
	uint64_t least_ns = gap_ns < sleep_ns ? gap_ns : sleep_ns;

	return paid_ns - least_ns > paid_ns / PATIENCE_MARGIN;
}

static void fade(struct patience *patience)
{
	patience->samples = 0;
	for (unsigned int i = 0; i <= patience->windows; i++) {
		/* The mean stays what it was. */
		patience->sum_ns[i] -=
			patience->count[i] & 1 ? patience->sum_ns[i] / patience->count[i] : 0;
		patience->sum_ns[i] /= 2;
		patience->count[i] /= 2;
		patience->samples += patience->count[i];
	}
}

void patience_end(struct patience *patience, uint64_t gap_ns)
{
	unsigned int i = 0;

	if (!patience->sampling)
		return;
	patience->sampling = false;
	while (i < patience->windows && window_ns(patience, i) < gap_ns)
		i++;
	patience->count[i]++;
	patience->sum_ns[i] += gap_ns;
	patience->samples++;
	if (patience->samples >= PATIENCE_LEAST)
		decide(patience);
	if (patience->samples < PATIENCE_LEAST || regrets(patience, gap_ns))
		patience->every = PATIENCE_EVERY;
	else if (patience->every < PATIENCE_SELDOM)
		patience->every *= 2;
	if (patience->samples >= PATIENCE_MANY)
		fade(patience);
}

/* An eighth of the news: one that a busy machine made dear is no reason to change. */
void patience_slept(struct patience *patience, uint64_t cost_ns)
{
	patience->cost_ns = patience->cost_ns - patience->cost_ns / 8 + cost_ns / 8;
}
