/* SPDX-License-Identifier: BSD-2-Clause */
#include "mock_driver.h"

#include "atomic.h"
#include <linux/virtio_config.h>
#include <string.h>

#define PLACE_AT_MASK  0x7fffu
#define PLACE_WRAP     0x8000u
#define FLAG_AVAIL     (1u << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED      (1u << VRING_PACKED_DESC_F_USED)
#define EVENT_FLAGS(e) ((e) >> 16 & 3u)
/* What a chain's descriptors but the last hold as an id: the device must not look. */
#define ID_MEANINGLESS 0xffffu

/* ---- the ring ---- */

static bool has(const struct mock_driver *driver, unsigned int bit)
{
	return driver->features >> bit & 1;
}

static uint64_t avail_bytes(uint32_t size)
{
	return 6 + 2ull * size; /* section 2.7, used_event included */
}

static uint64_t used_bytes(uint32_t size)
{
	return 6 + 8ull * size;
}

static uint64_t used_offset(uint32_t size)
{
	return (16ull * size + avail_bytes(size) + 3) & ~3ull;
}

size_t mock_ring_bytes(uint32_t size)
{
	return used_offset(size) + used_bytes(size);
}

static void open_split(struct mock_driver *driver, uint64_t addr, uint16_t start)
{
	driver->avail_addr = addr + 16ull * driver->size;
	driver->used_addr = addr + used_offset(driver->size);
	driver->desc = mock_at(driver->memory, driver->desc_addr);
	driver->avail = mock_at(driver->memory, driver->avail_addr);
	driver->used = mock_at(driver->memory, driver->used_addr);
	driver->avail_next = driver->avail_shown = driver->used_next = start;
	driver->avail->idx = start;
	driver->used->idx = start;
}

/* Flags of a descriptor that was made available, and used, in the lap of this place. */
static uint16_t avail_flags(uint16_t place)
{
	return place & PLACE_WRAP ? FLAG_AVAIL : FLAG_USED;
}

static uint16_t used_flags(uint16_t place)
{
	return place & PLACE_WRAP ? FLAG_AVAIL | FLAG_USED : 0;
}

/* All descriptors look as if they had been used: behind start in this lap, from it on before. */
static void open_packed(struct mock_driver *driver, uint64_t addr, uint16_t start)
{
	driver->packed = true;
	driver->avail_addr = addr + 16ull * driver->size;
	driver->used_addr = driver->avail_addr + sizeof(uint32_t);
	driver->slot = mock_at(driver->memory, driver->desc_addr);
	driver->driver_event = mock_at(driver->memory, driver->avail_addr);
	driver->device_event = mock_at(driver->memory, driver->used_addr);
	driver->desc = calloc(driver->size, sizeof(struct vring_desc));
	driver->chain_len = calloc(driver->size, sizeof(uint32_t));
	driver->chain_at = calloc(driver->size, sizeof(uint16_t));
	driver->last_used = driver->size;
	MOCK_CHECK(driver->desc && driver->chain_len && driver->chain_at);
	MOCK_CHECK((start & PLACE_AT_MASK) < driver->size);
	driver->avail_place = driver->used_place = driver->shown_place = start;
	for (uint32_t i = 0; i < driver->size; i++)
		driver->slot[i].flags = used_flags(
			i < (start & PLACE_AT_MASK) ? start : (uint16_t)(start ^ PLACE_WRAP));
}

void mock_driver_open(struct mock_driver *driver, struct mock_memory *memory, uint32_t size,
		      uint64_t addr, uint64_t features, uint16_t start)
{
	*driver = (struct mock_driver){
		.memory = memory,
		.size = size,
		.features = features,
		.desc_addr = addr,
		.free_desc = calloc(size, sizeof(uint16_t)),
		.chain_next = calloc(size, sizeof(uint16_t)),
		.out = calloc(size, sizeof(bool)),
	};
	MOCK_CHECK(driver->free_desc && driver->chain_next && driver->out);
	memset(mock_at(memory, addr), 0, mock_ring_bytes(size));
	if (has(driver, VIRTIO_F_RING_PACKED))
		open_packed(driver, addr, start);
	else
		open_split(driver, addr, start);
	while (driver->free_count < size) {
		driver->free_desc[driver->free_count] = (uint16_t)(size - 1 - driver->free_count);
		driver->free_count++;
	}
}

void mock_driver_close(struct mock_driver *driver)
{
	free(driver->free_desc);
	free(driver->chain_next);
	free(driver->out);
	free(driver->chain_len);
	free(driver->chain_at);
	if (driver->packed)
		free(driver->desc);
}

struct ring_config mock_driver_config(const struct mock_driver *driver)
{
	return (struct ring_config){
		.memmap = driver->memory->memmap,
		.size = driver->size,
		.desc_addr = MOCK_USER_OFFSET + driver->desc_addr,
		.avail_addr = MOCK_USER_OFFSET + driver->avail_addr,
		.used_addr = MOCK_USER_OFFSET + driver->used_addr,
		.base = driver->packed ? driver->shown_place | (uint32_t)driver->used_place << 16
				       : driver->avail_shown,
		.features = driver->features,
	};
}

struct vring_desc *mock_desc(struct mock_driver *driver, uint16_t index)
{
	MOCK_CHECK(index < driver->size);
	return &driver->desc[index];
}

/* ---- chains ---- */

static uint16_t take_desc(struct mock_driver *driver)
{
	MOCK_CHECK(driver->free_count);
	return driver->free_desc[--driver->free_count];
}

static struct vring_desc buffer_desc(const struct mock_buffer *buffer)
{
	return (struct vring_desc){
		.addr = buffer->addr,
		.len = buffer->len,
		.flags = buffer->writable ? VRING_DESC_F_WRITE : 0,
	};
}

/* Appends to the chain that ends at *last (size: a new chain); returns the index. */
static uint16_t append(struct mock_driver *driver, uint16_t last, struct vring_desc desc)
{
	uint16_t index = take_desc(driver);

	driver->desc[index] = desc;
	driver->chain_next[index] = (uint16_t)driver->size;
	if (last != driver->size) {
		driver->chain_next[last] = index;
		driver->desc[last].next = index;
		driver->desc[last].flags |= VRING_DESC_F_NEXT;
	}
	return index;
}

/* size is at most 32768, so that "none" fits. */
static uint16_t append_all(struct mock_driver *driver, const struct mock_buffer *buffers,
			   unsigned int count, uint16_t *head)
{
	uint16_t last = (uint16_t)driver->size;

	*head = last;
	for (unsigned int i = 0; i < count; i++) {
		last = append(driver, last, buffer_desc(&buffers[i]));
		if (!i)
			*head = last;
	}
	return last;
}

int mock_chain(struct mock_driver *driver, const struct mock_buffer *buffers, unsigned int count)
{
	uint16_t head;

	MOCK_CHECK(count);
	if (count > driver->free_count)
		return -1;
	append_all(driver, buffers, count, &head);
	return head;
}

/* Both kinds of descriptors are 16 bytes long. */
static void write_table(struct mock_driver *driver, const struct mock_buffer *buffers,
			unsigned int entries, uint64_t table_addr)
{
	struct vring_packed_desc packed;
	struct vring_desc desc;

	for (unsigned int i = 0; i < entries; i++) {
		desc = buffer_desc(&buffers[i]);
		if (driver->packed) {
			packed = (struct vring_packed_desc){
				.addr = desc.addr,
				.len = desc.len,
				.flags = desc.flags,
				.id = ID_MEANINGLESS,
			};
			memcpy(&desc, &packed, sizeof(desc));
		} else if (i + 1 < entries) {
			desc.flags |= VRING_DESC_F_NEXT;
			desc.next = (uint16_t)(i + 1);
		}
		mock_write(driver->memory, table_addr + i * sizeof(desc), &desc, sizeof(desc));
	}
}

int mock_chain_indirect(struct mock_driver *driver, const struct mock_buffer *buffers,
			unsigned int count, unsigned int direct, uint64_t table_addr)
{
	struct vring_desc desc = { .addr = table_addr, .flags = VRING_DESC_F_INDIRECT };
	unsigned int entries = count - direct;
	uint16_t head, last, index;

	MOCK_CHECK(direct < count);
	if (direct + 1 > driver->free_count)
		return -1;
	desc.len = entries * (uint32_t)sizeof(desc);
	last = append_all(driver, buffers, direct, &head);
	index = append(driver, last, desc);
	write_table(driver, &buffers[direct], entries, table_addr);
	return direct ? head : index;
}

/* ---- offering and collecting: split ---- */

static bool publish_split(struct mock_driver *driver)
{
	const uint16_t *avail_event = (const uint16_t *)&driver->used->ring[driver->size];
	uint16_t before = driver->avail_shown, now = driver->avail_next;

	gw_store_release(&driver->avail->idx, now);
	driver->avail_shown = now;
	gw_fence();
	if (!has(driver, VIRTIO_RING_F_EVENT_IDX))
		return !(gw_load_relaxed(&driver->used->flags) & VRING_USED_F_NO_NOTIFY);
	/* Section 2.7.10: the entry with that index is among the new ones. */
	return (uint16_t)(now - 1 - gw_load_relaxed(avail_event)) < (uint16_t)(now - before);
}

static bool used_split(const struct mock_driver *driver)
{
	return gw_load_acquire(&driver->used->idx) != driver->used_next;
}

static uint16_t take_used_split(struct mock_driver *driver, uint32_t *written_bytes)
{
	const struct vring_used_elem *elem = &driver->used->ring[driver->used_next % driver->size];

	MOCK_CHECK(elem->id < driver->size);
	driver->used_next++;
	*written_bytes = elem->len;
	return (uint16_t)elem->id;
}

static void interrupt_split(struct mock_driver *driver, bool wanted)
{
	/* Not wanted, with EVENT_IDX: an index that has just gone by. */
	if (has(driver, VIRTIO_RING_F_EVENT_IDX))
		gw_store_relaxed(&driver->avail->ring[driver->size],
				 (uint16_t)(driver->used_next - !wanted));
	else
		gw_store_relaxed(&driver->avail->flags, wanted ? 0 : VRING_AVAIL_F_NO_INTERRUPT);
}

/* ---- offering and collecting: packed ---- */

static uint16_t place_after(const struct mock_driver *driver, uint16_t place, uint32_t count)
{
	uint32_t at = (place & PLACE_AT_MASK) + count;
	uint16_t wrap = place & PLACE_WRAP;

	if (at < driver->size)
		return (uint16_t)(at | wrap);
	return (uint16_t)((at - driver->size) | (wrap ^ PLACE_WRAP));
}

/* Each descriptor of the chain; the first flags of the batch wait for mock_publish. */
static void offer_packed(struct mock_driver *driver, uint16_t id)
{
	struct vring_packed_desc *slot;
	const struct vring_desc *desc;
	uint16_t flags, next, i = id;

	MOCK_CHECK(id < driver->size);
	driver->chain_len[id] = 0;
	driver->chain_at[driver->avail_place & PLACE_AT_MASK] = id;
	do {
		desc = &driver->desc[i];
		next = driver->chain_next[i];
		slot = &driver->slot[driver->avail_place & PLACE_AT_MASK];
		slot->addr = desc->addr;
		slot->len = desc->len;
		slot->id = next == driver->size ? id : ID_MEANINGLESS;
		flags = desc->flags ^ avail_flags(driver->avail_place);
		if (driver->batch)
			gw_store_release(&slot->flags, flags);
		else
			driver->shown_flags = flags;
		driver->avail_place = place_after(driver, driver->avail_place, 1);
		driver->batch++;
		driver->chain_len[id]++;
		i = next;
	} while (i != driver->size);
}

static bool publish_packed(struct mock_driver *driver)
{
	uint16_t from = driver->shown_place, batch = driver->batch, wanted;
	uint32_t event;

	if (batch)
		gw_store_release(&driver->slot[from & PLACE_AT_MASK].flags, driver->shown_flags);
	driver->shown_place = driver->avail_place;
	driver->batch = 0;
	gw_fence();
	event = gw_load_relaxed(driver->device_event);
	if (EVENT_FLAGS(event) != VRING_PACKED_EVENT_FLAG_DESC)
		return EVENT_FLAGS(event) == VRING_PACKED_EVENT_FLAG_ENABLE;
	MOCK_CHECK(has(driver, VIRTIO_RING_F_EVENT_IDX));
	/* Section 2.8.10: one of the new descriptors lies at that place. */
	wanted = (uint16_t)event;
	for (uint16_t i = 0; i < batch; i++)
		if (place_after(driver, from, i) == wanted)
			return true;
	return false;
}

static bool used_packed(const struct mock_driver *driver)
{
	uint16_t flags = gw_load_acquire(&driver->slot[driver->used_place & PLACE_AT_MASK].flags);

	if (driver->last_used < driver->size)
		return true;
	return (flags & (FLAG_AVAIL | FLAG_USED)) == used_flags(driver->used_place);
}

/*
 * Section 2.8.8: in order, one used descriptor can stand for several chains, up to the one
 * that it names, and then there is nothing to be said of what was written to them.
 */
static uint16_t take_used_packed(struct mock_driver *driver, uint32_t *written_bytes)
{
	uint32_t at = driver->used_place & PLACE_AT_MASK;
	const struct vring_packed_desc *slot = &driver->slot[at];
	uint16_t id = slot->id;

	*written_bytes = 0;
	if (driver->last_used == driver->size) {
		MOCK_CHECK(id < driver->size && driver->out[id]);
		/* Section 2.8.5: without WRITE the length means nothing. */
		if (slot->flags & VRING_DESC_F_WRITE)
			*written_bytes = slot->len;
		if (has(driver, VIRTIO_F_IN_ORDER) && id != driver->chain_at[at]) {
			MOCK_CHECK(!*written_bytes);
			driver->last_used = id;
		}
	}
	if (driver->last_used < driver->size) {
		id = driver->chain_at[at];
		if (id == driver->last_used)
			driver->last_used = driver->size;
	}
	driver->used_place = place_after(driver, driver->used_place, driver->chain_len[id]);
	return id;
}

static void interrupt_packed(struct mock_driver *driver, bool wanted)
{
	uint32_t event = VRING_PACKED_EVENT_FLAG_DISABLE << 16;

	if (wanted && has(driver, VIRTIO_RING_F_EVENT_IDX))
		event = VRING_PACKED_EVENT_FLAG_DESC << 16 | driver->used_place;
	else if (wanted)
		event = VRING_PACKED_EVENT_FLAG_ENABLE << 16;
	gw_store_relaxed(driver->driver_event, event);
}

/* ---- offering and collecting ---- */

void mock_offer(struct mock_driver *driver, uint16_t head)
{
	if (driver->packed) {
		offer_packed(driver, head);
	} else {
		driver->avail->ring[driver->avail_next % driver->size] = head;
		driver->avail_next++;
	}
	if (head < driver->size)
		driver->out[head] = true;
}

bool mock_publish(struct mock_driver *driver)
{
	return driver->packed ? publish_packed(driver) : publish_split(driver);
}

static bool any_used(const struct mock_driver *driver)
{
	return driver->packed ? used_packed(driver) : used_split(driver);
}

bool mock_collect(struct mock_driver *driver, uint16_t *head, uint32_t *written_bytes)
{
	uint16_t next;

	if (!any_used(driver))
		return false;
	*head = driver->packed ? take_used_packed(driver, written_bytes)
			       : take_used_split(driver, written_bytes);
	MOCK_CHECK(driver->out[*head]);
	driver->out[*head] = false;
	for (uint16_t i = *head; i != driver->size; i = next) {
		next = driver->chain_next[i];
		driver->free_desc[driver->free_count++] = i;
	}
	return true;
}

static void set_interrupt(struct mock_driver *driver, bool wanted)
{
	if (driver->packed)
		interrupt_packed(driver, wanted);
	else
		interrupt_split(driver, wanted);
}

bool mock_want_interrupt(struct mock_driver *driver)
{
	set_interrupt(driver, true);
	gw_fence();
	return any_used(driver);
}

void mock_no_interrupt(struct mock_driver *driver)
{
	set_interrupt(driver, false);
}
