/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket below front_end.c: connect or listen, bytes and descriptors out, replies in. */
#include "front_end.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "vhost_user_spec.h"

#define CONNECT_RETRY_MS 20
#define MAX_STRAY_FDS    8

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

static int left_ms(int64_t deadline_ms)
{
	int64_t left = deadline_ms - now_ms();

	return left > 0 ? (int)left : 0;
}

/* The socket may not be there yet: its maker starts beside us. */
static int connect_to(struct front_end *fe, const struct sockaddr_un *to)
{
	int64_t deadline_ms = now_ms() + fe->config->connect_timeout_ms;

	while (connect(fe->sock, (const struct sockaddr *)to, sizeof(*to)) < 0) {
		int error = errno;

		if ((error != ENOENT && error != ECONNREFUSED && error != EAGAIN) ||
		    !left_ms(deadline_ms))
			return fail_set(&fe->fail, -error,
					"cannot connect to %s: %s; is the back-end running?",
					to->sun_path, strerror(error));
		poll(NULL, 0, CONNECT_RETRY_MS);
	}
	return 0;
}

static int accept_on(struct front_end *fe, const struct sockaddr_un *at)
{
	struct pollfd wait = { .fd = fe->sock, .events = POLLIN };
	int peer;

	unlink(at->sun_path);
	if (bind(fe->sock, (const struct sockaddr *)at, sizeof(*at)) < 0 || listen(fe->sock, 1) < 0)
		return fail_set(&fe->fail, -errno, "cannot listen on %s: %s", at->sun_path,
				strerror(errno));
	if (poll(&wait, 1, fe->config->connect_timeout_ms) <= 0) {
		unlink(at->sun_path);
		return fail_set(&fe->fail, -ETIMEDOUT, "no back-end connected to %s within %d ms",
				at->sun_path, fe->config->connect_timeout_ms);
	}
	peer = accept4(fe->sock, NULL, NULL, SOCK_CLOEXEC);
	unlink(at->sun_path);
	if (peer < 0)
		return fail_set(&fe->fail, -errno, "cannot accept on %s: %s", at->sun_path,
				strerror(errno));
	close(fe->sock);
	fe->sock = peer;
	return 0;
}

int front_end_open(struct front_end *fe, const struct front_end_config *config)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	memset(fe, 0, sizeof(*fe));
	fe->config = config;
	fe->sock = -1;
	if (strlen(config->path) >= sizeof(un.sun_path))
		return fail_set(&fe->fail, -ENAMETOOLONG,
				"socket path %s is longer than a unix socket allows (%zu bytes)",
				config->path, sizeof(un.sun_path) - 1);
	memcpy(un.sun_path, config->path, strlen(config->path));
	fe->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fe->sock < 0)
		return fail_set(&fe->fail, -errno, "cannot make a unix socket: %s",
				strerror(errno));
	return config->listen ? accept_on(fe, &un) : connect_to(fe, &un);
}

void front_end_close(struct front_end *fe)
{
	if (fe->sock >= 0)
		close(fe->sock);
	fe->sock = -1;
}

int front_end_send_bytes(struct front_end *fe, const void *bytes, size_t len, const int *fds,
			 uint32_t fd_count)
{
	union {
		char space[CMSG_SPACE(2 * VHOST_USER_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct pollfd wait = { .fd = fe->sock, .events = POLLOUT };
	ssize_t sent;

	if (fd_count) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
	}
	if (poll(&wait, 1, fe->config->reply_timeout_ms) <= 0)
		return fail_set(&fe->fail, -ETIMEDOUT, "the back-end reads no messages");
	sent = sendmsg(fe->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0)
		return fail_set(&fe->fail, -errno, "cannot send to the back-end: %s",
				errno == EPIPE ? "it closed the connection" : strerror(errno));
	if ((size_t)sent != len)
		return fail_set(&fe->fail, -EIO, "the back-end took part of a message");
	return 0;
}

/* Takes the first descriptor if somebody asked for one; others must not pile up. */
static void take_fds(struct msghdr *msg, int *wanted)
{
	int fds[MAX_STRAY_FDS];

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count && i < MAX_STRAY_FDS; i++) {
			memcpy(&fds[i], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (wanted && *wanted < 0)
				*wanted = fds[i];
			else
				close(fds[i]);
		}
	}
}

static int read_all(struct front_end *fe, uint32_t request, void *to, size_t len,
		    int64_t deadline_ms, int *fd)
{
	union {
		char space[CMSG_SPACE(MAX_STRAY_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	uint8_t *at = to;

	while (len) {
		struct iovec iov = { at, len };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = &control,
				      .msg_controllen = sizeof(control) };
		struct pollfd wait = { .fd = fe->sock, .events = POLLIN };
		ssize_t got;

		if (poll(&wait, 1, left_ms(deadline_ms)) <= 0)
			return fail_set(&fe->fail, -ETIMEDOUT,
					"the back-end did not answer request %u within %d ms",
					request, fe->config->reply_timeout_ms);
		got = recvmsg(fe->sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno == ECONNRESET))
			return fail_set(&fe->fail, -ECONNRESET,
					"the back-end closed the connection instead of "
					"answering request %u",
					request);
		if (got < 0)
			return fail_set(&fe->fail, -errno, "cannot read from the back-end: %s",
					strerror(errno));
		take_fds(&msg, fd);
		at += got;
		len -= (size_t)got;
	}
	return 0;
}

static int receive(struct front_end *fe, uint32_t request, void *payload, uint32_t least,
		   uint32_t size, int *fd)
{
	int64_t deadline_ms = now_ms() + fe->config->reply_timeout_ms;
	uint32_t header[3] = { 0 };
	int rc = read_all(fe, request, header, sizeof(header), deadline_ms, fd);

	if (rc)
		return rc;
	if (fe->config->trace)
		fprintf(stderr, "guestwire-guest: < request %u, flags %#x, %u bytes\n", header[0],
			header[1], header[2]);
	if (header[0] != request || header[2] < least || header[2] > size ||
	    (header[1] & (VHOST_USER_VERSION_MASK | VHOST_USER_REPLY)) !=
		    (VHOST_USER_VERSION | VHOST_USER_REPLY))
		return fail_set(&fe->fail, -EPROTO,
				"asked request %u and expected %u bytes, the back-end answered "
				"request %u, flags %#x, %u bytes",
				request, size, header[0], header[1], header[2]);
	return read_all(fe, request, payload, header[2], deadline_ms, fd);
}

int front_end_receive(struct front_end *fe, uint32_t request, void *payload, uint32_t size)
{
	return receive(fe, request, payload, size, size, NULL);
}

int front_end_receive_fd(struct front_end *fe, uint32_t request, void *payload, uint32_t least,
			 uint32_t size, int *fd)
{
	*fd = -1;
	return receive(fe, request, payload, least, size, fd);
}
