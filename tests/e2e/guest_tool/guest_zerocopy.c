/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest_tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COMPLETION_TIMEOUT_MS 30000

#ifndef SO_EE_CODE_ZEROCOPY_COPIED
#define SO_EE_CODE_ZEROCOPY_COPIED 1
#endif

void zerocopy_open(struct zerocopy *zc, int kind, const char *address, const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int one = 1;

	*zc = (struct zerocopy){ .fd = socket(AF_INET, kind, 0) };
	to.sin_port = htons((uint16_t)atoi(port));
	if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
		die("'%s' is no IPv4 address", address);
	if (zc->fd < 0 || connect(zc->fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		die("connecting to %s port %s: %s", address, port, strerror(errno));
	if (setsockopt(zc->fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)) < 0)
		die("SO_ZEROCOPY: %s", strerror(errno));
}

/* Documentation/networking/msg_zerocopy.rst: a notification is a range of calls. */
static void count(struct zerocopy *zc, const struct sock_extended_err *said)
{
	uint32_t calls = said->ee_data - said->ee_info + 1;

	if (said->ee_origin != SO_EE_ORIGIN_ZEROCOPY || said->ee_errno)
		die("the error queue says: %s", strerror((int)said->ee_errno));
	zc->completed += calls;
	if (said->ee_code & SO_EE_CODE_ZEROCOPY_COPIED)
		zc->copied += calls;
}

static bool read_completion(struct zerocopy *zc)
{
	char control[256];
	struct msghdr message = { .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *part;

	if (recvmsg(zc->fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
		if (errno == EAGAIN)
			return false;
		die("reading the error queue: %s", strerror(errno));
	}
	for (part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part))
		count(zc, (const struct sock_extended_err *)CMSG_DATA(part));
	return true;
}

void zerocopy_read(struct zerocopy *zc)
{
	while (read_completion(zc))
		;
}

void zerocopy_wait(struct zerocopy *zc, uint32_t left)
{
	struct pollfd queue = { .fd = zc->fd };

	zerocopy_read(zc);
	while (zc->sent - zc->completed > left) {
		/* POLLERR is reported unasked. */
		if (poll(&queue, 1, COMPLETION_TIMEOUT_MS) != 1)
			die("%u of %u completions", zc->completed, zc->sent);
		zerocopy_read(zc);
	}
}

/* The kernel counts the calls that took something. */
void zerocopy_send(struct zerocopy *zc, const void *bytes, size_t len)
{
	ssize_t n;

	while (len) {
		n = send(zc->fd, bytes, len, MSG_ZEROCOPY);
		if (n < 0 && errno == ENOBUFS && zc->sent != zc->completed) {
			/* Too many notifications are open (optmem_max). */
			zerocopy_wait(zc, zc->sent - zc->completed - 1);
			continue;
		}
		if (n < 0)
			die("sending: %s", strerror(errno));
		zc->sent++;
		bytes = (const char *)bytes + n;
		len -= (size_t)n;
	}
}

void zerocopy_finish(struct zerocopy *zc)
{
	char byte;

	zerocopy_wait(zc, 0);
	printf("completions calls=%u completed=%u copied=%u\n", zc->sent, zc->completed,
	       zc->copied);
	shutdown(zc->fd, SHUT_WR);
	if (recv(zc->fd, &byte, 1, 0) < 0)
		die("waiting for the peer: %s", strerror(errno));
	close(zc->fd);
}
