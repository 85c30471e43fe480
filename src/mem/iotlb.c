/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ranges are kept sorted and do not overlap; a change copies the whole table, which
 * is 80 KiB at most, on a control thread. Each entry remembers which change made it,
 * so that a full table can give up the oldest.
 *
 * Addresses are inclusive at both ends inside (first, last): a range may reach to the
 * last byte of the address space, and one past that cannot be said.
 */
#include "iotlb.h"

#include "atomic.h"
#include "memmap.h"
#include <errno.h>
#include <stdlib.h>

/* A range that is cut out of the middle of another leaves two; and one is added. */
#define SPLIT_ROOM 2u
_Static_assert(SPLIT_ROOM <= IOTLB_GIVEN_UP_MAX, "a table was not too long before");

struct entry {
	struct iotlb_range range;
	uint64_t made; /* the change that made it, or the one it was cut from */
};

struct iotlb {
	struct gw_ref ref;
	unsigned int count;
	uint64_t changes;
	struct iotlb_range given_up[IOTLB_GIVEN_UP_MAX];
	unsigned int given_up_count;
	struct entry entry[];
};

/* ---- life ---- */

static struct iotlb *make(unsigned int room)
{
	struct iotlb *iotlb = calloc(1, sizeof(*iotlb) + room * sizeof(iotlb->entry[0]));

	if (iotlb)
		gw_ref_init(&iotlb->ref);
	return iotlb;
}

struct iotlb *iotlb_create(void)
{
	return make(0);
}

struct iotlb *iotlb_get(struct iotlb *iotlb)
{
	gw_ref_get(&iotlb->ref);
	return iotlb;
}

void iotlb_put(struct iotlb *iotlb)
{
	if (iotlb && gw_ref_put(&iotlb->ref))
		free(iotlb);
}

unsigned int iotlb_given_up(const struct iotlb *iotlb, const struct iotlb_range **ranges)
{
	*ranges = iotlb->given_up;
	return iotlb->given_up_count;
}

unsigned int iotlb_count(const struct iotlb *iotlb)
{
	return iotlb->count;
}

const struct iotlb_range *iotlb_range(const struct iotlb *iotlb, unsigned int i)
{
	return &iotlb->entry[i].range;
}

/* ---- looking ---- */

static uint64_t last_of(const struct iotlb_range *range)
{
	return range->iova + (range->size - 1);
}

/* The first entry that ends at iova or behind it; count if there is none. */
static unsigned int find(const struct iotlb *iotlb, uint64_t iova)
{
	unsigned int low = 0, high = iotlb->count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (last_of(&iotlb->entry[middle].range) < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

unsigned int iotlb_find(const struct iotlb *iotlb, uint64_t iova)
{
	return find(iotlb, iova);
}

/* Entry i, if it has this address and permits the access. */
static const struct iotlb_range *range_at(const struct iotlb *iotlb, unsigned int i, uint64_t iova,
					  uint8_t access)
{
	const struct iotlb_range *range;

	if (i >= iotlb->count)
		return NULL;
	range = &iotlb->entry[i].range;
	return range->iova <= iova && (range->access & access) == access ? range : NULL;
}

bool iotlb_answers(const struct iotlb *iotlb, const struct iotlb_miss *miss)
{
	return range_at(iotlb, find(iotlb, miss->iova), miss->iova, miss->access) != NULL;
}

/* From iova on, within one range: NULL if the front-end has no memory there. */
static uint8_t *within(const struct iotlb_range *range, const struct gw_memmap *memmap,
		       uint64_t iova, uint64_t len, uint64_t *part)
{
	uint64_t offset = iova - range->iova;
	uint64_t room = range->size - offset;

	return memmap_translate_user_part(memmap, range->user_addr + offset,
					  len < room ? len : room, part);
}

void *iotlb_translate(const struct iotlb *iotlb, const struct gw_memmap *memmap, uint64_t iova,
		      uint64_t len, uint8_t access, uint64_t *part, bool *missing)
{
	unsigned int i = find(iotlb, iova);
	const struct iotlb_range *range = range_at(iotlb, i, iova, access);
	uint8_t *host, *next;
	uint64_t more;

	*missing = !range;
	if (!range || !len)
		return NULL;
	host = within(range, memmap, iova, len, part);
	if (!host)
		return NULL;
	/* An IOMMU maps page by page what is often one piece of memory. */
	while (*part < len && iova + *part == range->iova + range->size) {
		range = range_at(iotlb, ++i, iova + *part, access);
		next = range ? within(range, memmap, iova + *part, len - *part, &more) : NULL;
		if (!next || next != host + *part)
			break;
		*part += more;
	}
	return host;
}

/* ---- changing ---- */

static int check(const struct iotlb_range *range, struct gw_error *err)
{
	if (!range->size)
		return gw_error_set(err, -EINVAL, "I/O addresses 0x%llx: the size is 0",
				    (unsigned long long)range->iova);
	if (range->size - 1 > UINT64_MAX - range->iova ||
	    range->size - 1 > UINT64_MAX - range->user_addr)
		return gw_error_set(err, -EINVAL,
				    "I/O addresses 0x%llx, user 0x%llx, size 0x%llx: wraps around",
				    (unsigned long long)range->iova,
				    (unsigned long long)range->user_addr,
				    (unsigned long long)range->size);
	return 0;
}

static void append(struct iotlb *iotlb, const struct iotlb_range *range, uint64_t made)
{
	iotlb->entry[iotlb->count++] = (struct entry){ *range, made };
}

/* What is left of an entry in front of `first`, and behind `last`. */
static void append_before(struct iotlb *to, const struct entry *entry, uint64_t first)
{
	struct iotlb_range range = entry->range;

	if (range.iova >= first)
		return;
	if (last_of(&range) >= first)
		range.size = first - range.iova;
	append(to, &range, entry->made);
}

static void append_after(struct iotlb *to, const struct entry *entry, uint64_t last)
{
	struct iotlb_range range = entry->range;
	uint64_t end = last_of(&range);

	if (end <= last)
		return;
	if (range.iova <= last) {
		range.user_addr += last + 1 - range.iova;
		range.size = end - last;
		range.iova = last + 1;
	}
	append(to, &range, entry->made);
}

/* A table that is too long gives up what was made first, but never what was made last. */
static void shorten(struct iotlb *iotlb)
{
	while (iotlb->count > IOTLB_RANGES_MAX) {
		unsigned int oldest = 0;

		for (unsigned int i = 1; i < iotlb->count; i++)
			if (iotlb->entry[i].made < iotlb->entry[oldest].made)
				oldest = i;
		iotlb->given_up[iotlb->given_up_count++] = iotlb->entry[oldest].range;
		for (unsigned int i = oldest + 1; i < iotlb->count; i++)
			iotlb->entry[i - 1] = iotlb->entry[i];
		iotlb->count--;
	}
}

/* A copy without [first, last], and with `added` there, if it is not NULL. */
static struct iotlb *copy(const struct iotlb *from, uint64_t first, uint64_t last,
			  const struct iotlb_range *added, struct gw_error *err)
{
	struct iotlb *to = make(from->count + SPLIT_ROOM);

	if (!to) {
		gw_error_sys(err, -ENOMEM, "I/O addresses: a table of %u ranges", from->count);
		return NULL;
	}
	to->changes = from->changes + 1;
	for (unsigned int i = 0; i < from->count; i++)
		append_before(to, &from->entry[i], first);
	if (added)
		append(to, added, to->changes);
	for (unsigned int i = 0; i < from->count; i++)
		append_after(to, &from->entry[i], last);
	shorten(to);
	return to;
}

struct iotlb *iotlb_with(const struct iotlb *iotlb, const struct iotlb_range *range,
			 struct gw_error *err)
{
	if (check(range, err))
		return NULL;
	if (!range->access || range->access & ~IOTLB_READ_WRITE) {
		gw_error_set(err, -EINVAL, "I/O addresses 0x%llx: access %u is none",
			     (unsigned long long)range->iova, range->access);
		return NULL;
	}
	return copy(iotlb, range->iova, last_of(range), range, err);
}

struct iotlb *iotlb_without(const struct iotlb *iotlb, uint64_t iova, uint64_t size,
			    struct gw_error *err)
{
	const struct iotlb_range range = { .iova = iova, .size = size };

	if (check(&range, err))
		return NULL;
	return copy(iotlb, iova, last_of(&range), NULL, err);
}
