/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is the device's own: announcements, MTU, configuration space, and its state in
 * a migration ("Migrating back-end state").
 *
 * The state goes through a file of ours, whose descriptor the reply has. The pipe that
 * the front-end gave is not touched: whoever has an end of a pipe can hold its lock for
 * as long as he likes (a splice(2) from a socket that stays silent does), and no flag
 * keeps others from waiting for it. A memfd waits for nobody. The front-end reads from
 * it to its end, or writes into it; what is there when it asks how it went is the state.
 */
#include "session_state.h"

#include "fd.h"
#include "log.h"
#include "net_header.h"
#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

static int check_transfer(const struct session *session, const struct message *message,
			  struct gw_error *err)
{
	const struct message_transfer *transfer = &message->payload.transfer;

	if (transfer->direction > VHOST_USER_STATE_LOAD ||
	    transfer->phase != VHOST_USER_STATE_PHASE_STOPPED)
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_DEVICE_STATE_FD: direction %u in phase %u",
				    transfer->direction, transfer->phase);
	if (session_in_use(session))
		return gw_error_set(err, -EBUSY, "vhost-user SET_DEVICE_STATE_FD: a ring runs");
	return 0;
}

/* What the front-end reads from, with the state in it. */
static int save(struct session *session, int fd)
{
	uint8_t bytes[STATE_BYTES_MAX];
	size_t len;

	len = session->config.ops->state_save(session->config.arg, bytes, sizeof(bytes));
	return pwrite(fd, bytes, len, 0) == (ssize_t)len ? 0 : -EIO;
}

static int make_channel(struct session *session, const struct message *message, int *channel,
			struct gw_error *err)
{
	int fd = memfd_create("guestwire-state", MFD_CLOEXEC);
	int ret = fd < 0 ? -errno : 0;

	if (!ret && message->payload.transfer.direction == VHOST_USER_STATE_SAVE)
		ret = save(session, fd);
	if (ret) {
		gw_fd_close(&fd);
		return gw_error_sys(err, ret, "vhost-user SET_DEVICE_STATE_FD: a file for it");
	}
	*channel = fd;
	return 0;
}

/* "When this flag is not set, the front-end must use the returned file descriptor." */
int session_set_device_state_fd(struct session *session, struct message *message,
				struct gw_error *err)
{
	const uint64_t taken = 0;
	int channel = -1, ret = check_transfer(session, message, err);

	gw_fd_close(&session->load_fd);
	if (!ret)
		ret = make_channel(session, message, &channel, err);
	session->state_bad = ret;
	if (ret) {
		session_note(session, LOG_WARNING, "refused: %s", err->text);
		return session_reply_u64(session, message->request, VHOST_USER_STATE_NOFD | 1);
	}
	ret = session_reply_fd(session, message->request, &taken, sizeof(taken), channel);
	if (message->payload.transfer.direction == VHOST_USER_STATE_LOAD)
		session->load_fd = channel;
	else
		gw_fd_close(&channel);
	return ret;
}

/* All that was written, whoever writes on. */
static int read_channel(int fd, uint8_t *bytes, size_t room, size_t *len)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (st.st_size > (off_t)room)
		return -EFBIG;
	*len = (size_t)st.st_size;
	return !*len || pread(fd, bytes, *len, 0) == st.st_size ? 0 : -EIO;
}

static int load(struct session *session, struct gw_error *err)
{
	uint8_t bytes[STATE_BYTES_MAX];
	size_t len = 0;
	int ret = read_channel(session->load_fd, bytes, sizeof(bytes), &len);

	if (ret)
		return gw_error_sys(err, ret,
				    "vhost-user CHECK_DEVICE_STATE: reading a state of at most %u "
				    "bytes",
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
