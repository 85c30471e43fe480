/* SPDX-License-Identifier: BSD-2-Clause */
/* Buffers of one chain, as they are found, become segments: the part that all rings share. */
#pragma once

#include "ring.h"

struct walk {
	struct ring *ring;
	struct ring_chain *chain; /* counts and bytes are added up here */
	struct iovec *seg;
	unsigned int count, max;
};

/*
 * One buffer of the guest, its numbers copied from the descriptor before. 0, the rule
 * that it breaks, or RING_MISSING.
 */
enum ring_fault walk_add(struct walk *walk, uint64_t addr, uint32_t len, bool writable);
/*
 * An indirect table: 16 bytes for each descriptor in all layouts. It is read where it
 * lies, each descriptor once, so that it can change under us without harm.
 */
struct walk_table {
	const uint8_t *at; /* NULL: it does not lie in one piece */
	uint64_t addr;
	uint32_t count;
};

#define WALK_TABLE_ENTRY_BYTES 16u

enum ring_fault walk_open_table(struct walk *walk, struct walk_table *table, uint64_t addr,
				uint32_t len);
/* Descriptor i < count. */
enum ring_fault walk_read_table(struct walk *walk, const struct walk_table *table, uint32_t i,
				void *desc);
