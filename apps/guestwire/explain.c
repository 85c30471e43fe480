/* SPDX-License-Identifier: BSD-2-Clause */
#include "explain.h"
#include "member.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const json_t *find_port(const json_t *snapshot, const char *name)
{
	const json_t *port;
	size_t i;

	json_array_foreach(json_object_get(snapshot, "ports"), i, port)
	{
		if (strcmp(member_text(port, "name"), name) == 0)
			return port;
	}
	return NULL;
}

/* ---- members and conditions ---- */

const json_t *explain_member(const struct explain_part *part, const char *name, size_t len)
{
	const struct {
		const char *prefix;
		const json_t *json;
	} places[] = {
		{ "query.", json_object_get(part->json, "query") },
		{ "egress.", part->egress_port },
		{ "source.", part->source_port },
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		size_t prefix_len = strlen(places[i].prefix);

		if (len > prefix_len && memcmp(name, places[i].prefix, prefix_len) == 0)
			return json_object_getn(places[i].json, name + prefix_len,
						len - prefix_len);
	}
	return json_object_getn(part->json, name, len);
}

/* The right side of a comparison: a number, or another member. */
static json_int_t right_number(const struct explain_part *part, const char *text)
{
	if (isdigit((unsigned char)text[0]))
		return strtoll(text, NULL, 10);
	return json_integer_value(explain_member(part, text, strlen(text)));
}

static bool holds(const struct explain_part *part, const char *when)
{
	size_t len = when ? strcspn(when, "=~>") : 0;
	const json_t *member;
	const char *text, *right;

	if (!when)
		return true;
	member = explain_member(part, when, len);
	right = when + len + 1;
	text = json_string_value(member);
	switch (when[len]) {
	case '=':
		return text && strcmp(text, right) == 0;
	case '~':
		return text && strstr(text, right);
	case '>':
		return json_is_integer(member) &&
		       json_integer_value(member) >= right_number(part, right);
	}
	return false;
}

static const struct advice *find_advice(const struct explain_part *part, const char *subject)
{
	size_t count;
	const struct advice *table = advice_table(&count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(table[i].subject, subject) == 0 && holds(part, table[i].when))
			return &table[i];
	return NULL;
}

/* ---- lines ---- */

#define WORD_COUNT 3u

/* The advice with this pair's names in place of the words that stand for them. */
static void fill_text(const struct explain_part *part, struct explain_line *line)
{
	const struct {
		const char *word, *name;
	} words[WORD_COUNT] = {
		{ "IFNAME", member_text(part->egress_port, "target") },
		{ "EGRESS", part->egress },
		{ "SOURCE", part->source },
	};
	const char *in = line->advice ? line->advice->text : "";
	size_t used = 0;

	while (*in && used + 1 < sizeof(line->text)) {
		size_t i = 0;

		while (i < WORD_COUNT && (!words[i].name[0] ||
					  strncmp(in, words[i].word, strlen(words[i].word)) != 0))
			i++;
		if (i < WORD_COUNT) {
			used += (size_t)snprintf(line->text + used, sizeof(line->text) - used, "%s",
						 words[i].name);
			in += strlen(words[i].word);
		} else if (*in++ != '`') {
			line->text[used++] = in[-1];
		}
	}
	line->text[used < sizeof(line->text) ? used : sizeof(line->text) - 1] = 0;
}

/* map: the member that the counter is in, NULL: the pair or port itself. */
static void add_line(struct explain_part *part, enum explain_by by, const char *map,
		     const char *subject, uint64_t frames, uint64_t bytes)
{
	struct explain_line *line = &part->line[part->count];

	if (part->count == EXPLAIN_LINES_MAX || (!frames && !bytes))
		return;
	*line = (struct explain_line){ .by = by, .subject = subject };
	line->frames = by == EXPLAIN_DEVICE ? 0 : frames;
	line->bytes = bytes;
	line->value = bytes && by < EXPLAIN_DROPPED ? bytes : frames;
	snprintf(line->counter, sizeof(line->counter), "%s%s%s", map ? map : "", map ? "." : "",
		 subject);
	line->advice = find_advice(part, subject);
	fill_text(part, line);
	part->count++;
}

static void add_reasons(struct explain_part *part, enum explain_by by, const char *frames_map,
			const char *bytes_map)
{
	const json_t *frames = json_object_get(part->json, frames_map);
	const json_t *bytes = json_object_get(part->json, bytes_map);

	for (unsigned int r = GW_COPY_FIRST; r < GW_REASON_COUNT; r++) {
		const char *name = gw_reason_name(r);
		uint64_t in_bytes = member_count(bytes, name);
		bool weighed = in_bytes && by < EXPLAIN_DROPPED;

		/* Of what was dropped, the number is what people look for. */
		add_line(part, by, weighed ? bytes_map : frames_map, name,
			 member_count(frames, name), in_bytes);
	}
}

/* Copies before drops, and then by weight. */
static int compare(const void *a, const void *b)
{
	const struct explain_line *x = a, *y = b;
	int x_drops = x->by >= EXPLAIN_DROPPED, y_drops = y->by >= EXPLAIN_DROPPED;

	if (x_drops != y_drops)
		return x_drops - y_drops;
	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	if (x->frames != y->frames)
		return x->frames > y->frames ? -1 : 1;
	return strcmp(x->counter, y->counter);
}

static void sort_lines(struct explain_part *part)
{
	qsort(part->line, part->count, sizeof(part->line[0]), compare);
}

void explain_pair(const json_t *snapshot, const json_t *pair, struct explain_part *part)
{
	uint64_t lent = member_count(pair, "lent_bytes");
	uint64_t headers = member_count(pair, "header_bytes_copied");
	bool delivers;

	*part = (struct explain_part){
		.json = pair,
		.source = member_text(pair, "source"),
		.egress = member_text(pair, "egress"),
		.frames = member_count(pair, "lent_frames") + member_count(pair, "copied_frames"),
		.copied_bytes = member_count(pair, "copied_bytes") + headers,
		.kernel_bytes = member_count(pair, "kernel_copied_bytes"),
		.dropped_frames = member_count(pair, "dropped_frames"),
	};
	part->source_port = find_port(snapshot, part->source);
	part->egress_port = find_port(snapshot, part->egress);
	part->bytes = lent + part->copied_bytes;
	delivers = strcmp(member_text(part->egress_port, "device_reads"), "delivery") == 0;
	part->lent_bytes = delivers ? 0 : lent;
	if (delivers)
		part->copied_bytes += lent;
	add_reasons(part, EXPLAIN_BY_GUESTWIRE, "copied_by_reason", "copied_bytes_by_reason");
	add_line(part, EXPLAIN_BY_KERNEL, NULL, ADVICE_KERNEL,
		 member_count(pair, "kernel_copied_frames"), part->kernel_bytes);
	add_line(part, EXPLAIN_BY_GUESTWIRE, NULL, ADVICE_HEADERS,
		 member_count(pair, "headers_made"), headers);
	if (delivers)
		add_line(part, EXPLAIN_BY_GUESTWIRE, NULL, ADVICE_DELIVERED,
			 member_count(pair, "lent_frames"), lent);
	add_reasons(part, EXPLAIN_DROPPED, "drops_by_reason", "dropped_bytes_by_reason");
	sort_lines(part);
}

/* They are no frames that had come in, and some are no frames at all. */
static void add_device_counts(struct explain_part *part)
{
	const json_t *counts = json_object_get(part->json, "device_counts");

	for (unsigned int i = 0; i < GW_DEVICE_COUNT; i++) {
		const char *name = gw_device_count_name(i);

		if (i != GW_DEVICE_TX_RING_EMPTY)
			add_line(part, EXPLAIN_DEVICE, "device_counts", name,
				 member_count(counts, name), 0);
	}
}

void explain_port(const json_t *snapshot, const json_t *port, struct explain_part *part)
{
	*part = (struct explain_part){
		.json = port,
		.source_port = port,
		.source = member_text(port, "name"),
		.egress = "",
	};
	add_reasons(part, EXPLAIN_DROPPED, "drops", "");
	for (unsigned int i = 0; i < part->count; i++)
		part->dropped_frames += part->line[i].frames;
	add_line(part, EXPLAIN_HELD, NULL, ADVICE_QUARANTINE, member_count(port, "quarantined"), 0);
	add_device_counts(part);
	sort_lines(part);
}

const char *explain_by_name(enum explain_by by)
{
	switch (by) {
	case EXPLAIN_BY_KERNEL:
		return "kernel";
	case EXPLAIN_BY_GUESTWIRE:
		return "guestwire";
	case EXPLAIN_DROPPED:
		return "dropped";
	case EXPLAIN_HELD:
		return "held";
	case EXPLAIN_DEVICE:
		return "device";
	}
	return "unknown";
}
