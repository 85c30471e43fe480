/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The split virtqueue, device's side (VIRTIO 1.2 section 2.7).
 *
 * Three structures in guest memory, translated once when the ring is made, each
 * of them inside one region:
 *
 *     descriptors  the guest writes, we read     one copy of each, then checked
 *     available    the guest writes, we read     idx, ring, used_event
 *     used         we write, the guest reads     ring, then idx; avail_event
 *
 * What the guest writes can change at any time, so that nothing is read twice
 * and no decision rests on shared memory: heads in flight, the order in which
 * they were popped and our own indices are kept in private memory.
 *
 * Pairs of orders:
 *   A  acquire of avail->idx: entries and descriptors below it are complete.
 *   B  release of used->idx: the guest sees entries below it complete, and what
 *      was written into its buffers.
 *   C  fence between our store of used->idx and our load of used_event or flags;
 *      the guest stores its event and then loads idx. Without it both could read
 *      old values, and an interrupt would be lost.
 *   D  fence between our store of avail_event or flags and our load of avail->idx;
 *      the same for kicks.
 */
#include "ring.h"

#include "atomic.h"
#include "memmap.h"
#include "ring_internal.h"
#include "ring_split.h"
#include "ring_walk.h"
#include <errno.h>
#include <linux/virtio_ring.h>

/* Alignment of the three structures (section 2.7). */
#define DESC_ALIGN  16u
#define AVAIL_ALIGN 2u
#define USED_ALIGN  4u

/* ---- creation ---- */

static int split_check(const struct ring_config *config, struct gw_error *err)
{
	if (config->size && config->size <= RING_SIZE_MAX && !(config->size & (config->size - 1)))
		return 0;
	return gw_error_set(err, -EINVAL,
			    "ring of %u descriptors; powers of two up to %u are possible",
			    config->size, RING_SIZE_MAX);
}

/* Sizes: section 2.7; the two event indices exist where EVENT_IDX was negotiated. */
static int split_locate(struct ring *ring, struct gw_error *err)
{
	uint64_t size = ring->size, tail = ring->event_idx ? sizeof(uint16_t) : 0;
	const struct ring_part parts[RING_PARTS] = {
		{ "descriptor table", ring->desc_addr, size * sizeof(struct vring_desc), DESC_ALIGN,
		  IOTLB_READ },
		{ "available ring", ring->avail_addr,
		  sizeof(struct vring_avail) + size * sizeof(uint16_t) + tail, AVAIL_ALIGN,
		  IOTLB_READ },
		{ "used ring", ring->used_addr,
		  sizeof(struct vring_used) + size * sizeof(struct vring_used_elem) + tail,
		  USED_ALIGN, IOTLB_WRITE },
	};
	struct split_ring *split = split_of(ring);
	void *at[RING_PARTS];
	int rc = ring_locate(ring, parts, at, err);

	if (rc)
		return rc;
	split->desc = at[0];
	split->avail = at[1];
	split->used = at[2];
	split->used_event = &split->avail->ring[size];
	split->avail_event = (uint16_t *)&split->used->ring[size];
	split->used_flags = VRING_USED_F_NO_NOTIFY; /* so that asking for kicks writes it */
	return 0;
}

static void split_begin(struct ring *ring)
{
	struct split_ring *split = split_of(ring);

	uint16_t base = (uint16_t)ring->base;

	split->mask = (uint16_t)(ring->size - 1);
	split->used_next = split->used_shown = gw_read_once(&split->used->idx);
	if (ring->record)
		base = record_split_begin(ring->record, split->used, split->used_next,
					  gw_read_once(&split->avail->idx), base);
	split->avail_next = split->avail_seen = base;
}

/* ---- walking a chain ---- */

/* The buffers of an indirect table (section 2.7.5.3), linked like those of the ring. */
static enum ring_fault walk_indirect(struct walk *walk, uint64_t addr, uint32_t len)
{
	struct vring_desc desc;
	struct walk_table table;
	enum ring_fault fault;
	uint32_t i = 0;

	fault = walk_open_table(walk, &table, addr, len);
	if (fault)
		return fault;
	for (uint32_t walked = 0; walked < table.count; walked++) {
		fault = walk_read_table(walk, &table, i, &desc);
		if (fault)
			return fault;
		if (desc.flags & VRING_DESC_F_INDIRECT)
			return RING_FAULT_NESTED;
		fault = walk_add(walk, desc.addr, desc.len, desc.flags & VRING_DESC_F_WRITE);
		if (fault || !(desc.flags & VRING_DESC_F_NEXT))
			return fault;
		i = desc.next;
		if (i >= table.count)
			return RING_FAULT_NEXT;
	}
	return RING_FAULT_LOOP;
}

/* An indirect descriptor ends its chain; its own write flag means nothing (2.7.5.3.2). */
static enum ring_fault enter_indirect(const struct ring *ring, struct walk *walk,
				      const struct vring_desc *desc)
{
	if (!ring->indirect)
		return RING_FAULT_FEATURE;
	if (desc->flags & VRING_DESC_F_NEXT)
		return RING_FAULT_INDIRECT;
	return walk_indirect(walk, desc->addr, desc->len);
}

/* Part of split_pop, though it has other callers that are rare. */
static inline __attribute__((always_inline)) enum ring_fault
walk_chain(const struct split_ring *split, struct walk *walk, uint16_t head)
{
	struct vring_desc desc;
	enum ring_fault fault;
	uint32_t i = head;

	for (uint32_t walked = 0; walked < split->ring.size; walked++) {
		gw_copy_once(&desc, &split->desc[i], sizeof(desc));
		if (desc.flags & VRING_DESC_F_INDIRECT)
			return enter_indirect(&split->ring, walk, &desc);
		fault = walk_add(walk, desc.addr, desc.len, desc.flags & VRING_DESC_F_WRITE);
		if (fault || !(desc.flags & VRING_DESC_F_NEXT))
			return fault;
		i = desc.next;
		if (i >= split->ring.size)
			return RING_FAULT_NEXT;
	}
	return RING_FAULT_LOOP;
}

/* Its descriptors are where they were. */
static enum ring_fault split_walk_again(struct ring *ring, struct walk *walk, uint16_t head)
{
	return walk_chain(split_of(ring), walk, head);
}

/* ---- taking chains ---- */

/*
 * What the guest wrote lies in another processor's cache, from where a line takes as long
 * as several frames: so it is fetched while those before it are at work. Only hints,
 * from which nothing is decided: what is read here is read again, and checked, by
 * split_pop.
 */
static inline void fetch_ahead(const struct split_ring *split)
{
	uint16_t available = (uint16_t)(split->avail_seen - split->avail_next), head;

	/* Where this chain will be shown as used, if none is kept for long. */
	gw_prefetch_write(&split->used->ring[split->avail_next & split->mask]);
	if (available <= RING_FETCH_DESC_AHEAD)
		return;
	head = gw_read_once(
		&split->avail->ring[(split->avail_next + RING_FETCH_DESC_AHEAD) & split->mask]);
	gw_prefetch(&split->desc[head & split->mask]);
	head = gw_read_once(
		&split->avail->ring[(split->avail_next + RING_FETCH_BUFFER_AHEAD) & split->mask]);
	walk_fetch(&split->ring, gw_read_once(&split->desc[head & split->mask].addr));
}

static int split_pop(struct ring *ring, struct ring_chain *chain, struct iovec *seg,
		     unsigned int max)
{
	struct walk walk = { .ring = ring, .chain = chain, .seg = seg, .max = max };
	struct split_ring *split = split_of(ring);
	enum ring_fault fault;
	uint16_t head;

	if (__builtin_expect(ring->fault, 0))
		return -1;
	if (!look_for_avail(split))
		return 0;
	if ((uint16_t)(split->avail_seen - split->avail_next) > ring->size)
		return ring_fail(ring, RING_FAULT_INDEX);
	head = gw_read_once(&split->avail->ring[split->avail_next & split->mask]);
	if (head >= ring->size)
		return ring_fail(ring, RING_FAULT_HEAD);
	if (ring->state[head] != HEAD_FREE)
		return ring_fail(ring, RING_FAULT_REUSED);
	fetch_ahead(split);
	*chain = (struct ring_chain){ .head = head };
	fault = walk_chain(split, &walk, head);
	if (__builtin_expect(fault, 0))
		return ring_fail(ring, fault);
	split->avail_next++;
	if (ring->record)
		record_split_pop(ring->record, head);
	ring_note_pop(ring, head);
	return 1;
}

static void split_unpop(struct ring *ring, uint16_t head)
{
	split_of(ring)->avail_next--;
	if (ring->record)
		record_split_unpop(ring->record, head);
}

static bool split_has_avail(struct ring *ring)
{
	return !ring->fault && look_for_avail(split_of(ring));
}

/* Nothing is taken: what the guest does to its chains meanwhile is its own loss. */
static __attribute__((cold)) void split_look_ahead(struct ring *ring, struct walk *walk)
{
	struct split_ring *split = split_of(ring);
	uint16_t seen = gw_load_acquire(&split->avail->idx); /* pair A */
	enum ring_fault fault = RING_FAULT_NONE;
	uint16_t head;

	for (split->ahead = split->avail_next; split->ahead != seen; split->ahead++) {
		head = gw_read_once(&split->avail->ring[split->ahead & split->mask]);
		*walk->chain = (struct ring_chain){ 0 };
		fault = head < ring->size ? walk_chain(split, walk, head) : RING_FAULT_HEAD;
		walk->ahead->chains++;
		if (fault && fault != RING_MISSING)
			break;
	}
	walk->ahead->cut = split->ahead != seen;
}

static bool split_more_ahead(const struct ring *ring)
{
	const struct split_ring *split = (const struct split_ring *)ring;

	return gw_load_relaxed(&split->avail->idx) != split->ahead;
}

/* ---- giving chains back ---- */

static void split_push(struct ring *ring, uint16_t head, uint32_t written_bytes)
{
	struct split_ring *split = split_of(ring);
	struct vring_used_elem *elem = &split->used->ring[split->used_next & split->mask];

	gw_write_once(&elem->id, head);
	gw_write_once(&elem->len, written_bytes);
	split->used_next++;
	if (ring->record)
		record_split_push(ring->record, head);
}

/* What the guest was shown between two used indices. */
static void mark_used(const struct split_ring *split, uint16_t before, uint16_t now)
{
	const struct ring *ring = &split->ring;
	uint16_t count = (uint16_t)(now - before);

	ring_mark_circle(ring, split->used->ring, sizeof(struct vring_used_elem),
			 before & split->mask, count < ring->size ? count : ring->size);
	ring_mark(ring, split->used, sizeof(*split->used));
}

static bool split_flush(struct ring *ring)
{
	struct split_ring *split = split_of(ring);
	uint16_t before = split->used_shown, now = split->used_next;
	bool first = !split->signalled;

	if (before == now)
		return false;
	gw_store_release(&split->used->idx, now); /* pair B */
	if (ring->record)
		record_split_flushed(ring->record, now);
	mark_used(split, before, now);
	split->used_shown = now;
	split->signalled = true;
	gw_fence(); /* pair C */
	if (!ring->event_idx)
		return !(gw_load_relaxed(&split->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	/* Nobody knows for what the run before this one has signalled. */
	return vring_need_event(gw_load_relaxed(split->used_event), now, before) || first;
}

/* ---- kicks ---- */

/* Once the guest goes beyond that index. */
static void want_kick_at(struct split_ring *split, uint16_t index)
{
	struct ring *ring = &split->ring;

	if (ring->event_idx) {
		gw_store_relaxed(split->avail_event, index);
		ring_mark(ring, split->avail_event, sizeof(*split->avail_event));
	} else if (split->used_flags) {
		split->used_flags = 0;
		gw_store_relaxed(&split->used->flags, 0);
		ring_mark(ring, split->used, sizeof(*split->used));
	}
	gw_fence(); /* pair D */
}

static bool split_want_kick(struct ring *ring)
{
	want_kick_at(split_of(ring), split_of(ring)->avail_seen);
	return split_has_avail(ring);
}

static void split_want_kick_ahead(struct ring *ring)
{
	want_kick_at(split_of(ring), split_of(ring)->ahead);
}

/* With EVENT_IDX there is nothing to do: the event index falls behind by itself. */
static void split_no_kick(struct ring *ring)
{
	struct split_ring *split = split_of(ring);

	if (ring->event_idx || split->used_flags)
		return;
	split->used_flags = VRING_USED_F_NO_NOTIFY;
	gw_store_relaxed(&split->used->flags, VRING_USED_F_NO_NOTIFY);
	ring_mark(ring, split->used, sizeof(*split->used));
}

/* ---- state ---- */

static uint32_t split_base(const struct ring *ring)
{
	return ((const struct split_ring *)ring)->avail_next;
}

static uint16_t split_used_index(const struct ring *ring)
{
	return ((const struct split_ring *)ring)->used_next;
}

const struct ring_layout ring_split = {
	.ops = {
		.pop = split_pop,
		.pop_run = split_pop_run,
		.unpop = split_unpop,
		.push = split_push,
		.push_run = split_push_run,
		.find_writable = split_find_writable,
		.fill_run = split_fill_run,
		.flush = split_flush,
		.want_kick = split_want_kick,
		.want_kick_ahead = split_want_kick_ahead,
		.no_kick = split_no_kick,
		.has_avail = split_has_avail,
		.look_ahead = split_look_ahead,
		.more_ahead = split_more_ahead,
		.walk_again = split_walk_again,
		.locate = split_locate,
		.begin = split_begin,
		.base = split_base,
		.used_index = split_used_index,
	},
	.struct_bytes = sizeof(struct split_ring),
	.per_head_bytes = 0,
	.check = split_check,
};
