/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest behind an IOMMU: its rings get other tables of I/O addresses, and control
 * asks the front-end for what is not in them.
 *
 * A guest that is strict maps each buffer by itself, so that each receive buffer is a
 * miss, and while one is asked for all frames wait, or are dropped. So they are asked
 * for in good time: a worker that has used half of what was asked for signals control
 * (receiver_look), which looks ahead in that ring, on the worker since rings are its
 * own, and writes all questions at once. What a frame costs is a compare.
 *
 * A ring's `asking` is set by the worker when it signals, and says later that it waits
 * still for what was asked.
 */
#include "guest.h"

#define MISSES_MAX (2 * GUEST_PAIRS_MAX + RING_AHEAD_MAX)

struct misses {
	struct guest *guest;
	struct iotlb_miss miss[MISSES_MAX];
	unsigned int count;
	unsigned int kept; /* places for the rings to come: one for each */
};

/* Whether it waits still. */
static bool note_waiting(struct ring *ring, struct misses *misses)
{
	bool waits = ring_missing(ring, &misses->miss[misses->count]);

	misses->count += waits;
	return waits;
}

static bool look_ahead(struct ring *ring, struct misses *misses)
{
	struct iotlb_miss miss;
	unsigned int room = MISSES_MAX - misses->kept - misses->count;

	misses->count += ring_look_ahead(ring, &misses->miss[misses->count],
					 room < RING_AHEAD_MAX ? room : RING_AHEAD_MAX);
	return ring_missing(ring, &miss);
}

static void collect_misses(void *arg)
{
	struct misses *misses = arg;
	const struct guest *guest = misses->guest;

	misses->kept = 2 * GUEST_PAIRS_MAX;
	for (unsigned int i = 0; i < GUEST_PAIRS_MAX; i++) {
		struct lender *lender = guest->lender[i];
		struct receiver *receiver = guest->receiver[i];

		misses->kept--;
		if (lender && lender->asking)
			lender->asking = look_ahead(lender->ring, misses);
		misses->kept--;
		if (receiver && receiver->asking)
			receiver->asking = look_ahead(receiver->ring, misses);
	}
}

void iommu_look(struct guest *guest)
{
	struct misses misses = { .guest = guest };

	if (!guest->iotlb || !guest->session || guest->session_ending)
		return;
	gw_port_apply(guest->port, collect_misses, &misses);
	session_iotlb_miss(guest->session, misses.miss, misses.count);
}

/* ---- bytes are taken away ---- */

static bool touches(const struct iovec *seg, const struct session_stale *stale)
{
	for (unsigned int i = 0; i < stale->count; i++) {
		uintptr_t a = (uintptr_t)seg->iov_base, b = (uintptr_t)stale->range[i].iov_base;

		if (a < b ? b - a < seg->iov_len : a - b < stale->range[i].iov_len)
			return true;
	}
	return false;
}

static bool is_stale(const struct gw_frame *frame, const struct session_stale *stale)
{
	/* Pieces of it are out, and the array may be another frame's by now. */
	if (frame->seg != frame->own)
		return true;
	for (unsigned int i = 0; i < frame->seg_count; i++)
		if (touches(&frame->seg[i], stale))
			return true;
	return false;
}

/*
 * Counts the frames that are out with some bytes of these ranges: their coming home is told
 * through event_fd. Worker.
 */
static void mark_stale(struct lender *lender, const struct session_stale *stale)
{
	if (!lender->head)
		return;
	for (uint32_t id = 0; id < ring_size(lender->ring); id++) {
		if (lender->head[id] != HEAD_OUT || !is_stale(lender->of_head[id], stale))
			continue;
		lender->head[id] = HEAD_STALE;
		lender->stale++;
	}
}

/* ---- another table ---- */

struct change {
	struct misses misses;
	struct iotlb *iotlb;
	const struct session_stale *stale;
	uint32_t stale_out;
};

static void apply_change(void *arg)
{
	struct change *change = arg;
	struct guest *guest = change->misses.guest;

	for (unsigned int i = 0; i < GUEST_PAIRS_MAX; i++) {
		struct lender *lender = guest->lender[i];
		struct receiver *receiver = guest->receiver[i];

		if (receiver) {
			ring_set_iotlb(receiver->ring, change->iotlb);
			receiver->asking = note_waiting(receiver->ring, &change->misses);
		}
		if (!lender)
			continue;
		ring_set_iotlb(lender->ring, change->iotlb);
		lender->asking = note_waiting(lender->ring, &change->misses);
		if (change->stale)
			mark_stale(lender, change->stale);
		change->stale_out += lender->stale;
	}
}

void iommu_change(void *arg, struct iotlb *iotlb, const struct session_stale *stale)
{
	struct guest *guest = arg;
	struct change change = { .misses.guest = guest, .iotlb = iotlb, .stale = stale };
	struct iotlb *before = guest->iotlb;

	guest->iotlb = iotlb ? iotlb_get(iotlb) : NULL;
	gw_port_apply(guest->port, apply_change, &change);
	iotlb_put(before);
	/* The front-end may have been asked before it had an answer, or has taken it away. */
	if (change.misses.count)
		session_iotlb_miss(guest->session, change.misses.miss, change.misses.count);
	if (!stale)
		return;
	if (change.stale_out)
		drain_stale(guest);
	else
		session_iotlb_done(guest->session);
}
