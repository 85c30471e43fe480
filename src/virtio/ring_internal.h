/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the layouts of a ring share.
 *
 * A ring is a struct ring with the layout's own part around it (split_ring,
 * packed_ring). The functions of ring.h that depend on the layout are one indirect
 * jump through `ops`; all that does not, is here and in ring.c:
 *
 *     state      of each head: free, taken by us, or done and held back
 *     popped     the order in which heads were popped: for ring_unpop, IN_ORDER
 *
 * A head that was pushed is held back while its used entry cannot be written: with
 * IN_ORDER before its turn, or while the ring has no place.
 *
 * With an iotlb an I/O address can be missing: of a buffer, or of the ring itself,
 * which has no place then. Until there is another iotlb `ops` are those of a ring
 * that waits (ring_iova.c), so that the layouts know nothing of it, and a ring
 * without an iotlb pays nothing for it.
 */
#pragma once

#include "memmap.h"
#include "ring.h"
#include "ring_record_internal.h"
#include <assert.h>

#define RING_CACHE_LINE 64u

enum ring_head_state {
	HEAD_FREE = 0, /* the guest's */
	HEAD_TAKEN,    /* popped */
	HEAD_DONE,     /* pushed, but the guest does not know yet: held back */
};

struct walk; /* ring_walk.h */

/* What a layout does. All of them are called with a struct ring that is its own. */
struct ring_ops {
	/* ---- worker: as in ring.h, but for chains of the run before, which are ring.c's ---- */
	int (*pop)(struct ring *ring, struct ring_chain *chain, struct iovec *seg,
		   unsigned int max);
	/* Not called with an iotlb. */
	unsigned int (*pop_run)(struct ring *ring, struct ring_linear *chain, unsigned int max);
	/* The place of the chain that was popped last becomes the next one again. */
	void (*unpop)(struct ring *ring, uint16_t head);
	/* The used entry; the head is the guest's from here on. */
	void (*push)(struct ring *ring, uint16_t head, uint32_t written_bytes);
	void (*push_run)(struct ring *ring, const uint16_t *head, unsigned int count);
	/* Nothing is out then, nothing held, nothing to pop again, and there is no iotlb. */
	unsigned int (*find_writable)(struct ring *ring, struct ring_linear *chain,
				      unsigned int max);
	void (*fill_run)(struct ring *ring, const struct ring_linear *chain,
			 const uint32_t *written_bytes, unsigned int count);
	bool (*flush)(struct ring *ring);
	bool (*want_kick)(struct ring *ring);
	void (*no_kick)(struct ring *ring);
	bool (*has_avail)(struct ring *ring);
	/*
	 * The buffers of a chain that was in flight when the run before ended: it has its
	 * place in the ring and in the record already.
	 */
	enum ring_fault (*walk_again)(struct ring *ring, struct walk *walk, uint16_t head);
	/*
	 * Walks the chains that are available, from the next one on, until the look ahead
	 * is over (struct walk_ahead), and takes none. And: something is available behind
	 * where the last look ended; a kick is to say when something is.
	 */
	void (*look_ahead)(struct ring *ring, struct walk *walk);
	bool (*more_ahead)(const struct ring *ring);
	void (*want_kick_ahead)(struct ring *ring);

	/* ---- control, or between two visits ---- */
	/* Finds the ring's parts; all or none change. 0, or what ring_locate says. */
	int (*locate)(struct ring *ring, struct gw_error *err);
	/* Once, after the first locate: what the run begins with is read and written. */
	void (*begin)(struct ring *ring);
	uint32_t (*base)(const struct ring *ring);
	uint16_t (*used_index)(const struct ring *ring);
};

/* One worker's. The layout's part and the arrays follow in the same allocation. */
struct ring {
	const struct ring_ops *ops; /* the layout's, or those of a ring that waits */
	const struct gw_memmap *memmap;
	struct memmap_range range;  /* that an address was in last: guest physical ones */
	struct iotlb *iotlb;        /* NULL: buffers have guest physical addresses */
	struct dirty_log *log;      /* NULL: nobody asks what we write */
	struct ring_record *record; /* NULL: none is kept */
	uint8_t *state;             /* [size] enum ring_head_state */
	uint16_t *popped;           /* [size] heads, in a circle: the order of pops */
	uint32_t size;
	uint32_t pop_slot; /* in popped: where the next one goes */
	uint32_t in_flight;
	enum ring_fault fault;
	bool event_idx, indirect, in_order, reads_only;
	bool holding; /* a push may have to be held back */

	/* Cold. */
	bool placed;    /* its parts have been found, with the present iotlb */
	bool begun;     /* they have been found once */
	bool missing;   /* an I/O address, in miss */
	bool interrupt; /* ring_flush owes one */
	struct iotlb_miss miss;
	uint32_t ahead_slot;    /* pop_slot at the last look ahead */
	uint32_t ahead_chains;  /* that it has seen */
	bool ahead_cut;         /* there were more of them then */
	uint32_t held;          /* heads in HEAD_DONE */
	uint32_t order_slot;    /* in popped: IN_ORDER, the next one to give back */
	uint32_t *written;      /* [size] bytes, of heads in HEAD_DONE */
	void *own;              /* the layout's arrays */
	struct gw_memmap *home; /* memmap, with the right to give it back */
	const struct ring_ops *layout;
	uint64_t desc_addr, avail_addr, used_addr;
	uint32_t base; /* of ring_config */
};

/* The layouts. Each begins with a struct ring; check refuses sizes that it cannot have. */
struct ring_layout {
	struct ring_ops ops;
	size_t struct_bytes;   /* of the whole struct, a multiple of 8 */
	size_t per_head_bytes; /* of its own arrays, behind it; a multiple of 2 */
	int (*check)(const struct ring_config *config, struct gw_error *err);
};

extern const struct ring_layout ring_split, ring_packed;

/* Descriptors, what the guest writes beside them, what we write. */
#define RING_PARTS 3u

struct ring_part {
	const char *what;
	uint64_t addr, bytes, align;
	uint8_t access; /* enum iotlb_access, what we need */
};

/* The parts as pointers. 0; -EINVAL with a text; -EAGAIN: an I/O address is missing. */
int ring_locate(struct ring *ring, const struct ring_part parts[RING_PARTS], void *at[RING_PARTS],
		struct gw_error *err);

/* Gives back what is held and need not be any more. */
void ring_settle(struct ring *ring);

/*
 * Finds the ring's parts, begins the run if that was not done, and goes on, or waits.
 * -EINVAL with a text: they can never be found.
 */
int ring_place(struct ring *ring, struct gw_error *err);

/* Between a layout's functions only: not a fault, an I/O address is missing. */
#define RING_MISSING RING_FAULT_COUNT

/* An I/O address is missing: the ring waits. RING_MISSING. */
enum ring_fault ring_miss(struct ring *ring, uint64_t iova, uint8_t access);

/* What ring_pop returns when it did not come to the end of a chain. */
static inline int ring_fail(struct ring *ring, enum ring_fault fault)
{
	if (fault == RING_MISSING)
		return 0;
	ring_break(ring, fault);
	return -1;
}

/* len bytes of the ring were written. */
static inline void ring_mark(const struct ring *ring, const void *at, size_t len)
{
	if (__builtin_expect(ring->log != NULL, 0))
		dirty_log_mark(ring->log, ring->memmap, at, len);
}

/* The same for count elements of an array of ring->size, from `from` on, in a circle. */
static inline void ring_mark_circle(const struct ring *ring, const void *array, size_t elem_bytes,
				    uint32_t from, uint32_t count)
{
	uint32_t to_end = ring->size - from;

	if (__builtin_expect(ring->log == NULL, 1))
		return;
	if (count >= to_end)
		dirty_log_mark(ring->log, ring->memmap, array, (count - to_end) * elem_bytes);
	ring_mark(ring, (const uint8_t *)array + from * elem_bytes,
		  (count < to_end ? count : to_end) * elem_bytes);
}

/* len bytes of guest memory in one piece, or NULL. Not with an iotlb. */
void *ring_translate_anew(struct ring *ring, uint64_t addr, uint64_t len);

static inline void *ring_translate(struct ring *ring, uint64_t addr, uint64_t len)
{
	void *at = memmap_in_range(&ring->range, addr, len);

	return __builtin_expect(at != NULL, 1) ? at : ring_translate_anew(ring, addr, len);
}

/* The same with a copy of ring->range, which is kept up. */
static inline void *ring_translate_near(struct ring *ring, struct memmap_range *range,
					uint64_t addr, uint64_t len)
{
	void *at = memmap_in_range(range, addr, len);

	if (__builtin_expect(at != NULL, 1))
		return at;
	at = ring_translate_anew(ring, addr, len);
	*range = ring->range;
	return at;
}

static inline uint32_t ring_slot_after(const struct ring *ring, uint32_t slot)
{
	return slot + 1 == ring->size ? 0 : slot + 1;
}

/* A head was popped: the common part of it. */
static inline void ring_note_pop(struct ring *ring, uint16_t head)
{
	ring->state[head] = HEAD_TAKEN;
	ring->popped[ring->pop_slot] = head;
	ring->pop_slot = ring_slot_after(ring, ring->pop_slot);
	ring->in_flight++;
}

/* A run was popped: the same, but for the states of its heads. */
static inline void ring_note_run(struct ring *ring, const struct ring_linear *chain,
				 unsigned int count)
{
	uint32_t slot = ring->pop_slot, to_end = ring->size - slot;
	uint16_t *popped = ring->popped;
	unsigned int i;

	ring->in_flight += count;
	ring->pop_slot = count < to_end ? slot + count : count - to_end;
	for (i = 0; i < count && i < to_end; i++)
		popped[slot + i] = chain[i].head;
	for (; i < count; i++)
		popped[i - to_end] = chain[i].head;
}

/*
 * Of a frame in one piece: its virtio-net header and the addresses behind it, which is what is
 * read of each, in one line or in two.
 */
#define RING_FETCH_LAST (sizeof(struct virtio_net_hdr_v1) + GW_FRAME_SNAPSHOT - 1)

static inline void ring_fetch_linear(const uint8_t *base)
{
	gw_prefetch(base);
	gw_prefetch(base + RING_FETCH_LAST);
}
