/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pair: one source port, one egress port, and what is between them, in one lane.
 *
 * Back-pressure, the query's answer and the ledger are all kept per pair, so
 * that one slow device costs one source its share and nothing else.
 */
#pragma once

#include "piece.h"
#include "port_queue.h"
#include "super_frame.h"

/* Frames of a pair's own bounce memory: arena buffers, and one frame struct for each. */
struct bounce {
	uint8_t *run;           /* arena run of `max` buffers; NULL: the driver has its own */
	unsigned int max;       /* buffers */
	struct gw_frame *frame; /* max of them */
	uint16_t *free_frame, *free_buffer; /* stacks of indices */
	unsigned int free_frames, free_buffers;
};

struct pair {
	/* ---- fixed ---- */
	struct gw_port *source, *egress;
	struct port_queue *from, *to; /* of these two, in the lane */
	uint32_t copybreak, loans_max, bounce_max;
	bool loan_never;
	unsigned int record; /* the engine's: where it keeps what it knows of the pair */

	/* ---- the owning worker (control through gw_port_apply) ---- */
	struct gw_answer answer;
	struct gw_memmap *answer_memmap; /* what the answer is about; no reference */
	uint64_t answer_stamp;           /* egress->answer_stamp it belongs to */
	bool answered;
	bool asking;             /* a question is under way; its last word ends it, nothing else */
	bool was_answered;       /* once; then `answer` is at least the last one */
	struct witness *witness; /* of what is mapped for lending: comes and goes with an answer
				    that lends (`watcher`). NULL: none */
	bool watch_zero;         /* tell host->drained when loans_out falls to 0 */
	uint32_t loans_out, bounce_out;
	uint32_t handed_out; /* frames that another lane has (crossing.h) */
	struct trace_tap trace;
	struct bounce bounce;
	struct pieces pieces;
	struct super_frame super; /* what is being cut; the frame is marked CUT_BEGUN if it waits */

	/* ---- from worker to control, while asking ---- */
	struct gw_memmap *ask_memmap; /* with a reference */
	uint64_t ask_stamp;
	enum gw_trace_why ask_why; /* for traces */
	uint32_t ask_flag;         /* atomic: 1 = the two above are valid, control's turn */

	/* ---- control; in the first lane's pair, for all ---- */
	struct gw_memmap *mapped; /* with a reference: driver->map succeeded */
	struct witness *watcher;  /* of it, that all lanes' pairs are given; NULL: none */

	/* ---- the ledger: the worker writes, snapshots read ---- */
	gw_counter lent_frames, lent_bytes;
	gw_counter copied_frames, copied_bytes;
	gw_counter header_bytes_copied;
	gw_counter kernel_copied_frames, kernel_copied_bytes;
	gw_counter loans_now, loans_peak, bounce_now, bounce_peak;
	/* partial headers that were completed here */
	gw_counter supers_cut, checksums_made, headers_made;
	gw_counter reasons[GW_REASON_COUNT];
	gw_counter reason_bytes[GW_REASON_COUNT];
};

/* Both ports know their arena by now. -ENOMEM with a text if the arena is too small. */
int pair_create(struct port_queue *from, struct port_queue *to, struct pair **pair,
		struct gw_error *err);
void pair_free(struct pair *pair); /* NULL is fine */
/* Buffers of the arena that a pair of these two will take in a lane: for bounces and headers. */
unsigned int pair_arena_buffers(const struct gw_port *source, const struct gw_port *egress);

/* Worker: publishes an answer. The memmap is the one that was asked about. */
void pair_set_answer(struct pair *pair, const struct gw_answer *answer, struct gw_memmap *memmap,
		     uint64_t stamp);
/* Worker: forgets it; the next frame asks again. */
void pair_forget_answer(struct pair *pair);

/* ---- bounce memory; worker ---- */

/* A frame with room for len bytes, or NULL: the pair's share is used up. */
struct gw_frame *bounce_get(struct pair *pair, uint32_t len);
/* Whether a frame of len bytes could ever be copied for this pair. */
bool bounce_fits(const struct pair *pair, uint32_t len);
/* Gives back what tx did not accept (never seen by the device). */
void bounce_undo(struct pair *pair, struct gw_frame *frame);
/* Gives back what reap reported. */
void bounce_done(struct pair *pair, struct gw_frame *frame);
/* Copies src's bytes and header into dst, which has room. */
void bounce_copy(struct gw_frame *dst, const struct gw_frame *src);
