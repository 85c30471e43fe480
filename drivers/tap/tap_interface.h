/* SPDX-License-Identifier: BSD-2-Clause */
/* Attaching to a tap interface, and the little that is asked of it. Control. */
#pragma once

#include <guestwire/driver.h>
#include <stdbool.h>
#include <stdint.h>

struct tap_interface {
	int fd;       /* of /dev/net/tun, non-blocking; -1: none */
	bool created; /* by us: it goes when fd is closed */
	bool was_up;  /* once, by us */
	bool taken;   /* from another process */
	bool left;    /* for another process */
	uint8_t left_bytes[1];
	uint32_t offloads; /* GW_OFFLOAD_ bits that it has, in both directions */
};

/* The virtio-net header before each frame (VIRTIO 1.2 section 5.1.6, with num_buffers). */
#define TAP_HEADER_BYTES 12u

/*
 * Attaches to the interface that the port's target names, which is made if there
 * is none. With `offloads` the kernel may leave checksums and super-frames to us,
 * as many kinds as it can. 0, or -errno with a text.
 */
int tap_interface_open(struct gw_port *port, bool offloads, struct tap_interface *tap,
		       struct gw_error *err);
/* If the interface was deleted or renamed meanwhile: attaches to the one that has its name now. */
int tap_interface_keep(struct gw_port *port, bool offloads, struct tap_interface *tap,
		       struct gw_error *err);
void tap_interface_close(struct tap_interface *tap);
bool tap_interface_exists(const struct gw_port *port);
/*
 * What another process needs to go on with it: its open finds the parcel and attaches
 * to nothing. Until it is started or stopped here, closing it changes nothing.
 */
void tap_interface_leave(struct tap_interface *tap, struct gw_parcel *parcel);
/*
 * In start: if it was left, and is not another process's after all, which may have set it
 * up in its own way, it is as it was. 0, or -errno with a text.
 */
int tap_interface_back(struct gw_port *port, struct tap_interface *tap, struct gw_error *err);
/* Sets it up, the first time, if it was made by us. */
int tap_interface_up(struct gw_port *port, struct tap_interface *tap, struct gw_error *err);
int tap_interface_mtu(struct gw_port *port, uint32_t *mtu, struct gw_error *err);
/* The longest frame there: one VLAN tag beyond the MTU. */
uint32_t tap_interface_max_len(uint32_t mtu);
