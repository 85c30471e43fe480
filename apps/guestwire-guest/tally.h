/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was received: per stream how many frames, and what became of their
 * sequence numbers. One bit per sequence number tells duplicates and gaps; the
 * bits grow with the highest number seen, up to a limit.
 *
 * With expected streams given, pattern frames of any other stream are foreign:
 * an isolation test wants none. Frames of other ethertypes (a host's neighbour
 * discovery on a veth, say) are unrelated, and harmless.
 *
 * Tiny frames carry no sequence. They are counted (anonymous) and stand in for
 * as many missing numbers; one lost and another doubled cancel out, the only
 * thing that this tally cannot see.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pattern.h"

#define TALLY_MAX_STREAMS    512u
#define TALLY_MAX_SEQUENCE   (1ull << 31) /* 256 MiB of bits; beyond: not tracked */
#define TALLY_FIRST_SEQUENCE (1ull << 16)

struct tally_stream {
	uint32_t id;
	bool expected;
	uint64_t received;
	uint64_t received_bytes;
	uint64_t verified;
	uint64_t corrupted;
	uint64_t duplicated;
	uint64_t out_of_order;
	uint64_t anonymous; /* good, without a sequence */
	uint64_t untracked; /* good, fixed or beyond the limit */
	uint64_t distinct;
	uint64_t next;        /* highest sequence seen, plus one */
	uint32_t queue;       /* it came by last */
	uint64_t queue_moves; /* how often it came by another than before */
	uint64_t *seen;
	uint64_t seen_limit; /* bits allocated */
};

struct tally {
	uint16_t ethertype;
	bool deep;
	bool selective; /* tally_expect was called */
	uint32_t stream_count;
	struct tally_stream streams[TALLY_MAX_STREAMS];
	uint32_t last;             /* the stream found last; frames come in trains */
	uint32_t queue;            /* receive queue of the frame at hand */
	struct tally_stream total; /* filled by tally_total */
	uint64_t frames;           /* of expected streams, good or bad: --receive waits on it */
	uint64_t foreign;
	uint64_t unrelated;
	uint64_t corrupted_unknown; /* corrupt beyond knowing the stream */
	uint64_t corrupted_unknown_bytes;
};

void tally_open(struct tally *tally, uint16_t ethertype, bool deep);
void tally_close(struct tally *tally);

/* Only these streams are ours; false when there are too many. */
bool tally_expect(struct tally *tally, uint32_t stream);

void tally_frame(struct tally *tally, const uint8_t *frame, size_t len);
/* A piece of a packet, verified already (guest_packet.h), counts as a frame. */
void tally_piece(struct tally *tally, enum pattern_verdict verdict,
		 const struct pattern_found *found, size_t len);

/* Sums over the expected streams; valid until the next call. */
const struct tally_stream *tally_total(struct tally *tally);

/* Frames that did not come. of: how many were to come, 0 when not known: then
 * gaps below the highest sequence of each stream. */
uint64_t tally_missing(struct tally *tally, uint64_t of);
