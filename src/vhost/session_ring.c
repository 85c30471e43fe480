/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings: when they start, how they stop, and what waits for that.
 *
 * The rule of vhost-user, "Ring states", as front-ends use it: a ring starts when
 * its kick descriptor arrives and all else is there, and stops with
 * GET_VRING_BASE. Here anything that was missing may come last, and every message
 * that could have brought it ends in session_ring_try_start().
 */
#include "session_state.h"

#include "fd.h"
#include "net_header.h"
#include <assert.h>

bool session_any_ring(const struct session *session, enum session_ring_phase phase)
{
	for (unsigned int i = 0; i < session->rings; i++)
		if (session->ring[i].phase == phase)
			return true;
	return false;
}

/* ---- start ---- */

int session_ring_try_start(struct session *session, unsigned int index, struct gw_error *err)
{
	struct session_ring_state *ring = &session->ring[index];
	int ret;

	if (ring->phase != SESSION_RING_STOPPED || !session->memmap || !session->has_features ||
	    !ring->set.config.size || !ring->has_addr || !ring->has_kick)
		return 0;
	ring->set.config.memmap = session->memmap;
	ring->set.config.features = session->features;
	ret = session->config.ops->ring_start(session->config.arg, index, &ring->set, err);
	if (!ret)
		ring->phase = SESSION_RING_RUNNING;
	return ret;
}

int session_rings_try_start(struct session *session, struct gw_error *err)
{
	struct gw_error later;
	int ret = 0;

	/* All of them, also after a failure: one bad ring is no reason to stop another. */
	for (unsigned int i = 0; i < session->rings; i++) {
		int one = session_ring_try_start(session, i, ret ? &later : err);

		if (!ret)
			ret = one;
	}
	return ret;
}

/* ---- stop ---- */

static void forget_kick(struct session_ring_state *ring)
{
	gw_fd_close(&ring->set.kick_fd);
	ring->has_kick = false;
}

void session_rings_drop_fds(struct session *session)
{
	for (unsigned int i = 0; i < session->rings; i++) {
		forget_kick(&session->ring[i]);
		gw_fd_close(&session->ring[i].set.call_fd);
		gw_fd_close(&session->ring[i].set.err_fd);
	}
}

static int end_get_base(struct session *session)
{
	struct session_ring_state *ring = &session->ring[session->op_index];
	struct message_vring_state state = { .index = session->op_index,
					     .num = ring->set.config.base };

	forget_kick(ring);
	return session_reply(session, session->op_request, &state, sizeof(state));
}

static int end_reset(struct session *session)
{
	bool enabled = session->has_features &&
		       !virtio_has(session->features, VHOST_USER_F_PROTOCOL_FEATURES);

	for (unsigned int i = 0; i < session->rings; i++) {
		forget_kick(&session->ring[i]);
		session->ring[i].set.enabled = enabled;
	}
	return session_acknowledge(session, session->op_request, session->op_ack, 0, NULL);
}

static int end_memory(struct session *session)
{
	struct gw_error err = { 0 };
	int ret = session_memory_swap(session, &err);

	return session_acknowledge(session, session->op_request, session->op_ack, ret, &err);
}

static int end_close(struct session *session)
{
	session_rings_drop_fds(session);
	session_memory_drop(session);
	return SESSION_ANSWERED;
}

/* The second half of an op: every ring that had to stop has stopped. */
static int op_end(struct session *session)
{
	enum session_op op = session->op;

	session->op = SESSION_OP_NONE;
	switch (op) {
	case SESSION_OP_GET_BASE:
		return end_get_base(session);
	case SESSION_OP_MEMORY:
		return end_memory(session);
	case SESSION_OP_RESET:
		return end_reset(session);
	case SESSION_OP_CLOSE:
		return end_close(session);
	case SESSION_OP_NONE:
		break;
	}
	return SESSION_ANSWERED;
}

void session_choose(struct session *session, unsigned int index)
{
	session->ring[index].chosen = true;
}

void session_choose_all(struct session *session)
{
	for (unsigned int i = 0; i < session->rings; i++)
		session_choose(session, i);
}

int session_op_begin(struct session *session, enum session_op op)
{
	session->op = op;
	session->beginning = true;
	/* All of them first: who is asked about a ring sees the others' state. */
	for (unsigned int i = 0; i < session->rings; i++) {
		struct session_ring_state *ring = &session->ring[i];

		ring->chosen = ring->chosen && ring->phase == SESSION_RING_RUNNING;
		if (ring->chosen)
			ring->phase = SESSION_RING_STOPPING;
	}
	for (unsigned int i = 0; i < session->rings; i++) {
		if (!session->ring[i].chosen)
			continue;
		session->ring[i].chosen = false;
		session->config.ops->ring_stop(session->config.arg, i, false);
	}
	session->beginning = false;
	return session_any_ring(session, SESSION_RING_STOPPING) ? SESSION_ANSWERED
								: op_end(session);
}

void session_ring_stopped(struct session *session, unsigned int index, uint32_t base)
{
	struct session_ring_state *ring = &session->ring[index];

	assert(ring->phase == SESSION_RING_STOPPING);
	ring->phase = SESSION_RING_STOPPED;
	ring->set.config.base = base;
	if (!session->beginning && !session_any_ring(session, SESSION_RING_STOPPING))
		op_end(session); /* a failure is kept: session_continue reports it */
}
