/* SPDX-License-Identifier: BSD-2-Clause */
/* What does not depend on the ring's layout. */
#include "ring.h"

#include "apart.h"
#include "memmap.h"
#include "net_header.h"
#include "ring_internal.h"
#include "ring_walk.h"
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are little-endian, and so are we");

/* ---- creation and end ---- */

/* The struct, the layout's arrays, and ours, largest alignment first. */
static struct ring *allocate(const struct ring_layout *layout, uint32_t size)
{
	size_t ours = sizeof(uint32_t) + sizeof(uint16_t) + sizeof(uint8_t);
	size_t bytes = layout->struct_bytes + size * (layout->per_head_bytes + ours);
	struct ring *ring;

	ring = gw_alloc_apart(bytes);
	if (!ring)
		return NULL;
	ring->written = (uint32_t *)((uint8_t *)ring + layout->struct_bytes);
	ring->popped = (uint16_t *)(ring->written + size);
	ring->own = ring->popped + size;
	ring->state = (uint8_t *)ring->own + size * layout->per_head_bytes;
	ring->size = size;
	return ring;
}

static void configure(struct ring *ring, const struct ring_layout *layout,
		      const struct ring_config *config)
{
	ring->ops = ring->layout = &layout->ops;
	ring->memmap = ring->home = memmap_get(config->memmap);
	ring->iotlb = config->iotlb ? iotlb_get(config->iotlb) : NULL;
	ring->log = config->log ? dirty_log_get(config->log) : NULL;
	ring->event_idx = virtio_has(config->features, VIRTIO_RING_F_EVENT_IDX);
	ring->indirect = virtio_has(config->features, VIRTIO_RING_F_INDIRECT_DESC);
	ring->in_order = virtio_has(config->features, VIRTIO_F_IN_ORDER);
	ring->reads_only = config->reads_only;
	ring->desc_addr = config->desc_addr;
	ring->avail_addr = config->avail_addr;
	ring->used_addr = config->used_addr;
	ring->base = config->base;
}

static int begin_record(struct ring *ring, const struct ring_config *config, struct gw_error *err)
{
	if (!config->record)
		return 0;
	if ((uintptr_t)config->record % RING_RECORD_ALIGN)
		return gw_error_set(err, -EINVAL, "record of heads in flight: not a multiple of %u",
				    RING_RECORD_ALIGN);
	ring->record = record_create(config->record, config->size);
	if (!ring->record)
		return gw_error_sys(err, -ENOMEM, "record of %u heads in flight", config->size);
	return 0;
}

int ring_create(const struct ring_config *config, struct ring **result, struct gw_error *err)
{
	const struct ring_layout *layout =
		virtio_has(config->features, VIRTIO_F_RING_PACKED) ? &ring_packed : &ring_split;
	struct ring *ring;
	int rc;

	rc = layout->check(config, err);
	if (rc)
		return rc;
	ring = allocate(layout, config->size);
	if (!ring)
		return gw_error_sys(err, -ENOMEM, "ring of %u descriptors", config->size);
	configure(ring, layout, config);
	rc = begin_record(ring, config, err);
	if (!rc)
		rc = ring_place(ring, err);
	if (rc) {
		ring_destroy(ring);
		return rc;
	}
	*result = ring;
	return 0;
}

void ring_destroy(struct ring *ring)
{
	if (!ring)
		return;
	if (ring->iotlb)
		iotlb_put(ring->iotlb);
	dirty_log_put(ring->log);
	record_destroy(ring->record);
	memmap_put(ring->home);
	free(ring);
}

/* ---- worker ---- */

void *ring_translate_anew(struct ring *ring, uint64_t addr, uint64_t len)
{
	if (!memmap_range_of(ring->memmap, addr, &ring->range))
		return NULL;
	return memmap_in_range(&ring->range, addr, len);
}

/* A chain of the run before comes first, unless the ring waits. */
static inline bool again_is_next(const struct ring *ring)
{
	return __builtin_expect(record_has_again(ring->record), 0) && ring->ops == ring->layout &&
	       !ring->fault;
}

/* Apart, so that ring_pop is the test and a jump. */
static __attribute__((noinline, cold)) int pop_again(struct ring *ring, struct ring_chain *chain,
						     struct iovec *seg, unsigned int max)
{
	struct walk walk = { .ring = ring, .chain = chain, .seg = seg, .max = max };
	uint16_t head = ring->record->again[ring->record->again_next].head;
	enum ring_fault fault;

	*chain = (struct ring_chain){ .head = head };
	fault = ring->layout->walk_again(ring, &walk, head);
	if (fault)
		return ring_fail(ring, fault);
	ring->record->again_next++;
	ring_note_pop(ring, head);
	return 1;
}

int ring_pop(struct ring *ring, struct ring_chain *chain, struct iovec *seg, unsigned int max)
{
	if (again_is_next(ring))
		return pop_again(ring, chain, seg, max);
	return ring->ops->pop(ring, chain, seg, max);
}

unsigned int ring_pop_run(struct ring *ring, struct ring_linear *chain, unsigned int max)
{
	if (__builtin_expect(ring->fault || ring->iotlb || record_has_again(ring->record), 0))
		return 0;
	return ring->ops->pop_run(ring, chain, max);
}

void ring_unpop(struct ring *ring, unsigned int count)
{
	uint16_t head;

	assert(count <= ring->in_flight);
	for (; count; count--) {
		ring->pop_slot = (ring->pop_slot ? ring->pop_slot : ring->size) - 1;
		head = ring->popped[ring->pop_slot];
		assert(ring->state[head] == HEAD_TAKEN);
		ring->state[head] = HEAD_FREE;
		ring->in_flight--;
		if (ring->record && record_unpops_again(ring->record))
			ring->record->again_next--;
		else
			ring->layout->unpop(ring, head);
	}
}

void ring_give_back_again(struct ring *ring)
{
	struct ring_record *record = ring->record;
	uint16_t head;

	if (!ring->placed)
		return;
	while (record_has_again(record)) {
		head = record->again[record->again_next++].head;
		ring_note_pop(ring, head);
		ring_push(ring, head, 0);
	}
	ring_flush(ring);
}

static void give_back(struct ring *ring, uint16_t head)
{
	ring->state[head] = HEAD_FREE;
	ring->held--;
	ring->layout->push(ring, head, ring->written[head]);
}

/* IN_ORDER: as far as the chains popped first are done. Else: all, in any order. */
void ring_settle(struct ring *ring)
{
	if (!ring->in_order) {
		for (uint32_t head = 0; ring->held; head++)
			if (ring->state[head] == HEAD_DONE)
				give_back(ring, (uint16_t)head);
		return;
	}
	while (ring->held && ring->state[ring->popped[ring->order_slot]] == HEAD_DONE) {
		give_back(ring, ring->popped[ring->order_slot]);
		ring->order_slot = ring_slot_after(ring, ring->order_slot);
	}
}

static void hold(struct ring *ring, uint16_t head, uint32_t written_bytes)
{
	ring->state[head] = HEAD_DONE;
	ring->written[head] = written_bytes;
	ring->held++;
	if (ring->placed)
		ring_settle(ring);
}

void ring_push(struct ring *ring, uint16_t head, uint32_t written_bytes)
{
	assert(head < ring->size && ring->state[head] == HEAD_TAKEN);
	ring->in_flight--;
	if (__builtin_expect(ring->holding, 0)) {
		hold(ring, head, written_bytes);
		return;
	}
	ring->state[head] = HEAD_FREE;
	ring->ops->push(ring, head, written_bytes);
}

/*
 * In order, and nothing is held: the beginning of a run that comes back as it was popped goes
 * as it is. Returns how many.
 */
static unsigned int push_in_order(struct ring *ring, const uint16_t *head, unsigned int count)
{
	uint32_t slot = ring->order_slot;
	unsigned int n = 0;

	if (!ring->placed || ring->held)
		return 0;
	while (n < count && ring->popped[slot] == head[n]) {
		slot = ring_slot_after(ring, slot);
		n++;
	}
	ring->order_slot = slot;
	return n;
}

void ring_push_run(struct ring *ring, const uint16_t *head, unsigned int count)
{
	unsigned int direct = count;
	uint8_t *state = ring->state;
	uint32_t size = ring->size;

	assert(count <= ring->in_flight);
	if (ring->holding)
		direct = push_in_order(ring, head, count);
	for (unsigned int i = 0; i < direct; i++) {
		assert(head[i] < size && state[head[i]] == HEAD_TAKEN);
		state[head[i]] = HEAD_FREE;
	}
	ring->in_flight -= direct;
	if (direct)
		ring->ops->push_run(ring, head, direct);
	for (unsigned int i = direct; i < count; i++)
		ring_push(ring, head[i], 0);
}

unsigned int ring_find_writable(struct ring *ring, struct ring_linear *chain, unsigned int max)
{
	if (__builtin_expect(ring->fault || ring->iotlb || ring->in_flight || ring->held ||
				     record_has_again(ring->record),
			     0))
		return 0;
	return ring->layout->find_writable(ring, chain, max);
}

/* Nothing is out: what is taken and given back at once is in order by itself. */
void ring_fill_run(struct ring *ring, const struct ring_linear *chain,
		   const uint32_t *written_bytes, unsigned int count)
{
	ring->layout->fill_run(ring, chain, written_bytes, count);
}

bool ring_flush(struct ring *ring)
{
	bool wanted = ring->ops->flush(ring) || ring->interrupt;

	ring->interrupt = false;
	return wanted;
}

bool ring_want_kick(struct ring *ring)
{
	return ring->ops->want_kick(ring) || again_is_next(ring);
}

void ring_no_kick(struct ring *ring)
{
	ring->ops->no_kick(ring);
}

bool ring_has_avail(struct ring *ring)
{
	return again_is_next(ring) || ring->ops->has_avail(ring);
}

/* ---- state ---- */

void ring_break(struct ring *ring, enum ring_fault fault)
{
	if (!ring->fault)
		ring->fault = fault;
}

enum ring_fault ring_fault(const struct ring *ring)
{
	return ring->fault;
}

void ring_set_log(struct ring *ring, struct dirty_log *log)
{
	struct dirty_log *before = ring->log;

	ring->log = log ? dirty_log_get(log) : NULL;
	dirty_log_put(before);
}

uint32_t ring_resubmitted(const struct ring *ring)
{
	return ring->record ? ring->record->again_count : 0;
}

uint32_t ring_resubmit_left(const struct ring *ring)
{
	return ring->record ? ring->record->again_count - ring->record->again_next : 0;
}

const char *ring_record_refused(const struct ring *ring)
{
	return ring->record ? ring->record->refused : NULL;
}

uint32_t ring_base(const struct ring *ring)
{
	return ring->begun ? ring->layout->base(ring) : ring->base;
}

uint32_t ring_in_flight(const struct ring *ring)
{
	return ring->in_flight;
}

uint16_t ring_used_index(const struct ring *ring)
{
	return ring->begun ? ring->layout->used_index(ring) : (uint16_t)ring->base;
}

uint32_t ring_size(const struct ring *ring)
{
	return ring->size;
}

/* ---- rules ---- */

#define FAULT_NAME(id, name, text) [id] = name,
#define FAULT_TEXT(id, name, text) [id] = text,

const char *ring_fault_name(enum ring_fault fault)
{
	static const char *const names[] = { [RING_FAULT_NONE] = "none", RING_FAULTS(FAULT_NAME) };

	return (unsigned int)fault < RING_FAULT_COUNT ? names[fault] : "unknown";
}

const char *ring_fault_text(enum ring_fault fault)
{
	static const char *const texts[] = { [RING_FAULT_NONE] = "no rule was broken",
					     RING_FAULTS(FAULT_TEXT) };

	return (unsigned int)fault < RING_FAULT_COUNT ? texts[fault] : "unknown";
}
