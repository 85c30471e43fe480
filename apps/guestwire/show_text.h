/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

#include <jansson.h>
#include <stdio.h>

/*
 * The picture of "guestwire show": ports, and for each pair with traffic what was
 * lent, what was copied, by whom and why. reply is the daemon's; members that it
 * lacks (another version) count as 0 or nothing.
 */
void show_text(FILE *out, const json_t *reply);
