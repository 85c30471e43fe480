/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of events and members are an interface, as those of control_json.c: they are
 * described in guestwire(1), and are added to, never renamed.
 */
#include "control_trace.h"
#include "control_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For most lines; a loan of many segments takes more. */
#define LINE_BYTES_GUESS 256u

struct control_trace {
	struct gw_trace *trace;
	uint64_t left;
	struct gw_trace_event event[CONTROL_TRACE_BATCH];
};

struct control_trace *control_trace_open(struct gw_trace *trace, uint64_t count)
{
	struct control_trace *control = malloc(sizeof(*control));

	if (!control) {
		gw_trace_stop(trace);
		return NULL;
	}
	control->trace = trace;
	control->left = count ? count : UINT64_MAX;
	return control;
}

void control_trace_close(struct control_trace *trace)
{
	if (!trace)
		return;
	gw_trace_stop(trace->trace);
	free(trace);
}

/* ---- one event ---- */

static json_t *number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static void set_number(json_t *json, const char *name, uint64_t value)
{
	json_object_set_new(json, name, number(value));
}

static json_t *segments_json(const struct gw_trace_frame *frame)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < frame->segment_count && i < GW_TRACE_SEGMENTS; i++) {
		const struct gw_trace_segment *segment = &frame->segment[i];
		json_t *json = json_object();

		json_object_set_new(json, "guest_address",
				    segment->guest_address == GW_TRACE_NO_ADDRESS
					    ? json_null()
					    : number(segment->guest_address));
		set_number(json, "bytes", segment->bytes);
		json_array_append_new(list, json);
	}
	return list;
}

static void lend_json(json_t *json, const struct gw_trace_event *event)
{
	set_number(json, "loan", event->frame.loan);
	set_number(json, "bytes", event->frame.bytes);
	set_number(json, "header_bytes", event->frame.header_bytes);
	json_object_set_new(json, "segments", segments_json(&event->frame));
}

static void copy_json(json_t *json, const struct gw_trace_event *event)
{
	set_number(json, "bytes", event->frame.bytes);
	json_object_set_new(json, "reason", json_string(gw_reason_name(event->frame.reason)));
}

static void drop_json(json_t *json, const struct gw_trace_event *event)
{
	set_number(json, "frames", event->frame.count);
	copy_json(json, event);
}

static void home_json(json_t *json, const struct gw_trace_event *event)
{
	set_number(json, "loan", event->frame.loan);
	set_number(json, "bytes", event->frame.bytes);
	set_number(json, "duration_ns", event->frame.duration_ns);
}

static void ask_json(json_t *json, const struct gw_trace_event *event)
{
	json_object_set_new(json, "why", json_string(gw_trace_why_name(event->query.why)));
	set_number(json, "memory", event->query.memory);
}

static void answer_json(json_t *json, const struct gw_trace_event *event)
{
	set_number(json, "memory", event->query.memory);
	control_json_answer(json, &event->query.answer);
}

static void mapping_json(json_t *json, const struct gw_trace_event *event)
{
	set_number(json, "memory", event->query.memory);
	set_number(json, "bytes", event->query.bytes);
	set_number(json, "duration_ns", event->query.duration_ns);
	if (event->kind == GW_TRACE_UNMAP)
		return;
	json_object_set_new(json, "failed", json_boolean(event->query.failed));
	json_object_set_new(json, "text", control_json_text(event->query.answer.text));
}

json_t *control_trace_json(const struct gw_trace_event *event)
{
	static void (*const fill[])(json_t * json, const struct gw_trace_event *event) = {
		[GW_TRACE_ASK] = ask_json,     [GW_TRACE_ANSWER] = answer_json,
		[GW_TRACE_MAP] = mapping_json, [GW_TRACE_UNMAP] = mapping_json,
		[GW_TRACE_LEND] = lend_json,   [GW_TRACE_COPY] = copy_json,
		[GW_TRACE_DROP] = drop_json,   [GW_TRACE_HOME] = home_json,
	};
	json_t *json = json_object();

	json_object_set_new(json, "event", json_string(gw_trace_kind_name(event->kind)));
	set_number(json, "time_ns", event->time_ns);
	json_object_set_new(json, "source", control_json_text(event->source));
	json_object_set_new(json, "egress",
			    event->egress ? control_json_text(event->egress) : json_null());
	fill[event->kind](json, event);
	return json;
}

/* ---- lines ---- */

struct lines {
	char *text; /* NULL: no memory */
	size_t len, room;
};

/* The object is consumed. */
static void add_line(struct lines *lines, json_t *json)
{
	size_t len;

	do {
		len = json_dumpb(json, lines->text + lines->len, lines->room - lines->len,
				 JSON_COMPACT);
		if (len && len < lines->room - lines->len)
			break;
		if (len) {
			char *more = realloc(lines->text, lines->room * 2);

			len = more ? len : 0;
			lines->text = more ? more : lines->text;
			lines->room = more ? lines->room * 2 : lines->room;
		}
	} while (len);
	json_decref(json);
	if (!len)
		return;
	lines->len += len;
	lines->text[lines->len++] = '\n';
}

static json_t *end_json(const char *why)
{
	return json_pack("{s:s, s:s}", "event", "end", "why", why);
}

static bool lines_open(struct lines *lines, unsigned int count)
{
	lines->len = 0;
	lines->room = (count + 1) * LINE_BYTES_GUESS;
	lines->text = malloc(lines->room);
	return lines->text;
}

char *control_trace_end(const char *why, size_t *len)
{
	struct lines lines;

	if (!lines_open(&lines, 1))
		return NULL;
	add_line(&lines, end_json(why));
	*len = lines.len;
	return lines.text;
}

char *control_trace_lines(struct control_trace *trace, size_t *len, bool *last)
{
	unsigned int max = CONTROL_TRACE_BATCH, count;
	struct lines lines;
	uint64_t lost;

	if (trace->left < max)
		max = (unsigned int)trace->left;
	count = gw_trace_read(trace->trace, trace->event, max, &lost);
	trace->left -= count;
	*last = !trace->left;
	if ((!count && !lost && !*last) || !lines_open(&lines, count))
		return NULL;
	for (unsigned int i = 0; i < count; i++)
		add_line(&lines, control_trace_json(&trace->event[i]));
	if (lost)
		add_line(&lines,
			 json_pack("{s:s, s:I}", "event", "lost", "count", (json_int_t)lost));
	if (*last)
		add_line(&lines, end_json("count"));
	*len = lines.len;
	return lines.text;
}
