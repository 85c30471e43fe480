/* SPDX-License-Identifier: BSD-2-Clause */
/* A snapshot as JSON: the one place that knows the names of the fields. */
#pragma once

#include <guestwire/guestwire.h>
#include <jansson.h>

/*
 * The members of a "show" reply ("ports", "pairs", ...), or NULL without memory.
 * port: only this one and the pairs it is part of; NULL: all. The caller has
 * checked that it exists.
 */
json_t *control_json_snapshot(const struct gw_snapshot *snapshot, const char *port);

/* Sets what a driver answered: "verdict", "reason", "text", "device_reads" ... */
void control_json_answer(json_t *json, const struct gw_answer *answer);

/*
 * A JSON string of text that may hold anything: bytes that are no UTF-8 become
 * U+FFFD. Socket paths and driver texts need not be UTF-8; JSON has to be.
 */
json_t *control_json_text(const char *text);
