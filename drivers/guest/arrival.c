/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How front-ends come: the port listens (mode=server) or connects (mode=client), one
 * front-end at a time, again and again.
 *
 * One that comes while another is served is turned away; one that comes while that one's
 * rings still drain waits in the backlog. So do those that come too often, and the next
 * one after a front-end that made a worker wait.
 */
#include "guest.h"

#include "fd.h"
#include "log.h"
#include "services.h"
#include <errno.h>
#include <poll.h>
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
	if (port_disposing(guest->port) > GUEST_DISPOSING_BEGIN) {
		set_accepting(guest, false);
		gw_timer_start(guest->loop, &guest->retry, RETRY_MS, accept_again);
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
		connection_dispose(guest, &fd);
		return;
	}
	connection_begin(guest, fd);
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
	connection_begin(guest, fd);
	return 0;
}

static void start_connecting(struct guest *guest)
{
	struct sockaddr_un address;
	int ret;

	/* Its length was checked when the port was opened. */
	if (make_address(guest, &address, NULL))
		return;
	ret = port_disposing(guest->port) > GUEST_DISPOSING_BEGIN ? -EBUSY
								  : try_connect(guest, &address);
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

/* ---- both ---- */

void arrival_next(struct guest *guest)
{
	uint64_t delay_ms = guest->client ? RETRY_MS : coming_wait_ms(guest);

	if (gw_atomic_exchange(&guest->blocked, 0u))
		delay_ms = PENALTY_MS;
	if (!guest->client)
		set_accepting(guest, false);
	gw_port_set_status(guest->port, "%s %s", guest->client ? "connecting to" : "listening on",
			   gw_port_target(guest->port));
	gw_timer_start(guest->loop, &guest->retry, delay_ms,
		       guest->client ? connect_again : accept_again);
}

int arrival_open(struct guest *guest, struct gw_error *err)
{
	struct sockaddr_un address;
	int ret;

	if (guest->paused)
		return guest->client ? 0 : serve_listener(guest, err);
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

void arrival_pause(struct guest *guest)
{
	gw_timer_stop(guest->loop, &guest->retry);
	gw_watch_stop(guest->loop, &guest->listen_watch);
}

void arrival_close(struct guest *guest)
{
	arrival_pause(guest);
	/* Left to another process, it is that one's now. */
	if (guest->bound && !guest->paused)
		unlink(gw_port_target(guest->port));
	guest->bound = false;
	connection_dispose(guest, &guest->listen_fd);
}
