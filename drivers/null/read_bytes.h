/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads each byte once, as a receiver does that has a use for it, and as fast as a
 * processor can be expected to: 32 bytes a turn, four sums that do not wait for each other.
 * The sum is there to be kept somewhere, or a compiler would leave the reading out. The
 * benchmark has its peers' frames read by the same lines.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t read_bytes(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint64_t word[4], sum[4] = { 0 };

	for (; len >= sizeof(word); at += sizeof(word), len -= sizeof(word)) {
		memcpy(word, at, sizeof(word));
		for (unsigned int i = 0; i < 4; i++)
			sum[i] += word[i];
	}
	for (; len; len--)
		sum[0] += *at++;
	return sum[0] + sum[1] + sum[2] + sum[3];
}
