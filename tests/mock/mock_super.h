/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Super-frames as a guest sends them, of any shape, and a judge of what they were
 * cut into. It shares no line with the code under test: sums go byte by byte, and
 * what a frame of the wire has to be is worked out from the shape, not from the
 * super-frame.
 */
#pragma once

#include <guestwire/driver.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define MOCK_SUPER_EXTENSIONS 12u
#define MOCK_SUPER_BYTES      (GW_FRAME_LEN_MAX + 1022u) /* a multiple of 8 */

struct mock_super_shape {
	bool ipv6, udp;
	bool whole; /* no super-frame: the checksum only is missing */
	unsigned int vlan_tags;
	unsigned int ip_options, tcp_options; /* words of 4 bytes */
	/* IPv6: next-header numbers, ended by 0; hop-by-hop is written as HOP_BY_HOP. */
	uint8_t extension[MOCK_SUPER_EXTENSIONS + 1];
	unsigned int extension_units; /* length of each but a routing header, beyond 8 bytes */
	uint32_t payload;
	uint16_t gso_size;
	uint16_t id;
	uint32_t seq;
	uint8_t tcp_flags;
	uint32_t seed; /* of the payload and of all that does not matter */
};

/* 0 is the number of hop-by-hop, and ends the list of a shape. */
#define MOCK_SUPER_HOP_BY_HOP 255

struct mock_super {
	struct mock_super_shape shape;
	struct virtio_net_hdr_v1 header;
	uint32_t len, l3, l4, header_len;
	uint16_t pseudo;   /* sum of the pseudo header, without its length */
	uint32_t check_at; /* the checksum field */
	uint8_t bytes[MOCK_SUPER_BYTES];
};

/* Builds it, with its virtio-net header. */
void mock_super_make(struct mock_super *super, const struct mock_super_shape *shape);
/* A random shape that is sound; each part of it is there often. */
struct mock_super_shape mock_super_any(uint64_t *random);
/* Frames that it has to be cut into. */
unsigned int mock_super_frames(const struct mock_super *super);
/*
 * What is wrong with frame `number` of the wire, or NULL. partial: the transport
 * checksum is the device's, the field has to have the pseudo header's sum.
 */
const char *mock_super_wrong(const struct mock_super *super, unsigned int number,
			     const uint8_t *frame, uint32_t len, bool partial);

/* splitmix64. */
uint64_t mock_random(uint64_t *state);
/* Sum of 16-bit words in network order, byte by byte, folded. */
uint16_t mock_sum(const uint8_t *p, uint32_t len, uint32_t sum);
