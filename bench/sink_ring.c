/* SPDX-License-Identifier: BSD-2-Clause */
#include "sink_ring.h"

#include "atomic.h"
#include <linux/virtio_ring.h>

#define AVAIL_BIT  (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT   (1u << VRING_PACKED_DESC_F_USED)
#define WRAP_SHIFT VRING_PACKED_EVENT_F_WRAP_CTR

/* Nobody has to kick: we look all the time. */
static void refuse_kicks(struct sink_ring *ring)
{
	if (ring->packed)
		((struct vring_packed_desc_event *)ring->device)->flags =
			VRING_PACKED_EVENT_FLAG_DISABLE;
	else
		((struct vring_used *)ring->device)->flags = VRING_USED_F_NO_NOTIFY;
}

void sink_ring_start(struct sink_ring *ring, uint32_t base)
{
	ring->next = (uint16_t)base;
	if (ring->packed) {
		ring->wrap = base >> WRAP_SHIFT & 1;
		ring->next &= (1u << WRAP_SHIFT) - 1;
	}
	refuse_kicks(ring);
}

/* As GET_VRING_BASE has it: an index, or a slot with its wrap counter, twice. */
uint32_t sink_ring_base(const struct sink_ring *ring)
{
	uint32_t base = ring->next;

	if (!ring->packed)
		return base;
	base |= (uint32_t)ring->wrap << WRAP_SHIFT;
	return base | base << 16;
}

/* VIRTIO 1.2 section 2.7: what is available becomes used, in its order. */
uint16_t sink_ring_has(const struct sink_ring *ring)
{
	const struct vring_avail *avail = ring->driver;

	return (uint16_t)(gw_load_acquire(&avail->idx) - ring->next);
}

void sink_ring_take(struct sink_ring *ring, uint16_t count, uint32_t len)
{
	const struct vring_avail *avail = ring->driver;
	struct vring_used *used = ring->device;
	uint16_t mask = (uint16_t)(ring->size - 1);

	for (uint16_t i = 0; i < count; i++, ring->next++)
		used->ring[ring->next & mask] =
			(struct vring_used_elem){ .id = avail->ring[ring->next & mask],
						  .len = len };
	if (count)
		gw_store_release(&used->idx, ring->next);
}

static bool is_available(const struct sink_ring *ring, uint16_t flags)
{
	return !!(flags & AVAIL_BIT) == ring->wrap && !!(flags & USED_BIT) != ring->wrap;
}

static void step(struct sink_ring *ring)
{
	if (++ring->next == ring->size) {
		ring->next = 0;
		ring->wrap = !ring->wrap;
	}
}

/* To the end of a chain; its id is in the last descriptor (2.8.6). */
static uint16_t pass_chain(struct sink_ring *ring, const struct vring_packed_desc *desc)
{
	uint16_t flags, id;

	do {
		flags = desc[ring->next].flags;
		id = desc[ring->next].id;
		step(ring);
	} while (flags & VRING_DESC_F_NEXT);
	return id;
}

static void put_used(struct vring_packed_desc *desc, uint16_t id, bool wrap)
{
	desc->id = id;
	desc->len = 0;
	gw_store_release(&desc->flags, wrap ? AVAIL_BIT | USED_BIT : 0);
}

/* 2.8: with IN_ORDER one used element stands for all chains of a visit. */
uint32_t sink_ring_take_packed(struct sink_ring *ring, bool in_order)
{
	struct vring_packed_desc *desc = ring->desc;
	uint32_t count = 0;
	uint16_t first = ring->next, id = 0;
	bool first_wrap = ring->wrap;

	while (count < ring->size && is_available(ring, gw_load_acquire(&desc[ring->next].flags))) {
		uint16_t slot = ring->next;
		bool wrap = ring->wrap;

		id = pass_chain(ring, desc);
		if (!in_order)
			put_used(&desc[slot], id, wrap);
		count++;
	}
	if (count && in_order)
		put_used(&desc[first], id, first_wrap);
	return count;
}
