/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace_ring.h"

#include "loop.h"
#include "memmap.h"
#include "pair.h"
#include <stdlib.h>

_Static_assert((TRACE_RING_EVENTS & (TRACE_RING_EVENTS - 1)) == 0, "a power of two");

struct trace_ring {
	/* ---- the producer ---- */
	uint32_t head; /* atomic: events written so far. Pair T */
	uint32_t every, skip;
	uint64_t start_ns;
	gw_counter lost;
	/* ---- the consumer ---- */
	uint32_t tail __attribute__((aligned(64))); /* atomic: events read so far. Pair U */
	struct gw_trace_event event[TRACE_RING_EVENTS];
};

/* ---- the ring ---- */

struct trace_ring *trace_ring_create(unsigned int every)
{
	struct trace_ring *ring = aligned_alloc(64, (sizeof(*ring) + 63) & ~(size_t)63);

	if (!ring)
		return NULL;
	*ring = (struct trace_ring){ .every = every, .start_ns = gw_now_ns() };
	return ring;
}

void trace_ring_free(struct trace_ring *ring)
{
	free(ring);
}

/* Where the next event goes; NULL: no room, and counted. */
static struct gw_trace_event *ring_slot(struct trace_ring *ring)
{
	/* Pair U: what is overwritten has been read. */
	if (ring->head - gw_load_acquire(&ring->tail) == TRACE_RING_EVENTS) {
		gw_counter_add(&ring->lost, 1);
		return NULL;
	}
	return &ring->event[ring->head & (TRACE_RING_EVENTS - 1)];
}

static void ring_publish(struct trace_ring *ring)
{
	/* Pair T: who sees the number sees the event. */
	gw_store_release(&ring->head, ring->head + 1);
}

void trace_ring_put(struct trace_ring *ring, const struct gw_trace_event *event)
{
	struct gw_trace_event *slot = ring_slot(ring);

	if (!slot)
		return;
	*slot = *event;
	ring_publish(ring);
}

const struct gw_trace_event *trace_ring_peek(const struct trace_ring *ring)
{
	/* Pair T. */
	if (gw_load_acquire(&ring->head) == ring->tail)
		return NULL;
	return &ring->event[ring->tail & (TRACE_RING_EVENTS - 1)];
}

void trace_ring_next(struct trace_ring *ring)
{
	/* Pair U. */
	gw_store_release(&ring->tail, ring->tail + 1);
}

uint64_t trace_ring_lost(const struct trace_ring *ring)
{
	return gw_counter_read(&ring->lost);
}

/* ---- what is written ---- */

/* One of `every`. */
static bool sampled(struct trace_ring *ring)
{
	if (ring->skip) {
		ring->skip--;
		return false;
	}
	ring->skip = ring->every - 1;
	return true;
}

/* Without the segments, which are many bytes. */
static struct gw_trace_event *begin(struct trace_ring *ring, enum gw_trace_kind kind,
				    const struct pair *pair, uint64_t now_ns)
{
	struct gw_trace_event *event = ring_slot(ring);

	if (!event)
		return NULL;
	event->time_ns = now_ns;
	event->kind = kind;
	event->source = pair ? pair->source->name : NULL;
	event->egress = pair ? pair->egress->name : NULL;
	event->frame.loan = 0;
	event->frame.header_bytes = 0;
	event->frame.count = 1;
	event->frame.reason = GW_REASON_NONE;
	event->frame.duration_ns = 0;
	event->frame.segment_count = 0;
	return event;
}

/* A piece has its private header in front of what is lent. */
static void fill_segments(struct gw_trace_frame *to, const struct gw_frame *frame)
{
	unsigned int first = frame->cut == CUT_PIECE, count = frame->seg_count - first;

	to->header_bytes = first ? (uint32_t)frame->seg[0].iov_len : 0;
	if (count > GW_TRACE_SEGMENTS)
		count = GW_TRACE_SEGMENTS;
	to->segment_count = count;
	for (unsigned int i = 0; i < count; i++) {
		const struct iovec *seg = &frame->seg[first + i];
		uint64_t address;

		if (!frame->memmap || !memmap_guest_address(frame->memmap, seg->iov_base, &address))
			address = GW_TRACE_NO_ADDRESS;
		to->segment[i].guest_address = address;
		to->segment[i].bytes = (uint32_t)seg->iov_len;
	}
}

static void put_accepted(struct trace_ring *ring, const struct pair *pair, struct gw_frame *frame,
			 enum gw_reason reason, uint64_t now_ns)
{
	enum gw_trace_kind kind = reason == GW_REASON_NONE ? GW_TRACE_LEND : GW_TRACE_COPY;
	struct gw_trace_event *event = begin(ring, kind, pair, now_ns);

	if (!event)
		return;
	event->frame.bytes = frame->len;
	event->frame.reason = reason;
	if (kind == GW_TRACE_LEND) {
		event->frame.loan = frame->trace_loan;
		fill_segments(&event->frame, frame);
	}
	ring_publish(ring);
}

void trace_accepted(struct pair *pair, struct gw_frame *frame, enum gw_reason reason)
{
	uint64_t now_ns = gw_now_ns();

	for (unsigned int i = 0; i < GW_TRACES_MAX; i++) {
		struct trace_ring *ring = pair->trace.ring[i];

		if (!ring || !sampled(ring))
			continue;
		/* All traces know a loan by one number, and all ports of a flood. */
		if (reason == GW_REASON_NONE && !frame->trace_on) {
			frame->trace_ns = now_ns;
			frame->trace_loan = pair->from->trace_loans += pair->source->lanes;
		}
		frame->trace_on |= (uint8_t)(1u << i);
		put_accepted(ring, pair, frame, reason, now_ns);
	}
}

void trace_home(struct pair *pair, const struct gw_frame *frame)
{
	uint64_t now_ns = frame->trace_on ? gw_now_ns() : 0;

	for (unsigned int i = 0; i < GW_TRACES_MAX; i++) {
		struct trace_ring *ring = pair->trace.ring[i];
		struct gw_trace_event *event;

		/* The bit may be an earlier trace's. */
		if (!ring || !(frame->trace_on & 1u << i) || frame->trace_ns < ring->start_ns)
			continue;
		event = begin(ring, GW_TRACE_HOME, pair, now_ns);
		if (!event)
			continue;
		event->frame.bytes = frame->len;
		event->frame.loan = frame->trace_loan;
		event->frame.duration_ns = now_ns - frame->trace_ns;
		ring_publish(ring);
	}
}

static void put_drop(struct trace_tap *tap, const struct pair *pair, const char *source,
		     enum gw_reason reason, uint32_t bytes, uint32_t count)
{
	uint64_t now_ns = gw_now_ns();

	for (unsigned int i = 0; i < GW_TRACES_MAX; i++) {
		struct trace_ring *ring = tap->ring[i];
		struct gw_trace_event *event;

		if (!ring || !sampled(ring))
			continue;
		event = begin(ring, GW_TRACE_DROP, pair, now_ns);
		if (!event)
			continue;
		event->source = source;
		event->frame.bytes = bytes;
		event->frame.count = count;
		event->frame.reason = reason;
		ring_publish(ring);
	}
}

void trace_drop(struct pair *pair, enum gw_reason reason, uint32_t bytes, uint32_t count)
{
	put_drop(&pair->trace, pair, pair->source->name, reason, bytes, count);
}

void trace_port_drop(struct port_queue *source, enum gw_reason reason, uint32_t count)
{
	put_drop(&source->trace, NULL, source->port->name, reason, 0, count);
}

/* ---- names ---- */

const char *gw_trace_kind_name(enum gw_trace_kind kind)
{
	static const char *const names[] = { "ask",  "answer", "map",  "unmap",
					     "lend", "copy",   "drop", "home" };

	return (unsigned int)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}

const char *gw_trace_why_name(enum gw_trace_why why)
{
	static const char *const names[] = { "first", "memory", "requery" };

	return (unsigned int)why < sizeof(names) / sizeof(names[0]) ? names[why] : "unknown";
}
