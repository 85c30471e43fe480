/* SPDX-License-Identifier: BSD-2-Clause */
/* The split ring, VIRTIO 1.2 section 2.7. */
#include "driver_ring_inside.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "order.h"

/* 2.7: alignment of the three parts. */
#define DESC_ALIGN  16u
#define AVAIL_ALIGN 2u
#define USED_ALIGN  4u
/* Nothing that the device writes shares a line with what we write. */
#define CACHE_LINE  64u
_Static_assert(CACHE_LINE % DESC_ALIGN == 0 && CACHE_LINE % AVAIL_ALIGN == 0 &&
		       CACHE_LINE % USED_ALIGN == 0,
	       "VIRTIO 1.2 section 2.7");

#define USED_A_LINE  (CACHE_LINE / sizeof(struct vring_used_elem))
#define AVAIL_A_LINE (CACHE_LINE / sizeof(uint16_t))

static void split_reset(struct driver_ring *ring)
{
	uint16_t n = ring->size;

	/* Round: with IN_ORDER descriptors are taken in the order of the table (2.7.5.1). */
	for (uint16_t i = 0; i < n; i++)
		ring->next[i] = (uint16_t)((i + 1) & (n - 1));
	ring->free_head = 0;
	memset(ring->desc, 0, sizeof(*ring->desc) * n);
	memset(ring->avail, 0, 6 + 2u * n);
	memset(ring->used, 0, 6 + sizeof(struct vring_used_elem) * n);
}

static int split_open(struct driver_ring *ring, struct guest_memory *memory, struct fail *fail)
{
	uint16_t n = ring->size;
	int rc;

	ring->next = calloc(n, sizeof(*ring->next));
	if (!ring->next)
		return fail_set(fail, -ENOMEM, "no memory for a ring of %u", n);
	rc = guest_memory_alloc(memory, sizeof(struct vring_desc) * n, CACHE_LINE, &ring->desc_span,
				fail);
	/* 6 bytes beside the elements: flags, idx, and the other side's event. */
	if (!rc)
		rc = guest_memory_alloc(memory, 6 + 2ull * n, CACHE_LINE, &ring->avail_span, fail);
	if (!rc)
		rc = guest_memory_alloc(memory, 6 + sizeof(struct vring_used_elem) * n, CACHE_LINE,
					&ring->used_span, fail);
	if (rc)
		return rc;
	ring->desc = (struct vring_desc *)(void *)ring->desc_span.host;
	ring->avail = (struct vring_avail *)(void *)ring->avail_span.host;
	ring->used = (struct vring_used *)(void *)ring->used_span.host;
	ring->used_event = (uint16_t *)(void *)(ring->avail_span.host + 4 + 2 * n);
	ring->avail_event =
		(uint16_t *)(void *)(ring->used_span.host + 4 + sizeof(struct vring_used_elem) * n);
	split_reset(ring);
	return 0;
}

static void split_close(struct driver_ring *ring)
{
	free(ring->next);
}

static void write_desc(struct vring_desc *d, uint64_t gpa, uint32_t len, uint16_t flags,
		       uint16_t next)
{
	d->addr = htole64(gpa);
	d->len = htole32(len);
	d->flags = htole16(flags);
	d->next = htole16(next);
}

static void write_table(const struct guest_span *table, const struct ring_segment *segments,
			uint16_t count, uint16_t base)
{
	struct vring_desc *d = (struct vring_desc *)(void *)table->host;

	for (uint16_t i = 0; i < count; i++) {
		bool last = i + 1 == count;

		write_desc(&d[i], segments[i].gpa, segments[i].len,
			   last ? base : base | VRING_DESC_F_NEXT, last ? 0 : (uint16_t)(i + 1));
	}
}

/* Takes count descriptors off the free list and links them as they come. */
static void write_chain(struct driver_ring *ring, const struct ring_segment *segments,
			uint16_t count, uint16_t base)
{
	uint16_t at = ring->free_head;

	for (uint16_t i = 0; i < count; i++) {
		bool last = i + 1 == count;

		write_desc(&ring->desc[at], segments[i].gpa, segments[i].len,
			   last ? base : base | VRING_DESC_F_NEXT, last ? 0 : ring->next[at]);
		at = ring->next[at];
	}
	ring->free_head = at;
}

static uint16_t split_add(struct driver_ring *ring, const struct ring_segment *segments,
			  uint16_t count, bool device_writes, const struct guest_span *table)
{
	uint16_t base = device_writes ? VRING_DESC_F_WRITE : 0;
	uint16_t head = ring->free_head;

	if (table) {
		write_table(table, segments, count, base);
		write_desc(&ring->desc[head], table->gpa, count * sizeof(struct vring_desc),
			   VRING_DESC_F_INDIRECT, 0);
		ring->free_head = ring->next[head];
	} else {
		write_chain(ring, segments, count, base);
	}
	ring->avail->ring[ring->avail_idx & (ring->size - 1)] = htole16(head);
	return head;
}

/* The next line will be written next: the device had it a round ago. */
static void split_publish(struct driver_ring *ring)
{
	uint16_t next = (uint16_t)(ring->published + AVAIL_A_LINE);

	store_release16(&ring->avail->idx, htole16(ring->published));
	fetch_to_write(&ring->avail->ring[next & (ring->size - 1)]);
}

static bool split_wants_kick(struct driver_ring *ring)
{
	if (!ring->event_idx)
		return !(le16toh(load_once16(&ring->used->flags)) & VRING_USED_F_NO_NOTIFY);
	return vring_need_event(le16toh(load_once16(ring->avail_event)), ring->published,
				ring->kicked);
}

static uint16_t split_used_idx(const struct driver_ring *ring)
{
	return le16toh(load_acquire16(&ring->used->idx));
}

static uint16_t split_avail_idx(const struct driver_ring *ring)
{
	return ring->published;
}

static bool split_has_used(const struct driver_ring *ring)
{
	return split_used_idx(ring) != ring->used_seen;
}

static void log_used(struct driver_ring *ring, uint16_t at)
{
	guest_log_must(ring->log, ring->used_span.gpa, 4); /* flags and index */
	guest_log_must(ring->log, ring->used_span.gpa + 4 + sizeof(struct vring_used_elem) * at,
		       sizeof(struct vring_used_elem));
}

/*
 * All that is there by now is asked for at once: else the device's processor is waited for
 * with each line. A hint.
 */
static void fetch_used(struct driver_ring *ring, uint16_t used)
{
	uint16_t count = (uint16_t)(used - ring->used_seen);

	for (uint16_t i = 0; i < count; i += USED_A_LINE)
		__builtin_prefetch(&ring->used->ring[(ring->used_seen + i) & (ring->size - 1)]);
	ring->used_fetched = used;
}

static enum ring_reaped split_next_used(struct driver_ring *ring, uint32_t *id, uint32_t *len)
{
	const volatile struct vring_used_elem *e;
	uint16_t used = split_used_idx(ring);

	if (used == ring->used_seen)
		return RING_NOTHING;
	if ((uint16_t)(used - ring->used_seen) > driver_ring_out(ring)) {
		ring->index_jumps++;
		driver_ring_note(ring, "used index %u, seen %u, available %u", used,
				 ring->used_seen, ring->published);
		ring->broken = true;
		return RING_BAD;
	}
	if (used != ring->used_fetched)
		fetch_used(ring, used);
	e = &ring->used->ring[ring->used_seen & (ring->size - 1)];
	if (ring->log)
		log_used(ring, ring->used_seen & (ring->size - 1));
	*id = le32toh(e->id);
	*len = le32toh(e->len);
	return RING_DONE;
}

/* The chain's descriptors go back to the free list, linked as they were taken. In
 * order they are back at its end by themselves. */
static void split_put(struct driver_ring *ring, uint16_t head)
{
	uint16_t last = head;

	/* It is among the next to be written, and the device is through with it. */
	fetch_to_write(&ring->desc[head]);
	if (ring->in_order)
		return;
	for (uint32_t i = 1; i < ring->flight[head].descriptors; i++)
		last = ring->next[last];
	ring->next[last] = ring->free_head;
	ring->free_head = head;
}

static void split_want_call(struct driver_ring *ring)
{
	if (ring->event_idx)
		store_once16(ring->used_event, htole16(ring->used_seen));
	else
		store_once16(&ring->avail->flags, 0);
}

static void split_refuse_call(struct driver_ring *ring)
{
	/* With EVENT_IDX: an event just behind us is a whole turn of indexes away. */
	if (ring->event_idx)
		store_once16(ring->used_event, htole16((uint16_t)(ring->used_seen - 1)));
	else
		store_once16(&ring->avail->flags, htole16(VRING_AVAIL_F_NO_INTERRUPT));
}

static uint32_t split_base(const struct driver_ring *ring)
{
	return split_used_idx(ring);
}

static uint64_t split_place(const struct driver_ring *ring, uint32_t base)
{
	return ring->place - (uint16_t)(ring->published - base);
}

const struct driver_ring_kind_ops driver_ring_split_ops = {
	.open = split_open,
	.close = split_close,
	.reset = split_reset,
	.add = split_add,
	.add_run = split_add_run,
	.publish = split_publish,
	.wants_kick = split_wants_kick,
	.has_used = split_has_used,
	.next_used = split_next_used,
	.put = split_put,
	.reap_run = split_reap_run,
	.put_run = split_put_run,
	.want_call = split_want_call,
	.refuse_call = split_refuse_call,
	.used_idx = split_used_idx,
	.avail_idx = split_avail_idx,
	.base = split_base,
	.place = split_place,
};
