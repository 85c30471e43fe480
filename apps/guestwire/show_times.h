/* SPDX-License-Identifier: BSD-2-Clause */
/* How long frames took, and what workers did with their time, for people. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Whether frames that came in at this port were measured. */
bool show_times_has(const json_t *port);
/* A line for each kind of way. */
void show_times_print(FILE *out, const json_t *port);
/* A line for each worker. */
void show_workers(FILE *out, const json_t *work);
