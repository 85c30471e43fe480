/* SPDX-License-Identifier: BSD-2-Clause */
/* How fast a ring is: printed, not judged, machines differ. */
#include "ring_test_rig.h"

#include <time.h>

#define SPEED_RING  256u
#define SPEED_BATCH 64u
#define SPEED_NS    100000000u

/* Of this thread: other work on the machine does not count. */
static uint64_t cpu_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The driver's part is next to nothing: the same heads are offered again and again. */
static void speed_of_pop_and_push(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 12, false }, { 0x2000, 1518, false } };
	struct rig *rig = *state;
	uint64_t begin_ns, spent_ns = 0, chains = 0;
	struct iovec seg[GW_FRAME_SEGS];
	uint16_t heads[SPEED_BATCH];

	rig_open(rig, SPEED_RING, EVENT_IDX);
	for (unsigned int i = 0; i < SPEED_BATCH; i++)
		heads[i] = (uint16_t)mock_chain(&rig->driver, buffers, 2);
	begin_ns = cpu_now_ns();
	while (spent_ns < SPEED_NS) {
		for (unsigned int i = 0; i < SPEED_BATCH; i++)
			mock_offer(&rig->driver, heads[i]);
		mock_publish(&rig->driver);
		for (unsigned int i = 0; i < SPEED_BATCH; i++) {
			assert_int_equal(ring_pop(rig->ring, &rig->chain, seg, GW_FRAME_SEGS), 1);
			heads[i] = rig->chain.head;
		}
		for (unsigned int i = 0; i < SPEED_BATCH; i++)
			ring_push(rig->ring, heads[i], 0);
		ring_flush(rig->ring);
		chains += SPEED_BATCH;
		spent_ns = cpu_now_ns() - begin_ns;
	}
	print_message("%s: %.1f million chains of 2 descriptors a second\n",
		      rig->packed ? "packed" : "split", (double)chains * 1e3 / (double)spent_ns);
	assert_int_equal(ring_in_flight(rig->ring), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(speed_of_pop_and_push),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
