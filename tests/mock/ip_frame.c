/* SPDX-License-Identifier: BSD-2-Clause */
#include "ip_frame.h"

#include "net_bytes.h"
#include <assert.h>
#include <netinet/in.h>
#include <string.h>

#define MAC_BYTES       12u
#define TAG_BYTES       4u
#define IPV4_BYTES      20u
#define IPV6_BYTES      40u
#define EXTENSION_BYTES 8u
#define TCP_BYTES       20u
#define UDP_BYTES       8u
#define TYPE_IPV4       0x0800u
#define TYPE_IPV6       0x86ddu
#define TYPE_TAG        0x8100u

static uint32_t sum_of(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return sum;
}

uint8_t ip_frame_pattern(uint32_t number, uint32_t at)
{
	uint32_t x = at * 2654435761u ^ number * 0x9e3779b9u;

	x ^= x >> 15;
	x *= 0x2c1b3c6d;
	return (uint8_t)(x ^ x >> 12);
}

/* ---- making ---- */

static uint32_t write_ethernet(const struct ip_frame *frame, uint8_t *bytes)
{
	uint32_t at = MAC_BYTES;

	memcpy(bytes, IP_FRAME_DESTINATION, 6);
	memcpy(bytes + 6, IP_FRAME_SOURCE, 6);
	for (unsigned int i = 0; i < frame->tags; i++, at += TAG_BYTES) {
		put16(bytes + at, TYPE_TAG);
		put16(bytes + at + 2, 0x2000 + 100 + i);
	}
	put16(bytes + at, frame->ipv6 ? TYPE_IPV6 : TYPE_IPV4);
	return at + 2;
}

/* No-operations, and an end of list where one fits (RFC 791, RFC 9293). */
static void write_options(uint8_t *options, unsigned int len)
{
	memset(options, 1, len);
	if (len)
		options[len - 1] = 0;
}

static uint32_t write_ipv4(const struct ip_frame *frame, uint8_t *ip, uint32_t l4_bytes)
{
	uint32_t len = IPV4_BYTES + frame->ip_options_bytes;

	memset(ip, 0, len);
	ip[0] = (uint8_t)(0x40 | len / 4);
	ip[1] = frame->tos;
	put16(ip + 2, len + l4_bytes);
	put16(ip + 4, frame->id);
	ip[8] = 64;
	ip[9] = frame->udp ? IPPROTO_UDP : IPPROTO_TCP;
	memcpy(ip + 12, "\x0a\x09\x08\x01\x0a\x09\x08\x02", 8);
	write_options(ip + IPV4_BYTES, frame->ip_options_bytes);
	put16(ip + 10, ~sum_of(ip, len, 0) & 0xffff);
	return len;
}

/* One of 8 bytes: padding, or a routing header of no segments left (RFC 8200). */
static void write_extension(uint8_t *extension, uint8_t number, uint8_t next)
{
	memset(extension, 0, EXTENSION_BYTES);
	extension[0] = next;
	if (number == IPPROTO_ROUTING) {
		extension[2] = 253; /* a type for experiments */
	} else {
		extension[2] = 1; /* PadN */
		extension[3] = EXTENSION_BYTES - 4;
	}
}

static uint32_t write_ipv6(const struct ip_frame *frame, uint8_t *ip, uint32_t l4_bytes)
{
	uint8_t last = frame->udp ? IPPROTO_UDP : IPPROTO_TCP;
	uint32_t len = IPV6_BYTES;

	memset(ip, 0, IPV6_BYTES);
	put32(ip, 6u << 28 | (uint32_t)frame->tos << 20 | 0x12345);
	put16(ip + 4, frame->extensions * EXTENSION_BYTES + l4_bytes);
	ip[6] = frame->extensions ? frame->extension[0] : last;
	ip[7] = 64;
	ip[8] = ip[24] = 0xfd;
	ip[23] = 1;
	ip[39] = 2;
	for (unsigned int i = 0; i < frame->extensions; i++, len += EXTENSION_BYTES)
		write_extension(ip + len, frame->extension[i],
				i + 1 < frame->extensions ? frame->extension[i + 1] : last);
	return len;
}

/* The pseudo header's sum, of which a partial checksum consists. */
static uint32_t pseudo_sum(const uint8_t *ip, bool ipv6, bool udp, uint32_t l4_bytes)
{
	uint32_t rest = (udp ? IPPROTO_UDP : IPPROTO_TCP) + l4_bytes;

	/* l4_bytes may need 17 bits in a frame that is yet to be cut. */
	rest = (rest >> 16) + (rest & 0xffff);
	return ipv6 ? sum_of(ip + 8, 32, rest) : sum_of(ip + 12, 8, rest);
}

static void write_l4(const struct ip_frame *frame, uint8_t *l4, uint32_t header_bytes, uint32_t sum)
{
	memset(l4, 0, header_bytes);
	put16(l4, 1000);
	put16(l4 + 2, 2000);
	if (frame->udp) {
		put16(l4 + 4, header_bytes + frame->payload);
		put16(l4 + 6, sum);
		return;
	}
	put32(l4 + 4, frame->seq);
	put32(l4 + 8, 0x01020304);
	l4[12] = (uint8_t)(header_bytes / 4 << 4);
	l4[13] = frame->tcp_flags;
	put16(l4 + 14, 0x7fff);
	put16(l4 + 16, sum);
	write_options(l4 + TCP_BYTES, frame->tcp_options_bytes);
}

static uint8_t gso_type(const struct ip_frame *frame)
{
	uint8_t type = frame->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;

	if (!frame->gso_size)
		return VIRTIO_NET_HDR_GSO_NONE;
	if (frame->udp)
		return VIRTIO_NET_HDR_GSO_UDP_L4;
	return frame->ecn ? type | VIRTIO_NET_HDR_GSO_ECN : type;
}

uint32_t ip_frame_make(const struct ip_frame *frame, uint8_t *bytes,
		       struct virtio_net_hdr_v1 *header)
{
	uint32_t l3 = write_ethernet(frame, bytes), l4, payload;
	uint32_t l4_bytes = frame->udp ? UDP_BYTES : TCP_BYTES + frame->tcp_options_bytes;
	uint32_t rest = l4_bytes + frame->payload, sum;

	l4 = l3 + (frame->ipv6 ? write_ipv6(frame, bytes + l3, rest)
			       : write_ipv4(frame, bytes + l3, rest));
	payload = l4 + l4_bytes;
	assert(payload + frame->payload <= IP_FRAME_BYTES_MAX);
	sum = pseudo_sum(bytes + l3, frame->ipv6, frame->udp, rest) + frame->routed_sum;
	write_l4(frame, bytes + l4, l4_bytes, (sum & 0xffff) + (sum >> 16));
	for (uint32_t i = 0; i < frame->payload; i++)
		bytes[payload + i] = ip_frame_pattern(frame->number, i);
	memset(header, 0, sizeof(*header));
	header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->csum_start = (uint16_t)l4;
	header->csum_offset = frame->udp ? 6 : 16;
	header->gso_type = gso_type(frame);
	header->gso_size = frame->gso_size;
	header->hdr_len = frame->gso_size ? (uint16_t)payload : 0;
	return payload + frame->payload;
}

/* ---- judging ---- */

static bool parse_ipv4(const uint8_t *ip, uint32_t room, uint32_t *len, uint8_t *protocol)
{
	if (room < IPV4_BYTES)
		return false;
	*len = (ip[0] & 0xfu) * 4;
	*protocol = ip[9];
	return ip[0] >> 4 == 4 && *len >= IPV4_BYTES && *len <= room && get16(ip + 2) == room;
}

static bool parse_ipv6(const uint8_t *ip, uint32_t room, uint32_t *len, uint8_t *protocol)
{
	if (room < IPV6_BYTES || ip[0] >> 4 != 6 || get16(ip + 4) != room - IPV6_BYTES)
		return false;
	*protocol = ip[6];
	*len = IPV6_BYTES;
	for (unsigned int i = 0; i < IP_FRAME_EXTENSIONS_MAX; i++) {
		if (*protocol != IPPROTO_HOPOPTS && *protocol != IPPROTO_ROUTING &&
		    *protocol != IPPROTO_DSTOPTS)
			break;
		if (room - *len < EXTENSION_BYTES)
			return false;
		*protocol = ip[*len];
		*len += EXTENSION_BYTES;
	}
	return true;
}

bool ip_frame_parse(const uint8_t *bytes, uint32_t len, struct ip_frame_layout *layout)
{
	uint32_t at = MAC_BYTES, ip_bytes = 0, room;
	uint8_t protocol = 0;

	while (at + 2 + IPV4_BYTES <= len && get16(bytes + at) == TYPE_TAG)
		at += TAG_BYTES;
	if (at + 2 + IPV4_BYTES > len)
		return false;
	layout->ipv6 = get16(bytes + at) == TYPE_IPV6;
	if (!layout->ipv6 && get16(bytes + at) != TYPE_IPV4)
		return false;
	layout->l3 = at + 2;
	room = len - layout->l3;
	if (!(layout->ipv6 ? parse_ipv6 : parse_ipv4)(bytes + layout->l3, room, &ip_bytes,
						      &protocol))
		return false;
	layout->l4 = layout->l3 + ip_bytes;
	layout->udp = protocol == IPPROTO_UDP;
	room -= ip_bytes;
	if (layout->udp) {
		layout->payload = layout->l4 + UDP_BYTES;
		return room >= UDP_BYTES && get16(bytes + layout->l4 + 4) == room;
	}
	if (protocol != IPPROTO_TCP || room < TCP_BYTES)
		return false;
	layout->payload = layout->l4 + (bytes[layout->l4 + 12] >> 4) * 4u;
	return layout->payload >= layout->l4 + TCP_BYTES && layout->payload <= len;
}

bool ip_frame_sums_hold(const uint8_t *bytes, const struct ip_frame_layout *layout, uint32_t len)
{
	const uint8_t *ip = bytes + layout->l3;
	uint32_t l4_bytes = len - layout->l4;

	if (!layout->ipv6 && sum_of(ip, layout->l4 - layout->l3, 0) != 0xffff)
		return false;
	return sum_of(bytes + layout->l4, l4_bytes,
		      pseudo_sum(ip, layout->ipv6, layout->udp, l4_bytes)) == 0xffff;
}

bool ip_frame_is_partial(const uint8_t *bytes, const struct ip_frame_layout *layout, uint32_t len)
{
	uint32_t sum = pseudo_sum(bytes + layout->l3, layout->ipv6, layout->udp, len - layout->l4);

	return get16(bytes + layout->l4 + (layout->udp ? 6 : 16)) == sum;
}
