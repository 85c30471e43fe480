/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring_walk.h"

#include "atomic.h"
#include "memmap.h"
#include "ring_internal.h"

/* One page after the other is asked for, not each of its pieces. */
static bool is_the_last(const struct walk_ahead *ahead, uint64_t iova, uint8_t access)
{
	const struct iotlb_miss *last;

	if (!ahead->count)
		return false;
	last = &ahead->miss[ahead->count - 1];
	return last->iova / IOTLB_PAGE_BYTES == iova / IOTLB_PAGE_BYTES && last->access == access;
}

/* RING_MISSING; or all was looked at that may be, or there is no room for more. */
static enum ring_fault note_miss(struct walk_ahead *ahead, uint64_t iova, uint8_t access)
{
	if (!ahead->looks)
		return RING_FAULT_SEGMENTS;
	ahead->looks--;
	if (is_the_last(ahead, iova, access))
		return RING_MISSING;
	if (ahead->count == ahead->max)
		return RING_FAULT_SEGMENTS;
	ahead->miss[ahead->count++] = (struct iotlb_miss){ .iova = iova, .access = access };
	return RING_MISSING;
}

static enum ring_fault missed(struct walk *walk, uint64_t iova, uint8_t access)
{
	return walk->ahead ? note_miss(walk->ahead, iova, access)
			   : ring_miss(walk->ring, iova, access);
}

/*
 * The longest piece from addr on: guest physical, or an I/O address. NULL: none, and
 * why. addr + len does not wrap.
 */
static void *translate_part(struct walk *walk, uint64_t addr, uint64_t len, uint8_t access,
			    uint64_t *part, enum ring_fault *fault)
{
	struct ring *ring = walk->ring;
	bool missing;
	void *base;

	*fault = RING_FAULT_NONE;
	if (!ring->iotlb) {
		base = memmap_translate_part(ring->memmap, addr, len, part);
		if (!base)
			*fault = RING_FAULT_ADDRESS;
		return base;
	}
	base = iotlb_translate(ring->iotlb, ring->memmap, addr, len, access, part, &missing);
	if (!base)
		*fault = missing ? missed(walk, addr, access) : RING_FAULT_IOVA;
	return base;
}

/* Each piece is a look, also of one buffer that is mapped page by page. */
static enum ring_fault look_at_pieces(struct walk *walk, uint64_t addr, uint64_t len,
				      uint8_t access)
{
	struct walk_ahead *ahead = walk->ahead;
	enum ring_fault fault;
	uint64_t part;

	while (len) {
		if (translate_part(walk, addr, len, access, &part, &fault)) {
			if (!ahead->looks)
				return RING_FAULT_SEGMENTS;
			ahead->looks--;
		} else {
			if (fault != RING_MISSING)
				return fault;
			part = IOTLB_PAGE_BYTES - addr % IOTLB_PAGE_BYTES;
			part = part < len ? part : len;
		}
		addr += part;
		len -= part;
	}
	return RING_FAULT_NONE;
}

enum ring_fault walk_add_pieces(struct walk *walk, uint64_t addr, uint64_t len, bool writable)
{
	uint8_t access = writable ? IOTLB_WRITE : IOTLB_READ;
	enum ring_fault fault;
	uint64_t part;
	void *base;

	if (len > UINT64_MAX - addr)
		return RING_FAULT_ADDRESS;
	if (walk->ahead)
		return look_at_pieces(walk, addr, len, access);
	while (len) {
		base = translate_part(walk, addr, len, access, &part, &fault);
		if (!base)
			return fault;
		fault = walk_add_piece(walk, base, part, writable);
		if (fault)
			return fault;
		addr += part;
		len -= part;
	}
	return RING_FAULT_NONE;
}

/* A copy of guest memory that may lie in several pieces. */
static enum ring_fault walk_copy(struct walk *walk, void *dst, uint64_t addr, uint64_t len)
{
	enum ring_fault fault;
	uint8_t *to = dst;
	uint64_t part;
	void *from;

	while (len) {
		from = translate_part(walk, addr, len, IOTLB_READ, &part, &fault);
		if (!from)
			return fault;
		gw_copy_once(to, from, part);
		to += part;
		addr += part;
		len -= part;
	}
	return RING_FAULT_NONE;
}

enum ring_fault walk_open_table(struct walk *walk, struct walk_table *table, uint64_t addr,
				uint32_t len)
{
	*table = (struct walk_table){ .addr = addr, .count = len / WALK_TABLE_ENTRY_BYTES };
	if (!table->count || len % WALK_TABLE_ENTRY_BYTES || table->count > GW_FRAME_SEGS_MAX)
		return RING_FAULT_INDIRECT;
	if (len > UINT64_MAX - addr)
		return RING_FAULT_ADDRESS;
	if (!walk->ring->iotlb)
		table->at = ring_translate(walk->ring, addr, len);
	return RING_FAULT_NONE;
}

enum ring_fault walk_read_table(struct walk *walk, const struct walk_table *table, uint32_t i,
				void *desc)
{
	uint32_t offset = i * WALK_TABLE_ENTRY_BYTES;

	if (table->at) {
		gw_copy_once(desc, table->at + offset, WALK_TABLE_ENTRY_BYTES);
		return RING_FAULT_NONE;
	}
	return walk_copy(walk, desc, table->addr + offset, WALK_TABLE_ENTRY_BYTES);
}
