/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace_text.h"
#include "human.h"
#include "member.h"

#include <string.h>

#define CLEAN_BYTES   512
#define PAIR_COLUMNS  16
#define EVENT_COLUMNS 6
#define NS_PER_US     1000
#define US_PER_S      1000000

/* ", TEXT" unless there is none. */
static void print_text(FILE *out, const json_t *event)
{
	const char *text = member_text(event, "text");

	fputs(text[0] ? ": " : "", out);
	human_print(out, text);
}

/* ---- what follows the name of an event ---- */

static void print_ask(FILE *out, const json_t *event)
{
	static const char *const whys[][2] = {
		{ "first", "the first frame" },
		{ "memory", "a frame of other memory" },
		{ "requery", "the driver's answer may have changed" },
	};
	const char *why = member_text(event, "why");

	for (size_t i = 0; i < sizeof(whys) / sizeof(whys[0]); i++)
		if (strcmp(whys[i][0], why) == 0)
			why = whys[i][1];
	fprintf(out, "about memory %" JSON_INTEGER_FORMAT ": ", member_number(event, "memory"));
	human_print(out, why);
}

static void print_answer(FILE *out, const json_t *event)
{
	const char *verdict = member_text(event, "verdict");

	human_print(out, verdict);
	if (strcmp(verdict, "no") == 0) {
		fputs(", ", out);
		human_print(out, member_text(event, "reason"));
	} else {
		fputs(", reads ", out);
		human_print(out, member_text(event, "device_reads"));
		fprintf(out, ", up to %" JSON_INTEGER_FORMAT " segments",
			member_number(event, "max_segs"));
	}
	print_text(out, event);
}

static void print_mapping(FILE *out, const json_t *event)
{
	json_int_t us = member_number(event, "duration_ns") / NS_PER_US;

	fprintf(out,
		"memory %" JSON_INTEGER_FORMAT ", %s, %s %" JSON_INTEGER_FORMAT
		".%03" JSON_INTEGER_FORMAT " ms",
		member_number(event, "memory"),
		human_bytes((uint64_t)member_number(event, "bytes")).text,
		json_is_true(json_object_get(event, "failed")) ? "failed after" : "in", us / 1000,
		us % 1000);
	print_text(out, event);
}

static void print_lend(FILE *out, const json_t *event)
{
	json_int_t header = member_number(event, "header_bytes");
	const json_t *segment;
	size_t i;

	fprintf(out, "#%" JSON_INTEGER_FORMAT " %" JSON_INTEGER_FORMAT " bytes:",
		member_number(event, "loan"), member_number(event, "bytes"));
	if (header)
		fprintf(out, " header+%" JSON_INTEGER_FORMAT, header);
	json_array_foreach(json_object_get(event, "segments"), i, segment)
	{
		const json_t *address = json_object_get(segment, "guest_address");

		if (json_is_integer(address))
			fprintf(out, " 0x%llx", (unsigned long long)json_integer_value(address));
		else
			fputs(" private", out);
		fprintf(out, "+%" JSON_INTEGER_FORMAT, member_number(segment, "bytes"));
	}
}

static void print_copy(FILE *out, const json_t *event)
{
	fprintf(out, "%" JSON_INTEGER_FORMAT " bytes: ", member_number(event, "bytes"));
	human_print(out, member_text(event, "reason"));
}

static void print_drop(FILE *out, const json_t *event)
{
	json_int_t frames = member_number(event, "frames");

	if (frames != 1)
		fprintf(out, "%" JSON_INTEGER_FORMAT " frames, ", frames);
	print_copy(out, event);
}

static void print_home(FILE *out, const json_t *event)
{
	json_int_t ns = member_number(event, "duration_ns");

	fprintf(out,
		"#%" JSON_INTEGER_FORMAT " after %" JSON_INTEGER_FORMAT ".%" JSON_INTEGER_FORMAT
		" us",
		member_number(event, "loan"), ns / NS_PER_US, ns % NS_PER_US / 100);
}

static void print_lost(FILE *out, const json_t *event)
{
	fprintf(out, "%" JSON_INTEGER_FORMAT " events, which came faster than they were read",
		member_number(event, "count"));
}

static void print_end(FILE *out, const json_t *event)
{
	human_print(out, member_text(event, "why"));
}

static const struct {
	const char *name;
	void (*print)(FILE *out, const json_t *event);
} events[] = {
	{ "ask", print_ask },   { "answer", print_answer }, { "map", print_mapping },
	{ "lend", print_lend }, { "copy", print_copy },     { "unmap", print_mapping },
	{ "drop", print_drop }, { "home", print_home },     { "lost", print_lost },
	{ "end", print_end },
};

void trace_text(FILE *out, const json_t *event, json_int_t *first_ns)
{
	json_int_t now_ns = member_number(event, "time_ns"), us;
	const char *name = member_text(event, "event"), *egress = member_text(event, "egress");
	char pair[CLEAN_BYTES], clean[CLEAN_BYTES];

	if (strcmp(name, "begin") == 0)
		return;
	if (!*first_ns)
		*first_ns = now_ns;
	us = now_ns > *first_ns ? (now_ns - *first_ns) / NS_PER_US : 0;
	snprintf(pair, sizeof(pair), "%.60s%s%.60s", member_text(event, "source"),
		 egress[0] ? " -> " : "", egress);
	human_clean(clean, sizeof(clean), pair);
	if (now_ns)
		fprintf(out, "%4" JSON_INTEGER_FORMAT ".%06" JSON_INTEGER_FORMAT "  %-*s  ",
			us / US_PER_S, us % US_PER_S, PAIR_COLUMNS, clean);
	human_clean(clean, sizeof(clean), name);
	fprintf(out, "%-*s  ", EVENT_COLUMNS, clean);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (strcmp(events[i].name, name) == 0)
			events[i].print(out, event);
	fputc('\n', out);
}
