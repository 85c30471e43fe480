/* SPDX-License-Identifier: BSD-2-Clause */
#include "chain_layout.h"

#include <inttypes.h>
#include <string.h>

#define PIECE_ALIGN     16u
#define MAX_GAP         (LAYOUT_GUARD_MIN * 2 + PIECE_ALIGN)
#define MAX_OFFSET      64u
#define MAX_HEADER_CUTS 4u

static uint64_t scramble(uint64_t x)
{
	x = (x ^ x >> 31) * 0x7fb5d329728ea185ull;
	x = (x ^ x >> 27) * 0x81dadef4bc2dd44dull;
	return x ^ x >> 33;
}

size_t layout_room(const struct layout_shape *shape, size_t total)
{
	size_t room = LAYOUT_GUARD_MIN + MAX_OFFSET + total + shape->pieces_high * MAX_GAP +
		      LAYOUT_GUARD_MIN;

	if (shape->cross_page)
		return (room + 2 * GUEST_PAGE - 1) & ~(size_t)(GUEST_PAGE - 1);
	return (room + MAX_OFFSET - 1) & ~(size_t)(MAX_OFFSET - 1);
}

/* Cuts len bytes into count pieces, each at least one byte, at places from seed. */
static void cut(uint32_t *lens, uint32_t count, size_t len, uint64_t seed)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t left = count - i - 1; /* these need a byte each */
		size_t spare = len - left - 1;
		size_t fair = left ? 2 * (len / ((size_t)left + 1)) : len;
		size_t take;

		seed = scramble(seed + i + 1);
		take = left ? 1 + seed % (fair ? fair : 1) : len;
		if (take > spare + 1)
			take = spare + 1;
		lens[i] = (uint32_t)take;
		len -= take;
	}
}

/* The lengths of all pieces of one chain; returns how many. */
static uint32_t cut_chain(enum layout_header header, uint32_t pieces, size_t header_len,
			  size_t frame_len, uint64_t seed, uint32_t *lens)
{
	uint32_t head_pieces = header == LAYOUT_OWN ? 1 : 2 + seed % (MAX_HEADER_CUTS - 1);

	if (header == LAYOUT_SHARED || pieces < 2 || !frame_len) {
		if (pieces > frame_len + 1)
			pieces = (uint32_t)frame_len + 1;
		cut(lens, pieces, frame_len + (pieces > 1 ? 0 : header_len) + (pieces > 1), seed);
		if (pieces > 1)
			lens[0] += (uint32_t)header_len - 1;
		return pieces;
	}
	if (head_pieces > pieces - 1)
		head_pieces = pieces - 1;
	pieces -= head_pieces;
	if (pieces > frame_len)
		pieces = (uint32_t)frame_len;
	cut(lens, head_pieces, header_len, seed);
	cut(lens + head_pieces, pieces, frame_len, scramble(seed));
	return head_pieces + pieces;
}

/* Where in the slot the first piece begins. */
static size_t first_offset(const struct layout_shape *shape, const struct guest_span *slot,
			   size_t total, uint64_t seed)
{
	size_t offset = shape->unaligned ? LAYOUT_GUARD_MIN + seed % (MAX_OFFSET - 8) : MAX_OFFSET;
	size_t to_page, into;

	if (!shape->cross_page || total < 2)
		return offset;
	/* The page's end falls inside the bytes: after at least 1, before the last. */
	into = total < GUEST_PAGE ? 1 + seed % (total - 1) : GUEST_PAGE / 2;
	if (!shape->unaligned)
		into = into > PIECE_ALIGN ? into & ~(size_t)(PIECE_ALIGN - 1) : into;
	to_page = GUEST_PAGE - (slot->gpa & (GUEST_PAGE - 1));
	return to_page > into + LAYOUT_GUARD_MIN ? to_page - into : to_page + GUEST_PAGE - into;
}

uint16_t layout_place(const struct layout_shape *shape, const struct guest_span *slot,
		      size_t header_len, size_t frame_len, uint64_t turn,
		      struct ring_segment segments[LAYOUT_MAX_PIECES])
{
	uint32_t lens[LAYOUT_MAX_PIECES];
	uint32_t span = shape->pieces_high - shape->pieces_low + 1;
	enum layout_header header = shape->header;
	uint64_t seed = scramble(turn + 1);
	uint32_t count;
	size_t at;

	if (header == LAYOUT_MIXED)
		header = (enum layout_header)(turn / span % LAYOUT_MIXED);
	count = cut_chain(header, shape->pieces_low + (uint32_t)(turn % span), header_len,
			  frame_len, seed, lens);
	at = first_offset(shape, slot, header_len + frame_len, seed);
	for (uint32_t i = 0; i < count; i++) {
		segments[i] = (struct ring_segment){ slot->host + at, slot->gpa + at, lens[i] };
		at += lens[i] + 2 * LAYOUT_GUARD_MIN;
		if (shape->unaligned)
			at += (seed >> i % 32) % PIECE_ALIGN;
		else
			at = (at + PIECE_ALIGN - 1) & ~(size_t)(PIECE_ALIGN - 1);
	}
	return (uint16_t)count;
}

void layout_scatter(const struct ring_segment *segments, uint16_t count, const uint8_t *from)
{
	for (uint16_t i = 0; i < count; i++) {
		memcpy(segments[i].host, from, segments[i].len);
		from += segments[i].len;
	}
}

size_t layout_gather(const struct ring_segment *segments, uint16_t count, uint8_t *to, size_t len)
{
	size_t done = 0;

	for (uint16_t i = 0; i < count && done < len; i++) {
		size_t take = segments[i].len < len - done ? segments[i].len : len - done;

		memcpy(to + done, segments[i].host, take);
		done += take;
	}
	return done;
}

void layout_print(FILE *out, const struct ring_segment *segments, uint16_t count, size_t skip)
{
	fputs("frame at", out);
	for (uint16_t i = 0; i < count; i++) {
		uint32_t less = skip < segments[i].len ? (uint32_t)skip : segments[i].len;

		skip -= less;
		if (segments[i].len > less)
			fprintf(out, " 0x%" PRIx64 "+%" PRIu32, segments[i].gpa + less,
				segments[i].len - less);
	}
	fputc('\n', out);
}

void layout_fill(const struct ring_segment *segments, uint16_t count, uint8_t byte)
{
	for (uint16_t i = 0; i < count; i++)
		memset(segments[i].host, byte, segments[i].len);
}

void layout_guard(const struct ring_segment *segments, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++) {
		memset(segments[i].host - LAYOUT_GUARD_MIN, LAYOUT_GUARD, LAYOUT_GUARD_MIN);
		memset(segments[i].host + segments[i].len, LAYOUT_GUARD, LAYOUT_GUARD_MIN);
	}
}

bool layout_guards_intact(const struct ring_segment *segments, uint16_t count)
{
	uint64_t want, before, behind;

	memset(&want, LAYOUT_GUARD, sizeof(want));
	for (uint16_t i = 0; i < count; i++) {
		memcpy(&before, segments[i].host - LAYOUT_GUARD_MIN, sizeof(before));
		memcpy(&behind, segments[i].host + segments[i].len, sizeof(behind));
		if (before != want || behind != want)
			return false;
	}
	return true;
}
