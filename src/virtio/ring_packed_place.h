/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Places in a packed ring: a position, and a wrap counter that changes with each lap
 * (VIRTIO 1.2 section 2.8.1).
 */
#pragma once

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#define FLAG_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED  (1u << VRING_PACKED_DESC_F_USED)

/*
 * A place in 16 bits: the position, and the wrap counter on top. In event areas, and in
 * vhost-user's base.
 */
#define PLACE_WRAP_SHIFT VRING_PACKED_EVENT_F_WRAP_CTR
#define PLACE_AT_MASK    0x7fffu

struct packed_place {
	uint32_t at;
	bool wrap;
};

/* count is at most size, so that one lap at most is passed. */
static inline void place_on(struct packed_place *place, uint32_t count, uint32_t size)
{
	place->at += count;
	if (place->at >= size) {
		place->at -= size;
		place->wrap = !place->wrap;
	}
}

static inline void place_back(struct packed_place *place, uint32_t count, uint32_t size)
{
	if (place->at < count) {
		place->at += size;
		place->wrap = !place->wrap;
	}
	place->at -= count;
}

static inline uint16_t place_pack(struct packed_place place)
{
	return (uint16_t)(place.at | (uint32_t)place.wrap << PLACE_WRAP_SHIFT);
}

static inline struct packed_place place_unpack(uint16_t packed)
{
	return (struct packed_place){ .at = packed & PLACE_AT_MASK,
				      .wrap = packed >> PLACE_WRAP_SHIFT };
}

/* Section 2.8.1: the flags differ, and AVAIL is the lap's. */
static inline bool place_available(uint16_t flags, struct packed_place place)
{
	return (flags & (FLAG_AVAIL | FLAG_USED)) == (place.wrap ? FLAG_AVAIL : FLAG_USED);
}

/* The same section: both are the lap's. */
static inline bool place_used(uint16_t flags, struct packed_place place)
{
	return (flags & (FLAG_AVAIL | FLAG_USED)) == (place.wrap ? FLAG_AVAIL | FLAG_USED : 0);
}

/*
 * The two halves of the base. Some front-ends know of the lower one only, which is
 * DPDK's virtio-user: it leaves 0 above. That would be a place one lap or more behind
 * a first lap, which no ring can have; then both places are the same.
 */
static inline void place_of_base(uint32_t base, struct packed_place *avail,
				 struct packed_place *used)
{
	*avail = place_unpack((uint16_t)base);
	*used = place_unpack((uint16_t)(base >> 16));
	if (avail->wrap && !(base >> 16))
		*used = *avail;
}

/* Descriptors from used to avail; more than size if these do not belong together. */
static inline uint32_t place_distance(struct packed_place used, struct packed_place avail,
				      uint32_t size)
{
	return avail.at + (used.wrap == avail.wrap ? 0 : size) - used.at;
}
