/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a run came to: counts, errors in words, the exit status. Filled by a mode (guest
 * or interface), judged and printed here, for people or as one JSON object.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "guest_log.h"
#include "guest_options.h"
#include "guest_packet.h"
#include "tally.h"

#define SUMMARY_MAX_ERRORS 32u
#define SUMMARY_TEXT_BYTES 320u

enum guest_exit { EXIT_GOOD, EXIT_WRONG, EXIT_USAGE, EXIT_PROTOCOL, EXIT_DEADLINE };

#define SUMMARY_MAX_QUEUES 128u /* pairs */

struct summary_ring {
	uint16_t used_idx, avail_idx, base;
	uint32_t lost; /* chains that the device would never give back */
};

struct summary_queue {
	uint32_t stream;
	uint64_t sent, completed, received, kicks, calls;
	struct summary_ring rx, tx;
	bool clean;
};

/* What had come home, and come in, at a point in time. */
struct summary_point {
	int64_t ns;
	uint64_t completed, received;
};

/* --warm-up: what is measured begins and ends here. */
struct summary_steady {
	struct summary_point from, to;
	bool over;
};

struct guest_summary {
	const struct guest_options *options;
	struct tally *tally;

	uint64_t sent, sent_bytes, sent_pieces, completed;
	struct packet_counts packets; /* received */
	double seconds;
	struct summary_steady steady;
	bool interrupted;

	/* guest only */
	bool is_guest;
	uint64_t features, protocol;
	bool stopped; /* GET_VRING_BASE was answered for all rings */
	bool clean;
	uint32_t pairs;
	struct summary_queue queues[SUMMARY_MAX_QUEUES];
	uint64_t toggles, plugs;
	uint64_t suspends, left_in_flight; /* chains that were in flight when rings had stopped */
	uint64_t resets, taken_back;       /* frames that a reset device had not taken */
	uint64_t misses, invalidations;
	uint64_t restarts, restart_ms_max;
	uint64_t out_at_restarts; /* chains on TX rings when back-ends died */
	uint64_t chains_given, chains_home;
	uint64_t rx_cut;
	bool logged;
	struct guest_log_result log;
	uint64_t kicks, calls, missed_calls;
	uint64_t tx_used_len_set, rx_chains, rx_zero_buffers;

	/* interface only */
	uint64_t kernel_drops;

	/* misbehave only */
	const char *misbehaviour;
	const char *outcome;

	enum guest_exit exit;
	uint32_t error_count;
	char errors[SUMMARY_MAX_ERRORS][SUMMARY_TEXT_BYTES];
};

/* Notes an error; the first that is noted decides the exit status, but for a passed
 * deadline, to which anything else is preferred. */
void summary_error(struct guest_summary *summary, enum guest_exit exit, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void summary_count_error(struct guest_summary *summary, uint64_t count, const char *what);

/* Adds the errors that the counts show: frames wrong, doubled, missing, foreign. */
void summary_judge(struct guest_summary *summary);
void summary_print(struct guest_summary *summary);
/* One line of progress on stderr. */
void summary_progress(struct guest_summary *summary);
