/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Negotiation: features, protocol features, owner, and the device's status.
 *
 * What is acknowledged must have been offered. Both sets may come again, also
 * with other bits, as a guest's driver is replaced by another; but not while a
 * ring runs by them; but for the dirty log, which may be switched at any time.
 */
#include "session_state.h"

#include "net_features.h"
#include "net_header.h"
#include <errno.h>
#include <linux/virtio_config.h>

int session_get_features(struct session *session, struct message *message, struct gw_error *err)
{
	return session_reply_u64(session, message->request, session->config.features);
}

int session_get_protocol_features(struct session *session, struct message *message,
				  struct gw_error *err)
{
	return session_reply_u64(session, message->request, session->config.protocol_features);
}

int session_get_queue_num(struct session *session, struct message *message, struct gw_error *err)
{
	return session_reply_u64(session, message->request, session->config.pairs_max);
}

int session_set_owner(struct session *session, struct message *message, struct gw_error *err)
{
	session->owned = true;
	return 0;
}

static int check_features(const struct session *session, uint64_t features, struct gw_error *err)
{
	struct gw_error why;

	if (features & ~session->config.features)
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_FEATURES: bits 0x%llx were not offered",
				    (unsigned long long)(features & ~session->config.features));
	if (net_features_check(features, &why))
		return gw_error_set(err, why.code, "vhost-user SET_FEATURES: %s", why.text);
	return 0;
}

static int change_features(struct session *session, uint64_t features, struct gw_error *err)
{
	int ret;

	if (session_any_ring(session, SESSION_RING_RUNNING))
		return gw_error_set(err, -EBUSY,
				    "vhost-user SET_FEATURES: other features while a ring runs");
	session->features = features;
	session->has_features = true;
	ret = session_iotlb_apply(session, err);
	if (ret)
		return ret;
	/*
	 * "Ring states": without protocol features there is no SET_VRING_ENABLE, and
	 * rings are enabled from the start. With them they begin disabled, but QEMU
	 * has sent SET_VRING_ENABLE by now, so nothing is switched off here.
	 */
	if (!virtio_has(features, VHOST_USER_F_PROTOCOL_FEATURES))
		for (unsigned int i = 0; i < session->rings; i++)
			session->ring[i].set.enabled = true;
	session->config.ops->features(session->config.arg, features);
	session_log_apply(session);
	return session_rings_try_start(session, err);
}

int session_set_features(struct session *session, struct message *message, struct gw_error *err)
{
	uint64_t features = message->payload.u64;
	uint64_t changed = features ^ session->features;
	int ret = check_features(session, features, err);

	session->features_refused = ret;
	if (ret || (session->has_features && !changed))
		return ret;
	if (!session->has_features || changed != 1ull << VHOST_F_LOG_ALL_BIT)
		return change_features(session, features, err);
	/* QEMU does this at a migration's begin and end, while rings run. */
	session->features = features;
	session_log_apply(session);
	return 0;
}

int session_set_protocol_features(struct session *session, struct message *message,
				  struct gw_error *err)
{
	uint64_t extra = message->payload.u64 & ~session->config.protocol_features;

	if (extra)
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_PROTOCOL_FEATURES: bits 0x%llx were not "
				    "offered",
				    (unsigned long long)extra);
	session->protocol_features = message->payload.u64;
	return 0;
}

/* ---- status ---- */

/*
 * VIRTIO 1.2 section 2.1. The one bit that is ours to grant is FEATURES_OK: a driver
 * that reads it back as 0 knows that its features were refused.
 */
int session_set_status(struct session *session, struct message *message, struct gw_error *err)
{
	uint64_t status = message->payload.u64;

	if (status & ~(uint64_t)UINT8_MAX)
		return gw_error_set(err, -EINVAL, "vhost-user SET_STATUS: 0x%llx is no status",
				    (unsigned long long)status);
	if (!status) {
		session_choose_all(session);
		return session_op_begin(session, SESSION_OP_STATUS);
	}
	if (!session->has_features || session->features_refused)
		status &= ~(uint64_t)VIRTIO_CONFIG_S_FEATURES_OK;
	session->status = (uint8_t)status;
	return 0;
}

int session_get_status(struct session *session, struct message *message, struct gw_error *err)
{
	return session_reply_u64(session, message->request, session->status);
}
