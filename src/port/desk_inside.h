/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two files of the desk share: desk.c decides and keeps the books. */
#pragma once

#include "desk.h"

/* GW_REASON_NONE: lend. Otherwise: copy, and why. */
enum gw_reason desk_decide(struct pair *pair, struct gw_frame *frame);
/* Room for one more in the egress's batch; false: it takes nothing now. */
bool desk_room(struct port_queue *egress);
/* Enters into the batch a frame that was lent (reason NONE), or its copy. There is room. */
void desk_lend(struct port_queue *egress, struct pair *pair, struct gw_frame *frame);
void desk_add(struct port_queue *egress, struct pair *pair, struct gw_frame *frame,
	      enum gw_reason reason);
/* Counts frames that are not delivered. */
void desk_count_drop(struct pair *pair, enum gw_reason reason, uint32_t bytes, uint32_t count);
/* Counts a frame of which nothing more is delivered; if it was begun, what is left of it. */
void desk_drop_rest(struct pair *pair, const struct gw_frame *frame, enum gw_reason reason);
/* No room: the frame waits if the source may, else it is dropped. */
enum desk_verdict desk_no_room(struct port_queue *egress, struct pair *pair,
			       const struct gw_frame *frame, bool may_wait, enum gw_reason reason);
/*
 * Offers a copy of a whole frame; what its checksum lacks is done in the copy. There
 * is room in the batch.
 */
enum desk_verdict desk_copy(struct port_queue *egress, struct pair *pair, struct gw_frame *frame,
			    enum gw_reason reason, bool may_wait);

/* ---- desk_partial.c ---- */

/*
 * Offers a frame whose header asks for something that the egress does not take as it
 * is. The egress is usable.
 */
enum desk_verdict desk_offer_partial(struct port_queue *egress, struct pair *pair,
				     struct gw_frame *frame, bool may_wait);
/* Computes the checksum of a copy that has a partial one, unless it is the device's. */
void desk_complete_copy(struct pair *pair, struct gw_frame *copy);
