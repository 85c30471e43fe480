/* SPDX-License-Identifier: BSD-2-Clause */
/* VIRTIO_F_IN_ORDER (VIRTIO 1.2 sections 2.7.9, 2.8.8), on both layouts. */
#include "ring_test_rig.h"

#define IN_ORDER (FEATURE(VIRTIO_F_IN_ORDER) | FEATURE(VIRTIO_F_VERSION_1))

static int setup(void **state)
{
	rig_setup(state);
	rig_open(*state, RIG_RING_SIZE, EVENT_IDX | IN_ORDER);
	return 0;
}

static int writable_chain(struct rig *rig)
{
	struct mock_buffer buffer = { 0x1000, 64, true };

	return mock_chain(&rig->driver, &buffer, 1);
}

static uint16_t take(struct rig *rig)
{
	rig_pass(rig, writable_chain(rig));
	return rig->chain.head;
}

static void used_in_the_order_of_pops(void **state)
{
	struct rig *rig = *state;
	uint16_t head[5];

	for (unsigned int lap = 0; lap < 10; lap++) {
		for (unsigned int i = 0; i < 5; i++)
			head[i] = take(rig);
		for (unsigned int i = 5; i > 0; i--) {
			rig_collects_nothing(rig);
			ring_push(rig->ring, head[i - 1], i);
			ring_flush(rig->ring);
		}
		for (unsigned int i = 0; i < 5; i++)
			rig_collects(rig, head[i], i + 1);
		rig_collects_nothing(rig);
	}
	assert_int_equal(ring_in_flight(rig->ring), 0);
}

static void what_is_ahead_of_its_turn_waits(void **state)
{
	struct rig *rig = *state;
	uint16_t head[4];

	for (unsigned int i = 0; i < 4; i++)
		head[i] = take(rig);
	ring_push(rig->ring, head[0], 10);
	ring_push(rig->ring, head[2], 12);
	assert_true(ring_flush(rig->ring));
	rig_collects(rig, head[0], 10);
	rig_collects_nothing(rig);
	assert_int_equal(ring_in_flight(rig->ring), 2);
	assert_false(ring_flush(rig->ring)); /* nothing to tell */
	ring_push(rig->ring, head[1], 11);
	ring_flush(rig->ring);
	rig_collects(rig, head[1], 11);
	rig_collects(rig, head[2], 12);
	rig_collects_nothing(rig);
	ring_push(rig->ring, head[3], 13);
	ring_flush(rig->ring);
	rig_collects(rig, head[3], 13);
}

static void unpopped_chains_have_no_turn(void **state)
{
	struct rig *rig = *state;
	uint16_t head[4];

	for (unsigned int lap = 0; lap < 7; lap++) {
		for (unsigned int i = 0; i < 4; i++)
			head[i] = take(rig);
		ring_push(rig->ring, head[1], 11);
		ring_unpop(rig->ring, 2);
		ring_push(rig->ring, head[0], 10);
		ring_flush(rig->ring);
		rig_collects(rig, head[0], 10);
		rig_collects(rig, head[1], 11);
		for (unsigned int i = 2; i < 4; i++) {
			assert_int_equal(rig_pop(rig), 1);
			assert_int_equal(rig->chain.head, head[i]);
		}
		ring_push(rig->ring, head[3], 13);
		ring_push(rig->ring, head[2], 12);
		ring_flush(rig->ring);
		rig_collects(rig, head[2], 12);
		rig_collects(rig, head[3], 13);
	}
}

/* The guest does not know that it is done, so it is not the guest's. */
static void head_that_waits_is_in_flight(void **state)
{
	struct rig *rig = *state;
	uint16_t done;

	take(rig);
	done = take(rig);
	ring_push(rig->ring, done, 0);
	if (rig->packed) {
		rig_offer(rig, writable_chain(rig));
		rig->driver.slot[2].id = done;
	} else {
		rig_offer(rig, done);
	}
	assert_int_equal(rig_pop(rig), -1);
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_REUSED);
}

static void whole_ring_backwards(void **state)
{
	struct rig *rig = *state;
	uint16_t head[RIG_RING_SIZE];

	for (unsigned int lap = 0; lap < 5; lap++) {
		for (unsigned int i = 0; i < RIG_RING_SIZE; i++)
			head[i] = take(rig);
		for (unsigned int i = RIG_RING_SIZE; i > 0; i--)
			ring_push(rig->ring, head[i - 1], i);
		ring_flush(rig->ring);
		for (unsigned int i = 0; i < RIG_RING_SIZE; i++)
			rig_collects(rig, head[i], i + 1);
	}
}

/* clang-format off */
#define ORDER_TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, setup, rig_teardown), \
	{ #fn " (packed)", fn, setup, rig_teardown, "packed" }
/* clang-format on */

int main(void)
{
	const struct CMUnitTest tests[] = {
		ORDER_TEST(used_in_the_order_of_pops),
		ORDER_TEST(what_is_ahead_of_its_turn_waits),
		ORDER_TEST(unpopped_chains_have_no_turn),
		ORDER_TEST(head_that_waits_is_in_flight),
		ORDER_TEST(whole_ring_backwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
