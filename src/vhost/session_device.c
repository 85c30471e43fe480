/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is the device's own: announcements, MTU, configuration space, and its state in
 * a migration ("Migrating back-end state").
 *
 * The state goes through a pipe of the front-end's. He may let it be full or empty for
 * ever, and take away O_NONBLOCK at any moment, since that flag belongs to the open
 * file; so bytes go through a pipe of ours and splice(2), which has a flag of its own
 * for not waiting. A state is small and fits into any pipe: what cannot be written at
 * once, or has not come in whole when the front-end asks how it went, has failed.
 */
#include "session_state.h"

#include "fd.h"
#include "log.h"
#include "net_header.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STATE_BYTES_MAX 4096u
#define MAC_BYTES       6u

int session_send_rarp(struct session *session, struct message *message, struct gw_error *err)
{
	static const uint8_t none[MAC_BYTES];
	uint8_t mac[MAC_BYTES];

	memcpy(mac, message->payload.raw, sizeof(mac));
	if (mac[0] & 1 || !memcmp(mac, none, sizeof(mac)))
		return gw_error_set(err, -EINVAL,
				    "vhost-user SEND_RARP: "
				    "%02x:%02x:%02x:%02x:%02x:%02x is no station's address",
				    mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	session->config.ops->announce(session->config.arg, mac);
	return 0;
}

int session_net_set_mtu(struct session *session, struct message *message, struct gw_error *err)
{
	uint64_t mtu = message->payload.u64;

	if (mtu < SESSION_MTU_MIN || mtu > SESSION_MTU_MAX)
		return gw_error_set(err, -EINVAL, "vhost-user NET_SET_MTU: %llu, must be %u to %u",
				    (unsigned long long)mtu, SESSION_MTU_MIN, SESSION_MTU_MAX);
	session->mtu = (uint32_t)mtu;
	session->config.ops->mtu(session->config.arg, session->mtu);
	return 0;
}

/* ---- configuration space (VIRTIO 1.2 section 5.1.4) ---- */

/* The address is zero: it is the front-end that gives a guest its address. */
static void fill_config(const struct session *session, struct virtio_net_config *config)
{
	memset(config, 0, sizeof(*config));
	config->status = VIRTIO_NET_S_LINK_UP;
	config->max_virtqueue_pairs = (uint16_t)session->config.pairs_max;
	config->mtu = (uint16_t)session->mtu;
}

static bool in_config(const struct message_config *asked)
{
	return asked->offset <= sizeof(struct virtio_net_config) &&
	       asked->size <= sizeof(struct virtio_net_config) - asked->offset;
}

/* "uses zero length of payload to indicate an error" */
int session_get_config(struct session *session, struct message *message, struct gw_error *err)
{
	struct message_config *reply = &message->payload.config;
	struct virtio_net_config config;

	if (!in_config(reply)) {
		session_note(session, LOG_WARNING,
			     "refused: vhost-user GET_CONFIG: %u bytes from %u on, but there are "
			     "%zu",
			     reply->size, reply->offset, sizeof(config));
		return session_reply(session, message->request, NULL, 0);
	}
	fill_config(session, &config);
	memcpy(reply->bytes, (const uint8_t *)&config + reply->offset, reply->size);
	return session_reply(session, message->request, reply, message->size);
}

/*
 * A driver may write nothing there. A migration may, to give the destination what the
 * source had: it is compared, since a guest would not notice a change.
 */
int session_set_config(struct session *session, struct message *message, struct gw_error *err)
{
	const struct message_config *asked = &message->payload.config;
	struct virtio_net_config config;

	if (!in_config(asked))
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_CONFIG: %u bytes from %u on, but there are %zu",
				    asked->size, asked->offset, sizeof(config));
	if (asked->flags != VHOST_USER_CONFIG_MIGRATION)
		return gw_error_set(err, -EPERM,
				    "vhost-user SET_CONFIG: a driver may change none of it");
	fill_config(session, &config);
	if (memcmp(asked->bytes, (const uint8_t *)&config + asked->offset, asked->size) != 0)
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_CONFIG: the source had another configuration "
				    "(queues, MTU)");
	return 0;
}

/* ---- state ---- */

/*
 * splice(2) into a pipe that nobody reads any more. There is no flag against the signal,
 * and programs that embed this may not ignore it: it is blocked meanwhile, and taken.
 */
static ssize_t splice_into(int fd, int from, size_t len)
{
	static const struct timespec now;
	sigset_t pipe_signal, before;
	ssize_t moved;
	int saved;

	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
	moved = splice(from, NULL, fd, NULL, len, SPLICE_F_NONBLOCK);
	saved = errno;
	if (moved < 0 && saved == EPIPE)
		sigtimedwait(&pipe_signal, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = saved;
	return moved;
}

/* All of the bytes into a pipe, now. */
static int write_pipe(int fd, const uint8_t *bytes, size_t len)
{
	int own[2];
	ssize_t moved;
	int ret = 0;

	if (pipe2(own, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	if (write(own[1], bytes, len) != (ssize_t)len)
		ret = -EIO; /* never: a pipe of ours has room for a state */
	while (!ret && len) {
		moved = splice_into(fd, own[0], len);
		if (moved > 0)
			len -= (size_t)moved;
		else
			ret = moved < 0 ? -errno : -EPIPE;
	}
	gw_fds_close(own, 2);
	return ret;
}

/* Up to the end of what was written into it; -EAGAIN: somebody may still write. */
static int read_pipe(int fd, uint8_t *bytes, size_t room, size_t *len)
{
	int own[2];
	ssize_t moved;
	int ret = 0;

	*len = 0;
	if (pipe2(own, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	do {
		moved = splice(fd, NULL, own[1], NULL, room - *len, SPLICE_F_NONBLOCK);
		if (moved > 0)
			*len += (size_t)moved;
	} while (moved > 0 && *len < room);
	if (moved < 0)
		ret = -errno;
	else if (moved > 0)
		ret = -EFBIG;
	else if (*len && read(own[0], bytes, *len) != (ssize_t)*len)
		ret = -EIO;
	gw_fds_close(own, 2);
	return ret;
}

static int check_transfer(const struct session *session, const struct message *message,
			  struct gw_error *err)
{
	const struct message_transfer *transfer = &message->payload.transfer;
	struct stat st;

	if (transfer->direction > VHOST_USER_STATE_LOAD ||
	    transfer->phase != VHOST_USER_STATE_PHASE_STOPPED)
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_DEVICE_STATE_FD: direction %u in phase %u",
				    transfer->direction, transfer->phase);
	if (session_in_use(session))
		return gw_error_set(err, -EBUSY, "vhost-user SET_DEVICE_STATE_FD: a ring runs");
	if (fstat(message->fds[0], &st) || !S_ISFIFO(st.st_mode))
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_DEVICE_STATE_FD: the descriptor is no pipe, "
				    "and only those are sure not to block");
	return 0;
}

static int save(struct session *session, int fd, struct gw_error *err)
{
	uint8_t bytes[STATE_BYTES_MAX];
	size_t len;
	int ret;

	len = session->config.ops->state_save(session->config.arg, bytes, sizeof(bytes));
	ret = write_pipe(fd, bytes, len);
	return ret ? gw_error_sys(err, ret, "vhost-user SET_DEVICE_STATE_FD: writing %zu bytes",
				  len)
		   : 0;
}

/* The reply says whether it goes, and that the front-end's own descriptor is used. */
int session_set_device_state_fd(struct session *session, struct message *message,
				struct gw_error *err)
{
	uint64_t reply = VHOST_USER_STATE_NOFD;
	int ret = check_transfer(session, message, err);

	gw_fd_close(&session->load_fd);
	if (!ret && message->payload.transfer.direction == VHOST_USER_STATE_SAVE)
		ret = save(session, message->fds[0], err);
	else if (!ret)
		session->load_fd = message_take_fd(message, 0);
	session->state_bad = ret;
	if (ret) {
		session_note(session, LOG_WARNING, "refused: %s", err->text);
		reply |= 1;
	}
	return session_reply_u64(session, message->request, reply);
}

static int load(struct session *session, struct gw_error *err)
{
	uint8_t bytes[STATE_BYTES_MAX + 1];
	size_t len;
	int ret = read_pipe(session->load_fd, bytes, sizeof(bytes), &len);

	if (ret)
		return gw_error_sys(err, ret,
				    "vhost-user CHECK_DEVICE_STATE: reading a state of at most %u "
				    "bytes that ends",
				    STATE_BYTES_MAX);
	return session->config.ops->state_load(session->config.arg, bytes, len, err);
}

int session_check_device_state(struct session *session, struct message *message,
			       struct gw_error *err)
{
	if (session->load_fd >= 0) {
		session->state_bad = load(session, err);
		gw_fd_close(&session->load_fd);
		if (session->state_bad)
			session_note(session, LOG_WARNING, "refused: %s", err->text);
	}
	return session_reply_u64(session, message->request, session->state_bad);
}
