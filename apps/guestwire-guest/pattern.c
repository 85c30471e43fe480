/* SPDX-License-Identifier: BSD-2-Clause */
#include "pattern.h"

#include <endian.h>
#include <string.h>

#define TAG_BASE      0x80u
#define FULL_HEADER   24u
#define SHORT_HEADER  6u
#define TINY_HEADER   2u
#define FILL_STEP     0x9e3779b97f4a7c15ull
#define MAC_PREFIX_0  0x52u
#define MAC_PREFIX_1  0x57u
#define STREAM_OFFSET 2u /* of the stream inside a default MAC address */

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t z = a * 0xd1342543de82ef95ull + b + FILL_STEP;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline uint64_t fill_word(uint64_t seed, size_t i)
{
	uint64_t x = seed + (i + 1) * FILL_STEP;

	return htole64(x ^ x >> 29);
}

static void fill(uint8_t *to, size_t len, uint64_t seed)
{
	size_t words = len / 8;
	uint64_t w;

	for (size_t i = 0; i < words; i++) {
		w = fill_word(seed, i);
		memcpy(to + i * 8, &w, 8);
	}
	w = fill_word(seed, words);
	memcpy(to + words * 8, &w, len % 8);
}

static bool fill_matches(const uint8_t *from, size_t len, uint64_t seed)
{
	size_t words = len / 8;
	uint64_t differs = 0, w;

	for (size_t i = 0; i < words; i++) {
		memcpy(&w, from + i * 8, 8);
		differs |= w ^ fill_word(seed, i);
	}
	w = fill_word(seed, words);
	return !differs && !memcmp(from + words * 8, &w, len % 8);
}

static void put32(uint8_t *to, uint32_t value)
{
	value = htobe32(value);
	memcpy(to, &value, sizeof(value));
}

static void put64(uint8_t *to, uint64_t value)
{
	value = htobe64(value);
	memcpy(to, &value, sizeof(value));
}

static uint32_t get32(const uint8_t *from)
{
	uint32_t value;

	memcpy(&value, from, sizeof(value));
	return be32toh(value);
}

static uint64_t get64(const uint8_t *from)
{
	uint64_t value;

	memcpy(&value, from, sizeof(value));
	return be64toh(value);
}

static uint32_t full_check(uint32_t stream, uint64_t sequence, uint32_t size)
{
	return (uint32_t)mix(stream, sequence ^ (uint64_t)size << 32);
}

void pattern_default_mac(uint8_t mac[PATTERN_MAC_BYTES], uint32_t stream)
{
	mac[0] = MAC_PREFIX_0;
	mac[1] = MAC_PREFIX_1;
	put32(mac + STREAM_OFFSET, stream);
}

static void make_full(uint8_t *p, size_t size, uint32_t stream, uint64_t sequence)
{
	put32(p, PATTERN_MAGIC);
	put32(p + 4, stream);
	put64(p + 8, sequence);
	put32(p + 16, (uint32_t)size);
	put32(p + 20, full_check(stream, sequence, (uint32_t)size));
	fill(p + FULL_HEADER, size - PATTERN_FULL_MIN, mix(stream, sequence));
}

static void make_small(uint8_t *p, size_t size, uint32_t stream, uint64_t sequence)
{
	size_t len = size - PATTERN_ETH_BYTES;
	uint8_t low = (uint8_t)stream;

	if (len > 0)
		p[0] = (uint8_t)(TAG_BASE + size);
	if (len > 1)
		p[1] = low;
	if (size >= PATTERN_SHORT_MIN) {
		put32(p + 2, (uint32_t)sequence);
		fill(p + SHORT_HEADER, len - SHORT_HEADER, mix(low, (uint32_t)sequence));
	} else if (len > TINY_HEADER) {
		fill(p + TINY_HEADER, len - TINY_HEADER, mix(low, size));
	}
}

void pattern_make_payload(uint8_t *payload, size_t len, uint32_t stream, uint64_t sequence)
{
	size_t size = len + PATTERN_ETH_BYTES;

	if (size >= PATTERN_FULL_MIN)
		make_full(payload, size, stream, sequence);
	else
		make_small(payload, size, stream, sequence);
}

void pattern_make(uint8_t *frame, size_t size, const struct pattern_address *address,
		  uint32_t stream, uint64_t sequence)
{
	memcpy(frame, address->dst, PATTERN_MAC_BYTES);
	memcpy(frame + 6, address->src, PATTERN_MAC_BYTES);
	frame[12] = (uint8_t)(address->ethertype >> 8);
	frame[13] = (uint8_t)address->ethertype;
	pattern_make_payload(frame + PATTERN_ETH_BYTES, size - PATTERN_ETH_BYTES, stream, sequence);
}

/* Zeros behind the pattern are a device's padding, but only up to 60 bytes. */
static bool padding_ok(const uint8_t *p, size_t size, size_t len)
{
	if (len == size)
		return true;
	if (len < size || len > PATTERN_PADDED)
		return false;
	for (size_t i = size; i < len; i++)
		if (p[i - PATTERN_ETH_BYTES])
			return false;
	return true;
}

/* p is what follows the Ethernet header, len that of the frame. */
static enum pattern_verdict check_full(const uint8_t *p, size_t len, bool deep,
				       struct pattern_found *found)
{
	found->has_stream = found->has_sequence = true;
	found->stream = get32(p + 4);
	found->sequence = get64(p + 8);
	found->size = get32(p + 16);
	if (get32(p + 20) != full_check(found->stream, found->sequence, (uint32_t)found->size)) {
		found->has_stream = found->has_sequence = false;
		return PATTERN_CORRUPT;
	}
	if (found->size < PATTERN_FULL_MIN || !padding_ok(p, found->size, len))
		return PATTERN_CORRUPT;
	if (deep && !fill_matches(p + FULL_HEADER, found->size - PATTERN_FULL_MIN,
				  mix(found->stream, found->sequence)))
		return PATTERN_CORRUPT;
	return PATTERN_GOOD;
}

/* 14 and 15 bytes: the source address may tell the stream. */
static void stream_from_source(const uint8_t *frame, struct pattern_found *found)
{
	const uint8_t *src = frame + PATTERN_MAC_BYTES;

	if (src[0] != MAC_PREFIX_0 || src[1] != MAC_PREFIX_1)
		return;
	found->has_stream = true;
	found->stream = get32(src + STREAM_OFFSET);
}

static enum pattern_verdict check_small(const uint8_t *p, size_t len, struct pattern_found *found)
{
	bool bare = len == PATTERN_ETH_BYTES || p[0] == 0;
	size_t size = bare ? PATTERN_ETH_BYTES : (size_t)p[0] - TAG_BASE;
	uint64_t seed;

	if (size < PATTERN_ETH_BYTES || size >= PATTERN_FULL_MIN ||
	    (!bare && size == PATTERN_ETH_BYTES) || !padding_ok(p, size, len))
		return PATTERN_CORRUPT;
	found->size = size;
	if (size <= PATTERN_ETH_BYTES + 1)
		return PATTERN_GOOD;
	found->has_stream = found->stream_low_only = true;
	found->stream = p[1];
	if (size < PATTERN_SHORT_MIN) {
		seed = mix(p[1], size);
		return fill_matches(p + TINY_HEADER, size - PATTERN_ETH_BYTES - TINY_HEADER, seed)
			       ? PATTERN_GOOD
			       : PATTERN_CORRUPT;
	}
	found->has_sequence = found->sequence_low_only = true;
	found->sequence = get32(p + 2);
	seed = mix(p[1], (uint32_t)found->sequence);
	return fill_matches(p + SHORT_HEADER, size - PATTERN_ETH_BYTES - SHORT_HEADER, seed)
		       ? PATTERN_GOOD
		       : PATTERN_CORRUPT;
}

static enum pattern_verdict check_bytes(const uint8_t *p, size_t len, bool deep,
					struct pattern_found *found)
{
	if (len >= PATTERN_FULL_MIN && get32(p) == PATTERN_MAGIC)
		return check_full(p, len, deep, found);
	return check_small(p, len, found);
}

enum pattern_verdict pattern_check_payload(const uint8_t *payload, size_t len, bool deep,
					   struct pattern_found *found)
{
	memset(found, 0, sizeof(*found));
	found->size = len + PATTERN_ETH_BYTES;
	return check_bytes(payload, found->size, deep, found);
}

enum pattern_verdict pattern_check(const uint8_t *frame, size_t len, uint16_t ethertype, bool deep,
				   struct pattern_found *found)
{
	enum pattern_verdict verdict;

	memset(found, 0, sizeof(*found));
	found->size = len;
	if (len < PATTERN_ETH_BYTES || frame[12] != ethertype >> 8 ||
	    frame[13] != (ethertype & 0xff))
		return PATTERN_UNRELATED;
	verdict = check_bytes(frame + PATTERN_ETH_BYTES, len, deep, found);
	if (verdict == PATTERN_GOOD && !found->has_stream)
		stream_from_source(frame, found);
	return verdict;
}
