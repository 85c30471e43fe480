/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon_background.h"
#include "daemon_run.h"
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

/* The process that was started. A daemon that was killed says nothing. */
static int wait_told(int fd)
{
	uint8_t status;
	ssize_t got;

	do
		got = read(fd, &status, sizeof(status));
	while (got < 0 && errno == EINTR);
	return got == sizeof(status) ? status : EXIT_FAIL;
}

/* Its child: ends at once, and leaves the daemon an orphan with a session of its own. */
static int leave_orphan(void)
{
	pid_t pid;

	setsid();
	pid = fork();
	if (pid > 0)
		_exit(EXIT_OK);
	return pid < 0 ? -errno : 0;
}

int daemon_background(int *fd, struct gw_error *err)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return gw_error_sys(err, -errno, "background: make a pipe");
	pid = fork();
	if (pid > 0) {
		gw_fd_close(&ends[1]);
		waitpid(pid, NULL, 0);
		_exit(wait_told(ends[0]));
	}
	gw_fd_close(&ends[0]);
	*fd = ends[1];
	if (pid == 0)
		pid = leave_orphan();
	return pid < 0 ? gw_error_sys(err, -errno, "background: make a process") : 0;
}

void daemon_background_tell(int *fd, int status)
{
	uint8_t byte = (uint8_t)status;
	ssize_t written;

	if (*fd < 0)
		return;
	written = write(*fd, &byte, sizeof(byte));
	(void)written; /* it has gone: nobody waits any more */
	gw_fd_close(fd);
}
