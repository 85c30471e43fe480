/* SPDX-License-Identifier: BSD-2-Clause */
/* Misdeeds of the guest in packed rings: what split rings do not have (VIRTIO 1.2 2.8). */
#include "misbehave_ring.h"

#include <endian.h>

#include "order.h"

#define AVAIL_BIT (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT  (1u << VRING_PACKED_DESC_F_USED)

/* The next descriptor, available at once: a chain is written from its end. */
static void put_at(struct driver_ring *ring, uint16_t ahead, uint64_t addr, uint64_t len,
		   uint16_t flags, uint16_t id)
{
	struct driver_ring_packed *p = &ring->packed;
	uint16_t slot = (uint16_t)(p->slot + ahead);
	bool wrap = slot < ring->size ? p->wrap : !p->wrap;
	struct vring_packed_desc *d = &p->desc[slot & (ring->size - 1)];

	d->addr = htole64(addr);
	d->len = htole32((uint32_t)len);
	d->id = htole16(id);
	store_release16(&d->flags, htole16(flags | (wrap ? AVAIL_BIT : USED_BIT)));
}

static void put(struct guest_run *run, uint64_t addr, uint64_t len, uint16_t flags, uint16_t id)
{
	put_at(misdeed_tx_ring(run), 0, addr, len, flags, id);
	driver_ring_kick_always(misdeed_tx_ring(run));
}

static void id_of(struct guest_run *run, uint64_t arg)
{
	put(run, misdeed_scratch(run).gpa, FULL, 0,
	    (uint16_t)(arg ? arg : misdeed_tx_ring(run)->size));
}

/* As many chains as the ring has, all with the same id. */
static void id_reused(struct guest_run *run, uint64_t arg)
{
	struct driver_ring *tx = misdeed_tx_ring(run);
	struct guest_span s = misdeed_scratch(run);

	for (uint16_t i = tx->size; i-- > 0;)
		put_at(tx, i, s.gpa, FULL, 0, (uint16_t)arg);
	driver_ring_kick_always(tx);
}

/* Both wrap bits as arg says, which is neither available nor used by the device. */
static void wrap_bits(struct guest_run *run, uint64_t arg)
{
	struct driver_ring *tx = misdeed_tx_ring(run);
	struct guest_span s = misdeed_scratch(run);

	for (uint16_t i = 0; i < tx->size; i++) {
		struct vring_packed_desc *d = &tx->packed.desc[i];

		*d = (struct vring_packed_desc){ htole64(s.gpa), htole32(FULL), htole16(i), 0 };
		store_release16(&d->flags, htole16((uint16_t)arg));
	}
	driver_ring_kick_always(tx);
}

/* count descriptors with NEXT in each; 0: all of the ring, so that it has no end. */
static void next_on(struct guest_run *run, uint64_t count)
{
	struct driver_ring *tx = misdeed_tx_ring(run);
	struct guest_span s = misdeed_scratch(run);

	for (uint16_t i = (uint16_t)(count ? count : tx->size); i-- > 0;)
		put_at(tx, i, s.gpa, FULL, NEXT, 0);
	driver_ring_kick_always(tx);
}

enum {
	TABLE_EMPTY,
	TABLE_ODD,
	TABLE_LONG,
	TABLE_NESTED,
	TABLE_WITH_NEXT,
	TABLE_NOWHERE,
	TABLE_ACROSS,
	TABLE_WRITABLE,
	TABLE_FLAGS,
	TABLE_REWRITTEN,
};

static void rewrite_table(struct guest_run *run, struct vring_packed_desc *table, uint64_t gpa)
{
	volatile struct vring_packed_desc *t = table;

	for (uint32_t i = 0; i < TURNS; i++) {
		t[0].addr = htole64(i & 1 ? NOWHERE : gpa);
		t[0].len = htole32(i & 2 ? UINT32_MAX : FULL);
		t[1].flags = htole16(i & 4 ? INDIRECT : 0);
	}
	driver_ring_kick_always(misdeed_tx_ring(run));
}

static void indirect(struct guest_run *run, uint64_t arg)
{
	const struct guest_region *r = &run->memory.regions[0];
	struct guest_span s = misdeed_scratch(run);
	struct vring_packed_desc *t = (struct vring_packed_desc *)(void *)(s.host + TABLE_AT);
	uint64_t at = s.gpa + TABLE_AT, len = 2 * sizeof(*t);
	uint16_t flags = INDIRECT;

	t[0] = (struct vring_packed_desc){ htole64(s.gpa), htole32(FULL), 0, 0 };
	t[1] = (struct vring_packed_desc){ htole64(s.gpa), htole32(1), 0, 0 };
	if (arg == TABLE_EMPTY)
		len = 0;
	if (arg == TABLE_ODD)
		len += 8;
	if (arg == TABLE_LONG)
		len = 66000 * sizeof(*t);
	if (arg == TABLE_NESTED)
		t[1].flags = htole16(INDIRECT), t[1].addr = htole64(at), t[1].len = htole32(32);
	if (arg == TABLE_WITH_NEXT)
		flags |= NEXT;
	if (arg == TABLE_NOWHERE)
		at = NOWHERE;
	if (arg == TABLE_ACROSS)
		at = r->gpa + r->size - sizeof(*t);
	if (arg == TABLE_WRITABLE)
		flags |= WRITE;
	/* All but WRITE means nothing there (2.8.8). */
	if (arg == TABLE_FLAGS)
		t[0].flags = t[1].flags = htole16(NEXT | AVAIL_BIT), t[0].id = 0xffff;
	put(run, at, len, flags, 0);
	if (arg == TABLE_REWRITTEN)
		rewrite_table(run, t, s.gpa);
}

/* One descriptor at a bad place, or of a bad length. */
enum { AT_NOWHERE, AT_HALF, AT_WRAP, LENGTH_MAX, LENGTH_0, LENGTH_SHORT };

static void one_desc(struct guest_run *run, uint64_t arg)
{
	const struct guest_region *r = &run->memory.regions[0];
	static const uint64_t lens[] = { FULL, FULL, FULL, UINT32_MAX, 0, 5 };
	uint64_t addr = misdeed_scratch(run).gpa;

	if (arg == AT_NOWHERE)
		addr = NOWHERE;
	if (arg == AT_HALF)
		addr = r->gpa + r->size - FULL / 2;
	if (arg == AT_WRAP)
		addr = UINT64_MAX - 15;
	put(run, addr, lens[arg], 0, 0);
}

/* Two descriptors, flags of the first and the second in arg's low bytes. */
static void directions(struct guest_run *run, uint64_t arg)
{
	struct guest_span s = misdeed_scratch(run);

	put_at(misdeed_tx_ring(run), 1, s.gpa + NIC_HEADER_BYTES, FRAME, arg >> 8 & 0xff, 0);
	put(run, s.gpa, NIC_HEADER_BYTES, NEXT | (arg & 0xff), 0);
}

/* What the device may look at to know whether it shall call. */
static void event_garbage(struct guest_run *run, uint64_t arg)
{
	struct vring_packed_desc_event *e = misdeed_tx_ring(run)->packed.driver_event;

	e->off_wrap = htole16((uint16_t)arg);
	e->flags = htole16((uint16_t)(arg >> 16));
	put(run, misdeed_scratch(run).gpa, FULL, 0, 0);
}

/* arg: seed */
static void garbage(struct guest_run *run, uint64_t arg)
{
	struct driver_ring *tx = misdeed_tx_ring(run);
	uint64_t x = arg + 0x9e3779b97f4a7c15ull;

	for (size_t i = 0; i < sizeof(struct vring_packed_desc) * tx->size; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		tx->desc_span.host[i] = (uint8_t)x;
	}
	put(run, misdeed_scratch(run).gpa, x, NEXT, (uint16_t)x);
}

/* A descriptor that changes while the device reads it. */
static void rewritten(struct guest_run *run, uint64_t arg)
{
	struct driver_ring *tx = misdeed_tx_ring(run);
	struct guest_span s = misdeed_scratch(run);
	volatile struct vring_packed_desc *d = &tx->packed.desc[tx->packed.slot];

	(void)arg;
	put(run, s.gpa, FULL, 0, 0);
	for (uint32_t i = 0; i < TURNS; i++) {
		d->addr = htole64(i & 1 ? NOWHERE : s.gpa);
		d->len = htole32(i & 2 ? UINT32_MAX : FULL);
		d->id = htole16((uint16_t)i);
		d->flags = htole16((uint16_t)(AVAIL_BIT | (i & 4 ? NEXT | INDIRECT : 0)));
	}
	driver_ring_kick_always(tx);
}

/* Receive buffers that are out become something else. */
enum { RX_READABLE, RX_NOWHERE, RX_ZERO, RX_LOOP, RX_ID };

static void receive_ring(struct guest_run *run, uint64_t arg)
{
	struct driver_ring *rx = &run->nic->rx.ring;

	for (uint16_t i = 0; i < rx->size; i++) {
		struct vring_packed_desc *d = &rx->packed.desc[i];

		if (arg == RX_READABLE)
			d->flags &= htole16((uint16_t)~WRITE);
		if (arg == RX_NOWHERE)
			d->addr = htole64(NOWHERE);
		if (arg == RX_ZERO)
			d->len = 0;
		if (arg == RX_LOOP)
			d->flags |= htole16(NEXT);
		if (arg == RX_ID)
			d->id = htole16(rx->size);
	}
	driver_ring_kick_always(rx);
}

#define R STAGE_RUNNING
#define P NEEDS_PACKED

/* clang-format off */
const struct misdeed misdeeds_packed[] = {
	{ "packed-id-beyond", R, P, id_of, 0, "a buffer id that equals the ring size" },
	{ "packed-id-max", R, P, id_of, UINT16_MAX, "the buffer id 65535" },
	{ "packed-id-reused", R, P, id_reused, 3, "a whole ring of buffers with one id" },
	{ "packed-wrap-both", R, P, wrap_bits, AVAIL_BIT | USED_BIT, "a whole ring that is used already, by its wrap bits" },
	{ "packed-wrap-none", R, P, wrap_bits, 0, "a whole ring with neither wrap bit" },
	{ "packed-wrap-wrong", R, P, wrap_bits, USED_BIT, "a whole ring with the wrap bits of the next round" },
	{ "packed-next-loop", R, P, next_on, 0, "a chain through the whole ring without an end" },
	{ "packed-next-missing", R, P, next_on, 3, "a chain whose last descriptor is not available" },
	{ "packed-indirect-empty", R, P, indirect, TABLE_EMPTY, "an indirect table of length 0" },
	{ "packed-indirect-odd", R, P, indirect, TABLE_ODD, "an indirect table whose length is no multiple of 16" },
	{ "packed-indirect-long", R, P, indirect, TABLE_LONG, "an indirect table of 66000 descriptors" },
	{ "packed-indirect-nested", R, P, indirect, TABLE_NESTED, "an indirect table inside an indirect table" },
	{ "packed-indirect-next", R, P, indirect, TABLE_WITH_NEXT, "INDIRECT and NEXT in one descriptor" },
	{ "packed-indirect-unmapped", R, P, indirect, TABLE_NOWHERE, "an indirect table that no region has" },
	{ "packed-indirect-across", R, NEEDS_ADJACENT | P, indirect, TABLE_ACROSS, "an indirect table from one region into the next" },
	{ "packed-indirect-writable", R, P, indirect, TABLE_WRITABLE, "INDIRECT and WRITE in one descriptor" },
	{ "packed-indirect-flags", R, P, indirect, TABLE_FLAGS, "flags and ids in an indirect table, which mean nothing there" },
	{ "packed-indirect-rewritten", R, P, indirect, TABLE_REWRITTEN, "an indirect table that changes while it is read" },
	{ "packed-desc-unmapped", R, P, one_desc, AT_NOWHERE, "a descriptor at an address that no region has" },
	{ "packed-desc-half-mapped", R, P, one_desc, AT_HALF, "a descriptor that runs over the end of a region" },
	{ "packed-desc-wrapping", R, P, one_desc, AT_WRAP, "a descriptor whose end wraps round 2^64" },
	{ "packed-desc-length-max", R, P, one_desc, LENGTH_MAX, "a descriptor of 4 GiB less one byte" },
	{ "packed-desc-zero", R, P, one_desc, LENGTH_0, "a descriptor without a byte" },
	{ "packed-desc-short", R, P, one_desc, LENGTH_SHORT, "a chain shorter than its virtio-net header" },
	{ "packed-tx-writable", R, P, directions, WRITE | WRITE << 8, "descriptors for the device to write, on TX" },
	{ "packed-tx-mixed", R, P, directions, WRITE, "a readable descriptor after a writable one" },
	{ "packed-event-flags", R, P, event_garbage, 0xffffffff, "an event area with all bits" },
	{ "packed-event-offset", R, P, event_garbage, 0x00027fff, "an event area for a descriptor that the ring does not have" },
	{ "packed-garbage", R, P, garbage, 1, "a whole ring of random descriptors" },
	{ "packed-rewritten", R, P, rewritten, 0, "a descriptor that changes while it is read" },
	{ "rx-packed-readable", R, P, receive_ring, RX_READABLE, "receive buffers that the device may not write (send it frames)" },
	{ "rx-packed-unmapped", R, P, receive_ring, RX_NOWHERE, "receive buffers that no region has (send it frames)" },
	{ "rx-packed-zero", R, P, receive_ring, RX_ZERO, "receive buffers without a byte (send it frames)" },
	{ "rx-packed-loop", R, P, receive_ring, RX_LOOP, "receive chains without an end (send it frames)" },
	{ "rx-packed-id", R, P, receive_ring, RX_ID, "receive buffers with an id beyond the ring (send it frames)" },
	{ 0 },
};
/* clang-format on */
