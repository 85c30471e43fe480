/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tap driver: frames to and from this host's own network stack.
 *
 * Transmit is one writev() for each frame: its virtio-net header and its segments,
 * wherever they lie. The kernel copies the bytes once before it returns (there is
 * no zero-copy from user space into a tap), so each loan is over within tx and a
 * bounce would only add a second copy.
 *
 * Receive is one readv() for each frame into arena buffers. What the kernel sends
 * comes as its sender left it, with a partial checksum and as a super-frame of up to
 * 64 KiB, and is lent up so, with its header; offloads=off has the kernel complete
 * and cut everything first, and then we take no such frames either.
 *
 * The descriptor is held from open to close. An interface that does not exist is
 * made by open, set up by start, and gone after close. One that exists (persistent)
 * is an administrator's: its state and addresses are left alone.
 *
 * While the interface is down, frames are dropped (egress_down); nothing else
 * happens, and when it is up again they pass. One that was deleted is attached to anew
 * when somebody has made it again; the descriptor is still good for that.
 *
 * Waking is edge triggered, because otherwise a worker would spin while all
 * receive buffers are lent out and the tap has more: `more` remembers that reading
 * has not come to an end, and arm says so as soon as there is a buffer again.
 */
#include "rx_pool.h"
#include "tap_interface.h"
#include "tap_probe.h"
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* UIO_MAXIOV, which <limits.h> does not promise: entries of one writev. One is the header. */
#define WRITE_SEGS_MAX   1024u
#define RX_BUFFERS       256u
/* Frames that waited in the kernel while the port was stopped: how many are thrown away at most. */
#define STALE_FRAMES_MAX 4096u
/* After the kernel had no memory for a frame. */
#define RETRY_US         1000u

enum { WORD_OFF = 0, WORD_ON };
static const char *const switch_words[] = { "off", "on", NULL };

static const struct gw_option tap_options[] = {
	{ "offloads", "on|off", "on",
	  "leave checksums and segmentation to the kernel, and let it leave them to us" },
	{ NULL, NULL, NULL, NULL },
};

struct tap {
	struct tap_interface interface;
	struct rx_pool *pool;
	uint32_t max_len;
	bool offloads_wanted;
	unsigned int read_segs; /* buffers that the longest frame, and one byte more, needs */
	bool more;              /* worker: the tap may have frames that were not read */
};

/* ---- worker ---- */

/* Why a frame that was read with this header cannot be lent; GW_REASON_NONE: it can. */
static enum gw_reason fault_of(const struct tap *tap, const struct virtio_net_hdr_v1 *header,
			       uint32_t len)
{
	bool super = header->gso_type != VIRTIO_NET_HDR_GSO_NONE;

	if (len < GW_FRAME_LEN_MIN)
		return GW_DROP_TOO_SHORT;
	if (len > (super ? GW_FRAME_LEN_MAX : tap->max_len))
		return GW_DROP_TOO_LONG;
	if (!tap->interface.offloads && (super || header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return GW_DROP_BAD_HEADER;
	return GW_REASON_NONE;
}

/*
 * Reads one frame into free buffers. 1; 0: there is none, or no room; -1: it was
 * dropped.
 */
static int read_frame(struct gw_queue *queue, struct gw_frame **frame)
{
	struct tap *tap = queue->priv;
	struct virtio_net_hdr_v1 header;
	struct iovec seg[1 + RX_POOL_SEGS_MAX] = { { &header, TAP_HEADER_BYTES } };
	enum gw_reason fault;
	ssize_t bytes;
	uint32_t len;

	if (rx_pool_room(tap->pool, seg + 1, tap->read_segs) < tap->read_segs)
		return 0;
	bytes = readv(tap->interface.fd, seg, (int)(1 + tap->read_segs));
	if (bytes < 0) {
		/*
		 * EAGAIN: empty. Anything else (EBADFD: it was deleted) ends in
		 * silence, not in a spin.
		 */
		tap->more = errno == EINTR;
		return 0;
	}
	len = bytes > (ssize_t)TAP_HEADER_BYTES ? (uint32_t)bytes - TAP_HEADER_BYTES : 0;
	fault = fault_of(tap, &header, len);
	if (fault != GW_REASON_NONE) {
		gw_queue_rx_drop(queue, fault, 1);
		return -1;
	}
	*frame = rx_pool_take(tap->pool, queue, len);
	(*frame)->header = header;
	/* What else it says is for receivers of frames that a device has checked. */
	(*frame)->header.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	return 1;
}

static unsigned int tap_rx(struct gw_queue *queue, struct gw_frame **frames, unsigned int max)
{
	struct tap *tap = queue->priv;
	unsigned int count = 0;

	tap->more = true;
	for (unsigned int i = 0; i < max; i++) {
		int got = read_frame(queue, &frames[count]);

		if (!got)
			break;
		count += got > 0;
	}
	return count;
}

static void tap_release(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count)
{
	struct tap *tap = queue->priv;

	for (unsigned int i = 0; i < count; i++)
		rx_pool_put(tap->pool, frames[i]);
}

enum sent { SENT = 0, SENT_NOT_NOW, SENT_NEVER };

static enum sent write_frame(struct gw_queue *queue, const struct gw_frame *frame)
{
	struct tap *tap = queue->priv;
	struct virtio_net_hdr_v1 header = frame->header;
	struct iovec seg[WRITE_SEGS_MAX];
	ssize_t written;

	seg[0] = (struct iovec){ &header, TAP_HEADER_BYTES };
	memcpy(seg + 1, frame->seg, frame->seg_count * sizeof(*seg));
	do
		written = writev(tap->interface.fd, seg, 1 + frame->seg_count);
	while (written < 0 && errno == EINTR);
	if (written >= 0)
		return SENT;
	switch (errno) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		return SENT_NOT_NOW;
	case EIO:    /* the interface is down */
	case EBADFD: /* it was deleted */
		gw_queue_drop(queue, frame, GW_DROP_EGRESS_DOWN);
		return SENT_NEVER;
	case EINVAL: /* the header is not true of the frame */
		gw_queue_drop(queue, frame, GW_DROP_BAD_HEADER);
		return SENT_NEVER;
	default: /* EFAULT: the memory was truncated */
		gw_queue_drop(queue, frame, GW_DROP_DEVICE_ERROR);
		return SENT_NEVER;
	}
}

static unsigned int tap_tx(struct gw_queue *queue, struct gw_frame *const *frames,
			   unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		if (write_frame(queue, frames[i]) == SENT_NOT_NOW) {
			queue->refusal = GW_DROP_EGRESS_FULL;
			return i;
		}
	}
	return count;
}

static bool tap_arm(struct gw_queue *queue, unsigned int wants, unsigned int *poll_us)
{
	struct tap *tap = queue->priv;
	struct iovec room[RX_POOL_SEGS_MAX];

	if (wants & GW_WANT_TX)
		*poll_us = RETRY_US;
	return wants & GW_WANT_RX && tap->more &&
	       rx_pool_room(tap->pool, room, tap->read_segs) == tap->read_segs;
}

/* ---- control ---- */

static void tap_close(struct gw_port *port)
{
	struct tap *tap = gw_port_priv(port);

	if (!tap)
		return;
	gw_port_set_priv(port, NULL);
	gw_port_queue(port, 0)->priv = NULL;
	tap_interface_close(&tap->interface);
	rx_pool_close(tap->pool);
	free(tap);
}

static unsigned int tap_arena_buffers(struct gw_port *port)
{
	return RX_BUFFERS;
}

static int tap_open(struct gw_port *port, struct gw_error *err)
{
	struct tap *tap = calloc(1, sizeof(*tap));
	unsigned int offloads;
	int ret;

	if (!tap)
		return gw_error_set(err, -ENOMEM, "port %s: no memory", gw_port_name(port));
	tap->interface.fd = -1;
	gw_port_set_priv(port, tap);
	gw_port_queue(port, 0)->priv = tap;
	ret = gw_port_option_word(port, "offloads", switch_words, &offloads, err);
	if (!ret)
		tap->offloads_wanted = offloads == WORD_ON;
	if (!ret)
		ret = tap_interface_open(port, tap->offloads_wanted, &tap->interface, err);
	if (!ret)
		ret = rx_pool_open(port, RX_BUFFERS, &tap->pool, err);
	if (ret)
		tap_close(port);
	return ret;
}

static void apply_start(void *arg)
{
	struct gw_queue *queue = gw_port_queue(arg, 0);
	struct tap *tap = queue->priv;

	queue->fd[0].fd = tap->interface.fd;
	queue->fd[0].events = EPOLLIN | EPOLLET;
	queue->lend_max = RX_BUFFERS;
	tap->more = true;
}

static void apply_stop(void *arg)
{
	struct gw_queue *queue = gw_port_queue(arg, 0);

	queue->fd[0].fd = -1;
}

/* What came while nobody read is old by now. */
static void discard_stale(const struct tap *tap)
{
	uint8_t byte;
	struct iovec seg = { &byte, sizeof(byte) };

	for (unsigned int i = 0; i < STALE_FRAMES_MAX; i++)
		if (readv(tap->interface.fd, &seg, 1) < 0 && errno != EINVAL)
			return;
}

static void report_started(struct gw_port *port, const struct tap *tap, uint32_t mtu)
{
	const struct gw_offloads offloads = { .takes = tap->interface.offloads };

	gw_port_set_max_len(port, tap->max_len);
	gw_port_set_offloads(port, &offloads);
	gw_port_set_reads(port, GW_READS_KERNEL_COPY);
	gw_port_set_status(port, "%s interface %s, MTU %u, offloads %s",
			   tap->interface.created ? "new" : "existing", gw_port_target(port), mtu,
			   !offloads.takes                   ? "off"
			   : offloads.takes & GW_OFFLOAD_USO ? "on"
							     : "on, but none for UDP");
}

static int tap_start(struct gw_port *port, struct gw_error *err)
{
	struct tap *tap = gw_port_priv(port);
	bool fresh = !tap->interface.taken && !tap->interface.left;
	uint32_t mtu;
	int ret = tap_interface_keep(port, tap->offloads_wanted, &tap->interface, err);

	if (!ret)
		ret = tap_interface_mtu(port, &mtu, err);
	if (!ret)
		ret = tap_interface_up(port, &tap->interface, err);
	if (!ret)
		ret = tap_interface_back(port, &tap->interface, err);
	if (ret)
		return ret;
	tap->max_len = tap_interface_max_len(mtu);
	tap->read_segs = rx_pool_buffers(tap->max_len + 1);
	if (tap->interface.offloads || tap->read_segs > RX_POOL_SEGS_MAX)
		tap->read_segs = RX_POOL_SEGS_MAX;
	if (fresh)
		discard_stale(tap);
	gw_port_apply(port, apply_start, port);
	report_started(port, tap, mtu);
	return 0;
}

/* To make one takes a right that the program may have given up after its start. */
static void report_stopped(struct gw_port *port, const struct tap *tap)
{
	if (tap_interface_exists(port))
		gw_port_set_status(port, "stopped");
	else
		gw_port_set_status(port,
				   "make a tap of that name (ip tuntap add dev %s mode tap)%s",
				   gw_port_target(port),
				   tap->interface.created ? ", or start a new process (guestwired "
							    "--takeover), which does"
							  : "");
}

static int tap_stop(struct gw_port *port, unsigned int deadline_ms)
{
	gw_port_apply(port, apply_stop, port);
	report_stopped(port, gw_port_priv(port));
	return 0;
}

static int tap_leave(struct gw_port *port, unsigned int deadline_ms, struct gw_parcel *parcel)
{
	struct tap *tap = gw_port_priv(port);

	tap_interface_leave(&tap->interface, parcel);
	return tap_stop(port, deadline_ms);
}

static void tap_query(struct gw_port *port, struct gw_memmap *memmap, struct gw_answer *answer)
{
	*answer = (struct gw_answer){
		.verdict = GW_YES,
		.reads = GW_READS_KERNEL_COPY,
		.ends_in_tx = true,
		.max_segs = WRITE_SEGS_MAX - 1,
	};
	snprintf(answer->text, sizeof(answer->text),
		 "the kernel gathers each frame from where it lies and copies it once");
}

/* The interface is opened once. Later there are questions about its MTU only. */
static const struct gw_needs tap_needs = {
	.start_capabilities = 1ull << CAP_NET_ADMIN,
	.families = 1ull << AF_INET | 1ull << AF_UNIX,
};

const struct gw_driver gw_driver_tap = {
	.name = "tap",
	.target = "IFNAME",
	.target_is_interface = true,
	.help = "a tap interface of this host, made if it does not exist",
	.options = tap_options,
	.needs = &tap_needs,
	.probe = tap_probe,
	.arena_buffers = tap_arena_buffers,
	.open = tap_open,
	.start = tap_start,
	.stop = tap_stop,
	.close = tap_close,
	.leave = tap_leave,
	.query = tap_query,
	.rx = tap_rx,
	.release = tap_release,
	.tx = tap_tx,
	.arm = tap_arm,
};
