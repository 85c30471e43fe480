/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames that are decided about together (desk_lend_run), against the same frames one by one
 * (desk_offer): two worlds that are told the same, at random, and have to stay alike in all
 * that they count, in what reaches the devices, and in what comes home, and in which order.
 */
#include "desk_rig.h"

#include "net_features.h"
#include <stdio.h>
#include <stdlib.h>

#define SEEDS     200u
#define STEPS     120u
#define LENGTH    2000u /* longest frame that the egress takes */
#define LOG_BYTES (64u * 1024u)

static const char *const two[] = { "a=fake:", "d=fake:,loans=40,bounce=24,copybreak=256", NULL };
static const char *const three[] = { "a=fake:", "d=fake:,loans=40,bounce=24", "e=fake:", NULL };
static const char *const sinks[] = { "a=fake:", "d=sink:,bounce=24", "e=sink:", NULL };
static const char *const sink[] = { "a=fake:", "d=sink:,bounce=24", NULL };
static const char *const slots[] = { "a=fake:", "d=ring:", "e=fake:", NULL };
static const char *const *const casts[] = { two, three, sinks, sink, slots };

/* What can be read from outside, as text: the difference is what a failure shows. */
struct diary {
	char text[LOG_BYTES];
	size_t len;
};

struct world {
	struct rig rig;
	struct gw_memmap *memory; /* where frames lie that can be lent */
	bool together;
	struct diary diary;
	struct trace_ring *trace; /* NULL: nobody traces */
	struct gw_frame *waiting[GW_BATCH];
	unsigned int waiting_count;
	struct iovec seg[GW_FRAME_SEGS + 1]; /* of a frame that is too long to have them itself */
	uint8_t sent[FAKE_FRAMES];           /* how often each frame was */
};

static struct world worlds[2];

__attribute__((format(printf, 2, 3))) static void note(struct world *world, const char *format, ...)
{
	struct diary *diary = &world->diary;
	va_list args;

	va_start(args, format);
	diary->len +=
		(size_t)vsnprintf(diary->text + diary->len, LOG_BYTES - diary->len, format, args);
	va_end(args);
	assert_true(diary->len < LOG_BYTES);
}

static void note_tx(void *arg, const struct gw_frame *frame)
{
	note(arg, "tx %u bytes %u segments bounce %u of %u\n", frame->len, frame->seg_count,
	     frame->bounce != 0, frame->pair);
}

/* ---- frames ---- */

/* What a frame is like, so that there can be one in each world. */
struct shape {
	uint32_t len;
	unsigned int segs, egress; /* 0: all */
	uint32_t offset;           /* of its bytes in their page */
	struct gw_memmap *memmap;
	struct virtio_net_hdr_v1 header;
};

static unsigned int below(unsigned int n)
{
	return (unsigned int)rand() % n;
}

static struct shape any_shape(const struct world *world)
{
	static const uint32_t lens[] = { 60, 255, 256, 600, 1000, LENGTH, LENGTH + 1, 9000 };
	static const unsigned int segs[] = { 1, 1, 2, 3, GW_FRAME_SEGS, GW_FRAME_SEGS + 1 };
	struct shape shape = { .len = LEN, .segs = 1, .egress = 1, .memmap = world->memory };

	if (!below(3))
		shape.len = lens[below(8)];
	if (!below(8))
		shape.segs = segs[below(6)];
	if (!below(8))
		shape.offset = below(4096);
	if (!below(24))
		shape.memmap = below(2) ? MEMORY_B : MEMORY_A;
	if (!below(16))
		shape.egress = below(world->rig.count);
	if (!below(24)) {
		shape.header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		shape.header.csum_start = 34;
		shape.header.csum_offset = 16;
	} else if (!below(24)) {
		shape.header.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	}
	return shape;
}

/* The next number that is not on its way. */
static unsigned int idle_id(struct world *world)
{
	struct rig *rig = &world->rig;

	while (world->sent[rig->next_id % FAKE_FRAMES] !=
	       rig->source->came_home[rig->next_id % FAKE_FRAMES])
		rig->next_id++;
	return rig->next_id++ % FAKE_FRAMES;
}

static struct gw_frame *make(struct world *world, const struct shape *shape)
{
	static uint8_t bytes[4096 + 9000] __attribute__((aligned(4096)));
	struct iovec *seg = world->seg;
	unsigned int id = idle_id(world), count = shape->segs;
	struct gw_frame *frame;

	for (unsigned int i = 0; i < count; i++)
		seg[i] = (struct iovec){ bytes + shape->offset + i * (shape->len / count),
					 shape->len / count };
	seg[count - 1].iov_len += shape->len % count;
	world->sent[id]++;
	frame = fake_frame(world->rig.source, id, shape->memmap, seg, count);
	frame->header = shape->header;
	/* Who it is for; nobody looks at it but this test. */
	frame->tag = (void *)(uintptr_t)shape->egress;
	desk_enter(world->rig.port[0]->queue[0], &frame, 1);
	return frame;
}

/* ---- both ways ---- */

static enum desk_verdict offer_one(struct world *world, struct gw_frame *frame)
{
	struct rig *rig = &world->rig;
	unsigned int egress = (unsigned int)(uintptr_t)frame->tag;
	bool may_wait = rig->count == 2;

	for (unsigned int e = 1; e < rig->count; e++)
		if ((!egress || e == egress) &&
		    desk_offer(rig->port[e]->queue[0], frame, may_wait) == DESK_WAIT)
			return DESK_WAIT;
	desk_put(frame);
	return DESK_TAKEN;
}

/* How many of the next have the same egress, one. */
static unsigned int alike(struct gw_frame **frames, unsigned int count)
{
	unsigned int n = 0;

	while (frames[0]->tag && n < count && frames[n]->tag == frames[0]->tag)
		n++;
	return n;
}

static unsigned int send_all(struct world *world, struct gw_frame **frames, unsigned int count)
{
	struct rig *rig = &world->rig;
	unsigned int n = 0;

	while (n < count) {
		unsigned int run = world->together ? alike(frames + n, count - n) : 0, lent = 0;
		uint64_t bytes = 0, sum = 0;

		if (run)
			lent = desk_lend_run(rig->port[(uintptr_t)frames[n]->tag]->queue[0],
					     frames + n, run, rig->count == 2, &bytes);
		for (unsigned int i = 0; i < lent; i++)
			sum += frames[n++]->len;
		assert_int_equal(sum, bytes);
		if (n < count && offer_one(world, frames[n]) == DESK_WAIT)
			break;
		n += n < count;
	}
	return n;
}

static void send_waiting(struct world *world)
{
	unsigned int taken = send_all(world, world->waiting, world->waiting_count);

	world->waiting_count -= taken;
	memmove(world->waiting, world->waiting + taken,
		world->waiting_count * sizeof(world->waiting[0]));
}

/* ---- what is done to them ---- */

static void send(unsigned int count)
{
	struct shape shape[GW_BATCH];

	for (unsigned int i = 0; i < count; i++)
		shape[i] = any_shape(&worlds[0]);
	for (unsigned int w = 0; w < 2; w++) {
		struct world *world = &worlds[w];

		send_waiting(world);
		if (world->waiting_count)
			continue;
		for (unsigned int i = 0; i < count; i++) {
			world->waiting[world->waiting_count++] = make(world, &shape[i]);
			/* The home keeps a long array for one visit. */
			if (shape[i].segs > GW_FRAME_SEGS)
				break;
		}
		send_waiting(world);
	}
}

static void settle(struct world *world, unsigned int complete)
{
	struct rig *rig = &world->rig;

	for (unsigned int e = 1; e < rig->count; e++)
		desk_flush(rig->port[e]->queue[0]);
	for (unsigned int e = 1; e < rig->count; e++) {
		device(rig, e)->complete = complete;
		desk_reap(rig->port[e]->queue[0]);
	}
	desk_release(rig->port[0]->queue[0]);
}

static void answered(struct world *world, unsigned int egress, struct gw_answer what)
{
	pair_set_answer(pair_to(&world->rig, egress), &what, world->memory,
			world->rig.port[egress]->answer_stamp);
}

static void change_answer(void)
{
	static const struct gw_answer answers[] = {
		{ .verdict = GW_YES, .max_segs = GW_FRAME_SEGS_MAX },
		{ .verdict = GW_YES, .max_segs = 2 },
		{ .verdict = GW_YES, .max_segs = 1, .single_page_segs = true },
		{ .verdict = GW_YES, .max_segs = GW_FRAME_SEGS_MAX, .ends_in_tx = true },
		{ .verdict = GW_NO, .reason = GW_COPY_MEMORY_FILE, .max_segs = 1 },
	};
	unsigned int which = below(10);

	for (unsigned int w = 0; w < 2; w++) {
		pair_to(&worlds[w].rig, 1)->asking = false;
		answered(&worlds[w], 1, answers[which < 5 ? which : 0]);
		if (which == 9)
			pair_forget_answer(pair_to(&worlds[w].rig, 1));
	}
}

static void trace(void)
{
	for (unsigned int w = 0; w < 2; w++) {
		struct world *world = &worlds[w];
		struct trace_ring *ring = world->trace ? NULL : trace_ring_create(1);

		trace_tap_set(&pair_to(&world->rig, 1)->trace, 0, ring);
		trace_ring_free(world->trace);
		world->trace = ring;
	}
}

static void note_trace(struct world *world)
{
	const struct gw_trace_event *event;

	while (world->trace && (event = trace_ring_peek(world->trace))) {
		note(world, "trace %u: loan %lu of %u bytes, %s\n", (unsigned int)event->kind,
		     (unsigned long)event->frame.loan, event->frame.bytes,
		     gw_reason_name(event->frame.reason));
		trace_ring_next(world->trace);
	}
}

/* One field of something in both worlds. */
#define both(field, value)                                        \
	do {                                                      \
		__typeof__(worlds[0].rig.field) now_ = (value);   \
		worlds[0].rig.field = worlds[1].rig.field = now_; \
	} while (0)

static void change_something(void)
{
	static const enum gw_reason refusals[] = { GW_DROP_EGRESS_FULL, GW_DROP_EGRESS_PAUSED,
						   GW_DROP_EGRESS_DOWN };
	unsigned int n = below(13), budget = below(2) ? below(50) : UINT32_MAX, refusal = below(3);

	for (unsigned int w = 0; w < 2; w++) {
		device(&worlds[w].rig, 1)->budget = budget;
		device(&worlds[w].rig, 1)->refusal = refusals[refusal];
		device(&worlds[w].rig, 1)->drop = n == 12 ? budget % 8 : 0;
		if (n == 11)
			pair_to(&worlds[w].rig, 1)->loan_never ^= 1;
	}
	if (n == 0)
		both(port[1]->paused, below(2));
	else if (n == 1)
		both(port[1]->queue[0]->stalled, below(2));
	else if (n == 2)
		both(port[1]->queue[0]->untrusted, below(2));
	else if (n == 3)
		both(port[1]->up, below(4) > 0);
	else if (n == 4)
		both(port[0]->queue[0]->queue.in_order, below(2));
	else if (n == 5)
		both(port[0]->queue[0]->queue.lend_max, below(2) ? 0 : 16 + below(64));
	else if (n == 6)
		both(port[1]->answer_stamp,
		     worlds[0].rig.port[1]->answer_stamp + (below(2) ? 1 : PORT_DOUBT));
	else if (n == 7 || n == 8)
		change_answer();
	else if (n == 9 && !worlds[0].memory)
		trace();
	else if (n == 10)
		both(port[1]->queue[0]->pair_from[0]->watch_zero, true);
}

static void all_well(void)
{
	both(port[1]->paused, 0);
	both(port[1]->queue[0]->stalled, false);
	both(port[1]->queue[0]->untrusted, false);
	both(port[1]->up, true);
	for (unsigned int w = 0; w < 2; w++) {
		device(&worlds[w].rig, 1)->budget = UINT32_MAX;
		pair_to(&worlds[w].rig, 1)->loan_never = false;
	}
}

/* ---- what came of it ---- */

static uint64_t times_of(const struct histogram *histogram)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < GW_LATENCY_BUCKETS; i++)
		sum += histogram->bucket[i];
	return sum;
}

static void note_egress(struct world *world, unsigned int e)
{
	const struct port_queue *queue = world->rig.port[e]->queue[0];
	const struct pair *pair = pair_to(&world->rig, e);
	const gw_counter *first = &pair->lent_frames;
	const gw_counter *end = pair->reason_bytes + GW_REASON_COUNT;

	for (const gw_counter *at = first; at < end; at++)
		if (*at)
			note(world, "%u: counter %u is %lu\n", e, (unsigned int)(at - first),
			     (unsigned long)*at);
	note(world, "%u: %u loans, %u bounces, held %u, %u lent, tx %lu of %lu, calls %lu\n", e,
	     pair->loans_out, pair->bounce_out, queue->held, queue->held_loans,
	     (unsigned long)queue->tx_frames, (unsigned long)queue->tx_bytes,
	     (unsigned long)device(&world->rig, e)->tx_calls);
	note(world, "%u: full %u refused %u progress %u asking %u watched %u batch %u\n", e,
	     queue->full, queue->refused, queue->progress, pair->asking, pair->watch_zero,
	     queue->offer.count);
}

static void note_all(struct world *world)
{
	const struct port_queue *source = world->rig.port[0]->queue[0];

	note_trace(world);
	for (unsigned int e = 1; e < world->rig.count; e++)
		note_egress(world, e);
	note(world, "%u lent, %u wait, %lu forward, home:", source->lent_out, world->waiting_count,
	     (unsigned long)times_of(&source->forward));
	for (; world->rig.source->home_next < world->rig.source->home_count;
	     world->rig.source->home_next++)
		note(world, " %u",
		     world->rig.source->home[world->rig.source->home_next % FAKE_FRAMES]);
	note(world, "; %lu times back\n", (unsigned long)times_of(&source->back));
}

/* From the line on that is the first that differs. */
static void check_alike(unsigned int seed, unsigned int step)
{
	const char *one = worlds[0].diary.text, *other = worlds[1].diary.text;
	size_t same = 0;

	while (one[same] && one[same] == other[same])
		same++;
	if (one[same] == other[same])
		return;
	while (same && one[same - 1] != '\n')
		same--;
	fail_msg("seed %u, step %u\none by one:\n%.300s\ntogether:\n%.300s", seed, step, one + same,
		 other + same);
}

static void compare(unsigned int seed, unsigned int step)
{
	for (unsigned int w = 0; w < 2; w++)
		note_all(&worlds[w]);
	check_alike(seed, step);
	for (unsigned int w = 0; w < 2; w++)
		worlds[w].diary.len = 0;
}

static void open_world(struct world *world, const char *const *cast, struct gw_memmap *memory,
		       bool together)
{
	struct gw_answer now;

	memset(world, 0, sizeof(*world));
	world->memory = memory;
	world->together = together;
	rig_open(&world->rig, cast);
	now = yes();
	now.ends_in_tx = world->rig.port[1]->driver == &fake_sink;
	for (unsigned int e = 1; e < world->rig.count; e++) {
		answered(world, e, now);
		device(&world->rig, e)->in_tx = note_tx;
		device(&world->rig, e)->in_arg = world;
		gw_port_set_max_len(world->rig.port[e], LENGTH);
	}
}

/* All that waits goes, and all comes home, once. */
static void close_world(struct world *world)
{
	for (unsigned int i = 0; i < 64; i++) {
		send_waiting(world);
		settle(world, FAKE_FRAMES);
	}
	assert_int_equal(world->waiting_count, 0);
	assert_memory_equal(world->sent, world->rig.source->came_home, sizeof(world->sent));
	for (unsigned int e = 1; e < world->rig.count; e++) {
		assert_int_equal(pair_to(&world->rig, e)->loans_out, 0);
		assert_int_equal(pair_to(&world->rig, e)->bounce_out, 0);
	}
	assert_int_equal(world->rig.port[0]->queue[0]->lent_out, 0);
	trace_ring_free(world->trace);
	rig_close(&world->rig);
}

static void run(unsigned int seed)
{
	const char *const *cast = casts[seed % (sizeof(casts) / sizeof(casts[0]))];

	/* A trace looks up addresses of what is lent, and there is no memory A really. */
	struct gw_memmap *memory = seed / 8 % 2 ? MEMORY_A : NULL;

	srand(seed);
	for (unsigned int w = 0; w < 2; w++)
		open_world(&worlds[w], cast, memory, w);
	for (unsigned int step = 0; step < STEPS; step++) {
		unsigned int complete = below(3) ? FAKE_FRAMES : below(16), what = below(8);
		bool settles = below(4);

		if (!what)
			change_something();
		else if (what == 1)
			all_well();
		else
			send(1 + below(below(2) ? GW_BATCH : 4));
		for (unsigned int w = 0; w < 2 && settles; w++)
			settle(&worlds[w], complete);
		compare(seed, step);
	}
	all_well();
	for (unsigned int w = 0; w < 2; w++)
		close_world(&worlds[w]);
}

static void together_or_one_by_one_all_is_the_same(void **state)
{
	for (unsigned int seed = 1; seed <= SEEDS; seed++)
		run(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(together_or_one_by_one_all_is_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
