/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a session asks of rings and memory, and the one thing here that takes
 * time: stopping the transmit ring.
 *
 *   1. the worker takes no more chains (lender->stopping);
 *   2. when nothing is out any more the ring is stopped: used index = heads
 *      consumed, and GET_VRING_BASE is answered;
 *   3. if that takes longer than the stop time, the devices that hold loans are
 *      stopped and started again (port_recall);
 *   4. what is out even then is in quarantine: the lender becomes a ghost.
 */
#include "guest.h"

#include "fd.h"
#include "log.h"
#include "net_features.h"
#include "services.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* After devices were stopped, for the worker to take back what they let go of. */
#define SETTLE_MS 100u

/* ---- hand-over to the worker ---- */

struct handover {
	struct guest *guest;
	struct lender *lender;
	struct receiver *receiver;
	const struct session_ring *ring;
	bool enabled;
	uint32_t out;
};

static void set_fd(struct gw_queue *queue, unsigned int i, int fd)
{
	queue->fd[i].fd = fd;
	queue->fd[i].events = EPOLLIN;
}

static void lender_begin(void *arg)
{
	struct handover *h = arg;
	struct gw_queue *queue = h->lender->queue;

	h->guest->lender = h->lender;
	queue->lend_max = ring_size(h->lender->ring);
	set_fd(queue, GUEST_TX, h->ring->kick_fd);
}

static void receiver_begin(void *arg)
{
	struct handover *h = arg;

	h->guest->receiver = h->receiver;
	gw_port_set_offloads(h->guest->port, &h->receiver->offloads);
	set_fd(h->receiver->queue, GUEST_RX, h->ring->kick_fd);
}

static void lender_stopping(void *arg)
{
	struct handover *h = arg;

	h->lender = h->guest->lender;
	h->lender->stopping = true;
	h->out = h->lender->out;
	set_fd(h->lender->queue, GUEST_TX, -1);
}

static void lender_out(void *arg)
{
	struct handover *h = arg;

	h->lender = h->guest->lender;
	h->out = h->lender->out;
}

/* The ring is over: its descriptors and its eventfds are not touched any more. */
static void lender_end(void *arg)
{
	struct handover *h = arg;

	h->lender = h->guest->lender;
	h->guest->lender = NULL;
	h->out = h->lender->out;
	h->lender->ghost = true;
	h->lender->call_fd = h->lender->err_fd = -1;
}

static void receiver_end(void *arg)
{
	static const struct gw_offloads nothing;
	struct handover *h = arg;

	h->receiver = h->guest->receiver;
	h->guest->receiver = NULL;
	gw_port_set_offloads(h->guest->port, &nothing);
	set_fd(h->receiver->queue, GUEST_RX, -1);
}

static void ring_change(void *arg)
{
	struct handover *h = arg;

	if (h->lender) {
		h->lender->call_fd = h->ring->call_fd;
		h->lender->err_fd = h->ring->err_fd;
		set_fd(h->lender->queue, GUEST_TX, h->ring->kick_fd);
	}
	if (h->receiver) {
		h->receiver->call_fd = h->ring->call_fd;
		h->receiver->err_fd = h->ring->err_fd;
		set_fd(h->receiver->queue, GUEST_RX, h->ring->kick_fd);
	}
}

static void enable_change(void *arg)
{
	struct handover *h = arg;

	if (h->lender)
		h->lender->enabled = h->enabled;
	if (h->receiver)
		h->receiver->enabled = h->enabled;
}

/* ---- starting ---- */

static void show_state(struct guest *guest)
{
	const char *state = "connected, rings stopped";

	if (guest->lender && guest->receiver)
		state = "connected, rings running";
	gw_port_set_status(guest->port, "%s", state);
}

static int op_ring_start(void *arg, unsigned int index, const struct session_ring *ring,
			 struct gw_error *err)
{
	struct guest *guest = arg;
	struct gw_queue *queue = gw_port_queue(guest->port, 0);
	struct handover h = { .guest = guest, .ring = ring };
	int ret;

	if (index == GUEST_TX)
		ret = lender_create(queue, ring, guest->event_fd, &h.lender, err);
	else
		ret = receiver_create(queue, ring, guest->event_fd, &h.receiver, err);
	if (ret)
		return ret;
	gw_port_apply(guest->port, index == GUEST_TX ? lender_begin : receiver_begin, &h);
	gw_port_log(guest->port, LOG_INFO, "%s ring of %u started at %u%s",
		    index == GUEST_TX ? "transmit" : "receive", ring->config.size,
		    ring->config.base, ring->enabled ? "" : ", not enabled");
	show_state(guest);
	return 0;
}

static void op_ring_enable(void *arg, unsigned int index, bool enabled)
{
	struct guest *guest = arg;
	struct handover h = { .enabled = enabled };

	if (index == GUEST_TX)
		h.lender = guest->lender;
	else
		h.receiver = guest->receiver;
	gw_port_apply(guest->port, enable_change, &h);
}

static void op_ring_fds(void *arg, unsigned int index, const struct session_ring *ring)
{
	struct guest *guest = arg;
	struct handover h = { .ring = ring };

	if (index == GUEST_TX)
		h.lender = guest->lender;
	else
		h.receiver = guest->receiver;
	gw_port_apply(guest->port, ring_change, &h);
}

/* ---- stopping ---- */

static void tx_stopped(struct guest *guest)
{
	struct handover h = { .guest = guest };
	struct lender *lender;
	uint32_t base;

	gw_timer_stop(guest->loop, &guest->stop_timer);
	guest->stop_phase = STOP_NONE;
	gw_port_apply(guest->port, lender_end, &h);
	lender = h.lender;
	base = ring_base(lender->ring);
	gw_port_log(guest->port, h.out ? LOG_WARNING : LOG_INFO,
		    "transmit ring stopped at %u, used index %u, %u frames still in devices", base,
		    ring_used_index(lender->ring), h.out);
	if (h.out)
		gw_list_add_tail(&guest->ghosts, &lender->node);
	else
		lender_free(lender);
	show_state(guest);
	session_ring_stopped(guest->session, GUEST_TX, base);
	connection_resume(guest);
}

static void stop_timeout(struct gw_timer *timer);

static void stop_recalled(void *arg)
{
	struct guest *guest = arg;

	/* It may have drained meanwhile, and a later stop may be under way. */
	if (guest->stop_phase != STOP_RECALLED)
		return;
	guest->stop_phase = STOP_SETTLING;
	gw_timer_start(guest->loop, &guest->stop_timer, SETTLE_MS, stop_timeout);
}

static void stop_timeout(struct gw_timer *timer)
{
	struct guest *guest = gw_container_of(timer, struct guest, stop_timer);

	if (guest->stop_phase == STOP_DRAINING) {
		guest->stop_phase = STOP_RECALLED;
		/* Whatever the devices do, the front-end is answered. */
		gw_timer_start(guest->loop, &guest->stop_timer,
			       (port_stop_ms(guest->port) * 8) / 10, stop_timeout);
		port_recall(guest->port, stop_recalled, guest);
		return;
	}
	tx_stopped(guest);
}

static void stop_tx(struct guest *guest)
{
	struct handover h = { .guest = guest };

	gw_port_apply(guest->port, lender_stopping, &h);
	if (!h.out) {
		tx_stopped(guest);
		return;
	}
	guest->stop_phase = STOP_DRAINING;
	gw_timer_start(guest->loop, &guest->stop_timer, port_stop_ms(guest->port), stop_timeout);
}

static void stop_rx(struct guest *guest)
{
	struct handover h = { .guest = guest };
	uint32_t base;

	gw_port_apply(guest->port, receiver_end, &h);
	base = ring_base(h.receiver->ring);
	gw_port_log(guest->port, LOG_INFO, "receive ring stopped at %u", base);
	receiver_free(h.receiver);
	show_state(guest);
	session_ring_stopped(guest->session, GUEST_RX, base);
}

static void op_ring_stop(void *arg, unsigned int index, bool handed)
{
	if (index == GUEST_TX)
		stop_tx(arg);
	else
		stop_rx(arg);
}

/* ---- memory ---- */

static void look_at_memory(struct gw_timer *timer);

#define LOOK_MS 1000u

static void op_memory(void *arg, struct gw_memmap *memmap)
{
	struct guest *guest = arg;
	struct gw_memmap *before = guest->memmap;

	guest->memmap = memmap ? memmap_get(memmap) : NULL;
	if (before) {
		port_retire_memory(guest->port, before);
		memmap_put(before);
	}
	gw_timer_stop(guest->loop, &guest->look);
	if (!memmap)
		return;
	guest->discarded_bytes = memmap_discarded_bytes(memmap);
	gw_timer_start(guest->loop, &guest->look, LOOK_MS, look_at_memory);
}

/* Did the front-end shorten its memory, or the guest give pages back? */
static void look_at_memory(struct gw_timer *timer)
{
	struct guest *guest = gw_container_of(timer, struct guest, look);
	uint64_t gone;

	if (!guest->memmap)
		return;
	if (memmap_broken(guest->memmap)) {
		connection_fail(guest, "the front-end shortened the memory that it shared");
		return;
	}
	gone = memmap_discarded_bytes(guest->memmap);
	if (gone > guest->discarded_bytes) {
		gw_port_log(guest->port, LOG_NOTICE,
			    "the guest gave back %llu KiB: its memory is mapped anew",
			    (unsigned long long)(gone - guest->discarded_bytes) >> 10);
		guest->discarded_bytes = gone;
		port_discarded_memory(guest->port, guest->memmap);
	}
	gw_timer_start(guest->loop, &guest->look, LOOK_MS, look_at_memory);
}

static void op_features(void *arg, uint64_t features)
{
	struct guest *guest = arg;

	guest->acked |= features & (NET_FEATURES_HOST | NET_FEATURES_GUEST);
	gw_port_log(guest->port, LOG_DEBUG, "features 0x%llx", (unsigned long long)features);
}

static void op_note(void *arg, int level, const char *line)
{
	gw_port_log(((struct guest *)arg)->port, level, "%s", line);
}

static int op_send(void *arg, const uint8_t *bytes, size_t len, int fd)
{
	return fd < 0 ? connection_send(arg, bytes, len) : -EOPNOTSUPP;
}

/* The protocol features behind these are not offered, so they are not called. */
static void op_log(void *arg, struct dirty_log *log)
{
}

static void op_iotlb(void *arg, struct iotlb *iotlb, const struct session_stale *stale)
{
}

static void op_backend_channel(void *arg, int fd)
{
	gw_fd_close(&fd);
}

static int op_backend_send(void *arg, const uint8_t *bytes, size_t len)
{
	return -EPIPE;
}

static void op_announce(void *arg, const uint8_t mac[6])
{
}

static void op_mtu(void *arg, uint32_t mtu)
{
}

static size_t op_state_save(void *arg, uint8_t *bytes, size_t room)
{
	return 0;
}

static int op_state_load(void *arg, const uint8_t *bytes, size_t len, struct gw_error *err)
{
	return 0;
}

const struct session_ops guest_session_ops = {
	.send = op_send,
	.ring_start = op_ring_start,
	.ring_stop = op_ring_stop,
	.ring_enable = op_ring_enable,
	.ring_fds = op_ring_fds,
	.memory = op_memory,
	.features = op_features,
	.log = op_log,
	.iotlb = op_iotlb,
	.backend_channel = op_backend_channel,
	.backend_send = op_backend_send,
	.announce = op_announce,
	.mtu = op_mtu,
	.state_save = op_state_save,
	.state_load = op_state_load,
	.note = op_note,
};

/* ---- news from the worker ---- */

void guest_signal(struct gw_queue *queue, int *fd, int event_fd)
{
	struct guest *guest = queue->priv;

	if (*fd < 0 || !gw_eventfd_signal(*fd))
		return;
	*fd = -1;
	gw_store_release(&guest->blocked, 1u);
	gw_eventfd_signal(event_fd);
}

void guest_tell_broken(struct gw_queue *queue, struct ring *ring, const char *which, bool *told,
		       int *err_fd, int event_fd)
{
	enum ring_fault fault = ring_fault(ring);

	if (*told)
		return;
	*told = true;
	if (fault != RING_FAULT_NONE)
		gw_port_log(queue->port, LOG_WARNING,
			    "the guest broke a rule on its %s ring (%s): %s; the ring is ignored "
			    "until it is started anew",
			    which, ring_fault_name(fault), ring_fault_text(fault));
	guest_signal(queue, err_fd, event_fd);
	gw_eventfd_signal(event_fd);
}

/* Ghosts whose last frame came home are laid to rest. Worker: out is its count. */
static void count_out(void *arg)
{
	struct handover *h = arg;

	h->out = h->lender->out;
}

static void visit_ghosts(struct guest *guest)
{
	struct gw_list *pos, *tmp;

	gw_list_for_each_safe(pos, tmp, &guest->ghosts) {
		struct handover h = { .lender = gw_container_of(pos, struct lender, node) };

		gw_port_apply(guest->port, count_out, &h);
		if (h.out)
			continue;
		gw_port_log(guest->port, LOG_NOTICE, "the last quarantined frame has come home");
		gw_list_del(pos);
		lender_free(h.lender);
	}
}

void rings_event(struct gw_watch *watch, uint32_t events)
{
	struct guest *guest = gw_container_of(watch, struct guest, event_watch);
	struct handover h = { .guest = guest };

	gw_eventfd_clear(guest->event_fd);
	visit_ghosts(guest);
	if (guest->memmap && memmap_broken(guest->memmap)) {
		/* It may be ending already, and this the news that its loans are home. */
		connection_fail(guest, "the front-end shortened the memory that it shared");
	}
	if (gw_load_acquire(&guest->blocked)) {
		connection_fail(guest, "an eventfd of the front-end blocked; it may come back in "
				       "a while");
		return;
	}
	if (guest->stop_phase == STOP_NONE || !guest->lender)
		return;
	gw_port_apply(guest->port, lender_out, &h);
	if (!h.out)
		tx_stopped(guest);
}

void rings_free_ghosts(struct guest *guest)
{
	struct gw_list *pos, *tmp;

	gw_list_for_each_safe(pos, tmp, &guest->ghosts) {
		gw_list_del(pos);
		lender_free(gw_container_of(pos, struct lender, node));
	}
}
