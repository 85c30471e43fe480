/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Confinement: what the daemon may still do once its ports are up.
 *
 * Goal. Somebody who takes the daemon over, through a frame or a message that it
 * misreads, has a process that can move frames between the ports it was given, and
 * little else: no program is run, no file is opened but those named here, no right
 * is regained.
 *
 * Four walls, each of which stands without the others:
 *   capabilities   what the ports need later, in the effective and permitted sets;
 *                  nothing in the others; no_new_privs (confine_rights.c)
 *   system calls   seccomp: a call that is not in the list kills the process
 *                  (confine_calls.c)
 *   paths          Landlock: folders of sockets, the state folder, what drivers read
 *                  (confine_paths.c)
 *   limits         no core file with guests' memory in it, files for all ports
 *                  (confine.c)
 *
 * What is left open is said by the drivers: each has a struct gw_needs, and a plan
 * is the sum of those whose ports there are. Nothing here knows a driver.
 *
 * Life. All of this is a matter of single threads in Linux, and new threads inherit
 * it. So confine_thread() runs on the control socket's thread before it reads its
 * first byte, and on the main thread inside gw_start(), when all ports are open and
 * before the library starts its threads (gw_options.prepared). confine_user() comes
 * before both, while there is one thread.
 *
 * Limits. Files that are open stay open, and a device does what it was told. A
 * kernel without Landlock confines no paths, which the log says. In builds with
 * sanitizers the list is longer, by what these need.
 */
#pragma once

#include <guestwire/guestwire.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* A build with a sanitizer, which has threads, files and processes of its own. */
#ifdef __SANITIZE_ADDRESS__
#define CONFINE_SANITIZED 1
#elif defined(__SANITIZE_THREAD__)
#define CONFINE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CONFINE_SANITIZED 1
#endif
#endif

/* What may be done with a path and all below it. */
enum confine_use {
	CONFINE_READS = 1,   /* files are read, folders listed */
	CONFINE_DEVICE = 2,  /* a device file is opened, read, written, and asked (ioctl) */
	CONFINE_SOCKETS = 4, /* sockets are made and removed in it */
	CONFINE_RECORDS = 8, /* files are made, written, cut, renamed and removed in it */
};

struct confine_path {
	char *path;
	unsigned int uses; /* enum confine_use */
};

struct confine_plan {
	bool on;
	uint64_t start_capabilities;
	uint64_t capabilities; /* bits 1 << CAP_... */
	uint64_t families;     /* bits 1 << AF_... */
	struct confine_path *paths;
	unsigned int path_count;
	unsigned int port_count;
};

/* What is in force, for the log and for "show". */
struct confine_state {
	bool seccomp;
	bool no_new_privileges;
	unsigned int landlock;  /* the kernel's version of it; 0: it has none */
	char capabilities[160]; /* "net_admin, net_raw"; "" for none */
	char user[64];
};

/* -ENOMEM. To be given back with confine_plan_free in any case. */
int confine_plan_path(struct confine_plan *plan, const char *path, unsigned int uses);
/* The folder that a file is in. */
int confine_plan_folder_of(struct confine_plan *plan, const char *file, unsigned int uses);
int confine_plan_driver(struct confine_plan *plan, const struct gw_driver *driver,
			const char *target);
/* All ports of a context that is not started yet. */
int confine_plan_ports(struct confine_plan *plan, struct gw_context *gw, struct gw_error *err);
void confine_plan_free(struct confine_plan *plan);

/* Is there a user NAME, and the GROUP of NAME[:GROUP]? Changes nothing. */
int confine_user_look(const char *name, struct gw_error *err);

/*
 * Becomes NAME[:GROUP], keeping the capabilities that the ports need to start, and the
 * one to make files where only root may. With one thread only.
 */
int confine_user(const struct confine_plan *plan, const char *name, struct gw_error *err);

/* Confines the calling thread, for ever. state may be NULL. */
int confine_thread(const struct confine_plan *plan, struct confine_state *state,
		   struct gw_error *err);
/* Limits of the process: files, core. */
int confine_limits(const struct confine_plan *plan, struct gw_error *err);

/* What is in force: one line for people, an object for programs (a new reference). */
void confine_say(const struct confine_state *state, char *text, size_t text_bytes);
json_t *confine_json(const struct confine_state *state);

/* ---- the walls ---- */

/* Effective and permitted capabilities become those, as far as they are held. */
int confine_rights(uint64_t capabilities, struct confine_state *state, struct gw_error *err);
int confine_paths(const struct confine_plan *plan, struct confine_state *state,
		  struct gw_error *err);
int confine_calls(const struct confine_plan *plan, struct confine_state *state,
		  struct gw_error *err);
