/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the played world share. */
#pragma once

#include "loop_port.h"
#include "loop_test_api.h"
#include "pair.h"
#include "strand.h"
#include "vm.h"
#include "world.h"
#include <guestwire/guestwire.h>

#define WORLD_STOP_MS 100u
#define WORLD_STOP_NS (WORLD_STOP_MS * 1000000ull)
/* For which a move lets all rest (src/engine/move.c), at least. */
#define WORLD_REST_NS 50000000ull
/* Where a frame has its number. */
#define SERIAL_AT     20u

struct sent {
	uint16_t head;
	unsigned int ring; /* which run of the ring */
	bool was_lent, used;
	bool lost; /* its ring was stopped while a device kept it */
};

struct world {
	const struct play *play;
	unsigned int done[EVENT_KINDS];
	struct gw_context *context;
	struct vm vm;
	struct loop *device[WORLD_DEVICES_MAX];
	bool dead[WORLD_DEVICES_MAX];
	uint64_t last_cookie[WORLD_DEVICES_MAX];
	bool has_last[WORLD_DEVICES_MAX];
	struct gw_port *guest;

	struct sent sent[WORLD_FRAMES_MAX];
	unsigned int sent_count;
	unsigned int received; /* of what has arrived */
	unsigned int ring;     /* counts runs of the transmit ring */
	bool running, frozen;  /* frozen: its stop was answered, nothing may come back */
	bool connected, ended;
	enum event_kind job;
	bool job_waits;  /* its end was not looked at yet */
	uint64_t job_ns; /* when it began */
	uint16_t base;
	int moved; /* what gw_move said */
	int held_at_end;
	uint64_t logs;
};

extern struct world world;

/* ---- world.c ---- */
/* The hand begins with it: STOP, START, MEMORY, MOVE, END. */
void world_begin_job(enum event_kind kind);
/* The worker that the last MOVE was to. */
unsigned int world_move_to(void);
/* The front-end's own side of the socket has no order that matters. */
void world_run_hand(void);

/* ---- world_check.c: each ends the program if it is not so ---- */
/* After each step. */
void world_check(void);
/* The answer to GET_VRING_BASE. */
void world_check_stopped(uint16_t base);
/* The queue pair was moved, or not. */
void world_check_moved(void);
/* Another memory table was acknowledged. */
void world_check_changed(void);
/* At the end, before and after the front-end has gone. */
void world_check_nothing_lost(void);
void world_check_let_go(void);
/* Frames that a device holds, in order; who it is; the number in its bytes. */
unsigned int world_held(unsigned int device);
const struct gw_frame *world_held_frame(unsigned int device, unsigned int i);
unsigned int world_serial(const struct iovec *seg);

/* ---- world_events.c ---- */
void world_send(void);
void world_arrive(void);
void world_complete(unsigned int device, unsigned int i, bool failed);
void world_complete_all(void);
void world_revive(unsigned int device);
