/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way home: the end of a loan in the books, frames that their last holder gave
 * back, and devices that owe some, for too long perhaps.
 */
#include "desk_inside.h"

#include <string.h>

void desk_go_home(struct gw_frame *frame)
{
	desk_come_home(frame);
	port_queue_of(frame->home)->home_undone++;
}

void desk_put_done(struct gw_frame *frame)
{
	if (!--frame->holders)
		desk_come_home(frame);
}

/* There is room. */
static void come_home_together(struct port_queue *home, struct gw_frame *const *frames,
			       unsigned int count)
{
	memcpy(home->home + home->home_count, frames, count * sizeof(*frames));
	home->home_count += count;
}

void desk_loan_refused(struct pair *pair, struct gw_frame *frame)
{
	struct gw_frame *lender = desk_lender(frame);
	bool last = lender->holders == 1;

	desk_loan_end(pair, frame);
	pair->from->home_undone += last;
}

void desk_run_end(const struct port_run *run, struct gw_frame *const *frames, unsigned int count)
{
	struct pair *pair = run->pair;
	struct port_queue *home = pair->from;
	unsigned int room = GW_BATCH - home->home_count;

	home->lent_out -= count;
	pair->loans_out -= count;
	gw_store_relaxed(&pair->loans_now, pair->loans_out);
	if (!pair->loans_out && pair->watch_zero)
		pair->egress->host->drained(pair);
	if (count > room) {
		come_home_together(home, frames, room);
		desk_release(home);
		frames += room;
		count -= room;
	}
	come_home_together(home, frames, count);
}

/* All of them were over in this visit, or before it, when a port was stopped. */
static void count_back(struct port_queue *source, unsigned int count)
{
	uint64_t done_ns = source->clock->done_ns, now_ns = port_tick(source);

	histogram_add(&source->back, done_ns ? now_ns - done_ns : 0, count);
}

void desk_release(struct port_queue *source)
{
	unsigned int count = source->home_count, undone = source->home_undone;

	if (!count)
		return;
	source->home_count = source->home_undone = 0;
	source->driver->release(&source->queue, source->home, count);
	if (count > undone)
		count_back(source, count - undone);
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

/* One batch; returns how many. */
static unsigned int reap_batch(struct port_queue *egress)
{
	struct gw_done done[GW_BATCH];
	unsigned int count, loans = 0;

	count = egress->driver->reap(&egress->queue, done, GW_BATCH);
	if (count)
		port_done(egress);
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
		desk_finish(pair, frame);
	}
	egress->held -= count;
	egress->held_loans -= loans;
	if (count && gw_counter_read(&egress->quarantined))
		quarantine_shrinks(egress, loans);
	return count;
}

/*
 * In a visit each other port may hand over a batch, and each other lane, so as many may be
 * over at once: who took back less would let what is over pile up, and with it bounce
 * buffers and loans that the sources lack then.
 */
unsigned int desk_reap(struct port_queue *egress)
{
	unsigned int batches = egress->port->network_ports + egress->port->lanes;
	unsigned int before = egress->held;

	while (egress->held && reap_batch(egress) == GW_BATCH && --batches)
		;
	/* A crossing has taken its own by itself. */
	if (egress->held == before)
		return 0;
	egress->progress = true;
	egress->full = false;
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
	/* What was refused waits in the batch still, or is offered again before the next look. */
	egress->refused = egress->offer.count > 0;
}
