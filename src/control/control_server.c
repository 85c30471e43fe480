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
 * sent. One request is answered in a visit:
 * a client that sends many at once takes turns with the others.
 *
 * Threads: everything here runs on the loop's thread.
 */
#include "control_server.h"
#include "control_listen.h"
#include "control_trace.h"
#include "fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* When no descriptor is left, the next try to accept comes after this. */
#define ACCEPT_PAUSE_MS 200u

/* How often traces are looked at, and how much of one in a visit. */
#define TRACE_MS      10u
#define TRACE_BATCHES 2u

enum client_state {
	CLIENT_READING,
	CLIENT_SENDING,
	CLIENT_WAITING, /* for the stop to be over */
	CLIENT_TRACING, /* events go out as they come */
};

struct client {
	struct control_server *server;
	struct gw_list node; /* in server->clients; the longest silent one is first */
	struct gw_watch watch;
	int fd;
	enum client_state state;
	bool last; /* close when the reply is sent */
	bool eof;  /* no more requests come */
	size_t in_bytes;
	char in[CONTROL_REQUEST_BYTES];
	char *out; /* the reply being sent; NULL: none */
	size_t out_bytes, out_sent;
	struct control_trace *trace; /* NULL: none */
};

struct control_server {
	struct gw_loop *loop;
	struct gw_context *context;
	struct control_actions actions;
	struct control_listener listener;
	struct gw_watch watch;
	struct gw_timer pause;
	struct gw_timer trace_timer; /* runs while a client traces */
	struct gw_list clients;
	unsigned int client_count;
	bool stopped;
	unsigned int quarantined;
};

static void on_listener(struct gw_watch *watch, uint32_t events);
static void on_client(struct gw_watch *watch, uint32_t events);

int control_server_open(struct control_server **result, struct gw_loop *loop,
			struct gw_context *context, const char *path,
			const struct control_actions *actions, struct gw_error *err)
{
	struct control_server *server = calloc(1, sizeof(*server));
	int rc;

	if (!server)
		return gw_error_sys(err, -ENOMEM, "control socket %s", path);
	server->loop = loop;
	server->context = context;
	server->actions = *actions;
	server->watch.fd = -1;
	gw_list_init(&server->clients);
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
	int rc;
};

static void serve(void *arg)
{
	struct serve_call *call = arg;
	struct control_server *server = call->server;

	call->rc = gw_watch_start(server->loop, &server->watch, server->listener.fd, EPOLLIN,
				  on_listener);
}

int control_server_serve(struct control_server *server, struct gw_error *err)
{
	struct serve_call call = { .server = server };

	gw_loop_call(server->loop, serve, &call);
	return call.rc < 0 ? gw_error_sys(err, call.rc, "control socket %s: watch it",
					  server->listener.path)
			   : 0;
}

static void client_close(struct client *client)
{
	struct control_server *server = client->server;

	gw_watch_stop(server->loop, &client->watch);
	gw_fd_close(&client->fd);
	gw_list_del(&client->node);
	server->client_count--;
	control_trace_close(client->trace);
	free(client->out);
	free(client);
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

/* The client did something: others are longer silent now. */
static void client_touch(struct client *client)
{
	gw_list_del(&client->node);
	gw_list_add_tail(&client->server->clients, &client->node);
}

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
	struct client *client;
	int fd;

	fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		accept_failed(server, errno);
		return;
	}
	if (server->client_count >= CONTROL_CLIENTS_MAX)
		close_silent(server);
	client = calloc(1, sizeof(*client));
	if (!client) {
		gw_fd_close(&fd);
		return;
	}
	client->server = server;
	client->fd = fd;
	client->watch.fd = -1;
	gw_list_add_tail(&server->clients, &client->node);
	server->client_count++;
	if (gw_watch_start(server->loop, &client->watch, fd, EPOLLIN, on_client) < 0)
		client_close(client);
}

/* ---- replies ---- */

/* False: the client is closed. */
static bool client_send(struct client *client)
{
	while (client->out_sent < client->out_bytes) {
		ssize_t sent =
			send(client->fd, client->out + client->out_sent,
			     client->out_bytes - client->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (sent < 0) {
			client_close(client);
			return false;
		}
		client->out_sent += (size_t)sent;
		client_touch(client);
	}
	free(client->out);
	client->out = NULL;
	client->state = client->trace ? CLIENT_TRACING : CLIENT_READING;
	if (client->last) {
		client_close(client);
		return false;
	}
	return true;
}

/* Takes the text over. False: the client is closed. */
static bool client_say(struct client *client, char *text, size_t len)
{
	client->out = text;
	client->out_bytes = len;
	client->out_sent = 0;
	client->state = CLIENT_SENDING;
	return client_send(client);
}

/* Takes the reply over. False: the client is closed. */
static bool client_reply(struct client *client, json_t *reply)
{
	char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;

	json_decref(reply);
	if (!text) {
		client_close(client);
		return false;
	}
	text[len] = '\n'; /* in place of the ending 0: lengths are kept */
	return client_say(client, text, len + 1);
}

static bool client_has_line(const struct client *client)
{
	return memchr(client->in, '\n', client->in_bytes);
}

/*
 * What to be woken for. A whole line that is left in the buffer is answered in
 * the next visit; "writable" is true at once, and so brings that about.
 */
static uint32_t client_wants(const struct client *client)
{
	switch (client->state) {
	case CLIENT_READING:
		return client_has_line(client) ? EPOLLOUT : EPOLLIN;
	case CLIENT_SENDING:
		return EPOLLOUT;
	case CLIENT_WAITING:
	case CLIENT_TRACING:
		return 0;
	}
	return 0;
}

/* What to be woken for is brought up to date. False: the client is closed. */
static bool client_settle(struct client *client)
{
	uint32_t wants = client_wants(client);

	if (wants == client->watch.events ||
	    gw_watch_change(client->server->loop, &client->watch, wants) == 0)
		return true;
	client_close(client);
	return false;
}

/* ---- traces ---- */

/* Sends what has happened. False: the client is closed. */
static bool client_trace(struct client *client)
{
	for (unsigned int i = 0; i < TRACE_BATCHES && client->state == CLIENT_TRACING; i++) {
		size_t len;
		char *text = control_trace_lines(client->trace, &len, &client->last);

		if (text && !client_say(client, text, len))
			return false;
	}
	return true;
}

static void on_trace_timer(struct gw_timer *timer)
{
	struct control_server *server = gw_container_of(timer, struct control_server, trace_timer);
	struct client *tracing[CONTROL_CLIENTS_MAX];
	unsigned int count = 0, left = 0;
	struct gw_list *pos;

	/* The list changes its order with each line that goes out. */
	gw_list_for_each(pos, &server->clients) {
		struct client *client = gw_container_of(pos, struct client, node);

		if (client->trace && count < CONTROL_CLIENTS_MAX)
			tracing[count++] = client;
	}
	for (unsigned int i = 0; i < count; i++)
		left += client_trace(tracing[i]) && client_settle(tracing[i]);
	if (left)
		gw_timer_start(server->loop, timer, TRACE_MS, on_trace_timer);
}

/* The reply has been made already; events follow it. */
static bool client_begin_trace(struct client *client, const struct control_outcome *outcome)
{
	client->trace = control_trace_open(outcome->trace, outcome->trace_count);
	if (client->trace)
		gw_timer_start(client->server->loop, &client->server->trace_timer, TRACE_MS,
			       on_trace_timer);
	return client->trace;
}

/* The daemon stops: the last lines, as far as they go out at once. */
static void client_end_trace(struct client *client)
{
	size_t len;
	char *text;

	client->last = client->state == CLIENT_SENDING;
	if (!client->last && !client_trace(client))
		return;
	control_trace_close(client->trace);
	client->trace = NULL;
	client->last = true;
	text = client->state == CLIENT_TRACING ? control_trace_end("stopped", &len) : NULL;
	if (text && !client_say(client, text, len))
		return;
	if (client->state == CLIENT_TRACING)
		client_close(client);
	else
		client_settle(client);
}

/* ---- requests ---- */

/* Answers the first whole line of the buffer. False: the client is closed. */
static bool client_answer(struct client *client, size_t line_bytes)
{
	struct control_server *server = client->server;
	struct control_outcome outcome;
	json_t *reply = control_command(server->context, &server->actions, client->in, line_bytes,
					&outcome);

	line_bytes++; /* the newline */
	client->in_bytes -= line_bytes;
	memmove(client->in, client->in + line_bytes, client->in_bytes);
	if (outcome.trace && !client_begin_trace(client, &outcome)) {
		json_decref(reply);
		reply = control_reply_error("failed", "trace: out of memory");
	}
	if (!outcome.wait)
		return client_reply(client, reply);
	json_decref(reply);
	client->last = true;
	client->state = CLIENT_WAITING;
	if (server->stopped)
		return client_reply(client, control_reply_stopped(server->quarantined));
	return true;
}

/* False: the client is closed. */
static bool client_read(struct client *client)
{
	ssize_t got = recv(client->fd, client->in + client->in_bytes,
			   sizeof(client->in) - client->in_bytes, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (got < 0) {
		client_close(client);
		return false;
	}
	if (got == 0)
		client->eof = true;
	client->in_bytes += (size_t)got;
	client_touch(client);
	return true;
}

/* No whole line is there, and none can come. False: the client is closed. */
static bool client_hopeless(struct client *client)
{
	client->last = true;
	if (client->in_bytes == sizeof(client->in))
		return client_reply(client,
				    control_reply_error("too_long", "request: longer than %u bytes",
							CONTROL_REQUEST_BYTES));
	if (client->in_bytes > 0)
		return client_reply(
			client,
			control_reply_error("bad_request", "request: ended without a newline"));
	client_close(client);
	return false;
}

static bool client_visit(struct client *client, uint32_t events)
{
	const char *end;

	if (client->state == CLIENT_WAITING || client->state == CLIENT_TRACING) {
		if (!(events & (EPOLLERR | EPOLLHUP)))
			return true;
		client_close(client);
		return false;
	}
	if (client->state == CLIENT_SENDING)
		return client_send(client);
	if (!client_has_line(client) && !client_read(client))
		return false;
	end = memchr(client->in, '\n', client->in_bytes);
	if (end)
		return client_answer(client, (size_t)(end - client->in));
	if (client->eof || client->in_bytes == sizeof(client->in))
		return client_hopeless(client);
	return true;
}

static void on_client(struct gw_watch *watch, uint32_t events)
{
	struct client *client = gw_container_of(watch, struct client, watch);

	if (client_visit(client, events))
		client_settle(client);
}

/* ---- the end ---- */

static void detach(void *arg)
{
	struct control_server *server = arg;
	struct gw_list *pos, *next;

	gw_watch_stop(server->loop, &server->watch);
	gw_timer_stop(server->loop, &server->pause);
	gw_timer_stop(server->loop, &server->trace_timer);
	gw_list_for_each_safe(pos, next, &server->clients) {
		struct client *client = gw_container_of(pos, struct client, node);

		if (client->trace)
			client_end_trace(client);
	}
	control_listener_close(&server->listener);
	server->context = NULL;
}

void control_server_detach(struct control_server *server)
{
	gw_loop_call(server->loop, detach, server);
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
