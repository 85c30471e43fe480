/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

#include <jansson.h>
#include <stdio.h>

/*
 * One line of a trace, for people. *first_ns: the time of the first event, which the
 * others are shown from; 0 before it.
 */
void trace_text(FILE *out, const json_t *event, json_int_t *first_ns);
