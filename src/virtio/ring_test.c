/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings of both layouts against a driver that keeps the rules. One that does not:
 * ring_fault_test.c. What only packed rings have: ring_packed_test.c. Who wakes whom:
 * ring_notify_test.c.
 */
#include "ring_test_rig.h"

#include <stdlib.h>
#include <string.h>

/* The base, count descriptors and count chains after the beginning. */
static uint32_t base_after(const struct rig *rig, uint32_t count)
{
	uint32_t place = MOCK_PLACE_FIRST | count;

	return rig->packed ? place | place << 16 : count;
}

static void takes_one_chain_and_gives_it_back(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 12, false }, { 0x3001, 60, false } };
	struct rig *rig = *state;
	uint32_t written;
	uint16_t head;

	rig_open(rig, 8, 0);
	assert_int_equal(rig_pop(rig), 0);
	assert_false(ring_has_avail(rig->ring));
	memcpy(mock_at(&rig->memory, 0x3001), "payload", 7);
	rig_pass(rig, mock_chain(&rig->driver, buffers, 2));
	assert_int_equal(rig->chain.read_count, 2);
	assert_int_equal(rig->chain.write_count, 0);
	assert_int_equal(rig->chain.read_bytes, 72);
	assert_int_equal(rig->seg[1].iov_len, 60);
	assert_memory_equal(rig->seg[1].iov_base, "payload", 7);
	assert_int_equal(ring_in_flight(rig->ring), 1);

	ring_push(rig->ring, rig->chain.head, 0);
	assert_false(mock_collect(&rig->driver, &head, &written)); /* not before the flush */
	assert_true(ring_flush(rig->ring));
	assert_true(mock_collect(&rig->driver, &head, &written));
	assert_int_equal(head, rig->chain.head);
	assert_false(mock_collect(&rig->driver, &head, &written));
	assert_int_equal(ring_in_flight(rig->ring), 0);
	assert_int_equal(ring_base(rig->ring), rig->packed ? base_after(rig, 2) : 1);
	assert_int_equal(ring_used_index(rig->ring), rig->packed ? MOCK_PLACE_FIRST | 2 : 1);
	assert_false(ring_flush(rig->ring));
}

static void readable_before_writable(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 10, false },
					 { 0x2000, 20, true },
					 { 0x4000, 30, true } };
	struct rig *rig = *state;
	uint32_t written;
	uint16_t head;

	rig_open(rig, 8, 0);
	rig_pass(rig, mock_chain(&rig->driver, buffers, 3));
	assert_int_equal(rig->chain.read_count, 1);
	assert_int_equal(rig->chain.write_count, 2);
	assert_int_equal(rig->chain.write_bytes, 50);
	memcpy(rig->seg[1].iov_base, "answer", 6);
	ring_push(rig->ring, rig->chain.head, 50);
	ring_flush(rig->ring);
	assert_true(mock_collect(&rig->driver, &head, &written));
	assert_int_equal(written, 50);
	assert_memory_equal(mock_at(&rig->memory, 0x2000), "answer", 6);
}

static void adjacent_buffers_of_one_direction_are_merged(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 100, false },
					 { 0x1064, 50, false },
					 { 0x1096, 10, true },
					 { 0x10a0, 10, true } };
	struct rig *rig = *state;

	rig_open(rig, 8, 0);
	rig_pass(rig, mock_chain(&rig->driver, buffers, 4));
	assert_int_equal(rig->chain.read_count, 1);
	assert_int_equal(rig->chain.write_count, 1);
	assert_int_equal(rig->seg[0].iov_len, 150);
	assert_int_equal(rig->seg[1].iov_len, 20);
}

static void indirect_table(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 10, false },
					 { 0x2000, 20, false },
					 { 0x4000, 30, true } };
	struct rig *rig = *state;

	rig_open(rig, 4, INDIRECT);
	/* A packed list is all direct or all indirect (2.8.5). */
	for (unsigned int direct = 0; direct < (rig->packed ? 1 : 3); direct++) {
		rig_pass(rig, mock_chain_indirect(&rig->driver, buffers, 3, direct, RIG_TABLE + 3));
		assert_int_equal(rig->chain.read_count, 2);
		assert_int_equal(rig->chain.write_count, 1);
		assert_int_equal(rig->chain.read_bytes, 30);
		ring_push(rig->ring, rig->chain.head, 0);
		ring_flush(rig->ring);
		assert_true(mock_collect(&rig->driver, &(uint16_t){ 0 }, &(uint32_t){ 0 }));
	}
}

/* 2.7.5.3.2: the device ignores the write flag of the descriptor that refers to the table. */
static void write_flag_of_an_indirect_descriptor_is_ignored(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 10, false } };
	struct rig *rig = *state;
	int head;

	rig_open(rig, 4, INDIRECT);
	head = mock_chain_indirect(&rig->driver, buffers, 1, 0, RIG_TABLE);
	mock_desc(&rig->driver, (uint16_t)head)->flags |= VRING_DESC_F_WRITE;
	rig_pass(rig, head);
	assert_int_equal(rig->chain.read_count, 1);
}

/* The table has more entries than the ring has descriptors. */
static void indirect_table_longer_than_the_ring(void **state)
{
	struct mock_buffer buffers[32];
	struct rig *rig = *state;

	for (unsigned int i = 0; i < 32; i++)
		buffers[i] = (struct mock_buffer){ 0x1000 + i * 0x100, 1, false };
	rig_open(rig, 2, INDIRECT);
	rig_pass(rig, mock_chain_indirect(&rig->driver, buffers, 32, 0, RIG_TABLE));
	assert_int_equal(rig->chain.read_count, 32);
}

/* CVE-2018-1059: DPDK read a table as if it were in one piece. */
static void indirect_table_spanning_regions(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 10, false },
					 { 0x2000, 20, false },
					 { 0x4000, 30, true } };
	struct rig *rig = *state;

	rig_open(rig, 4, INDIRECT);
	/* The border falls into the middle of the second descriptor. */
	rig_pass(rig, mock_chain_indirect(&rig->driver, buffers, 3, 0, RIG_BORDER - 24));
	assert_int_equal(rig->chain.read_bytes, 30);
	assert_int_equal(rig->chain.write_bytes, 30);
}

static void buffer_across_two_regions_is_split(void **state)
{
	struct mock_buffer buffer = { RIG_BORDER - 100, 300, false };
	struct rig *rig = *state;
	uint8_t bytes[300], seen[300];
	size_t at = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	rig_open(rig, 4, 0);
	mock_write(&rig->memory, buffer.addr, bytes, sizeof(bytes));
	rig_pass(rig, mock_chain(&rig->driver, &buffer, 1));
	assert_int_equal(rig->chain.read_bytes, 300);
	for (unsigned int i = 0; i < rig->chain.read_count; i++) {
		memcpy(seen + at, rig->seg[i].iov_base, rig->seg[i].iov_len);
		at += rig->seg[i].iov_len;
	}
	assert_int_equal(at, 300);
	assert_memory_equal(seen, bytes, 300);
}

static void used_out_of_order(void **state)
{
	struct mock_buffer buffer = { 0x1000, 64, false };
	struct rig *rig = *state;
	uint16_t heads[4], head;
	uint32_t written;

	rig_open(rig, 4, 0);
	for (int i = 0; i < 4; i++) {
		rig_pass(rig, mock_chain(&rig->driver, &buffer, 1));
		heads[i] = rig->chain.head;
	}
	for (int i = 3; i >= 0; i--)
		ring_push(rig->ring, heads[i], (uint32_t)i);
	ring_flush(rig->ring);
	for (int i = 3; i >= 0; i--) {
		assert_true(mock_collect(&rig->driver, &head, &written));
		assert_int_equal(head, heads[i]);
		assert_int_equal(written, i);
	}
}

static void unpop_gives_the_same_chains_again(void **state)
{
	struct mock_buffer buffer = { 0x1000, 64, false };
	struct rig *rig = *state;
	uint16_t heads[3];

	rig_open(rig, 4, 0);
	for (int i = 0; i < 3; i++)
		mock_offer(&rig->driver, (uint16_t)mock_chain(&rig->driver, &buffer, 1));
	mock_publish(&rig->driver);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(rig_pop(rig), 1);
		heads[i] = rig->chain.head;
	}
	ring_unpop(rig->ring, 2);
	assert_int_equal(ring_in_flight(rig->ring), 1);
	assert_int_equal(ring_base(rig->ring) & 0x7fff, 1);
	for (int i = 1; i < 3; i++) {
		assert_int_equal(rig_pop(rig), 1);
		assert_int_equal(rig->chain.head, heads[i]);
	}
	assert_int_equal(rig_pop(rig), 0);
}

static void indices_wrap(void **state)
{
	struct mock_buffer buffer = { 0x1000, 64, false };
	struct rig *rig = *state;
	uint32_t written;
	uint16_t head;

	rig_open_at(rig, 4, EVENT_IDX, 65530);
	assert_int_equal(ring_base(rig->ring), 65530);
	for (int i = 0; i < 12; i++) {
		mock_want_interrupt(&rig->driver);
		rig_pass(rig, mock_chain(&rig->driver, &buffer, 1));
		ring_push(rig->ring, rig->chain.head, 0);
		assert_true(ring_flush(rig->ring));
		assert_true(mock_collect(&rig->driver, &head, &written));
	}
	assert_int_equal(ring_base(rig->ring), 6);
	assert_int_equal(ring_used_index(rig->ring), 6);
}

static void ring_of_one(void **state)
{
	struct mock_buffer buffer = { 0x1000, 64, false };
	struct rig *rig = *state;

	rig_open(rig, 1, 0);
	for (int i = 0; i < 3; i++) {
		rig_pass(rig, mock_chain(&rig->driver, &buffer, 1));
		ring_push(rig->ring, 0, 0);
		ring_flush(rig->ring);
		assert_true(mock_collect(&rig->driver, &(uint16_t){ 0 }, &(uint32_t){ 0 }));
	}
}

static void used_index_is_taken_from_the_guest(void **state)
{
	struct rig *rig = *state;
	struct ring_config config;

	mock_driver_open(&rig->driver, &rig->memory, 4, RIG_RING, 0, 0);
	rig->driver.used->idx = rig->driver.used_next = 77;
	config = mock_driver_config(&rig->driver);
	assert_int_equal(ring_create(&config, &rig->ring, NULL), 0);
	assert_int_equal(ring_used_index(rig->ring), 77);
	rig_give(rig, 1);
	ring_flush(rig->ring);
	assert_true(mock_collect(&rig->driver, &(uint16_t){ 0 }, &(uint32_t){ 0 }));
	assert_int_equal(rig->driver.used->idx, 78);
}

static void ring_keeps_the_memmap(void **state)
{
	struct rig *rig = *state;

	rig_open(rig, 4, 0);
	memmap_put(rig->memory.memmap);
	rig_give(rig, 1);
	ring_flush(rig->ring);
	rig->memory.memmap = NULL;
}

/* ---- many ---- */

#define MANY_RING   64u
#define MANY_CHAINS 20000u
#define SLOT_BYTES  4096u

static unsigned int below(unsigned int *seed, unsigned int limit)
{
	return (unsigned int)((uint64_t)rand_r(seed) * limit / ((uint64_t)RAND_MAX + 1));
}

/* Any layout: 1 to 17 pieces, any length, in any order, direct, indirect or both. */
static int random_chain(struct rig *rig, unsigned int *seed, uint16_t slot, uint32_t *total)
{
	struct mock_buffer buffers[17];
	unsigned int count = 1 + below(seed, 17);
	uint64_t addr = RIG_BORDER - 32 * SLOT_BYTES + slot * SLOT_BYTES;
	uint64_t table = RIG_TABLE + slot * 17 * sizeof(struct vring_desc);

	*total = 0;
	for (unsigned int i = 0; i < count; i++) {
		buffers[i].len = 1 + below(seed, 200);
		buffers[i].addr = addr + below(seed, 3);
		buffers[i].writable = false;
		addr = buffers[i].addr + buffers[i].len;
		*total += buffers[i].len;
		*(uint8_t *)mock_at(&rig->memory, buffers[i].addr) = (uint8_t)buffers[i].len;
	}
	if (below(seed, 2))
		return mock_chain(&rig->driver, buffers, count);
	return mock_chain_indirect(&rig->driver, buffers, count,
				   rig->packed ? 0 : below(seed, count), table);
}

static void every_chain_comes_back_exactly_once_in_any_order(void **state)
{
	struct rig *rig = *state;
	unsigned int seed = 1, held_count = 0, offered = 0, collected = 0, i;
	uint32_t expect[MANY_RING] = { 0 }, written, total;
	uint16_t held[MANY_RING], head, slot;
	uint16_t free_slots[MANY_RING], free_count = MANY_RING, slot_of[MANY_RING];
	int made;

	for (slot = 0; slot < MANY_RING; slot++)
		free_slots[slot] = slot;
	rig_open(rig, MANY_RING, INDIRECT | EVENT_IDX);
	while (collected < MANY_CHAINS) {
		slot = free_slots[free_count - 1];
		made = offered < MANY_CHAINS ? random_chain(rig, &seed, slot, &total) : -1;
		if (made >= 0) {
			free_count--;
			slot_of[made] = slot;
			expect[made] = total;
			mock_offer(&rig->driver, (uint16_t)made);
			offered++;
			if (below(&seed, 2))
				continue;
		}
		mock_publish(&rig->driver);
		while (rig_pop(rig) == 1) {
			assert_int_equal(rig->chain.read_bytes, expect[rig->chain.head]);
			held[held_count++] = rig->chain.head;
		}
		assert_int_equal(ring_fault(rig->ring), RING_FAULT_NONE);
		while (held_count) {
			i = below(&seed, held_count);
			ring_push(rig->ring, held[i], expect[held[i]]);
			held[i] = held[--held_count];
			if (!below(&seed, 8))
				break;
		}
		ring_flush(rig->ring);
		while (mock_collect(&rig->driver, &head, &written)) {
			assert_int_equal(written, expect[head]);
			free_slots[free_count++] = slot_of[head];
			collected++;
		}
	}
	assert_int_equal(ring_in_flight(rig->ring), 0);
	assert_int_equal(rig->driver.free_count, MANY_RING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(takes_one_chain_and_gives_it_back),
		RING_TEST(readable_before_writable),
		RING_TEST(adjacent_buffers_of_one_direction_are_merged),
		RING_TEST(indirect_table),
		RING_TEST(write_flag_of_an_indirect_descriptor_is_ignored),
		RING_TEST(indirect_table_longer_than_the_ring),
		RING_TEST(indirect_table_spanning_regions),
		RING_TEST(buffer_across_two_regions_is_split),
		RING_TEST(used_out_of_order),
		RING_TEST(unpop_gives_the_same_chains_again),
		SPLIT_TEST(indices_wrap),
		RING_TEST(ring_of_one),
		SPLIT_TEST(used_index_is_taken_from_the_guest),
		RING_TEST(ring_keeps_the_memmap),
		RING_TEST(every_chain_comes_back_exactly_once_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
