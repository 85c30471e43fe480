/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pattern: frames that say themselves who sent them and what must be in
 * them, so that any receiver (another built-in guest, the host end of a veth,
 * a script on a raw socket) can verify them bit by bit without being told more.
 *
 * Every frame begins with an Ethernet header (dst, src, ethertype; 14 bytes).
 * What follows depends on the size of the frame, Ethernet header included; all
 * numbers are big-endian, offsets count from the byte after the ethertype.
 *
 *  full, 38 bytes and more
 *	0	u32	magic 0x47575054 ("GWPT")
 *	4	u32	stream
 *	8	u64	sequence; bit 63 set: a fixed frame, sent over and over
 *	16	u32	size of the frame
 *	20	u32	check = low 32 bits of mix(stream, sequence ^ size << 32)
 *	24	...	fill(mix(stream, sequence))
 *  short, 20 to 37 bytes
 *	0	u8	0x80 + size
 *	1	u8	low byte of stream
 *	2	u32	low 32 bits of sequence
 *	6	...	fill(mix(low byte of stream, low 32 bits of sequence))
 *  tiny, 14 to 19 bytes: too small for a sequence, so "anonymous"
 *	0	u8	0x80 + size		(15 bytes and more)
 *	1	u8	low byte of stream	(16 bytes and more)
 *	2	...	fill(mix(low byte of stream, size))
 *
 * mix(a, b) is one splitmix64 round over a * 0xd1342543de82ef95 + b:
 *	z = a * 0xd1342543de82ef95 + b + 0x9e3779b97f4a7c15
 *	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9
 *	z = (z ^ z >> 27) * 0x94d049bb133111eb
 *	z = z ^ z >> 31
 * fill(seed) is the byte stream of the words w[0], w[1], ..., little-endian:
 *	x = seed + (i + 1) * 0x9e3779b97f4a7c15,  w[i] = x ^ x >> 29
 * (all arithmetic modulo 2^64). It is cheap on purpose: the same code makes
 * load at millions of frames a second.
 *
 * A receiver accepts zero bytes behind the pattern up to 60 bytes in all: some
 * devices pad short frames. A frame of 14 bytes that was padded is 46 zeros.
 * 14- and 15-byte frames do not carry their stream; when their source address
 * is one that pattern_default_mac() makes, the stream is read from there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_ETHERTYPE 0x88b5u /* IEEE 802 local experimental 1 */
#define PATTERN_ETH_BYTES 14u
#define PATTERN_SHORT_MIN 20u
#define PATTERN_FULL_MIN  38u
#define PATTERN_PADDED    60u /* smallest Ethernet frame, without FCS */
#define PATTERN_MAGIC     0x47575054u
#define PATTERN_FIXED     (1ull << 63)
#define PATTERN_MAC_BYTES 6u

struct pattern_address {
	uint8_t dst[PATTERN_MAC_BYTES];
	uint8_t src[PATTERN_MAC_BYTES];
	uint16_t ethertype;
};

enum pattern_verdict {
	PATTERN_GOOD,      /* bit-exact (or, when not asked deeply, plausible) */
	PATTERN_CORRUPT,   /* our ethertype, wrong bytes */
	PATTERN_UNRELATED, /* another ethertype: somebody else's frame */
};

struct pattern_found {
	size_t size;          /* as the sender made it, without padding */
	bool has_stream;      /* stream is known, whole or its low byte */
	bool stream_low_only; /* only the low byte is known */
	bool has_sequence;
	bool sequence_low_only; /* only the low 32 bits are known */
	uint32_t stream;
	uint64_t sequence;
};

/* The unicast, locally administered address 52:57:<stream> of a stream. */
void pattern_default_mac(uint8_t mac[PATTERN_MAC_BYTES], uint32_t stream);

/* Writes a whole frame; size >= PATTERN_ETH_BYTES. */
void pattern_make(uint8_t *frame, size_t size, const struct pattern_address *address,
		  uint32_t stream, uint64_t sequence);

/* The same for the payload of a packet: what follows the ethertype, without one. */
void pattern_make_payload(uint8_t *payload, size_t len, uint32_t stream, uint64_t sequence);
enum pattern_verdict pattern_check_payload(const uint8_t *payload, size_t len, bool deep,
					   struct pattern_found *found);

/* What is this frame? Without deep only the header is looked at, not the fill. */
enum pattern_verdict pattern_check(const uint8_t *frame, size_t len, uint16_t ethertype, bool deep,
				   struct pattern_found *found);
