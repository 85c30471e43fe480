/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A record that is not believed: the ring begins as the front-end's base says, and
 * nothing of what was read from the record stays. What a good record does is in
 * ring_crash_test.c.
 */
#include "ring_test_rig.h"

#include "ring_record.h"
#include <string.h>

#define BUFFER_ADDR  0x8000ull
#define RECORD_BYTES 512u
/* In the specification's packed region: used_idx, and the one of before behind it. */
#define RECORD_USED  16u
#define RECORD_OLD   18u

static _Alignas(RING_RECORD_ALIGN) uint8_t record[RECORD_BYTES];

static void take(struct rig *rig, unsigned int count)
{
	while (count--)
		rig_take(rig, 1);
}

/* A descriptor that the guest has no right to yet, of the second lap. */
static void offer_anyway(struct rig *rig, unsigned int at, uint16_t id)
{
	rig->driver.slot[at] = (struct vring_packed_desc){
		.addr = BUFFER_ADDR,
		.len = 60,
		.id = id,
		.flags = USED,
	};
}

/*
 * The record has one chain in flight, and a place that the ring cannot have; by the base
 * it is five. A guest that takes the descriptors of those five for free ones is stopped.
 */
static void a_refused_record_does_not_count(void **state)
{
	uint8_t of_one[RECORD_BYTES];
	struct rig *rig = *state;
	uint32_t base;

	assert_true(ring_record_bytes(RIG_RING_SIZE, true) <= RECORD_BYTES);
	rig->record = record;
	rig_open(rig, RIG_RING_SIZE, 0);
	take(rig, 1);
	memcpy(of_one, record, sizeof(record));
	take(rig, 4);
	base = ring_base(rig->ring);

	memcpy(record, of_one, sizeof(record));
	record[RECORD_USED] = record[RECORD_OLD] = RIG_RING_SIZE - 1;
	rig_restart(rig, base);
	assert_non_null(ring_record_refused(rig->ring));
	assert_int_equal(ring_base(rig->ring), base);
	assert_int_equal(ring_resubmitted(rig->ring), 0);
	take(rig, 3);
	offer_anyway(rig, 0, 0);
	assert_int_equal(rig_pop(rig), -1);
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_INDEX);
}

/* Of a record that is perhaps shorter than anybody can know by now, and perhaps looked at. */
static void a_record_ends_with_one_store(void **state)
{
	uint8_t before[RECORD_BYTES];
	struct rig *rig = *state;
	unsigned int changed = 0;
	uint32_t base;

	rig->record = record;
	rig_open(rig, RIG_RING_SIZE, 0);
	take(rig, 3);
	base = ring_base(rig->ring);
	memcpy(before, record, sizeof(record));
	ring_record_end(record);
	assert_false(ring_record_fits(record, RECORD_BYTES, RIG_RING_SIZE, rig->packed));
	for (unsigned int i = 0; i < RECORD_BYTES; i++)
		changed += record[i] != before[i];
	assert_int_equal(changed, 1);
	/* Who begins with it does not find what was in it. */
	rig_restart(rig, base);
	assert_null(ring_record_refused(rig->ring));
	assert_int_equal(ring_resubmitted(rig->ring), 0);
	assert_int_equal(ring_base(rig->ring), base);
	rig_restart(rig, base);
	assert_int_equal(ring_resubmitted(rig->ring), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKED_TEST(a_refused_record_does_not_count),
		RING_TEST(a_record_ends_with_one_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
