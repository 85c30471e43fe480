/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network: the ports that hear each other, and nothing else.
 *
 * A learning bridge. It reads the snapshot of a frame's header, learns the
 * source address, and offers the frame, whole, to the port the destination was
 * seen behind; unknown and multicast destinations go to all other ports, as one
 * frame that several ports hold or as copies: the desk decides per port. A
 * network belongs to one worker.
 */
#pragma once

#include "desk.h"
#include "mac_table.h"

struct network {
	char name[GW_NAME_BYTES];
	/* fixed at start */
	struct gw_port *port[PORT_NETWORK_MAX];
	unsigned int port_count;
	/* the owning worker */
	struct mac_table macs;
	uint32_t now_s;
};

/* Adds a port (before start): gives it a slot. -ENOSPC when full. */
int network_add(struct network *network, struct gw_port *port, struct gw_error *err);
/* Makes pairs between all ports (arena and hosts are set). On failure what was made is freed. */
int network_connect(struct network *network, struct gw_error *err);
void network_disconnect(struct network *network);

/*
 * Forwards frames that `source` lent, in order. Returns how many were taken;
 * fewer than count only if the source has one possible egress and that has no
 * room: the caller keeps the rest and offers it again.
 */
unsigned int network_forward(struct network *network, struct gw_port *source,
			     struct gw_frame **frames, unsigned int count);
