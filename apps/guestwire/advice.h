/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an operator can do about a copy or a drop: one table. The last column is
 * the last column of docs/reasons.md, which `scripts/check reasons` compares.
 *
 * A subject is a reason's name, or a counter that has no reasons (ADVICE_KERNEL
 * ...). Of the rows of a subject the first counts whose condition holds; the last
 * has none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Subjects that are counters of a pair or a port, not reasons. */
#define ADVICE_KERNEL     "kernel_copied_bytes"
#define ADVICE_HEADERS    "header_bytes_copied"
#define ADVICE_DELIVERED  "lent_bytes"
#define ADVICE_QUARANTINE "quarantined"

struct advice {
	const char *subject;
	/*
	 * MEMBER=WORD, MEMBER~PART of a text, MEMBER>NUMBER or MEMBER>MEMBER (at least);
	 * NULL: always. Members are those of `guestwire show --json`: of the pair, its
	 * query (query.), the ports on both sides (egress., source.).
	 */
	const char *when;
	const char *show; /* members that it stands on, besides the counter; "": none */
	/* IFNAME stands for the egress port's target, EGRESS and SOURCE for the names. */
	const char *text;
};

/* All rows; *count of them. */
const struct advice *advice_table(size_t *count);
