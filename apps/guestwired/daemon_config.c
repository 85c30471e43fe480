/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon_config.h"
#include "text.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <syslog.h>

#define WORKERS_MAX       64u
#define BOUNCE_MIB_MAX    4096u
#define STOP_MS_MIN       100u
#define STOP_MS_MAX       2000u
#define STOP_MS_DEFAULT   1000u
#define HELP_COLUMN       32
#define SPEC_NAME_LEN     64
/* Values that getopt_long returns: an index into the table, above all letters. */
#define LONG_OPTION_FIRST 256

struct setting {
	const char *name;   /* --name; in the file with '_' for '-' */
	const char *values; /* NULL: takes no value on the command line; "[=...": may take one */
	const char *help;
	char letter; /* 0: none */
	bool in_file;
	bool often; /* may be given more than once */
	int (*set)(struct daemon_config *config, const char *value, struct gw_error *err);
};

static int set_port(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_file(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_control(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_workers(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_bounce(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_stop(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_level(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_time(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_user(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_state_dir(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_confine(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_takeover(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_background(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_check(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_list(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_help(struct daemon_config *config, const char *value, struct gw_error *err);
static int set_version(struct daemon_config *config, const char *value, struct gw_error *err);

/* clang-format off */
static const struct setting settings[] = {
	{ "port", "NAME=DRIVER:TARGET[,OPTION=VALUE...]",
	  "a port; give it once for each", 0, false, true, set_port },
	{ "config", "FILE", "read settings and ports from FILE too", 0, false, false, set_file },
	{ "control", "PATH", "the control socket (default:\n"
	  "/run/guestwire.sock for root,\n$XDG_RUNTIME_DIR/guestwire.sock for others)",
	  0, true, true, set_control },
	{ "workers", "N", "data threads, 1 to 64 (default 1);\n"
	  "a network lives on one",
	  0, true, true, set_workers },
	{ "bounce-memory", "MIB", "memory for copies (default: what the ports need)",
	  0, true, true, set_bounce },
	{ "stop-timeout", "MS", "how long devices may take to give frames back,\n"
	  "100 to 2000 (default 1000)", 0, true, true, set_stop },
	{ "state-dir", "DIR|none", "where to record what is in flight (default:\n"
	  "/run/guestwire for root,\n$XDG_RUNTIME_DIR/guestwire for others)",
	  0, true, true, set_state_dir },
	{ "log-level", "error|warning|notice|info|debug", "how much to log (default info)",
	  0, true, true, set_level },
	{ "log-time", NULL, "begin log lines with the time",
	  0, true, true, set_time },
	{ "user", "NAME[:GROUP]", "run as this user",
	  0, true, false, set_user },
	{ "confine", "on|off", "give up rights at the start (default on)",
	  0, true, true, set_confine },
	{ "takeover", "[=if-running]", "go on in the place of the daemon on the\n"
	  "control socket, for upgrades; if-running:\nor start afresh if there is none",
	  0, false, true, set_takeover },
	{ "background", NULL, "return when all ports are up, and run on",
	  0, false, true, set_background },
	{ "check", NULL, "check command line and file, then exit", 0, false, true, set_check },
	{ "list-drivers", NULL, "show drivers, their options, and reasons",
	  0, false, true, set_list },
	{ "help", NULL, "this text", 'h', false, true, set_help },
	{ "version", NULL, "the version", 'V', false, true, set_version },
};
/* clang-format on */
#define SETTING_COUNT (sizeof(settings) / sizeof(settings[0]))

static const char *const log_levels[] = { "error", "warning", "notice", "info", "debug" };

/* ---- the table's functions: each sets one thing ---- */

static int set_port(struct daemon_config *config, const char *value, struct gw_error *err)
{
	char *origin = NULL;
	int rc;

	if (asprintf(&origin, "--port %s", value) < 0)
		return gw_error_sys(err, -ENOMEM, "--port");
	rc = daemon_config_add_port(config, value, origin, err);
	free(origin);
	return rc;
}

static int set_file(struct daemon_config *config, const char *value, struct gw_error *err)
{
	config->file = value;
	return 0;
}

static int set_control(struct daemon_config *config, const char *value, struct gw_error *err)
{
	struct sockaddr_un address;
	int rc = control_address(value, &address, err);

	if (rc < 0)
		return rc;
	gw_text_copy(config->control, sizeof(config->control), value);
	return 0;
}

static int set_number(const char *what, const char *text, unsigned int min, unsigned int max,
		      unsigned int *value, struct gw_error *err)
{
	uint64_t number;
	int rc = gw_text_u64(what, text, min, max, &number, err);

	if (rc == 0)
		*value = (unsigned int)number;
	return rc;
}

static int set_workers(struct daemon_config *config, const char *value, struct gw_error *err)
{
	return set_number("workers", value, 1, WORKERS_MAX, &config->workers, err);
}

static int set_bounce(struct daemon_config *config, const char *value, struct gw_error *err)
{
	return set_number("bounce-memory (MiB)", value, 1, BOUNCE_MIB_MAX, &config->bounce_mib,
			  err);
}

static int set_stop(struct daemon_config *config, const char *value, struct gw_error *err)
{
	return set_number("stop-timeout (ms)", value, STOP_MS_MIN, STOP_MS_MAX, &config->stop_ms,
			  err);
}

static int set_level(struct daemon_config *config, const char *value, struct gw_error *err)
{
	static const int levels[] = { LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(value, log_levels[i]) != 0)
			continue;
		config->log_level = levels[i];
		return 0;
	}
	return gw_error_set(err, -EINVAL,
			    "log-level: no level '%.40s'; there are error, warning, notice, info, "
			    "debug",
			    value);
}

static int set_time(struct daemon_config *config, const char *value, struct gw_error *err)
{
	config->log_time = !value || strcmp(value, "yes") == 0;
	if (value && !config->log_time && strcmp(value, "no") != 0)
		return gw_error_set(err, -EINVAL, "log-time: '%.40s' is neither yes nor no", value);
	return 0;
}

static int set_user(struct daemon_config *config, const char *value, struct gw_error *err)
{
	if (!value[0] || !gw_text_copy(config->user, sizeof(config->user), value))
		return gw_error_set(err, -EINVAL, "user: '%.80s' is no NAME[:GROUP]", value);
	return 0;
}

static int set_state_dir(struct daemon_config *config, const char *value, struct gw_error *err)
{
	if ((value[0] != '/' && strcmp(value, "none") != 0) ||
	    !gw_text_copy(config->state_dir, sizeof(config->state_dir), value))
		return gw_error_set(err, -EINVAL,
				    "state-dir: '%.80s' is no absolute path, and not none", value);
	return 0;
}

static int set_takeover(struct daemon_config *config, const char *value, struct gw_error *err)
{
	config->takeover = value ? DAEMON_TAKEOVER_IF_RUNNING : DAEMON_TAKEOVER;
	if (value && strcmp(value, "if-running") != 0)
		return gw_error_set(err, -EINVAL,
				    "takeover: '%.40s' is not if-running, which is all it can be",
				    value);
	return 0;
}

static int set_background(struct daemon_config *config, const char *value, struct gw_error *err)
{
	config->background = true;
	return 0;
}

static int set_confine(struct daemon_config *config, const char *value, struct gw_error *err)
{
	config->confine = strcmp(value, "on") == 0;
	if (!config->confine && strcmp(value, "off") != 0)
		return gw_error_set(err, -EINVAL, "confine: '%.40s' is neither on nor off", value);
	return 0;
}

static int set_check(struct daemon_config *config, const char *value, struct gw_error *err)
{
	config->action = DAEMON_CHECK;
	return 0;
}

static int set_list(struct daemon_config *config, const char *value, struct gw_error *err)
{
	config->action = DAEMON_LIST_DRIVERS;
	return 0;
}

static int set_help(struct daemon_config *config, const char *value, struct gw_error *err)
{
	config->action = DAEMON_HELP;
	return 0;
}

static int set_version(struct daemon_config *config, const char *value, struct gw_error *err)
{
	config->action = DAEMON_VERSION;
	return 0;
}

/* ---- ports ---- */

/* The length of NAME in NAME=DRIVER:..., or of all of it. */
static size_t spec_name_len(const char *spec)
{
	return strcspn(spec, "=");
}

int daemon_config_add_port(struct daemon_config *config, const char *spec, const char *origin,
			   struct gw_error *err)
{
	size_t len = spec_name_len(spec);
	struct daemon_port *ports, *port;

	for (unsigned int i = 0; i < config->port_count; i++) {
		port = &config->ports[i];
		if (spec_name_len(port->spec) == len && strncmp(port->spec, spec, len) == 0)
			return gw_error_set(err, -EEXIST,
					    "%.100s: there is a port '%.*s' already (%.80s)",
					    origin, len > SPEC_NAME_LEN ? SPEC_NAME_LEN : (int)len,
					    spec, port->origin);
	}
	if (config->port_count == DAEMON_PORTS_MAX)
		return gw_error_set(err, -E2BIG, "%.100s: more than %u ports", origin,
				    DAEMON_PORTS_MAX);
	ports = realloc(config->ports, (config->port_count + 1) * sizeof(*ports));
	if (!ports)
		return gw_error_sys(err, -ENOMEM, "%.100s", origin);
	config->ports = ports;
	port = &ports[config->port_count];
	port->spec = strdup(spec);
	port->origin = strdup(origin);
	config->port_count++;
	if (!port->spec || !port->origin)
		return gw_error_sys(err, -ENOMEM, "%.100s", origin);
	return 0;
}

void daemon_config_free(struct daemon_config *config)
{
	for (unsigned int i = 0; i < config->port_count; i++) {
		free(config->ports[i].spec);
		free(config->ports[i].origin);
	}
	free(config->ports);
	config->ports = NULL;
	config->port_count = 0;
}

/* ---- the file's settings ---- */

/* Is key, which has '_', the name, which has '-'? */
static bool is_key(const char *name, const char *key)
{
	for (; *name && *key; name++, key++)
		if (*key != (*name == '-' ? '_' : *name))
			return false;
	return *name == *key;
}

void daemon_config_keys(char *text, size_t text_bytes)
{
	text[0] = 0;
	for (size_t i = 0; i < SETTING_COUNT; i++)
		if (settings[i].in_file)
			gw_text_list_add(text, text_bytes, settings[i].name);
	for (; *text; text++)
		if (*text == '-')
			*text = '_';
}

int daemon_config_set(struct daemon_config *config, const char *key, const char *value,
		      struct gw_error *err)
{
	struct daemon_config ignored = { 0 };
	char keys[256];

	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting *setting = &settings[i];

		if (!setting->in_file || !is_key(setting->name, key))
			continue;
		/* Wrong is wrong, even where the command line overrules it. */
		return setting->set(config->given & (1u << i) ? &ignored : config, value, err);
	}
	daemon_config_keys(keys, sizeof(keys));
	return gw_error_set(err, -EINVAL, "no setting '%.40s' in [daemon]; there are %s", key,
			    keys);
}

/* ---- the command line ---- */

static bool may_have_value(const struct setting *setting)
{
	return setting->values && setting->values[0] == '[';
}

static void fill_options(struct option *options, char *letters)
{
	*letters++ = ':'; /* a missing value is told from an unknown option */
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		options[i].name = settings[i].name;
		options[i].has_arg = !settings[i].values            ? no_argument
				     : may_have_value(&settings[i]) ? optional_argument
								    : required_argument;
		options[i].flag = NULL;
		options[i].val = LONG_OPTION_FIRST + (int)i;
		if (settings[i].letter)
			*letters++ = settings[i].letter;
	}
	options[SETTING_COUNT] = (struct option){ 0 };
	*letters = 0;
}

/* What getopt_long returned, as a setting; NULL: none. */
static const struct setting *find_setting(int option)
{
	for (size_t i = 0; i < SETTING_COUNT; i++)
		if (option == LONG_OPTION_FIRST + (int)i ||
		    (settings[i].letter && option == settings[i].letter))
			return &settings[i];
	return NULL;
}

static int take_option(struct daemon_config *config, const struct setting *setting,
		       struct gw_error *err)
{
	uint32_t bit = 1u << (setting - settings);

	if (!setting->often && (config->given & bit))
		return gw_error_set(err, -EINVAL, "--%s: can be given once only", setting->name);
	config->given |= bit;
	return setting->set(config, optarg, err);
}

static int parse_args(struct daemon_config *config, int argc, char **argv, struct gw_error *err)
{
	struct option options[SETTING_COUNT + 1];
	char letters[SETTING_COUNT + 2];
	int option, rc = 0;

	fill_options(options, letters);
	opterr = 0;
	optind = 0; /* GNU: start anew, also after another command line */
	while (rc == 0 && (option = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		const struct setting *setting = find_setting(option == ':' ? optopt : option);

		if (option == ':' && setting)
			return gw_error_set(err, -EINVAL, "--%s: needs a value, %s", setting->name,
					    setting->values);
		if (!setting)
			return gw_error_set(
				err, -EINVAL, "%.100s: %s; --help has the list", argv[optind - 1],
				find_setting(optopt) ? "takes no value" : "no such option");
		rc = take_option(config, setting, err);
	}
	if (rc == 0 && optind < argc)
		rc = gw_error_set(err, -EINVAL,
				  "'%.100s': only options are expected; a port is given as --port "
				  "NAME=DRIVER:TARGET",
				  argv[optind]);
	return rc;
}

static void default_state_dir(struct daemon_config *config)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (config->state_dir[0])
		return;
	if (geteuid() == 0)
		gw_text_copy(config->state_dir, sizeof(config->state_dir), "/run/guestwire");
	else if (runtime && runtime[0] == '/' &&
		 strlen(runtime) + sizeof("/guestwire") <= sizeof(config->state_dir))
		sprintf(config->state_dir, "%s/guestwire", runtime);
}

int daemon_config_parse(struct daemon_config *config, int argc, char **argv, struct gw_error *err)
{
	int rc;

	*config = (struct daemon_config){
		.stop_ms = STOP_MS_DEFAULT,
		.log_level = LOG_INFO,
		.confine = true,
	};
	rc = parse_args(config, argc, argv, err);
	if (rc < 0 || config->action > DAEMON_CHECK)
		return rc;
	if (config->file)
		rc = daemon_config_file(config, config->file, err);
	default_state_dir(config);
	if (rc == 0 && config->port_count == 0)
		rc = gw_error_set(
			err, -EINVAL,
			"no ports: give --port NAME=DRIVER:TARGET, or --config FILE with a "
			"[port NAME] section; --help has the list");
	if (rc == 0 && !config->control[0])
		rc = control_default_path(config->control, sizeof(config->control), err);
	return rc;
}

/* ---- help ---- */

static void print_setting(FILE *out, const struct setting *setting)
{
	const char *help = setting->help;
	const char *blank = setting->values && !may_have_value(setting) ? " " : "";
	int column = fprintf(out, "  --%s%s%s", setting->name, blank,
			     setting->values ? setting->values : "");

	if (setting->letter)
		column += fprintf(out, ", -%c", setting->letter);
	if (column > HELP_COLUMN - 2) {
		fputc('\n', out);
		column = 0;
	}
	for (;;) {
		size_t len = strcspn(help, "\n");

		fprintf(out, "%*s%.*s\n", HELP_COLUMN - column, "", (int)len, help);
		if (!help[len])
			return;
		help += len + 1;
		column = 0;
	}
}

void daemon_config_help(FILE *out)
{
	fputs("usage: guestwired --port NAME=DRIVER:TARGET[,OPTION=VALUE...] ... [OPTION...]\n"
	      "       guestwired --config FILE [OPTION...]\n"
	      "\n"
	      "Hands what guests transmit to network devices, straight from guest memory\n"
	      "where the device can read it, and copied once where it cannot.\n"
	      "\n",
	      out);
	for (size_t i = 0; i < SETTING_COUNT; i++)
		print_setting(out, &settings[i]);
	fputs("\n"
	      "guestwire(1) shows what a running daemon does, and stops it. SIGTERM or SIGINT\n"
	      "stop it too; a second one ends it at once. Exit status: 0 ok, 1 failure at run\n"
	      "time, 2 wrong command line or file. Manual: guestwired(8), guestwired.conf(5).\n",
	      out);
}
