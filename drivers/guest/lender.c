/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lending out of the guest's transmit rings.
 *
 * A chain becomes a frame whose segments are the chain's own, less the
 * virtio-net header, which is read once into the frame. Frames are the worker's, while it has
 * some, and then the ring's own, as many as heads: so there is always one (frame_pool.h). The
 * head is completed when the frame comes home, in whatever order that is.
 *
 * A frame with more segments than it has room for borrows an array of the guest's and
 * ends the batch; the core passes such a frame on, or copies it, before it calls
 * rx again. It may wait for that, while the guest receives.
 *
 * Rings of several pairs are asked in turn, and whose turn it is goes round.
 */
#include "guest.h"

#include "apart.h"
#include "atomic.h"
#include "fd.h"
#include "net_header.h"
#include "port_queue.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Chains that are taken at once, and given back. */
#define RUN_MAX     64u
/* Of those that are no run, before the next one is looked for. */
#define SOME_CHAINS 8u

static bool allocate(struct lender *lender, const struct ring_config *config)
{
	if (frame_pool_init(&lender->own, config->size))
		return false;
	if (!config->iotlb)
		return true;
	lender->head = calloc(config->size, sizeof(*lender->head));
	lender->of_head = calloc(config->size, sizeof(*lender->of_head));
	return lender->head && lender->of_head;
}

void lender_place(struct lender *lender, struct gw_queue *queue)
{
	struct frame_pool *shared = port_queue_of(queue)->frames;

	lender->queue = queue;
	lender->from[FROM_SHARED] = (struct lent_from){ lender, shared ? shared : &lender->own };
	lender->from[FROM_OWN] = (struct lent_from){ lender, &lender->own };
}

int lender_create(struct gw_queue *queue, unsigned int pair, const struct session_ring *ring,
		  int event_fd, struct lender **out, struct gw_error *err)
{
	struct lender *lender = gw_alloc_apart(sizeof(*lender));
	struct ring_config config = ring->config;
	int ret;

	if (!lender)
		return gw_error_sys(err, -ENOMEM, "transmit ring");
	config.reads_only = true;
	lender_place(lender, queue);
	lender->pair = pair;
	lender->memmap = ring->config.memmap;
	lender->features = ring->config.features;
	lender->header_len = net_header_len(ring->config.features);
	lender->event_fd = event_fd;
	lender->call_fd = ring->call_fd;
	lender->err_fd = ring->err_fd;
	lender->enabled = ring->enabled;
	lender->kick_fd = ring->kick_fd;
	gw_list_init(&lender->node);
	ret = allocate(lender, &config) ? ring_create(&config, &lender->ring, err)
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
	frame_pool_destroy(&lender->own);
	free(lender->head);
	free(lender->of_head);
	free(lender);
}

/* The first bytes of a frame, once, into private memory: nearly always of one segment. */
static inline void take_snapshot(struct gw_frame *frame)
{
	size_t got = 0;

	if (__builtin_expect(frame->seg->iov_len >= GW_FRAME_SNAPSHOT, 1)) {
		gw_copy_once(frame->snapshot, frame->seg->iov_base, GW_FRAME_SNAPSHOT);
		return;
	}
	for (unsigned int i = 0; got < GW_FRAME_SNAPSHOT; i++) {
		size_t part = frame->seg[i].iov_len;

		if (part > GW_FRAME_SNAPSHOT - got)
			part = GW_FRAME_SNAPSHOT - got;
		memcpy(frame->snapshot + got, frame->seg[i].iov_base, part);
		got += part;
	}
}

/* Why this chain is no frame; GW_REASON_NONE if it is one. */
static inline enum gw_reason check(const struct lender *lender, const struct gw_frame *frame)
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

static inline void place_segments(struct gw_frame *frame, const struct iovec *seg,
				  unsigned int count)
{
	struct guest_queue *own = frame->home->priv;

	frame->seg = count > GW_FRAME_SEGS ? own->long_seg : frame->own;
	frame->seg_count = (uint16_t)count;
	if (count == 1)
		frame->own[0] = *seg;
	else
		memcpy(frame->seg, seg, count * sizeof(*seg));
}

/*
 * Where the next frames are to come from, at most so many: one pool for all of them, so that
 * nothing is asked for each.
 */
static inline struct lent_from *choose(struct lender *lender, unsigned int count)
{
	bool enough = lender->from[FROM_SHARED].pool->idle_count >= count;

	return &lender->from[enough ? FROM_SHARED : FROM_OWN];
}

/* A chain that was popped becomes a frame. False: it was dropped, or the ring is broken now. */
static inline bool make_frame(struct lent_from *from, struct gw_frame *frame,
			      const struct ring_chain *chain, struct iovec *seg)
{
	struct lender *lender = from->lender;
	unsigned int first;
	enum gw_reason reason;

	if (chain->write_count) {
		ring_break(lender->ring, RING_FAULT_DIRECTION);
		return false;
	}
	if (!net_header_strip(seg, chain->read_count, lender->header_len, &frame->header, &first)) {
		ring_break(lender->ring, RING_FAULT_HEADER);
		return false;
	}
	frame->home = lender->queue;
	frame->memmap = lender->memmap;
	frame->tag = from;
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
		return false;
	}
	net_header_tidy(&frame->header, frame->len);
	place_segments(frame, seg + first, chain->read_count - first);
	take_snapshot(frame);
	return true;
}

static void flush(struct lender *lender)
{
	lender->unflushed = false;
	if (ring_flush(lender->ring))
		guest_signal(lender->queue, &lender->call_fd, lender->event_fd);
}

/* What one visit may still take. */
struct visit {
	struct gw_frame **frames;
	unsigned int count, max;
	unsigned int looks, bytes; /* left */
};

static inline bool is_over(const struct visit *visit)
{
	return visit->count >= visit->max || !visit->looks || !visit->bytes;
}

/* Frames that were made are out, and so many chains were looked at. */
static inline void send_out(struct lent_from *from, struct visit *visit, unsigned int frames,
			    unsigned int looks)
{
	from->lender->out += frames;
	frame_pool_took(from->pool, frames);
	visit->count += frames;
	visit->looks -= looks;
}

static inline void take_bytes(struct visit *visit, uint32_t len)
{
	visit->bytes -= len < visit->bytes ? len : visit->bytes;
}

/* Most guests have neither. */
static inline bool is_noted(const struct guest_queue *queue, const struct lender *lender)
{
	return lender->head || queue->receiving_count > 1;
}

/* For who calls frames back (IOMMU), and for steering. */
static void note(struct guest_queue *queue, struct lender *lender, struct gw_frame *frame)
{
	if (lender->head) {
		lender->head[frame->id] = HEAD_OUT;
		lender->of_head[frame->id] = frame;
	}
	if (queue->receiving_count > 1)
		steering_sent(&queue->steering, steering_hash(frame), lender->pair);
}

/*
 * Frames of the first chains of a run, header and frame in one piece: up to one that asks for
 * something or is none, or that the visit is over. Returns how many, and their bytes.
 *
 * What is the same for all of them is at hand in locals: for all that the compiler knows,
 * each frame that is written could lie over it.
 */
static unsigned int make_plain(struct lent_from *from, const struct ring_linear *run,
			       unsigned int count, struct gw_frame **to, unsigned int bytes_max,
			       unsigned int *bytes)
{
	struct gw_frame *const *idle = frame_pool_end(from->pool);
	const struct lender *lender = from->lender;
	struct gw_memmap *memmap = lender->memmap;
	struct gw_queue *home = lender->queue;
	uint32_t header_len = lender->header_len;
	unsigned int n, sum = 0;

	for (n = 0; n < count && sum < bytes_max; n++) {
		struct ring_linear linear = run[n];
		struct gw_frame *frame = *--idle;
		/* Of a chain that is shorter than its header this is more than any limit. */
		uint32_t len = linear.len - header_len;

		if (__builtin_expect(len - GW_FRAME_LEN_MIN > GW_FRAME_LEN_MAX - GW_FRAME_LEN_MIN ||
					     net_header_asks_at(linear.base),
				     0))
			break;
		frame->home = home;
		frame->memmap = memmap;
		frame->seg = frame->own;
		frame->len = len;
		frame->seg_count = 1;
		gw_copy_once(frame->snapshot, linear.base + header_len, GW_FRAME_SNAPSHOT);
		frame->header = (struct virtio_net_hdr_v1){ 0 };
		frame->id = linear.head;
		frame->tag = from;
		frame->own[0] = (struct iovec){ linear.base + header_len, len };
		to[n] = frame;
		sum += len;
	}
	*bytes = sum;
	return n;
}

/* One of a run's for which make_frame has the word. */
static bool make_of_run(struct lent_from *from, struct gw_frame *frame,
			const struct ring_linear *linear)
{
	struct iovec seg = { linear->base, linear->len };
	const struct ring_chain chain = { .head = linear->head,
					  .read_count = 1,
					  .read_bytes = linear->len };

	return make_frame(from, frame, &chain, &seg);
}

/* The next of a run, one or more. Returns how many frames; *looks: of how many chains. */
static unsigned int make_some(struct lent_from *from, const struct ring_linear *run,
			      unsigned int count, struct visit *visit, unsigned int *looks)
{
	struct gw_frame **to = visit->frames + visit->count;
	unsigned int made = 0, bytes = 0;

	if (__builtin_expect(from->lender->enabled, 1))
		made = make_plain(from, run, count, to, visit->bytes, &bytes);
	*looks = made;
	if (__builtin_expect(!made, 0)) {
		*looks = 1;
		*to = frame_pool_end(from->pool)[-1];
		made = make_of_run(from, *to, run);
		bytes = made ? (*to)->len : 0;
	}
	take_bytes(visit, bytes);
	return made;
}

/* Chains of a run, as many as come next. Returns how many there were: 0 says nothing. */
static unsigned int lend_run(struct guest_queue *queue, struct lender *lender, struct visit *visit)
{
	unsigned int max = visit->max - visit->count, count, made, looks, done = 0;
	struct ring_linear run[RUN_MAX];
	struct lent_from *from;

	max = max < visit->looks ? max : visit->looks;
	count = ring_pop_run(lender->ring, run, max < RUN_MAX ? max : RUN_MAX);
	while (done < count && visit->bytes && !ring_fault(lender->ring)) {
		from = choose(lender, count - done);
		made = make_some(from, run + done, count - done, visit, &looks);
		if (is_noted(queue, lender))
			for (unsigned int i = 0; i < made; i++)
				note(queue, lender, visit->frames[visit->count + i]);
		send_out(from, visit, made, looks);
		done += looks;
	}
	if (__builtin_expect(done < count, 0))
		ring_unpop(lender->ring, count - done);
	return count;
}

/* Chains of any kind, some. False: there is none, or the visit is over (long_seg is borrowed). */
static bool lend_some(struct guest_queue *queue, struct lender *lender, struct visit *visit)
{
	struct gw_frame *frame;
	struct lent_from *from;
	struct ring_chain chain;
	bool made;

	for (unsigned int i = 0; i < SOME_CHAINS && !is_over(visit); i++) {
		if (ring_pop(lender->ring, &chain, queue->seg, GW_FRAME_SEGS_MAX) <= 0)
			return false;
		from = choose(lender, 1);
		frame = frame_pool_end(from->pool)[-1];
		made = make_frame(from, frame, &chain, queue->seg);
		if (made) {
			if (is_noted(queue, lender))
				note(queue, lender, frame);
			take_bytes(visit, frame->len);
			visit->frames[visit->count] = frame;
		}
		send_out(from, visit, made, 1);
		if (made && frame->seg != frame->own) {
			visit->looks = 0;
			return false;
		}
	}
	return true;
}

/*
 * One ring's part of a visit; false: the visit is over. Dropped chains count as well: it is
 * bounded whatever is in the ring.
 */
static bool lend(struct guest_queue *queue, struct lender *lender, struct visit *visit)
{
	while (!is_over(visit))
		if (!lend_run(queue, lender, visit) && !lend_some(queue, lender, visit))
			break;
	return !is_over(visit);
}

/* What a ring has to say after it was asked. */
static void settle(struct gw_queue *queue, struct lender *lender)
{
	struct iotlb_miss miss;

	if (lender->unflushed)
		flush(lender);
	if (ring_fault(lender->ring) != RING_FAULT_NONE || memmap_broken(lender->memmap))
		guest_tell_broken(queue, lender->ring, "transmit", lender->pair, &lender->told,
				  &lender->err_fd, lender->event_fd);
	if (__builtin_expect(lender->head && !lender->asking, 0) &&
	    ring_missing(lender->ring, &miss)) {
		lender->asking = true;
		gw_eventfd_signal(lender->event_fd);
	}
}

unsigned int lender_rx(struct gw_queue *queue, struct gw_frame **frames, unsigned int max)
{
	struct guest_queue *own = queue->priv;
	struct visit visit = {
		.frames = frames, .max = max, .looks = max, .bytes = GUEST_VISIT_BYTES
	};
	bool more = true;

	if (__builtin_expect(own->announcement != NULL, 0))
		frames[visit.count++] = announce_take(own);
	for (unsigned int i = 0; i < own->lending_count && more; i++) {
		struct lender *lender = own->lending[own->turn];

		if (++own->turn >= own->lending_count)
			own->turn = 0;
		if (lender->stopping || lender->parted || lender->told)
			continue;
		more = lend(own, lender, &visit);
		settle(queue, lender);
	}
	return visit.count;
}

static void head_home(struct lender *lender, uint32_t id)
{
	if (lender->head[id] == HEAD_STALE && !--lender->stale)
		gw_eventfd_signal(lender->event_fd);
	lender->head[id] = HEAD_HOME;
}

/* Frames from the first one on that are of this lender and pool. Returns how many. */
static unsigned int come_home(const struct lent_from *from, struct gw_frame *const *frames,
			      unsigned int max)
{
	struct gw_frame **idle = frame_pool_end(from->pool);
	struct lender *lender = from->lender;
	uint16_t head[RUN_MAX];
	unsigned int count;

	max = max < RUN_MAX ? max : RUN_MAX;
	for (count = 0; count < max; count++) {
		struct gw_frame *frame = frames[count];

		if (frame->tag != from)
			break;
		head[count] = (uint16_t)frame->id;
		idle[count] = frame;
	}
	frame_pool_got(from->pool, count);
	lender->out -= count;
	if (!lender->ghost) {
		ring_push_run(lender->ring, head, count);
		lender->unflushed = true;
	}
	if (__builtin_expect(lender->head != NULL, 0))
		for (unsigned int i = 0; i < count; i++)
			head_home(lender, head[i]);
	if (!lender->out && (lender->stopping || lender->ghost))
		gw_eventfd_signal(lender->event_fd);
	return count;
}

void lender_release(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count)
{
	unsigned int runs = 0;

	for (unsigned int i = 0; i < count; runs++) {
		if (__builtin_expect(frames[i]->tag != NULL, 1)) {
			i += come_home(frames[i]->tag, frames + i, count - i);
		} else {
			announce_home(queue->priv);
			i++;
		}
	}
	/* All are one's mostly. */
	if (runs == 1)
		count = 1;
	for (unsigned int i = 0; i < count; i++) {
		const struct lent_from *from = frames[i]->tag;

		if (from && from->lender->unflushed)
			flush(from->lender);
	}
}
