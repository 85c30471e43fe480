/* SPDX-License-Identifier: BSD-2-Clause */
#include "mock_super.h"

#include "net_bytes.h"
#include <string.h>

enum {
	TCP = 6,
	UDP = 17,
	ROUTING = 43,
	ROUTING_BYTES = 24, /* one address */
	FIN = 0x01,
	PSH = 0x08,
	CWR = 0x80,
};

uint64_t mock_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint16_t mock_sum(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return (uint16_t)sum;
}

/* ---- building ---- */

static uint32_t make_ethernet(struct mock_super *super)
{
	uint32_t at = 12;

	for (unsigned int i = 0; i < super->shape.vlan_tags; i++, at += 4)
		put16(super->bytes + at, i + 1 < super->shape.vlan_tags ? 0x88a8 : 0x8100);
	put16(super->bytes + at, super->shape.ipv6 ? 0x86dd : 0x0800);
	return at + 2;
}

static uint32_t make_ipv4(struct mock_super *super, uint32_t l4_len)
{
	uint8_t *ip = super->bytes + super->l3;
	uint32_t len = 20 + 4 * super->shape.ip_options;

	ip[0] = (uint8_t)(0x40 | len / 4);
	put16(ip + 2, len + l4_len);
	put16(ip + 4, super->shape.id);
	put16(ip + 6, 0x4000); /* do not fragment */
	ip[9] = super->shape.udp ? UDP : TCP;
	put16(ip + 10, 0);
	put16(ip + 10, (uint16_t)~mock_sum(ip, len, 0));
	super->pseudo = mock_sum(ip + 12, 8, ip[9]);
	return super->l3 + len;
}

/* The chain of extension headers; `next` is where the type of the next one is written. */
static uint32_t make_extensions(struct mock_super *super, uint8_t *next, const uint8_t **to)
{
	uint32_t at = super->l3 + 40;

	for (const uint8_t *type = super->shape.extension; *type; type++) {
		uint8_t *header = super->bytes + at;

		*next = *type == MOCK_SUPER_HOP_BY_HOP ? 0 : *type;
		next = header;
		if (*type == ROUTING) {
			header[1] = ROUTING_BYTES / 8 - 1;
			header[2] = 2; /* RFC 6275: one address */
			header[3] = 1; /* segments left: the packet is not there yet */
			*to = header + 8;
			at += ROUTING_BYTES;
		} else {
			header[1] = (uint8_t)super->shape.extension_units;
			at += 8 * (header[1] + 1u);
		}
	}
	*next = super->shape.udp ? UDP : TCP;
	return at;
}

static uint32_t make_ipv6(struct mock_super *super, uint32_t l4_len)
{
	uint8_t *ip = super->bytes + super->l3;
	const uint8_t *to = ip + 24;
	uint32_t l4;

	ip[0] = 0x60 | (ip[0] & 0xf);
	l4 = make_extensions(super, ip + 6, &to);
	put16(ip + 4, l4 - super->l3 - 40 + l4_len);
	super->pseudo = mock_sum(ip + 8, 16, super->shape.udp ? UDP : TCP);
	super->pseudo = mock_sum(to, 16, super->pseudo);
	return l4;
}

static void make_transport(struct mock_super *super, uint32_t l4_len)
{
	uint8_t *l4 = super->bytes + super->l4, length[2];

	if (super->shape.udp) {
		put16(l4 + 4, l4_len);
	} else {
		put32(l4 + 4, super->shape.seq);
		l4[12] = (uint8_t)((5 + super->shape.tcp_options) << 4);
		l4[13] = super->shape.tcp_flags;
	}
	/* As Linux leaves it: with the length of the whole. */
	put16(length, l4_len);
	super->check_at = super->l4 + (super->shape.udp ? 6 : 16);
	put16(super->bytes + super->check_at, mock_sum(length, 2, super->pseudo));
}

static void make_header(struct mock_super *super)
{
	const struct mock_super_shape *shape = &super->shape;

	super->header = (struct virtio_net_hdr_v1){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = (uint16_t)super->l4,
		.csum_offset = shape->udp ? 6 : 16,
	};
	if (shape->whole)
		return;
	super->header.hdr_len = (uint16_t)super->header_len;
	super->header.gso_size = shape->gso_size;
	super->header.gso_type = shape->udp    ? VIRTIO_NET_HDR_GSO_UDP_L4
				 : shape->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6
					       : VIRTIO_NET_HDR_GSO_TCPV4;
	if (!shape->udp && shape->tcp_flags & CWR)
		super->header.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
}

void mock_super_make(struct mock_super *super, const struct mock_super_shape *shape)
{
	uint32_t l4_bytes = shape->udp ? 8 : 20 + 4 * shape->tcp_options;
	uint64_t random = shape->seed;

	super->shape = *shape;
	for (uint32_t i = 0; i < sizeof(super->bytes); i += 8) {
		uint64_t word = mock_random(&random);

		memcpy(super->bytes + i, &word, sizeof(word));
	}
	super->l3 = make_ethernet(super);
	super->l4 = shape->ipv6 ? make_ipv6(super, l4_bytes + shape->payload)
				: make_ipv4(super, l4_bytes + shape->payload);
	super->header_len = super->l4 + l4_bytes;
	super->len = super->header_len + shape->payload;
	make_transport(super, l4_bytes + shape->payload);
	make_header(super);
}

static void any_extensions(struct mock_super_shape *shape, uint64_t *random)
{
	static const uint8_t types[] = { MOCK_SUPER_HOP_BY_HOP, ROUTING, 60, 60 };
	unsigned int count = (unsigned int)(mock_random(random) % 6);

	/* With a half of all none at all, as it is out there. */
	for (unsigned int i = 0; i < count && count < 4; i++)
		shape->extension[i] = types[mock_random(random) % sizeof(types)];
	shape->extension_units = (unsigned int)(mock_random(random) % 4);
}

struct mock_super_shape mock_super_any(uint64_t *random)
{
	uint64_t bits = mock_random(random);
	struct mock_super_shape shape = {
		.ipv6 = bits & 1,
		.udp = (bits & 6) == 6,
		.whole = (bits & 0x38) == 0x38,
		.vlan_tags = (bits >> 6) % 3,
		.ip_options = bits & 0x200 ? (bits >> 10) % 11 : 0,
		.tcp_options = (bits >> 16) % 11,
		.payload = (uint32_t)(mock_random(random) % (bits & 0x100000 ? 65000 : 5000)),
		.gso_size = (uint16_t)(1 + mock_random(random) % (bits & 0x200000 ? 65535 : 1500)),
		.id = (uint16_t)(bits >> 24),
		.seq = (uint32_t)(bits >> 32),
		.tcp_flags = (uint8_t)(bits >> 48),
		.seed = (uint32_t)mock_random(random),
	};

	if (shape.ipv6)
		any_extensions(&shape, random);
	if (bits >> 60 == 1)
		shape.payload = 0;
	if (bits >> 60 == 2)
		shape.payload = shape.gso_size * (uint32_t)(shape.payload / shape.gso_size);
	if (shape.payload > 1024u * shape.gso_size)
		shape.payload = 1024u * shape.gso_size;
	return shape;
}

/* ---- judging ---- */

static uint32_t size_of(const struct mock_super *super)
{
	const struct mock_super_shape *shape = &super->shape;

	return shape->whole || shape->gso_size > shape->payload ? shape->payload : shape->gso_size;
}

unsigned int mock_super_frames(const struct mock_super *super)
{
	uint32_t size = size_of(super);

	return size ? (super->shape.payload + size - 1) / size : 1;
}

/* The header as it has to be, but for checksums. */
static void expect_header(const struct mock_super *super, uint32_t at, uint32_t part, uint8_t *to)
{
	const struct mock_super_shape *shape = &super->shape;
	uint8_t *ip = to + super->l3, *l4 = to + super->l4;
	uint32_t number = at ? at / size_of(super) : 0;
	uint32_t l4_len = super->header_len - super->l4 + part;

	memcpy(to, super->bytes, super->header_len);
	if (shape->whole)
		return;
	if (shape->ipv6) {
		put16(ip + 4, super->l4 - super->l3 - 40 + l4_len);
	} else {
		put16(ip + 2, super->l4 - super->l3 + l4_len);
		put16(ip + 4, (shape->id + number) & 0xffff);
	}
	if (shape->udp) {
		put16(l4 + 4, l4_len);
		return;
	}
	put32(l4 + 4, shape->seq + at);
	if (number)
		l4[13] &= (uint8_t)~CWR;
	if (at + part < shape->payload)
		l4[13] &= (uint8_t) ~(FIN | PSH);
}

/* The transport checksum of a frame, its field as it is in `expected` taken for 0. */
static uint16_t expect_check(const struct mock_super *super, const uint8_t *frame, uint32_t len)
{
	uint32_t l4_len = len - super->l4;
	uint8_t copy[MOCK_SUPER_BYTES], length[2];
	uint16_t check;

	memcpy(copy, frame, len);
	put16(copy + super->check_at, 0);
	put16(length, l4_len);
	check = mock_sum(length, 2, super->pseudo);
	check = (uint16_t)~mock_sum(copy + super->l4, l4_len, check);
	/* TCP's is left as it is where it is cut, as Linux does it. */
	return check || (!super->shape.udp && !super->shape.whole) ? check : 0xffff;
}

const char *mock_super_wrong(const struct mock_super *super, unsigned int number,
			     const uint8_t *frame, uint32_t len, bool partial)
{
	uint32_t size = size_of(super), at = number * size;
	uint32_t part = super->shape.payload - at < size ? super->shape.payload - at : size;
	uint32_t ip_check = super->l3 + 10;
	uint8_t expected[1024], length[2];

	if (number >= mock_super_frames(super))
		return "one frame too many";
	if (len != super->header_len + part)
		return "length";
	if (memcmp(frame + super->header_len, super->bytes + super->header_len + at, part))
		return "payload";
	expect_header(super, at, part, expected);
	if (!super->shape.ipv6) {
		if (mock_sum(frame + super->l3, super->l4 - super->l3, 0) != 0xffff)
			return "checksum of the IPv4 header";
		memcpy(expected + ip_check, frame + ip_check, 2);
	}
	put16(length, len - super->l4);
	put16(expected + super->check_at,
	      partial ? mock_sum(length, 2, super->pseudo) : expect_check(super, frame, len));
	if (get16(expected + super->check_at) != get16(frame + super->check_at))
		return partial ? "sum of the pseudo header" : "checksum";
	return memcmp(frame, expected, super->header_len) ? "header" : NULL;
}
