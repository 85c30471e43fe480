/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers and names in text that people wrote. */
#pragma once

#include <guestwire/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A whole unsigned decimal number (no sign, no blanks, optional suffix K, M, G of 1024)
 * in [min, max]. -EINVAL with a text "WHAT: ...", WHAT being what the number is for.
 */
int gw_text_u64(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *value,
		struct gw_error *err);
/* Port and network names: 1 to 31 of [A-Za-z0-9_.-], beginning with a letter or digit. */
bool gw_text_is_name(const char *text);
/* Bounded copy; always ended by 0. Returns false if it was cut. */
bool gw_text_copy(char *dst, size_t dst_bytes, const char *src);
