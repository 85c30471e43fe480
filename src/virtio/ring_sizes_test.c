/* SPDX-License-Identifier: BSD-2-Clause */
/* The smallest and the largest rings, and packed ones of odd sizes: full, over and over. */
#include "ring_test_rig.h"

/* Three laps: each place, and each wrap counter, is used again. */
#define LAPS 3u

/* As many chains of one buffer as there are descriptors. */
static void fill(struct rig *rig, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		rig_offer_some(rig, 1);
	assert_int_equal(mock_chain(&rig->driver, rig_good, 1), -1);
	assert_true(mock_publish(&rig->driver));
}

/* Takes all, and gives them back from the last to the first. */
static void empty(struct rig *rig, uint32_t size, uint16_t *heads)
{
	for (uint32_t i = 0; i < size; i++) {
		assert_int_equal(rig_pop(rig), 1);
		heads[i] = rig->chain.head;
	}
	assert_int_equal(rig_pop(rig), 0);
	assert_int_equal(ring_in_flight(rig->ring), size);
	for (uint32_t i = size; i; i--)
		ring_push(rig->ring, heads[i - 1], 0);
	assert_true(ring_flush(rig->ring));
	assert_false(ring_flush(rig->ring));
	for (uint32_t i = size; i; i--)
		rig_collects(rig, heads[i - 1], 0);
	rig_collects_nothing(rig);
}

static void run(struct rig *rig, uint32_t size)
{
	uint16_t *heads = calloc(size, sizeof(*heads));

	assert_non_null(heads);
	rig_open(rig, size, EVENT_IDX);
	for (unsigned int lap = 0; lap < LAPS; lap++) {
		assert_false(ring_want_kick(rig->ring));
		assert_false(mock_want_interrupt(&rig->driver));
		fill(rig, size);
		empty(rig, size, heads);
	}
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_NONE);
	rig_close(rig);
	free(heads);
}

static void smallest(void **state)
{
	run(*state, 1);
	run(*state, 2);
}

static void largest(void **state)
{
	run(*state, RING_SIZE_MAX);
}

static void sizes_that_are_no_power_of_two(void **state)
{
	run(*state, 3);
	run(*state, 1000);
	run(*state, RING_SIZE_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(smallest),
		RING_TEST(largest),
		PACKED_TEST(sizes_that_are_no_power_of_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
