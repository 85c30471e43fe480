/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs of a split ring: what driver_ring_split.c does for one chain after the other, in loops
 * that have all they need at hand.
 *
 * What the device's processor had last is asked for before it is needed: all used elements
 * that are there, and the descriptors that they set free, which are written next.
 */
#include <endian.h>

#include "driver_ring_inside.h"
#include "order.h"

#define CACHE_LINE  64u
#define USED_A_LINE (CACHE_LINE / sizeof(struct vring_used_elem))
#define DESC_A_LINE (CACHE_LINE / sizeof(struct vring_desc))

uint64_t split_add_run(struct driver_ring *ring, const struct ring_plain *plain,
		       const uint32_t *tokens, uint32_t count, uint16_t flags)
{
	struct vring_desc *desc = ring->desc;
	uint16_t *avail = ring->avail->ring;
	const uint16_t *next = ring->next;
	uint16_t head = ring->free_head, mask = (uint16_t)(ring->size - 1);
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct ring_plain *p = &plain[tokens[i]];

		desc[head] =
			(struct vring_desc){ htole64(p->gpa), htole32(p->len), htole16(flags), 0 };
		avail[(ring->avail_idx + i) & mask] = htole16(head);
		driver_ring_note_plain(ring, i, head, tokens[i], flags ? p->len : 0);
		bytes += p->len;
		head = next[head];
	}
	ring->free_head = head;
	return bytes;
}

/* A hint. */
static void fetch_used(struct driver_ring *ring, uint32_t count)
{
	for (uint32_t i = 0; i < count + USED_A_LINE; i += USED_A_LINE)
		__builtin_prefetch(&ring->used->ring[(ring->used_seen + i) & (ring->size - 1)]);
}

/* With its descriptor, whose line is asked for once if they lie side by side. */
static inline void put_plain(struct driver_ring *ring, uint16_t head)
{
	if (head / DESC_A_LINE != ring->free_head / DESC_A_LINE)
		fetch_to_write(&ring->desc[head]);
	ring->next[head] = ring->free_head;
	ring->free_head = head;
}

uint32_t split_reap_run(struct driver_ring *ring, uint32_t *tokens, uint32_t *lens, uint32_t max)
{
	uint16_t used = le16toh(load_acquire16(&ring->used->idx));
	uint16_t mask = (uint16_t)(ring->size - 1);
	uint32_t count = (uint16_t)(used - ring->used_seen), i;

	if (!count || count > driver_ring_out(ring))
		return 0;
	count = count < max ? count : max;
	fetch_used(ring, count);
	for (i = 0; i < count; i++) {
		const volatile struct vring_used_elem *e =
			&ring->used->ring[(ring->used_seen + i) & mask];
		uint32_t id = le32toh(e->id);

		if (!driver_ring_take_plain(ring, id, &tokens[i]))
			break;
		lens[i] = le32toh(e->len);
		put_plain(ring, (uint16_t)id);
	}
	return i;
}

/* In order descriptors are back at the end of the free list by themselves. */
void split_put_run(struct driver_ring *ring, uint32_t count)
{
	for (uint32_t i = 0; i < count; i += DESC_A_LINE) {
		uint16_t head = ring->order[(ring->used_seen + i) & (ring->size - 1)];

		fetch_to_write(&ring->desc[head]);
	}
}
