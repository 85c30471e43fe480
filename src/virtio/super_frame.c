/* SPDX-License-Identifier: BSD-2-Clause */
#include "super_frame.h"

#include "atomic.h"
#include "checksum.h"
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* The bytes that are read at first; few headers are longer. */
#define HEADER_USUAL        128u
#define VLAN_TAG_BYTES      4u
#define VLAN_TAGS_MAX       2u
#define WORD_BYTES          4u
#define IPV6_EXTENSIONS_MAX 8u
#define IPV6_EXTENSION_UNIT 8u
#define IP_LEN_MAX          0xffffu
#define IPV4_FRAGMENT_MASK  0x3fffu /* more fragments, or an offset */
#define TCP_FLAGS           13u
#define TCP_FLAG_CWR        0x80u
/* The same sum as 0, which in the field of UDP says that there is no checksum. */
#define CHECKSUM_ZERO       0xffffu

static uint16_t load16(const uint8_t *p)
{
	uint16_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static void store16(uint8_t *p, uint16_t word)
{
	memcpy(p, &word, sizeof(word));
}

_Static_assert(GW_FRAME_LEN_MAX - sizeof(struct ethhdr) - sizeof(struct ip6_hdr) <= IP_LEN_MAX,
	       "the length of IPv6's payload");

/* Ones' complement addition. */
static uint16_t add16(uint16_t a, uint16_t b)
{
	uint32_t sum = (uint32_t)a + b;

	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

static uint16_t sum_of(const uint8_t *p, uint32_t len)
{
	const struct iovec seg = { (void *)p, len };

	return checksum_sum(&seg, 1, 0, len, 0);
}

/* ---- what is asked for ---- */

static uint32_t gso_bits(uint8_t gso_type)
{
	uint32_t ecn = gso_type & VIRTIO_NET_HDR_GSO_ECN ? GW_OFFLOAD_ECN : 0;

	switch (gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return GW_OFFLOAD_TSO4 | ecn;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return GW_OFFLOAD_TSO6 | ecn;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return GW_OFFLOAD_USO;
	}
	return GW_OFFLOAD_ALL + 1; /* nobody takes that */
}

uint32_t super_frame_missing(const struct virtio_net_hdr_v1 *header, uint32_t takes)
{
	uint32_t asked = 0;

	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		asked |= GW_OFFLOAD_CSUM;
	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		asked |= gso_bits(header->gso_type);
	return asked & ~takes;
}

/* ---- reading the header ---- */

/* How far a private copy of the header is understood. */
enum parsed { PARSED, PARSED_BAD, PARSED_MORE /* bytes than were read */ };

/* True if `bytes` from offset `at` on were read. */
static bool has(uint32_t read_len, uint32_t at, uint32_t bytes)
{
	return at <= read_len && bytes <= read_len - at;
}

static enum parsed parse_ethernet(struct super_frame *super, uint32_t read_len)
{
	uint32_t at = offsetof(struct ethhdr, h_proto);

	for (unsigned int tags = 0; tags <= VLAN_TAGS_MAX; tags++, at += VLAN_TAG_BYTES) {
		uint16_t type;

		if (!has(read_len, at, sizeof(type)))
			return PARSED_MORE;
		type = ntohs(load16(super->first + at));
		super->l3 = (uint16_t)(at + sizeof(type));
		super->ipv6 = type == ETH_P_IPV6;
		if (type == ETH_P_IP || type == ETH_P_IPV6)
			return PARSED;
		if (type != ETH_P_8021Q && type != ETH_P_8021AD)
			break;
	}
	return PARSED_BAD;
}

static enum parsed parse_ipv4(struct super_frame *super, uint32_t read_len, uint8_t protocol)
{
	const uint8_t *ip = super->first + super->l3;
	uint32_t len;

	if (!has(read_len, super->l3, sizeof(struct ip)))
		return PARSED_MORE;
	len = (ip[0] & 0xfu) * WORD_BYTES;
	if (ip[0] >> 4 != 4 || len < sizeof(struct ip) || super->l3 + len != super->l4 ||
	    ip[offsetof(struct ip, ip_p)] != protocol ||
	    ntohs(load16(ip + offsetof(struct ip, ip_off))) & IPV4_FRAGMENT_MASK)
		return PARSED_BAD;
	return PARSED;
}

static enum parsed parse_ipv6(struct super_frame *super, uint32_t read_len, uint8_t protocol,
			      bool *routed)
{
	uint32_t at = super->l3;
	uint8_t next;

	*routed = false;
	if (!has(read_len, at, sizeof(struct ip6_hdr)))
		return PARSED_MORE;
	if (super->first[at] >> 4 != 6)
		return PARSED_BAD;
	next = super->first[at + offsetof(struct ip6_hdr, ip6_nxt)];
	at += sizeof(struct ip6_hdr);
	for (unsigned int i = 0; i < IPV6_EXTENSIONS_MAX && next != protocol; i++) {
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS)
			return PARSED_BAD;
		if (!has(read_len, at, sizeof(struct ip6_ext)))
			return PARSED_MORE;
		*routed |= next == IPPROTO_ROUTING;
		next = super->first[at];
		at += (super->first[at + 1] + 1u) * IPV6_EXTENSION_UNIT;
	}
	return next == protocol && at == super->l4 ? PARSED : PARSED_BAD;
}

/* TCP or UDP: where the checksum is, and where the payload begins. */
static enum parsed parse_transport(struct super_frame *super, uint32_t read_len)
{
	bool tcp = super->kind == SUPER_FRAME_TCP;
	uint32_t len = tcp ? sizeof(struct tcphdr) : sizeof(struct udphdr);

	if (!has(read_len, super->l4, len))
		return PARSED_MORE;
	if (tcp)
		len = (super->first[super->l4 + 12] >> 4) * WORD_BYTES;
	if (len < (tcp ? sizeof(struct tcphdr) : sizeof(struct udphdr)))
		return PARSED_BAD;
	if (!has(read_len, super->l4, len))
		return PARSED_MORE;
	super->header_len = (uint16_t)(super->l4 + len);
	return PARSED;
}

/*
 * The pseudo header names the last destination, which with a routing header is not
 * the one in the IPv6 header: there the sum that the sender left in the field is
 * taken, less its length. It has the protocol in it already.
 */
static void sum_pseudo(struct super_frame *super, bool routed, uint8_t protocol)
{
	const uint8_t *ip = super->first + super->l3;
	uint16_t l4_len = (uint16_t)(super->frame->len - super->l4), sum;

	if (routed)
		sum = add16(load16(super->first + super->check), (uint16_t)~htons(l4_len));
	else if (super->ipv6)
		sum = sum_of(ip + offsetof(struct ip6_hdr, ip6_src), 2 * sizeof(struct in6_addr));
	else
		sum = sum_of(ip + offsetof(struct ip, ip_src), 2 * sizeof(struct in_addr));
	super->pseudo = routed ? sum : add16(sum, htons(protocol));
}

/* What of the IPv4 header's checksum is the same in all frames. */
static void sum_ipv4(struct super_frame *super)
{
	uint8_t *ip = super->first + super->l3;

	store16(ip + offsetof(struct ip, ip_sum), 0);
	super->ip_sum = sum_of(ip, (uint32_t)(super->l4 - super->l3));
	super->ip_sum = add16(super->ip_sum, (uint16_t)~load16(ip + offsetof(struct ip, ip_len)));
	super->ip_sum = add16(super->ip_sum, (uint16_t)~load16(ip + offsetof(struct ip, ip_id)));
}

static enum parsed parse_super(struct super_frame *super, uint32_t read_len)
{
	uint8_t protocol = super->kind == SUPER_FRAME_TCP ? IPPROTO_TCP : IPPROTO_UDP;
	bool routed = false;
	enum parsed parsed = parse_ethernet(super, read_len);

	if (parsed == PARSED)
		parsed = super->ipv6 ? parse_ipv6(super, read_len, protocol, &routed)
				     : parse_ipv4(super, read_len, protocol);
	if (parsed == PARSED)
		parsed = parse_transport(super, read_len);
	if (parsed != PARSED)
		return parsed;
	sum_pseudo(super, routed, protocol);
	if (!super->ipv6)
		sum_ipv4(super);
	return PARSED;
}

/*
 * A frame that is whole but for its checksum: all of TCP's or UDP's header is made
 * private if it looks like one, and at least what ends with the field.
 */
static enum parsed parse_checksum(struct super_frame *super, uint32_t read_len)
{
	uint32_t end = super->check + (uint32_t)sizeof(uint16_t);

	if (!has(read_len, 0, end))
		return PARSED_MORE;
	if (super->check - super->l4 == offsetof(struct tcphdr, th_sum))
		end = super->l4 + (super->first[super->l4 + 12] >> 4) * WORD_BYTES;
	if (end < super->check + sizeof(uint16_t) || end > read_len)
		end = super->check + (uint32_t)sizeof(uint16_t);
	super->header_len = (uint16_t)end;
	return PARSED;
}

/* The frame's first bytes, once, to private memory; the Ethernet header as it was decided on. */
static void read_first(struct super_frame *super, uint32_t len)
{
	const struct gw_frame *frame = super->frame;
	uint32_t got = 0;

	for (unsigned int i = 0; got < len; i++) {
		size_t part = frame->seg[i].iov_len;

		if (part > len - got)
			part = len - got;
		gw_copy_once(super->first + got, frame->seg[i].iov_base, part);
		got += (uint32_t)part;
	}
	memcpy(super->first, frame->snapshot, GW_FRAME_SNAPSHOT);
}

static enum parsed parse(struct super_frame *super)
{
	static const uint32_t tries[] = { HEADER_USUAL, GW_HEADER_MAX };
	enum parsed parsed = PARSED_MORE;

	for (unsigned int i = 0; i < 2 && parsed == PARSED_MORE; i++) {
		uint32_t len = super->frame->len < tries[i] ? super->frame->len : tries[i];

		read_first(super, len);
		parsed = super->kind == SUPER_FRAME_CHECKSUM ? parse_checksum(super, len)
							     : parse_super(super, len);
		if (len == super->frame->len && parsed == PARSED_MORE)
			return PARSED_BAD;
	}
	return parsed;
}

static bool kind_of(struct super_frame *super, const struct virtio_net_hdr_v1 *header)
{
	uint32_t offset = offsetof(struct tcphdr, th_sum);

	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		super->kind = SUPER_FRAME_CHECKSUM;
		return header->gso_type == VIRTIO_NET_HDR_GSO_NONE;
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
		super->kind = SUPER_FRAME_TCP;
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		super->kind = SUPER_FRAME_UDP;
		offset = offsetof(struct udphdr, uh_sum);
		break;
	default:
		return false;
	}
	return header->gso_size && header->csum_offset == offset;
}

static bool type_is_the_packets(const struct super_frame *super, uint8_t gso_type)
{
	gso_type &= (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	return gso_type == VIRTIO_NET_HDR_GSO_UDP_L4 ||
	       super->ipv6 == (gso_type == VIRTIO_NET_HDR_GSO_TCPV6);
}

/* Where the payload begins, in segments. */
static void seek(struct super_frame *super, size_t by)
{
	const struct gw_frame *frame = super->frame;

	super->seg_off += by;
	while (super->seg < frame->seg_count && super->seg_off >= frame->seg[super->seg].iov_len)
		super->seg_off -= frame->seg[super->seg++].iov_len;
}

/* The header is understood: how the payload is cut. */
static enum gw_reason plan(struct super_frame *super)
{
	const struct virtio_net_hdr_v1 *header = &super->frame->header;

	super->left = super->frame->len - super->header_len;
	super->size = super->left;
	super->keep_checksum = false;
	if (super->kind != SUPER_FRAME_CHECKSUM) {
		if (!type_is_the_packets(super, header->gso_type))
			return GW_DROP_BAD_HEADER;
		if (super->left > header->gso_size * SUPER_FRAME_CUTS_MAX)
			return GW_DROP_BAD_HEADER;
		if (super->left > header->gso_size)
			super->size = header->gso_size;
		/* IPv6 has 40 bytes more, which no frame is long enough for. */
		if (!super->ipv6 && super_frame_len(super) - super->l3 > IP_LEN_MAX)
			return GW_DROP_BAD_HEADER;
	}
	seek(super, super->header_len);
	return GW_REASON_NONE;
}

enum gw_reason super_frame_begin(struct super_frame *super, const struct gw_frame *frame)
{
	const struct virtio_net_hdr_v1 *header = &frame->header;
	uint32_t check = (uint32_t)header->csum_start + header->csum_offset;

	/* What is not initialized here, parse and plan do. */
	super->frame = frame;
	super->l3 = super->pseudo = super->ip_sum = super->number = 0;
	super->at = 0;
	super->seg = 0;
	super->seg_off = 0;
	super->ipv6 = super->over = false;
	if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || header->csum_start < ETH_HLEN ||
	    check + sizeof(uint16_t) > frame->len || !kind_of(super, header))
		return GW_DROP_BAD_HEADER;
	if (check + sizeof(uint16_t) > GW_HEADER_MAX)
		return super->kind == SUPER_FRAME_CHECKSUM ? GW_COPY_PRIVATE_HEADER
							   : GW_DROP_BAD_HEADER;
	super->l4 = header->csum_start;
	super->check = (uint16_t)check;
	if (parse(super) != PARSED)
		return GW_DROP_BAD_HEADER;
	return plan(super);
}

/* ---- making frames ---- */

unsigned int super_frame_slices(const struct super_frame *super, struct iovec *seg,
				unsigned int max)
{
	const struct gw_frame *frame = super->frame;
	size_t off = super->seg_off, left = super_frame_part(super);
	unsigned int count = 0;

	for (unsigned int i = super->seg; left; i++, off = 0) {
		size_t part = frame->seg[i].iov_len - off;

		if (part > left)
			part = left;
		if (count == max)
			return max + 1;
		seg[count].iov_base = (uint8_t *)frame->seg[i].iov_base + off;
		seg[count++].iov_len = part;
		left -= part;
	}
	return count;
}

static void write_ip(const struct super_frame *super, uint8_t *to)
{
	uint8_t *ip = to + super->l3;
	uint16_t len = (uint16_t)(super_frame_len(super) - super->l3), id;

	if (super->ipv6) {
		store16(ip + offsetof(struct ip6_hdr, ip6_plen),
			htons((uint16_t)(len - sizeof(struct ip6_hdr))));
		return;
	}
	id = (uint16_t)(ntohs(load16(ip + offsetof(struct ip, ip_id))) + super->number);
	store16(ip + offsetof(struct ip, ip_len), htons(len));
	store16(ip + offsetof(struct ip, ip_id), htons(id));
	store16(ip + offsetof(struct ip, ip_sum),
		(uint16_t)~add16(add16(super->ip_sum, htons(len)), htons(id)));
}

static void write_tcp(const struct super_frame *super, uint8_t *tcp)
{
	uint32_t seq;

	memcpy(&seq, tcp + offsetof(struct tcphdr, th_seq), sizeof(seq));
	seq = htonl(ntohl(seq) + super->at);
	memcpy(tcp + offsetof(struct tcphdr, th_seq), &seq, sizeof(seq));
	if (super->left > super->size)
		tcp[TCP_FLAGS] &= (uint8_t) ~(TH_FIN | TH_PUSH);
	if (super->number)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_FLAG_CWR; /* RFC 3168 section 6.1.2 */
}

void super_frame_header(const struct super_frame *super, uint8_t *to,
			struct virtio_net_hdr_v1 *header)
{
	uint32_t l4_len = super_frame_len(super) - super->l4;

	memcpy(to, super->first, super->header_len);
	*header = super->frame->header;
	header->gso_type = VIRTIO_NET_HDR_GSO_NONE;
	header->gso_size = 0;
	header->hdr_len = super->header_len;
	if (!super->keep_checksum)
		header->flags &= (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM;
	if (super->kind == SUPER_FRAME_CHECKSUM)
		return;
	write_ip(super, to);
	if (super->kind == SUPER_FRAME_TCP)
		write_tcp(super, to + super->l4);
	else
		store16(to + super->l4 + offsetof(struct udphdr, uh_ulen), htons((uint16_t)l4_len));
	store16(to + super->check, add16(super->pseudo, htons((uint16_t)l4_len)));
}

void super_frame_checksum(const struct super_frame *super, const struct iovec *seg,
			  unsigned int count)
{
	uint16_t check;

	if (super->keep_checksum)
		return;
	/* The field holds the pseudo header's sum. */
	check = (uint16_t)~checksum_sum(seg, count, super->l4, UINT32_MAX, 0);
	if (!check && super->kind != SUPER_FRAME_TCP)
		check = CHECKSUM_ZERO;
	checksum_store(seg, count, super->check, check);
}

void super_frame_advance(struct super_frame *super)
{
	uint32_t part = super_frame_part(super);

	super->left -= part;
	super->at += part;
	super->number++;
	super->over = !super->left;
	if (!super->over)
		seek(super, part);
}

uint32_t super_frame_count(const struct super_frame *super)
{
	if (super->over)
		return 0;
	return super->left ? (super->left + super->size - 1) / super->size : 1;
}
