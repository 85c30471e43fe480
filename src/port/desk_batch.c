/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The batch of an egress: frames that the desk has decided about, lent or copied, in
 * the order in which they go into tx.
 *
 * As a rule it is filled and emptied in one visit. What the driver does not take waits
 * for the next one where that holds up nobody else: where its source has no other egress,
 * or where the port only pauses. The rest is dropped and counted, as is all that a device
 * leaves that is stalled.
 *
 * A frame counts as lent or copied when tx has taken it, not before; but a loan holds
 * memory of its source from when it is in the batch, so it can be taken back. What found
 * no room in the batch waits at its source, undecided (queue->waiting), and is given up
 * here, too.
 */
#include "desk_inside.h"

#include <string.h>

/* ---- into tx ---- */

/* Neighbours in a batch, of one pair and decided alike: the books are written once for them. */
struct run {
	unsigned int first, end;
	uint64_t frames, bytes, header_bytes;
};

static struct run find_run(const struct port_offer *offer, unsigned int first, unsigned int count)
{
	unsigned int end = first + 1;

	while (end < count && offer->pair[end] == offer->pair[first] &&
	       offer->reason[end] == offer->reason[first])
		end++;
	return (struct run){ .first = first, .end = end };
}

static void count_frames(const struct port_offer *offer, struct run *run)
{
	struct pair *pair = offer->pair[run->first];

	for (unsigned int i = run->first; i < run->end; i++) {
		struct gw_frame *frame = offer->frame[i];

		if (__builtin_expect(frame->dropped, 0)) {
			frame->dropped = 0;
			continue;
		}
		if (__builtin_expect(pair->trace.on, 0))
			trace_accepted(pair, frame, offer->reason[i]);
		run->frames++;
		run->bytes += frame->len;
		if (frame->cut)
			run->header_bytes += frame->seg[0].iov_len;
	}
}

static void count_run(struct port_queue *egress, const struct port_offer *offer, struct run *run)
{
	struct pair *pair = offer->pair[run->first];
	enum gw_reason reason = offer->reason[run->first];

	count_frames(offer, run);
	gw_counter_add(&egress->tx_frames, run->frames);
	gw_counter_add(&egress->tx_bytes, run->bytes);
	if (reason == GW_REASON_NONE) {
		gw_counter_add(&pair->lent_frames, run->frames);
		gw_counter_add(&pair->lent_bytes, run->bytes - run->header_bytes);
		gw_counter_add(&pair->header_bytes_copied, run->header_bytes);
	} else {
		gw_counter_add(&pair->copied_frames, run->frames);
		gw_counter_add(&pair->copied_bytes, run->bytes);
		gw_counter_add(&pair->reasons[reason], run->frames);
		gw_counter_add(&pair->reason_bytes[reason], run->bytes);
	}
	if (gw_load_relaxed(&egress->port->reads) == GW_READS_KERNEL_COPY) {
		gw_counter_add(&pair->kernel_copied_frames, run->frames);
		gw_counter_add(&pair->kernel_copied_bytes, run->bytes);
	}
}

static void count_accepted(struct port_queue *egress, unsigned int accepted)
{
	const struct port_offer *offer = &egress->offer;
	struct run run;

	for (unsigned int i = 0; i < accepted; i = run.end) {
		run = find_run(offer, i, accepted);
		count_run(egress, offer, &run);
	}
}

/*
 * How long they took from being found. Mostly all are of one source and were found at
 * once; what waited for room may be older than what came behind it.
 */
static void count_forward(const struct port_offer *offer, unsigned int accepted, uint64_t now_ns)
{
	unsigned int last = accepted - 1;

	if (offer->frame[0]->found_ns == offer->frame[last]->found_ns &&
	    offer->pair[0] == offer->pair[last]) {
		histogram_add(&offer->pair[0]->from->forward, now_ns - offer->frame[0]->found_ns,
			      accepted);
		return;
	}
	for (unsigned int i = 0; i < accepted; i++)
		histogram_add(&offer->pair[i]->from->forward, now_ns - offer->frame[i]->found_ns,
			      1);
}

static void offers_accepted(struct port_queue *egress, unsigned int accepted)
{
	struct port_offer *offer = &egress->offer;
	bool over = !egress->driver->reap;

	if (!accepted)
		return;
	count_forward(offer, accepted, port_tick(egress));
	if (over)
		port_done(egress);
	count_accepted(egress, accepted);
	for (unsigned int i = 0; i < accepted; i++) {
		if (over) {
			desk_finish(offer->pair[i], offer->frame[i]);
			continue;
		}
		egress->held++;
		egress->held_loans += !offer->frame[i]->bounce;
	}
	egress->progress |= over;
}

static void drop_offered(struct port_offer *offer, unsigned int i, enum gw_reason reason)
{
	struct pair *pair = offer->pair[i];
	struct gw_frame *frame = offer->frame[i];

	desk_count_drop(pair, reason, frame->len, 1);
	if (frame->bounce)
		bounce_undo(pair, frame);
	else
		desk_loan_refused(pair, frame);
}

/* From the last to the first: a driver's own bounce slots go back in that order. */
static void drop_offers_from(struct port_offer *offer, unsigned int first, enum gw_reason reason)
{
	for (unsigned int i = offer->count; i > first; i--)
		drop_offered(offer, i - 1, reason);
	offer->count = first;
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
	egress->full = egress->held && egress->queue.refusal == GW_DROP_EGRESS_FULL;
	if (!batch_waits(egress)) {
		drop_offers_from(offer, accepted, egress->queue.refusal);
		accepted = offered;
		offer->count = 0;
	} else {
		offers_shift(offer, accepted);
	}
	return accepted;
}

/* ---- given up ---- */

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
