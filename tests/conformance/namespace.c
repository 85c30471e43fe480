/* SPDX-License-Identifier: BSD-2-Clause */
#include "namespace.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t written = -1;

	if (fd < 0)
		return -1;
	written = write(fd, text, strlen(text));
	close(fd);
	return written == (ssize_t)strlen(text) ? 0 : -1;
}

static int become_root_of_user_namespace(unsigned int uid, unsigned int gid)
{
	char map[32];

	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (write_file("/proc/self/uid_map", map) || write_file("/proc/self/setgroups", "deny"))
		return -1;
	snprintf(map, sizeof(map), "0 %u 1", gid);
	return write_file("/proc/self/gid_map", map);
}

static int run(const char *command)
{
	int status = system(command);

	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int make_interfaces(unsigned int mtu)
{
	char command[512];

	/* No traffic of the kernel's own: this may fail where IPv6 is not built in. */
	(void)!write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	snprintf(command, sizeof(command),
		 "ip link set lo up && "
		 "ip link add gw0 mtu %u type veth peer name gw1 mtu %u && "
		 "ip link set gw0 up && ip link set gw1 up && "
		 "ip tuntap add dev gwtap0 mode tap vnet_hdr && "
		 "ip link set gwtap0 mtu %u up",
		 mtu, mtu, mtu);
	return run(command);
}

int namespace_enter(unsigned int mtu, char *why, size_t why_bytes)
{
	unsigned int uid = getuid(), gid = getgid();
	int flags = CLONE_NEWNET | (geteuid() ? CLONE_NEWUSER : 0);

	if (unshare(flags)) {
		snprintf(why, why_bytes, "no network namespace can be made here: %s%s",
			 strerror(errno), geteuid() ? " (as this user)" : "");
		return -1;
	}
	if (geteuid() && flags & CLONE_NEWUSER && become_root_of_user_namespace(uid, gid)) {
		snprintf(why, why_bytes, "cannot become root of a user namespace: %s",
			 strerror(errno));
		return -1;
	}
	if (make_interfaces(mtu)) {
		snprintf(why, why_bytes, "`ip` cannot make a veth pair and a tap device");
		return -1;
	}
	return 0;
}
