/* SPDX-License-Identifier: BSD-2-Clause */
#include "histogram.h"

void histogram_sum(const struct histogram *histogram, struct gw_latency *latency)
{
	uint64_t max_ns = gw_counter_read(&histogram->max_ns);

	latency->sum_ns += gw_counter_read(&histogram->sum_ns);
	if (max_ns > latency->max_ns)
		latency->max_ns = max_ns;
	for (unsigned int i = 0; i < GW_LATENCY_BUCKETS; i++) {
		uint64_t count = gw_counter_read(&histogram->bucket[i]);

		latency->bucket[i] += count;
		latency->count += count;
	}
}

void histogram_read(const struct histogram *histogram, struct gw_latency *latency)
{
	*latency = (struct gw_latency){ 0 };
	histogram_sum(histogram, latency);
}

uint64_t gw_latency_bound_ns(unsigned int bucket)
{
	const unsigned int subs = 1u << HISTOGRAM_SUB_SHIFT;
	uint64_t units = bucket + 1;

	if (bucket >= GW_LATENCY_BUCKETS - 1)
		return UINT64_MAX;
	if (bucket >= subs)
		units = (uint64_t)(subs + bucket % subs + 1) << (bucket / subs - 1);
	return units << HISTOGRAM_UNIT_SHIFT;
}

uint64_t gw_latency_quantile_ns(const struct gw_latency *latency, uint64_t part, uint64_t of)
{
	uint64_t rank, sum = 0, bound;

	if (!latency->count || !of || part > of)
		return 0;
	/* Rounded up, and without a product that could be too large. */
	rank = latency->count / of * part + (latency->count % of * part + of - 1) / of;
	for (unsigned int i = 0; i < GW_LATENCY_BUCKETS; i++) {
		sum += latency->bucket[i];
		if (sum < rank || !sum)
			continue;
		bound = gw_latency_bound_ns(i);
		return bound < latency->max_ns ? bound : latency->max_ns;
	}
	return latency->max_ns;
}
