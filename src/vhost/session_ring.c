/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings: what the front-end says about them, when they start, how they stop.
 *
 * The rule of vhost-user, "Ring states", as front-ends use it: a ring starts when
 * its kick descriptor arrives and all else is there, and stops with
 * GET_VRING_BASE. Here anything that was missing may come last, and every message
 * that could have brought it ends in session_ring_try_start().
 *
 * Descriptors are taken only if they are eventfds. A worker reads the kick and
 * writes the call and err descriptors, and a pipe, a socket or a file on a dead
 * server could make it wait. An eventfd is set non-blocking. That flag belongs to
 * the open file, so a front-end can take it away again: whoever writes to it has
 * to look first whether the counter is full.
 */
#include "session_state.h"

#include "fd.h"
#include "log.h"
#include "net_header.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* VIRTIO 1.2 section 2.7: alignment of the three parts of a split virtqueue. */
#define DESC_ALIGN    16u
#define AVAIL_ALIGN   2u
#define USED_ALIGN    4u
#define ADDR_FLAG_LOG 1u /* "A vring address description": log used-ring writes */
#define EVENTFD_LINK  "anon_inode:[eventfd]"

bool session_any_ring(const struct session *session, enum session_ring_phase phase)
{
	for (unsigned int i = 0; i < SESSION_RINGS_MAX; i++)
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
	for (unsigned int i = 0; i < SESSION_RINGS_MAX; i++) {
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
	for (unsigned int i = 0; i < SESSION_RINGS_MAX; i++) {
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

	for (unsigned int i = 0; i < SESSION_RINGS_MAX; i++) {
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

int session_op_begin(struct session *session, enum session_op op, unsigned int mask)
{
	unsigned int stopping = 0;

	session->op = op;
	session->beginning = true;
	for (unsigned int i = 0; i < SESSION_RINGS_MAX; i++) {
		if (!(mask >> i & 1) || session->ring[i].phase != SESSION_RING_RUNNING)
			continue;
		session->ring[i].phase = SESSION_RING_STOPPING;
		stopping |= 1u << i;
	}
	for (unsigned int i = 0; i < SESSION_RINGS_MAX; i++)
		if (stopping >> i & 1)
			session->config.ops->ring_stop(session->config.arg, i);
	session->beginning = false;
	return session_any_ring(session, SESSION_RING_STOPPING) ? SESSION_ANSWERED
								: op_end(session);
}

void session_ring_stopped(struct session *session, unsigned int index, uint16_t base)
{
	struct session_ring_state *ring = &session->ring[index];

	assert(ring->phase == SESSION_RING_STOPPING);
	ring->phase = SESSION_RING_STOPPED;
	ring->set.config.base = base;
	if (!session->beginning && !session_any_ring(session, SESSION_RING_STOPPING))
		op_end(session); /* a failure is kept: session_continue reports it */
}

/* ---- messages ---- */

/* The ring a message is about; NULL, with -EPROTO in err, if there is no such ring. */
static struct session_ring_state *ring_of(struct session *session, const struct message *message,
					  uint32_t index, struct gw_error *err)
{
	if (index < SESSION_RINGS_MAX)
		return &session->ring[index];
	gw_error_set(err, -EPROTO, "vhost-user %s: ring %u, but there are only %u",
		     message_name(message->request), index, SESSION_RINGS_MAX);
	return NULL;
}

static int check_stopped(const struct session_ring_state *ring, const struct message *message,
			 uint32_t index, struct gw_error *err)
{
	if (ring->phase == SESSION_RING_STOPPED)
		return 0;
	return gw_error_set(err, -EBUSY, "vhost-user %s: ring %u runs (GET_VRING_BASE stops it)",
			    message_name(message->request), index);
}

int session_set_vring_num(struct session *session, struct message *message, struct gw_error *err)
{
	const struct message_vring_state *state = &message->payload.state;
	struct session_ring_state *ring = ring_of(session, message, state->index, err);
	int ret;

	if (!ring)
		return -EPROTO;
	ret = check_stopped(ring, message, state->index, err);
	if (ret)
		return ret;
	if (!state->num || state->num & (state->num - 1) ||
	    state->num > session->config.ring_size_max)
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_VRING_NUM: ring %u of %u entries, must be a "
				    "power of two up to %u",
				    state->index, state->num, session->config.ring_size_max);
	ring->set.config.size = state->num;
	return session_ring_try_start(session, state->index, err);
}

static int check_addr(const struct message_vring_addr *addr, struct gw_error *err)
{
	if (addr->flags & ~ADDR_FLAG_LOG)
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_VRING_ADDR: ring %u: unknown flags 0x%x",
				    addr->index, addr->flags);
	if (addr->desc % DESC_ALIGN || addr->avail % AVAIL_ALIGN || addr->used % USED_ALIGN)
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_VRING_ADDR: ring %u: descriptors 0x%llx, "
				    "available 0x%llx, used 0x%llx must be multiples of %u, %u, %u",
				    addr->index, (unsigned long long)addr->desc,
				    (unsigned long long)addr->avail, (unsigned long long)addr->used,
				    DESC_ALIGN, AVAIL_ALIGN, USED_ALIGN);
	return 0;
}

int session_set_vring_addr(struct session *session, struct message *message, struct gw_error *err)
{
	const struct message_vring_addr *addr = &message->payload.addr;
	struct session_ring_state *ring = ring_of(session, message, addr->index, err);
	struct ring_config *config;
	int ret;

	if (!ring)
		return -EPROTO;
	config = &ring->set.config;
	ret = check_addr(addr, err);
	if (ret)
		return ret;
	/* QEMU sends the same addresses again to switch the dirty log on or off. */
	if (ring->has_addr && config->desc_addr == addr->desc &&
	    config->avail_addr == addr->avail && config->used_addr == addr->used)
		return session_ring_try_start(session, addr->index, err);
	ret = check_stopped(ring, message, addr->index, err);
	if (ret)
		return ret;
	config->desc_addr = addr->desc;
	config->avail_addr = addr->avail;
	config->used_addr = addr->used;
	ring->has_addr = true;
	return session_ring_try_start(session, addr->index, err);
}

int session_set_vring_base(struct session *session, struct message *message, struct gw_error *err)
{
	const struct message_vring_state *state = &message->payload.state;
	struct session_ring_state *ring = ring_of(session, message, state->index, err);
	int ret;

	if (!ring)
		return -EPROTO;
	ret = check_stopped(ring, message, state->index, err);
	if (ret)
		return ret;
	if (state->num > UINT16_MAX)
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_VRING_BASE: ring %u: base %u, must be at most "
				    "%u on a split ring",
				    state->index, state->num, UINT16_MAX);
	ring->set.config.base = (uint16_t)state->num;
	return session_ring_try_start(session, state->index, err);
}

int session_get_vring_base(struct session *session, struct message *message, struct gw_error *err)
{
	uint32_t index = message->payload.state.index;

	if (!ring_of(session, message, index, err))
		return -EPROTO;
	session->op_index = index;
	return session_op_begin(session, SESSION_OP_GET_BASE, 1u << index);
}

int session_set_vring_enable(struct session *session, struct message *message, struct gw_error *err)
{
	const struct message_vring_state *state = &message->payload.state;
	struct session_ring_state *ring = ring_of(session, message, state->index, err);

	if (!ring)
		return -EPROTO;
	if (!virtio_has(session->config.features, VHOST_USER_F_PROTOCOL_FEATURES))
		return gw_error_set(err, -EOPNOTSUPP,
				    "vhost-user SET_VRING_ENABLE: protocol features are not "
				    "offered");
	if (state->num > 1)
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_VRING_ENABLE: ring %u: %u is neither 0 nor 1",
				    state->index, state->num);
	if (ring->set.enabled == (bool)state->num)
		return 0;
	ring->set.enabled = state->num;
	if (ring->phase == SESSION_RING_RUNNING)
		session->config.ops->ring_enable(session->config.arg, state->index,
						 ring->set.enabled);
	return 0;
}

int session_reset_owner(struct session *session, struct message *message, struct gw_error *err)
{
	/* The specification calls it deprecated and advises to disable rings, no more. */
	return session_op_begin(session, SESSION_OP_RESET, (1u << SESSION_RINGS_MAX) - 1);
}

/* ---- descriptors ---- */

/* Takes the message's eventfd, non-blocking from now on; -1 if it says there is none. */
static int take_eventfd(struct message *message, int *fd, struct gw_error *err)
{
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
	char link[sizeof(EVENTFD_LINK) + 1] = "";
	int flags;

	*fd = -1;
	if (message->payload.u64 & VHOST_USER_VRING_NOFD)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", message->fds[0]);
	if (readlink(path, link, sizeof(link) - 1) < 0)
		return gw_error_sys(err, -errno, "vhost-user %s: reading %s",
				    message_name(message->request), path);
	if (strcmp(link, EVENTFD_LINK) != 0)
		return gw_error_set(err, -EINVAL,
				    "vhost-user %s: the descriptor is no eventfd, and only those "
				    "are sure not to block",
				    message_name(message->request));
	flags = fcntl(message->fds[0], F_GETFL);
	if (flags < 0 || fcntl(message->fds[0], F_SETFL, flags | O_NONBLOCK) ||
	    fcntl(message->fds[0], F_SETFD, FD_CLOEXEC))
		return gw_error_sys(err, -errno, "vhost-user %s: setting the descriptor's flags",
				    message_name(message->request));
	*fd = message_take_fd(message, 0);
	return 0;
}

/* Puts the message's descriptor into *slot (in ring `index`), and the one before out of use. */
static int replace_fd(struct session *session, struct message *message, int *slot,
		      struct gw_error *err)
{
	unsigned int index = message->payload.u64 & VHOST_USER_VRING_IDX_MASK;
	struct session_ring_state *ring = &session->ring[index];
	int fd, old = *slot;
	int ret = take_eventfd(message, &fd, err);

	if (ret)
		return ret;
	*slot = fd;
	if (ring->phase == SESSION_RING_RUNNING)
		session->config.ops->ring_fds(session->config.arg, index, &ring->set);
	gw_fd_close(&old);
	return 0;
}

int session_set_vring_kick(struct session *session, struct message *message, struct gw_error *err)
{
	unsigned int index = message->payload.u64 & VHOST_USER_VRING_IDX_MASK;
	struct session_ring_state *ring = ring_of(session, message, index, err);
	int ret;

	if (!ring)
		return -EPROTO;
	ret = replace_fd(session, message, &ring->set.kick_fd, err);
	if (ret)
		return ret;
	ring->has_kick = true;
	return session_ring_try_start(session, index, err);
}

int session_set_vring_call(struct session *session, struct message *message, struct gw_error *err)
{
	unsigned int index = message->payload.u64 & VHOST_USER_VRING_IDX_MASK;
	struct session_ring_state *ring = ring_of(session, message, index, err);

	return ring ? replace_fd(session, message, &ring->set.call_fd, err) : -EPROTO;
}

int session_set_vring_err(struct session *session, struct message *message, struct gw_error *err)
{
	unsigned int index = message->payload.u64 & VHOST_USER_VRING_IDX_MASK;
	struct session_ring_state *ring = ring_of(session, message, index, err);

	return ring ? replace_fd(session, message, &ring->set.err_fd, err) : -EPROTO;
}
