/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How one frame lies in memory and over descriptors. VIRTIO 1.2 section 2.7.4:
 * a device makes no assumption about framing, so we try them all: the virtio-net
 * header in a descriptor of its own, together with the first bytes of the frame, or
 * split over several; the rest cut anywhere into any number of pieces.
 *
 * Pieces are laid into a slot with guard bytes between them: a device that reads
 * on from one piece into the next, instead of following the chain, reads
 * guards.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "driver_ring.h"
#include "guest_memory.h"

#define LAYOUT_MAX_PIECES 256u
#define LAYOUT_GUARD      0xdbu
#define LAYOUT_GUARD_MIN  8u /* guard bytes before and behind every piece */

enum layout_header { LAYOUT_SHARED, LAYOUT_OWN, LAYOUT_SPLIT, LAYOUT_MIXED };

struct layout_shape {
	enum layout_header header;
	uint32_t pieces_low, pieces_high;
	bool unaligned;
	bool cross_page;
};

/* Bytes that a slot needs for header and frame together at most `total` bytes. */
size_t layout_room(const struct layout_shape *shape, size_t total);

/*
 * Lays header_len + frame_len bytes into the slot. turn counts 0, 1, 2, ... and
 * steers the mixture: number of pieces, header place, offsets, cuts. Returns the
 * number of segments (at most LAYOUT_MAX_PIECES, and at most one per byte).
 */
uint16_t layout_place(const struct layout_shape *shape, const struct guest_span *slot,
		      size_t header_len, size_t frame_len, uint64_t turn,
		      struct ring_segment segments[LAYOUT_MAX_PIECES]);

void layout_scatter(const struct ring_segment *segments, uint16_t count, const uint8_t *from);
/* Copies at most len bytes; returns how many there were. */
size_t layout_gather(const struct ring_segment *segments, uint16_t count, uint8_t *to, size_t len);
/* "frame at ADDRESS+BYTES ...": guest addresses, behind the first skip bytes. */
void layout_print(FILE *out, const struct ring_segment *segments, uint16_t count, size_t skip);
void layout_fill(const struct ring_segment *segments, uint16_t count, uint8_t byte);

/* Writes, and later verifies, the guard bytes around each segment. */
void layout_guard(const struct ring_segment *segments, uint16_t count);
bool layout_guards_intact(const struct ring_segment *segments, uint16_t count);
