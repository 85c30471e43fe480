/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PACKET_TX_RING: the kernel's memory, mapped here, cut into slots.
 *
 * The kernel takes slots in ring order, and only those marked "send request"; it
 * stops at the first that is not, and at one whose contents it refuses ("wrong
 * format"), until that very slot is good again. packet.c lives with that; this
 * file knows geometry, the layout of a slot, and the words for its status.
 *
 *     slot | tpacket2_hdr | virtio_net_hdr | frame ...            |
 *
 * Threads: open and close are control functions, the rest is the worker's.
 */
#pragma once

#include <guestwire/driver.h>
#include <stdbool.h>
#include <stdint.h>

/* The kernel's words (TP_STATUS_...), and ours. */
enum slot_status {
	SLOT_IDLE = 0, /* ours: empty, or sent */
	SLOT_WAITING,  /* marked, not taken by the kernel yet */
	SLOT_SENDING,  /* in the device */
	SLOT_REFUSED,  /* the kernel did not like it; it takes no other one before this is good */
};

struct tx_ring {
	int fd;
	uint8_t *memory;
	size_t memory_bytes;
	uint32_t slots; /* a power of two */
	uint32_t slot_bytes;
	uint32_t len_max; /* of a frame in a slot */
};

struct tx_ring_config {
	int ifindex;
	uint32_t max_len; /* of a frame of the wire */
	bool super;       /* slots for super-frames: 64 KiB */
	uint32_t slots;   /* wanted; fewer for a power of two, or if they took too much memory */
	bool qdisc_bypass;
};

/* Kernel memory of one ring at most. */
#define TX_RING_BYTES_MAX (8u << 20)
#define TX_RING_SLOTS_MIN 16u

/* The same for no port. 0 or -errno; -EPERM: no packet sockets for this user. */
int tx_ring_make(const struct tx_ring_config *config, struct tx_ring *ring);
/* The socket is bound to the interface and receives nothing. 0 or -errno with a text. */
int tx_ring_open(struct gw_port *port, const struct tx_ring_config *config, struct tx_ring *ring,
		 struct gw_error *err);
/* Safe on one that is closed. */
void tx_ring_close(struct tx_ring *ring);

/* Where slot number index (below slots) has its frame. */
uint8_t *tx_ring_data(const struct tx_ring *ring, uint32_t index);
enum slot_status tx_ring_status(const struct tx_ring *ring, uint32_t index);
/* Marks it to be sent: len bytes at its data. */
void tx_ring_mark(struct tx_ring *ring, uint32_t index, uint32_t len,
		  const struct virtio_net_hdr_v1 *header);
/* Marks it so that the kernel will refuse it, or makes one that waits so. */
void tx_ring_spoil(struct tx_ring *ring, uint32_t index);
/* Takes the mark back, or makes a refused slot idle. Not for one that is sending. */
void tx_ring_unmark(struct tx_ring *ring, uint32_t index);
/* Moves what waits in slot `from` to slot `to`, which is refused or idle; `from` is idle then. */
void tx_ring_move(struct tx_ring *ring, uint32_t from, uint32_t to);
/* Has the kernel take what is marked. 0 or -errno. */
int tx_ring_kick(const struct tx_ring *ring);
