/* SPDX-License-Identifier: BSD-2-Clause */
#include "control_pass.h"
#include "fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Room for one descriptor: what else somebody sends, the kernel closes. */
union one_fd {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr header;
};

int control_pass_send(int socket, const char *line, int fd)
{
	union one_fd control = { 0 };
	size_t len = strlen(line);
	struct iovec iov = { (void *)(uintptr_t)line, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t sent;

	control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
					   .cmsg_type = SCM_RIGHTS,
					   .cmsg_len = CMSG_LEN(sizeof(fd)) };
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	do
		sent = sendmsg(socket, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	return (size_t)sent == len ? 0 : -EAGAIN;
}

int control_pass_receive(int socket, char *byte, int *fd)
{
	union one_fd control = { 0 };
	struct iovec iov = { byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = CMSG_LEN(sizeof(int)) };
	const struct cmsghdr *header;
	ssize_t got;

	do
		got = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&msg);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int))) {
		gw_fd_close(fd);
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	}
	return (int)got;
}
