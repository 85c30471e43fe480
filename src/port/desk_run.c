/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames that are lent together: of one source to one egress, whole, and as they are.
 *
 * Most of what desk_offer and desk_decide ask does not depend on the frame: whether the
 * egress is usable, what its driver answered, how many loans there may be. Here that is
 * asked once for a batch, and of each frame only what can differ. Nothing is decided here:
 * a frame is lent if there is no reason against it, and else it is the first that is
 * offered by itself. So whatever desk_offer would not lend at once must not be lent here,
 * and the reasons are all in desk.c.
 *
 * Such frames are a run of their own in the batch (port_run.plain): the egress alone holds
 * them, each is one loan, and none is a piece. Books need not look at them again.
 */
#include "desk_inside.h"

#include "witness.h"

/* What the next loans of a pair have to be like to be given without more ado. */
struct lendable {
	const struct gw_memmap *memmap;
	uint32_t len_min, len_max;
	unsigned int segs_max;
	unsigned int pieces_max; /* of pages of page_bytes, if they count; 0: they do not */
	uint32_t page_bytes;
	const struct witness *witness; /* NULL: none need be asked */
	unsigned int count;            /* so many loans */
};

/* What a device that keeps frames for a while asks for, beyond desk_decide's first half. */
static unsigned int keepable(const struct pair *pair, const struct port_queue *egress)
{
	const struct port_queue *source = pair->from;
	uint32_t lend_max = source->queue.lend_max, most = lend_max - lend_max / 4;
	unsigned int count;

	if (source->queue.in_order || egress->untrusted || egress->stalled ||
	    pair->loans_out >= pair->loans_max)
		return 0;
	count = pair->loans_max - pair->loans_out;
	if (!lend_max)
		return count;
	if (source->lent_out >= most)
		return 0;
	return count < most - source->lent_out ? count : most - source->lent_out;
}

/*
 * Everything that desk_offer and desk_decide ask for and that is the same for all frames of
 * a pair. False: they have to be offered one by one.
 */
static bool find_lendable(const struct port_queue *egress, const struct pair *pair, bool may_wait,
			  struct lendable *lendable)
{
	const struct gw_answer *answer = &pair->answer;
	unsigned int room = GW_BATCH - egress->offer.count, keep;

	if (egress->queue.deliver_to != egress->queue.index || !port_usable(egress->port) ||
	    (egress->full && !may_wait))
		return false;
	if (!pair->answered || pair->loan_never || answer->verdict == GW_NO ||
	    pair->answer_stamp != gw_load_relaxed(&egress->port->answer_stamp))
		return false;
	*lendable = (struct lendable){
		.memmap = pair->answer_memmap,
		.len_max = gw_load_relaxed(&egress->port->max_len),
		.segs_max = answer->max_segs < GW_FRAME_SEGS ? answer->max_segs : GW_FRAME_SEGS,
		.count = room,
	};
	if (answer->ends_in_tx)
		return room;
	keep = keepable(pair, egress);
	if (keep < room)
		lendable->count = keep;
	lendable->len_min = pair->copybreak;
	lendable->witness = pair->witness;
	if (answer->single_page_segs) {
		lendable->pieces_max = answer->max_segs;
		lendable->page_bytes = answer->page_bytes;
	}
	return lendable->count;
}

/* What a device asks for of where a frame's bytes lie. */
static inline bool lies_well(const struct lendable *lendable, const struct gw_frame *frame)
{
	if (lendable->pieces_max &&
	    desk_page_pieces(frame, lendable->page_bytes) > lendable->pieces_max)
		return false;
	return !lendable->witness ||
	       witness_vouches(lendable->witness, frame->seg, frame->seg_count);
}

/*
 * Puts the first frames behind those of the batch, up to one that is not lendable. Returns how
 * many, and their bytes.
 */
static unsigned int lend(const struct lendable *lendable, struct gw_frame *const *frames,
			 struct gw_frame **place, uint64_t *bytes)
{
	const struct gw_memmap *memmap = lendable->memmap;
	uint32_t len_min = lendable->len_min, len_max = lendable->len_max;
	unsigned int segs_max = lendable->segs_max, count = lendable->count, n;
	bool picky = lendable->pieces_max || lendable->witness;
	uint64_t sum = 0;

	for (n = 0; n < count; n++) {
		struct gw_frame *frame = frames[n];
		uint32_t len = frame->len;

		if (desk_asks_for_something(frame) || frame->memmap != memmap || len > len_max ||
		    len < len_min || frame->seg_count > segs_max)
			break;
		if (picky && !lies_well(lendable, frame))
			break;
		/* The caller's hold becomes the loan's. */
		frame->loans = 1;
		place[n] = frame;
		sum += len;
	}
	*bytes = sum;
	return n;
}

/* The loans of frames that were put behind those of the batch, and have bytes in all. */
static void enter_run(struct port_queue *egress, struct pair *pair, unsigned int count,
		      uint64_t bytes)
{
	struct port_run *run = desk_run(egress, pair, GW_REASON_NONE, true);

	egress->offer.count += count;
	run->end = egress->offer.count;
	run->bytes += bytes;
	pair->from->lent_out += count;
	desk_loans_add(pair, count);
}

unsigned int desk_lend_run(struct port_queue *egress, struct gw_frame *const *frames,
			   unsigned int count, bool may_wait, uint64_t *bytes)
{
	struct pair *pair = egress->pair_from[frames[0]->pair];
	struct lendable lendable;
	uint64_t sum;
	unsigned int n;

	if (!find_lendable(egress, pair, may_wait, &lendable))
		return 0;
	if (count < lendable.count)
		lendable.count = count;
	n = lend(&lendable, frames, egress->offer.frame + egress->offer.count, &sum);
	if (n)
		enter_run(egress, pair, n, sum);
	*bytes += sum;
	return n;
}
