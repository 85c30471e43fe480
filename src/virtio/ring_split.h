/* SPDX-License-Identifier: BSD-2-Clause */
/* The split ring, for the files that it is made of: ring_split.c, ring_split_run.c. */
#pragma once

#include "ring_internal.h"
#include <linux/virtio_ring.h>

struct split_ring {
	struct ring ring;
	const struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t *used_event;  /* behind the available ring: the guest's */
	uint16_t *avail_event; /* behind the used ring: ours */
	uint16_t mask;
	uint16_t avail_next; /* next index to pop */
	uint16_t avail_seen; /* avail->idx when it was last read */
	uint16_t ahead;      /* index where the last look ahead ended */
	uint16_t used_next;  /* next index to push */
	uint16_t used_shown; /* used->idx as the guest sees it */
	uint16_t used_flags; /* used->flags as the guest sees it */
	bool signalled;      /* an interrupt was considered before: used_shown is an old value */
};

static inline struct split_ring *split_of(struct ring *ring)
{
	return (struct split_ring *)ring;
}

/* Looks at the guest's index only when what was seen of it is used up. */
static inline bool look_for_avail(struct split_ring *split)
{
	if (split->avail_next == split->avail_seen)
		split->avail_seen = gw_load_acquire(&split->avail->idx); /* pair A */
	return split->avail_next != split->avail_seen;
}

/* ---- ring_split_run.c ---- */
unsigned int split_pop_run(struct ring *ring, struct ring_linear *chain, unsigned int max);
void split_push_run(struct ring *ring, const uint16_t *head, unsigned int count);

/* ---- ring_split_fill.c ---- */
unsigned int split_find_writable(struct ring *ring, struct ring_linear *chain, unsigned int max);
void split_fill_run(struct ring *ring, const struct ring_linear *chain,
		    const uint32_t *written_bytes, unsigned int count);
