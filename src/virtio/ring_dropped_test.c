/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A front-end that drops chains while it has no back-end, as QEMU does with its link down.
 *
 * It gives them back itself: of a split ring from the used index on, of a packed one from
 * the place that it knows, which is the ring's start, laps behind. The ring that goes on
 * with the record of the dead back-end takes everything else, and the guest gets each chain
 * once. The back-end may die again at any point.
 */
#include "ring.h"
#include "ring_record.h"
#include "ring_test_rig.h"

#include <string.h>

#define RECORD_BYTES 512u
#define STEPS        8u /* after which one may die again */

static _Alignas(RING_RECORD_ALIGN) uint8_t record[RECORD_BYTES];

static void begin(struct rig *rig)
{
	assert_true(ring_record_bytes(RIG_RING_SIZE, rig->packed) <= RECORD_BYTES);
	memset(record, 0, sizeof(record));
	rig->record = record;
	rig_open(rig, RIG_RING_SIZE, 0);
}

/* So many chains come and go. */
static void laps(struct rig *rig, unsigned int chains)
{
	for (unsigned int i = 0; i < chains; i++) {
		rig_give(rig, 1);
		ring_flush(rig->ring);
		rig_collect_all(rig);
	}
}

static void offer(struct rig *rig, unsigned int descs)
{
	rig_offer_some(rig, descs);
	mock_publish(&rig->driver);
}

/* The front-end at slot `at` of the third lap: the flags are those of the first. */
static void drop_packed(struct rig *rig, unsigned int at)
{
	struct vring_packed_desc *slot = &rig->driver.slot[at];
	unsigned int last = at;

	assert_int_equal(slot->flags & (AVAIL | USED), AVAIL);
	while (rig->driver.slot[last].flags & NEXT)
		last++;
	slot->id = rig->driver.slot[last].id;
	slot->len = 0;
	slot->flags = AVAIL | USED;
}

static void drop_split(struct rig *rig, unsigned int chains)
{
	struct vring_used *used = rig->driver.used;

	for (; chains; chains--) {
		uint16_t slot = used->idx % RIG_RING_SIZE;

		used->ring[slot] = (struct vring_used_elem){ rig->driver.avail->ring[slot], 0 };
		used->idx++;
	}
}

static unsigned int collect_all(struct rig *rig)
{
	unsigned int chains = 0;

	/* The mock stops at one that is not out. */
	while (mock_collect(&rig->driver, &(uint16_t){ 0 }, &(uint32_t){ 0 }))
		chains++;
	return chains;
}

/* Until nothing comes any more; again with a new ring after `death` steps. */
static unsigned int go_on(struct rig *rig, uint32_t base, unsigned int death)
{
	unsigned int chains = 0, steps = 0;

	for (rig_restart(rig, base);; steps++) {
		if (steps == death)
			rig_restart(rig, rig->packed ? base : rig->driver.used->idx);
		assert_null(ring_record_refused(rig->ring));
		if (rig_pop(rig) <= 0)
			break;
		/* Taken, and not given back: the next one has to. */
		if (steps + 1 == death)
			continue;
		ring_push(rig->ring, rig->chain.head, 0);
		ring_flush(rig->ring);
		chains += collect_all(rig);
	}
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_NONE);
	assert_int_equal(ring_in_flight(rig->ring), 0);
	assert_false(ring_want_kick(rig->ring));
	return chains + collect_all(rig);
}

/* One in flight, one to be taken, two that were dropped (one of two descriptors), one more. */
static void dropped_ahead_of_a_packed_ring(void **state)
{
	struct rig *rig = *state;

	for (unsigned int death = 1; death <= STEPS; death++) {
		begin(rig);
		laps(rig, 2 * RIG_RING_SIZE - 2);
		rig_take(rig, 1);
		offer(rig, 1);
		offer(rig, 1);
		offer(rig, 2);
		offer(rig, 1);
		drop_packed(rig, 0);
		drop_packed(rig, 1);
		assert_int_equal(go_on(rig, (LAP_ONE | 3) << 16 | LAP_ONE | 3, death), 5);
		/* And it goes on going round. */
		laps(rig, 3 * RIG_RING_SIZE);
		rig_close(rig);
	}
}

/* All that can be taken was dropped, and what comes then is behind it. */
static void a_packed_ring_that_waits_where_chains_were_dropped(void **state)
{
	struct rig *rig = *state;

	begin(rig);
	laps(rig, 2 * RIG_RING_SIZE - 1);
	rig_take(rig, 1);
	offer(rig, 1);
	drop_packed(rig, 0);
	rig_restart(rig, (LAP_ONE | 1) << 16 | LAP_ONE | 1);
	assert_int_equal(rig_pop(rig), 1);
	/* Not before what is behind it came home. */
	assert_false(ring_want_kick(rig->ring));
	ring_push(rig->ring, rig->chain.head, 0);
	ring_flush(rig->ring);
	assert_int_equal(collect_all(rig), 2);
	assert_false(ring_want_kick(rig->ring));
	offer(rig, 1);
	assert_true(ring_has_avail(rig->ring));
	assert_int_equal(rig_pop(rig), 1);
	ring_push(rig->ring, rig->chain.head, 0);
	ring_flush(rig->ring);
	assert_int_equal(collect_all(rig), 1);
}

/* A base that does not fit what is seen in the table changes nothing. */
static void a_packed_base_that_makes_no_sense(void **state)
{
	struct rig *rig = *state;

	begin(rig);
	laps(rig, 2 * RIG_RING_SIZE - 2);
	rig_take(rig, 1);
	offer(rig, 1);
	rig_restart(rig, (LAP_ONE | 3) << 16 | LAP_ONE | 3);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig_pop(rig), 0);
}

/* Three in flight, two to be taken; some of them, or more than those, were dropped. */
static void dropped_from_a_split_ring(void **state)
{
	struct rig *rig = *state;

	for (unsigned int dropped = 0; dropped <= 5; dropped++) {
		for (unsigned int death = 1; death <= STEPS; death++) {
			begin(rig);
			laps(rig, 5);
			for (unsigned int i = 0; i < 3; i++)
				rig_take(rig, 1);
			offer(rig, 1);
			offer(rig, 1);
			drop_split(rig, dropped);
			assert_int_equal(go_on(rig, rig->driver.used->idx, death), 5);
			laps(rig, 2 * RIG_RING_SIZE);
			rig_close(rig);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKED_TEST(dropped_ahead_of_a_packed_ring),
		PACKED_TEST(a_packed_ring_that_waits_where_chains_were_dropped),
		PACKED_TEST(a_packed_base_that_makes_no_sense),
		SPLIT_TEST(dropped_from_a_split_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
