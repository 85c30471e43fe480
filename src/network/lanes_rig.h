/* SPDX-License-Identifier: BSD-2-Clause */
/* A network of two lanes, for its tests: the sender is in one, and the others in the other. */
#pragma once

#include "fake_device.h"
#include "network.h"

#define LEN  600u
#define FAR  1u /* the lane that the sender is in; the others are in lane 0 */
#define NEAR 0u

struct rig {
	struct network network;
	struct gw_arena *arena;
	unsigned int count;
};

/* For rig_open: the sender, and one other or two. */
extern const char *const two[], *const three[];

/* Port 0 is the sender. */
void rig_open(struct rig *rig, const char *const *specs);
void rig_close(struct rig *rig);
struct fake *fake_at(struct rig *rig, unsigned int i);
struct port_queue *queue_at(struct rig *rig, unsigned int i, unsigned int lane);

/* The egress has answered there: each frame that reaches that lane is lent. */
void answer_in(struct rig *rig, unsigned int egress, unsigned int lane);
/* In the near lane. */
void answer(struct rig *rig, unsigned int egress);

/* What a worker does in a visit of the crossing's queue, and at its end. */
unsigned int visit_crossing(struct rig *rig, unsigned int number);
void settle(struct rig *rig, unsigned int number);

/* The sender's memory. */
extern uint8_t bytes[LEN * 2];
/* Whom what lies there is for, and from. */
void address(uint8_t to, uint8_t from);
/* A frame of the sender's of the bytes as they are; and of those that are addressed so. */
struct gw_frame *make_same(struct rig *rig, unsigned int id, unsigned int segs);
struct gw_frame *make(struct rig *rig, unsigned int id, uint8_t to, uint8_t from,
		      unsigned int segs);
/* The sender lends it in the far lane; true if it is not to be offered again. */
bool send_frame(struct rig *rig, struct gw_frame *frame);
