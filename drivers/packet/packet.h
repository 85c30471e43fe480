/* SPDX-License-Identifier: BSD-2-Clause */
/* One packet port: what its control side (packet.c) and its transmit side (packet_tx.c) share. */
#pragma once

#include "packet_interface.h"
#include "packet_rx.h"
#include "tx_ring.h"
#include <guestwire/driver.h>

/* An 802.1Q tag may make a frame longer than MTU and Ethernet header. */
#define VLAN_BYTES 4u

struct packet_slot {
	struct gw_frame *frame; /* they change places when a gap is closed */
	bool dropped;           /* counted already: reap reports it and no more */
	bool failed;            /* the port was stopped before it was sent */
};

struct packet {
	struct gw_port *port;
	uint64_t slots_wanted;
	bool qdisc_bypass;
	unsigned int promiscuous, offloads; /* indices of words */
	struct packet_rx *rx; /* its control functions are control's, the rest the worker's */

	/* The worker's, or changed through gw_port_apply. */
	struct packet_interface interface;
	struct tx_ring ring;
	uint32_t takes; /* GW_OFFLOAD_ bits */
	bool running;
	bool down;                 /* the last kick said so */
	uint32_t stuck;            /* position that the kernel did not take, */
	uint64_t stuck_ns;         /* since then; 0: it takes them */
	struct packet_slot *slot;  /* [slots] */
	struct gw_frame *frames;   /* [slots] */
	uint32_t slots;            /* a power of two, for positions to be so across 2^32 */
	uint32_t done, sent, head; /* positions, modulo 2^32; see packet.c */
};

/* The slot of a position. */
static inline uint32_t packet_index(const struct packet *packet, uint32_t position)
{
	return position & (packet->slots - 1);
}

/* Puts each of slots frames into its slot. */
void packet_slots_init(struct packet *packet);
/* Has the kernel take what is marked. */
void packet_kick(struct packet *packet);
/* True if the kernel has not taken all that is in the ring. */
bool packet_is_waiting(const struct packet *packet);

/* For the driver table. */
struct gw_frame *packet_bounce(struct gw_queue *queue, uint32_t len);
void packet_unbounce(struct gw_queue *queue, struct gw_frame *frame);
unsigned int packet_tx(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count);
unsigned int packet_reap(struct gw_queue *queue, struct gw_done *done, unsigned int max);
bool packet_arm(struct gw_queue *queue, unsigned int wants, unsigned int *poll_us);
