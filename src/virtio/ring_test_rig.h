/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring and the guest on its other side: what the tests of rings begin with, and the
 * steps that they are made of.
 *
 * Tests of both layouts are RING_TESTs: they run on each, and rig->packed says which.
 */
#pragma once

#include "ring.h"

#include "mock_driver.h"
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define FEATURE(bit) (1ull << (bit))
#define EVENT_IDX    FEATURE(VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT     FEATURE(VIRTIO_RING_F_INDIRECT_DESC)
#define PACKED       (FEATURE(VIRTIO_F_RING_PACKED) | FEATURE(VIRTIO_F_VERSION_1))

/* Packed rings: the wrap counter in a place, and the flags of a descriptor. */
#define LAP_ONE 0x8000u
#define AVAIL   (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED    (1u << VRING_PACKED_DESC_F_USED)
#define NEXT    VRING_DESC_F_NEXT

/* Guest memory: two regions that touch, a hole, and one that ends with a 52-bit space. */
#define RIG_BORDER  0x100000ull
#define RIG_END     0x400000ull /* of the first two */
#define RIG_TOP     ((1ull << 52) - 0x100000ull)
#define RIG_TOP_END (1ull << 52)
/* Where the ring and an indirect table lie. */
#define RIG_RING    0x200000ull
#define RIG_TABLE   0x80000ull

#define RIG_RING_SIZE 8u /* where the size does not matter */

struct rig {
	struct mock_memory memory;
	struct mock_driver driver;
	struct ring *ring;
	struct iovec seg[GW_FRAME_SEGS_MAX];
	struct ring_chain chain; /* that was popped last */
	bool packed;
	/* Of ring_config, for the next ring. */
	bool reads_only;
	void *record;
	struct iotlb *iotlb; /* only of ring_iova_rig.h */
};

/* A header and a frame that nothing is wrong with. */
extern const struct mock_buffer rig_good[2];

/* cmocka's. *state: NULL, or anything for a packed ring. */
int rig_setup(void **state);
int rig_setup_ring(void **state); /* with a ring that has INDIRECT and EVENT_IDX */
int rig_teardown(void **state);

/* A new ring; or one whose indices, or places, begin elsewhere. */
void rig_open(struct rig *rig, uint32_t size, uint64_t features);
void rig_open_at(struct rig *rig, uint32_t size, uint64_t features, uint16_t start);
/* The driver goes on, with another device that begins at base. */
void rig_restart(struct rig *rig, uint32_t base);
void rig_close(struct rig *rig);

/* ---- steps: each fails the test if it is not what happens ---- */

int rig_pop(struct rig *rig); /* what ring_pop says */
/* Offers and publishes what mock_chain made; and pops it. */
void rig_offer(struct rig *rig, int head);
void rig_pass(struct rig *rig, int head);
/* A chain of rig_good; the same with a table at RIG_TABLE, whose descriptor can be spoilt. */
int rig_good_chain(struct rig *rig);
struct vring_desc *rig_indirect_chain(struct rig *rig, int *head);
struct vring_desc *rig_table_entry(struct rig *rig, unsigned int i);
/* Offers a chain of count readable buffers of 10 bytes, and does not publish it; or passes it. */
uint16_t rig_offer_some(struct rig *rig, unsigned int count);
uint16_t rig_take(struct rig *rig, unsigned int count);
/* Takes and pushes count chains of one buffer; not flushed yet. */
void rig_give(struct rig *rig, unsigned int count);

void rig_collects(struct rig *rig, uint16_t head, uint32_t written_bytes);
void rig_collects_nothing(struct rig *rig);
void rig_collect_all(struct rig *rig);

/* The next pop breaks the ring by this rule, and it stays broken. */
void rig_breaks(struct rig *rig, enum ring_fault fault);
void rig_offer_breaks(struct rig *rig, int head, enum ring_fault fault);

/* clang-format off */
#define SPLIT_TEST(fn)  cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
#define PACKED_TEST(fn) { #fn, fn, rig_setup, rig_teardown, "packed" }
#define RING_TEST(fn)   SPLIT_TEST(fn), { #fn " (packed)", fn, rig_setup, rig_teardown, "packed" }
/* Of a split ring that is there. */
#define FAULT_TEST(fn)  cmocka_unit_test_setup_teardown(fn, rig_setup_ring, rig_teardown)
/* clang-format on */
