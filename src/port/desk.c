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

/* Segments after cutting at every page boundary. */
static unsigned int page_pieces(const struct gw_frame *frame, uint32_t page_bytes)
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

/* A piece lends what is its parent's. */
static struct gw_frame *lender_of(struct gw_frame *frame)
{
	return frame->cut == CUT_PIECE ? piece_of(frame)->parent : frame;
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
	return lend_max && source->lent_out >= lend_max - lend_max / 4 && !lender_of(frame)->loans;
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
	if (answer->single_page_segs && page_pieces(frame, answer->page_bytes) > answer->max_segs)
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
	struct gw_frame *lender = lender_of(frame);

	lender->holders++;
	if (!lender->loans++)
		pair->from->lent_out++;
	pair->loans_out++;
	gw_store_relaxed(&pair->loans_now, pair->loans_out);
	if (pair->loans_out > pair->loans_peak)
		gw_store_relaxed(&pair->loans_peak, pair->loans_out);
}

static void loan_end(struct pair *pair, struct gw_frame *frame)
{
	struct gw_frame *lender = lender_of(frame);

	if (frame != lender)
		piece_put(&pair->pieces, piece_of(frame));
	if (!--lender->loans)
		pair->from->lent_out--;
	pair->loans_out--;
	gw_store_relaxed(&pair->loans_now, pair->loans_out);
	if (!pair->loans_out && pair->watch_zero)
		pair->egress->host->drained(pair);
	desk_put(lender);
}

/* The device is done with a frame that tx had accepted. */
static void finish(struct pair *pair, struct gw_frame *frame)
{
	if (frame->bounce) {
		bounce_done(pair, frame);
		return;
	}
	if (__builtin_expect(pair->trace.on, 0))
		trace_home(pair, frame);
	loan_end(pair, frame);
}

static void count_accepted(struct port_queue *egress, struct pair *pair, struct gw_frame *frame,
			   enum gw_reason reason)
{
	uint32_t len = frame->len;

	if (frame->dropped) {
		frame->dropped = 0;
		return;
	}
	if (__builtin_expect(pair->trace.on, 0))
		trace_accepted(pair, frame, reason);
	gw_counter_add(&egress->tx_frames, 1);
	gw_counter_add(&egress->tx_bytes, len);
	if (reason == GW_REASON_NONE) {
		uint32_t header_len = frame->cut ? (uint32_t)frame->seg[0].iov_len : 0;

		gw_counter_add(&pair->lent_frames, 1);
		gw_counter_add(&pair->lent_bytes, len - header_len);
		gw_counter_add(&pair->header_bytes_copied, header_len);
	} else {
		gw_counter_add(&pair->copied_frames, 1);
		gw_counter_add(&pair->copied_bytes, len);
		gw_counter_add(&pair->reasons[reason], 1);
		gw_counter_add(&pair->reason_bytes[reason], len);
	}
	if (gw_load_relaxed(&egress->port->reads) == GW_READS_KERNEL_COPY) {
		gw_counter_add(&pair->kernel_copied_frames, 1);
		gw_counter_add(&pair->kernel_copied_bytes, len);
	}
}

void desk_count_drop(struct pair *pair, enum gw_reason reason, uint32_t bytes, uint32_t count)
{
	gw_counter_add(&pair->reasons[reason], count);
	gw_counter_add(&pair->reason_bytes[reason], bytes);
	if (__builtin_expect(pair->trace.on, 0))
		trace_drop(pair, reason, bytes, count);
}

static void drop_offered(struct port_offer *offer, unsigned int i, enum gw_reason reason)
{
	struct pair *pair = offer->pair[i];
	struct gw_frame *frame = offer->frame[i];

	desk_count_drop(pair, reason, frame->len, 1);
	if (frame->bounce)
		bounce_undo(pair, frame);
	else
		loan_end(pair, frame);
}

/* From the last to the first: a driver's own bounce slots go back in that order. */
static void drop_offers_from(struct port_offer *offer, unsigned int first, enum gw_reason reason)
{
	for (unsigned int i = offer->count; i > first; i--)
		drop_offered(offer, i - 1, reason);
	offer->count = first;
}

void desk_drop(struct port_queue *source, enum gw_reason reason)
{
	gw_counter_add(&source->rx_drops[reason], 1);
	if (__builtin_expect(source->trace.on, 0))
		trace_port_drop(source, reason, 1);
}

/* ---- offering ---- */

bool desk_room(struct port_queue *egress)
{
	return egress->offer.count < GW_BATCH || desk_flush(egress);
}

void desk_add(struct port_queue *egress, struct pair *pair, struct gw_frame *frame,
	      enum gw_reason reason)
{
	struct port_offer *offer = &egress->offer;
	unsigned int i = offer->count++;

	offer->frame[i] = frame;
	offer->pair[i] = pair;
	offer->reason[i] = reason;
}

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
	struct port_offer *offer = &egress->offer;

	desk_flush(egress);
	if (!offer->count)
		return DESK_TAKEN;
	offer->count--;
	loan_end(pair, frame);
	return desk_no_room(egress, pair, frame, may_wait, egress->queue.refusal);
}

static inline bool asks_for_something(const struct gw_frame *frame)
{
	return frame->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM || frame->header.gso_type;
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
	if (asks_for_something(frame) &&
	    (frame->cut == CUT_BEGUN || !device_does_it(egress, pair, frame)))
		return desk_offer_partial(egress, pair, frame, may_wait);
	/* Of a super-frame that the device cuts it has told the longest, above. */
	if (!frame->header.gso_type && frame->len > gw_load_relaxed(&egress->port->max_len)) {
		desk_count_drop(pair, GW_DROP_TOO_LONG, frame->len, 1);
		return DESK_TAKEN;
	}
	return offer_whole(egress, pair, frame, may_wait);
}

static void offers_accepted(struct port_queue *egress, unsigned int accepted)
{
	struct port_offer *offer = &egress->offer;
	bool over = !egress->driver->reap;

	for (unsigned int i = 0; i < accepted; i++) {
		count_accepted(egress, offer->pair[i], offer->frame[i], offer->reason[i]);
		if (over) {
			finish(offer->pair[i], offer->frame[i]);
			continue;
		}
		egress->held++;
		egress->held_loans += !offer->frame[i]->bounce;
	}
	egress->progress |= over && accepted;
}

static void offers_shift(struct port_offer *offer, unsigned int by)
{
	unsigned int left = offer->count - by;

	memmove(offer->frame, offer->frame + by, left * sizeof(offer->frame[0]));
	memmove(offer->pair, offer->pair + by, left * sizeof(offer->pair[0]));
	memmove(offer->reason, offer->reason + by, left * sizeof(offer->reason[0]));
	offer->count = left;
}

/*
 * Only a source with one possible egress waits: with two ports, this one is it. In a
 * larger network a batch waits for a pause to be over, and what comes on top is dropped.
 */
static bool batch_waits(const struct port_queue *egress)
{
	enum gw_reason refusal = egress->queue.refusal;

	if (egress->stalled || refusal == GW_DROP_EGRESS_DOWN)
		return false;
	return egress->port->network_ports <= 2 || refusal == GW_DROP_EGRESS_PAUSED;
}

unsigned int desk_flush(struct port_queue *egress)
{
	struct port_offer *offer = &egress->offer;
	unsigned int offered = offer->count, accepted = 0;

	if (!offered)
		return 0;
	if (!egress->port->up) {
		drop_offers_from(offer, 0, GW_DROP_EGRESS_DOWN);
		return offered;
	}
	egress->queue.refusal = egress->port->paused ? GW_DROP_EGRESS_PAUSED : GW_DROP_EGRESS_FULL;
	if (!egress->port->paused) {
		accepted = egress->driver->tx(&egress->queue, offer->frame, offered);
		offers_accepted(egress, accepted);
	}
	if (accepted == offered) {
		offer->count = 0;
		return offered;
	}
	egress->refused = true;
	if (!batch_waits(egress)) {
		drop_offers_from(offer, accepted, egress->queue.refusal);
		accepted = offered;
		offer->count = 0;
	} else {
		offers_shift(offer, accepted);
	}
	return accepted;
}

/* ---- the way back ---- */

void desk_put(struct gw_frame *frame)
{
	struct port_queue *home;

	if (--frame->holders)
		return;
	home = port_queue_of(frame->home);
	if (home->home_count == GW_BATCH)
		desk_release(home);
	home->home[home->home_count++] = frame;
}

void desk_release(struct port_queue *source)
{
	unsigned int count = source->home_count;

	if (!count)
		return;
	source->home_count = 0;
	source->driver->release(&source->queue, source->home, count);
}

/*
 * Frames come back that nobody expected any more; after the last loan the port may
 * lend again. Copies come and go meanwhile, and are no reason for mistrust.
 */
static void quarantine_shrinks(struct port_queue *egress, uint32_t loans)
{
	uint64_t left = gw_counter_read(&egress->quarantined);

	left -= loans < left ? loans : left;
	if (left > egress->held)
		left = egress->held;
	gw_store_relaxed(&egress->quarantined, egress->held_loans ? left : 0);
	if (egress->held_loans || !egress->untrusted)
		return;
	egress->untrusted = false;
	gw_port_requery(egress->port);
}

unsigned int desk_reap(struct port_queue *egress)
{
	struct gw_done done[GW_BATCH];
	unsigned int before = egress->held, count, loans = 0;

	if (!before)
		return 0;
	count = egress->driver->reap(&egress->queue, done, GW_BATCH);
	for (unsigned int i = 0; i < count; i++) {
		struct gw_frame *frame = done[i].frame;
		struct pair *pair = egress->pair_from[frame->pair];

		if (done[i].status == GW_DONE_FAILED) {
			desk_count_drop(pair, GW_DROP_DEVICE_ERROR, frame->len, 1);
		} else if (done[i].status == GW_DONE_KERNEL_COPIED) {
			gw_counter_add(&pair->kernel_copied_frames, 1);
			gw_counter_add(&pair->kernel_copied_bytes, frame->len);
		}
		loans += !frame->bounce;
		finish(pair, frame);
	}
	egress->held -= count;
	egress->held_loans -= loans;
	egress->progress |= count > 0;
	if (count && gw_counter_read(&egress->quarantined))
		quarantine_shrinks(egress, loans);
	/* A crossing has taken its own by itself. */
	return before - egress->held;
}

void desk_check_stall(struct port_queue *egress, uint64_t now_ns)
{
	/* Paused is no stall: a control function is at work on it, and will end. */
	bool owes = (egress->held || egress->refused) && !egress->port->paused;

	if (egress->progress || !owes) {
		egress->owing_since_ns = 0;
		egress->stalled = false;
	} else if (!egress->owing_since_ns) {
		egress->owing_since_ns = now_ns;
	} else if (now_ns - egress->owing_since_ns > DESK_STALL_NS) {
		egress->stalled = true;
	}
	egress->progress = false;
	/* What was refused still waits in the offer or at its source: see worker_visit. */
	egress->refused = egress->offer.count > 0;
}

void desk_abandon(struct port_queue *queue, enum gw_reason reason)
{
	drop_offers_from(&queue->offer, 0, reason);
	for (; queue->waiting_next < queue->waiting_count; queue->waiting_next++) {
		desk_drop(queue, reason);
		desk_put(queue->waiting[queue->waiting_next]);
	}
	queue->waiting_next = queue->waiting_count = 0;
}

/* Copies in an offer hold no memory of their source: they stay, in their order. */
static void take_back_offers(struct port_queue *egress, const struct port_queue *source)
{
	struct port_offer *offer = &egress->offer;
	unsigned int kept = 0;

	for (unsigned int i = 0; i < offer->count; i++) {
		if (offer->pair[i]->from == source && !offer->frame[i]->bounce) {
			drop_offered(offer, i, GW_DROP_EGRESS_FULL);
			continue;
		}
		offer->frame[kept] = offer->frame[i];
		offer->pair[kept] = offer->pair[i];
		offer->reason[kept++] = offer->reason[i];
	}
	offer->count = kept;
}

void desk_drop_waiting(struct port_queue *egress, struct gw_frame *frame)
{
	desk_drop_rest(egress->pair_from[frame->pair], frame, GW_DROP_EGRESS_FULL);
	desk_put(frame);
}

void desk_take_back(struct port_queue *source, struct port_queue *egress)
{
	take_back_offers(egress, source);
	for (; source->waiting_next < source->waiting_count; source->waiting_next++) {
		struct gw_frame *frame = source->waiting[source->waiting_next];

		desk_came_in(source, 1, frame->len);
		desk_drop_waiting(egress, frame);
	}
	source->waiting_next = source->waiting_count = 0;
}

void desk_reset(struct port_queue *queue)
{
	queue->stalled = queue->untrusted = queue->progress = queue->refused = false;
	queue->owing_since_ns = 0;
	queue->lent_out = queue->held = queue->held_loans = 0;
	queue->offer.count = queue->home_count = 0;
	queue->trace = (struct trace_tap){ 0 };
	queue->waiting_count = queue->waiting_next = 0;
	gw_store_relaxed(&queue->quarantined, (uint64_t)0);
	/* Numbers that name nothing any more, or soon something else. */
	for (unsigned int i = 0; i < GW_QUEUE_FDS; i++)
		queue->queue.fd[i].fd = -1;
	queue->queue.lend_max = 0;
	queue->queue.in_order = false;
}
