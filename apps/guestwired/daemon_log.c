/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each line is one write(), so that lines of several threads do not mix. Where
 * stderr is the journal's, lines carry "<LEVEL>" as sd-daemon(3) has it, and no time.
 */
#include "daemon_log.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1280
#define TIME_BYTES 40

static struct {
	int level;
	bool with_time;
	bool journal;
} settings = { .level = LOG_INFO };

/* systemd says in JOURNAL_STREAM=DEVICE:INODE which file is the journal's. */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void daemon_log_open(int level, bool with_time)
{
	settings.level = level;
	settings.journal = is_journal();
	settings.with_time = with_time && !settings.journal;
}

static const char *level_words(int level)
{
	switch (level) {
	case LOG_WARNING:
		return "warning: ";
	case LOG_DEBUG:
		return "debug: ";
	}
	return "";
}

/* "2026-01-31T12:00:00.123Z " */
static void format_time(char *text, size_t bytes)
{
	struct timespec now;
	struct tm tm;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	len = strftime(text, bytes, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, bytes - len, ".%03uZ ", (unsigned int)(now.tv_nsec / 1000000));
}

void daemon_log_sink(void *arg, int level, const char *line)
{
	char text[LINE_BYTES], time[TIME_BYTES] = "", mark[8] = "";
	int len;

	if (level > settings.level)
		return;
	if (settings.with_time)
		format_time(time, sizeof(time));
	if (settings.journal)
		snprintf(mark, sizeof(mark), "<%d>", level & LOG_PRIMASK);
	len = snprintf(text, sizeof(text) - 1, "%s%sguestwired: %s%s", mark, time,
		       level_words(level), line);
	if (len < 0)
		return;
	if ((size_t)len > sizeof(text) - 2)
		len = sizeof(text) - 2;
	/* Names and texts may come from a peer: no escape sequences to the terminal. */
	for (int i = 0; i < len; i++)
		if (iscntrl((unsigned char)text[i]))
			text[i] = '?';
	text[len++] = '\n';
	/* A log that cannot be written is no reason to stop. */
	if (write(STDERR_FILENO, text, (size_t)len) < 0)
		return;
}

void daemon_log(int level, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	daemon_log_sink(NULL, level, line);
}
