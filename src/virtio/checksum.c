/* SPDX-License-Identifier: BSD-2-Clause */
#include "checksum.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

enum {
	VLAN_TAG_BYTES = 4,
	VLAN_TAGS_MAX = 2,
	IPV4_HEADER_MIN = 20,
	IPV6_HEADER = 40,
	TCP_CHECK_OFFSET = 16,
	UDP_CHECK_OFFSET = 6,
	IPV4_FRAGMENT_MASK = 0x3fff, /* more fragments, or an offset */
};

static uint16_t fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)((sum >> 16) + (sum & 0xffff));
}

static uint16_t load16(const void *p)
{
	uint16_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/*
 * Two 64-bit lanes at a time: vectors of 16 bytes are what every 64-bit processor has,
 * and longer ones are put together by some compilers through memory. What overflows a
 * lane is not lost: the upper halves are summed apart as well, and what they were in
 * the sum of the whole can be taken off again, as all is modulo 2^64.
 */
typedef uint64_t lanes __attribute__((vector_size(16)));

#define LANES_STEP     (4 * sizeof(lanes))
/* How far ahead memory is asked for: about as much as arrives meanwhile. */
#define PREFETCH_BYTES 1024

static uint64_t sum_lanes(const uint8_t **at, size_t *left)
{
	lanes all_a = { 0 }, all_b = { 0 }, high_a = { 0 }, high_b = { 0 }, w, x, y, z;
	const uint8_t *p = *at;
	size_t len = *left;

	for (; len >= LANES_STEP; p += LANES_STEP, len -= LANES_STEP) {
		/* Payload follows on payload; an address that is not mapped does no harm. */
		__builtin_prefetch(p + PREFETCH_BYTES);
		memcpy(&w, p, sizeof(w));
		memcpy(&x, p + sizeof(w), sizeof(x));
		memcpy(&y, p + 2 * sizeof(w), sizeof(y));
		memcpy(&z, p + 3 * sizeof(w), sizeof(z));
		all_a += w;
		all_b += x;
		high_a += w >> 32;
		high_b += x >> 32;
		all_a += y;
		all_b += z;
		high_a += y >> 32;
		high_b += z >> 32;
	}
	for (; len >= sizeof(w); p += sizeof(w), len -= sizeof(w)) {
		memcpy(&w, p, sizeof(w));
		all_a += w;
		high_a += w >> 32;
	}
	*at = p;
	*left = len;
	all_a += all_b;
	high_a += high_b;
	all_a -= high_a << 32;
	all_a += high_a;
	return all_a[0] + all_a[1];
}

/* At most GW_FRAME_LEN_MAX bytes: the carries of 16384 words fit into 64 bits. */
static uint64_t sum_bytes(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;
	uint32_t word;

	if (len >= sizeof(lanes))
		sum = sum_lanes(&p, &len);
	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum += word;
	}
	if (len >= 2) {
		sum += load16(p);
		p += 2;
		len -= 2;
	}
	if (len) {
		const uint8_t last[2] = { *p, 0 };

		sum += load16(last);
	}
	return sum;
}

uint16_t checksum_sum(const struct iovec *seg, unsigned int count, uint32_t from, uint32_t len,
		      uint16_t start)
{
	uint64_t sum = start;
	bool odd = false;

	for (; count && len; seg++, count--) {
		size_t part = seg->iov_len;
		uint64_t bytes;

		if (from >= part) {
			from -= (uint32_t)part;
			continue;
		}
		part -= from;
		if (part > len)
			part = len;
		bytes = sum_bytes((const uint8_t *)seg->iov_base + from, part);
		/* A piece that begins at an odd byte has its halves the other way round. */
		sum += odd ? __builtin_bswap16(fold(bytes)) : bytes;
		odd ^= part & 1;
		len -= (uint32_t)part;
		from = 0;
	}
	return fold(sum);
}

void checksum_store(const struct iovec *seg, unsigned int count, uint32_t offset, uint16_t check)
{
	uint8_t bytes[sizeof(check)];
	unsigned int done = 0;

	if (count && seg->iov_len >= sizeof(check) && offset <= seg->iov_len - sizeof(check)) {
		memcpy((uint8_t *)seg->iov_base + offset, &check, sizeof(check));
		return;
	}
	memcpy(bytes, &check, sizeof(check));
	for (; count && done < sizeof(check); seg++, count--) {
		while (offset < seg->iov_len && done < sizeof(check))
			((uint8_t *)seg->iov_base)[offset++] = bytes[done++];
		offset -= (uint32_t)(offset < seg->iov_len ? offset : seg->iov_len);
	}
}

bool checksum_complete(const struct iovec *seg, unsigned int count, uint32_t len,
		       struct virtio_net_hdr_v1 *header)
{
	uint32_t start = header->csum_start, offset = header->csum_offset;
	uint16_t check;

	if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return true;
	if (start >= len || offset > len - start || sizeof(check) > len - start - offset)
		return false;
	check = (uint16_t)~checksum_sum(seg, count, start, len - start, 0);
	/* 0 says "no checksum" in UDP; for the sum, 0xffff is the same number. */
	if (!check)
		check = 0xffff;
	checksum_store(seg, count, start + offset, check);
	header->flags &= (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM;
	return true;
}

/* What the two IP versions have for us: the pseudo header's sum and where the payload is. */
struct transport {
	uint64_t address_sum;
	uint32_t start; /* of TCP or UDP in the frame */
	uint32_t len;
	uint8_t protocol;
};

static bool parse_ipv4(const uint8_t *ip, uint32_t room, struct transport *t)
{
	uint32_t header = (ip[0] & 0xfu) * 4, total = ntohs(load16(ip + 2));

	if (ip[0] >> 4 != 4 || header < IPV4_HEADER_MIN || total < header || total > room)
		return false;
	if (ntohs(load16(ip + 6)) & IPV4_FRAGMENT_MASK)
		return false;
	t->address_sum = sum_bytes(ip + 12, 8);
	t->start += header;
	t->len = total - header;
	t->protocol = ip[9];
	return true;
}

static bool parse_ipv6(const uint8_t *ip, uint32_t room, struct transport *t)
{
	uint32_t payload = ntohs(load16(ip + 4));

	if (ip[0] >> 4 != 6 || payload > room - IPV6_HEADER)
		return false;
	t->address_sum = sum_bytes(ip + 8, 32);
	t->start += IPV6_HEADER;
	t->len = payload;
	t->protocol = ip[6];
	return true;
}

static bool parse_ip(const uint8_t *frame, uint32_t linear, uint32_t len, struct transport *t)
{
	uint32_t at = 12;
	uint16_t type;

	if (linear < ETH_HLEN)
		return false;
	type = ntohs(load16(frame + at));
	for (int i = 0; i < VLAN_TAGS_MAX && (type == ETH_P_8021Q || type == ETH_P_8021AD); i++) {
		at += VLAN_TAG_BYTES;
		if (linear < at + 2)
			return false;
		type = ntohs(load16(frame + at));
	}
	t->start = at + 2;
	if (type == ETH_P_IP && linear >= t->start + IPV4_HEADER_MIN)
		return parse_ipv4(frame + t->start, len - t->start, t);
	if (type == ETH_P_IPV6 && linear >= t->start + IPV6_HEADER)
		return parse_ipv6(frame + t->start, len - t->start, t);
	return false;
}

bool checksum_find_partial(const uint8_t *frame, uint32_t linear, uint32_t len,
			   struct virtio_net_hdr_v1 *header)
{
	struct transport t;
	uint32_t offset;
	uint16_t check;

	if (!parse_ip(frame, linear, len, &t))
		return false;
	if (t.protocol != IPPROTO_TCP && t.protocol != IPPROTO_UDP)
		return false;
	offset = t.protocol == IPPROTO_TCP ? TCP_CHECK_OFFSET : UDP_CHECK_OFFSET;
	if (t.len < offset + 2 || linear < t.start + offset + 2)
		return false;
	check = load16(frame + t.start + offset);
	if (!check || check != fold(t.address_sum + htons(t.protocol) + htons((uint16_t)t.len)))
		return false;
	header->flags |= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->csum_start = (uint16_t)t.start;
	header->csum_offset = (uint16_t)offset;
	return true;
}
