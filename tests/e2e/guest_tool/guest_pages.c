/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Documentation/admin-guide/mm/pagemap.rst: bit 63 present, bits 0 to 54 the frame. */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_FRAME   ((1ull << 55) - 1)

void *pages_alloc(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED || mlock(memory, bytes) < 0)
		die("%zu bytes of memory: %s", bytes, strerror(errno));
	return memory;
}

void pages_fill(void *memory, size_t bytes, uint64_t seed, uint64_t first_word)
{
	uint64_t *word = memory;

	for (size_t i = 0; i < bytes / sizeof(*word); i++)
		word[i] = seed << 48 | (first_word + i);
}

uint64_t pages_frame(const void *address)
{
	uint64_t entry = 0, page = (uintptr_t)address / (size_t)sysconf(_SC_PAGESIZE);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		die("/proc/self/pagemap: %s", strerror(errno));
	n = pread(fd, &entry, sizeof(entry), (off_t)(page * sizeof(entry)));
	close(fd);
	if (n != sizeof(entry) || !(entry & PAGEMAP_PRESENT) || !(entry & PAGEMAP_FRAME))
		die("/proc/self/pagemap does not say where page %#" PRIx64 " is", page);
	return entry & PAGEMAP_FRAME;
}

void pages_print(const void *memory, size_t bytes)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

	for (size_t offset = 0; offset < bytes; offset += page_bytes)
		printf("page offset=%zu gfn=%#" PRIx64 "\n", offset,
		       pages_frame((const char *)memory + offset));
}
