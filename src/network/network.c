/* SPDX-License-Identifier: BSD-2-Clause */
#include "network.h"

#include "apart.h"
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

static int lane_open(struct network *network, unsigned int lanes, struct gw_error *err)
{
	struct lane *lane = gw_alloc_apart(sizeof(*lane));
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
	if (!ret && lanes > 1)
		ret = crossing_create(lane->index, lanes, &lane->crossing, err);
	for (unsigned int i = 0; i < lane->count; i++)
		lane->queue[i]->crossing = lane->crossing;
	return ret;
}

static void lane_close(struct lane *lane)
{
	for (unsigned int e = 0; e < lane->count; e++) {
		for (unsigned int s = 0; s < lane->count; s++) {
			pair_free(lane->queue[e]->pair_from[s]);
			lane->queue[e]->pair_from[s] = NULL;
		}
		lane->queue[e]->crossing = NULL;
	}
	crossing_free(lane->crossing);
	free(lane);
}

static void connect_lanes(struct network *network)
{
	struct crossing *crossings[PORT_LANES_MAX];

	for (unsigned int i = 0; i < network->lane_count; i++)
		crossings[i] = network->lane[i]->crossing;
	crossing_connect(crossings, network->lane_count);
}

int network_connect(struct network *network, struct gw_error *err)
{
	unsigned int lanes = network->port_count ? network->port[0]->lanes : 0;
	int ret = 0;

	for (unsigned int i = 0; i < network->port_count; i++)
		network->port[i]->network_ports = network->port_count;
	for (unsigned int i = 0; i < lanes && !ret; i++)
		ret = lane_open(network, lanes, err);
	if (ret)
		network_disconnect(network);
	else if (lanes > 1)
		connect_lanes(network);
	return ret;
}

void network_disconnect(struct network *network)
{
	while (network->lane_count)
		lane_close(network->lane[--network->lane_count]);
}

/* ---- while all stand still ---- */

bool network_is_clear(const struct network *network)
{
	for (unsigned int i = 0; i < network->lane_count; i++) {
		const struct lane *lane = network->lane[i];

		if (lane->crossing && !crossing_is_clear(lane->crossing))
			return false;
		for (unsigned int q = 0; q < lane->count; q++)
			if (lane->queue[q]->waiting_count || lane->queue[q]->offer.count)
				return false;
	}
	return true;
}

/* What was handed over and waits here for the egress. */
static void take_back_handed(struct port_queue *crossing, const struct gw_port *source,
			     struct port_queue *egress)
{
	unsigned int kept = 0;

	for (unsigned int i = crossing->waiting_next; i < crossing->waiting_count; i++) {
		struct gw_frame *frame = crossing->waiting[i];

		if (frame->pair == source->slot && crossing_slot(frame) == egress->port->slot) {
			desk_drop_waiting(egress, frame);
			continue;
		}
		crossing->waiting[kept++] = frame;
	}
	crossing->waiting_next = 0;
	crossing->waiting_count = kept;
}

void network_take_back(struct network *network, const struct gw_port *source,
		       const struct gw_port *egress)
{
	for (unsigned int i = 0; i < network->lane_count; i++) {
		struct lane *lane = network->lane[i];

		desk_take_back(source->queue[i], egress->queue[i]);
		if (lane->crossing)
			take_back_handed(crossing_queue(lane->crossing), source, egress->queue[i]);
	}
}

/* ---- addresses ---- */

#define NEWS_SLOT_SHIFT 48

static void learn(struct lane *lane, unsigned int slot, uint64_t mac)
{
	if (__builtin_expect(mac_learn(&lane->macs, mac, slot, lane->now_s), 0) && lane->crossing)
		crossing_tell(lane->crossing, mac | (uint64_t)slot << NEWS_SLOT_SHIFT);
}

static void hear(struct lane *lane)
{
	uint64_t news;

	for (unsigned int i = 0; i < CROSSING_NEWS && crossing_hear(lane->crossing, &news); i++)
		mac_learn(&lane->macs, news & ((1ull << NEWS_SLOT_SHIFT) - 1),
			  (unsigned int)(news >> NEWS_SLOT_SHIFT), lane->now_s);
}

/* ---- forwarding ---- */

static bool is_crossing(const struct lane *lane, const struct port_queue *source)
{
	return __builtin_expect(lane->crossing && source == crossing_queue(lane->crossing), 0);
}

void lane_enter(struct lane *lane, struct port_queue *source, struct gw_frame **frames,
		unsigned int count)
{
	if (!is_crossing(lane, source)) {
		desk_enter(source, frames, count);
		return;
	}
	hear(lane);
	for (unsigned int i = 0; i < count; i++)
		desk_enter_handed(frames[i]);
}

/* Where they go was decided where they come from, and they were counted there. */
static unsigned int deliver_handed(struct lane *lane, struct gw_frame **frames, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct port_queue *egress = lane->queue[crossing_slot(frames[i])];

		if (desk_offer(egress, frames[i], lane->count == 2) == DESK_WAIT)
			return i;
		crossing_taken(frames[i]);
		desk_put(frames[i]);
	}
	return count;
}

/* One frame for all other ports: none of them may make others wait. */
static void flood(struct lane *lane, struct port_queue *source, struct gw_frame *frame)
{
	for (unsigned int i = 0; i < lane->count; i++)
		if (lane->queue[i] != source)
			desk_offer(lane->queue[i], frame, false);
}

/* Frames that are found together are of one flow mostly: all of one station, to one. */
struct flow {
	unsigned int count;
	unsigned int slot; /* MAC_NONE: to all other ports */
};

#define ADDRESSES_BYTES (2 * MAC_BYTES)

static unsigned int count_alike(struct gw_frame *const *frames, unsigned int count)
{
	const uint8_t *first = frames[0]->snapshot;
	unsigned int n = 1;

	while (n < count && !memcmp(frames[n]->snapshot, first, ADDRESSES_BYTES))
		n++;
	return n;
}

/* The table knows nothing else about the second of a flow than about the first. */
static struct flow find_flow(struct lane *lane, struct gw_frame *const *frames, unsigned int count)
{
	struct flow flow = { .count = count_alike(frames, count), .slot = MAC_NONE };
	uint64_t destination = mac_read(frames[0]->snapshot);

	learn(lane, frames[0]->pair, mac_read(frames[0]->snapshot + MAC_BYTES));
	if (!mac_is_multicast(destination))
		flow.slot = mac_lookup(&lane->macs, destination, lane->now_s);
	/* All others are one. */
	if (flow.slot == MAC_NONE && lane->count == 2)
		flow.slot = !frames[0]->pair;
	return flow;
}

static enum desk_verdict forward(struct lane *lane, struct port_queue *source,
				 struct gw_frame *frame, unsigned int slot)
{
	if (lane->count < 2) {
		desk_drop(source, GW_DROP_NO_EGRESS);
		return DESK_TAKEN;
	}
	if (slot == MAC_NONE) {
		flood(lane, source, frame);
		return DESK_TAKEN;
	}
	if (slot == frame->pair) {
		desk_drop(source, GW_DROP_SAME_PORT);
		return DESK_TAKEN;
	}
	return desk_offer(lane->queue[slot], frame, lane->count == 2);
}

/* Frames of a flow are tried together again so often after nothing came of it. */
#define LEND_TRIES 2u

/*
 * Frames of a flow: together while that goes, the others one by one. Returns how many were
 * taken; fewer: the next one has to wait.
 */
static unsigned int forward_flow(struct lane *lane, struct port_queue *source,
				 struct gw_frame **frames, const struct flow *flow, uint64_t *bytes)
{
	bool one = flow->slot != MAC_NONE && flow->slot != frames[0]->pair;
	unsigned int tries = one ? LEND_TRIES : 0;
	unsigned int n = 0;

	while (n < flow->count) {
		uint32_t len;

		if (tries) {
			unsigned int lent = desk_lend_run(lane->queue[flow->slot], frames + n,
							  flow->count - n, lane->count == 2, bytes);

			tries = lent ? LEND_TRIES : tries - 1;
			n += lent;
			if (n == flow->count)
				break;
		}
		len = frames[n]->len;
		if (forward(lane, source, frames[n], flow->slot) == DESK_WAIT)
			break;
		*bytes += len;
		desk_put(frames[n++]);
	}
	return n;
}

unsigned int lane_forward(struct lane *lane, struct port_queue *source, struct gw_frame **frames,
			  unsigned int count)
{
	uint64_t bytes = 0;
	unsigned int n = 0;

	if (is_crossing(lane, source))
		return deliver_handed(lane, frames, count);
	while (n < count) {
		struct flow flow = find_flow(lane, frames + n, count - n);
		unsigned int taken = forward_flow(lane, source, frames + n, &flow, &bytes);

		n += taken;
		if (taken < flow.count)
			break;
	}
	if (n)
		desk_came_in(source, n, bytes);
	return n;
}
