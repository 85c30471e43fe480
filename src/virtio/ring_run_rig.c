/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring_run_rig.h"

#define STEP 0x40u

int linear_at(struct rig *rig, uint64_t addr, uint32_t len)
{
	const struct mock_buffer buffer = { addr, len, false };
	int head = mock_chain(&rig->driver, &buffer, 1);

	assert_true(head >= 0);
	return head;
}

uint16_t offer_linear(struct rig *rig, unsigned int number)
{
	int head = linear_at(rig, ADDR + STEP * number, LEN);

	mock_offer(&rig->driver, (uint16_t)head);
	return (uint16_t)head;
}

void offer_many(struct rig *rig, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		offer_linear(rig, i);
	mock_publish(&rig->driver);
}

void run_is(struct rig *rig, unsigned int max, unsigned int count)
{
	struct ring_linear run[RUN_MAX];

	assert_true(max <= RUN_MAX);
	assert_int_equal(ring_pop_run(rig->ring, run, max), count);
}

void run_is_what_pop_finds(struct rig *rig, unsigned int count)
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
