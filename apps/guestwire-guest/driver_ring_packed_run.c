/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs of a packed ring: what driver_ring_packed.c does for one chain after the other, in
 * loops that have all they need at hand.
 *
 * A descriptor is written, and read, in two halves: its address, and all the rest.
 */
#include <endian.h>
#include <stddef.h>

#include "driver_ring_inside.h"
#include "order.h"

#define AVAIL_BIT   (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT    (1u << VRING_PACKED_DESC_F_USED)
#define CACHE_LINE  64u
#define DESC_A_LINE (CACHE_LINE / sizeof(struct vring_packed_desc))

/* Length, id and flags, as they lie there: no access tears them apart. */
union tail {
	struct {
		uint32_t len;
		uint16_t id, flags;
	};
	uint64_t word;
};

_Static_assert(offsetof(struct vring_packed_desc, len) == 8 &&
		       offsetof(struct vring_packed_desc, id) == 12 &&
		       offsetof(struct vring_packed_desc, flags) == 14,
	       "VIRTIO 1.2 section 2.8.13");

static inline uint64_t *tail_of(struct vring_packed_desc *desc)
{
	return (uint64_t *)(void *)&desc->len;
}

static inline void step(uint16_t *slot, bool *wrap, uint16_t size)
{
	if (++*slot < size)
		return;
	*slot = 0;
	*wrap = !*wrap;
}

/* The first of a batch has its flags when it is published; until then those it had. */
static void hold_first(struct driver_ring_packed *p, struct vring_packed_desc *d, union tail *tail)
{
	p->head = &d->flags;
	p->head_flags = tail->flags;
	tail->flags = d->flags;
}

uint64_t packed_add_run(struct driver_ring *ring, const struct ring_plain *plain,
			const uint32_t *tokens, uint32_t count, uint16_t flags)
{
	struct driver_ring_packed *p = &ring->packed;
	const uint16_t *ids = p->ids + p->id_count;
	uint16_t slot = p->slot, size = ring->size;
	bool wrap = p->wrap;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct ring_plain *of = &plain[tokens[i]];
		struct vring_packed_desc *d = &p->desc[slot];
		uint16_t id = *--ids, shown = flags | (wrap ? AVAIL_BIT : USED_BIT);
		union tail tail = { { htole32(of->len), htole16(id), htole16(shown) } };

		d->addr = htole64(of->gpa);
		if (__builtin_expect(!p->head, 0))
			hold_first(p, d, &tail);
		store_release64(tail_of(d), tail.word);
		driver_ring_note_plain(ring, i, id, tokens[i], flags ? of->len : 0);
		bytes += of->len;
		step(&slot, &wrap, size);
	}
	p->id_count -= (uint16_t)count;
	p->slot = slot;
	p->wrap = wrap;
	p->added += (uint16_t)count;
	return bytes;
}

/* A line of descriptors is among the next to be written. */
static inline void fetch_line(const struct driver_ring_packed *p, uint16_t slot)
{
	if (!(slot % DESC_A_LINE))
		fetch_to_write(&p->desc[slot]);
}

uint32_t packed_reap_run(struct driver_ring *ring, uint32_t *tokens, uint32_t *lens, uint32_t max)
{
	struct driver_ring_packed *p = &ring->packed;
	uint32_t out = driver_ring_out(ring), i;
	uint16_t *ids = p->ids + p->id_count;
	uint16_t slot = p->used_slot;
	bool wrap = p->used_wrap;

	max = max < out ? max : out;
	for (i = 0; i < max; i++) {
		uint16_t want = wrap ? AVAIL_BIT | USED_BIT : 0;
		union tail tail = { .word = load_acquire64(tail_of(&p->desc[slot])) };

		if ((le16toh(tail.flags) & (AVAIL_BIT | USED_BIT)) != want ||
		    !driver_ring_take_plain(ring, le16toh(tail.id), &tokens[i]))
			break;
		lens[i] = le32toh(tail.len);
		ids[i] = le16toh(tail.id);
		fetch_line(p, slot);
		step(&slot, &wrap, ring->size);
	}
	p->id_count += (uint16_t)i;
	p->used_slot = slot;
	p->used_wrap = wrap;
	return i;
}

void packed_put_run(struct driver_ring *ring, uint32_t count)
{
	struct driver_ring_packed *p = &ring->packed;

	for (uint32_t i = 0; i < count; i++) {
		p->ids[p->id_count++] = ring->order[(ring->used_seen + i) & (ring->size - 1)];
		fetch_line(p, p->used_slot);
		step(&p->used_slot, &p->used_wrap, ring->size);
	}
}
