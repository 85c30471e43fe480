/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's side of a ring, split or packed, for tests, fuzzing and benchmarks.
 *
 * Memory is one memfd for each region, mapped a second time as the guest's own
 * view, and a memmap made from the descriptors, as a front-end would have it.
 * Nothing here shares code with the ring under test: it follows VIRTIO 1.2
 * sections 2.7 and 2.8 from the driver's side, and tests can reach past it and
 * write whatever they like (mock_desc, mock_at).
 *
 * A packed ring has no table in which chains could be prepared: they are prepared in
 * private memory, in the form of split ones, and mock_offer writes them into the
 * ring. The "head" is the buffer id then, and chains may be offered in any order,
 * and again and again, on both.
 *
 * What goes wrong in here is a bug of the test: it aborts.
 */
#pragma once

#include "memmap.h"
#include "ring.h"
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Also in builds without assert. */
#define MOCK_CHECK(cond)                                                           \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond); \
			abort();                                                   \
		}                                                                  \
	} while (0)

#define MOCK_REGIONS_MAX 4u
/* Where the front-end's view of guest address x lies, as far as the memmap is told. */
#define MOCK_USER_OFFSET 0x7f0000000000ull

struct mock_region {
	uint64_t guest_addr;
	uint64_t bytes; /* whole pages */
	int fd;         /* set by mock_memory_open */
	uint8_t *view;  /* the guest's */
};

struct mock_memory {
	struct mock_region region[MOCK_REGIONS_MAX];
	unsigned int count;
	struct gw_memmap *memmap;
	bool one_view; /* mock_memory_one_view */
};

/* Regions with guest_addr and bytes filled in. arena: as for memmap_create. */
void mock_memory_open(struct mock_memory *memory, const struct mock_region *regions,
		      unsigned int count, struct memmap_arena arena);
void mock_memory_close(struct mock_memory *memory);
/*
 * From now on the guest's view is the memmap's own, so that ThreadSanitizer sees both
 * sides of a ring at one address. Before mock_driver_open.
 */
void mock_memory_one_view(struct mock_memory *memory);
/* The guest's view of an address. */
void *mock_at(const struct mock_memory *memory, uint64_t guest_addr);
/* Copies, byte by byte if need be, over regions that touch. */
void mock_write(const struct mock_memory *memory, uint64_t guest_addr, const void *from,
		size_t len);

struct mock_buffer {
	uint64_t addr;
	uint32_t len;
	bool writable;
};

struct mock_driver {
	struct mock_memory *memory;
	uint32_t size;
	uint64_t features;
	uint64_t desc_addr, avail_addr, used_addr; /* guest addresses */
	bool packed;
	struct vring_desc *desc; /* packed: private */
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t avail_next;  /* entries written */
	uint16_t avail_shown; /* entries published */
	uint16_t used_next;   /* entries collected */
	uint16_t free_count;
	uint16_t *free_desc;  /* [size] a stack */
	uint16_t *chain_next; /* [size] private copy of next; size: last */
	bool *out;            /* [size] head is the device's */

	/* Packed only. Places as in an event area: position, wrap counter in bit 15. */
	struct vring_packed_desc *slot; /* the ring */
	uint32_t *driver_event, *device_event;
	uint16_t avail_place, used_place; /* next to write, next to collect */
	uint16_t shown_place;             /* first of the batch that was not published */
	uint16_t shown_flags;             /* its flags; stored by mock_publish */
	uint16_t batch;                   /* descriptors since then */
	uint32_t *chain_len;              /* [size] descriptors, by id */
	uint16_t *chain_at;               /* [size] id, by the place of the first descriptor */
	uint32_t last_used;               /* IN_ORDER: id that ends a batch of chains; size: none */
};

/* Bytes that a ring of size descriptors takes, all three parts. */
size_t mock_ring_bytes(uint32_t size);
/*
 * A ring at guest address addr (a multiple of 16), its indices beginning at `start`,
 * packed with VIRTIO_F_RING_PACKED. There start is a place, and MOCK_PLACE_FIRST that
 * of a new ring.
 */
#define MOCK_PLACE_FIRST 0x8000u
void mock_driver_open(struct mock_driver *driver, struct mock_memory *memory, uint32_t size,
		      uint64_t addr, uint64_t features, uint16_t start);
void mock_driver_close(struct mock_driver *driver);
/* What the front-end would tell the device. */
struct ring_config mock_driver_config(const struct mock_driver *driver);

/* A chain in the descriptor table; the head, or -1: not enough free descriptors. */
int mock_chain(struct mock_driver *driver, const struct mock_buffer *buffers, unsigned int count);
/*
 * The same with the buffers from number `direct` on in an indirect table at table_addr
 * (0 <= direct < count).
 */
int mock_chain_indirect(struct mock_driver *driver, const struct mock_buffer *buffers,
			unsigned int count, unsigned int direct, uint64_t table_addr);
/*
 * Writes head into the available ring, or its chain into the packed ring; the device
 * sees it after mock_publish.
 */
void mock_offer(struct mock_driver *driver, uint16_t head);
/* Stores the available index, or the first flags of the batch. True if the device wants a kick. */
bool mock_publish(struct mock_driver *driver);
/* The next used entry; frees the chain's descriptors. False: none. */
bool mock_collect(struct mock_driver *driver, uint16_t *head, uint32_t *written_bytes);
/*
 * Asks for an interrupt at the next used entry; true if there is one already. And
 * the opposite.
 */
bool mock_want_interrupt(struct mock_driver *driver);
void mock_no_interrupt(struct mock_driver *driver);

/* A descriptor, to be spoilt. */
struct vring_desc *mock_desc(struct mock_driver *driver, uint16_t index);
