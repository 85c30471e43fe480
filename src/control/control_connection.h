/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection of the control socket, seen from inside: what it is doing, and the
 * server that it belongs to. Life of a client: see control_server.c.
 */
#pragma once

#include "control_listen.h"
#include "control_server.h"
#include "control_trace.h"

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

/* Takes the descriptor over; it is closed if there is no memory. */
void client_open(struct control_server *server, int fd);
void client_close(struct client *client);
/* Takes the reply over. False: the client is closed. */
bool client_reply(struct client *client, json_t *reply);
/* The daemon stops: the last lines of a trace, as far as they go out at once. */
void client_end_trace(struct client *client);
