/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a ring lies, and how it waits for an I/O address.
 *
 * Without an iotlb the parts of a ring are addresses of the front-end, found once.
 * With one they are I/O addresses, found anew with each iotlb: the front-end may have
 * taken the ring's own pages away ("IOTLB invalidate with cached ring pointers").
 *
 * What is missing is asked for by control, which comes back with ring_set_iotlb. The
 * ring waits meanwhile: nothing is popped, so that nothing is half consumed. Chains
 * that are out still come back; their used entries are written at once if only a
 * buffer was missing, and held if the ring has no place.
 *
 * A front-end takes its time to answer, and a guest that maps each buffer by itself
 * has a miss for each. So control asks for what comes next too (ring_look_ahead): when
 * a ring stops, and before it would, when half of what was looked at is popped. What
 * is read ahead from the guest decides nothing but what is asked; it is read again,
 * and checked, when the chain is popped.
 */
#include "ring.h"

#include "memmap.h"
#include "ring_internal.h"
#include "ring_walk.h"
#include <errno.h>
#include <inttypes.h>

/* Pieces of buffers and misses that a look ahead counts, mapped or not: then it is over. */
#define AHEAD_LOOKS 256u

/* ---- a ring that waits ---- */

static int waiting_pop(struct ring *ring, struct ring_chain *chain, struct iovec *seg,
		       unsigned int max)
{
	return ring->fault ? -1 : 0;
}

static unsigned int waiting_pop_run(struct ring *ring, struct ring_linear *chain, unsigned int max)
{
	return 0;
}

/* Without a place they would have been held. */
static void waiting_push(struct ring *ring, uint16_t head, uint32_t written_bytes)
{
	ring->layout->push(ring, head, written_bytes);
}

static void waiting_push_run(struct ring *ring, const uint16_t *head, unsigned int count)
{
	ring->layout->push_run(ring, head, count);
}

static bool waiting_flush(struct ring *ring)
{
	return ring->placed && ring->layout->flush(ring);
}

static bool waiting_want_kick(struct ring *ring)
{
	if (ring->placed)
		ring->layout->want_kick(ring);
	return false;
}

static void waiting_no_kick(struct ring *ring)
{
	if (ring->placed)
		ring->layout->no_kick(ring);
}

static bool waiting_has_avail(struct ring *ring)
{
	return false;
}

/* The rest is asked of the layout. */
static const struct ring_ops waiting_ops = {
	.pop = waiting_pop,
	.pop_run = waiting_pop_run,
	.push = waiting_push,
	.push_run = waiting_push_run,
	.flush = waiting_flush,
	.want_kick = waiting_want_kick,
	.no_kick = waiting_no_kick,
	.has_avail = waiting_has_avail,
};

enum ring_fault ring_miss(struct ring *ring, uint64_t iova, uint8_t access)
{
	ring->miss = (struct iotlb_miss){ .iova = iova, .access = access };
	ring->missing = true;
	ring->ops = &waiting_ops;
	return RING_MISSING;
}

/* ---- finding its parts ---- */

/* All of it in one piece. */
static int locate_io(struct ring *ring, const struct ring_part *part, void **at,
		     struct gw_error *err)
{
	uint64_t got = 0;
	bool missing;

	*at = NULL;
	if (part->bytes <= UINT64_MAX - part->addr)
		*at = iotlb_translate(ring->iotlb, ring->memmap, part->addr, part->bytes,
				      part->access, &got, &missing);
	if (*at && got == part->bytes)
		return 0;
	if (part->bytes <= UINT64_MAX - part->addr) {
		/* What stopped it? */
		iotlb_translate(ring->iotlb, ring->memmap, part->addr + got, part->bytes - got,
				part->access, &(uint64_t){ 0 }, &missing);
		if (missing) {
			ring_miss(ring, part->addr + got, part->access);
			return -EAGAIN;
		}
	}
	return gw_error_set(err, -EINVAL,
			    "%s at I/O address 0x%" PRIx64 " (%" PRIu64
			    " bytes) is not in one piece inside one memory region",
			    part->what, part->addr, part->bytes);
}

static int locate_user(const struct ring *ring, const struct ring_part *part, void **at,
		       struct gw_error *err)
{
	*at = memmap_translate_user(ring->memmap, part->addr, part->bytes);
	if (*at)
		return 0;
	return gw_error_set(err, -EINVAL,
			    "%s at 0x%" PRIx64 " (%" PRIu64 " bytes) is not inside one "
			    "memory region",
			    part->what, part->addr, part->bytes);
}

static int locate(struct ring *ring, const struct ring_part *part, void **at, struct gw_error *err)
{
	int rc = ring->iotlb ? locate_io(ring, part, at, err) : locate_user(ring, part, at, err);

	if (rc)
		return rc;
	if ((uintptr_t)*at % part->align)
		return gw_error_set(err, -EINVAL,
				    "%s at 0x%" PRIx64 " is not a multiple of %" PRIu64, part->what,
				    part->addr, part->align);
	return 0;
}

int ring_locate(struct ring *ring, const struct ring_part parts[RING_PARTS], void *at[RING_PARTS],
		struct gw_error *err)
{
	int rc = 0;

	for (unsigned int i = 0; i < RING_PARTS && !rc; i++)
		rc = locate(ring, &parts[i], &at[i], err);
	return rc;
}

static void go_on(struct ring *ring)
{
	ring->placed = true;
	ring->holding = ring->in_order;
	ring->ops = ring->layout;
	if (!ring->begun)
		ring->layout->begin(ring);
	ring->begun = true;
	ring_settle(ring);
	/* A kick too many does no harm; the worker says again when it wants none. */
	ring->layout->want_kick(ring);
}

int ring_place(struct ring *ring, struct gw_error *err)
{
	int rc;

	ring->missing = false;
	rc = ring->layout->locate(ring, err);
	if (!rc) {
		go_on(ring);
		return 0;
	}
	ring->placed = false;
	ring->holding = true;
	ring->ops = &waiting_ops;
	/* What was looked at is gone with the ring, most likely: to be looked at anew. */
	ring->ahead_slot = ring->pop_slot;
	ring->ahead_chains = 0;
	ring->ahead_cut = false;
	return rc == -EAGAIN ? 0 : rc;
}

/* ---- another iotlb ---- */

void ring_set_iotlb(struct ring *ring, struct iotlb *iotlb)
{
	const struct iotlb_miss miss = ring->miss;
	struct iotlb *before = ring->iotlb;
	bool waited = ring->missing;

	/* What was pushed lies where the ring was until now. */
	if (ring->placed && ring->layout->flush(ring))
		ring->interrupt = true;
	ring->iotlb = iotlb ? iotlb_get(iotlb) : NULL;
	if (before)
		iotlb_put(before);
	if (ring_place(ring, NULL))
		ring_break(ring, RING_FAULT_IOVA);
	/* It was the answer to another question. */
	else if (waited && ring->placed && iotlb && !iotlb_answers(iotlb, &miss))
		ring_miss(ring, miss.iova, miss.access);
}

bool ring_missing(const struct ring *ring, struct iotlb_miss *miss)
{
	if (ring->missing)
		*miss = ring->miss;
	return ring->missing;
}

/* ---- looking ahead ---- */

unsigned int ring_look_ahead(struct ring *ring, struct iotlb_miss *miss, unsigned int max)
{
	struct walk_ahead ahead = { .miss = miss, .max = max, .looks = AHEAD_LOOKS };
	struct ring_chain chain;
	struct walk walk = { .ring = ring, .chain = &chain, .ahead = &ahead };

	if (!ring->iotlb || ring->fault)
		return 0;
	if (ring->missing)
		miss[ahead.count++] = ring->miss;
	if (ring->placed) {
		ring->layout->look_ahead(ring, &walk);
		ring->ahead_slot = ring->pop_slot;
		ring->ahead_chains = ahead.chains;
		ring->ahead_cut = ahead.cut;
	}
	return ahead.count;
}

static bool looks(const struct ring *ring)
{
	return ring->iotlb && !ring->fault && ring->ops == ring->layout;
}

static uint32_t popped_since(const struct ring *ring)
{
	return ring->pop_slot - ring->ahead_slot +
	       (ring->pop_slot < ring->ahead_slot ? ring->size : 0);
}

/* The last look saw all that there was, which is not much. */
static bool few_ahead(const struct ring *ring)
{
	return !ring->ahead_cut && ring->ahead_chains < popped_since(ring) + RING_AHEAD_MAX / 2;
}

bool ring_look_due(struct ring *ring)
{
	uint32_t popped;

	if (!looks(ring))
		return false;
	popped = popped_since(ring);
	if (popped >= ring->ahead_chains)
		return ring->layout->has_avail(ring);
	return (2 * popped >= ring->ahead_chains || few_ahead(ring)) &&
	       ring->layout->more_ahead(ring);
}

bool ring_look_short(const struct ring *ring)
{
	return looks(ring) && few_ahead(ring);
}

/*
 * What was seen and not popped is no news, and a kick that is wanted for it never comes: the
 * guest is beyond that place already.
 */
void ring_want_kick_ahead(struct ring *ring)
{
	if (popped_since(ring) < ring->ahead_chains)
		ring->layout->want_kick_ahead(ring);
	else
		ring->layout->want_kick(ring);
}
