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

/* ---- questions about a pair; chores ---- */

void engine_trace_ask(const struct pair *pair, const struct gw_memmap *memmap,
		      enum gw_trace_why why);
void engine_trace_answer(const struct pair *pair, const struct gw_memmap *memmap,
			 const struct gw_answer *answer);
/* GW_TRACE_MAP or UNMAP. why: what the driver said if it failed, else NULL. */
void engine_trace_mapping(const struct pair *pair, enum gw_trace_kind kind,
			  const struct gw_memmap *memmap, uint64_t since_ns, const char *why);
