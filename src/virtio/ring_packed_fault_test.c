/* SPDX-License-Identifier: BSD-2-Clause */
/* The packed ring against a guest that breaks the rules: one test for each. */
#include "ring_test_rig.h"

static struct vring_packed_desc descriptor(uint16_t id, uint16_t flags)
{
	return (struct vring_packed_desc){ .addr = 0x1000, .len = 10, .id = id, .flags = flags };
}

static void available_flags_alone(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, RIG_RING_SIZE, 0);
	/* Of the other lap, used, used in the other lap: nothing is available. */
	rig->driver.slot[0] = descriptor(0, USED);
	assert_int_equal(rig_pop(rig), 0);
	rig->driver.slot[0].flags = AVAIL | USED;
	assert_int_equal(rig_pop(rig), 0);
	rig->driver.slot[0].flags = 0;
	assert_int_equal(rig_pop(rig), 0);
	rig->driver.slot[0].flags = AVAIL;
	assert_int_equal(rig_pop(rig), 1);
}

static void wrap_bits_wrong_in_a_chain(void **state)
{
	static const uint16_t wrong[] = { 0, USED, AVAIL | USED };
	struct rig *rig = *state;

	for (unsigned int i = 0; i < 3; i++) {
		rig_open(rig, RIG_RING_SIZE, 0);
		rig->driver.slot[1] = descriptor(0, wrong[i]);
		rig->driver.slot[0] = descriptor(0, AVAIL | NEXT);
		rig_breaks(rig, RING_FAULT_WRAP);
		rig_close(rig);
	}
}

static void id_beyond_the_ring(void **state)
{
	static const uint16_t ids[] = { RIG_RING_SIZE, UINT16_MAX };
	struct rig *rig = *state;

	for (unsigned int i = 0; i < 2; i++) {
		rig_open(rig, RIG_RING_SIZE, 0);
		rig->driver.slot[0] = descriptor(ids[i], AVAIL);
		rig_breaks(rig, RING_FAULT_ID);
		rig_close(rig);
	}
}

static void id_reused_while_in_flight(void **state)
{
	struct rig *rig = *state;
	uint16_t id;

	rig_open(rig, RIG_RING_SIZE, 0);
	id = rig_take(rig, 2);
	rig->driver.slot[2] = descriptor(id, AVAIL);
	rig_breaks(rig, RING_FAULT_REUSED);
	/* What was taken before can still be given back. */
	ring_push(rig->ring, id, 0);
	ring_flush(rig->ring);
	rig_collects(rig, id, 0);
}

/* All descriptors are ours, and the guest goes on over them with ids that are free. */
static void more_descriptors_than_the_ring_has(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, RIG_RING_SIZE, 0);
	rig_take(rig, RIG_RING_SIZE - 1);
	rig->driver.slot[RIG_RING_SIZE - 1] = descriptor(3, AVAIL | NEXT);
	rig->driver.slot[0] = descriptor(3, USED);
	rig_breaks(rig, RING_FAULT_INDEX);
}

/* The same where used descriptors were written, but not shown. */
static void more_descriptors_than_were_shown(void **state)
{
	struct rig *rig = *state;
	uint16_t id;

	rig_open(rig, RIG_RING_SIZE, 0);
	id = rig_take(rig, RIG_RING_SIZE);
	ring_push(rig->ring, id, 0);
	rig->driver.slot[0] = descriptor(id, USED);
	rig_breaks(rig, RING_FAULT_INDEX);
}

static void chain_that_never_ends(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, RIG_RING_SIZE, 0);
	for (uint16_t i = 0; i < RIG_RING_SIZE; i++)
		rig->driver.slot[i] = descriptor(i, AVAIL | NEXT);
	rig_breaks(rig, RING_FAULT_LOOP);
}

static void chain_with(struct rig *rig, uint64_t features, struct vring_packed_desc desc,
		       enum ring_fault fault)
{
	rig_open(rig, RIG_RING_SIZE, features);
	desc.flags ^= AVAIL;
	rig->driver.slot[0] = desc;
	rig_breaks(rig, fault);
}

static void zero_length(void **state)
{
	chain_with(*state, 0, (struct vring_packed_desc){ .addr = 0x1000 }, RING_FAULT_LENGTH);
}

static void address_range_unmapped(void **state)
{
	chain_with(*state, 0, (struct vring_packed_desc){ .addr = RIG_END, .len = 1 },
		   RING_FAULT_ADDRESS);
}

static void address_range_wraps(void **state)
{
	chain_with(*state, 0, (struct vring_packed_desc){ .addr = UINT64_MAX - 3, .len = 60 },
		   RING_FAULT_ADDRESS);
}

static void readable_after_writable(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 12, true }, { 0x3000, 60, false } };
	struct rig *rig = *state;

	rig_open(rig, RIG_RING_SIZE, 0);
	rig_offer(rig, mock_chain(&rig->driver, buffers, 2));
	rig_breaks(rig, RING_FAULT_ORDER);
}

static void more_segments_than_a_frame_takes(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, RIG_RING_SIZE, 0);
	rig_offer_some(rig, 5);
	mock_publish(&rig->driver);
	assert_int_equal(ring_pop(rig->ring, &rig->chain, rig->seg, 4), -1);
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_SEGMENTS);
}

/* ---- indirect tables ---- */

static struct vring_packed_desc table_desc(uint32_t len, uint16_t flags)
{
	return (struct vring_packed_desc){ .addr = RIG_TABLE,
					   .len = len,
					   .flags = VRING_DESC_F_INDIRECT | flags };
}

static void indirect_without_the_feature(void **state)
{
	chain_with(*state, 0, table_desc(16, 0), RING_FAULT_FEATURE);
}

static void indirect_table_of_length_0(void **state)
{
	chain_with(*state, INDIRECT, table_desc(0, 0), RING_FAULT_INDIRECT);
}

static void indirect_table_not_a_multiple_of_16(void **state)
{
	chain_with(*state, INDIRECT, table_desc(24, 0), RING_FAULT_INDIRECT);
}

static void indirect_table_too_long(void **state)
{
	chain_with(*state, INDIRECT, table_desc(16 * (GW_FRAME_SEGS_MAX + 1), 0),
		   RING_FAULT_INDIRECT);
}

static void indirect_table_half_mapped(void **state)
{
	struct vring_packed_desc entry = descriptor(0, 0), desc = table_desc(32, 0);
	struct rig *rig = *state;

	desc.addr = RIG_END - sizeof(entry);
	mock_write(&rig->memory, desc.addr, &entry, sizeof(entry));
	chain_with(rig, INDIRECT, desc, RING_FAULT_ADDRESS);
}

static void indirect_table_unmapped(void **state)
{
	struct vring_packed_desc desc = table_desc(32, 0);

	desc.addr = RIG_END;
	chain_with(*state, INDIRECT, desc, RING_FAULT_ADDRESS);
}

/* Section 2.8.19: no descriptors with INDIRECT in a list linked by NEXT. */
static void indirect_with_next(void **state)
{
	chain_with(*state, INDIRECT, table_desc(16, NEXT), RING_FAULT_INDIRECT);
}

static void indirect_behind_a_direct_one(void **state)
{
	struct rig *rig = *state;
	int id;

	rig_open(rig, RIG_RING_SIZE, INDIRECT);
	id = mock_chain_indirect(&rig->driver, rig_good, 2, 1, RIG_TABLE);
	rig_offer(rig, id);
	rig_breaks(rig, RING_FAULT_INDIRECT);
}

static void nested_indirect(void **state)
{
	struct vring_packed_desc entry = descriptor(0, VRING_DESC_F_INDIRECT);
	struct rig *rig = *state;

	mock_write(&rig->memory, RIG_TABLE, &entry, sizeof(entry));
	chain_with(rig, INDIRECT, table_desc(16, 0), RING_FAULT_NESTED);
}

/* Section 2.8.7: in a table WRITE is the only flag, and there are drivers that set more. */
static void other_flags_in_a_table_are_ignored(void **state)
{
	struct vring_packed_desc entry = descriptor(UINT16_MAX, AVAIL | USED | NEXT);
	struct rig *rig = *state;

	rig_open(rig, RIG_RING_SIZE, INDIRECT);
	mock_write(&rig->memory, RIG_TABLE, &entry, sizeof(entry));
	entry.addr = 0x2000;
	mock_write(&rig->memory, RIG_TABLE + 16, &entry, sizeof(entry));
	rig->driver.slot[0] = table_desc(32, AVAIL);
	rig->driver.slot[0].id = 5;
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig->chain.head, 5);
	assert_int_equal(rig->chain.read_count, 2);
	assert_int_equal(rig->chain.read_bytes, 20);
	assert_int_equal(ring_base(rig->ring) & 0xffff, LAP_ONE | 1);
}

static void pop_table_of_writables(struct rig *rig, bool reads_only)
{
	const uint16_t flags[] = { VRING_DESC_F_WRITE, 0, VRING_DESC_F_WRITE };

	rig->reads_only = reads_only;
	rig_open(rig, RIG_RING_SIZE, INDIRECT);
	for (unsigned int i = 0; i < 3; i++) {
		struct vring_packed_desc entry = descriptor(0, flags[i]);

		entry.addr = 0x1000 * (i + 1);
		mock_write(&rig->memory, RIG_TABLE + 16 * i, &entry, sizeof(entry));
	}
	rig->driver.slot[0] = table_desc(48, AVAIL);
}

/* DPDK's driver has WRITE on the header of what it sends from a table, and elsewhere. */
static void writable_in_a_table_of_a_transmit_ring(void **state)
{
	struct rig *rig = *state;

	pop_table_of_writables(rig, true);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig->chain.read_count, 3);
	assert_int_equal(rig->chain.read_bytes, 30);
	assert_int_equal(rig->chain.write_count, 0);
}

static void writable_in_a_table(void **state)
{
	struct rig *rig = *state;

	pop_table_of_writables(rig, false);
	rig_breaks(rig, RING_FAULT_ORDER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKED_TEST(available_flags_alone),
		PACKED_TEST(wrap_bits_wrong_in_a_chain),
		PACKED_TEST(id_beyond_the_ring),
		PACKED_TEST(id_reused_while_in_flight),
		PACKED_TEST(more_descriptors_than_the_ring_has),
		PACKED_TEST(more_descriptors_than_were_shown),
		PACKED_TEST(chain_that_never_ends),
		PACKED_TEST(zero_length),
		PACKED_TEST(address_range_unmapped),
		PACKED_TEST(address_range_wraps),
		PACKED_TEST(readable_after_writable),
		PACKED_TEST(more_segments_than_a_frame_takes),
		PACKED_TEST(indirect_without_the_feature),
		PACKED_TEST(indirect_table_of_length_0),
		PACKED_TEST(indirect_table_not_a_multiple_of_16),
		PACKED_TEST(indirect_table_too_long),
		PACKED_TEST(indirect_table_half_mapped),
		PACKED_TEST(indirect_table_unmapped),
		PACKED_TEST(indirect_with_next),
		PACKED_TEST(indirect_behind_a_direct_one),
		PACKED_TEST(nested_indirect),
		PACKED_TEST(other_flags_in_a_table_are_ignored),
		PACKED_TEST(writable_in_a_table_of_a_transmit_ring),
		PACKED_TEST(writable_in_a_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
