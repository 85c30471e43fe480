/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who wakes whom on rings of both layouts. Interrupts and kicks at a place, which only
 * packed rings have, are in ring_packed_event_test.c.
 */
#include "ring_test_rig.h"

#include "atomic.h"
#include "fd.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>

#define TEST_DEADLINE_MS 10000

static void interrupts_follow_the_flag(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, 16, 0);
	mock_no_interrupt(&rig->driver);
	rig_give(rig, 1);
	assert_false(ring_flush(rig->ring));
	mock_want_interrupt(&rig->driver);
	rig_give(rig, 1);
	assert_true(ring_flush(rig->ring));
}

static void interrupts_follow_the_event_index(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, 16, EVENT_IDX);
	mock_no_interrupt(&rig->driver);
	rig_give(rig, 1);
	assert_true(ring_flush(rig->ring)); /* the first of a run: nobody knows what was told */
	rig_give(rig, 2);
	assert_false(ring_flush(rig->ring));
	rig_collect_all(rig);
	/* Interrupt when the entry after the next one has been used. */
	rig->driver.avail->ring[16] = (uint16_t)(rig->driver.used_next + 1);
	rig_give(rig, 1);
	assert_false(ring_flush(rig->ring));
	rig_give(rig, 1);
	assert_true(ring_flush(rig->ring));
	rig_give(rig, 1);
	assert_false(ring_flush(rig->ring));
}

static void kicks(struct rig *rig, uint64_t features)
{
	struct mock_buffer buffer = { 0x1000, 64, false };

	rig_open(rig, 16, features);
	mock_offer(&rig->driver, (uint16_t)mock_chain(&rig->driver, &buffer, 1));
	assert_true(mock_publish(&rig->driver)); /* a new ring wants kicks */
	assert_true(ring_want_kick(rig->ring));  /* one is there already */
	assert_int_equal(rig_pop(rig), 1);
	ring_no_kick(rig->ring);
	mock_offer(&rig->driver, (uint16_t)mock_chain(&rig->driver, &buffer, 1));
	assert_false(mock_publish(&rig->driver));
	assert_int_equal(rig_pop(rig), 1);
	assert_false(ring_want_kick(rig->ring));
	mock_offer(&rig->driver, (uint16_t)mock_chain(&rig->driver, &buffer, 1));
	assert_true(mock_publish(&rig->driver));
	assert_true(ring_has_avail(rig->ring));
}

static void kicks_follow_the_flag(void **state)
{
	kicks(*state, 0);
}

static void kicks_follow_the_event_index(void **state)
{
	kicks(*state, EVENT_IDX);
}

/* ---- two threads ---- */

#define THREAD_CHAINS 30000u

struct notify {
	struct rig *rig;
	int kick, call;
	bool late;
};

static bool wait_for(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	if (poll(&poll_fd, 1, TEST_DEADLINE_MS) != 1)
		return false;
	gw_eventfd_clear(fd);
	return true;
}

/* The device: sleeps whenever it may. A lost wake-up meets the deadline. */
static void *run_device(void *arg)
{
	struct notify *n = arg;
	struct ring_chain chain;
	struct iovec seg[4];
	unsigned int done = 0;

	while (done < THREAD_CHAINS && !n->late) {
		ring_no_kick(n->rig->ring);
		while (ring_pop(n->rig->ring, &chain, seg, 4) == 1) {
			ring_push(n->rig->ring, chain.head, 0);
			done++;
			if (done % 3 == 0 && ring_flush(n->rig->ring))
				gw_eventfd_signal(n->call);
		}
		if (ring_flush(n->rig->ring))
			gw_eventfd_signal(n->call);
		if (done < THREAD_CHAINS && !ring_want_kick(n->rig->ring) && !wait_for(n->kick))
			gw_store_relaxed(&n->late, true);
	}
	return NULL;
}

static void no_wakeup_is_lost(struct rig *rig, uint64_t features)
{
	struct mock_buffer buffers[] = { { 0x1000, 12, false }, { 0x2000, 64, false } };
	struct notify n = { .rig = rig, .kick = gw_eventfd(), .call = gw_eventfd() };
	unsigned int offered = 0, collected = 0;
	pthread_t device;
	uint32_t written;
	uint16_t head;
	int made = -1;

	mock_memory_one_view(&rig->memory);
	rig_open(rig, 8, features);
	pthread_create(&device, NULL, run_device, &n);
	while (collected < THREAD_CHAINS) {
		while (offered < THREAD_CHAINS &&
		       (made = mock_chain(&rig->driver, buffers, 1 + offered % 2)) >= 0) {
			mock_offer(&rig->driver, (uint16_t)made);
			offered++;
			if (mock_publish(&rig->driver))
				gw_eventfd_signal(n.kick);
		}
		mock_no_interrupt(&rig->driver);
		while (mock_collect(&rig->driver, &head, &written))
			collected++;
		if (collected < offered && made < 0 && !mock_want_interrupt(&rig->driver) &&
		    !wait_for(n.call))
			break;
	}
	if (collected < THREAD_CHAINS)
		gw_eventfd_signal(n.kick);
	pthread_join(device, NULL);
	gw_fd_close(&n.kick);
	gw_fd_close(&n.call);
	assert_int_equal(collected, THREAD_CHAINS);
	assert_false(n.late);
}

static void no_wakeup_is_lost_with_flags(void **state)
{
	no_wakeup_is_lost(*state, 0);
}

static void no_wakeup_is_lost_with_event_index(void **state)
{
	no_wakeup_is_lost(*state, EVENT_IDX);
}

/*
 * A driver that spins on the used ring and offers the next chain at once, just
 * when the device is about to sleep: only a kick can wake the device.
 */
static void no_kick_is_lost(struct rig *rig, uint64_t features)
{
	struct mock_buffer buffer = { 0x1000, 64, false };
	struct notify n = { .rig = rig, .kick = gw_eventfd(), .call = gw_eventfd() };
	unsigned int collected = 0, spins = 0;
	pthread_t device;
	uint32_t written;
	uint16_t head;

	mock_memory_one_view(&rig->memory);
	rig_open(rig, 1, features);
	pthread_create(&device, NULL, run_device, &n);
	mock_no_interrupt(&rig->driver);
	for (; collected < THREAD_CHAINS && !gw_load_relaxed(&n.late); collected++) {
		mock_offer(&rig->driver, (uint16_t)mock_chain(&rig->driver, &buffer, 1));
		if (mock_publish(&rig->driver))
			gw_eventfd_signal(n.kick);
		while (!mock_collect(&rig->driver, &head, &written) && !gw_load_relaxed(&n.late))
			if (++spins % 256 == 0)
				sched_yield();
	}
	pthread_join(device, NULL);
	gw_fd_close(&n.kick);
	gw_fd_close(&n.call);
	assert_false(n.late);
	assert_int_equal(collected, THREAD_CHAINS);
}

static void no_kick_is_lost_with_flags(void **state)
{
	no_kick_is_lost(*state, 0);
}

static void no_kick_is_lost_with_event_index(void **state)
{
	no_kick_is_lost(*state, EVENT_IDX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(interrupts_follow_the_flag),
		SPLIT_TEST(interrupts_follow_the_event_index),
		RING_TEST(kicks_follow_the_flag),
		RING_TEST(kicks_follow_the_event_index),
		RING_TEST(no_wakeup_is_lost_with_flags),
		RING_TEST(no_wakeup_is_lost_with_event_index),
		RING_TEST(no_kick_is_lost_with_flags),
		RING_TEST(no_kick_is_lost_with_event_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
