/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a crossing is made of.
 *
 *	crossing.c	frames and addresses, on the workers; the orders between them
 *	crossing_life.c	making, joining, freeing
 */
#pragma once

#include "crossing.h"

#define CROSSING_LINE 64u

struct handed {
	struct gw_frame frame; /* first: found by it. The lane's that it was handed to */
	/* the lane's that handed it over */
	struct gw_frame *origin;
	struct pair *pair;
	uint32_t slot;      /* of the egress */
	struct iovec *segs; /* a long array; NULL: the origin's is good */
	/* the other one's */
	struct way *way;     /* that it came by */
	bool lent;           /* a device has it, or had */
	uint64_t done_ns;    /* when that was done with it; 0: none had it */
	struct handed *next; /* waits for room on the way back */
};

struct ring_of_handed {
	/* ---- the producer ---- */
	uint32_t put;   /* entries written */
	uint32_t shown; /* atomic: of these, those that the other end may read */
	/* ---- the consumer ---- */
	uint32_t taken __attribute__((aligned(CROSSING_LINE))); /* atomic */
	uint32_t wanted;                                        /* atomic: it is to be woken */
	struct handed *entry[CROSSING_ENTRIES] __attribute__((aligned(CROSSING_LINE)));
};

/* One direction between two lanes. */
struct way {
	struct ring_of_handed out, back;
	struct handed *kept, **kept_end; /* the far lane's: found no room in `back` */
	unsigned int near_lane;          /* that hands over */
	int near_fd, far_fd;             /* wake it, and the other one */
	/* addresses */
	uint32_t news_put
		__attribute__((aligned(CROSSING_LINE))); /* atomic: the near lane's. Pair H */
	uint32_t news_taken
		__attribute__((aligned(CROSSING_LINE))); /* atomic: the far lane's. Pair I */
	uint64_t news[CROSSING_NEWS];
};

struct crossing {
	struct port_queue queue; /* first: found by it */
	struct gw_port port;     /* that the queue needs to have */
	unsigned int index, count;
	struct way *to[PORT_LANES_MAX], *from[PORT_LANES_MAX]; /* by lane; NULL: itself */
	unsigned int turn;                                     /* who is read first */
	unsigned int hear_next;                                /* whose news are read */
	uint64_t put_to, put_back; /* bits of lanes: something is to be shown */
	struct handed *handed;     /* CROSSING_HANDED */
	struct handed **idle;      /* a stack */
	unsigned int idle_count;
	struct iovec (*segs)[GW_FRAME_SEGS_MAX]; /* CROSSING_LONG */
	unsigned int segs_idle[CROSSING_LONG], segs_count;
};

/* crossing.c */
extern const struct gw_driver crossing_driver;
