/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#define LOG_LINE_BYTES 1024

static void (*log_sink)(void *arg, int level, const char *line);
static void *log_arg;

void gw_log_set_sink(void (*sink)(void *arg, int level, const char *line), void *arg)
{
	log_sink = sink;
	log_arg = arg;
}

void gw_log(int level, const char *format, ...)
{
	char line[LOG_LINE_BYTES];
	va_list args;

	if (!log_sink)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	/* Texts can carry what a peer sent: it must not forge lines or move a cursor. */
	for (char *p = line; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = ' ';
	log_sink(log_arg, level, line);
}
