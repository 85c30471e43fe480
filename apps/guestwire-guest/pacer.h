/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When to send, when to stop, how long to sleep: the part of a run that the guest and
 * the interface mode have in common. Times are CLOCK_MONOTONIC nanoseconds.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "guest_options.h"
#include "guest_summary.h"
#include "tally.h"

#define PACER_NEVER INT64_MAX

struct pacer {
	const struct guest_options *options;
	int64_t start_ns;
	int64_t now_ns;
	int64_t deadline_ns;
	int64_t send_end_ns;
	int64_t warm_ns;      /* PACER_NEVER without --warm-up */
	int64_t rate_from_ns; /* since when, and which frame, the rate is counted */
	uint64_t rate_from;
	int64_t next_stats_ns;
	int64_t settle_ns;   /* PACER_NEVER until all is done */
	uint32_t pieces_max; /* pieces that one frame may be, for the window */
	bool interrupted;
	bool rewrite; /* SIGUSR1 came; whoever does it clears this */
	bool held;    /* --start-fd has not said go */
	int signal_fd;
};

/* Blocks SIGTERM and SIGINT, and SIGUSR1 for --rewrite, and reads them from signal_fd. */
int pacer_open(struct pacer *pacer, const struct guest_options *options, struct fail *fail);
void pacer_close(struct pacer *pacer);
/* The clock starts now; tells --ready-fd. */
void pacer_start(struct pacer *pacer);

void pacer_tick(struct pacer *pacer, struct guest_summary *summary);
/*
 * How many frames may go now; 0 when the rate, the window or the end says so. The
 * window counts pieces (guest_packet.h), which are what is received.
 */
uint32_t pacer_allowance(struct pacer *pacer, uint64_t sent, uint64_t sent_pieces,
			 uint64_t received);
bool pacer_sending_over(const struct pacer *pacer, uint64_t sent);
/* All is done (idle: nothing in flight), or the deadline passed, or a signal came. */
bool pacer_finished(struct pacer *pacer, struct guest_summary *summary, bool idle);
/* How long nothing happens but by events, at most limit_ns. */
int64_t pacer_sleep_ns(const struct pacer *pacer, uint64_t sent, int64_t limit_ns);
void pacer_read_signal(struct pacer *pacer);
double pacer_seconds(const struct pacer *pacer);
