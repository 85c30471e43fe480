/* SPDX-License-Identifier: BSD-2-Clause */
/* Two lanes of a network: what there is room for on the way there, and on the way back. */
#include "lanes_rig.h"

#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_has_its_share_of_a_crossing),
		cmocka_unit_test(what_finds_no_room_on_the_way_back_is_not_slept_over),
		cmocka_unit_test(long_frames_keep_their_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
