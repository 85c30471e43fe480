/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * What `guestwire explain` prints of a snapshot: each pair with traffic that the
 * port takes part in (NULL: all), and what the ports themselves dropped.
 */
void explain_text(FILE *out, const json_t *snapshot, const char *port);
/* The same for programs; the caller's. NULL without memory. */
json_t *explain_json(const json_t *snapshot, const char *port);
/* Whether a snapshot has this port. */
bool explain_has_port(const json_t *snapshot, const char *port);
