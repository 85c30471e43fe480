/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A library context whose guests send to a sink (driver null) from transmit rings that were
 * filled beforehand and never run dry: for spread.c.
 *
 * Functions end the program, and say why, when something fails.
 */
#pragma once

#include "refill.h"

#include <guestwire/guestwire.h>
#include <stdbool.h>
#include <stdint.h>

#define GUESTS_MAX  64u
#define PAIRS_MAX   REFILL_RINGS_MAX
#define WORKERS_MAX REFILL_LANES_MAX

struct setup_options {
	unsigned int ring, len; /* entries of a ring, bytes of a frame */
	bool pin;
	const char *folder; /* for sockets */
};

struct setup {
	unsigned int number; /* 0.., of all of this program */
	unsigned int guests, pairs, workers;
	unsigned int processor; /* of its first worker; the others have the next ones */
	struct gw_context *context;
	struct guest *guest;
	int tid[WORKERS_MAX];
};

_Noreturn void setup_die(const char *what);
uint64_t setup_now_ns(void);

/* It sleeps until setup_begin(). */
void setup_start(struct setup *setup, const struct setup_options *options);
void setup_stop(struct setup *setup);
/* Its guests send, until all that was made available is worked off. */
void setup_begin(const struct setup *setup);
/* Nothing more is made available. */
void setup_end(const struct setup *setup);
/* All is worked off: its workers go to sleep. */
void setup_wait(const struct setup *setup);
/* So far, by that worker. */
uint64_t setup_frames(const struct setup *setup, unsigned int worker);
/* No frame was dropped. */
void setup_check(struct setup *setup);
