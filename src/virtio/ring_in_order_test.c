/* SPDX-License-Identifier: BSD-2-Clause */
/* VIRTIO_F_IN_ORDER (VIRTIO 1.2 sections 2.7.9, 2.8.8), on both layouts. */
#include "ring.h"

#include "mock_driver.h"
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define FEATURE(bit) (1ull << (bit))
#define EVENT_IDX    FEATURE(VIRTIO_RING_F_EVENT_IDX)
#define IN_ORDER     (FEATURE(VIRTIO_F_IN_ORDER) | FEATURE(VIRTIO_F_VERSION_1))

#define MEMORY_BYTES (1ull << 20)
#define RING_ADDR    0x40000ull
#define RING_SIZE    8u

struct fixture {
	struct mock_memory memory;
	struct mock_driver driver;
	struct ring *ring;
	struct ring_chain chain;
	bool packed;
};

static int setup(void **state)
{
	static const struct mock_region region = { .guest_addr = 0, .bytes = MEMORY_BYTES };
	struct fixture *f = calloc(1, sizeof(*f));
	uint64_t features = EVENT_IDX | IN_ORDER;
	struct ring_config config;

	f->packed = *state;
	if (f->packed)
		features |= FEATURE(VIRTIO_F_RING_PACKED);
	mock_memory_open(&f->memory, &region, 1, (struct memmap_arena){ .fd = -1 });
	mock_driver_open(&f->driver, &f->memory, RING_SIZE, RING_ADDR, features,
			 f->packed ? MOCK_PLACE_FIRST : 0);
	config = mock_driver_config(&f->driver);
	assert_int_equal(ring_create(&config, &f->ring, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ring_destroy(f->ring);
	mock_driver_close(&f->driver);
	mock_memory_close(&f->memory);
	free(f);
	return 0;
}

static int pop(struct fixture *f)
{
	struct iovec seg[GW_FRAME_SEGS];

	return ring_pop(f->ring, &f->chain, seg, GW_FRAME_SEGS);
}

static void offer(struct fixture *f)
{
	struct mock_buffer buffer = { 0x1000, 64, true };
	int head = mock_chain(&f->driver, &buffer, 1);

	assert_true(head >= 0);
	mock_offer(&f->driver, (uint16_t)head);
	mock_publish(&f->driver);
}

static uint16_t take(struct fixture *f)
{
	offer(f);
	assert_int_equal(pop(f), 1);
	return f->chain.head;
}

static void collect(struct fixture *f, uint16_t head, uint32_t written)
{
	uint32_t got_written;
	uint16_t got;

	assert_true(mock_collect(&f->driver, &got, &got_written));
	assert_int_equal(got, head);
	assert_int_equal(got_written, written);
}

static void collects_nothing(struct fixture *f)
{
	assert_false(mock_collect(&f->driver, &(uint16_t){ 0 }, &(uint32_t){ 0 }));
}

static void used_in_the_order_of_pops(void **state)
{
	struct fixture *f = *state;
	uint16_t head[5];

	for (unsigned int lap = 0; lap < 10; lap++) {
		for (unsigned int i = 0; i < 5; i++)
			head[i] = take(f);
		for (unsigned int i = 5; i > 0; i--) {
			collects_nothing(f);
			ring_push(f->ring, head[i - 1], i);
			ring_flush(f->ring);
		}
		for (unsigned int i = 0; i < 5; i++)
			collect(f, head[i], i + 1);
		collects_nothing(f);
	}
	assert_int_equal(ring_in_flight(f->ring), 0);
}

static void what_is_ahead_of_its_turn_waits(void **state)
{
	struct fixture *f = *state;
	uint16_t head[4];

	for (unsigned int i = 0; i < 4; i++)
		head[i] = take(f);
	ring_push(f->ring, head[0], 10);
	ring_push(f->ring, head[2], 12);
	assert_true(ring_flush(f->ring));
	collect(f, head[0], 10);
	collects_nothing(f);
	assert_int_equal(ring_in_flight(f->ring), 2);
	assert_false(ring_flush(f->ring)); /* nothing to tell */
	ring_push(f->ring, head[1], 11);
	ring_flush(f->ring);
	collect(f, head[1], 11);
	collect(f, head[2], 12);
	collects_nothing(f);
	ring_push(f->ring, head[3], 13);
	ring_flush(f->ring);
	collect(f, head[3], 13);
}

static void unpopped_chains_have_no_turn(void **state)
{
	struct fixture *f = *state;
	uint16_t head[4];

	for (unsigned int lap = 0; lap < 7; lap++) {
		for (unsigned int i = 0; i < 4; i++)
			head[i] = take(f);
		ring_push(f->ring, head[1], 11);
		ring_unpop(f->ring, 2);
		ring_push(f->ring, head[0], 10);
		ring_flush(f->ring);
		collect(f, head[0], 10);
		collect(f, head[1], 11);
		for (unsigned int i = 2; i < 4; i++) {
			assert_int_equal(pop(f), 1);
			assert_int_equal(f->chain.head, head[i]);
		}
		ring_push(f->ring, head[3], 13);
		ring_push(f->ring, head[2], 12);
		ring_flush(f->ring);
		collect(f, head[2], 12);
		collect(f, head[3], 13);
	}
}

/* The guest does not know that it is done, so it is not the guest's. */
static void head_that_waits_is_in_flight(void **state)
{
	struct fixture *f = *state;
	uint16_t done;

	take(f);
	done = take(f);
	ring_push(f->ring, done, 0);
	if (f->packed) {
		offer(f);
		f->driver.slot[2].id = done;
	} else {
		mock_offer(&f->driver, done);
		mock_publish(&f->driver);
	}
	assert_int_equal(pop(f), -1);
	assert_int_equal(ring_fault(f->ring), RING_FAULT_REUSED);
}

static void whole_ring_backwards(void **state)
{
	struct fixture *f = *state;
	uint16_t head[RING_SIZE];

	for (unsigned int lap = 0; lap < 5; lap++) {
		for (unsigned int i = 0; i < RING_SIZE; i++)
			head[i] = take(f);
		for (unsigned int i = RING_SIZE; i > 0; i--)
			ring_push(f->ring, head[i - 1], i);
		ring_flush(f->ring);
		for (unsigned int i = 0; i < RING_SIZE; i++)
			collect(f, head[i], i + 1);
	}
}

#define ORDER_TEST(fn)                                         \
	cmocka_unit_test_setup_teardown(fn, setup, teardown),  \
	{                                                      \
#fn " (packed)", fn, setup, teardown, "packed" \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ORDER_TEST(used_in_the_order_of_pops),
		ORDER_TEST(what_is_ahead_of_its_turn_waits),
		ORDER_TEST(unpopped_chains_have_no_turn),
		ORDER_TEST(head_that_waits_is_in_flight),
		ORDER_TEST(whole_ring_backwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
