/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network: the ports that hear each other, and nothing else; and its lanes.
 *
 * A learning bridge. It reads the snapshot of a frame's header, learns the
 * source address, and offers the frame, whole, to the port the destination was
 * seen behind; unknown and multicast destinations go to all other ports, as one
 * frame that several ports hold or as copies: the desk decides per port.
 *
 * A lane is what one worker has of a network: a queue of each port, the pairs between
 * them, and a table of addresses. Nothing that a frame changes belongs to two lanes.
 */
#pragma once

#include "desk.h"
#include "mac_table.h"

struct lane {
	/* fixed at start */
	struct network *network;
	unsigned int index;
	struct port_queue *queue[PORT_NETWORK_MAX]; /* by slot */
	unsigned int count;
	/* the owning worker */
	struct mac_table macs;
	uint32_t now_s;
};

struct network {
	char name[GW_NAME_BYTES];
	unsigned int number; /* the engine's: which of its networks */
	/* fixed at start */
	struct gw_port *port[PORT_NETWORK_MAX];
	unsigned int port_count;
	struct lane *lane[PORT_LANES_MAX];
	unsigned int lane_count;
};

/* Adds a port (before start): gives it a slot. -ENOSPC when full. */
int network_add(struct network *network, struct gw_port *port, struct gw_error *err);
/* How many lanes there will be, 1 if it is not said: each port has a queue in each. */
int network_set_lanes(struct network *network, unsigned int lanes, struct gw_error *err);
/*
 * Makes the lanes, and in each of them pairs between all ports (arena and hosts are
 * set). On failure what was made is freed.
 */
int network_connect(struct network *network, struct gw_error *err);
void network_disconnect(struct network *network);

/*
 * Forwards frames that `source` lent, in order. Returns how many were taken;
 * fewer than count only if the source has one possible egress and that has no
 * room: the caller keeps the rest and offers it again.
 */
unsigned int lane_forward(struct lane *lane, struct port_queue *source, struct gw_frame **frames,
			  unsigned int count);
