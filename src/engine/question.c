/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Questions: asking drivers about memory, and mapping it for their devices.
 *
 *   worker    desk meets a frame whose memory has no answer: engine_host.ask sets
 *             a flag and signals an eventfd; frames are copied meanwhile.
 *   control   looks which pairs have asked, queues a chore on the egress port.
 *   chore     query; if the answer needs it, publish "mapping_pending", map (this
 *             is where gigabytes are pinned), publish the answer.
 *   worker    applies the answer between two visits.
 *
 * The way back is the same: memory that a guest retires, or that lost pages
 * under a device and nobody can tell which, is forgotten on the worker first, unmapped
 * by a chore when its loans are home, and, if it only lost pages, asked about again.
 * Where a witness can tell, the rest is lent on, and renew.c maps it anew.
 *
 * References: a question holds its memmap from the worker's flag until the
 * answer is applied; pair->mapped holds one until unmap; a retiring record holds
 * one. So an answer never outlives what it is about.
 */
#include "engine_state.h"

#include "fd.h"
#include "log.h"
#include "memmap.h"
#include "witness.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define NS_PER_MS 1000000u

static struct pair_record *record_of(const struct pair *pair)
{
	struct engine *engine = holder_of(pair->egress)->engine;

	return &engine->pair[pair->record];
}

/* What is between the same ports in another lane. The first has what is one for all. */
static struct pair *pair_in(const struct pair *pair, unsigned int lane)
{
	return pair->egress->queue[lane]->pair_from[pair->source->slot];
}

/* ---- what traces are told ---- */

static uint64_t generation_of(const struct gw_memmap *memmap)
{
	return memmap ? gw_memmap_generation(memmap) : 0;
}

static void trace_ask(const struct pair *pair, const struct gw_memmap *memmap,
		      enum gw_trace_why why)
{
	struct gw_trace_query query = { .why = why, .memory = generation_of(memmap) };

	engine_trace_query(holder_of(pair->egress)->engine, pair, GW_TRACE_ASK, &query);
}

static void trace_answer(const struct pair *pair, const struct gw_memmap *memmap,
			 const struct gw_answer *answer)
{
	struct gw_trace_query query = { .memory = generation_of(memmap), .answer = *answer };

	engine_trace_query(holder_of(pair->egress)->engine, pair, GW_TRACE_ANSWER, &query);
}

/* why: what the driver said if it failed, else NULL. */
static void trace_mapping(const struct pair *pair, enum gw_trace_kind kind,
			  const struct gw_memmap *memmap, uint64_t since_ns, const char *why)
{
	struct gw_trace_query query = {
		.memory = generation_of(memmap),
		.bytes = memmap_guest_bytes(memmap),
		.duration_ns = gw_now_ns() - since_ns,
		.failed = why,
	};

	snprintf(query.answer.text, sizeof(query.answer.text), "%s", why ? why : "");
	engine_trace_query(holder_of(pair->egress)->engine, pair, kind, &query);
}

void question_trace_map(const struct pair *pair, uint64_t since_ns, const char *why)
{
	trace_mapping(pair, GW_TRACE_MAP, pair->mapped, since_ns, why);
}

/* ---- publishing answers ---- */

struct publication {
	struct pair *pair;
	const struct gw_answer *answer; /* NULL: forget */
	struct gw_memmap *memmap;
	uint64_t stamp;
	/*
	 * The last word on a question: only then may the worker put another one. Until
	 * then ask_memmap and its reference are spoken for.
	 */
	bool last;
};

static void publish_apply(void *arg)
{
	const struct publication *p = arg;
	struct pair *pair = p->pair;

	/* Without one that lends it is not asked, and may go. */
	pair->witness = p->answer && p->answer->verdict != GW_NO ? pair_in(pair, 0)->watcher : NULL;
	if (p->answer)
		pair_set_answer(pair, p->answer, p->memmap, p->stamp);
	else if (pair->answer_memmap == p->memmap || pair->answer.reason == GW_COPY_MEMORY_TAKEN)
		pair_forget_answer(pair);
	if (p->last)
		pair->asking = false;
}

static void publish(struct pair *pair, const struct gw_answer *answer, struct gw_memmap *memmap,
		    uint64_t stamp)
{
	struct publication p = { pair, answer, memmap, stamp, false };

	if (answer)
		trace_answer(pair, memmap, answer);
	gw_queue_apply(&pair->to->queue, publish_apply, &p);
}

static void conclude(struct pair *pair, const struct gw_answer *answer, struct gw_memmap *memmap,
		     uint64_t stamp)
{
	struct publication p = { pair, answer, memmap, stamp, true };

	trace_answer(pair, memmap, answer);
	gw_queue_apply(&pair->to->queue, publish_apply, &p);
}

static struct gw_answer answer_no(const struct gw_answer *base, enum gw_reason reason,
				  const char *text)
{
	struct gw_answer answer = *base;

	answer.verdict = GW_NO;
	answer.reason = reason;
	snprintf(answer.text, sizeof(answer.text), "%s", text);
	return answer;
}

/* ---- asking ---- */

/* Before pages are pinned: what goes from here on is seen to go. The first lane's pair. */
static void observe(struct pair *pair, struct gw_memmap *memmap)
{
	struct gw_error err = { 0 };

	if (pair->watcher || !witness_open(memmap, &pair->watcher, &err))
		return;
	gw_log(LOG_NOTICE,
	       "port %s: pages that the guest of port %s gives back are noticed within a "
	       "second, and till then stale bytes can be sent: %s",
	       pair->egress->name, pair->source->name, err.text);
}

/* No worker asks it any more. */
static void dismiss_witness(struct pair *pair)
{
	witness_close(pair->watcher);
	pair->watcher = NULL;
}

static void map_for(struct pair *asking, struct gw_memmap *memmap, uint64_t stamp,
		    struct gw_answer *answer)
{
	struct gw_port *egress = asking->egress;
	struct pair *pair = pair_in(asking, 0);
	struct gw_answer pending = answer_no(answer, GW_COPY_MAPPING_PENDING,
					     "guest memory is being pinned for the device");
	struct gw_error err = { 0 };
	uint64_t since_ns = gw_now_ns();
	int ret;

	publish(asking, &pending, memmap, stamp);
	renew_begin(record_of(pair));
	observe(pair, memmap);
	ret = egress->driver->map(egress, memmap, &err);
	trace_mapping(pair, GW_TRACE_MAP, memmap, since_ns, ret ? err.text : NULL);
	if (ret) {
		gw_log(LOG_WARNING, "port %s: cannot lend memory of port %s: %s", egress->name,
		       pair->source->name, err.text);
		*answer = answer_no(answer, GW_COPY_MAPPING_FAILED, err.text);
		if (!pair->mapped)
			dismiss_witness(pair);
		return;
	}
	if (!pair->mapped)
		pair->mapped = memmap_get(memmap);
	/* Pinning has filled the file: a page that goes from here on is seen to go. */
	memmap_discarded_bytes(memmap);
	renew_end(record_of(pair));
}

/*
 * ---- rests ----
 * To map memory takes time, in which a device may serve nobody, and the port's next
 * chore waits. A guest whose memory changes all the time gets half of that time: after
 * each mapping there is a rest of the processor's time that it took, before other
 * memory is mapped for it. Frames are copied meanwhile. (renew.c has the rests of memory
 * that stays.)
 */

static void rest_over(struct gw_timer *timer)
{
	struct pair_record *record = gw_container_of(timer, struct pair_record, other_rest);

	gw_port_requery_refused(record->pair->egress);
}

/* Control. */
static void rest_begins(void *arg)
{
	struct pair_record *record = arg;
	uint64_t now_ns = gw_now_ns(), end_ns = gw_load_relaxed(&record->other_till_ns);

	gw_timer_start(record->engine->loop, &record->other_rest,
		       end_ns > now_ns ? (end_ns - now_ns) / NS_PER_MS + 1 : 0, rest_over);
}

/* True: it is too early to map this. The port is then asked again when the rest is over. */
static bool resting(struct pair *pair, const struct gw_memmap *memmap)
{
	struct pair_record *record = record_of(pair);

	if (pair->mapped == memmap || gw_now_ns() >= gw_load_relaxed(&record->other_till_ns))
		return false;
	/* When the engine stops, posts are done before the loop ends: none comes later. */
	return gw_load_acquire(&holder_of(pair->egress)->closing) ||
	       !gw_loop_post(record->engine->loop, rest_begins, record);
}

static void map_and_rest(struct pair *pair, struct gw_memmap *memmap, uint64_t stamp,
			 struct gw_answer *answer)
{
	struct pair_record *record = record_of(pair_in(pair, 0));
	uint64_t before_ns = renew_spent_ns();

	if (resting(record->pair, memmap)) {
		*answer =
			answer_no(answer, GW_COPY_MAPPING_PENDING,
				  "the guest's memory changed again while it was being pinned, or "
				  "soon after");
		return;
	}
	map_for(pair, memmap, stamp, answer);
	gw_store_relaxed(&record->other_till_ns, gw_now_ns() + renew_spent_ns() - before_ns);
}

static void answer_log(const struct pair *pair, const struct gw_answer *answer)
{
	gw_log(LOG_INFO, "port %s asked about frames of port %s: %s%s%s%s%s", pair->egress->name,
	       pair->source->name, gw_verdict_name(answer->verdict),
	       answer->verdict == GW_NO ? ", " : "",
	       answer->verdict == GW_NO ? gw_reason_name(answer->reason) : "",
	       answer->text[0] ? ": " : "", answer->text);
}

/* Memory that the pair is letting go of. Changed on this chore, and added to by control. */
bool question_is_retiring(struct pair_record *record, const struct gw_memmap *memmap)
{
	struct gw_list *pos;
	bool found = false;

	pthread_mutex_lock(&record->engine->lock);
	gw_list_for_each(pos, &record->retiring)
		found |= gw_container_of(pos, struct retiree, node)->memmap == memmap;
	pthread_mutex_unlock(&record->engine->lock);
	return found;
}

/* The driver's answer, and the mapping that it wants. */
static void ask_once(struct pair *pair, struct gw_memmap *memmap, uint64_t stamp,
		     struct gw_answer *answer)
{
	struct gw_port *egress = pair->egress;
	const struct gw_memmap *mapped = pair_in(pair, 0)->mapped;

	egress->driver->query(egress, memmap, answer);
	gw_counter_add(&egress->queries, 1);
	if (answer->verdict == GW_NO || !answer->needs_map || !memmap)
		return;
	if (mapped && mapped != memmap)
		*answer = answer_no(answer, GW_COPY_MEMORY_TAKEN,
				    "earlier memory of this guest still has loans out");
	else
		map_and_rest(pair, memmap, stamp, answer);
}

/*
 * A driver may say, while it maps, that its answers have changed (a queue that lends
 * from one guest now does not lend from others). Then it is asked again at once, or
 * frames would be copied until the worker has noticed. Returns the stamp that the
 * answer belongs to.
 */
static uint64_t ask_driver(struct pair *pair, struct gw_memmap *memmap, struct gw_answer *answer)
{
	const uint64_t *stamps = &pair->egress->answer_stamp;
	uint64_t stamp = gw_load_acquire(stamps);

	ask_once(pair, memmap, stamp, answer);
	if (gw_load_acquire(stamps) == stamp)
		return stamp;
	stamp = gw_load_acquire(stamps);
	trace_ask(pair, memmap, GW_TRACE_REQUERY);
	ask_once(pair, memmap, stamp, answer);
	return stamp;
}

static void ask_job(struct chore_job *job)
{
	struct pair_record *record = gw_container_of(job, struct pair_record, ask_job);
	struct pair *pair = record->pair;
	struct gw_memmap *memmap = pair->ask_memmap;
	uint64_t stamp = pair->ask_stamp;
	struct gw_answer answer = { .max_segs = 1 };

	trace_ask(pair, memmap, pair->ask_why);
	if (port_link(pair->egress) == GW_LINK_GONE)
		answer = answer_no(&answer, GW_COPY_DEVICE_DOWN,
				   "its interface is gone: there is none of that name now");
	else if (!holder_of(pair->egress)->started)
		answer = answer_no(&answer, GW_COPY_DEVICE_DOWN, "the device is stopped");
	else if (memmap && question_is_retiring(record_of(pair_in(pair, 0)), memmap))
		answer = answer_no(&answer, GW_COPY_MEMORY_DISCARDED,
				   "this memory is to be unmapped when its loans are home");
	else
		stamp = ask_driver(pair, memmap, &answer);
	answer_log(pair, &answer);
	conclude(pair, &answer, memmap, stamp);
	memmap_put(memmap);
}

static void take_question(struct pair_record *record)
{
	/* Pair B. */
	if (gw_atomic_exchange(&record->pair->ask_flag, 0u))
		chore_add(&holder_of(record->pair->egress)->chores, &record->ask_job, ask_job);
}

/* Control: who has asked? */
static void ask_event(struct gw_watch *watch, uint32_t events)
{
	struct engine *engine = gw_container_of(watch, struct engine, ask_watch);

	gw_eventfd_clear(engine->ask_fd);
	for (unsigned int i = 0; i < engine->pair_count; i++) {
		struct pair_record *record = &engine->pair[i];

		take_question(record);
		/* Pair C. The first lane's. */
		if (gw_atomic_exchange(&record->drained, 0u))
			question_retire_again(record);
	}
}

/* Worker: once per question, never per frame. */
void question_ask(struct pair *pair)
{
	if (pair->ask_memmap)
		memmap_get(pair->ask_memmap);
	if (!pair->was_answered)
		pair->ask_why = GW_TRACE_FIRST;
	else if (!pair->answered || pair->answer_memmap != pair->ask_memmap)
		pair->ask_why = GW_TRACE_MEMORY;
	else
		pair->ask_why = GW_TRACE_REQUERY;
	/* Pair B: who sees the flag also sees memmap and stamp. */
	gw_store_release(&pair->ask_flag, 1u);
	gw_eventfd_signal(holder_of(pair->egress)->engine->ask_fd);
}

/* Worker. */
void question_drained(struct pair *pair)
{
	struct pair_record *record = record_of(pair_in(pair, 0));

	pair->watch_zero = false;
	/* Pair C: the chore that runs because of it sees the loans at home. */
	gw_store_release(&record->drained, 1u);
	gw_eventfd_signal(record->engine->ask_fd);
}

/* ---- retiring ---- */

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

static void forget(struct pair *pair, struct gw_memmap *memmap, bool map_again)
{
	static const struct gw_answer discarded = {
		.verdict = GW_NO,
		.reason = GW_COPY_MEMORY_DISCARDED,
		.max_segs = 1,
		.text = "the guest gave pages back; its memory will be mapped anew",
	};

	for (unsigned int i = 0; i < pair->egress->lanes; i++)
		publish(pair_in(pair, i), map_again ? &discarded : NULL, memmap,
			gw_load_relaxed(&pair->egress->answer_stamp));
}

static void unmap(struct pair *pair)
{
	uint64_t since_ns = gw_now_ns();

	pair->egress->driver->unmap(pair->egress, pair->mapped);
	trace_mapping(pair, GW_TRACE_UNMAP, pair->mapped, since_ns, NULL);
	dismiss_witness(pair);
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
			return false; /* question_drained brings us here again */
		unmap(pair);
	}
	forget(pair, retiree->memmap, false);
	return true;
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

		if (!let_go(record->pair, retiree))
			continue;
		gw_list_del(&retiree->node);
		memmap_put(retiree->memmap);
		free(retiree);
	}
	pthread_mutex_lock(&record->engine->lock);
	gw_list_splice(&record->retiring, &work);
	pthread_mutex_unlock(&record->engine->lock);
}

void question_retire_again(struct pair_record *record)
{
	chore_add(&holder_of(record->pair->egress)->chores, &record->retire_job, retire_job);
}

static void retire_from(struct pair_record *record, struct gw_memmap *memmap, enum retire_why why)
{
	struct retiree *retiree = calloc(1, sizeof(*retiree));

	/* A question that was put but not yet heard comes first: jobs keep their order. */
	for (unsigned int i = 0; i < record->pair->egress->lanes; i++)
		take_question(record_of(pair_in(record->pair, i)));
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
	question_retire_again(record);
}

void question_map_again(struct pair_record *record)
{
	retire_from(record, record->pair->mapped, RETIRE_MAP_AGAIN);
}

static void retire(struct gw_port *port, struct gw_memmap *memmap, enum retire_why why)
{
	struct engine *engine = holder_of(port)->engine;

	for (unsigned int i = 0; i < engine->pair_count; i++)
		if (engine->pair[i].pair->source == port && pair_is_first(engine->pair[i].pair))
			retire_from(&engine->pair[i], memmap, why);
}

void question_retire(struct gw_port *port, struct gw_memmap *memmap)
{
	retire(port, memmap, RETIRE_FOR_GOOD);
}

void question_discarded(struct gw_port *port, struct gw_memmap *memmap)
{
	retire(port, memmap, RETIRE_IF_STALE);
}

/* ---- life ---- */

static void collect_pairs(struct engine *engine, struct lane *lane)
{
	for (unsigned int e = 0; e < lane->count; e++) {
		for (unsigned int s = 0; s < lane->count; s++) {
			struct pair *pair = lane->queue[e]->pair_from[s];

			if (!pair)
				continue;
			pair->record = engine->pair_count;
			engine->pair[engine->pair_count] =
				(struct pair_record){ .engine = engine, .pair = pair };
			gw_list_init(&engine->pair[engine->pair_count++].retiring);
		}
	}
}

int questions_open(struct engine *engine, struct gw_error *err)
{
	unsigned int count = 0;
	int ret;

	for (unsigned int i = 0; i < engine->network_count; i++)
		count += engine->network[i]->lane_count * engine->network[i]->port_count *
			 engine->network[i]->port_count;
	engine->pair = calloc(count ? count : 1, sizeof(*engine->pair));
	engine->pair_count = 0;
	engine->ask_fd = gw_eventfd();
	if (!engine->pair || engine->ask_fd < 0)
		return gw_error_sys(err, engine->pair ? engine->ask_fd : -ENOMEM, "questions");
	for (unsigned int i = 0; i < engine->network_count; i++)
		for (unsigned int k = 0; k < engine->network[i]->lane_count; k++)
			collect_pairs(engine, engine->network[i]->lane[k]);
	ret = gw_watch_start(engine->loop, &engine->ask_watch, engine->ask_fd, EPOLLIN, ask_event);
	return ret ? gw_error_sys(err, ret, "questions: watch") : 0;
}

/*
 * A device that never gave its loans back may read them still, even when the
 * engine is gone: that memory stays mapped until the process ends. There is one
 * reference for each, and no way to give it back.
 */
static struct gw_memmap *kept_for_dead_devices[ENGINE_KEPT_MAX];
static unsigned int kept_count;

static void unmap_at_end(struct pair *pair)
{
	dismiss_witness(pair);
	if (loans_home(pair)) {
		unmap(pair);
		return;
	}
	kept_for_dead_devices[kept_count++ % ENGINE_KEPT_MAX] = pair->mapped;
	pair->mapped = NULL;
}

/* Nothing runs any more: what is still mapped or asked is let go. */
void questions_close(struct engine *engine)
{
	gw_watch_stop(engine->loop, &engine->ask_watch);
	gw_fd_close(&engine->ask_fd);
	for (unsigned int i = 0; i < engine->pair_count; i++) {
		struct pair_record *record = &engine->pair[i];
		struct pair *pair = record->pair;

		gw_timer_stop(engine->loop, &record->other_rest);
		if (pair->ask_flag)
			memmap_put(pair->ask_memmap);
		if (pair->mapped)
			unmap_at_end(pair);
		while (!gw_list_empty(&record->retiring)) {
			struct retiree *retiree =
				gw_container_of(record->retiring.next, struct retiree, node);

			gw_list_del(&retiree->node);
			memmap_put(retiree->memmap);
			free(retiree);
		}
	}
	free(engine->pair);
	engine->pair = NULL;
	engine->pair_count = 0;
}
