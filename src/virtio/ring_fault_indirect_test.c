/* SPDX-License-Identifier: BSD-2-Clause */
/* Indirect tables of a split ring that break the rules: one test for each. */
#include "ring_test_rig.h"

static void indirect_length(struct rig *rig, uint32_t len)
{
	int head;

	rig_indirect_chain(rig, &head)->len = len;
	rig_offer_breaks(rig, head, RING_FAULT_INDIRECT);
}

static void indirect_table_length_zero(void **state)
{
	indirect_length(*state, 0);
}

static void indirect_table_length_no_multiple_of_16(void **state)
{
	indirect_length(*state, 24);
}

static void indirect_table_shorter_than_a_descriptor(void **state)
{
	indirect_length(*state, 15);
}

static void indirect_table_too_long(void **state)
{
	indirect_length(*state, (GW_FRAME_SEGS_MAX + 1) * 16);
}

static void indirect_table_of_4_gib(void **state)
{
	indirect_length(*state, 0xfffffff0);
}

static void indirect_table_unmapped(void **state)
{
	struct rig *rig = *state;
	int head;

	rig_indirect_chain(rig, &head)->addr = RIG_END + 4096;
	rig_offer_breaks(rig, head, RING_FAULT_ADDRESS);
}

static void indirect_table_half_mapped(void **state)
{
	struct rig *rig = *state;
	int head;

	/* The first descriptor is there, the second one is not. */
	rig_indirect_chain(rig, &head)->addr = RIG_END - 16;
	*(struct vring_desc *)mock_at(&rig->memory, RIG_END - 16) = *rig_table_entry(rig, 0);
	rig_offer_breaks(rig, head, RING_FAULT_ADDRESS);
}

static void indirect_table_wraps(void **state)
{
	struct rig *rig = *state;
	int head;

	rig_indirect_chain(rig, &head)->addr = UINT64_MAX - 15;
	rig_offer_breaks(rig, head, RING_FAULT_ADDRESS);
}

static void indirect_table_nested(void **state)
{
	struct rig *rig = *state;
	int head;

	rig_indirect_chain(rig, &head);
	rig_table_entry(rig, 1)->flags |= VRING_DESC_F_INDIRECT;
	rig_offer_breaks(rig, head, RING_FAULT_NESTED);
}

static void indirect_next_beyond_the_table(void **state)
{
	struct rig *rig = *state;
	int head;

	rig_indirect_chain(rig, &head);
	rig_table_entry(rig, 0)->next = 2;
	rig_offer_breaks(rig, head, RING_FAULT_NEXT);
}

static void indirect_next_loop(void **state)
{
	struct rig *rig = *state;
	int head;

	rig_indirect_chain(rig, &head);
	rig_table_entry(rig, 0)->next = 0;
	rig_offer_breaks(rig, head, RING_FAULT_LOOP);
}

static void indirect_descriptor_with_next(void **state)
{
	struct rig *rig = *state;
	int head;

	rig_indirect_chain(rig, &head)->flags |= VRING_DESC_F_NEXT;
	rig_offer_breaks(rig, head, RING_FAULT_INDIRECT);
}

static void indirect_not_negotiated(void **state)
{
	struct rig *rig = *state;
	struct ring_config config = mock_driver_config(&rig->driver);
	int head;

	config.features = 0;
	ring_destroy(rig->ring);
	assert_int_equal(ring_create(&config, &rig->ring, NULL), 0);
	rig_indirect_chain(rig, &head);
	rig_offer_breaks(rig, head, RING_FAULT_FEATURE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAULT_TEST(indirect_table_length_zero),
		FAULT_TEST(indirect_table_length_no_multiple_of_16),
		FAULT_TEST(indirect_table_shorter_than_a_descriptor),
		FAULT_TEST(indirect_table_too_long),
		FAULT_TEST(indirect_table_of_4_gib),
		FAULT_TEST(indirect_table_unmapped),
		FAULT_TEST(indirect_table_half_mapped),
		FAULT_TEST(indirect_table_wraps),
		FAULT_TEST(indirect_table_nested),
		FAULT_TEST(indirect_next_beyond_the_table),
		FAULT_TEST(indirect_next_loop),
		FAULT_TEST(indirect_descriptor_with_next),
		FAULT_TEST(indirect_not_negotiated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
