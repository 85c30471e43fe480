/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A daemon that was killed leaves its socket's file behind, and bind() then says
 * "address in use" just as it does for a daemon that lives. The difference is
 * whether connect() finds somebody. Weak spot: of two daemons that are started on
 * one path in the same moment, after a third was killed, both may find the file
 * stale, and the later one takes the name from the earlier. The earlier one runs on
 * but cannot be reached; it does not remove the other's file at its end.
 */
#include "control_listen.h"
#include "fd.h"
#include "text.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CONTROL_BACKLOG 64
#define CONTROL_MODE    0600
/* Of the flags in /proc/PID/stat (proc(5)): the kernel's PF_EXITING. */
#define PROCESS_EXITING 0x4u

/* 0: the file was a socket without a listener and is gone. */
static int remove_stale(const struct sockaddr_un *address, struct gw_error *err)
{
	const char *path = address->sun_path;
	struct stat st;
	int fd, rc;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : gw_error_sys(err, -errno, "control socket %s", path);
	if (!S_ISSOCK(st.st_mode))
		return gw_error_set(err, -EEXIST,
				    "control socket %s: the file exists and is no socket; "
				    "it was not touched, choose another path with --control",
				    path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return gw_error_sys(err, -errno, "control socket %s: make a socket", path);
	rc = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	gw_fd_close(&fd);
	if (rc == -ECONNREFUSED || rc == -ENOENT)
		return unlink(path) == 0 || errno == ENOENT
			       ? 0
			       : gw_error_sys(err, -errno,
					      "control socket %s: remove the stale one", path);
	if (rc == 0 || rc == -EAGAIN)
		return gw_error_set(
			err, -EADDRINUSE,
			"control socket %s: another daemon listens there; stop it, go on "
			"in its place with --takeover, or choose another path with "
			"--control",
			path);
	return gw_error_sys(err, rc, "control socket %s: see if anybody listens", path);
}

static int bind_path(int fd, const struct sockaddr_un *address, struct gw_error *err)
{
	const struct sockaddr *sa = (const struct sockaddr *)address;
	int rc;

	if (bind(fd, sa, sizeof(*address)) == 0)
		return 0;
	if (errno == EADDRINUSE) {
		rc = remove_stale(address, err);
		if (rc < 0)
			return rc;
		if (bind(fd, sa, sizeof(*address)) == 0)
			return 0;
	}
	return gw_error_sys(err, -errno, "control socket %s: bind", address->sun_path);
}

int control_listener_open(struct control_listener *listener, const char *path, struct gw_error *err)
{
	struct sockaddr_un address;
	int fd, rc;

	listener->fd = -1;
	rc = control_address(path, &address, err);
	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return gw_error_sys(err, -errno, "control socket %s: make a socket", path);
	/* Before bind, the mode of the socket is the one that its file is made with. */
	if (fchmod(fd, CONTROL_MODE) < 0)
		rc = gw_error_sys(err, -errno, "control socket %s: set its mode", path);
	if (rc == 0)
		rc = bind_path(fd, &address, err);
	if (rc < 0) {
		gw_fd_close(&fd);
		return rc;
	}
	control_listener_adopt(listener, path, fd);
	rc = control_listener_own(listener, err);
	if (rc < 0)
		control_listener_close(listener);
	return rc;
}

void control_listener_adopt(struct control_listener *listener, const char *path, int fd)
{
	listener->fd = fd;
	gw_text_copy(listener->path, sizeof(listener->path), path);
	control_listener_disown(listener);
}

int control_listener_own(struct control_listener *listener, struct gw_error *err)
{
	struct stat st;

	if (lstat(listener->path, &st) == 0) {
		listener->dev = st.st_dev;
		listener->ino = st.st_ino;
	}
	/* Also where another process has: who connects is shown this one (SO_PEERCRED). */
	if (listen(listener->fd, CONTROL_BACKLOG) < 0)
		return gw_error_sys(err, -errno, "control socket %s: listen", listener->path);
	return 0;
}

void control_listener_disown(struct control_listener *listener)
{
	listener->dev = 0;
	listener->ino = 0;
}

/* ---- one that is on its way out ---- */

static bool is_exiting(pid_t pid)
{
	char path[64], line[512];
	unsigned int flags = 0;
	const char *behind_name;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	behind_name = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	fclose(file);
	return behind_name && sscanf(behind_name, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 &&
	       flags & PROCESS_EXITING;
}

/* Who listens there; 0: nobody, or a process that we cannot see. */
static pid_t listener_of(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	if (fd < 0)
		return 0;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		cred.pid = 0;
	gw_fd_close(&fd);
	return cred.pid;
}

bool control_listener_ends(const char *path, unsigned int timeout_ms)
{
	struct sockaddr_un address;
	struct pollfd end = { .fd = -1, .events = POLLIN };
	bool ended;
	pid_t pid;

	if (control_address(path, &address, NULL) < 0)
		return false;
	pid = listener_of(&address);
	if (!pid)
		return true;
	end.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (end.fd < 0)
		return errno == ESRCH;
	ended = is_exiting(pid) && poll(&end, 1, (int)timeout_ms) == 1;
	gw_fd_close(&end.fd);
	return ended;
}

void control_listener_close(struct control_listener *listener)
{
	struct stat st;

	if (listener->fd < 0)
		return;
	if (lstat(listener->path, &st) == 0 && st.st_dev == listener->dev &&
	    st.st_ino == listener->ino)
		unlink(listener->path);
	gw_fd_close(&listener->fd);
}
