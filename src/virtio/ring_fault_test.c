/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The split ring against a guest that breaks the rules: one test for each. Those of
 * indirect tables are in ring_fault_indirect_test.c, those of the packed ring in
 * ring_packed_fault_test.c, and a guest that changes its mind is in ring_race_test.c.
 */
#include "ring_test_rig.h"

/* A chain whose last buffer is this one. */
static void buffer_breaks(struct rig *rig, uint64_t addr, uint32_t len, enum ring_fault fault)
{
	struct mock_buffer buffers[] = { rig_good[0], { addr, len, false } };

	rig_offer_breaks(rig, mock_chain(&rig->driver, buffers, 2), fault);
}

/* ---- addresses ---- */

/* CVE-2020-10725: DPDK did not look whether there was a translation (packed rings, in batches). */
static void address_range_unmapped(void **state)
{
	buffer_breaks(*state, RIG_END + 4096, 60, RING_FAULT_ADDRESS);
}

static void address_range_half_mapped(void **state)
{
	buffer_breaks(*state, RIG_END - 30, 60, RING_FAULT_ADDRESS);
}

static void address_range_begins_unmapped(void **state)
{
	buffer_breaks(*state, RIG_TOP - 30, 60, RING_FAULT_ADDRESS);
}

static void address_range_wraps(void **state)
{
	buffer_breaks(*state, UINT64_MAX - 30, 60, RING_FAULT_ADDRESS);
}

static void address_range_of_4_gib(void **state)
{
	buffer_breaks(*state, 0, UINT32_MAX, RING_FAULT_ADDRESS);
}

/*
 * CVE-2016-6490: QEMU never came to the end of it. CVE-2019-14835: Linux logged more of such,
 * during a migration, than it had room for.
 */
static void zero_length(void **state)
{
	buffer_breaks(*state, 0x2000, 0, RING_FAULT_LENGTH);
}

/* ---- indices ---- */

static void head_beyond_the_ring(void **state)
{
	rig_offer_breaks(*state, RIG_RING_SIZE, RING_FAULT_HEAD);
}

static void head_far_beyond_the_ring(void **state)
{
	rig_offer_breaks(*state, 0xffff, RING_FAULT_HEAD);
}

static void next_beyond_the_ring(void **state)
{
	struct rig *rig = *state;
	int head = rig_good_chain(rig);

	mock_desc(&rig->driver, (uint16_t)head)->next = RIG_RING_SIZE;
	rig_offer_breaks(rig, head, RING_FAULT_NEXT);
}

/*
 * CVE-2019-9547: SPDK went round and round. CVE-2020-14378: so did DPDK in vhost-crypto, after
 * an underflow.
 */
static void next_loop(void **state)
{
	struct rig *rig = *state;
	int head = rig_good_chain(rig);

	mock_desc(&rig->driver, (uint16_t)head)->next = (uint16_t)head;
	rig_offer_breaks(rig, head, RING_FAULT_LOOP);
}

static void chain_longer_than_the_ring(void **state)
{
	struct rig *rig = *state;

	for (uint16_t i = 0; i < RIG_RING_SIZE; i++)
		*mock_desc(&rig->driver, i) = (struct vring_desc){
			.addr = 0x1000 + 0x100 * i,
			.len = 1,
			.flags = VRING_DESC_F_NEXT,
			.next = (i + 1) % RIG_RING_SIZE,
		};
	rig_offer_breaks(rig, 0, RING_FAULT_LOOP);
}

static void avail_index_jump(void **state)
{
	struct rig *rig = *state;

	rig->driver.avail->idx = RIG_RING_SIZE + 1;
	rig_breaks(rig, RING_FAULT_INDEX);
}

static void avail_index_backwards(void **state)
{
	struct rig *rig = *state;

	rig->driver.avail->idx = 0xffff;
	rig_breaks(rig, RING_FAULT_INDEX);
}

/* CVE-2016-5403: QEMU took requests for which nobody had waited, more and more of them. */
static void head_reused_while_in_flight(void **state)
{
	struct rig *rig = *state;
	int head = rig_good_chain(rig);

	rig_offer(rig, head);
	assert_int_equal(rig_pop(rig), 1);
	rig_offer_breaks(rig, head, RING_FAULT_REUSED);
	/* What was taken before can still be given back. */
	ring_push(rig->ring, (uint16_t)head, 0);
	ring_flush(rig->ring);
	assert_int_equal(ring_in_flight(rig->ring), 0);
	assert_int_equal(rig->driver.used->idx, 1);
}

/* ---- order and number of segments ---- */

static void readable_after_writable(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 12, true }, { 0x3000, 60, false } };
	struct rig *rig = *state;

	rig_offer_breaks(rig, mock_chain(&rig->driver, buffers, 2), RING_FAULT_ORDER);
}

static void more_segments_than_a_frame_takes(void **state)
{
	struct mock_buffer buffers[5];
	struct rig *rig = *state;

	for (unsigned int i = 0; i < 5; i++)
		buffers[i] = (struct mock_buffer){ 0x1000 + 0x100 * i, 1, false };
	rig_offer(rig, mock_chain(&rig->driver, buffers, 5));
	assert_int_equal(ring_pop(rig->ring, &rig->chain, rig->seg, 4), -1);
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_SEGMENTS);
}

static void one_byte_segments_are_allowed(void **state)
{
	struct mock_buffer buffers[200];
	struct rig *rig = *state;

	for (unsigned int i = 0; i < 200; i++)
		buffers[i] = (struct mock_buffer){ 0x1000 + 2 * i, 1, false };
	rig_offer(rig, mock_chain_indirect(&rig->driver, buffers, 200, 0, RIG_TABLE));
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig->chain.read_count, 200);
	assert_int_equal(rig->chain.read_bytes, 200);
}

/* ---- rules above the ring ---- */

static void broken_from_above(void **state)
{
	struct rig *rig = *state;

	ring_break(rig->ring, RING_FAULT_DIRECTION);
	ring_break(rig->ring, RING_FAULT_HEADER); /* the first one counts */
	rig_offer_breaks(rig, rig_good_chain(rig), RING_FAULT_DIRECTION);
}

static void every_fault_has_a_name_of_its_own(void **state)
{
	for (int i = 0; i < RING_FAULT_COUNT; i++) {
		assert_non_null(ring_fault_name(i));
		assert_non_null(ring_fault_text(i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(ring_fault_name(i), ring_fault_name(j));
	}
	assert_string_equal(ring_fault_name(RING_FAULT_COUNT), "unknown");
	assert_string_equal(ring_fault_text((enum ring_fault) - 1), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAULT_TEST(address_range_unmapped),
		FAULT_TEST(address_range_half_mapped),
		FAULT_TEST(address_range_begins_unmapped),
		FAULT_TEST(address_range_wraps),
		FAULT_TEST(address_range_of_4_gib),
		FAULT_TEST(zero_length),
		FAULT_TEST(head_beyond_the_ring),
		FAULT_TEST(head_far_beyond_the_ring),
		FAULT_TEST(next_beyond_the_ring),
		FAULT_TEST(next_loop),
		FAULT_TEST(chain_longer_than_the_ring),
		FAULT_TEST(avail_index_jump),
		FAULT_TEST(avail_index_backwards),
		FAULT_TEST(head_reused_while_in_flight),
		FAULT_TEST(readable_after_writable),
		FAULT_TEST(more_segments_than_a_frame_takes),
		FAULT_TEST(one_byte_segments_are_allowed),
		FAULT_TEST(broken_from_above),
		cmocka_unit_test(every_fault_has_a_name_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
