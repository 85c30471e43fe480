/* SPDX-License-Identifier: BSD-2-Clause */
/* The packed ring, for the files that it is made of: ring_packed.c, and those named below. */
#pragma once

#include "ring_internal.h"
#include "ring_packed_place.h"
#include <linux/virtio_ring.h>

struct packed_ring {
	struct ring ring;
	struct vring_packed_desc *desc;
	const uint32_t *driver_event; /* the guest's */
	uint32_t *device_event;       /* ours */
	uint16_t *descs;              /* [size] by id: descriptors of the chain in flight */
	struct packed_place avail;    /* next to pop */
	struct packed_place ahead;    /* where the last look ahead ended */
	struct packed_place used;     /* next to push */
	struct packed_place shown;    /* used as the guest sees it: where the batch begins */
	uint32_t batch;               /* descriptors between shown and used */
	uint32_t out;                 /* descriptors between shown and avail */
	uint32_t device_event_is;     /* what device_event holds */
	struct packed_place foreign;  /* from there on, so many descriptors are not ours */
	uint32_t foreign_descs;
	uint16_t first_flags; /* of the used descriptor at shown: stored last */
	/*
	 * In order, the id of a batch's last chain in its first place says that all of it is
	 * done (section 2.8.8), where nobody has to be told how much was written.
	 */
	bool as_one;
	bool signalled; /* an interrupt was considered before */
};

static inline struct packed_ring *packed_of(struct ring *ring)
{
	return (struct packed_ring *)ring;
}

static inline bool available_at(const struct packed_ring *packed, struct packed_place place)
{
	uint16_t flags = gw_load_acquire(&packed->desc[place.at].flags); /* pair A */

	return place_available(flags, place);
}

static inline bool look_for_avail(const struct packed_ring *packed)
{
	return available_at(packed, packed->avail);
}

/* ---- ring_packed_begin.c: of struct ring_layout, struct ring_ops ---- */
int packed_check(const struct ring_config *config, struct gw_error *err);
int packed_locate(struct ring *ring, struct gw_error *err);
void packed_begin(struct ring *ring);

/* ---- ring_packed_run.c ---- */
unsigned int packed_pop_run(struct ring *ring, struct ring_linear *chain, unsigned int max);
void packed_push_run(struct ring *ring, const uint16_t *id, unsigned int count);

/* ---- ring_packed_fill.c ---- */
unsigned int packed_find_writable(struct ring *ring, struct ring_linear *chain, unsigned int max);
void packed_fill_run(struct ring *ring, const struct ring_linear *chain,
		     const uint32_t *written_bytes, unsigned int count);
