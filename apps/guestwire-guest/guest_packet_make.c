/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest_packet.h"

#include "guest_packet_inside.h"

static bool is_ipv6(const struct packet_shape *shape)
{
	return shape->kind == PACKET_TCP6 || shape->kind == PACKET_UDP6;
}

static bool is_tcp(const struct packet_shape *shape)
{
	return shape->kind == PACKET_TCP4 || shape->kind == PACKET_TCP6;
}

static size_t l3_offset(const struct packet_shape *shape)
{
	return PATTERN_ETH_BYTES + TAG_BYTES * shape->tags;
}

static size_t l4_offset(const struct packet_shape *shape)
{
	size_t ip = is_ipv6(shape) ? IPV6_BYTES + IPV6_EXTENSION_BYTES * shape->extra
				   : IPV4_BYTES + IPV4_OPTION_BYTES * shape->extra;

	return l3_offset(shape) + ip;
}

size_t packet_header_bytes(const struct packet_shape *shape)
{
	return l4_offset(shape) + (is_tcp(shape) ? TCP_BYTES : UDP_BYTES);
}

uint32_t packet_pieces(const struct packet_shape *shape, size_t size)
{
	size_t payload = size - packet_header_bytes(shape);

	return payload > shape->mss ? (uint32_t)((payload + shape->mss - 1) / shape->mss) : 1;
}

uint16_t packet_sum(const uint8_t *from, size_t len, uint32_t start)
{
	uint64_t sum = start;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += fetch16(from + i);
	if (len & 1)
		sum += (uint32_t)from[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint16_t packet_pseudo_sum(const uint8_t *ip, bool ipv6, uint8_t protocol, uint32_t len)
{
	uint32_t start = protocol + (len >> 16) + (len & 0xffff);

	return ipv6 ? packet_sum(ip + 8, 32, start) : packet_sum(ip + 12, 8, start);
}

/* ---- layer by layer ---- */

static void make_ethernet(const struct packet_shape *shape, uint8_t *frame)
{
	uint8_t *at = frame + 2 * PATTERN_MAC_BYTES;

	memcpy(frame, shape->address.dst, PATTERN_MAC_BYTES);
	memcpy(frame + PATTERN_MAC_BYTES, shape->address.src, PATTERN_MAC_BYTES);
	for (uint32_t i = 0; i < shape->tags; i++, at += TAG_BYTES) {
		store16(at, i + 1 < shape->tags ? TYPE_OUTER_TAG : TYPE_TAG);
		store16(at + 2, 7 + i * 70);
	}
	store16(at, is_ipv6(shape) ? TYPE_IPV6 : TYPE_IPV4);
}

static void make_ipv4(const struct packet_shape *shape, uint8_t *ip, size_t len, uint64_t first)
{
	size_t header = IPV4_BYTES + IPV4_OPTION_BYTES * shape->extra;

	memset(ip, 1, header); /* options: NOP */
	ip[0] = (uint8_t)(0x40 | header / 4);
	ip[1] = PACKET_TOS;
	store16(ip + 2, (uint32_t)len);
	store16(ip + 4, (uint32_t)first);
	store16(ip + 6, 0x4000); /* DF */
	ip[8] = PACKET_TTL;
	ip[9] = is_tcp(shape) ? NEXT_TCP : NEXT_UDP;
	store16(ip + 10, 0);
	ip[12] = ip[16] = 10;
	memcpy(ip + 13, shape->address.src + 3, 3);
	memcpy(ip + 17, shape->address.dst + 3, 3);
	store16(ip + 10, (uint16_t)~packet_sum(ip, header, 0));
}

static void make_ipv6_address(uint8_t *to, const uint8_t *mac)
{
	memset(to, 0, 16);
	to[0] = 0xfd;
	to[1] = 0x57;
	memcpy(to + 10, mac, PATTERN_MAC_BYTES);
}

static void make_ipv6(const struct packet_shape *shape, uint8_t *ip, size_t len)
{
	uint8_t *next = ip + 6, *at = ip + IPV6_BYTES;

	store32(ip, 6u << 28 | PACKET_TOS << 20 | PACKET_FLOW);
	store16(ip + 4, (uint32_t)(len - IPV6_BYTES));
	ip[7] = PACKET_TTL;
	make_ipv6_address(ip + 8, shape->address.src);
	make_ipv6_address(ip + 24, shape->address.dst);
	for (uint32_t i = 0; i < shape->extra; i++, at += IPV6_EXTENSION_BYTES) {
		*next = i ? NEXT_OPTIONS : NEXT_HOP_BY_HOP;
		memset(at, 0, IPV6_EXTENSION_BYTES);
		at[2] = 1; /* PadN, four bytes of it */
		at[3] = 4;
		next = at;
	}
	*next = is_tcp(shape) ? NEXT_TCP : NEXT_UDP;
}

static uint8_t tcp_flags(const struct packet_shape *shape, uint64_t first)
{
	uint8_t flags = FLAG_ACK;

	flags |= first & 1 ? FLAG_PSH : 0;
	flags |= first & 2 ? FLAG_FIN : 0;
	flags |= first & 8 ? FLAG_ECE : 0;
	return flags | (first & 4 && shape->ecn ? FLAG_CWR : 0);
}

static void make_tcp(const struct packet_shape *shape, uint8_t *tcp, size_t payload,
		     uint32_t stream, uint64_t first)
{
	static const uint8_t options[] = { 1, 1, 8, 10 }; /* NOP, NOP, timestamps */

	store16(tcp, (uint16_t)(shape->port + shape->flow));
	store16(tcp + 2, shape->port);
	store32(tcp + 4, packet_seq(first));
	store32(tcp + 8, (uint32_t)first);
	tcp[12] = TCP_BYTES / 4 << 4;
	tcp[13] = tcp_flags(shape, first);
	store16(tcp + 14, shape->mss < UINT16_MAX ? shape->mss : UINT16_MAX);
	store16(tcp + TCP_CHECK, 0);
	store16(tcp + 18, tcp[13]);
	memcpy(tcp + 20, options, sizeof(options));
	store32(tcp + 24, (uint32_t)payload);
	store32(tcp + 28, stream);
}

static void make_udp(const struct packet_shape *shape, uint8_t *udp, size_t payload)
{
	store16(udp, (uint16_t)(shape->port + shape->flow));
	store16(udp + 2, shape->port);
	store16(udp + 4, (uint32_t)(UDP_BYTES + payload));
	store16(udp + UDP_CHECK, 0);
}

static void make_payload(const struct packet_shape *shape, uint8_t *to, size_t len, uint32_t stream,
			 uint64_t first)
{
	do {
		size_t part = len < shape->mss ? len : shape->mss;

		pattern_make_payload(to, part, stream, first++);
		to += part;
		len -= part;
	} while (len);
}

/* The checksum, or the pseudo header's sum for the device to go on with. */
static void make_checksum(const struct packet_shape *shape, uint8_t *frame, size_t size)
{
	size_t l3 = l3_offset(shape), l4 = l4_offset(shape);
	bool tcp = is_tcp(shape);
	uint8_t *field = frame + l4 + (tcp ? TCP_CHECK : UDP_CHECK);
	uint16_t sum = packet_pseudo_sum(frame + l3, is_ipv6(shape), tcp ? NEXT_TCP : NEXT_UDP,
					 (uint32_t)(size - l4));

	if (!shape->partial) {
		sum = (uint16_t)~packet_sum(frame + l4, size - l4, sum);
		if (!sum && !tcp)
			sum = 0xffff;
	}
	store16(field, sum);
}

static uint8_t gso_type(const struct packet_shape *shape, uint8_t flags)
{
	uint8_t ecn = flags & FLAG_CWR ? VIRTIO_NET_HDR_GSO_ECN : 0;

	switch (shape->kind) {
	case PACKET_TCP4:
		return VIRTIO_NET_HDR_GSO_TCPV4 | ecn;
	case PACKET_TCP6:
		return VIRTIO_NET_HDR_GSO_TCPV6 | ecn;
	case PACKET_UDP4:
	case PACKET_UDP6:
		return VIRTIO_NET_HDR_GSO_UDP_L4;
	case PACKET_RAW:
		break;
	}
	return VIRTIO_NET_HDR_GSO_NONE;
}

static void make_virtio(const struct packet_shape *shape, size_t size, uint64_t first,
			struct virtio_net_hdr_v1 *header)
{
	memset(header, 0, sizeof(*header));
	if (!shape->partial)
		return;
	header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->csum_start = htole16((uint16_t)l4_offset(shape));
	header->csum_offset = htole16(is_tcp(shape) ? TCP_CHECK : UDP_CHECK);
	if (packet_pieces(shape, size) == 1)
		return;
	header->gso_type = gso_type(shape, is_tcp(shape) ? tcp_flags(shape, first) : 0);
	header->gso_size = htole16((uint16_t)shape->mss);
	header->hdr_len = htole16((uint16_t)packet_header_bytes(shape));
}

void packet_make(const struct packet_shape *shape, uint8_t *frame, size_t size, uint32_t stream,
		 uint64_t first, struct virtio_net_hdr_v1 *header)
{
	size_t l3 = l3_offset(shape), l4 = l4_offset(shape);
	size_t payload = size - packet_header_bytes(shape);

	make_ethernet(shape, frame);
	if (is_ipv6(shape))
		make_ipv6(shape, frame + l3, size - l3);
	else
		make_ipv4(shape, frame + l3, size - l3, first);
	if (is_tcp(shape))
		make_tcp(shape, frame + l4, payload, stream, first);
	else
		make_udp(shape, frame + l4, payload);
	make_payload(shape, frame + size - payload, payload, stream, first);
	make_checksum(shape, frame, size);
	make_virtio(shape, size, first, header);
}
