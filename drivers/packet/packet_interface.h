/* SPDX-License-Identifier: BSD-2-Clause */
/* What has to be known of the interface that a packet port stands on. Control. */
#pragma once

#include <guestwire/driver.h>
#include <stdbool.h>
#include <stdint.h>

struct packet_interface {
	int index;
	uint32_t mtu;
	bool up;
	bool uso;  /* the kernel's header knows UDP super-frames */
	bool veth; /* a frame ends in this host: the kernel copies it out of our memory */
};

/* Longest frame that is sent and received there: one VLAN tag beyond the MTU. */
uint32_t packet_interface_max_len(const struct packet_interface *interface);
/* Reads the interface of that name. 0, -ENODEV, -EPROTOTYPE (not Ethernet), -errno. */
int packet_interface_ask(const char *name, struct packet_interface *interface);
/* Reads the interface that the port's target names. 0, -ENODEV, -EINVAL (not Ethernet), -errno. */
int packet_interface_read(const struct gw_port *port, struct packet_interface *interface,
			  struct gw_error *err);
