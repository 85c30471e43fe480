/* SPDX-License-Identifier: BSD-2-Clause */
#include "port_queue.h"

#include "apart.h"
#include <errno.h>
#include <stdlib.h>

static const struct gw_driver no_device = { .name = "none" };

static struct port_queue *queue_create(struct gw_port *port, unsigned int index)
{
	struct port_queue *queue = gw_alloc_apart(sizeof(*queue));

	if (!queue)
		return NULL;
	queue->port = port;
	queue->trace_loans = index;
	queue->clock = &queue->own_clock;
	queue->queue.port = port;
	queue->queue.index = index;
	for (unsigned int i = 0; i < GW_QUEUE_FDS; i++)
		queue->queue.fd[i].fd = -1;
	return queue;
}

void port_free_queues(struct gw_port *port, unsigned int first)
{
	while (port->lanes > first) {
		free(port->queue[--port->lanes]);
		port->queue[port->lanes] = NULL;
	}
}

/* A device of one queue has it in one lane. */
static void place_device(struct gw_port *port, unsigned int first)
{
	port->first_lane = first;
	for (unsigned int i = 0; i < port->lanes; i++) {
		struct port_queue *queue = port->queue[i];
		bool here = port->driver->several_queues || i == first;

		queue->driver = here ? port->driver : &no_device;
		queue->queue.deliver_to = here ? i : first;
	}
}

int port_set_lanes(struct gw_port *port, unsigned int lanes, unsigned int first,
		   struct gw_error *err)
{
	unsigned int before = port->lanes;

	for (; port->lanes < lanes; port->lanes++) {
		port->queue[port->lanes] = queue_create(port, port->lanes);
		if (port->queue[port->lanes])
			continue;
		port_free_queues(port, before);
		return gw_error_sys(err, -ENOMEM, "port %s: queues for %u workers", port->name,
				    lanes);
	}
	port_free_queues(port, lanes);
	place_device(port, first);
	return 0;
}

uint64_t port_quarantined(const struct gw_port *port)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < port->lanes; i++)
		sum += gw_counter_read(&port->queue[i]->quarantined);
	return sum;
}

void port_queue_count_device(struct port_queue *queue)
{
	uint64_t counts[GW_DEVICE_COUNT] = { 0 };

	if (!queue->port->up || !queue->driver->device_counts)
		return;
	queue->driver->device_counts(&queue->queue, counts);
	for (unsigned int i = 0; i < GW_DEVICE_COUNT; i++)
		gw_store_relaxed(&queue->device_counts[i], counts[i]);
}
