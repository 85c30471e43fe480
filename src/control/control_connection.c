/* SPDX-License-Identifier: BSD-2-Clause */
#include "control_connection.h"
#include "fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* How often traces are looked at, and how much of one in a visit. */
#define TRACE_MS      10u
#define TRACE_BATCHES 2u

static void on_client(struct gw_watch *watch, uint32_t events);

void client_open(struct control_server *server, int fd)
{
	struct client *client = calloc(1, sizeof(*client));

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

void client_close(struct client *client)
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

/* The client did something: others are longer silent now. */
static void client_touch(struct client *client)
{
	gw_list_del(&client->node);
	gw_list_add_tail(&client->server->clients, &client->node);
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

bool client_reply(struct client *client, json_t *reply)
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

void client_end_trace(struct client *client)
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

/* The connection goes on in other hands. */
static void client_hand_over(struct client *client)
{
	struct control_server *server = client->server;
	int fd = client->fd;

	gw_watch_stop(server->loop, &client->watch);
	client->fd = -1;
	client_close(client);
	server->actions.hand_over(server->actions.arg, fd);
}

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
	if (outcome.hand_over) {
		json_decref(reply);
		client_hand_over(client);
		return false;
	}
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
