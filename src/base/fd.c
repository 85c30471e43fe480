/* SPDX-License-Identifier: BSD-2-Clause */
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

void gw_fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

void gw_fds_close(int *fds, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		gw_fd_close(&fds[i]);
}

int gw_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int gw_eventfd_signal(int fd)
{
	uint64_t one = 1;

	/* EAGAIN: the counter is full, so the reader has a wake-up waiting anyway. */
	return write(fd, &one, sizeof(one)) < 0 && errno == EINTR ? -EINTR : 0;
}

void gw_eventfd_clear(int fd)
{
	uint64_t value;
	ssize_t done;

	do {
		done = read(fd, &value, sizeof(value));
	} while (done < 0 && errno == EINTR);
}

int gw_memfd(const char *name, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int rc;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}
