/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine_trace.h"

#include "engine_state.h"
#include "memmap.h"
#include "trace_ring.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gw_trace {
	struct engine *engine;
	unsigned int slot;
	const struct gw_port *port; /* NULL: all */
	bool queries;               /* no frames */
	/* Of questions; the producers take turns under engine->trace_lock. */
	struct trace_ring *control;
	struct trace_ring *worker[ENGINE_WORKERS_MAX]; /* NULL: beyond their number */
	uint64_t lost_seen;                            /* the reader's */
};

static bool concerns(const struct gw_trace *trace, const struct pair *pair)
{
	return !trace->port || pair->source == trace->port || pair->egress == trace->port;
}

/* ---- taps ---- */

struct tap_request {
	const struct gw_trace *trace;
	struct port_queue *queue;
	struct trace_ring *ring; /* NULL: off */
};

/* Worker: the queue, and the pairs that end there. */
static void tap_apply(void *arg)
{
	struct tap_request *request = arg;
	struct port_queue *queue = request->queue;
	const struct gw_trace *trace = request->trace;

	if (!trace->port || trace->port == queue->port)
		trace_tap_set(&queue->trace, trace->slot, request->ring);
	for (unsigned int s = 0; s < PORT_NETWORK_MAX; s++)
		if (queue->pair_from[s] && concerns(trace, queue->pair_from[s]))
			trace_tap_set(&queue->pair_from[s]->trace, trace->slot, request->ring);
}

static void set_tap(const struct gw_trace *trace, const struct holder *holder, unsigned int lane,
		    bool on)
{
	unsigned int w = lane_worker(trace->engine, holder->network, lane);
	struct tap_request request = {
		.trace = trace,
		.queue = holder->port->queue[lane],
		.ring = on ? trace->worker[w] : NULL,
	};

	gw_queue_apply(&request.queue->queue, tap_apply, &request);
}

/*
 * Under trace_lock. When this returns no worker knows a ring of the trace any more, if
 * it was switched off.
 */
static void set_taps(const struct gw_trace *trace, bool on)
{
	struct engine *engine = trace->engine;

	if (trace->queries || !engine->traceable)
		return;
	for (unsigned int i = 0; i < engine->port_count; i++)
		for (unsigned int q = 0; q < engine->holder[i]->port->lanes; q++)
			set_tap(trace, engine->holder[i], q, on);
}

void engine_trace_allow(struct engine *engine, bool allow)
{
	pthread_mutex_lock(&engine->trace_lock);
	engine->traceable = allow;
	pthread_mutex_unlock(&engine->trace_lock);
}

/* ---- life ---- */

static void trace_free(struct gw_trace *trace)
{
	trace_ring_free(trace->control);
	for (unsigned int w = 0; w < ENGINE_WORKERS_MAX; w++)
		trace_ring_free(trace->worker[w]);
	free(trace);
}

static struct gw_trace *trace_create(struct engine *engine, unsigned int every, bool queries)
{
	struct gw_trace *trace = calloc(1, sizeof(*trace));
	unsigned int workers = queries ? 0 : engine->config.workers;

	if (!trace)
		return NULL;
	trace->engine = engine;
	trace->queries = queries;
	trace->control = trace_ring_create(1);
	if (!trace->control)
		goto fail;
	for (unsigned int w = 0; w < workers; w++) {
		trace->worker[w] = trace_ring_create(every);
		if (!trace->worker[w])
			goto fail;
	}
	return trace;
fail:
	trace_free(trace);
	return NULL;
}

static const struct gw_port *find_port(const struct engine *engine, const char *name)
{
	for (unsigned int i = 0; i < engine->port_count; i++)
		if (!strcmp(engine->holder[i]->port->name, name))
			return engine->holder[i]->port;
	return NULL;
}

/* Under trace_lock: checks, and a place among the engine's traces. */
static int trace_enter(struct gw_trace *trace, const char *port, struct gw_error *err)
{
	struct engine *engine = trace->engine;

	if (!engine->traceable)
		return gw_error_set(err, -ENOTCONN, "trace: the ports are not running");
	trace->port = port ? find_port(engine, port) : NULL;
	if (port && !trace->port)
		return gw_error_set(err, -ENOENT, "trace: no port named '%.40s'", port);
	while (trace->slot < GW_TRACES_MAX && engine->trace[trace->slot])
		trace->slot++;
	if (trace->slot == GW_TRACES_MAX)
		return gw_error_set(err, -EBUSY, "trace: %u traces are on already; end one of them",
				    GW_TRACES_MAX);
	engine->trace[trace->slot] = trace;
	set_taps(trace, true);
	return 0;
}

int engine_trace_start(struct engine *engine, const struct gw_trace_options *options,
		       struct gw_trace **out, struct gw_error *err)
{
	struct gw_trace *trace =
		trace_create(engine, options->every ? options->every : 1, options->queries);
	int ret;

	if (!trace)
		return gw_error_sys(err, -ENOMEM, "trace: rings for %u workers",
				    engine->config.workers);
	pthread_mutex_lock(&engine->trace_lock);
	ret = trace_enter(trace, options->port, err);
	pthread_mutex_unlock(&engine->trace_lock);
	if (ret)
		trace_free(trace);
	else
		*out = trace;
	return ret;
}

void engine_trace_stop(struct gw_trace *trace)
{
	struct engine *engine = trace->engine;

	pthread_mutex_lock(&engine->trace_lock);
	set_taps(trace, false);
	engine->trace[trace->slot] = NULL;
	pthread_mutex_unlock(&engine->trace_lock);
	trace_free(trace);
}

/* ---- reading ---- */

/* The ring whose next event is the oldest; NULL: all are empty. */
static struct trace_ring *oldest(const struct gw_trace *trace)
{
	const struct gw_trace_event *event = trace_ring_peek(trace->control), *other;
	struct trace_ring *ring = event ? trace->control : NULL;

	for (unsigned int w = 0; w < ENGINE_WORKERS_MAX && trace->worker[w]; w++) {
		other = trace_ring_peek(trace->worker[w]);
		if (!other || (event && event->time_ns <= other->time_ns))
			continue;
		event = other;
		ring = trace->worker[w];
	}
	return ring;
}

unsigned int engine_trace_read(struct gw_trace *trace, struct gw_trace_event *events,
			       unsigned int max, uint64_t *lost)
{
	uint64_t total = trace_ring_lost(trace->control);
	struct trace_ring *ring;
	unsigned int count = 0;

	while (count < max && (ring = oldest(trace))) {
		events[count++] = *trace_ring_peek(ring);
		trace_ring_next(ring);
	}
	for (unsigned int w = 0; w < ENGINE_WORKERS_MAX && trace->worker[w]; w++)
		total += trace_ring_lost(trace->worker[w]);
	*lost = total - trace->lost_seen;
	trace->lost_seen = total;
	return count;
}

/* ---- questions ---- */

static void trace_query(const struct pair *pair, enum gw_trace_kind kind,
			const struct gw_trace_query *query)
{
	struct engine *engine = holder_of(pair->egress)->engine;
	struct gw_trace_event event = {
		.time_ns = gw_now_ns(),
		.kind = kind,
		.source = pair->source->name,
		.egress = pair->egress->name,
		.query = *query,
	};

	pthread_mutex_lock(&engine->trace_lock);
	for (unsigned int i = 0; i < GW_TRACES_MAX; i++)
		if (engine->trace[i] && concerns(engine->trace[i], pair))
			trace_ring_put(engine->trace[i]->control, &event);
	pthread_mutex_unlock(&engine->trace_lock);
}

static uint64_t generation_of(const struct gw_memmap *memmap)
{
	return memmap ? gw_memmap_generation(memmap) : 0;
}

void engine_trace_ask(const struct pair *pair, const struct gw_memmap *memmap,
		      enum gw_trace_why why)
{
	struct gw_trace_query query = { .why = why, .memory = generation_of(memmap) };

	trace_query(pair, GW_TRACE_ASK, &query);
}

void engine_trace_answer(const struct pair *pair, const struct gw_memmap *memmap,
			 const struct gw_answer *answer)
{
	struct gw_trace_query query = { .memory = generation_of(memmap), .answer = *answer };

	trace_query(pair, GW_TRACE_ANSWER, &query);
}

void engine_trace_mapping(const struct pair *pair, enum gw_trace_kind kind,
			  const struct gw_memmap *memmap, uint64_t since_ns, const char *why)
{
	struct gw_trace_query query = {
		.memory = generation_of(memmap),
		.bytes = memmap_guest_bytes(memmap),
		.duration_ns = gw_now_ns() - since_ns,
		.failed = why,
	};

	snprintf(query.answer.text, sizeof(query.answer.text), "%s", why ? why : "");
	trace_query(pair, kind, &query);
}
