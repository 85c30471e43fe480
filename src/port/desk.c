/* SPDX-License-Identifier: BSD-2-Clause */
#include "desk_inside.h"

#include "crossing.h"
#include "net_features.h"
#include "witness.h"
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

/* ---- the decision ---- */

/* First frame of this memory, or the driver said that its answer may differ now. */
static void ask(struct pair *pair, const struct gw_frame *frame, uint64_t stamp)
{
	if (pair->asking)
		return;
	pair->asking = true;
	pair->ask_memmap = frame->memmap;
	pair->ask_stamp = stamp;
	pair->egress->host->ask(pair);
}

static bool share_used_up(const struct pair *pair, struct gw_frame *frame)
{
	const struct port_queue *source = pair->from;
	uint32_t lend_max = source->queue.lend_max;

	if (pair->loans_out >= pair->loans_max)
		return true;
	/*
	 * A quarter of a source's ring stays free of loans, whatever the number of devices.
	 * Of a chain that is lent already, one loan more takes nothing.
	 */
	return lend_max && source->lent_out >= lend_max - lend_max / 4 &&
	       !desk_lender(frame)->loans;
}

/*
 * The answer is not the last word any more, but still true: the driver said that it may
 * take now what it refused (gw_port_requery_refused). A loan stays a loan; about a no,
 * and about frames of the arena, which all channels of a device may see to, it is asked.
 */
static bool stands_meanwhile(struct pair *pair, const struct gw_frame *frame, uint64_t stamp)
{
	if (!pair->answered || pair->answer_memmap != frame->memmap ||
	    pair->answer_stamp / PORT_DOUBT != stamp / PORT_DOUBT)
		return false;
	if (pair->answer.verdict == GW_NO || !frame->memmap)
		ask(pair, frame, stamp);
	else
		pair->answer_stamp = stamp;
	return true;
}

enum gw_reason desk_decide(struct pair *pair, struct gw_frame *frame)
{
	const struct port_queue *source = pair->from, *egress = pair->to;
	const struct gw_answer *answer = &pair->answer;
	uint64_t stamp = gw_load_relaxed(&egress->port->answer_stamp);

	if (__builtin_expect(!pair->answered || pair->answer_memmap != frame->memmap ||
				     pair->answer_stamp != stamp,
			     0) &&
	    !stands_meanwhile(pair, frame, stamp)) {
		ask(pair, frame, stamp);
		return GW_COPY_QUERY_PENDING;
	}
	if (answer->verdict == GW_NO)
		return answer->reason;
	if (pair->loan_never)
		return GW_COPY_LOAN_NEVER;
	if (frame->seg_count > answer->max_segs)
		return frame->cut && answer->max_segs < 2 ? GW_COPY_PRIVATE_HEADER
							  : GW_COPY_SEGMENTS;
	/* It would wait, and keep the guest's buffer as long: copies do for that while. */
	if (egress->port->paused)
		return GW_COPY_DEVICE_DOWN;
	/* A loan that ends within tx costs nothing to keep: no bounce could be cheaper. */
	if (answer->ends_in_tx)
		return GW_REASON_NONE;
	if (source->queue.in_order)
		return GW_COPY_IN_ORDER;
	if (egress->untrusted)
		return GW_COPY_QUARANTINE;
	if (frame->len < pair->copybreak)
		return GW_COPY_COPYBREAK;
	/* Longer arrays belong to the home for one visit only. */
	if (frame->seg_count > GW_FRAME_SEGS)
		return GW_COPY_SEGMENTS;
	if (answer->single_page_segs &&
	    desk_page_pieces(frame, answer->page_bytes) > answer->max_segs)
		return GW_COPY_PAGES;
	if (egress->stalled)
		return GW_COPY_DEVICE_STALLED;
	if (share_used_up(pair, frame))
		return GW_COPY_LOANS_OUT;
	/* Last: it costs the most. */
	if (pair->witness && !witness_vouches(pair->witness, frame->seg, frame->seg_count))
		return GW_COPY_MEMORY_DISCARDED;
	return GW_REASON_NONE;
}

/* ---- the books ---- */

static void loan_begin(struct pair *pair, struct gw_frame *frame)
{
	struct gw_frame *lender = desk_lender(frame);

	lender->holders++;
	if (!lender->loans++)
		pair->from->lent_out++;
	desk_loans_add(pair, 1);
}

void desk_count_drop(struct pair *pair, enum gw_reason reason, uint32_t bytes, uint32_t count)
{
	gw_counter_add(&pair->reasons[reason], count);
	gw_counter_add(&pair->reason_bytes[reason], bytes);
	if (__builtin_expect(pair->trace.on, 0))
		trace_drop(pair, reason, bytes, count);
}

void desk_drop(struct port_queue *source, enum gw_reason reason)
{
	gw_counter_add(&source->rx_drops[reason], 1);
	if (__builtin_expect(source->trace.on, 0))
		trace_port_drop(source, reason, 1);
}

/* ---- offering ---- */

void desk_lend(struct port_queue *egress, struct pair *pair, struct gw_frame *frame)
{
	loan_begin(pair, frame);
	desk_add(egress, pair, frame, GW_REASON_NONE);
}

/* It will go on by itself, soon: control is at work on it, or its driver has said so. */
static bool is_pausing(const struct port_queue *egress)
{
	return egress->port->paused ||
	       (egress->offer.count && egress->queue.refusal == GW_DROP_EGRESS_PAUSED);
}

enum desk_verdict desk_no_room(struct port_queue *egress, struct pair *pair,
			       const struct gw_frame *frame, bool may_wait, enum gw_reason reason)
{
	egress->refused = true;
	if (may_wait && !egress->stalled)
		return DESK_WAIT;
	if (reason == GW_DROP_EGRESS_FULL && is_pausing(egress))
		reason = GW_DROP_EGRESS_PAUSED;
	desk_drop_rest(pair, frame, reason);
	return DESK_TAKEN;
}

enum desk_verdict desk_copy(struct port_queue *egress, struct pair *pair, struct gw_frame *frame,
			    enum gw_reason reason, bool may_wait)
{
	struct gw_frame *copy = bounce_get(pair, frame->len);

	/* What the whole share could not hold would wait, and all behind it, for nothing. */
	if (!copy && !bounce_fits(pair, frame->len)) {
		desk_count_drop(pair, GW_DROP_TOO_LONG, frame->len, 1);
		return DESK_TAKEN;
	}
	if (!copy)
		return desk_no_room(egress, pair, frame, may_wait, GW_DROP_EGRESS_FULL);
	bounce_copy(copy, frame);
	if (copy->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		desk_complete_copy(pair, copy);
	desk_add(egress, pair, copy, reason);
	return DESK_TAKEN;
}

/*
 * The home keeps the segments of a long frame for one visit only: the device takes
 * it now, or it goes back to where it came from.
 */
static enum desk_verdict offer_now(struct port_queue *egress, struct pair *pair,
				   struct gw_frame *frame, bool may_wait)
{
	desk_flush(egress);
	if (!egress->offer.count)
		return DESK_TAKEN;
	desk_take_out_last(egress);
	desk_loan_refused(pair, frame);
	return desk_no_room(egress, pair, frame, may_wait, egress->queue.refusal);
}

/* What the frames of the wire will be long at least, each but the last, going by the header. */
static uint32_t wire_len_least(const struct virtio_net_hdr_v1 *header)
{
	bool udp = header->gso_type == VIRTIO_NET_HDR_GSO_UDP_L4;
	size_t header_len =
		header->csum_start + (udp ? sizeof(struct udphdr) : sizeof(struct tcphdr));

	return (uint32_t)header_len + header->gso_size;
}

/*
 * What the header asks for is done by the device, and a copy could hold it, too. What
 * would be too long on the wire is not the device's to find out.
 */
static bool device_does_it(const struct port_queue *egress, const struct pair *pair,
			   const struct gw_frame *frame)
{
	const struct gw_offloads *offloads = &egress->port->offloads;

	if (offloads->header_private || super_frame_missing(&frame->header, offloads->takes))
		return false;
	return !frame->header.gso_type ||
	       (frame->len <= offloads->len_max && bounce_fits(pair, frame->len) &&
		wire_len_least(&frame->header) <= gw_load_relaxed(&egress->port->max_len));
}

/* A frame, whole, as it is. */
static enum desk_verdict offer_whole(struct port_queue *egress, struct pair *pair,
				     struct gw_frame *frame, bool may_wait)
{
	enum gw_reason reason;

	if (!desk_room(egress))
		return desk_no_room(egress, pair, frame, may_wait, GW_DROP_EGRESS_FULL);
	reason = desk_decide(pair, frame);
	if (reason != GW_REASON_NONE)
		return desk_copy(egress, pair, frame, reason, may_wait);
	desk_lend(egress, pair, frame);
	if (__builtin_expect(frame->seg_count > GW_FRAME_SEGS, 0))
		return offer_now(egress, pair, frame, may_wait);
	return DESK_TAKEN;
}

/* All else is decided where its device is. */
static enum desk_verdict hand_over(struct port_queue *egress, struct pair *pair,
				   struct gw_frame *frame, bool may_wait)
{
	if (crossing_hand(egress, pair, frame))
		return DESK_TAKEN;
	return desk_no_room(egress, pair, frame, may_wait, GW_DROP_EGRESS_FULL);
}

enum desk_verdict desk_offer(struct port_queue *egress, struct gw_frame *frame, bool may_wait)
{
	struct pair *pair = egress->pair_from[frame->pair];

	if (__builtin_expect(egress->queue.deliver_to != egress->queue.index, 0))
		return hand_over(egress, pair, frame, may_wait);
	if (__builtin_expect(!port_usable(egress->port), 0)) {
		if (!egress->port->up) {
			desk_drop_rest(pair, frame, GW_DROP_EGRESS_DOWN);
			return DESK_TAKEN;
		}
		/*
		 * Of a source with other ways copies wait in the batch, but not in memory
		 * of the driver's own.
		 */
		if (may_wait || egress->driver->bounce)
			return desk_no_room(egress, pair, frame, may_wait, GW_DROP_EGRESS_PAUSED);
	}
	/* Not asked again until it gives something back: a copy for nothing costs others as much
	   as one that goes out. */
	if (__builtin_expect(egress->full, 0) && !may_wait)
		return desk_no_room(egress, pair, frame, false, GW_DROP_EGRESS_FULL);
	if (desk_asks_for_something(frame) &&
	    (frame->cut == CUT_BEGUN || !device_does_it(egress, pair, frame)))
		return desk_offer_partial(egress, pair, frame, may_wait);
	/* Of a super-frame that the device cuts it has told the longest, above. */
	if (!frame->header.gso_type && frame->len > gw_load_relaxed(&egress->port->max_len)) {
		desk_count_drop(pair, GW_DROP_TOO_LONG, frame->len, 1);
		return DESK_TAKEN;
	}
	return offer_whole(egress, pair, frame, may_wait);
}

void desk_reset(struct port_queue *queue)
{
	queue->stalled = queue->untrusted = queue->progress = false;
	queue->refused = queue->full = false;
	queue->owing_since_ns = 0;
	queue->lent_out = queue->held = queue->held_loans = 0;
	queue->offer.count = queue->offer.runs = queue->home_count = queue->home_undone = 0;
	queue->undelivered = false;
	queue->trace = (struct trace_tap){ 0 };
	queue->waiting_count = queue->waiting_next = 0;
	gw_store_relaxed(&queue->quarantined, (uint64_t)0);
	/* Numbers that name nothing any more, or soon something else. */
	for (unsigned int i = 0; i < GW_QUEUE_FDS; i++)
		queue->queue.fd[i].fd = -1;
	queue->queue.lend_max = 0;
	queue->queue.in_order = queue->queue.dormant = false;
}
