/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP and UDP frames for tests of partial checksums and super-frames, made and
 * judged by code that shares nothing with what it tests.
 */
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* Flags of TCP, its byte 13. */
enum {
	IP_FRAME_FIN = 0x01,
	IP_FRAME_PSH = 0x08,
	IP_FRAME_ACK = 0x10,
	IP_FRAME_URG = 0x20,
	IP_FRAME_ECE = 0x40,
	IP_FRAME_CWR = 0x80,
};

#define IP_FRAME_EXTENSIONS_MAX 4u
#define IP_FRAME_OPTIONS_MAX    40u
#define IP_FRAME_BYTES_MAX      65562u
/* The addresses of each. */
#define IP_FRAME_DESTINATION    "\x02\x67\x77\x00\x00\x02"
#define IP_FRAME_SOURCE         "\x02\x67\x77\x00\x00\x01"

struct ip_frame {
	bool ipv6, udp;
	unsigned int tags;             /* of 802.1Q */
	unsigned int ip_options_bytes; /* IPv4: 0 to 40, by 4 */
	/* IPv6: numbers of extension headers (0, 43, 60), each 8 bytes */
	uint8_t extension[IP_FRAME_EXTENSIONS_MAX];
	unsigned int extensions;
	/* of the last destination less that in the header, where a routing header has one */
	uint16_t routed_sum;
	unsigned int tcp_options_bytes; /* 0 to 40, by 4 */
	uint8_t tcp_flags;
	uint8_t tos;
	uint16_t id; /* IPv4 */
	uint32_t seq;
	uint32_t payload;  /* bytes */
	uint16_t gso_size; /* 0: not to be cut */
	bool ecn;          /* the header has the ECN bit */
	uint32_t number;   /* of the pattern in the payload */
};

/* Where things begin in a frame. */
struct ip_frame_layout {
	uint32_t l3, l4, payload;
	bool ipv6, udp;
};

/*
 * Writes the frame, its checksum partial, and the header that says so. Its length;
 * bytes has room for IP_FRAME_BYTES_MAX.
 */
uint32_t ip_frame_make(const struct ip_frame *frame, uint8_t *bytes,
		       struct virtio_net_hdr_v1 *header);
/* False if it is no TCP or UDP frame, or its lengths are not those of its headers. */
bool ip_frame_parse(const uint8_t *bytes, uint32_t len, struct ip_frame_layout *layout);
/* Whether the IP header's checksum, and that of TCP or UDP, are complete and right. */
bool ip_frame_sums_hold(const uint8_t *bytes, const struct ip_frame_layout *layout, uint32_t len);
/* Whether its field has the pseudo header's sum, as the sender of a partial checksum leaves it. */
bool ip_frame_is_partial(const uint8_t *bytes, const struct ip_frame_layout *layout, uint32_t len);
/* The byte number `at` of the pattern. */
uint8_t ip_frame_pattern(uint32_t number, uint32_t at);
