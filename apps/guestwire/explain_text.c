/* SPDX-License-Identifier: BSD-2-Clause */
#include "explain_text.h"
#include "explain.h"
#include "human.h"
#include "member.h"

#include <inttypes.h>
#include <string.h>

/* Calls fn for each part that there is something to say about. */
static void each_part(const json_t *snapshot, const char *name,
		      void (*fn)(void *arg, const struct explain_part *part), void *arg)
{
	struct explain_part part;
	const json_t *json;
	size_t i;

	json_array_foreach(json_object_get(snapshot, "ports"), i, json)
	{
		if (name && strcmp(name, member_text(json, "name")) != 0)
			continue;
		explain_port(snapshot, json, &part);
		if (part.count)
			fn(arg, &part);
	}
	json_array_foreach(json_object_get(snapshot, "pairs"), i, json)
	{
		if (name && strcmp(name, member_text(json, "source")) != 0 &&
		    strcmp(name, member_text(json, "egress")) != 0)
			continue;
		explain_pair(snapshot, json, &part);
		if (part.frames || part.count)
			fn(arg, &part);
	}
}

bool explain_has_port(const json_t *snapshot, const char *port)
{
	const json_t *json;
	size_t i;

	json_array_foreach(json_object_get(snapshot, "ports"), i, json)
	{
		if (strcmp(member_text(json, "name"), port) == 0)
			return true;
	}
	return false;
}

/* Calls fn for each word of the advice's `show` that the snapshot has. */
static void each_member(const struct explain_part *part, const struct explain_line *line,
			void (*fn)(void *arg, const char *name, const json_t *value), void *arg)
{
	const char *word = line->advice ? line->advice->show : "";

	while (*word) {
		size_t len = strcspn(word, " ");
		const json_t *value = explain_member(part, word, len);
		char name[EXPLAIN_NAME_BYTES];

		snprintf(name, sizeof(name), "%.*s", (int)len, word);
		if (value)
			fn(arg, name, value);
		word += len;
		word += *word == ' ';
	}
}

/* ---- for people ---- */

struct printer {
	FILE *out;
	bool first; /* of something that is separated */
};

static void print_value(FILE *out, const json_t *value)
{
	if (json_is_integer(value))
		fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_string(value))
		human_print(out, json_string_value(value));
	else
		fputs(json_is_true(value) ? "true" : json_is_false(value) ? "false" : "null", out);
}

static void print_member(void *arg, const char *name, const json_t *value)
{
	struct printer *printer = arg;

	fprintf(printer->out, "%s%s ", printer->first ? "      now: " : ", ", name);
	print_value(printer->out, value);
	printer->first = false;
}

/* What was dropped is no part of the pair's bytes. */
static struct human share_of(const struct explain_part *part, const struct explain_line *line)
{
	if (!line->bytes || line->by >= EXPLAIN_DROPPED)
		return (struct human){ "" };
	return human_percent(line->bytes, part->bytes);
}

static void print_line(FILE *out, const struct explain_part *part, const struct explain_line *line)
{
	static const char *const words[] = {
		[EXPLAIN_BY_KERNEL] = "copied by the kernel",
		[EXPLAIN_BY_GUESTWIRE] = "copied by guestwire",
		[EXPLAIN_DROPPED] = "dropped",
		[EXPLAIN_HELD] = "never given back",
		[EXPLAIN_DEVICE] = "counted by the kernel",
	};
	struct printer printer = { out, true };

	fprintf(out, "  %8s  %s", share_of(part, line).text, words[line->by]);
	if (line->frames)
		fprintf(out, ", %s frame%s", human_count(line->frames).text,
			line->frames == 1 ? "" : "s");
	if (line->bytes)
		fprintf(out, ", %s", human_bytes(line->bytes).text);
	fprintf(out, ": %s = %" PRIu64 "\n", line->counter, line->value);
	for (unsigned int r = GW_COPY_FIRST; r < GW_REASON_COUNT; r++)
		if (strcmp(gw_reason_name(r), line->subject) == 0)
			fprintf(out, "      why: %s\n", gw_reason_text(r));
	for (unsigned int i = 0; i < GW_DEVICE_COUNT; i++)
		if (strcmp(gw_device_count_name(i), line->subject) == 0)
			fprintf(out, "      why: %s\n", gw_device_count_text(i));
	each_member(part, line, print_member, &printer);
	if (!printer.first)
		fputc('\n', out);
	fputs("      do: ", out);
	human_print(out, line->text);
	fputc('\n', out);
}

/* "a -> up (xdp eth1)" */
static void print_title(FILE *out, const struct explain_part *part)
{
	const char *target = member_text(part->egress_port, "target");

	human_print(out, part->source);
	if (part->egress[0]) {
		fputs(" -> ", out);
		human_print(out, part->egress);
		fputs(" (", out);
		human_print(out, member_text(part->egress_port, "driver"));
		fputs(target[0] ? " " : "", out);
		human_print(out, target);
		fputc(')', out);
	}
}

static void print_shares(FILE *out, const struct explain_part *part)
{
	const struct {
		const char *what;
		uint64_t bytes;
	} rows[] = {
		{ "lent", part->lent_bytes },
		{ "copied by guestwire", part->copied_bytes },
		{ "copied by the kernel", part->kernel_bytes },
	};

	fprintf(out, ": %s in %s frame%s\n", human_bytes(part->bytes).text,
		human_count(part->frames).text, part->frames == 1 ? "" : "s");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && part->bytes; i++)
		fprintf(out, "  %8s  %s\n", human_percent(rows[i].bytes, part->bytes).text,
			rows[i].what);
	if (!part->copied_bytes && !part->kernel_bytes)
		fputs("  nothing was copied\n", out);
}

static void print_part(void *arg, const struct explain_part *part)
{
	struct printer *printer = arg;
	FILE *out = printer->out;

	if (!printer->first)
		fputc('\n', out);
	printer->first = false;
	print_title(out, part);
	if (part->egress[0])
		print_shares(out, part);
	else
		fputs(": before it was known where frames go\n", out);
	for (unsigned int i = 0; i < part->count; i++)
		print_line(out, part, &part->line[i]);
}

void explain_text(FILE *out, const json_t *snapshot, const char *port)
{
	struct printer printer = { out, true };

	each_part(snapshot, port, print_part, &printer);
	if (printer.first)
		fputs("No frames yet: nothing was copied, and nothing lent.\n", out);
}

/* ---- for programs ---- */

static json_t *number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static void set_member(void *arg, const char *name, const json_t *value)
{
	json_object_set(arg, name, (json_t *)value);
}

static json_t *line_json(const struct explain_part *part, const struct explain_line *line)
{
	json_t *json = json_object(), *now = json_object();

	json_object_set_new(json, "by", json_string(explain_by_name(line->by)));
	json_object_set_new(json, "subject", json_string(line->subject));
	json_object_set_new(json, "counter", json_string(line->counter));
	json_object_set_new(json, "value", number(line->value));
	json_object_set_new(json, "frames", number(line->frames));
	json_object_set_new(json, "bytes", number(line->bytes));
	if (part->bytes && line->by < EXPLAIN_DROPPED)
		json_object_set_new(json, "share",
				    json_real((double)line->bytes / (double)part->bytes));
	each_member(part, line, set_member, now);
	json_object_set_new(json, "now", now);
	json_object_set_new(json, "advice", json_string(line->text));
	return json;
}

static void append_part(void *arg, const struct explain_part *part)
{
	json_t *json = json_object(), *lines = json_array();
	json_t *list = json_object_get(arg, part->egress[0] ? "pairs" : "ports");

	if (part->egress[0]) {
		json_object_set_new(json, "source", json_string(part->source));
		json_object_set_new(json, "egress", json_string(part->egress));
		json_object_set_new(json, "frames", number(part->frames));
		json_object_set_new(json, "bytes", number(part->bytes));
		json_object_set_new(json, "lent_bytes", number(part->lent_bytes));
		json_object_set_new(json, "copied_bytes", number(part->copied_bytes));
		json_object_set_new(json, "kernel_copied_bytes", number(part->kernel_bytes));
	} else {
		json_object_set_new(json, "port", json_string(part->source));
	}
	json_object_set_new(json, "dropped_frames", number(part->dropped_frames));
	for (unsigned int i = 0; i < part->count; i++)
		json_array_append_new(lines, line_json(part, &part->line[i]));
	json_object_set_new(json, "lines", lines);
	json_array_append_new(list, json);
}

json_t *explain_json(const json_t *snapshot, const char *port)
{
	json_t *json = json_object();

	json_object_set_new(json, "ports", json_array());
	json_object_set_new(json, "pairs", json_array());
	each_part(snapshot, port, append_part, json);
	return json;
}
