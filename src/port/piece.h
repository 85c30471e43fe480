/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pieces: frames that the desk makes out of one whose header was left partial.
 *
 *	[private header | payload slices of the parent]
 *
 * A piece lends its parent's payload: the parent goes home when the last of its
 * pieces is over. Headers lie in the arena, which every window has in front, so
 * that a device reaches both parts; each has GW_HEADER_ROOM bytes before it that
 * the device's driver may write.
 *
 * A pair has as many pieces as it may have loans out, and one that is never lent.
 * Worker, but for init and free.
 */
#pragma once

#include "arena.h"

/* Bytes of the arena for one header. */
#define PIECE_SLOT_BYTES 512u
#define PIECES_A_BUFFER  (GW_ARENA_BUFFER_BYTES / PIECE_SLOT_BYTES)
#define PIECES_MAX       4096u
_Static_assert(GW_HEADER_ROOM + GW_HEADER_MAX == PIECE_SLOT_BYTES, "a slot is used up");

/* gw_frame.cut */
enum {
	CUT_NOT = 0,
	CUT_PIECE, /* made here */
	CUT_BEGUN, /* a parent some of whose pieces have gone; the pair has the rest */
};

struct piece {
	struct gw_frame frame; /* first: a frame that is a piece is found by it */
	struct gw_frame *parent;
};

struct pieces {
	struct piece *piece; /* max of them, and a header slot for each */
	uint8_t *run;        /* arena run of `buffers`; NULL: there are no pieces */
	uint16_t *free;      /* stack of indices */
	unsigned int max, buffers, free_count;
};

/* Buffers of the arena that so many pieces take. */
static inline unsigned int pieces_buffers(unsigned int count)
{
	return (count + PIECES_A_BUFFER - 1) / PIECES_A_BUFFER;
}

/* -ENOMEM without a text; pieces_free cleans up. */
int pieces_init(struct pieces *pieces, struct gw_arena *arena, unsigned int count);
void pieces_free(struct pieces *pieces, struct gw_arena *arena);

/* Where the header of a piece is. */
static inline uint8_t *piece_header(const struct pieces *pieces, const struct piece *piece)
{
	return pieces->run + (size_t)(piece - pieces->piece) * PIECE_SLOT_BYTES + GW_HEADER_ROOM;
}

/* A piece of parent without segments. There is always one (pieces_to_lend). */
struct piece *piece_get(struct pieces *pieces, struct gw_frame *parent);
void piece_put(struct pieces *pieces, struct piece *piece);

/* Whether the one that was got last may be lent. */
static inline bool pieces_to_lend(const struct pieces *pieces)
{
	return pieces->free_count > 0;
}

static inline struct piece *piece_of(struct gw_frame *frame)
{
	return (struct piece *)frame;
}
