/* SPDX-License-Identifier: BSD-2-Clause */
#include "dirty_log.h"

#include "atomic.h"
#include "backing.h"
#include "memmap.h"
#include "sigbus.h"
#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A bit for each page of 128 TiB; what a front-end can make us map is limited. */
#define DIRTY_LOG_BYTES_MAX (4ull << 30)

#define PAGES_PER_BYTE 8u

/* Immutable after dirty_log_create, but for the count of references and `missed`. */
struct dirty_log {
	struct gw_ref ref;
	uint8_t *bits;
	uint64_t pages; /* that the bitmap has room for */
	void *map;      /* whole pages around it */
	size_t map_len;
	int sigbus_slot;
	uint64_t missed; /* any worker */
};

/* ---- what the front-end sent ---- */

/* CVE-2020-10722 is the sum of both, unchecked. */
static int check_numbers(uint64_t size, uint64_t offset, struct gw_error *err)
{
	if (!size)
		return gw_error_set(err, -EINVAL, "dirty log: its size is 0");
	if (offset > UINT64_MAX - size)
		return gw_error_set(err, -EINVAL, "dirty log: offset + size overflows");
	if (size > DIRTY_LOG_BYTES_MAX)
		return gw_error_set(err, -EINVAL,
				    "dirty log of %" PRIu64 " bytes; up to %llu are possible", size,
				    DIRTY_LOG_BYTES_MAX);
	return 0;
}

static int check_file(int fd, uint64_t size, uint64_t offset, uint64_t *page_bytes,
		      struct gw_error *err)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return gw_error_sys(err, -errno, "dirty log: looking at its file");
	if (!S_ISREG(st.st_mode))
		return gw_error_set(err, -EINVAL,
				    "dirty log: its descriptor is not memory (not a regular file)");
	if (!backing_is_prompt(&fs))
		return gw_error_set(err, -EINVAL,
				    "dirty log: its file is not shared memory (memfd, tmpfs, "
				    "hugetlbfs) nor on ext4, xfs or btrfs");
	if (offset + size > (uint64_t)st.st_size)
		return gw_error_set(err, -EINVAL,
				    "dirty log: offset %" PRIu64 " + size %" PRIu64
				    " is beyond the end of its file (%" PRIu64 " bytes)",
				    offset, size, (uint64_t)st.st_size);
	*page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	if (fs.f_type == HUGETLBFS_MAGIC)
		*page_bytes = (uint64_t)fs.f_bsize;
	return 0;
}

static int map_bits(struct dirty_log *log, int fd, uint64_t size, uint64_t offset,
		    uint64_t page_bytes, struct gw_error *err)
{
	uint64_t before = offset & (page_bytes - 1);
	uintptr_t begin, end;

	/* Whole pages of the file: no overflow, the file is as long as that. */
	log->map_len = (before + size + page_bytes - 1) & ~(page_bytes - 1);
	log->map = mmap(NULL, log->map_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
			(off_t)(offset - before));
	if (log->map == MAP_FAILED)
		return gw_error_sys(err, -errno, "dirty log: mapping %" PRIu64 " bytes", size);
	log->bits = (uint8_t *)log->map + before;
	log->pages = size * PAGES_PER_BYTE;
	begin = (uintptr_t)log->map;
	end = begin + log->map_len;
	log->sigbus_slot = sigbus_enter(begin, &end, 1);
	if (log->sigbus_slot < 0)
		return gw_error_set(err, -ENOSPC,
				    "dirty log: more than %u shared mappings at one time",
				    SIGBUS_SLOTS);
	return 0;
}

/* ---- life ---- */

/* Half-built ones too. */
static void destroy(struct dirty_log *log)
{
	sigbus_leave(log->sigbus_slot);
	if (log->map != MAP_FAILED)
		munmap(log->map, log->map_len);
	free(log);
}

int dirty_log_create(int fd, uint64_t size, uint64_t offset, struct dirty_log **result,
		     struct gw_error *err)
{
	struct dirty_log *log;
	uint64_t page_bytes = 0;
	int rc = check_numbers(size, offset, err);

	if (!rc)
		rc = check_file(fd, size, offset, &page_bytes, err);
	if (rc)
		return rc;
	log = calloc(1, sizeof(*log));
	if (!log)
		return gw_error_sys(err, -ENOMEM, "dirty log");
	gw_ref_init(&log->ref);
	log->sigbus_slot = -1;
	log->map = MAP_FAILED;
	rc = map_bits(log, fd, size, offset, page_bytes, err);
	if (rc) {
		destroy(log);
		return rc;
	}
	*result = log;
	return 0;
}

struct dirty_log *dirty_log_get(struct dirty_log *log)
{
	gw_ref_get(&log->ref);
	return log;
}

void dirty_log_put(struct dirty_log *log)
{
	if (log && gw_ref_put(&log->ref))
		destroy(log);
}

/* ---- marks ---- */

/*
 * Pages first to last, both inside the bitmap. Always with an atomic OR, never only a look:
 * it is also the barrier between the write that it tells of and the front-end, who
 * takes the bit away and then copies the page.
 */
static void set_bits(struct dirty_log *log, uint64_t first, uint64_t last)
{
	uint64_t end = last / PAGES_PER_BYTE;
	uint8_t mask;

	for (uint64_t i = first / PAGES_PER_BYTE; i <= end; i++) {
		mask = 0xff;
		if (i == first / PAGES_PER_BYTE)
			mask &= (uint8_t)(0xffu << first % PAGES_PER_BYTE);
		if (i == end)
			mask &= (uint8_t)(0xffu >> (PAGES_PER_BYTE - 1 - last % PAGES_PER_BYTE));
		gw_atomic_or(&log->bits[i], mask);
	}
}

static void mark_guest(struct dirty_log *log, uint64_t addr, uint64_t len)
{
	uint64_t first = addr / DIRTY_LOG_PAGE_BYTES;
	uint64_t last = (addr + (len - 1)) / DIRTY_LOG_PAGE_BYTES;

	if (last >= log->pages) {
		gw_atomic_add(&log->missed, last - (first < log->pages ? log->pages : first) + 1);
		if (first >= log->pages)
			return;
		last = log->pages - 1;
	}
	set_bits(log, first, last);
}

void dirty_log_mark(struct dirty_log *log, const struct gw_memmap *memmap, const void *host,
		    size_t len)
{
	const uint8_t *at = host;
	uint64_t addr, part;

	while (len) {
		if (!memmap_guest_range(memmap, at, len, &addr, &part)) {
			gw_atomic_add(&log->missed, 1);
			return;
		}
		mark_guest(log, addr, part);
		at += part;
		len -= part;
	}
}

bool dirty_log_broken(const struct dirty_log *log)
{
	return sigbus_was_hit(log->sigbus_slot);
}

uint64_t dirty_log_missed(const struct dirty_log *log)
{
	return gw_load_relaxed(&log->missed);
}
