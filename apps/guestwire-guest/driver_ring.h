/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a virtqueue: split (VIRTIO 1.2 section 2.7) or packed (2.8),
 * behind one table of functions (driver_ring_inside.h).
 *
 * It trusts the device as little as a device must trust a driver: which heads are
 * out, and how long their chains are, is kept in private memory; what the device
 * writes is checked against that. A head that comes back twice, one that was never
 * given, a used index that runs ahead of what is out: each is counted, the first
 * is described, and each is reported once by the reap that met it. What is never
 * read back is our own part of the shared memory.
 *
 * Life of a head (split) or buffer id (packed), "head" for both: add (descriptors
 * written) -> publish (the device may read) -> reap (seen used; the buffer is ours
 * again). Between publish and reap the buffer belongs to the device, and while
 * a device dies and comes back, too: the flights are what has to come home, each once.
 *
 * With IN_ORDER the device may write one used element for many buffers, that of the
 * last; reap gives them one after the other all the same.
 *
 * Chains of one descriptor, which is what a load is made of, go by runs: added in one
 * loop, reaped in another. A run decides nothing: it ends before what is not plain and has
 * not touched it, and the way for one has the last word.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "fail.h"
#include "guest_log.h"
#include "guest_memory.h"

#define DRIVER_RING_MAX_SIZE  32768u
#define DRIVER_RING_MIN_SIZE  2u
#define DRIVER_RING_NO_TOKEN  UINT32_MAX
#define DRIVER_RING_WHY_BYTES 128u

/* In the order of --ring. */
enum driver_ring_kind { DRIVER_RING_SPLIT, DRIVER_RING_PACKED };

struct ring_segment {
	uint8_t *host;
	uint64_t gpa;
	uint32_t len;
};

/* A chain of one descriptor, as a run has it: of buffers that its caller keeps. */
struct ring_plain {
	uint64_t gpa;
	uint32_t len;
};

/* Four a cache line: what is out is touched twice for each frame. */
struct ring_flight {
	uint32_t token; /* DRIVER_RING_NO_TOKEN: this head is not out */
	uint32_t writable;
	uint32_t place;       /* of the ring's, when it was added; the lower half */
	uint32_t descriptors; /* in the ring: one, with a table */
};

/* What a packed ring has; positions are of descriptors (2.8.1). */
struct driver_ring_packed {
	struct vring_packed_desc *desc;
	struct vring_packed_desc_event *driver_event; /* ours to write */
	struct vring_packed_desc_event *device_event;
	uint16_t slot, used_slot;
	bool wrap, used_wrap;
	uint16_t *ids; /* a stack of those that are free */
	uint16_t id_count;
	uint16_t *head; /* flags of the first chain that is not shown yet, or NULL */
	uint16_t head_flags;
	uint16_t added; /* descriptors since the last kick decision */
};

struct driver_ring {
	const struct driver_ring_kind_ops *ops;
	enum driver_ring_kind kind;
	uint16_t size;
	uint16_t free_count; /* descriptors */
	/* Chains: added, published, seen used. The split ring's indexes are the same. */
	uint16_t avail_idx;
	uint16_t published;
	uint16_t used_seen;
	bool event_idx, in_order; /* negotiated */
	bool broken;              /* what the device wrote made no sense; nothing is reaped */

	struct ring_flight *flight; /* by head */
	uint16_t *order;            /* heads as they were added, by chain */
	uint64_t serial;            /* chains added, over all the life of the ring */
	uint64_t place;             /* the same in what the device counts: chains, or descriptors */
	uint32_t batch_last;        /* IN_ORDER: head that ends the batch at hand, or NO_TOKEN */
	uint32_t batch_len;

	/* split */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t *used_event;  /* ours to write */
	uint16_t *avail_event; /* the device's */
	uint16_t *next;        /* free list; the shared copy is never read back */
	uint16_t free_head;
	uint16_t kicked;       /* avail index at the last kick decision */
	uint16_t used_fetched; /* used index up to which elements were fetched */

	struct driver_ring_packed packed;

	/* Descriptors; avail ring or the driver's event; used ring or the device's. */
	struct guest_span desc_span, avail_span, used_span;
	struct guest_log *log; /* NULL: nobody wants to know what the device wrote */
	int kick_fd, call_fd, err_fd;

	uint64_t home; /* chains that came back, each once */
	uint64_t kicks;
	uint64_t calls;
	uint64_t double_completions;
	uint64_t unknown_ids;
	uint64_t index_jumps;
	char why[DRIVER_RING_WHY_BYTES]; /* the first of these, in words */
};

enum ring_reaped { RING_NOTHING, RING_DONE, RING_BAD };

int driver_ring_open(struct driver_ring *ring, struct guest_memory *memory,
		     enum driver_ring_kind kind, uint16_t size, struct fail *fail);
void driver_ring_close(struct driver_ring *ring);

/*
 * Adds one chain; device_writes says in which direction, for all of it. table, if
 * not NULL, is guest memory for count descriptors: the chain becomes one indirect
 * descriptor (2.7.5.3, 2.8.8). Returns the head, or -ENOSPC.
 */
int driver_ring_add(struct driver_ring *ring, const struct ring_segment *segments, uint16_t count,
		    bool device_writes, const struct guest_span *table, uint32_t token);

/*
 * Adds count chains of one descriptor each; there is room. Chain i is plain[tokens[i]], and
 * its token is tokens[i]. Returns how many bytes all of them have.
 */
uint64_t driver_ring_add_run(struct driver_ring *ring, const struct ring_plain *plain,
			     const uint32_t *tokens, uint32_t count, bool device_writes);

/* Makes all added chains available; driver_ring_kick then tells the device if it
 * wants to be told. */
void driver_ring_publish(struct driver_ring *ring);
void driver_ring_kick(struct driver_ring *ring);
void driver_ring_kick_always(struct driver_ring *ring);

enum ring_reaped driver_ring_reap(struct driver_ring *ring, uint32_t *token, uint32_t *len);
/* Up to max chains that are home. 0 says nothing: ask driver_ring_reap. */
uint32_t driver_ring_reap_run(struct driver_ring *ring, uint32_t *tokens, uint32_t *lens,
			      uint32_t max);
/* The device has used something that was not reaped yet. */
bool driver_ring_has_used(const struct driver_ring *ring);

/* Asks for an interrupt when the next buffer is used. True if one is used already: do
 * not sleep. */
bool driver_ring_want_call(struct driver_ring *ring);
void driver_ring_refuse_call(struct driver_ring *ring);

/*
 * The device was reset: the ring is as it was when it was opened, in the same place.
 * Chains that were out are the driver's again (VIRTIO 1.2 section 2.4.2); their tokens
 * go into tokens[size], in the order in which they were given. Returns how many.
 */
uint32_t driver_ring_reset(struct driver_ring *ring, uint32_t *tokens);

static inline uint16_t driver_ring_out(const struct driver_ring *ring)
{
	return (uint16_t)(ring->published - ring->used_seen);
}

/* Of used_span: all that the device may write there. */
size_t driver_ring_used_bytes(const struct driver_ring *ring);

/* How the protocol names places in a ring: an index, or slot and wrap bit (15). */
uint16_t driver_ring_used_idx(const struct driver_ring *ring);
uint16_t driver_ring_avail_idx(const struct driver_ring *ring);
/* For SET_VRING_BASE: go on behind what is used. */
uint32_t driver_ring_base(const struct driver_ring *ring);
/* Of a ring at rest that the device would go on with at base: heads that are out, and
 * not ahead of it. The device forgot them. Not of one that has been out for 2^31 places. */
uint32_t driver_ring_lost(const struct driver_ring *ring, uint32_t base);
