/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a receiver makes of a packet: each field against what guest_packet.h foretells.
 * It takes nothing for granted that a device could have got wrong; a packet that is not
 * even a packet is bad, and its pieces are then missing from the tally.
 */
#include "guest_packet.h"

#include <stdarg.h>
#include <stdio.h>

#include "guest_packet_inside.h"

/* Where things are in a frame, and what it claims to be. */
struct view {
	const uint8_t *frame;
	size_t l3, l4, payload, end;
	bool ipv6, tcp;
	bool super, partial;
	uint32_t mss; /* what pieces its payload has; 0: not known, and there is one */
};

static bool wrong(struct packet_counts *counts, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The first is kept in words. Returns false, for its callers. */
static bool wrong(struct packet_counts *counts, const char *format, ...)
{
	va_list args;

	if (!counts->why[0]) {
		va_start(args, format);
		vsnprintf(counts->why, sizeof(counts->why), format, args);
		va_end(args);
	}
	return false;
}

/* ---- finding the layers ---- */

static bool view_ipv4(struct view *v, size_t len, uint8_t *protocol)
{
	const uint8_t *ip = v->frame + v->l3;

	if (len - v->l3 < IPV4_BYTES || ip[0] >> 4 != 4 || (ip[0] & 15) < 5)
		return false;
	v->l4 = v->l3 + (ip[0] & 15) * 4u;
	v->end = v->l3 + fetch16(ip + 2);
	*protocol = ip[9];
	return true;
}

static bool view_ipv6(struct view *v, size_t len, uint8_t *protocol)
{
	const uint8_t *ip = v->frame + v->l3;

	if (len - v->l3 < IPV6_BYTES || ip[0] >> 4 != 6)
		return false;
	v->l4 = v->l3 + IPV6_BYTES;
	v->end = v->l4 + fetch16(ip + 4);
	*protocol = ip[6];
	for (unsigned int i = 0; i < PACKET_MAX_EXTRA; i++) {
		if (*protocol != NEXT_HOP_BY_HOP && *protocol != NEXT_OPTIONS)
			return true;
		if (len < v->l4 + IPV6_EXTENSION_BYTES)
			return false;
		*protocol = v->frame[v->l4];
		v->l4 += (v->frame[v->l4 + 1] + 1u) * IPV6_EXTENSION_BYTES;
	}
	return true;
}

static bool view_make(struct view *v, const uint8_t *frame, size_t len)
{
	uint8_t protocol = 0;
	bool found;

	memset(v, 0, sizeof(*v));
	v->frame = frame;
	v->l3 = PATTERN_ETH_BYTES;
	for (unsigned int i = 0; i < PACKET_MAX_TAGS && len >= v->l3 + TAG_BYTES; i++) {
		uint16_t type = fetch16(frame + v->l3 - 2);

		if (type != TYPE_TAG && type != TYPE_OUTER_TAG)
			break;
		v->l3 += TAG_BYTES;
	}
	if (len < v->l3)
		return false;
	v->ipv6 = fetch16(frame + v->l3 - 2) == TYPE_IPV6;
	if (!v->ipv6 && fetch16(frame + v->l3 - 2) != TYPE_IPV4)
		return false;
	found = v->ipv6 ? view_ipv6(v, len, &protocol) : view_ipv4(v, len, &protocol);
	v->tcp = protocol == NEXT_TCP;
	v->payload = v->l4 + (v->tcp ? TCP_BYTES : UDP_BYTES);
	return found && (v->tcp || protocol == NEXT_UDP) && len >= v->payload;
}

bool packet_is_ours(const uint8_t *frame, size_t len, uint16_t port)
{
	struct view v;

	return view_make(&v, frame, len) && fetch16(frame + v.l4 + 2) == port &&
	       (uint16_t)(fetch16(frame + v.l4) - port) < PACKET_FLOWS;
}

/* ---- IP ---- */

static bool check_ip(struct packet_counts *counts, const struct view *v, size_t len)
{
	const uint8_t *ip = v->frame + v->l3;

	if (v->end > len || v->end < v->payload)
		return wrong(counts, "IP length ends at %zu of %zu bytes", v->end, len);
	/* Behind it a device may pad to what Ethernet asks for. */
	if (v->end < len && len > PATTERN_PADDED)
		return wrong(counts, "%zu bytes behind the IP packet", len - v->end);
	if (v->ipv6) {
		if (fetch32(ip) != (6u << 28 | PACKET_TOS << 20 | PACKET_FLOW) ||
		    ip[7] != PACKET_TTL)
			return wrong(counts, "IPv6 header was changed");
		return true;
	}
	if (packet_sum(ip, v->l4 - v->l3, 0) != 0xffff)
		return wrong(counts, "IPv4 header checksum");
	if (ip[1] != PACKET_TOS || fetch16(ip + 6) != 0x4000 || ip[8] != PACKET_TTL)
		return wrong(counts, "IPv4 header was changed");
	return true;
}

/* ---- what the device left to be done ---- */

static bool check_virtio(struct packet_counts *counts, struct view *v,
			 const struct virtio_net_hdr_v1 *h)
{
	static const uint8_t types[2][2] = {
		{ VIRTIO_NET_HDR_GSO_UDP_L4, VIRTIO_NET_HDR_GSO_UDP_L4 },
		{ VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6 },
	};
	uint8_t type = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

	v->partial = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	v->super = h->gso_type != VIRTIO_NET_HDR_GSO_NONE;
	v->mss = le16toh(h->gso_size);
	if (v->partial && (le16toh(h->csum_start) != v->l4 ||
			   le16toh(h->csum_offset) != (v->tcp ? TCP_CHECK : UDP_CHECK)))
		return wrong(counts, "csum_start %u, csum_offset %u", le16toh(h->csum_start),
			     le16toh(h->csum_offset));
	if (!v->super)
		return true;
	if (!v->partial || type != types[v->tcp][v->ipv6] || !v->mss)
		return wrong(counts, "gso_type %u, gso_size %u, flags %u", h->gso_type, v->mss,
			     h->flags);
	if (v->end - v->payload <= v->mss)
		return wrong(counts, "a super-frame of one piece of %zu", v->end - v->payload);
	/* A hint, but it should not be less than the headers (5.1.6.4.1). */
	if (le16toh(h->hdr_len) < v->payload)
		return wrong(counts, "hdr_len %u of %zu", le16toh(h->hdr_len), v->payload);
	return true;
}

static bool check_checksum(struct packet_counts *counts, const struct view *v)
{
	size_t len = v->end - v->l4;
	uint16_t field = fetch16(v->frame + v->l4 + (v->tcp ? TCP_CHECK : UDP_CHECK));
	uint16_t pseudo = packet_pseudo_sum(v->frame + v->l3, v->ipv6, v->tcp ? NEXT_TCP : NEXT_UDP,
					    (uint32_t)len);

	if (v->partial)
		return field == pseudo ||
		       wrong(counts, "partial checksum 0x%04x, not 0x%04x", field, pseudo);
	if (!v->tcp && !field)
		return wrong(counts, "UDP without a checksum");
	return packet_sum(v->frame + v->l4, len, pseudo) == 0xffff ||
	       wrong(counts, "%s checksum 0x%04x", v->tcp ? "TCP" : "UDP", field);
}

/* ---- transport ---- */

/* Which piece this begins with, and whether the header is that piece's. */
static bool check_tcp(struct packet_counts *counts, struct view *v, uint32_t *piece)
{
	const uint8_t *tcp = v->frame + v->l4;
	uint32_t first = fetch32(tcp + 8), mss = fetch16(tcp + 14);
	uint32_t before = fetch32(tcp + 4) - packet_seq(first), whole = fetch32(tcp + 24);
	size_t len = v->end - v->payload;
	uint8_t flags = (uint8_t)fetch16(tcp + 18);

	if (tcp[12] != TCP_BYTES / 4 << 4 || !mss)
		return wrong(counts, "TCP header was changed");
	if (v->super && mss != v->mss)
		return wrong(counts, "gso_size %u of pieces of %u", v->mss, mss);
	v->mss = mss;
	if (before % mss || before + len > whole)
		return wrong(counts, "TCP sequence %u bytes into %u, pieces of %u", before, whole,
			     mss);
	if (v->super ? before || len != whole : len > mss || (len < mss && before + len != whole))
		return wrong(counts, "%zu bytes at %u of %u, pieces of %u", len, before, whole,
			     mss);
	if (before + len < whole)
		flags &= (uint8_t) ~(FLAG_FIN | FLAG_PSH);
	if (before)
		flags &= (uint8_t)~FLAG_CWR;
	*piece = first + before / mss;
	return tcp[13] == flags || wrong(counts, "TCP flags 0x%02x, not 0x%02x, at %u of %u",
					 tcp[13], flags, before, whole);
}

static bool check_udp(struct packet_counts *counts, const struct view *v)
{
	uint32_t len = fetch16(v->frame + v->l4 + 4);

	return len == v->end - v->l4 || wrong(counts, "UDP length %u of %zu", len, v->end - v->l4);
}

/* ---- pieces ---- */

/* Tallies them; the sequence must be the one that the headers say. */
static bool check_pieces(struct packet_counts *counts, struct tally *tally, const struct view *v,
			 uint32_t piece)
{
	const uint8_t *at = v->frame + v->payload;
	size_t left = v->end - v->payload;
	uint16_t id = fetch16(v->frame + v->l3 + 4);
	bool good = true;

	do {
		size_t part = v->mss && left > v->mss ? v->mss : left;
		struct pattern_found found;
		enum pattern_verdict verdict = pattern_check_payload(at, part, tally->deep, &found);

		tally_piece(tally, verdict, &found, part);
		if (verdict == PATTERN_GOOD && found.has_sequence) {
			if (!v->ipv6 && (uint16_t)found.sequence != id)
				good = wrong(counts, "IPv4 id %u of piece %u", id,
					     (unsigned int)found.sequence);
			if (v->tcp && (uint32_t)found.sequence != piece)
				good = wrong(counts, "piece %u where %u should be",
					     (unsigned int)found.sequence, piece);
		}
		id++;
		piece++;
		at += part;
		left -= part;
	} while (left);
	return good;
}

void packet_check(struct packet_counts *counts, struct tally *tally, const uint8_t *frame,
		  size_t len, const struct virtio_net_hdr_v1 *header)
{
	uint32_t piece = 0;
	struct view v;
	bool good;

	counts->packets++;
	if (!view_make(&v, frame, len) || !check_ip(counts, &v, len) ||
	    !check_virtio(counts, &v, header)) {
		counts->bad++;
		return;
	}
	counts->supers += v.super;
	counts->partial += v.partial;
	counts->complete += !v.partial;
	good = v.tcp ? check_tcp(counts, &v, &piece) : check_udp(counts, &v);
	if (good)
		good = check_pieces(counts, tally, &v, piece);
	good &= check_checksum(counts, &v);
	counts->bad += !good;
}
