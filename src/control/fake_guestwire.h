/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests: a context without an engine, whose snapshot the test writes. */
#pragma once

#include <guestwire/guestwire.h>

struct gw_context {
	struct gw_snapshot snapshot;
	int take_rc; /* what gw_snapshot_take returns */
	unsigned int taken, freed;
};

/* A guest that lent to an xdp port and was copied to a packet port; names in the tests. */
void fake_context_fill(struct gw_context *context);
