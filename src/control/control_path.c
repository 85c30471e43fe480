/* SPDX-License-Identifier: BSD-2-Clause */
#include "control_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOT_DIR  "/run"
#define FILE_NAME "guestwire.sock"

int control_default_path(char *path, size_t path_bytes, struct gw_error *err)
{
	const char *dir = ROOT_DIR;
	int len;

	if (geteuid() != 0) {
		dir = getenv("XDG_RUNTIME_DIR");
		if (!dir || dir[0] != '/')
			return gw_error_set(err, -ENOENT,
					    "control socket: XDG_RUNTIME_DIR names no folder to "
					    "put it in; give --control PATH");
	}
	len = snprintf(path, path_bytes, "%s/%s", dir, FILE_NAME);
	if (len < 0 || (size_t)len >= path_bytes)
		return gw_error_set(err, -ENAMETOOLONG,
				    "control socket: XDG_RUNTIME_DIR is too long for a socket's "
				    "path (at most %zu bytes); give --control PATH",
				    path_bytes - 1);
	return 0;
}

int control_address(const char *path, struct sockaddr_un *address, struct gw_error *err)
{
	size_t len = strlen(path);

	if (len == 0)
		return gw_error_set(err, -EINVAL, "control socket: the path is empty");
	if (len >= CONTROL_PATH_BYTES)
		return gw_error_set(err, -ENAMETOOLONG,
				    "control socket %.60s...: a socket's path has at most %zu "
				    "bytes, this one has %zu",
				    path, CONTROL_PATH_BYTES - 1, len);
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, len + 1);
	return 0;
}
