/* SPDX-License-Identifier: BSD-2-Clause */
#include "control_command.h"
#include "control_json.h"
#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Bytes of a request's words that an error repeats. */
#define QUOTE_BYTES      40
#define ERROR_TEXT_BYTES 512
#define TRACE_EVERY_MAX  1000000u

struct request {
	struct gw_context *context;
	const struct control_actions *actions;
	json_t *json;
	struct control_outcome *outcome;
};

struct command {
	const char *name;
	const char *members; /* that may be given besides "command", a blank between; "": none */
	json_t *(*run)(const struct request *request);
};

static json_t *run_move(const struct request *request);
static json_t *run_show(const struct request *request);
static json_t *run_stop(const struct request *request);
static json_t *run_takeover(const struct request *request);
static json_t *run_trace(const struct request *request);
static json_t *run_version(const struct request *request);

static const struct command commands[] = {
	{ "move", "port pair worker", run_move },
	{ "show", "port", run_show },
	{ "stop", "", run_stop },
	{ "takeover", "", run_takeover },
	{ "trace", "port every count queries", run_trace },
	{ "version", "", run_version },
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

json_t *control_reply_error(const char *code, const char *format, ...)
{
	char text[ERROR_TEXT_BYTES];
	json_t *reply = json_object();
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_object_set_new(reply, "ok", json_false());
	json_object_set_new(reply, "code", json_string(code));
	json_object_set_new(reply, "error", control_json_text(text));
	return reply;
}

static json_t *reply_ok(void)
{
	json_t *reply = json_object();

	json_object_set_new(reply, "ok", json_true());
	return reply;
}

json_t *control_reply_stopped(unsigned int quarantined)
{
	json_t *reply = reply_ok();

	json_object_set_new(reply, "stopped", json_true());
	json_object_set_new(reply, "quarantined", json_integer(quarantined));
	return reply;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* NULL: each member is one that the command knows. */
static json_t *check_members(const struct command *command, json_t *json)
{
	const char *key;
	json_t *value;

	json_object_foreach(json, key, value)
	{
		if (strcmp(key, "command") == 0)
			continue;
		if (!gw_text_has_word(command->members, key))
			return control_reply_error("bad_request", "%s: unknown member '%.*s'%s%s",
						   command->name, QUOTE_BYTES, key,
						   command->members[0] ? "; there is " : "",
						   command->members);
	}
	return NULL;
}

json_t *control_command(struct gw_context *context, const struct control_actions *actions,
			const char *line, size_t len, struct control_outcome *outcome)
{
	struct request request = { .context = context, .actions = actions, .outcome = outcome };
	const struct command *command;
	json_error_t error;
	json_t *name, *reply;

	*outcome = (struct control_outcome){ 0 };
	request.json = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	if (!request.json)
		return control_reply_error("bad_request", "request: not a line of JSON: %s",
					   error.text);
	name = json_object_get(request.json, "command");
	command = json_is_string(name) ? find_command(json_string_value(name)) : NULL;
	if (!json_is_object(request.json))
		reply = control_reply_error("bad_request", "request: not a JSON object");
	else if (!json_is_string(name))
		reply = control_reply_error("bad_request",
					    "request: \"command\" has to be there, as a string");
	else if (!command)
		reply = control_reply_error("unknown_command",
					    "request: no command '%.*s'; there are move, show, "
					    "stop, takeover, trace, version",
					    QUOTE_BYTES, json_string_value(name));
	else
		reply = check_members(command, request.json);
	if (command && !reply)
		reply = command->run(&request);
	json_decref(request.json);
	return reply;
}

static json_t *run_version(const struct request *request)
{
	json_t *reply = reply_ok();

	json_object_set_new(reply, "version", json_string(gw_version()));
	json_object_set_new(reply, "pid", json_integer(getpid()));
	return reply;
}

static json_t *run_stop(const struct request *request)
{
	request->outcome->wait = true;
	request->actions->stop(request->actions->arg);
	return reply_ok();
}

static json_t *run_takeover(const struct request *request)
{
	if (!request->context || !request->actions->hand_over)
		return control_reply_error("stopping", "takeover: the daemon is stopping");
	request->outcome->hand_over = true;
	return reply_ok();
}

static json_t *unknown_port(const struct gw_snapshot *snapshot, const char *name)
{
	char names[ERROR_TEXT_BYTES / 2] = "";

	for (unsigned int i = 0; i < snapshot->port_count; i++) {
		size_t used = strlen(names);

		if (gw_text_list_add(names, sizeof(names), snapshot->ports[i].name))
			continue;
		memcpy(names + (used < sizeof(names) - 4 ? used : sizeof(names) - 4), "...",
		       sizeof("..."));
		break;
	}
	return control_reply_error("unknown_port", "no port named '%.*s'; there are %s",
				   QUOTE_BYTES, name, names);
}

static bool has_port(const struct gw_snapshot *snapshot, const char *name)
{
	for (unsigned int i = 0; i < snapshot->port_count; i++)
		if (strcmp(snapshot->ports[i].name, name) == 0)
			return true;
	return false;
}

static json_t *run_show(const struct request *request)
{
	json_t *port = json_object_get(request->json, "port"), *reply;
	const char *name = json_string_value(port);
	struct gw_snapshot *snapshot;
	int rc;

	if (port && !json_is_string(port) && !json_is_null(port))
		return control_reply_error("bad_request",
					   "show: \"port\" has to be a string or null");
	if (!request->context)
		return control_reply_error("stopping", "show: the daemon has stopped its ports");
	rc = gw_snapshot_take(request->context, &snapshot);
	if (rc < 0)
		return control_reply_error("failed", "show: take a snapshot: %s", strerror(-rc));
	if (name && !has_port(snapshot, name)) {
		reply = unknown_port(snapshot, name);
	} else {
		json_t *members = control_json_snapshot(snapshot, name);

		reply = reply_ok();
		json_object_set_new(reply, "version", json_string(gw_version()));
		json_object_set_new(reply, "pid", json_integer(getpid()));
		json_object_update(reply, members);
		json_decref(members);
		if (request->actions->about) {
			members = request->actions->about(request->actions->arg);
			json_object_update(reply, members);
			json_decref(members);
		}
	}
	gw_snapshot_free(snapshot);
	return reply;
}

/* ---- move ---- */

#define MOVE_NUMBER_MAX 4096

static json_t *move_refused(int code, const struct gw_error *err)
{
	switch (-code) {
	case ENOENT:
		return control_reply_error("unknown_port", "%s", err->text);
	case EBUSY:
		return control_reply_error("busy", "%s", err->text);
	case EINVAL:
		return control_reply_error("bad_request", "%s", err->text);
	case ENOTCONN:
		return control_reply_error("stopping", "%s", err->text);
	}
	return control_reply_error("failed", "%s", err->text);
}

static bool is_small(const json_t *number)
{
	return json_is_integer(number) && json_integer_value(number) >= 0 &&
	       json_integer_value(number) <= MOVE_NUMBER_MAX;
}

static json_t *run_move(const struct request *request)
{
	const json_t *port = json_object_get(request->json, "port");
	const json_t *pair = json_object_get(request->json, "pair");
	const json_t *worker = json_object_get(request->json, "worker");
	struct gw_error err = { 0 };
	int rc;

	if (!json_is_string(port) || !is_small(pair) || !is_small(worker))
		return control_reply_error("bad_request",
					   "move: \"port\" has to be there, as a string, \"pair\" "
					   "and \"worker\", as numbers from 0 on");
	if (!request->context)
		return control_reply_error("stopping", "move: the daemon has stopped its ports");
	rc = gw_move(request->context, json_string_value(port),
		     (unsigned int)json_integer_value(pair),
		     (unsigned int)json_integer_value(worker), &err);
	return rc ? move_refused(rc, &err) : reply_ok();
}

/* ---- trace ---- */

/* An optional whole number of the request; *value keeps its fallback. False: it is none. */
static bool take_number(const json_t *json, const char *name, json_int_t max, uint64_t *value)
{
	const json_t *member = json_object_get(json, name);
	json_int_t number = json_integer_value(member);

	if (!member)
		return true;
	if (!json_is_integer(member) || number < 1 || number > max)
		return false;
	*value = (uint64_t)number;
	return true;
}

static json_t *trace_refused(int code, const struct gw_error *err)
{
	switch (-code) {
	case ENOENT:
		return control_reply_error("unknown_port", "%s", err->text);
	case EBUSY:
		return control_reply_error("too_many", "%s", err->text);
	case ENOTCONN:
		return control_reply_error("stopping", "%s", err->text);
	}
	return control_reply_error("failed", "%s", err->text);
}

static json_t *run_trace(const struct request *request)
{
	struct gw_trace_options options = { .size = sizeof(options) };
	const json_t *json = request->json, *queries = json_object_get(json, "queries");
	const json_t *port = json_object_get(json, "port");
	uint64_t every = 1, count = 0;
	struct gw_error err = { 0 };
	json_t *reply;
	int rc;

	if (port && !json_is_string(port) && !json_is_null(port))
		return control_reply_error("bad_request",
					   "trace: \"port\" has to be a string or null");
	if (!take_number(json, "every", TRACE_EVERY_MAX, &every) ||
	    !take_number(json, "count", INT64_MAX, &count))
		return control_reply_error("bad_request",
					   "trace: \"every\" has to be 1 to %u, "
					   "and \"count\" at least 1",
					   TRACE_EVERY_MAX);
	if (queries && !json_is_boolean(queries))
		return control_reply_error("bad_request",
					   "trace: \"queries\" has to be true or false");
	if (!request->context)
		return control_reply_error("stopping", "trace: the daemon has stopped its ports");
	options.port = json_string_value(port);
	options.every = (unsigned int)every;
	options.queries = json_is_true(queries);
	rc = gw_trace_start(request->context, &options, &request->outcome->trace, &err);
	if (rc < 0)
		return trace_refused(rc, &err);
	request->outcome->trace_count = count;
	reply = reply_ok();
	json_object_set_new(reply, "event", json_string("begin"));
	return reply;
}
