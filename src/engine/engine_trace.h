/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Traces of an engine: rings are made here and hung into the taps of pairs and
 * ports, on the workers that own them; and what happens to questions is written here.
 *
 * A trace outlives engine_stop (it then gets no more events, and can still be read),
 * but not the engine. Threads: any but a worker; reads of one trace one at a time.
 */
#pragma once

#include <guestwire/trace.h>

struct engine;
struct pair;

int engine_trace_start(struct engine *engine, const struct gw_trace_options *options,
		       struct gw_trace **trace, struct gw_error *err);
unsigned int engine_trace_read(struct gw_trace *trace, struct gw_trace_event *events,
			       unsigned int max, uint64_t *lost);
void engine_trace_stop(struct gw_trace *trace);

/* Engine: workers and pairs are there; or will go. */
void engine_trace_allow(struct engine *engine, bool allow);
/* A question about this pair. */
void engine_trace_query(struct engine *engine, const struct pair *pair, enum gw_trace_kind kind,
			const struct gw_trace_query *query);
