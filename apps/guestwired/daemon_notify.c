/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon_notify.h"
#include "fd.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int daemon_notify_open(int *fd)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	socklen_t address_bytes;
	int rc = 0;

	*fd = -1;
	if (len == 0)
		return 0;
	if ((path[0] != '/' && path[0] != '@') || len >= sizeof(address.sun_path))
		return -EINVAL;
	memcpy(address.sun_path, path, len);
	address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (path[0] == '@')
		address.sun_path[0] = 0; /* an abstract name: all its bytes count */
	else
		address_bytes++;
	*fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return -errno;
	if (connect(*fd, (struct sockaddr *)&address, address_bytes) < 0) {
		rc = -errno;
		gw_fd_close(fd);
	}
	return rc;
}

static int tell(int fd, const char *state)
{
	return send(fd, state, strlen(state), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int daemon_notify(int *fd, const char *state)
{
	int rc;

	if (*fd < 0)
		return 0;
	rc = tell(*fd, state);
	if (rc != -ECONNREFUSED && rc != -ENOTCONN)
		return rc;
	/* The manager was started anew, and has a new socket of that name. */
	gw_fd_close(fd);
	rc = daemon_notify_open(fd);
	return rc < 0 ? rc : tell(*fd, state);
}
