/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A histogram of times that one thread writes and any thread reads.
 *
 * Buckets are log-linear: four to each power of two, so that a time is known to
 * a quarter, from 64 ns to four seconds. All of a batch is counted with one call,
 * and no call divides: it is cheap enough to be always on. What buckets mean, and
 * quantiles, are public (gw_latency in guestwire.h).
 */
#pragma once

#include "atomic.h"
#include <guestwire/guestwire.h>

struct histogram {
	gw_counter sum_ns, max_ns;
	gw_counter bucket[GW_LATENCY_BUCKETS];
};

/* The first four buckets are of this width, 1 << HISTOGRAM_UNIT_SHIFT ns. */
#define HISTOGRAM_UNIT_SHIFT 6
#define HISTOGRAM_SUB_SHIFT  2

static inline unsigned int histogram_bucket(uint64_t ns)
{
	uint64_t units = ns >> HISTOGRAM_UNIT_SHIFT;
	unsigned int octave, bucket;

	if (units < 1u << HISTOGRAM_SUB_SHIFT)
		return (unsigned int)units;
	octave = 63u - (unsigned int)__builtin_clzll(units) - HISTOGRAM_SUB_SHIFT;
	bucket = (octave << HISTOGRAM_SUB_SHIFT) + (unsigned int)(units >> octave);
	return bucket < GW_LATENCY_BUCKETS ? bucket : GW_LATENCY_BUCKETS - 1;
}

/* `count` things took so long. A clock that was read in another order took no time. */
static inline void histogram_add(struct histogram *histogram, uint64_t ns, uint64_t count)
{
	if (__builtin_expect((int64_t)ns < 0, 0))
		ns = 0;
	gw_counter_add(&histogram->bucket[histogram_bucket(ns)], count);
	gw_counter_add(&histogram->sum_ns, ns * count);
	if (ns > gw_counter_read(&histogram->max_ns))
		gw_store_relaxed(&histogram->max_ns, ns);
}

/* Adds a copy to what others were added to. Any thread. */
void histogram_sum(const struct histogram *histogram, struct gw_latency *latency);
/* A copy for people, its count being what its buckets add up to. Any thread. */
void histogram_read(const struct histogram *histogram, struct gw_latency *latency);
