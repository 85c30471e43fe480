/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user socket of a guest port: listening (mode=server) or connecting
 * (mode=client), one front-end at a time, again and again.
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
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_MS   500u
/* For a front-end that made a worker wait: it could do so again at once. */
#define PENALTY_MS 10000u
/* Front-ends that may wait in the backlog. */
#define BACKLOG    4
/* Front-ends of one port that are let in within so long: beyond, they wait in the backlog. */
#define COMING_MAX 100u
#define COMING_MS  1000u
#define NS_PER_MS  1000000u
/* Reads of one callback: other guests' sockets have their turn. */
#define READS_MAX  64u

static void connection_end(struct guest *guest);
static void next_connection(struct guest *guest);
static void pause_session(struct guest *guest);

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
	gw_fd_close(&guest->backend_fd);
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
		char bytes[CMSG_SPACE(VHOST_USER_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	size_t want = session_want(guest->session);
	struct iovec iov = { bytes, want < sizeof(bytes) ? want : sizeof(bytes) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	int fds[VHOST_USER_MAX_FDS];
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

/* Once more whenever the session has become less busy, until it is gone. */
static void connection_end(struct guest *guest)
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
	gw_fd_close(&guest->fd);
	gw_fd_close(&guest->backend_fd);
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

/*
 * For how long nobody is let in, ms: a front-end that comes again and again would keep
 * the control thread from others.
 */
static uint64_t coming_wait_ms(struct guest *guest)
{
	uint64_t now_ms = gw_now_ns() / NS_PER_MS, since_ms = now_ms - guest->coming_since_ms;

	if (since_ms >= COMING_MS) {
		guest->coming_since_ms = now_ms;
		guest->coming = 0;
	}
	return guest->coming < COMING_MAX ? 0 : COMING_MS - since_ms;
}

static void begin_or_close(struct guest *guest, int fd)
{
	int ret = begin_session(guest, fd);

	if (!ret)
		return;
	gw_port_log(guest->port, LOG_ERR, "cannot serve a front-end: %s", strerror(-ret));
	close(fd);
}

/* ---- mode=server ---- */

/* The peer has hung up, although nobody has read that far yet. */
static bool peer_gone(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLRDHUP };

	return poll(&poll_fd, 1, 0) > 0 && poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

static void set_accepting(struct guest *guest, bool accepting)
{
	gw_watch_change(guest->loop, &guest->listen_watch, accepting ? EPOLLIN : 0);
}

static void accept_again(struct gw_timer *timer)
{
	struct guest *guest = gw_container_of(timer, struct guest, retry);

	set_accepting(guest, true);
}

static void listen_event(struct gw_watch *watch, uint32_t events)
{
	struct guest *guest = gw_container_of(watch, struct guest, listen_watch);
	uint64_t wait_ms;
	int fd;

	if (guest->session && (guest->session_ending || peer_gone(guest->fd))) {
		/* It waits in the backlog until the one before it is over. */
		set_accepting(guest, false);
		if (!guest->session_ending)
			connection_end(guest);
		return;
	}
	fd = accept4(guest->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		/* EMFILE and the like: the backlog is still there, so look again later. */
		gw_port_log(guest->port, LOG_ERR, "cannot accept a front-end: %s", strerror(errno));
		set_accepting(guest, false);
		gw_timer_start(guest->loop, &guest->retry, RETRY_MS, accept_again);
		return;
	}
	guest->coming++;
	wait_ms = coming_wait_ms(guest);
	if (wait_ms) {
		set_accepting(guest, false);
		gw_timer_start(guest->loop, &guest->retry, wait_ms, accept_again);
	}
	if (guest->session) {
		gw_port_log(guest->port, LOG_WARNING,
			    "a second front-end was turned away: %s is in use",
			    gw_port_target(guest->port));
		close(fd);
		return;
	}
	begin_or_close(guest, fd);
}

static int make_address(struct guest *guest, struct sockaddr_un *address, struct gw_error *err)
{
	const char *path = gw_port_target(guest->port);

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address->sun_path))
		return gw_error_set(err, -ENAMETOOLONG,
				    "port %s: socket path %s is longer than %zu bytes; use a "
				    "shorter one",
				    gw_port_name(guest->port), path, sizeof(address->sun_path) - 1);
	memcpy(address->sun_path, path, strlen(path) + 1);
	return 0;
}

/* A socket file that nobody listens on is left over from somebody who was killed. */
static void remove_stale(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) &&
	    errno == ECONNREFUSED && !lstat(address->sun_path, &st) && S_ISSOCK(st.st_mode))
		unlink(address->sun_path);
	gw_fd_close(&fd);
}

static int serve_listener(struct guest *guest, struct gw_error *err)
{
	int ret = gw_watch_start(guest->loop, &guest->listen_watch, guest->listen_fd, EPOLLIN,
				 listen_event);

	return ret ? gw_error_sys(err, ret, "port %s: listening", gw_port_name(guest->port)) : 0;
}

/* What an error of bind(2) is likely to be about. */
static const char *hint_for(int code)
{
	switch (code) {
	case EADDRINUSE:
		return " (another program listens there, or it is no socket)";
	case ENOENT:
		return " (its folder has to be there: make it first)";
	case EACCES:
		return " (the daemon's user has to be able to write to its folder)";
	default:
		return "";
	}
}

static int start_listening(struct guest *guest, struct gw_error *err)
{
	struct sockaddr_un address;
	int ret = make_address(guest, &address, err);

	if (ret)
		return ret;
	guest->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (guest->listen_fd < 0)
		return gw_error_sys(err, -errno, "port %s: socket", gw_port_name(guest->port));
	remove_stale(&address);
	if (bind(guest->listen_fd, (const struct sockaddr *)&address, sizeof(address))) {
		ret = gw_error_sys(err, -errno, "port %s: cannot listen on %s%s",
				   gw_port_name(guest->port), address.sun_path, hint_for(errno));
		gw_fd_close(&guest->listen_fd);
		return ret;
	}
	guest->bound = true;
	if (listen(guest->listen_fd, BACKLOG))
		ret = -errno;
	if (!ret)
		ret = gw_watch_start(guest->loop, &guest->listen_watch, guest->listen_fd, EPOLLIN,
				     listen_event);
	if (ret) {
		connection_close(guest);
		return gw_error_sys(err, ret, "port %s: cannot listen on %s",
				    gw_port_name(guest->port), address.sun_path);
	}
	gw_port_set_status(guest->port, "listening on %s", address.sun_path);
	return 0;
}

/* ---- mode=client ---- */

static void connect_again(struct gw_timer *timer);
static void go_on(struct gw_timer *timer);

static int try_connect(struct guest *guest, const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address))) {
		ret = -errno;
		close(fd);
		return ret;
	}
	begin_or_close(guest, fd);
	return 0;
}

static void start_connecting(struct guest *guest)
{
	struct sockaddr_un address;
	int ret;

	/* Its length was checked when the port was opened. */
	if (make_address(guest, &address, NULL))
		return;
	ret = try_connect(guest, &address);
	if (!ret && guest->session)
		return;
	if (ret && ret != guest->last_error.code)
		gw_port_log(guest->port, LOG_INFO, "waiting for a front-end on %s: %s",
			    address.sun_path, strerror(-ret));
	guest->last_error.code = ret;
	gw_port_set_status(guest->port, "connecting to %s", address.sun_path);
	gw_timer_start(guest->loop, &guest->retry, RETRY_MS, connect_again);
}

static void connect_again(struct gw_timer *timer)
{
	start_connecting(gw_container_of(timer, struct guest, retry));
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
	gw_timer_stop(guest->loop, &guest->retry);
	gw_watch_stop(guest->loop, &guest->listen_watch);
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

/* ---- both ---- */

static void next_connection(struct guest *guest)
{
	uint64_t delay_ms = guest->client ? RETRY_MS : coming_wait_ms(guest);

	if (guest->closing) {
		gw_eventfd_signal(guest->stopped_fd);
		return;
	}
	if (guest->leaving) {
		paused(guest);
		return;
	}
	if (gw_atomic_exchange(&guest->blocked, 0u))
		delay_ms = PENALTY_MS;
	if (!guest->client)
		set_accepting(guest, false);
	gw_port_set_status(guest->port, "%s %s", guest->client ? "connecting to" : "listening on",
			   gw_port_target(guest->port));
	gw_timer_start(guest->loop, &guest->retry, delay_ms,
		       guest->client ? connect_again : accept_again);
}

int connection_open(struct guest *guest, struct gw_error *err)
{
	struct sockaddr_un address;
	int ret;

	guest->closing = guest->leaving = false;
	if (guest->paused) {
		/* From the loop, as below. */
		gw_timer_start(guest->loop, &guest->retry, 0, go_on);
		return guest->client ? 0 : serve_listener(guest, err);
	}
	if (!guest->client)
		return start_listening(guest, err);
	ret = make_address(guest, &address, err);
	if (ret)
		return ret;
	/* From the loop, not from here: other ports may not be started yet. */
	gw_port_set_status(guest->port, "connecting to %s", address.sun_path);
	gw_timer_start(guest->loop, &guest->retry, 0, connect_again);
	return 0;
}

void connection_close(struct guest *guest)
{
	guest->closing = true;
	gw_timer_stop(guest->loop, &guest->retry);
	gw_watch_stop(guest->loop, &guest->listen_watch);
	/* Left to another process, it is that one's now. */
	if (guest->bound && !guest->paused)
		unlink(gw_port_target(guest->port));
	guest->bound = guest->leaving = false;
	gw_fd_close(&guest->listen_fd);
	if (!guest->session)
		gw_eventfd_signal(guest->stopped_fd);
	else if (!guest->session_ending)
		connection_end(guest);
}
