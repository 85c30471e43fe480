/* SPDX-License-Identifier: BSD-2-Clause */
/* A trace as lines of JSON. No sockets here. */
#pragma once

#include <guestwire/trace.h>
#include <jansson.h>

/* Events that are taken at a time: what a client is sent, and what it can make us keep. */
#define CONTROL_TRACE_BATCH 256u

struct control_trace;

/* Takes the trace over, also on failure (NULL: no memory). count: events; 0: no end. */
struct control_trace *control_trace_open(struct gw_trace *trace, uint64_t count);
void control_trace_close(struct control_trace *trace); /* NULL is fine */

/*
 * What has happened since the last call, as lines, the caller's to free; NULL: nothing,
 * or no memory (then it is lost). *last: the last line says that the trace is over.
 */
char *control_trace_lines(struct control_trace *trace, size_t *len, bool *last);
/* The line that ends a trace. NULL without memory. */
char *control_trace_end(const char *why, size_t *len);

/* One event, one object. */
json_t *control_trace_json(const struct gw_trace_event *event);
