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

/* What tx delivered of a run. */
struct delivered {
	uint64_t frames, bytes, header_bytes;
};

static struct delivered look_at_each(const struct port_run *run, struct gw_frame *const *frames,
				     unsigned int count)
{
	struct delivered sum = { 0 };

	for (unsigned int i = 0; i < count; i++) {
		struct gw_frame *frame = frames[i];

		if (__builtin_expect(frame->dropped, 0)) {
			frame->dropped = 0;
			continue;
		}
		if (__builtin_expect(run->pair->trace.on, 0))
			trace_accepted(run->pair, frame, run->reason);
		sum.frames++;
		sum.bytes += frame->len;
		if (frame->cut)
			sum.header_bytes += frame->seg[0].iov_len;
	}
	return sum;
}

/* As a rule the run knows it all. */
static struct delivered what_was_delivered(const struct port_queue *egress,
					   const struct port_run *run,
					   struct gw_frame *const *frames, unsigned int count,
					   bool whole)
{
	if (whole && run->plain && !egress->undelivered && !run->pair->trace.on)
		return (struct delivered){ .frames = count, .bytes = run->bytes };
	return look_at_each(run, frames, count);
}

static void count_delivered(struct port_queue *egress, const struct port_run *run,
			    const struct delivered *sum)
{
	struct pair *pair = run->pair;

	gw_counter_add(&egress->tx_frames, sum->frames);
	gw_counter_add(&egress->tx_bytes, sum->bytes);
	if (run->reason == GW_REASON_NONE) {
		gw_counter_add(&pair->lent_frames, sum->frames);
		gw_counter_add(&pair->lent_bytes, sum->bytes - sum->header_bytes);
		gw_counter_add(&pair->header_bytes_copied, sum->header_bytes);
	} else {
		gw_counter_add(&pair->copied_frames, sum->frames);
		gw_counter_add(&pair->copied_bytes, sum->bytes);
		gw_counter_add(&pair->reasons[run->reason], sum->frames);
		gw_counter_add(&pair->reason_bytes[run->reason], sum->bytes);
	}
	if (gw_load_relaxed(&egress->port->reads) == GW_READS_KERNEL_COPY) {
		gw_counter_add(&pair->kernel_copied_frames, sum->frames);
		gw_counter_add(&pair->kernel_copied_bytes, sum->bytes);
	}
}

/*
 * How long they took from being found. Mostly all were found at once; what waited for room
 * may be older than what came behind it.
 */
static void count_forward(const struct pair *pair, struct gw_frame *const *frames,
			  unsigned int count, uint64_t now_ns)
{
	struct histogram *forward = &pair->from->forward;

	if (frames[0]->found_ns == frames[count - 1]->found_ns) {
		histogram_add(forward, now_ns - frames[0]->found_ns, count);
		return;
	}
	for (unsigned int i = 0; i < count; i++)
		histogram_add(forward, now_ns - frames[i]->found_ns, 1);
}

static void finish(const struct port_run *run, struct gw_frame *const *frames, unsigned int count)
{
	if (run->plain && !run->pair->trace.on) {
		desk_run_end(run, frames, count);
		return;
	}
	for (unsigned int i = 0; i < count; i++)
		desk_finish(run->pair, frames[i]);
}

static void count_accepted(struct port_queue *egress, unsigned int accepted)
{
	const struct port_offer *offer = &egress->offer;
	const struct port_run *run = offer->run;
	unsigned int end;

	for (unsigned int i = 0; i < accepted; i = end, run++) {
		struct gw_frame *const *frames = offer->frame + i;
		struct delivered sum;

		end = run->end < accepted ? run->end : accepted;
		sum = what_was_delivered(egress, run, frames, end - i, end == run->end);
		count_forward(run->pair, frames, end - i, egress->clock->now_ns);
		count_delivered(egress, run, &sum);
	}
	egress->undelivered = false;
}

/* The device was done with them when tx returned. */
static void finish_accepted(struct port_queue *egress, unsigned int accepted)
{
	const struct port_offer *offer = &egress->offer;
	const struct port_run *run = offer->run;
	unsigned int end;

	for (unsigned int i = 0; i < accepted; i = end, run++) {
		end = run->end < accepted ? run->end : accepted;
		finish(run, offer->frame + i, end - i);
	}
	egress->progress = true;
}

/* Until reap reports them. */
static void hold_accepted(struct port_queue *egress, unsigned int accepted)
{
	const struct port_offer *offer = &egress->offer;
	const struct port_run *run = offer->run;
	unsigned int end;

	for (unsigned int i = 0; i < accepted; i = end, run++) {
		end = run->end < accepted ? run->end : accepted;
		if (run->reason == GW_REASON_NONE)
			egress->held_loans += end - i;
	}
	egress->held += accepted;
}

static void offers_accepted(struct port_queue *egress, unsigned int accepted)
{
	bool over = !egress->driver->reap;

	if (!accepted)
		return;
	port_tick(egress);
	if (over)
		port_done(egress);
	count_accepted(egress, accepted);
	if (over)
		finish_accepted(egress, accepted);
	else
		hold_accepted(egress, accepted);
}

/* ---- what tx did not take ---- */

static void drop_offered(const struct port_run *run, struct gw_frame *frame, enum gw_reason reason)
{
	desk_count_drop(run->pair, reason, frame->len, 1);
	if (frame->bounce)
		bounce_undo(run->pair, frame);
	else
		desk_loan_refused(run->pair, frame);
}

static unsigned int run_first(const struct port_offer *offer, unsigned int r)
{
	return r ? offer->run[r - 1].end : 0;
}

static void offers_clear(struct port_offer *offer)
{
	offer->count = offer->runs = 0;
}

/*
 * The first are gone; drops all others. From the last to the first: a driver's own bounce
 * slots go back in that order.
 */
static void drop_offers_from(struct port_offer *offer, unsigned int first, enum gw_reason reason)
{
	for (unsigned int r = offer->runs; r > 0; r--) {
		const struct port_run *run = &offer->run[r - 1];
		unsigned int begin = run_first(offer, r - 1);

		for (unsigned int i = run->end; i > begin && i > first; i--)
			drop_offered(run, offer->frame[i - 1], reason);
	}
	offers_clear(offer);
}

/* Some of its frames are gone. */
static void sum_bytes(const struct port_offer *offer, struct port_run *run, unsigned int first)
{
	run->bytes = 0;
	for (unsigned int i = first; run->plain && i < run->end; i++)
		run->bytes += offer->frame[i]->len;
}

/* The first `by` frames are gone, but not all. */
static void offers_shift(struct port_offer *offer, unsigned int by)
{
	unsigned int gone = 0;

	if (!by)
		return;
	while (offer->run[gone].end <= by)
		gone++;
	offer->count -= by;
	offer->runs -= gone;
	memmove(offer->frame, offer->frame + by, offer->count * sizeof(offer->frame[0]));
	memmove(offer->run, offer->run + gone, offer->runs * sizeof(offer->run[0]));
	for (unsigned int r = 0; r < offer->runs; r++)
		offer->run[r].end -= by;
	sum_bytes(offer, &offer->run[0], 0);
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
		offers_clear(offer);
		return offered;
	}
	egress->refused = true;
	egress->full = egress->held && egress->queue.refusal == GW_DROP_EGRESS_FULL;
	if (!batch_waits(egress)) {
		drop_offers_from(offer, accepted, egress->queue.refusal);
		accepted = offered;
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

/* Moves the frames of a run that stay to where frame number `kept` is; returns their number. */
static unsigned int keep_of_run(struct port_offer *offer, struct port_run *run, unsigned int first,
				unsigned int kept, const struct port_queue *source)
{
	unsigned int count = 0;

	for (unsigned int i = first; i < run->end; i++) {
		struct gw_frame *frame = offer->frame[i];

		if (run->pair->from == source && !frame->bounce)
			drop_offered(run, frame, GW_DROP_EGRESS_FULL);
		else
			offer->frame[kept + count++] = frame;
	}
	return count;
}

/* Copies in an offer hold no memory of their source: they stay, in their order. */
static void take_back_offers(struct port_queue *egress, const struct port_queue *source)
{
	struct port_offer *offer = &egress->offer;
	unsigned int first = 0, kept = 0, runs = 0;

	for (unsigned int r = 0; r < offer->runs; r++) {
		struct port_run run = offer->run[r];
		unsigned int count = keep_of_run(offer, &run, first, kept, source);

		first = run.end;
		run.end = kept + count;
		if (!count)
			continue;
		sum_bytes(offer, &run, kept);
		kept = run.end;
		offer->run[runs++] = run;
	}
	offer->count = kept;
	offer->runs = runs;
}

void desk_take_out_last(struct port_queue *egress)
{
	struct port_offer *offer = &egress->offer;
	struct port_run *run = &offer->run[offer->runs - 1];

	offer->count--;
	if (run_first(offer, offer->runs - 1) == --run->end)
		offer->runs--;
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
