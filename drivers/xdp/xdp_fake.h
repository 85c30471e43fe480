/* SPDX-License-Identifier: BSD-2-Clause */
/* A port without a socket, and the kernel's side of a channel's rings, played by a test. */
#pragma once

#include "host.h"
#include "xdp.h"

#define FAKE_ENTRIES 64u

extern const struct gw_driver gw_driver_xdp;

/* One ring with memory of its own. */
struct fake_ring {
	uint32_t producer, consumer, flags;
	struct xdp_desc entry[FAKE_ENTRIES];
};

struct fake_kernel {
	struct fake_ring tx, cq, fill, rx;
	struct xsk xsk;
	uint32_t taken; /* descriptors that it took so far */
};

/* A port on lo, which has one queue, with the least rings; it is never started. */
struct gw_port *fake_open(bool receives);
struct xdp_port *fake_port(struct gw_port *port);
/* One more channel, as if there were a queue for it. */
void fake_second_channel(struct gw_port *port);
void fake_close(struct gw_port *port);

/* The channel has its rings here from now on, and a socket that is none. */
void fake_init(struct fake_kernel *kernel, struct xdp_channel *ch);
/* The next descriptor that was submitted; fails if there is none. */
struct xdp_desc fake_takes(struct fake_kernel *kernel);
/* True if there is none. */
bool fake_idle(const struct fake_kernel *kernel);
void fake_completes(struct fake_kernel *kernel, uint64_t word);
/* The byte of the memory that an address word names. */
uint64_t fake_offset(uint64_t word);
