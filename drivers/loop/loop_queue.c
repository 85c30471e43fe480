/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue of a loop port, all of it the worker's: frames go into the device and are
 * recognized when it returns them, and what it transmits may be received again.
 *
 * Each frame in the device has a slot with a generation; the cookie that the device
 * returns is made of both, so that a completion that is bogus, or the second for its
 * frame, is recognized, counted, and reported to nobody. What a driver may rely on is
 * asserted: that memory is mapped, and that no header asks for more than the device
 * was said to take; what it takes is handed on with the header as it is.
 */
#include "fd.h"
#include "loop.h"
#include "loop_port.h"
#include <assert.h>
#include <linux/if_ether.h>
#include <string.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define NS_PER_US      1000u
#define GENERATION_BIT 32

/* Source address of what comes back when the destination cannot be one (multicast). */
static const uint8_t own_mac[ETH_ALEN] = { 0x02, 'l', 'o', 'o', 'p', 0 };

/* ---- receive ---- */

bool loop_receive(struct loop *loop, const uint8_t *bytes, uint32_t len,
		  const struct virtio_net_hdr_v1 *header)
{
	struct iovec room[RX_POOL_SEGS_MAX];
	unsigned int need = rx_pool_buffers(len);
	struct gw_frame *frame;
	uint32_t done = 0;
	unsigned int at;

	assert(len >= GW_FRAME_LEN_MIN && len <= GW_FRAME_LEN_MAX);
	if (rx_pool_room(loop->pool, room, need) < need)
		return false;
	for (unsigned int i = 0; i < need; i++) {
		uint32_t left = len - done, part = (uint32_t)room[i].iov_len;

		if (part > left)
			part = left;
		memcpy(room[i].iov_base, bytes + done, part);
		done += part;
	}
	frame = rx_pool_take(loop->pool, gw_port_queue(loop->port, 0), len);
	if (header)
		frame->header = *header;
	at = (loop->received_head + loop->received_count++) % LOOP_RX_BUFFERS;
	loop->received[at] = frame;
	return true;
}

static void echo(struct loop *loop, const uint8_t *bytes, uint32_t len,
		 const struct virtio_net_hdr_v1 *header)
{
	uint8_t swapped[GW_FRAME_LEN_MAX];

	if (loop->echo == LOOP_ECHO_SWAP) {
		const uint8_t *destination = bytes, *source = bytes + ETH_ALEN;

		memcpy(swapped, source, ETH_ALEN);
		memcpy(swapped + ETH_ALEN, destination[0] & 1 ? own_mac : destination, ETH_ALEN);
		memcpy(swapped + 2 * ETH_ALEN, bytes + 2 * ETH_ALEN, len - 2 * ETH_ALEN);
		bytes = swapped;
	}
	if (!loop_receive(loop, bytes, len, header))
		gw_queue_rx_drop(gw_port_queue(loop->port, 0), GW_DROP_NO_RX_BUFFERS, 1);
}

void loop_on_wire(void *arg, const uint8_t *bytes, uint32_t len,
		  const struct virtio_net_hdr_v1 *header)
{
	struct loop *loop = arg;

	if (loop->wire.fn)
		loop->wire.fn(loop->wire.arg, bytes, len, header);
	if (loop->echo != LOOP_ECHO_OFF && !loop->stopping)
		echo(loop, bytes, len, header);
}

unsigned int loop_rx(struct gw_queue *queue, struct gw_frame **frames, unsigned int max)
{
	struct loop *loop = queue->priv;
	unsigned int count = 0;

	while (count < max && loop->received_count) {
		frames[count++] = loop->received[loop->received_head];
		loop->received_head = (loop->received_head + 1) % LOOP_RX_BUFFERS;
		loop->received_count--;
	}
	return count;
}

void loop_release(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count)
{
	struct loop *loop = queue->priv;

	for (unsigned int i = 0; i < count; i++)
		rx_pool_put(loop->pool, frames[i]);
}

/* ---- transmit ---- */

unsigned int loop_out(const struct loop *loop)
{
	return loop->ring - loop->idle_count;
}

/* The bits that a frame needs a device to take. */
static uint32_t needs_of(const struct virtio_net_hdr_v1 *header)
{
	uint32_t needs = header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM ? GW_OFFLOAD_CSUM : 0;

	if (header->gso_type & VIRTIO_NET_HDR_GSO_ECN)
		needs |= GW_OFFLOAD_ECN;
	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return needs;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return needs | GW_OFFLOAD_TSO4;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return needs | GW_OFFLOAD_TSO6;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return needs | GW_OFFLOAD_USO;
	}
	return UINT32_MAX;
}

static bool is_private(const struct loop *loop, const struct iovec *seg)
{
	struct iovec arena = gw_port_arena(loop->port);
	size_t at = (size_t)((uint8_t *)seg->iov_base - (uint8_t *)arena.iov_base);

	return at < arena.iov_len && seg->iov_len <= arena.iov_len - at;
}

/* What a driver may rely on when its port has said what it takes. */
static void check_offloads(const struct loop *loop, const struct gw_frame *frame)
{
	uint32_t needs = needs_of(&frame->header);

	assert(!(needs & ~loop->offloads.takes));
	assert(!loop->offloads.one_segment || frame->seg_count == 1);
	if (!needs || !loop->offloads.header_private)
		return;
	assert(frame->seg[0].iov_len <= GW_HEADER_MAX && is_private(loop, &frame->seg[0]));
	memset((uint8_t *)frame->seg[0].iov_base - GW_HEADER_ROOM, LOOP_ROOM_FILL, GW_HEADER_ROOM);
}

unsigned int loop_tx(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count)
{
	struct loop *loop = queue->priv;
	uint64_t now = gw_now_ns();

	for (unsigned int i = 0; i < count; i++) {
		uint32_t index;
		struct loop_slot *slot;

		if (!loop->idle_count) {
			queue->refusal = GW_DROP_EGRESS_FULL;
			return i;
		}
		assert(!frames[i]->memmap || !loop->map_count ||
		       loop_is_mapped(loop, frames[i]->memmap));
		check_offloads(loop, frames[i]);
		index = loop->idle[--loop->idle_count];
		slot = &loop->slot[index];
		slot->frame = frames[i];
		if (!loop_device_submit(loop->device,
					(uint64_t)slot->generation << GENERATION_BIT | index,
					frames[i], now))
			assert(!"the device has as many descriptors as there are slots");
	}
	return count;
}

/* The frame that a completion stands for; NULL for one that should not be. */
static struct gw_frame *take_frame(struct loop *loop, uint64_t cookie)
{
	uint32_t index = (uint32_t)cookie;
	struct loop_slot *slot;
	struct gw_frame *frame;

	if (index >= loop->ring)
		return NULL;
	slot = &loop->slot[index];
	if (!slot->frame || slot->generation != cookie >> GENERATION_BIT)
		return NULL;
	frame = slot->frame;
	slot->frame = NULL;
	slot->generation++;
	loop->idle[loop->idle_count++] = index;
	return frame;
}

unsigned int loop_reap(struct gw_queue *queue, struct gw_done *done, unsigned int max)
{
	struct loop *loop = queue->priv;
	struct loop_completion completion;
	unsigned int count = 0;

	if (!loop->stopping)
		loop_device_run(loop->device, gw_now_ns());
	while (count < max && loop_device_next(loop->device, &completion)) {
		struct gw_frame *frame = take_frame(loop, completion.cookie);

		if (!frame) {
			loop->bogus++;
			continue;
		}
		loop->failed += completion.failed;
		done[count].frame = frame;
		done[count++].status = completion.failed ? GW_DONE_FAILED : GW_DONE_OK;
	}
	if (count && loop->stopping && !loop_out(loop))
		gw_eventfd_signal(loop->home_fd);
	return count;
}

bool loop_arm(struct gw_queue *queue, unsigned int wants, unsigned int *poll_us)
{
	struct loop *loop = queue->priv;
	uint64_t now, due;

	if (!wants)
		return false;
	gw_eventfd_clear(loop->wake_fd);
	if ((wants & GW_WANT_RX && loop->received_count) ||
	    (wants & GW_WANT_TX && loop->idle_count))
		return true;
	if (!(wants & GW_WANT_REAP))
		return false;
	now = gw_now_ns();
	if (loop_device_has_work(loop->device, now, &due))
		return true;
	if (due && !loop->stopping)
		*poll_us = (unsigned int)((due - now + NS_PER_US - 1) / NS_PER_US);
	return false;
}
