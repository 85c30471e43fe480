/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A record that is not believed: the ring begins as the front-end's base says, and
 * nothing of what was read from the record stays. What a good record does is in
 * ring_crash_test.c, but for what others read in it.
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

/* ---- three chains in flight, and 16 bits that cannot be ---- */

/* Where things are, of the specification's regions; of entry i in its table. */
#define SPLIT_DESC(i)  (16u + 16u * (i))
#define PACKED_DESC(i) (32u + 32u * (i))
#define SPLIT_LAST     14u
#define PACKED_NEXT    2u
#define PACKED_NUM     6u
#define PACKED_ID      16u

struct spoilt {
	unsigned int at[2];
	uint16_t value[2]; /* one is enough where the second is at 0 */
	const char *why;
};

static const struct spoilt split_cases[] = {
	{ { 10 }, { 9 }, "of another ring" },
	{ { 1 }, { 1 }, "of another ring" },
	{ { SPLIT_LAST }, { 0xfff7 }, "not near the ring's" },
	{ { SPLIT_LAST }, { 0xfff8 }, NULL }, /* as many as it has */
	{ { SPLIT_DESC(5) }, { 1 }, "more is in flight" },
};

static const struct spoilt packed_cases[] = {
	{ { 10 }, { 9 }, "of another ring" },
	{ { 1 }, { 1 }, "of another ring" },
	{ { RECORD_USED, RECORD_OLD }, { RIG_RING_SIZE, RIG_RING_SIZE }, "beyond the ring" },
	{ { RECORD_USED + 4 }, { 0x0202 }, "beyond the ring" },
	{ { PACKED_DESC(7) + PACKED_NEXT }, { 3 }, "is a loop" },
	{ { PACKED_DESC(1) + PACKED_NUM }, { 0 }, "length is none" },
	{ { PACKED_DESC(1) + PACKED_NUM }, { RIG_RING_SIZE + 1 }, "length is none" },
	{ { PACKED_DESC(1) + PACKED_NUM, PACKED_DESC(1) + PACKED_NEXT },
	  { 2, 3 },
	  "share entries" },
	{ { PACKED_DESC(1) + PACKED_NUM, PACKED_DESC(1) + PACKED_NEXT },
	  { 2, RIG_RING_SIZE },
	  "leave the table" },
	{ { PACKED_DESC(1) + PACKED_ID }, { RIG_RING_SIZE }, "in flight twice" },
	{ { PACKED_DESC(1) + PACKED_ID }, { 0 }, "in flight twice" },
	{ { PACKED_DESC(1) }, { 0 }, "neither free nor in flight" },
	{ { RECORD_USED, RECORD_OLD }, { 5, 5 }, "not as far" },
	{ { RECORD_USED, RECORD_OLD }, { 3, 3 }, "is not in the ring" },
};

static void spoil(unsigned int at, uint16_t value)
{
	assert_true(at <= RECORD_BYTES - sizeof(value));
	memcpy(record + at, &value, sizeof(value));
}

/* The ring goes on with the record that was spoilt, and says this of it. */
static void expect_refused(struct rig *rig, uint32_t base, const char *why)
{
	const char *said;

	rig_restart(rig, base);
	said = ring_record_refused(rig->ring);
	assert_true(!said == !why);
	if (why && !strstr(said, why))
		fail_msg("'%s', and not '%s'", said, why);
	if (!why)
		return;
	assert_int_equal(ring_base(rig->ring), base);
	assert_int_equal(ring_resubmitted(rig->ring), 0);
}

static void records_that_cannot_be(void **state)
{
	struct rig *rig = *state;
	const struct spoilt *cases = rig->packed ? packed_cases : split_cases;
	size_t count = rig->packed ? sizeof(packed_cases) / sizeof(packed_cases[0])
				   : sizeof(split_cases) / sizeof(split_cases[0]);

	rig->record = record;
	for (size_t i = 0; i < count; i++) {
		memset(record, 0, sizeof(record));
		rig_open(rig, RIG_RING_SIZE, 0);
		take(rig, 3);
		spoil(cases[i].at[0], cases[i].value[0]);
		if (cases[i].at[1])
			spoil(cases[i].at[1], cases[i].value[1]);
		expect_refused(rig, ring_base(rig->ring), cases[i].why);
		rig_close(rig);
	}
}

/* What the ring itself says against it. */
static void a_ring_that_is_ahead_of_its_record(void **state)
{
	struct rig *rig = *state;

	rig->record = record;
	memset(record, 0, sizeof(record));
	rig_open(rig, RIG_RING_SIZE, 0);
	take(rig, 3);
	rig->driver.slot[0].flags = AVAIL | USED;
	expect_refused(rig, ring_base(rig->ring), "the ring is ahead");
}

static void a_ring_that_gave_back_what_it_cannot_have(void **state)
{
	struct rig *rig = *state;

	rig->record = record;
	memset(record, 0, sizeof(record));
	rig_open(rig, RIG_RING_SIZE, 0);
	take(rig, 3);
	spoil(SPLIT_LAST, 0xffff);
	rig->driver.used->ring[RIG_RING_SIZE - 1].id = RIG_RING_SIZE;
	expect_refused(rig, ring_base(rig->ring), "a head beyond it");
}

/* ---- its end ---- */

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

/* ---- what other back-ends read in it ---- */

#define SPLIT_LAST_HEAD 12u
#define SPLIT_NEXT      6u

static uint16_t word_at(unsigned int at)
{
	uint16_t word;

	memcpy(&word, record + at, sizeof(word));
	return word;
}

/*
 * vhost-user, "Inflight I/O tracking": what was given back since the ring's index was shown is
 * a list, by which a back-end of somebody else finds what it need not do again. Whether it was
 * given back by a run or by itself makes no difference.
 */
static void what_is_given_back_is_a_list(void **state)
{
	struct rig *rig = *state;
	uint16_t order[5], head[5];

	rig->record = record;
	rig_open(rig, RIG_RING_SIZE, 0);
	for (unsigned int i = 0; i < 5; i++)
		head[i] = rig_take(rig, 1);
	order[0] = head[2];
	order[1] = head[0];
	order[2] = head[3];
	order[3] = head[4];
	order[4] = head[1];
	ring_push_run(rig->ring, order, 3);
	assert_int_equal(word_at(SPLIT_LAST_HEAD), order[2]);
	ring_push(rig->ring, order[3], 0);
	ring_push_run(rig->ring, order + 4, 1);
	assert_int_equal(word_at(SPLIT_LAST_HEAD), order[4]);
	for (unsigned int i = 4; i > 0; i--)
		assert_int_equal(word_at(SPLIT_DESC(order[i]) + SPLIT_NEXT), order[i - 1]);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(record[SPLIT_DESC(order[i])], 1);
	ring_flush(rig->ring);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(record[SPLIT_DESC(order[i])], 0);
	assert_int_equal(word_at(SPLIT_LAST), 5);
}

/* ---- runs ---- */

#define RUN    5u
#define BEFORE 6u /* so that the run goes over the end of the ring */

/* A run over the end of a ring is in the record as its chains are: by order, bytes and place. */
static void a_run_over_the_end_is_taken_again(void **state)
{
	struct rig *rig = *state;
	struct ring_linear run[RUN];

	rig->record = record;
	rig_open(rig, RIG_RING_SIZE, 0);
	rig_give(rig, BEFORE);
	ring_flush(rig->ring);
	rig_collect_all(rig);
	for (unsigned int i = 0; i < RUN; i++) {
		struct mock_buffer buffer = { BUFFER_ADDR + 0x100 * i, 60 + i, false };

		mock_offer(&rig->driver, (uint16_t)mock_chain(&rig->driver, &buffer, 1));
	}
	mock_publish(&rig->driver);
	assert_int_equal(ring_pop_run(rig->ring, run, RUN), RUN);
	rig_restart(rig, ring_base(rig->ring));
	assert_null(ring_record_refused(rig->ring));
	assert_int_equal(ring_resubmitted(rig->ring), RUN);
	for (unsigned int i = 0; i < RUN; i++) {
		assert_int_equal(rig_pop(rig), 1);
		assert_int_equal(rig->chain.head, run[i].head);
		assert_int_equal(rig->chain.read_bytes, 60 + i);
		assert_ptr_equal(rig->seg[0].iov_base, run[i].base);
	}
	assert_int_equal(rig_pop(rig), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKED_TEST(a_refused_record_does_not_count),
		RING_TEST(records_that_cannot_be),
		PACKED_TEST(a_ring_that_is_ahead_of_its_record),
		SPLIT_TEST(a_ring_that_gave_back_what_it_cannot_have),
		RING_TEST(a_record_ends_with_one_store),
		SPLIT_TEST(what_is_given_back_is_a_list),
		RING_TEST(a_run_over_the_end_is_taken_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
