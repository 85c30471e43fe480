/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon: guestwired(8). */
#include "daemon_background.h"
#include "daemon_config.h"
#include "daemon_list.h"
#include "daemon_log.h"
#include "daemon_run.h"

#include <guestwire/guestwire.h>

static int run(const struct daemon_config *config)
{
	struct gw_error err = { 0 };
	int ready_fd = -1;

	if (config->background && daemon_background(&ready_fd, &err) < 0) {
		daemon_log(LOG_ERR, "%s", err.text);
		return EXIT_FAIL;
	}
	return daemon_run(config, ready_fd);
}

static int act(const struct daemon_config *config)
{
	int status = EXIT_OK;

	switch (config->action) {
	case DAEMON_RUN:
		return run(config);
	case DAEMON_CHECK:
		status = daemon_check(config);
		if (status == EXIT_OK)
			printf("guestwired: the configuration is fine: %u port%s\n",
			       config->port_count, config->port_count == 1 ? "" : "s");
		break;
	case DAEMON_LIST_DRIVERS:
		daemon_list_drivers(stdout);
		break;
	case DAEMON_HELP:
		daemon_config_help(stdout);
		break;
	case DAEMON_VERSION:
		printf("guestwired %s\n", gw_version());
		break;
	}
	if (fflush(stdout) != 0 && status == EXIT_OK) {
		daemon_log(LOG_ERR, "write to standard output: %m");
		status = EXIT_FAIL;
	}
	return status;
}

int main(int argc, char **argv)
{
	struct daemon_config config;
	struct gw_error err = { 0 };
	int status = EXIT_USAGE;

	if (daemon_config_parse(&config, argc, argv, &err) < 0) {
		daemon_log(LOG_ERR, "%s", err.text);
	} else {
		daemon_log_open(config.log_level, config.log_time);
		status = act(&config);
	}
	daemon_config_free(&config);
	return status;
}
