/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rig of a guest behind an IOMMU: I/O addresses begin far from guest physical ones,
 * and pages are mapped one by one, some of them not in their order.
 *
 * The driver is there from the beginning; the ring is when a test opens it.
 */
#pragma once

#include "ring_test_rig.h"

#include "iotlb.h"

#define PAGE            4096ull
#define IOVA_RING_SIZE  256u
#define IOVA_RING_BYTES 0x4000ull

/* Where the ring (RIG_RING), and a run of pages of buffers, appear to the device. */
#define RING_IOVA   0xfe00000000ull
#define BUFFER_IOVA 0xffff0000ull
#define NOWHERE     0x123456789000ull /* no address of the front-end */

/* cmocka's, as those of rig. */
int iova_setup(void **state);
int iova_setup_event(void **state); /* with EVENT_IDX */
int iova_teardown(void **state);

struct ring_config iova_config(const struct rig *rig);
void iova_open(struct rig *rig);

/* What the front-end says; the ring hears of it, if there is one. */
void iova_map(struct rig *rig, uint64_t iova, uint64_t guest_addr, uint64_t size, uint8_t access);
void iova_map_user(struct rig *rig, uint64_t iova, uint64_t user_addr, uint64_t size,
		   uint8_t access);
void iova_unmap(struct rig *rig, uint64_t iova, uint64_t size);
void iova_map_ring(struct rig *rig);

/* The ring waits for this address and says nothing else; or waits for none. */
void iova_misses(struct rig *rig, uint64_t iova, uint8_t access);
void iova_misses_nothing(struct rig *rig);

/* A chain of one buffer, published. */
void iova_offer(struct rig *rig, uint64_t iova, uint32_t len, bool writable);

/* clang-format off */
#define IOVA_TEST_WITH(fn, setup) \
	cmocka_unit_test_setup_teardown(fn, setup, iova_teardown), \
	{ #fn " (packed)", fn, setup, iova_teardown, "packed" }
#define IOVA_TEST(fn) IOVA_TEST_WITH(fn, iova_setup)
/* clang-format on */
