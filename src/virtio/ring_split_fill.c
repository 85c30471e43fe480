/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs of a split ring that is written to: chains of one writable descriptor, which are found,
 * and given back as soon as they are taken, so that none of them is ever out.
 *
 * The rules are those of ring_split.c, and it names who breaks one: a run ends before
 * such a chain, as before all that is not of its kind.
 */
#include "atomic.h"
#include "ring_split.h"

#define DESCS_A_LINE (RING_CACHE_LINE / sizeof(struct vring_desc))
#define USED_A_LINE  (RING_CACHE_LINE / sizeof(struct vring_used_elem))

static inline uint16_t head_at(const struct split_ring *split, uint16_t index)
{
	return gw_read_once(&split->avail->ring[index & split->mask]);
}

/* 0 also if the guest's index is beyond the ring. */
static unsigned int available(struct split_ring *split, unsigned int max)
{
	uint16_t count = (uint16_t)(split->avail_seen - split->avail_next);

	if (count < max) {
		split->avail_seen = gw_load_acquire(&split->avail->idx); /* pair A */
		count = (uint16_t)(split->avail_seen - split->avail_next);
	}
	if (count > split->ring.size)
		return 0;
	return count < max ? count : max;
}

/*
 * Hints: where this run will be shown as used; and the descriptors of the next one, if it is
 * as long. Nothing is decided from what is read for them.
 */
static inline void fetch_next(const struct split_ring *split, unsigned int count)
{
	uint16_t next = (uint16_t)(split->avail_next + count);

	for (unsigned int i = 0; i < count; i += USED_A_LINE)
		gw_prefetch_write(&split->used->ring[(split->used_next + i) & split->mask]);
	for (unsigned int i = 0; i < count; i += DESCS_A_LINE)
		gw_prefetch(&split->desc[head_at(split, (uint16_t)(next + i)) & split->mask]);
}

static inline bool is_writable(const struct vring_desc *desc)
{
	const uint16_t kind = VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE;

	return desc->len && (desc->flags & kind) == VRING_DESC_F_WRITE;
}

unsigned int split_find_writable(struct ring *ring, struct ring_linear *chain, unsigned int max)
{
	struct split_ring *split = split_of(ring);
	unsigned int count = available(split, max), found;
	struct vring_desc desc;
	uint16_t head;

	for (found = 0; found < count; found++) {
		head = head_at(split, (uint16_t)(split->avail_next + found));
		if (__builtin_expect(head >= ring->size, 0))
			break;
		gw_copy_once(&desc, &split->desc[head], sizeof(desc));
		if (__builtin_expect(!is_writable(&desc), 0))
			break;
		chain[found].base = ring_translate(ring, desc.addr, desc.len);
		if (__builtin_expect(!chain[found].base, 0))
			break;
		chain[found].len = desc.len;
		chain[found].head = head;
	}
	fetch_next(split, found);
	return found;
}

void split_fill_run(struct ring *ring, const struct ring_linear *chain,
		    const uint32_t *written_bytes, unsigned int count)
{
	struct split_ring *split = split_of(ring);
	struct vring_used_elem *used = split->used->ring;
	uint16_t at = split->used_next, mask = split->mask;

	for (unsigned int i = 0; i < count; i++, at++) {
		gw_write_once(&used[at & mask].id, chain[i].head);
		gw_write_once(&used[at & mask].len, written_bytes[i]);
	}
	split->used_next = at;
	split->avail_next = (uint16_t)(split->avail_next + count);
	if (!ring->record)
		return;
	for (unsigned int i = 0; i < count; i++) {
		record_split_pop(ring->record, chain[i].head);
		record_split_push(ring->record, chain[i].head);
	}
}
