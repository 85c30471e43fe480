/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Negotiation: features, protocol features, owner, and the two requests of
 * virtio-net that carry a number.
 *
 * What is acknowledged must have been offered. Both sets may come again, also
 * with other bits, as a guest's driver is replaced by another; but not while a
 * ring runs by them.
 */
#include "session_state.h"

#include "net_features.h"
#include "net_header.h"
#include <errno.h>

static int reply_u64(struct session *session, uint32_t request, uint64_t value)
{
	return session_reply(session, request, &value, sizeof(value));
}

int session_get_features(struct session *session, struct message *message, struct gw_error *err)
{
	return reply_u64(session, message->request, session->config.features);
}

int session_get_protocol_features(struct session *session, struct message *message,
				  struct gw_error *err)
{
	return reply_u64(session, message->request, session->config.protocol_features);
}

int session_get_queue_num(struct session *session, struct message *message, struct gw_error *err)
{
	return reply_u64(session, message->request, session->config.pairs_max);
}

int session_set_owner(struct session *session, struct message *message, struct gw_error *err)
{
	session->owned = true;
	return 0;
}

int session_set_features(struct session *session, struct message *message, struct gw_error *err)
{
	uint64_t features = message->payload.u64;
	struct gw_error why;

	if (features & ~session->config.features)
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_FEATURES: bits 0x%llx were not offered",
				    (unsigned long long)(features & ~session->config.features));
	if (net_features_check(features, &why))
		return gw_error_set(err, why.code, "vhost-user SET_FEATURES: %s", why.text);
	if (session->has_features && features == session->features)
		return 0;
	if (session_any_ring(session, SESSION_RING_RUNNING))
		return gw_error_set(err, -EBUSY,
				    "vhost-user SET_FEATURES: other features while a ring runs");
	session->features = features;
	session->has_features = true;
	/*
	 * "Ring states": without protocol features there is no SET_VRING_ENABLE, and
	 * rings are enabled from the start. With them they begin disabled, but QEMU
	 * has sent SET_VRING_ENABLE by now, so nothing is switched off here.
	 */
	if (!virtio_has(features, VHOST_USER_F_PROTOCOL_FEATURES))
		for (unsigned int i = 0; i < session->rings; i++)
			session->ring[i].set.enabled = true;
	session->config.ops->features(session->config.arg, features);
	return session_rings_try_start(session, err);
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

/* The guest announces itself after a migration by its own means (GUEST_ANNOUNCE) or not at all. */
int session_send_rarp(struct session *session, struct message *message, struct gw_error *err)
{
	return 0;
}

int session_net_set_mtu(struct session *session, struct message *message, struct gw_error *err)
{
	uint64_t mtu = message->payload.u64;

	if (mtu < SESSION_MTU_MIN || mtu > SESSION_MTU_MAX)
		return gw_error_set(err, -EINVAL, "vhost-user NET_SET_MTU: %llu, must be %u to %u",
				    (unsigned long long)mtu, SESSION_MTU_MIN, SESSION_MTU_MAX);
	session->mtu = (uint32_t)mtu;
	return 0;
}
