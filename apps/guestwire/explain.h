/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the copies of a running daemon are, why, and what can be done: a snapshot
 * (the JSON of `guestwire show`) in, ordered lines out. Pure: no daemon is asked.
 *
 * Every line stands on one counter, which is in the snapshot under the name that
 * is printed with it.
 */
#pragma once

#include "advice.h"
#include <guestwire/reason.h>
#include <jansson.h>
#include <stdint.h>

/* One for each reason, and the subjects that are none. */
#define EXPLAIN_LINES_MAX  (GW_REASON_COUNT + GW_DEVICE_COUNT + 4u)
#define EXPLAIN_TEXT_BYTES 512
#define EXPLAIN_NAME_BYTES 64

enum explain_by {
	EXPLAIN_BY_KERNEL,    /* the kernel copied */
	EXPLAIN_BY_GUESTWIRE, /* we copied */
	EXPLAIN_DROPPED,
	EXPLAIN_HELD,   /* never given back by the device */
	EXPLAIN_DEVICE, /* counted by the kernel, at the device */
};

struct explain_line {
	enum explain_by by;
	const char *subject; /* of the advice: a reason, or the counter itself */
	char counter[EXPLAIN_NAME_BYTES];
	uint64_t value;  /* of that counter: bytes if it has them, of drops frames */
	uint64_t bytes;  /* 0 where only frames are counted */
	uint64_t frames; /* 0 where only bytes, or other things, are counted */
	const struct advice *advice;
	char text[EXPLAIN_TEXT_BYTES]; /* the advice, with the names of this pair in it */
};

/* A pair of ports; or a port by itself, then egress is "". */
struct explain_part {
	const json_t *json, *source_port, *egress_port; /* borrowed; NULL: not in the snapshot */
	const char *source, *egress;
	uint64_t frames, bytes;
	uint64_t lent_bytes;   /* lent, and copied by nobody here */
	uint64_t copied_bytes; /* by us, deliveries and headers too */
	uint64_t kernel_bytes;
	uint64_t dropped_frames;
	unsigned int count;
	struct explain_line line[EXPLAIN_LINES_MAX]; /* copies by weight, then drops */
};

/* What is to be said of a pair of the snapshot. */
void explain_pair(const json_t *snapshot, const json_t *pair, struct explain_part *part);
/* What happened at a port before it was known where frames go. */
void explain_port(const json_t *snapshot, const json_t *port, struct explain_part *part);

/* A member by the names of struct advice: borrowed, NULL if it is not there. */
const json_t *explain_member(const struct explain_part *part, const char *name, size_t len);

const char *explain_by_name(enum explain_by by);
