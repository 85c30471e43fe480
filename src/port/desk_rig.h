/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ports that hear each other, for tests of the desk: devices do what they are told
 * (fake_device.h), and there is no worker: the test calls the desk as a worker does.
 */
#pragma once

#include "desk.h"

#include "fake_device.h"
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define LEN       1000u
#define RIG_PORTS 4u

/* Two memories of a guest; nobody looks into them. */
extern int memory_a, memory_b;
#define MEMORY_A ((struct gw_memmap *)&memory_a)
#define MEMORY_B ((struct gw_memmap *)&memory_b)

/* How often the desk asked, and told that a pair has no loans. */
extern unsigned int asked, drained;

struct rig {
	struct gw_arena *arena;
	struct gw_port *port[RIG_PORTS]; /* the first is the source */
	unsigned int count, next_id;
	uint64_t offered; /* frames of the wire that were offered and not refused */
	struct fake *source;
};

/* Ports of a NULL-ended list. */
void rig_open(struct rig *rig, const char *const *specs);
void rig_close(struct rig *rig);

static inline struct pair *pair_to(struct rig *rig, unsigned int egress)
{
	return rig->port[egress]->queue[0]->pair_from[0];
}

static inline struct fake *device(struct rig *rig, unsigned int egress)
{
	return fake_of(rig->port[egress]);
}

/* The driver of `egress` answers so for memory A, as of now. */
void answer(struct rig *rig, unsigned int egress, struct gw_answer what);
struct gw_answer yes(void);

/* A frame of count segments, len bytes in all, entered at the source. */
struct gw_frame *frame_of(struct rig *rig, uint32_t len, unsigned int count);
/* The way of a frame through the network, to one egress. */
enum desk_verdict offer_frame(struct rig *rig, unsigned int egress, struct gw_frame *frame,
			      bool may_wait);
enum desk_verdict offer(struct rig *rig, unsigned int egress, uint32_t len);

void complete_all(struct rig *rig, unsigned int egress);
/*
 * Lent, copied and dropped together are what was offered; each frame came home
 * once; every loan, bounce buffer and private header is back.
 */
void check_books(struct rig *rig, unsigned int egress);
