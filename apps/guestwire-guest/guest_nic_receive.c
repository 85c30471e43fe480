/* SPDX-License-Identifier: BSD-2-Clause */
/* The receiving half of the card: what a device put into the buffers, and whether it may. */
#include "guest_nic_inside.h"

#include <endian.h>
#include <string.h>

#define RX_BUDGET 256u /* buffers of one visit */
#define RX_AHEAD  16u  /* buffers whose first line is asked for before they are looked at */

/* What a device may say, going by what was negotiated (5.1.6.4.1). */
static bool header_allowed(const struct guest_nic *nic, const struct virtio_net_hdr_v1 *h)
{
	uint8_t type = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

	if (h->flags & ~(VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID))
		return false;
	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && !guest_nic_has(nic, VIRTIO_NET_F_GUEST_CSUM))
		return false;
	if (h->gso_type & VIRTIO_NET_HDR_GSO_ECN && !guest_nic_has(nic, VIRTIO_NET_F_GUEST_ECN))
		return false;
	switch (type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return !(h->gso_type & VIRTIO_NET_HDR_GSO_ECN);
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return guest_nic_has(nic, VIRTIO_NET_F_GUEST_TSO4);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return guest_nic_has(nic, VIRTIO_NET_F_GUEST_TSO6);
	case NIC_GSO_UDP_L4:
		return guest_nic_has(nic, NIC_GUEST_USO4) || guest_nic_has(nic, NIC_GUEST_USO6);
	}
	return false;
}

static uint16_t read_header(struct guest_nic *nic, const struct virtio_net_hdr_v1 *h)
{
	uint16_t buffers = le16toh(h->num_buffers);

	nic->rx_bad_header += !header_allowed(nic, h);
	if (nic->header_len < NIC_HEADER_BYTES)
		return 1;
	if (!nic->mergeable) {
		nic->rx_zero_buffers += buffers != 1;
		return 1;
	}
	if (!buffers || buffers > nic->rx.ring.size) {
		nic->rx_bad_header++;
		return 1;
	}
	return buffers;
}

static void take_frame(struct guest_nic *nic, const uint8_t *frame, size_t len)
{
	nic->rx_frames++;
	nic->tally->queue = nic->index;
	if (nic->packet.kind != PACKET_RAW && packet_is_ours(frame, len, nic->packet.port))
		packet_check(&nic->packets, nic->tally, frame, len, &nic->rx_header);
	else
		tally_frame(nic->tally, frame, len);
}

/* First buffer of a frame: the header, then bytes. In place when it is all there. */
static void take_first(struct guest_nic *nic, const struct nic_slot *slot, uint32_t len)
{
	struct virtio_net_hdr_v1 header = { .num_buffers = htole16(1) };

	nic->skipping = len < nic->header_len;
	nic->buffers_left = 1;
	nic->frame_len = 0;
	if (nic->skipping) {
		nic->rx_bad_length++;
		return;
	}
	layout_gather(slot->segments, slot->count, (uint8_t *)&header, nic->header_len);
	nic->rx_header = header;
	nic->buffers_left = read_header(nic, &header);
	if (slot->count == 1 && nic->buffers_left == 1) {
		take_frame(nic, slot->segments[0].host + nic->header_len, len - nic->header_len);
		nic->skipping = true; /* done already */
		return;
	}
	nic->frame_len = layout_gather(slot->segments, slot->count, nic->rx_frame,
				       len < GUEST_MAX_FRAME ? len : GUEST_MAX_FRAME);
}

static void take_next(struct guest_nic *nic, const struct nic_slot *slot, uint32_t len)
{
	size_t space = GUEST_MAX_FRAME + NIC_HEADER_BYTES - nic->frame_len;

	nic->frame_len += layout_gather(slot->segments, slot->count, nic->rx_frame + nic->frame_len,
					len < space ? len : space);
}

/* len bytes, from the first segment on. */
static void note_written(struct guest_log *log, const struct nic_slot *slot, uint32_t len)
{
	for (uint16_t i = 0; log && i < slot->count && len; i++) {
		uint32_t part = len < slot->segments[i].len ? len : slot->segments[i].len;

		guest_log_must(log, slot->segments[i].gpa, part);
		len -= part;
	}
}

static void take_buffer(struct guest_nic *nic, const struct nic_slot *slot, uint32_t len)
{
	nic->rx_chains++;
	if (!layout_guards_intact(slot->segments, slot->count)) {
		nic->rx_overruns++;
		layout_guard(slot->segments, slot->count);
	}
	if (len > slot->frame_len) {
		nic->rx_bad_length++;
		len = slot->frame_len;
	}
	note_written(nic->log, slot, len);
	if (nic->buffers_left)
		take_next(nic, slot, len);
	else
		take_first(nic, slot, len);
	if (--nic->buffers_left)
		return;
	if (!nic->skipping)
		take_frame(nic, nic->rx_frame + nic->header_len, nic->frame_len - nic->header_len);
}

static void take_slot(struct guest_nic *nic, uint32_t number, uint32_t len)
{
	const struct nic_slot *slot = &nic->rx.slots[number];
	const struct ring_segment *first = slot->segments;

	take_buffer(nic, slot, len);
	/* A stale frame must not pass for a new one that was never written. */
	first->host[nic->header_len < first->len ? nic->header_len : 0] ^= 0xff;
}

/*
 * The device's processor wrote there, to the end if the frame is as long as the buffer, and
 * the guard behind it is looked at. A hint; as one to write the line would come later.
 */
static void fetch_slot(const struct guest_nic *nic, uint32_t number)
{
	const struct ring_segment *first = nic->rx.slots[number].segments;

	__builtin_prefetch(first->host);
	__builtin_prefetch(first->host + first->len);
}

/* All that is there of chains of one descriptor; 0 says nothing. */
static uint32_t receive_run(struct guest_nic *nic)
{
	struct nic_side *rx = &nic->rx;
	uint32_t tokens[RX_BUDGET], lens[RX_BUDGET], count;

	count = driver_ring_reap_run(&rx->ring, tokens, lens, RX_BUDGET);
	for (uint32_t i = 0; i < count && i < RX_AHEAD; i++)
		fetch_slot(nic, tokens[i]);
	for (uint32_t i = 0; i < count; i++) {
		if (i + RX_AHEAD < count)
			fetch_slot(nic, tokens[i + RX_AHEAD]);
		take_slot(nic, tokens[i], lens[i]);
	}
	if (rx->plain)
		driver_ring_add_run(&rx->ring, rx->plain, tokens, count, true);
	for (uint32_t i = 0; !rx->plain && i < count; i++)
		guest_nic_offer(nic, tokens[i]);
	return count;
}

uint32_t guest_nic_receive(struct guest_nic *nic)
{
	struct nic_side *rx = &nic->rx;
	enum ring_reaped reaped;
	uint32_t token, len, run = 0, seen = 0;

	/* Behind a run: what is there by now is looked for in the next visit. */
	while (!run && seen < RX_BUDGET) {
		run = receive_run(nic);
		seen += run;
		reaped = run ? RING_NOTHING : driver_ring_reap(&rx->ring, &token, &len);
		if (reaped == RING_NOTHING)
			break;
		seen++;
		if (reaped == RING_BAD)
			continue;
		take_slot(nic, token, len);
		guest_nic_offer(nic, token);
	}
	if (seen) {
		driver_ring_publish(&rx->ring);
		driver_ring_kick(&rx->ring);
	}
	return seen;
}

void guest_nic_settle(struct guest_nic *nic)
{
	while (guest_nic_reap(nic) || guest_nic_receive(nic))
		;
	nic->rx_cut += nic->buffers_left && !nic->skipping;
	nic->buffers_left = 0;
	nic->skipping = false;
}
