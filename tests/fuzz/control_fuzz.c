/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a request at the control socket. Whatever it was, there is one
 * answer of the promised shape, and no snapshot stays behind.
 */
#include "fuzz.h"

#include "control_command.h"
#include "control_trace.h"
#include "fake_guestwire.h"
#include <stdlib.h>

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

/* Pieces of requests, so that chance gets beyond the parser. */
static const char *const pieces[] = {
	"{\"command\":\"show\"}",
	"{",
	"}",
	"[",
	"]",
	":",
	",",
	"\"command\"",
	"\"port\"",
	"\"show\"",
	"\"stop\"",
	"\"version\"",
	"\"a\"",
	"\"up\"",
	"null",
	"true",
	"1e999",
	"\"",
	"\\u0000",
	"\\ud800",
	"{\"command\":\"show\",\"port\":",
	"{\"command\":\"trace\"}",
	"{\"command\":\"trace\",\"count\":",
	"\"trace\"",
	"\"every\"",
	"\"count\"",
	"\"queries\"",
	"1",
	"0",
	"-1",
	"9223372036854775808",
};
#define PIECE_COUNT (sizeof(pieces) / sizeof(pieces[0]))

static size_t build_request(struct fuzz_input *input, char *line, size_t max)
{
	size_t len = 0;

	while (input->len && len < max) {
		uint8_t choice = fuzz_u8(input);
		const char *piece = choice < 0xe0 ? pieces[choice % PIECE_COUNT] : NULL;
		size_t piece_len = piece ? strlen(piece) : 1;

		if (piece_len > max - len)
			break;
		if (piece)
			memcpy(line + len, piece, piece_len);
		else
			line[len] = (char)fuzz_u8(input);
		len += piece_len;
	}
	return len;
}

static void stop(void *arg)
{
	++*(unsigned int *)arg;
}

static void check_reply(json_t *reply)
{
	json_t *ok = json_object_get(reply, "ok");
	char *text;

	CHECK(json_is_boolean(ok));
	if (json_is_false(ok)) {
		CHECK(json_is_string(json_object_get(reply, "code")));
		CHECK(json_is_string(json_object_get(reply, "error")));
	}
	text = json_dumps(reply, JSON_COMPACT);
	CHECK(text && !strchr(text, '\n'));
	free(text);
	json_decref(reply);
}

/* A trace that was begun can be read, and ends with its count. */
static void read_trace(struct gw_context *context, const struct control_outcome *outcome)
{
	struct control_trace *trace;
	bool last;
	size_t len;

	if (!outcome->trace)
		return;
	context->events = outcome->trace_count < 20 ? outcome->trace_count : 20;
	context->lost = outcome->trace_count & 1;
	trace = control_trace_open(outcome->trace, outcome->trace_count);
	CHECK(trace);
	free(control_trace_lines(trace, &len, &last));
	CHECK(last == (outcome->trace_count > 0 && outcome->trace_count <= 20));
	control_trace_close(trace);
	CHECK(context->traces == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz_input input = { bytes, len };
	struct gw_context context;
	unsigned int stops = 0;
	struct control_actions actions = { .stop = stop, .arg = &stops };
	char *line = malloc(CONTROL_REQUEST_BYTES);
	size_t line_len;
	struct control_outcome outcome;

	CHECK(line);
	fake_context_fill(&context);
	line_len = build_request(&input, line, CONTROL_REQUEST_BYTES);
	check_reply(control_command(&context, &actions, line, line_len, &outcome));
	CHECK(stops == (outcome.wait ? 1 : 0));
	CHECK(context.traces == (outcome.trace ? 1 : 0));
	read_trace(&context, &outcome);
	CHECK(context.taken == context.freed);
	free(line);
	return 0;
}
