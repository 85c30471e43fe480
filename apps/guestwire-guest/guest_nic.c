/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest_nic_inside.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_RX_MRG 2048u
#define MIN_RX_FRAME   1518u
#define SCRIBBLE       0xdb
#define TABLE_ALIGN    16u
#define SUPER_FEATURES                                                       \
	(1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO6 | \
	 1ull << NIC_GUEST_USO4 | 1ull << NIC_GUEST_USO6)
#define BUFFER_ALIGN 64u

static struct layout_shape tx_shape(const struct guest_options *o)
{
	return (struct layout_shape){ (enum layout_header)o->header, (uint32_t)o->descriptors.low,
				      (uint32_t)o->descriptors.high, o->unaligned, o->cross_page };
}

static struct layout_shape rx_shape(const struct guest_options *o)
{
	return (struct layout_shape){ (enum layout_header)o->rx_header,
				      (uint32_t)o->rx_descriptors.low,
				      (uint32_t)o->rx_descriptors.high, o->unaligned,
				      o->cross_page };
}

int guest_nic_open(struct guest_nic *nic, const struct guest_options *options, uint32_t index,
		   struct guest_memory *memory, struct tally *tally, struct fail *fail)
{
	enum driver_ring_kind kind = (enum driver_ring_kind)options->ring;
	int rc;

	memset(nic, 0, sizeof(*nic));
	nic->options = options;
	nic->index = index;
	nic->stream = (uint32_t)options->stream + index;
	nic->memory = memory;
	nic->tally = tally;
	nic->address.ethertype = (uint16_t)options->ethertype;
	memcpy(nic->address.src, options->src.bytes, PATTERN_MAC_BYTES);
	memcpy(nic->address.dst, options->dst.bytes, PATTERN_MAC_BYTES);
	nic->packet = options_packet(options);
	nic->packet.flow = (uint16_t)index;
	nic->frame = malloc(GUEST_MAX_FRAME + NIC_HEADER_BYTES);
	nic->rx_frame = malloc(GUEST_MAX_FRAME + NIC_HEADER_BYTES);
	if (!nic->frame || !nic->rx_frame)
		return fail_set(fail, -ENOMEM, "no memory for a frame");
	rc = driver_ring_open(&nic->rx.ring, memory, kind, (uint16_t)options->ring_size, fail);
	if (!rc)
		rc = driver_ring_open(&nic->tx.ring, memory, kind, (uint16_t)options->ring_size,
				      fail);
	return rc;
}

static int make_slots(struct guest_nic *nic, struct nic_side *side, size_t total, struct fail *fail)
{
	uint32_t count = side->ring.size, pieces = side->shape.pieces_high;
	uint64_t align = side->shape.cross_page ? GUEST_PAGE : BUFFER_ALIGN;
	int rc = 0;

	side->room = layout_room(&side->shape, total);
	side->slots = calloc(count, sizeof(*side->slots));
	side->segments = calloc((size_t)count * pieces, sizeof(*side->segments));
	side->free = calloc(count, sizeof(*side->free));
	if (!side->slots || !side->segments || !side->free)
		return fail_set(fail, -ENOMEM, "no memory for %u slots", count);
	for (uint32_t i = 0; !rc && i < count; i++) {
		struct nic_slot *slot = &side->slots[i];

		slot->segments = &side->segments[(size_t)i * pieces];
		side->free[side->free_count++] = count - 1 - i;
		rc = guest_memory_alloc(nic->memory, side->room, align, &slot->span, fail);
		if (!rc && nic->indirect)
			rc = guest_memory_alloc(nic->memory, pieces * sizeof(struct vring_desc),
						TABLE_ALIGN, &slot->table, fail);
	}
	return rc;
}

/* How many bytes a receive chain has, header included. */
static size_t rx_buffer_bytes(const struct guest_nic *nic)
{
	size_t frame =
		nic->options->size.high > MIN_RX_FRAME ? nic->options->size.high : MIN_RX_FRAME;

	if (nic->options->rx_buffer)
		return nic->options->rx_buffer;
	if (nic->mergeable)
		return DEFAULT_RX_MRG;
	/* Super-frames come whole, and into one buffer (5.1.6.3.1). */
	return nic->header_len + (nic->features & SUPER_FEATURES ? GUEST_MAX_FRAME : frame);
}

static bool use_table(const struct guest_nic *nic, uint16_t count, uint64_t turn)
{
	if (!nic->indirect || nic->options->indirect == INDIRECT_NEVER)
		return false;
	if (nic->options->indirect == INDIRECT_ALWAYS)
		return true;
	return count > 1 && (turn & 1);
}

bool guest_nic_offer(struct guest_nic *nic, uint32_t number)
{
	struct nic_side *rx = &nic->rx;
	struct nic_slot *slot = &rx->slots[number];
	bool table = use_table(nic, slot->count, number);

	return driver_ring_add(&rx->ring, slot->segments, slot->count, true,
			       table ? &slot->table : NULL, number) >= 0;
}

/* The feature that sending super-frames of this kind takes. */
static int super_feature(enum packet_kind kind)
{
	switch (kind) {
	case PACKET_TCP4:
		return VIRTIO_NET_F_HOST_TSO4;
	case PACKET_TCP6:
		return VIRTIO_NET_F_HOST_TSO6;
	case PACKET_UDP4:
	case PACKET_UDP6:
		return NIC_HOST_USO;
	case PACKET_RAW:
		break;
	}
	return -1;
}

/* What was negotiated has to allow what the options ask for. */
static int prepare_packets(struct guest_nic *nic, struct fail *fail)
{
	const struct guest_options *o = nic->options;

	nic->packet.partial =
		o->checksum != CHECKSUM_COMPLETE && guest_nic_has(nic, VIRTIO_NET_F_CSUM);
	nic->packet.ecn = guest_nic_has(nic, VIRTIO_NET_F_HOST_ECN);
	if (!o->send_given)
		return 0;
	if (o->checksum == CHECKSUM_PARTIAL && !nic->packet.partial)
		return fail_set(fail, -ENOTSUP, "--checksum partial: csum was not negotiated");
	if (guest_nic_pieces_max(nic) > 1 &&
	    (!nic->packet.partial || !guest_nic_has(nic, super_feature(nic->packet.kind))))
		return fail_set(fail, -ENOTSUP,
				"frames of more than --mss: neither csum nor segmentation of this "
				"kind may be missing from --offloads");
	return 0;
}

uint32_t guest_nic_pieces_max(const struct guest_nic *nic)
{
	return nic->packet.kind == PACKET_RAW
		       ? 1
		       : packet_pieces(&nic->packet, nic->options->size.high);
}

static void build_rx(struct guest_nic *nic, size_t total)
{
	struct nic_side *rx = &nic->rx;
	size_t header = total < nic->header_len ? total : nic->header_len;

	for (uint32_t i = 0; i < rx->ring.size; i++) {
		struct nic_slot *slot = &rx->slots[i];

		slot->count = layout_place(&rx->shape, &slot->span, header, total - header,
					   rx->turn++, slot->segments);
		slot->frame_len = (uint32_t)total;
		layout_guard(slot->segments, slot->count);
		if (!guest_nic_offer(nic, i))
			break; /* direct chains fill the ring before the slots end */
	}
	driver_ring_publish(&rx->ring);
}

int guest_nic_prepare(struct guest_nic *nic, uint64_t features, struct fail *fail)
{
	bool modern = features >> VIRTIO_F_VERSION_1 & 1;
	size_t rx_total;
	int rc;

	nic->features = features;
	rc = prepare_packets(nic, fail);
	if (rc)
		return rc;
	nic->indirect = features >> VIRTIO_RING_F_INDIRECT_DESC & 1;
	nic->mergeable = features >> VIRTIO_NET_F_MRG_RXBUF & 1;
	nic->header_len = modern || nic->mergeable ? NIC_HEADER_BYTES : NIC_LEGACY_HEADER_BYTES;
	nic->tx.shape = tx_shape(nic->options);
	nic->rx.shape = rx_shape(nic->options);
	rx_total = rx_buffer_bytes(nic);
	rc = make_slots(nic, &nic->rx, rx_total, fail);
	if (!rc)
		rc = make_slots(nic, &nic->tx, nic->header_len + nic->options->size.high, fail);
	if (rc)
		return rc;
	build_rx(nic, rx_total);
	return guest_nic_prepare_runs(nic, fail);
}

/* Never more descriptors than it had. */
static void give_again(struct guest_nic *nic, uint32_t number)
{
	const struct nic_slot *slot = &nic->tx.slots[number];
	bool table = nic->indirect && nic->options->indirect != INDIRECT_NEVER && slot->count > 1;

	driver_ring_add(&nic->tx.ring, slot->segments, slot->count, false,
			table ? &slot->table : NULL, number);
}

int guest_nic_reset(struct guest_nic *nic, uint32_t *frames, struct fail *fail)
{
	uint32_t *tokens = calloc(nic->tx.ring.size, sizeof(*tokens));
	uint32_t count;

	if (!tokens)
		return fail_set(fail, -ENOMEM, "no memory for %u chains", nic->tx.ring.size);
	guest_nic_settle(nic);
	count = driver_ring_reset(&nic->rx.ring, tokens);
	for (uint32_t i = 0; i < count; i++)
		guest_nic_offer(nic, tokens[i]);
	driver_ring_publish(&nic->rx.ring);
	*frames = driver_ring_reset(&nic->tx.ring, tokens);
	for (uint32_t i = 0; i < *frames; i++)
		give_again(nic, tokens[i]);
	driver_ring_publish(&nic->tx.ring);
	free(tokens);
	return 0;
}

static void close_side(struct nic_side *side)
{
	driver_ring_close(&side->ring);
	free(side->slots);
	free(side->segments);
	free(side->free);
	free(side->plain);
}

void guest_nic_close(struct guest_nic *nic)
{
	close_side(&nic->rx);
	close_side(&nic->tx);
	free(nic->frame);
	free(nic->rx_frame);
	memset(nic, 0, sizeof(*nic));
}

static void fill_tx(struct guest_nic *nic, const struct nic_slot *slot, uint64_t stream)
{
	uint8_t *linear = slot->count == 1 ? slot->segments[0].host : nic->frame;
	struct virtio_net_hdr_v1 header = { 0 }; /* no offloads (5.1.6.2) */

	if (nic->packet.kind == PACKET_RAW)
		pattern_make(linear + nic->header_len, slot->frame_len, &nic->address,
			     (uint32_t)stream, slot->sequence);
	else
		packet_make(&nic->packet, linear + nic->header_len, slot->frame_len,
			    (uint32_t)stream, slot->sequence, &header);
	memcpy(linear, &header, nic->header_len);
	if (slot->count > 1)
		layout_scatter(slot->segments, slot->count, nic->frame);
}

/* Every other frame lies in memory that was plugged, as far as that goes. */
static struct guest_span tx_span(const struct guest_nic *nic, struct nic_slot *slot)
{
	uint64_t at = (uint64_t)(slot - nic->tx.slots) * nic->tx.room;

	slot->in_plugged = nic->sent & 1 && nic->plugged_bytes >= nic->tx.room &&
			   at <= nic->plugged_bytes - nic->tx.room;
	if (slot->in_plugged)
		return (struct guest_span){ nic->plugged.host + at, nic->plugged.gpa + at };
	return slot->span;
}

/* Frame number turn: sizes go round their range. */
static void build_tx(struct guest_nic *nic, struct nic_slot *slot, uint64_t turn, uint64_t sequence)
{
	struct nic_side *tx = &nic->tx;
	struct guest_span span = tx_span(nic, slot);

	slot->frame_len = options_size(nic->options, turn);
	slot->sequence = sequence;
	slot->count = layout_place(&tx->shape, &span, nic->header_len, slot->frame_len, tx->turn++,
				   slot->segments);
	if (slot->count > 1)
		layout_guard(slot->segments, slot->count);
	fill_tx(nic, slot, nic->stream);
}

void guest_nic_build_fixed(struct guest_nic *nic, uint32_t number)
{
	struct nic_slot *slot = &nic->tx.slots[number];

	build_tx(nic, slot, number, PATTERN_FIXED | number);
	slot->built = true;
}

uint32_t guest_nic_rewrite(struct guest_nic *nic, uint32_t stream)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < nic->tx.ring.size; i++) {
		if (!nic->tx.slots[i].out)
			continue;
		fill_tx(nic, &nic->tx.slots[i], stream);
		done++;
	}
	return done;
}

static bool send_one(struct guest_nic *nic)
{
	struct nic_side *tx = &nic->tx;
	bool fixed = nic->options->pattern == GUEST_PATTERN_FIXED;
	uint32_t number = tx->free[tx->free_count - 1];
	struct nic_slot *slot = &tx->slots[number];
	bool table;

	if (!slot->built) {
		/* Direct chains may be this long; build no frame that cannot go. */
		if (tx->ring.free_count < tx->shape.pieces_high)
			return false;
		build_tx(nic, slot, nic->sent, fixed ? PATTERN_FIXED | number : nic->sent_pieces);
		slot->built = fixed;
	}
	table = use_table(nic, slot->count, nic->sent);
	if (driver_ring_add(&tx->ring, slot->segments, slot->count, false,
			    table ? &slot->table : NULL, number) < 0)
		return false;
	if (nic->options->addresses)
		layout_print(stderr, slot->segments, slot->count, nic->header_len);
	tx->free_count--;
	slot->out = true;
	nic->sent++;
	nic->sent_pieces +=
		nic->packet.kind == PACKET_RAW ? 1 : packet_pieces(&nic->packet, slot->frame_len);
	nic->sent_bytes += slot->frame_len;
	return true;
}

uint32_t guest_nic_send(struct guest_nic *nic, uint32_t limit)
{
	uint32_t done = nic->tx.plain ? guest_nic_send_run(nic, limit) : 0;

	while (done < limit && nic->tx.free_count && send_one(nic))
		done++;
	if (done) {
		driver_ring_publish(&nic->tx.ring);
		driver_ring_kick(&nic->tx.ring);
	}
	return done;
}

uint32_t guest_nic_reap(struct guest_nic *nic)
{
	struct nic_side *tx = &nic->tx;
	enum ring_reaped reaped;
	uint32_t token, len, run, seen = 0;

	while (seen < tx->ring.size) {
		struct nic_slot *slot;

		run = tx->plain ? guest_nic_reap_run(nic) : 0;
		/* What is there by now is looked for in the next visit. */
		if (run)
			return seen + run;
		reaped = driver_ring_reap(&tx->ring, &token, &len);
		if (reaped == RING_NOTHING)
			break;
		seen++;
		if (reaped == RING_BAD)
			continue;
		slot = &tx->slots[token];
		nic->completed++;
		slot->out = false;
		nic->tx_used_len_set += len != 0;
		if (nic->options->scribble)
			layout_fill(slot->segments, slot->count, SCRIBBLE);
		tx->free[tx->free_count++] = token;
	}
	return seen;
}
