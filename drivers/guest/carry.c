/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hand-over to another process, and from one (guestwire/handover.h): the listening
 * socket, the connection, and the session with all its descriptors.
 *
 *   leave   nothing is read any more, rings drain, and stay as they are. All is kept, so
 *           that start goes on if the other process did not take it.
 *   take    in open: what was left becomes this port's; start goes on with it.
 *
 * The parcel: struct head, then the session's own words; descriptors in the order of
 * the head, then the session's.
 */
#include "guest.h"

#include "fd.h"
#include "log.h"
#include "net_features.h"
#include "services.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC   0x74736567u /* "gest" */
#define VERSION 1u

/*
 * A ring that the front-end has just stopped drains before the others begin to; each takes
 * less than twice the stop time. Records must not go while a ring writes in them.
 */
#define DRAINS 4u

enum { HAS_LISTENER = 1, HAS_SESSION = 2, HAS_CHANNEL = 4, HAS_ALL = 7 };

struct head {
	uint32_t magic, version;
	uint32_t has; /* HAS_..: each a descriptor, in this order */
	uint32_t padding;
	uint64_t acked;
};

void carry_drop(struct guest *guest)
{
	free(guest->parcel.bytes);
	free(guest->parcel.fds);
	guest->parcel = (struct gw_parcel){ 0 };
}

/* ---- leave ---- */

static void pause_call(void *arg)
{
	connection_pause(arg);
}

static void add_fd(struct gw_parcel *parcel, struct head *head, uint32_t has, int fd)
{
	if (fd < 0)
		return;
	head->has |= has;
	parcel->fds[parcel->fd_count++] = fd;
}

/* A session that cannot be carried stays behind, and ends with this process. */
static void pack_session(struct guest *guest, struct head *head, struct gw_parcel *parcel)
{
	struct gw_error err = { 0 };
	unsigned int count = 0;
	size_t len = 0;

	if (!guest->session || !guest->paused)
		return;
	add_fd(parcel, head, HAS_SESSION, guest->fd);
	add_fd(parcel, head, HAS_CHANNEL, guest->backend_fd);
	if (!session_export(guest->session, parcel->bytes + sizeof(*head), SESSION_CARRY_BYTES_MAX,
			    &len, parcel->fds + parcel->fd_count, SESSION_CARRY_FDS_MAX, &count,
			    &err)) {
		parcel->len += len;
		parcel->fd_count += count;
		return;
	}
	gw_port_log(guest->port, LOG_WARNING, "the connection cannot be handed over: %s", err.text);
	head->has &= HAS_LISTENER;
	parcel->fd_count = head->has ? 1 : 0;
}

static void pack_call(void *arg)
{
	struct guest *guest = arg;
	struct gw_parcel *parcel = &guest->parcel;
	struct head head = { .magic = MAGIC, .version = VERSION, .acked = guest->acked };

	parcel->bytes = malloc(sizeof(head) + SESSION_CARRY_BYTES_MAX);
	parcel->fds = calloc(SESSION_CARRY_FDS_MAX + 3, sizeof(int));
	if (!parcel->bytes || !parcel->fds) {
		gw_port_log(guest->port, LOG_ERR, "out of memory for a hand-over");
		carry_drop(guest);
		return;
	}
	parcel->len = sizeof(head);
	add_fd(parcel, &head, HAS_LISTENER, guest->listen_fd);
	pack_session(guest, &head, parcel);
	memcpy(parcel->bytes, &head, sizeof(head));
}

/* Start watches it again. */
static void rest_call(void *arg)
{
	struct guest *guest = arg;

	gw_watch_stop(guest->loop, &guest->event_watch);
}

int carry_leave(struct gw_port *port, unsigned int deadline_ms, struct gw_parcel *parcel)
{
	struct guest *guest = gw_port_priv(port);
	struct pollfd stopped = { .fd = guest->stopped_fd, .events = POLLIN };

	gw_eventfd_clear(guest->stopped_fd);
	gw_loop_call(guest->loop, pause_call, guest);
	while (poll(&stopped, 1, (int)(deadline_ms + DRAINS * port_stop_ms(port))) < 0 &&
	       errno == EINTR)
		;
	carry_drop(guest);
	gw_loop_call(guest->loop, pack_call, guest);
	gw_loop_call(guest->loop, rest_call, guest);
	/* The other process goes on in it. */
	record_close(guest);
	*parcel = guest->parcel;
	return 0;
}

/* ---- take ---- */

static int take_fd(struct gw_parcel *parcel, unsigned int *n, bool has)
{
	int fd = -1;

	if (has) {
		fd = parcel->fds[*n];
		parcel->fds[(*n)++] = -1;
	}
	return fd;
}

static int check(const struct guest *guest, const struct gw_parcel *parcel, const struct head *head,
		 struct gw_error *err)
{
	const char *name = gw_port_name(guest->port);

	if (head->magic != MAGIC || head->version != VERSION || head->has & ~HAS_ALL ||
	    (unsigned int)__builtin_popcount(head->has) > parcel->fd_count ||
	    (head->has & HAS_CHANNEL && !(head->has & HAS_SESSION)))
		return gw_error_set(err, -EPROTO, "port %s: what was left is of another version",
				    name);
	if (guest->client == (bool)(head->has & HAS_LISTENER))
		return gw_error_set(err, -EINVAL,
				    "port %s: mode= is not what it was; it cannot change in a "
				    "hand-over",
				    name);
	return 0;
}

static int take_session(struct guest *guest, struct gw_parcel *parcel, unsigned int n,
			struct gw_error *err)
{
	struct session_config config = connection_config(guest, guest_offered(guest));
	int ret = session_import(&config, parcel->bytes + sizeof(struct head),
				 parcel->len - sizeof(struct head), parcel->fds + n,
				 parcel->fd_count - n, &guest->session, err);

	/* They are the session's, or closed. */
	while (n < parcel->fd_count)
		parcel->fds[n++] = -1;
	return ret;
}

int carry_take(struct guest *guest, struct gw_parcel *parcel, struct gw_error *err)
{
	struct head head = { 0 };
	unsigned int n = 0;
	int ret;

	if (parcel->len >= sizeof(head))
		memcpy(&head, parcel->bytes, sizeof(head));
	ret = check(guest, parcel, &head, err);
	if (ret)
		return ret;
	guest->acked = head.acked & (NET_FEATURES_HOST | NET_FEATURES_GUEST);
	guest->listen_fd = take_fd(parcel, &n, head.has & HAS_LISTENER);
	guest->fd = take_fd(parcel, &n, head.has & HAS_SESSION);
	guest->backend_fd = take_fd(parcel, &n, head.has & HAS_CHANNEL);
	if (head.has & HAS_SESSION)
		ret = take_session(guest, parcel, n, err);
	guest->paused = !ret;
	guest->bound = !ret && guest->listen_fd >= 0;
	return ret;
}
