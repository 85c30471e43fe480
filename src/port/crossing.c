/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pairs of orders:
 *   H  release of `shown`, acquire by the other end: who sees the number sees entries.
 *   I  release of `taken`, acquire by the producer: what is overwritten has been read.
 *   J  fence between the producer's store of `shown` and its load of `wanted`; the
 *      consumer stores `wanted` and then loads `shown`. Without it both could read old
 *      values, and a wake-up would be lost.
 */
#include "crossing_inside.h"

#include "desk.h"
#include "fd.h"
#include <string.h>

_Static_assert((CROSSING_ENTRIES & (CROSSING_ENTRIES - 1)) == 0, "a power of two");
_Static_assert((CROSSING_NEWS & (CROSSING_NEWS - 1)) == 0, "a power of two");

/* ---- rings ---- */

static bool ring_put(struct ring_of_handed *ring, struct handed *handed)
{
	/* Pair I. */
	if (ring->put - gw_load_acquire(&ring->taken) == CROSSING_ENTRIES)
		return false;
	ring->entry[ring->put++ & (CROSSING_ENTRIES - 1)] = handed;
	return true;
}

/* True if the other end is to be woken. */
static bool ring_show(struct ring_of_handed *ring)
{
	if (ring->shown == ring->put)
		return false;
	gw_store_release(&ring->shown, ring->put); /* pair H */
	gw_fence();                                /* pair J */
	if (!gw_load_relaxed(&ring->wanted))
		return false;
	/* Who has set it again meanwhile is woken for nothing, once. */
	gw_store_relaxed(&ring->wanted, 0u);
	return true;
}

static bool ring_has(const struct ring_of_handed *ring)
{
	return gw_load_acquire(&ring->shown) != ring->taken; /* pair H */
}

/* Only where ring_has. The place may be written again after ring_taken. */
static struct handed *ring_take(struct ring_of_handed *ring, uint32_t n)
{
	return ring->entry[(ring->taken + n) & (CROSSING_ENTRIES - 1)];
}

static uint32_t ring_count(const struct ring_of_handed *ring)
{
	return gw_load_acquire(&ring->shown) - ring->taken; /* pair H */
}

static void ring_taken(struct ring_of_handed *ring, uint32_t count)
{
	gw_store_release(&ring->taken, ring->taken + count); /* pair I */
}

/* ---- handing over ---- */

static struct crossing *crossing_of(struct gw_queue *queue)
{
	return (struct crossing *)port_queue_of(queue);
}

static struct handed *handed_of(const struct gw_frame *frame)
{
	return (struct handed *)(uintptr_t)frame;
}

/* Its segments have to be good until it comes back. */
static bool keep_segments(struct crossing *crossing, struct handed *handed,
			  const struct gw_frame *frame)
{
	handed->segs = NULL;
	handed->frame.seg = frame->seg;
	if (__builtin_expect(frame->seg_count <= GW_FRAME_SEGS, 1))
		return true;
	if (!crossing->segs_count)
		return false;
	handed->segs = crossing->segs[crossing->segs_idle[--crossing->segs_count]];
	memcpy(handed->segs, frame->seg, frame->seg_count * sizeof(*frame->seg));
	handed->frame.seg = handed->segs;
	return true;
}

static void fill(struct handed *handed, const struct gw_frame *frame)
{
	struct gw_frame *to = &handed->frame;

	to->memmap = frame->memmap;
	to->len = frame->len;
	to->seg_count = frame->seg_count;
	memcpy(to->snapshot, frame->snapshot, sizeof(to->snapshot));
	to->header = frame->header;
	to->pair = frame->pair;
	to->found_ns = frame->found_ns;
}

bool crossing_hand(struct port_queue *egress, struct pair *pair, struct gw_frame *frame)
{
	struct crossing *crossing = egress->crossing;
	unsigned int lane = egress->queue.deliver_to;
	struct way *way = crossing->to[lane];
	struct handed *handed;

	if (!crossing->idle_count || pair->handed_out >= pair->loans_max + CROSSING_TRANSIT)
		return false;
	handed = crossing->idle[crossing->idle_count - 1];
	if (!keep_segments(crossing, handed, frame))
		return false;
	fill(handed, frame);
	handed->origin = frame;
	handed->pair = pair;
	handed->slot = egress->port->slot;
	if (!ring_put(&way->out, handed)) {
		if (handed->segs)
			crossing->segs_count++;
		return false;
	}
	crossing->idle_count--;
	crossing->put_to |= 1ull << lane;
	crossing->queue.held++;
	pair->handed_out++;
	frame->holders++;
	if (!frame->loans++)
		pair->from->lent_out++;
	return true;
}

bool crossing_is_behind(const struct crossing *crossing)
{
	for (unsigned int i = 0; i < crossing->count; i++) {
		const struct way *way = crossing->to[i];

		if (way && way->out.put - gw_load_relaxed(&way->out.taken) > CROSSING_BEHIND)
			return true;
	}
	return false;
}

/* It is over there; as of the earliest that a device was done with (port_done). */
static void note_done(const struct crossing *crossing, const struct handed *handed)
{
	struct port_clock *clock = crossing->queue.clock;

	if (!clock->done_ns || handed->done_ns < clock->done_ns)
		clock->done_ns = handed->done_ns;
}

static void come_back(struct crossing *crossing, struct handed *handed)
{
	struct gw_frame *origin = handed->origin;
	struct pair *pair = handed->pair;

	if (handed->segs)
		crossing->segs_idle[crossing->segs_count++] =
			(unsigned int)((struct iovec(*)[GW_FRAME_SEGS_MAX])handed->segs -
				       crossing->segs);
	crossing->idle[crossing->idle_count++] = handed;
	pair->handed_out--;
	if (!--origin->loans)
		pair->from->lent_out--;
	if (!handed->done_ns) {
		desk_put(origin);
		return;
	}
	note_done(crossing, handed);
	desk_put_done(origin);
}

static unsigned int crossing_reap(struct gw_queue *queue, struct gw_done *done, unsigned int max)
{
	struct crossing *crossing = crossing_of(queue);

	for (unsigned int i = 0; i < crossing->count; i++) {
		struct way *way = crossing->to[i];
		uint32_t count = way ? ring_count(&way->back) : 0;

		for (uint32_t n = 0; n < count; n++)
			come_back(crossing, ring_take(&way->back, n));
		if (!count)
			continue;
		ring_taken(&way->back, count);
		crossing->queue.held -= count;
		crossing->queue.progress = true;
	}
	/* Nothing that the desk has in its books. */
	return 0;
}

/* ---- what others hand over ---- */

static unsigned int read_way(struct crossing *crossing, struct way *way, struct gw_frame **frames,
			     unsigned int max)
{
	uint32_t count = ring_count(&way->out);

	if (count > max)
		count = max;
	for (uint32_t n = 0; n < count; n++) {
		struct handed *handed = ring_take(&way->out, n);

		handed->way = way;
		handed->lent = false;
		handed->frame.home = &crossing->queue.queue;
		frames[n] = &handed->frame;
	}
	if (count)
		ring_taken(&way->out, count);
	return count;
}

static unsigned int crossing_rx(struct gw_queue *queue, struct gw_frame **frames, unsigned int max)
{
	struct crossing *crossing = crossing_of(queue);
	unsigned int n = 0;

	for (unsigned int i = 0; i < crossing->count && n < max; i++) {
		struct way *way = crossing->from[crossing->turn];

		if (++crossing->turn == crossing->count)
			crossing->turn = 0;
		if (way)
			n += read_way(crossing, way, frames + n, max - n);
	}
	return n;
}

void crossing_taken(const struct gw_frame *frame)
{
	handed_of(frame)->lent = frame->holders > 1;
}

/* What found no room before goes first. */
static void give_back(struct way *way, struct handed *handed)
{
	if (!way->kept && ring_put(&way->back, handed))
		return;
	handed->next = NULL;
	if (!way->kept)
		way->kept_end = &way->kept;
	*way->kept_end = handed;
	way->kept_end = &handed->next;
}

static void crossing_release(struct gw_queue *queue, struct gw_frame *const *frames,
			     unsigned int count)
{
	const struct port_clock *clock = port_queue_of(queue)->clock;
	uint64_t done_ns = clock->done_ns ? clock->done_ns : clock->now_ns;

	for (unsigned int i = 0; i < count; i++) {
		struct handed *handed = handed_of(frames[i]);

		handed->done_ns = handed->lent ? done_ns : 0;
		give_back(handed->way, handed);
		crossing_of(queue)->put_back |= 1ull << handed->way->near_lane;
	}
}

/* ---- showing, sleeping ---- */

/* True if there is more that found no room. */
static bool show_back(struct way *way)
{
	while (way->kept && ring_put(&way->back, way->kept))
		way->kept = way->kept->next;
	if (ring_show(&way->back))
		gw_eventfd_signal(way->near_fd);
	return way->kept;
}

void crossing_show(struct crossing *crossing)
{
	for (; crossing->put_to; crossing->put_to &= crossing->put_to - 1) {
		struct way *way = crossing->to[__builtin_ctzll(crossing->put_to)];

		if (ring_show(&way->out))
			gw_eventfd_signal(way->far_fd);
	}
	for (uint64_t left = crossing->put_back; left; left &= left - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(left);

		if (!show_back(crossing->from[i]))
			crossing->put_back &= ~(1ull << i);
	}
}

/* How often what found no room is offered anew: nobody tells when there is some. */
#define KEPT_LOOK_US 1000u

static bool crossing_arm(struct gw_queue *queue, unsigned int wants, unsigned int *poll_us)
{
	struct crossing *crossing = crossing_of(queue);
	bool work = false;

	for (unsigned int i = 0; i < crossing->count; i++) {
		if (!crossing->to[i])
			continue;
		gw_store_relaxed(&crossing->to[i]->back.wanted, wants != 0);
		gw_store_relaxed(&crossing->from[i]->out.wanted, wants != 0);
	}
	if (!wants)
		return false;
	/* All else has been shown. */
	if (crossing->put_back)
		*poll_us = KEPT_LOOK_US;
	gw_fence(); /* pair J */
	for (unsigned int i = 0; i < crossing->count; i++)
		if (crossing->to[i])
			work |= ring_has(&crossing->to[i]->back) ||
				(wants & GW_WANT_RX && ring_has(&crossing->from[i]->out));
	return work;
}

/* ---- addresses ---- */

void crossing_tell(struct crossing *crossing, uint64_t news)
{
	for (unsigned int i = 0; i < crossing->count; i++) {
		struct way *way = crossing->to[i];

		/* Pair I. */
		if (!way || way->news_put - gw_load_acquire(&way->news_taken) == CROSSING_NEWS)
			continue;
		way->news[way->news_put & (CROSSING_NEWS - 1)] = news;
		gw_store_release(&way->news_put, way->news_put + 1); /* pair H */
	}
}

bool crossing_hear(struct crossing *crossing, uint64_t *news)
{
	for (; crossing->hear_next < crossing->count; crossing->hear_next++) {
		struct way *way = crossing->from[crossing->hear_next];

		/* Pair H. */
		if (!way || gw_load_acquire(&way->news_put) == way->news_taken)
			continue;
		*news = way->news[way->news_taken & (CROSSING_NEWS - 1)];
		gw_store_release(&way->news_taken, way->news_taken + 1); /* pair I */
		return true;
	}
	crossing->hear_next = 0;
	return false;
}

/* ---- looking ---- */

struct port_queue *crossing_queue(struct crossing *crossing)
{
	return &crossing->queue;
}

unsigned int crossing_slot(const struct gw_frame *frame)
{
	return handed_of(frame)->slot;
}

bool crossing_is_clear(const struct crossing *crossing)
{
	for (unsigned int i = 0; i < crossing->count; i++)
		if (crossing->from[i] && crossing->from[i]->out.put != crossing->from[i]->out.taken)
			return false;
	return !crossing->queue.waiting_count;
}

const struct gw_driver crossing_driver = {
	.name = "crossing",
	.rx = crossing_rx,
	.release = crossing_release,
	.reap = crossing_reap,
	.arm = crossing_arm,
};
