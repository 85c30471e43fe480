/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"
#include "control_client.h"
#include "explain_text.h"
#include "human.h"
#include "probe_json.h"
#include "probe_text.h"
#include "show_text.h"
#include "text.h"
#include "trace_text.h"

#include <errno.h>
#include <guestwire/probe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SHOW_TIMEOUT_S  5u
#define STOP_TIMEOUT_S  10u
#define TRACE_TIMEOUT_S 5u

void cli_complain(const char *format, ...)
{
	char text[1024], clean[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	human_clean(clean, sizeof(clean), text);
	fprintf(stderr, "guestwire: %s\n", clean);
}

/* The request is consumed. Returns the reply, or NULL after a complaint. */
static json_t *ask(const struct call *call, json_t *request, unsigned int timeout_s)
{
	struct gw_error err = { 0 };
	json_t *reply = NULL;

	if (call->timeout_s)
		timeout_s = call->timeout_s;
	if (control_client_call(call->path, request, timeout_s * 1000, &reply, &err) < 0)
		cli_complain("%s", err.text);
	json_decref(request);
	return reply;
}

bool cli_flush(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return true;
	cli_complain("write to standard output: %s", strerror(errno));
	return false;
}

static bool show_once(const struct call *call)
{
	json_t *request = json_object(), *reply;

	json_object_set_new(request, "command", json_string("show"));
	if (call->word && json_object_set_new(request, "port", json_string(call->word)) < 0) {
		cli_complain("show: the port's name is no UTF-8 text");
		json_decref(request);
		return false;
	}
	reply = ask(call, request, SHOW_TIMEOUT_S);
	if (!reply)
		return false;
	if (call->watch_s && !call->json)
		fputs(isatty(STDOUT_FILENO) ? "\033[H\033[2J" : "\n", stdout);
	if (call->json) {
		json_object_del(reply, "ok");
		json_dumpf(reply, stdout, call->watch_s ? JSON_COMPACT : JSON_INDENT(2));
		fputc('\n', stdout);
	} else {
		show_text(stdout, reply);
	}
	json_decref(reply);
	return cli_flush();
}

int cli_show(const struct call *call)
{
	struct timespec pause = { .tv_sec = call->watch_s };

	while (show_once(call)) {
		if (!call->watch_s)
			return EXIT_OK;
		nanosleep(&pause, NULL);
	}
	return EXIT_FAIL;
}

/* A snapshot that was saved, or the daemon's of now. NULL after a complaint. */
static json_t *explain_snapshot(const struct call *call)
{
	json_error_t error;
	json_t *json;

	if (!call->from)
		return ask(call, json_pack("{s:s}", "command", "show"), SHOW_TIMEOUT_S);
	json = strcmp(call->from, "-") == 0 ? json_loadf(stdin, 0, &error)
					    : json_load_file(call->from, 0, &error);
	if (!json)
		cli_complain("--from %s: %s; it takes what `guestwire show --json` prints",
			     call->from, error.text);
	return json;
}

int cli_explain(const struct call *call)
{
	json_t *snapshot = explain_snapshot(call), *said;

	if (!snapshot)
		return EXIT_FAIL;
	if (call->word && !explain_has_port(snapshot, call->word)) {
		cli_complain("explain: no port named '%s'; guestwire show lists them", call->word);
		json_decref(snapshot);
		return EXIT_FAIL;
	}
	if (call->json) {
		said = explain_json(snapshot, call->word);
		json_dumpf(said, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
		fputc('\n', stdout);
		json_decref(said);
	} else {
		explain_text(stdout, snapshot, call->word);
	}
	json_decref(snapshot);
	return cli_flush() ? EXIT_OK : EXIT_FAIL;
}

int cli_probe(const struct call *call)
{
	const struct gw_probe_options options = { .size = sizeof(options),
						  .ifname = call->word,
						  .attempt = call->attempt };
	struct gw_probe_report *report;
	struct gw_error err = { 0 };

	if (gw_probe(&options, &report, &err) < 0) {
		cli_complain("%s", err.text);
		return EXIT_FAIL;
	}
	if (call->json)
		probe_json(stdout, report);
	else
		probe_text(stdout, report);
	gw_probe_free(report);
	return cli_flush() ? EXIT_OK : EXIT_FAIL;
}

#define MOVE_TIMEOUT_S 10u
#define PAIR_MAX       4096u

int cli_move(const struct call *call)
{
	const char *colon = call->word ? strrchr(call->word, ':') : NULL;
	struct gw_error err = { 0 };
	uint64_t pair = 0;
	json_t *request, *reply;

	if (!colon || !call->has_worker) {
		cli_complain("move: expected PORT:PAIR --worker N, such as: move a:1 --worker 0");
		return EXIT_FAIL;
	}
	if (gw_text_u64("move: the queue pair", colon + 1, 0, PAIR_MAX, &pair, &err)) {
		cli_complain("%s", err.text);
		return EXIT_FAIL;
	}
	request = json_pack("{s:s, s:s%, s:I, s:I}", "command", "move", "port", call->word,
			    (size_t)(colon - call->word), "pair", (json_int_t)pair, "worker",
			    (json_int_t)call->worker);
	if (!request) {
		cli_complain("move: the port's name is no UTF-8 text");
		return EXIT_FAIL;
	}
	reply = ask(call, request, MOVE_TIMEOUT_S);
	json_decref(reply);
	return reply ? EXIT_OK : EXIT_FAIL;
}

int cli_stop(const struct call *call)
{
	json_t *request = json_object(), *reply;
	json_int_t held;

	json_object_set_new(request, "command", json_string("stop"));
	reply = ask(call, request, STOP_TIMEOUT_S);
	if (!reply)
		return EXIT_FAIL;
	held = json_integer_value(json_object_get(reply, "quarantined"));
	if (held > 0)
		cli_complain("stopped, but devices never gave %lld frames back", (long long)held);
	json_decref(reply);
	return EXIT_OK;
}

struct trace_output {
	bool json;
	json_int_t first_ns;
	bool ended, failed;
};

static void print_compact(const json_t *json)
{
	json_dumpf(json, stdout, JSON_COMPACT);
	fputc('\n', stdout);
}

/* An event from the daemon. False: that is the end. */
static bool trace_event(void *arg, const json_t *event)
{
	struct trace_output *output = arg;
	const char *name = json_string_value(json_object_get(event, "event"));
	const char *error = json_string_value(json_object_get(event, "error"));

	output->ended = name && strcmp(name, "end") == 0;
	if (error)
		cli_complain("%s", error);
	else if (output->json)
		print_compact(event);
	else if (!output->ended)
		trace_text(stdout, event, &output->first_ns);
	output->failed = error || !cli_flush();
	return !output->ended && !output->failed;
}

int cli_trace(const struct call *call)
{
	struct trace_output output = { .json = call->json };
	unsigned int timeout_s = call->timeout_s ? call->timeout_s : TRACE_TIMEOUT_S;
	json_t *request = json_pack("{s:s, s:b}", "command", "trace", "queries", call->queries);
	struct gw_error err = { 0 };
	int rc;

	if (call->word)
		json_object_set_new(request, "port", json_string(call->word));
	if (call->every)
		json_object_set_new(request, "every", json_integer((json_int_t)call->every));
	if (call->count)
		json_object_set_new(request, "count", json_integer((json_int_t)call->count));
	rc = control_client_stream(call->path, request, timeout_s * 1000, trace_event, &output,
				   &err);
	json_decref(request);
	if (rc < 0)
		cli_complain("%s", err.text);
	return rc < 0 || output.failed ? EXIT_FAIL : EXIT_OK;
}
