/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets: patterns inside TCP or UDP, over IPv4 or IPv6, whose headers may be left
 * for the device to finish (VIRTIO 1.2 section 5.1.6.2): a partial checksum, or a
 * super-frame to be cut into pieces of mss bytes of payload.
 *
 * The payload of each piece is a pattern (pattern.h) with a sequence of its own: a
 * super-frame of three pieces uses up three sequence numbers, and whoever receives
 * counts pieces, no matter whether they came cut or whole. `first` is the sequence of
 * a frame's first piece. Everything else that cutting has to get right is foretold
 * by fields that it does not touch:
 *
 *	IPv4	id		low 16 bits of first, and counts up with the pieces
 *	TCP	seq		packet_seq(first) + bytes before this piece
 *		ack		low 32 bits of first
 *		window		mss
 *		urgent pointer	the flags as sent; FIN and PSH belong to the last
 *				piece, CWR to the first
 *		timestamps	payload bytes of the whole super-frame; the stream
 *
 *	flags are ACK, and PSH, FIN, CWR and ECE as the low bits of first have it.
 *	All else is constant. The addresses follow from the MAC addresses: 10.x.y.z
 *	has the last three bytes, fd57::a:b:c all six.
 */
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pattern.h"
#include "tally.h"

#define PACKET_MAX_TAGS     2u
#define PACKET_MAX_EXTRA    10u
#define PACKET_DEFAULT_PORT 18263u
#define PACKET_FLOWS        128u
#define PACKET_WHY_BYTES    160u

enum packet_kind { PACKET_RAW, PACKET_TCP4, PACKET_TCP6, PACKET_UDP4, PACKET_UDP6 };

struct packet_shape {
	enum packet_kind kind;
	uint32_t tags;  /* VLAN tags, the outer of two is 802.1ad */
	uint32_t extra; /* IPv6 extension headers of 8 bytes, or 4 bytes of IPv4 options each */
	uint32_t mss;   /* payload bytes of a piece */
	uint16_t port;  /* both ways */
	uint16_t flow;  /* the source port is so much above it */
	bool partial;   /* leave the checksum to the device */
	bool ecn;       /* CWR may be sent */
	struct pattern_address address;
};

/* What was received. */
struct packet_counts {
	uint64_t packets;
	uint64_t supers;   /* came whole, to be cut by the receiver */
	uint64_t partial;  /* came with a partial checksum, these included */
	uint64_t complete; /* came with a complete one */
	uint64_t bad;      /* a header that is wrong in some way */
	char why[PACKET_WHY_BYTES];
};

/* Bytes before the payload. */
size_t packet_header_bytes(const struct packet_shape *shape);
/* Pieces that a frame of so many bytes is, or becomes. */
uint32_t packet_pieces(const struct packet_shape *shape, size_t size);
/* Writes a frame, and into header what is left to be done with it. */
void packet_make(const struct packet_shape *shape, uint8_t *frame, size_t size, uint32_t stream,
		 uint64_t first, struct virtio_net_hdr_v1 *header);

/* Whether this is TCP or UDP to the port, of one of the flows. */
bool packet_is_ours(const uint8_t *frame, size_t len, uint16_t port);
/*
 * Verifies a frame that is ours, with the virtio-net header that came with it: its own
 * headers, its checksums, partial or complete, and its pieces, which are tallied.
 */
void packet_check(struct packet_counts *counts, struct tally *tally, const uint8_t *frame,
		  size_t len, const struct virtio_net_hdr_v1 *header);
