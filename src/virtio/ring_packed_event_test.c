/* SPDX-License-Identifier: BSD-2-Clause */
/* The event areas of packed rings: interrupts and kicks at a place (VIRTIO 1.2 section 2.8.10). */
#include "ring_test_rig.h"

static void set_event(struct rig *rig, uint16_t place)
{
	*rig->driver.driver_event = (uint32_t)VRING_PACKED_EVENT_FLAG_DESC << 16 | place;
}

/* Uses count chains of one descriptor; whether that interrupts. */
static bool use(struct rig *rig, unsigned int count)
{
	bool wanted;
	uint16_t id;

	for (unsigned int i = 0; i < count; i++) {
		id = rig_take(rig, 1);
		ring_push(rig->ring, id, 0);
	}
	wanted = ring_flush(rig->ring);
	rig_collect_all(rig);
	return wanted;
}

static void interrupt_at_a_place(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, RIG_RING_SIZE, EVENT_IDX);
	set_event(rig, LAP_ONE | 5);
	assert_true(use(rig, 1));  /* 0: the first of a run, nobody knows what was told */
	assert_false(use(rig, 4)); /* 1 to 4 */
	assert_true(use(rig, 1));  /* 5 */
	assert_false(use(rig, 1)); /* 6: it has gone by */
	assert_false(use(rig, 8)); /* 7 to 6, next lap: 5 comes by, with the other counter */
	set_event(rig, 2);         /* the lap that is now */
	assert_false(use(rig, 1)); /* 7 */
	set_event(rig, LAP_ONE | 2);
	assert_false(use(rig, 2)); /* 0, 1 */
	assert_true(use(rig, 3));  /* 2 to 4 */
}

static void interrupt_over_the_end_of_the_ring(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, RIG_RING_SIZE, EVENT_IDX);
	use(rig, 1);
	use(rig, 5);
	set_event(rig, 1);        /* next lap */
	assert_true(use(rig, 4)); /* 6, 7, 0, 1 */
	set_event(rig, LAP_ONE | 1);
	assert_false(use(rig, 7)); /* 2 to 7, 0 */
	assert_true(use(rig, 1));
}

/* It lies in the middle of a chain, where no used descriptor ever is. */
static void interrupt_in_the_middle_of_a_chain(void **state)
{
	struct rig *rig = *state;
	uint16_t id;

	rig_open(rig, RIG_RING_SIZE, EVENT_IDX);
	use(rig, 1);
	set_event(rig, LAP_ONE | 3);
	id = rig_take(rig, 4);
	ring_push(rig->ring, id, 0);
	assert_true(ring_flush(rig->ring));
}

static void event_flags_without_event_idx(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, RIG_RING_SIZE, 0);
	*rig->driver.driver_event = (uint32_t)VRING_PACKED_EVENT_FLAG_DISABLE << 16;
	assert_false(use(rig, 1));
	*rig->driver.driver_event = (uint32_t)VRING_PACKED_EVENT_FLAG_ENABLE << 16;
	assert_true(use(rig, 1));
	/* Not negotiated, or reserved: an interrupt too many is better than none. */
	set_event(rig, LAP_ONE | 7);
	assert_true(use(rig, 1));
	*rig->driver.driver_event = 3u << 16;
	assert_true(use(rig, 1));
}

static void event_beyond_the_ring_is_no_harm(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, RIG_RING_SIZE, EVENT_IDX);
	use(rig, 1);
	set_event(rig, UINT16_MAX);
	use(rig, 8);
	set_event(rig, 0x7fff);
	use(rig, 8);
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_NONE);
}

/* The device's area asks for a kick at the next descriptor, on each lap. */
static void kicks_over_the_end_of_the_ring(void **state)
{
	struct rig *rig = *state;
	uint16_t id;

	rig_open(rig, 3, EVENT_IDX);
	for (unsigned int i = 0; i < 20; i++) {
		assert_false(ring_want_kick(rig->ring));
		id = rig_offer_some(rig, 1 + i % 2);
		assert_true(mock_publish(&rig->driver));
		assert_true(ring_has_avail(rig->ring));
		ring_no_kick(rig->ring);
		assert_int_equal(rig_pop(rig), 1);
		ring_push(rig->ring, id, 0);
		id = rig_offer_some(rig, 1);
		assert_false(mock_publish(&rig->driver));
		assert_int_equal(rig_pop(rig), 1);
		ring_push(rig->ring, id, 0);
		ring_flush(rig->ring);
		rig_collect_all(rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKED_TEST(interrupt_at_a_place),
		PACKED_TEST(interrupt_over_the_end_of_the_ring),
		PACKED_TEST(interrupt_in_the_middle_of_a_chain),
		PACKED_TEST(event_flags_without_event_idx),
		PACKED_TEST(event_beyond_the_ring_is_no_harm),
		PACKED_TEST(kicks_over_the_end_of_the_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
