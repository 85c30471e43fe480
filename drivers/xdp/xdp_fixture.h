/* SPDX-License-Identifier: BSD-2-Clause */
/* A running xdp port on a veth pair near - far, guest memory, and a socket at the far end. */
#pragma once

#include "host.h"
#include "veth.h"
#include "xdp.h"

#define GUEST_BYTES (2u << 20)
#define LIMIT_MS    3000u
/* The exit status that tells meson "skipped". */
#define EXIT_SKIP   77

extern const struct gw_driver gw_driver_xdp;

struct fixture {
	struct gw_port *port;
	struct xdp_port *p;
	struct xdp_channel *ch; /* the first */
	struct host_memory memory;
	int far;
	uint32_t number; /* of the next frame */
};

/* Room for a frame, for whoever needs one. */
extern uint8_t fixture_bytes[70000];

void fixture_open(struct fixture *f, const char *spec, unsigned int mtu);
/* The same on an interface with so many queues. */
void fixture_open_queues(struct fixture *f, const char *spec, unsigned int mtu,
			 unsigned int queues);
/* Stops, and nothing may be held. */
void fixture_close(struct fixture *f);
/* Lends one frame of the guest's memory and sees it arrive and come back. */
void send_one(struct fixture *f, size_t offset, size_t len);
/* Receives one frame, of at least so many segments. */
void receive_one(struct fixture *f, size_t len, unsigned int segs_min);
/* True if `ip link` says this of near. */
bool link_shows(const char *word);
/* Runs the tests in a namespace of their own; the exit status. */
#define fixture_main(tests) \
	(fixture_enter() ? cmocka_run_group_tests(tests, NULL, host_end) : EXIT_SKIP)
bool fixture_enter(void);
/* Teardown: a test that failed may have left its pair. */
int fixture_tidy(void **state);
