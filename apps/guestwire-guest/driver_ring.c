/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver_ring.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "order.h"

/* 2.7: alignment of the three parts. */
#define DESC_ALIGN  16u
#define AVAIL_ALIGN 2u
#define USED_ALIGN  4u

static int alloc_parts(struct driver_ring *ring, struct guest_memory *memory, struct fail *fail)
{
	uint16_t n = ring->size;
	int rc;

	rc = guest_memory_alloc(memory, sizeof(struct vring_desc) * n, DESC_ALIGN, &ring->desc_span,
				fail);
	/* 6 bytes beside the elements: flags, idx, and the other side's event. */
	if (!rc)
		rc = guest_memory_alloc(memory, 6 + 2ull * n, AVAIL_ALIGN, &ring->avail_span, fail);
	if (!rc)
		rc = guest_memory_alloc(memory, 6 + sizeof(struct vring_used_elem) * n, USED_ALIGN,
					&ring->used_span, fail);
	if (rc)
		return rc;
	ring->desc = (struct vring_desc *)(void *)ring->desc_span.host;
	ring->avail = (struct vring_avail *)(void *)ring->avail_span.host;
	ring->used = (struct vring_used *)(void *)ring->used_span.host;
	ring->used_event = (uint16_t *)(void *)(ring->avail_span.host + 4 + 2 * n);
	ring->avail_event =
		(uint16_t *)(void *)(ring->used_span.host + 4 + sizeof(struct vring_used_elem) * n);
	return 0;
}

static int make_eventfds(struct driver_ring *ring, struct fail *fail)
{
	ring->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ring->kick_fd < 0 || ring->call_fd < 0 || ring->err_fd < 0)
		return fail_set(fail, -errno, "cannot make an eventfd for a ring: %s",
				strerror(errno));
	return 0;
}

int driver_ring_open(struct driver_ring *ring, struct guest_memory *memory, uint16_t size,
		     struct fail *fail)
{
	int rc;

	memset(ring, 0, sizeof(*ring));
	ring->kick_fd = ring->call_fd = ring->err_fd = -1;
	ring->size = ring->free_count = size;
	ring->next = calloc(size, sizeof(*ring->next));
	ring->flight = calloc(size, sizeof(*ring->flight));
	if (!ring->next || !ring->flight)
		return fail_set(fail, -ENOMEM, "no memory for a ring of %u", size);
	for (uint16_t i = 0; i < size; i++) {
		ring->next[i] = (uint16_t)(i + 1);
		ring->flight[i].token = DRIVER_RING_NO_TOKEN;
	}
	rc = alloc_parts(ring, memory, fail);
	return rc ? rc : make_eventfds(ring, fail);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void driver_ring_close(struct driver_ring *ring)
{
	if (!ring->size)
		return;
	close_fd(&ring->kick_fd);
	close_fd(&ring->call_fd);
	close_fd(&ring->err_fd);
	free(ring->next);
	free(ring->flight);
	memset(ring, 0, sizeof(*ring));
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

int driver_ring_add(struct driver_ring *ring, const struct ring_segment *segments, uint16_t count,
		    bool device_writes, const struct guest_span *table, uint32_t token)
{
	uint16_t base = device_writes ? VRING_DESC_F_WRITE : 0;
	uint16_t need = table ? 1 : count;
	uint16_t head = ring->free_head;

	if (need > ring->free_count)
		return -ENOSPC;
	if (table) {
		write_table(table, segments, count, base);
		write_desc(&ring->desc[head], table->gpa, count * sizeof(struct vring_desc),
			   VRING_DESC_F_INDIRECT, 0);
		ring->free_head = ring->next[head];
	} else {
		write_chain(ring, segments, count, base);
	}
	ring->free_count -= need;
	ring->flight[head] = (struct ring_flight){ token, need };
	/* The size is a power of two (2.7). */
	ring->avail->ring[ring->avail_idx++ & (ring->size - 1)] = htole16(head);
	return head;
}

void driver_ring_publish(struct driver_ring *ring)
{
	ring->published = ring->avail_idx;
	store_release16(&ring->avail->idx, htole16(ring->published));
}

static bool device_wants_kick(struct driver_ring *ring)
{
	uint16_t event, old = ring->kicked;

	order_full();
	ring->kicked = ring->published;
	if (!ring->event_idx)
		return !(le16toh(load_once16(&ring->used->flags)) & VRING_USED_F_NO_NOTIFY);
	event = le16toh(load_once16(ring->avail_event));
	return vring_need_event(event, ring->published, old);
}

void driver_ring_kick_always(struct driver_ring *ring)
{
	uint64_t one = 1;

	ring->kicks++;
	/* EAGAIN: the counter is full, so the device is not short of kicks. */
	if (write(ring->kick_fd, &one, sizeof(one)) < 0)
		return;
}

void driver_ring_kick(struct driver_ring *ring)
{
	if (ring->kicked != ring->published && device_wants_kick(ring))
		driver_ring_kick_always(ring);
}

/* The chain's descriptors go back to the free list, linked as they were taken. */
static void put_chain(struct driver_ring *ring, uint16_t head)
{
	struct ring_flight *f = &ring->flight[head];
	uint16_t last = head;

	for (uint16_t i = 1; i < f->descriptors; i++)
		last = ring->next[last];
	ring->next[last] = ring->free_head;
	ring->free_head = head;
	ring->free_count += f->descriptors;
	f->token = DRIVER_RING_NO_TOKEN;
}

enum ring_reaped driver_ring_reap(struct driver_ring *ring, uint32_t *token, uint32_t *len)
{
	uint16_t used = le16toh(load_acquire16(&ring->used->idx));
	const volatile struct vring_used_elem *e;
	uint32_t id;

	if (used == ring->used_seen || ring->broken)
		return RING_NOTHING;
	if ((uint16_t)(used - ring->used_seen) > driver_ring_out(ring)) {
		ring->index_jumps++;
		ring->broken = true;
		return RING_BAD;
	}
	e = &ring->used->ring[ring->used_seen++ & (ring->size - 1)];
	id = le32toh(e->id);
	*len = le32toh(e->len);
	if (id >= ring->size) {
		ring->unknown_ids++;
		return RING_BAD;
	}
	*token = ring->flight[id].token;
	if (*token == DRIVER_RING_NO_TOKEN) {
		ring->double_completions++;
		return RING_BAD;
	}
	put_chain(ring, (uint16_t)id);
	return RING_DONE;
}

bool driver_ring_want_call(struct driver_ring *ring, uint16_t after)
{
	if (ring->event_idx)
		store_once16(ring->used_event, htole16((uint16_t)(ring->used_seen + after - 1)));
	else
		store_once16(&ring->avail->flags, 0);
	order_full();
	return (uint16_t)(driver_ring_used_idx(ring) - ring->used_seen) >= after;
}

void driver_ring_refuse_call(struct driver_ring *ring)
{
	/* With EVENT_IDX: an event just behind us is a whole turn of indexes away. */
	if (ring->event_idx)
		store_once16(ring->used_event, htole16((uint16_t)(ring->used_seen - 1)));
	else
		store_once16(&ring->avail->flags, htole16(VRING_AVAIL_F_NO_INTERRUPT));
}

uint16_t driver_ring_used_idx(const struct driver_ring *ring)
{
	return le16toh(load_acquire16(&ring->used->idx));
}
