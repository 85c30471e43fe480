/* SPDX-License-Identifier: BSD-2-Clause */
/* Buffers of one chain, as they are found, become segments: the part that all rings share. */
#pragma once

#include "memmap.h"
#include "ring_internal.h"

/* What a look ahead has found, and how much it may still look at. */
struct walk_ahead {
	struct iotlb_miss *miss;
	unsigned int count, max;
	unsigned int looks;
	uint32_t chains; /* it has begun with */
	bool cut;        /* not all that were available */
};

/* So many chains before it is popped, its descriptor is fetched, and what that names. */
#define RING_FETCH_DESC_AHEAD   24u
#define RING_FETCH_BUFFER_AHEAD 8u
/* Of a table, most of those that are in use; of a frame, its headers. */
#define RING_FETCH_BYTES        128u

struct walk {
	struct ring *ring;
	struct ring_chain *chain; /* counts and bytes are added up here */
	struct iovec *seg;
	unsigned int count, max;
	/*
	 * NULL: the chain is taken. Else (behind an IOMMU only) it makes no segments, and
	 * pages of its buffers that are missing are noted and passed over. A look ahead is
	 * over with the first fault; only RING_MISSING, of an indirect table, is none.
	 */
	struct walk_ahead *ahead;
};

/* One contiguous piece, merged with the one before it where they touch. */
static inline enum ring_fault walk_add_piece(struct walk *walk, void *base, uint64_t len,
					     bool writable)
{
	uint16_t *count = writable ? &walk->chain->write_count : &walk->chain->read_count;
	struct iovec *last;

	if (*count) {
		/* Of the same direction: readable ones come first. */
		last = &walk->seg[walk->count - 1];
		if ((uint8_t *)last->iov_base + last->iov_len == (uint8_t *)base) {
			last->iov_len += len;
			return RING_FAULT_NONE;
		}
	}
	if (walk->count >= walk->max)
		return RING_FAULT_SEGMENTS;
	walk->seg[walk->count++] = (struct iovec){ .iov_base = base, .iov_len = len };
	(*count)++;
	return RING_FAULT_NONE;
}

/* A buffer that lies in several pieces: regions that touch, ranges of an IOMMU. */
enum ring_fault walk_add_pieces(struct walk *walk, uint64_t addr, uint64_t len, bool writable);

/*
 * One buffer of the guest, its numbers copied from the descriptor before. 0, the rule
 * that it breaks, or RING_MISSING.
 */
static inline enum ring_fault walk_add(struct walk *walk, uint64_t addr, uint32_t len,
				       bool writable)
{
	void *base = NULL;

	if (!len)
		return RING_FAULT_LENGTH;
	if (writable) {
		walk->chain->write_bytes += len;
	} else {
		/* VIRTIO 1.2 section 2.7.4.2: all readable ones before the first writable. */
		if (walk->chain->write_count)
			return RING_FAULT_ORDER;
		walk->chain->read_bytes += len;
	}
	if (__builtin_expect(!walk->ring->iotlb, 1))
		base = ring_translate(walk->ring, addr, len);
	if (__builtin_expect(base != NULL, 1))
		return walk_add_piece(walk, base, len, writable);
	return walk_add_pieces(walk, addr, len, writable);
}

/* A table of a ring that we read, or a buffer, will be read soon from its beginning on. */
static inline void walk_fetch(const struct ring *ring, uint64_t addr)
{
	const uint8_t *base;

	if (!ring->reads_only || __builtin_expect(ring->iotlb != NULL, 0))
		return;
	base = memmap_in_range(&ring->range, addr, RING_FETCH_BYTES);
	if (__builtin_expect(!base, 0))
		base = memmap_translate(ring->memmap, addr, RING_FETCH_BYTES);
	if (base)
		for (unsigned int i = 0; i < RING_FETCH_BYTES; i += RING_CACHE_LINE)
			gw_prefetch(base + i);
}

/*
 * An indirect table: 16 bytes for each descriptor in all layouts. It is read where it
 * lies, each descriptor once, so that it can change under us without harm.
 */
struct walk_table {
	const uint8_t *at; /* NULL: it does not lie in one piece */
	uint64_t addr;
	uint32_t count;
};

#define WALK_TABLE_ENTRY_BYTES 16u

enum ring_fault walk_open_table(struct walk *walk, struct walk_table *table, uint64_t addr,
				uint32_t len);
/* Descriptor i < count. */
enum ring_fault walk_read_table(struct walk *walk, const struct walk_table *table, uint32_t i,
				void *desc);
