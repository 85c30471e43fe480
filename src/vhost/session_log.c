/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dirty log of a live migration (vhost-user, "Migration").
 *
 * The front-end shares a bitmap (SET_LOG_BASE) and says from when to when it wants to
 * know (VHOST_F_LOG_ALL among the features). QEMU sends the base first, then the
 * features, both while rings run; at the end it takes the feature away, and it sends
 * another base when memory grew. The log is in force while both are there, for all
 * that we write; the flag of SET_VRING_ADDR, which asks for used rings to be logged,
 * therefore changes nothing.
 */
#include "session_state.h"

#include "fd.h"
#include "net_header.h"
#include <errno.h>

struct dirty_log *session_log(const struct session *session)
{
	bool wanted = session->has_features && virtio_has(session->features, VHOST_F_LOG_ALL_BIT);

	return wanted ? session->log : NULL;
}

void session_log_apply(struct session *session)
{
	struct dirty_log *now = session_log(session);

	if (now == session->log_told)
		return;
	session->log_told = now;
	session->config.ops->log(session->config.arg, now);
}

void session_log_drop(struct session *session)
{
	struct dirty_log *log = session->log;

	session->log = NULL;
	session_log_apply(session);
	dirty_log_put(log);
	gw_fd_close(&session->log_fd);
}

/* Answered with a number, asked or not: some front-ends wait for it, some read it. */
int session_set_log_base(struct session *session, struct message *message, struct gw_error *err)
{
	const struct message_log *area = &message->payload.log;
	struct dirty_log *before = session->log, *log;
	int ret;

	if (message->size != sizeof(*area) || !message->fd_count)
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_LOG_BASE: no descriptor and area beside it, as "
				    "LOG_SHMFD has it");
	ret = dirty_log_create(message->fds[0], area->size, area->offset, &log, err);
	if (ret)
		return ret;
	session->log = log;
	session_log_apply(session);
	dirty_log_put(before);
	gw_fd_close(&session->log_fd);
	session->log_fd = message_take_fd(message, 0);
	session->log_size = area->size;
	session->log_offset = area->offset;
	return session_reply_u64(session, message->request, 0);
}

/* An eventfd for back-ends that would tell of each write. Nobody listens; it is closed. */
int session_set_log_fd(struct session *session, struct message *message, struct gw_error *err)
{
	return 0;
}
