/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only packed rings have: places and laps, ids. Event areas are in
 * ring_packed_event_test.c, a guest that breaks the rules in ring_packed_fault_test.c,
 * and what both layouts share in ring_test.c.
 */
#include "ring_test_rig.h"

/* ---- places and laps ---- */

/* Chains of 1 to 3 descriptors over many laps, on rings of all kinds of sizes. */
static void any_size_goes_round(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 3, 5, 7, 8, 100, 256, 1000 };
	struct rig *rig = *state;
	unsigned int count;
	uint16_t id;

	for (unsigned int s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		rig_open(rig, sizes[s], 0);
		for (uint32_t i = 0; i < 5 * sizes[s]; i++) {
			count = 1 + i % (sizes[s] < 3 ? sizes[s] : 3);
			id = rig_take(rig, count);
			ring_push(rig->ring, id, i);
			ring_flush(rig->ring);
			rig_collects(rig, id, i);
		}
		rig_collects_nothing(rig);
		rig_close(rig);
	}
}

static void largest_ring(void **state)
{
	struct mock_buffer buffer = { 0x1000, 10, false };
	struct rig *rig = *state;

	rig_open(rig, RING_SIZE_MAX, EVENT_IDX);
	for (unsigned int lap = 0; lap < 3; lap++) {
		for (uint32_t i = 0; i < RING_SIZE_MAX; i++)
			mock_offer(&rig->driver, (uint16_t)mock_chain(&rig->driver, &buffer, 1));
		mock_want_interrupt(&rig->driver);
		mock_publish(&rig->driver);
		for (uint32_t i = 0; i < RING_SIZE_MAX; i++) {
			assert_int_equal(rig_pop(rig), 1);
			ring_push(rig->ring, rig->chain.head, 0);
		}
		assert_int_equal(rig_pop(rig), 0);
		assert_true(ring_flush(rig->ring));
		for (uint32_t i = 0; i < RING_SIZE_MAX; i++)
			assert_true(mock_collect(&rig->driver, &(uint16_t){ 0 }, &(uint32_t){ 0 }));
		assert_int_equal(ring_base(rig->ring) & LAP_ONE, lap & 1 ? LAP_ONE : 0);
	}
}

/* Section 2.8.6: it lies over the end of the table, and its flags change on the way. */
static void chain_over_the_end_of_the_ring(void **state)
{
	struct rig *rig = *state;
	uint16_t id;

	rig_open_at(rig, RIG_RING_SIZE, 0, LAP_ONE | (RIG_RING_SIZE - 2));
	id = rig_take(rig, 5);
	assert_int_equal(ring_base(rig->ring) & 0xffff, 3);
	ring_push(rig->ring, id, 0);
	ring_flush(rig->ring);
	rig_collects(rig, id, 0);
	assert_int_equal(ring_base(rig->ring), 3 | 3 << 16);
}

static void chain_as_long_as_the_ring(void **state)
{
	struct rig *rig = *state;
	uint16_t id;

	rig_open(rig, RIG_RING_SIZE, 0);
	for (unsigned int lap = 0; lap < 4; lap++) {
		id = rig_take(rig, RIG_RING_SIZE);
		assert_int_equal(rig_pop(rig), 0);
		ring_push(rig->ring, id, 7);
		ring_flush(rig->ring);
		rig_collects(rig, id, 7);
	}
}

/* ---- completion ---- */

/* Section 2.8.6: the used place skips as many descriptors as the chain had. */
static void out_of_order_with_chains_of_different_length(void **state)
{
	struct rig *rig = *state;
	uint16_t one, three, two;

	rig_open(rig, RIG_RING_SIZE, 0);
	for (unsigned int lap = 0; lap < 10; lap++) {
		one = rig_take(rig, 1);
		three = rig_take(rig, 3);
		two = rig_take(rig, 2);
		ring_push(rig->ring, two, 2);
		ring_flush(rig->ring);
		rig_collects(rig, two, 2);
		rig_collects_nothing(rig);
		ring_push(rig->ring, three, 3);
		ring_push(rig->ring, one, 1);
		ring_flush(rig->ring);
		rig_collects(rig, three, 3);
		rig_collects(rig, one, 1);
		rig_collects_nothing(rig);
	}
	assert_int_equal(ring_in_flight(rig->ring), 0);
}

/* Section 2.8.9: whoever sees the first of a batch sees all of it. */
static void batch_is_shown_at_once(void **state)
{
	struct rig *rig = *state;
	uint16_t id[3];

	rig_open(rig, RIG_RING_SIZE, 0);
	for (unsigned int i = 0; i < 3; i++)
		id[i] = rig_take(rig, 2);
	for (unsigned int i = 0; i < 3; i++) {
		ring_push(rig->ring, id[i], 1 + i);
		rig_collects_nothing(rig);
	}
	ring_flush(rig->ring);
	for (unsigned int i = 0; i < 3; i++)
		rig_collects(rig, id[i], 1 + i);
}

/* Section 2.8.4: WRITE says that something was written. */
static void used_descriptor_says_whether_it_was_written(void **state)
{
	struct rig *rig = *state;
	uint16_t id;

	rig_open(rig, RIG_RING_SIZE, 0);
	id = rig_take(rig, 1);
	ring_push(rig->ring, id, 0);
	id = rig_take(rig, 1);
	ring_push(rig->ring, id, 60);
	ring_flush(rig->ring);
	assert_int_equal(rig->driver.slot[0].flags, AVAIL | USED);
	assert_int_equal(rig->driver.slot[1].flags, AVAIL | USED | VRING_DESC_F_WRITE);
	assert_int_equal(rig->driver.slot[1].len, 60);
}

/* ---- base ---- */

static void unpop_goes_back_over_the_end(void **state)
{
	struct rig *rig = *state;
	uint16_t first, id[2];

	rig_open_at(rig, RIG_RING_SIZE, 0, RIG_RING_SIZE - 2);
	first = rig_take(rig, 1);
	id[0] = rig_take(rig, 3);
	id[1] = rig_take(rig, 2);
	assert_int_equal(ring_base(rig->ring) & 0xffff, LAP_ONE | 4);
	ring_unpop(rig->ring, 2);
	assert_int_equal(ring_base(rig->ring) & 0xffff, RIG_RING_SIZE - 1);
	assert_int_equal(ring_in_flight(rig->ring), 1);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(rig_pop(rig), 1);
		assert_int_equal(rig->chain.head, id[i]);
	}
	ring_push(rig->ring, id[1], 0);
	ring_push(rig->ring, first, 0);
	ring_flush(rig->ring);
	rig_collects(rig, id[1], 0);
	rig_collects(rig, first, 0);
}

/* GET_VRING_BASE, then SET_VRING_BASE: a new ring goes on where the old one was. */
static void base_makes_the_round_trip(void **state)
{
	struct rig *rig = *state;
	uint16_t waiting, id;
	uint32_t base;

	rig_open(rig, RIG_RING_SIZE, 0);
	for (unsigned int run = 0; run < 40; run++) {
		id = rig_take(rig, 1 + run % 4);
		ring_push(rig->ring, id, 0);
		ring_flush(rig->ring);
		rig_collects(rig, id, 0);
		waiting = rig_offer_some(rig, 2);
		mock_publish(&rig->driver);
		base = ring_base(rig->ring);
		assert_int_equal(base >> 16, base & 0xffff);
		assert_int_equal(base >> 16, ring_used_index(rig->ring));
		rig_restart(rig, base);
		assert_int_equal(ring_base(rig->ring), base);
		assert_int_equal(rig_pop(rig), 1);
		assert_int_equal(rig->chain.head, waiting);
		ring_push(rig->ring, waiting, 0);
		ring_flush(rig->ring);
		rig_collects(rig, waiting, 0);
	}
}

/* The two places differ where chains are still out. */
static void base_has_two_places(void **state)
{
	struct rig *rig = *state;
	uint16_t out;

	rig_open(rig, RIG_RING_SIZE, 0);
	rig_take(rig, 3);
	out = rig_take(rig, 2);
	ring_push(rig->ring, out, 0);
	ring_flush(rig->ring);
	assert_int_equal(ring_base(rig->ring), LAP_ONE | 5 | (LAP_ONE | 2) << 16);
}

/* RING_RESET: the driver begins anew, on the first lap. */
static void begins_anew_after_a_reset(void **state)
{
	struct rig *rig = *state;
	uint16_t id;

	rig_open(rig, RIG_RING_SIZE, 0);
	for (unsigned int i = 0; i < 3; i++)
		rig_take(rig, 1);
	rig_close(rig);
	rig_open(rig, RIG_RING_SIZE, 0);
	id = rig_take(rig, 2);
	ring_push(rig->ring, id, 0);
	ring_flush(rig->ring);
	rig_collects(rig, id, 0);
}

/* DPDK's virtio-user: SET_VRING_BASE of a new ring is 0x8000. */
static void lower_half_of_the_base_alone(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, RIG_RING_SIZE, 0);
	rig_restart(rig, MOCK_PLACE_FIRST);
	assert_int_equal(ring_base(rig->ring), MOCK_PLACE_FIRST | MOCK_PLACE_FIRST << 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKED_TEST(any_size_goes_round),
		PACKED_TEST(largest_ring),
		PACKED_TEST(chain_over_the_end_of_the_ring),
		PACKED_TEST(chain_as_long_as_the_ring),
		PACKED_TEST(out_of_order_with_chains_of_different_length),
		PACKED_TEST(batch_is_shown_at_once),
		PACKED_TEST(used_descriptor_says_whether_it_was_written),
		PACKED_TEST(unpop_goes_back_over_the_end),
		PACKED_TEST(base_makes_the_round_trip),
		PACKED_TEST(base_has_two_places),
		PACKED_TEST(begins_anew_after_a_reset),
		PACKED_TEST(lower_half_of_the_base_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
