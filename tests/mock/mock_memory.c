/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory as a front-end would share it. */
#include "mock_driver.h"

#include "fd.h"
#include <sys/mman.h>

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
		if (!memory->one_view)
			munmap(memory->region[i].view, memory->region[i].bytes);
		gw_fd_close(&memory->region[i].fd);
	}
	memory->count = 0;
}

void mock_memory_one_view(struct mock_memory *memory)
{
	struct mock_region *region;

	for (unsigned int i = 0; i < memory->count; i++) {
		region = &memory->region[i];
		munmap(region->view, region->bytes);
		region->view = memmap_translate(memory->memmap, region->guest_addr, region->bytes);
		MOCK_CHECK(region->view);
	}
	memory->one_view = true;
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
