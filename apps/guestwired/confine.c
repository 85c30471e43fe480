/* SPDX-License-Identifier: BSD-2-Clause */
#include "confine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/*
 * Files of one port at most: kick, call and error of the rings that a session can have
 * (768), its regions of memory twice, since a table is there before the one that it
 * replaces is gone (1018), device and timers; and of the daemon besides.
 */
#define FILES_PORT   2048u
#define FILES_DAEMON 1024u
/*
 * A core file would hold guests' memory. 0 keeps it from being written, but not from
 * being piped to a program (core(5)); 1 does both, since no core is so short.
 */
#define CORE_BYTES   1u

/* ---- the plan ---- */

int confine_plan_path(struct confine_plan *plan, const char *path, unsigned int uses)
{
	struct confine_path *paths;

	for (unsigned int i = 0; i < plan->path_count; i++) {
		if (strcmp(plan->paths[i].path, path) != 0)
			continue;
		plan->paths[i].uses |= uses;
		return 0;
	}
	paths = realloc(plan->paths, (plan->path_count + 1) * sizeof(*paths));
	if (!paths)
		return -ENOMEM;
	plan->paths = paths;
	paths[plan->path_count] = (struct confine_path){ .path = strdup(path), .uses = uses };
	if (!paths[plan->path_count].path)
		return -ENOMEM;
	plan->path_count++;
	return 0;
}

int confine_plan_folder_of(struct confine_plan *plan, const char *file, unsigned int uses)
{
	const char *slash = strrchr(file, '/');
	char *folder;
	int rc;

	if (!slash)
		return confine_plan_path(plan, ".", uses);
	folder = slash == file ? strdup("/") : strndup(file, (size_t)(slash - file));
	rc = folder ? confine_plan_path(plan, folder, uses) : -ENOMEM;
	free(folder);
	return rc;
}

static int add_paths(struct confine_plan *plan, const char *const *paths, unsigned int uses)
{
	int rc = 0;

	for (; paths && *paths && rc == 0; paths++)
		rc = confine_plan_path(plan, *paths, uses);
	return rc;
}

int confine_plan_driver(struct confine_plan *plan, const struct gw_driver *driver,
			const char *target)
{
	const struct gw_needs *needs = driver->needs;
	int rc;

	plan->port_count++;
	if (!needs)
		return 0;
	plan->start_capabilities |= needs->start_capabilities;
	plan->capabilities |= needs->capabilities;
	plan->families |= needs->families;
	rc = add_paths(plan, needs->reads, CONFINE_READS);
	if (rc == 0)
		rc = add_paths(plan, needs->devices, CONFINE_DEVICE);
	if (rc == 0 && needs->target_is_socket)
		rc = confine_plan_folder_of(plan, target, CONFINE_SOCKETS);
	return rc;
}

static int plan_port(struct confine_plan *plan, const struct gw_port_info *port)
{
	for (const struct gw_driver *const *driver = gw_drivers(); *driver; driver++)
		if (strcmp((*driver)->name, port->driver) == 0)
			return confine_plan_driver(plan, *driver, port->target);
	return -ENOENT;
}

int confine_plan_ports(struct confine_plan *plan, struct gw_context *gw, struct gw_error *err)
{
	struct gw_snapshot *snapshot;
	int rc = gw_snapshot_take(gw, &snapshot);

	if (rc < 0)
		return gw_error_sys(err, rc, "confine: list the ports");
	for (unsigned int i = 0; i < snapshot->port_count && rc == 0; i++)
		rc = plan_port(plan, &snapshot->ports[i]);
	gw_snapshot_free(snapshot);
	return rc < 0 ? gw_error_sys(err, rc, "confine: list what the ports need") : 0;
}

void confine_plan_free(struct confine_plan *plan)
{
	for (unsigned int i = 0; i < plan->path_count; i++)
		free(plan->paths[i].path);
	free(plan->paths);
	*plan = (struct confine_plan){ 0 };
}

/* ---- limits ---- */

/*
 * RLIMIT_NPROC is left alone, since it counts all processes of a user; the filter lets
 * no process be made. RLIMIT_MEMLOCK too: it is what an administrator lets guests'
 * memory be pinned by. RLIMIT_FSIZE would count memory files.
 */
int confine_limits(const struct confine_plan *plan, struct gw_error *err)
{
	struct rlimit files, core = { CORE_BYTES, CORE_BYTES };
	rlim_t wanted = FILES_DAEMON + (rlim_t)FILES_PORT * plan->port_count;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return gw_error_sys(err, -errno, "confine: read the limit of open files");
	if (wanted > files.rlim_max)
		wanted = files.rlim_max;
	files.rlim_cur = wanted;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return gw_error_sys(err, -errno, "confine: allow %llu open files",
				    (unsigned long long)wanted);
	if (getrlimit(RLIMIT_CORE, &files) == 0 && files.rlim_max < CORE_BYTES)
		core = (struct rlimit){ 0, 0 };
	if (setrlimit(RLIMIT_CORE, &core) < 0)
		return gw_error_sys(err, -errno, "confine: have no core files");
	return 0;
}

/* ---- a thread ---- */

int confine_thread(const struct confine_plan *plan, struct confine_state *state,
		   struct gw_error *err)
{
	struct confine_state ignored;
	int rc;

	if (!plan->on)
		return 0;
	if (!state)
		state = &ignored;
	/* The filter last: it forbids what builds the others. */
	rc = confine_rights(plan->capabilities, state, err);
	if (rc == 0)
		rc = confine_paths(plan, state, err);
	if (rc == 0)
		rc = confine_calls(plan, state, err);
	return rc;
}

void confine_say(const struct confine_state *state, char *text, size_t text_bytes)
{
	char paths[64];

	if (!state->seccomp) {
		snprintf(text, text_bytes, "not confined");
		return;
	}
	snprintf(paths, sizeof(paths),
		 state->landlock ? "Landlock (version %u)" : "no Landlock in this kernel",
		 state->landlock);
	snprintf(text, text_bytes,
		 "confined: capabilities %s; no new privileges; system call filter; %s; user %s",
		 state->capabilities[0] ? state->capabilities : "none", paths, state->user);
}

json_t *confine_json(const struct confine_state *state)
{
	json_t *json = json_object();

	json_object_set_new(json, "seccomp", json_boolean(state->seccomp));
	json_object_set_new(json, "no_new_privileges", json_boolean(state->no_new_privileges));
	json_object_set_new(json, "landlock_version", json_integer((json_int_t)state->landlock));
	json_object_set_new(json, "capabilities", json_string(state->capabilities));
	json_object_set_new(json, "user", json_string(state->user));
	return json;
}
