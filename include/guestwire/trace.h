/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trace: what happens to frames and questions, as it happens.
 *
 *     struct gw_trace_options options = { .size = sizeof(options), .port = "up" };
 *     gw_trace_start(gw, &options, &trace, &err);
 *     while (...) {
 *             count = gw_trace_read(trace, events, 64, &lost);
 *             ...
 *     }
 *     gw_trace_stop(trace);
 *
 * A loan is reported with the guest-physical addresses that the device was given,
 * so it can be shown that a page of a guest's application is the page that was lent.
 *
 * Workers write into bounded rings that exist only while somebody traces, and never
 * wait for a reader: what finds no room is counted as lost. Nothing is woken up when
 * an event comes; readers look every now and then.
 */
#ifndef GUESTWIRE_TRACE_H
#define GUESTWIRE_TRACE_H

#include <guestwire/driver.h>
#include <guestwire/error.h>
#include <guestwire/reason.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gw_context;
struct gw_trace;

/* Traces at a time in one context. */
#define GW_TRACES_MAX       4u
/* Segments that an event tells of; longer frames end with a smaller segment_count. */
#define GW_TRACE_SEGMENTS   GW_FRAME_SEGS
/* In place of an address: private memory of the daemon. */
#define GW_TRACE_NO_ADDRESS UINT64_MAX

enum gw_trace_kind {
	GW_TRACE_ASK = 0, /* a driver is asked about memory */
	GW_TRACE_ANSWER,  /* what counts from now on */
	GW_TRACE_MAP,     /* memory was pinned, registered, mapped for a device; or not */
	GW_TRACE_UNMAP,
	GW_TRACE_LEND, /* the driver has accepted a loan */
	GW_TRACE_COPY, /* the driver has accepted a copy */
	GW_TRACE_DROP,
	GW_TRACE_HOME, /* a loan is over */
};

/* Why a driver is asked. */
enum gw_trace_why {
	GW_TRACE_FIRST = 0, /* the first frame of this pair */
	GW_TRACE_MEMORY,    /* a frame of other memory, or of memory that was given up */
	GW_TRACE_REQUERY,   /* the driver said that its answer may have changed */
};

struct gw_trace_segment {
	uint64_t guest_address; /* guest-physical; or GW_TRACE_NO_ADDRESS */
	uint32_t bytes;
};

/* LEND, COPY, DROP, HOME. */
struct gw_trace_frame {
	uint32_t loan;          /* LEND, HOME: a number, to find the two that belong together */
	uint32_t bytes;         /* of the whole frame */
	uint32_t header_bytes;  /* LEND: of these, the private header in front of the segments */
	uint32_t count;         /* DROP: frames; else 1 */
	enum gw_reason reason;  /* COPY, DROP */
	uint64_t duration_ns;   /* HOME: how long the loan lasted */
	uint32_t segment_count; /* LEND: of the segments below */
	struct gw_trace_segment segment[GW_TRACE_SEGMENTS];
};

/* ASK, ANSWER, MAP, UNMAP. */
struct gw_trace_query {
	enum gw_trace_why why; /* ASK */
	uint64_t memory;       /* gw_memmap_generation; 0: the private arena */
	uint64_t duration_ns;  /* ANSWER, MAP, UNMAP: how long it took */
	uint64_t bytes;        /* MAP, UNMAP: guest memory */
	bool failed;           /* MAP; answer.text says why */
	struct gw_answer answer;
};

struct gw_trace_event {
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	enum gw_trace_kind kind;
	const char *source; /* names of ports, good until gw_close */
	const char *egress; /* NULL: a drop before the egress was known */
	union {
		struct gw_trace_frame frame;
		struct gw_trace_query query;
	};
};

/* Begins with its size, so that it can grow: set it to sizeof(struct gw_trace_options). */
struct gw_trace_options {
	size_t size;
	const char *port;   /* only pairs that it takes part in; NULL: all */
	unsigned int every; /* one of so many frames that are lent, copied, dropped; 0: 1 */
	bool queries;       /* no frames, questions only */
};

/*
 * -ENOENT: no such port; -EBUSY: GW_TRACES_MAX are on already; -ENOTCONN: the ports
 * have not been started. Threads: any, at the same time as everything but gw_close.
 */
int gw_trace_start(struct gw_context *context, const struct gw_trace_options *options,
		   struct gw_trace **trace, struct gw_error *err);
/*
 * Up to max events, by time as far as they are there; *lost is what has been lost
 * since the last call. Threads: any, one at a time for a trace. Never blocks.
 */
unsigned int gw_trace_read(struct gw_trace *trace, struct gw_trace_event *events, unsigned int max,
			   uint64_t *lost);
/* Before gw_close; also after gw_stop, which ends no trace. NULL is fine. Threads: any. */
void gw_trace_stop(struct gw_trace *trace);

/* "lend", "home" ...; "first", "memory", "requery". Threads: any. */
const char *gw_trace_kind_name(enum gw_trace_kind kind);
const char *gw_trace_why_name(enum gw_trace_why why);

#ifdef __cplusplus
}
#endif

#endif
