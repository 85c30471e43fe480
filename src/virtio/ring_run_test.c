/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs, on both layouts: what ring_pop_run takes, and above all what it leaves to ring_pop. */
#include "ring_run_rig.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
