/* SPDX-License-Identifier: BSD-2-Clause */
/* Members of what the daemon says. One that is missing, or not of its kind, is "" or 0. */
#pragma once

#include <jansson.h>
#include <stdint.h>

const char *member_text(const json_t *json, const char *name);
json_int_t member_number(const json_t *json, const char *name);
/* A number of things: never below 0. */
uint64_t member_count(const json_t *json, const char *name);
