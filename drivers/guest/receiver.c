/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delivering into the guest's receive rings.
 *
 * The peer's receive buffers are the device: one copy, straight from where the
 * frame lies, and the loan is over when tx returns. With MRG_RXBUF a frame may
 * spread over several chains (VIRTIO 1.2 section 5.1.6.4); if too few are there,
 * those taken are put back and nothing was written to them yet.
 *
 * With several rings a frame goes to one of them by its flow (steering.h), and if that
 * one has no room the frame is dropped: to wait would hold up the others.
 */
#include "guest.h"

#include "apart.h"
#include "fd.h"
#include "net_features.h"
#include "net_header.h"
#include "super_frame.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int receiver_create(struct gw_queue *queue, unsigned int pair, const struct session_ring *ring,
		    int event_fd, struct receiver **out, struct gw_error *err)
{
	struct receiver *receiver = gw_alloc_apart(sizeof(*receiver));
	int ret;

	if (!receiver)
		return gw_error_sys(err, -ENOMEM, "receive ring");
	receiver->queue = queue;
	receiver->pair = pair;
	receiver->reach = 1;
	receiver->memmap = ring->config.memmap;
	receiver->log = ring->config.log;
	receiver->iommu = ring->config.iotlb;
	receiver->offloads = net_features_takes(ring->config.features);
	receiver->header_len = net_header_len(ring->config.features);
	receiver->mergeable = virtio_has(ring->config.features, VIRTIO_NET_F_MRG_RXBUF);
	receiver->event_fd = event_fd;
	receiver->call_fd = ring->call_fd;
	receiver->err_fd = ring->err_fd;
	receiver->enabled = ring->enabled;
	receiver->kick_fd = ring->kick_fd;
	ret = ring_create(&ring->config, &receiver->ring, err);
	if (ret) {
		receiver_free(receiver);
		return ret;
	}
	ring_no_kick(receiver->ring);
	*out = receiver;
	return 0;
}

void receiver_free(struct receiver *receiver)
{
	if (!receiver)
		return;
	ring_destroy(receiver->ring);
	free(receiver);
}

/*
 * The chains that one frame goes to, and their segments in the guest's array. Most
 * frames have one chain: what is not used of this is not written either.
 */
struct landing {
	struct iovec *seg;
	struct ring_chain chain[GUEST_MERGE_MAX];
	unsigned int chains, segs;
	uint64_t bytes;
};

enum landing_result { LANDING_OK, LANDING_NONE_FREE, LANDING_TOO_SMALL, LANDING_BROKEN };

static enum landing_result take_chain(struct receiver *receiver, struct landing *landing)
{
	struct ring_chain *chain = &landing->chain[landing->chains];
	int got = ring_pop(receiver->ring, chain, landing->seg + landing->segs,
			   GW_FRAME_SEGS_MAX - landing->segs);

	if (got <= 0)
		return got ? LANDING_BROKEN : LANDING_NONE_FREE;
	if (chain->read_count) {
		ring_break(receiver->ring, RING_FAULT_DIRECTION);
		return LANDING_BROKEN;
	}
	landing->chains++;
	landing->segs += chain->write_count;
	landing->bytes += chain->write_bytes;
	/* The header has to fit into the first buffer (section 5.1.6.3.1). */
	return landing->chain[0].write_bytes < receiver->header_len ? LANDING_TOO_SMALL
								    : LANDING_OK;
}

/*
 * The guest has made available all that its ring holds: to wait for more would be
 * to wait for ever, with everything behind this frame. Chains in indirect tables
 * take fewer descriptors than they have segments, so that this is early for them.
 */
static bool ring_exhausted(const struct receiver *receiver, const struct landing *landing)
{
	return landing->chains && landing->segs + landing->chain[landing->chains - 1].write_count >
					  ring_size(receiver->ring);
}

/* Room for `need` bytes, its segments in seg; or nothing taken. */
static enum landing_result find_landing(struct receiver *receiver, struct landing *landing,
					struct iovec *seg, uint64_t need)
{
	enum landing_result result;

	landing->seg = seg;
	landing->chains = landing->segs = 0;
	landing->bytes = 0;
	do {
		result = take_chain(receiver, landing);
		if (result == LANDING_OK && landing->bytes < need &&
		    (!receiver->mergeable || landing->chains == GUEST_MERGE_MAX ||
		     landing->segs == GW_FRAME_SEGS_MAX))
			result = LANDING_TOO_SMALL;
	} while (result == LANDING_OK && landing->bytes < need);
	if (result == LANDING_NONE_FREE && ring_exhausted(receiver, landing))
		result = LANDING_TOO_SMALL;
	if (result != LANDING_OK)
		ring_unpop(receiver->ring, landing->chains);
	return result;
}

/* A place in a list of segments. */
struct cursor {
	const struct iovec *seg;
	size_t off;
};

static void write_bytes(struct cursor *to, const uint8_t *from, size_t len)
{
	while (len) {
		size_t part = to->seg->iov_len - to->off;

		if (part > len)
			part = len;
		memcpy((uint8_t *)to->seg->iov_base + to->off, from, part);
		from += part;
		len -= part;
		to->off += part;
		if (to->off == to->seg->iov_len) {
			to->seg++;
			to->off = 0;
		}
	}
}

/*
 * What the sender left undone is this guest's to do: only what it negotiated gets
 * here (5.1.6.4.1). DATA_VALID is never said, since nobody has looked.
 */
struct virtio_net_hdr_v1 receiver_header(const struct gw_frame *frame, unsigned int chains)
{
	struct virtio_net_hdr_v1 header = frame->header;

	net_header_tidy(&header, frame->len);
	header.num_buffers = (uint16_t)chains;
	return header;
}

/* What was written, for a migration: the first `left` bytes of the segments. */
static void mark_dirty(const struct receiver *receiver, const struct iovec *seg, uint64_t left)
{
	for (; left; seg++) {
		uint64_t part = seg->iov_len < left ? seg->iov_len : left;

		dirty_log_mark(receiver->log, receiver->memmap, seg->iov_base, part);
		left -= part;
	}
}

static void write_frame(struct receiver *receiver, const struct landing *landing,
			const struct gw_frame *frame)
{
	struct virtio_net_hdr_v1 header = receiver_header(frame, landing->chains);
	struct cursor to = { landing->seg, 0 };
	uint64_t left = (uint64_t)frame->len + receiver->header_len;
	size_t data = frame->len;

	write_bytes(&to, (const uint8_t *)&header, receiver->header_len);
	/* No more than there was found room for, whatever the segments add up to. */
	for (unsigned int i = 0; i < frame->seg_count && data; i++) {
		size_t part = frame->seg[i].iov_len < data ? frame->seg[i].iov_len : data;

		write_bytes(&to, frame->seg[i].iov_base, part);
		data -= part;
	}
	/* Before a used entry says that they are there. */
	if (__builtin_expect(receiver->log != NULL, 0))
		mark_dirty(receiver, landing->seg, left);
	for (unsigned int i = 0; i < landing->chains; i++) {
		uint64_t part = landing->chain[i].write_bytes;

		if (part > left)
			part = left;
		ring_push(receiver->ring, landing->chain[i].head, (uint32_t)part);
		left -= part;
	}
}

/* False: not now; queue->refusal says why. */
static bool deliver(struct gw_queue *queue, struct receiver *receiver, const struct gw_frame *frame)
{
	struct guest_queue *own = queue->priv;
	struct landing landing;

	/* Decided for the guest that was here before, and other features. */
	if (super_frame_missing(&frame->header, receiver->offloads.takes)) {
		gw_queue_drop(queue, frame, GW_DROP_EGRESS_DOWN);
		return true;
	}
	switch (find_landing(receiver, &landing, own->seg,
			     (uint64_t)frame->len + receiver->header_len)) {
	case LANDING_OK:
		write_frame(receiver, &landing, frame);
		return true;
	case LANDING_TOO_SMALL:
		gw_queue_drop(queue, frame, GW_DROP_RX_TOO_SMALL);
		return true;
	case LANDING_NONE_FREE:
		queue->refusal = GW_DROP_NO_RX_BUFFERS;
		if (own->receiving_count == 1)
			return false;
		gw_queue_drop(queue, frame, GW_DROP_NO_RX_BUFFERS);
		return true;
	case LANDING_BROKEN:
		break;
	}
	gw_queue_drop(queue, frame, GW_DROP_RING_BROKEN);
	return true;
}

/* The ring of this frame's flow; there is at least one. */
static struct receiver *choose(struct guest_queue *own, const struct gw_frame *frame)
{
	struct receiver *receiver;
	uint32_t hash;
	int pair;

	if (__builtin_expect(own->receiving_count == 1, 1))
		return own->receiving[0];
	hash = steering_hash(frame);
	pair = steering_pair(&own->steering, hash);
	receiver = pair < 0 ? NULL : own->guest->receiver[pair];
	if (receiver && receiver->enabled && receiver->queue->priv == own)
		return receiver;
	/* A fraction of the range, not a remainder: a multiplication. */
	return own->receiving[(uint64_t)hash * own->receiving_count >> 32];
}

/* Buffers lie ready for long before a frame comes: time enough to ask where they are. */
void receiver_look(struct receiver *receiver)
{
	struct iotlb_miss miss;

	if (receiver->asking ||
	    !(ring_missing(receiver->ring, &miss) || ring_look_due(receiver->ring)))
		return;
	receiver->asking = true;
	gw_eventfd_signal(receiver->event_fd);
}

static void settle(struct gw_queue *queue, struct receiver *receiver)
{
	receiver->unflushed = false;
	if (ring_flush(receiver->ring))
		guest_signal(queue, &receiver->call_fd, receiver->event_fd);
	if (ring_fault(receiver->ring) != RING_FAULT_NONE)
		guest_tell_broken(queue, receiver->ring, "receive", receiver->pair, &receiver->told,
				  &receiver->err_fd, receiver->event_fd);
	if (__builtin_expect(receiver->iommu, 0))
		receiver_look(receiver);
}

/* The receivers of one call, each once. */
struct touched {
	struct receiver *receiver[GUEST_PAIRS_MAX];
	unsigned int count;
};

static void touch(struct touched *touched, struct receiver *receiver)
{
	if (receiver->unflushed)
		return;
	receiver->unflushed = true;
	touched->receiver[touched->count++] = receiver;
}

/* How many of the first frames go to one ring, and the ring of the one behind them. */
static unsigned int choose_run(struct guest_queue *own, struct gw_frame *const *frames,
			       unsigned int count, struct receiver *receiver,
			       struct receiver **next)
{
	unsigned int same = 1;

	*next = receiver;
	if (__builtin_expect(own->receiving_count == 1, 1))
		return count;
	for (; same < count; same++) {
		*next = choose(own, frames[same]);
		if (*next != receiver)
			break;
	}
	return same;
}

/* Returns how many were taken; fewer than count: no more of them now. */
static unsigned int deliver_all(struct gw_queue *queue, struct receiver *receiver,
				struct gw_frame *const *frames, unsigned int count)
{
	unsigned int done = 0;

	for (;; done++) {
		done += receive_run(receiver, frames + done, count - done);
		if (done == count || !deliver(queue, receiver, frames[done]))
			return done;
	}
}

unsigned int receiver_tx(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count)
{
	struct guest_queue *own = queue->priv;
	unsigned int done = 0, run, taken;
	struct receiver *receiver, *next;
	struct touched touched;

	if (!own->receiving_count) {
		queue->refusal = GW_DROP_EGRESS_DOWN;
		return 0;
	}
	touched.count = 0;
	for (next = NULL; done < count;) {
		receiver = next ? next : choose(own, frames[0]);
		run = choose_run(own, frames + done, count - done, receiver, &next);
		touch(&touched, receiver);
		taken = deliver_all(queue, receiver, frames + done, run);
		done += taken;
		if (taken < run)
			break;
	}
	for (unsigned int i = 0; i < touched.count; i++)
		settle(queue, touched.receiver[i]);
	return done;
}
