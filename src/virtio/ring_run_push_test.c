/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs, on both layouts, on their way back: pushed, put back, in order, and after a restart. */
#include "ring_run_rig.h"

#include "ring_record.h"
#include <stdlib.h>

#define IN_ORDER (FEATURE(VIRTIO_F_IN_ORDER) | FEATURE(VIRTIO_F_VERSION_1))

static void collects_all(struct rig *rig, const uint16_t *head, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		rig_collects(rig, head[i], 0);
	rig_collects_nothing(rig);
}

static void passes_many(struct rig *rig, unsigned int count)
{
	struct ring_linear run[RUN_MAX];
	uint16_t head[RUN_MAX];

	for (unsigned int i = 0; i < count; i++)
		head[i] = offer_linear(rig, i);
	mock_publish(&rig->driver);
	assert_int_equal(ring_pop_run(rig->ring, run, RUN_MAX), count);
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(run[i].head, head[i]);
	ring_push_run(rig->ring, head, count);
	rig_collects_nothing(rig);
	ring_flush(rig->ring);
	assert_int_equal(ring_in_flight(rig->ring), 0);
	collects_all(rig, head, count);
}

static void many_laps(void **state)
{
	static const uint32_t sizes[][4] = { { 1, 2, 8, 16 }, { 1, 3, 7, 13 } };
	struct rig *rig = *state;
	uint32_t size;

	for (unsigned int i = 0; i < 4; i++) {
		size = sizes[rig->packed][i];
		/* Split: the index itself wraps, too. */
		rig_open_at(rig, size, EVENT_IDX, rig->packed ? MOCK_PLACE_FIRST : 65530);
		for (unsigned int n = 0; n < 100; n++)
			passes_many(rig, 1 + n % size);
		rig_close(rig);
	}
}

/* Of chains of several descriptors, too, behind others, and in several parts. */
static void a_batch_in_parts(void **state)
{
	struct rig *rig = *state;
	uint16_t head[6];

	rig_open(rig, 16, 0);
	for (unsigned int lap = 0; lap < 5; lap++) {
		for (unsigned int i = 0; i < 6; i++)
			head[i] = rig_take(rig, i % 3 + 1);
		ring_push_run(rig->ring, head, 0);
		ring_push_run(rig->ring, head, 2);
		ring_push(rig->ring, head[2], 0);
		ring_push_run(rig->ring, head + 3, 3);
		ring_flush(rig->ring);
		collects_all(rig, head, 6);
	}
}

/* One of a run is pushed before those behind it are put back. */
static void put_back_behind_a_push(void **state)
{
	struct rig *rig = *state;
	struct ring_linear run[RUN_MAX];

	rig_open(rig, RIG_RING_SIZE, 0);
	for (unsigned int lap = 0; lap < 5; lap++) {
		offer_many(rig, 4);
		assert_int_equal(ring_pop_run(rig->ring, run, RUN_MAX), 4);
		ring_push(rig->ring, run[0].head, 0);
		ring_unpop(rig->ring, 2);
		run_is_what_pop_finds(rig, 2);
		ring_push_run(rig->ring, (const uint16_t[]){ run[1].head, run[2].head }, 2);
		ring_push(rig->ring, run[3].head, 0);
		ring_flush(rig->ring);
		collects_all(
			rig,
			(const uint16_t[]){ run[0].head, run[1].head, run[2].head, run[3].head },
			4);
	}
}

/* ---- with what is not in every ring ---- */

static void runs_in_order(struct rig *rig)
{
	uint16_t head[6];

	rig_open(rig, RIG_RING_SIZE, IN_ORDER);
	for (unsigned int lap = 0; lap < 20; lap++) {
		for (unsigned int i = 0; i < 6; i++)
			head[i] = offer_linear(rig, i);
		mock_publish(&rig->driver);
		run_is(rig, RUN_MAX, 6);
		/* The first as it is; two that are ahead of their turn; then all. */
		ring_push_run(rig->ring, head, 1);
		ring_push_run(rig->ring, (const uint16_t[]){ head[3], head[2] }, 2);
		ring_flush(rig->ring);
		collects_all(rig, head, 1);
		ring_push_run(rig->ring, (const uint16_t[]){ head[1], head[5] }, 2);
		ring_flush(rig->ring);
		collects_all(rig, head + 1, 3);
		ring_push_run(rig->ring, head + 4, 1);
		ring_flush(rig->ring);
		collects_all(rig, head + 4, 2);
		assert_int_equal(ring_in_flight(rig->ring), 0);
	}
}

static void in_order(void **state)
{
	struct rig *rig = *state;

	runs_in_order(rig);
	rig_close(rig);
	rig->reads_only = true;
	runs_in_order(rig);
}

/*
 * Section 2.8.8: where nothing is written, and only there, a packed batch in order is one used
 * descriptor, of the last chain in the place of the first.
 */
static void in_order_as_one(void **state)
{
	struct rig *rig = *state;
	uint16_t head[RIG_RING_SIZE];

	rig->reads_only = true;
	rig_open(rig, RIG_RING_SIZE, IN_ORDER);
	for (unsigned int i = 0; i < 6; i++)
		head[i] = rig_take(rig, i == 2 ? 2 : 1);
	ring_push(rig->ring, head[0], 0);
	ring_push_run(rig->ring, head + 1, 3);
	ring_push(rig->ring, head[4], 0);
	ring_flush(rig->ring);
	assert_int_equal(rig->driver.slot[0].id, head[4]);
	assert_int_equal(rig->driver.slot[0].flags, AVAIL | USED);
	for (unsigned int i = 1; i < 7; i++)
		assert_int_equal(rig->driver.slot[i].flags & (AVAIL | USED), AVAIL);
	/* The next batch begins behind all of them. */
	ring_push_run(rig->ring, head + 5, 1);
	ring_flush(rig->ring);
	assert_int_equal(rig->driver.slot[6].id, head[5]);
	assert_int_equal(rig->driver.slot[6].flags, AVAIL | USED);
	collects_all(rig, head, 6);
}

/* What was in flight when the run before ended comes first, by ring_pop. */
static void nothing_before_an_earlier_run(void **state)
{
	struct rig *rig = *state;
	uint16_t head[3];

	rig->record =
		aligned_alloc(RING_RECORD_ALIGN, ring_record_bytes(RIG_RING_SIZE, rig->packed));
	ring_record_clear(rig->record, RIG_RING_SIZE, rig->packed);
	rig_open(rig, RIG_RING_SIZE, 0);
	for (unsigned int i = 0; i < 3; i++)
		head[i] = offer_linear(rig, i);
	mock_publish(&rig->driver);
	run_is(rig, 2, 2);
	rig_restart(rig, 0);
	for (unsigned int i = 0; i < 2; i++) {
		run_is(rig, RUN_MAX, 0);
		assert_int_equal(rig_pop(rig), 1);
		assert_int_equal(rig->chain.head, head[i]);
	}
	run_is(rig, RUN_MAX, 1);
	ring_push_run(rig->ring, head, 3);
	ring_flush(rig->ring);
	collects_all(rig, head, 3);
	rig_restart(rig, ring_base(rig->ring));
	assert_int_equal(ring_resubmitted(rig->ring), 0);
	ring_destroy(rig->ring);
	rig->ring = NULL;
	free(rig->record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(many_laps),
		RING_TEST(a_batch_in_parts),
		RING_TEST(put_back_behind_a_push),
		RING_TEST(in_order),
		PACKED_TEST(in_order_as_one),
		RING_TEST(nothing_before_an_earlier_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
