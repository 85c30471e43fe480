/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the layouts of a ring do to its record, step by step, and why it can be killed
 * between any two of them.
 *
 * The process is killed, the machine goes on: what was stored before arrives in memory
 * in any case, so that only the order of the program counts, which the compiler must
 * keep (gw_compiler_barrier). No step that decides is wider than one store.
 *
 * Split. In flight are the heads whose `inflight` is 1; all that were consumed before
 * them are below the ring's used index, so the next to pop is used->idx + their number.
 *
 *     pop     counter; then inflight = 1          (the head is consumed from here on)
 *     push    next = last_batch_head; then last_batch_head = the head (of a run: its last)
 *     flush   the ring's used->idx                (the batch is the guest's from here on)
 *             inflight = 0 for all of the batch
 *             used_idx = the ring's used->idx
 *
 *     begin   used_idx differs from the ring's: what lies between them in the used ring
 *             was shown; its inflight = 0; then used_idx. Twice does no harm.
 *
 * Packed. Entries are taken from a list of free ones and given back to it; in flight
 * are the heads whose `inflight` is 1 and which are not in that list. There is no used
 * index in the ring, so the record has the place; and old_*, what it was before the
 * flush that is under way.
 *
 *     pop     the descriptors' copies, num, last, counter, inflight = 1, in free entries;
 *             then free_head and old_free_head in one store     (consumed from here on)
 *     flush   the batch is linked in front of the free list, free_head; then used_idx
 *             with its wrap counter in one store; old_* stay
 *             the flags of the batch's first used descriptor    (the guest's from here on)
 *             inflight = 0 for all of the batch
 *             old_free_head; then old_used_idx with its wrap counter in one store
 *
 *     begin   the descriptor at old_used_idx is not available any more as it was in that
 *             lap: the batch was shown (the guest may even have made that place
 *             available anew, a lap later), the new values count; else the old ones.
 *
 * The specification links at each push. Here it waits until the flush, so that chains
 * can be popped between pushes and their flush: that takes from the free list, whose
 * head would be in the middle of two changes. Its comparison of used_idx with
 * old_used_idx is left out: a batch as long as the ring ends where it began, and where
 * no flush was under way both values are the same.
 *
 * A flush that was under way in a packed ring leaves used descriptors behind its first
 * one, not yet shown. If chains are done in another order now, the guest would come to
 * them: they are made available again.
 */
#pragma once

#include "atomic.h"
#include "ring.h"
#include "ring_record.h"
#include <linux/virtio_ring.h>

#define RECORD_VERSION 1u

/* ---- the layout: vhost-user, DescStateSplit, QueueRegionSplit, ...Packed ---- */

struct record_split_desc {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct record_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct record_split_desc desc[];
};

struct record_packed_desc {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

/* What has to be written in one store. */
union record_free {
	struct {
		uint16_t head, old_head;
	};
	uint32_t word;
};

union record_used {
	struct {
		uint16_t idx, old_idx;
		uint8_t wrap, old_wrap;
		uint8_t padding[2];
	};
	uint64_t word;
};

struct record_packed {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	union record_free free;
	union record_used used;
	uint8_t padding[8];
	struct record_packed_desc desc[];
};

_Static_assert(sizeof(struct record_split_desc) == 16, "vhost-user: DescStateSplit");
_Static_assert(sizeof(struct record_split) == 16, "vhost-user: QueueRegionSplit");
_Static_assert(sizeof(struct record_packed_desc) == 32, "vhost-user: DescStatePacked");
_Static_assert(offsetof(struct record_packed, used) == 16, "vhost-user: QueueRegionPacked");
_Static_assert(sizeof(struct record_packed) == 32, "vhost-user: QueueRegionPacked");

/* ---- a record in use ---- */

/* A chain of the run before: its head (packed: id), and what gives the order. */
struct record_again {
	uint64_t counter;
	uint16_t head;
};

/* All that is decided from. The ring's; arrays follow in the same allocation. */
struct ring_record {
	union {
		struct record_split *split;
		struct record_packed *packed;
	};
	uint32_t size;
	uint32_t batch_count;
	uint16_t *batch;       /* [size] pushed since the last flush: heads; packed: entries */
	uint64_t counter;      /* of the next chain that is popped */
	uint64_t counter_base; /* what it began with */
	uint32_t again_next;   /* in again: the next one to pop */
	uint32_t again_count;
	struct record_again *again; /* [size], in their order */
	const char *refused;        /* why the run before was not this ring's; or NULL */

	/* Split. */
	uint16_t last_batch_head;

	/* Packed. */
	union record_free free;
	union record_used used;
	uint16_t *next;  /* [size] of the entry: list of free ones, or of its chain */
	uint16_t *last;  /* [size] of a chain's first entry: its last one */
	uint16_t *entry; /* [size] of an id: the first entry of its chain */
};

/* record: ring_record_bytes at a multiple of RING_RECORD_ALIGN. NULL: no memory. Control. */
struct ring_record *record_create(void *record, uint32_t ring_size);
void record_destroy(struct ring_record *record);

/* Chains of the run before that were not popped again yet: they come first. */
static inline bool record_has_again(const struct ring_record *record)
{
	return record && record->again_next < record->again_count;
}

/* Whether the chain that was popped last, and is put back now, is one of them. */
static inline bool record_unpops_again(const struct ring_record *record)
{
	return record->counter == record->counter_base && record->again_next;
}

/* All of `again` is there: brings it into its order, from which the counter goes on. */
void record_sort_again(struct ring_record *record);
/*
 * Nothing is known of a run before. The record is none until record_begun: where the ring
 * is has to be entered first, or who is killed in between leaves one that is believed.
 */
void record_forget(struct ring_record *record, bool packed, const char *refused);
void record_begun(struct ring_record *record);

/* ---- split ---- */

/*
 * The beginning of a run: both indices of the ring as they were read, and the base that
 * the front-end gave. Fills `again`; returns the next index to pop.
 */
uint16_t record_split_begin(struct ring_record *record, const struct vring_used *used,
			    uint16_t used_idx, uint16_t avail_idx, uint16_t base);

static inline void record_split_pop(struct ring_record *record, uint16_t head)
{
	struct record_split_desc *desc = &record->split->desc[head];

	gw_write_once(&desc->counter, record->counter++);
	gw_compiler_barrier();
	gw_write_once(&desc->inflight, 1);
	gw_compiler_barrier();
}

/*
 * The same for a run. Stores of volatile words stay in their order, which is all that a kill
 * asks for: each is in the record before the next one.
 */
static inline void record_split_pop_run(struct ring_record *record, const struct ring_linear *chain,
					unsigned int count)
{
	struct record_split_desc *desc = record->split->desc;
	uint64_t counter = record->counter;

	for (unsigned int i = 0; i < count; i++) {
		gw_write_once(&desc[chain[i].head].counter, counter++);
		gw_write_once(&desc[chain[i].head].inflight, 1);
	}
	gw_compiler_barrier();
	record->counter = counter;
}

static inline void record_split_unpop(struct ring_record *record, uint16_t head)
{
	gw_write_once(&record->split->desc[head].inflight, 0);
	gw_compiler_barrier();
	record->counter--;
}

static inline void record_split_push(struct ring_record *record, uint16_t head)
{
	/* More than the ring has: of a guest that offers heads which it does not own. */
	if (record->batch_count == record->size)
		return;
	record->batch[record->batch_count++] = head;
	gw_write_once(&record->split->desc[head].next, record->last_batch_head);
	gw_compiler_barrier();
	gw_write_once(&record->split->last_batch_head, head);
	gw_compiler_barrier();
	record->last_batch_head = head;
}

/* The same for a run: the list is asked for when the ring's used index was stored, not before. */
static inline void record_split_push_run(struct ring_record *record, const uint16_t *head,
					 unsigned int count)
{
	struct record_split_desc *desc = record->split->desc;
	uint16_t *batch = record->batch + record->batch_count;
	uint32_t room = record->size - record->batch_count;
	uint16_t last = record->last_batch_head;

	count = count < room ? count : room;
	for (unsigned int i = 0; i < count; i++) {
		batch[i] = head[i];
		gw_write_once(&desc[head[i]].next, last);
		last = head[i];
	}
	gw_write_once(&record->split->last_batch_head, last);
	gw_compiler_barrier();
	record->last_batch_head = last;
	record->batch_count += count;
}

/* After the ring's used index was stored. */
static inline void record_split_flushed(struct ring_record *record, uint16_t used_idx)
{
	struct record_split_desc *desc = record->split->desc;
	const uint16_t *batch = record->batch;
	uint32_t count = record->batch_count;

	gw_compiler_barrier();
	for (uint32_t i = 0; i < count; i++)
		gw_write_once(&desc[batch[i]].inflight, 0);
	gw_compiler_barrier();
	gw_write_once(&record->split->used_idx, used_idx);
	gw_compiler_barrier();
	record->batch_count = 0;
}

/* ---- packed ---- */

struct record_place {
	uint16_t at;
	bool wrap;
};

/*
 * The beginning of a run on this table. False: nothing is known, the front-end's places
 * count, of which `used` is entered. True: *used is the place, *descs the number of
 * descriptors in flight from there on, `again` is filled, and count[id] says how many
 * each chain has.
 */
bool record_packed_begin(struct ring_record *record, struct vring_packed_desc *table,
			 struct record_place *used, uint32_t *descs, uint16_t *count);

/* A chain of count descriptors from table[at] on; there are as many free entries. */
void record_packed_pop(struct ring_record *record, const struct vring_packed_desc *table,
		       uint32_t at, uint32_t count, uint16_t id);
/* A run of chains of one descriptor from table[at] on; there are as many free entries. */
void record_packed_pop_run(struct ring_record *record, const struct vring_packed_desc *table,
			   uint32_t at, const struct ring_linear *chain, unsigned int count);
void record_packed_unpop(struct ring_record *record, uint16_t id);

/* Descriptor number i of a chain that is to be popped again: *entry goes from -1 on. */
void record_packed_desc(const struct ring_record *record, uint16_t id, int32_t *entry,
			struct vring_packed_desc *desc);

static inline void record_packed_push(struct ring_record *record, uint16_t id)
{
	record->batch[record->batch_count++] = record->entry[id];
}

static inline void record_packed_push_run(struct ring_record *record, const uint16_t *id,
					  unsigned int count)
{
	uint16_t *batch = record->batch + record->batch_count;
	const uint16_t *entry = record->entry;

	for (unsigned int i = 0; i < count; i++)
		batch[i] = entry[id[i]];
	record->batch_count += count;
}

/* Before and after the flags of the batch's first used descriptor are stored. */
void record_packed_flush(struct ring_record *record, struct record_place used);
void record_packed_flushed(struct ring_record *record);
