/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a guest and its device, for either layout of ring.
 *
 * The input's first bytes choose size and features; then the layout's target makes
 * ring, tables and guest memory out of bytes, soundly more often than chance has it,
 * or leaves them as they come; the rest is a list of what guest and device do.
 *
 * Whatever the guest wrote, each chain that the ring lets through lies in guest
 * memory and adds up, each head is out at most once, a miss consumes nothing, and a
 * broken ring stays broken. Now and then the device dies with chains out and begins
 * again with its record, which a front-end may have spoilt. What does not hold aborts.
 */
#pragma once

#include "fuzz.h"
#include "mock_driver.h"
#include "ring.h"
#include <stdbool.h>
#include <stdlib.h>

#define RIG_CHECK(condition)      \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

/* Two regions that touch, and one apart. Small, so that random addresses hit the borders. */
#define RIG_LOW_BYTES   4096u
#define RIG_HIGH_BYTES  8192u
#define RIG_APART_ADDR  0x10000u
#define RIG_APART_BYTES 4096u
#define RIG_RING_ADDR   0u
#define RIG_TABLE_ADDR  (RIG_LOW_BYTES - 40u) /* the border cuts its third descriptor */
#define RIG_TABLE_LEN   8u
#define RIG_SIZE_MAX    32u

struct ring_rig {
	struct mock_driver driver;
	struct ring *ring;
	struct iotlb *iotlb; /* NULL: guest physical addresses */
	bool recorded, logged;
	uint16_t held[RIG_SIZE_MAX]; /* heads that we have popped, oldest first */
	uint32_t held_count;
	uint32_t since_push; /* of these, popped after the last push: may be unpopped */
};

/* What a layout adds. */
struct ring_rig_guest {
	uint64_t features;
	uint32_t (*size)(uint8_t any);
	uint16_t (*start)(uint8_t any, uint32_t size);
	/* Ring and table out of bytes. */
	void (*fill)(struct fuzz_input *input, struct ring_rig *rig);
	/* One thing that the guest does. */
	void (*step)(struct fuzz_input *input, struct ring_rig *rig);
};

extern struct mock_memory ring_rig_memory;

/* A target's whole work. */
int ring_rig_run(const struct ring_rig_guest *guest, const uint8_t *bytes, size_t len);

/* An address, a length and flags out of five bytes: inside of memory as a rule. */
struct rig_buffer {
	uint64_t addr;
	uint32_t len;
	uint16_t flags; /* NEXT, WRITE, INDIRECT */
};

struct rig_buffer ring_rig_buffer(struct fuzz_input *input);
/* One byte of guest memory, anywhere. */
void ring_rig_poke(struct fuzz_input *input, uint16_t where);
