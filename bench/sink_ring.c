/* SPDX-License-Identifier: BSD-2-Clause */
#include "sink_ring.h"

#include "atomic.h"
#include <linux/virtio_ring.h>

#define AVAIL_BIT  (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT   (1u << VRING_PACKED_DESC_F_USED)
#define WRAP_SHIFT VRING_PACKED_EVENT_F_WRAP_CTR

#define CACHE_LINE  64u
#define USED_A_LINE (CACHE_LINE / sizeof(struct vring_used_elem))
#define AHEAD       (4 * USED_A_LINE)

/* Of descriptors in a packed ring (2.8.1). */
struct place {
	uint16_t slot;
	bool wrap;
};

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
	const uint16_t *avail = ((const struct vring_avail *)ring->driver)->ring;
	struct vring_used *used = ring->device;
	uint16_t mask = (uint16_t)(ring->size - 1), at = ring->next;

	for (uint16_t i = 0; i < count; i++, at++) {
		/* The guest had the lines of the next ones a round ago. */
		if (!(at % USED_A_LINE))
			gw_prefetch_write(&used->ring[(at + AHEAD) & mask]);
		used->ring[at & mask] =
			(struct vring_used_elem){ .id = avail[at & mask], .len = len };
	}
	ring->next = at;
	if (count)
		gw_store_release(&used->idx, at);
}

static bool is_available(struct place place, uint16_t flags)
{
	return (flags & (AVAIL_BIT | USED_BIT)) == (place.wrap ? AVAIL_BIT : USED_BIT);
}

static void step(struct place *place, uint32_t size)
{
	if (++place->slot < size)
		return;
	place->slot = 0;
	place->wrap = !place->wrap;
}

static void put_used(struct vring_packed_desc *desc, struct place place, uint16_t id)
{
	desc[place.slot].id = id;
	desc[place.slot].len = 0;
	gw_store_release(&desc[place.slot].flags, place.wrap ? AVAIL_BIT | USED_BIT : 0);
}

/* 2.8: with IN_ORDER one used element stands for all chains of a visit. */
uint32_t sink_ring_take_packed(struct sink_ring *ring, bool in_order)
{
	struct vring_packed_desc *desc = ring->desc;
	struct place begin = { ring->next, ring->wrap }, place = begin, first;
	uint32_t count = 0, size = ring->size;
	uint16_t flags, id = 0;

	for (; count < size; count++) {
		flags = gw_load_acquire(&desc[place.slot].flags);
		if (!is_available(place, flags))
			break;
		/* To the end of the chain; its id is in the last descriptor (2.8.6). */
		for (first = place; flags & VRING_DESC_F_NEXT; flags = desc[place.slot].flags)
			step(&place, size);
		id = desc[place.slot].id;
		step(&place, size);
		if (!in_order)
			put_used(desc, first, id);
	}
	if (count && in_order)
		put_used(desc, begin, id);
	ring->next = place.slot;
	ring->wrap = place.wrap;
	return count;
}
