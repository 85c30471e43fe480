/* SPDX-License-Identifier: BSD-2-Clause */
#include "pair.h"

#include "apart.h"
#include "iov.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of a lane's part of the bounce buffers, if there are so many: all that a visit takes. */
#define BOUNCE_LEAST GW_BATCH

_Static_assert(BOUNCE_LEAST *GW_ARENA_BUFFER_BYTES >= GW_FRAME_LEN_MAX, "the longest frame fits");

/* An explicit word beats a default; of two explicit ones `stricter` picks. */
static uint32_t choose(int64_t egress, int64_t source, uint32_t fallback, bool larger)
{
	if (egress < 0 && source < 0)
		return fallback;
	if (egress < 0 || source < 0)
		return (uint32_t)(egress < 0 ? source : egress);
	return (uint32_t)((egress > source) == larger ? egress : source);
}

/* What two ports have between them is divided evenly among the egress's queues. */
static uint32_t share(uint32_t whole, const struct gw_port *port, uint32_t least)
{
	unsigned int lanes = port->driver->several_queues ? port->lanes : 1;
	uint32_t part = (whole + lanes - 1) / lanes;

	return part < least ? (whole < least ? whole : least) : part;
}

static uint32_t loans_max_of(const struct gw_port *source, const struct gw_port *egress)
{
	return share(choose(egress->loans, source->loans, PORT_LOANS_DEFAULT, false), egress, 1);
}

static uint32_t bounce_max_of(const struct gw_port *source, const struct gw_port *egress)
{
	return share(choose(egress->bounce, source->bounce, PORT_BOUNCE_DEFAULT, false), egress,
		     BOUNCE_LEAST);
}

static unsigned int bounce_count_of(const struct gw_port *source, const struct gw_port *egress)
{
	if (egress->driver->bounce || !source->driver->rx)
		return 0;
	return bounce_max_of(source, egress);
}

/*
 * As many as there can be loans, or a batch for devices that end loans in tx; and one
 * that is never lent, for headers of frames that are copied.
 */
static unsigned int pieces_count_of(const struct gw_port *source, const struct gw_port *egress)
{
	uint32_t loans = loans_max_of(source, egress);

	if (!source->driver->rx)
		return 0;
	if (egress->driver->bounce)
		return 1;
	if (loans < GW_BATCH)
		loans = GW_BATCH;
	return (loans < PIECES_MAX ? loans : PIECES_MAX) + 1;
}

unsigned int pair_arena_buffers(const struct gw_port *source, const struct gw_port *egress)
{
	return bounce_count_of(source, egress) + pieces_buffers(pieces_count_of(source, egress));
}

static void bounce_fill(struct bounce *b)
{
	for (unsigned int i = 0; i < b->max; i++) {
		b->free_frame[i] = (uint16_t)(b->max - 1 - i);
		b->free_buffer[i] = (uint16_t)(b->max - 1 - i);
	}
	b->free_frames = b->free_buffers = b->max;
}

static int bounce_init(struct pair *pair, struct gw_error *err)
{
	struct bounce *b = &pair->bounce;
	unsigned int count = bounce_count_of(pair->source, pair->egress);

	if (!count || !port_queue_has_device(pair->to))
		return 0;
	b->max = count;
	b->run = arena_take(pair->egress->arena, count);
	if (!b->run)
		return gw_error_set(err, -ENOMEM,
				    "no room for %u bounce buffers from port %s to port %s; raise "
				    "the bounce memory or lower bounce=",
				    count, pair->source->name, pair->egress->name);
	b->frame = calloc(count, sizeof(*b->frame));
	b->free_frame = calloc(count, sizeof(*b->free_frame));
	b->free_buffer = calloc(count, sizeof(*b->free_buffer));
	if (!b->frame || !b->free_frame || !b->free_buffer)
		return gw_error_sys(err, -ENOMEM, "bounce buffers of port %s", pair->egress->name);
	bounce_fill(b);
	return 0;
}

static int headers_init(struct pair *pair, struct gw_error *err)
{
	unsigned int count = pieces_count_of(pair->source, pair->egress);

	if (!count || !port_queue_has_device(pair->to) ||
	    !pieces_init(&pair->pieces, pair->egress->arena, count))
		return 0;
	return gw_error_set(err, -ENOMEM,
			    "no room for %u private headers from port %s to port %s; raise the "
			    "bounce memory or lower loans=",
			    count, pair->source->name, pair->egress->name);
}

int pair_create(struct port_queue *from, struct port_queue *to, struct pair **out,
		struct gw_error *err)
{
	struct gw_port *source = from->port, *egress = to->port;
	struct pair *pair = gw_alloc_apart(sizeof(*pair));
	int ret;

	if (!pair)
		return gw_error_sys(err, -ENOMEM, "pair of port %s and port %s", source->name,
				    egress->name);
	pair->source = source;
	pair->egress = egress;
	pair->from = from;
	pair->to = to;
	pair->loan_never = source->loan_never || egress->loan_never;
	pair->copybreak =
		choose(egress->copybreak, source->copybreak, PORT_COPYBREAK_DEFAULT, true);
	pair->loans_max = loans_max_of(source, egress);
	pair->bounce_max = bounce_max_of(source, egress);
	ret = bounce_init(pair, err);
	if (!ret)
		ret = headers_init(pair, err);
	if (ret)
		pair_free(pair);
	else
		*out = pair;
	return ret;
}

void pair_free(struct pair *pair)
{
	if (!pair)
		return;
	if (pair->bounce.run)
		arena_give(pair->egress->arena, pair->bounce.run, pair->bounce.max);
	pieces_free(&pair->pieces, pair->egress->arena);
	free(pair->bounce.frame);
	free(pair->bounce.free_frame);
	free(pair->bounce.free_buffer);
	free(pair);
}

void pair_set_answer(struct pair *pair, const struct gw_answer *answer, struct gw_memmap *memmap,
		     uint64_t stamp)
{
	pair->answer = *answer;
	pair->answer_memmap = memmap;
	pair->answer_stamp = stamp;
	pair->answered = pair->was_answered = true;
}

void pair_forget_answer(struct pair *pair)
{
	pair->answered = false;
	pair->answer_memmap = NULL;
}

/* ---- bounce memory ---- */

static void bounce_count(struct pair *pair, int delta)
{
	pair->bounce_out += (uint32_t)delta;
	gw_store_relaxed(&pair->bounce_now, pair->bounce_out);
	if (pair->bounce_out > pair->bounce_peak)
		gw_store_relaxed(&pair->bounce_peak, pair->bounce_out);
}

static struct gw_frame *bounce_from_driver(struct pair *pair, uint32_t len)
{
	struct gw_port *egress = pair->egress;
	struct gw_frame *frame;

	if (pair->bounce_out >= pair->bounce_max)
		return NULL;
	frame = egress->driver->bounce(&pair->to->queue, len);
	if (!frame)
		return NULL;
	frame->bounce = 1;
	return frame;
}

static struct gw_frame *bounce_from_arena(struct pair *pair, uint32_t len)
{
	struct bounce *b = &pair->bounce;
	unsigned int need = (len + GW_ARENA_BUFFER_BYTES - 1) / GW_ARENA_BUFFER_BYTES;
	struct gw_frame *frame;

	if (!b->free_frames || b->free_buffers < need || need > GW_FRAME_SEGS)
		return NULL;
	frame = &b->frame[b->free_frame[--b->free_frames]];
	frame->seg = frame->own;
	frame->seg_count = (uint16_t)need;
	frame->bounce = (uint8_t)need;
	for (unsigned int i = 0; i < need; i++) {
		uint32_t part = len < GW_ARENA_BUFFER_BYTES ? len : GW_ARENA_BUFFER_BYTES;
		size_t index = b->free_buffer[--b->free_buffers];

		frame->own[i].iov_base = b->run + index * GW_ARENA_BUFFER_BYTES;
		frame->own[i].iov_len = part;
		len -= part;
	}
	return frame;
}

bool bounce_fits(const struct pair *pair, uint32_t len)
{
	/* A driver with memory of its own has told with its longest frame what fits. */
	return pair->egress->driver->bounce ||
	       len <= (uint64_t)pair->bounce.max * GW_ARENA_BUFFER_BYTES;
}

struct gw_frame *bounce_get(struct pair *pair, uint32_t len)
{
	struct gw_frame *frame = pair->egress->driver->bounce ? bounce_from_driver(pair, len)
							      : bounce_from_arena(pair, len);

	if (!frame)
		return NULL;
	frame->home = NULL;
	frame->memmap = NULL;
	frame->len = len;
	frame->holders = 1;
	frame->dropped = frame->cut = 0;
	frame->pair = pair->source->slot;
	bounce_count(pair, (int)frame->bounce);
	return frame;
}

void bounce_done(struct pair *pair, struct gw_frame *frame)
{
	struct bounce *b = &pair->bounce;

	bounce_count(pair, -(int)frame->bounce);
	if (!b->run)
		return;
	for (unsigned int i = 0; i < frame->bounce; i++) {
		size_t offset = (size_t)((uint8_t *)frame->own[i].iov_base - b->run);

		b->free_buffer[b->free_buffers++] = (uint16_t)(offset / GW_ARENA_BUFFER_BYTES);
	}
	b->free_frame[b->free_frames++] = (uint16_t)(frame - b->frame);
}

void bounce_undo(struct pair *pair, struct gw_frame *frame)
{
	struct gw_port *egress = pair->egress;

	if (egress->driver->unbounce)
		egress->driver->unbounce(&pair->to->queue, frame);
	bounce_done(pair, frame);
}

void bounce_copy(struct gw_frame *dst, const struct gw_frame *src)
{
	gw_iov_copy(dst->seg, 0, src->seg, 0, src->len);
	dst->header = src->header;
	dst->found_ns = src->found_ns;
	memcpy(dst->snapshot, src->snapshot, sizeof(dst->snapshot));
}
