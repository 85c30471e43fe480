/* SPDX-License-Identifier: BSD-2-Clause */
/* Two lanes of a network: frames that cross, and addresses that are told. */
#include "network.h"

#include "fake_device.h"
#include "loop.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define LEN         600u
#define FAR         1u /* the lane that the sender is in; the others are in lane 0 */
#define NEAR        0u
#define DEADLINE_NS 20000000000ull

struct rig {
	struct network network;
	struct gw_arena *arena;
	unsigned int count;
};

static uint8_t bytes[LEN * 2];
static struct gw_error err;

static void rig_open(struct rig *rig, const char *const *specs)
{
	memset(rig, 0, sizeof(*rig));
	fake_template_reset();
	assert_int_equal(arena_create(16u << 20, &rig->arena, &err), 0);
	for (; specs[rig->count]; rig->count++) {
		struct gw_port *port = fake_port_open_in(specs[rig->count], &fake_host, rig->arena,
							 2, rig->count ? NEAR : FAR);

		assert_int_equal(network_add(&rig->network, port, &err), 0);
	}
	assert_int_equal(network_connect(&rig->network, &err), 0);
}

static void rig_close(struct rig *rig)
{
	network_disconnect(&rig->network);
	for (unsigned int i = 0; i < rig->count; i++)
		fake_port_close(rig->network.port[i]);
	arena_destroy(rig->arena);
}

static struct fake *fake_at(struct rig *rig, unsigned int i)
{
	return fake_of(rig->network.port[i]);
}

static struct port_queue *queue_at(struct rig *rig, unsigned int i, unsigned int lane)
{
	return rig->network.port[i]->queue[lane];
}

/* The egress has answered there: each frame that reaches that lane is lent. */
static void answer_in(struct rig *rig, unsigned int egress, unsigned int lane)
{
	struct pair *pair = queue_at(rig, egress, lane)->pair_from[0];

	pair_set_answer(pair, &fake_template.answer, NULL, rig->network.port[egress]->answer_stamp);
}

static void answer(struct rig *rig, unsigned int egress)
{
	answer_in(rig, egress, NEAR);
}

/* What a worker does in a visit of the crossing's queue, and at its end. */
static unsigned int visit_crossing(struct rig *rig, unsigned int number)
{
	struct lane *lane = rig->network.lane[number];
	struct port_queue *queue = crossing_queue(lane->crossing);
	unsigned int done;

	desk_reap(queue);
	if (!queue->waiting_count) {
		queue->waiting_count = queue->driver->rx(&queue->queue, queue->waiting, GW_BATCH);
		queue->waiting_next = 0;
		lane_enter(lane, queue, queue->waiting, queue->waiting_count);
	}
	done = lane_forward(lane, queue, queue->waiting + queue->waiting_next,
			    queue->waiting_count - queue->waiting_next);
	queue->waiting_next += done;
	if (queue->waiting_next == queue->waiting_count)
		queue->waiting_next = queue->waiting_count = 0;
	return done;
}

static void settle(struct rig *rig, unsigned int number)
{
	struct lane *lane = rig->network.lane[number];

	for (unsigned int i = 0; i < lane->count; i++)
		if (port_queue_has_device(lane->queue[i])) {
			desk_flush(lane->queue[i]);
			desk_reap(lane->queue[i]);
		}
	for (unsigned int i = 0; i < lane->count; i++)
		desk_release(lane->queue[i]);
	desk_release(crossing_queue(lane->crossing));
	crossing_show(lane->crossing);
}

static void address(uint8_t to, uint8_t from)
{
	memset(bytes, 0, 12);
	memcpy(bytes, (uint8_t[]){ to & 1, 0, 0, 0, 0, to }, 6);
	memcpy(bytes + 6, (uint8_t[]){ 2, 0, 0, 0, 0, from }, 6);
}

/* Of the bytes as they are. */
static struct gw_frame *make_same(struct rig *rig, unsigned int id, unsigned int segs)
{
	static struct iovec seg[GW_FRAME_SEGS_MAX];

	for (unsigned int i = 0; i < segs; i++)
		seg[i] = (struct iovec){ bytes + i * (LEN / segs), LEN / segs };
	return fake_frame(fake_at(rig, 0), id, NULL, seg, segs);
}

static struct gw_frame *make(struct rig *rig, unsigned int id, uint8_t to, uint8_t from,
			     unsigned int segs)
{
	address(to, from);
	return make_same(rig, id, segs);
}

/* The sender lends it in the far lane; true if it is not to be offered again. */
static bool send_frame(struct rig *rig, struct gw_frame *frame)
{
	struct lane *lane = rig->network.lane[FAR];

	lane_enter(lane, lane->queue[0], &frame, 1);
	return lane_forward(lane, lane->queue[0], &frame, 1);
}

static const char *const two[] = { "a=fake:,loans=8", "b=fake:", NULL };
static const char *const three[] = { "a=fake:,loans=8", "b=fake:", "c=fake:", NULL };

static void a_frame_crosses_and_comes_home(void **state)
{
	struct gw_frame *frame;
	struct pair *pair;
	struct rig rig;

	rig_open(&rig, two);
	answer(&rig, 1);
	frame = make(&rig, 3, 0xff, 0xa0, 3);
	frame->header.hdr_len = 77;
	assert_true(send_frame(&rig, frame));
	assert_false(network_is_clear(&rig.network));
	settle(&rig, FAR);
	assert_int_equal(visit_crossing(&rig, NEAR), 1);
	settle(&rig, NEAR);
	assert_true(network_is_clear(&rig.network));
	assert_int_equal(fake_at(&rig, 1)->taken, 1);
	assert_memory_equal(fake_at(&rig, 1)->last, bytes, 60);
	assert_int_equal(fake_at(&rig, 1)->held[0]->seg_count, 3);
	assert_int_equal(fake_at(&rig, 1)->held[0]->header.hdr_len, 77);
	assert_int_equal(fake_at(&rig, 0)->came_home[3], 0);
	fake_at(&rig, 1)->complete = 1;
	settle(&rig, NEAR);
	/* That is work: who waited for room must be asked again. */
	assert_int_equal(desk_reap(crossing_queue(rig.network.lane[FAR]->crossing)), 1);
	settle(&rig, FAR);
	assert_int_equal(fake_at(&rig, 0)->came_home[3], 1);
	/* It is received where it came from, and in the books where it went. */
	assert_int_equal(queue_at(&rig, 0, FAR)->rx_frames, 1);
	assert_int_equal(queue_at(&rig, 0, NEAR)->rx_frames, 0);
	assert_int_equal(queue_at(&rig, 1, NEAR)->tx_frames, 1);
	assert_int_equal(queue_at(&rig, 1, NEAR)->pair_from[0]->lent_frames, 1);
	pair = queue_at(&rig, 1, FAR)->pair_from[0];
	assert_int_equal(pair->lent_frames + pair->copied_frames, 0);
	assert_int_equal(pair->handed_out, 0);
	assert_int_equal(queue_at(&rig, 0, FAR)->lent_out, 0);
	rig_close(&rig);
}

/*
 * A guest's receive ring was in this lane, which lent to it, and has moved away: what was
 * answered then is still known, and nothing is lent by it, alone or in a run.
 */
static void who_has_moved_away_is_lent_nothing_here(void **state)
{
	struct port_queue *here, *there;
	struct rig rig;

	rig_open(&rig, two);
	here = queue_at(&rig, 1, FAR);
	there = queue_at(&rig, 1, NEAR);
	answer_in(&rig, 1, FAR);
	answer(&rig, 1);
	for (unsigned int i = 0; i < 3; i++)
		assert_true(send_frame(&rig, make(&rig, i, 0xff, 0xa0, 1)));
	assert_int_equal(here->offer.count, 0);
	assert_int_equal(here->pair_from[0]->loans_out, 0);
	assert_int_equal(here->pair_from[0]->handed_out, 3);
	settle(&rig, FAR);
	assert_int_equal(visit_crossing(&rig, NEAR), 3);
	settle(&rig, NEAR);
	assert_int_equal(there->pair_from[0]->lent_frames, 3);
	fake_at(&rig, 1)->complete = 3;
	settle(&rig, NEAR);
	visit_crossing(&rig, FAR);
	settle(&rig, FAR);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(fake_at(&rig, 0)->came_home[i], 1);
	rig_close(&rig);
}

static void flooding_hands_over_one_for_each_port(void **state)
{
	struct rig rig;

	rig_open(&rig, three);
	assert_true(send_frame(&rig, make(&rig, 0, 0xff, 0xa0, 1)));
	settle(&rig, FAR);
	assert_int_equal(visit_crossing(&rig, NEAR), 2);
	settle(&rig, NEAR);
	assert_int_equal(fake_at(&rig, 1)->taken, 1);
	assert_int_equal(fake_at(&rig, 2)->taken, 1);
	/* Copied, since nobody has answered: it is over there at once. */
	assert_int_equal(fake_at(&rig, 0)->came_home[0], 0);
	visit_crossing(&rig, FAR);
	settle(&rig, FAR);
	assert_int_equal(fake_at(&rig, 0)->came_home[0], 1);
	rig_close(&rig);
}

/* What one source may have on the way is its own share, and no more is lost than that. */
static void a_source_has_its_share_of_a_crossing(void **state)
{
	const unsigned int share = 8 + CROSSING_TRANSIT;
	struct rig rig;

	for (unsigned int ports = 2; ports <= 3; ports++) {
		struct pair *pair;

		rig_open(&rig, ports == 2 ? two : three);
		pair = queue_at(&rig, 1, FAR)->pair_from[0];
		mac_learn(&rig.network.lane[FAR]->macs, 0x0000000000eeull, 1, 0);
		for (unsigned int i = 0; i < share; i++)
			assert_true(send_frame(&rig, make(&rig, i, 0xee, 0xa0, 1)));
		assert_int_equal(pair->handed_out, share);
		/* With two ports it waits, with more it is dropped. */
		assert_int_equal(send_frame(&rig, make(&rig, share, 0xee, 0xa0, 1)), ports == 3);
		assert_int_equal(pair->reasons[GW_DROP_EGRESS_FULL], ports == 3);
		settle(&rig, FAR);
		while (visit_crossing(&rig, NEAR))
			settle(&rig, NEAR);
		settle(&rig, NEAR);
		fake_at(&rig, 1)->complete = FAKE_FRAMES;
		settle(&rig, NEAR);
		visit_crossing(&rig, FAR);
		settle(&rig, FAR);
		while (pair->handed_out) {
			visit_crossing(&rig, NEAR);
			settle(&rig, NEAR);
			visit_crossing(&rig, FAR);
			settle(&rig, FAR);
		}
		for (unsigned int i = 0; i < share; i++)
			assert_int_equal(fake_at(&rig, 0)->came_home[i], 1);
		rig_close(&rig);
	}
}

/* Before a sleep: how long at most. */
static unsigned int arm_crossing(struct rig *rig, unsigned int number)
{
	struct port_queue *queue = crossing_queue(rig->network.lane[number]->crossing);
	unsigned int poll_us = 0;

	queue->driver->arm(&queue->queue, GW_WANT_RX, &poll_us);
	return poll_us;
}

/* Who has been woken, and does not come, gives no sign when there is room again. */
static void what_finds_no_room_on_the_way_back_is_not_slept_over(void **state)
{
	static const char *const four[] = { "a=fake:", "b=fake:", "c=fake:", "d=fake:", NULL };
	const unsigned int count = CROSSING_ENTRIES / 3 + 10; /* to each of three */
	struct rig rig;

	rig_open(&rig, four);
	for (unsigned int i = 0; i < count; i++) {
		assert_true(send_frame(&rig, make(&rig, i, 0xff, 0xa0, 1)));
		settle(&rig, FAR);
		while (visit_crossing(&rig, NEAR))
			settle(&rig, NEAR);
		assert_int_equal(arm_crossing(&rig, NEAR) > 0, (i + 1) * 3 > CROSSING_ENTRIES);
	}
	visit_crossing(&rig, FAR);
	settle(&rig, NEAR);
	assert_int_equal(arm_crossing(&rig, NEAR), 0);
	visit_crossing(&rig, FAR);
	settle(&rig, FAR);
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(fake_at(&rig, 0)->came_home[i], 1);
	rig_close(&rig);
}

/* The home keeps long arrays for one visit only. */
static void long_frames_keep_their_segments(void **state)
{
	struct rig rig;

	rig_open(&rig, three);
	answer(&rig, 1);
	mac_learn(&rig.network.lane[FAR]->macs, 0x0000000000eeull, 1, 0);
	for (unsigned int i = 0; i < CROSSING_LONG; i++) {
		struct gw_frame *frame = make(&rig, i, 0xee, 0xa0, 30);

		assert_true(send_frame(&rig, frame));
		memset(frame->seg, 0, 30 * sizeof(*frame->seg));
	}
	assert_true(send_frame(&rig, make(&rig, CROSSING_LONG, 0xee, 0xa0, 30)));
	assert_int_equal(queue_at(&rig, 1, FAR)->pair_from[0]->reasons[GW_DROP_EGRESS_FULL], 1);
	settle(&rig, FAR);
	assert_int_equal(visit_crossing(&rig, NEAR), CROSSING_LONG);
	settle(&rig, NEAR);
	assert_int_equal(fake_at(&rig, 1)->taken, CROSSING_LONG);
	assert_int_equal(fake_at(&rig, 1)->taken_bytes, CROSSING_LONG * LEN);
	visit_crossing(&rig, FAR);
	settle(&rig, FAR);
	for (unsigned int i = 0; i <= CROSSING_LONG; i++)
		assert_int_equal(fake_at(&rig, 0)->came_home[i], 1);
	rig_close(&rig);
}

static void an_address_is_told_to_other_lanes(void **state)
{
	const uint64_t mac = 0x0200000000a0ull;
	struct rig rig;
	struct lane *near, *far;

	rig_open(&rig, three);
	near = rig.network.lane[NEAR];
	far = rig.network.lane[FAR];
	send_frame(&rig, make(&rig, 0, 0xff, 0xa0, 1));
	assert_int_equal(mac_lookup(&far->macs, mac, 0), 0);
	assert_int_equal(mac_lookup(&near->macs, mac, 0), MAC_NONE);
	visit_crossing(&rig, NEAR);
	assert_int_equal(mac_lookup(&near->macs, mac, 0), 0);
	/* As long as it is heard of anywhere, all know it. */
	for (unsigned int s = 0; s < 3 * MAC_AGE_S; s += 10) {
		near->now_s = far->now_s = s;
		send_frame(&rig, make(&rig, 1 + s / 10, 0xff, 0xa0, 1));
		settle(&rig, FAR);
		visit_crossing(&rig, NEAR);
		settle(&rig, NEAR);
		visit_crossing(&rig, FAR);
		settle(&rig, FAR);
		assert_int_equal(mac_lookup(&near->macs, mac, s), 0);
	}
	/* It moves: where it was seen last is where it is, also for who heard of it. */
	mac_learn(&near->macs, mac, 2, near->now_s);
	crossing_tell(near->crossing, mac | 2ull << 48);
	visit_crossing(&rig, FAR);
	assert_int_equal(mac_lookup(&far->macs, mac, far->now_s), 2);
	settle(&rig, FAR);
	settle(&rig, NEAR);
	rig_close(&rig);
}

static bool is_woken(struct lane *lane)
{
	struct pollfd pollfd = { .fd = crossing_queue(lane->crossing)->queue.fd[0].fd,
				 .events = POLLIN };

	return poll(&pollfd, 1, 0) == 1;
}

static bool arm(struct lane *lane, unsigned int wants)
{
	struct port_queue *queue = crossing_queue(lane->crossing);
	unsigned int us = 0;

	return queue->driver->arm(&queue->queue, wants, &us);
}

static void a_lane_that_sleeps_is_woken(void **state)
{
	struct rig rig;
	struct lane *near, *far;

	rig_open(&rig, two);
	near = rig.network.lane[NEAR];
	far = rig.network.lane[FAR];
	send_frame(&rig, make(&rig, 0, 0xff, 0xa0, 1));
	settle(&rig, FAR);
	assert_false(is_woken(near));
	/* It looks once more after asking. */
	assert_true(arm(near, GW_WANT_RX));
	arm(near, 0);
	visit_crossing(&rig, NEAR);
	assert_false(arm(near, GW_WANT_RX));
	assert_false(arm(far, GW_WANT_RX | GW_WANT_REAP));
	settle(&rig, NEAR);
	assert_true(is_woken(far));
	assert_true(arm(far, GW_WANT_REAP));
	arm(far, 0);
	visit_crossing(&rig, FAR);
	settle(&rig, FAR);
	send_frame(&rig, make(&rig, 1, 0xff, 0xa0, 1));
	assert_false(is_woken(near));
	settle(&rig, FAR);
	assert_true(is_woken(near));
	visit_crossing(&rig, NEAR);
	settle(&rig, NEAR);
	visit_crossing(&rig, FAR);
	settle(&rig, FAR);
	assert_int_equal(fake_at(&rig, 0)->came_home[1], 1);
	rig_close(&rig);
}

/* ---- two threads ---- */

#define MANY 20000u

static void check_order(void *arg, const struct gw_frame *frame)
{
	unsigned int *next = arg;

	assert_int_equal(frame->header.hdr_len, (uint16_t)(*next)++);
}

struct other {
	struct rig *rig;
	uint32_t stop; /* atomic */
};

static void *serve_near(void *arg)
{
	struct other *other = arg;

	while (!gw_load_acquire(&other->stop)) {
		if (!visit_crossing(other->rig, NEAR))
			sched_yield();
		settle(other->rig, NEAR);
	}
	return NULL;
}

/* Ten thousands of frames, each in its turn and once; the near lane may lend or copy. */
static void two_workers_pass_frames(void **state)
{
	uint8_t sent[FAKE_FRAMES] = { 0 }; /* wraps, as came_home does */
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS;
	unsigned int next = 0, count = 0;
	struct other other = { 0 };
	struct pair *pair;
	struct rig rig;
	pthread_t thread;

	rig_open(&rig, two);
	pair = queue_at(&rig, 1, FAR)->pair_from[0];
	address(0xff, 0xa0);
	fake_at(&rig, 1)->in_tx = check_order;
	fake_at(&rig, 1)->in_arg = &next;
	fake_at(&rig, 1)->complete = UINT32_MAX;
	answer(&rig, 1);
	other.rig = &rig;
	assert_int_equal(pthread_create(&thread, NULL, serve_near, &other), 0);
	while (count < MANY || pair->handed_out) {
		unsigned int id = count % FAKE_FRAMES;

		assert_true(gw_now_ns() < end_ns);
		if (count < MANY && sent[id] == fake_at(&rig, 0)->came_home[id]) {
			struct gw_frame *frame = make_same(&rig, id, 1);

			frame->header.hdr_len = (uint16_t)count;
			if (send_frame(&rig, frame)) {
				sent[id]++;
				count++;
			}
		}
		visit_crossing(&rig, FAR);
		settle(&rig, FAR);
	}
	gw_store_release(&other.stop, 1u);
	pthread_join(thread, NULL);
	assert_int_equal(next, MANY);
	assert_memory_equal(sent, fake_at(&rig, 0)->came_home, sizeof(sent));
	assert_true(network_is_clear(&rig.network));
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_crosses_and_comes_home),
		cmocka_unit_test(who_has_moved_away_is_lent_nothing_here),
		cmocka_unit_test(flooding_hands_over_one_for_each_port),
		cmocka_unit_test(a_source_has_its_share_of_a_crossing),
		cmocka_unit_test(what_finds_no_room_on_the_way_back_is_not_slept_over),
		cmocka_unit_test(long_frames_keep_their_segments),
		cmocka_unit_test(an_address_is_told_to_other_lanes),
		cmocka_unit_test(a_lane_that_sleeps_is_woken),
		cmocka_unit_test(two_workers_pass_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
