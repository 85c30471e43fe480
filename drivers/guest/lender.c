/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lending out of the guest's transmit ring.
 *
 * A chain becomes a frame whose segments are the chain's own, less the
 * virtio-net header, which is read once into the frame. There is a frame for
 * each head, so finding one is an index. The head is completed when the frame
 * comes home, in whatever order that is.
 *
 * A frame with more segments than it has room for borrows the lender's array and
 * ends the batch; the core passes such a frame on, or copies it, before it calls
 * rx again.
 */
#include "guest.h"

#include "fd.h"
#include "net_header.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int lender_create(struct gw_queue *queue, const struct session_ring *ring, int event_fd,
		  struct lender **out, struct gw_error *err)
{
	struct lender *lender = calloc(1, sizeof(*lender));
	int ret;

	if (!lender)
		return gw_error_sys(err, -ENOMEM, "transmit ring");
	lender->queue = queue;
	lender->memmap = ring->config.memmap;
	lender->features = ring->config.features;
	lender->header_len = net_header_len(ring->config.features);
	lender->event_fd = event_fd;
	lender->call_fd = ring->call_fd;
	lender->err_fd = ring->err_fd;
	lender->enabled = ring->enabled;
	gw_list_init(&lender->node);
	lender->frame = calloc(ring->config.size, sizeof(*lender->frame));
	ret = lender->frame ? ring_create(&ring->config, &lender->ring, err)
			    : gw_error_sys(err, -ENOMEM, "transmit ring");
	if (ret) {
		lender_free(lender);
		return ret;
	}
	ring_no_kick(lender->ring);
	*out = lender;
	return 0;
}

void lender_free(struct lender *lender)
{
	if (!lender)
		return;
	ring_destroy(lender->ring);
	free(lender->frame);
	free(lender);
}

/* The first bytes of a frame, once, into private memory. */
static void take_snapshot(struct gw_frame *frame)
{
	size_t got = 0;

	for (unsigned int i = 0; got < GW_FRAME_SNAPSHOT; i++) {
		size_t part = frame->seg[i].iov_len;

		if (part > GW_FRAME_SNAPSHOT - got)
			part = GW_FRAME_SNAPSHOT - got;
		memcpy(frame->snapshot + got, frame->seg[i].iov_base, part);
		got += part;
	}
}

/* Why this chain is no frame; GW_REASON_NONE if it is one. */
static enum gw_reason check(const struct lender *lender, const struct gw_frame *frame)
{
	if (!lender->enabled)
		return GW_DROP_RING_DISABLED;
	if (frame->len < GW_FRAME_LEN_MIN)
		return GW_DROP_TOO_SHORT;
	if (frame->len > GW_FRAME_LEN_MAX)
		return GW_DROP_TOO_LONG;
	if (!net_header_valid(&frame->header, lender->features, frame->len))
		return GW_DROP_BAD_HEADER;
	return GW_REASON_NONE;
}

static void place_segments(struct gw_frame *frame, struct iovec *seg, unsigned int count)
{
	frame->seg = seg;
	frame->seg_count = (uint16_t)count;
	if (count > GW_FRAME_SEGS)
		return;
	memcpy(frame->own, seg, count * sizeof(*seg));
	frame->seg = frame->own;
}

/* A chain that was popped becomes a frame; NULL: it was dropped, or the ring is broken now. */
static struct gw_frame *make_frame(struct lender *lender, const struct ring_chain *chain)
{
	struct gw_frame *frame = &lender->frame[chain->head];
	unsigned int first;
	enum gw_reason reason;

	if (chain->write_count) {
		ring_break(lender->ring, RING_FAULT_DIRECTION);
		return NULL;
	}
	if (!net_header_strip(lender->seg, chain->read_count, lender->header_len, &frame->header,
			      &first)) {
		ring_break(lender->ring, RING_FAULT_HEADER);
		return NULL;
	}
	frame->home = lender->queue;
	frame->memmap = lender->memmap;
	frame->tag = lender;
	frame->id = chain->head;
	/* More than 4 GiB in one chain is cut here and is too long in either case. */
	frame->len = chain->read_bytes - lender->header_len > UINT32_MAX
			     ? UINT32_MAX
			     : (uint32_t)(chain->read_bytes - lender->header_len);
	reason = check(lender, frame);
	if (reason != GW_REASON_NONE) {
		gw_queue_rx_drop(lender->queue, reason, 1);
		ring_push(lender->ring, chain->head, 0);
		lender->unflushed = true;
		return NULL;
	}
	net_header_tidy(&frame->header, frame->len);
	place_segments(frame, lender->seg + first, chain->read_count - first);
	take_snapshot(frame);
	return frame;
}

static void flush(struct lender *lender)
{
	lender->unflushed = false;
	if (ring_flush(lender->ring))
		guest_signal(lender->queue, &lender->call_fd, lender->event_fd);
}

unsigned int lender_rx(struct gw_queue *queue, struct gw_frame **frames, unsigned int max)
{
	struct guest *guest = queue->priv;
	struct lender *lender = guest->lender;
	unsigned int count = 0, bytes = 0;
	struct ring_chain chain;
	int got = 0;

	if (!lender || lender->stopping || lender->told)
		return 0;
	/* Dropped chains count as well: a visit is bounded whatever is in the ring. */
	for (unsigned int i = 0; i < max && count < max && bytes < GUEST_VISIT_BYTES; i++) {
		struct gw_frame *frame;

		got = ring_pop(lender->ring, &chain, lender->seg, GW_FRAME_SEGS_MAX);
		if (got <= 0)
			break;
		frame = make_frame(lender, &chain);
		if (!frame)
			continue;
		lender->out++;
		bytes += frame->len;
		frames[count++] = frame;
		if (frame->seg != frame->own)
			break;
	}
	if (lender->unflushed)
		flush(lender);
	if (got < 0 || memmap_broken(lender->memmap))
		guest_tell_broken(queue, lender->ring, "transmit", &lender->told, &lender->err_fd,
				  lender->event_fd);
	return count;
}

static void come_home(struct lender *lender, const struct gw_frame *frame)
{
	lender->out--;
	if (!lender->ghost) {
		ring_push(lender->ring, (uint16_t)frame->id, 0);
		lender->unflushed = true;
	}
	if (!lender->out && (lender->stopping || lender->ghost))
		gw_eventfd_signal(lender->event_fd);
}

void lender_release(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count)
{
	struct guest *guest = queue->priv;

	for (unsigned int i = 0; i < count; i++)
		come_home(frames[i]->tag, frames[i]);
	if (guest->lender && guest->lender->unflushed)
		flush(guest->lender);
}
