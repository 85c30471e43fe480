/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line tool, inside: what was asked for, and the commands that do it. */
#pragma once

#include "control_path.h"

#include <stdbool.h>
#include <stdint.h>

#define EXIT_OK    0
#define EXIT_FAIL  1
#define EXIT_USAGE 2

struct call {
	const char *path;
	char default_path[CONTROL_PATH_BYTES];
	const char *word;                /* port or interface; NULL: all */
	unsigned int timeout_s, watch_s; /* 0: not given */
	const char *from;                /* NULL: ask the daemon */
	uint64_t count, every;           /* 0: not given */
	uint64_t worker;                 /* move */
	bool has_worker;
	bool json, attempt, queries;
	bool help, version;
};

/* A line on standard error, without control characters. */
void cli_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Standard output, all of it; false after a complaint. */
bool cli_flush(void);

/* The commands; each returns an exit status. */
int cli_show(const struct call *call);
int cli_explain(const struct call *call);
int cli_probe(const struct call *call);
int cli_move(const struct call *call);
int cli_stop(const struct call *call);
int cli_trace(const struct call *call);
