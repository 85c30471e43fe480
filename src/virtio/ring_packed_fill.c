/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs of a packed ring that is written to: as ring_split_fill.c. The used descriptors lie over
 * those that were found, one over each.
 */
#include "atomic.h"
#include "ring_packed.h"

#define DESCS_A_LINE (RING_CACHE_LINE / sizeof(struct vring_packed_desc))

/* A hint: the next run begins at place, and may be as long. */
static inline void fetch_next(const struct packed_ring *packed, struct packed_place place,
			      unsigned int count)
{
	if (packed->ring.size < DESCS_A_LINE)
		return;
	for (unsigned int i = 0; i < count; i += DESCS_A_LINE) {
		gw_prefetch(&packed->desc[place.at]);
		place_on(&place, DESCS_A_LINE, packed->ring.size);
	}
}

static inline bool is_writable(const struct vring_packed_desc *desc)
{
	const uint16_t kind = VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE;

	return desc->len && (desc->flags & kind) == VRING_DESC_F_WRITE;
}

unsigned int packed_find_writable(struct ring *ring, struct ring_linear *chain, unsigned int max)
{
	struct packed_ring *packed = packed_of(ring);
	struct packed_place place = packed->avail;
	/* Behind that lies what was not shown as used yet. */
	uint32_t room = ring->size - packed->out;
	struct vring_packed_desc desc;
	unsigned int found;

	for (found = 0; found < max && found < room && available_at(packed, place); found++) {
		gw_copy_once(&desc, &packed->desc[place.at], sizeof(desc));
		if (__builtin_expect(!is_writable(&desc) || desc.id >= ring->size, 0))
			break;
		chain[found].base = ring_translate(ring, desc.addr, desc.len);
		if (__builtin_expect(!chain[found].base, 0))
			break;
		chain[found].len = desc.len;
		chain[found].head = desc.id;
		place_on(&place, 1, ring->size);
	}
	fetch_next(packed, place, found);
	return found;
}

void packed_fill_run(struct ring *ring, const struct ring_linear *chain,
		     const uint32_t *written_bytes, unsigned int count)
{
	struct packed_ring *packed = packed_of(ring);

	for (unsigned int i = 0; i < count; i++) {
		uint16_t id = chain[i].head;

		/* It copies the descriptor: before a used one lies there. */
		if (ring->record)
			record_packed_pop(ring->record, packed->desc, packed->avail.at, 1, id);
		packed->descs[id] = 1;
		packed->out++;
		place_on(&packed->avail, 1, ring->size);
		ring->layout->push(ring, id, written_bytes[i]);
	}
}
