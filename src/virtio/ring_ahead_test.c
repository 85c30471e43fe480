/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings of a guest behind an IOMMU: what is asked for ahead, many I/O addresses at once,
 * when that is due, and that no chain makes it long.
 */
#include "ring.h"

#include "ring_iova_rig.h"

/* As many buffers as there are pages, none of which is mapped. */
static void offer_pages(struct rig *rig, unsigned int count, bool writable)
{
	for (unsigned int i = 0; i < count; i++)
		iova_offer(rig, BUFFER_IOVA + i * PAGE + 100, 1000, writable);
}

static void misses_ahead(struct rig *rig, uint64_t first, unsigned int count, uint8_t access)
{
	struct iotlb_miss miss[RING_AHEAD_MAX];

	assert_int_equal(ring_look_ahead(rig->ring, miss, RING_AHEAD_MAX), count);
	for (unsigned int i = 0; i < count; i++) {
		assert_int_equal(miss[i].iova / PAGE, first / PAGE + i);
		assert_int_equal(miss[i].access, access);
	}
}

/* One round trip for all of them, not one for each. */
static void misses_are_found_ahead(void **state)
{
	struct rig *rig = *state;
	uint32_t base;

	iova_map_ring(rig);
	iova_open(rig);
	base = ring_base(rig->ring);
	misses_ahead(rig, 0, 0, 0);
	offer_pages(rig, 10, true);
	misses_ahead(rig, BUFFER_IOVA, 10, IOTLB_WRITE);
	assert_int_equal(rig_pop(rig), 0);
	misses_ahead(rig, BUFFER_IOVA, 10, IOTLB_WRITE);
	iova_misses(rig, BUFFER_IOVA + 100, IOTLB_WRITE);
	assert_int_equal(ring_base(rig->ring), base);
	iova_map(rig, BUFFER_IOVA, 0x8000, 10 * PAGE, IOTLB_WRITE);
	misses_ahead(rig, 0, 0, 0);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(rig_pop(rig), 1);
	iova_misses_nothing(rig);
}

/* What is mapped already is passed over, also in the middle of a chain. */
static void only_what_is_missing_is_found(void **state)
{
	struct rig *rig = *state;
	struct iotlb_miss miss[RING_AHEAD_MAX];

	iova_map_ring(rig);
	for (unsigned int i = 0; i < 10; i += 2)
		iova_map(rig, BUFFER_IOVA + i * PAGE, 0x8000 + i * PAGE, PAGE, IOTLB_READ_WRITE);
	iova_open(rig);
	iova_offer(rig, BUFFER_IOVA + 10, 6 * PAGE, false);
	iova_offer(rig, BUFFER_IOVA + 8 * PAGE, 2 * PAGE, true);
	assert_int_equal(ring_look_ahead(rig->ring, miss, RING_AHEAD_MAX), 4);
	assert_int_equal(miss[0].iova, BUFFER_IOVA + PAGE);
	assert_int_equal(miss[1].iova, BUFFER_IOVA + 3 * PAGE);
	assert_int_equal(miss[2].iova, BUFFER_IOVA + 5 * PAGE);
	assert_int_equal(miss[2].access, IOTLB_READ);
	assert_int_equal(miss[3].iova, BUFFER_IOVA + 9 * PAGE);
	assert_int_equal(miss[3].access, IOTLB_WRITE);
}

/* A table first: what is in it can only be found when it is there. */
static void indirect_tables_are_looked_into(void **state)
{
	struct mock_buffer buffers[] = { { BUFFER_IOVA, 10, false },
					 { BUFFER_IOVA + 2 * PAGE, 20, false } };
	struct rig *rig = *state;
	struct iotlb_miss miss[RING_AHEAD_MAX];
	int head;

	iova_map_ring(rig);
	iova_open(rig);
	head = mock_chain_indirect(&rig->driver, buffers, 2, 0, 0x9000);
	mock_desc(&rig->driver, (uint16_t)head)->addr = 0x70000000;
	mock_offer(&rig->driver, (uint16_t)head);
	mock_publish(&rig->driver);
	iova_offer(rig, BUFFER_IOVA + 4 * PAGE, 64, false);
	assert_int_equal(ring_look_ahead(rig->ring, miss, RING_AHEAD_MAX), 2);
	assert_int_equal(miss[0].iova, 0x70000000);
	assert_int_equal(miss[1].iova, BUFFER_IOVA + 4 * PAGE);
	iova_map(rig, 0x70000000, 0x9000, PAGE, IOTLB_READ);
	assert_int_equal(ring_look_ahead(rig->ring, miss, RING_AHEAD_MAX), 3);
	assert_int_equal(miss[0].iova, BUFFER_IOVA);
	assert_int_equal(miss[1].iova, BUFFER_IOVA + 2 * PAGE);
	assert_int_equal(miss[2].iova, BUFFER_IOVA + 4 * PAGE);
}

/* Whatever is in the ring: so many addresses, and no more looks than are allowed. */
static void a_look_ahead_is_bounded(void **state)
{
	struct rig *rig = *state;
	struct iotlb_miss miss[RING_AHEAD_MAX + 1] = { 0 };

	iova_map_ring(rig);
	iova_open(rig);
	offer_pages(rig, RING_AHEAD_MAX + 10, false);
	assert_int_equal(ring_look_ahead(rig->ring, miss, RING_AHEAD_MAX), RING_AHEAD_MAX);
	assert_int_equal(miss[RING_AHEAD_MAX].iova, 0);
	assert_int_equal(ring_look_ahead(rig->ring, miss, 3), 3);
}

/* 4 GiB behind one descriptor, page by page, none of them beside the one before. */
static void a_long_buffer_does_not_take_long(void **state)
{
	struct rig *rig = *state;
	struct iotlb_miss miss[RING_AHEAD_MAX];

	iova_map_ring(rig);
	for (unsigned int i = 0; i < 1000; i++)
		iova_map(rig, BUFFER_IOVA + i * PAGE, 0x8000 + i % 2 * 2 * PAGE, PAGE, IOTLB_READ);
	iova_open(rig);
	iova_offer(rig, BUFFER_IOVA, UINT32_MAX, false);
	iova_offer(rig, 0x5000, 10, false);
	assert_int_equal(ring_look_ahead(rig->ring, miss, RING_AHEAD_MAX), 0);
}

/* The same page in all chains is one question, and does not make the look endless. */
static void a_page_in_many_chains_is_found_once(void **state)
{
	struct rig *rig = *state;

	iova_map_ring(rig);
	iova_open(rig);
	for (unsigned int i = 0; i < IOVA_RING_SIZE; i++)
		iova_offer(rig, BUFFER_IOVA + i, 64, false);
	misses_ahead(rig, BUFFER_IOVA, 1, IOTLB_READ);
}

static void faults_end_a_look_ahead(void **state)
{
	struct rig *rig = *state;

	iova_map_ring(rig);
	iova_open(rig);
	offer_pages(rig, 2, false);
	iova_offer(rig, BUFFER_IOVA + 2 * PAGE, 0, false); /* zero_length */
	iova_offer(rig, BUFFER_IOVA + 3 * PAGE, 64, false);
	misses_ahead(rig, BUFFER_IOVA, 2, IOTLB_READ);
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_NONE);
	assert_true(ring_has_avail(rig->ring));
	iova_map(rig, BUFFER_IOVA, 0x8000, 4 * PAGE, IOTLB_READ);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig_pop(rig), -1);
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_LENGTH);
	misses_ahead(rig, 0, 0, 0);
	assert_false(ring_look_due(rig->ring));
}

static void offer_same(struct rig *rig, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		iova_offer(rig, BUFFER_IOVA, 64, false);
}

/* As long as there are few of them, all that is made available is news. */
static void a_look_ahead_is_due_in_good_time(void **state)
{
	struct rig *rig = *state;

	iova_map_ring(rig);
	iova_map(rig, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	iova_open(rig);
	assert_false(ring_look_due(rig->ring));
	assert_true(ring_look_short(rig->ring));
	offer_same(rig, 20);
	assert_true(ring_look_due(rig->ring));
	misses_ahead(rig, 0, 0, 0);
	/* The guest goes on while it is looked at. */
	assert_false(ring_look_due(rig->ring));
	assert_true(ring_look_short(rig->ring));
	offer_same(rig, 20);
	assert_true(ring_look_due(rig->ring));
	misses_ahead(rig, 0, 0, 0);
	assert_false(ring_look_due(rig->ring));
	assert_false(ring_look_short(rig->ring));
	for (unsigned int i = 0; i < 40; i++) {
		assert_false(ring_look_due(rig->ring)); /* there is nothing new */
		assert_int_equal(rig_pop(rig), 1);
	}
	assert_false(ring_look_due(rig->ring));
	assert_true(ring_look_short(rig->ring));
}

/* More than one look can ask for: the next one when half of it is popped. */
static void a_look_ahead_that_was_cut_is_due_later(void **state)
{
	struct rig *rig = *state;

	iova_map_ring(rig);
	iova_open(rig);
	offer_pages(rig, 2 * RING_AHEAD_MAX, false);
	misses_ahead(rig, BUFFER_IOVA, RING_AHEAD_MAX, IOTLB_READ);
	assert_false(ring_look_due(rig->ring));
	assert_false(ring_look_short(rig->ring));
	iova_map(rig, BUFFER_IOVA, 0x8000, RING_AHEAD_MAX * PAGE, IOTLB_READ);
	for (unsigned int i = 0; i < RING_AHEAD_MAX / 2; i++) {
		assert_false(ring_look_due(rig->ring));
		assert_int_equal(rig_pop(rig), 1);
	}
	assert_int_equal(rig_pop(rig), 1);
	assert_true(ring_look_due(rig->ring));
	misses_ahead(rig, BUFFER_IOVA + RING_AHEAD_MAX * PAGE, RING_AHEAD_MAX, IOTLB_READ);
	assert_false(ring_look_due(rig->ring));
}

/* True: the device wants a kick for it. */
static bool offer_one(struct rig *rig)
{
	const struct mock_buffer buffer = { BUFFER_IOVA, 64, false };
	int head = mock_chain(&rig->driver, &buffer, 1);

	assert_true(head >= 0);
	mock_offer(&rig->driver, (uint16_t)head);
	return mock_publish(&rig->driver);
}

static void pass(struct rig *rig, unsigned int count)
{
	for (unsigned int i = 0; i < count && rig_pop(rig) == 1; i++)
		ring_push(rig->ring, rig->chain.head, 0);
	ring_flush(rig->ring);
	rig_collect_all(rig);
}

/*
 * What lies there unused is no news. In several laps, of few chains at a time: some of them
 * are used after the last look, and then all, of which one was not looked at.
 */
static void a_kick_says_when_there_is_more_than_was_seen(void **state)
{
	const unsigned int few = RING_AHEAD_MAX / 2 - 1;
	struct rig *rig = *state;

	iova_map_ring(rig);
	iova_map(rig, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	iova_open(rig);
	for (unsigned int i = 1; i <= 3 * IOVA_RING_SIZE; i++) {
		assert_true(ring_look_short(rig->ring));
		ring_want_kick_ahead(rig->ring);
		assert_false(ring_look_due(rig->ring));
		assert_true(offer_one(rig));
		assert_true(ring_look_due(rig->ring));
		if (i % few)
			misses_ahead(rig, 0, 0, 0);
		pass(rig, i % few ? i % 3 == 0 : few);
	}
}

/* A chain that cannot be walked is no reason to look for ever. */
static void a_fault_ahead_is_looked_at_once(void **state)
{
	struct rig *rig = *state;

	iova_map_ring(rig);
	iova_open(rig);
	iova_offer(rig, BUFFER_IOVA, 0, false);
	assert_true(ring_look_due(rig->ring));
	misses_ahead(rig, 0, 0, 0);
	assert_false(ring_look_due(rig->ring));
}

/* Answers come one by one. */
static void ring_waits_for_its_own_answer(void **state)
{
	struct rig *rig = *state;

	iova_map_ring(rig);
	iova_open(rig);
	offer_pages(rig, 3, false);
	assert_int_equal(rig_pop(rig), 0);
	iova_map(rig, BUFFER_IOVA + PAGE, 0x9000, PAGE, IOTLB_READ);
	iova_misses(rig, BUFFER_IOVA + 100, IOTLB_READ);
	assert_int_equal(rig_pop(rig), 0);
	iova_map(rig, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	iova_misses_nothing(rig);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig_pop(rig), 0);
	iova_misses(rig, BUFFER_IOVA + 2 * PAGE + 100, IOTLB_READ);
}

/* The pages of its buffers went the same way: they are asked for before one is needed. */
static void ring_that_has_its_place_again_looks_ahead(void **state)
{
	struct rig *rig = *state;

	iova_map_ring(rig);
	iova_open(rig);
	offer_pages(rig, 8, true);
	misses_ahead(rig, BUFFER_IOVA, 8, IOTLB_WRITE);
	iova_map(rig, BUFFER_IOVA, 0x8000, 8 * PAGE, IOTLB_READ_WRITE);
	assert_false(ring_look_due(rig->ring));
	iova_unmap(rig, 0, UINT64_MAX);
	assert_false(ring_look_due(rig->ring));
	iova_map_ring(rig);
	iova_misses_nothing(rig);
	assert_true(ring_look_due(rig->ring));
	misses_ahead(rig, BUFFER_IOVA, 8, IOTLB_WRITE);
	assert_false(ring_look_due(rig->ring));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IOVA_TEST(misses_are_found_ahead),
		IOVA_TEST(only_what_is_missing_is_found),
		IOVA_TEST(indirect_tables_are_looked_into),
		IOVA_TEST(a_look_ahead_is_bounded),
		IOVA_TEST(a_long_buffer_does_not_take_long),
		IOVA_TEST(a_page_in_many_chains_is_found_once),
		IOVA_TEST(faults_end_a_look_ahead),
		IOVA_TEST(a_look_ahead_is_due_in_good_time),
		IOVA_TEST(a_look_ahead_that_was_cut_is_due_later),
		IOVA_TEST_WITH(a_kick_says_when_there_is_more_than_was_seen, iova_setup_event),
		IOVA_TEST(a_fault_ahead_is_looked_at_once),
		IOVA_TEST(ring_waits_for_its_own_answer),
		IOVA_TEST(ring_that_has_its_place_again_looks_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
