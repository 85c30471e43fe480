/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REGION_ALIGN (2ull << 20) /* one hugepage */
#define HIGH_GPA     (4ull << 30) /* QEMU puts RAM above its PCI hole here */
#define HOLE_BYTES   (16ull << 20)

static uint64_t align_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

static int make_file(struct guest_memory *memory, const struct guest_memory_config *config,
		     struct fail *fail)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;

	if (config->hugetlb)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	memory->fd = memfd_create("guestwire-guest", flags);
	if (memory->fd < 0)
		return fail_set(fail, -errno, "cannot make a memfd for guest memory: %s",
				strerror(errno));
	if (ftruncate(memory->fd, (off_t)memory->size) < 0)
		return fail_set(fail, -errno, "cannot size guest memory to %llu MiB: %s",
				(unsigned long long)(memory->size >> 20), strerror(errno));
	if (config->seal &&
	    fcntl(memory->fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return fail_set(fail, -errno, "cannot seal guest memory: %s", strerror(errno));
	return 0;
}

static int map_region(struct guest_region *region, bool hugetlb, struct fail *fail)
{
	void *at = mmap(NULL, region->size, PROT_READ | PROT_WRITE, MAP_SHARED, region->fd,
			(off_t)region->offset);

	if (at == MAP_FAILED)
		return fail_set(fail, -errno, "cannot map %llu MiB of guest memory: %s%s",
				(unsigned long long)(region->size >> 20), strerror(errno),
				hugetlb ? " (free hugepages: see /proc/meminfo)" : "");
	region->host = at;
	return 0;
}

int guest_memory_open(struct guest_memory *memory, const struct guest_memory_config *config,
		      struct fail *fail)
{
	uint64_t each = align_up(config->size / config->region_count, REGION_ALIGN);
	uint64_t gpa = 0;
	int rc;

	memset(memory, 0, sizeof(*memory));
	memory->size = each * config->region_count;
	memory->iova_base = config->iommu ? GUEST_IOVA_BASE : 0;
	rc = make_file(memory, config, fail);
	for (uint32_t i = 0; !rc && i < config->region_count; i++) {
		struct guest_region *region = &memory->regions[i];

		region->fd = memory->fd;
		region->gpa = gpa;
		region->size = each;
		region->offset = i * each;
		region->used = i ? 0 : GUEST_LOW_BYTES;
		memory->region_count++;
		rc = map_region(region, config->hugetlb, fail);
		gpa += each;
		if (!config->adjacent)
			gpa = i ? gpa + HOLE_BYTES : HIGH_GPA;
	}
	if (rc)
		guest_memory_close(memory);
	return rc;
}

void guest_memory_close(struct guest_memory *memory)
{
	guest_memory_unplug(memory);
	for (uint32_t i = 0; i < memory->region_count; i++)
		if (memory->regions[i].host)
			munmap(memory->regions[i].host, memory->regions[i].size);
	if (memory->fd >= 0)
		close(memory->fd);
	memory->region_count = 0;
	memory->fd = -1;
}

int guest_memory_alloc(struct guest_memory *memory, uint64_t size, uint64_t align,
		       struct guest_span *span, struct fail *fail)
{
	for (uint32_t tries = 0; tries < memory->region_count; tries++) {
		struct guest_region *region = &memory->regions[memory->next_region];
		uint64_t start = align_up(region->used, align);

		memory->next_region = (memory->next_region + 1) % memory->region_count;
		if (start > region->size || size > region->size - start)
			continue;
		region->used = start + size;
		span->host = region->host + start;
		span->gpa = memory->iova_base + region->gpa + start;
		return 0;
	}
	return fail_set(
		fail, -ENOMEM,
		"guest memory of %llu MiB is too small for rings and buffers; raise --memory",
		(unsigned long long)(memory->size >> 20));
}

int guest_memory_plug(struct guest_memory *memory, uint64_t size, struct fail *fail)
{
	const struct guest_region *last = &memory->regions[memory->region_count - 1];
	struct guest_region *region = &memory->regions[memory->region_count];
	int rc;

	if (memory->region_count == GUEST_MAX_REGIONS)
		return fail_set(fail, -ENOSPC, "no room for a region to be plugged");
	*region = (struct guest_region){ .fd = memfd_create("guestwire-guest-dimm", MFD_CLOEXEC),
					 .gpa = last->gpa + last->size + HOLE_BYTES,
					 .size = size,
					 .used = size };
	if (region->fd < 0 || ftruncate(region->fd, (off_t)size) < 0)
		return fail_set(fail, -errno, "cannot make a memfd for memory to be plugged: %s",
				strerror(errno));
	rc = map_region(region, false, fail);
	if (rc)
		return rc;
	memory->region_count++;
	memory->plugged = true;
	return 0;
}

struct guest_span guest_memory_plugged(const struct guest_memory *memory, uint32_t user,
				       uint32_t of, uint64_t *bytes)
{
	const struct guest_region *region = &memory->regions[memory->region_count - 1];
	uint64_t each = region->size / of & ~(uint64_t)(GUEST_PAGE - 1);

	*bytes = each;
	return (struct guest_span){ region->host + user * each, region->gpa + user * each };
}

void guest_memory_unplug(struct guest_memory *memory)
{
	struct guest_region *region;

	if (!memory->plugged)
		return;
	region = &memory->regions[--memory->region_count];
	munmap(region->host, region->size);
	close(region->fd);
	memory->plugged = false;
}
