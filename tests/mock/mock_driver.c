/* SPDX-License-Identifier: BSD-2-Clause */
#include "mock_driver.h"

#include "atomic.h"
#include "fd.h"
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Also in builds without assert. */
#define MOCK_CHECK(cond)                                                           \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond); \
			abort();                                                   \
		}                                                                  \
	} while (0)

/* ---- memory ---- */

static void open_region(struct mock_region *region)
{
	region->fd = gw_memfd("mock-guest", region->bytes);
	MOCK_CHECK(region->fd >= 0);
	region->view = mmap(NULL, region->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, region->fd, 0);
	MOCK_CHECK(region->view != MAP_FAILED);
}

void mock_memory_open(struct mock_memory *memory, const struct mock_region *regions,
		      unsigned int count, struct memmap_arena arena)
{
	struct memmap_region table[MOCK_REGIONS_MAX];
	struct gw_error err;

	MOCK_CHECK(count <= MOCK_REGIONS_MAX);
	*memory = (struct mock_memory){ .count = count };
	for (unsigned int i = 0; i < count; i++) {
		memory->region[i] = regions[i];
		open_region(&memory->region[i]);
		table[i] = (struct memmap_region){
			.guest_addr = regions[i].guest_addr,
			.size = regions[i].bytes,
			.user_addr = MOCK_USER_OFFSET + regions[i].guest_addr,
			.fd = memory->region[i].fd,
		};
	}
	if (memmap_create(table, count, arena, &memory->memmap, &err)) {
		fprintf(stderr, "memmap_create: %s\n", err.text);
		abort();
	}
}

void mock_memory_close(struct mock_memory *memory)
{
	memmap_put(memory->memmap);
	for (unsigned int i = 0; i < memory->count; i++) {
		munmap(memory->region[i].view, memory->region[i].bytes);
		gw_fd_close(&memory->region[i].fd);
	}
	memory->count = 0;
}

void *mock_at(const struct mock_memory *memory, uint64_t guest_addr)
{
	const struct mock_region *region;

	for (unsigned int i = 0; i < memory->count; i++) {
		region = &memory->region[i];
		if (guest_addr >= region->guest_addr &&
		    guest_addr - region->guest_addr < region->bytes)
			return region->view + (guest_addr - region->guest_addr);
	}
	MOCK_CHECK(!"address is guest memory");
	return NULL;
}

void mock_write(const struct mock_memory *memory, uint64_t guest_addr, const void *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		*(uint8_t *)mock_at(memory, guest_addr + i) = ((const uint8_t *)from)[i];
}

void mock_read(const struct mock_memory *memory, uint64_t guest_addr, void *to, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)to)[i] = *(uint8_t *)mock_at(memory, guest_addr + i);
}

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

void mock_driver_open(struct mock_driver *driver, struct mock_memory *memory, uint32_t size,
		      uint64_t addr, uint64_t features, uint16_t start)
{
	*driver = (struct mock_driver){
		.memory = memory,
		.size = size,
		.features = features,
		.desc_addr = addr,
		.avail_addr = addr + 16ull * size,
		.used_addr = addr + used_offset(size),
		.avail_next = start,
		.avail_shown = start,
		.used_next = start,
		.free_desc = calloc(size, sizeof(uint16_t)),
		.chain_next = calloc(size, sizeof(uint16_t)),
		.out = calloc(size, sizeof(bool)),
	};
	MOCK_CHECK(driver->free_desc && driver->chain_next && driver->out);
	memset(mock_at(memory, addr), 0, mock_ring_bytes(size));
	driver->desc = mock_at(memory, driver->desc_addr);
	driver->avail = mock_at(memory, driver->avail_addr);
	driver->used = mock_at(memory, driver->used_addr);
	driver->avail->idx = start;
	driver->used->idx = start;
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
}

struct ring_config mock_driver_config(const struct mock_driver *driver)
{
	return (struct ring_config){
		.memmap = driver->memory->memmap,
		.size = driver->size,
		.desc_addr = MOCK_USER_OFFSET + driver->desc_addr,
		.avail_addr = MOCK_USER_OFFSET + driver->avail_addr,
		.used_addr = MOCK_USER_OFFSET + driver->used_addr,
		.base = driver->avail_shown,
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
	for (unsigned int i = 0; i < entries; i++) {
		desc = buffer_desc(&buffers[direct + i]);
		if (i + 1 < entries) {
			desc.flags |= VRING_DESC_F_NEXT;
			desc.next = (uint16_t)(i + 1);
		}
		mock_write(driver->memory, table_addr + i * sizeof(desc), &desc, sizeof(desc));
	}
	return direct ? head : index;
}

/* ---- offering and collecting ---- */

void mock_offer(struct mock_driver *driver, uint16_t head)
{
	driver->avail->ring[driver->avail_next % driver->size] = head;
	driver->avail_next++;
	if (head < driver->size)
		driver->out[head] = true;
}

bool mock_publish(struct mock_driver *driver)
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

bool mock_collect(struct mock_driver *driver, uint16_t *head, uint32_t *written_bytes)
{
	const struct vring_used_elem *elem;
	uint16_t i, next;

	if (gw_load_acquire(&driver->used->idx) == driver->used_next)
		return false;
	elem = &driver->used->ring[driver->used_next % driver->size];
	MOCK_CHECK(elem->id < driver->size && driver->out[elem->id]);
	driver->used_next++;
	*head = (uint16_t)elem->id;
	*written_bytes = elem->len;
	driver->out[*head] = false;
	for (i = *head; i != driver->size; i = next) {
		next = driver->chain_next[i];
		driver->free_desc[driver->free_count++] = i;
	}
	return true;
}

bool mock_want_interrupt(struct mock_driver *driver)
{
	if (has(driver, VIRTIO_RING_F_EVENT_IDX))
		gw_store_relaxed(&driver->avail->ring[driver->size], driver->used_next);
	else
		gw_store_relaxed(&driver->avail->flags, 0);
	gw_fence();
	return gw_load_acquire(&driver->used->idx) != driver->used_next;
}

void mock_no_interrupt(struct mock_driver *driver)
{
	/* With EVENT_IDX: an index that has just gone by. */
	if (has(driver, VIRTIO_RING_F_EVENT_IDX))
		gw_store_relaxed(&driver->avail->ring[driver->size],
				 (uint16_t)(driver->used_next - 1));
	else
		gw_store_relaxed(&driver->avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
}
