/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's log: lines on stderr, "guestwired: [warning: ]TEXT". */
#pragma once

#include <stdbool.h>
#include <syslog.h>

/* Lines less important than level (LOG_ERR .. LOG_DEBUG) are left out. Before threads start. */
void daemon_log_open(int level, bool with_time);
void daemon_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For gw_options.log. Threads: any. */
void daemon_log_sink(void *arg, int level, const char *line);
