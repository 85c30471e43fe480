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
 * retire.c has the way back; renew.c maps anew what lost pages meanwhile.
 *
 * References: a question holds its memmap from the worker's flag until the
 * answer is applied; pair->mapped holds one until unmap; what retires holds
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
#include <sys/epoll.h>

#define NS_PER_MS 1000000u

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

void question_publish(struct pair *pair, const struct gw_answer *answer, struct gw_memmap *memmap,
		      uint64_t stamp)
{
	struct publication p = { pair, answer, memmap, stamp, false };

	if (answer)
		engine_trace_answer(pair, memmap, answer);
	gw_queue_apply(&pair->to->queue, publish_apply, &p);
}

static void conclude(struct pair *pair, const struct gw_answer *answer, struct gw_memmap *memmap,
		     uint64_t stamp)
{
	struct publication p = { pair, answer, memmap, stamp, true };

	engine_trace_answer(pair, memmap, answer);
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

/*
 * Before pages are pinned: what goes from here on is seen to go. The first lane's pair.
 * -ECANCELED: the engine stops, and need not wait for gigabytes that nobody will lend.
 */
static int observe(struct pair *pair, struct gw_memmap *memmap)
{
	const uint32_t *stops = &holder_of(pair->egress)->closing;
	struct gw_error err = { 0 };
	int ret = pair->watcher ? 0 : witness_open(memmap, stops, &pair->watcher, &err);

	if (ret && ret != -ECANCELED)
		gw_log(LOG_NOTICE,
		       "port %s: pages that the guest of port %s gives back are noticed within "
		       "a second, and till then stale bytes can be sent: %s",
		       pair->egress->name, pair->source->name, err.text);
	return ret;
}

void question_dismiss_witness(struct pair *pair)
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

	question_publish(asking, &pending, memmap, stamp);
	renew_begin(pair_record_of(pair));
	if (observe(pair, memmap) == -ECANCELED) {
		*answer = pending;
		return;
	}
	ret = egress->driver->map(egress, memmap, &err);
	engine_trace_mapping(pair, GW_TRACE_MAP, memmap, since_ns, ret ? err.text : NULL);
	if (ret) {
		gw_log(LOG_WARNING, "port %s: cannot lend memory of port %s: %s", egress->name,
		       pair->source->name, err.text);
		*answer = answer_no(answer, GW_COPY_MAPPING_FAILED, err.text);
		if (!pair->mapped)
			question_dismiss_witness(pair);
		return;
	}
	if (!pair->mapped)
		pair->mapped = memmap_get(memmap);
	/* Pinning has filled the file: a page that goes from here on is seen to go. */
	memmap_discarded_bytes(memmap);
	renew_end(pair_record_of(pair));
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
	struct pair_record *record = pair_record_of(pair);

	if (pair->mapped == memmap || gw_now_ns() >= gw_load_relaxed(&record->other_till_ns))
		return false;
	/* When the engine stops, posts are done before the loop ends: none comes later. */
	return gw_load_acquire(&holder_of(pair->egress)->closing) ||
	       !gw_loop_post(record->engine->loop, rest_begins, record);
}

static void map_and_rest(struct pair *pair, struct gw_memmap *memmap, uint64_t stamp,
			 struct gw_answer *answer)
{
	struct pair_record *record = pair_record_of(pair_in(pair, 0));
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
	engine_trace_ask(pair, memmap, GW_TRACE_REQUERY);
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

	engine_trace_ask(pair, memmap, pair->ask_why);
	if (port_link(pair->egress) == GW_LINK_GONE)
		answer = answer_no(&answer, GW_COPY_DEVICE_DOWN,
				   "its interface is gone: there is none of that name now");
	else if (!holder_of(pair->egress)->started)
		answer = answer_no(&answer, GW_COPY_DEVICE_DOWN, "the device is stopped");
	else if (memmap && retire_is_due(pair_record_of(pair_in(pair, 0)), memmap))
		answer = answer_no(&answer, GW_COPY_MEMORY_DISCARDED,
				   "this memory is to be unmapped when its loans are home");
	else
		stamp = ask_driver(pair, memmap, &answer);
	answer_log(pair, &answer);
	conclude(pair, &answer, memmap, stamp);
	memmap_put(memmap);
}

void question_hear(struct pair_record *record)
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

		question_hear(record);
		/* Pair C. The first lane's. */
		if (gw_atomic_exchange(&record->drained, 0u))
			retire_go_on(record);
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
		retire_at_end(record);
	}
	free(engine->pair);
	engine->pair = NULL;
	engine->pair_count = 0;
}
