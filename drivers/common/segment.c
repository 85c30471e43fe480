/* SPDX-License-Identifier: BSD-2-Clause */
#include "segment.h"

#include "checksum.h"
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stddef.h>
#include <string.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define VLAN_TAG_BYTES 4u
#define TCP_WORD_BYTES 4u

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

/* Where the IP header begins; 0 if this is no IP. */
static uint32_t find_l3(const uint8_t *frame, uint32_t linear, bool *ipv6)
{
	uint32_t at = offsetof(struct ethhdr, h_proto);
	uint16_t type;

	for (; at + 2 + sizeof(struct ip6_hdr) <= linear; at += VLAN_TAG_BYTES) {
		type = ntohs(load16(frame + at));
		*ipv6 = type == ETH_P_IPV6;
		if (type == ETH_P_IP || type == ETH_P_IPV6)
			return at + 2;
		if (type != ETH_P_8021Q && type != ETH_P_8021AD)
			return 0;
	}
	return 0;
}

static uint32_t l4_header_bytes(const struct segment_job *job, const uint8_t *l4)
{
	if (job->udp)
		return sizeof(struct udphdr);
	return (l4[12] >> 4) * TCP_WORD_BYTES;
}

static bool type_is_known(uint8_t gso_type, bool ipv6, bool *udp)
{
	gso_type &= (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	*udp = gso_type == VIRTIO_NET_HDR_GSO_UDP_L4;
	return *udp || gso_type == (ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4);
}

bool segment_begin(struct segment_job *job, const struct gw_frame *packet)
{
	const uint8_t *first = packet->seg[0].iov_base;
	uint32_t linear = (uint32_t)packet->seg[0].iov_len;

	memset(job, 0, sizeof(*job));
	job->l3 = find_l3(first, linear, &job->ipv6);
	job->l4 = packet->header.csum_start;
	job->size = packet->header.gso_size;
	if (!job->l3 || !job->size || !type_is_known(packet->header.gso_type, job->ipv6, &job->udp))
		return false;
	if (job->l4 < job->l3 + (job->ipv6 ? sizeof(struct ip6_hdr) : sizeof(struct ip)))
		return false;
	if (job->l4 > linear || sizeof(struct tcphdr) > linear - job->l4)
		return false;
	job->payload = job->l4 + l4_header_bytes(job, first + job->l4);
	if (job->payload < job->l4 + sizeof(struct udphdr) ||
	    (!job->udp && job->payload < job->l4 + sizeof(struct tcphdr)))
		return false;
	if (job->payload > linear || job->payload > SEGMENT_HEADER_MAX ||
	    job->payload >= packet->len)
		return false;
	job->at = job->payload;
	job->packet = packet;
	return true;
}

uint32_t segment_left(const struct segment_job *job)
{
	if (!job->packet)
		return 0;
	return (job->packet->len - job->at + job->size - 1) / job->size;
}

/* ---- headers ---- */

static void ip_write(const struct segment_job *job, uint8_t *buffer, uint32_t payload)
{
	uint8_t *ip = buffer + job->l3;
	struct iovec header = { ip, job->l4 - job->l3 };
	uint32_t len = job->payload - job->l3 + payload;
	uint16_t id;

	if (job->ipv6) {
		store16(ip + offsetof(struct ip6_hdr, ip6_plen),
			htons((uint16_t)(len - sizeof(struct ip6_hdr))));
		return;
	}
	id = (uint16_t)(ntohs(load16(ip + offsetof(struct ip, ip_id))) + job->number);
	store16(ip + offsetof(struct ip, ip_len), htons((uint16_t)len));
	store16(ip + offsetof(struct ip, ip_id), htons(id));
	store16(ip + offsetof(struct ip, ip_sum), 0);
	store16(ip + offsetof(struct ip, ip_sum),
		(uint16_t)~checksum_sum(&header, 1, 0, UINT32_MAX, 0));
}

static void tcp_write(const struct segment_job *job, uint8_t *tcp, bool last)
{
	uint8_t *flags = tcp + 13;
	uint32_t seq;

	memcpy(&seq, tcp + offsetof(struct tcphdr, th_seq), sizeof(seq));
	seq = htonl(ntohl(seq) + job->at - job->payload);
	memcpy(tcp + offsetof(struct tcphdr, th_seq), &seq, sizeof(seq));
	if (!last)
		*flags &= (uint8_t) ~(TH_FIN | TH_PUSH);
	if (job->number)
		*flags &= 0x7f; /* CWR is for the first (RFC 3168) */
}

/* Sum of the pseudo header: both addresses, protocol, length. */
static uint16_t pseudo_sum(const struct segment_job *job, const uint8_t *ip, uint32_t len)
{
	size_t from = job->ipv6 ? offsetof(struct ip6_hdr, ip6_src) : offsetof(struct ip, ip_src);
	const uint16_t rest[2] = { htons(job->udp ? IPPROTO_UDP : IPPROTO_TCP),
				   htons((uint16_t)len) };
	const struct iovec pseudo[2] = { { (void *)(ip + from), job->ipv6 ? 32 : 8 },
					 { (void *)rest, sizeof(rest) } };

	return checksum_sum(pseudo, 2, 0, UINT32_MAX, 0);
}

static void check_write(const struct segment_job *job, uint8_t *buffer, uint32_t payload)
{
	uint32_t header_len = job->payload - job->l4;
	const struct iovec header = { buffer + job->l4, header_len };
	uint8_t *field =
		buffer + job->l4 +
		(job->udp ? offsetof(struct udphdr, uh_sum) : offsetof(struct tcphdr, th_sum));
	uint16_t sum = pseudo_sum(job, buffer + job->l3, header_len + payload);

	store16(field, 0);
	sum = checksum_sum(&header, 1, 0, header_len, sum);
	sum = checksum_sum(job->packet->seg, job->packet->seg_count, job->at, payload, sum);
	sum = (uint16_t)~sum;
	store16(field, sum ? sum : 0xffff);
}

/* ---- frames ---- */

/* The packet's bytes from `at`, len of them, behind the header. */
static void payload_name(const struct gw_frame *packet, uint32_t at, uint32_t len,
			 struct gw_frame *frame)
{
	for (unsigned int i = 0; i < packet->seg_count && len; i++) {
		const struct iovec *seg = &packet->seg[i];
		uint32_t part;

		if (at >= seg->iov_len) {
			at -= (uint32_t)seg->iov_len;
			continue;
		}
		part = (uint32_t)seg->iov_len - at;
		if (part > len)
			part = len;
		frame->seg[frame->seg_count].iov_base = (uint8_t *)seg->iov_base + at;
		frame->seg[frame->seg_count++].iov_len = part;
		len -= part;
		at = 0;
	}
}

void segment_next(struct segment_job *job, uint8_t *buffer, struct gw_frame *frame)
{
	const struct gw_frame *packet = job->packet;
	uint32_t left = packet->len - job->at, part = left < job->size ? left : job->size;

	memcpy(buffer, packet->seg[0].iov_base, job->payload);
	ip_write(job, buffer, part);
	if (job->udp)
		store16(buffer + job->l4 + offsetof(struct udphdr, uh_ulen),
			htons((uint16_t)(sizeof(struct udphdr) + part)));
	else
		tcp_write(job, buffer + job->l4, part == left);
	check_write(job, buffer, part);
	memset(frame, 0, offsetof(struct gw_frame, own));
	frame->seg = frame->own;
	frame->seg[0].iov_base = buffer;
	frame->seg[0].iov_len = job->payload;
	frame->seg_count = 1;
	payload_name(packet, job->at, part, frame);
	frame->len = job->payload + part;
	memcpy(frame->snapshot, buffer, GW_FRAME_SNAPSHOT);
	job->at += part;
	job->number++;
	if (part == left)
		job->packet = NULL;
}
