/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * I/O addresses of a guest behind an IOMMU (vhost-user, "IOMMU support"; features
 * with VIRTIO_F_ACCESS_PLATFORM).
 *
 * An iotlb is an immutable, counted table of ranges, sorted by I/O address: control
 * makes a new one for each update or invalidation and hands it to the worker. A
 * range maps I/O addresses to addresses of the front-end's process (as ring
 * addresses are), with the permission to read, to write, or both. What is not in the
 * table is a miss: control asks the front-end for it, and the ring waits.
 */
#pragma once

#include <guestwire/error.h>
#include <stdbool.h>
#include <stdint.h>

struct gw_memmap;
struct iotlb;

/* Ranges of one table; beyond it the oldest go, which costs a miss later. */
#define IOTLB_RANGES_MAX 2048u
/* The least that an answer to a miss maps: a page of the IOMMU. */
#define IOTLB_PAGE_BYTES 4096u

enum iotlb_access { IOTLB_READ = 1, IOTLB_WRITE = 2, IOTLB_READ_WRITE = 3 };

struct iotlb_range {
	uint64_t iova, size, user_addr;
	uint8_t access; /* enum iotlb_access, bits */
};

/* What a ring could not translate. */
struct iotlb_miss {
	uint64_t iova;
	uint8_t access;
};

/* An empty table; NULL: no memory. Control. */
struct iotlb *iotlb_create(void);
struct iotlb *iotlb_get(struct iotlb *iotlb);
void iotlb_put(struct iotlb *iotlb);
/*
 * Copies with one range more (what it overlaps is replaced), or with a range cut
 * out. NULL and a text: overflow, size 0, no access, or no memory. Control.
 */
struct iotlb *iotlb_with(const struct iotlb *iotlb, const struct iotlb_range *range,
			 struct gw_error *err);
struct iotlb *iotlb_without(const struct iotlb *iotlb, uint64_t iova, uint64_t size,
			    struct gw_error *err);
/*
 * What a table that got too long gave up when it was made: how many ranges (0 to
 * IOTLB_GIVEN_UP_MAX), and which. Nothing is told about them any more.
 */
#define IOTLB_GIVEN_UP_MAX 2u
unsigned int iotlb_given_up(const struct iotlb *iotlb, const struct iotlb_range **ranges);
unsigned int iotlb_count(const struct iotlb *iotlb);
const struct iotlb_range *iotlb_range(const struct iotlb *iotlb, unsigned int i);
/* The first range, in their order, that ends at iova or behind it; iotlb_count: none. */
unsigned int iotlb_find(const struct iotlb *iotlb, uint64_t iova);
/* Whether that address is mapped now, with that access. */
bool iotlb_answers(const struct iotlb *iotlb, const struct iotlb_miss *miss);

/*
 * The longest prefix of [iova, iova + len) that is mapped with this access and lies in
 * one piece in this process, also if several ranges make it up: a pointer and its
 * length (>= 1). NULL: nothing is; then *missing says whether the table has no range
 * there that permits it (ask for one), or the front-end named an address outside of
 * its memory (a fault). Threads: any that holds a reference.
 */
void *iotlb_translate(const struct iotlb *iotlb, const struct gw_memmap *memmap, uint64_t iova,
		      uint64_t len, uint8_t access, uint64_t *part, bool *missing);
