/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Crossings: the way of frames from one lane of a network to another.
 *
 * A port's device may have no queue in a lane (gw_queue.deliver_to), so frames for it are
 * handed to the lane that has one. That is a loan, too: the desk of the first lane hands
 * over, the desk of the second one lends or copies or drops, and counts, as for any frame;
 * what it is done with goes back. To the second lane its crossing is a source like others,
 * and to the first one it is something that holds frames.
 *
 *	lane X   desk_offer -> crossing_hand        reap: origin goes home
 *	             |  ring "out"                    ^  ring "back"
 *	lane Y   rx: the handed frame -> desk_offer ... desk_put -> release
 *
 * What is handed over is a frame of its own that has the first one's segments, as a piece
 * has (piece.h): no field is written by two lanes. Frames of one source to one egress keep
 * their order. A source has so many frames on the way to an egress as the other lane may
 * lend of it, and a few more, so it costs itself its share, and others nothing.
 *
 * Rings have one producer and one consumer. An entry is put for each frame, and shown for
 * all of a visit at once; a lane that sleeps is woken then.
 */
#pragma once

#include "pair.h"

/* Entries of a ring, a power of two. */
#define CROSSING_ENTRIES 1024u
/* Frames that a lane can have handed to all others. */
#define CROSSING_HANDED  4096u
/* Of one pair, beyond what the other lane may lend of it: what is on its way. */
#define CROSSING_TRANSIT (2 * GW_BATCH)
/* Who has so many before it is behind; a visit's batch may come on top. */
#define CROSSING_BEHIND  GW_BATCH
/* Frames with longer arrays than GW_FRAME_SEGS: their home keeps those for one visit only. */
#define CROSSING_LONG    8u
/* Addresses on their way to another lane; what finds no room is learned another time. */
#define CROSSING_NEWS    64u

struct crossing;

/* Of lane number index among count; NULL and -ENOMEM with a text otherwise. */
int crossing_create(unsigned int index, unsigned int count, struct crossing **crossing,
		    struct gw_error *err);
void crossing_free(struct crossing *crossing); /* NULL is fine */
/* All lanes' crossings are there: each knows the others. */
void crossing_connect(struct crossing *const *crossings, unsigned int count);

/* What the worker visits. */
struct port_queue *crossing_queue(struct crossing *crossing);
/* Nothing is on its way into this lane. While all lanes stand still. */
bool crossing_is_clear(const struct crossing *crossing);

/* ---- worker ---- */

/* False: no room, or the source has its share. The egress's queue delivers elsewhere. */
bool crossing_hand(struct port_queue *egress, struct pair *pair, struct gw_frame *frame);
/*
 * Another lane is behind with what it was handed. Nothing more is taken out of ports then:
 * it waits where it came from, as it does when one worker does it all.
 */
bool crossing_is_behind(const struct crossing *crossing);
/* After a visit: other lanes see what was put for them. */
void crossing_show(struct crossing *crossing);
/* Where a frame is to go that came out of the crossing's rx: slot of the egress. */
unsigned int crossing_slot(const struct gw_frame *frame);
/* The desk has taken it, and the caller holds it still: is a device about to have it? */
void crossing_taken(const struct gw_frame *frame);

/* An address that all lanes should know; and those that others have told, one by one. */
void crossing_tell(struct crossing *crossing, uint64_t news);
bool crossing_hear(struct crossing *crossing, uint64_t *news);
