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
#include "net_header.h"
#include "ring_walk.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are little-endian, and so are we");

/* Alignment of the three structures (section 2.7). */
#define DESC_ALIGN  16u
#define AVAIL_ALIGN 2u
#define USED_ALIGN  4u

#define CACHE_LINE 64u

/* One worker's. `map` and `popped` follow in the same allocation. */
struct ring {
	struct gw_memmap *memmap;
	const struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t *used_event;  /* behind the available ring: the guest's */
	uint16_t *avail_event; /* behind the used ring: ours */
	uint8_t *taken;        /* [size] head is in flight */
	uint16_t *popped;      /* [size] head that was popped at this index */
	uint32_t size;
	uint32_t in_flight;
	uint16_t mask;
	uint16_t avail_next; /* next index to pop */
	uint16_t avail_seen; /* avail->idx when it was last read */
	uint16_t used_next;  /* next index to push */
	uint16_t used_shown; /* used->idx as the guest sees it */
	uint16_t used_flags; /* used->flags as the guest sees it */
	bool event_idx;
	bool indirect;
	bool signalled; /* an interrupt was considered before: used_shown is an old value */
	enum ring_fault fault;
};

/* ---- creation and end ---- */

static int locate(const struct ring_config *config, const char *what, uint64_t addr, uint64_t len,
		  uint64_t align, void **at, struct gw_error *err)
{
	*at = memmap_translate_user(config->memmap, addr, len);
	if (!*at)
		return gw_error_set(err, -EINVAL,
				    "%s at 0x%" PRIx64 " (%" PRIu64 " bytes) is not inside one "
				    "memory region",
				    what, addr, len);
	if ((uintptr_t)*at % align)
		return gw_error_set(err, -EINVAL,
				    "%s at 0x%" PRIx64 " is not a multiple of %" PRIu64, what, addr,
				    align);
	return 0;
}

/* Sizes: section 2.7; the two event indices exist where EVENT_IDX was negotiated. */
static int locate_all(struct ring *ring, const struct ring_config *config, struct gw_error *err)
{
	uint64_t size = config->size, tail = ring->event_idx ? sizeof(uint16_t) : 0;
	void *desc, *avail, *used;
	int rc;

	rc = locate(config, "descriptor table", config->desc_addr, size * sizeof(struct vring_desc),
		    DESC_ALIGN, &desc, err);
	if (!rc)
		rc = locate(config, "available ring", config->avail_addr,
			    sizeof(struct vring_avail) + size * sizeof(uint16_t) + tail,
			    AVAIL_ALIGN, &avail, err);
	if (!rc)
		rc = locate(config, "used ring", config->used_addr,
			    sizeof(struct vring_used) + size * sizeof(struct vring_used_elem) +
				    tail,
			    USED_ALIGN, &used, err);
	if (rc)
		return rc;
	ring->desc = desc;
	ring->avail = avail;
	ring->used = used;
	ring->used_event = &ring->avail->ring[size];
	ring->avail_event = (uint16_t *)&ring->used->ring[size];
	return 0;
}

static struct ring *allocate(uint32_t size)
{
	size_t bytes = sizeof(struct ring) + size * (sizeof(uint16_t) + sizeof(uint8_t));
	struct ring *ring = aligned_alloc(CACHE_LINE, (bytes + CACHE_LINE - 1) & -CACHE_LINE);

	if (!ring)
		return NULL;
	__builtin_memset(ring, 0, bytes);
	ring->popped = (uint16_t *)(ring + 1);
	ring->taken = (uint8_t *)(ring->popped + size);
	ring->size = size;
	ring->mask = (uint16_t)(size - 1);
	return ring;
}

int ring_create(const struct ring_config *config, struct ring **result, struct gw_error *err)
{
	struct ring *ring;
	int rc;

	if (!config->size || config->size > RING_SIZE_MAX || (config->size & (config->size - 1)))
		return gw_error_set(err, -EINVAL,
				    "ring of %u descriptors; powers of two up to %u are possible",
				    config->size, RING_SIZE_MAX);
	ring = allocate(config->size);
	if (!ring)
		return gw_error_sys(err, -ENOMEM, "ring of %u descriptors", config->size);
	ring->event_idx = virtio_has(config->features, VIRTIO_RING_F_EVENT_IDX);
	ring->indirect = virtio_has(config->features, VIRTIO_RING_F_INDIRECT_DESC);
	rc = locate_all(ring, config, err);
	if (rc) {
		free(ring);
		return rc;
	}
	ring->memmap = memmap_get(config->memmap);
	ring->avail_next = ring->avail_seen = (uint16_t)config->base;
	ring->used_next = ring->used_shown = gw_read_once(&ring->used->idx);
	ring->used_flags = VRING_USED_F_NO_NOTIFY; /* so that the next line writes it */
	ring_want_kick(ring);
	*result = ring;
	return 0;
}

void ring_destroy(struct ring *ring)
{
	if (!ring)
		return;
	memmap_put(ring->memmap);
	free(ring);
}

/* ---- walking a chain ---- */

/*
 * The buffers of an indirect table (section 2.7.5.3). The table is read where it
 * lies, each descriptor once, so that it can change under us without harm.
 */
static enum ring_fault walk_indirect(struct walk *walk, uint64_t addr, uint32_t len)
{
	uint32_t count = len / sizeof(struct vring_desc), i = 0;
	const uint8_t *table = memmap_translate(walk->memmap, addr, len);
	struct vring_desc desc;
	enum ring_fault fault;

	if (!count || len % sizeof(desc) || count > GW_FRAME_SEGS_MAX)
		return RING_FAULT_INDIRECT;
	if (len > UINT64_MAX - addr)
		return RING_FAULT_ADDRESS;
	for (uint32_t walked = 0; walked < count; walked++) {
		if (table)
			gw_copy_once(&desc, table + i * sizeof(desc), sizeof(desc));
		else if (!walk_copy(walk, &desc, addr + i * sizeof(desc), sizeof(desc)))
			return RING_FAULT_ADDRESS;
		if (desc.flags & VRING_DESC_F_INDIRECT)
			return RING_FAULT_NESTED;
		fault = walk_add(walk, desc.addr, desc.len, desc.flags & VRING_DESC_F_WRITE);
		if (fault || !(desc.flags & VRING_DESC_F_NEXT))
			return fault;
		i = desc.next;
		if (i >= count)
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

static inline enum ring_fault walk_chain(const struct ring *ring, struct walk *walk, uint16_t head)
{
	struct vring_desc desc;
	enum ring_fault fault;
	uint32_t i = head;

	for (uint32_t walked = 0; walked < ring->size; walked++) {
		gw_copy_once(&desc, &ring->desc[i], sizeof(desc));
		if (desc.flags & VRING_DESC_F_INDIRECT)
			return enter_indirect(ring, walk, &desc);
		fault = walk_add(walk, desc.addr, desc.len, desc.flags & VRING_DESC_F_WRITE);
		if (fault || !(desc.flags & VRING_DESC_F_NEXT))
			return fault;
		i = desc.next;
		if (i >= ring->size)
			return RING_FAULT_NEXT;
	}
	return RING_FAULT_LOOP;
}

/* ---- taking chains ---- */

/* Looks at the guest's index only when what was seen of it is used up. */
static inline bool look_for_avail(struct ring *ring)
{
	if (ring->avail_next == ring->avail_seen)
		ring->avail_seen = gw_load_acquire(&ring->avail->idx); /* pair A */
	return ring->avail_next != ring->avail_seen;
}

static int fail(struct ring *ring, enum ring_fault fault)
{
	ring_break(ring, fault);
	return -1;
}

int ring_pop(struct ring *ring, struct ring_chain *chain, struct iovec *seg, unsigned int max)
{
	struct walk walk = { .memmap = ring->memmap, .chain = chain, .seg = seg, .max = max };
	enum ring_fault fault;
	uint16_t head;

	if (__builtin_expect(ring->fault, 0))
		return -1;
	if (!look_for_avail(ring))
		return 0;
	if ((uint16_t)(ring->avail_seen - ring->avail_next) > ring->size)
		return fail(ring, RING_FAULT_INDEX);
	head = gw_read_once(&ring->avail->ring[ring->avail_next & ring->mask]);
	if (head >= ring->size)
		return fail(ring, RING_FAULT_HEAD);
	if (ring->taken[head])
		return fail(ring, RING_FAULT_REUSED);
	*chain = (struct ring_chain){ .head = head };
	fault = walk_chain(ring, &walk, head);
	if (__builtin_expect(fault, 0))
		return fail(ring, fault);
	ring->taken[head] = 1;
	ring->popped[ring->avail_next & ring->mask] = head;
	ring->avail_next++;
	ring->in_flight++;
	return 1;
}

void ring_unpop(struct ring *ring, unsigned int count)
{
	uint16_t head;

	for (; count; count--) {
		ring->avail_next--;
		head = ring->popped[ring->avail_next & ring->mask];
		assert(ring->taken[head]);
		ring->taken[head] = 0;
		ring->in_flight--;
	}
}

bool ring_has_avail(struct ring *ring)
{
	return !ring->fault && look_for_avail(ring);
}

/* ---- giving chains back ---- */

void ring_push(struct ring *ring, uint16_t head, uint32_t written_bytes)
{
	struct vring_used_elem *elem = &ring->used->ring[ring->used_next & ring->mask];

	assert(head < ring->size && ring->taken[head]);
	ring->taken[head] = 0;
	ring->in_flight--;
	gw_write_once(&elem->id, head);
	gw_write_once(&elem->len, written_bytes);
	ring->used_next++;
}

bool ring_flush(struct ring *ring)
{
	uint16_t before = ring->used_shown, now = ring->used_next;
	bool first = !ring->signalled;

	if (before == now)
		return false;
	gw_store_release(&ring->used->idx, now); /* pair B */
	ring->used_shown = now;
	ring->signalled = true;
	gw_fence(); /* pair C */
	if (!ring->event_idx)
		return !(gw_read_once(&ring->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	/* Nobody knows for what the run before this one has signalled. */
	return vring_need_event(gw_read_once(ring->used_event), now, before) || first;
}

/* ---- kicks ---- */

bool ring_want_kick(struct ring *ring)
{
	if (ring->event_idx) {
		gw_write_once(ring->avail_event, ring->avail_seen);
	} else if (ring->used_flags) {
		ring->used_flags = 0;
		gw_write_once(&ring->used->flags, 0);
	}
	gw_fence(); /* pair D */
	return ring_has_avail(ring);
}

/* With EVENT_IDX there is nothing to do: the event index falls behind by itself. */
void ring_no_kick(struct ring *ring)
{
	if (ring->event_idx || ring->used_flags)
		return;
	ring->used_flags = VRING_USED_F_NO_NOTIFY;
	gw_write_once(&ring->used->flags, VRING_USED_F_NO_NOTIFY);
}

/* ---- state ---- */

void ring_break(struct ring *ring, enum ring_fault fault)
{
	if (!ring->fault)
		ring->fault = fault;
}

enum ring_fault ring_fault(const struct ring *ring)
{
	return ring->fault;
}

uint32_t ring_base(const struct ring *ring)
{
	return ring->avail_next;
}

uint32_t ring_in_flight(const struct ring *ring)
{
	return ring->in_flight;
}

uint16_t ring_used_index(const struct ring *ring)
{
	return ring->used_next;
}

uint32_t ring_size(const struct ring *ring)
{
	return ring->size;
}
