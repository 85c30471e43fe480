/* SPDX-License-Identifier: BSD-2-Clause */
#include "network.h"

#include <errno.h>
#include <string.h>

int network_add(struct network *network, struct gw_port *port, struct gw_error *err)
{
	if (network->port_count == PORT_NETWORK_MAX)
		return gw_error_set(err, -ENOSPC, "port %s: network %s has %u ports already",
				    port->name, network->name, PORT_NETWORK_MAX);
	port->slot = network->port_count;
	network->port[network->port_count++] = port;
	return 0;
}

static int connect_port(struct network *network, struct gw_port *egress, struct gw_error *err)
{
	egress->network_ports = network->port_count;
	for (unsigned int i = 0; i < network->port_count; i++) {
		int ret;

		if (network->port[i] == egress)
			continue;
		ret = pair_create(network->port[i], egress, &egress->pair_from[i], err);
		if (ret)
			return ret;
	}
	return 0;
}

int network_connect(struct network *network, struct gw_error *err)
{
	for (unsigned int i = 0; i < network->port_count; i++) {
		int ret = connect_port(network, network->port[i], err);

		if (ret) {
			network_disconnect(network);
			return ret;
		}
	}
	return 0;
}

void network_disconnect(struct network *network)
{
	for (unsigned int e = 0; e < network->port_count; e++) {
		for (unsigned int s = 0; s < network->port_count; s++) {
			pair_free(network->port[e]->pair_from[s]);
			network->port[e]->pair_from[s] = NULL;
		}
	}
	memset(&network->macs, 0, sizeof(network->macs));
}

/* One frame for all other ports. With one other port it may have to wait. */
static enum desk_verdict flood(struct network *network, struct gw_port *source,
			       struct gw_frame *frame)
{
	bool may_wait = network->port_count == 2;

	for (unsigned int i = 0; i < network->port_count; i++)
		if (network->port[i] != source &&
		    desk_offer(network->port[i], frame, may_wait) == DESK_WAIT)
			return DESK_WAIT;
	return DESK_TAKEN;
}

static enum desk_verdict forward(struct network *network, struct gw_port *source,
				 struct gw_frame *frame)
{
	uint64_t destination = mac_read(frame->snapshot);
	unsigned int slot;

	mac_learn(&network->macs, mac_read(frame->snapshot + 6), source->slot, network->now_s);
	if (network->port_count < 2) {
		desk_drop(source, GW_DROP_NO_EGRESS);
		return DESK_TAKEN;
	}
	if (mac_is_multicast(destination))
		return flood(network, source, frame);
	slot = mac_lookup(&network->macs, destination, network->now_s);
	if (slot == MAC_NONE)
		return flood(network, source, frame);
	if (slot == source->slot) {
		desk_drop(source, GW_DROP_SAME_PORT);
		return DESK_TAKEN;
	}
	return desk_offer(network->port[slot], frame, network->port_count == 2);
}

unsigned int network_forward(struct network *network, struct gw_port *source,
			     struct gw_frame **frames, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct gw_frame *frame = frames[i];

		if (forward(network, source, frame) == DESK_WAIT)
			return i;
		desk_came_in(source, frame);
		desk_put(frame);
	}
	return count;
}
