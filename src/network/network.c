/* SPDX-License-Identifier: BSD-2-Clause */
#include "network.h"

#include <errno.h>
#include <stdlib.h>

int network_add(struct network *network, struct gw_port *port, struct gw_error *err)
{
	if (network->port_count == PORT_NETWORK_MAX)
		return gw_error_set(err, -ENOSPC, "port %s: network %s has %u ports already",
				    port->name, network->name, PORT_NETWORK_MAX);
	port->slot = network->port_count;
	network->port[network->port_count++] = port;
	return 0;
}

/* ---- lanes ---- */

static int connect_queue(struct lane *lane, struct port_queue *egress, struct gw_error *err)
{
	for (unsigned int i = 0; i < lane->count; i++) {
		int ret;

		if (lane->queue[i] == egress)
			continue;
		ret = pair_create(lane->queue[i], egress, &egress->pair_from[i], err);
		if (ret)
			return ret;
	}
	return 0;
}

static int lane_open(struct network *network, struct gw_error *err)
{
	struct lane *lane = calloc(1, sizeof(*lane));
	int ret = 0;

	if (!lane)
		return gw_error_sys(err, -ENOMEM, "network %s", network->name);
	lane->network = network;
	lane->index = network->lane_count;
	lane->count = network->port_count;
	for (unsigned int i = 0; i < lane->count; i++)
		lane->queue[i] = network->port[i]->queue[lane->index];
	network->lane[network->lane_count++] = lane;
	for (unsigned int i = 0; i < lane->count && !ret; i++)
		ret = connect_queue(lane, lane->queue[i], err);
	return ret;
}

static void lane_close(struct lane *lane)
{
	for (unsigned int e = 0; e < lane->count; e++) {
		for (unsigned int s = 0; s < lane->count; s++) {
			pair_free(lane->queue[e]->pair_from[s]);
			lane->queue[e]->pair_from[s] = NULL;
		}
	}
	free(lane);
}

int network_set_lanes(struct network *network, unsigned int lanes, struct gw_error *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < network->port_count && !ret; i++)
		ret = port_set_lanes(network->port[i], lanes, err);
	return ret;
}

int network_connect(struct network *network, struct gw_error *err)
{
	unsigned int lanes = network->port_count ? network->port[0]->lanes : 0;
	int ret = 0;

	for (unsigned int i = 0; i < network->port_count; i++)
		network->port[i]->network_ports = network->port_count;
	for (unsigned int i = 0; i < lanes && !ret; i++)
		ret = lane_open(network, err);
	if (ret)
		network_disconnect(network);
	return ret;
}

void network_disconnect(struct network *network)
{
	while (network->lane_count)
		lane_close(network->lane[--network->lane_count]);
}

/* ---- forwarding ---- */

/* One frame for all other ports. With one other port it may have to wait. */
static enum desk_verdict flood(struct lane *lane, struct port_queue *source, struct gw_frame *frame)
{
	bool may_wait = lane->count == 2;

	for (unsigned int i = 0; i < lane->count; i++)
		if (lane->queue[i] != source &&
		    desk_offer(lane->queue[i], frame, may_wait) == DESK_WAIT)
			return DESK_WAIT;
	return DESK_TAKEN;
}

static enum desk_verdict forward(struct lane *lane, struct port_queue *source,
				 struct gw_frame *frame)
{
	uint64_t destination = mac_read(frame->snapshot);
	unsigned int slot;

	mac_learn(&lane->macs, mac_read(frame->snapshot + 6), source->port->slot, lane->now_s);
	if (lane->count < 2) {
		desk_drop(source, GW_DROP_NO_EGRESS);
		return DESK_TAKEN;
	}
	if (mac_is_multicast(destination))
		return flood(lane, source, frame);
	slot = mac_lookup(&lane->macs, destination, lane->now_s);
	if (slot == MAC_NONE)
		return flood(lane, source, frame);
	if (slot == source->port->slot) {
		desk_drop(source, GW_DROP_SAME_PORT);
		return DESK_TAKEN;
	}
	return desk_offer(lane->queue[slot], frame, lane->count == 2);
}

unsigned int lane_forward(struct lane *lane, struct port_queue *source, struct gw_frame **frames,
			  unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct gw_frame *frame = frames[i];

		if (forward(lane, source, frame) == DESK_WAIT)
			return i;
		desk_came_in(source, frame);
		desk_put(frame);
	}
	return count;
}
