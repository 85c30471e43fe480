/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker functions of the driver's table: which frame takes which channel.
 *
 * A lent frame can only leave through the channel that has its memory registered. A
 * copied one could take any, since the arena is part of all, but takes the one that
 * lent frames of its source take: copies and loans of one flow must not overtake
 * each other in two queues. So each source has one channel, found by one compare.
 * When a source changes channels, the new one does not show the kernel what it was
 * given (xdp_tx.behind) until the old one has nothing of that source any more.
 *
 * While a channel changes its memory (window.c) copies take another one, and so nobody
 * notices. What only this channel could send waits, in the core's batch, or at a source
 * that has no other way.
 */
#include "xdp.h"

#include "packet_rx.h"

/* ---- frames out ---- */

/* True while channels other than its own have frames of the source, and will complete them. */
static bool source_is_elsewhere(const struct xdp_port *p, const struct xdp_source *source)
{
	for (unsigned int i = 0; i < p->channel_count; i++)
		if (i != source->channel && source->out[i] && p->channel[i].xsk)
			return true;
	return false;
}

static void source_move(struct xdp_port *p, struct xdp_source *source, struct xdp_channel *to)
{
	source->channel = to->index;
	if (!to->tx.behind && source_is_elsewhere(p, source))
		to->tx.behind = source;
}

static struct xdp_channel *channel_search(struct xdp_port *p, struct xdp_source *source,
					  const struct gw_frame *frame)
{
	struct xdp_channel *found = NULL;

	for (unsigned int i = 0; i < p->channel_count && !found; i++)
		if (channel_takes(&p->channel[i]) &&
		    (!frame->memmap || p->channel[i].tx.memmap == frame->memmap))
			found = &p->channel[i];
	if (found)
		source_move(p, source, found);
	return found ? found : &p->channel[0];
}

static struct xdp_channel *channel_for(struct xdp_port *p, const struct gw_frame *frame)
{
	struct xdp_source *source = &p->source[frame->pair % XDP_SOURCES];
	struct xdp_channel *ch = &p->channel[source->channel];

	if (channel_takes(ch) && (!frame->memmap || frame->memmap == ch->tx.memmap))
		return ch;
	return channel_search(p, source, frame);
}

/* Shows the kernel what it was given, unless that has to wait. */
static void channel_flush(struct xdp_port *p, struct xdp_channel *ch)
{
	if (ch->tx.behind && source_is_elsewhere(p, ch->tx.behind))
		return;
	ch->tx.behind = NULL;
	tx_publish(ch);
}

void xdp_collect(struct xdp_port *p)
{
	struct xdp_channel *ch;

	for (unsigned int i = 0; i < p->channel_count; i++)
		tx_collect(&p->channel[i]);
	for (unsigned int i = 0; i < p->channel_count; i++) {
		ch = &p->channel[i];
		if (ch->tx.behind && ch->xsk)
			channel_flush(p, ch);
	}
}

/* Taken, but never given to the device: counted here, and only here. */
static void drop(struct xdp_channel *ch, struct gw_frame *frame, enum gw_reason reason)
{
	gw_queue_drop(ch->p->queue, frame, reason);
	ch->tx.held++;
	tx_done(ch, frame, GW_DONE_OK);
}

static bool is_open(const struct xdp_channel *ch)
{
	return channel_takes(ch) && !ch->tx.link_down && !gw_load_relaxed(&ch->broken);
}

/*
 * Takes a frame, or says why not (p->queue->refusal). What one channel has no room
 * for must not stop the frames behind it, which may be other guests' and go through
 * other channels: with several lenders it is dropped. One that changes its memory
 * will take frames again, so they can wait at a source with no other way.
 */
static bool take(struct xdp_channel *ch, struct gw_frame *frame)
{
	enum gw_reason refusal = ch->changing ? GW_DROP_EGRESS_PAUSED : GW_DROP_EGRESS_DOWN;

	/* Nowhere to note that it is over. */
	if (ch->tx.held > ch->tx.done_mask) {
		ch->p->queue->refusal = GW_DROP_EGRESS_FULL;
		return false;
	}
	if (is_open(ch)) {
		switch (tx_put(ch, frame)) {
		case PUT_OK:
			return true;
		case PUT_BAD:
			drop(ch, frame, GW_DROP_DEVICE_ERROR);
			return true;
		case PUT_FULL:
			refusal = GW_DROP_EGRESS_FULL;
			break;
		}
	}
	if (ch->p->lenders > (ch->changing ? 0u : 1u)) {
		drop(ch, frame, refusal);
		return true;
	}
	ch->p->queue->refusal = refusal;
	return false;
}

unsigned int xdp_tx(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count)
{
	struct xdp_port *p = queue->priv;
	unsigned int touched = 0, i, taken;

	for (i = 0; i < p->channel_count; i++)
		if (p->channel[i].xsk && p->channel[i].tx.link_down)
			tx_kick(&p->channel[i]);
	xdp_collect(p);
	for (i = 0; i < count; i += taken) {
		struct xdp_channel *ch = channel_for(p, frames[i]);

		taken = is_open(ch) ? tx_put_run(ch, frames + i, count - i) : 0;
		if (!taken)
			taken = take(ch, frames[i]);
		if (!taken)
			break;
		touched |= 1u << ch->index;
	}
	for (; touched; touched &= touched - 1) {
		struct xdp_channel *ch = &p->channel[__builtin_ctz(touched)];

		if (ch->xsk)
			channel_flush(p, ch);
	}
	if (i)
		watch_busy(p);
	return i;
}

static unsigned int channel_reap(struct xdp_channel *ch, struct gw_done *done, unsigned int max)
{
	struct xdp_tx *tx = &ch->tx;
	unsigned int n = 0;

	for (; n < max && tx->done_head != tx->done_tail; n++)
		done[n] = tx->done[tx->done_head++ & tx->done_mask];
	tx->held -= n;
	return n;
}

unsigned int xdp_reap(struct gw_queue *queue, struct gw_done *done, unsigned int max)
{
	struct xdp_port *p = queue->priv;
	unsigned int n = 0;

	xdp_collect(p);
	for (unsigned int i = 0; i < p->channel_count && n < max; i++)
		n += channel_reap(&p->channel[i], done + n, max - n);
	return n;
}

/* ---- frames in ---- */

unsigned int xdp_rx(struct gw_queue *queue, struct gw_frame **frames, unsigned int max)
{
	struct xdp_port *p = queue->priv;
	unsigned int n = 0, first = p->rx_next;

	if (p->packet)
		return packet_rx_read(p->packet, queue, frames, max);
	for (unsigned int i = 0; i < p->channel_count && n < max; i++) {
		unsigned int at = first + i;

		at -= at < p->channel_count ? 0 : p->channel_count;
		n += rx_read(&p->channel[at], frames + n, max - n);
	}
	p->rx_next = first + 1 < p->channel_count ? first + 1 : 0;
	if (n)
		watch_busy(p);
	return n;
}

void xdp_release(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count)
{
	struct xdp_port *p = queue->priv;

	if (p->packet) {
		packet_rx_release(p->packet, frames, count);
		return;
	}
	for (unsigned int i = 0; i < count; i++)
		rx_home(frames[i]->tag, frames[i]);
	for (unsigned int i = 0; i < p->channel_count; i++)
		rx_refill(&p->channel[i]);
}

/* ---- for people ---- */

void xdp_device_counts(struct gw_queue *queue, uint64_t counts[GW_DEVICE_COUNT])
{
	struct xdp_port *p = queue->priv;

	for (unsigned int i = 0; i < p->channel_count; i++) {
		for (unsigned int k = 0; k < GW_DEVICE_COUNT; k++)
			counts[k] += p->channel[i].counts[k];
		counts[GW_DEVICE_TX_DROPPED] += gw_counter_read(&p->channel[i].tx.dropped);
		if (p->channel[i].xsk)
			xsk_count(p->channel[i].xsk, counts);
	}
	if (p->packet)
		counts[GW_DEVICE_RX_DROPPED] += packet_rx_dropped(p->packet);
}

/* ---- before sleep ---- */

bool xdp_arm(struct gw_queue *queue, unsigned int wants, unsigned int *poll_us)
{
	struct xdp_port *p = queue->priv;
	bool busy = false;

	*poll_us = 0;
	if (wants && !watch_sleep(p))
		*poll_us = XDP_UNWATCHED_US;
	for (unsigned int i = 0; i < p->channel_count && wants; i++) {
		unsigned int us = 0;

		if (wants & GW_WANT_RX && !p->packet)
			busy |= rx_arm(&p->channel[i]);
		busy |= tx_arm(&p->channel[i], &us);
		if (us && (!*poll_us || us < *poll_us))
			*poll_us = us;
	}
	return busy;
}
