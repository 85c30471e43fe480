/* SPDX-License-Identifier: BSD-2-Clause */
/* What packets are made of, for the two who make and check them. */
#pragma once

#include <endian.h>
#include <string.h>

#include "guest_packet.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum {
	TAG_BYTES = 4,
	TYPE_IPV4 = 0x0800,
	TYPE_IPV6 = 0x86dd,
	TYPE_TAG = 0x8100,
	TYPE_OUTER_TAG = 0x88a8,
	IPV4_BYTES = 20,
	IPV4_OPTION_BYTES = 4,
	IPV6_BYTES = 40,
	IPV6_EXTENSION_BYTES = 8,
	NEXT_HOP_BY_HOP = 0,
	NEXT_OPTIONS = 60,
	NEXT_TCP = 6,
	NEXT_UDP = 17,
	TCP_BYTES = 32, /* with timestamps */
	TCP_CHECK = 16,
	UDP_BYTES = 8,
	UDP_CHECK = 6,
	PACKET_TTL = 61,
	PACKET_TOS = 0x02, /* ECN-capable */
	PACKET_FLOW = 0x57575,
};

enum {
	FLAG_FIN = 0x01,
	FLAG_PSH = 0x08,
	FLAG_ACK = 0x10,
	FLAG_ECE = 0x40,
	FLAG_CWR = 0x80,
};

static inline void store16(uint8_t *to, uint32_t value)
{
	uint16_t big = htobe16((uint16_t)value);

	memcpy(to, &big, sizeof(big));
}

static inline void store32(uint8_t *to, uint32_t value)
{
	value = htobe32(value);
	memcpy(to, &value, sizeof(value));
}

static inline uint16_t fetch16(const uint8_t *from)
{
	return (uint16_t)(from[0] << 8 | from[1]);
}

static inline uint32_t fetch32(const uint8_t *from)
{
	return (uint32_t)fetch16(from) << 16 | fetch16(from + 2);
}

/* Any number, but always the same, and near enough to the end to wrap round at times. */
static inline uint32_t packet_seq(uint64_t first)
{
	return (uint32_t)(first * 0x9e3779b1u) | 0xfff00000u;
}

/* The sum of RFC 1071, folded, in host order. */
uint16_t packet_sum(const uint8_t *from, size_t len, uint32_t start);
/* Of the pseudo header: ip is where the IP header is. */
uint16_t packet_pseudo_sum(const uint8_t *ip, bool ipv6, uint8_t protocol, uint32_t len);
