/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The translator's tables: the regions of a memmap, sorted by each of the three
 * kinds of addresses they have. Of this folder only.
 *
 * A guest has most of its memory in one or two regions, and nearly every address
 * that a frame names lies there. So the few largest are looked at first, one by one;
 * only a miss there goes to the sorted tables. Measured: 2 ns with one region, 25 ns at
 * random over 509 of the same size.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One region; one line of cache holds two. */
struct span {
	uint64_t guest_addr;
	uint64_t size;
	uint8_t *host;
	uint64_t user_addr;
};

/* Largest ones, which are tried before the search. */
#define SPAN_FIRST 4u

struct span_table {
	unsigned int count, first_count;
	/* The front-end has memory at one of its addresses twice (an alias of the guest's). */
	bool user_overlaps;
	struct span first[SPAN_FIRST];
	const struct span *by_guest, *by_user, *by_host;
};

/* Fills the table from count spans in any order; room is for 3 * count, and stays in use. */
void span_table_fill(struct span_table *table, const struct span *spans, unsigned int count,
		     struct span *room);

/* The span that has this address; NULL: none. Bounded: 4 looks, then log2 of the count. */
static inline const struct span *span_of_guest(const struct span_table *table, uint64_t addr);
const struct span *span_of_host(const struct span_table *table, const void *host);
/* The span that has the most of len bytes from this address. */
const struct span *span_of_user(const struct span_table *table, uint64_t addr, uint64_t len);

/* The few largest did not have it. */
const struct span *span_search_guest(const struct span_table *table, uint64_t addr);

/*
 * One comparison for both ends: an address below the span makes the difference wrap
 * to more than any size that was checked.
 */
static inline const struct span *span_of_guest(const struct span_table *table, uint64_t addr)
{
	const struct span *span = table->first;

	for (unsigned int i = 0; i < table->first_count; i++, span++)
		if (addr - span->guest_addr < span->size)
			return span;
	return table->count == table->first_count ? NULL : span_search_guest(table, addr);
}
