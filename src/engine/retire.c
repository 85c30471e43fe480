/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Retiring: memory that is not to be lent from any more, or was, and is stale now.
 *
 *   control   a guest takes memory away, or lost pages of it and nobody can tell which:
 *             for each pair that lends from that guest, a note and a chore.
 *   chore     has the workers forget what it was answered, so that no loan is added, and
 *             looks whether the pair's loans are home. If so, the memory is unmapped
 *             from the device; if not, the note stays.
 *   worker    the last loan comes home: a flag, and the eventfd of questions.
 *   control   the same chore again.
 *
 * What only lost pages is asked about again then, and so mapped anew (question.c). Where a
 * witness can tell which pages, the rest is lent on instead, and renew.c sees to it.
 *
 * Threads: as said; chores of one port run one at a time, questions among them. A note
 * holds a reference of its memory.
 */
#include "engine_state.h"

#include "fd.h"
#include "log.h"
#include "memmap.h"
#include <stdlib.h>

/* Memmaps that dead devices may still read, remembered so that they can be seen in a debugger. */
#define KEPT_MAX 64u

/* Why a pair is to let go of memory. */
enum retire_why {
	RETIRE_FOR_GOOD,  /* nobody will lend from it any more */
	RETIRE_IF_STALE,  /* it lost pages: mapped anew, unless a witness tells which ones */
	RETIRE_MAP_AGAIN, /* it is to be mapped anew */
};

/* The note: memory that a pair is to let go of. */
struct retiree {
	struct gw_memmap *memmap; /* with a reference */
	enum retire_why why;
	struct gw_list node; /* in pair_record.retiring */
};

/* ---- letting go ---- */

struct watch_request {
	struct pair *pair;
	bool drained;
};

/* Worker: are the pair's loans home, in all lanes? If not, tell when those of one are. */
static void watch_apply(void *arg)
{
	struct watch_request *request = arg;

	request->drained = true;
	for (unsigned int i = 0; i < request->pair->egress->lanes; i++) {
		struct pair *pair = pair_in(request->pair, i);

		pair->watch_zero = pair->loans_out > 0;
		request->drained &= !pair->loans_out;
	}
}

static bool loans_home(struct pair *pair)
{
	struct watch_request request = { .pair = pair };

	gw_port_apply(pair->egress, watch_apply, &request);
	return request.drained;
}

void retire_drained(struct pair *pair)
{
	struct pair_record *record = pair_record_of(pair_in(pair, 0));

	pair->watch_zero = false;
	/* Pair C: the chore that runs because of it sees the loans at home. */
	gw_store_release(&record->drained, 1u);
	gw_eventfd_signal(record->engine->ask_fd);
}

static void forget(struct pair *pair, struct gw_memmap *memmap, bool map_again)
{
	static const struct gw_answer discarded = {
		.verdict = GW_NO,
		.reason = GW_COPY_MEMORY_DISCARDED,
		.max_segs = 1,
		.text = "the guest gave pages back; its memory will be mapped anew",
	};

	for (unsigned int i = 0; i < pair->egress->lanes; i++)
		question_publish(pair_in(pair, i), map_again ? &discarded : NULL, memmap,
				 gw_load_relaxed(&pair->egress->answer_stamp));
}

static void unmap(struct pair *pair)
{
	uint64_t since_ns = gw_now_ns();

	pair->egress->driver->unmap(pair->egress, pair->mapped);
	engine_trace_mapping(pair, GW_TRACE_UNMAP, pair->mapped, since_ns, NULL);
	question_dismiss_witness(pair);
	memmap_put(pair->mapped);
	pair->mapped = NULL;
}

/* Returns true when nothing of this memory is left on the egress port. */
static bool let_go(struct pair *pair, const struct retiree *retiree)
{
	/* The witness keeps from being lent what is stale; renew.c has it mapped anew. */
	if (retiree->why == RETIRE_IF_STALE && pair->watcher)
		return true;
	forget(pair, retiree->memmap, retiree->why != RETIRE_FOR_GOOD);
	if (pair->mapped == retiree->memmap) {
		if (!loans_home(pair))
			return false; /* retire_drained brings us here again */
		unmap(pair);
	}
	forget(pair, retiree->memmap, false);
	return true;
}

static void retiree_free(struct retiree *retiree)
{
	gw_list_del(&retiree->node);
	memmap_put(retiree->memmap);
	free(retiree);
}

static void retire_job(struct chore_job *job)
{
	struct pair_record *record = gw_container_of(job, struct pair_record, retire_job);
	struct gw_list work, *pos, *tmp;

	gw_list_init(&work);
	pthread_mutex_lock(&record->engine->lock);
	gw_list_splice(&work, &record->retiring);
	pthread_mutex_unlock(&record->engine->lock);
	gw_list_for_each_safe(pos, tmp, &work) {
		struct retiree *retiree = gw_container_of(pos, struct retiree, node);

		if (let_go(record->pair, retiree))
			retiree_free(retiree);
	}
	pthread_mutex_lock(&record->engine->lock);
	gw_list_splice(&record->retiring, &work);
	pthread_mutex_unlock(&record->engine->lock);
}

void retire_go_on(struct pair_record *record)
{
	chore_add(&holder_of(record->pair->egress)->chores, &record->retire_job, retire_job);
}

/* ---- notes ---- */

/* The list is changed on this chore, and added to by control. */
bool retire_is_due(struct pair_record *record, const struct gw_memmap *memmap)
{
	struct gw_list *pos;
	bool found = false;

	pthread_mutex_lock(&record->engine->lock);
	gw_list_for_each(pos, &record->retiring)
		found |= gw_container_of(pos, struct retiree, node)->memmap == memmap;
	pthread_mutex_unlock(&record->engine->lock);
	return found;
}

static void retire_from(struct pair_record *record, struct gw_memmap *memmap, enum retire_why why)
{
	struct retiree *retiree = calloc(1, sizeof(*retiree));

	/* A question that was put but not yet heard comes first: jobs keep their order. */
	for (unsigned int i = 0; i < record->pair->egress->lanes; i++)
		question_hear(pair_record_of(pair_in(record->pair, i)));
	if (!retiree) {
		gw_log(LOG_ERR, "port %s: out of memory: guest memory of port %s stays mapped",
		       record->pair->egress->name, record->pair->source->name);
		return;
	}
	retiree->memmap = memmap_get(memmap);
	retiree->why = why;
	pthread_mutex_lock(&record->engine->lock);
	gw_list_add_tail(&record->retiring, &retiree->node);
	pthread_mutex_unlock(&record->engine->lock);
	retire_go_on(record);
}

void retire_to_map_again(struct pair_record *record)
{
	retire_from(record, record->pair->mapped, RETIRE_MAP_AGAIN);
}

static void retire_from_all(struct gw_port *port, struct gw_memmap *memmap, enum retire_why why)
{
	struct engine *engine = holder_of(port)->engine;

	for (unsigned int i = 0; i < engine->pair_count; i++)
		if (engine->pair[i].pair->source == port && pair_is_first(engine->pair[i].pair))
			retire_from(&engine->pair[i], memmap, why);
}

void retire_memory(struct gw_port *port, struct gw_memmap *memmap)
{
	retire_from_all(port, memmap, RETIRE_FOR_GOOD);
}

void retire_stale(struct gw_port *port, struct gw_memmap *memmap)
{
	retire_from_all(port, memmap, RETIRE_IF_STALE);
}

/* ---- the end ---- */

/*
 * A device that never gave its loans back may read them still, even when the
 * engine is gone: that memory stays mapped until the process ends. There is one
 * reference for each, and no way to give it back.
 */
static struct gw_memmap *kept_for_dead_devices[KEPT_MAX];
static unsigned int kept_count;

static void unmap_at_end(struct pair *pair)
{
	question_dismiss_witness(pair);
	if (loans_home(pair)) {
		unmap(pair);
		return;
	}
	kept_for_dead_devices[kept_count++ % KEPT_MAX] = pair->mapped;
	pair->mapped = NULL;
}

void retire_at_end(struct pair_record *record)
{
	if (record->pair->mapped)
		unmap_at_end(record->pair);
	while (!gw_list_empty(&record->retiring))
		retiree_free(gw_container_of(record->retiring.next, struct retiree, node));
}
