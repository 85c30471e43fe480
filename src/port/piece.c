/* SPDX-License-Identifier: BSD-2-Clause */
#include "piece.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int pieces_init(struct pieces *pieces, struct gw_arena *arena, unsigned int count)
{
	pieces->max = count;
	pieces->buffers = pieces_buffers(count);
	pieces->run = arena_take(arena, pieces->buffers);
	pieces->piece = calloc(count, sizeof(*pieces->piece));
	pieces->free = calloc(count, sizeof(*pieces->free));
	if (!pieces->run || !pieces->piece || !pieces->free)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++)
		pieces->free[i] = (uint16_t)(count - 1 - i);
	pieces->free_count = count;
	return 0;
}

void pieces_free(struct pieces *pieces, struct gw_arena *arena)
{
	if (pieces->run)
		arena_give(arena, pieces->run, pieces->buffers);
	free(pieces->piece);
	free(pieces->free);
	memset(pieces, 0, sizeof(*pieces));
}

struct piece *piece_get(struct pieces *pieces, struct gw_frame *parent)
{
	struct piece *piece;
	struct gw_frame *frame;

	piece = &pieces->piece[pieces->free[--pieces->free_count]];
	piece->parent = parent;
	frame = &piece->frame;
	frame->home = NULL;
	frame->memmap = parent->memmap;
	frame->seg = frame->own;
	frame->holders = 1;
	frame->loans = 0;
	frame->bounce = frame->dropped = frame->trace_on = 0;
	frame->cut = CUT_PIECE;
	frame->pair = parent->pair;
	frame->found_ns = parent->found_ns;
	memcpy(frame->snapshot, parent->snapshot, sizeof(frame->snapshot));
	return piece;
}

void piece_put(struct pieces *pieces, struct piece *piece)
{
	pieces->free[pieces->free_count++] = (uint16_t)(piece - pieces->piece);
}
