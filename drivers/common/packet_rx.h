/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receiving through an AF_PACKET socket into buffers of the arena: the receive
 * side of drivers/packet, and of drivers/xdp where no BPF program may be loaded.
 *
 * One recvmmsg() a visit, straight into the arena, so that received frames can
 * be lent to any port. What this process and others on this host send through
 * the interface is not received (PACKET_IGNORE_OUTGOING). VLAN tags that the
 * device took out are put back. The socket has a virtio-net header on each frame
 * (PACKET_VNET_HDR): what a sender on this host left to be done (the far end of a
 * veth, a container), and what a NIC merged, arrives with a partial checksum and as a
 * super-frame of up to 64 KiB. It is lent so, with its header; the core completes it
 * for those ports that need that.
 *
 * Promiscuous mode is a membership of the socket: the kernel undoes it when the
 * socket is closed, also by SIGKILL.
 *
 * Threads: open and close are control functions; the rest is the worker's.
 */
#pragma once

#include <guestwire/driver.h>
#include <stdbool.h>

struct packet_rx;

struct packet_rx_config {
	int ifindex;
	bool promiscuous;
	unsigned int buffers; /* of GW_ARENA_BUFFER_BYTES, taken with gw_port_arena_take once */
	void *arena; /* those buffers, if the caller took them already; NULL: open takes them */
};

#define PACKET_RX_BUFFERS_MIN     64u
#define PACKET_RX_BUFFERS_DEFAULT 256u

/* What has been seen, written by the worker, read by anyone (gw_counter_read). */
struct packet_rx_counts {
	uint64_t frames;     /* lent */
	uint64_t too_long;   /* dropped: did not fit */
	uint64_t no_buffers; /* visits that found no free buffer */
};

/*
 * Opens the socket, bound to the interface, non-blocking. Needs CAP_NET_RAW in the
 * network namespace. 0 or -errno with a text; *rx is NULL on failure.
 */
int packet_rx_open(struct gw_port *port, const struct packet_rx_config *config,
		   struct packet_rx **rx, struct gw_error *err);
/*
 * Closes the socket and frees. NULL is fine. Frames that are still lent must be
 * home: their structs are freed with it (the buffers are the port's).
 */
void packet_rx_close(struct packet_rx *rx);
/*
 * Stops receiving but keeps lent frames valid: for a driver's stop. reopen goes on
 * on that interface, else as before; close still has to be called.
 */
void packet_rx_shut(struct packet_rx *rx);
int packet_rx_reopen(struct packet_rx *rx, int ifindex, struct gw_error *err);

/* To sleep on (EPOLLIN), level triggered. -1 after shut. */
int packet_rx_fd(const struct packet_rx *rx);
/* For the driver table's rx: lends up to max frames with home = queue, memmap = NULL. */
unsigned int packet_rx_read(struct packet_rx *rx, struct gw_queue *queue, struct gw_frame **frames,
			    unsigned int max);
/* For the driver table's release. */
void packet_rx_release(struct packet_rx *rx, struct gw_frame *const *frames, unsigned int count);
/* Frames that are lent out now. Worker. */
unsigned int packet_rx_lent(const struct packet_rx *rx);
/* Frames that the kernel dropped, of all sockets so far: there was no room. Worker. */
uint64_t packet_rx_dropped(struct packet_rx *rx);
const struct packet_rx_counts *packet_rx_counts(const struct packet_rx *rx);
