/* SPDX-License-Identifier: BSD-2-Clause */
/* Buffers of one chain, as they are found, become segments: the part that all rings share. */
#pragma once

#include "ring.h"

struct walk {
	const struct gw_memmap *memmap;
	struct ring_chain *chain; /* counts and bytes are added up here */
	struct iovec *seg;
	unsigned int count, max;
};

/*
 * One buffer of the guest, its numbers copied from the descriptor before. 0, or
 * the rule that it breaks.
 */
enum ring_fault walk_add(struct walk *walk, uint64_t addr, uint32_t len, bool writable);
/* A copy of guest memory that may cross regions which touch; false if it is not all there. */
bool walk_copy(const struct walk *walk, void *dst, uint64_t addr, uint64_t len);
