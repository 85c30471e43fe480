/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the daemon was told: from its command line, and from a file.
 *
 * One table (daemon_config.c) has each setting once: its name on the command
 * line and in the file, its help, and what it does. Where both give a setting, the
 * command line wins; ports of both add up, and a name that comes twice is an
 * error.
 */
#pragma once

#include "control_path.h"

#include <guestwire/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <limits.h>
#include <stdio.h>

#define DAEMON_PORTS_MAX  1024u
#define DAEMON_USER_BYTES 128

enum daemon_action {
	DAEMON_RUN,
	DAEMON_CHECK,
	DAEMON_LIST_DRIVERS,
	DAEMON_HELP,
	DAEMON_VERSION,
};

enum daemon_takeover {
	DAEMON_TAKEOVER_NO,
	DAEMON_TAKEOVER,            /* or fail */
	DAEMON_TAKEOVER_IF_RUNNING, /* or start afresh */
};

struct daemon_port {
	char *spec;   /* NAME=DRIVER:TARGET[,OPTION=VALUE...] */
	char *origin; /* who said it, for errors: "--port SPEC", "FILE:LINE: [port NAME]" */
};

struct daemon_config {
	enum daemon_action action;
	char control[CONTROL_PATH_BYTES];
	unsigned int workers;    /* 0: the library's choice */
	unsigned int bounce_mib; /* 0: the library's choice */
	unsigned int stop_ms;
	int log_level;
	bool log_time;
	char state_dir[PATH_MAX]; /* or "none"; "": there is no default */
	bool confine;
	bool background;
	enum daemon_takeover takeover; /* of the daemon that runs on this control socket */
	char user[DAEMON_USER_BYTES];  /* NAME[:GROUP]; "": whoever started it */
	const char *file;              /* of --config; NULL: none */
	struct daemon_port *ports;
	unsigned int port_count;
	uint32_t given; /* a bit for each setting of the table that is decided */
};

/*
 * Reads the command line and the file that it names. -EINVAL and others: err says
 * what is wrong where. To be freed with daemon_config_free in any case.
 */
int daemon_config_parse(struct daemon_config *config, int argc, char **argv, struct gw_error *err);
void daemon_config_free(struct daemon_config *config);

/* Copies both. -EEXIST if a port of that name is there already, -E2BIG. */
int daemon_config_add_port(struct daemon_config *config, const char *spec, const char *origin,
			   struct gw_error *err);
/* A key of the file's [daemon] section. Ignored where the command line said it. */
int daemon_config_set(struct daemon_config *config, const char *key, const char *value,
		      struct gw_error *err);
/* Reads FILE; errors are "FILE:LINE: ...". */
int daemon_config_file(struct daemon_config *config, const char *file, struct gw_error *err);

/* Usage and the options, from the table. */
void daemon_config_help(FILE *out);
/* Writes "a, b, c" of the names that can stand in [daemon]. */
void daemon_config_keys(char *text, size_t text_bytes);
