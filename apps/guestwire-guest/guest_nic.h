/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pair of queues of the guest's network card as its driver sees it: an RX and a TX ring,
 * and a slot of guest memory for each chain that can be out. Each pair sends a stream
 * of its own, so that order can be judged for each.
 *
 * Transmit: a slot that is free is filled with the next frame and added; from
 * publish to completion nobody here touches it, but for --rewrite, which shows who
 * reads what, and when; after it, it is scribbled over when asked. Receive: every RX
 * slot is out all the time but while its frame is looked at; guard bytes around the
 * pieces show a device that writes beyond them. Where all frames are alike and in one
 * piece they go by runs (guest_nic_run.c).
 *
 * Ring errors are counted in the rings, frame errors here and in the tally.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain_layout.h"
#include "driver_ring.h"
#include "guest_memory.h"
#include "guest_options.h"
#include "guest_packet.h"
#include "tally.h"

/* struct virtio_net_hdr_v1, and the legacy one without num_buffers (5.1.6.1). */
#define NIC_HEADER_BYTES        12u
#define NIC_LEGACY_HEADER_BYTES 10u

/* Newer than some kernel headers (section 5.1.3). */
#define NIC_GUEST_USO4 54
#define NIC_GUEST_USO6 55
#define NIC_HOST_USO   56
#define NIC_GSO_UDP_L4 5

struct nic_slot {
	struct guest_span span;
	struct guest_span table; /* room for an indirect table, when needed */
	struct ring_segment *segments;
	uint16_t count;
	bool built; /* fixed pattern: already holds its frame */
	bool out;   /* TX: sent and not seen used; runs do without */
	bool in_plugged;
	uint64_t sequence;
	uint32_t frame_len;
};

struct nic_side {
	struct driver_ring ring;
	struct layout_shape shape;
	size_t room; /* bytes of a slot */
	struct nic_slot *slots;
	struct ring_segment *segments; /* of all slots */
	uint32_t *free;                /* stack of slot numbers (TX) */
	struct ring_plain *plain;      /* by slot, where chains are added by runs; or NULL */
	uint32_t free_count;
	uint64_t turn;
};

enum nic_state {
	NIC_ON,
	NIC_DRAINING, /* nothing more is sent; what is out comes home first */
	NIC_OFF,      /* disabled at the device */
};

struct guest_nic {
	const struct guest_options *options;
	uint32_t index;  /* of the pair */
	uint32_t stream; /* what it sends */
	enum nic_state state;
	struct guest_memory *memory;
	struct nic_side rx, tx;
	struct guest_span plugged; /* for frames to be sent; */
	uint64_t plugged_bytes;    /* none while 0 */
	struct guest_log *log;     /* of what the device writes, or NULL */
	size_t header_len;
	bool indirect;     /* negotiated */
	bool mergeable;    /* negotiated */
	uint64_t features; /* negotiated */
	struct pattern_address address;
	struct packet_shape packet;

	uint64_t sent;
	uint64_t sent_pieces; /* of packets; else as many as frames */
	uint64_t sent_bytes;
	uint64_t completed;
	uint64_t tx_used_len_set; /* used.len of TX is ignored, but noted */

	uint8_t *frame; /* a frame to be sent is put together here */
	/* One received over several buffers is gathered here; between two visits, maybe. */
	uint8_t *rx_frame;
	size_t frame_len;
	struct virtio_net_hdr_v1 rx_header; /* of the frame at hand */
	struct packet_counts packets;
	uint16_t buffers_left;
	bool skipping;
	uint64_t rx_chains;
	uint64_t rx_overruns;   /* guard bytes overwritten */
	uint64_t rx_bad_length; /* used.len below a header or above the chain */
	uint64_t rx_bad_header; /* offloads nobody negotiated, num_buffers 0 with mrg_rxbuf */
	uint64_t rx_cut;        /* frames of several buffers that a dying device left unfinished */
	uint64_t rx_frames;
	uint64_t rx_zero_buffers; /* num_buffers not 1 without mrg_rxbuf: noted */
	struct tally *tally;
};

/* Makes both rings (nothing is shown to the device yet). */
int guest_nic_open(struct guest_nic *nic, const struct guest_options *options, uint32_t index,
		   struct guest_memory *memory, struct tally *tally, struct fail *fail);
/* After negotiation: makes slots in guest memory and offers all RX buffers. */
int guest_nic_prepare(struct guest_nic *nic, uint64_t features, struct fail *fail);
void guest_nic_close(struct guest_nic *nic);

static inline bool guest_nic_has(const struct guest_nic *nic, int bit)
{
	return nic->features >> bit & 1;
}

/* Makes a receive slot's chain available, again; false: the ring has no room. */
bool guest_nic_offer(struct guest_nic *nic, uint32_t number);

/* Pieces that the largest frame is, or becomes. */
uint32_t guest_nic_pieces_max(const struct guest_nic *nic);

/* Adds and publishes up to limit frames; returns how many. */
uint32_t guest_nic_send(struct guest_nic *nic, uint32_t limit);
/* Takes completions; returns how many used elements were seen, good or bad. */
uint32_t guest_nic_reap(struct guest_nic *nic);
/* Makes all that is out anew, as frames of this stream; returns how many. */
uint32_t guest_nic_rewrite(struct guest_nic *nic, uint32_t stream);
/* Takes received buffers, tallies their frames, offers the buffers again. */
uint32_t guest_nic_receive(struct guest_nic *nic);
/* The device was reset: its rings begin again, and all that was out on them is given again.
 * Returns how many frames; fail: no memory. */
int guest_nic_reset(struct guest_nic *nic, uint32_t *frames, struct fail *fail);
/* The device is dead: takes what it left, forgets half a frame. */
void guest_nic_settle(struct guest_nic *nic);
