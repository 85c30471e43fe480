/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receiving: buffers of the arena go to the kernel through the fill ring, come
 * back with frames, are lent, and go to the kernel again when they are home.
 *
 * The arena has the same offsets in each UMEM (it is the first thing in every
 * window), so lent frames do not notice when the socket is changed.
 *
 * Where no XDP program may be loaded the frames come through an AF_PACKET socket
 * instead, into the same buffers (drivers/common/packet_rx.h).
 */
#include "xdp.h"

#include "checksum.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#define ADDR_MASK  XSK_UNALIGNED_BUF_ADDR_MASK
#define ADDR_SHIFT XSK_UNALIGNED_BUF_OFFSET_SHIFT
/* Buffers go back to the kernel when so many have come together, or before sleep. */
#define FILL_BATCH 16u

int rx_init(struct xdp_channel *ch, uint8_t *pool, uint32_t count)
{
	struct xdp_rx *rx = &ch->rx;

	if (!count)
		return 0;
	rx->pool = pool;
	rx->count = count;
	rx->frame = calloc(count, sizeof(*rx->frame));
	rx->free = calloc(count, sizeof(*rx->free));
	rx->state = calloc(count, sizeof(*rx->state));
	if (!rx->frame || !rx->free || !rx->state)
		return -ENOMEM;
	while (rx->free_count < count) {
		rx->free[rx->free_count] = count - 1 - rx->free_count;
		rx->free_count++;
	}
	return 0;
}

void rx_free(struct xdp_channel *ch)
{
	free(ch->rx.frame);
	free(ch->rx.free);
	free(ch->rx.state);
	memset(&ch->rx, 0, sizeof(ch->rx));
}

static uint64_t pool_offset(const struct xdp_channel *ch)
{
	return (uint64_t)(ch->rx.pool - (uint8_t *)ch->p->arena.iov_base);
}

static void fill(struct xdp_channel *ch)
{
	struct xdp_rx *rx = &ch->rx;
	struct xsk_ring *ring = &ch->xsk->fill;
	uint32_t n = xsk_room(ring, rx->free_count), at = ring->mine;
	uint64_t base = pool_offset(ch);

	if (n > rx->free_count)
		n = rx->free_count;
	if (!n)
		return;
	for (; n; n--) {
		uint32_t index = rx->free[--rx->free_count];

		rx->state[index] = RX_KERNEL;
		*xsk_addr(ring, at++) = base + (uint64_t)index * XSK_CHUNK_BYTES;
	}
	xsk_produce(ring, at);
}

/*
 * A zero-copy bind takes the queue's receive side from the kernel's own buffers. What
 * the XDP program lets pass, or all where there is none, is copied out of these and
 * they are used again, without our doing.
 */
static void fill_for_host(struct xdp_channel *ch)
{
	struct xsk_ring *ring = &ch->xsk->fill;
	uint64_t base = (uint64_t)(ch->rx.pass - (uint8_t *)ch->p->arena.iov_base);
	uint32_t n = xsk_room(ring, RULES_PASS_BUFFERS), at = ring->mine;

	for (uint32_t i = 0; i < n && i < RULES_PASS_BUFFERS; i++)
		*xsk_addr(ring, at++) = base + (uint64_t)i * XSK_CHUNK_BYTES;
	xsk_produce(ring, at);
}

void rx_attach(struct xdp_channel *ch)
{
	struct xdp_rx *rx = &ch->rx;

	for (uint32_t i = 0; i < rx->count; i++) {
		if (rx->state[i] != RX_KERNEL)
			continue;
		rx->state[i] = RX_FREE;
		rx->free[rx->free_count++] = i;
	}
	if (ch->p->receive && !ch->p->packet)
		fill(ch);
	else if (rx->pass && ch->xsk->zerocopy)
		fill_for_host(ch);
}

uint32_t rx_unread(const struct xdp_channel *ch)
{
	return ch->xsk && ch->p->receive ? xsk_ready(&ch->xsk->rx, ch->xsk->rx.size) : 0;
}

uint32_t rx_lent(const struct xdp_channel *ch)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ch->rx.count; i++)
		n += ch->rx.state[i] == RX_LENT;
	return n;
}

/* ---- from the ring to a frame ---- */

static void buffer_home(struct xdp_rx *rx, uint32_t index)
{
	rx->state[index] = RX_FREE;
	rx->free[rx->free_count++] = index;
}

/* The buffer that a descriptor is in; -1 if it is none that the kernel has, or too long. */
static int64_t buffer_of(const struct xdp_channel *ch, const struct xdp_desc *desc,
			 struct iovec *seg)
{
	const struct xdp_rx *rx = &ch->rx;
	uint64_t at = (desc->addr & ADDR_MASK) + (desc->addr >> ADDR_SHIFT) - pool_offset(ch);
	uint64_t index = at / XSK_CHUNK_BYTES;

	if (index >= rx->count || rx->state[index] != RX_KERNEL)
		return -1;
	if (desc->len > XSK_CHUNK_BYTES - at % XSK_CHUNK_BYTES)
		return -1;
	seg->iov_base = rx->pool + at;
	seg->iov_len = desc->len;
	return (int64_t)index;
}

/* Descriptors of the frame that begins at `at`; 0 if its end has not come yet. */
static uint32_t frame_pieces(struct xsk_ring *ring, uint32_t at, uint32_t ready)
{
	for (uint32_t n = 1; n <= ready; n++)
		if (!(gw_read_once(&xsk_desc(ring, at + n - 1)->options) & XDP_PKT_CONTD))
			return n;
	return 0;
}

/*
 * Builds the frame of n descriptors at `at`. NULL if it is none (counted); its
 * buffers are free again then.
 */
static struct gw_frame *frame_build(struct xdp_channel *ch, uint32_t at, uint32_t n)
{
	struct xdp_rx *rx = &ch->rx;
	struct gw_frame *frame = NULL;
	uint32_t index[GW_FRAME_SEGS], len = 0, got = 0;
	struct iovec seg[GW_FRAME_SEGS];

	for (uint32_t i = 0; i < n; i++) {
		struct xdp_desc desc = *xsk_desc(&ch->xsk->rx, at + i);
		struct iovec part;
		int64_t buffer = buffer_of(ch, &desc, &part);

		if (buffer < 0) {
			gw_counter_add(&rx->bogus, 1);
		} else if (got == GW_FRAME_SEGS) {
			buffer_home(rx, (uint32_t)buffer);
			len = GW_FRAME_LEN_MAX + 1;
		} else {
			rx->state[buffer] = RX_LENT;
			index[got] = (uint32_t)buffer;
			seg[got++] = part;
			len += desc.len;
		}
	}
	if (got && len >= GW_FRAME_LEN_MIN && len <= GW_FRAME_LEN_MAX &&
	    seg[0].iov_len >= GW_FRAME_SNAPSHOT) {
		frame = &rx->frame[index[0]];
		memset(frame, 0, offsetof(struct gw_frame, own));
		frame->home = ch->p->queue;
		frame->tag = ch;
		frame->seg = frame->own;
		frame->seg_count = (uint16_t)got;
		frame->len = len;
		memcpy(frame->own, seg, got * sizeof(*seg));
		memcpy(frame->snapshot, seg[0].iov_base, GW_FRAME_SNAPSHOT);
		return frame;
	}
	for (uint32_t i = 0; i < got; i++)
		buffer_home(rx, index[i]);
	gw_queue_rx_drop(ch->p->queue,
			 len < GW_FRAME_LEN_MIN ? GW_DROP_TOO_SHORT : GW_DROP_TOO_LONG, 1);
	return NULL;
}

/*
 * The other end of a veth leaves checksums to "the device", and AF_XDP has no
 * word for that: it is found out, and said in the frame's header, for who takes it.
 */
static void note_open_checksum(struct xdp_channel *ch, struct gw_frame *frame)
{
	const struct iovec *first = &frame->seg[0];

	if (!checksum_find_partial(first->iov_base, (uint32_t)first->iov_len, frame->len,
				   &frame->header))
		return;
	gw_counter_add(&ch->rx.partial, 1);
	if (ch->p->partial_warned)
		return;
	ch->p->partial_warned = 1;
	gw_port_log(ch->p->port, LOG_WARNING,
		    "frames arrive on %s with checksums left to a device that is not there; "
		    "they are completed on the way, which costs time: ethtool -K PEER tx off on "
		    "the sending interface",
		    gw_port_target(ch->p->port));
}

/*
 * Longer than the wire could bring: a super-frame of somebody on this host, which
 * nobody has cut. AF_XDP does not tell into what, so it goes on as it is.
 */
static void note_super_frame(struct xdp_channel *ch, const struct gw_frame *frame)
{
	struct xdp_port *p = ch->p;

	if (!p->rx_len_max || frame->len <= p->rx_len_max)
		return;
	gw_counter_add(&ch->rx.super, 1);
	if (p->super_warned)
		return;
	p->super_warned = 1;
	gw_port_log(p->port, LOG_WARNING,
		    "frames longer than its MTU arrive on %s: packets that are to be cut by a "
		    "device that is not there, and too long for most receivers: ethtool -K PEER "
		    "tso off gso off on the sending interface",
		    gw_port_target(p->port));
}

unsigned int rx_read(struct xdp_channel *ch, struct gw_frame **frames, unsigned int max)
{
	struct xsk_ring *ring;
	uint32_t ready, at, n;
	unsigned int count = 0;

	if (!ch->xsk || !ch->p->receive)
		return 0;
	ring = &ch->xsk->rx;
	ready = xsk_ready(ring, ring->size);
	at = ring->mine;
	while (ready && count < max) {
		n = frame_pieces(ring, at, ready);
		if (!n)
			break;
		frames[count] = frame_build(ch, at, n);
		if (frames[count]) {
			note_super_frame(ch, frames[count]);
			note_open_checksum(ch, frames[count++]);
		}
		at += n;
		ready -= n;
	}
	if (at != ring->mine)
		xsk_consume(ring, at);
	rx_refill(ch);
	return count;
}

void rx_home(struct xdp_channel *ch, const struct gw_frame *frame)
{
	struct xdp_rx *rx = &ch->rx;

	for (unsigned int i = 0; i < frame->seg_count; i++) {
		const uint8_t *at = frame->seg[i].iov_base;

		buffer_home(rx, (uint32_t)((size_t)(at - rx->pool) / XSK_CHUNK_BYTES));
	}
}

void rx_refill(struct xdp_channel *ch)
{
	if (ch->xsk && ch->rx.free_count >= FILL_BATCH)
		fill(ch);
}

bool rx_arm(struct xdp_channel *ch)
{
	struct xsk_ring *ring;

	if (!ch->xsk || !ch->p->receive)
		return false;
	fill(ch);
	if (xsk_wants_wakeup(&ch->xsk->fill))
		(void)recvfrom(ch->xsk->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	ring = &ch->xsk->rx;
	return frame_pieces(ring, ring->mine, xsk_ready(ring, ring->size)) != 0;
}
