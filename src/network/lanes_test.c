/* SPDX-License-Identifier: BSD-2-Clause */
/* Two lanes of a network: frames that cross, addresses that are told, and who is woken. */
#include "lanes_rig.h"

#include "loop.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define DEADLINE_NS 20000000000ull

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
		cmocka_unit_test(an_address_is_told_to_other_lanes),
		cmocka_unit_test(a_lane_that_sleeps_is_woken),
		cmocka_unit_test(two_workers_pass_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
