/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings of a guest behind an IOMMU, on both layouts: buffers that are missing, and that
 * I/O addresses put together of other pages than they seem to lie on.
 */
#include "ring.h"

#include "ring_iova_rig.h"
#include <string.h>

static void buffers_are_translated(void **state)
{
	struct rig *rig = *state;

	iova_map_ring(rig);
	iova_map(rig, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	iova_open(rig);
	iova_misses_nothing(rig);
	strcpy(mock_at(&rig->memory, 0x8010), "payload");
	iova_offer(rig, BUFFER_IOVA + 0x10, 8, false);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig->chain.read_count, 1);
	assert_string_equal(rig->seg[0].iov_base, "payload");
	ring_push(rig->ring, rig->chain.head, 0);
	ring_flush(rig->ring);
	rig_collects(rig, rig->chain.head, 0);
}

/* The IOMMU has put pages together that lie apart, and one into the place it had. */
static void buffer_in_pages_that_lie_apart(void **state)
{
	static const uint64_t at[] = { 0x9000, 0x8000, 0xc000, 0xd000 };
	struct rig *rig = *state;
	uint8_t bytes[3 * PAGE];
	size_t done = 0;

	iova_map_ring(rig);
	for (unsigned int i = 0; i < 4; i++)
		iova_map(rig, BUFFER_IOVA + i * PAGE, at[i], PAGE, IOTLB_READ);
	iova_open(rig);
	for (size_t i = 0; i < 4 * PAGE; i++)
		*(uint8_t *)mock_at(&rig->memory, at[i / PAGE] + i % PAGE) = (uint8_t)(i * 13 >> 4);
	iova_offer(rig, BUFFER_IOVA + 100, sizeof(bytes), false);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig->chain.read_count, 3); /* the last two touch */
	assert_int_equal(rig->chain.read_bytes, sizeof(bytes));
	for (unsigned int i = 0; i < rig->chain.read_count; i++) {
		memcpy(bytes + done, rig->seg[i].iov_base, rig->seg[i].iov_len);
		done += rig->seg[i].iov_len;
	}
	assert_int_equal(done, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], (uint8_t)((i + 100) * 13 >> 4));
}

static void miss_consumes_nothing(void **state)
{
	struct rig *rig = *state;
	uint32_t base;

	iova_map_ring(rig);
	iova_map(rig, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	iova_open(rig);
	base = ring_base(rig->ring);
	iova_offer(rig, BUFFER_IOVA + PAGE - 100, 300, false);
	assert_true(ring_has_avail(rig->ring));
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(rig_pop(rig), 0);
		iova_misses(rig, BUFFER_IOVA + PAGE, IOTLB_READ);
	}
	assert_int_equal(ring_base(rig->ring), base);
	assert_int_equal(ring_in_flight(rig->ring), 0);
	iova_map(rig, BUFFER_IOVA + PAGE, 0x2000, PAGE, IOTLB_READ);
	iova_misses_nothing(rig);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig->chain.read_count, 2);
	assert_int_equal(rig->chain.read_bytes, 300);
}

/* Only what is to be popped waits: what is out comes back meanwhile. */
static void chains_come_back_while_a_buffer_is_missing(void **state)
{
	struct rig *rig = *state;
	uint16_t head;

	iova_map_ring(rig);
	iova_map(rig, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	iova_open(rig);
	iova_offer(rig, BUFFER_IOVA, 64, false);
	iova_offer(rig, BUFFER_IOVA + PAGE, 64, false);
	assert_int_equal(rig_pop(rig), 1);
	head = rig->chain.head;
	assert_int_equal(rig_pop(rig), 0);
	iova_misses(rig, BUFFER_IOVA + PAGE, IOTLB_READ);
	ring_push(rig->ring, head, 0);
	assert_true(ring_flush(rig->ring));
	rig_collects(rig, head, 0);
}

/* A range that only permits the other direction is as good as none. */
static void access_that_is_not_permitted_is_a_miss(void **state)
{
	struct rig *rig = *state;

	iova_map_ring(rig);
	iova_map(rig, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	iova_open(rig);
	iova_offer(rig, BUFFER_IOVA, 64, true);
	assert_int_equal(rig_pop(rig), 0);
	iova_misses(rig, BUFFER_IOVA, IOTLB_WRITE);
	iova_map(rig, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ_WRITE);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig->chain.write_count, 1);
}

static void range_outside_of_the_front_end_is_a_fault(void **state)
{
	struct rig *rig = *state;

	iova_map_ring(rig);
	iova_map_user(rig, BUFFER_IOVA, NOWHERE, PAGE, IOTLB_READ);
	iova_open(rig);
	iova_offer(rig, BUFFER_IOVA, 64, false);
	assert_int_equal(rig_pop(rig), -1);
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_IOVA);
}

static void buffer_that_wraps_is_a_fault(void **state)
{
	struct rig *rig = *state;

	iova_map_ring(rig);
	iova_map(rig, 0, 0, PAGE, IOTLB_READ);
	iova_map(rig, UINT64_MAX - PAGE + 1, 0x8000, PAGE, IOTLB_READ);
	iova_open(rig);
	iova_offer(rig, UINT64_MAX - 99, 200, false);
	assert_int_equal(rig_pop(rig), -1);
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_ADDRESS);
}

static void guest_physical_address_means_nothing(void **state)
{
	struct rig *rig = *state;

	iova_map_ring(rig);
	iova_open(rig);
	iova_offer(rig, 0x8000, 64, false);
	assert_int_equal(rig_pop(rig), 0);
	iova_misses(rig, 0x8000, IOTLB_READ);
}

/* The table too, and one of its descriptors lies on two pages. */
static void indirect_table_in_pages_that_lie_apart(void **state)
{
	struct mock_buffer buffers[] = { { BUFFER_IOVA, 10, false },
					 { BUFFER_IOVA + 0x100, 20, false },
					 { BUFFER_IOVA + 0x200, 30, true } };
	uint64_t table = 0xa000 - 24;
	struct rig *rig = *state;
	int head;

	iova_map_ring(rig);
	iova_map(rig, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ_WRITE);
	iova_map(rig, 0x70000000, 0x9000, PAGE, IOTLB_READ);
	iova_open(rig);
	/* Written where guest physical pages touch; the second one moves elsewhere. */
	head = mock_chain_indirect(&rig->driver, buffers, 3, 0, table);
	memcpy(mock_at(&rig->memory, 0x20000), mock_at(&rig->memory, 0xa000), 64);
	memset(mock_at(&rig->memory, 0xa000), 0xff, 64);
	mock_desc(&rig->driver, (uint16_t)head)->addr = 0x70000000 + PAGE - 24;
	mock_offer(&rig->driver, (uint16_t)head);
	mock_publish(&rig->driver);
	assert_int_equal(rig_pop(rig), 0);
	iova_misses(rig, 0x70000000 + PAGE, IOTLB_READ);
	iova_map(rig, 0x70000000 + PAGE, 0x20000, PAGE, IOTLB_READ);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig->chain.read_bytes, 30);
	assert_int_equal(rig->chain.write_bytes, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IOVA_TEST(buffers_are_translated),
		IOVA_TEST(buffer_in_pages_that_lie_apart),
		IOVA_TEST(miss_consumes_nothing),
		IOVA_TEST(chains_come_back_while_a_buffer_is_missing),
		IOVA_TEST(access_that_is_not_permitted_is_a_miss),
		IOVA_TEST(range_outside_of_the_front_end_is_a_fault),
		IOVA_TEST(buffer_that_wraps_is_a_fault),
		IOVA_TEST(guest_physical_address_means_nothing),
		IOVA_TEST(indirect_table_in_pages_that_lie_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
