/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs of a packed ring: what ring_packed.c does for one chain after the other, for many
 * that are one descriptor each, in loops that have all they need at hand.
 *
 * The rules are those of ring_packed.c, and it names who breaks one: a run ends before
 * such a chain, as before all that is not of its kind, and has not touched it.
 */
#include "atomic.h"
#include "ring_packed.h"
#include "ring_walk.h"

#define DESCS_A_LINE  (RING_CACHE_LINE / sizeof(struct vring_packed_desc))
#define SPECIAL_FLAGS (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT)

/* Length, id and flags of a descriptor, which are one word: no load tears them apart. */
union tail {
	struct {
		uint32_t len;
		uint16_t id, flags;
	};
	uint64_t word;
};

_Static_assert(offsetof(struct vring_packed_desc, len) == 8 &&
		       offsetof(struct vring_packed_desc, id) == 12 &&
		       offsetof(struct vring_packed_desc, flags) == 14,
	       "VIRTIO 1.2 section 2.8.13");

static inline uint64_t *tail_of(struct vring_packed_desc *desc)
{
	return (uint64_t *)&desc->len;
}

/* A line of descriptors, unless the guest has not been there yet: it is about to write then. */
static inline void fetch_line(const struct packed_ring *packed, struct packed_place place)
{
	if (packed->ring.size <= RING_FETCH_DESC_AHEAD)
		return;
	place_on(&place, RING_FETCH_BUFFER_AHEAD, packed->ring.size);
	if (!available_at(packed, place))
		return;
	place_on(&place, RING_FETCH_DESC_AHEAD - RING_FETCH_BUFFER_AHEAD, packed->ring.size);
	gw_prefetch(&packed->desc[place.at]);
}

/* All of a lap, from place on. Returns how many are as they have to be. */
static inline unsigned int read_descs(struct packed_ring *packed, struct packed_place place,
				      struct ring_linear *chain, unsigned int count)
{
	uint16_t lap = place.wrap ? FLAG_AVAIL : FLAG_USED;
	struct ring *ring = &packed->ring;
	struct vring_packed_desc *desc = &packed->desc[place.at];
	uint16_t *descs = packed->descs;
	uint8_t *state = ring->state;
	bool fetch = ring->reads_only;
	union tail tail;

	for (unsigned int i = 0; i < count; i++, desc++) {
		if (!((place.at + i) % DESCS_A_LINE))
			fetch_line(packed, (struct packed_place){ place.at + i, place.wrap });
		tail.word = gw_load_acquire(tail_of(desc)); /* pair A */
		if ((tail.flags & (FLAG_AVAIL | FLAG_USED | SPECIAL_FLAGS)) != lap)
			return i;
		if (__builtin_expect(
			    !tail.len || tail.id >= ring->size || state[tail.id] != HEAD_FREE, 0))
			return i;
		chain[i].base = ring_translate(ring, gw_read_once(&desc->addr), tail.len);
		if (__builtin_expect(!chain[i].base, 0))
			return i;
		chain[i].len = tail.len;
		chain[i].head = tail.id;
		state[tail.id] = HEAD_TAKEN;
		descs[tail.id] = 1;
		if (fetch)
			ring_fetch_linear(chain[i].base);
	}
	return count;
}

unsigned int packed_pop_run(struct ring *ring, struct ring_linear *chain, unsigned int max)
{
	struct packed_ring *packed = packed_of(ring);
	struct packed_place place = packed->avail;
	uint32_t room = ring->size - packed->out, to_end = ring->size - place.at;
	unsigned int count;

	/* What lies over descriptors that were not shown as used yet cannot be. */
	max = max < room ? max : room;
	count = read_descs(packed, place, chain, max < to_end ? max : to_end);
	place_on(&place, count, ring->size);
	if (count == to_end) {
		unsigned int more = read_descs(packed, place, chain + count, max - count);

		place_on(&place, more, ring->size);
		count += more;
	}
	if (ring->record && count)
		record_packed_pop_run(ring->record, packed->desc, packed->avail.at, chain, count);
	packed->avail = place;
	packed->out += count;
	ring_note_run(ring, chain, count);
	return count;
}

/* The first of a batch has its flags when it is flushed. */
static void write_first(struct packed_ring *packed, struct packed_place place, uint16_t id)
{
	struct vring_packed_desc *desc = &packed->desc[place.at];

	gw_write_once(&desc->id, id);
	gw_write_once(&desc->len, 0);
	packed->first_flags = place.wrap ? FLAG_AVAIL | FLAG_USED : 0;
}

/* The last one's id says it of all. */
static void write_as_one(struct packed_ring *packed, const uint16_t *id, unsigned int count)
{
	uint32_t descs = 0;

	for (unsigned int i = 0; i < count; i++)
		descs += packed->descs[id[i]];
	write_first(packed, packed->shown, id[count - 1]);
	packed->batch += descs;
	place_on(&packed->used, descs, packed->ring.size);
}

static void write_used(struct packed_ring *packed, const uint16_t *id, unsigned int count)
{
	struct packed_place place = packed->used;
	const uint16_t *descs = packed->descs;
	uint32_t size = packed->ring.size, batch = packed->batch;
	union tail tail = { 0 };

	for (unsigned int i = 0; i < count; i++) {
		tail.id = id[i];
		tail.flags = place.wrap ? FLAG_AVAIL | FLAG_USED : 0;
		if (batch)
			gw_store_release(tail_of(&packed->desc[place.at]), tail.word);
		else
			write_first(packed, place, tail.id);
		batch += descs[tail.id];
		place_on(&place, descs[tail.id], size);
	}
	packed->batch = batch;
	packed->used = place;
}

void packed_push_run(struct ring *ring, const uint16_t *id, unsigned int count)
{
	struct packed_ring *packed = packed_of(ring);

	if (packed->as_one)
		write_as_one(packed, id, count);
	else
		write_used(packed, id, count);
	if (ring->record)
		record_packed_push_run(ring->record, id, count);
}
