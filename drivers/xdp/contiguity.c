/* SPDX-License-Identifier: BSD-2-Clause */
#include "contiguity.h"

#include "fd.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* Transparent huge pages of shared memory; the window is aligned to it. */
#define HUGE_BYTES (2u << 20)

/* linux/fs.h, Linux 6.7. */
struct scan_region {
	uint64_t start, end, categories;
};

struct scan_request {
	uint64_t size, flags, start, end, walk_end;
	uint64_t vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define PAGEMAP_SCAN_REQUEST _IOWR('f', 16, struct scan_request)
#define SCAN_IS_HUGE         (1 << 6)

bool contiguity_translated(const struct netdev_info *netdev)
{
	char path[128], type[16] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group/type", netdev->bus);
	file = netdev->bus[0] ? fopen(path, "re") : NULL;
	if (!file)
		return false;
	if (!fgets(type, sizeof(type), file))
		type[0] = 0;
	fclose(file);
	/* "DMA", "DMA-FQ"; else "identity". */
	return !strncmp(type, "DMA", 3);
}

/* True if no page of the range is mapped as a small one. False if the kernel does not tell. */
static bool all_huge(uintptr_t from, uintptr_t to)
{
	struct scan_region small;
	struct scan_request request = {
		.size = sizeof(request),
		.start = from,
		.end = to,
		.vec = (uintptr_t)&small,
		.vec_len = 1,
		.max_pages = 1,
		.category_inverted = SCAN_IS_HUGE,
		.category_mask = SCAN_IS_HUGE,
		.return_mask = SCAN_IS_HUGE,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), found = -1;

	if (fd >= 0)
		found = ioctl(fd, PAGEMAP_SCAN_REQUEST, &request);
	gw_fd_close(&fd);
	return !found && request.walk_end == to;
}

uint32_t contiguity_of_window(const struct gw_window *window)
{
	uintptr_t from = (uintptr_t)window->base + window->arena_bytes;
	uintptr_t to = (uintptr_t)window->base + window->len;

	if (window->page_bytes > CONTIGUOUS_BYTES_LEAST)
		return (uint32_t)window->page_bytes;
	if (from % HUGE_BYTES || to % HUGE_BYTES || !all_huge(from, to))
		return CONTIGUOUS_BYTES_LEAST;
	return HUGE_BYTES;
}
