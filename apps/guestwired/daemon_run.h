/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

#include "daemon_config.h"

/*
 * Runs the daemon until it is told to stop. Returns the exit status. ready_fd: of
 * daemon_background, is told and closed; -1: nobody waits.
 */
int daemon_run(const struct daemon_config *config, int ready_fd);
/* Sees whether the library takes the configuration; starts nothing. Returns the exit status. */
int daemon_check(const struct daemon_config *config);

/* Exit statuses, as in the manual. */
#define EXIT_OK    0
#define EXIT_FAIL  1
#define EXIT_USAGE 2
