/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memmaps: guest memory, mapped side by side in one reserved window.
 *
 * A memmap is immutable and counted. It is made from the file descriptors of
 * one memory table, lives as long as anything holds it (the session, a ring, a
 * port it was mapped for, loans), and is never changed: new memory is a new
 * memmap with a new generation.
 *
 * The window, one contiguous range without holes, so that it can be registered
 * as one AF_XDP UMEM:
 *
 *     base                                                       base + len
 *     | private arena (second view) | region 0 | region 1 | ... |
 *     '-------- arena_bytes --------'
 *
 * base is chosen such that the first region begins at a multiple of its page
 * size; regions with the larger pages come first, each mapped with the whole
 * pages around it, so that no gap is left between them.
 *
 * This is the only place that turns an address of the guest into a pointer.
 */
#pragma once

#include <guestwire/driver.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Limit of regions in one memmap: as many memory slots as KVM's oldest limit leaves to
 * a front-end, which is what QEMU asks for at most (vhost-user, GET_MAX_MEM_SLOTS).
 */
#define MEMMAP_REGIONS_MAX 509u

/* One region as the front-end describes it. */
struct memmap_region {
	uint64_t guest_addr;  /* guest physical */
	uint64_t size;        /* bytes */
	uint64_t user_addr;   /* the front-end's virtual address: rings are named by it */
	uint64_t mmap_offset; /* of the first byte in fd */
	int fd;               /* borrowed: the memmap duplicates it */
};

/* The part of a memmap that is the arena's second view; {-1, 0}: none. */
struct memmap_arena {
	int fd;
	size_t bytes; /* a multiple of 2 MiB or of the page size */
};

/*
 * Checks (size 0, overflow, beyond the end of the file, overlap, no fd, too
 * many), maps, and returns a memmap with one reference. -EINVAL, -ENOMEM, or
 * what mmap said, with a text. The regions' fds stay the caller's.
 * Threads: control.
 */
int memmap_create(const struct memmap_region *regions, unsigned int count,
		  struct memmap_arena arena, struct gw_memmap **memmap, struct gw_error *err);
struct gw_memmap *memmap_get(struct gw_memmap *memmap);
/* The last put unmaps: control threads only. NULL is fine. */
void memmap_put(struct gw_memmap *memmap);

/* True if it was made from the same table: same regions, and fds of the same files. */
bool memmap_same(const struct gw_memmap *memmap, const struct memmap_region *regions,
		 unsigned int count);

/*
 * What it was made from, in that order, with the memmap's own descriptors (borrowed).
 * Room for MEMMAP_REGIONS_MAX; returns how many.
 */
unsigned int memmap_regions(const struct gw_memmap *memmap, struct memmap_region *regions);

/*
 * The translator: len bytes at guest physical address addr, as a pointer, if all
 * of them lie in one region; NULL otherwise. memmap_translate_part gives the
 * longest prefix instead (*part, >= 1), for ranges that cross regions which
 * touch. Threads: any that holds a reference; workers per frame.
 */
void *memmap_translate(const struct gw_memmap *memmap, uint64_t addr, uint64_t len);
void *memmap_translate_part(const struct gw_memmap *memmap, uint64_t addr, uint64_t len,
			    uint64_t *part);
/*
 * The region that an address was found in, for who translates many of which most lie in one:
 * without a call, and without a look at the others. All zero: none. Good as long as the memmap.
 */
struct memmap_range {
	uint64_t guest_addr, size;
	uint8_t *host;
};

static inline void *memmap_in_range(const struct memmap_range *range, uint64_t addr, uint64_t len)
{
	uint64_t offset = addr - range->guest_addr;

	/* An address below the range makes the difference wrap to more than any size. */
	return offset < range->size && len <= range->size - offset ? range->host + offset : NULL;
}

/* False: it is in none, and *range is what it was. */
bool memmap_range_of(const struct gw_memmap *memmap, uint64_t addr, struct memmap_range *range);
/* The same for addresses of the front-end's process (ring addresses, and behind an IOTLB). */
void *memmap_translate_user(const struct gw_memmap *memmap, uint64_t user_addr, uint64_t len);
void *memmap_translate_user_part(const struct gw_memmap *memmap, uint64_t user_addr, uint64_t len,
				 uint64_t *part);

/*
 * The way back, for people: the guest physical address of a byte; false if it is no
 * guest memory (the arena's part of the window). Threads: as memmap_translate.
 */
bool memmap_guest_address(const struct gw_memmap *memmap, const void *host, uint64_t *addr);
/*
 * The same for len bytes: how many of them (*part, >= 1) follow in guest physical memory.
 * Regions lie side by side in the window, and need not where the guest sees them.
 */
bool memmap_guest_range(const struct gw_memmap *memmap, const void *host, uint64_t len,
			uint64_t *addr, uint64_t *part);

/* Which byte of which file it is: that of the same guest in another process, too. */
struct memmap_origin {
	uint64_t dev, ino, offset;
};

/* False if it is no guest memory. Threads: as memmap_translate. */
bool memmap_origin(const struct gw_memmap *memmap, const void *host, struct memmap_origin *origin);

/*
 * The front-end shortened a file: an access met SIGBUS and got zero pages, or
 * memmap_discarded_bytes saw it (system calls that meet such a page only return
 * EFAULT). The session that owns this memmap has to end. Threads: any.
 */
bool memmap_broken(const struct gw_memmap *memmap);
/*
 * Bytes of backing that have disappeared since the memmap was made (balloon,
 * free-page reporting), all falls added up, never less than before: who pins
 * pages notes it before pinning; more at a later look means stale pages. A fall
 * that was filled up again between two looks is seen by witnesses only (witness.h).
 * Threads: any, blocking.
 */
uint64_t memmap_discarded_bytes(struct gw_memmap *memmap);
/* Bytes of guest memory, all regions. */
uint64_t memmap_guest_bytes(const struct gw_memmap *memmap);

/* Installs a SIGBUS handler that calls memmap_fault and else the one before it. 0 or -errno. */
int memmap_install_sigbus(void);
/*
 * Async-signal-safe: if address lies in a memmap's guest part, maps zero pages over
 * that region, marks the memmap broken and returns true.
 */
bool memmap_fault(void *address);
