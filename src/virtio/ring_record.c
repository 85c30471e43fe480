/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring_record.h"

#include "apart.h"
#include "ring_record_internal.h"
#include <stdlib.h>
#include <string.h>

/* ---- any ring ---- */

size_t ring_record_bytes(uint32_t ring_size, bool packed)
{
	size_t bytes =
		packed ? sizeof(struct record_packed) +
				 ring_size * sizeof(struct record_packed_desc)
		       : sizeof(struct record_split) + ring_size * sizeof(struct record_split_desc);

	return (bytes + RING_RECORD_ALIGN - 1) & ~(size_t)(RING_RECORD_ALIGN - 1);
}

/* Both layouts have it at the same place. */
void ring_record_end(void *at)
{
	struct record_split *record = at;

	gw_write_once(&record->version, 0);
	gw_compiler_barrier();
}

void ring_record_clear(void *at, uint32_t ring_size, bool packed)
{
	ring_record_end(at);
	memset(at, 0, ring_record_bytes(ring_size, packed));
	gw_compiler_barrier();
}

/* Nothing is in flight; but for the version, without which there is no record. */
static void begin_empty(void *at, uint32_t ring_size, bool packed)
{
	struct record_packed *record = at;

	ring_record_clear(at, ring_size, packed);
	gw_write_once(&record->desc_num, (uint16_t)ring_size);
	if (!packed)
		return;
	record->used.wrap = record->used.old_wrap = 1;
	for (uint32_t i = 0; i < ring_size; i++)
		record->desc[i].next = (uint16_t)(i + 1);
}

/* What both layouts begin with. */
bool ring_record_fits(const void *at, size_t bytes, uint32_t ring_size, bool packed)
{
	const struct record_split *record = at;

	return bytes >= ring_record_bytes(ring_size, packed) &&
	       gw_read_once(&record->version) == RECORD_VERSION &&
	       gw_read_once(&record->desc_num) == ring_size && gw_read_once(&record->features) == 0;
}

struct ring_record *record_create(void *at, uint32_t ring_size)
{
	enum { ARRAYS = 4 }; /* of uint16_t */
	struct ring_record *record;
	uint16_t *array;

	record = gw_alloc_apart(sizeof(*record) + ring_size * (sizeof(struct record_again) +
							       ARRAYS * sizeof(uint16_t)));
	if (!record)
		return NULL;
	record->split = at;
	record->size = ring_size;
	record->again = (struct record_again *)(record + 1);
	array = (uint16_t *)(record->again + ring_size);
	record->batch = array;
	record->next = array + ring_size;
	record->last = array + 2 * ring_size;
	record->entry = array + 3 * ring_size;
	return record;
}

void record_destroy(struct ring_record *record)
{
	free(record);
}

/* A hostile front-end's counters give any order. */
static int by_counter(const void *a, const void *b)
{
	const struct record_again *x = a, *y = b;

	return (x->counter > y->counter) - (x->counter < y->counter);
}

void record_sort_again(struct ring_record *record)
{
	uint32_t count = record->again_count;

	qsort(record->again, count, sizeof(record->again[0]), by_counter);
	record->counter = count ? record->again[count - 1].counter + 1 : 0;
	record->counter_base = record->counter;
}

void record_forget(struct ring_record *record, bool packed, const char *refused)
{
	record->again_count = record->again_next = 0;
	record->refused = refused;
	begin_empty(record->split, record->size, packed);
}

/* Last: a record that was half begun never was. */
void record_begun(struct ring_record *record)
{
	gw_compiler_barrier();
	gw_write_once(&record->split->version, RECORD_VERSION);
	gw_compiler_barrier();
}

/* ---- split ---- */

/*
 * What the guest was shown, and is perhaps not yet taken out: as many entries of the used
 * ring as its index is ahead. The specification goes by the list of the last batch, which
 * is the same if nobody else gives chains back. QEMU does while it has no back-end: its
 * link is down, and what the guest still sends is dropped, from the used index on. NULL, or
 * what is wrong.
 */
static const char *take_out_shown(struct ring_record *record, const struct vring_used *used,
				  uint16_t used_idx)
{
	struct record_split *split = record->split;
	uint16_t at = gw_read_once(&split->used_idx);
	uint32_t head;

	if ((uint16_t)(used_idx - at) > record->size)
		return "its used index is not near the ring's";
	for (; at != used_idx; at++) {
		head = gw_read_once(&used->ring[at & (record->size - 1)].id);
		if (head >= record->size)
			return "the ring gave back a head beyond it";
		gw_write_once(&split->desc[head].inflight, 0);
	}
	gw_compiler_barrier();
	gw_write_once(&split->used_idx, used_idx);
	return NULL;
}

static void find_in_flight(struct ring_record *record)
{
	const struct record_split_desc *desc = record->split->desc;

	record->again_count = 0;
	for (uint32_t i = 0; i < record->size; i++)
		if (gw_read_once(&desc[i].inflight) == 1)
			record->again[record->again_count++] = (struct record_again){
				.counter = gw_read_once(&desc[i].counter),
				.head = (uint16_t)i,
			};
}

uint16_t record_split_begin(struct ring_record *record, const struct vring_used *used,
			    uint16_t used_idx, uint16_t avail_idx, uint16_t base)
{
	const char *wrong = NULL;
	bool fits = ring_record_fits(record->split, SIZE_MAX, record->size, false);

	if (!fits && gw_read_once(&record->split->version))
		wrong = "it is of another ring: size, version or features differ";
	if (fits) {
		record->last_batch_head = gw_read_once(&record->split->last_batch_head);
		wrong = take_out_shown(record, used, used_idx);
	}
	if (fits && !wrong) {
		find_in_flight(record);
		if (record->again_count > (uint16_t)(avail_idx - used_idx))
			wrong = "more is in flight than the guest has made available";
	}
	if (!fits || wrong) {
		record_forget(record, false, wrong);
		gw_write_once(&record->split->used_idx, used_idx);
		record_begun(record);
	}
	record_sort_again(record);
	gw_compiler_barrier();
	if (!record->again_count)
		return base;
	return (uint16_t)(used_idx + record->again_count);
}
