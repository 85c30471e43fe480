/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests: a context without an engine, whose snapshot the test writes. */
#pragma once

#include <guestwire/guestwire.h>
#include <guestwire/trace.h>

struct gw_context {
	struct gw_snapshot snapshot;
	int take_rc; /* what gw_snapshot_take returns */
	unsigned int taken, freed;
	int move_rc; /* what gw_move returns */
	unsigned int moved_pair, moved_to;
	/* What a trace reads: event i is fake_event(i), up to `events`; and how many were lost. */
	uint64_t events, lost;
	unsigned int traces; /* that are on; at most GW_TRACES_MAX */
};

struct gw_trace_event fake_event(uint64_t i);

/* A guest that lent to an xdp port and was copied to a packet port; names in the tests. */
void fake_context_fill(struct gw_context *context);
