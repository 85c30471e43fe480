/* SPDX-License-Identifier: BSD-2-Clause */
#include "packet_rx.h"

#include "atomic.h"
#include "fd.h"
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

#define BUFFER_BYTES    GW_ARENA_BUFFER_BYTES
/*
 * Room before the frame: for a VLAN tag that is put back, and so that the IP header
 * behind 14 bytes of Ethernet is aligned to 4.
 */
#define HEADROOM_BYTES  66u
#define VLAN_TAG_BYTES  4u
#define MAC_BYTES       12u
/* Messages of one recvmmsg, and buffers that each of them has ready: for 64 KiB. */
#define MESSAGES_MAX    17u
#define MESSAGE_BUFFERS 17u
/* The kernel's queue of the socket: some milliseconds at full speed. */
#define RCVBUF_BYTES    (4 << 20)

struct message {
	struct virtio_net_hdr header;
	uint32_t buffer[MESSAGE_BUFFERS]; /* armed */
	struct iovec iov[1 + MESSAGE_BUFFERS];
	char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
};

struct packet_rx {
	struct gw_port *port;
	struct packet_rx_config config;
	int fd;
	uint8_t *pool;
	struct gw_frame *frame; /* one for each buffer: a frame uses that of its first */
	uint32_t *free;         /* stack of free buffers, those of messages not among them */
	uint32_t free_count;
	unsigned int message_count;
	struct message *message;
	struct mmsghdr batch[MESSAGES_MAX];
	unsigned int lent;
	uint64_t dropped; /* by the kernel, as far as it was asked */
	struct packet_rx_counts counts;
};

/* ---- open and close ---- */

static int socket_options(int fd, const struct packet_rx_config *config)
{
	struct packet_mreq wish = { .mr_ifindex = config->ifindex, .mr_type = PACKET_MR_PROMISC };
	int on = 1, bytes = RCVBUF_BYTES;

	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)))
		return -errno;
	if (config->promiscuous &&
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &wish, sizeof(wish)))
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	return 0;
}

int packet_rx_reopen(struct packet_rx *rx, int ifindex, struct gw_error *err)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = ifindex,
	};
	int rc;

	packet_rx_shut(rx);
	rx->config.ifindex = ifindex;
	/* Protocol 0 until it is bound: nothing of other interfaces gets in. */
	rx->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (rx->fd < 0)
		return gw_error_sys(err, -errno,
				    "port %s: AF_PACKET socket (needs CAP_NET_RAW in the network "
				    "namespace)",
				    gw_port_name(rx->port));
	rc = socket_options(rx->fd, &rx->config);
	if (!rc && bind(rx->fd, (struct sockaddr *)&address, sizeof(address)))
		rc = -errno;
	if (!rc)
		return 0;
	packet_rx_shut(rx);
	return gw_error_sys(err, rc, "port %s: AF_PACKET socket on interface %d",
			    gw_port_name(rx->port), rx->config.ifindex);
}

static uint8_t *buffer_at(const struct packet_rx *rx, uint32_t index)
{
	return rx->pool + (size_t)index * BUFFER_BYTES;
}

/* Buffer number i of a message: the first has headroom. */
static void message_arm(struct packet_rx *rx, struct message *message, unsigned int i)
{
	uint32_t index = rx->free[--rx->free_count];
	size_t head = i ? 0 : HEADROOM_BYTES;

	message->buffer[i] = index;
	message->iov[1 + i].iov_base = buffer_at(rx, index) + head;
	message->iov[1 + i].iov_len = BUFFER_BYTES - head;
}

static void messages_init(struct packet_rx *rx)
{
	for (unsigned int m = 0; m < rx->message_count; m++) {
		struct message *message = &rx->message[m];
		struct msghdr *header = &rx->batch[m].msg_hdr;

		message->iov[0].iov_base = &message->header;
		message->iov[0].iov_len = sizeof(message->header);
		for (unsigned int i = 0; i < MESSAGE_BUFFERS; i++)
			message_arm(rx, message, i);
		header->msg_iov = message->iov;
		header->msg_iovlen = 1 + MESSAGE_BUFFERS;
		header->msg_control = message->control;
	}
}

int packet_rx_open(struct gw_port *port, const struct packet_rx_config *config,
		   struct packet_rx **result, struct gw_error *err)
{
	struct packet_rx *rx = calloc(1, sizeof(*rx));
	uint32_t n = config->buffers;
	int rc = -ENOMEM;

	*result = NULL;
	if (!rx)
		return gw_error_set(err, rc, "port %s: no memory", gw_port_name(port));
	rx->port = port;
	rx->config = *config;
	rx->fd = -1;
	/* Half of the buffers is ready for what comes, half is for what was lent. */
	rx->message_count = n / MESSAGE_BUFFERS / 2;
	if (rx->message_count > MESSAGES_MAX)
		rx->message_count = MESSAGES_MAX;
	rx->frame = calloc(n, sizeof(*rx->frame));
	rx->free = calloc(n, sizeof(*rx->free));
	rx->message = calloc(MESSAGES_MAX, sizeof(*rx->message));
	rx->pool = config->arena ? config->arena : gw_port_arena_take(port, n, err);
	if (!rx->pool)
		goto fail;
	if (!rx->frame || !rx->free || !rx->message || n < PACKET_RX_BUFFERS_MIN) {
		gw_error_set(err, rc, "port %s: no memory for %u receive buffers",
			     gw_port_name(port), n);
		goto fail;
	}
	while (rx->free_count < n) {
		rx->free[rx->free_count] = n - 1 - rx->free_count;
		rx->free_count++;
	}
	messages_init(rx);
	rc = packet_rx_reopen(rx, config->ifindex, err);
	if (rc)
		goto fail;
	*result = rx;
	return 0;
fail:
	packet_rx_close(rx);
	return rc;
}

void packet_rx_shut(struct packet_rx *rx)
{
	(void)packet_rx_dropped(rx); /* while it can be asked */
	gw_fd_close(&rx->fd);
}

void packet_rx_close(struct packet_rx *rx)
{
	if (!rx)
		return;
	packet_rx_shut(rx);
	free(rx->frame);
	free(rx->free);
	free(rx->message);
	free(rx);
}

int packet_rx_fd(const struct packet_rx *rx)
{
	return rx->fd;
}

unsigned int packet_rx_lent(const struct packet_rx *rx)
{
	return rx->lent;
}

/* The kernel begins anew with each time that it is asked. */
uint64_t packet_rx_dropped(struct packet_rx *rx)
{
	struct tpacket_stats stats = { 0 };
	socklen_t len = sizeof(stats);

	if (rx->fd >= 0 && !getsockopt(rx->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
		rx->dropped += stats.tp_drops;
	return rx->dropped;
}

const struct packet_rx_counts *packet_rx_counts(const struct packet_rx *rx)
{
	return &rx->counts;
}

/* ---- one message ---- */

/* The tag that the device, or the kernel, took out of the frame; false: none. */
static bool vlan_of(struct msghdr *message, uint16_t *tpid, uint16_t *tci)
{
	struct tpacket_auxdata aux;
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
			return false;
		*tci = aux.tp_vlan_tci;
		*tpid = aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : ETH_P_8021Q;
		return true;
	}
	return false;
}

static void vlan_put_back(struct gw_frame *frame, uint16_t tpid, uint16_t tci)
{
	const uint16_t tag[2] = { htons(tpid), htons(tci) };
	uint8_t *from = frame->own[0].iov_base, *to = from - VLAN_TAG_BYTES;

	memmove(to, from, MAC_BYTES);
	memcpy(to + MAC_BYTES, tag, sizeof(tag));
	frame->own[0].iov_base = to;
	frame->own[0].iov_len += VLAN_TAG_BYTES;
	frame->len += VLAN_TAG_BYTES;
	if (frame->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		frame->header.csum_start += VLAN_TAG_BYTES;
	if (frame->header.hdr_len)
		frame->header.hdr_len += VLAN_TAG_BYTES;
}

/* The kernel writes the header in the byte order of the machine; so are our headers. */
static void header_take(struct gw_frame *frame, const struct virtio_net_hdr *header)
{
	frame->header.flags = header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	frame->header.gso_type = header->gso_type;
	frame->header.gso_size = header->gso_size;
	frame->header.hdr_len = header->hdr_len;
	frame->header.csum_start = header->csum_start;
	frame->header.csum_offset = header->csum_offset;
}

/* The message's bytes as a frame; its buffers are the frame's, and others armed. */
static struct gw_frame *frame_take(struct packet_rx *rx, struct message *message, uint32_t len)
{
	struct gw_frame *frame = &rx->frame[message->buffer[0]];
	unsigned int i = 0;

	memset(frame, 0, offsetof(struct gw_frame, own));
	frame->seg = frame->own;
	frame->len = len;
	header_take(frame, &message->header);
	for (; len; i++) {
		struct iovec *seg = &frame->own[i];

		*seg = message->iov[1 + i];
		if (seg->iov_len > len)
			seg->iov_len = len;
		len -= (uint32_t)seg->iov_len;
		message_arm(rx, message, i);
	}
	frame->seg_count = (uint16_t)i;
	return frame;
}

static uint32_t buffer_of(const struct packet_rx *rx, const struct iovec *seg)
{
	return (uint32_t)((size_t)((uint8_t *)seg->iov_base - rx->pool) / BUFFER_BYTES);
}

static void buffers_home(struct packet_rx *rx, const struct gw_frame *frame)
{
	for (unsigned int i = 0; i < frame->seg_count; i++)
		rx->free[rx->free_count++] = buffer_of(rx, &frame->seg[i]);
}

/* Length of the frame in message m; 0 if there is none that could be taken (counted). */
static uint32_t message_len(struct packet_rx *rx, struct gw_queue *queue, unsigned int m)
{
	uint32_t len = rx->batch[m].msg_len;

	if (len < sizeof(struct virtio_net_hdr) + GW_FRAME_LEN_MIN) {
		gw_queue_rx_drop(queue, GW_DROP_TOO_SHORT, 1);
		return 0;
	}
	len -= (uint32_t)sizeof(struct virtio_net_hdr);
	if (rx->batch[m].msg_hdr.msg_flags & MSG_TRUNC || len > GW_FRAME_LEN_MAX - VLAN_TAG_BYTES) {
		gw_queue_rx_drop(queue, GW_DROP_TOO_LONG, 1);
		gw_counter_add(&rx->counts.too_long, 1);
		return 0;
	}
	return len;
}

/* Message m as a frame; NULL: dropped (counted). */
static struct gw_frame *message_take(struct packet_rx *rx, struct gw_queue *queue, unsigned int m)
{
	uint32_t len = message_len(rx, queue, m);
	struct gw_frame *frame;
	uint16_t tpid, tci;

	if (!len)
		return NULL;
	frame = frame_take(rx, &rx->message[m], len);
	frame->home = queue;
	if (vlan_of(&rx->batch[m].msg_hdr, &tpid, &tci))
		vlan_put_back(frame, tpid, tci);
	memcpy(frame->snapshot, frame->own[0].iov_base, GW_FRAME_SNAPSHOT);
	return frame;
}

/* ---- visits ---- */

/* Messages to ask for: not more than buffers can be armed again. */
static unsigned int messages_wanted(struct packet_rx *rx, unsigned int max)
{
	unsigned int n = rx->free_count / MESSAGE_BUFFERS;

	if (n > rx->message_count)
		n = rx->message_count;
	return n < max ? n : max;
}

unsigned int packet_rx_read(struct packet_rx *rx, struct gw_queue *queue, struct gw_frame **frames,
			    unsigned int max)
{
	unsigned int want = messages_wanted(rx, max), count = 0;
	int got;

	if (rx->fd < 0 || !max)
		return 0;
	if (!want) {
		gw_counter_add(&rx->counts.no_buffers, 1);
		return 0;
	}
	for (unsigned int m = 0; m < want; m++)
		rx->batch[m].msg_hdr.msg_controllen = sizeof(rx->message[m].control);
	got = recvmmsg(rx->fd, rx->batch, want, MSG_DONTWAIT, NULL);
	/* The kernel has no header for some super-frames, of tunnels for example: lost. */
	if (got < 0 && errno == EINVAL)
		gw_queue_rx_drop(queue, GW_DROP_BAD_HEADER, 1);
	for (int m = 0; m < got; m++) {
		frames[count] = message_take(rx, queue, (unsigned int)m);
		count += frames[count] != NULL;
	}
	rx->lent += count;
	gw_counter_add(&rx->counts.frames, count);
	return count;
}

void packet_rx_release(struct packet_rx *rx, struct gw_frame *const *frames, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		buffers_home(rx, frames[i]);
	rx->lent -= count;
}
