/* SPDX-License-Identifier: BSD-2-Clause */
#include "control_client.h"
#include "control_pass.h"
#include "control_path.h"
#include "fd.h"
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define NS_PER_MS         1000000u
/* No daemon says more than this; what does is no daemon. */
#define REPLY_BYTES_MAX   (64u << 20)
#define REPLY_BYTES_FIRST (16u << 10)

struct call {
	const char *path;
	int fd;
	uint64_t deadline_ns;
	unsigned int timeout_ms;
	char *text;
	size_t room, begin, end; /* what was received and not yet taken */
};

/* 0, or -ETIMEDOUT. */
static int wait_for(const struct call *call, short events, struct gw_error *err)
{
	for (;;) {
		uint64_t now_ns = gw_now_ns();
		struct pollfd pfd = { .fd = call->fd, .events = events };
		int left_ms = 0;

		if (call->deadline_ns == UINT64_MAX)
			left_ms = -1;
		else if (now_ns < call->deadline_ns)
			left_ms = (int)((call->deadline_ns - now_ns) / NS_PER_MS) + 1;
		if (poll(&pfd, 1, left_ms) > 0)
			return 0;
		if (now_ns >= call->deadline_ns)
			return gw_error_set(err, -ETIMEDOUT,
					    "the daemon at %s did not answer within %u ms",
					    call->path, call->timeout_ms);
	}
}

static int connect_failed(int code, const char *path, struct gw_error *err)
{
	switch (-code) {
	case ENOENT:
		return gw_error_set(err, code,
				    "cannot reach the daemon: there is no socket %s; is guestwired "
				    "running? (--control PATH names another socket)",
				    path);
	case ECONNREFUSED:
		return gw_error_set(err, code,
				    "cannot reach the daemon: nobody listens on %s; guestwired is "
				    "not running any more",
				    path);
	case EACCES:
	case EPERM:
		return gw_error_set(err, code,
				    "cannot reach the daemon: no permission for %s; only the user "
				    "who started guestwired (or root) may",
				    path);
	case EAGAIN:
		return gw_error_set(err, code,
				    "cannot reach the daemon: it does not accept connections on %s",
				    path);
	}
	return gw_error_sys(err, code, "cannot reach the daemon on %s", path);
}

static int call_connect(struct call *call, struct gw_error *err)
{
	struct sockaddr_un address;
	int rc = control_address(call->path, &address, err);

	if (rc < 0)
		return rc;
	call->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (call->fd < 0)
		return gw_error_sys(err, -errno, "make a socket");
	for (;;) {
		if (connect(call->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			return 0;
		/* A full backlog; poll() does not tell when that changes, so look again. */
		if (errno != EAGAIN || gw_now_ns() >= call->deadline_ns)
			return connect_failed(-errno, call->path, err);
		poll(NULL, 0, 10);
	}
}

static int call_send(struct call *call, const char *text, size_t len, struct gw_error *err)
{
	while (len > 0) {
		ssize_t sent = send(call->fd, text, len, MSG_NOSIGNAL);

		if (sent >= 0) {
			text += sent;
			len -= (size_t)sent;
			continue;
		}
		if (errno != EAGAIN)
			return gw_error_sys(err, -errno, "send to the daemon at %s", call->path);
		int rc = wait_for(call, POLLOUT, err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int call_grow(struct call *call, struct gw_error *err)
{
	size_t room = call->room ? call->room * 2 : REPLY_BYTES_FIRST;
	char *text;

	if (room > REPLY_BYTES_MAX) {
		gw_error_set(err, -EMSGSIZE, "the answer from %s is longer than %u MiB", call->path,
			     REPLY_BYTES_MAX >> 20);
		return -EMSGSIZE;
	}
	text = realloc(call->text, room);
	if (!text) {
		gw_error_sys(err, -ENOMEM, "read the answer from %s", call->path);
		return -ENOMEM;
	}
	call->text = text;
	call->room = room;
	return 0;
}

/* More of what the daemon says, behind what is there. */
static int call_receive(struct call *call, struct gw_error *err)
{
	ssize_t got;
	int rc = 0;

	if (call->begin && call->text) {
		memmove(call->text, call->text + call->begin, call->end - call->begin);
		call->end -= call->begin;
		call->begin = 0;
	}
	if (call->end == call->room)
		rc = call_grow(call, err);
	if (rc == 0)
		rc = wait_for(call, POLLIN, err);
	if (rc < 0)
		return rc;
	got = recv(call->fd, call->text + call->end, call->room - call->end, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got < 0)
		return gw_error_sys(err, -errno, "read the answer from %s", call->path);
	if (got == 0)
		return gw_error_set(err, -EPIPE,
				    "the daemon at %s closed the connection without an answer",
				    call->path);
	call->end += (size_t)got;
	return 0;
}

/* The next line, without its newline; good until the next call. */
static int call_line(struct call *call, const char **line, size_t *len, struct gw_error *err)
{
	size_t seen = 0;

	for (;;) {
		char *end = NULL;
		int rc;

		if (call->text)
			end = memchr(call->text + call->begin + seen, '\n',
				     call->end - call->begin - seen);
		if (end) {
			*line = call->text + call->begin;
			*len = (size_t)(end - *line);
			call->begin += *len + 1;
			return 0;
		}
		seen = call->end - call->begin;
		rc = call_receive(call, err);
		if (rc < 0)
			return rc;
	}
}

static int parse_reply(const struct call *call, const char *line, size_t len, json_t **result,
		       struct gw_error *err)
{
	json_error_t error;
	json_t *reply = json_loadb(line, len, 0, &error);
	json_t *ok = json_object_get(reply, "ok");
	const char *text = json_string_value(json_object_get(reply, "error"));
	int rc = 0;

	if (!json_is_boolean(ok))
		rc = gw_error_set(err, -EPROTO, "the answer from %s is not what a guestwired says",
				  call->path);
	else if (!json_is_true(ok))
		rc = gw_error_set(err, -EREMOTEIO, "%s", text ? text : "the daemon refused");
	if (rc < 0)
		json_decref(reply);
	else
		*result = reply;
	return rc;
}

static char *request_line(const json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT), *line = NULL;

	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	return line;
}

/* Sends the request and takes its reply. call_end comes after, in any case. */
static int call_begin(struct call *call, const json_t *request, json_t **reply,
		      struct gw_error *err)
{
	char *text = request_line(request);
	const char *line;
	size_t len;
	int rc;

	if (!text)
		return gw_error_sys(err, -ENOMEM, "make the request");
	call->deadline_ns = gw_now_ns() + (uint64_t)call->timeout_ms * NS_PER_MS;
	rc = call_connect(call, err);
	if (rc == 0)
		rc = call_send(call, text, strlen(text), err);
	if (rc == 0)
		rc = call_line(call, &line, &len, err);
	if (rc == 0)
		rc = parse_reply(call, line, len, reply, err);
	free(text);
	return rc;
}

static void call_end(struct call *call)
{
	gw_fd_close(&call->fd);
	free(call->text);
}

int control_client_call(const char *path, const json_t *request, unsigned int timeout_ms,
			json_t **reply, struct gw_error *err)
{
	struct call call = { .path = path, .fd = -1, .timeout_ms = timeout_ms };
	int rc = call_begin(&call, request, reply, err);

	call_end(&call);
	return rc;
}

static int call_events(struct call *call, bool (*fn)(void *arg, const json_t *event), void *arg,
		       struct gw_error *err)
{
	const char *line;
	size_t len;
	bool more;
	int rc;

	do {
		json_t *event;

		rc = call_line(call, &line, &len, err);
		if (rc < 0)
			return rc;
		event = json_loadb(line, len, 0, NULL);
		more = fn(arg, event);
		json_decref(event);
	} while (more);
	return 0;
}

int control_client_stream(const char *path, const json_t *request, unsigned int timeout_ms,
			  bool (*fn)(void *arg, const json_t *event), void *arg,
			  struct gw_error *err)
{
	struct call call = { .path = path, .fd = -1, .timeout_ms = timeout_ms };
	json_t *reply = NULL;
	int rc = call_begin(&call, request, &reply, err);

	call.deadline_ns = UINT64_MAX;
	if (rc == 0 && fn(arg, reply))
		rc = call_events(&call, fn, arg, err);
	json_decref(reply);
	call_end(&call);
	return rc;
}

#define TAKEOVER_REPLY_BYTES 1024

/* The reply line and not a byte more: descriptors lie behind it. */
static int read_line_only(const struct call *call, char *line, size_t room, int *listener_fd,
			  struct gw_error *err)
{
	size_t len = 0;

	while (len + 1 < room) {
		int rc = wait_for(call, POLLIN, err);

		if (rc < 0)
			return rc;
		if (control_pass_receive(call->fd, line + len, listener_fd) <= 0)
			return gw_error_set(err, -EPIPE, "the daemon at %s went away", call->path);
		if (line[len++] == '\n')
			break;
	}
	line[len] = 0;
	return (int)len;
}

int control_client_takeover(const char *path, unsigned int timeout_ms, int *fd, int *listener_fd,
			    struct gw_error *err)
{
	static const char request[] = "{\"command\":\"takeover\"}\n";
	struct call call = { .path = path, .fd = -1, .timeout_ms = timeout_ms };
	char line[TAKEOVER_REPLY_BYTES];
	json_t *reply = NULL;
	int rc;

	*listener_fd = -1;
	call.deadline_ns = gw_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	rc = call_connect(&call, err);
	if (rc == 0)
		rc = call_send(&call, request, sizeof(request) - 1, err);
	if (rc == 0)
		rc = read_line_only(&call, line, sizeof(line), listener_fd, err);
	if (rc > 0)
		rc = parse_reply(&call, line, (size_t)rc, &reply, err);
	json_decref(reply);
	if (rc == 0 && fcntl(call.fd, F_SETFL, 0) < 0)
		rc = gw_error_sys(err, -errno, "takeover");
	*fd = call.fd;
	if (rc < 0) {
		gw_fd_close(fd);
		gw_fd_close(listener_fd);
	}
	return rc;
}
