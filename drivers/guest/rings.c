/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a session asks of rings: to start them, and to change what they go by while
 * they run. Stopping those that lend is in drain.c.
 *
 * Each change is a function that the worker runs between two visits (gw_port_apply).
 */
#include "guest.h"

#include "log.h"
#include "net_features.h"
#include "net_header.h"
#include "services.h"

/* ---- hand-over to the worker ---- */

struct handover {
	struct guest *guest;
	struct lender *lender;
	struct receiver *receiver;
	const struct session_ring *ring;
	bool enabled;
};

static void list_queue(struct guest *guest, struct gw_queue *queue)
{
	struct guest_queue *own = queue->priv;
	uint32_t lend_max = 0;

	own->lending_count = own->receiving_count = own->turn = 0;
	for (unsigned int i = 0; i < GUEST_PAIRS_MAX; i++) {
		struct lender *lender = guest->lender[i];
		struct receiver *receiver = guest->receiver[i];

		/* A disabled transmit ring is still drained, and what is in it discarded. */
		if (lender && lender->queue == queue) {
			own->lending[own->lending_count++] = lender;
			lend_max += ring_size(lender->ring);
		}
		if (receiver && receiver->queue == queue && receiver->enabled)
			own->receiving[own->receiving_count++] = receiver;
	}
	if (lend_max)
		queue->lend_max = lend_max;
	queue->dormant = !own->lending_count && !own->receiving_count;
}

/* Who has no receive ring has frames for the guest delivered by who has one. */
static void route(struct guest *guest)
{
	unsigned int first = 0;

	while (first < guest->queue_count && !guest->queue[first]->receiving_count)
		first++;
	for (unsigned int i = 0; i < guest->queue_count; i++) {
		bool here = guest->queue[i]->receiving_count || first == guest->queue_count;

		gw_port_queue(guest->port, i)->deliver_to = here ? i : first;
	}
}

void rings_list(struct guest *guest)
{
	for (unsigned int i = 0; i < guest->queue_count; i++)
		list_queue(guest, gw_port_queue(guest->port, i));
	route(guest);
}

static void lender_begin(void *arg)
{
	struct handover *h = arg;

	h->guest->lender[h->lender->pair] = h->lender;
	/* Frames are lent by other queues as well, if these deliver them (deliver_to). */
	for (unsigned int i = 0; i < h->guest->queue_count; i++)
		gw_port_queue(h->guest->port, i)->in_order =
			virtio_has(h->lender->features, VIRTIO_F_IN_ORDER);
	rings_list(h->guest);
}

static void receiver_begin(void *arg)
{
	struct handover *h = arg;

	h->guest->receiver[h->receiver->pair] = h->receiver;
	gw_port_set_offloads(h->guest->port, &h->receiver->offloads);
	rings_list(h->guest);
}

static bool any_receiver(const struct guest *guest)
{
	for (unsigned int i = 0; i < GUEST_PAIRS_MAX; i++)
		if (guest->receiver[i])
			return true;
	return false;
}

static void receiver_end(void *arg)
{
	static const struct gw_offloads nothing;
	struct handover *h = arg;

	if (session_ends_runs(h->guest->session))
		ring_give_back_again(h->receiver->ring);
	h->guest->receiver[h->receiver->pair] = NULL;
	rings_list(h->guest);
	if (!any_receiver(h->guest))
		gw_port_set_offloads(h->guest->port, &nothing);
}

static void fds_change(void *arg)
{
	struct handover *h = arg;

	if (h->lender) {
		h->lender->call_fd = h->ring->call_fd;
		h->lender->err_fd = h->ring->err_fd;
		h->lender->kick_fd = h->ring->kick_fd;
	}
	if (h->receiver) {
		h->receiver->call_fd = h->ring->call_fd;
		h->receiver->err_fd = h->ring->err_fd;
		h->receiver->kick_fd = h->ring->kick_fd;
	}
}

static void enable_change(void *arg)
{
	struct handover *h = arg;

	if (h->lender)
		h->lender->enabled = h->enabled;
	if (h->receiver)
		h->receiver->enabled = h->enabled;
	rings_list(h->guest);
}

/* ---- starting ---- */

/* Behind an IOMMU those that lend stop whenever a guest drops all that it has unmapped. */
int rings_log_level(const struct guest *guest)
{
	return guest->iotlb ? LOG_DEBUG : LOG_INFO;
}

void rings_show_state(struct guest *guest)
{
	unsigned int lending = 0;

	for (unsigned int i = 0; i < GUEST_PAIRS_MAX; i++)
		lending += guest->lender[i] != NULL;
	if (!lending || !any_receiver(guest))
		gw_port_set_status(guest->port, "connected, rings stopped");
	else if (lending == 1)
		gw_port_set_status(guest->port, "connected, rings running");
	else
		gw_port_set_status(guest->port, "connected, rings of %u queue pairs running",
				   lending);
}

static int op_ring_start(void *arg, unsigned int index, const struct session_ring *ring,
			 struct gw_error *err)
{
	struct guest *guest = arg;
	unsigned int pair = index / 2;
	struct gw_queue *queue = place_of(guest, pair);
	struct handover h = { .guest = guest, .ring = ring };
	struct session_ring recorded = *ring;
	int ret;

	if (ring->config.record && ring_transmits(index) && drain_holds(guest, pair))
		record_strike(guest, index, ring->config.record);
	record_begin(guest, index, &recorded.config);
	if (ring_transmits(index))
		ret = lender_create(queue, pair, &recorded, guest->event_fd, &h.lender, err);
	else
		ret = receiver_create(queue, pair, &recorded, guest->event_fd, &h.receiver, err);
	if (ret)
		return ret;
	if (h.lender)
		h.lender->kept = ring->config.record;
	else
		h.receiver->kept = ring->config.record;
	record_tell(guest, index, h.lender ? h.lender->ring : h.receiver->ring);
	wake_watch(queue, ring->kick_fd);
	place_show(guest, pair);
	gw_port_apply(guest->port, h.lender ? lender_begin : receiver_begin, &h);
	gw_port_log(guest->port, rings_log_level(guest), "%s ring %u of %u started at 0x%x%s",
		    h.lender ? "transmit" : "receive", pair, ring->config.size, ring->config.base,
		    ring->enabled ? "" : ", not enabled");
	rings_show_state(guest);
	return 0;
}

/* The run that a message is about. */
static struct handover handover_of(struct guest *guest, unsigned int index)
{
	struct handover h = { .guest = guest };

	if (ring_transmits(index))
		h.lender = guest->lender[index / 2];
	else
		h.receiver = guest->receiver[index / 2];
	return h;
}

static void op_ring_enable(void *arg, unsigned int index, bool enabled)
{
	struct handover h = handover_of(arg, index);

	h.enabled = enabled;
	gw_port_apply(h.guest->port, enable_change, &h);
}

static void op_ring_fds(void *arg, unsigned int index, const struct session_ring *ring)
{
	struct handover h = handover_of(arg, index);
	const struct gw_queue *queue = place_of(h.guest, index / 2);
	int before = -1;

	if (h.lender)
		before = h.lender->kick_fd;
	else if (h.receiver)
		before = h.receiver->kick_fd;
	h.ring = ring;
	if (before != ring->kick_fd) {
		wake_forget(queue, before);
		wake_watch(queue, ring->kick_fd);
	}
	gw_port_apply(h.guest->port, fds_change, &h);
}

/* ---- stopping ---- */

static void stop_receiver(struct guest *guest, unsigned int pair)
{
	struct handover h = { .guest = guest, .receiver = guest->receiver[pair] };
	uint32_t base;

	gw_port_apply(guest->port, receiver_end, &h);
	wake_forget(h.receiver->queue, h.receiver->kick_fd);
	record_end(guest, 2 * pair, h.receiver->ring, h.receiver->kept, true);
	base = ring_base(h.receiver->ring);
	gw_port_log(guest->port, rings_log_level(guest), "receive ring %u stopped at 0x%x", pair,
		    base);
	receiver_free(h.receiver);
	rings_show_state(guest);
	session_ring_stopped(guest->session, 2 * pair, base);
}

/* Handed over or not: first what devices can give back comes home (see drain.c). */
static void op_ring_stop(void *arg, unsigned int index, bool handed)
{
	if (ring_transmits(index))
		drain_ring(arg, index / 2);
	else
		stop_receiver(arg, index / 2);
}

static void op_ring_over(void *arg, unsigned int index, const struct session_ring *ring, bool reset)
{
	record_over(arg, index, ring->config.record, reset);
}

/* ---- what all rings go by ---- */

struct log_order {
	struct guest *guest;
	struct dirty_log *log;
};

static void log_change(void *arg)
{
	struct log_order *order = arg;
	struct guest *guest = order->guest;

	for (unsigned int i = 0; i < GUEST_PAIRS_MAX; i++) {
		if (guest->lender[i])
			ring_set_log(guest->lender[i]->ring, order->log);
		if (!guest->receiver[i])
			continue;
		ring_set_log(guest->receiver[i]->ring, order->log);
		guest->receiver[i]->log = order->log;
	}
}

static void op_log(void *arg, struct dirty_log *log)
{
	struct log_order order = { .guest = arg, .log = log };
	struct guest *guest = arg;
	struct dirty_log *before = guest->log;

	guest->log = log ? dirty_log_get(log) : NULL;
	gw_port_apply(guest->port, log_change, &order);
	dirty_log_put(before);
	gw_port_log(guest->port, LOG_INFO, "what is written to the guest is %s",
		    log ? "logged (migration)" : "not logged any more");
}

/* ---- the rest of what a session asks ---- */

static void op_memory(void *arg, struct gw_memmap *memmap)
{
	memory_change(arg, memmap);
}

static void op_features(void *arg, uint64_t features)
{
	struct guest *guest = arg;

	guest->acked |= features & (NET_FEATURES_HOST | NET_FEATURES_GUEST);
	gw_port_log(guest->port, LOG_DEBUG, "features 0x%llx", (unsigned long long)features);
}

static void op_dispose(void *arg, int fd)
{
	port_dispose(((struct guest *)arg)->port, fd);
}

static void op_note(void *arg, int level, const char *line)
{
	gw_port_log(((struct guest *)arg)->port, level, "%s", line);
}

static int op_send(void *arg, const uint8_t *bytes, size_t len, int fd)
{
	return connection_send(arg, bytes, len, fd);
}

static void op_backend_channel(void *arg, int fd)
{
	connection_set_backend(arg, fd);
}

static int op_backend_send(void *arg, const uint8_t *bytes, size_t len)
{
	return connection_send_backend(arg, bytes, len);
}

static void op_announce(void *arg, const uint8_t mac[6])
{
	struct guest *guest = arg;

	announce(guest, mac);
	gw_port_log(guest->port, LOG_INFO,
		    "%02x:%02x:%02x:%02x:%02x:%02x is announced in its network", mac[0], mac[1],
		    mac[2], mac[3], mac[4], mac[5]);
}

static void op_mtu(void *arg, uint32_t mtu)
{
	gw_port_log(((struct guest *)arg)->port, LOG_INFO, "the guest's MTU is %u", mtu);
}

const struct session_ops guest_session_ops = {
	.send = op_send,
	.ring_start = op_ring_start,
	.ring_stop = op_ring_stop,
	.ring_over = op_ring_over,
	.ring_enable = op_ring_enable,
	.ring_fds = op_ring_fds,
	.memory = op_memory,
	.features = op_features,
	.log = op_log,
	.iotlb = iommu_change,
	.backend_channel = op_backend_channel,
	.backend_send = op_backend_send,
	.announce = op_announce,
	.mtu = op_mtu,
	.state_save = offer_save,
	.state_load = offer_load,
	.dispose = op_dispose,
	.note = op_note,
};
