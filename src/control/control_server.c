/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: one JSON object a line, each way.
 *
 * Goal: whatever a client does, the daemon lives, and other clients are served.
 * So all I/O is non-blocking, and each thing that a client can grow has a limit:
 *
 *   a request        CONTROL_REQUEST_BYTES, then an error and the end
 *   replies waiting  one for each client: no request is read while one is unsent
 *   a trace          CONTROL_TRACE_BATCH events that are being sent; while they are,
 *                    no more are taken, and what the rings cannot hold is lost there
 *   connections      CONTROL_CLIENTS_MAX; the one that made no progress for longest
 *                    makes place for a new one, so idle or stuck clients cannot
 *                    lock an operator out
 *
 * Life of a client: READING until a line is whole; its reply is SENDING, and
 * then it is reading again, or closed if the reply said so. "stop" is WAITING until
 * the application says that all is stopped. "trace" is TRACING until its count is
 * reached, the client leaves, or the daemon stops: every TRACE_MS what has happened is
 * sent. One request is answered in a visit: a client that sends many at once takes
 * turns with the others (control_connection.c).
 *
 * Threads: everything here runs on the loop's thread.
 */
#include "control_connection.h"
#include "control_pass.h"
#include "fd.h"
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* When no descriptor is left, the next try to accept comes after this. */
#define ACCEPT_PAUSE_MS  200u
/* A daemon that was killed with many gigabytes pinned is gone after this. */
#define LISTENER_ENDS_MS 10000u

static void on_listener(struct gw_watch *watch, uint32_t events);

int control_server_open(struct control_server **result, struct gw_loop *loop,
			struct gw_context *context, const char *path, int listener_fd,
			const struct control_actions *actions, struct gw_error *err)
{
	struct control_server *server = calloc(1, sizeof(*server));
	int rc = 0;

	if (!server) {
		gw_fd_close(&listener_fd);
		return gw_error_sys(err, -ENOMEM, "control socket %s", path);
	}
	server->loop = loop;
	server->context = context;
	server->actions = *actions;
	server->watch.fd = -1;
	gw_list_init(&server->clients);
	if (listener_fd >= 0)
		control_listener_adopt(&server->listener, path, listener_fd);
	else
		rc = control_listener_open(&server->listener, path, err);
	if (rc == -EADDRINUSE && control_listener_ends(path, LISTENER_ENDS_MS))
		rc = control_listener_open(&server->listener, path, err);
	if (rc < 0) {
		control_server_close(server);
		return rc;
	}
	*result = server;
	return 0;
}

struct serve_call {
	struct control_server *server;
	struct gw_context *context; /* NULL: the one that there is */
	struct gw_error *err;
	int rc;
};

static void serve(void *arg)
{
	struct serve_call *call = arg;
	struct control_server *server = call->server;

	if (call->context)
		server->context = call->context;
	call->rc = server->listener.ino ? 0 : control_listener_own(&server->listener, call->err);
	if (call->rc < 0)
		return;
	call->rc = gw_watch_start(server->loop, &server->watch, server->listener.fd, EPOLLIN,
				  on_listener);
	if (call->rc < 0)
		gw_error_sys(call->err, call->rc, "control socket %s: watch it",
			     server->listener.path);
}

int control_server_serve(struct control_server *server, struct gw_error *err)
{
	return control_server_resume(server, NULL, err);
}

int control_server_resume(struct control_server *server, struct gw_context *context,
			  struct gw_error *err)
{
	struct serve_call call = { server, context, err, 0 };

	gw_loop_call(server->loop, serve, &call);
	return call.rc;
}

void control_server_close(struct control_server *server)
{
	struct gw_list *pos, *next;

	if (!server)
		return;
	gw_watch_stop(server->loop, &server->watch);
	gw_timer_stop(server->loop, &server->pause);
	gw_timer_stop(server->loop, &server->trace_timer);
	gw_list_for_each_safe(pos, next, &server->clients)
		client_close(gw_container_of(pos, struct client, node));
	control_listener_close(&server->listener);
	free(server);
}

/* ---- connections ---- */

/* Makes place for one more. The reply is best effort: the client may not read at all. */
static void close_silent(struct control_server *server)
{
	static const char text[] =
		"{\"ok\":false,\"code\":\"too_many\",\"error\":\"closed: too many connections, "
		"and this one was silent for longest\"}\n";
	struct client *client = gw_container_of(server->clients.next, struct client, node);
	ssize_t sent = 0;

	/* Not into the middle of a reply. */
	if (!client->out)
		sent = send(client->fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)sent;
	client_close(client);
}

static void on_pause_over(struct gw_timer *timer)
{
	struct control_server *server = gw_container_of(timer, struct control_server, pause);

	gw_watch_change(server->loop, &server->watch, EPOLLIN);
}

/* accept() failed: with no descriptor left it would fail at once again, for ever. */
static void accept_failed(struct control_server *server, int error)
{
	if (error != EMFILE && error != ENFILE && error != ENOMEM && error != ENOBUFS)
		return;
	if (!gw_list_empty(&server->clients)) {
		close_silent(server);
		return;
	}
	gw_watch_change(server->loop, &server->watch, 0);
	gw_timer_start(server->loop, &server->pause, ACCEPT_PAUSE_MS, on_pause_over);
}

static void on_listener(struct gw_watch *watch, uint32_t events)
{
	struct control_server *server = gw_container_of(watch, struct control_server, watch);
	int fd;

	fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		accept_failed(server, errno);
		return;
	}
	if (server->client_count >= CONTROL_CLIENTS_MAX)
		close_silent(server);
	client_open(server, fd);
}

/* ---- the end ---- */

/* Nobody is served any more; whoever comes waits. */
static void pause_serving(struct control_server *server)
{
	struct gw_list *pos, *next;

	gw_watch_stop(server->loop, &server->watch);
	gw_timer_stop(server->loop, &server->pause);
	gw_timer_stop(server->loop, &server->trace_timer);
	gw_list_for_each_safe(pos, next, &server->clients) {
		struct client *client = gw_container_of(pos, struct client, node);

		if (client->trace)
			client_end_trace(client);
	}
	server->context = NULL;
}

static void detach(void *arg)
{
	struct control_server *server = arg;

	pause_serving(server);
	control_listener_close(&server->listener);
}

void control_server_detach(struct control_server *server)
{
	gw_loop_call(server->loop, detach, server);
}

static void hand_over(void *arg)
{
	struct control_server *server = arg;

	pause_serving(server);
	control_listener_disown(&server->listener);
}

int control_server_hand_over(struct control_server *server, int fd, struct gw_error *err)
{
	int rc;

	gw_loop_call(server->loop, hand_over, server);
	rc = control_pass_send(fd, "{\"ok\":true}\n", server->listener.fd);
	return rc < 0 ? gw_error_sys(err, rc, "answering") : 0;
}

struct stopped_call {
	struct control_server *server;
	unsigned int quarantined;
};

static void answer_waiting(void *arg)
{
	struct stopped_call *call = arg;
	struct control_server *server = call->server;
	struct gw_list *pos, *next;

	server->stopped = true;
	server->quarantined = call->quarantined;
	gw_list_for_each_safe(pos, next, &server->clients) {
		struct client *client = gw_container_of(pos, struct client, node);

		/* Small enough to go out at once; whoever filled its socket does not get it. */
		if (client->state == CLIENT_WAITING)
			client_reply(client, control_reply_stopped(call->quarantined));
	}
}

void control_server_stopped(struct control_server *server, unsigned int quarantined)
{
	struct stopped_call call = { server, quarantined };

	gw_loop_call(server->loop, answer_waiting, &call);
}
