/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line tool: guestwire(1). */
#include "cli.h"
#include "control_path.h"
#include "text.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX         3600u
#define EVERY_MAX           1000000u
#define WORKER_MAX          4096u
#define HELP_COLUMN         24
#define LONG_OPTION_FIRST   256
#define COMMAND_NAMES_BYTES 128

struct command {
	const char *name;
	const char *args; /* for the help; "" if it takes none */
	unsigned int arg_max;
	const char *help;
	int (*run)(const struct call *call);
	bool alone; /* needs no daemon */
};

static const struct command commands[] = {
	{ "show", " [PORT]", 1, "ports, and what is lent, copied, dropped, and why", cli_show,
	  false },
	{ "explain", " [PORT]", 1, "where the copies are, why, and what can be done about each",
	  cli_explain, false },
	{ "probe", " [IFNAME]", 1, "what this host and its interfaces can do; needs no daemon",
	  cli_probe, true },
	{ "trace", " [PORT]", 1, "loans, copies, drops and questions, as they happen", cli_trace,
	  false },
	{ "move", " PORT:PAIR", 1, "a guest's queue pair to another worker, while it runs",
	  cli_move, false },
	{ "stop", "", 0, "stop the daemon in good order, and wait until it has", cli_stop, false },
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
static int set_worker(struct call *call, const char *value);
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
	{ "worker", "N", "move: the worker, from 0 on", "move", 0, set_worker },
	{ "timeout", "SECONDS", "wait so long for the daemon (show: 5, stop: 10)", NULL, 0,
	  set_timeout },
	{ "help", NULL, "this text", NULL, 'h', set_help },
	{ "version", NULL, "the version", NULL, 'V', set_version },
};
#define OPTION_COUNT (sizeof(cli_options) / sizeof(cli_options[0]))

/* ---- options ---- */

static int set_control(struct call *call, const char *value)
{
	struct sockaddr_un address;
	struct gw_error err;

	call->path = value;
	if (control_address(value, &address, &err) == 0)
		return 0;
	cli_complain("%s", err.text);
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
		cli_complain("%s", err.text);
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
	cli_complain("%s", err.text);
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

static int set_worker(struct call *call, const char *value)
{
	struct gw_error err;

	call->has_worker = !gw_text_u64("--worker", value, 0, WORKER_MAX, &call->worker, &err);
	if (call->has_worker)
		return 0;
	cli_complain("%s", err.text);
	return -EINVAL;
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
			cli_complain("--%s: needs a value, %s", option->name, option->values);
			return -EINVAL;
		}
		if (!option) {
			cli_complain("%s: %s; --help has the list", argv[optind - 1],
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

/* ---- all together ---- */

static bool options_fit(const struct command *command, unsigned int given)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const char *only = cli_options[i].commands;

		if (!(given & (1u << i)) || !only || gw_text_has_word(only, command->name))
			continue;
		cli_complain("--%s: is for %s, not for %s", cli_options[i].name, only,
			     command->name);
		return false;
	}
	return true;
}

/* "show, explain, stop" */
static const char *command_names(char *names, size_t bytes)
{
	names[0] = 0;
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		gw_text_list_add(names, bytes, commands[i].name);
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
			cli_complain("no command '%s'; there are %s", words[0], names);
		else
			cli_complain("a command is missing: %s; --help has the list", names);
		return EXIT_USAGE;
	}
	if (!options_fit(command, given))
		return EXIT_USAGE;
	if (word_count - 1 > command->arg_max) {
		cli_complain("%s: '%s' is one word too many", command->name,
			     words[1 + command->arg_max]);
		return EXIT_USAGE;
	}
	call->word = word_count > 1 ? words[1] : NULL;
	if (!call->path && !command->alone) {
		if (control_default_path(call->default_path, sizeof(call->default_path), &err) <
		    0) {
			cli_complain("%s", err.text);
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
		return cli_flush() ? EXIT_OK : EXIT_FAIL;
	}
	if (call.version) {
		printf("guestwire %s\n", GW_VERSION);
		return cli_flush() ? EXIT_OK : EXIT_FAIL;
	}
	return run(&call, argv + optind, (unsigned int)(argc - optind), given);
}
