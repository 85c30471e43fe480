/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mapping memory anew that lost pages under a device.
 *
 * A guest with a balloon or free-page reporting gives pages back while it sends. The
 * pair's witness (witness.h) says page by page which bytes a device that pinned them
 * would read stale: these frames are copied, `memory_discarded`, and the rest is
 * lent. To lend where pages went, all of the memory has to be registered with the
 * device once more. So:
 *
 *   - it pays only while frames are copied because of it: pages that are given back and
 *     not sent from are no reason, and what is registered is taken from the host
 *     again. Control looks whether that counter moves;
 *   - it costs a chore some 100 us for each MiB, and the device's queue a pause. After
 *     it the memory rests for a multiple of the processor's time it took, so that a
 *     guest that gives back all the time costs that part of one thread and no more;
 *   - lending goes on meanwhile if the driver can take the new registration while it
 *     has the old one (driver->remap): the old witness vouches until then for pages
 *     that have not changed since the old registration, so not since the new one
 *     either; the new witness is there before the new registration, as at first.
 *
 * Where the driver cannot, memory is unmapped when its loans are home, and mapped.
 */
#include "engine_state.h"

#include "log.h"
#include "memmap.h"
#include "witness.h"
#include <errno.h>
#include <time.h>

/* Resting time, of what mapping spent; and at least. */
#define REST_FACTOR 8u
#define REST_MIN_NS 200000000ull

uint64_t renew_spent_ns(void)
{
	struct timespec spent;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
	return (uint64_t)spent.tv_sec * 1000000000 + (uint64_t)spent.tv_nsec;
}

void renew_begin(struct pair_record *record)
{
	record->map_spent_ns = renew_spent_ns();
}

void renew_end(struct pair_record *record)
{
	uint64_t rest_ns = (renew_spent_ns() - record->map_spent_ns) * REST_FACTOR;

	if (rest_ns < REST_MIN_NS)
		rest_ns = REST_MIN_NS;
	gw_store_relaxed(&record->rest_till_ns, gw_now_ns() + rest_ns);
}

static bool is_rested(const struct pair_record *record)
{
	return gw_now_ns() >= gw_load_relaxed(&record->rest_till_ns);
}

struct swap {
	struct pair *pair;
	struct witness *witness; /* the new one, then the old */
};

/* Worker. */
static void swap_apply(void *arg)
{
	struct swap *swap = arg;
	struct gw_port *egress = swap->pair->egress;
	struct witness *old = swap->pair->watcher;

	swap->pair->watcher = swap->witness;
	for (unsigned int i = 0; i < egress->lanes; i++)
		egress->queue[i]->pair_from[swap->pair->source->slot]->witness = swap->witness;
	swap->witness = old;
}

/* The witness of before stays right whatever comes of it: it only knows less. */
static int remap(struct pair *pair, struct gw_error *err)
{
	struct swap swap = { .pair = pair };
	struct gw_port *egress = pair->egress;
	const uint32_t *stops = &holder_of(egress)->closing;
	int ret = witness_open(pair->mapped, stops, &swap.witness, err);

	if (ret)
		return ret;
	ret = egress->driver->remap(egress, pair->mapped, err);
	if (!ret)
		gw_port_apply(egress, swap_apply, &swap);
	witness_close(swap.witness);
	return ret;
}

static void renew_job(struct chore_job *job)
{
	struct pair_record *record = gw_container_of(job, struct pair_record, renew_job);
	struct pair *pair = record->pair;
	struct gw_port *egress = pair->egress;
	uint64_t since_ns = gw_now_ns();
	struct gw_error err = { 0 };
	int ret;

	if (!pair->mapped || !pair->watcher || !holder_of(egress)->started || !is_rested(record) ||
	    retire_is_due(record, pair->mapped))
		return;
	gw_log(LOG_INFO, "port %s: memory of port %s is mapped anew: the guest gave pages back",
	       egress->name, pair->source->name);
	if (!egress->driver->remap) {
		retire_to_map_again(record);
		return;
	}
	renew_begin(record);
	ret = remap(pair, &err);
	engine_trace_mapping(pair, GW_TRACE_MAP, pair->mapped, since_ns, ret ? err.text : NULL);
	if (ret && ret != -ECANCELED)
		gw_log(LOG_WARNING, "port %s: cannot map memory of port %s anew: %s", egress->name,
		       pair->source->name, err.text);
	else if (!ret)
		memmap_discarded_bytes(pair->mapped);
	renew_end(record);
}

/* Control. */
static bool copies_went_on(struct pair_record *record)
{
	const struct pair *pair = record->pair;
	uint64_t before = record->stale_copies, now = 0;

	for (unsigned int i = 0; i < pair->egress->lanes; i++) {
		const struct pair *lane = pair->egress->queue[i]->pair_from[pair->source->slot];

		now += gw_counter_read(&lane->reasons[GW_COPY_MEMORY_DISCARDED]);
	}
	record->stale_copies = now;
	return now != before;
}

void renew_look(struct engine *engine)
{
	for (unsigned int i = 0; i < engine->pair_count; i++) {
		struct pair_record *record = &engine->pair[i];

		if (pair_is_first(record->pair) && copies_went_on(record) && is_rested(record))
			chore_add(&holder_of(record->pair->egress)->chores, &record->renew_job,
				  renew_job);
	}
}
