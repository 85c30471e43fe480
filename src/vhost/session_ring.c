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
#include <errno.h>
#include <linux/virtio_config.h>

bool session_any_ring(const struct session *session, enum session_ring_phase phase)
{
	for (unsigned int i = 0; i < session->rings; i++)
		if (session->ring[i].phase == phase)
			return true;
	return false;
}

bool session_in_use(const struct session *session)
{
	return session_any_ring(session, SESSION_RING_RUNNING) ||
	       session_any_ring(session, SESSION_RING_STOPPING);
}

/* ---- start ---- */

/* What is known only now that features are: the two layouts have rules of their own. */
static int check_layout(const struct session *session, unsigned int index, struct gw_error *err)
{
	const struct ring_config *config = &session->ring[index].set.config;

	if (virtio_has(session->features, VIRTIO_F_RING_PACKED))
		return 0;
	if (config->size & (config->size - 1))
		return gw_error_set(err, -EINVAL,
				    "vhost-user: split ring %u of %u entries, must be a power of "
				    "two",
				    index, config->size);
	if (config->base > UINT16_MAX)
		return gw_error_set(err, -EINVAL,
				    "vhost-user: split ring %u: base %u, must be at most %u", index,
				    config->base, UINT16_MAX);
	return 0;
}

int session_ring_try_start(struct session *session, unsigned int index, struct gw_error *err)
{
	struct session_ring_state *ring = &session->ring[index];
	int ret;

	if (ring->phase != SESSION_RING_STOPPED || !session->memmap || !session->has_features ||
	    !ring->set.config.size || !ring->has_addr || !ring->has_kick || session->paused)
		return 0;
	ring->set.config.memmap = session->memmap;
	ring->set.config.features = session->features;
	ring->set.config.log = session_log(session);
	ring->set.config.iotlb = session->iotlb;
	ret = check_layout(session, index, err);
	if (!ret)
		ret = session_inflight_record(session, index, &ring->set.config.record, err);
	if (ret || (session->iotlb && !session_iotlb_ready(session, ring)))
		return ret;
	ret = session->config.ops->ring_start(session->config.arg, index, &ring->set, err);
	if (!ret)
		ring->phase = SESSION_RING_RUNNING;
	ring->begun |= !ret;
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

static void tell_over(struct session *session, unsigned int index, bool reset)
{
	struct session_ring_state *ring = &session->ring[index];

	ring->begun = false;
	session->config.ops->ring_over(session->config.arg, index, &ring->set, reset);
}

/*
 * First the answer: of a packed ring nobody but the record knows the place, so that it is
 * kept until the front-end does. Who is killed in between leaves both, and they agree.
 */
static int end_get_base(struct session *session)
{
	struct session_ring_state *ring = &session->ring[session->op_index];
	struct message_vring_state state = { .index = session->op_index,
					     .num = ring->set.config.base };
	int ret;

	forget_kick(ring);
	ret = session_reply(session, session->op_request, &state, sizeof(state));
	if (ret == SESSION_ANSWERED && ring->begun)
		tell_over(session, session->op_index, false);
	return ret;
}

/* The answer to the message that began the op. */
static int answer(struct session *session, int ret, const struct gw_error *err)
{
	return session_acknowledge(session, session->op_request, session->op_ack, ret, err);
}

/* The specification calls it deprecated and advises to disable rings, no more. */
static int end_reset_owner(struct session *session)
{
	bool enabled = session->has_features &&
		       !virtio_has(session->features, VHOST_USER_F_PROTOCOL_FEATURES);

	for (unsigned int i = 0; i < session->rings; i++) {
		forget_kick(&session->ring[i]);
		session->ring[i].set.enabled = enabled;
	}
	return answer(session, 0, NULL);
}

/*
 * "Disable all rings and reset all internal device state to the initial state": what
 * the guest's driver made it. Memory, the owner and the protocol features are the
 * front-end's, who does not send them again; and so are the call and err descriptors.
 */
static int end_reset_device(struct session *session)
{
	for (unsigned int i = 0; i < session->rings; i++) {
		struct session_ring_state *ring = &session->ring[i];

		forget_kick(ring);
		ring->has_addr = false;
		ring->set.enabled = false;
		ring->set.config = (struct ring_config){ 0 };
	}
	session->status = 0;
	session->has_features = false;
	session->features = 0;
	session_log_apply(session);
	session_iotlb_drop(session);
	session_inflight_drop(session);
	return answer(session, 0, NULL);
}

/* Without a kick they stay stopped. Enabled is not touched: front-ends say that in time. */
static int end_status(struct session *session)
{
	for (unsigned int i = 0; i < session->rings; i++)
		forget_kick(&session->ring[i]);
	session->status = 0;
	return answer(session, 0, NULL);
}

static int end_memory(struct session *session)
{
	struct gw_error err = { 0 };
	int ret = session_memory_swap(session, &err);

	return answer(session, ret, &err);
}

static int end_close(struct session *session)
{
	const struct session_ops *ops = session->config.ops;

	session_rings_drop_fds(session);
	session_log_drop(session);
	session_iotlb_drop(session);
	session_inflight_drop(session);
	session_memory_drop(session);
	if (session->has_channel)
		ops->backend_channel(session->config.arg, -1);
	session->has_channel = false;
	return SESSION_ANSWERED;
}

/* The second half of an op: every ring that had to stop has stopped. */
static int op_end(struct session *session)
{
	enum session_op op = session->op;
	struct gw_error err;

	session->op = SESSION_OP_NONE;
	session->op_handed = false;
	if (op != SESSION_OP_MEMORY && op != SESSION_OP_IOTLB && op != SESSION_OP_PAUSE &&
	    session_iotlb_idle(session, &err))
		return session_die(session, &err);
	switch (op) {
	case SESSION_OP_GET_BASE:
		return end_get_base(session);
	case SESSION_OP_MEMORY:
		return end_memory(session);
	case SESSION_OP_RESET_OWNER:
		return end_reset_owner(session);
	case SESSION_OP_RESET_DEVICE:
		return end_reset_device(session);
	case SESSION_OP_STATUS:
		return end_status(session);
	case SESSION_OP_IOTLB:
		return session_iotlb_swap(session);
	case SESSION_OP_IOTLB_WAIT: /* that is not waiting for rings */
	case SESSION_OP_PAUSE:
		break;
	case SESSION_OP_CLOSE:
		return end_close(session);
	case SESSION_OP_NONE:
		break;
	}
	return SESSION_ANSWERED;
}

int session_op_finish(struct session *session, int ret, const struct gw_error *err)
{
	session->op = SESSION_OP_NONE;
	return answer(session, ret, err);
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

/* A reset: those that run are told when they stop (session_ends_runs); the others here. */
static void reset_runs(struct session *session)
{
	for (unsigned int i = 0; i < session->rings; i++) {
		struct session_ring_state *ring = &session->ring[i];

		if (!ring->chosen || !ring->begun)
			continue;
		ring->begun = false;
		if (ring->phase == SESSION_RING_STOPPED)
			tell_over(session, i, true);
	}
}

int session_op_begin(struct session *session, enum session_op op)
{
	session->op = op;
	session->beginning = true;
	if (session_ends_runs(session) && !session_gives_base(session))
		reset_runs(session);
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
		session->config.ops->ring_stop(session->config.arg, i, session->op_handed);
	}
	session->beginning = false;
	return session_any_ring(session, SESSION_RING_STOPPING) ? SESSION_ANSWERED
								: op_end(session);
}

bool session_gives_base(const struct session *session)
{
	return session->op == SESSION_OP_GET_BASE;
}

bool session_hands_runs(const struct session *session)
{
	return session_gives_base(session) && session->op_handed;
}

bool session_ends_runs(const struct session *session)
{
	switch (session->op) {
	case SESSION_OP_GET_BASE:
		return !session->op_handed;
	case SESSION_OP_RESET_OWNER:
	case SESSION_OP_RESET_DEVICE:
	case SESSION_OP_STATUS:
		return true;
	default:
		return false;
	}
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
