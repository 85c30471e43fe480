/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending by runs: a load of frames that are the same all the time, each in one descriptor.
 * They were written once, before the first is sent; what is left to do for each is a
 * descriptor, an entry of the ring, and the ring's books.
 *
 * What wants a look at each frame (a sequence number, its address in the log, a table, memory
 * that comes and goes, another frame in its place) goes one by one, in guest_nic.c.
 *
 * Receive buffers of one descriptor are always offered again by runs (guest_nic_receive.c).
 */
#include "guest_nic_inside.h"

#include <errno.h>
#include <stdlib.h>

#define RUN_MAX 256u /* completions of one visit */

static bool all_alike(const struct guest_nic *nic)
{
	const struct guest_options *o = nic->options;

	if (!o->send_given || o->pattern != GUEST_PATTERN_FIXED)
		return false;
	return guest_nic_pieces_max(nic) == 1 && !o->addresses && !o->scribble && !o->plug_ms &&
	       !o->rewrite_given;
}

static bool in_one_descriptor(const struct guest_nic *nic, const struct nic_side *side)
{
	return side->shape.pieces_high == 1 &&
	       !(nic->indirect && nic->options->indirect == INDIRECT_ALWAYS);
}

/* Of slots whose segments are there for good. */
static int make_plain(struct nic_side *side, struct fail *fail)
{
	side->plain = calloc(side->ring.size, sizeof(*side->plain));
	if (!side->plain)
		return fail_set(fail, -ENOMEM, "no memory for %u slots", side->ring.size);
	for (uint32_t i = 0; i < side->ring.size; i++) {
		const struct ring_segment *only = side->slots[i].segments;

		side->plain[i] = (struct ring_plain){ only->gpa, only->len };
	}
	return 0;
}

int guest_nic_prepare_runs(struct guest_nic *nic, struct fail *fail)
{
	int rc = 0;

	if (in_one_descriptor(nic, &nic->rx))
		rc = make_plain(&nic->rx, fail);
	if (rc || !in_one_descriptor(nic, &nic->tx) || !all_alike(nic))
		return rc;
	for (uint32_t i = 0; i < nic->tx.ring.size; i++)
		guest_nic_build_fixed(nic, i);
	return make_plain(&nic->tx, fail);
}

uint32_t guest_nic_send_run(struct guest_nic *nic, uint32_t limit)
{
	struct nic_side *tx = &nic->tx;
	uint32_t count = tx->free_count < limit ? tx->free_count : limit;

	/* As many slots as descriptors: there is room. */
	tx->free_count -= count;
	nic->sent_bytes +=
		driver_ring_add_run(&tx->ring, tx->plain, &tx->free[tx->free_count], count, false) -
		count * nic->header_len;
	nic->sent += count;
	nic->sent_pieces += count;
	return count;
}

uint32_t guest_nic_reap_run(struct guest_nic *nic)
{
	struct nic_side *tx = &nic->tx;
	uint32_t lens[RUN_MAX], set = 0, count;

	count = driver_ring_reap_run(&tx->ring, &tx->free[tx->free_count], lens, RUN_MAX);
	for (uint32_t i = 0; i < count; i++)
		set += lens[i] != 0;
	tx->free_count += count;
	nic->completed += count;
	nic->tx_used_len_set += set;
	return count;
}
