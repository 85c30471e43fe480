/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the desk share.
 *
 *	desk.c		decides, and offers a frame to an egress
 *	desk_run.c	lends frames together that need no decision of their own
 *	desk_partial.c	frames whose header was left partial
 *	desk_batch.c	what was offered, until tx takes it
 *	desk_home.c	what is over, until it is home
 */
#pragma once

#include "desk.h"

/* ---- desk.c ---- */

/* It was left partial, or is to be cut. */
static inline bool desk_asks_for_something(const struct gw_frame *frame)
{
	return frame->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM || frame->header.gso_type;
}

/* Segments after cutting at every page boundary; 0: pages of 4096 bytes. */
static inline unsigned int desk_page_pieces(const struct gw_frame *frame, uint32_t page_bytes)
{
	unsigned int pieces = 0, shift = page_bytes ? (unsigned int)__builtin_ctz(page_bytes) : 12;

	for (unsigned int i = 0; i < frame->seg_count; i++) {
		uintptr_t first = (uintptr_t)frame->seg[i].iov_base;

		pieces += (unsigned int)(((first + frame->seg[i].iov_len - 1) >> shift) -
					 (first >> shift)) +
			  1;
	}
	return pieces;
}

static inline void desk_loans_add(struct pair *pair, unsigned int count)
{
	pair->loans_out += count;
	gw_store_relaxed(&pair->loans_now, pair->loans_out);
	if (pair->loans_out > pair->loans_peak)
		gw_store_relaxed(&pair->loans_peak, pair->loans_out);
}

/* GW_REASON_NONE: lend. Otherwise: copy, and why. */
enum gw_reason desk_decide(struct pair *pair, struct gw_frame *frame);
/* Enters a loan into the books, and the frame into the batch. There is room. */
void desk_lend(struct port_queue *egress, struct pair *pair, struct gw_frame *frame);
/*
 * Offers a copy of a whole frame; what its checksum lacks is done in the copy. There
 * is room in the batch.
 */
enum desk_verdict desk_copy(struct port_queue *egress, struct pair *pair, struct gw_frame *frame,
			    enum gw_reason reason, bool may_wait);
/* No room: the frame waits if the source may, else it is dropped. */
enum desk_verdict desk_no_room(struct port_queue *egress, struct pair *pair,
			       const struct gw_frame *frame, bool may_wait, enum gw_reason reason);
/* Counts frames that are not delivered. */
void desk_count_drop(struct pair *pair, enum gw_reason reason, uint32_t bytes, uint32_t count);

/* ---- desk_partial.c ---- */

/*
 * Offers a frame whose header asks for something that the egress does not take as it
 * is. The egress is usable.
 */
enum desk_verdict desk_offer_partial(struct port_queue *egress, struct pair *pair,
				     struct gw_frame *frame, bool may_wait);
/* Computes the checksum of a copy that has a partial one, unless it is the device's. */
void desk_complete_copy(struct pair *pair, struct gw_frame *copy);
/* Counts a frame of which nothing more is delivered; if it was begun, what is left of it. */
void desk_drop_rest(struct pair *pair, const struct gw_frame *frame, enum gw_reason reason);

/* ---- desk_batch.c ---- */

/* Room for one more in the egress's batch; false: it takes nothing now. */
static inline bool desk_room(struct port_queue *egress)
{
	return egress->offer.count < GW_BATCH || desk_flush(egress);
}

/* The run that the next frame of the batch belongs to. */
static inline struct port_run *desk_run(struct port_queue *egress, struct pair *pair,
					enum gw_reason reason, bool plain)
{
	struct port_offer *offer = &egress->offer;
	struct port_run *run = offer->run + offer->runs - 1;

	if (offer->runs && run->pair == pair && run->reason == reason && run->plain == plain)
		return run;
	run = &offer->run[offer->runs++];
	*run = (struct port_run){ .pair = pair, .reason = reason, .plain = plain };
	return run;
}

/* Enters into the batch a frame that was lent (reason NONE), or its copy. There is room. */
static inline void desk_add(struct port_queue *egress, struct pair *pair, struct gw_frame *frame,
			    enum gw_reason reason)
{
	struct port_run *run = desk_run(egress, pair, reason, false);

	egress->offer.frame[egress->offer.count++] = frame;
	run->end = egress->offer.count;
}

/* The frame that desk_add entered last is not in the batch any more. */
void desk_take_out_last(struct port_queue *egress);

/* ---- desk_home.c ---- */

/* A piece lends what is its parent's. */
static inline struct gw_frame *desk_lender(struct gw_frame *frame)
{
	return frame->cut == CUT_PIECE ? piece_of(frame)->parent : frame;
}

/* Its last holder gave it back. */
static inline void desk_come_home(struct gw_frame *frame)
{
	struct port_queue *home = port_queue_of(frame->home);

	if (home->home_count == GW_BATCH)
		desk_release(home);
	home->home[home->home_count++] = frame;
}

/* What desk_lend entered is over: a device is done with it. */
static inline void desk_loan_end(struct pair *pair, struct gw_frame *frame)
{
	struct gw_frame *lender = desk_lender(frame);

	if (frame != lender)
		piece_put(&pair->pieces, piece_of(frame));
	if (!--lender->loans)
		pair->from->lent_out--;
	pair->loans_out--;
	gw_store_relaxed(&pair->loans_now, pair->loans_out);
	if (!pair->loans_out && pair->watch_zero)
		pair->egress->host->drained(pair);
	if (!--lender->holders)
		desk_come_home(lender);
}

/* The same for the frames of a run that is plain, which lie side by side. */
void desk_run_end(const struct port_run *run, struct gw_frame *const *frames, unsigned int count);
/* desk_loan_end of a frame that no device took. */
void desk_loan_refused(struct pair *pair, struct gw_frame *frame);

/* The device is done with a frame that tx had accepted. */
static inline void desk_finish(struct pair *pair, struct gw_frame *frame)
{
	if (frame->bounce) {
		bounce_done(pair, frame);
		return;
	}
	if (__builtin_expect(pair->trace.on, 0))
		trace_home(pair, frame);
	desk_loan_end(pair, frame);
}
