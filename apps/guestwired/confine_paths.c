/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths, by Landlock.
 *
 * All that Landlock can forbid about files is forbidden, but below the paths of the
 * plan. TCP is forbidden altogether where the kernel can do so. Connecting to a
 * unix socket is no matter of Landlock: a port with mode=client needs no path.
 *
 * A path that does not exist, or that we cannot reach, is left out: what is not there
 * now cannot be opened later either. The descriptors of paths stay open, since a file
 * of /proc/self is known by an inode that lives only as long as somebody holds it.
 *
 * The numbers are those of linux/landlock.h. Headers of many systems are older than
 * their kernels, so that what is newer than version 1 stands here.
 */
#include "confine.h"
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ACCESS_REFER     (1ull << 13) /* version 2 */
#define ACCESS_TRUNCATE  (1ull << 14) /* version 3 */
#define ACCESS_IOCTL_DEV (1ull << 15) /* version 5 */
#define NET_BIND_TCP     (1ull << 0)  /* version 4 */
#define NET_CONNECT_TCP  (1ull << 1)

#define ACCESS_VERSION_1 ((1ull << 13) - 1)
/* What makes sense for something that is no folder. */
#define ACCESS_FILE                                                   \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
	 LANDLOCK_ACCESS_FS_READ_FILE | ACCESS_TRUNCATE | ACCESS_IOCTL_DEV)

/* struct landlock_ruleset_attr as of version 4. */
struct ruleset {
	uint64_t fs;
	uint64_t net;
};

static const struct {
	enum confine_use use;
	uint64_t access;
} accesses[] = {
	{ CONFINE_READS, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR },
	{ CONFINE_DEVICE,
	  LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_IOCTL_DEV },
	{ CONFINE_SOCKETS, LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE },
	{ CONFINE_RECORDS, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
				   LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
				   LANDLOCK_ACCESS_FS_REMOVE_FILE | ACCESS_TRUNCATE },
};

static uint64_t access_of(unsigned int uses)
{
	uint64_t access = 0;

	for (size_t i = 0; i < sizeof(accesses) / sizeof(accesses[0]); i++)
		if (uses & accesses[i].use)
			access |= accesses[i].access;
	return access;
}

/* The kernel's version; 0: it has no Landlock, or it is switched off. */
static unsigned int kernel_version(void)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return version > 0 ? (unsigned int)version : 0;
}

static struct ruleset all_of(unsigned int version)
{
	struct ruleset all = { .fs = ACCESS_VERSION_1 };

	if (version >= 2)
		all.fs |= ACCESS_REFER;
	if (version >= 3)
		all.fs |= ACCESS_TRUNCATE;
	if (version >= 4)
		all.net = NET_BIND_TCP | NET_CONNECT_TCP;
	if (version >= 5)
		all.fs |= ACCESS_IOCTL_DEV;
	return all;
}

/* Not closed: see above. */
static int allow(int ruleset_fd, const struct confine_path *path, uint64_t handled)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = access_of(path->uses) };
	struct stat st;

	rule.parent_fd = open(path->path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 0;
	if (fstat(rule.parent_fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= ACCESS_FILE;
	rule.allowed_access &= handled;
	if (syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return -errno;
	return 0;
}

int confine_paths(const struct confine_plan *plan, struct confine_state *state,
		  struct gw_error *err)
{
	unsigned int version = kernel_version();
	struct ruleset all = all_of(version);
	int fd, rc = 0;

	state->landlock = version;
	if (version == 0)
		return 0;
	fd = (int)syscall(SYS_landlock_create_ruleset, &all,
			  version >= 4 ? sizeof(all) : sizeof(all.fs), 0);
	if (fd < 0)
		return gw_error_sys(err, -errno, "confine: make a Landlock ruleset");
#ifdef CONFINE_SANITIZED
	/* A leak is looked for at the end, in all threads that are listed there. */
	rc = allow(fd, &(struct confine_path){ (char *)"/proc", CONFINE_READS }, all.fs);
#endif
	for (unsigned int i = 0; i < plan->path_count && rc == 0; i++) {
		rc = allow(fd, &plan->paths[i], all.fs);
		if (rc < 0)
			gw_error_sys(err, rc, "confine: allow %.100s", plan->paths[i].path);
	}
	if (rc == 0 && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		rc = gw_error_sys(err, -errno, "confine: apply the Landlock ruleset");
	gw_fd_close(&fd);
	return rc;
}
