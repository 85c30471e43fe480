/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is played: the whole library, a guest (tests/mock/vm.h) and simulated devices
 * (drivers/loop), as strands; events that can happen to them; and what must be true
 * after each.
 *
 *   - a chain comes back once at most, and not while a device may read it;
 *   - nothing comes back after the stop of the ring was answered; what is missing
 *     then, from the used index to the base, are loans that devices hold;
 *   - a device reads no memory that it was not told of, and it is told before the
 *     first loan, untold after the last (drivers/loop asserts both);
 *   - a queue pair that is to move is with the other worker then, or stays because a
 *     device keeps frames of it; no frame overtakes another on its way to a device or
 *     to the guest, and what came from the wire is in the guest's buffers at the end;
 *   - the books agree with the devices: loans of the pairs, frames of the ports;
 *   - at the end nothing is lost: each frame came back, or its ring was stopped
 *     while a device kept it; no memory is mapped, no descriptor and no thread left.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define WORLD_DEVICES_MAX 2u
#define WORLD_FRAMES_MAX  8u
#define WORLD_OPENING_MAX 4u
#define WORLD_EVENTS_MAX  48u

/* What can happen. X(id, word): the budget of a play says how often. */
/* clang-format off */
#define EVENTS(X) \
	X(EVENT_STEP,     "step")     /* a thread goes on to its next wait */ \
	X(EVENT_SEND,     "send")     /* the guest makes a chain available, and kicks */ \
	X(EVENT_ARRIVE,   "arrive")   /* device 0 has a frame from the wire */ \
	X(EVENT_COMPLETE, "complete") /* a device completes one of its frames */ \
	X(EVENT_FAIL,     "fail")     /* the same, not transmitted */ \
	X(EVENT_AGAIN,    "again")    /* a device completes the last one once more */ \
	X(EVENT_DIE,      "die")      /* a device completes nothing, and a stop does not help */ \
	X(EVENT_REVIVE,   "revive")   /* and then it does after all */ \
	X(EVENT_STOP,     "stop")     /* GET_VRING_BASE */ \
	X(EVENT_START,    "start")    /* the guest's driver is loaded anew */ \
	X(EVENT_MEMORY,   "memory")   /* another memory table */ \
	X(EVENT_MOVE,     "move")     /* its queue pair goes to the other worker */ \
	X(EVENT_GONE,     "gone")     /* the front-end dies */ \
	X(EVENT_END,      "end")      /* the engine is stopped */ \
	X(EVENT_DEADLINE, "deadline") /* time passes: to the first that waits for it */
/* clang-format on */

#define EVENT_ENUM(id, word) id,
enum event_kind { EVENTS(EVENT_ENUM) EVENT_KINDS };
#undef EVENT_ENUM

struct event {
	enum event_kind kind;
	unsigned int which; /* strand; device and frame: device * WORLD_FRAMES_MAX + frame */
};

struct play {
	const char *name;
	unsigned int devices;
	unsigned int depth; /* steps after the opening, as far as not said otherwise */
	bool asked;         /* the devices have answered before it begins */
	bool spread;        /* two workers: the devices with the first, the guest with the other */
	bool receives;      /* the guest has a receive ring, and buffers for all */
	enum event_kind opening[WORLD_OPENING_MAX]; /* what happens first, each to its end */
	unsigned int budget[EVENT_KINDS];           /* opening included; of STEP: not used */
};

/* Before the first and after the last. */
void world_open(void);
void world_close(void);
/* From nothing to a running guest, at rest. */
void world_begin(const struct play *play);
/* What can happen now; in the same order in each run. */
unsigned int world_events(struct event *events);
void world_do(const struct event *event);
/* Two states with the same number and the same events are taken for the same. */
uint64_t world_state(void);
/* All that is under way comes to its end, and everything is taken down. */
void world_end(void);
/* For people. */
void world_event_text(const struct event *event, char *text, unsigned int bytes);

/* Given by the explorer: says what was done up to here, and ends the program. */
void violation(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
