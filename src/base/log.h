/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log lines, at control-plane rate only. The library writes nothing by itself:
 * the sink is the embedding program's. One process has one sink (set before
 * threads start).
 */
#pragma once

#include <syslog.h>

void gw_log_set_sink(void (*sink)(void *arg, int level, const char *line), void *arg);
/* level: LOG_ERR .. LOG_DEBUG. One line, without its newline. Threads: any. */
void gw_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
