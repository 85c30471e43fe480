/* SPDX-License-Identifier: BSD-2-Clause */
/* Values of options: numbers, ranges, choices, lists, names of features. */
#include "guest_options_inside.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "front_end.h"

static bool parse_number(const char *text, const char **end, uint64_t *value)
{
	char *stop;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*value = strtoull(text, &stop, 0);
	*end = stop;
	return errno == 0;
}

static bool parse_range(const struct option_row *row, const char *text, struct guest_range *range)
{
	if (!parse_number(text, &text, &range->low))
		return false;
	range->high = range->low;
	if (*text == '-' && !parse_number(text + 1, &text, &range->high))
		return false;
	return !*text && range->low <= range->high && range->low >= row->low &&
	       range->high <= row->high;
}

static bool parse_mac(const char *text, struct guest_mac *mac)
{
	char *end;

	for (int i = 0; i < (int)PATTERN_MAC_BYTES; i++) {
		unsigned long byte = strtoul(text, &end, 16);

		if (end == text || end - text > 2 || byte > 0xff ||
		    *end != (i + 1 < (int)PATTERN_MAC_BYTES ? ':' : '\0'))
			return false;
		mac->bytes[i] = (uint8_t)byte;
		text = end + 1;
	}
	mac->given = true;
	return true;
}

static bool parse_choice(const struct option_row *row, const char *text, int *value)
{
	const char *name = row->argument;
	size_t len = strlen(text);

	for (*value = 0; name; (*value)++) {
		if (len && !strncmp(name, text, len) && (!name[len] || name[len] == '|'))
			return true;
		name = strchr(name, '|');
		name = name ? name + 1 : NULL;
	}
	return false;
}

static bool parse_list(const struct option_row *row, const char *text, struct guest_list *list)
{
	uint64_t value, last;

	for (;;) {
		if (!parse_number(text, &text, &value))
			return false;
		last = value;
		if (*text == '-' && !parse_number(text + 1, &text, &last))
			return false;
		if (last < value || last > row->high ||
		    last - value >= GUEST_MAX_STREAM_LIST - list->count)
			return false;
		while (value <= last)
			list->values[list->count++] = (uint32_t)value++;
		if (*text != ',')
			return !*text;
		text++;
	}
}

/* One name, of len bytes: a feature, or all of a kind. 0: none. */
static uint64_t offload_bits(const char *name, size_t len)
{
	static const char *const kinds[] = {
		[FEATURE_HOST_OFFLOAD] = "host", [FEATURE_GUEST_OFFLOAD] = "guest"
	};
	bool all = len == 3 && !strncmp(name, "all", len);
	uint64_t bits = 0;

	for (const struct front_end_feature *f = front_end_features; f->name; f++) {
		if (f->kind != FEATURE_HOST_OFFLOAD && f->kind != FEATURE_GUEST_OFFLOAD)
			continue;
		if (all || (strlen(f->name) == len && !strncmp(f->name, name, len)) ||
		    (strlen(kinds[f->kind]) == len && !strncmp(kinds[f->kind], name, len)))
			bits |= 1ull << f->bit;
	}
	return bits;
}

uint64_t options_all_offloads(void)
{
	return offload_bits("all", 3);
}

static bool parse_offloads(struct guest_options *options, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, ",");
		uint64_t bits = offload_bits(text, len);

		if (!bits)
			return false;
		options->offloads |= bits;
		text += len;
		text += *text == ',';
	}
	return true;
}

static bool parse_features(struct guest_options *options, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, ",");
		const struct front_end_feature *f = front_end_features;

		while (f->name && (strlen(f->name) != len || strncmp(f->name, text, len)))
			f++;
		if (!f->name)
			return false;
		*(front_end_is_protocol(f->kind) ? &options->protocol_off
						 : &options->features_off) |= 1ull << f->bit;
		text += len;
		text += *text == ',';
	}
	return true;
}

static bool parse_seconds(const char *text, double *value)
{
	char *end;

	*value = strtod(text, &end);
	return end != text && !*end && *value >= 0 && *value <= OPTION_MAX_SECONDS;
}

bool options_parse_value(struct guest_options *options, const struct option_row *row,
			 const char *text)
{
	void *at = (char *)options + row->at;
	uint64_t *number = at;

	if (row->given_at)
		*(bool *)((char *)options + row->given_at) = true;
	switch (row->kind) {
	case KIND_FLAG:
		*(bool *)at = true;
		return true;
	case KIND_TEXT:
		*(const char **)at = text;
		return *text;
	case KIND_NUMBER:
		return parse_number(text, &text, number) && !*text && *number >= row->low &&
		       *number <= row->high;
	case KIND_RANGE:
		return parse_range(row, text, at);
	case KIND_SECONDS:
		return parse_seconds(text, at);
	case KIND_MAC:
		return parse_mac(text, at);
	case KIND_CHOICE:
		return parse_choice(row, text, at);
	case KIND_LIST:
		return parse_list(row, text, at);
	case KIND_FEATURES:
		return parse_features(options, text);
	case KIND_OFFLOADS:
		return parse_offloads(options, text);
	case KIND_GROUP:
	case KIND_HELP:
	case KIND_VERSION:
		return true;
	}
	return false;
}
