/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Capabilities and the user.
 *
 * A change of user takes place before any port is opened, so that all files belong to
 * that user from the beginning and nothing has to be given away. Until the ports are
 * up it has the capabilities that they need for it, and CAP_DAC_OVERRIDE to make
 * sockets in folders of root, which is what it could do as root.
 */
#include "confine.h"
#include "text.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CAPABILITY_BITS 64u

/* "net_admin, net_raw" */
static void name_capabilities(uint64_t capabilities, char *text, size_t text_bytes)
{
	text[0] = 0;
	for (unsigned int i = 0; i < CAPABILITY_BITS; i++) {
		const char *name;

		if (!(capabilities >> i & 1))
			continue;
		name = capng_capability_to_name(i);
		gw_text_list_add(text, text_bytes, name ? name : "?");
	}
}

/* Of these, the ones that this thread holds. */
static uint64_t held(uint64_t capabilities)
{
	uint64_t found = 0;

	capng_get_caps_process();
	for (unsigned int i = 0; i < CAPABILITY_BITS; i++)
		if (capabilities >> i & 1 && capng_have_capability(CAPNG_PERMITTED, i))
			found |= 1ull << i;
	return found;
}

/* In the sets of libcap-ng: effective and permitted those, all others empty. */
static void choose(uint64_t capabilities)
{
	capng_clear(CAPNG_SELECT_ALL);
	for (unsigned int i = 0; i < CAPABILITY_BITS; i++)
		if (capabilities >> i & 1)
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, i);
}

static void say_user(struct confine_state *state)
{
	/* By number: to look up a name may ask the network. */
	snprintf(state->user, sizeof(state->user), "%u:%u", (unsigned int)geteuid(),
		 (unsigned int)getegid());
}

int confine_rights(uint64_t capabilities, struct confine_state *state, struct gw_error *err)
{
	capng_select_t sets = CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT;

	capabilities = held(capabilities);
	/* The bounding set is of no use without programs to run, but says more in "status". */
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		sets |= CAPNG_SELECT_BOUNDS;
	choose(capabilities);
	if (capng_apply(sets) < 0)
		return gw_error_set(err, -EPERM,
				    "confine: give up capabilities; --confine=off runs without");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return gw_error_sys(err, -errno, "confine: set no_new_privs");
	state->no_new_privileges = true;
	name_capabilities(capabilities, state->capabilities, sizeof(state->capabilities));
	say_user(state);
	return 0;
}

/* ---- the user ---- */

struct user {
	uid_t uid;
	gid_t gid;
};

static int find_user(const char *words, struct user *user, struct gw_error *err)
{
	size_t len = strcspn(words, ":");
	const struct passwd *entry;
	const struct group *group;
	char name[64];

	if (len == 0 || len >= sizeof(name))
		return gw_error_set(err, -EINVAL, "user: '%.80s' is no NAME[:GROUP]", words);
	memcpy(name, words, len);
	name[len] = 0;
	errno = 0;
	entry = getpwnam(name);
	if (!entry)
		return gw_error_set(err, -ENOENT, "user: there is no user '%s'", name);
	*user = (struct user){ entry->pw_uid, entry->pw_gid };
	if (!words[len])
		return 0;
	group = getgrnam(words + len + 1);
	if (!group)
		return gw_error_set(err, -ENOENT, "user: there is no group '%.80s'",
				    words + len + 1);
	user->gid = group->gr_gid;
	return 0;
}

int confine_user_look(const char *name, struct gw_error *err)
{
	struct user user;

	return find_user(name, &user, err);
}

/* The user's own files under /proc belong to root from a change of user on. */
static void keep_proc_self(const struct confine_plan *plan)
{
	static const char prefix[] = "/proc/self/";

	for (unsigned int i = 0; i < plan->path_count; i++)
		if (strncmp(plan->paths[i].path, prefix, strlen(prefix)) == 0)
			prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

int confine_user(const struct confine_plan *plan, const char *name, struct gw_error *err)
{
	uint64_t wanted = plan->start_capabilities | plan->capabilities | 1ull << CAP_SETPCAP |
			  1ull << CAP_DAC_OVERRIDE;
	struct user user = { 0 };
	int rc = find_user(name, &user, err);

	if (rc < 0)
		return rc;
	if (user.uid == geteuid() && user.gid == getegid())
		return 0;
	if (geteuid() != 0)
		return gw_error_set(err, -EPERM, "user: only root can become '%.80s'", name);
	choose(held(wanted));
	rc = capng_change_id((int)user.uid, (int)user.gid, CAPNG_INIT_SUPP_GRP);
	if (rc < 0)
		return gw_error_set(err, -EPERM, "user: become '%.80s' (%u:%u): failed at step %d",
				    name, user.uid, user.gid, -rc);
	keep_proc_self(plan);
	return 0;
}
