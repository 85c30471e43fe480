/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One region of a memory table: what was said about it, and the file behind it. Of
 * this folder only.
 */
#pragma once

#include "memmap.h"
#include <sys/types.h>

/* Filled by backing_open and, for map, by memmap.c. Immutable then, but for blocks. */
struct backing {
	struct memmap_region given; /* fd is our own, or another region's */
	bool shares_fd;             /* another region's: see backing_share */
	dev_t dev;
	ino_t ino;
	uint64_t page_bytes;
	uint64_t map_offset; /* in the file: whole pages around the region */
	uint64_t map_len;
	uint8_t *map;
	bool file_backed;   /* neither hugetlbfs nor tmpfs (which memfds are) */
	bool first_of_file; /* blocks are counted once for each file */
	uint64_t blocks;    /* last seen; by memmap's blocks_lock */
};

/*
 * Checks the numbers and the file of region number i (which is for the text).
 * After a failure, backing_close is allowed and needed.
 */
int backing_open(struct backing *backing, const struct memmap_region *given, unsigned int i,
		 struct gw_error *err);
void backing_close(struct backing *backing);
/*
 * Gives up its own descriptor for that of a region of the same file, opened the same
 * way, if `other` is one: a front-end with hundreds of regions in one file, as QEMU with
 * memory slots, would use up the process's descriptors. False if it is another file.
 */
bool backing_share(struct backing *backing, const struct backing *other);
/* The same numbers, and a descriptor of the same file. */
bool backing_same(const struct backing *backing, const struct memmap_region *region);
/* Where in its map the region begins. */
uint8_t *backing_host(const struct backing *backing);
/* Its pages are there in microseconds, or those of a local disk: fstatfs of a descriptor. */
struct statfs;
bool backing_is_prompt(const struct statfs *fs);
/*
 * Bytes that the file has lost since the last look; *shortened is set if it no
 * longer reaches to the end of the region.
 */
uint64_t backing_lost_bytes(struct backing *backing, bool *shortened);

/* ---- what memmap.c has for witness.c ---- */

/* The regions, in the order of the table. */
const struct backing *memmap_backing(const struct gw_memmap *memmap, unsigned int *count);
