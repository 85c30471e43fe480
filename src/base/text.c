/* SPDX-License-Identifier: BSD-2-Clause */
#include "text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT_NAME_LEN_MAX 31

/* Shift of a unit suffix, or -1. */
static int suffix_shift(char c)
{
	switch (c) {
	case 'K':
		return 10;
	case 'M':
		return 20;
	case 'G':
		return 30;
	}
	return -1;
}

/* The digits of text as a number; *end is what follows. False: none, or too large. */
static bool parse_digits(const char *text, uint64_t *value, const char **end)
{
	const char *p = text;
	uint64_t sum = 0;

	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(sum, 10u, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(*p - '0'), &sum))
			return false;
	*value = sum;
	*end = p;
	return p != text;
}

static bool parse_number(const char *text, uint64_t *value)
{
	const char *end;
	int shift;

	if (!parse_digits(text, value, &end))
		return false;
	if (!*end)
		return true;
	shift = suffix_shift(*end);
	if (shift < 0 || end[1] || *value > UINT64_MAX >> shift)
		return false;
	*value <<= shift;
	return true;
}

int gw_text_u64(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *value,
		struct gw_error *err)
{
	uint64_t number;

	if (!parse_number(text, &number))
		return gw_error_set(err, -EINVAL,
				    "%s: '%.64s' is not a whole number (digits, then K, M, G or "
				    "nothing)",
				    what, text);
	if (number < min || number > max)
		return gw_error_set(err, -EINVAL,
				    "%s: %" PRIu64 " is out of range; %" PRIu64 " to %" PRIu64
				    " is possible",
				    what, number, min, max);
	*value = number;
	return 0;
}

/* isalnum would follow the locale. */
static bool is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool gw_text_is_name(const char *text)
{
	size_t len = strnlen(text, TEXT_NAME_LEN_MAX + 1);

	if (len < 1 || len > TEXT_NAME_LEN_MAX || !is_letter_or_digit(text[0]))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!is_letter_or_digit(text[i]) && !strchr("_.-", text[i]))
			return false;
	return true;
}

bool gw_text_copy(char *dst, size_t dst_bytes, const char *src)
{
	size_t len;

	if (!dst_bytes)
		return false;
	len = strnlen(src, dst_bytes);
	if (len == dst_bytes) {
		memcpy(dst, src, dst_bytes - 1);
		dst[dst_bytes - 1] = 0;
		return false;
	}
	memcpy(dst, src, len + 1);
	return true;
}

bool gw_text_list_add(char *list, size_t list_bytes, const char *word)
{
	size_t used = strlen(list);
	int len = snprintf(list + used, list_bytes - used, "%s%s", used ? ", " : "", word);

	return len >= 0 && (size_t)len < list_bytes - used;
}

bool gw_text_has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (*list) {
		size_t first = strcspn(list, " ");

		if (first == len && memcmp(list, word, len) == 0)
			return true;
		list += first + (list[first] == ' ');
	}
	return false;
}
