/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's RAM: one memfd, cut into regions at guest addresses as QEMU lays
 * them out: the first from 0, the others above 4 GiB with holes between them
 * (or, adjacent, without). Each region is mapped on its own, so that what is
 * contiguous for the guest need not be so for anybody else.
 *
 * Rings, tables and buffers are allocated once and never freed but with the
 * whole. Addresses: gpa is what goes into descriptors, host is our pointer, and
 * its number is what vhost-user calls the user address. Behind an IOMMU what goes into
 * descriptors are I/O addresses: the gpa of a span is then GUEST_IOVA_BASE more than
 * where it lies, so that one cannot pass for the other.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fail.h"

#define GUEST_MAX_REGIONS 509u        /* with one that is plugged; QEMU's most */
#define GUEST_LOW_BYTES   (64u << 10) /* left free: address 0 is nobody's buffer */
#define GUEST_PAGE        4096u
#define GUEST_IOVA_BASE   (1ull << 46) /* above all guest addresses */

struct guest_region {
	int fd; /* all but what is plugged have the memory's */
	uint64_t gpa;
	uint64_t size;
	uint64_t offset; /* in the file */
	uint8_t *host;
	uint64_t used;
};

struct guest_memory {
	int fd;
	uint64_t size;
	uint32_t region_count;
	uint32_t next_region; /* the next allocation is tried here */
	bool plugged;         /* the last region may go again */
	uint64_t iova_base;   /* of spans: 0, or GUEST_IOVA_BASE */
	struct guest_region regions[GUEST_MAX_REGIONS];
};

struct guest_memory_config {
	uint64_t size; /* rounded up to 2 MiB per region */
	uint32_t region_count;
	bool adjacent;
	bool hugetlb;
	bool seal; /* against shrinking and growing, as QEMU does */
	bool iommu;
};

struct guest_span {
	uint8_t *host;
	uint64_t gpa;
};

int guest_memory_open(struct guest_memory *memory, const struct guest_memory_config *config,
		      struct fail *fail);
void guest_memory_close(struct guest_memory *memory);

/* align: a power of two. Successive calls go round the regions. */
int guest_memory_alloc(struct guest_memory *memory, uint64_t size, uint64_t align,
		       struct guest_span *span, struct fail *fail);

/*
 * One region more, behind all others, of a file of its own; nothing is allocated there.
 * Each of `of` users has its part of it. unplug unmaps it.
 */
int guest_memory_plug(struct guest_memory *memory, uint64_t size, struct fail *fail);
struct guest_span guest_memory_plugged(const struct guest_memory *memory, uint32_t user,
				       uint32_t of, uint64_t *bytes);
void guest_memory_unplug(struct guest_memory *memory);
