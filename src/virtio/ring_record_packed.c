/* SPDX-License-Identifier: BSD-2-Clause */
/* The record of a packed ring: see ring_record_internal.h for the order of its steps. */
#include "ring_record_internal.h"

#include <string.h>

#define FLAG_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED  (1u << VRING_PACKED_DESC_F_USED)

/* In `last` while a record is read: whose an entry is. A number beyond any ring. */
#define ENTRY_UNSEEN UINT16_MAX
#define NO_ENTRY     UINT16_MAX

/* ---- places ---- */

/* count is at most size. */
static struct record_place place_after(struct record_place place, uint32_t count, uint32_t size)
{
	uint32_t at = place.at + count;

	return at < size ? (struct record_place){ (uint16_t)at, place.wrap }
			 : (struct record_place){ (uint16_t)(at - size), !place.wrap };
}

static struct record_place place_before(struct record_place place, uint32_t size)
{
	return place.at ? (struct record_place){ (uint16_t)(place.at - 1), place.wrap }
			: (struct record_place){ (uint16_t)(size - 1), !place.wrap };
}

/* Section 2.8.1. */
static bool is_available(uint16_t flags, bool lap)
{
	return (flags & (FLAG_AVAIL | FLAG_USED)) == (lap ? FLAG_AVAIL : FLAG_USED);
}

static bool is_used(uint16_t flags, bool lap)
{
	return (flags & (FLAG_AVAIL | FLAG_USED)) == (lap ? FLAG_AVAIL | FLAG_USED : 0);
}

/* ---- reading the record of the run before ---- */

/*
 * Which of both values count. The place and the list of free entries go into the
 * record's private part. NULL, or what is wrong.
 */
static const char *decide(struct ring_record *record, const struct vring_packed_desc *table)
{
	union record_free free = { .word = gw_read_once(&record->packed->free.word) };
	union record_used used = { .word = gw_read_once(&record->packed->used.word) };

	if (used.idx >= record->size || used.old_idx >= record->size || used.wrap > 1 ||
	    used.old_wrap > 1)
		return "its used index is beyond the ring";
	if (is_available(gw_read_once(&table[used.old_idx].flags), used.old_wrap)) {
		free.head = free.old_head;
		used.idx = used.old_idx;
		used.wrap = used.old_wrap;
	}
	free.old_head = free.head;
	used.old_idx = used.idx;
	used.old_wrap = used.wrap;
	record->free = free;
	record->used = used;
	return NULL;
}

/* Each entry is seen once; the end is any number beyond the ring (size, by custom). */
static const char *read_free_list(struct ring_record *record, uint32_t *seen)
{
	uint16_t i = record->free.head;

	while (i < record->size) {
		if (record->last[i] != ENTRY_UNSEEN)
			return "its list of free entries is a loop";
		record->last[i] = i;
		(*seen)++;
		i = record->next[i];
	}
	return NULL;
}

static const char *read_chain(struct ring_record *record, uint16_t first, uint16_t *count,
			      uint32_t *seen)
{
	const struct record_packed_desc *desc = &record->packed->desc[first];
	uint16_t num = gw_read_once(&desc->num), id, i = first, last = first;

	if (!num || num > record->size)
		return "a chain's length is none";
	for (uint32_t n = 0; n < num; n++) {
		if (i >= record->size || record->last[i] != ENTRY_UNSEEN)
			return "chains share entries, or leave the table";
		record->last[i] = first;
		last = i;
		i = record->next[i];
	}
	*seen += num;
	id = gw_read_once(&record->packed->desc[last].id);
	if (id >= record->size || record->entry[id] != NO_ENTRY)
		return "a buffer id is beyond the ring, or in flight twice";
	record->entry[id] = first;
	record->last[first] = last;
	count[id] = num;
	record->again[record->again_count++] = (struct record_again){
		.counter = gw_read_once(&desc->counter),
		.head = id,
	};
	return NULL;
}

static const char *read_entries(struct ring_record *record, uint16_t *count, uint32_t *descs)
{
	const struct record_packed_desc *desc = record->packed->desc;
	uint32_t seen = 0;
	const char *wrong;

	for (uint32_t i = 0; i < record->size; i++) {
		record->next[i] = gw_read_once(&desc[i].next);
		record->last[i] = ENTRY_UNSEEN;
		record->entry[i] = NO_ENTRY;
	}
	wrong = read_free_list(record, &seen);
	*descs = record->size - seen;
	for (uint32_t i = 0; !wrong && i < record->size; i++)
		if (record->last[i] == ENTRY_UNSEEN && gw_read_once(&desc[i].inflight) == 1)
			wrong = read_chain(record, (uint16_t)i, count, &seen);
	if (!wrong && seen != record->size)
		wrong = "entries are neither free nor in flight";
	return wrong;
}

/*
 * Whether the table looks as if the run before had come to this place: from there on lie
 * descriptors of this lap, in flight or already overwritten; before it none that this
 * lap did not reach. (A guest that was reset meanwhile begins with zeros.)
 */
static const char *check_table(const struct ring_record *record,
			       const struct vring_packed_desc *table, uint32_t descs)
{
	struct record_place place = { record->used.idx, record->used.wrap };
	struct record_place before = place_before(place, record->size);
	uint16_t flags = gw_read_once(&table[place.at].flags);

	if (is_used(flags, place.wrap))
		return "the ring is ahead of it";
	if (place.at && descs < record->size &&
	    is_used(gw_read_once(&table[before.at].flags), !before.wrap))
		return "the ring is not as far";
	for (; descs; descs--) {
		flags = gw_read_once(&table[place.at].flags);
		if (!is_available(flags, place.wrap) && !is_used(flags, place.wrap))
			return "what is in flight is not in the ring";
		place = place_after(place, 1, record->size);
	}
	return NULL;
}

/* ---- the beginning of a run ---- */

/* Used descriptors of a batch that was never shown: available again. */
static void hide_batch(const struct ring_record *record, struct vring_packed_desc *table,
		       uint32_t descs)
{
	struct record_place place = { record->used.idx, record->used.wrap };
	uint16_t flags;

	for (; descs; descs--) {
		flags = gw_read_once(&table[place.at].flags);
		if (is_used(flags, place.wrap))
			gw_write_once(&table[place.at].flags, flags ^ FLAG_USED);
		place = place_after(place, 1, record->size);
	}
}

/* What was decided is written, in the order of a flush. */
static void write_decision(const struct ring_record *record)
{
	struct record_packed *packed = record->packed;

	for (uint16_t i = record->free.head; i < record->size; i = record->next[i])
		gw_write_once(&packed->desc[i].inflight, 0);
	gw_compiler_barrier();
	gw_write_once(&packed->free.word, record->free.word);
	gw_compiler_barrier();
	gw_write_once(&packed->used.word, record->used.word);
	gw_compiler_barrier();
}

static void begin_anew(struct ring_record *record, struct record_place used)
{
	struct record_packed *packed = record->packed;

	for (uint32_t i = 0; i < record->size; i++)
		record->next[i] = (uint16_t)(i + 1);
	record->free.word = 0;
	record->used = (union record_used){ .idx = used.at, .old_idx = used.at };
	record->used.wrap = record->used.old_wrap = used.wrap;
	gw_write_once(&packed->used.word, record->used.word);
	record_begun(record);
}

bool record_packed_begin(struct ring_record *record, struct vring_packed_desc *table,
			 struct record_place *used, uint32_t *descs, uint16_t *count)
{
	bool fits = ring_record_fits(record->packed, SIZE_MAX, record->size, true);
	const char *wrong = NULL;
	uint32_t in_flight = 0;

	if (!fits && gw_read_once(&record->packed->version))
		wrong = "it is of another ring: size, version or features differ";
	if (fits)
		wrong = decide(record, table);
	if (fits && !wrong)
		wrong = read_entries(record, count, &in_flight);
	if (fits && !wrong)
		wrong = check_table(record, table, in_flight);
	if (!fits || wrong) {
		record_forget(record, true, wrong);
		begin_anew(record, *used);
		return false;
	}
	write_decision(record);
	hide_batch(record, table, in_flight);
	record_sort_again(record);
	*descs = in_flight;
	*used = (struct record_place){ record->used.idx, record->used.wrap };
	return true;
}

/* ---- chains come and go ---- */

void record_packed_pop(struct ring_record *record, const struct vring_packed_desc *table,
		       uint32_t at, uint32_t count, uint16_t id)
{
	struct record_packed_desc *desc = record->packed->desc;
	uint16_t first = record->free.head, last = first, i = first;
	struct vring_packed_desc copy;

	for (uint32_t n = 0; n < count; n++) {
		gw_copy_once(&copy, &table[at], sizeof(copy));
		desc[i].addr = copy.addr;
		desc[i].len = copy.len;
		desc[i].flags = copy.flags;
		desc[i].id = copy.id;
		last = i;
		i = record->next[i];
		at = at + 1 == record->size ? 0 : at + 1;
	}
	desc[last].id = id; /* what was checked, not what may be there now */
	desc[first].last = last;
	desc[first].num = (uint16_t)count;
	desc[first].counter = record->counter++;
	desc[first].inflight = 1;
	record->entry[id] = first;
	record->last[first] = last;
	record->free.head = record->free.old_head = i;
	gw_compiler_barrier();
	gw_write_once(&record->packed->free.word, record->free.word);
	gw_compiler_barrier();
}

/*
 * Who is on the list of free entries is free, whatever else is in it: so one store takes all of
 * a run off it.
 */
void record_packed_pop_run(struct ring_record *record, const struct vring_packed_desc *table,
			   uint32_t at, const struct ring_linear *chain, unsigned int count)
{
	struct record_packed_desc *desc = record->packed->desc;
	uint16_t *entry = record->entry, *last = record->last;
	uint64_t counter = record->counter;
	const uint16_t *next = record->next;
	uint16_t i = record->free.head;
	uint32_t size = record->size;
	struct vring_packed_desc copy;

	for (unsigned int n = 0; n < count; n++) {
		gw_copy_once(&copy, &table[at], sizeof(copy));
		desc[i].addr = copy.addr;
		desc[i].len = copy.len;
		desc[i].flags = copy.flags;
		desc[i].id = chain[n].head;
		desc[i].last = i;
		desc[i].num = 1;
		desc[i].counter = counter++;
		desc[i].inflight = 1;
		entry[chain[n].head] = i;
		last[i] = i;
		i = next[i];
		at = at + 1 == size ? 0 : at + 1;
	}
	record->counter = counter;
	record->free.head = record->free.old_head = i;
	gw_compiler_barrier();
	gw_write_once(&record->packed->free.word, record->free.word);
	gw_compiler_barrier();
}

void record_packed_unpop(struct ring_record *record, uint16_t id)
{
	struct record_packed *packed = record->packed;
	uint16_t first = record->entry[id], last = record->last[first];

	record->counter--;
	record->next[last] = record->free.head;
	gw_write_once(&packed->desc[last].next, record->free.head);
	record->free.head = record->free.old_head = first;
	gw_compiler_barrier();
	gw_write_once(&packed->free.word, record->free.word);
	gw_compiler_barrier();
	gw_write_once(&packed->desc[first].inflight, 0);
	gw_compiler_barrier();
}

void record_packed_desc(const struct ring_record *record, uint16_t id, int32_t *entry,
			struct vring_packed_desc *desc)
{
	const struct record_packed_desc *from;

	*entry = *entry < 0 ? record->entry[id] : record->next[*entry];
	from = &record->packed->desc[*entry];
	*desc = (struct vring_packed_desc){
		.addr = gw_read_once(&from->addr),
		.len = gw_read_once(&from->len),
		.id = id,
		.flags = gw_read_once(&from->flags),
	};
}

void record_packed_flush(struct ring_record *record, struct record_place used)
{
	struct record_packed *packed = record->packed;
	struct record_packed_desc *desc = packed->desc;
	const uint16_t *batch = record->batch, *last_of = record->last;
	uint16_t *next = record->next, head = record->free.head;
	uint32_t count = record->batch_count;

	for (uint32_t i = 0; i < count; i++) {
		uint16_t last = last_of[batch[i]];

		next[last] = head;
		gw_write_once(&desc[last].next, head);
		head = batch[i];
	}
	record->free.head = head;
	gw_compiler_barrier();
	gw_write_once(&packed->free.word, record->free.word);
	record->used.idx = used.at;
	record->used.wrap = used.wrap;
	gw_compiler_barrier();
	gw_write_once(&packed->used.word, record->used.word);
	gw_compiler_barrier();
}

void record_packed_flushed(struct ring_record *record)
{
	struct record_packed *packed = record->packed;
	struct record_packed_desc *desc = packed->desc;
	const uint16_t *batch = record->batch;
	uint32_t count = record->batch_count;

	gw_compiler_barrier();
	for (uint32_t i = 0; i < count; i++)
		gw_write_once(&desc[batch[i]].inflight, 0);
	record->batch_count = 0;
	record->free.old_head = record->free.head;
	gw_compiler_barrier();
	gw_write_once(&packed->free.word, record->free.word);
	record->used.old_idx = record->used.idx;
	record->used.old_wrap = record->used.wrap;
	gw_compiler_barrier();
	gw_write_once(&packed->used.word, record->used.word);
	gw_compiler_barrier();
}
