/* SPDX-License-Identifier: BSD-2-Clause */
/* One row of the table of options, for those who read it. */
#pragma once

#include <stddef.h>

#include "guest_options.h"

enum option_kind {
	KIND_GROUP, /* a heading of the help */
	KIND_FLAG,
	KIND_TEXT,
	KIND_NUMBER,
	KIND_RANGE,
	KIND_SECONDS,
	KIND_MAC,
	KIND_CHOICE,
	KIND_LIST,
	KIND_FEATURES,
	KIND_OFFLOADS,
	KIND_HELP,
	KIND_VERSION,
};

struct option_row {
	const char *name;
	enum option_kind kind;
	size_t at;            /* offset in struct guest_options */
	size_t given_at;      /* offset of its "was given" flag; 0: none */
	uint64_t low, high;   /* of numbers */
	const char *argument; /* for choices: the names, in the order of their enum */
	const char *help;
};

#define OPTION_MAX_SECONDS 1e6

/* Puts what was typed where the row says; false: it is not of this kind. */
bool options_parse_value(struct guest_options *options, const struct option_row *row,
			 const char *text);
