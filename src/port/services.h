/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the core offers to drivers whose ports lend from memory that comes and
 * goes, beyond <guestwire/driver.h>: the guest driver. Control loop only, except
 * where a function says otherwise.
 */
#pragma once

#include "loop.h"
#include <guestwire/driver.h>

/* The control loop, for sockets and timers. Threads: any. */
struct gw_loop *port_loop(struct gw_port *port);
/* The arena's descriptor, for memmaps' second view. Not to be passed on. Threads: any. */
int port_arena_fd(struct gw_port *port);
/* How long a ring may drain, ms. Threads: any. */
unsigned int port_stop_ms(struct gw_port *port);
/* The directory for what outlives the process; NULL: there is none. Threads: any. */
const char *port_state_dir(struct gw_port *port);
/* Counts frames that a process before this one had taken already. Control. */
void port_count_again(struct gw_port *port, uint64_t frames);
/*
 * This memory will not be lent from any more; rings that used it are stopped. It
 * is unmapped from every device when its loans are home.
 */
void port_retire_memory(struct gw_port *port, struct gw_memmap *memmap);
/* Pages of it were given back under a device: lending stops, and it is mapped anew. */
void port_discarded_memory(struct gw_port *port, struct gw_memmap *memmap);
/*
 * Loans of this port do not come home: the devices that hold them are stopped
 * and started. fn(arg) runs on the loop afterwards.
 */
void port_recall(struct gw_port *port, void (*fn)(void *arg), void *arg);

/*
 * Closes a descriptor that somebody untrusted gave, or a socket of his, which can take
 * as long as he likes: not here. And how many are not closed yet, of at most
 * PORT_DISPOSAL_MAX. Threads: any but workers.
 */
#define PORT_DISPOSAL_MAX 512u
void port_dispose(struct gw_port *port, int fd);
unsigned int port_disposing(struct gw_port *port);

/*
 * Whether guests on this port should be offered offloads under offloads=auto: true
 * unless an other port of its network takes frames of one segment only. Threads: any;
 * what a port said last before this counts.
 */
bool port_offloads_pay(struct gw_port *port);
