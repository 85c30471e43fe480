/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs of a split ring: what ring_split.c does for one chain after the other, for many that
 * are one descriptor each, in loops that have all they need at hand.
 *
 * The rules are those of ring_split.c, and it names who breaks one: a run ends before
 * such a chain, as before all that is not of its kind, and has not touched it.
 *
 * First the heads are read, and their descriptors fetched, then the descriptors, and
 * what they name is fetched: so each wait for a line of the guest's processor
 * is one for several chains.
 */
#include "atomic.h"
#include "ring_split.h"

#define SPECIAL_FLAGS (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT)

#define USED_A_LINE (RING_CACHE_LINE / sizeof(struct vring_used_elem))

/* How many can be looked at: 0 also if the guest's index is beyond the ring. */
static unsigned int available(struct split_ring *split, unsigned int max)
{
	uint16_t count;

	if (!look_for_avail(split))
		return 0;
	count = (uint16_t)(split->avail_seen - split->avail_next);
	if (count > split->ring.size)
		return 0;
	return count < max ? count : max;
}

static inline bool is_linear(const struct vring_desc *desc)
{
	return desc->len && !(desc->flags & SPECIAL_FLAGS);
}

/* Whether the next chain is one, so that what is behind it is worth a look. */
static bool begins_linear(const struct split_ring *split)
{
	uint16_t head = gw_read_once(&split->avail->ring[split->avail_next & split->mask]);
	struct vring_desc desc;

	if (head >= split->ring.size)
		return false;
	gw_copy_once(&desc, &split->desc[head], sizeof(desc));
	return is_linear(&desc);
}

/* Heads of a run, up to one that cannot be. Returns how many. */
static unsigned int read_heads(const struct split_ring *split, struct ring_linear *chain,
			       unsigned int count)
{
	const struct vring_used_elem *used = split->used->ring;
	const uint16_t *ring = split->avail->ring;
	const struct vring_desc *table = split->desc;
	uint16_t mask = split->mask, at = split->avail_next, head;

	for (unsigned int i = 0; i < count; i++, at++) {
		if (!(at % USED_A_LINE))
			/* Where it will be shown as used, if none is kept for long. */
			gw_prefetch_write(&used[at & mask]);
		head = gw_read_once(&ring[at & mask]);
		if (__builtin_expect(head > mask, 0))
			return i;
		gw_prefetch(&table[head]);
		chain[i].head = head;
	}
	return count;
}

/*
 * Their descriptors, each copied once. Returns how many are as they have to be. The range that
 * addresses were in last is at hand in locals.
 */
static unsigned int read_descs(struct ring *ring, const struct vring_desc *table,
			       struct ring_linear *chain, unsigned int count)
{
	struct memmap_range range = ring->range;
	bool fetch = ring->reads_only;
	uint8_t *state = ring->state;

	for (unsigned int i = 0; i < count; i++) {
		uint16_t head = chain[i].head;
		struct vring_desc desc;
		uint8_t *base;

		gw_copy_once(&desc, &table[head], sizeof(desc));
		if (__builtin_expect(!is_linear(&desc) || state[head] != HEAD_FREE, 0))
			return i;
		base = ring_translate_near(ring, &range, desc.addr, desc.len);
		if (__builtin_expect(!base, 0))
			return i;
		chain[i].base = base;
		chain[i].len = desc.len;
		state[head] = HEAD_TAKEN;
		if (fetch)
			ring_fetch_linear(base);
	}
	return count;
}

unsigned int split_pop_run(struct ring *ring, struct ring_linear *chain, unsigned int max)
{
	struct split_ring *split = (struct split_ring *)ring;
	unsigned int count = available(split, max);

	if (!count || !begins_linear(split))
		return 0;
	count = read_heads(split, chain, count);
	count = read_descs(ring, split->desc, chain, count);
	split->avail_next += (uint16_t)count;
	if (ring->record)
		record_split_pop_run(ring->record, chain, count);
	ring_note_run(ring, chain, count);
	return count;
}

void split_push_run(struct ring *ring, const uint16_t *head, unsigned int count)
{
	struct split_ring *split = (struct split_ring *)ring;
	struct vring_used_elem *used = split->used->ring;
	uint16_t mask = split->mask, at = split->used_next;

	/* Nothing was written into them: id and length are one word. */
	for (unsigned int i = 0; i < count; i++, at++)
		gw_write_word(&used[at & mask], head[i]);
	split->used_next = at;
	if (ring->record)
		record_split_push_run(ring->record, head, count);
}
