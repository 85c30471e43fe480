/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interface mode: the same frames and the same counting on a raw socket, at the far
 * end of a veth or on a tap. Received frames of all ethertypes are seen (others than
 * ours are "unrelated"); frames that this host itself sends are not.
 *
 * With --packet each frame has a virtio-net header before it (PACKET_VNET_HDR), so
 * that the kernel says, and is told, what of a packet is left to be done.
 */
#include "run.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fail.h"
#include "pattern.h"

#define RAW_BATCH        64u
#define RAW_BUFFER_BYTES (32 << 20)
#define RAW_VISITS       16u /* receive batches of one turn */
#define NAP_NS           200000000ll
#define BUSY_NAP_NS      100000ll /* the device's queue is full */
#define NS_PER_S         1000000000ll

struct raw {
	const struct guest_options *options;
	struct guest_summary *summary;
	struct pattern_address address;
	int sock;
	struct packet_shape packet;
	size_t header_len; /* of the virtio-net header; 0 without packets */
	bool full;         /* the last send found no room */
	uint8_t *out, *in; /* RAW_BATCH frames each */
	struct virtio_net_hdr_v1 out_header[RAW_BATCH], in_header[RAW_BATCH];
	struct iovec out_iov[RAW_BATCH][2], in_iov[RAW_BATCH][2]; /* header, frame */
	struct mmsghdr out_msgs[RAW_BATCH], in_msgs[RAW_BATCH];
};

static void set_buffer(int sock, int force, int plain)
{
	int bytes = RAW_BUFFER_BYTES;

	/* Without the privilege the limit of the system applies; that is fine. */
	if (setsockopt(sock, SOL_SOCKET, force, &bytes, sizeof(bytes)) < 0)
		setsockopt(sock, SOL_SOCKET, plain, &bytes, sizeof(bytes));
}

static int open_socket(struct raw *raw, struct fail *fail)
{
	const char *name = raw->options->interface;
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htobe16(ETH_P_ALL) };
	struct packet_mreq promiscuous = { .mr_type = PACKET_MR_PROMISC };
	int one = 1;

	at.sll_ifindex = promiscuous.mr_ifindex = (int)if_nametoindex(name);
	if (!at.sll_ifindex)
		return fail_set(fail, -errno, "no interface %s: %s", name, strerror(errno));
	/* Protocol 0 until bound: no frame of another interface gets in. */
	raw->sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (raw->sock < 0)
		return fail_set(fail, -errno, "cannot make a raw socket: %s (needs CAP_NET_RAW)",
				strerror(errno));
	set_buffer(raw->sock, SO_RCVBUFFORCE, SO_RCVBUF);
	set_buffer(raw->sock, SO_SNDBUFFORCE, SO_SNDBUF);
	if ((raw->header_len &&
	     setsockopt(raw->sock, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) < 0) ||
	    setsockopt(raw->sock, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0 ||
	    setsockopt(raw->sock, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous,
		       sizeof(promiscuous)) < 0 ||
	    bind(raw->sock, (struct sockaddr *)&at, sizeof(at)) < 0)
		return fail_set(fail, -errno, "cannot bind a raw socket to %s: %s", name,
				strerror(errno));
	return 0;
}

static int raw_open(struct raw *raw, const struct guest_options *options,
		    struct guest_summary *summary, struct fail *fail)
{
	memset(raw, 0, sizeof(*raw));
	raw->options = options;
	raw->summary = summary;
	raw->sock = -1;
	raw->address.ethertype = (uint16_t)options->ethertype;
	memcpy(raw->address.src, options->src.bytes, PATTERN_MAC_BYTES);
	memcpy(raw->address.dst, options->dst.bytes, PATTERN_MAC_BYTES);
	raw->packet = options_packet(options);
	raw->packet.partial = options->checksum == CHECKSUM_PARTIAL;
	if (raw->packet.kind != PACKET_RAW)
		raw->header_len = sizeof(struct virtio_net_hdr);
	raw->out = malloc((size_t)RAW_BATCH * GUEST_MAX_FRAME);
	raw->in = malloc((size_t)RAW_BATCH * GUEST_MAX_FRAME);
	if (!raw->out || !raw->in)
		return fail_set(fail, -ENOMEM, "no memory for frames");
	for (size_t i = 0; i < RAW_BATCH; i++) {
		raw->out_iov[i][0] = (struct iovec){ &raw->out_header[i], raw->header_len };
		raw->out_iov[i][1].iov_base = raw->out + i * GUEST_MAX_FRAME;
		raw->in_iov[i][0] = (struct iovec){ &raw->in_header[i], raw->header_len };
		raw->in_iov[i][1] =
			(struct iovec){ raw->in + i * GUEST_MAX_FRAME, GUEST_MAX_FRAME };
		raw->out_msgs[i].msg_hdr.msg_iov = raw->out_iov[i];
		raw->in_msgs[i].msg_hdr.msg_iov = raw->in_iov[i];
		raw->out_msgs[i].msg_hdr.msg_iovlen = raw->in_msgs[i].msg_hdr.msg_iovlen = 2;
	}
	return open_socket(raw, fail);
}

static void raw_close(struct raw *raw)
{
	if (raw->sock >= 0)
		close(raw->sock);
	free(raw->out);
	free(raw->in);
}

static bool retry_later(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == EINTR;
}

static uint32_t pieces(const struct raw *raw, size_t size)
{
	return raw->packet.kind == PACKET_RAW ? 1 : packet_pieces(&raw->packet, size);
}

/* Frame number i of a batch; returns how many pieces it is. */
static uint32_t make_frame(struct raw *raw, uint32_t i, uint64_t sequence)
{
	uint32_t stream = (uint32_t)raw->options->stream;
	struct iovec *frame = &raw->out_iov[i][1];

	frame->iov_len = options_size(raw->options, raw->summary->sent + i);
	if (raw->packet.kind == PACKET_RAW)
		pattern_make(frame->iov_base, frame->iov_len, &raw->address, stream, sequence);
	else
		packet_make(&raw->packet, frame->iov_base, frame->iov_len, stream, sequence,
			    &raw->out_header[i]);
	return pieces(raw, frame->iov_len);
}

/* Returns frames sent, or a negative errno that is none of retry_later. */
static int raw_send(struct raw *raw, uint32_t limit)
{
	struct guest_summary *s = raw->summary;
	uint64_t sequence = s->sent_pieces;
	int sent;

	if (limit > RAW_BATCH)
		limit = RAW_BATCH;
	if (!limit)
		return 0;
	for (uint32_t i = 0; i < limit; i++)
		sequence += make_frame(raw, i, sequence);
	sent = sendmmsg(raw->sock, raw->out_msgs, limit, MSG_DONTWAIT);
	raw->full = sent < 0 && retry_later(errno);
	if (sent < 0)
		return raw->full ? 0 : -errno;
	for (int i = 0; i < sent; i++) {
		s->sent_bytes += raw->out_iov[i][1].iov_len;
		s->sent_pieces += pieces(raw, raw->out_iov[i][1].iov_len);
	}
	s->sent += (uint64_t)sent;
	s->completed = s->sent;
	return sent;
}

static void take_frame(struct raw *raw, uint32_t i)
{
	const uint8_t *frame = raw->in_iov[i][1].iov_base;
	size_t len = raw->in_msgs[i].msg_len - raw->header_len;

	if (raw->packet.kind != PACKET_RAW && packet_is_ours(frame, len, raw->packet.port))
		packet_check(&raw->summary->packets, raw->summary->tally, frame, len,
			     &raw->in_header[i]);
	else
		tally_frame(raw->summary->tally, frame, len);
}

static int raw_receive(struct raw *raw)
{
	int total = 0, got;

	for (uint32_t visit = 0; visit < RAW_VISITS; visit++) {
		got = recvmmsg(raw->sock, raw->in_msgs, RAW_BATCH, MSG_DONTWAIT, NULL);
		if (got <= 0)
			return got < 0 && !retry_later(errno) ? -errno : total;
		for (int i = 0; i < got; i++)
			take_frame(raw, (uint32_t)i);
		total += got;
		if (got < (int)RAW_BATCH)
			break;
	}
	return total;
}

static void raw_nap(struct raw *raw, struct pacer *pacer)
{
	int64_t ns = pacer_sleep_ns(pacer, raw->summary->sent, raw->full ? BUSY_NAP_NS : NAP_NS);
	struct timespec ts = { ns / NS_PER_S, ns % NS_PER_S };
	struct pollfd wait[] = { { .fd = raw->sock, .events = POLLIN },
				 { .fd = pacer->signal_fd, .events = POLLIN } };

	ppoll(wait, 2, &ts, NULL);
}

static void raw_exchange(struct raw *raw, struct pacer *pacer)
{
	struct guest_summary *s = raw->summary;

	for (;;) {
		int got = raw_receive(raw);
		int sent = raw_send(
			raw, pacer_allowance(pacer, s->sent, s->sent_pieces, s->tally->frames));

		if (sent < 0 || got < 0) {
			int error = sent < 0 ? -sent : -got;

			summary_error(s, EXIT_WRONG, "%s on %s: %s",
				      sent < 0 ? "sending" : "receiving", raw->options->interface,
				      strerror(error));
			return;
		}
		pacer_read_signal(pacer);
		pacer_tick(pacer, s);
		if (pacer_finished(pacer, s, true))
			return;
		if (!sent && !got && !raw->options->poll)
			raw_nap(raw, pacer);
	}
}

static void read_drops(struct raw *raw)
{
	struct tpacket_stats stats = { 0 };
	socklen_t len = sizeof(stats);

	if (getsockopt(raw->sock, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
		raw->summary->kernel_drops = stats.tp_drops;
}

void run_interface(const struct guest_options *options, struct pacer *pacer,
		   struct guest_summary *summary)
{
	struct fail fail;
	struct raw raw;

	if (raw_open(&raw, options, summary, &fail) < 0) {
		summary_error(summary, EXIT_PROTOCOL, "%s", fail.text);
	} else {
		run_ready(options);
		pacer->pieces_max = pieces(&raw, (size_t)options->size.high);
		pacer_start(pacer);
		raw_exchange(&raw, pacer);
		summary->interrupted = pacer->interrupted;
		read_drops(&raw);
	}
	raw_close(&raw);
}
