/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line tool: guestwire(1). */
#include "control_client.h"
#include "control_path.h"
#include "explain_text.h"
#include "human.h"
#include "probe_json.h"
#include "probe_text.h"
#include "show_text.h"
#include "text.h"
#include "trace_text.h"

#include <errno.h>
#include <getopt.h>
#include <guestwire/probe.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXIT_OK    0
#define EXIT_FAIL  1
#define EXIT_USAGE 2

#define SECONDS_MAX         3600u
#define SHOW_TIMEOUT_S      5u
#define STOP_TIMEOUT_S      10u
#define TRACE_TIMEOUT_S     5u
#define EVERY_MAX           1000000u
#define HELP_COLUMN         24
#define LONG_OPTION_FIRST   256
#define COMMAND_NAMES_BYTES 128

struct call {
	const char *path;
	char default_path[CONTROL_PATH_BYTES];
	const char *word;                /* port or interface; NULL: all */
	unsigned int timeout_s, watch_s; /* 0: not given */
	const char *from;                /* NULL: ask the daemon */
	uint64_t count, every;           /* 0: not given */
	bool json, attempt, queries;
	bool help, version;
};

struct command {
	const char *name;
	const char *args; /* for the help; "" if it takes none */
	unsigned int arg_max;
	const char *help;
	int (*run)(const struct call *call);
	bool alone; /* needs no daemon */
};

static int run_show(const struct call *call);
static int run_explain(const struct call *call);
static int run_probe(const struct call *call);
static int run_stop(const struct call *call);
static int run_trace(const struct call *call);

static const struct command commands[] = {
	{ "show", " [PORT]", 1, "ports, and what is lent, copied, dropped, and why", run_show,
	  false },
	{ "explain", " [PORT]", 1, "where the copies are, why, and what can be done about each",
	  run_explain, false },
	{ "probe", " [IFNAME]", 1, "what this host and its interfaces can do; needs no daemon",
	  run_probe, true },
	{ "trace", " [PORT]", 1, "loans, copies, drops and questions, as they happen", run_trace,
	  false },
	{ "stop", "", 0, "stop the daemon in good order, and wait until it has", run_stop, false },
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

struct cli_option {
	const char *name;
	const char *values; /* NULL: none */
	const char *help;
	const char *commands; /* that it is for, a blank between them; NULL: all */
	char letter;
	int (*set)(struct call *call, const char *value);
};

static int set_control(struct call *call, const char *value);
static int set_json(struct call *call, const char *value);
static int set_try(struct call *call, const char *value);
static int set_watch(struct call *call, const char *value);
static int set_from(struct call *call, const char *value);
static int set_count(struct call *call, const char *value);
static int set_every(struct call *call, const char *value);
static int set_queries(struct call *call, const char *value);
static int set_timeout(struct call *call, const char *value);
static int set_help(struct call *call, const char *value);
static int set_version(struct call *call, const char *value);

static const struct cli_option cli_options[] = {
	{ "control", "PATH", "the daemon's control socket", NULL, 0, set_control },
	{ "json", NULL, "as JSON, for programs", "show explain probe trace", 0, set_json },
	{ "try", NULL, "probe: do it, and undo it; takes queues for milliseconds", "probe", 0,
	  set_try },
	{ "watch", "SECONDS", "show: again and again", "show", 0, set_watch },
	{ "from", "FILE", "explain: what `show --json` printed; - for standard input", "explain", 0,
	  set_from },
	{ "count", "N", "trace: end after so many events", "trace", 0, set_count },
	{ "every", "N", "trace: one of so many frames", "trace", 0, set_every },
	{ "queries", NULL, "trace: no frames, only what drivers are asked", "trace", 0,
	  set_queries },
	{ "timeout", "SECONDS", "wait so long for the daemon (show: 5, stop: 10)", NULL, 0,
	  set_timeout },
	{ "help", NULL, "this text", NULL, 'h', set_help },
	{ "version", NULL, "the version", NULL, 'V', set_version },
};
#define OPTION_COUNT (sizeof(cli_options) / sizeof(cli_options[0]))

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void complain(const char *format, ...)
{
	char text[1024], clean[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	human_clean(clean, sizeof(clean), text);
	fprintf(stderr, "guestwire: %s\n", clean);
}

/* ---- options ---- */

static int set_control(struct call *call, const char *value)
{
	struct sockaddr_un address;
	struct gw_error err;

	call->path = value;
	if (control_address(value, &address, &err) == 0)
		return 0;
	complain("%s", err.text);
	return -EINVAL;
}

static int set_json(struct call *call, const char *value)
{
	call->json = true;
	return 0;
}

static int set_try(struct call *call, const char *value)
{
	call->attempt = true;
	return 0;
}

static int set_seconds(const char *what, const char *text, unsigned int *seconds)
{
	struct gw_error err;
	uint64_t number;

	if (gw_text_u64(what, text, 1, SECONDS_MAX, &number, &err) < 0) {
		complain("%s", err.text);
		return -EINVAL;
	}
	*seconds = (unsigned int)number;
	return 0;
}

static int set_watch(struct call *call, const char *value)
{
	return set_seconds("--watch", value, &call->watch_s);
}

static int set_from(struct call *call, const char *value)
{
	call->from = value;
	return 0;
}

static int set_number(const char *what, const char *text, uint64_t max, uint64_t *number)
{
	struct gw_error err;

	if (gw_text_u64(what, text, 1, max, number, &err) == 0)
		return 0;
	complain("%s", err.text);
	return -EINVAL;
}

static int set_count(struct call *call, const char *value)
{
	return set_number("--count", value, INT64_MAX, &call->count);
}

static int set_every(struct call *call, const char *value)
{
	return set_number("--every", value, EVERY_MAX, &call->every);
}

static int set_queries(struct call *call, const char *value)
{
	call->queries = true;
	return 0;
}

static int set_timeout(struct call *call, const char *value)
{
	return set_seconds("--timeout", value, &call->timeout_s);
}

static int set_help(struct call *call, const char *value)
{
	call->help = true;
	return 0;
}

static int set_version(struct call *call, const char *value)
{
	call->version = true;
	return 0;
}

static const struct cli_option *find_option(int option)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (option == LONG_OPTION_FIRST + (int)i ||
		    (cli_options[i].letter && option == cli_options[i].letter))
			return &cli_options[i];
	return NULL;
}

/* *given collects the options by bit, to see later if the command takes them. */
static int parse_options(struct call *call, int argc, char **argv, unsigned int *given)
{
	struct option options[OPTION_COUNT + 1] = { 0 };
	int letter;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		options[i].name = cli_options[i].name;
		options[i].has_arg = cli_options[i].values ? required_argument : no_argument;
		options[i].val = LONG_OPTION_FIRST + (int)i;
	}
	opterr = 0;
	while ((letter = getopt_long(argc, argv, ":hV", options, NULL)) != -1) {
		const struct cli_option *option = find_option(letter == ':' ? optopt : letter);

		if (letter == ':' && option) {
			complain("--%s: needs a value, %s", option->name, option->values);
			return -EINVAL;
		}
		if (!option) {
			complain("%s: %s; --help has the list", argv[optind - 1],
				 find_option(optopt) ? "takes no value" : "no such option");
			return -EINVAL;
		}
		if (option->set(call, optarg) < 0)
			return -EINVAL;
		*given |= 1u << (option - cli_options);
	}
	return 0;
}

/* ---- commands ---- */

static void print_help(void)
{
	printf("usage: guestwire [--control PATH] COMMAND [OPTION...]\n\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		int column = printf("  %s%s", commands[i].name, commands[i].args);

		printf("%*s%s\n", HELP_COLUMN - column, "", commands[i].help);
	}
	printf("\n");
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct cli_option *option = &cli_options[i];
		int column = printf("  --%s%s%s", option->name, option->values ? " " : "",
				    option->values ? option->values : "");

		if (option->letter)
			column += printf(", -%c", option->letter);
		printf("%*s%s\n", HELP_COLUMN - column, "", option->help);
	}
	printf("\nExit status: 0 ok, 1 the daemon was not reached or refused, or there is no such\n"
	       "interface, 2 wrong command line. Manual: guestwire(1).\n");
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* The request is consumed. Returns the reply, or NULL after a complaint. */
static json_t *ask(const struct call *call, json_t *request, unsigned int timeout_s)
{
	struct gw_error err = { 0 };
	json_t *reply = NULL;

	if (call->timeout_s)
		timeout_s = call->timeout_s;
	if (control_client_call(call->path, request, timeout_s * 1000, &reply, &err) < 0)
		complain("%s", err.text);
	json_decref(request);
	return reply;
}

static bool flush_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return true;
	complain("write to standard output: %s", strerror(errno));
	return false;
}

static bool show_once(const struct call *call)
{
	json_t *request = json_object(), *reply;

	json_object_set_new(request, "command", json_string("show"));
	if (call->word && json_object_set_new(request, "port", json_string(call->word)) < 0) {
		complain("show: the port's name is no UTF-8 text");
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
	return flush_output();
}

static int run_show(const struct call *call)
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
		complain("--from %s: %s", call->from, error.text);
	return json;
}

static int run_explain(const struct call *call)
{
	json_t *snapshot = explain_snapshot(call), *said;

	if (!snapshot)
		return EXIT_FAIL;
	if (call->word && !explain_has_port(snapshot, call->word)) {
		complain("explain: no port named '%s'; guestwire show lists them", call->word);
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
	return flush_output() ? EXIT_OK : EXIT_FAIL;
}

static int run_probe(const struct call *call)
{
	const struct gw_probe_options options = { .size = sizeof(options),
						  .ifname = call->word,
						  .attempt = call->attempt };
	struct gw_probe_report *report;
	struct gw_error err = { 0 };

	if (gw_probe(&options, &report, &err) < 0) {
		complain("%s", err.text);
		return EXIT_FAIL;
	}
	if (call->json)
		probe_json(stdout, report);
	else
		probe_text(stdout, report);
	gw_probe_free(report);
	return flush_output() ? EXIT_OK : EXIT_FAIL;
}

static int run_stop(const struct call *call)
{
	json_t *request = json_object(), *reply;
	json_int_t held;

	json_object_set_new(request, "command", json_string("stop"));
	reply = ask(call, request, STOP_TIMEOUT_S);
	if (!reply)
		return EXIT_FAIL;
	held = json_integer_value(json_object_get(reply, "quarantined"));
	if (held > 0)
		complain("stopped, but devices never gave %lld frames back", (long long)held);
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
		complain("%s", error);
	else if (output->json)
		print_compact(event);
	else if (!output->ended)
		trace_text(stdout, event, &output->first_ns);
	output->failed = error || !flush_output();
	return !output->ended && !output->failed;
}

static int run_trace(const struct call *call)
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
		complain("%s", err.text);
	return rc < 0 || output.failed ? EXIT_FAIL : EXIT_OK;
}

/* ---- all together ---- */

/* Whether word is one of list, which has a blank between them. */
static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += len)
		if ((at == list || at[-1] == ' ') && (!at[len] || at[len] == ' '))
			return true;
	return false;
}

static bool options_fit(const struct command *command, unsigned int given)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const char *only = cli_options[i].commands;

		if (!(given & (1u << i)) || !only || has_word(only, command->name))
			continue;
		complain("--%s: is for %s, not for %s", cli_options[i].name, only, command->name);
		return false;
	}
	return true;
}

/* "show, explain, stop" */
static const char *command_names(char *names, size_t bytes)
{
	size_t used = 0;

	names[0] = 0;
	for (size_t i = 0; i < COMMAND_COUNT && used < bytes; i++)
		used += (size_t)snprintf(names + used, bytes - used, "%s%s", i ? ", " : "",
					 commands[i].name);
	return names;
}

static int run(struct call *call, char **words, unsigned int word_count, unsigned int given)
{
	const struct command *command = word_count ? find_command(words[0]) : NULL;
	struct gw_error err;
	char names[COMMAND_NAMES_BYTES];

	if (!command) {
		command_names(names, sizeof(names));
		if (word_count)
			complain("no command '%s'; there are %s", words[0], names);
		else
			complain("a command is missing: %s; --help has the list", names);
		return EXIT_USAGE;
	}
	if (!options_fit(command, given))
		return EXIT_USAGE;
	if (word_count - 1 > command->arg_max) {
		complain("%s: '%s' is one word too many", command->name,
			 words[1 + command->arg_max]);
		return EXIT_USAGE;
	}
	call->word = word_count > 1 ? words[1] : NULL;
	if (!call->path && !command->alone) {
		if (control_default_path(call->default_path, sizeof(call->default_path), &err) <
		    0) {
			complain("%s", err.text);
			return EXIT_FAIL;
		}
		call->path = call->default_path;
	}
	return command->run(call);
}

int main(int argc, char **argv)
{
	struct call call = { 0 };
	unsigned int given = 0;

	if (parse_options(&call, argc, argv, &given) < 0)
		return EXIT_USAGE;
	if (call.help) {
		print_help();
		return flush_output() ? EXIT_OK : EXIT_FAIL;
	}
	if (call.version) {
		printf("guestwire %s\n", GW_VERSION);
		return flush_output() ? EXIT_OK : EXIT_FAIL;
	}
	return run(&call, argv + optind, (unsigned int)(argc - optind), given);
}
