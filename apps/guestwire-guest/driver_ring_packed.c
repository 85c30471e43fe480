/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packed ring, VIRTIO 1.2 section 2.8.
 *
 * One array of descriptors, which both sides go round. A descriptor is available
 * when its AVAIL bit is the driver's wrap counter and its USED bit is not; used when
 * both are the device's. A batch is shown by the flags of its first descriptor,
 * which are written last. The device writes used elements where the oldest
 * available descriptor stood, in any order of buffers: so the array says nothing
 * about a buffer once it is out, and all is known by its id.
 *
 * Only the last descriptor of a chain carries the id (2.8.6); in the others there is
 * a number that is no id, for a device that looks at the wrong one.
 */
#include "driver_ring_inside.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "order.h"

#define DESC_ALIGN  16u /* 2.8: alignment of the parts */
#define EVENT_ALIGN 4u
#define AVAIL_BIT   (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT    (1u << VRING_PACKED_DESC_F_USED)
#define WRAP_SHIFT  VRING_PACKED_EVENT_F_WRAP_CTR
#define SLOT_MASK   0x7fffu

static void packed_reset(struct driver_ring *ring)
{
	struct driver_ring_packed *p = &ring->packed;
	uint16_t n = ring->size;

	for (p->id_count = 0; p->id_count < n; p->id_count++)
		p->ids[p->id_count] = (uint16_t)(n - 1 - p->id_count);
	p->wrap = p->used_wrap = true;
	p->slot = p->used_slot = p->added = 0;
	p->head = NULL;
	memset(p->desc, 0, sizeof(*p->desc) * n);
	memset(p->driver_event, 0, sizeof(*p->driver_event));
	memset(p->device_event, 0, sizeof(*p->device_event));
}

static int packed_open(struct driver_ring *ring, struct guest_memory *memory, struct fail *fail)
{
	struct driver_ring_packed *p = &ring->packed;
	uint16_t n = ring->size;
	int rc;

	p->ids = calloc(n, sizeof(*p->ids));
	if (!p->ids)
		return fail_set(fail, -ENOMEM, "no memory for a ring of %u", n);
	rc = guest_memory_alloc(memory, sizeof(*p->desc) * n, DESC_ALIGN, &ring->desc_span, fail);
	if (!rc)
		rc = guest_memory_alloc(memory, sizeof(*p->driver_event), EVENT_ALIGN,
					&ring->avail_span, fail);
	if (!rc)
		rc = guest_memory_alloc(memory, sizeof(*p->device_event), EVENT_ALIGN,
					&ring->used_span, fail);
	if (rc)
		return rc;
	p->desc = (struct vring_packed_desc *)(void *)ring->desc_span.host;
	p->driver_event = (struct vring_packed_desc_event *)(void *)ring->avail_span.host;
	p->device_event = (struct vring_packed_desc_event *)(void *)ring->used_span.host;
	packed_reset(ring);
	return 0;
}

static void packed_close(struct driver_ring *ring)
{
	free(ring->packed.ids);
}

/* In a table nothing but WRITE means anything (2.8.8). */
static void write_table(const struct guest_span *table, const struct ring_segment *segments,
			uint16_t count, bool device_writes)
{
	struct vring_packed_desc *d = (struct vring_packed_desc *)(void *)table->host;

	for (uint16_t i = 0; i < count; i++)
		d[i] = (struct vring_packed_desc){
			htole64(segments[i].gpa),
			htole32(segments[i].len),
			0,
			htole16(device_writes ? VRING_DESC_F_WRITE : 0),
		};
}

/* All of it but, in the first of a batch, the flags. */
static void write_slot(struct driver_ring *ring, const struct ring_segment *segment, uint16_t id,
		       uint16_t flags)
{
	struct driver_ring_packed *p = &ring->packed;
	struct vring_packed_desc *d = &p->desc[p->slot];

	d->addr = htole64(segment->gpa);
	d->len = htole32(segment->len);
	d->id = htole16(id);
	flags |= p->wrap ? AVAIL_BIT : USED_BIT;
	if (p->head) {
		store_once16(&d->flags, htole16(flags));
	} else {
		p->head = &d->flags;
		p->head_flags = htole16(flags);
	}
	p->added++;
	if (++p->slot < ring->size)
		return;
	p->slot = 0;
	p->wrap = !p->wrap;
}

static uint16_t packed_add(struct driver_ring *ring, const struct ring_segment *segments,
			   uint16_t count, bool device_writes, const struct guest_span *table)
{
	struct driver_ring_packed *p = &ring->packed;
	uint16_t id = p->ids[--p->id_count];

	if (table) {
		struct ring_segment whole = { table->host, table->gpa,
					      count * (uint32_t)sizeof(*p->desc) };

		write_table(table, segments, count, device_writes);
		write_slot(ring, &whole, id, VRING_DESC_F_INDIRECT);
		return id;
	}
	for (uint16_t i = 0; i < count; i++) {
		bool last = i + 1 == count;
		uint16_t flags = device_writes ? VRING_DESC_F_WRITE : 0;

		write_slot(ring, &segments[i], last ? id : (uint16_t)~id,
			   last ? flags : flags | VRING_DESC_F_NEXT);
	}
	return id;
}

static void packed_publish(struct driver_ring *ring)
{
	struct driver_ring_packed *p = &ring->packed;

	if (p->head)
		store_release16(p->head, p->head_flags);
	p->head = NULL;
}

/* 2.8.10: off_wrap and flags in one load, for they are written as a pair. */
static bool packed_wants_kick(struct driver_ring *ring)
{
	struct driver_ring_packed *p = &ring->packed;
	uint32_t wish = le32toh(load_once32((const uint32_t *)(const void *)p->device_event));
	uint16_t off_wrap = (uint16_t)wish, flags = (uint16_t)(wish >> 16);
	uint16_t added = p->added, event = off_wrap & SLOT_MASK;

	p->added = 0;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	if (off_wrap >> WRAP_SHIFT != p->wrap)
		event -= ring->size;
	return vring_need_event(event, p->slot, (uint16_t)(p->slot - added));
}

static bool packed_has_used(const struct driver_ring *ring)
{
	const struct driver_ring_packed *p = &ring->packed;
	uint16_t flags = le16toh(load_acquire16(&p->desc[p->used_slot].flags));
	bool avail = flags & AVAIL_BIT, used = flags & USED_BIT;

	return avail == used && used == p->used_wrap;
}

static enum ring_reaped packed_next_used(struct driver_ring *ring, uint32_t *id, uint32_t *len)
{
	const volatile struct vring_packed_desc *d = &ring->packed.desc[ring->packed.used_slot];

	if (!packed_has_used(ring))
		return RING_NOTHING;
	if (ring->log)
		guest_log_must(ring->log, ring->desc_span.gpa + sizeof(*d) * ring->packed.used_slot,
			       sizeof(*d));
	*id = le16toh(d->id);
	*len = le32toh(d->len);
	if (driver_ring_out(ring))
		return RING_DONE;
	ring->index_jumps++;
	driver_ring_note(ring, "slot %u is used, and nothing is out", ring->packed.used_slot);
	ring->broken = true;
	return RING_BAD;
}

static void packed_put(struct driver_ring *ring, uint16_t head)
{
	struct driver_ring_packed *p = &ring->packed;

	/* It is among the next to be written, and the device is through with it. */
	fetch_to_write(&p->desc[p->used_slot]);
	p->ids[p->id_count++] = head;
	p->used_slot += ring->flight[head].descriptors;
	if (p->used_slot < ring->size)
		return;
	p->used_slot -= ring->size;
	p->used_wrap = !p->used_wrap;
}

static uint16_t position(uint16_t slot, bool wrap)
{
	return (uint16_t)(slot | wrap << WRAP_SHIFT);
}

static uint16_t packed_used_idx(const struct driver_ring *ring)
{
	return position(ring->packed.used_slot, ring->packed.used_wrap);
}

static uint16_t packed_avail_idx(const struct driver_ring *ring)
{
	return position(ring->packed.slot, ring->packed.wrap);
}

static void packed_want_call(struct driver_ring *ring)
{
	struct vring_packed_desc_event *e = ring->packed.driver_event;

	if (!ring->event_idx) {
		store_once16(&e->flags, htole16(VRING_PACKED_EVENT_FLAG_ENABLE));
		return;
	}
	store_once16(&e->off_wrap, htole16(packed_used_idx(ring)));
	store_release16(&e->flags, htole16(VRING_PACKED_EVENT_FLAG_DESC));
}

static void packed_refuse_call(struct driver_ring *ring)
{
	store_once16(&ring->packed.driver_event->flags, htole16(VRING_PACKED_EVENT_FLAG_DISABLE));
}

/* Both halves, the next available and the next used, are where used ends. */
static uint32_t packed_base(const struct driver_ring *ring)
{
	return packed_used_idx(ring) | (uint32_t)packed_used_idx(ring) << 16;
}

static uint64_t packed_place(const struct driver_ring *ring, uint32_t base)
{
	const struct driver_ring_packed *p = &ring->packed;
	bool wrap = base >> WRAP_SHIFT & 1;
	uint32_t ahead = p->slot + (wrap == p->wrap ? 0u : ring->size) - (base & SLOT_MASK);

	return ring->place - ahead;
}

const struct driver_ring_kind_ops driver_ring_packed_ops = {
	.open = packed_open,
	.close = packed_close,
	.reset = packed_reset,
	.add = packed_add,
	.add_run = packed_add_run,
	.publish = packed_publish,
	.wants_kick = packed_wants_kick,
	.has_used = packed_has_used,
	.next_used = packed_next_used,
	.put = packed_put,
	.reap_run = packed_reap_run,
	.put_run = packed_put_run,
	.want_call = packed_want_call,
	.refuse_call = packed_refuse_call,
	.used_idx = packed_used_idx,
	.avail_idx = packed_avail_idx,
	.base = packed_base,
	.place = packed_place,
};
