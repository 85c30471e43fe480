/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port's queue: what one worker has of a port.
 *
 * A network is spread over lanes, each of them one worker's (network.h), and a port
 * has a queue in each. All that a frame changes on its way is here, in the pairs
 * between queues of one lane, and in the lane: one thread's, so that no frame needs a
 * lock, and counters have one writer. What a port is as a whole is in port.h.
 *
 * The first queue lives as long as its port, the others from the start of a network
 * with several lanes to its end.
 */
#pragma once

#include "frame_pool.h"
#include "histogram.h"
#include "loop.h"
#include "port.h"
#include "trace_ring.h"

/*
 * What time it is for a worker, as of when it last looked: reading the clock costs as
 * much as half a frame, so it is read for batches (CLOCK_MONOTONIC).
 */
struct port_clock {
	uint64_t now_ns;
	uint64_t done_ns; /* when a device was first done with something in this visit; 0: none */
	uint32_t visits;  /* since now_ns */
};

/*
 * Neighbours in a batch, of one pair and decided alike: decided about together where that
 * is possible, and the books are written once for them.
 */
struct port_run {
	struct pair *pair;
	uint64_t bytes;        /* in all of its frames, if it is plain */
	unsigned int end;      /* it begins where the one before it ends */
	enum gw_reason reason; /* GW_REASON_NONE: lent */
	bool plain;            /* desk_lend_run lent all: nobody else holds them, none is a piece */
};

/* Frames on their way into tx, and what was decided about them. */
struct port_offer {
	unsigned int count, runs;
	struct gw_frame *frame[GW_BATCH];
	struct port_run run[GW_BATCH];
};

struct port_queue {
	struct gw_queue queue; /* what the driver sees of it */
	struct gw_port *port;
	const struct gw_driver *driver; /* the port's, or one of no functions: no device is here */
	struct crossing *crossing;      /* to other lanes; NULL: there are none */
	struct pair *pair_from[PORT_NETWORK_MAX]; /* by slot of the source; NULL: itself */
	struct port_clock *clock;                 /* the worker's; own_clock if there is none */
	struct frame_pool *frames;                /* the worker's; NULL: there is none */

	/* ---- the owning worker ---- */
	bool stalled;            /* no progress for a while although something is owed */
	bool untrusted;          /* quarantined frames are out: answers no */
	bool progress;           /* something was taken or given back since the last look */
	bool refused;            /* something found no room since the last look */
	bool full;               /* its device took no more, and has given nothing back since */
	bool undelivered;        /* in this tx: gw_queue_drop was called (frame->dropped) */
	uint64_t owing_since_ns; /* since when something is owed without progress; 0: not */
	uint32_t lent_out;       /* loans of this queue's frames that devices hold, all pairs */
	uint32_t held;           /* frames this queue's device holds, lent and bounced, all pairs */
	uint32_t held_loans;     /* of these, the lent ones */
	struct port_offer offer;
	struct port_clock own_clock;
	uint64_t found_ns;               /* when the frames were found that rx lent last */
	uint32_t home_undone;            /* of home, those that no device had */
	struct trace_tap trace;          /* drops of own frames before their egress is known */
	uint32_t trace_loans;            /* loans that were given a number */
	struct gw_frame *home[GW_BATCH]; /* own frames that are over, to be released */
	unsigned int home_count;
	struct gw_frame *waiting[GW_BATCH]; /* own frames popped that found no room */
	unsigned int waiting_count, waiting_next;

	/* ---- counters: the worker writes, snapshots read ---- */
	gw_counter rx_frames, rx_bytes, tx_frames, tx_bytes;
	gw_counter rx_drops[GW_REASON_COUNT];
	gw_counter device_counts[GW_DEVICE_COUNT];
	gw_counter quarantined;
	struct histogram forward, back; /* gw_port_info has what they are */
};

/* Frames can get into the port here, and out of it. */
static inline bool port_queue_has_device(const struct port_queue *queue)
{
	return queue->driver == queue->port->driver;
}

static inline struct port_queue *port_queue_of(struct gw_queue *queue)
{
	return gw_container_of(queue, struct port_queue, queue);
}

/* Reads the clock. */
static inline uint64_t port_tick(const struct port_queue *queue)
{
	queue->clock->visits = 0;
	return queue->clock->now_ns = gw_now_ns();
}

/* A device is done with something, as of the last reading. */
static inline void port_done(const struct port_queue *queue)
{
	if (!queue->clock->done_ns)
		queue->clock->done_ns = queue->clock->now_ns;
}

/*
 * Queues for so many lanes, or -ENOMEM and as many as there were. first: the lane that a
 * device of one queue has it in. Before the port is opened.
 */
int port_set_lanes(struct gw_port *port, unsigned int lanes, unsigned int first,
		   struct gw_error *err);
/* Those from the lane `first` on are freed. */
void port_free_queues(struct gw_port *port, unsigned int first);
/* Frames in quarantine, of all queues. Threads: any. */
uint64_t port_quarantined(const struct gw_port *port);
/* Has the driver read what its device has counted, if it is there. Worker. */
void port_queue_count_device(struct port_queue *queue);
