/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A record that is not believed: the ring begins as the front-end's base says, and
 * nothing of what was read from the record stays. What a good record does is in
 * ring_crash_test.c.
 */
#include "ring.h"

#include "mock_driver.h"
#include "ring_record.h"
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define FEATURES     (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_RING_PACKED)
#define MEMORY_BYTES 0x10000ull
#define RING_ADDR    0x1000ull
#define BUFFER_ADDR  0x8000ull
#define RING_SIZE    8u
#define LAP_ONE      0x8000u
#define RECORD_BYTES 512u
/* In the specification's packed region: used_idx, and the one of before behind it. */
#define RECORD_USED  16u
#define RECORD_OLD   18u

static _Alignas(RING_RECORD_ALIGN) uint8_t record[RECORD_BYTES];

struct fixture {
	struct mock_memory memory;
	struct mock_driver driver;
	struct ring *ring;
};

static int setup(void **state)
{
	static const struct mock_region region = { .guest_addr = 0, .bytes = MEMORY_BYTES };
	static struct fixture f;

	f = (struct fixture){ 0 };
	assert_true(ring_record_bytes(RING_SIZE, true) <= RECORD_BYTES);
	memset(record, 0, sizeof(record));
	mock_memory_open(&f.memory, &region, 1, (struct memmap_arena){ .fd = -1 });
	mock_driver_open(&f.driver, &f.memory, RING_SIZE, RING_ADDR, FEATURES, MOCK_PLACE_FIRST);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ring_destroy(f->ring);
	mock_driver_close(&f->driver);
	mock_memory_close(&f->memory);
	return 0;
}

static void begin(struct fixture *f, uint32_t base)
{
	struct ring_config config = mock_driver_config(&f->driver);
	struct gw_error err;

	config.base = base;
	config.record = record;
	assert_int_equal(ring_create(&config, &f->ring, &err), 0);
}

static int pop(struct fixture *f)
{
	struct iovec seg[GW_FRAME_SEGS_MAX];
	struct ring_chain chain;

	return ring_pop(f->ring, &chain, seg, GW_FRAME_SEGS_MAX);
}

static void take(struct fixture *f, unsigned int count)
{
	const struct mock_buffer buffer = { BUFFER_ADDR, 60, false };
	int id;

	while (count--) {
		id = mock_chain(&f->driver, &buffer, 1);
		assert_true(id >= 0);
		mock_offer(&f->driver, (uint16_t)id);
		mock_publish(&f->driver);
		assert_int_equal(pop(f), 1);
	}
}

/* A descriptor that the guest has no right to yet, of the second lap. */
static void offer_anyway(struct fixture *f, unsigned int at, uint16_t id)
{
	f->driver.slot[at] = (struct vring_packed_desc){
		.addr = BUFFER_ADDR,
		.len = 60,
		.id = id,
		.flags = 1u << VRING_PACKED_DESC_F_USED,
	};
}

/*
 * The record has one chain in flight, and a place that the ring cannot have; by the base
 * it is five. A guest that takes the descriptors of those five for free ones is stopped.
 */
static void a_refused_record_does_not_count(void **state)
{
	uint8_t of_one[RECORD_BYTES];
	struct fixture *f = *state;
	uint32_t base;

	begin(f, (uint32_t)LAP_ONE << 16 | LAP_ONE);
	take(f, 1);
	memcpy(of_one, record, sizeof(record));
	take(f, 4);
	base = ring_base(f->ring);
	ring_destroy(f->ring);
	f->ring = NULL;

	memcpy(record, of_one, sizeof(record));
	record[RECORD_USED] = record[RECORD_OLD] = RING_SIZE - 1;
	begin(f, base);
	assert_non_null(ring_record_refused(f->ring));
	assert_int_equal(ring_base(f->ring), base);
	assert_int_equal(ring_resubmitted(f->ring), 0);
	take(f, 3);
	offer_anyway(f, 0, 0);
	assert_int_equal(pop(f), -1);
	assert_int_equal(ring_fault(f->ring), RING_FAULT_INDEX);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_refused_record_does_not_count, setup, teardown),
	};

	return cmocka_run_group_tests_name("ring_record", tests, NULL, NULL);
}
