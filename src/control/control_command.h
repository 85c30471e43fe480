/* SPDX-License-Identifier: BSD-2-Clause */
/* One request line in, one reply out: the commands of the control protocol. No sockets here. */
#pragma once

#include <guestwire/guestwire.h>
#include <guestwire/trace.h>
#include <jansson.h>
#include <stdbool.h>

/* A request line with its newline; longer ones are refused. */
#define CONTROL_REQUEST_BYTES 4096u

struct control_actions {
	/* Asks for an orderly stop; returns at once. Loop thread; may come more than once. */
	void (*stop)(void *arg);
	void *arg;
	/*
	 * Hands everything over to the process at the other end of fd, which is the program's
	 * from here on: it begins with the reply line {"ok":true} or an error. NULL: cannot.
	 * Loop thread; returns at once.
	 */
	void (*hand_over)(void *arg, int fd);
	/* Members of the program's own for "show", a new reference; NULL: none. Loop thread. */
	json_t *(*about)(void *arg);
};

/* What a request sets off besides its reply. */
struct control_outcome {
	/* No reply: the connection goes to actions->hand_over. */
	bool hand_over;
	/* The reply is sent only when the daemon has stopped: control_reply_stopped instead. */
	bool wait;
	/* Events follow the reply; the caller's to stop. NULL: none */
	struct gw_trace *trace;
	uint64_t trace_count; /* after so many it ends; 0: no end */
};

/*
 * Runs the request and returns the reply ({"ok":true,...} or {"ok":false,
 * "code":...,"error":...}); NULL without memory. outcome is filled in any case.
 * context NULL: there is nothing to show any more.
 */
json_t *control_command(struct gw_context *context, const struct control_actions *actions,
			const char *line, size_t len, struct control_outcome *outcome);

json_t *control_reply_error(const char *code, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
json_t *control_reply_stopped(unsigned int quarantined);
