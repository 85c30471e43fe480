/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest behind an IOMMU, in the library's process: what the tests of what is taken away,
 * and of rings that have no place, begin with. Both layouts.
 */
#pragma once

#include "rig.h"

#include "loop.h"
#include "ring.h"

#define IOMMU_LEN      1000u
#define IOMMU_LOANS    20u
/*
 * Receive buffers. While a ring has seen no more than these, each further one is asked for at
 * once; beyond, when half of what it saw is used (ring_look_due), which nobody could wait for
 * before a frame comes.
 */
#define IOMMU_BUFFERS  (RING_AHEAD_MAX / 2)
/* Longer than an answer takes that waits for nothing; it is not waited for where it comes. */
#define IOMMU_SHORT_MS 20u

struct iommu_rig {
	struct rig rig;
	struct vm vm;
	struct loop *loop;
	uint64_t first_addr; /* of what the device holds: page by page */
};

extern const char *const iommu_device_ports[];
extern const char *const iommu_stubborn_ports[];
extern const char *const iommu_three_ports[];

/* packed: NULL, or the rings are. */
void iommu_start(struct iommu_rig *s, const char *const *ports, const void *packed);
/* The same for a test of what waits: loans have RIG_STOP_MAX_MS. */
void iommu_start_patient(struct iommu_rig *s, const char *const *ports, const void *packed);
void iommu_end(struct iommu_rig *s);
/* The device holds IOMMU_LOANS frames, each in a page of its own. */
void iommu_lend(struct iommu_rig *s);
/* Makes IOMMU_BUFFERS receive buffers available, each in a page of its own, none of them mapped. */
void iommu_offer(struct iommu_rig *s);
/* Each of them is asked for, however many were there when the ring was looked at; and mapped. */
void iommu_answer(struct iommu_rig *s);
/* So many frames come to the guest, one after the other. */
void iommu_receive(struct iommu_rig *s, unsigned int count);

/* A test with split rings, and the same with packed ones. */
#define BOTH(fn)                                                  \
	cmocka_unit_test(fn),                                     \
	{                                                         \
#fn " (packed)", fn, NULL, NULL, (void *)"packed" \
	}
