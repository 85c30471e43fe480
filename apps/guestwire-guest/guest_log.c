/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "order.h"

#define WORD_BITS  64u
#define LOG_ALIGN  4096ull
#define PAGE_SHIFT 12 /* of the log, whatever pages the host has */

static uint64_t pages_of(const struct guest_memory *memory)
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < memory->region_count; i++) {
		const struct guest_region *r = &memory->regions[i];

		end = r->gpa + r->size > end ? r->gpa + r->size : end;
	}
	return end >> PAGE_SHIFT;
}

int guest_log_open(struct guest_log *log, const struct guest_memory *memory, struct fail *fail)
{
	memset(log, 0, sizeof(*log));
	log->bytes = (pages_of(memory) / 8 + LOG_ALIGN) & ~(LOG_ALIGN - 1);
	log->seen = calloc(1, log->bytes);
	log->must = calloc(1, log->bytes);
	log->may = calloc(1, log->bytes);
	log->fd = memfd_create("guestwire-guest-log", MFD_CLOEXEC);
	if (log->fd < 0 || ftruncate(log->fd, (off_t)log->bytes) < 0)
		return fail_set(fail, -errno, "cannot make a dirty log: %s", strerror(errno));
	log->shared = mmap(NULL, log->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, log->fd, 0);
	if (log->shared == MAP_FAILED)
		log->shared = NULL;
	if (!log->shared || !log->seen || !log->must || !log->may)
		return fail_set(fail, -ENOMEM, "no memory for a dirty log of %llu bytes",
				(unsigned long long)log->bytes);
	return 0;
}

void guest_log_close(struct guest_log *log)
{
	if (log->shared)
		munmap(log->shared, log->bytes);
	if (log->bytes && log->fd >= 0)
		close(log->fd);
	free(log->seen);
	free(log->must);
	free(log->may);
	memset(log, 0, sizeof(*log));
}

/* The log is of guest addresses, also behind an IOMMU. */
static void set_bits(const struct guest_log *log, uint64_t *bits, uint64_t gpa, uint64_t len)
{
	uint64_t last;

	gpa &= GUEST_IOVA_BASE - 1;
	last = len ? (gpa + len - 1) >> PAGE_SHIFT : 0;
	for (uint64_t page = gpa >> PAGE_SHIFT; len && page <= last && page / 8 < log->bytes;
	     page++)
		bits[page / WORD_BITS] |= 1ull << page % WORD_BITS;
}

void guest_log_must(struct guest_log *log, uint64_t gpa, uint64_t len)
{
	if (log && log->on)
		set_bits(log, log->must, gpa, len);
}

void guest_log_may(struct guest_log *log, uint64_t gpa, uint64_t len)
{
	set_bits(log, log->may, gpa, len);
}

void guest_log_take(struct guest_log *log)
{
	for (uint64_t i = 0; i < log->bytes / sizeof(*log->shared); i++)
		if (log->shared[i])
			log->seen[i] |= take_all64(&log->shared[i]);
}

struct guest_log_result guest_log_judge(struct guest_log *log)
{
	struct guest_log_result result = { 0 };

	guest_log_take(log);
	for (uint64_t i = 0; i < log->bytes / sizeof(*log->seen); i++) {
		result.written += (uint64_t)__builtin_popcountll(log->must[i]);
		result.missing += (uint64_t)__builtin_popcountll(log->must[i] & ~log->seen[i]);
		result.superfluous += (uint64_t)__builtin_popcountll(log->seen[i] & ~log->may[i]);
	}
	return result;
}
