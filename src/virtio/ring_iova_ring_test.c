/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings of a guest behind an IOMMU: the ring's own parts, which are not mapped yet, are
 * taken away while it runs, or come back elsewhere.
 */
#include "ring.h"

#include "ring_iova_rig.h"
#include <errno.h>
#include <string.h>

static void ring_that_is_not_mapped_yet_waits(void **state)
{
	struct rig *rig = *state;
	struct iotlb_miss miss;
	unsigned int asked = 0;
	uint32_t base = mock_driver_config(&rig->driver).base;

	iova_map(rig, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	iova_open(rig);
	iova_offer(rig, BUFFER_IOVA, 64, false);
	while (ring_missing(rig->ring, &miss)) {
		assert_int_equal(rig_pop(rig), 0);
		assert_false(ring_flush(rig->ring));
		ring_no_kick(rig->ring);
		assert_true(asked++ < IOVA_RING_BYTES / PAGE);
		assert_int_equal(ring_base(rig->ring), base);
		miss.iova &= ~(PAGE - 1);
		iova_map(rig, miss.iova, RIG_RING + (miss.iova - RING_IOVA), PAGE,
			 IOTLB_READ_WRITE);
	}
	assert_true(asked > 1);
	assert_int_equal(rig_pop(rig), 1);
	ring_push(rig->ring, rig->chain.head, 0);
	ring_flush(rig->ring);
	rig_collects(rig, rig->chain.head, 0);
}

static void ring_in_pages_that_lie_apart_is_refused(void **state)
{
	struct rig *rig = *state;
	struct ring_config config;
	struct gw_error err;

	iova_map_ring(rig);
	iova_map(rig, RING_IOVA, 0x80000, PAGE, IOTLB_READ_WRITE);
	config = iova_config(rig);
	/* 256 descriptors are one page. */
	config.size = rig->packed ? 300 : 512;
	assert_int_equal(ring_create(&config, &rig->ring, &err), -EINVAL);
	assert_non_null(strstr(err.text, "not in one piece"));
	rig->ring = NULL;
}

static void ring_outside_of_the_front_end_is_refused(void **state)
{
	struct rig *rig = *state;
	struct ring_config config;
	struct gw_error err;

	iova_map_user(rig, RING_IOVA, NOWHERE, IOVA_RING_BYTES, IOTLB_READ_WRITE);
	config = iova_config(rig);
	assert_int_equal(ring_create(&config, &rig->ring, &err), -EINVAL);
	rig->ring = NULL;
}

/* IOTLB invalidate with cached ring pointers: what is done meanwhile is not lost. */
static void ring_whose_pages_are_taken_away_waits(void **state)
{
	struct rig *rig = *state;
	uint16_t head[3];

	iova_map_ring(rig);
	iova_map(rig, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	iova_open(rig);
	for (unsigned int i = 0; i < 3; i++) {
		iova_offer(rig, BUFFER_IOVA, 64, false);
		assert_int_equal(rig_pop(rig), 1);
		head[i] = rig->chain.head;
	}
	ring_push(rig->ring, head[1], 0);
	iova_unmap(rig, RING_IOVA, IOVA_RING_BYTES);
	iova_misses(rig, RING_IOVA, rig->packed ? IOTLB_READ_WRITE : IOTLB_READ);
	assert_true(ring_flush(rig->ring)); /* what was pushed before was shown */
	rig_collects(rig, head[1], 0);
	iova_offer(rig, BUFFER_IOVA, 64, false);
	ring_push(rig->ring, head[2], 0);
	assert_false(ring_flush(rig->ring));
	rig_collects_nothing(rig);
	assert_int_equal(ring_in_flight(rig->ring), 1);
	iova_map_ring(rig);
	iova_misses_nothing(rig);
	ring_flush(rig->ring);
	rig_collects(rig, head[2], 0);
	rig_collects_nothing(rig);
	ring_push(rig->ring, head[0], 0);
	assert_true(ring_has_avail(rig->ring));
	assert_int_equal(rig_pop(rig), 1);
	ring_flush(rig->ring);
	rig_collects(rig, head[0], 0);
}

/* The same of a run, which in order would go as it is. */
static void run_is_held_while_a_ring_waits(void **state)
{
	struct rig *rig = *state;
	struct ring_config config;
	struct gw_error err;
	uint16_t head[3];

	iova_map_ring(rig);
	iova_map(rig, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	config = iova_config(rig);
	config.features |= FEATURE(VIRTIO_F_IN_ORDER);
	assert_int_equal(ring_create(&config, &rig->ring, &err), 0);
	for (unsigned int i = 0; i < 3; i++) {
		iova_offer(rig, BUFFER_IOVA, 64, false);
		assert_int_equal(ring_pop_run(rig->ring, &(struct ring_linear){ 0 }, 1), 0);
		assert_int_equal(rig_pop(rig), 1);
		head[i] = rig->chain.head;
	}
	/* It moves. */
	iova_unmap(rig, RING_IOVA, IOVA_RING_BYTES);
	memcpy(mock_at(&rig->memory, 0x80000), mock_at(&rig->memory, RIG_RING), IOVA_RING_BYTES);
	ring_push_run(rig->ring, head, 3);
	assert_false(ring_flush(rig->ring));
	assert_int_equal(ring_in_flight(rig->ring), 0);
	iova_map(rig, RING_IOVA, 0x80000, IOVA_RING_BYTES, IOTLB_READ_WRITE);
	ring_flush(rig->ring);
	rig_collects_nothing(rig);
	memcpy(mock_at(&rig->memory, RIG_RING), mock_at(&rig->memory, 0x80000), IOVA_RING_BYTES);
	for (unsigned int i = 0; i < 3; i++)
		rig_collects(rig, head[i], 0);
	rig_collects_nothing(rig);
}

/* The same I/O address, other memory: the used entry is written there. */
static void ring_that_moves(void **state)
{
	struct rig *rig = *state;
	uint16_t head;

	iova_map_ring(rig);
	iova_map(rig, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	iova_open(rig);
	iova_offer(rig, BUFFER_IOVA, 64, false);
	assert_int_equal(rig_pop(rig), 1);
	head = rig->chain.head;
	memcpy(mock_at(&rig->memory, 0x80000), mock_at(&rig->memory, RIG_RING), IOVA_RING_BYTES);
	iova_map(rig, RING_IOVA, 0x80000, IOVA_RING_BYTES, IOTLB_READ_WRITE);
	ring_push(rig->ring, head, 0);
	ring_flush(rig->ring);
	rig_collects_nothing(rig);
	memcpy(mock_at(&rig->memory, RIG_RING), mock_at(&rig->memory, 0x80000), IOVA_RING_BYTES);
	rig_collects(rig, head, 0);
}

static void ring_that_moves_outside_breaks(void **state)
{
	struct rig *rig = *state;

	iova_map_ring(rig);
	iova_map(rig, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	iova_open(rig);
	iova_offer(rig, BUFFER_IOVA, 64, false);
	assert_int_equal(rig_pop(rig), 1);
	iova_map_user(rig, RING_IOVA, NOWHERE, IOVA_RING_BYTES, IOTLB_READ_WRITE);
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_IOVA);
	assert_int_equal(rig_pop(rig), -1);
	ring_push(rig->ring, rig->chain.head, 0);
	assert_false(ring_flush(rig->ring));
	assert_int_equal(ring_in_flight(rig->ring), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IOVA_TEST(ring_that_is_not_mapped_yet_waits),
		IOVA_TEST(ring_in_pages_that_lie_apart_is_refused),
		IOVA_TEST(ring_outside_of_the_front_end_is_refused),
		IOVA_TEST(ring_whose_pages_are_taken_away_waits),
		IOVA_TEST(run_is_held_while_a_ring_waits),
		IOVA_TEST(ring_that_moves),
		IOVA_TEST(ring_that_moves_outside_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
