/* SPDX-License-Identifier: BSD-2-Clause */
#include "span.h"

#include <stdlib.h>
#include <string.h>

enum key { BY_GUEST, BY_USER, BY_HOST };

static inline uint64_t key_of(const struct span *span, enum key key)
{
	switch (key) {
	case BY_GUEST:
		return span->guest_addr;
	case BY_USER:
		return span->user_addr;
	case BY_HOST:
		break;
	}
	return (uint64_t)(uintptr_t)span->host;
}

/* ---- filling ---- */

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_guest(const void *a, const void *b)
{
	return compare(key_of(a, BY_GUEST), key_of(b, BY_GUEST));
}

static int compare_user(const void *a, const void *b)
{
	return compare(key_of(a, BY_USER), key_of(b, BY_USER));
}

static int compare_host(const void *a, const void *b)
{
	return compare(key_of(a, BY_HOST), key_of(b, BY_HOST));
}

static int compare_size(const void *a, const void *b)
{
	int order = compare(((const struct span *)b)->size, ((const struct span *)a)->size);

	return order ? order : compare_guest(a, b);
}

static const struct span *sorted(const struct span *spans, unsigned int count, struct span *room,
				 int (*order)(const void *, const void *))
{
	memcpy(room, spans, count * sizeof(*spans));
	qsort(room, count, sizeof(*room), order);
	return room;
}

void span_table_fill(struct span_table *table, const struct span *spans, unsigned int count,
		     struct span *room)
{
	table->count = count;
	table->first_count = count < SPAN_FIRST ? count : SPAN_FIRST;
	sorted(spans, count, room, compare_size);
	memcpy(table->first, room, table->first_count * sizeof(*room));
	table->by_guest = sorted(spans, count, room, compare_guest);
	table->by_user = sorted(spans, count, room + count, compare_user);
	table->by_host = sorted(spans, count, room + 2 * (size_t)count, compare_host);
	table->user_overlaps = false;
	for (unsigned int i = 1; i < count; i++)
		if (table->by_user[i].user_addr - table->by_user[i - 1].user_addr <
		    table->by_user[i - 1].size)
			table->user_overlaps = true;
}

/* ---- looking ---- */

static inline const struct span *in_first(const struct span_table *table, uint64_t addr,
					  enum key key)
{
	const struct span *span = table->first;

	for (unsigned int i = 0; i < table->first_count; i++, span++)
		if (addr - key_of(span, key) < span->size)
			return span;
	return NULL;
}

static inline const struct span *in_sorted(const struct span *span, unsigned int count,
					   uint64_t addr, enum key key)
{
	while (count > 1) {
		unsigned int half = count / 2;

		if (key_of(span + half, key) <= addr)
			span += half;
		count -= half;
	}
	return addr - key_of(span, key) < span->size ? span : NULL;
}

const struct span *span_search_guest(const struct span_table *table, uint64_t addr)
{
	return in_sorted(table->by_guest, table->count, addr, BY_GUEST);
}

const struct span *span_of_host(const struct span_table *table, const void *host)
{
	uint64_t addr = (uint64_t)(uintptr_t)host;
	const struct span *span = in_first(table, addr, BY_HOST);

	if (span || table->count == table->first_count)
		return span;
	return in_sorted(table->by_host, table->count, addr, BY_HOST);
}

/* Sorting does not help where spans overlap: rare, and only a front-end's own doing. */
static const struct span *longest_user(const struct span_table *table, uint64_t addr, uint64_t len)
{
	const struct span *span = table->by_user, *best = NULL;
	uint64_t offset, most = 0;

	for (unsigned int i = 0; i < table->count && most < len; i++, span++) {
		offset = addr - span->user_addr;
		if (offset >= span->size || span->size - offset <= most)
			continue;
		most = span->size - offset;
		best = span;
	}
	return best;
}

const struct span *span_of_user(const struct span_table *table, uint64_t addr, uint64_t len)
{
	const struct span *span;

	if (table->user_overlaps)
		return longest_user(table, addr, len);
	span = in_first(table, addr, BY_USER);
	if (span || table->count == table->first_count)
		return span;
	return in_sorted(table->by_user, table->count, addr, BY_USER);
}
