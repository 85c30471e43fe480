/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring of ring_sink's: what is available in it becomes used, and that is all.
 *
 * No descriptor's address is read. It trusts who fills the ring.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sink_ring {
	uint32_t size;
	bool packed;
	/* desc, avail and used of a split ring; a packed one, and its two events */
	void *desc, *driver, *device;
	uint16_t next; /* split: index; packed: slot */
	bool wrap;
};

void sink_ring_start(struct sink_ring *ring, uint32_t base);
uint32_t sink_ring_base(const struct sink_ring *ring);
/* Split: chains that are available; these many become used, of len bytes each. */
uint16_t sink_ring_has(const struct sink_ring *ring);
void sink_ring_take(struct sink_ring *ring, uint16_t count, uint32_t len);
/* Packed: all chains become used, none with bytes in it; returns how many. */
uint32_t sink_ring_take_packed(struct sink_ring *ring, bool in_order);
