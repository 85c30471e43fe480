/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packed virtqueue, device's side (VIRTIO 1.2 section 2.8).
 *
 * One table in guest memory, and two words for notifications:
 *
 *     descriptors    the guest writes chains into it, in ring order; we write used
 *                    descriptors over them, in the order in which chains are done
 *     driver's area  the guest says when it wants an interrupt
 *     device's area  we say when we want a kick
 *
 * There are no indices in shared memory: each side keeps a place, which is a
 * position and a wrap counter that changes with each lap, and the two flags of a
 * descriptor say in which lap it was made available, or used. A used descriptor
 * stands for a whole chain; both sides then skip as many descriptors as it had.
 * So a chain is known by the buffer id in its last descriptor, and for each id we
 * keep that number.
 *
 * What the guest writes can change at any time: each descriptor is copied once and
 * only the copy is used; ids in flight, lengths of chains and both places are
 * private.
 *
 *     table   | used used | ours ours ours ours | available | ...
 *                         ^ used                ^ avail
 *                         '-------- out --------'
 *
 * A batch of used descriptors is shown by the flags of its first one, which are
 * stored last: the guest looks nowhere but at its own place.
 *
 * Pairs of orders:
 *   A  acquire of a chain's first flags: the rest of that chain is complete.
 *   B  release of used flags: the guest sees the descriptor, those of the batch
 *      behind it, and what was written into its buffers.
 *   C  fence between our store of used flags and our load of the driver's area; the
 *      guest stores its event and then loads flags. Without it both could read old
 *      values, and an interrupt would be lost.
 *   D  fence between our store of the device's area and our load of flags; the same
 *      for kicks.
 */
#include "ring.h"

#include "atomic.h"
#include "ring_internal.h"
#include "ring_packed.h"
#include "ring_packed_place.h"
#include "ring_walk.h"
#include <linux/virtio_ring.h>

/* An event area as one word, little-endian: off_wrap, then flags (section 2.8.14). */
#define EVENT_FLAGS_SHIFT 16u
#define EVENT_FLAGS_MASK  3u

/* ---- walking a chain ---- */

/*
 * The buffers of an indirect table (section 2.8.7), one behind the other: NEXT, the
 * lap's flags and the id mean nothing in there. Nor does WRITE where we only read:
 * DPDK's driver (22.11 and others) has it on the virtio-net header of what it sends,
 * and on one more buffer, depending on the place in the ring.
 */
static enum ring_fault walk_indirect(struct walk *walk, uint64_t addr, uint32_t len)
{
	struct vring_packed_desc desc;
	struct walk_table table;
	enum ring_fault fault;
	bool writable;

	fault = walk_open_table(walk, &table, addr, len);
	for (uint32_t i = 0; !fault && i < table.count; i++) {
		fault = walk_read_table(walk, &table, i, &desc);
		if (!fault && (desc.flags & VRING_DESC_F_INDIRECT))
			fault = RING_FAULT_NESTED;
		if (fault)
			break;
		writable = !walk->ring->reads_only && (desc.flags & VRING_DESC_F_WRITE);
		fault = walk_add(walk, desc.addr, desc.len, writable);
	}
	return fault;
}

/* An indirect descriptor is a chain of its own (section 2.8.19, "Indirect Descriptors"). */
static enum ring_fault enter_indirect(const struct ring *ring, struct walk *walk,
				      const struct vring_packed_desc *desc, uint32_t walked)
{
	if (!ring->indirect)
		return RING_FAULT_FEATURE;
	if ((desc->flags & VRING_DESC_F_NEXT) || walked)
		return RING_FAULT_INDIRECT;
	return walk_indirect(walk, desc->addr, desc->len);
}

/*
 * From place on; leaves it behind the chain, and its number of descriptors in *count. Part
 * of packed_pop, though it has another caller that is rare.
 */
static inline __attribute__((always_inline)) enum ring_fault
walk_chain(const struct packed_ring *packed, struct walk *walk, struct packed_place *place,
	   uint32_t *count, uint16_t *id)
{
	struct vring_packed_desc desc;
	enum ring_fault fault;

	for (uint32_t walked = 0; walked < packed->ring.size; walked++) {
		gw_copy_once(&desc, &packed->desc[place->at], sizeof(desc));
		/* Section 2.8.6: in all descriptors of a list, not just the first. */
		if (__builtin_expect(!place_available(desc.flags, *place), 0))
			return RING_FAULT_WRAP;
		if (desc.flags & VRING_DESC_F_INDIRECT)
			fault = enter_indirect(&packed->ring, walk, &desc, walked);
		else
			fault = walk_add(walk, desc.addr, desc.len,
					 desc.flags & VRING_DESC_F_WRITE);
		if (fault)
			return fault;
		place_on(place, 1, packed->ring.size);
		if (!(desc.flags & VRING_DESC_F_NEXT)) {
			*count = walked + 1;
			*id = desc.id; /* section 2.8.6: the last one's */
			return RING_FAULT_NONE;
		}
	}
	return RING_FAULT_LOOP;
}

/* From the record's copies: in the ring used descriptors may lie over them. */
static enum ring_fault packed_walk_again(struct ring *ring, struct walk *walk, uint16_t id)
{
	const struct packed_ring *packed = packed_of(ring);
	enum ring_fault fault = RING_FAULT_NONE;
	struct vring_packed_desc desc;
	int32_t entry = -1;

	for (uint32_t i = 0; !fault && i < packed->descs[id]; i++) {
		record_packed_desc(ring->record, id, &entry, &desc);
		if (desc.flags & VRING_DESC_F_INDIRECT)
			fault = enter_indirect(ring, walk, &desc, i);
		else
			fault = walk_add(walk, desc.addr, desc.len,
					 desc.flags & VRING_DESC_F_WRITE);
	}
	return fault;
}

/* ---- taking chains ---- */

/*
 * Beyond what is not ours: not before all that lies behind it was given back, so that the
 * record, which has one place, says where we are. True: a chain is available there.
 */
static __attribute__((cold)) bool pass_foreign(struct packed_ring *packed)
{
	struct packed_place *avail = &packed->avail;
	struct ring_record *record = packed->ring.record;

	if (packed->out || avail->at != packed->foreign.at || avail->wrap != packed->foreign.wrap)
		return false;
	place_on(avail, packed->foreign_descs, packed->ring.size);
	packed->foreign_descs = 0;
	packed->used = packed->shown = *avail;
	if (record) {
		record_packed_flush(record,
				    (struct record_place){ (uint16_t)avail->at, avail->wrap });
		record_packed_flushed(record);
	}
	return look_for_avail(packed);
}

static inline bool find_avail(struct packed_ring *packed)
{
	if (__builtin_expect(look_for_avail(packed), 1))
		return true;
	return __builtin_expect(packed->foreign_descs, 0) && pass_foreign(packed);
}

/* What a whole chain has to keep beside its buffers. */
static inline enum ring_fault check_chain(const struct packed_ring *packed, uint32_t count,
					  uint16_t id)
{
	if (id >= packed->ring.size)
		return RING_FAULT_ID;
	if (packed->ring.state[id] != HEAD_FREE)
		return RING_FAULT_REUSED;
	/* It lies over descriptors that were not shown as used yet. */
	if (count > packed->ring.size - packed->out)
		return RING_FAULT_INDEX;
	return RING_FAULT_NONE;
}

/*
 * As on a split ring (ring_split.c): hints, from which nothing is decided. Where the guest
 * has not been yet it is about to write, and is left alone.
 */
static inline void fetch_ahead(const struct packed_ring *packed)
{
	struct packed_place place = packed->avail;

	if (packed->ring.size <= RING_FETCH_DESC_AHEAD)
		return;
	place_on(&place, RING_FETCH_BUFFER_AHEAD, packed->ring.size);
	if (!available_at(packed, place))
		return;
	walk_fetch(&packed->ring, gw_read_once(&packed->desc[place.at].addr));
	place_on(&place, RING_FETCH_DESC_AHEAD - RING_FETCH_BUFFER_AHEAD, packed->ring.size);
	gw_prefetch(&packed->desc[place.at]);
}

static int packed_pop(struct ring *ring, struct ring_chain *chain, struct iovec *seg,
		      unsigned int max)
{
	struct walk walk = { .ring = ring, .chain = chain, .seg = seg, .max = max };
	struct packed_ring *packed = packed_of(ring);
	struct packed_place place;
	enum ring_fault fault;
	uint32_t count = 0;
	uint16_t id = 0;

	if (__builtin_expect(ring->fault, 0))
		return -1;
	if (!find_avail(packed))
		return 0;
	fetch_ahead(packed);
	place = packed->avail;
	*chain = (struct ring_chain){ 0 };
	fault = walk_chain(packed, &walk, &place, &count, &id);
	if (!fault)
		fault = check_chain(packed, count, id);
	if (__builtin_expect(fault, 0))
		return ring_fail(ring, fault);
	chain->head = id;
	if (ring->record)
		record_packed_pop(ring->record, packed->desc, packed->avail.at, count, id);
	packed->avail = place;
	packed->descs[id] = (uint16_t)count;
	packed->out += count;
	ring_note_pop(ring, id);
	return 1;
}

static void packed_unpop(struct ring *ring, uint16_t id)
{
	struct packed_ring *packed = packed_of(ring);
	if (ring->record)
		record_packed_unpop(ring->record, id);
	place_back(&packed->avail, packed->descs[id], ring->size);
	packed->out -= packed->descs[id];
}

static bool packed_has_avail(struct ring *ring)
{
	return !ring->fault && find_avail(packed_of(ring));
}

/* An indirect table that is missing stops the walk at its descriptor, a chain of its own. */
static __attribute__((cold)) void packed_look_ahead(struct ring *ring, struct walk *walk)
{
	struct packed_ring *packed = packed_of(ring);
	struct packed_place place = packed->avail;
	enum ring_fault fault;
	uint32_t count;
	uint16_t id;

	while (available_at(packed, place)) {
		*walk->chain = (struct ring_chain){ 0 };
		fault = walk_chain(packed, walk, &place, &count, &id);
		walk->ahead->chains++;
		if (fault == RING_MISSING)
			place_on(&place, 1, ring->size);
		walk->ahead->cut = fault && fault != RING_MISSING;
		if (walk->ahead->cut)
			break;
	}
	packed->ahead = place;
}

static bool packed_more_ahead(const struct ring *ring)
{
	const struct packed_ring *packed = (const struct packed_ring *)ring;

	return available_at(packed, packed->ahead);
}

/* ---- giving chains back ---- */

static void packed_push(struct ring *ring, uint16_t id, uint32_t written_bytes)
{
	struct packed_ring *packed = packed_of(ring);
	struct packed_place place = packed->as_one ? packed->shown : packed->used;
	struct vring_packed_desc *desc = &packed->desc[place.at];
	uint16_t flags = place.wrap ? FLAG_AVAIL | FLAG_USED : 0;

	if (written_bytes)
		flags |= VRING_DESC_F_WRITE; /* section 2.8.4 */
	gw_write_once(&desc->id, id);
	gw_write_once(&desc->len, written_bytes);
	if (packed->batch && !packed->as_one)
		gw_store_release(&desc->flags, flags);
	else
		packed->first_flags = flags;
	packed->batch += packed->descs[id];
	place_on(&packed->used, packed->descs[id], ring->size);
	if (ring->record)
		record_packed_push(ring->record, id);
}

/*
 * Whether the guest's event lies among count descriptors from `from` on (section 2.8.10).
 * In units of descriptors: one in the middle of a chain counts too.
 */
static bool event_passed(uint32_t event, struct packed_place from, uint32_t count, uint32_t size)
{
	struct packed_place wanted = place_unpack((uint16_t)event);
	uint32_t at = wanted.at + (wanted.wrap == from.wrap ? 0 : size);

	return at >= from.at && at - from.at < count;
}

static bool wants_interrupt(const struct packed_ring *packed, struct packed_place from,
			    uint32_t count)
{
	uint32_t event = gw_load_relaxed(packed->driver_event);

	switch (event >> EVENT_FLAGS_SHIFT & EVENT_FLAGS_MASK) {
	case VRING_PACKED_EVENT_FLAG_DISABLE:
		return false;
	case VRING_PACKED_EVENT_FLAG_DESC:
		if (packed->ring.event_idx)
			return event_passed(event, from, count, packed->ring.size);
		return true;
	}
	return true;
}

static bool packed_flush(struct ring *ring)
{
	struct packed_ring *packed = packed_of(ring);
	struct packed_place from = packed->shown;
	uint32_t count = packed->batch;
	bool first = !packed->signalled;

	if (!count)
		return false;
	if (ring->record)
		record_packed_flush(ring->record, (struct record_place){ (uint16_t)packed->used.at,
									 packed->used.wrap });
	gw_store_release(&packed->desc[from.at].flags, packed->first_flags); /* pair B */
	if (ring->record)
		record_packed_flushed(ring->record);
	ring_mark_circle(ring, packed->desc, sizeof(*packed->desc), from.at, count);
	packed->shown = packed->used;
	packed->out -= count;
	packed->batch = 0;
	packed->signalled = true;
	gw_fence(); /* pair C */
	/* Nobody knows for what the run before this one has signalled. */
	return wants_interrupt(packed, from, count) || (first && ring->event_idx);
}

/* ---- kicks ---- */

static void set_device_event(struct packed_ring *packed, uint32_t event)
{
	if (packed->device_event_is == event)
		return;
	packed->device_event_is = event;
	gw_store_relaxed(packed->device_event, event);
	ring_mark(&packed->ring, packed->device_event, sizeof(*packed->device_event));
}

/* Once the guest makes the descriptor at that place available. */
static void want_kick_at(struct packed_ring *packed, struct packed_place place)
{
	if (packed->ring.event_idx)
		set_device_event(packed, place_pack(place) | VRING_PACKED_EVENT_FLAG_DESC
								     << EVENT_FLAGS_SHIFT);
	else
		set_device_event(packed, VRING_PACKED_EVENT_FLAG_ENABLE << EVENT_FLAGS_SHIFT);
	gw_fence(); /* pair D */
}

static bool packed_want_kick(struct ring *ring)
{
	struct packed_ring *packed = packed_of(ring);

	/* Before the place is named at which a kick is wanted. */
	if (__builtin_expect(packed->foreign_descs, 0) && !ring->fault)
		pass_foreign(packed);
	want_kick_at(packed, packed->avail);
	return packed_has_avail(ring);
}

static void packed_want_kick_ahead(struct ring *ring)
{
	want_kick_at(packed_of(ring), packed_of(ring)->ahead);
}

static void packed_no_kick(struct ring *ring)
{
	set_device_event(packed_of(ring), VRING_PACKED_EVENT_FLAG_DISABLE << EVENT_FLAGS_SHIFT);
}

/* ---- state ---- */

static uint32_t packed_base(const struct ring *ring)
{
	const struct packed_ring *packed = (const struct packed_ring *)ring;

	return place_pack(packed->avail) | (uint32_t)place_pack(packed->used) << 16;
}

static uint16_t packed_used_index(const struct ring *ring)
{
	return place_pack(((const struct packed_ring *)ring)->used);
}

const struct ring_layout ring_packed = {
	.ops = {
		.pop = packed_pop,
		.pop_run = packed_pop_run,
		.unpop = packed_unpop,
		.push = packed_push,
		.push_run = packed_push_run,
		.find_writable = packed_find_writable,
		.fill_run = packed_fill_run,
		.flush = packed_flush,
		.want_kick = packed_want_kick,
		.want_kick_ahead = packed_want_kick_ahead,
		.no_kick = packed_no_kick,
		.has_avail = packed_has_avail,
		.look_ahead = packed_look_ahead,
		.more_ahead = packed_more_ahead,
		.walk_again = packed_walk_again,
		.locate = packed_locate,
		.begin = packed_begin,
		.base = packed_base,
		.used_index = packed_used_index,
	},
	.struct_bytes = sizeof(struct packed_ring),
	.per_head_bytes = sizeof(uint16_t),
	.check = packed_check,
};
