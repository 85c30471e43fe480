/* SPDX-License-Identifier: BSD-2-Clause */
#include "steering.h"

#include "atomic.h"
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <string.h>

/* Ethernet, one VLAN tag, IPv4 with all options or IPv6, and the ports behind it. */
#define VLAN_TAG_BYTES 4u
#define PORTS_BYTES    4u
#define HEAD_BYTES     (ETH_HLEN + VLAN_TAG_BYTES + 60 + PORTS_BYTES)

/* The frame's beginning, read once. Returns how many bytes there are. */
static size_t read_head(const struct gw_frame *frame, uint8_t *head)
{
	size_t got = 0;

	for (unsigned int i = 0; i < frame->seg_count && got < HEAD_BYTES; i++) {
		size_t part = frame->seg[i].iov_len;

		if (part > HEAD_BYTES - got)
			part = HEAD_BYTES - got;
		gw_copy_once(head + got, frame->seg[i].iov_base, part);
		got += part;
	}
	return got;
}

/* Fowler, Noll and Vo's, and a last stir: good enough to tell flows apart. */
static uint32_t hash_bytes(uint32_t hash, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return hash ^ hash >> 15;
}

/*
 * Bits are chosen from both ends of the number, and a last byte that differs by
 * one hardly reaches the upper end: neighbours would all go to one pair.
 */
static uint32_t spread(uint32_t hash)
{
	hash *= 0x9e3779b1u; /* 2^32 over the golden ratio, odd */
	return hash ^ hash >> 15;
}

/* Both ends by themselves, then added: the sum knows no direction. */
static uint32_t hash_ends(const uint8_t *from, const uint8_t *to, size_t len, const uint8_t *ports)
{
	uint32_t a = hash_bytes(2166136261u, from, len), b = hash_bytes(2166136261u, to, len);

	if (ports) {
		a = hash_bytes(a, ports, PORTS_BYTES / 2);
		b = hash_bytes(b, ports + PORTS_BYTES / 2, PORTS_BYTES / 2);
	}
	return spread(a + b);
}

static bool has_ports(uint8_t protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/* Fragments have no ports but the first: none of them is told by ports. */
static uint32_t hash_ipv4(const uint8_t *ip, size_t len)
{
	struct iphdr header;
	size_t header_len;
	bool ports;

	memcpy(&header, ip, sizeof(header));
	header_len = header.ihl * 4u;
	ports = has_ports(header.protocol) && !(ntohs(header.frag_off) & (IP_MF | IP_OFFMASK)) &&
		header_len >= sizeof(header) && header_len + PORTS_BYTES <= len;
	return hash_ends(ip + offsetof(struct iphdr, saddr), ip + offsetof(struct iphdr, daddr),
			 sizeof(header.saddr), ports ? ip + header_len : NULL);
}

static uint32_t hash_ipv6(const uint8_t *ip, size_t len)
{
	bool ports = has_ports(ip[offsetof(struct ip6_hdr, ip6_nxt)]) &&
		     sizeof(struct ip6_hdr) + PORTS_BYTES <= len;

	return hash_ends(ip + offsetof(struct ip6_hdr, ip6_src),
			 ip + offsetof(struct ip6_hdr, ip6_dst), sizeof(struct in6_addr),
			 ports ? ip + sizeof(struct ip6_hdr) : NULL);
}

uint32_t steering_hash(const struct gw_frame *frame)
{
	uint8_t head[HEAD_BYTES];
	size_t len = read_head(frame, head), at = 2 * ETH_ALEN;
	uint16_t type;

	if (len < ETH_HLEN)
		return 0;
	memcpy(&type, head + at, sizeof(type));
	if (type == htons(ETH_P_8021Q) && len >= ETH_HLEN + VLAN_TAG_BYTES) {
		at += VLAN_TAG_BYTES;
		memcpy(&type, head + at, sizeof(type));
	}
	at += sizeof(type);
	if (type == htons(ETH_P_IP) && len >= at + sizeof(struct iphdr))
		return hash_ipv4(head + at, len - at);
	if (type == htons(ETH_P_IPV6) && len >= at + sizeof(struct ip6_hdr))
		return hash_ipv6(head + at, len - at);
	return hash_ends(head, head + ETH_ALEN, ETH_ALEN, NULL);
}

void steering_sent(struct steering *steering, uint32_t hash, unsigned int pair)
{
	steering->pair[hash % STEERING_FLOWS] = (uint8_t)(pair + 1);
}

int steering_pair(const struct steering *steering, uint32_t hash)
{
	return steering->pair[hash % STEERING_FLOWS] - 1;
}
