/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The messages about one ring: size, addresses, base, enabled, descriptors.
 *
 * Descriptors are taken only if they are eventfds. A worker reads the kick and
 * writes the call and err descriptors, and a pipe, a socket or a file on a dead
 * server could make it wait. An eventfd is set non-blocking. That flag belongs to
 * the open file, so a front-end can take it away again: whoever writes to it has
 * to look first whether the counter is full.
 */
#include "session_state.h"

#include "fd.h"
#include "net_header.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* VIRTIO 1.2 section 2.7: alignment of the three parts of a split virtqueue. */
#define DESC_ALIGN    16u
#define AVAIL_ALIGN   2u
#define USED_ALIGN    4u
#define ADDR_FLAG_LOG 1u /* "A vring address description": log used-ring writes */
#define EVENTFD_LINK  "anon_inode:[eventfd]"

/* The ring a message is about; NULL, with -EPROTO in err, if there is no such ring. */
static struct session_ring_state *ring_of(struct session *session, const struct message *message,
					  uint32_t index, struct gw_error *err)
{
	if (index < session->rings)
		return &session->ring[index];
	gw_error_set(err, -EPROTO, "vhost-user %s: ring %u, but there are only %u",
		     message_name(message->request), index, session->rings);
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

/* It is, or features are still to come. */
static bool may_be_packed(const struct session *session)
{
	return virtio_has(session->has_features ? session->features : session->config.features,
			  VIRTIO_F_RING_PACKED);
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
	if (!state->num || (state->num & (state->num - 1) && !may_be_packed(session)) ||
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
	if (state->num > UINT16_MAX && !may_be_packed(session))
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_VRING_BASE: ring %u: base %u, must be at most "
				    "%u on a split ring",
				    state->index, state->num, UINT16_MAX);
	ring->set.config.base = state->num;
	return session_ring_try_start(session, state->index, err);
}

static int get_base(struct session *session, struct message *message, bool handed,
		    struct gw_error *err)
{
	uint32_t index = message->payload.state.index;

	if (!ring_of(session, message, index, err))
		return -EPROTO;
	session->op_index = index;
	session->op_handed = handed && session->ring[index].set.config.record;
	session_choose(session, index);
	return session_op_begin(session, SESSION_OP_GET_BASE);
}

/*
 * With GET_VRING_BASE_INFLIGHT it does not wait for what is in flight; but where
 * SKIP_DRAIN was negotiated too, that is what the message of this name is for, and this
 * one drains.
 */
int session_get_vring_base(struct session *session, struct message *message, struct gw_error *err)
{
	bool handed = virtio_has(session->protocol_features,
				 VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT) &&
		      !virtio_has(session->protocol_features,
				  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN);

	return get_base(session, message, handed, err);
}

int session_skip_drain(struct session *session, struct message *message, struct gw_error *err)
{
	return get_base(session, message, true, err);
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
	session_choose_all(session);
	return session_op_begin(session, SESSION_OP_RESET_OWNER);
}

int session_reset_device(struct session *session, struct message *message, struct gw_error *err)
{
	session_choose_all(session);
	return session_op_begin(session, SESSION_OP_RESET_DEVICE);
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
