/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs, on both layouts: what ring_pop_run takes, and above all what it leaves to ring_pop. */
#include "ring_test_rig.h"

#include "ring_record.h"
#include <stdlib.h>

#define RUN_MAX 16u
#define ADDR    0x5000ull
#define STEP    0x40u
#define LEN     60u

#define IN_ORDER (FEATURE(VIRTIO_F_IN_ORDER) | FEATURE(VIRTIO_F_VERSION_1))

/* A chain that a run is made of; the number decides where it lies. */
static int linear_at(struct rig *rig, uint64_t addr, uint32_t len)
{
	const struct mock_buffer buffer = { addr, len, false };
	int head = mock_chain(&rig->driver, &buffer, 1);

	assert_true(head >= 0);
	return head;
}

static uint16_t offer_linear(struct rig *rig, unsigned int number)
{
	int head = linear_at(rig, ADDR + STEP * number, LEN);

	mock_offer(&rig->driver, (uint16_t)head);
	return (uint16_t)head;
}

static void offer_many(struct rig *rig, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		offer_linear(rig, i);
	mock_publish(&rig->driver);
}

static void run_is(struct rig *rig, unsigned int max, unsigned int count)
{
	struct ring_linear run[RUN_MAX];

	assert_true(max <= RUN_MAX);
	assert_int_equal(ring_pop_run(rig->ring, run, max), count);
}

/* Pops a run, puts it back, and has ring_pop find the same. */
static void run_is_what_pop_finds(struct rig *rig, unsigned int count)
{
	uint32_t base = ring_base(rig->ring), in_flight = ring_in_flight(rig->ring);
	struct ring_linear run[RUN_MAX];

	assert_int_equal(ring_pop_run(rig->ring, run, RUN_MAX), count);
	assert_int_equal(ring_in_flight(rig->ring), in_flight + count);
	ring_unpop(rig->ring, count);
	assert_int_equal(ring_base(rig->ring), base);
	assert_int_equal(ring_in_flight(rig->ring), in_flight);
	for (unsigned int i = 0; i < count; i++) {
		assert_int_equal(rig_pop(rig), 1);
		assert_int_equal(rig->chain.head, run[i].head);
		assert_int_equal(rig->chain.read_count, 1);
		assert_int_equal(rig->chain.write_count, 0);
		assert_int_equal(rig->chain.read_bytes, run[i].len);
		assert_ptr_equal(rig->seg[0].iov_base, run[i].base);
		assert_int_equal(rig->seg[0].iov_len, run[i].len);
	}
}

static void takes_what_pop_takes(void **state)
{
	struct rig *rig = *state;

	for (unsigned int count = 0; count <= RIG_RING_SIZE; count++) {
		rig_open(rig, RIG_RING_SIZE, EVENT_IDX);
		offer_many(rig, count);
		run_is_what_pop_finds(rig, count);
		run_is(rig, RUN_MAX, 0);
		assert_int_equal(rig_pop(rig), 0);
		rig_close(rig);
	}
}

static void not_more_than_max(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, RIG_RING_SIZE, 0);
	offer_many(rig, 5);
	run_is(rig, 0, 0);
	run_is(rig, 3, 3);
	run_is(rig, 1, 1);
	run_is(rig, 3, 1);
	run_is(rig, 3, 0);
	assert_int_equal(ring_in_flight(rig->ring), 5);
}

/* Each address is looked for where it is, whichever the one before was. */
static void from_one_region_to_another(void **state)
{
	static const uint64_t addr[] = {
		0x1000,     RIG_BORDER + 0x1000, RIG_TOP + 0x40, 0x2000, RIG_TOP_END - LEN,
		RIG_BORDER, RIG_BORDER - LEN,    RIG_TOP
	};
	struct rig *rig = *state;
	struct ring_linear run[RUN_MAX];

	rig_open(rig, RIG_RING_SIZE, 0);
	for (unsigned int i = 0; i < RIG_RING_SIZE; i++) {
		*(uint8_t *)mock_at(&rig->memory, addr[i]) = (uint8_t)(i + 1);
		rig_offer(rig, linear_at(rig, addr[i], LEN));
	}
	assert_int_equal(ring_pop_run(rig->ring, run, RUN_MAX), RIG_RING_SIZE);
	for (unsigned int i = 0; i < RIG_RING_SIZE; i++)
		assert_int_equal(run[i].base[0], i + 1);
	ring_unpop(rig->ring, RIG_RING_SIZE);
	run_is_what_pop_finds(rig, RIG_RING_SIZE);
}

/* ---- where it ends ---- */

static int two_buffers(struct rig *rig)
{
	return mock_chain(&rig->driver, rig_good, 2);
}

static int in_a_table(struct rig *rig)
{
	return mock_chain_indirect(&rig->driver, rig_good, 1, 0, RIG_TABLE);
}

static int writable(struct rig *rig)
{
	const struct mock_buffer buffer = { ADDR, LEN, true };

	return mock_chain(&rig->driver, &buffer, 1);
}

static int over_the_border(struct rig *rig)
{
	return linear_at(rig, RIG_BORDER - LEN / 2, LEN);
}

static void ends_before_other_chains(void **state)
{
	static int (*const other[])(struct rig *) = { two_buffers, in_a_table, writable,
						      over_the_border };
	struct rig *rig = *state;

	for (unsigned int i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		int head;

		rig_open(rig, RIG_RING_SIZE, INDIRECT);
		offer_many(rig, 2);
		head = other[i](rig);
		rig_offer(rig, head);
		offer_many(rig, 3);
		run_is(rig, RUN_MAX, 2);
		run_is(rig, RUN_MAX, 0);
		assert_int_equal(rig_pop(rig), 1);
		assert_int_equal(rig->chain.head, head);
		run_is(rig, RUN_MAX, 3);
		rig_close(rig);
	}
}

/* It has taken nothing of it, and ring_pop says which rule it is. */
static void ends_before(struct rig *rig, unsigned int count, enum ring_fault fault)
{
	run_is(rig, RUN_MAX, count);
	run_is(rig, RUN_MAX, 0);
	assert_int_equal(ring_in_flight(rig->ring), count);
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_NONE);
	rig_breaks(rig, fault);
	run_is(rig, RUN_MAX, 0);
}

static void ends_before_a_bad_buffer(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags;
		enum ring_fault fault;
	} bad[] = {
		{ ADDR, 0, 0, RING_FAULT_LENGTH },
		{ RIG_END, 1, 0, RING_FAULT_ADDRESS },
		{ RIG_END - 1, 2, 0, RING_FAULT_ADDRESS },
		{ RIG_TOP_END - 1, 2, 0, RING_FAULT_ADDRESS },
		{ UINT64_MAX, LEN, 0, RING_FAULT_ADDRESS },
		{ ADDR, UINT32_MAX, 0, RING_FAULT_ADDRESS },
		{ ADDR, 16, VRING_DESC_F_INDIRECT, RING_FAULT_FEATURE },
	};
	struct rig *rig = *state;

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int head;

		rig_open(rig, RIG_RING_SIZE, 0);
		offer_many(rig, 3);
		head = linear_at(rig, ADDR, LEN);
		*mock_desc(&rig->driver, (uint16_t)head) = (struct vring_desc){
			.addr = bad[i].addr, .len = bad[i].len, .flags = bad[i].flags
		};
		rig_offer(rig, head);
		offer_many(rig, 1);
		ends_before(rig, 3, bad[i].fault);
		rig_close(rig);
	}
}

/* The next entry of a split ring, or descriptor of a packed one, is of the guest's making. */
static void offer_made_up(struct rig *rig, uint16_t head)
{
	struct mock_driver *driver = &rig->driver;
	uint32_t at = driver->avail_place & ~LAP_ONE;

	if (!rig->packed) {
		driver->avail->ring[driver->avail->idx++ % driver->size] = head;
		return;
	}
	driver->slot[at] = (struct vring_packed_desc){ .addr = ADDR, .len = LEN, .id = head };
	driver->slot[at].flags = driver->avail_place & LAP_ONE ? AVAIL : USED;
}

/*
 * Behind the table lies what could pass for a descriptor: on a split ring, index and entries
 * of the available ring.
 */
static void ends_before_a_head_beyond_the_ring(void **state)
{
	struct rig *rig = *state;
	uint32_t size = rig->packed ? 7 : 8;
	const uint16_t heads[] = { (uint16_t)size, UINT16_MAX };

	for (unsigned int i = 0; i < 2; i++) {
		for (unsigned int before = 0; before < 2; before++) {
			rig_open_at(rig, size, 0, rig->packed ? MOCK_PLACE_FIRST : 2 - before);
			offer_many(rig, before);
			offer_made_up(rig, heads[i]);
			ends_before(rig, before, rig->packed ? RING_FAULT_ID : RING_FAULT_HEAD);
			rig_close(rig);
		}
	}
}

/* The first of a chain has its id as well, though it need not. */
static void ends_before_a_list(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, RIG_RING_SIZE, 0);
	offer_many(rig, 2);
	rig->driver.slot[2] = (struct vring_packed_desc){ ADDR, LEN, 2, AVAIL | NEXT };
	rig->driver.slot[3] = (struct vring_packed_desc){ ADDR, LEN, 2, AVAIL };
	run_is(rig, RUN_MAX, 2);
	run_is(rig, RUN_MAX, 0);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig->chain.read_bytes, 2 * LEN);
}

/* There, too, lies what could pass for one. */
static void goes_on_at_the_beginning(void **state)
{
	struct rig *rig = *state;

	rig_open_at(rig, 7, 0, MOCK_PLACE_FIRST | 5);
	offer_many(rig, 4);
	rig->driver.slot[7] = (struct vring_packed_desc){ ADDR, LEN, 6, AVAIL };
	run_is_what_pop_finds(rig, 4);
}

static void nothing_of_a_broken_ring(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, RIG_RING_SIZE, 0);
	offer_many(rig, 2);
	ring_break(rig->ring, RING_FAULT_HEADER);
	run_is(rig, RUN_MAX, 0);
}

static void ends_before_a_head_that_is_out(void **state)
{
	struct rig *rig = *state;
	uint16_t head;

	/* Twice in one run, and in a later one. */
	for (unsigned int later = 0; later < 2; later++) {
		rig_open(rig, RIG_RING_SIZE, 0);
		head = offer_linear(rig, 0);
		mock_publish(&rig->driver);
		if (later)
			run_is(rig, RUN_MAX, 1);
		offer_made_up(rig, head);
		if (later) {
			run_is(rig, RUN_MAX, 0);
			rig_breaks(rig, RING_FAULT_REUSED);
		} else {
			ends_before(rig, 1, RING_FAULT_REUSED);
		}
		rig_close(rig);
	}
}

/* More is available than the ring has. */
static void nothing_of_an_index_that_jumped(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, RIG_RING_SIZE, 0);
	offer_many(rig, RIG_RING_SIZE);
	if (rig->packed) {
		/* All are out, and the table is full of the next lap already. */
		run_is(rig, RUN_MAX, RIG_RING_SIZE);
		ring_push(rig->ring, 0, 0);
		for (unsigned int i = 0; i < RIG_RING_SIZE; i++)
			rig->driver.slot[i] = (struct vring_packed_desc){ .addr = ADDR,
									  .len = LEN,
									  .flags = USED };
	} else {
		rig->driver.avail->idx++;
	}
	run_is(rig, RUN_MAX, 0);
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_NONE);
	rig_breaks(rig, RING_FAULT_INDEX);
}

/* ---- around the ring ---- */

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
		RING_TEST(takes_what_pop_takes),
		RING_TEST(not_more_than_max),
		RING_TEST(from_one_region_to_another),
		RING_TEST(ends_before_other_chains),
		RING_TEST(ends_before_a_bad_buffer),
		RING_TEST(ends_before_a_head_beyond_the_ring),
		PACKED_TEST(ends_before_a_list),
		PACKED_TEST(goes_on_at_the_beginning),
		RING_TEST(nothing_of_a_broken_ring),
		RING_TEST(ends_before_a_head_that_is_out),
		RING_TEST(nothing_of_an_index_that_jumped),
		RING_TEST(many_laps),
		RING_TEST(a_batch_in_parts),
		RING_TEST(put_back_behind_a_push),
		RING_TEST(in_order),
		PACKED_TEST(in_order_as_one),
		RING_TEST(nothing_before_an_earlier_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
