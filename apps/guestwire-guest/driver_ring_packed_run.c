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

/* The first of a batch has its flags when it is published. */
static inline void write_plain(struct driver_ring_packed *p, struct vring_packed_desc *d,
			       const struct ring_plain *plain, uint16_t id, uint16_t flags)
{
	union tail tail = { .len = htole32(plain->len), .id = htole16(id) };

	d->addr = htole64(plain->gpa);
	if (p->head) {
		tail.flags = htole16(flags);
		store_release64(tail_of(d), tail.word);
		return;
	}
	d->len = tail.len;
	d->id = tail.id;
	p->head = &d->flags;
	p->head_flags = htole16(flags);
}

uint64_t packed_add_run(struct driver_ring *ring, const struct ring_plain *plain,
			const uint32_t *tokens, uint32_t count, uint16_t flags)
{
	struct driver_ring_packed *p = &ring->packed;
	uint16_t slot = p->slot, size = ring->size;
	bool wrap = p->wrap;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct ring_plain *of = &plain[tokens[i]];
		uint16_t id = p->ids[--p->id_count];

		write_plain(p, &p->desc[slot], of, id,
			    (uint16_t)(flags | (wrap ? AVAIL_BIT : USED_BIT)));
		driver_ring_note_plain(ring, i, id, tokens[i], flags ? of->len : 0);
		bytes += of->len;
		step(&slot, &wrap, size);
	}
	p->slot = slot;
	p->wrap = wrap;
	p->added += (uint16_t)count;
	return bytes;
}

/* A line of descriptors is among the next to be written. */
static inline void fetch_line(const struct driver_ring_packed *p, uint16_t slot)
{
	if (!(slot % DESC_A_LINE))
		__builtin_prefetch(&p->desc[slot], 1);
}

uint32_t packed_reap_run(struct driver_ring *ring, uint32_t *tokens, uint32_t *lens, uint32_t max)
{
	struct driver_ring_packed *p = &ring->packed;
	uint32_t out = driver_ring_out(ring), i;

	max = max < out ? max : out;
	for (i = 0; i < max; i++) {
		uint16_t want = p->used_wrap ? AVAIL_BIT | USED_BIT : 0;
		union tail tail = { .word = load_acquire64(tail_of(&p->desc[p->used_slot])) };

		if ((le16toh(tail.flags) & (AVAIL_BIT | USED_BIT)) != want ||
		    !driver_ring_take_plain(ring, le16toh(tail.id), &tokens[i]))
			break;
		lens[i] = le32toh(tail.len);
		p->ids[p->id_count++] = le16toh(tail.id);
		fetch_line(p, p->used_slot);
		step(&p->used_slot, &p->used_wrap, ring->size);
	}
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
