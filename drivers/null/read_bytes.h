/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads each byte once, as a receiver does that has a use for it, and as fast as a
 * processor can be expected to: a cache line a turn, four sums that do not wait for each
 * other. They are no array: a compiler may leave that in memory, and each turn then waits
 * for the stores of the one before, five times as long as for the bytes. What is left of
 * a buffer behind its last line goes by words too, since buffers are many and short.
 *
 * The sum is there to be kept somewhere, or a compiler would leave the reading out. The
 * benchmark has its peers' frames read by the same lines.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define READ_TURN_BYTES 64u

static inline uint64_t read_word(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* Of less than a turn. */
static inline uint64_t read_rest(const uint8_t *at, size_t len)
{
	uint64_t sum = 0;
	uint32_t half;

	for (; len >= sizeof(sum); at += sizeof(sum), len -= sizeof(sum))
		sum += read_word(at);
	if (len >= sizeof(half)) {
		memcpy(&half, at, sizeof(half));
		sum += half;
		at += sizeof(half);
		len -= sizeof(half);
	}
	for (; len; len--)
		sum += *at++;
	return sum;
}

static inline uint64_t read_bytes(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint64_t a = 0, b = 0, c = 0, d = 0;

	for (; len >= READ_TURN_BYTES; at += READ_TURN_BYTES, len -= READ_TURN_BYTES) {
		a += read_word(at) + read_word(at + 32);
		b += read_word(at + 8) + read_word(at + 40);
		c += read_word(at + 16) + read_word(at + 48);
		d += read_word(at + 24) + read_word(at + 56);
	}
	return a + b + c + d + read_rest(at, len);
}
