/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Misdeeds: single things that a hostile or broken guest or front-end does, each by
 * name, so that a test can do them to a back-end one after the other and look whether it
 * lives on. A misdeed is done once, on a connection of its own; what the back-end
 * answers within --duration (default 0.3 s) is the outcome:
 *
 *	closed		it closed the connection
 *	refused		it answered with an error (REPLY_ACK)
 *	accepted	it answered that all is well
 *	answered	it answered in some other way
 *	ring-error	it signalled a ring's error eventfd
 *	completed	it gave all the chains back
 *	left		the misdeed itself ended the connection
 *	silence		nothing
 *
 * No outcome is an error of this program: the judge is the test, which knows what its
 * back-end should have done, and whether it still runs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "guest_options.h"
#include "guest_run.h"
#include "guest_summary.h"
#include "pacer.h"

enum misdeed_stage {
	STAGE_CONNECTED,  /* no message was sent */
	STAGE_NEGOTIATED, /* features and owner are set */
	STAGE_RUNNING,    /* rings run, receive buffers are out */
};

/* What the machine must be like. */
#define NEEDS_ADJACENT (1u << 0) /* two regions without a hole */
#define NEEDS_TWO      (1u << 1) /* two regions */
#define NEEDS_NO_SEAL  (1u << 2)
#define NEEDS_TINY_RX  (1u << 3) /* receive chains smaller than a virtio-net header */
#define NEEDS_SPLIT_RX (1u << 4) /* receive chains of many 1-byte descriptors */
#define NEEDS_OFFLOADS (1u << 5) /* all of them negotiated */
#define NEEDS_PACKED   (1u << 6) /* packed rings */
#define NEEDS_LOG      (1u << 7) /* LOG_SHMFD, INFLIGHT_SHMFD, CONFIGURE_MEM_SLOTS */
#define NEEDS_INFLIGHT (1u << 8)
#define NEEDS_SLOTS    (1u << 9)
#define WAITS_FOR_END  (1u << 10) /* that buffers come back meanwhile says nothing */

struct misdeed {
	const char *name;
	enum misdeed_stage stage;
	uint32_t needs;
	/* Does it; arg tells apart rows that share a function. */
	void (*act)(struct guest_run *run, uint64_t arg);
	uint64_t arg;
	const char *help;
};

/* Tables, each ended by a row without a name. */
extern const struct misdeed misdeeds_ring[];   /* the guest: descriptors and rings */
extern const struct misdeed misdeeds_header[]; /* the guest: virtio-net headers, packets */
extern const struct misdeed misdeeds_packed[]; /* the guest: packed rings */
extern const struct misdeed misdeeds_shared[]; /* the front-end: what else it shares */
extern const struct misdeed misdeeds_wire[];   /* the front-end: single messages */
extern const struct misdeed misdeeds_state[];  /* the front-end: at the wrong time */

bool misbehave_known(const char *name);
void misbehave_list(void);
void run_misbehave(const struct guest_options *options, struct pacer *pacer,
		   struct guest_summary *summary);
