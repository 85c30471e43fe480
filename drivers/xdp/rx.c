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
#include "packet_rx.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#define ADDR_MASK  XSK_UNALIGNED_BUF_ADDR_MASK
#define ADDR_SHIFT XSK_UNALIGNED_BUF_OFFSET_SHIFT
/* Buffers go back to the kernel when so many have come together, or before sleep. */
#define FILL_BATCH 16u

int rx_init(struct xdp_port *p, struct gw_error *err)
{
	struct xdp_rx *rx = &p->rx;
	uint32_t n = p->rx_entries;

	if (!p->receive)
		return 0;
	rx->pool = gw_port_arena_take(p->port, n, err);
	if (!rx->pool)
		return -ENOMEM;
	rx->count = n;
	rx->frame = calloc(n, sizeof(*rx->frame));
	rx->free = calloc(n, sizeof(*rx->free));
	rx->state = calloc(n, sizeof(*rx->state));
	if (!rx->frame || !rx->free || !rx->state)
		return gw_error_set(err, -ENOMEM, "port %s: no memory for %u receive buffers",
				    gw_port_name(p->port), n);
	while (rx->free_count < n) {
		rx->free[rx->free_count] = n - 1 - rx->free_count;
		rx->free_count++;
	}
	return 0;
}

void rx_free(struct xdp_port *p)
{
	free(p->rx.frame);
	free(p->rx.free);
	free(p->rx.state);
	memset(&p->rx, 0, sizeof(p->rx));
}

static uint64_t pool_offset(const struct xdp_port *p)
{
	return (uint64_t)(p->rx.pool - (uint8_t *)p->arena.iov_base);
}

static void fill(struct xdp_port *p)
{
	struct xdp_rx *rx = &p->rx;
	struct xsk_ring *ring = &p->xsk->fill;
	uint32_t n = xsk_room(ring, rx->free_count), at = ring->mine;
	uint64_t base = pool_offset(p);

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

void rx_attach(struct xdp_port *p)
{
	struct xdp_rx *rx = &p->rx;

	for (uint32_t i = 0; i < rx->count; i++) {
		if (rx->state[i] != RX_KERNEL)
			continue;
		rx->state[i] = RX_FREE;
		rx->free[rx->free_count++] = i;
	}
	if (!p->packet)
		fill(p);
}

uint32_t rx_lent(const struct xdp_port *p)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->rx.count; i++)
		n += p->rx.state[i] == RX_LENT;
	return n;
}

/* ---- from the ring to a frame ---- */

static void buffer_home(struct xdp_rx *rx, uint32_t index)
{
	rx->state[index] = RX_FREE;
	rx->free[rx->free_count++] = index;
}

/* The buffer that a descriptor is in; -1 if it is none that the kernel has, or too long. */
static int64_t buffer_of(const struct xdp_port *p, const struct xdp_desc *desc, struct iovec *seg)
{
	const struct xdp_rx *rx = &p->rx;
	uint64_t at = (desc->addr & ADDR_MASK) + (desc->addr >> ADDR_SHIFT) - pool_offset(p);
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
static struct gw_frame *frame_build(struct xdp_port *p, uint32_t at, uint32_t n)
{
	struct xdp_rx *rx = &p->rx;
	struct gw_frame *frame = NULL;
	uint32_t index[GW_FRAME_SEGS], len = 0, got = 0;
	struct iovec seg[GW_FRAME_SEGS];

	for (uint32_t i = 0; i < n; i++) {
		struct xdp_desc desc = *xsk_desc(&p->xsk->rx, at + i);
		struct iovec part;
		int64_t buffer = buffer_of(p, &desc, &part);

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
		frame->home = p->queue;
		frame->seg = frame->own;
		frame->seg_count = (uint16_t)got;
		frame->len = len;
		memcpy(frame->own, seg, got * sizeof(*seg));
		memcpy(frame->snapshot, seg[0].iov_base, GW_FRAME_SNAPSHOT);
		return frame;
	}
	for (uint32_t i = 0; i < got; i++)
		buffer_home(rx, index[i]);
	gw_queue_rx_drop(p->queue, len < GW_FRAME_LEN_MIN ? GW_DROP_TOO_SHORT : GW_DROP_TOO_LONG,
			 1);
	return NULL;
}

/*
 * The other end of a veth leaves checksums to "the device", and AF_XDP has no
 * word for that. The bytes are ours alone: they are completed here.
 */
static void complete_checksum(struct xdp_port *p, struct gw_frame *frame)
{
	const struct iovec *first = &frame->seg[0];
	struct virtio_net_hdr_v1 header = { 0 };

	if (!checksum_find_partial(first->iov_base, (uint32_t)first->iov_len, frame->len, &header))
		return;
	if (!checksum_complete(frame->seg, frame->seg_count, frame->len, &header))
		return;
	gw_counter_add(&p->rx.partial, 1);
	if (p->partial_warned)
		return;
	p->partial_warned = 1;
	gw_port_log(p->port, LOG_WARNING,
		    "frames arrive on %s with checksums left to a device that is not there; "
		    "they are completed here, which costs time: ethtool -K PEER tx off on the "
		    "sending interface",
		    gw_port_target(p->port));
}

static unsigned int ring_read(struct xdp_port *p, struct gw_frame **frames, unsigned int max)
{
	struct xsk_ring *ring = &p->xsk->rx;
	uint32_t ready = xsk_ready(ring, ring->size), at = ring->mine, n;
	unsigned int count = 0;

	while (ready && count < max) {
		n = frame_pieces(ring, at, ready);
		if (!n)
			break;
		frames[count] = frame_build(p, at, n);
		if (frames[count])
			complete_checksum(p, frames[count++]);
		at += n;
		ready -= n;
	}
	if (at != ring->mine)
		xsk_consume(ring, at);
	if (p->rx.free_count >= FILL_BATCH)
		fill(p);
	return count;
}

unsigned int xdp_rx(struct gw_queue *queue, struct gw_frame **frames, unsigned int max)
{
	struct xdp_port *p = queue->priv;

	if (p->packet)
		return packet_rx_read(p->packet, queue, frames, max);
	if (!p->xsk || !p->receive)
		return 0;
	return ring_read(p, frames, max);
}

void xdp_release(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count)
{
	struct xdp_port *p = queue->priv;
	struct xdp_rx *rx = &p->rx;

	if (p->packet) {
		packet_rx_release(p->packet, frames, count);
		return;
	}
	for (unsigned int i = 0; i < count; i++) {
		const struct gw_frame *frame = frames[i];

		for (unsigned int j = 0; j < frame->seg_count; j++) {
			const uint8_t *at = frame->seg[j].iov_base;

			buffer_home(rx, (uint32_t)((size_t)(at - rx->pool) / XSK_CHUNK_BYTES));
		}
	}
	if (p->xsk && rx->free_count >= FILL_BATCH)
		fill(p);
}

bool rx_arm(struct xdp_port *p)
{
	struct xsk_ring *ring;

	if (p->packet || !p->xsk || !p->receive)
		return false;
	fill(p);
	if (xsk_wants_wakeup(&p->xsk->fill))
		(void)recvfrom(p->xsk->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	ring = &p->xsk->rx;
	return frame_pieces(ring, ring->mine, xsk_ready(ring, ring->size)) != 0;
}
