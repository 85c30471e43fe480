/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A limit on log lines that a peer can cause.
 *
 * A guest or a front-end can break rules, connect and be turned away as fast as it
 * likes, and each time is worth a line to whoever looks for the fault. So there is a bucket
 * for each port: LOG_LIMIT_BURST lines at once, and then one each LOG_LIMIT_REFILL_NS.
 * What found the bucket empty is counted, and told when there is room again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LOG_LIMIT_BURST     100u
#define LOG_LIMIT_REFILL_NS 500000000ull

/* All zero at first. By a spin flag, held for a few instructions. */
struct log_limit {
	uint32_t busy;
	uint32_t spent;       /* lines of the burst */
	uint32_t suppressed;  /* since that was told last */
	uint64_t refilled_ns; /* when a line was last given back */
};

/*
 * Whether a line may be written now. *suppressed: so many could not since this was
 * last told, to be said before the line. Threads: any.
 */
bool log_limit_pass(struct log_limit *limit, uint64_t now_ns, uint32_t *suppressed);
/*
 * How many could not, if that may be said now, which takes the place of a line; else
 * 0. For whoever looks now and then, so that the end of a flood is told. Threads: any.
 */
uint32_t log_limit_rest(struct log_limit *limit, uint64_t now_ns);
