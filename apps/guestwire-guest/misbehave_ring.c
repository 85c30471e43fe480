/* SPDX-License-Identifier: BSD-2-Clause */
/* Misdeeds of the guest: what it writes into descriptors, rings and headers. */
#include "misbehave_ring.h"

#include <endian.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "order.h"
#include "pattern.h"

#define SCRATCH  (2u << 20) /* guest memory for one misdeed */
#define TOO_LONG (1u << 20)

struct guest_span misdeed_scratch(struct guest_run *run)
{
	struct guest_span span = { NULL, NOWHERE };
	struct fail fail;

	if (guest_memory_alloc(&run->memory, SCRATCH, 4096, &span, &fail) < 0)
		return (struct guest_span){ run->memory.regions[0].host,
					    run->memory.regions[0].gpa };
	memset(span.host, 0, NIC_HEADER_BYTES);
	pattern_make(span.host + NIC_HEADER_BYTES, FRAME, &run->nic->address, 1, 0);
	return span;
}

static void set_desc(struct vring_desc *d, uint64_t addr, uint64_t len, uint16_t flags,
		     uint16_t next)
{
	*d = (struct vring_desc){ htole64(addr), htole32((uint32_t)len), htole16(flags),
				  htole16(next) };
}

static void post(struct driver_ring *ring, uint16_t head)
{
	ring->avail->ring[ring->avail_idx++ & (ring->size - 1)] = htole16(head);
	driver_ring_publish(ring);
	driver_ring_kick_always(ring);
}

/* One descriptor, at an address that arg chooses. */
enum { AT_NOWHERE, AT_HALF, AT_ACROSS, AT_WRAP, AT_LENGTH };

static void one_desc(struct guest_run *run, uint64_t arg)
{
	const struct guest_region *r = &run->memory.regions[0];
	uint64_t end = r->gpa + r->size;
	struct driver_ring *tx = misdeed_tx_ring(run);

	switch (arg) {
	case AT_NOWHERE:
		set_desc(tx->desc, NOWHERE, FULL, 0, 0);
		break;
	case AT_HALF:
	case AT_ACROSS:
		set_desc(tx->desc, end - FULL / 2, FULL, 0, 0);
		break;
	case AT_WRAP:
		set_desc(tx->desc, UINT64_MAX - 15, FULL, 0, 0);
		break;
	case AT_LENGTH:
		set_desc(tx->desc, r->gpa, UINT32_MAX, 0, 0);
		break;
	}
	post(tx, 0);
}

/* A good frame's memory, cut off at arg bytes (header included). */
static void sized(struct guest_run *run, uint64_t arg)
{
	set_desc(misdeed_tx_ring(run)->desc, misdeed_scratch(run).gpa, arg, 0, 0);
	post(misdeed_tx_ring(run), 0);
}

static void head_beyond(struct guest_run *run, uint64_t arg)
{
	post(misdeed_tx_ring(run), (uint16_t)(arg ? arg : misdeed_tx_ring(run)->size));
}

static void next_to(struct guest_run *run, uint64_t arg)
{
	struct driver_ring *tx = misdeed_tx_ring(run);
	struct guest_span s = misdeed_scratch(run);

	/* arg 0: itself; 1: through the whole ring and round; else: beyond it */
	for (uint16_t i = 0; i < tx->size; i++)
		set_desc(&tx->desc[i], s.gpa, FULL, NEXT, (uint16_t)(i + 1) % tx->size);
	if (arg != 1)
		set_desc(tx->desc, s.gpa, FULL, NEXT, (uint16_t)(arg ? tx->size : 0));
	post(tx, 0);
}

static void avail_jump(struct guest_run *run, uint64_t arg)
{
	struct driver_ring *tx = misdeed_tx_ring(run);

	set_desc(tx->desc, misdeed_scratch(run).gpa, FULL, 0, 0);
	tx->published = tx->avail_idx = (uint16_t)(tx->avail_idx + (arg ? arg : tx->size + 1u));
	store_release16(&tx->avail->idx, htole16(tx->published));
	driver_ring_kick_always(tx);
}

/* header, nothing, frame; or nothing at all */
static void zero_length(struct guest_run *run, uint64_t arg)
{
	struct driver_ring *tx = misdeed_tx_ring(run);
	struct guest_span s = misdeed_scratch(run);

	if (arg) {
		set_desc(&tx->desc[0], s.gpa, 0, 0, 0);
	} else {
		set_desc(&tx->desc[0], s.gpa, NIC_HEADER_BYTES, NEXT, 1);
		set_desc(&tx->desc[1], s.gpa, 0, NEXT, 2);
		set_desc(&tx->desc[2], s.gpa + NIC_HEADER_BYTES, FRAME, 0, 0);
	}
	post(tx, 0);
}

/* Two descriptors, flags of the first and the second in arg's low bytes. */
static void directions(struct guest_run *run, uint64_t arg)
{
	struct driver_ring *tx = misdeed_tx_ring(run);
	struct guest_span s = misdeed_scratch(run);

	set_desc(&tx->desc[0], s.gpa, NIC_HEADER_BYTES, NEXT | (arg & 0xff), 1);
	set_desc(&tx->desc[1], s.gpa + NIC_HEADER_BYTES, FRAME, arg >> 8 & 0xff, 0);
	post(tx, 0);
}

enum {
	TABLE_EMPTY,
	TABLE_ODD,
	TABLE_LONG,
	TABLE_BEYOND_RING,
	TABLE_NESTED,
	TABLE_WITH_NEXT,
	TABLE_NOWHERE,
	TABLE_ACROSS,
	TABLE_NEXT_BEYOND,
	TABLE_LOOP,
	TABLE_WRITABLE,
};

static void fill_table(struct vring_desc *t, uint32_t count, uint64_t gpa)
{
	for (uint32_t i = 0; i < count; i++)
		set_desc(&t[i], gpa, i ? 1 : FULL, i + 1 < count ? NEXT : 0, (uint16_t)(i + 1));
}

static void indirect(struct guest_run *run, uint64_t arg)
{
	struct driver_ring *tx = misdeed_tx_ring(run);
	const struct guest_region *r = &run->memory.regions[0];
	struct guest_span s = misdeed_scratch(run);
	struct vring_desc *t = (struct vring_desc *)(void *)(s.host + TABLE_AT);
	uint64_t at = s.gpa + TABLE_AT, len = 2 * sizeof(*t);
	uint16_t flags = INDIRECT;

	fill_table(t, 2, s.gpa);
	if (arg == TABLE_EMPTY)
		len = 0;
	if (arg == TABLE_ODD)
		len += 8;
	if (arg == TABLE_LONG)
		fill_table(t, 66000, s.gpa), len = 66000 * sizeof(*t);
	if (arg == TABLE_BEYOND_RING)
		fill_table(t, tx->size + 1u, s.gpa), len = (tx->size + 1u) * sizeof(*t);
	if (arg == TABLE_NESTED)
		set_desc(&t[1], at, 2 * sizeof(*t), INDIRECT, 0);
	if (arg == TABLE_WITH_NEXT)
		flags |= NEXT;
	if (arg == TABLE_NOWHERE)
		at = NOWHERE;
	if (arg == TABLE_ACROSS)
		at = r->gpa + r->size - sizeof(*t);
	if (arg == TABLE_NEXT_BEYOND)
		set_desc(&t[0], s.gpa, FULL, NEXT, 2);
	if (arg == TABLE_LOOP)
		set_desc(&t[1], s.gpa, 1, NEXT, 0);
	if (arg == TABLE_WRITABLE)
		flags |= WRITE;
	set_desc(&tx->desc[0], at, len, flags, 1);
	set_desc(&tx->desc[1], s.gpa, FULL, 0, 0);
	post(tx, 0);
}

/* The table is rewritten all the time while the back-end reads it. */
static void indirect_rewritten(struct guest_run *run, uint64_t arg)
{
	struct driver_ring *tx = misdeed_tx_ring(run);
	struct guest_span s = misdeed_scratch(run);
	volatile struct vring_desc *t = (struct vring_desc *)(void *)(s.host + TABLE_AT);

	(void)arg;
	fill_table((struct vring_desc *)(void *)(s.host + TABLE_AT), 2, s.gpa);
	set_desc(&tx->desc[0], s.gpa + TABLE_AT, 2 * sizeof(*t), INDIRECT, 0);
	for (uint32_t i = 0; i < TURNS; i++) {
		if (driver_ring_used_idx(tx) == tx->published)
			post(tx, 0);
		t[0].addr = htole64(i & 1 ? NOWHERE : s.gpa);
		t[0].len = htole32(i & 2 ? UINT32_MAX : FULL);
		t[1].next = htole16((uint16_t)i);
		t[1].flags = htole16(i & 4 ? NEXT | INDIRECT : 0);
	}
}

/* A good frame under a header of offloads that were never negotiated. */
static void header_of(struct guest_run *run, const struct virtio_net_hdr_v1 *h)
{
	struct driver_ring *tx = misdeed_tx_ring(run);
	struct guest_span s = misdeed_scratch(run);

	memcpy(s.host, h, NIC_HEADER_BYTES);
	set_desc(tx->desc, s.gpa, FULL, 0, 0);
	post(tx, 0);
}

static void checksum(struct guest_run *run, uint64_t arg)
{
	struct virtio_net_hdr_v1 h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM };

	h.csum_start = htole16((uint16_t)arg);
	h.csum_offset = htole16((uint16_t)(arg >> 16));
	header_of(run, &h);
}

/* arg: gso_type, gso_size << 8, hdr_len << 24 */
static void segmentation(struct guest_run *run, uint64_t arg)
{
	struct virtio_net_hdr_v1 h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				       .gso_type = (uint8_t)arg };

	h.gso_size = htole16((uint16_t)(arg >> 8));
	h.hdr_len = htole16((uint16_t)(arg >> 24));
	h.csum_start = htole16(34);
	h.csum_offset = htole16(16);
	header_of(run, &h);
}

/* arg pieces of one byte (0: as many as the ring has), allowed though unkind */
static void one_byte_pieces(struct guest_run *run, uint64_t arg)
{
	struct driver_ring *tx = misdeed_tx_ring(run);
	struct guest_span s = misdeed_scratch(run);
	uint16_t count = (uint16_t)(arg ? arg : tx->size);

	if (count > tx->size)
		count = tx->size;
	for (uint16_t i = 0; i < count; i++)
		set_desc(&tx->desc[i], s.gpa + i, 1, i + 1 < count ? NEXT : 0, (uint16_t)(i + 1));
	post(tx, 0);
}

/* arg: seed */
static void garbage(struct guest_run *run, uint64_t arg)
{
	struct driver_ring *tx = misdeed_tx_ring(run);
	uint64_t x = arg + 0x9e3779b97f4a7c15ull;
	uint8_t *desc = tx->desc_span.host, *avail = tx->avail_span.host;

	for (size_t i = 0; i < sizeof(struct vring_desc) * tx->size + 2u * tx->size; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		if (i < sizeof(struct vring_desc) * tx->size)
			desc[i] = (uint8_t)x;
		else
			avail[4 + i - sizeof(struct vring_desc) * tx->size] = (uint8_t)x;
	}
	avail_jump(run, tx->size);
}

/* Receive buffers come back into play with what arg makes of them. */
enum { RX_AS_IS, RX_READABLE, RX_NOWHERE, RX_LOOP, RX_ZERO };

static void receive_ring(struct guest_run *run, uint64_t arg)
{
	struct driver_ring *rx = &run->nic->rx.ring;

	for (uint16_t i = 0; arg != RX_AS_IS && i < rx->size; i++) {
		struct vring_desc *d = &rx->desc[i];

		if (arg == RX_READABLE)
			d->flags = 0;
		if (arg == RX_NOWHERE)
			d->addr = htole64(NOWHERE);
		if (arg == RX_LOOP)
			d->flags = htole16(NEXT | WRITE), d->next = htole16(i), d->len = 0;
		if (arg == RX_ZERO)
			d->len = 0;
	}
	driver_ring_kick_always(rx);
}

#define R                       STAGE_RUNNING
#define CSUM(start, offset)     ((start) | (uint64_t)(offset) << 16)
#define GSO(type, size, header) ((type) | (uint64_t)(size) << 8 | (uint64_t)(header) << 24)

/* clang-format off */
const struct misdeed misdeeds_ring[] = {
	{ "desc-unmapped", R, 0, one_desc, AT_NOWHERE, "a descriptor at an address that no region has" },
	{ "desc-half-mapped", R, 0, one_desc, AT_HALF, "a descriptor that runs over the end of a region" },
	{ "desc-across-regions", R, NEEDS_ADJACENT, one_desc, AT_ACROSS, "a descriptor that runs from one region into the next" },
	{ "desc-wrapping", R, 0, one_desc, AT_WRAP, "a descriptor whose end wraps round 2^64" },
	{ "desc-length-max", R, 0, one_desc, AT_LENGTH, "a descriptor of 4 GiB less one byte" },
	{ "head-beyond-ring", R, 0, head_beyond, 0, "a head that equals the ring size" },
	{ "head-max", R, 0, head_beyond, UINT16_MAX, "the head 65535" },
	{ "next-beyond-ring", R, 0, next_to, 2, "a next field beyond the ring" },
	{ "next-self", R, 0, next_to, 0, "a descriptor that is its own next" },
	{ "next-loop", R, 0, next_to, 1, "a chain through the whole ring and round again" },
	{ "avail-jump", R, 0, avail_jump, 0, "the avail index jumps by more than the ring size" },
	{ "avail-backwards", R, 0, avail_jump, UINT16_MAX, "the avail index goes back by one" },
	{ "zero-length", R, 0, zero_length, 1, "a chain of one descriptor without a byte" },
	{ "zero-length-inside", R, 0, zero_length, 0, "a descriptor without a byte between header and frame" },
	{ "header-short", R, 0, sized, 5, "a chain shorter than its virtio-net header" },
	{ "header-only", R, 0, sized, NIC_HEADER_BYTES, "a chain no longer than its virtio-net header" },
	{ "frame-1", R, 0, sized, NIC_HEADER_BYTES + 1, "a frame of 1 byte" },
	{ "frame-13", R, 0, sized, NIC_HEADER_BYTES + 13, "a frame of 13 bytes" },
	{ "frame-huge", R, 0, sized, TOO_LONG, "a frame of 1 MiB" },
	{ "tx-writable", R, 0, directions, WRITE | WRITE << 8, "descriptors for the device to write, on TX" },
	{ "tx-readable-after-writable", R, 0, directions, WRITE, "a readable descriptor after a writable one" },
	{ "tx-writable-after-readable", R, 0, directions, WRITE << 8, "a writable descriptor after the header" },
	{ "indirect-empty", R, 0, indirect, TABLE_EMPTY, "an indirect table of length 0" },
	{ "indirect-odd", R, 0, indirect, TABLE_ODD, "an indirect table whose length is no multiple of 16" },
	{ "indirect-long", R, 0, indirect, TABLE_LONG, "an indirect table of 66000 descriptors" },
	{ "indirect-beyond-ring", R, 0, indirect, TABLE_BEYOND_RING, "an indirect table of one more than the ring" },
	{ "indirect-nested", R, 0, indirect, TABLE_NESTED, "an indirect table inside an indirect table" },
	{ "indirect-with-next", R, 0, indirect, TABLE_WITH_NEXT, "INDIRECT and NEXT in one descriptor" },
	{ "indirect-unmapped", R, 0, indirect, TABLE_NOWHERE, "an indirect table that no region has" },
	{ "indirect-across-regions", R, NEEDS_ADJACENT, indirect, TABLE_ACROSS, "an indirect table from one region into the next" },
	{ "indirect-next-beyond", R, 0, indirect, TABLE_NEXT_BEYOND, "a next field beyond the indirect table" },
	{ "indirect-loop", R, 0, indirect, TABLE_LOOP, "a loop inside an indirect table" },
	{ "indirect-writable", R, 0, indirect, TABLE_WRITABLE, "INDIRECT and WRITE in one descriptor" },
	{ "indirect-rewritten", R, 0, indirect_rewritten, 0, "an indirect table that changes while it is read" },
	{ "csum-start-beyond", R, 0, checksum, CSUM(65000, 16), "csum_start beyond the frame" },
	{ "csum-offset-beyond", R, 0, checksum, CSUM(34, 65000), "csum_offset beyond the frame" },
	{ "gso-size-0", R, 0, segmentation, GSO(1, 0, 54), "segmentation with gso_size 0" },
	{ "gso-size-max", R, 0, segmentation, GSO(1, 0xffff, 54), "segmentation with gso_size 65535" },
	{ "gso-type-unknown", R, 0, segmentation, GSO(0x3e, 1000, 54), "an unknown gso_type" },
	{ "gso-type-mismatch", R, 0, segmentation, GSO(4, 8, 54), "a gso_type that does not match the packet" },
	{ "gso-header-beyond", R, 0, segmentation, GSO(1, 10, 0xffff), "hdr_len beyond the frame" },
	{ "segments-1-byte", R, 0, one_byte_pieces, FULL, "a good frame in descriptors of 1 byte" },
	{ "segments-many", R, 0, one_byte_pieces, 0, "as many descriptors in one chain as the ring has" },
	{ "ring-garbage", R, 0, garbage, 1, "a whole ring of random descriptors and heads" },
	{ "rx-too-small", R, NEEDS_TINY_RX, receive_ring, RX_AS_IS, "receive buffers too small for a header (send it frames)" },
	{ "rx-1-byte", R, NEEDS_SPLIT_RX, receive_ring, RX_AS_IS, "receive chains of 17 descriptors of 1 byte (send it frames)" },
	{ "rx-readable", R, 0, receive_ring, RX_READABLE, "receive buffers that the device may not write (send it frames)" },
	{ "rx-unmapped", R, 0, receive_ring, RX_NOWHERE, "receive buffers that no region has (send it frames)" },
	{ "rx-loop", R, 0, receive_ring, RX_LOOP, "receive chains that loop (send it frames)" },
	{ "rx-zero-length", R, 0, receive_ring, RX_ZERO, "receive buffers without a byte (send it frames)" },
	{ 0 },
};
/* clang-format on */
