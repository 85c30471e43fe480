/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver_ring.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "driver_ring_inside.h"
#include "order.h"

static const struct driver_ring_kind_ops *const kinds[] = {
	[DRIVER_RING_SPLIT] = &driver_ring_split_ops,
	[DRIVER_RING_PACKED] = &driver_ring_packed_ops,
};

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

int driver_ring_open(struct driver_ring *ring, struct guest_memory *memory,
		     enum driver_ring_kind kind, uint16_t size, struct fail *fail)
{
	int rc;

	memset(ring, 0, sizeof(*ring));
	ring->ops = kinds[kind];
	ring->kind = kind;
	ring->kick_fd = ring->call_fd = ring->err_fd = -1;
	ring->size = ring->free_count = size;
	ring->batch_last = DRIVER_RING_NO_TOKEN;
	ring->flight = calloc(size, sizeof(*ring->flight));
	ring->order = calloc(size, sizeof(*ring->order));
	if (!ring->flight || !ring->order)
		return fail_set(fail, -ENOMEM, "no memory for a ring of %u", size);
	for (uint16_t i = 0; i < size; i++)
		ring->flight[i].token = DRIVER_RING_NO_TOKEN;
	rc = ring->ops->open(ring, memory, fail);
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
	ring->ops->close(ring);
	free(ring->flight);
	free(ring->order);
	memset(ring, 0, sizeof(*ring));
}

/* Those that are out first, in their order. */
static int by_place(const void *a, const void *b)
{
	const struct ring_flight *x = a, *y = b;
	bool x_out = x->token != DRIVER_RING_NO_TOKEN, y_out = y->token != DRIVER_RING_NO_TOKEN;

	if (x_out != y_out)
		return x_out ? -1 : 1;
	/* Those that are home may be any number of places apart, and have no order. */
	if (!x_out)
		return 0;
	/* Those that are out are less than half of all places apart. */
	return (x->place != y->place) * ((int32_t)(x->place - y->place) < 0 ? -1 : 1);
}

uint32_t driver_ring_reset(struct driver_ring *ring, uint32_t *tokens)
{
	uint32_t count = 0;

	qsort(ring->flight, ring->size, sizeof(*ring->flight), by_place);
	for (uint16_t i = 0; i < ring->size; i++) {
		if (ring->flight[i].token != DRIVER_RING_NO_TOKEN)
			tokens[count++] = ring->flight[i].token;
		ring->flight[i].token = DRIVER_RING_NO_TOKEN;
	}
	ring->free_count = ring->size;
	ring->avail_idx = ring->published = ring->used_seen = ring->kicked = 0;
	ring->batch_last = DRIVER_RING_NO_TOKEN;
	ring->home += count;
	ring->ops->reset(ring);
	return count;
}

void driver_ring_note(struct driver_ring *ring, const char *format, ...)
{
	va_list args;

	if (ring->why[0])
		return;
	va_start(args, format);
	vsnprintf(ring->why, sizeof(ring->why), format, args);
	va_end(args);
}

static uint32_t total_bytes(const struct ring_segment *segments, uint16_t count)
{
	uint32_t total = 0;

	for (uint16_t i = 0; i < count; i++)
		total += segments[i].len;
	return total;
}

int driver_ring_add(struct driver_ring *ring, const struct ring_segment *segments, uint16_t count,
		    bool device_writes, const struct guest_span *table, uint32_t token)
{
	uint16_t need = table ? 1 : count;
	uint16_t head;

	if (need > ring->free_count)
		return -ENOSPC;
	head = ring->ops->add(ring, segments, count, device_writes, table);
	ring->free_count -= need;
	ring->flight[head] = (struct ring_flight){
		.token = token,
		.writable = device_writes ? total_bytes(segments, count) : 0,
		.place = (uint32_t)ring->place,
		.descriptors = need,
	};
	ring->serial++;
	ring->place += ring->kind == DRIVER_RING_PACKED ? need : 1;
	/* The size is a power of two. */
	ring->order[ring->avail_idx++ & (ring->size - 1)] = head;
	return head;
}

uint64_t driver_ring_add_run(struct driver_ring *ring, const struct ring_plain *plain,
			     const uint32_t *tokens, uint32_t count, bool device_writes)
{
	uint64_t bytes = ring->ops->add_run(ring, plain, tokens, count,
					    device_writes ? VRING_DESC_F_WRITE : 0);

	ring->free_count -= (uint16_t)count;
	ring->avail_idx += (uint16_t)count;
	ring->serial += count;
	ring->place += count;
	return bytes;
}

void driver_ring_publish(struct driver_ring *ring)
{
	ring->published = ring->avail_idx;
	ring->ops->publish(ring);
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
	if (ring->kicked == ring->published)
		return;
	order_full();
	if (ring->ops->wants_kick(ring))
		driver_ring_kick_always(ring);
	ring->kicked = ring->published;
}

/* Each head comes back once, and only if it was given. */
static enum ring_reaped check_id(struct driver_ring *ring, uint32_t id)
{
	if (id >= ring->size) {
		ring->unknown_ids++;
		driver_ring_note(ring, "id %" PRIu32 " in a ring of %u", id, ring->size);
	} else if (ring->flight[id].token == DRIVER_RING_NO_TOKEN) {
		ring->double_completions++;
		driver_ring_note(ring, "id %" PRIu32 " is not out; last so at place %" PRIu32, id,
				 ring->flight[id].place);
	} else {
		return RING_DONE;
	}
	/* Where the next used element would be cannot be told without the chain. */
	ring->broken = ring->kind == DRIVER_RING_PACKED || ring->in_order;
	ring->used_seen++;
	return RING_BAD;
}

/* The next head that is home: the device's choice, or, in a batch, the oldest. */
static uint16_t next_home(struct driver_ring *ring, uint32_t *len)
{
	uint16_t head = (uint16_t)ring->batch_last;

	*len = ring->batch_len;
	if (ring->in_order)
		head = ring->order[ring->used_seen & (ring->size - 1)];
	if (head == ring->batch_last)
		ring->batch_last = DRIVER_RING_NO_TOKEN;
	else
		*len = ring->flight[head].writable;
	return head;
}

enum ring_reaped driver_ring_reap(struct driver_ring *ring, uint32_t *token, uint32_t *len)
{
	enum ring_reaped found;
	uint16_t head;
	uint32_t id;

	if (ring->broken)
		return RING_NOTHING;
	if (ring->batch_last == DRIVER_RING_NO_TOKEN) {
		found = ring->ops->next_used(ring, &id, &ring->batch_len);
		if (found == RING_DONE)
			found = check_id(ring, id);
		if (found != RING_DONE)
			return found;
		ring->batch_last = id;
	}
	head = next_home(ring, len);
	*token = ring->flight[head].token;
	ring->free_count += ring->flight[head].descriptors;
	ring->ops->put(ring, head);
	ring->flight[head].token = DRIVER_RING_NO_TOKEN;
	ring->home++;
	ring->used_seen++;
	return RING_DONE;
}

/* The rest of a batch whose last is known. What was skipped was used up (2.7.8.2). */
static uint32_t reap_batch(struct driver_ring *ring, uint32_t *tokens, uint32_t *lens, uint32_t max)
{
	uint32_t count = 0, mask = ring->size - 1u;

	while (count < max && ring->batch_last != DRIVER_RING_NO_TOKEN) {
		uint16_t head = ring->order[(ring->used_seen + count) & mask];
		bool last = head == ring->batch_last;

		lens[count] = last ? ring->batch_len : ring->flight[head].writable;
		if (!driver_ring_take_plain(ring, head, &tokens[count]))
			break;
		count++;
		if (last)
			ring->batch_last = DRIVER_RING_NO_TOKEN;
	}
	ring->ops->put_run(ring, count);
	return count;
}

uint32_t driver_ring_reap_run(struct driver_ring *ring, uint32_t *tokens, uint32_t *lens,
			      uint32_t max)
{
	uint32_t count;

	if (ring->broken)
		return 0;
	if (ring->in_order)
		count = reap_batch(ring, tokens, lens, max);
	else
		count = ring->log ? 0 : ring->ops->reap_run(ring, tokens, lens, max);
	ring->free_count += (uint16_t)count;
	ring->used_seen += (uint16_t)count;
	ring->home += count;
	return count;
}

bool driver_ring_has_used(const struct driver_ring *ring)
{
	return !ring->broken &&
	       (ring->batch_last != DRIVER_RING_NO_TOKEN || ring->ops->has_used(ring));
}

bool driver_ring_want_call(struct driver_ring *ring)
{
	ring->ops->want_call(ring);
	order_full();
	return driver_ring_has_used(ring);
}

void driver_ring_refuse_call(struct driver_ring *ring)
{
	ring->ops->refuse_call(ring);
}

uint16_t driver_ring_used_idx(const struct driver_ring *ring)
{
	return ring->ops->used_idx(ring);
}

uint16_t driver_ring_avail_idx(const struct driver_ring *ring)
{
	return ring->ops->avail_idx(ring);
}

uint32_t driver_ring_base(const struct driver_ring *ring)
{
	return ring->ops->base(ring);
}

uint32_t driver_ring_lost(const struct driver_ring *ring, uint32_t base)
{
	uint32_t place = (uint32_t)ring->ops->place(ring, base);
	uint32_t lost = 0;

	for (uint16_t i = 0; i < ring->size; i++)
		lost += ring->flight[i].token != DRIVER_RING_NO_TOKEN &&
			(int32_t)(ring->flight[i].place - place) < 0;
	return lost;
}

size_t driver_ring_used_bytes(const struct driver_ring *ring)
{
	if (ring->kind == DRIVER_RING_PACKED)
		return sizeof(struct vring_packed_desc_event);
	return 6 + sizeof(struct vring_used_elem) * ring->size;
}
