/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loan desk: the one place that decides to copy, and keeps the books.
 *
 * For each frame and egress port it finds the pair, makes sure that the egress
 * driver has answered for this memory (one compare; if not, it asks and copies
 * meanwhile), and decides: lend, or copy and why, or drop and why, or wait. It
 * hands batches to tx, counts what was accepted, takes what reap reports, and
 * sends frames home when their last holder gave them back.
 *
 * All functions are called by the worker that owns the lane.
 */
#pragma once

#include "pair.h"

/* A device that owes something and shows no progress for this long is stalled. */
#define DESK_STALL_NS 200000000ull

enum desk_verdict {
	DESK_TAKEN, /* lent, copied or dropped: done with this egress */
	DESK_WAIT,  /* no room, and the source may wait (it has one possible egress) */
};

/* A frame enters the lane from another one: the caller holds it once. */
static inline void desk_enter_handed(struct gw_frame *frame)
{
	frame->holders = 1;
	frame->bounce = 0;
	frame->dropped = 0;
	frame->trace_on = 0;
	frame->cut = CUT_NOT;
	frame->loans = 0;
}

/* Frames enter the network. */
static inline void desk_enter(const struct port_queue *source, struct gw_frame *const *frames,
			      unsigned int count)
{
	uint64_t found_ns = source->found_ns;
	uint32_t slot = source->port->slot;

	for (unsigned int i = 0; i < count; i++) {
		struct gw_frame *frame = frames[i];

		desk_enter_handed(frame);
		frame->pair = slot;
		frame->found_ns = found_ns;
	}
}

/* Frames are in the books of the pairs they go to, delivered or dropped: they were received. */
static inline void desk_came_in(struct port_queue *source, uint64_t frames, uint64_t bytes)
{
	gw_counter_add(&source->rx_frames, frames);
	gw_counter_add(&source->rx_bytes, bytes);
}

/* Offers a frame to one egress. may_wait: the source has no other egress. */
enum desk_verdict desk_offer(struct port_queue *egress, struct gw_frame *frame, bool may_wait);
/*
 * Lends the first of these frames, of one source, to one egress, as many of them as desk_offer
 * would lend as they are; returns how many, and adds up their bytes. The caller's hold on
 * them becomes the egress's. What comes next is for desk_offer, which has the last word;
 * that nothing was lent may have reasons that last.
 */
unsigned int desk_lend_run(struct port_queue *egress, struct gw_frame *const *frames,
			   unsigned int count, bool may_wait, uint64_t *bytes);
/* Counts a frame that has no egress at all, or is not allowed one. */
void desk_drop(struct port_queue *source, enum gw_reason reason);
/* It has no holder any more: goes home (desk_release), without having been in a device. */
void desk_go_home(struct gw_frame *frame);

/* One holder less; the last one sends it home. */
static inline void desk_put(struct gw_frame *frame)
{
	if (!--frame->holders)
		desk_go_home(frame);
}

/* The same of one that a device had. */
void desk_put_done(struct gw_frame *frame);
/* Passes what was offered to the driver. Returns frames accepted or dropped. */
unsigned int desk_flush(struct port_queue *egress);
/* Takes finished loans. Returns how many. */
unsigned int desk_reap(struct port_queue *egress);
/* Gives frames that are home to their driver. */
void desk_release(struct port_queue *source);
/* Looks at the clock: has this port stalled? */
void desk_check_stall(struct port_queue *egress, uint64_t now_ns);
/*
 * Drops what waits at the source for this egress, which is its only one then, and
 * what was offered but not taken: loans that no device holds.
 */
void desk_take_back(struct port_queue *source, struct port_queue *egress);
/* Drops one frame that waited for the egress, at a source that was told of already. */
void desk_drop_waiting(struct port_queue *egress, struct gw_frame *frame);
/* Forgets everything but the ledger: the port is closed, and its pairs are gone or will be. */
void desk_reset(struct port_queue *queue);
/* Drops everything that waits or was offered, e.g. before a port goes down. */
void desk_abandon(struct port_queue *queue, enum gw_reason reason);
