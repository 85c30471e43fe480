/* SPDX-License-Identifier: BSD-2-Clause */
/* The transmit side of a packet port: slots, and what becomes of them (see packet.c). */
#include "packet.h"
#include "loop.h"
#include <assert.h>
#include <errno.h>
#include <linux/if_ether.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* While frames wait for the kernel to have room. */
#define RETRY_US    500u
/*
 * How long a frame is offered to a kernel that has no buffers for it. A full queue of
 * the interface says so, too, and 20 ms are a frame of 1500 bytes at 600 kbit/s.
 */
#define PATIENCE_NS 20000000u
#define TCP_BYTES   20u
#define UDP_BYTES   8u

static struct packet_slot *slot_at(const struct packet *packet, uint32_t position)
{
	return &packet->slot[packet_index(packet, position)];
}

/* The frame that is to lie in a slot knows so. */
static void slot_place(struct packet *packet, uint32_t index, struct gw_frame *frame)
{
	packet->slot[index].frame = frame;
	frame->id = index;
	frame->own[0].iov_base = tx_ring_data(&packet->ring, index);
}

void packet_slots_init(struct packet *packet)
{
	packet->done = packet->sent = packet->head = 0;
	for (uint32_t i = 0; i < packet->slots; i++)
		slot_place(packet, i, &packet->frames[i]);
}

struct gw_frame *packet_bounce(struct gw_queue *queue, uint32_t len)
{
	struct packet *packet = queue->priv;
	struct gw_frame *frame;

	if (!packet->running || packet->head - packet->done == packet->slots ||
	    len > packet->ring.len_max)
		return NULL;
	assert(tx_ring_status(&packet->ring, packet_index(packet, packet->head)) == SLOT_IDLE);
	frame = slot_at(packet, packet->head)->frame;
	packet->head++;
	frame->home = queue;
	frame->memmap = NULL;
	frame->seg = frame->own;
	frame->seg_count = 1;
	frame->own[0].iov_len = len;
	frame->len = len;
	return frame;
}

void packet_unbounce(struct gw_queue *queue, struct gw_frame *frame)
{
	struct packet *packet = queue->priv;

	assert(packet->head != packet->sent);
	assert(slot_at(packet, packet->head - 1)->frame == frame);
	packet->head--;
}

/*
 * The kernel stopped at a slot that it neither sent nor refused. If the device has no
 * queue it cut the frame itself, and says "no memory" of one that cannot be cut, or "no
 * buffers" of one that the device drops; and it would be told so for ever. True if
 * such a slot was spoilt, to be refused next.
 */
static bool give_up(struct packet *packet, int error)
{
	uint32_t at = packet->done;

	while (at != packet->sent &&
	       tx_ring_status(&packet->ring, packet_index(packet, at)) != SLOT_WAITING)
		at++;
	if (at == packet->sent)
		return false;
	if (!packet->stuck_ns || packet->stuck != at) {
		packet->stuck = at;
		packet->stuck_ns = gw_now_ns();
	}
	if (error == -ENOBUFS && gw_now_ns() - packet->stuck_ns < PATIENCE_NS)
		return false;
	tx_ring_spoil(&packet->ring, packet_index(packet, at));
	return true;
}

void packet_kick(struct packet *packet)
{
	int ret = tx_ring_kick(&packet->ring);

	packet->down = ret == -ENETDOWN || ret == -ENXIO || ret == -ENODEV;
	if (ret != -ENOMEM && ret != -ENOBUFS)
		packet->stuck_ns = 0;
	else if (give_up(packet, ret))
		(void)tx_ring_kick(&packet->ring);
}

bool packet_is_waiting(const struct packet *packet)
{
	return packet->sent != packet->done &&
	       tx_ring_status(&packet->ring, packet_index(packet, packet->sent - 1)) ==
		       SLOT_WAITING;
}

/*
 * Whether the frames that a super-frame is cut into are too long for this interface: the
 * kernel does not ask, and one that is no longer than gso_size is not cut at all.
 */
static bool pieces_too_long(const struct packet *packet, const struct gw_frame *frame)
{
	const struct virtio_net_hdr_v1 *header = &frame->header;
	uint32_t max = packet->interface.mtu + ETH_HLEN + VLAN_BYTES, least;

	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE || frame->len <= max)
		return false;
	least = header->gso_type == VIRTIO_NET_HDR_GSO_UDP_L4 ? UDP_BYTES : TCP_BYTES;
	return (uint32_t)header->csum_start + least + header->gso_size > max;
}

unsigned int packet_tx(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count)
{
	struct packet *packet = queue->priv;
	uint32_t first = packet->sent;

	for (unsigned int i = 0; i < count; i++) {
		struct packet_slot *slot = slot_at(packet, packet->sent);

		assert(packet->sent != packet->head && slot->frame == frames[i]);
		slot->dropped = slot->failed = false;
		if (pieces_too_long(packet, frames[i])) {
			gw_queue_drop(queue, frames[i], GW_DROP_TOO_LONG);
			slot->dropped = true;
			tx_ring_spoil(&packet->ring, frames[i]->id);
		} else {
			tx_ring_mark(&packet->ring, frames[i]->id, frames[i]->len,
				     &frames[i]->header);
		}
		packet->sent++;
	}
	packet_kick(packet);
	for (uint32_t at = first; packet->down && at != packet->sent; at++) {
		if (slot_at(packet, at)->dropped)
			continue;
		gw_queue_drop(queue, slot_at(packet, at)->frame, GW_DROP_EGRESS_DOWN);
		slot_at(packet, at)->dropped = true;
	}
	return count;
}

/* What reap says of the frame in a slot. */
static struct gw_done done_with(const struct packet *packet, const struct packet_slot *slot,
				bool failed)
{
	enum gw_done_status sent = packet->interface.veth ? GW_DONE_KERNEL_COPIED : GW_DONE_OK;

	if (slot->dropped)
		sent = GW_DONE_OK;
	else if (failed)
		sent = GW_DONE_FAILED;
	return (struct gw_done){ slot->frame, sent };
}

/*
 * The kernel has refused the slot at `done` and waits until it is good: the last
 * one that waits takes its place. Needs nothing to be handed out. Returns false if
 * it has to be tried again later.
 */
static bool close_gap(struct packet *packet)
{
	uint32_t gap = packet_index(packet, packet->done);
	uint32_t last = packet_index(packet, packet->sent - 1);
	struct gw_frame *frame = packet->slot[gap].frame;

	if (packet->head != packet->sent)
		return false;
	if (gap == last) {
		tx_ring_unmark(&packet->ring, gap);
	} else {
		tx_ring_move(&packet->ring, last, gap);
		packet->slot[gap].dropped = packet->slot[last].dropped;
		slot_place(packet, gap, packet->slot[last].frame);
		slot_place(packet, last, frame);
	}
	packet->sent--;
	packet->head--;
	return true;
}

/* Takes what waits back out of the ring, last first. Needs nothing to be handed out. */
static unsigned int take_back(struct packet *packet, struct gw_done *done, unsigned int max)
{
	unsigned int count = 0;

	while (count < max && packet->head == packet->sent && packet_is_waiting(packet)) {
		packet->sent--;
		packet->head--;
		done[count++] = done_with(packet, slot_at(packet, packet->sent), true);
		tx_ring_unmark(&packet->ring, packet_index(packet, packet->sent));
	}
	return count;
}

unsigned int packet_reap(struct gw_queue *queue, struct gw_done *done, unsigned int max)
{
	struct packet *packet = queue->priv;
	unsigned int count = 0;

	while (count < max && packet->done != packet->sent) {
		struct packet_slot *slot = slot_at(packet, packet->done);
		enum slot_status status =
			packet->running
				? tx_ring_status(&packet->ring, packet_index(packet, packet->done))
				: SLOT_IDLE;

		if (status == SLOT_IDLE) {
			done[count++] = done_with(packet, slot, slot->failed);
			packet->done++;
		} else if (status == SLOT_REFUSED) {
			struct gw_done refused = done_with(packet, slot, true);

			if (!close_gap(packet))
				break;
			done[count++] = refused;
			packet_kick(packet);
		} else {
			break;
		}
	}
	if (packet->running && packet->down)
		count += take_back(packet, done + count, max - count);
	return count;
}

bool packet_arm(struct gw_queue *queue, unsigned int wants, unsigned int *poll_us)
{
	struct packet *packet = queue->priv;

	if (!packet->running || !(wants & (GW_WANT_TX | GW_WANT_REAP)))
		return false;
	/* The kernel had no room for all: it is asked again, at the latest after RETRY_US. */
	if (packet_is_waiting(packet))
		packet_kick(packet);
	if (packet->sent != packet->done) {
		enum slot_status first =
			tx_ring_status(&packet->ring, packet_index(packet, packet->done));

		if (first == SLOT_IDLE || first == SLOT_REFUSED ||
		    (packet->down && packet_is_waiting(packet)))
			return true;
		*poll_us = RETRY_US;
	}
	return wants & GW_WANT_TX && packet->head - packet->done < packet->slots;
}
