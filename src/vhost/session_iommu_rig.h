/* SPDX-License-Identifier: BSD-2-Clause */
/* Test support: a front-end whose guest is behind an IOMMU. */
#pragma once

#include "session_front.h"

#define PAGE     4096ull
#define IOVA     0xffff0000ull /* of ring 0; ring 1 lies RING_GAP above */
#define RING_GAP 0x10000ull
#define FEATURES (FRONT_FEATURES | 1ull << VIRTIO_F_ACCESS_PLATFORM)
#define RW       (VHOST_USER_IOTLB_READ | VHOST_USER_IOTLB_WRITE)

extern struct front front;

/* Features, memory and the channel are there; no ring, and no I/O address. */
int iommu_setup(void **state);
void iommu_give_channel(void);
/* With an answer wanted; what session_input said. */
int iommu_msg(uint8_t type, uint64_t iova, uint64_t size, uint64_t user, uint8_t access);
/* Answered at once. */
void iommu_update(uint64_t iova, uint64_t size, uint64_t user);
void iommu_invalidate(uint64_t iova, uint64_t size);
/* The last question on the channel; how many there were. */
unsigned int iommu_asked(struct message_iotlb *miss);
void iommu_set_ring(uint32_t index);
/* Both, and all that they need is mapped. */
void iommu_start_rings(void);
