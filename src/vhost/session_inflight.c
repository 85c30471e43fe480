/* SPDX-License-Identifier: BSD-2-Clause */
/* The record of heads in flight that a front-end keeps: not yet spoken. */
#include "session_state.h"

#include <errno.h>

int session_get_inflight_fd(struct session *session, struct message *message, struct gw_error *err)
{
	return gw_error_set(err, -EOPNOTSUPP, "vhost-user GET_INFLIGHT_FD: not offered");
}

int session_set_inflight_fd(struct session *session, struct message *message, struct gw_error *err)
{
	return gw_error_set(err, -EOPNOTSUPP, "vhost-user SET_INFLIGHT_FD: not offered");
}

int session_inflight_map(struct session *session, int fd, const struct message_inflight *area,
			 struct gw_error *err)
{
	return gw_error_set(err, -EOPNOTSUPP, "vhost-user SET_INFLIGHT_FD: not offered");
}

int session_inflight_record(const struct session *session, unsigned int index, void **record,
			    struct gw_error *err)
{
	*record = NULL;
	return 0;
}

void session_inflight_drop(struct session *session)
{
	memmap_put(session->inflight);
	session->inflight = NULL;
	session->inflight_queues = session->inflight_size = 0;
	for (unsigned int i = 0; i < session->rings; i++)
		session->ring[i].set.config.record = NULL;
}
