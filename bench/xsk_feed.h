/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames for xsk_send that another processor makes available, one by one, as a guest's are:
 * laid out as the built-in guest lays them (apps/guestwire-guest/chain_layout.h), named by
 * entries that were just written there, and taken back by an index that is polled there.
 *
 * It is the least that a sender with a guest can do: of a virtqueue there is one entry for
 * each segment, and two indices. It is a process of its own, so that its time is not the
 * sender's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FEED_FRAMES  1024u
#define FEED_ENTRIES 8192u /* a frame of so many segments as FEED_PIECES_MAX has room */
#define FEED_LINE    64u

#define FEED_PIECES_MAX (FEED_ENTRIES / FEED_FRAMES)

struct feed_entry {
	uint64_t at; /* from the first byte of the memory */
	uint32_t len;
	uint32_t more; /* the frame goes on in the next */
};

struct feed {
	_Alignas(FEED_LINE) uint32_t available; /* entries; the feeder's */
	_Alignas(FEED_LINE) uint32_t home;      /* frames; the sender's */
	_Alignas(FEED_LINE) struct feed_entry entry[FEED_ENTRIES];
};

struct feed_shape {
	uint32_t frame_len;
	uint32_t pieces; /* descriptors of a guest; from two on the first is its header's */
	bool writes;     /* all bytes, each time */
};

/* Bytes of memory that all frames take. */
uint64_t feed_bytes(const struct feed_shape *shape);
/* Starts the process on that processor; the memory is shared with it. NULL, with errno. */
struct feed *feed_start(const struct feed_shape *shape, uint8_t *memory, unsigned int cpu);
