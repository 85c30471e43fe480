/* SPDX-License-Identifier: BSD-2-Clause */
#include "random_frame.h"
#include <netinet/in.h>
#include <string.h>

#define UDP_PIECES_MAX 128u
#define IP_LEN_MAX     65535u
#define TAGS_MAX       2u
/* The kernel keeps 0xffff for itself. */
#define GSO_SIZE_MAX   0xfffeu

uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

uint32_t random_below(uint64_t *state, uint32_t below)
{
	return (uint32_t)((random_next(state) >> 20) % below);
}

static bool one_in(uint64_t *state, uint32_t n)
{
	return random_below(state, n) == 0;
}

/* Small ones, those that networks have, any. */
static uint16_t random_gso_size(uint64_t *state)
{
	static const uint16_t usual[] = { 536, 1220, 1428, 1440, 1448, 1460, 8948 };

	switch (random_below(state, 4)) {
	case 0:
		return (uint16_t)(1 + random_below(state, 16));
	case 1:
		return usual[random_below(state, sizeof(usual) / sizeof(usual[0]))];
	case 2:
		return (uint16_t)(1 + random_below(state, 2000));
	default:
		return (uint16_t)(1 + random_below(state, one_in(state, 4) ? GSO_SIZE_MAX : 9000));
	}
}

/* Up to room bytes; often at or about a whole number of pieces. */
static uint32_t random_payload(uint64_t *state, uint32_t size, uint32_t pieces_max, uint32_t room)
{
	uint32_t max = size * pieces_max < room ? size * pieces_max : room;
	uint32_t payload = 1 + random_below(state, max);

	if (one_in(state, 2))
		return payload;
	payload = payload / size * size + random_below(state, 3);
	if (payload)
		payload--;
	return payload && payload <= max ? payload : max;
}

/* In the order of RFC 8200: hop-by-hop, destination, routing, destination. */
static void random_extensions(uint64_t *state, struct ip_frame *frame)
{
	static const uint8_t order[IP_FRAME_EXTENSIONS_MAX] = { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS,
								IPPROTO_ROUTING, IPPROTO_DSTOPTS };

	for (unsigned int i = 0; i < IP_FRAME_EXTENSIONS_MAX; i++) {
		if (!one_in(state, 3))
			continue;
		frame->extension[frame->extensions++] = order[i];
		if (order[i] == IPPROTO_ROUTING && one_in(state, 2))
			frame->routed_sum = (uint16_t)(1 + random_below(state, 0xfffe));
	}
}

static void random_tcp(uint64_t *state, struct ip_frame *frame)
{
	frame->tcp_options_bytes = 4 * random_below(state, 11);
	frame->tcp_flags = IP_FRAME_ACK;
	if (one_in(state, 2))
		frame->tcp_flags |= IP_FRAME_PSH;
	if (one_in(state, 4))
		frame->tcp_flags |= IP_FRAME_FIN;
	if (one_in(state, 4))
		frame->tcp_flags |= IP_FRAME_CWR;
	if (one_in(state, 4))
		frame->tcp_flags |= IP_FRAME_ECE;
	if (one_in(state, 8))
		frame->tcp_flags |= IP_FRAME_URG;
	frame->ecn = frame->tcp_flags & IP_FRAME_CWR && one_in(state, 2);
	frame->seq = (uint32_t)random_next(state);
	if (one_in(state, 4)) /* it wraps */
		frame->seq |= 0xffff0000;
}

void random_frame(uint64_t *state, struct ip_frame *frame)
{
	uint32_t headers;

	memset(frame, 0, sizeof(*frame));
	frame->ipv6 = one_in(state, 2);
	frame->udp = one_in(state, 3);
	frame->tags = one_in(state, 3) ? 1 + random_below(state, TAGS_MAX) : 0;
	frame->tos = (uint8_t)random_next(state);
	frame->id = (uint16_t)random_next(state);
	frame->number = (uint32_t)random_next(state);
	if (frame->ipv6 && one_in(state, 2))
		random_extensions(state, frame);
	if (!frame->ipv6 && one_in(state, 3))
		frame->ip_options_bytes = 4 * random_below(state, IP_FRAME_OPTIONS_MAX / 4 + 1);
	if (!frame->udp)
		random_tcp(state, frame);
	/* Also a frame that is whole but for its checksum. */
	frame->gso_size = one_in(state, 10) ? 0 : random_gso_size(state);
	headers = (frame->ipv6 ? 40 + 8 * frame->extensions : 20 + frame->ip_options_bytes) +
		  (frame->udp ? 8 : 20 + frame->tcp_options_bytes);
	frame->payload = random_payload(state, frame->gso_size ? frame->gso_size : 9000,
					frame->udp ? UDP_PIECES_MAX : RANDOM_PIECES_MAX,
					IP_LEN_MAX - headers);
	/*
	 * The kernel counts options of TCP as payload when it asks whether there is anything
	 * to cut, finds later that there is not, and drops the frame. No sender makes such.
	 */
	if (frame->payload <= frame->gso_size &&
	    frame->payload + frame->tcp_options_bytes > frame->gso_size)
		frame->gso_size = 0;
}

unsigned int random_segments(uint64_t *state, uint8_t *bytes, uint32_t len, struct iovec *seg,
			     unsigned int max)
{
	unsigned int count = 1 + random_below(state, max), used = 0;
	uint32_t at = 0;

	while (at < len) {
		uint32_t part = 1 + random_below(state, 2 * len / count + 1);

		/* The first may end within any header. */
		if (!used && one_in(state, 2))
			part = 1 + random_below(state, 100);
		if (part > len - at || used + 1 == max)
			part = len - at;
		seg[used++] = (struct iovec){ bytes + at, part };
		at += part;
	}
	return used;
}
