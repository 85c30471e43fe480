/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only packed rings have: places and laps, ids, event areas; and a guest that
 * breaks their rules. What both layouts share is in ring_test.c.
 */
#include "ring.h"

#include "mock_driver.h"
#include <errno.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FEATURE(bit) (1ull << (bit))
#define EVENT_IDX    FEATURE(VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT     FEATURE(VIRTIO_RING_F_INDIRECT_DESC)
#define PACKED       (FEATURE(VIRTIO_F_RING_PACKED) | FEATURE(VIRTIO_F_VERSION_1))

#define MEMORY_BYTES (2ull << 20)
#define RING_ADDR    0x100000ull
#define TABLE_ADDR   0x80000ull
#define RING_SIZE    8u

#define LAP_ONE 0x8000u /* the wrap counter in a place */
#define AVAIL   (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED    (1u << VRING_PACKED_DESC_F_USED)
#define NEXT    VRING_DESC_F_NEXT

struct fixture {
	struct mock_memory memory;
	struct mock_driver driver;
	struct ring *ring;
	struct iovec seg[GW_FRAME_SEGS_MAX];
	struct ring_chain chain;
	bool reads_only;
};

static const struct mock_buffer good[] = { { 0x1000, 12, false }, { 0x3000, 60, false } };

static int setup(void **state)
{
	static const struct mock_region region = { .guest_addr = 0, .bytes = MEMORY_BYTES };
	struct fixture *f = calloc(1, sizeof(*f));

	mock_memory_open(&f->memory, &region, 1, (struct memmap_arena){ .fd = -1 });
	*state = f;
	return 0;
}

static void close_ring(struct fixture *f)
{
	ring_destroy(f->ring);
	f->ring = NULL;
	mock_driver_close(&f->driver);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_ring(f);
	mock_memory_close(&f->memory);
	free(f);
	return 0;
}

static void open_ring_at(struct fixture *f, uint32_t size, uint64_t features, uint16_t start)
{
	struct ring_config config;
	struct gw_error err;

	mock_driver_open(&f->driver, &f->memory, size, RING_ADDR, features | PACKED, start);
	config = mock_driver_config(&f->driver);
	config.reads_only = f->reads_only;
	assert_int_equal(ring_create(&config, &f->ring, &err), 0);
}

static void open_ring(struct fixture *f, uint32_t size, uint64_t features)
{
	open_ring_at(f, size, features, MOCK_PLACE_FIRST);
}

static int pop(struct fixture *f)
{
	return ring_pop(f->ring, &f->chain, f->seg, GW_FRAME_SEGS_MAX);
}

/* A chain of count descriptors, offered and not published. */
static uint16_t offer(struct fixture *f, unsigned int count)
{
	struct mock_buffer buffers[RING_SIZE];
	int id;

	assert_true(count <= RING_SIZE);
	for (unsigned int i = 0; i < count; i++)
		buffers[i] = (struct mock_buffer){ 0x1000 + 0x100 * i, 10, false };
	id = mock_chain(&f->driver, buffers, count);
	assert_true(id >= 0);
	mock_offer(&f->driver, (uint16_t)id);
	return (uint16_t)id;
}

/* The same, published and popped. */
static uint16_t take(struct fixture *f, unsigned int count)
{
	uint16_t id = offer(f, count);

	mock_publish(&f->driver);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.head, id);
	assert_int_equal(f->chain.read_bytes, 10 * count);
	return id;
}

static void collect(struct fixture *f, uint16_t id, uint32_t written)
{
	uint32_t got_written;
	uint16_t got;

	assert_true(mock_collect(&f->driver, &got, &got_written));
	assert_int_equal(got, id);
	assert_int_equal(got_written, written);
}

static void collects_nothing(struct fixture *f)
{
	assert_false(mock_collect(&f->driver, &(uint16_t){ 0 }, &(uint32_t){ 0 }));
}

/* ---- places and laps ---- */

/* Chains of 1 to 3 descriptors over many laps, on rings of all kinds of sizes. */
static void any_size_goes_round(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 3, 5, 7, 8, 100, 256, 1000 };
	struct fixture *f = *state;
	unsigned int count;
	uint16_t id;

	for (unsigned int s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		open_ring(f, sizes[s], 0);
		for (uint32_t i = 0; i < 5 * sizes[s]; i++) {
			count = 1 + i % (sizes[s] < 3 ? sizes[s] : 3);
			id = take(f, count);
			ring_push(f->ring, id, i);
			ring_flush(f->ring);
			collect(f, id, i);
		}
		collects_nothing(f);
		close_ring(f);
	}
	open_ring(f, 1, 0);
}

static void largest_ring(void **state)
{
	struct mock_buffer buffer = { 0x1000, 10, false };
	struct fixture *f = *state;

	open_ring(f, RING_SIZE_MAX, EVENT_IDX);
	for (unsigned int lap = 0; lap < 3; lap++) {
		for (uint32_t i = 0; i < RING_SIZE_MAX; i++)
			mock_offer(&f->driver, (uint16_t)mock_chain(&f->driver, &buffer, 1));
		mock_want_interrupt(&f->driver);
		mock_publish(&f->driver);
		for (uint32_t i = 0; i < RING_SIZE_MAX; i++) {
			assert_int_equal(pop(f), 1);
			ring_push(f->ring, f->chain.head, 0);
		}
		assert_int_equal(pop(f), 0);
		assert_true(ring_flush(f->ring));
		for (uint32_t i = 0; i < RING_SIZE_MAX; i++)
			assert_true(mock_collect(&f->driver, &(uint16_t){ 0 }, &(uint32_t){ 0 }));
		assert_int_equal(ring_base(f->ring) & LAP_ONE, lap & 1 ? LAP_ONE : 0);
	}
}

static void size_zero_or_too_large_is_refused(void **state)
{
	static const uint32_t sizes[] = { 0, RING_SIZE_MAX + 1, UINT32_MAX };
	struct fixture *f = *state;
	struct ring_config config;
	struct gw_error err;

	open_ring(f, RING_SIZE, 0);
	config = mock_driver_config(&f->driver);
	for (unsigned int i = 0; i < 3; i++) {
		struct ring *ring = NULL;

		config.size = sizes[i];
		assert_int_equal(ring_create(&config, &ring, &err), -EINVAL);
		assert_null(ring);
	}
}

static void legacy_guest_is_refused(void **state)
{
	struct fixture *f = *state;
	struct ring_config config;
	struct ring *ring;
	struct gw_error err;

	open_ring(f, RING_SIZE, 0);
	config = mock_driver_config(&f->driver);
	config.features = FEATURE(VIRTIO_F_RING_PACKED);
	assert_int_equal(ring_create(&config, &ring, &err), -EINVAL);
	assert_non_null(strstr(err.text, "VERSION_1"));
}

/* Section 2.8.6: it lies over the end of the table, and its flags change on the way. */
static void chain_over_the_end_of_the_ring(void **state)
{
	struct fixture *f = *state;
	uint16_t id;

	open_ring_at(f, RING_SIZE, 0, LAP_ONE | (RING_SIZE - 2));
	id = take(f, 5);
	assert_int_equal(ring_base(f->ring) & 0xffff, 3);
	ring_push(f->ring, id, 0);
	ring_flush(f->ring);
	collect(f, id, 0);
	assert_int_equal(ring_base(f->ring), 3 | 3 << 16);
}

static void chain_as_long_as_the_ring(void **state)
{
	struct fixture *f = *state;
	uint16_t id;

	open_ring(f, RING_SIZE, 0);
	for (unsigned int lap = 0; lap < 4; lap++) {
		id = take(f, RING_SIZE);
		assert_int_equal(pop(f), 0);
		ring_push(f->ring, id, 7);
		ring_flush(f->ring);
		collect(f, id, 7);
	}
}

/* ---- completion ---- */

/* Section 2.8.6: the used place skips as many descriptors as the chain had. */
static void out_of_order_with_chains_of_different_length(void **state)
{
	struct fixture *f = *state;
	uint16_t one, three, two;

	open_ring(f, RING_SIZE, 0);
	for (unsigned int lap = 0; lap < 10; lap++) {
		one = take(f, 1);
		three = take(f, 3);
		two = take(f, 2);
		ring_push(f->ring, two, 2);
		ring_flush(f->ring);
		collect(f, two, 2);
		collects_nothing(f);
		ring_push(f->ring, three, 3);
		ring_push(f->ring, one, 1);
		ring_flush(f->ring);
		collect(f, three, 3);
		collect(f, one, 1);
		collects_nothing(f);
	}
	assert_int_equal(ring_in_flight(f->ring), 0);
}

/* Section 2.8.9: whoever sees the first of a batch sees all of it. */
static void batch_is_shown_at_once(void **state)
{
	struct fixture *f = *state;
	uint16_t id[3];

	open_ring(f, RING_SIZE, 0);
	for (unsigned int i = 0; i < 3; i++)
		id[i] = take(f, 2);
	for (unsigned int i = 0; i < 3; i++) {
		ring_push(f->ring, id[i], 1 + i);
		collects_nothing(f);
	}
	ring_flush(f->ring);
	for (unsigned int i = 0; i < 3; i++)
		collect(f, id[i], 1 + i);
}

/* Section 2.8.4: WRITE says that something was written. */
static void used_descriptor_says_whether_it_was_written(void **state)
{
	struct fixture *f = *state;
	uint16_t id;

	open_ring(f, RING_SIZE, 0);
	id = take(f, 1);
	ring_push(f->ring, id, 0);
	id = take(f, 1);
	ring_push(f->ring, id, 60);
	ring_flush(f->ring);
	assert_int_equal(f->driver.slot[0].flags, AVAIL | USED);
	assert_int_equal(f->driver.slot[1].flags, AVAIL | USED | VRING_DESC_F_WRITE);
	assert_int_equal(f->driver.slot[1].len, 60);
}

/* ---- base ---- */

static void unpop_goes_back_over_the_end(void **state)
{
	struct fixture *f = *state;
	uint16_t first, id[2];

	open_ring_at(f, RING_SIZE, 0, RING_SIZE - 2);
	first = take(f, 1);
	id[0] = take(f, 3);
	id[1] = take(f, 2);
	assert_int_equal(ring_base(f->ring) & 0xffff, LAP_ONE | 4);
	ring_unpop(f->ring, 2);
	assert_int_equal(ring_base(f->ring) & 0xffff, RING_SIZE - 1);
	assert_int_equal(ring_in_flight(f->ring), 1);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(pop(f), 1);
		assert_int_equal(f->chain.head, id[i]);
	}
	ring_push(f->ring, id[1], 0);
	ring_push(f->ring, first, 0);
	ring_flush(f->ring);
	collect(f, id[1], 0);
	collect(f, first, 0);
}

/* GET_VRING_BASE, then SET_VRING_BASE: a new ring goes on where the old one was. */
static void base_makes_the_round_trip(void **state)
{
	struct fixture *f = *state;
	struct ring_config config;
	uint16_t waiting, id;
	uint32_t base;

	open_ring(f, RING_SIZE, 0);
	for (unsigned int run = 0; run < 40; run++) {
		id = take(f, 1 + run % 4);
		ring_push(f->ring, id, 0);
		ring_flush(f->ring);
		collect(f, id, 0);
		waiting = offer(f, 2);
		mock_publish(&f->driver);
		base = ring_base(f->ring);
		assert_int_equal(base >> 16, base & 0xffff);
		assert_int_equal(base >> 16, ring_used_index(f->ring));
		ring_destroy(f->ring);
		config = mock_driver_config(&f->driver);
		config.base = base;
		assert_int_equal(ring_create(&config, &f->ring, NULL), 0);
		assert_int_equal(ring_base(f->ring), base);
		assert_int_equal(pop(f), 1);
		assert_int_equal(f->chain.head, waiting);
		ring_push(f->ring, waiting, 0);
		ring_flush(f->ring);
		collect(f, waiting, 0);
	}
}

/* The two places differ where chains are still out. */
static void base_has_two_places(void **state)
{
	struct fixture *f = *state;
	uint16_t out;

	open_ring(f, RING_SIZE, 0);
	take(f, 3);
	out = take(f, 2);
	ring_push(f->ring, out, 0);
	ring_flush(f->ring);
	assert_int_equal(ring_base(f->ring), LAP_ONE | 5 | (LAP_ONE | 2) << 16);
}

/* RING_RESET: the driver begins anew, on the first lap. */
static void begins_anew_after_a_reset(void **state)
{
	struct fixture *f = *state;
	uint16_t id;

	open_ring(f, RING_SIZE, 0);
	for (unsigned int i = 0; i < 3; i++)
		take(f, 1);
	close_ring(f);
	open_ring(f, RING_SIZE, 0);
	id = take(f, 2);
	ring_push(f->ring, id, 0);
	ring_flush(f->ring);
	collect(f, id, 0);
}

/* DPDK's virtio-user: SET_VRING_BASE of a new ring is 0x8000. */
static void lower_half_of_the_base_alone(void **state)
{
	struct fixture *f = *state;
	struct ring_config config;

	open_ring(f, RING_SIZE, 0);
	ring_destroy(f->ring);
	config = mock_driver_config(&f->driver);
	config.base = MOCK_PLACE_FIRST;
	assert_int_equal(ring_create(&config, &f->ring, NULL), 0);
	assert_int_equal(ring_base(f->ring), MOCK_PLACE_FIRST | MOCK_PLACE_FIRST << 16);
}

static void impossible_base_is_refused(void **state)
{
	static const uint32_t bases[] = {
		LAP_ONE | RING_SIZE | LAP_ONE << 16,   /* available beyond the ring */
		LAP_ONE | (LAP_ONE | RING_SIZE) << 16, /* used beyond the ring */
		LAP_ONE | 2 | (LAP_ONE | 3) << 16,     /* used before it was available */
		LAP_ONE | 3 | 2u << 16,                /* more out than the ring has */
		3 | (LAP_ONE | 2) << 16,               /* the same, other lap */
	};
	struct fixture *f = *state;
	struct ring_config config;
	struct gw_error err;
	struct ring *ring;

	open_ring(f, RING_SIZE, 0);
	config = mock_driver_config(&f->driver);
	for (unsigned int i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		config.base = bases[i];
		assert_int_equal(ring_create(&config, &ring, &err), -EINVAL);
		assert_non_null(strstr(err.text, "cannot begin at"));
	}
}

/* ---- events ---- */

static void set_event(struct fixture *f, uint16_t place)
{
	*f->driver.driver_event = (uint32_t)VRING_PACKED_EVENT_FLAG_DESC << 16 | place;
}

/* Uses count chains of one descriptor; whether that interrupts. */
static bool use(struct fixture *f, unsigned int count)
{
	bool wanted;
	uint16_t id;

	for (unsigned int i = 0; i < count; i++) {
		id = take(f, 1);
		ring_push(f->ring, id, 0);
	}
	wanted = ring_flush(f->ring);
	while (mock_collect(&f->driver, &id, &(uint32_t){ 0 }))
		;
	return wanted;
}

static void interrupt_at_a_place(void **state)
{
	struct fixture *f = *state;

	open_ring(f, RING_SIZE, EVENT_IDX);
	set_event(f, LAP_ONE | 5);
	assert_true(use(f, 1));  /* 0: the first of a run, nobody knows what was told */
	assert_false(use(f, 4)); /* 1 to 4 */
	assert_true(use(f, 1));  /* 5 */
	assert_false(use(f, 1)); /* 6: it has gone by */
	assert_false(use(f, 8)); /* 7 to 6, next lap: 5 comes by, with the other counter */
	set_event(f, 2);         /* the lap that is now */
	assert_false(use(f, 1)); /* 7 */
	set_event(f, LAP_ONE | 2);
	assert_false(use(f, 2)); /* 0, 1 */
	assert_true(use(f, 3));  /* 2 to 4 */
}

static void interrupt_over_the_end_of_the_ring(void **state)
{
	struct fixture *f = *state;

	open_ring(f, RING_SIZE, EVENT_IDX);
	use(f, 1);
	use(f, 5);
	set_event(f, 1);        /* next lap */
	assert_true(use(f, 4)); /* 6, 7, 0, 1 */
	set_event(f, LAP_ONE | 1);
	assert_false(use(f, 7)); /* 2 to 7, 0 */
	assert_true(use(f, 1));
}

/* It lies in the middle of a chain, where no used descriptor ever is. */
static void interrupt_in_the_middle_of_a_chain(void **state)
{
	struct fixture *f = *state;
	uint16_t id;

	open_ring(f, RING_SIZE, EVENT_IDX);
	use(f, 1);
	set_event(f, LAP_ONE | 3);
	id = take(f, 4);
	ring_push(f->ring, id, 0);
	assert_true(ring_flush(f->ring));
}

static void event_flags_without_event_idx(void **state)
{
	struct fixture *f = *state;

	open_ring(f, RING_SIZE, 0);
	*f->driver.driver_event = (uint32_t)VRING_PACKED_EVENT_FLAG_DISABLE << 16;
	assert_false(use(f, 1));
	*f->driver.driver_event = (uint32_t)VRING_PACKED_EVENT_FLAG_ENABLE << 16;
	assert_true(use(f, 1));
	/* Not negotiated, or reserved: an interrupt too many is better than none. */
	set_event(f, LAP_ONE | 7);
	assert_true(use(f, 1));
	*f->driver.driver_event = 3u << 16;
	assert_true(use(f, 1));
}

static void event_beyond_the_ring_is_no_harm(void **state)
{
	struct fixture *f = *state;

	open_ring(f, RING_SIZE, EVENT_IDX);
	use(f, 1);
	set_event(f, UINT16_MAX);
	use(f, 8);
	set_event(f, 0x7fff);
	use(f, 8);
	assert_int_equal(ring_fault(f->ring), RING_FAULT_NONE);
}

/* The device's area asks for a kick at the next descriptor, on each lap. */
static void kicks_over_the_end_of_the_ring(void **state)
{
	struct fixture *f = *state;
	uint16_t id;

	open_ring(f, 3, EVENT_IDX);
	for (unsigned int i = 0; i < 20; i++) {
		assert_false(ring_want_kick(f->ring));
		id = offer(f, 1 + i % 2);
		assert_true(mock_publish(&f->driver));
		assert_true(ring_has_avail(f->ring));
		ring_no_kick(f->ring);
		assert_int_equal(pop(f), 1);
		ring_push(f->ring, id, 0);
		id = offer(f, 1);
		assert_false(mock_publish(&f->driver));
		assert_int_equal(pop(f), 1);
		ring_push(f->ring, id, 0);
		ring_flush(f->ring);
		while (mock_collect(&f->driver, &id, &(uint32_t){ 0 }))
			;
	}
}

/* ---- a guest that breaks the rules ---- */

static void breaks(struct fixture *f, enum ring_fault fault)
{
	uint32_t base = ring_base(f->ring), in_flight = ring_in_flight(f->ring);

	assert_int_equal(pop(f), -1);
	assert_string_equal(ring_fault_name(ring_fault(f->ring)), ring_fault_name(fault));
	assert_int_equal(pop(f), -1);
	assert_false(ring_has_avail(f->ring));
	assert_false(ring_want_kick(f->ring));
	assert_int_equal(ring_base(f->ring), base);
	assert_int_equal(ring_in_flight(f->ring), in_flight);
}

static struct vring_packed_desc descriptor(uint16_t id, uint16_t flags)
{
	return (struct vring_packed_desc){ .addr = 0x1000, .len = 10, .id = id, .flags = flags };
}

static void available_flags_alone(void **state)
{
	struct fixture *f = *state;

	open_ring(f, RING_SIZE, 0);
	/* Of the other lap, used, used in the other lap: nothing is available. */
	f->driver.slot[0] = descriptor(0, USED);
	assert_int_equal(pop(f), 0);
	f->driver.slot[0].flags = AVAIL | USED;
	assert_int_equal(pop(f), 0);
	f->driver.slot[0].flags = 0;
	assert_int_equal(pop(f), 0);
	f->driver.slot[0].flags = AVAIL;
	assert_int_equal(pop(f), 1);
}

static void wrap_bits_wrong_in_a_chain(void **state)
{
	static const uint16_t wrong[] = { 0, USED, AVAIL | USED };
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 3; i++) {
		open_ring(f, RING_SIZE, 0);
		f->driver.slot[1] = descriptor(0, wrong[i]);
		f->driver.slot[0] = descriptor(0, AVAIL | NEXT);
		breaks(f, RING_FAULT_WRAP);
		close_ring(f);
	}
	open_ring(f, RING_SIZE, 0);
}

static void id_beyond_the_ring(void **state)
{
	static const uint16_t ids[] = { RING_SIZE, UINT16_MAX };
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 2; i++) {
		open_ring(f, RING_SIZE, 0);
		f->driver.slot[0] = descriptor(ids[i], AVAIL);
		breaks(f, RING_FAULT_ID);
		close_ring(f);
	}
	open_ring(f, RING_SIZE, 0);
}

static void id_reused_while_in_flight(void **state)
{
	struct fixture *f = *state;
	uint16_t id;

	open_ring(f, RING_SIZE, 0);
	id = take(f, 2);
	f->driver.slot[2] = descriptor(id, AVAIL);
	breaks(f, RING_FAULT_REUSED);
	/* What was taken before can still be given back. */
	ring_push(f->ring, id, 0);
	ring_flush(f->ring);
	collect(f, id, 0);
}

/* All descriptors are ours, and the guest goes on over them with ids that are free. */
static void more_descriptors_than_the_ring_has(void **state)
{
	struct fixture *f = *state;

	open_ring(f, RING_SIZE, 0);
	take(f, RING_SIZE - 1);
	f->driver.slot[RING_SIZE - 1] = descriptor(3, AVAIL | NEXT);
	f->driver.slot[0] = descriptor(3, USED);
	breaks(f, RING_FAULT_INDEX);
}

/* The same where used descriptors were written, but not shown. */
static void more_descriptors_than_were_shown(void **state)
{
	struct fixture *f = *state;
	uint16_t id;

	open_ring(f, RING_SIZE, 0);
	id = take(f, RING_SIZE);
	ring_push(f->ring, id, 0);
	f->driver.slot[0] = descriptor(id, USED);
	breaks(f, RING_FAULT_INDEX);
}

static void chain_that_never_ends(void **state)
{
	struct fixture *f = *state;

	open_ring(f, RING_SIZE, 0);
	for (uint16_t i = 0; i < RING_SIZE; i++)
		f->driver.slot[i] = descriptor(i, AVAIL | NEXT);
	breaks(f, RING_FAULT_LOOP);
}

static void chain_with(struct fixture *f, uint64_t features, struct vring_packed_desc desc,
		       enum ring_fault fault)
{
	open_ring(f, RING_SIZE, features);
	desc.flags ^= AVAIL;
	f->driver.slot[0] = desc;
	breaks(f, fault);
}

static void zero_length(void **state)
{
	chain_with(*state, 0, (struct vring_packed_desc){ .addr = 0x1000 }, RING_FAULT_LENGTH);
}

static void address_range_unmapped(void **state)
{
	chain_with(*state, 0, (struct vring_packed_desc){ .addr = MEMORY_BYTES, .len = 1 },
		   RING_FAULT_ADDRESS);
}

static void address_range_wraps(void **state)
{
	chain_with(*state, 0, (struct vring_packed_desc){ .addr = UINT64_MAX - 3, .len = 60 },
		   RING_FAULT_ADDRESS);
}

static void readable_after_writable(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 12, true }, { 0x3000, 60, false } };
	struct fixture *f = *state;

	open_ring(f, RING_SIZE, 0);
	mock_offer(&f->driver, (uint16_t)mock_chain(&f->driver, buffers, 2));
	mock_publish(&f->driver);
	breaks(f, RING_FAULT_ORDER);
}

static void more_segments_than_a_frame_takes(void **state)
{
	struct fixture *f = *state;

	open_ring(f, RING_SIZE, 0);
	offer(f, 5);
	mock_publish(&f->driver);
	assert_int_equal(ring_pop(f->ring, &f->chain, f->seg, 4), -1);
	assert_int_equal(ring_fault(f->ring), RING_FAULT_SEGMENTS);
}

/* ---- indirect tables ---- */

static struct vring_packed_desc table_desc(uint32_t len, uint16_t flags)
{
	return (struct vring_packed_desc){ .addr = TABLE_ADDR,
					   .len = len,
					   .flags = VRING_DESC_F_INDIRECT | flags };
}

static void indirect_without_the_feature(void **state)
{
	chain_with(*state, 0, table_desc(16, 0), RING_FAULT_FEATURE);
}

static void indirect_table_of_length_0(void **state)
{
	chain_with(*state, INDIRECT, table_desc(0, 0), RING_FAULT_INDIRECT);
}

static void indirect_table_not_a_multiple_of_16(void **state)
{
	chain_with(*state, INDIRECT, table_desc(24, 0), RING_FAULT_INDIRECT);
}

static void indirect_table_too_long(void **state)
{
	chain_with(*state, INDIRECT, table_desc(16 * (GW_FRAME_SEGS_MAX + 1), 0),
		   RING_FAULT_INDIRECT);
}

static void indirect_table_half_mapped(void **state)
{
	struct vring_packed_desc entry = descriptor(0, 0), desc = table_desc(32, 0);
	struct fixture *f = *state;

	desc.addr = MEMORY_BYTES - sizeof(entry);
	mock_write(&f->memory, desc.addr, &entry, sizeof(entry));
	chain_with(f, INDIRECT, desc, RING_FAULT_ADDRESS);
}

static void indirect_table_unmapped(void **state)
{
	struct vring_packed_desc desc = table_desc(32, 0);

	desc.addr = MEMORY_BYTES;
	chain_with(*state, INDIRECT, desc, RING_FAULT_ADDRESS);
}

/* Section 2.8.19: no descriptors with INDIRECT in a list linked by NEXT. */
static void indirect_with_next(void **state)
{
	chain_with(*state, INDIRECT, table_desc(16, NEXT), RING_FAULT_INDIRECT);
}

static void indirect_behind_a_direct_one(void **state)
{
	struct fixture *f = *state;
	int id;

	open_ring(f, RING_SIZE, INDIRECT);
	id = mock_chain_indirect(&f->driver, good, 2, 1, TABLE_ADDR);
	mock_offer(&f->driver, (uint16_t)id);
	mock_publish(&f->driver);
	breaks(f, RING_FAULT_INDIRECT);
}

static void nested_indirect(void **state)
{
	struct vring_packed_desc entry = descriptor(0, VRING_DESC_F_INDIRECT);
	struct fixture *f = *state;

	mock_write(&f->memory, TABLE_ADDR, &entry, sizeof(entry));
	chain_with(f, INDIRECT, table_desc(16, 0), RING_FAULT_NESTED);
}

/* Section 2.8.7: in a table WRITE is the only flag, and there are drivers that set more. */
static void other_flags_in_a_table_are_ignored(void **state)
{
	struct vring_packed_desc entry = descriptor(UINT16_MAX, AVAIL | USED | NEXT);
	struct fixture *f = *state;

	open_ring(f, RING_SIZE, INDIRECT);
	mock_write(&f->memory, TABLE_ADDR, &entry, sizeof(entry));
	entry.addr = 0x2000;
	mock_write(&f->memory, TABLE_ADDR + 16, &entry, sizeof(entry));
	f->driver.slot[0] = table_desc(32, AVAIL);
	f->driver.slot[0].id = 5;
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.head, 5);
	assert_int_equal(f->chain.read_count, 2);
	assert_int_equal(f->chain.read_bytes, 20);
	assert_int_equal(ring_base(f->ring) & 0xffff, LAP_ONE | 1);
}

static void pop_table_of_writables(struct fixture *f, bool reads_only)
{
	const uint16_t flags[] = { VRING_DESC_F_WRITE, 0, VRING_DESC_F_WRITE };

	f->reads_only = reads_only;
	open_ring(f, RING_SIZE, INDIRECT);
	for (unsigned int i = 0; i < 3; i++) {
		struct vring_packed_desc entry = descriptor(0, flags[i]);

		entry.addr = 0x1000 * (i + 1);
		mock_write(&f->memory, TABLE_ADDR + 16 * i, &entry, sizeof(entry));
	}
	f->driver.slot[0] = table_desc(48, AVAIL);
}

/* DPDK's driver has WRITE on the header of what it sends from a table, and elsewhere. */
static void writable_in_a_table_of_a_transmit_ring(void **state)
{
	struct fixture *f = *state;

	pop_table_of_writables(f, true);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.read_count, 3);
	assert_int_equal(f->chain.read_bytes, 30);
	assert_int_equal(f->chain.write_count, 0);
}

static void writable_in_a_table(void **state)
{
	struct fixture *f = *state;

	pop_table_of_writables(f, false);
	breaks(f, RING_FAULT_ORDER);
}

#define PACKED_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKED_TEST(any_size_goes_round),
		PACKED_TEST(largest_ring),
		PACKED_TEST(size_zero_or_too_large_is_refused),
		PACKED_TEST(legacy_guest_is_refused),
		PACKED_TEST(chain_over_the_end_of_the_ring),
		PACKED_TEST(chain_as_long_as_the_ring),
		PACKED_TEST(out_of_order_with_chains_of_different_length),
		PACKED_TEST(batch_is_shown_at_once),
		PACKED_TEST(used_descriptor_says_whether_it_was_written),
		PACKED_TEST(unpop_goes_back_over_the_end),
		PACKED_TEST(base_makes_the_round_trip),
		PACKED_TEST(base_has_two_places),
		PACKED_TEST(begins_anew_after_a_reset),
		PACKED_TEST(lower_half_of_the_base_alone),
		PACKED_TEST(impossible_base_is_refused),
		PACKED_TEST(interrupt_at_a_place),
		PACKED_TEST(interrupt_over_the_end_of_the_ring),
		PACKED_TEST(interrupt_in_the_middle_of_a_chain),
		PACKED_TEST(event_flags_without_event_idx),
		PACKED_TEST(event_beyond_the_ring_is_no_harm),
		PACKED_TEST(kicks_over_the_end_of_the_ring),
		PACKED_TEST(available_flags_alone),
		PACKED_TEST(wrap_bits_wrong_in_a_chain),
		PACKED_TEST(id_beyond_the_ring),
		PACKED_TEST(id_reused_while_in_flight),
		PACKED_TEST(more_descriptors_than_the_ring_has),
		PACKED_TEST(more_descriptors_than_were_shown),
		PACKED_TEST(chain_that_never_ends),
		PACKED_TEST(zero_length),
		PACKED_TEST(address_range_unmapped),
		PACKED_TEST(address_range_wraps),
		PACKED_TEST(readable_after_writable),
		PACKED_TEST(more_segments_than_a_frame_takes),
		PACKED_TEST(indirect_without_the_feature),
		PACKED_TEST(indirect_table_of_length_0),
		PACKED_TEST(indirect_table_not_a_multiple_of_16),
		PACKED_TEST(indirect_table_too_long),
		PACKED_TEST(indirect_table_half_mapped),
		PACKED_TEST(indirect_table_unmapped),
		PACKED_TEST(indirect_with_next),
		PACKED_TEST(indirect_behind_a_direct_one),
		PACKED_TEST(nested_indirect),
		PACKED_TEST(other_flags_in_a_table_are_ignored),
		PACKED_TEST(writable_in_a_table_of_a_transmit_ring),
		PACKED_TEST(writable_in_a_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
