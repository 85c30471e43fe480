/* SPDX-License-Identifier: BSD-2-Clause */
/* What misdeeds in rings of both kinds are made of. */
#pragma once

#include "misbehave.h"

#define NEXT     VRING_DESC_F_NEXT
#define WRITE    VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define NOWHERE  (1ull << 46) /* no region is there */
#define FRAME    60u
#define FULL     (NIC_HEADER_BYTES + FRAME)
#define TABLE_AT 65536u /* an indirect table, in the scratch memory */
#define TURNS    20000u

/* Guest memory for the misdeed: a good header and frame at its start. */
struct guest_span misdeed_scratch(struct guest_run *run);

static inline struct driver_ring *misdeed_tx_ring(struct guest_run *run)
{
	return &run->nic->tx.ring;
}
