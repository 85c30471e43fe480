/* SPDX-License-Identifier: BSD-2-Clause */
/* The split ring against a guest that breaks the rules: one test for each. */
#include "ring.h"

#include "atomic.h"
#include "loop.h"
#include "mock_driver.h"
#include <errno.h>
#include <linux/virtio_config.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FEATURE(bit) (1ull << (bit))
#define EVENT_IDX    FEATURE(VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT     FEATURE(VIRTIO_RING_F_INDIRECT_DESC)

/* A hole lies between the two regions; the second ends at the top of a 52-bit space. */
#define LOW_BYTES  (1ull << 20)
#define TOP_ADDR   ((1ull << 52) - TOP_BYTES)
#define TOP_BYTES  (1ull << 20)
#define RING_ADDR  0x10000ull
#define TABLE_ADDR 0x80000ull
#define RING_SIZE  8u

struct fixture {
	struct mock_memory memory;
	struct mock_driver driver;
	struct ring *ring;
	struct iovec seg[GW_FRAME_SEGS_MAX];
	struct ring_chain chain;
};

static int setup(void **state)
{
	static const struct mock_region regions[] = {
		{ .guest_addr = 0, .bytes = LOW_BYTES },
		{ .guest_addr = TOP_ADDR, .bytes = TOP_BYTES },
	};
	struct fixture *f = calloc(1, sizeof(*f));
	struct ring_config config;

	mock_memory_open(&f->memory, regions, 2, (struct memmap_arena){ .fd = -1 });
	mock_driver_open(&f->driver, &f->memory, RING_SIZE, RING_ADDR, INDIRECT | EVENT_IDX, 0);
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

static const struct mock_buffer good[] = { { 0x1000, 12, false }, { 0x3000, 60, false } };

static int good_chain(struct fixture *f)
{
	int head = mock_chain(&f->driver, good, 2);

	assert_true(head >= 0);
	return head;
}

static void offer(struct fixture *f, int head)
{
	mock_offer(&f->driver, (uint16_t)head);
	mock_publish(&f->driver);
}

static int pop(struct fixture *f)
{
	return ring_pop(f->ring, &f->chain, f->seg, GW_FRAME_SEGS_MAX);
}

/* The next pop breaks the ring by this rule, and it stays broken. */
static void breaks(struct fixture *f, enum ring_fault fault)
{
	uint16_t base = ring_base(f->ring);
	uint32_t in_flight = ring_in_flight(f->ring);

	assert_int_equal(pop(f), -1);
	assert_string_equal(ring_fault_name(ring_fault(f->ring)), ring_fault_name(fault));
	assert_int_equal(pop(f), -1);
	assert_false(ring_has_avail(f->ring));
	assert_false(ring_want_kick(f->ring));
	assert_int_equal(ring_base(f->ring), base);
	assert_int_equal(ring_in_flight(f->ring), in_flight);
}

static void offer_breaks(struct fixture *f, int head, enum ring_fault fault)
{
	offer(f, head);
	breaks(f, fault);
}

/* A chain whose last buffer is this one. */
static void buffer_breaks(struct fixture *f, uint64_t addr, uint32_t len, enum ring_fault fault)
{
	struct mock_buffer buffers[] = { good[0], { addr, len, false } };

	offer_breaks(f, mock_chain(&f->driver, buffers, 2), fault);
}

/* ---- addresses ---- */

/* CVE-2020-10725: DPDK did not look whether there was a translation (packed rings, in batches). */
static void address_range_unmapped(void **state)
{
	buffer_breaks(*state, LOW_BYTES + 4096, 60, RING_FAULT_ADDRESS);
}

static void address_range_half_mapped(void **state)
{
	buffer_breaks(*state, LOW_BYTES - 30, 60, RING_FAULT_ADDRESS);
}

static void address_range_begins_unmapped(void **state)
{
	buffer_breaks(*state, TOP_ADDR - 30, 60, RING_FAULT_ADDRESS);
}

static void address_range_wraps(void **state)
{
	buffer_breaks(*state, UINT64_MAX - 30, 60, RING_FAULT_ADDRESS);
}

static void address_range_of_4_gib(void **state)
{
	buffer_breaks(*state, 0, UINT32_MAX, RING_FAULT_ADDRESS);
}

/* CVE-2016-6490: QEMU never came to the end of it. */
static void zero_length(void **state)
{
	buffer_breaks(*state, 0x2000, 0, RING_FAULT_LENGTH);
}

/* ---- indices ---- */

static void head_beyond_the_ring(void **state)
{
	offer_breaks(*state, RING_SIZE, RING_FAULT_HEAD);
}

static void head_far_beyond_the_ring(void **state)
{
	offer_breaks(*state, 0xffff, RING_FAULT_HEAD);
}

static void next_beyond_the_ring(void **state)
{
	struct fixture *f = *state;
	int head = good_chain(f);

	mock_desc(&f->driver, (uint16_t)head)->next = RING_SIZE;
	offer_breaks(f, head, RING_FAULT_NEXT);
}

/* CVE-2020-14378: DPDK went round and round in vhost-crypto, after an underflow. */
static void next_loop(void **state)
{
	struct fixture *f = *state;
	int head = good_chain(f);

	mock_desc(&f->driver, (uint16_t)head)->next = (uint16_t)head;
	offer_breaks(f, head, RING_FAULT_LOOP);
}

static void chain_longer_than_the_ring(void **state)
{
	struct fixture *f = *state;

	for (uint16_t i = 0; i < RING_SIZE; i++)
		*mock_desc(&f->driver, i) = (struct vring_desc){
			.addr = 0x1000 + 0x100 * i,
			.len = 1,
			.flags = VRING_DESC_F_NEXT,
			.next = (i + 1) % RING_SIZE,
		};
	offer_breaks(f, 0, RING_FAULT_LOOP);
}

static void avail_index_jump(void **state)
{
	struct fixture *f = *state;

	f->driver.avail->idx = RING_SIZE + 1;
	breaks(f, RING_FAULT_INDEX);
}

static void avail_index_backwards(void **state)
{
	struct fixture *f = *state;

	f->driver.avail->idx = 0xffff;
	breaks(f, RING_FAULT_INDEX);
}

static void head_reused_while_in_flight(void **state)
{
	struct fixture *f = *state;
	int head = good_chain(f);

	offer(f, head);
	assert_int_equal(pop(f), 1);
	offer_breaks(f, head, RING_FAULT_REUSED);
	/* What was taken before can still be given back. */
	ring_push(f->ring, (uint16_t)head, 0);
	ring_flush(f->ring);
	assert_int_equal(ring_in_flight(f->ring), 0);
	assert_int_equal(f->driver.used->idx, 1);
}

/* ---- order and number of segments ---- */

static void readable_after_writable(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 12, true }, { 0x3000, 60, false } };
	struct fixture *f = *state;

	offer_breaks(f, mock_chain(&f->driver, buffers, 2), RING_FAULT_ORDER);
}

static void more_segments_than_a_frame_takes(void **state)
{
	struct mock_buffer buffers[5];
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 5; i++)
		buffers[i] = (struct mock_buffer){ 0x1000 + 0x100 * i, 1, false };
	offer(f, mock_chain(&f->driver, buffers, 5));
	assert_int_equal(ring_pop(f->ring, &f->chain, f->seg, 4), -1);
	assert_int_equal(ring_fault(f->ring), RING_FAULT_SEGMENTS);
}

static void one_byte_segments_are_allowed(void **state)
{
	struct mock_buffer buffers[200];
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 200; i++)
		buffers[i] = (struct mock_buffer){ 0x1000 + 2 * i, 1, false };
	offer(f, mock_chain_indirect(&f->driver, buffers, 200, 0, TABLE_ADDR));
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.read_count, 200);
	assert_int_equal(f->chain.read_bytes, 200);
}

/* ---- indirect tables ---- */

/* An indirect chain whose referring descriptor can be spoilt. */
static struct vring_desc *indirect_chain(struct fixture *f, int *head)
{
	*head = mock_chain_indirect(&f->driver, good, 2, 0, TABLE_ADDR);
	assert_true(*head >= 0);
	return mock_desc(&f->driver, (uint16_t)*head);
}

static struct vring_desc *table_entry(struct fixture *f, unsigned int i)
{
	return (struct vring_desc *)mock_at(&f->memory, TABLE_ADDR) + i;
}

static void indirect_length(struct fixture *f, uint32_t len)
{
	int head;

	indirect_chain(f, &head)->len = len;
	offer_breaks(f, head, RING_FAULT_INDIRECT);
}

static void indirect_table_length_zero(void **state)
{
	indirect_length(*state, 0);
}

static void indirect_table_length_no_multiple_of_16(void **state)
{
	indirect_length(*state, 24);
}

static void indirect_table_shorter_than_a_descriptor(void **state)
{
	indirect_length(*state, 15);
}

static void indirect_table_too_long(void **state)
{
	indirect_length(*state, (GW_FRAME_SEGS_MAX + 1) * 16);
}

static void indirect_table_of_4_gib(void **state)
{
	indirect_length(*state, 0xfffffff0);
}

static void indirect_table_unmapped(void **state)
{
	struct fixture *f = *state;
	int head;

	indirect_chain(f, &head)->addr = LOW_BYTES + 4096;
	offer_breaks(f, head, RING_FAULT_ADDRESS);
}

static void indirect_table_half_mapped(void **state)
{
	struct fixture *f = *state;
	int head;

	/* The first descriptor is there, the second one is not. */
	indirect_chain(f, &head)->addr = LOW_BYTES - 16;
	*(struct vring_desc *)mock_at(&f->memory, LOW_BYTES - 16) = *table_entry(f, 0);
	offer_breaks(f, head, RING_FAULT_ADDRESS);
}

static void indirect_table_wraps(void **state)
{
	struct fixture *f = *state;
	int head;

	indirect_chain(f, &head)->addr = UINT64_MAX - 15;
	offer_breaks(f, head, RING_FAULT_ADDRESS);
}

static void indirect_table_nested(void **state)
{
	struct fixture *f = *state;
	int head;

	indirect_chain(f, &head);
	table_entry(f, 1)->flags |= VRING_DESC_F_INDIRECT;
	offer_breaks(f, head, RING_FAULT_NESTED);
}

static void indirect_next_beyond_the_table(void **state)
{
	struct fixture *f = *state;
	int head;

	indirect_chain(f, &head);
	table_entry(f, 0)->next = 2;
	offer_breaks(f, head, RING_FAULT_NEXT);
}

static void indirect_next_loop(void **state)
{
	struct fixture *f = *state;
	int head;

	indirect_chain(f, &head);
	table_entry(f, 0)->next = 0;
	offer_breaks(f, head, RING_FAULT_LOOP);
}

static void indirect_descriptor_with_next(void **state)
{
	struct fixture *f = *state;
	int head;

	indirect_chain(f, &head)->flags |= VRING_DESC_F_NEXT;
	offer_breaks(f, head, RING_FAULT_INDIRECT);
}

static void indirect_not_negotiated(void **state)
{
	struct fixture *f = *state;
	struct ring_config config = mock_driver_config(&f->driver);
	int head;

	config.features = 0;
	ring_destroy(f->ring);
	assert_int_equal(ring_create(&config, &f->ring, NULL), 0);
	indirect_chain(f, &head);
	offer_breaks(f, head, RING_FAULT_FEATURE);
}

/* ---- changes under our eyes ---- */

#define RACE_NS 150000000u

struct race {
	struct fixture *f;
	bool end;
};

/* A guest that rewrites its table and its available ring while they are read. */
static void *rewrite(void *arg)
{
	struct race *race = arg;
	volatile struct vring_desc *entry = table_entry(race->f, 0);
	unsigned int seed = 7;

	while (!gw_load_relaxed(&race->end)) {
		entry[0].addr = rand_r(&seed) % 2 ? 0x1000 : TOP_ADDR + TOP_BYTES - 1;
		entry[0].len = rand_r(&seed) % 2 ? 1 : 0xffffffff;
		entry[0].flags = rand_r(&seed) % 2 ? VRING_DESC_F_NEXT : 0;
		entry[0].next = rand_r(&seed) % 2 ? 1 : 0xffff;
	}
	return NULL;
}

static void inside_window(const struct fixture *f)
{
	struct gw_window window;
	unsigned int count = f->chain.read_count + f->chain.write_count;
	const uint8_t *base;

	gw_memmap_window(f->memory.memmap, &window);
	for (unsigned int i = 0; i < count; i++) {
		base = f->seg[i].iov_base;
		assert_true(base >= (uint8_t *)window.base + window.arena_bytes);
		assert_true(f->seg[i].iov_len <= window.len);
		assert_true(base + f->seg[i].iov_len <= (uint8_t *)window.base + window.len);
	}
}

/*
 * Every chain that is taken lies inside guest memory, whatever the guest does. CVE-2020-14375:
 * DPDK, in vhost-crypto, used what a guest could change after the check.
 */
static void indirect_table_changed_after_the_check(void **state)
{
	struct fixture *f = *state;
	struct race race = { .f = f };
	struct ring_config config = mock_driver_config(&f->driver);
	uint64_t begin_ns = gw_now_ns();
	unsigned int taken = 0, broken = 0;
	pthread_t guest;
	int head;

	indirect_chain(f, &head);
	pthread_create(&guest, NULL, rewrite, &race);
	while (gw_now_ns() - begin_ns < RACE_NS) {
		offer(f, head);
		if (pop(f) == 1) {
			inside_window(f);
			taken++;
			ring_push(f->ring, (uint16_t)head, 0);
			ring_flush(f->ring);
			continue;
		}
		broken++;
		ring_destroy(f->ring);
		config.base = f->driver.avail_shown;
		if (ring_create(&config, &f->ring, NULL))
			break;
	}
	gw_store_relaxed(&race.end, true);
	pthread_join(guest, NULL);
	print_message("%u chains taken, ring broken %u times\n", taken, broken);
	assert_true(taken > 0 && broken > 0);
}

/* The available ring is rewritten between pop and unpop: our own record counts. */
static void avail_ring_changed_before_unpop(void **state)
{
	struct fixture *f = *state;
	int head = good_chain(f);

	offer(f, head);
	assert_int_equal(pop(f), 1);
	f->driver.avail->ring[0] = 0x7777;
	ring_unpop(f->ring, 1);
	assert_int_equal(ring_in_flight(f->ring), 0);
	breaks(f, RING_FAULT_HEAD);
}

static void used_ring_changed_by_the_guest(void **state)
{
	struct fixture *f = *state;
	int head = good_chain(f);

	offer(f, head);
	assert_int_equal(pop(f), 1);
	memset(f->driver.used, 0xff, 6 + 8 * RING_SIZE);
	ring_push(f->ring, (uint16_t)head, 0);
	ring_flush(f->ring);
	assert_int_equal(f->driver.used->idx, 1);
	assert_int_equal(f->driver.used->ring[0].id, head);
}

/* ---- rules above the ring ---- */

static void broken_from_above(void **state)
{
	struct fixture *f = *state;

	ring_break(f->ring, RING_FAULT_DIRECTION);
	ring_break(f->ring, RING_FAULT_HEADER); /* the first one counts */
	offer_breaks(f, good_chain(f), RING_FAULT_DIRECTION);
}

static void every_fault_has_a_name_of_its_own(void **state)
{
	for (int i = 0; i < RING_FAULT_COUNT; i++) {
		assert_non_null(ring_fault_name(i));
		assert_non_null(ring_fault_text(i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(ring_fault_name(i), ring_fault_name(j));
	}
	assert_string_equal(ring_fault_name(RING_FAULT_COUNT), "unknown");
	assert_string_equal(ring_fault_text((enum ring_fault) - 1), "unknown");
}

/* ---- rings that cannot be made ---- */

static void refused(struct fixture *f, struct ring_config config)
{
	struct gw_error err = { 0 };
	struct ring *ring = NULL;

	assert_int_equal(ring_create(&config, &ring, &err), -EINVAL);
	assert_true(err.text[0]);
	assert_null(ring);
}

static void ring_sizes_that_are_refused(void **state)
{
	static const uint32_t sizes[] = { 0,         3, 100, RING_SIZE_MAX + 1, 2 * RING_SIZE_MAX,
					  UINT32_MAX };
	struct fixture *f = *state;
	struct ring_config config = mock_driver_config(&f->driver);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		config.size = sizes[i];
		refused(f, config);
	}
}

static void ring_addresses_that_are_refused(void **state)
{
	struct fixture *f = *state;
	const struct ring_config fine = mock_driver_config(&f->driver);
	uint64_t end = MOCK_USER_OFFSET + LOW_BYTES;
	struct ring_config config;

	config = fine;
	config.desc_addr = MOCK_USER_OFFSET + LOW_BYTES + 4096; /* unmapped */
	refused(f, config);
	config.desc_addr = end - 16 * RING_SIZE + 16; /* half */
	refused(f, config);
	config.desc_addr = UINT64_MAX - 15; /* wraps */
	refused(f, config);
	config.desc_addr = fine.desc_addr + 8; /* misaligned */
	refused(f, config);
	config = fine;
	config.avail_addr = fine.avail_addr + 1;
	refused(f, config);
	config = fine;
	config.used_addr = fine.used_addr + 2;
	refused(f, config);
}

/* The event indices behind the rings count, if and only if they were negotiated. */
static void ring_tail_beyond_the_region(void **state)
{
	struct fixture *f = *state;
	struct ring_config config = mock_driver_config(&f->driver);

	config.avail_addr = MOCK_USER_OFFSET + LOW_BYTES - (4 + 2 * RING_SIZE);
	refused(f, config);
	config.features = 0;
	ring_destroy(f->ring);
	assert_int_equal(ring_create(&config, &f->ring, NULL), 0);
}

#define FAULT_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAULT_TEST(address_range_unmapped),
		FAULT_TEST(address_range_half_mapped),
		FAULT_TEST(address_range_begins_unmapped),
		FAULT_TEST(address_range_wraps),
		FAULT_TEST(address_range_of_4_gib),
		FAULT_TEST(zero_length),
		FAULT_TEST(head_beyond_the_ring),
		FAULT_TEST(head_far_beyond_the_ring),
		FAULT_TEST(next_beyond_the_ring),
		FAULT_TEST(next_loop),
		FAULT_TEST(chain_longer_than_the_ring),
		FAULT_TEST(avail_index_jump),
		FAULT_TEST(avail_index_backwards),
		FAULT_TEST(head_reused_while_in_flight),
		FAULT_TEST(readable_after_writable),
		FAULT_TEST(more_segments_than_a_frame_takes),
		FAULT_TEST(one_byte_segments_are_allowed),
		FAULT_TEST(indirect_table_length_zero),
		FAULT_TEST(indirect_table_length_no_multiple_of_16),
		FAULT_TEST(indirect_table_shorter_than_a_descriptor),
		FAULT_TEST(indirect_table_too_long),
		FAULT_TEST(indirect_table_of_4_gib),
		FAULT_TEST(indirect_table_unmapped),
		FAULT_TEST(indirect_table_half_mapped),
		FAULT_TEST(indirect_table_wraps),
		FAULT_TEST(indirect_table_nested),
		FAULT_TEST(indirect_next_beyond_the_table),
		FAULT_TEST(indirect_next_loop),
		FAULT_TEST(indirect_descriptor_with_next),
		FAULT_TEST(indirect_not_negotiated),
		FAULT_TEST(indirect_table_changed_after_the_check),
		FAULT_TEST(avail_ring_changed_before_unpop),
		FAULT_TEST(used_ring_changed_by_the_guest),
		FAULT_TEST(broken_from_above),
		cmocka_unit_test(every_fault_has_a_name_of_its_own),
		FAULT_TEST(ring_sizes_that_are_refused),
		FAULT_TEST(ring_addresses_that_are_refused),
		FAULT_TEST(ring_tail_beyond_the_region),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
