/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one thing here that takes time: loans that have to come home, because a
 * transmit ring is being stopped, or because an IOMMU takes the bytes away.
 *
 *   1. the worker takes no more chains of a ring that stops (lender->stopping);
 *   2. when nothing of it is out any more the ring is stopped: used index = heads
 *      consumed, and GET_VRING_BASE is answered; when no frame has stale bytes any
 *      more, the invalidation is answered;
 *   3. if that takes longer than the stop time, the devices that hold loans are
 *      stopped and started again (port_recall);
 *   4. what is out even then is in quarantine: its lender becomes a ghost.
 *
 * GET_VRING_BASE_SKIP_DRAIN goes the same way: no device can be told to forget one
 * frame, and the specification wants what is in flight suspended, not read on; so it is
 * as soon as devices give it back, and bounded as every stop is. The difference is in
 * what is left by then. The heads of a ghost, and chains of a run before that were not
 * taken again yet, stay in the front-end's record: the back-end that goes on, most
 * likely on another machine, takes them again, and no descriptor is lost with a device
 * that has died. If it is this process that goes on, the ghost has them still: they are
 * struck from the record, and neither lent nor completed a second time.
 *
 * A session waits for one thing at a time, so one clock serves all rings: it runs
 * from the first of them on.
 */
#include "guest.h"

#include "log.h"
#include "services.h"

/* After devices were stopped, for the worker to take back what they let go of. */
#define SETTLE_MS 100u

static void timeout(struct gw_timer *timer);

/* ---- what the worker tells ---- */

struct tally {
	struct guest *guest;
	struct lender *lender;
	uint32_t out, stale;
};

static void begin_stop(void *arg)
{
	((struct tally *)arg)->lender->stopping = true;
}

static void count_out(void *arg)
{
	struct tally *tally = arg;

	tally->out = tally->lender->out;
}

static void count_stale(void *arg)
{
	struct tally *tally = arg;

	for (unsigned int i = 0; i < GUEST_PAIRS_MAX; i++)
		if (tally->guest->lender[i])
			tally->stale += tally->guest->lender[i]->stale;
}

/* The ring is over: its descriptors and its eventfds are not touched any more. */
static void end(void *arg)
{
	struct tally *tally = arg;
	struct lender *lender = tally->lender;

	/* What is left to be taken again must not be mixed with what nobody may take here. */
	if (session_ends_runs(tally->guest->session) || lender->out)
		ring_give_back_again(lender->ring);
	tally->guest->lender[lender->pair] = NULL;
	rings_list(tally->guest);
	tally->out = lender->out;
	lender->ghost = true;
	lender->unflushed = false;
	lender->call_fd = lender->err_fd = -1;
}

/* ---- endings ---- */

static void ring_stopped(struct guest *guest, struct lender *lender)
{
	struct tally tally = { .guest = guest, .lender = lender };
	unsigned int index = 2 * lender->pair + 1;
	uint32_t base;

	gw_port_apply(guest->port, end, &tally);
	wake_forget(lender->queue, lender->kick_fd);
	lender->handed = tally.out && lender->kept && session_hands_runs(guest->session);
	record_end(guest, index, lender->ring, lender->kept, !tally.out);
	base = ring_base(lender->ring);
	gw_port_log(guest->port, tally.out ? LOG_WARNING : rings_log_level(guest),
		    "transmit ring %u stopped at 0x%x, used index %u, %u frames still in devices",
		    lender->pair, base, ring_used_index(lender->ring), tally.out);
	if (tally.out)
		gw_list_add_tail(&guest->ghosts, &lender->node);
	else
		lender_free(lender);
	rings_show_state(guest);
	session_ring_stopped(guest->session, index, base);
}

static void stale_gone(struct guest *guest)
{
	guest->iotlb_waits = false;
	session_iotlb_done(guest->session);
}

/* Ends what can end, or all of it. Returns whether anything has to be waited for. */
static bool end_some(struct guest *guest, bool all)
{
	struct tally tally = { .guest = guest };
	bool waits = false;

	for (unsigned int i = 0; i < GUEST_PAIRS_MAX; i++) {
		struct tally ring = { .lender = guest->lender[i] };

		/* Control's own word, so that it can be read here. */
		if (!ring.lender || !ring.lender->stopping)
			continue;
		gw_queue_apply(ring.lender->queue, count_out, &ring);
		if (all || !ring.out)
			ring_stopped(guest, ring.lender);
		else
			waits = true;
	}
	if (guest->iotlb_waits) {
		gw_port_apply(guest->port, count_stale, &tally);
		if (all || !tally.stale)
			stale_gone(guest);
		else
			waits = true;
	}
	return waits;
}

/* ---- the clock ---- */

static void wait_more(struct guest *guest, bool all)
{
	if (end_some(guest, all)) {
		if (guest->drain_phase != DRAIN_NONE)
			return;
		guest->drain_phase = DRAIN_WAITING;
		gw_timer_start(guest->loop, &guest->drain_timer, port_stop_ms(guest->port),
			       timeout);
		return;
	}
	gw_timer_stop(guest->loop, &guest->drain_timer);
	guest->drain_phase = DRAIN_NONE;
	connection_resume(guest);
}

static void recalled(void *arg)
{
	struct guest *guest = arg;

	/* It may have drained meanwhile, and a later stop may be under way. */
	if (guest->drain_phase != DRAIN_RECALLED)
		return;
	guest->drain_phase = DRAIN_SETTLING;
	gw_timer_start(guest->loop, &guest->drain_timer, SETTLE_MS, timeout);
}

static void timeout(struct gw_timer *timer)
{
	struct guest *guest = gw_container_of(timer, struct guest, drain_timer);

	if (guest->drain_phase == DRAIN_WAITING) {
		guest->drain_phase = DRAIN_RECALLED;
		/* Whatever the devices do, the front-end is answered. */
		gw_timer_start(guest->loop, &guest->drain_timer,
			       (port_stop_ms(guest->port) * 8) / 10, timeout);
		port_recall(guest->port, recalled, guest);
		return;
	}
	wait_more(guest, true);
}

/* ---- from outside ---- */

void drain_ring(struct guest *guest, unsigned int pair)
{
	struct tally tally = { .lender = guest->lender[pair] };

	gw_queue_apply(tally.lender->queue, begin_stop, &tally);
	wait_more(guest, false);
}

bool drain_holds(struct guest *guest, unsigned int pair)
{
	struct gw_list *pos;

	gw_list_for_each(pos, &guest->ghosts) {
		struct tally tally = { .lender = gw_container_of(pos, struct lender, node) };

		if (!tally.lender->handed || tally.lender->pair != pair)
			continue;
		gw_queue_apply(tally.lender->queue, count_out, &tally);
		if (tally.out)
			return true;
	}
	return false;
}

void drain_stale(struct guest *guest)
{
	guest->iotlb_waits = true;
	wait_more(guest, false);
}

/* Ghosts whose last frame came home are laid to rest. */
static void visit_ghosts(struct guest *guest)
{
	struct gw_list *pos, *tmp;

	gw_list_for_each_safe(pos, tmp, &guest->ghosts) {
		struct tally tally = { .lender = gw_container_of(pos, struct lender, node) };

		gw_queue_apply(tally.lender->queue, count_out, &tally);
		if (tally.out)
			continue;
		gw_port_log(guest->port, LOG_NOTICE, "the last quarantined frame has come home");
		gw_list_del(pos);
		lender_free(tally.lender);
	}
}

void drain_look(struct guest *guest)
{
	visit_ghosts(guest);
	if (guest->drain_phase != DRAIN_NONE)
		wait_more(guest, false);
}

void drain_free_ghosts(struct guest *guest)
{
	struct gw_list *pos, *tmp;

	gw_list_for_each_safe(pos, tmp, &guest->ghosts) {
		gw_list_del(pos);
		lender_free(gw_container_of(pos, struct lender, node));
	}
}
