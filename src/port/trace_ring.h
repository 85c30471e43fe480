/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trace rings, and what the desk writes into them.
 *
 * A trace has one ring for each worker, so each has one producer and one consumer
 * and nobody waits: an event that finds no room is counted and forgotten. Ports and
 * pairs have a tap: the rings of the traces that they are part of. A worker looks
 * at the tap's bits, which are 0 unless somebody traces, and that is all a frame
 * pays then.
 *
 * Taps belong to the worker, and are changed through gw_port_apply().
 */
#pragma once

#include "atomic.h"
#include <guestwire/trace.h>

struct pair;
struct port_queue;
struct trace_ring;

/* Events that fit into one ring: some 800 KB, for one worker of one trace. */
#define TRACE_RING_EVENTS 2048u

struct trace_tap {
	uint32_t on; /* bits of ring[] */
	struct trace_ring *ring[GW_TRACES_MAX];
};

/* every: one of so many frames is written; at least 1. NULL without memory. */
struct trace_ring *trace_ring_create(unsigned int every);
void trace_ring_free(struct trace_ring *ring); /* NULL is fine */

/* Producer. */
void trace_ring_put(struct trace_ring *ring, const struct gw_trace_event *event);
/* Consumer: the oldest event, or NULL; it stays until trace_ring_next. */
const struct gw_trace_event *trace_ring_peek(const struct trace_ring *ring);
void trace_ring_next(struct trace_ring *ring);
/* How many were lost so far. Threads: any. */
uint64_t trace_ring_lost(const struct trace_ring *ring);

/* Worker, through gw_port_apply. ring NULL: the trace of that slot ends. */
static inline void trace_tap_set(struct trace_tap *tap, unsigned int slot, struct trace_ring *ring)
{
	tap->ring[slot] = ring;
	tap->on = ring ? tap->on | 1u << slot : tap->on & ~(1u << slot);
}

/* ---- what happened; worker, and only if the tap is on ---- */

/* tx has accepted a loan (reason NONE) or a copy. */
void trace_accepted(struct pair *pair, struct gw_frame *frame, enum gw_reason reason);
/*
 * The device is done with a loan. Only loans whose beginning was written are told of;
 * of a flood with every > 1, all that are of a frame one of whose was.
 */
void trace_home(struct pair *pair, const struct gw_frame *frame);
void trace_drop(struct pair *pair, enum gw_reason reason, uint32_t bytes, uint32_t count);
/* The same at a port, before the egress is known. */
void trace_port_drop(struct port_queue *source, enum gw_reason reason, uint32_t count);
