/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket's server. It lives on a loop that the application runs on a
 * thread of its own choice, and asks the context for snapshots; it never waits
 * for a client.
 */
#pragma once

#include "control_command.h"
#include "loop.h"

/* Connections at a time; beyond it, the one that was silent for longest is closed. */
#define CONTROL_CLIENTS_MAX 32u

struct control_server;

/*
 * Takes the path and listens, or takes over listener_fd (-1: none), which another process
 * has listened on. Clients that connect wait until control_server_serve. actions is
 * copied. Threads: any.
 */
int control_server_open(struct control_server **server, struct gw_loop *loop,
			struct gw_context *context, const char *path, int listener_fd,
			const struct control_actions *actions, struct gw_error *err);
/* Begins to answer: the daemon is ready. Threads: any. 0 or -errno. */
int control_server_serve(struct control_server *server, struct gw_error *err);
/*
 * The end comes in this order. detach: the context is about to be closed, so nothing
 * asks it any more, and the socket's file is gone, so that a next daemon can have
 * the path. stopped: answers the clients whose "stop" made or joined the stop that
 * is over now. close: closes all connections; NULL is fine.
 * Threads: any for the first two; close while the loop does not run.
 */
void control_server_detach(struct control_server *server);
/*
 * To another process: answers its request on fd with the listening socket, and serves no
 * longer. Whoever comes waits until that process serves, or we resume. The file stays where
 * it is, whatever comes; detach removes it only after resume.
 */
int control_server_hand_over(struct control_server *server, int fd, struct gw_error *err);
int control_server_resume(struct control_server *server, struct gw_context *context,
			  struct gw_error *err);
void control_server_stopped(struct control_server *server, unsigned int quarantined);
void control_server_close(struct control_server *server);
