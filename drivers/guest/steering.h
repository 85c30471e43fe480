/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Automatic receive steering (VIRTIO 1.2 section 5.1.6.5.6): a frame goes to the
 * receive ring of the pair on which the guest last sent for the same flow, so that
 * the processor that works for the application gets it.
 *
 * A flow is a pair of addresses and ports, whatever the direction, as a number made
 * from the frame's first bytes. They may be the guest's own, and change: all that
 * rests on them is which of its rings gets a frame. One worker's.
 */
#pragma once

#include <guestwire/driver.h>
#include <stdint.h>

#define STEERING_FLOWS 1024u

struct steering {
	uint8_t pair[STEERING_FLOWS]; /* plus one; 0: nothing was sent on that flow */
};

/* The same for both directions of a flow. */
uint32_t steering_hash(const struct gw_frame *frame);
/* The guest has sent this flow on that pair. */
void steering_sent(struct steering *steering, uint32_t hash, unsigned int pair);
/* The pair to deliver to, or -1: nothing is known. */
int steering_pair(const struct steering *steering, uint32_t hash);
