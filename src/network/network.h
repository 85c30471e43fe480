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
 * them, and a table of addresses. Nothing that a frame changes belongs to two lanes: what
 * one of them learns it tells the others, and frames for a device that is in another lane
 * are handed to it (crossing.h).
 */
#pragma once

#include "crossing.h"
#include "desk.h"
#include "mac_table.h"

struct lane {
	/* fixed at start */
	struct network *network;
	unsigned int index;
	struct port_queue *queue[PORT_NETWORK_MAX]; /* by slot */
	unsigned int count;
	struct crossing *crossing; /* NULL: there is no other lane */
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
/*
 * Makes the lanes, and in each of them pairs between all ports (arena and hosts are
 * set). On failure what was made is freed.
 */
int network_connect(struct network *network, struct gw_error *err);
void network_disconnect(struct network *network);

/* Frames that source's rx has lent enter the lane; what other lanes tell is heard. */
void lane_enter(struct lane *lane, struct port_queue *source, struct gw_frame **frames,
		unsigned int count);
/* Nothing is on its way to another lane or port. While all lanes stand still. */
bool network_is_clear(const struct network *network);
/* desk_take_back, in all lanes. While they stand still. */
void network_take_back(struct network *network, const struct gw_port *source,
		       const struct gw_port *egress);

/*
 * Forwards frames that `source` lent, in order. Returns how many were taken;
 * fewer than count only if the source has one possible egress and that has no
 * room: the caller keeps the rest and offers it again.
 */
unsigned int lane_forward(struct lane *lane, struct port_queue *source, struct gw_frame **frames,
			  unsigned int count);
