/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connection of a guest port to a front-end, from its first byte to its end; how
 * they come to be is in arrival.c.
 *
 * Bytes go into the session as they come, no more at a time than it wants, so
 * that descriptors stay with their message. While the session is busy (a ring is
 * draining) the socket is not read. When the connection ends, however it ends,
 * the session is closed first, which drains rings; the next front-end waits in
 * the backlog until that is over.
 */
#include "guest.h"

#include "fd.h"
#include "log.h"
#include "services.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Reads of one callback: other guests' sockets have their turn. */
#define READS_MAX 64u
/* What the kernel passes at one time: those that we left it would close, on this thread. */
#define FDS_MAX   253u
_Static_assert(GUEST_DISPOSING_MAX + FDS_MAX + 3 * VHOST_USER_MAX_FDS <= PORT_DISPOSAL_MAX,
	       "one message more, what it belongs to, and sockets");

static void next_connection(struct guest *guest);
static void pause_session(struct guest *guest);

void connection_dispose(struct guest *guest, int *fd)
{
	port_dispose(guest->port, *fd);
	*fd = -1;
}

/* ---- replies ---- */

/* A message is small; a front-end that does not read even one is not worth waiting for. */
static int send_all(int socket_fd, const uint8_t *bytes, size_t len, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		*CMSG_FIRSTHDR(&msg) = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
							 .cmsg_type = SCM_RIGHTS,
							 .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &fd, sizeof(fd));
	}
	sent = sendmsg(socket_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent == (ssize_t)len)
		return 0;
	return sent < 0 ? -errno : -EPIPE;
}

int connection_send(struct guest *guest, const uint8_t *bytes, size_t len, int fd)
{
	return send_all(guest->fd, bytes, len, fd);
}

/* We ask for no replies there, so that nothing has to be read from it. */
int connection_send_backend(struct guest *guest, const uint8_t *bytes, size_t len)
{
	if (guest->backend_fd < 0)
		return -ENOTCONN;
	return send_all(guest->backend_fd, bytes, len, -1);
}

void connection_set_backend(struct guest *guest, int fd)
{
	connection_dispose(guest, &guest->backend_fd);
	guest->backend_fd = fd;
}

/* ---- reading ---- */

static unsigned int collect_fds(struct msghdr *msg, int *fds)
{
	unsigned int count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t bytes = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds + count, CMSG_DATA(c), bytes);
		count += (unsigned int)(bytes / sizeof(int));
	}
	return count;
}

/* 1: go on, 0: nothing to read now, -1: the connection is over. */
static int read_some(struct guest *guest)
{
	uint8_t bytes[SESSION_INPUT_MAX];
	union {
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	size_t want = session_want(guest->session);
	struct iovec iov = { bytes, want < sizeof(bytes) ? want : sizeof(bytes) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	int fds[FDS_MAX];
	struct gw_error err = { 0 };
	unsigned int fd_count;
	ssize_t got;
	int ret;

	got = recvmsg(guest->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0) {
		gw_port_log(guest->port, LOG_INFO, "the front-end has gone%s%s", got ? ": " : "",
			    got ? strerror(errno) : "");
		return -1;
	}
	fd_count = collect_fds(&msg, fds);
	guest->in_session = true;
	ret = session_input(guest->session, bytes, (size_t)got, fds, fd_count, &err);
	guest->in_session = false;
	if (!ret && msg.msg_flags & MSG_CTRUNC)
		ret = gw_error_set(&err, -EPROTO, "descriptors were lost (too many, or no room)");
	if (!ret && port_disposing(guest->port) > GUEST_DISPOSING_MAX)
		ret = gw_error_set(&err, -EPROTO,
				   "more than %u of its descriptors take their time to close",
				   GUEST_DISPOSING_MAX);
	if (ret)
		gw_port_log(guest->port, LOG_WARNING, "connection ended: %s", err.text);
	return ret ? -1 : 1;
}

static void set_reading(struct guest *guest, bool reading)
{
	gw_watch_change(guest->loop, &guest->watch, reading ? EPOLLIN : 0);
}

static void socket_event(struct gw_watch *watch, uint32_t events)
{
	struct guest *guest = gw_container_of(watch, struct guest, watch);

	for (unsigned int i = 0; i < READS_MAX; i++) {
		int ret;

		if (session_busy(guest->session)) {
			/* With no interest left epoll still reports a hang-up: end it now. */
			if (events & (EPOLLHUP | EPOLLERR))
				connection_end(guest);
			else
				set_reading(guest, false);
			return;
		}
		ret = read_some(guest);
		if (ret < 0)
			connection_end(guest);
		if (ret <= 0)
			return;
	}
}

void connection_resume(struct guest *guest)
{
	struct gw_error err = { 0 };
	int ret;

	if (guest->in_session || session_busy(guest->session))
		return;
	if (guest->session_ending) {
		connection_end(guest);
		return;
	}
	if (guest->leaving) {
		pause_session(guest);
		return;
	}
	guest->in_session = true;
	ret = session_continue(guest->session, &err);
	guest->in_session = false;
	if (ret) {
		gw_port_log(guest->port, LOG_WARNING, "connection ended: %s", err.text);
		connection_end(guest);
	} else if (!session_busy(guest->session)) {
		set_reading(guest, true);
	}
}

void connection_fail(struct guest *guest, const char *why)
{
	if (!guest->session || guest->session_ending)
		return;
	gw_port_log(guest->port, LOG_ERR, "connection ended: %s", why);
	connection_end(guest);
}

/* ---- a connection's end and beginning ---- */

void connection_end(struct guest *guest)
{
	if (!guest->session_ending) {
		guest->session_ending = true;
		gw_watch_stop(guest->loop, &guest->watch);
		guest->in_session = true;
		session_close(guest->session);
		guest->in_session = false;
	}
	if (session_busy(guest->session))
		return;
	session_destroy(guest->session);
	guest->session = NULL;
	guest->session_ending = false;
	connection_dispose(guest, &guest->fd);
	connection_dispose(guest, &guest->backend_fd);
	next_connection(guest);
}

struct session_config connection_config(struct guest *guest, uint64_t features)
{
	return (struct session_config){
		.ops = &guest_session_ops,
		.arg = guest,
		.features = features,
		.protocol_features = guest_offered_protocol(guest),
		.arena = { port_arena_fd(guest->port), gw_port_arena(guest->port).iov_len },
		.ring_size_max = GUEST_RING_SIZE_MAX,
		.pairs_max = guest->pairs_max,
	};
}

static int begin_session(struct guest *guest, int fd)
{
	struct session_config config = connection_config(guest, guest_offered(guest));
	int ret = session_create(&config, &guest->session);

	if (ret)
		return ret;
	guest->fd = fd;
	guest->connections++;
	ret = gw_watch_start(guest->loop, &guest->watch, fd, EPOLLIN, socket_event);
	if (ret) {
		session_destroy(guest->session);
		guest->session = NULL;
		guest->fd = -1;
		return ret;
	}
	guest->last_error.code = 0;
	gw_port_set_status(guest->port, "connected");
	gw_port_log(guest->port, LOG_INFO, "a front-end has connected");
	return 0;
}

void connection_begin(struct guest *guest, int fd)
{
	int ret = begin_session(guest, fd);

	if (!ret)
		return;
	gw_port_log(guest->port, LOG_ERR, "cannot serve a front-end: %s", strerror(-ret));
	connection_dispose(guest, &fd);
}

/* ---- hand-over ---- */

static void paused(struct guest *guest)
{
	guest->paused = true;
	gw_eventfd_signal(guest->stopped_fd);
}

/* Once what the session was at is over, and once more when its rings have stopped. */
static void pause_session(struct guest *guest)
{
	if (guest->paused)
		return;
	if (!guest->session_paused) {
		guest->session_paused = true;
		guest->in_session = true;
		session_pause(guest->session, false);
		guest->in_session = false;
	}
	if (!session_busy(guest->session))
		paused(guest);
}

void connection_pause(struct guest *guest)
{
	guest->leaving = true;
	guest->paused = guest->session_paused = false;
	arrival_pause(guest);
	if (!guest->session) {
		paused(guest);
		return;
	}
	if (!guest->session_ending)
		gw_watch_stop(guest->loop, &guest->watch);
	connection_resume(guest);
}

/* After a hand-over that came, or that came to nothing: as if nothing had been. */
static void go_on(struct gw_timer *timer)
{
	struct guest *guest = gw_container_of(timer, struct guest, retry);
	struct gw_error err = { 0 };
	int ret;

	guest->paused = guest->session_paused = false;
	if (!guest->session) {
		next_connection(guest);
		return;
	}
	ret = gw_watch_start(guest->loop, &guest->watch, guest->fd, EPOLLIN, socket_event);
	guest->in_session = true;
	if (ret)
		gw_error_sys(&err, ret, "watching its socket");
	else
		ret = session_resume(guest->session, &err);
	guest->in_session = false;
	if (ret)
		connection_fail(guest, err.text);
	else
		connection_resume(guest);
}

/* ---- the port's ---- */

/* The session is over. */
static void next_connection(struct guest *guest)
{
	if (guest->closing)
		gw_eventfd_signal(guest->stopped_fd);
	else if (guest->leaving)
		paused(guest);
	else
		arrival_next(guest);
}

int connection_open(struct guest *guest, struct gw_error *err)
{
	guest->closing = guest->leaving = false;
	/* From the loop: other ports may not be started yet. */
	if (guest->paused)
		gw_timer_start(guest->loop, &guest->retry, 0, go_on);
	return arrival_open(guest, err);
}

void connection_close(struct guest *guest)
{
	guest->closing = true;
	arrival_close(guest);
	guest->leaving = false;
	if (!guest->session)
		gw_eventfd_signal(guest->stopped_fd);
	else if (!guest->session_ending)
		connection_end(guest);
}
