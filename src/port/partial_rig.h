/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames with a partial header, and devices that judge what they get of them: each
 * frame of the wire by its bytes (tests/mock/mock_super.h), and by where these lie.
 * The rig is that of desk_rig.h, with partial_open and partial_end around it.
 */
#pragma once

#include "desk_rig.h"

#include "mock_super.h"

#define SUPERS       128u
#define PARTIAL_SEGS 1200u

/* A super-frame of a guest, in memory of its exact size. */
struct sent {
	struct mock_super made;
	uint8_t *bytes;
	struct iovec seg[PARTIAL_SEGS];
};

extern struct sent *sent[SUPERS]; /* by id of the frame, which is in its source address */

/* What devices got. */
struct got {
	struct rig *rig;
	unsigned int next[RIG_PORTS][SUPERS]; /* frame of the wire that has to come, by egress */
	unsigned int lent, copied, whole, partial;
	bool lossy; /* some may be missing, in order they are */
	uint64_t bytes;
};

extern struct got got;

/* Ten frames, the last as long as the others; and one whose checksum only is missing. */
extern const struct mock_super_shape ten, one;
#define TEN_LEN 1054u /* of each of the ten */

extern const char *const two[], *const two_of_four[];

/* Devices judge what they get, and say yes to loans. */
void partial_open(struct rig *rig, const char *const *specs);
/* Sends and completes all that is left at the first egress, checks its books, closes. */
void partial_end(struct rig *rig);
void partial_close(struct rig *rig);

/* A frame of the source with these bytes, in segments of `step` bytes; 0: one. */
struct gw_frame *super_of(struct rig *rig, const struct mock_super_shape *shape, uint32_t step);
/* The guest has the buffer of frame `id` back, and uses it no more. */
void super_free(unsigned int id);
enum desk_verdict offer_super(struct rig *rig, unsigned int egress, struct gw_frame *frame,
			      bool may_wait);
/* Offers one that need not wait to the first egress, and sends it. */
void send_super(struct rig *rig, const struct mock_super_shape *shape, uint32_t step);

/* From now on the device takes this. */
void take(struct rig *rig, unsigned int egress, struct gw_offloads offloads);

/* At the first egress, so many were dropped for this reason. */
void check_dropped(struct rig *rig, enum gw_reason reason, unsigned int frames, uint64_t bytes);
