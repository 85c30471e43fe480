/* SPDX-License-Identifier: BSD-2-Clause */
/* The other end of the control socket: one request, one reply. */
#pragma once

#include <guestwire/error.h>
#include <jansson.h>
#include <stdbool.h>

/*
 * Sends the request and waits for its reply, at most timeout_ms in all. 0, and
 * *reply is {"ok":true,...}; or a negative errno with a text for people, also if
 * the daemon answered with an error (-EREMOTEIO). The request is not consumed.
 */
int control_client_call(const char *path, const json_t *request, unsigned int timeout_ms,
			json_t **reply, struct gw_error *err);

/*
 * The same for a request whose reply is followed by events: fn is called with the reply
 * and each of them (NULL: what came is no JSON) until it returns false (then 0) or the
 * connection ends (-EPIPE). timeout_ms is for the reply only; events may take any time.
 */
int control_client_stream(const char *path, const json_t *request, unsigned int timeout_ms,
			  bool (*fn)(void *arg, const json_t *event), void *arg,
			  struct gw_error *err);

/*
 * Asks the daemon to hand everything over. 0: it said yes, and *fd is the connection, on
 * which it comes (guestwire/handover.h), *listener_fd its listening socket, for
 * control_server_open (-1: a daemon of an earlier version gives none). The caller's to close.
 */
int control_client_takeover(const char *path, unsigned int timeout_ms, int *fd, int *listener_fd,
			    struct gw_error *err);
