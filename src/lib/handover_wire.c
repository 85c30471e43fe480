/* SPDX-License-Identifier: BSD-2-Clause */
#include "handover_wire.h"

#include "fd.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define MAGIC        0x72687767u /* "gwhr" */
#define VERSION      3u
#define HANDOVER_FDS 64u
#define ANSWER       'y'
#define AGREED       'g'

struct head {
	uint32_t magic, version;
	char port[GW_NAME_BYTES], driver[GW_NAME_BYTES];
	uint32_t len, fd_count;
};

int handover_patience(int socket, unsigned int ms)
{
	const struct timeval time = { .tv_sec = ms / 1000, .tv_usec = (long)(ms % 1000) * 1000 };

	if (setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)) ||
	    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)))
		return -errno;
	return 0;
}

/* ---- sending ---- */

static int send_all(int socket, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	while (len) {
		ssize_t sent = send(socket, at, len, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		at += sent;
		len -= (size_t)sent;
	}
	return 0;
}

union fd_control {
	char bytes[CMSG_SPACE(HANDOVER_FDS * sizeof(int))];
	struct cmsghdr align;
};

static int send_fds(int socket, const int *fds, unsigned int count)
{
	union fd_control control = { 0 };
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	ssize_t sent;

	control.align = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
					  .cmsg_type = SCM_RIGHTS,
					  .cmsg_len = CMSG_LEN(count * sizeof(int)) };
	memcpy(CMSG_DATA(&control.align), fds, count * sizeof(int));
	do
		sent = sendmsg(socket, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

int handover_send(int socket, const char *port, const char *driver, const struct gw_parcel *parcel,
		  struct gw_error *err)
{
	struct head head = { .magic = MAGIC, .version = VERSION, .fd_count = parcel->fd_count };
	unsigned int done, part;
	int ret;

	head.len = (uint32_t)parcel->len;
	strncpy(head.port, port, sizeof(head.port) - 1);
	strncpy(head.driver, driver, sizeof(head.driver) - 1);
	ret = send_all(socket, &head, sizeof(head));
	if (!ret)
		ret = send_all(socket, parcel->bytes, parcel->len);
	for (done = 0; done < parcel->fd_count && !ret; done += part) {
		part = least(parcel->fd_count - done, HANDOVER_FDS);
		ret = send_fds(socket, parcel->fds + done, part);
	}
	return ret ? gw_error_sys(err, ret, "sending what port %s leaves", port) : 0;
}

int handover_send_end(int socket, struct gw_error *err)
{
	const struct head head = { .magic = MAGIC, .version = VERSION };
	int ret = send_all(socket, &head, sizeof(head));

	return ret ? gw_error_sys(err, ret, "sending what is left") : 0;
}

/* ---- receiving ---- */

static int receive_all(int socket, void *bytes, size_t len)
{
	uint8_t *at = bytes;

	while (len) {
		ssize_t got = recv(socket, at, len, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -ECONNRESET;
		at += got;
		len -= (size_t)got;
	}
	return 0;
}

/* Exactly count of them, as they were sent; what else comes is closed. */
static int receive_fds(int socket, int *fds, unsigned int count)
{
	union fd_control control = { 0 };
	unsigned int got_count = 0;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *cmsg;
	ssize_t got;

	do
		got = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return got ? -errno : -ECONNRESET;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
		got_count = (unsigned int)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	if (cmsg && got_count == count) {
		memcpy(fds, CMSG_DATA(cmsg), count * sizeof(int));
		return 0;
	}
	for (unsigned int i = 0; i < got_count; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
		close(fd);
	}
	return -EPROTO;
}

static int check_head(const struct head *head, struct gw_error *err)
{
	if (head->magic != MAGIC || head->version != VERSION)
		return gw_error_set(err, -EPROTO,
				    "what was left is in version %u, this build takes version %u; "
				    "stop the old one and start this one",
				    head->version, VERSION);
	if (head->len > GW_PARCEL_BYTES_MAX || head->fd_count > GW_PARCEL_FDS_MAX ||
	    head->port[GW_NAME_BYTES - 1] || head->driver[GW_NAME_BYTES - 1])
		return gw_error_set(err, -EPROTO, "what was left is not well-formed");
	return 0;
}

static int receive_parcel(int socket, const struct head *head, struct gw_parcel *parcel)
{
	unsigned int part;
	int ret;

	parcel->bytes = malloc(head->len + 1);
	parcel->fds = calloc(head->fd_count + 1, sizeof(int));
	if (!parcel->bytes || !parcel->fds)
		return -ENOMEM;
	parcel->len = head->len;
	ret = receive_all(socket, parcel->bytes, head->len);
	for (; parcel->fd_count < head->fd_count && !ret; parcel->fd_count += part) {
		part = least(head->fd_count - parcel->fd_count, HANDOVER_FDS);
		ret = receive_fds(socket, parcel->fds + parcel->fd_count, part);
		if (ret)
			break;
	}
	return ret;
}

int handover_receive(int socket, struct handover_parcel *parcel, struct gw_error *err)
{
	struct head head;
	int ret = receive_all(socket, &head, sizeof(head));

	*parcel = (struct handover_parcel){ 0 };
	if (ret)
		return gw_error_sys(err, ret, "receiving what was left");
	ret = check_head(&head, err);
	if (ret || !head.port[0])
		return ret;
	memcpy(parcel->port, head.port, sizeof(parcel->port));
	memcpy(parcel->driver, head.driver, sizeof(parcel->driver));
	ret = receive_parcel(socket, &head, &parcel->parcel);
	if (!ret)
		return 1;
	handover_parcel_free(parcel);
	return gw_error_sys(err, ret, "receiving what port %s left", head.port);
}

void handover_parcel_free(struct handover_parcel *parcel)
{
	gw_fds_close(parcel->parcel.fds, parcel->parcel.fd_count);
	free(parcel->parcel.bytes);
	free(parcel->parcel.fds);
	*parcel = (struct handover_parcel){ 0 };
}

/* ---- the end ---- */

static int send_word(int socket, char word)
{
	return send_all(socket, &word, sizeof(word));
}

/* Who leaves waits for a time, and then starts his ports again. */
static int not_agreed(int ret, struct gw_error *err)
{
	return gw_error_set(err, ret,
			    "not taken over: the other process did not wait for this one, and "
			    "goes on itself");
}

int handover_answer(int socket, struct gw_error *err)
{
	int ret = send_word(socket, ANSWER);

	return ret ? not_agreed(ret, err) : 0;
}

int handover_wait_answer(int socket, struct gw_error *err)
{
	char byte = 0;
	int ret = receive_all(socket, &byte, sizeof(byte));

	if (ret)
		return gw_error_sys(err, ret, "waiting for the other process to start its ports");
	return byte == ANSWER ? 0 : gw_error_set(err, -EPROTO, "the other process said no");
}

int handover_agree(int socket, struct gw_error *err)
{
	int ret = send_word(socket, AGREED);

	return ret ? gw_error_sys(err, ret, "hand-over: the other process has gone") : 0;
}

int handover_wait_agreed(int socket, struct gw_error *err)
{
	char byte = 0;
	int ret = receive_all(socket, &byte, sizeof(byte));

	if (!ret && byte == AGREED)
		return 0;
	return not_agreed(ret ? ret : -EPROTO, err);
}
