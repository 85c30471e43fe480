/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers, names and lists in text that people write or read. */
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
/* Adds a word to a list for people, "a, b, c" or still "". Returns false if it was cut. */
bool gw_text_list_add(char *list, size_t list_bytes, const char *word);
/* Whether word is one of list, which has a blank between them. */
bool gw_text_has_word(const char *list, const char *word);
