/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring_test_rig.h"

#include <stdlib.h>

#define SOME_MAX   8u
#define SOME_ADDR  0x1000u
#define SOME_STEP  0x100u
#define SOME_BYTES 10u

const struct mock_buffer rig_good[2] = { { 0x1000, 12, false }, { 0x3000, 60, false } };

int rig_setup(void **state)
{
	static const struct mock_region regions[] = {
		{ .guest_addr = 0, .bytes = RIG_BORDER },
		{ .guest_addr = RIG_BORDER, .bytes = RIG_END - RIG_BORDER },
		{ .guest_addr = RIG_TOP, .bytes = RIG_TOP_END - RIG_TOP },
	};
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig->packed = *state;
	mock_memory_open(&rig->memory, regions, 3, (struct memmap_arena){ .fd = -1 });
	*state = rig;
	return 0;
}

int rig_setup_ring(void **state)
{
	rig_setup(state);
	rig_open(*state, RIG_RING_SIZE, INDIRECT | EVENT_IDX);
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;

	rig_close(rig);
	mock_memory_close(&rig->memory);
	free(rig);
	return 0;
}

static void make_ring(struct rig *rig, uint32_t base)
{
	struct ring_config config = mock_driver_config(&rig->driver);
	struct gw_error err;

	config.base = base;
	config.reads_only = rig->reads_only;
	config.record = rig->record;
	assert_int_equal(ring_create(&config, &rig->ring, &err), 0);
}

void rig_open_at(struct rig *rig, uint32_t size, uint64_t features, uint16_t start)
{
	if (rig->packed)
		features |= PACKED;
	mock_driver_open(&rig->driver, &rig->memory, size, RIG_RING, features, start);
	make_ring(rig, mock_driver_config(&rig->driver).base);
}

void rig_open(struct rig *rig, uint32_t size, uint64_t features)
{
	rig_open_at(rig, size, features, rig->packed ? MOCK_PLACE_FIRST : 0);
}

void rig_restart(struct rig *rig, uint32_t base)
{
	ring_destroy(rig->ring);
	rig->ring = NULL;
	make_ring(rig, base);
}

void rig_close(struct rig *rig)
{
	ring_destroy(rig->ring);
	rig->ring = NULL;
	mock_driver_close(&rig->driver);
	rig->driver = (struct mock_driver){ 0 };
}

/* ---- steps ---- */

int rig_pop(struct rig *rig)
{
	return ring_pop(rig->ring, &rig->chain, rig->seg, GW_FRAME_SEGS_MAX);
}

void rig_offer(struct rig *rig, int head)
{
	assert_true(head >= 0);
	mock_offer(&rig->driver, (uint16_t)head);
	mock_publish(&rig->driver);
}

void rig_pass(struct rig *rig, int head)
{
	rig_offer(rig, head);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig->chain.head, head);
}

int rig_good_chain(struct rig *rig)
{
	int head = mock_chain(&rig->driver, rig_good, 2);

	assert_true(head >= 0);
	return head;
}

struct vring_desc *rig_indirect_chain(struct rig *rig, int *head)
{
	*head = mock_chain_indirect(&rig->driver, rig_good, 2, 0, RIG_TABLE);
	assert_true(*head >= 0);
	return mock_desc(&rig->driver, (uint16_t)*head);
}

struct vring_desc *rig_table_entry(struct rig *rig, unsigned int i)
{
	return (struct vring_desc *)mock_at(&rig->memory, RIG_TABLE) + i;
}

static int some_chain(struct rig *rig, unsigned int count)
{
	struct mock_buffer buffers[SOME_MAX];

	assert_true(count <= SOME_MAX);
	for (unsigned int i = 0; i < count; i++)
		buffers[i] = (struct mock_buffer){ SOME_ADDR + SOME_STEP * i, SOME_BYTES, false };
	return mock_chain(&rig->driver, buffers, count);
}

uint16_t rig_offer_some(struct rig *rig, unsigned int count)
{
	int head = some_chain(rig, count);

	assert_true(head >= 0);
	mock_offer(&rig->driver, (uint16_t)head);
	return (uint16_t)head;
}

uint16_t rig_take(struct rig *rig, unsigned int count)
{
	rig_pass(rig, some_chain(rig, count));
	assert_int_equal(rig->chain.read_bytes, SOME_BYTES * count);
	return rig->chain.head;
}

void rig_give(struct rig *rig, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		ring_push(rig->ring, rig_take(rig, 1), 0);
}

void rig_collects(struct rig *rig, uint16_t head, uint32_t written_bytes)
{
	uint32_t got_written;
	uint16_t got;

	assert_true(mock_collect(&rig->driver, &got, &got_written));
	assert_int_equal(got, head);
	assert_int_equal(got_written, written_bytes);
}

void rig_collects_nothing(struct rig *rig)
{
	assert_false(mock_collect(&rig->driver, &(uint16_t){ 0 }, &(uint32_t){ 0 }));
}

void rig_collect_all(struct rig *rig)
{
	while (mock_collect(&rig->driver, &(uint16_t){ 0 }, &(uint32_t){ 0 }))
		;
}

void rig_breaks(struct rig *rig, enum ring_fault fault)
{
	uint32_t base = ring_base(rig->ring), in_flight = ring_in_flight(rig->ring);

	assert_int_equal(rig_pop(rig), -1);
	assert_string_equal(ring_fault_name(ring_fault(rig->ring)), ring_fault_name(fault));
	assert_int_equal(rig_pop(rig), -1);
	assert_false(ring_has_avail(rig->ring));
	assert_false(ring_want_kick(rig->ring));
	assert_int_equal(ring_base(rig->ring), base);
	assert_int_equal(ring_in_flight(rig->ring), in_flight);
}

void rig_offer_breaks(struct rig *rig, int head, enum ring_fault fault)
{
	rig_offer(rig, head);
	rig_breaks(rig, fault);
}
