/* SPDX-License-Identifier: BSD-2-Clause */
#include "services.h"

#include "port.h"

struct gw_loop *port_loop(struct gw_port *port)
{
	return port->host->loop(port);
}

int port_arena_fd(struct gw_port *port)
{
	return arena_fd(port->arena);
}

const char *port_state_dir(struct gw_port *port)
{
	return port->host->state_dir ? port->host->state_dir(port) : NULL;
}

void port_count_again(struct gw_port *port, uint64_t frames)
{
	gw_counter_add(&port->taken_again, frames);
}

unsigned int port_stop_ms(struct gw_port *port)
{
	return port->host->stop_ms(port);
}

void port_retire_memory(struct gw_port *port, struct gw_memmap *memmap)
{
	port->host->retire(port, memmap);
}

void port_discarded_memory(struct gw_port *port, struct gw_memmap *memmap)
{
	port->host->discarded(port, memmap);
}

void port_recall(struct gw_port *port, void (*fn)(void *arg), void *arg)
{
	port->host->recall(port, fn, arg);
}

void port_dispose(struct gw_port *port, int fd)
{
	port->host->dispose(port, fd);
}

unsigned int port_disposing(struct gw_port *port)
{
	return port->host->disposing(port);
}

bool port_offloads_pay(struct gw_port *port)
{
	return port->host->offloads_pay(port);
}
