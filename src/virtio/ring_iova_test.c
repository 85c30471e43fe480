/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings of a guest behind an IOMMU, on both layouts. I/O addresses begin far from guest
 * physical ones, and pages are mapped one by one, some of them not in their order.
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
#define BASICS                                                             \
	(FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_F_ACCESS_PLATFORM) | \
	 FEATURE(VIRTIO_RING_F_INDIRECT_DESC))

#define PAGE         4096ull
#define MEMORY_BYTES (1ull << 20)
#define RING_ADDR    0x40000ull /* guest physical */
#define RING_BYTES   0x4000ull
#define RING_SIZE    256u

/* Where the ring, and a run of pages of buffers, appear to the device. */
#define RING_IOVA   0xfe00000000ull
#define BUFFER_IOVA 0xffff0000ull
#define NOWHERE     0x123456789000ull /* no address of the front-end */

struct fixture {
	struct mock_memory memory;
	struct mock_driver driver;
	struct iotlb *iotlb;
	struct ring *ring;
	struct iovec seg[GW_FRAME_SEGS_MAX];
	struct ring_chain chain;
	bool packed;
};

static int setup(void **state)
{
	static const struct mock_region region = { .guest_addr = 0, .bytes = MEMORY_BYTES };
	struct fixture *f = calloc(1, sizeof(*f));

	f->packed = *state;
	mock_memory_open(&f->memory, &region, 1, (struct memmap_arena){ .fd = -1 });
	mock_driver_open(&f->driver, &f->memory, RING_SIZE, RING_ADDR,
			 f->packed ? BASICS | FEATURE(VIRTIO_F_RING_PACKED) : BASICS,
			 f->packed ? MOCK_PLACE_FIRST : 0);
	f->iotlb = iotlb_create();
	assert_non_null(f->iotlb);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ring_destroy(f->ring);
	iotlb_put(f->iotlb);
	mock_driver_close(&f->driver);
	mock_memory_close(&f->memory);
	free(f);
	return 0;
}

/* ---- what the front-end says ---- */

static void replace_iotlb(struct fixture *f, struct iotlb *iotlb)
{
	assert_non_null(iotlb);
	if (f->ring)
		ring_set_iotlb(f->ring, iotlb);
	iotlb_put(f->iotlb);
	f->iotlb = iotlb;
}

static void map_user(struct fixture *f, uint64_t iova, uint64_t user_addr, uint64_t size,
		     uint8_t access)
{
	struct iotlb_range range = {
		.iova = iova, .size = size, .user_addr = user_addr, .access = access
	};
	struct gw_error err;

	replace_iotlb(f, iotlb_with(f->iotlb, &range, &err));
}

static void map(struct fixture *f, uint64_t iova, uint64_t guest_addr, uint64_t size,
		uint8_t access)
{
	map_user(f, iova, MOCK_USER_OFFSET + guest_addr, size, access);
}

static void unmap(struct fixture *f, uint64_t iova, uint64_t size)
{
	struct gw_error err;

	replace_iotlb(f, iotlb_without(f->iotlb, iova, size, &err));
}

static struct ring_config config_of(const struct fixture *f)
{
	struct ring_config config = mock_driver_config(&f->driver);
	uint64_t shift = RING_IOVA - RING_ADDR - MOCK_USER_OFFSET;

	config.desc_addr += shift;
	config.avail_addr += shift;
	config.used_addr += shift;
	config.iotlb = f->iotlb;
	return config;
}

static void open_ring(struct fixture *f)
{
	struct ring_config config = config_of(f);
	struct gw_error err;

	assert_int_equal(ring_create(&config, &f->ring, &err), 0);
}

static void map_ring(struct fixture *f)
{
	map(f, RING_IOVA, RING_ADDR, RING_BYTES, IOTLB_READ_WRITE);
}

static void misses(struct fixture *f, uint64_t iova, uint8_t access)
{
	struct iotlb_miss miss;

	assert_true(ring_missing(f->ring, &miss));
	assert_int_equal(miss.iova, iova);
	assert_int_equal(miss.access, access);
	assert_false(ring_has_avail(f->ring));
	assert_false(ring_want_kick(f->ring));
	assert_int_equal(ring_fault(f->ring), RING_FAULT_NONE);
}

static void misses_nothing(struct fixture *f)
{
	assert_false(ring_missing(f->ring, &(struct iotlb_miss){ 0 }));
}

/* ---- the guest ---- */

static int pop(struct fixture *f)
{
	return ring_pop(f->ring, &f->chain, f->seg, GW_FRAME_SEGS_MAX);
}

static void offer(struct fixture *f, uint64_t iova, uint32_t len, bool writable)
{
	struct mock_buffer buffer = { iova, len, writable };
	int head = mock_chain(&f->driver, &buffer, 1);

	assert_true(head >= 0);
	mock_offer(&f->driver, (uint16_t)head);
	mock_publish(&f->driver);
}

static void gives_back(struct fixture *f, uint16_t head)
{
	uint32_t written;
	uint16_t got;

	assert_true(mock_collect(&f->driver, &got, &written));
	assert_int_equal(got, head);
}

static void collects_nothing(struct fixture *f)
{
	assert_false(mock_collect(&f->driver, &(uint16_t){ 0 }, &(uint32_t){ 0 }));
}

/* ---- buffers ---- */

static void buffers_are_translated(void **state)
{
	struct fixture *f = *state;

	map_ring(f);
	map(f, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	open_ring(f);
	misses_nothing(f);
	strcpy(mock_at(&f->memory, 0x8010), "payload");
	offer(f, BUFFER_IOVA + 0x10, 8, false);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.read_count, 1);
	assert_string_equal(f->seg[0].iov_base, "payload");
	ring_push(f->ring, f->chain.head, 0);
	ring_flush(f->ring);
	gives_back(f, f->chain.head);
}

/* The IOMMU has put pages together that lie apart, and one into the place it had. */
static void buffer_in_pages_that_lie_apart(void **state)
{
	static const uint64_t at[] = { 0x9000, 0x8000, 0xc000, 0xd000 };
	struct fixture *f = *state;
	uint8_t bytes[3 * PAGE];
	size_t done = 0;

	map_ring(f);
	for (unsigned int i = 0; i < 4; i++)
		map(f, BUFFER_IOVA + i * PAGE, at[i], PAGE, IOTLB_READ);
	open_ring(f);
	for (size_t i = 0; i < 4 * PAGE; i++)
		*(uint8_t *)mock_at(&f->memory, at[i / PAGE] + i % PAGE) = (uint8_t)(i * 13 >> 4);
	offer(f, BUFFER_IOVA + 100, sizeof(bytes), false);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.read_count, 3); /* the last two touch */
	assert_int_equal(f->chain.read_bytes, sizeof(bytes));
	for (unsigned int i = 0; i < f->chain.read_count; i++) {
		memcpy(bytes + done, f->seg[i].iov_base, f->seg[i].iov_len);
		done += f->seg[i].iov_len;
	}
	assert_int_equal(done, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], (uint8_t)((i + 100) * 13 >> 4));
}

static void miss_consumes_nothing(void **state)
{
	struct fixture *f = *state;
	uint32_t base;

	map_ring(f);
	map(f, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	open_ring(f);
	base = ring_base(f->ring);
	offer(f, BUFFER_IOVA + PAGE - 100, 300, false);
	assert_true(ring_has_avail(f->ring));
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(pop(f), 0);
		misses(f, BUFFER_IOVA + PAGE, IOTLB_READ);
	}
	assert_int_equal(ring_base(f->ring), base);
	assert_int_equal(ring_in_flight(f->ring), 0);
	map(f, BUFFER_IOVA + PAGE, 0x2000, PAGE, IOTLB_READ);
	misses_nothing(f);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.read_count, 2);
	assert_int_equal(f->chain.read_bytes, 300);
}

/* Only what is to be popped waits: what is out comes back meanwhile. */
static void chains_come_back_while_a_buffer_is_missing(void **state)
{
	struct fixture *f = *state;
	uint16_t head;

	map_ring(f);
	map(f, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	open_ring(f);
	offer(f, BUFFER_IOVA, 64, false);
	offer(f, BUFFER_IOVA + PAGE, 64, false);
	assert_int_equal(pop(f), 1);
	head = f->chain.head;
	assert_int_equal(pop(f), 0);
	misses(f, BUFFER_IOVA + PAGE, IOTLB_READ);
	ring_push(f->ring, head, 0);
	assert_true(ring_flush(f->ring));
	gives_back(f, head);
}

/* A range that only permits the other direction is as good as none. */
static void access_that_is_not_permitted_is_a_miss(void **state)
{
	struct fixture *f = *state;

	map_ring(f);
	map(f, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	open_ring(f);
	offer(f, BUFFER_IOVA, 64, true);
	assert_int_equal(pop(f), 0);
	misses(f, BUFFER_IOVA, IOTLB_WRITE);
	map(f, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ_WRITE);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.write_count, 1);
}

static void range_outside_of_the_front_end_is_a_fault(void **state)
{
	struct fixture *f = *state;

	map_ring(f);
	map_user(f, BUFFER_IOVA, NOWHERE, PAGE, IOTLB_READ);
	open_ring(f);
	offer(f, BUFFER_IOVA, 64, false);
	assert_int_equal(pop(f), -1);
	assert_int_equal(ring_fault(f->ring), RING_FAULT_IOVA);
}

static void buffer_that_wraps_is_a_fault(void **state)
{
	struct fixture *f = *state;

	map_ring(f);
	map(f, 0, 0, PAGE, IOTLB_READ);
	map(f, UINT64_MAX - PAGE + 1, 0x8000, PAGE, IOTLB_READ);
	open_ring(f);
	offer(f, UINT64_MAX - 99, 200, false);
	assert_int_equal(pop(f), -1);
	assert_int_equal(ring_fault(f->ring), RING_FAULT_ADDRESS);
}

static void guest_physical_address_means_nothing(void **state)
{
	struct fixture *f = *state;

	map_ring(f);
	open_ring(f);
	offer(f, 0x8000, 64, false);
	assert_int_equal(pop(f), 0);
	misses(f, 0x8000, IOTLB_READ);
}

/* The table too, and one of its descriptors lies on two pages. */
static void indirect_table_in_pages_that_lie_apart(void **state)
{
	struct mock_buffer buffers[] = { { BUFFER_IOVA, 10, false },
					 { BUFFER_IOVA + 0x100, 20, false },
					 { BUFFER_IOVA + 0x200, 30, true } };
	uint64_t table = 0xa000 - 24;
	struct fixture *f = *state;
	int head;

	map_ring(f);
	map(f, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ_WRITE);
	map(f, 0x70000000, 0x9000, PAGE, IOTLB_READ);
	open_ring(f);
	/* Written where guest physical pages touch; the second one moves elsewhere. */
	head = mock_chain_indirect(&f->driver, buffers, 3, 0, table);
	memcpy(mock_at(&f->memory, 0x20000), mock_at(&f->memory, 0xa000), 64);
	memset(mock_at(&f->memory, 0xa000), 0xff, 64);
	mock_desc(&f->driver, (uint16_t)head)->addr = 0x70000000 + PAGE - 24;
	mock_offer(&f->driver, (uint16_t)head);
	mock_publish(&f->driver);
	assert_int_equal(pop(f), 0);
	misses(f, 0x70000000 + PAGE, IOTLB_READ);
	map(f, 0x70000000 + PAGE, 0x20000, PAGE, IOTLB_READ);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.read_bytes, 30);
	assert_int_equal(f->chain.write_bytes, 30);
}

/* ---- looking ahead ---- */

/* As many buffers as there are pages, none of which is mapped. */
static void offer_pages(struct fixture *f, unsigned int count, bool writable)
{
	for (unsigned int i = 0; i < count; i++)
		offer(f, BUFFER_IOVA + i * PAGE + 100, 1000, writable);
}

static void misses_ahead(struct fixture *f, uint64_t first, unsigned int count, uint8_t access)
{
	struct iotlb_miss miss[RING_AHEAD_MAX];

	assert_int_equal(ring_look_ahead(f->ring, miss, RING_AHEAD_MAX), count);
	for (unsigned int i = 0; i < count; i++) {
		assert_int_equal(miss[i].iova / PAGE, first / PAGE + i);
		assert_int_equal(miss[i].access, access);
	}
}

/* One round trip for all of them, not one for each. */
static void misses_are_found_ahead(void **state)
{
	struct fixture *f = *state;
	uint32_t base;

	map_ring(f);
	open_ring(f);
	base = ring_base(f->ring);
	misses_ahead(f, 0, 0, 0);
	offer_pages(f, 10, true);
	misses_ahead(f, BUFFER_IOVA, 10, IOTLB_WRITE);
	assert_int_equal(pop(f), 0);
	misses_ahead(f, BUFFER_IOVA, 10, IOTLB_WRITE);
	misses(f, BUFFER_IOVA + 100, IOTLB_WRITE);
	assert_int_equal(ring_base(f->ring), base);
	map(f, BUFFER_IOVA, 0x8000, 10 * PAGE, IOTLB_WRITE);
	misses_ahead(f, 0, 0, 0);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(pop(f), 1);
	misses_nothing(f);
}

/* What is mapped already is passed over, also in the middle of a chain. */
static void only_what_is_missing_is_found(void **state)
{
	struct fixture *f = *state;
	struct iotlb_miss miss[RING_AHEAD_MAX];

	map_ring(f);
	for (unsigned int i = 0; i < 10; i += 2)
		map(f, BUFFER_IOVA + i * PAGE, 0x8000 + i * PAGE, PAGE, IOTLB_READ_WRITE);
	open_ring(f);
	offer(f, BUFFER_IOVA + 10, 6 * PAGE, false);
	offer(f, BUFFER_IOVA + 8 * PAGE, 2 * PAGE, true);
	assert_int_equal(ring_look_ahead(f->ring, miss, RING_AHEAD_MAX), 4);
	assert_int_equal(miss[0].iova, BUFFER_IOVA + PAGE);
	assert_int_equal(miss[1].iova, BUFFER_IOVA + 3 * PAGE);
	assert_int_equal(miss[2].iova, BUFFER_IOVA + 5 * PAGE);
	assert_int_equal(miss[2].access, IOTLB_READ);
	assert_int_equal(miss[3].iova, BUFFER_IOVA + 9 * PAGE);
	assert_int_equal(miss[3].access, IOTLB_WRITE);
}

/* A table first: what is in it can only be found when it is there. */
static void indirect_tables_are_looked_into(void **state)
{
	struct mock_buffer buffers[] = { { BUFFER_IOVA, 10, false },
					 { BUFFER_IOVA + 2 * PAGE, 20, false } };
	struct fixture *f = *state;
	struct iotlb_miss miss[RING_AHEAD_MAX];
	int head;

	map_ring(f);
	open_ring(f);
	head = mock_chain_indirect(&f->driver, buffers, 2, 0, 0x9000);
	mock_desc(&f->driver, (uint16_t)head)->addr = 0x70000000;
	mock_offer(&f->driver, (uint16_t)head);
	mock_publish(&f->driver);
	offer(f, BUFFER_IOVA + 4 * PAGE, 64, false);
	assert_int_equal(ring_look_ahead(f->ring, miss, RING_AHEAD_MAX), 2);
	assert_int_equal(miss[0].iova, 0x70000000);
	assert_int_equal(miss[1].iova, BUFFER_IOVA + 4 * PAGE);
	map(f, 0x70000000, 0x9000, PAGE, IOTLB_READ);
	assert_int_equal(ring_look_ahead(f->ring, miss, RING_AHEAD_MAX), 3);
	assert_int_equal(miss[0].iova, BUFFER_IOVA);
	assert_int_equal(miss[1].iova, BUFFER_IOVA + 2 * PAGE);
	assert_int_equal(miss[2].iova, BUFFER_IOVA + 4 * PAGE);
}

/* Whatever is in the ring: so many addresses, and no more looks than are allowed. */
static void a_look_ahead_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct iotlb_miss miss[RING_AHEAD_MAX + 1] = { 0 };

	map_ring(f);
	open_ring(f);
	offer_pages(f, RING_AHEAD_MAX + 10, false);
	assert_int_equal(ring_look_ahead(f->ring, miss, RING_AHEAD_MAX), RING_AHEAD_MAX);
	assert_int_equal(miss[RING_AHEAD_MAX].iova, 0);
	assert_int_equal(ring_look_ahead(f->ring, miss, 3), 3);
}

/* 4 GiB behind one descriptor, page by page, none of them beside the one before. */
static void a_long_buffer_does_not_take_long(void **state)
{
	struct fixture *f = *state;
	struct iotlb_miss miss[RING_AHEAD_MAX];

	map_ring(f);
	for (unsigned int i = 0; i < 1000; i++)
		map(f, BUFFER_IOVA + i * PAGE, 0x8000 + i % 2 * 2 * PAGE, PAGE, IOTLB_READ);
	open_ring(f);
	offer(f, BUFFER_IOVA, UINT32_MAX, false);
	offer(f, 0x5000, 10, false);
	assert_int_equal(ring_look_ahead(f->ring, miss, RING_AHEAD_MAX), 0);
}

/* The same page in all chains is one question, and does not make the look endless. */
static void a_page_in_many_chains_is_found_once(void **state)
{
	struct fixture *f = *state;

	map_ring(f);
	open_ring(f);
	for (unsigned int i = 0; i < RING_SIZE; i++)
		offer(f, BUFFER_IOVA + i, 64, false);
	misses_ahead(f, BUFFER_IOVA, 1, IOTLB_READ);
}

static void faults_end_a_look_ahead(void **state)
{
	struct fixture *f = *state;

	map_ring(f);
	open_ring(f);
	offer_pages(f, 2, false);
	offer(f, BUFFER_IOVA + 2 * PAGE, 0, false); /* zero_length */
	offer(f, BUFFER_IOVA + 3 * PAGE, 64, false);
	misses_ahead(f, BUFFER_IOVA, 2, IOTLB_READ);
	assert_int_equal(ring_fault(f->ring), RING_FAULT_NONE);
	assert_true(ring_has_avail(f->ring));
	map(f, BUFFER_IOVA, 0x8000, 4 * PAGE, IOTLB_READ);
	assert_int_equal(pop(f), 1);
	assert_int_equal(pop(f), 1);
	assert_int_equal(pop(f), -1);
	assert_int_equal(ring_fault(f->ring), RING_FAULT_LENGTH);
	misses_ahead(f, 0, 0, 0);
	assert_false(ring_look_due(f->ring));
}

static void offer_same(struct fixture *f, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		offer(f, BUFFER_IOVA, 64, false);
}

/* As long as there are few of them, all that is made available is news. */
static void a_look_ahead_is_due_in_good_time(void **state)
{
	struct fixture *f = *state;

	map_ring(f);
	map(f, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	open_ring(f);
	assert_false(ring_look_due(f->ring));
	assert_true(ring_look_short(f->ring));
	offer_same(f, 20);
	assert_true(ring_look_due(f->ring));
	misses_ahead(f, 0, 0, 0);
	/* The guest goes on while it is looked at. */
	assert_false(ring_look_due(f->ring));
	assert_true(ring_look_short(f->ring));
	offer_same(f, 20);
	assert_true(ring_look_due(f->ring));
	misses_ahead(f, 0, 0, 0);
	assert_false(ring_look_due(f->ring));
	assert_false(ring_look_short(f->ring));
	for (unsigned int i = 0; i < 40; i++) {
		assert_false(ring_look_due(f->ring)); /* there is nothing new */
		assert_int_equal(pop(f), 1);
	}
	assert_false(ring_look_due(f->ring));
	assert_true(ring_look_short(f->ring));
}

/* More than one look can ask for: the next one when half of it is popped. */
static void a_look_ahead_that_was_cut_is_due_later(void **state)
{
	struct fixture *f = *state;

	map_ring(f);
	open_ring(f);
	offer_pages(f, 2 * RING_AHEAD_MAX, false);
	misses_ahead(f, BUFFER_IOVA, RING_AHEAD_MAX, IOTLB_READ);
	assert_false(ring_look_due(f->ring));
	assert_false(ring_look_short(f->ring));
	map(f, BUFFER_IOVA, 0x8000, RING_AHEAD_MAX * PAGE, IOTLB_READ);
	for (unsigned int i = 0; i < RING_AHEAD_MAX / 2; i++) {
		assert_false(ring_look_due(f->ring));
		assert_int_equal(pop(f), 1);
	}
	assert_int_equal(pop(f), 1);
	assert_true(ring_look_due(f->ring));
	misses_ahead(f, BUFFER_IOVA + RING_AHEAD_MAX * PAGE, RING_AHEAD_MAX, IOTLB_READ);
	assert_false(ring_look_due(f->ring));
}

/* A chain that cannot be walked is no reason to look for ever. */
static void a_fault_ahead_is_looked_at_once(void **state)
{
	struct fixture *f = *state;

	map_ring(f);
	open_ring(f);
	offer(f, BUFFER_IOVA, 0, false);
	assert_true(ring_look_due(f->ring));
	misses_ahead(f, 0, 0, 0);
	assert_false(ring_look_due(f->ring));
}

/* Answers come one by one. */
static void ring_waits_for_its_own_answer(void **state)
{
	struct fixture *f = *state;

	map_ring(f);
	open_ring(f);
	offer_pages(f, 3, false);
	assert_int_equal(pop(f), 0);
	map(f, BUFFER_IOVA + PAGE, 0x9000, PAGE, IOTLB_READ);
	misses(f, BUFFER_IOVA + 100, IOTLB_READ);
	assert_int_equal(pop(f), 0);
	map(f, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	misses_nothing(f);
	assert_int_equal(pop(f), 1);
	assert_int_equal(pop(f), 1);
	assert_int_equal(pop(f), 0);
	misses(f, BUFFER_IOVA + 2 * PAGE + 100, IOTLB_READ);
}

/* ---- the ring itself ---- */

static void ring_that_is_not_mapped_yet_waits(void **state)
{
	struct fixture *f = *state;
	struct iotlb_miss miss;
	unsigned int asked = 0;
	uint32_t base = mock_driver_config(&f->driver).base;

	map(f, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	open_ring(f);
	offer(f, BUFFER_IOVA, 64, false);
	while (ring_missing(f->ring, &miss)) {
		assert_int_equal(pop(f), 0);
		assert_false(ring_flush(f->ring));
		ring_no_kick(f->ring);
		assert_true(asked++ < RING_BYTES / PAGE);
		assert_int_equal(ring_base(f->ring), base);
		miss.iova &= ~(PAGE - 1);
		map(f, miss.iova, RING_ADDR + (miss.iova - RING_IOVA), PAGE, IOTLB_READ_WRITE);
	}
	assert_true(asked > 1);
	assert_int_equal(pop(f), 1);
	ring_push(f->ring, f->chain.head, 0);
	ring_flush(f->ring);
	gives_back(f, f->chain.head);
}

static void ring_in_pages_that_lie_apart_is_refused(void **state)
{
	struct fixture *f = *state;
	struct ring_config config;
	struct gw_error err;

	map_ring(f);
	map(f, RING_IOVA, 0x80000, PAGE, IOTLB_READ_WRITE);
	config = config_of(f);
	/* 256 descriptors are one page. */
	config.size = f->packed ? 300 : 512;
	assert_int_equal(ring_create(&config, &f->ring, &err), -EINVAL);
	assert_non_null(strstr(err.text, "not in one piece"));
	f->ring = NULL;
}

static void ring_outside_of_the_front_end_is_refused(void **state)
{
	struct fixture *f = *state;
	struct ring_config config;
	struct gw_error err;

	map_user(f, RING_IOVA, NOWHERE, RING_BYTES, IOTLB_READ_WRITE);
	config = config_of(f);
	assert_int_equal(ring_create(&config, &f->ring, &err), -EINVAL);
	f->ring = NULL;
}

/* IOTLB invalidate with cached ring pointers: what is done meanwhile is not lost. */
static void ring_whose_pages_are_taken_away_waits(void **state)
{
	struct fixture *f = *state;
	uint16_t head[3];

	map_ring(f);
	map(f, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	open_ring(f);
	for (unsigned int i = 0; i < 3; i++) {
		offer(f, BUFFER_IOVA, 64, false);
		assert_int_equal(pop(f), 1);
		head[i] = f->chain.head;
	}
	ring_push(f->ring, head[1], 0);
	unmap(f, RING_IOVA, RING_BYTES);
	misses(f, RING_IOVA, f->packed ? IOTLB_READ_WRITE : IOTLB_READ);
	assert_true(ring_flush(f->ring)); /* what was pushed before was shown */
	gives_back(f, head[1]);
	offer(f, BUFFER_IOVA, 64, false);
	ring_push(f->ring, head[2], 0);
	assert_false(ring_flush(f->ring));
	collects_nothing(f);
	assert_int_equal(ring_in_flight(f->ring), 1);
	map_ring(f);
	misses_nothing(f);
	ring_flush(f->ring);
	gives_back(f, head[2]);
	collects_nothing(f);
	ring_push(f->ring, head[0], 0);
	assert_true(ring_has_avail(f->ring));
	assert_int_equal(pop(f), 1);
	ring_flush(f->ring);
	gives_back(f, head[0]);
}

/* The same I/O address, other memory: the used entry is written there. */
static void ring_that_moves(void **state)
{
	struct fixture *f = *state;
	uint16_t head;

	map_ring(f);
	map(f, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	open_ring(f);
	offer(f, BUFFER_IOVA, 64, false);
	assert_int_equal(pop(f), 1);
	head = f->chain.head;
	memcpy(mock_at(&f->memory, 0x80000), mock_at(&f->memory, RING_ADDR), RING_BYTES);
	map(f, RING_IOVA, 0x80000, RING_BYTES, IOTLB_READ_WRITE);
	ring_push(f->ring, head, 0);
	ring_flush(f->ring);
	collects_nothing(f);
	memcpy(mock_at(&f->memory, RING_ADDR), mock_at(&f->memory, 0x80000), RING_BYTES);
	gives_back(f, head);
}

static void ring_that_moves_outside_breaks(void **state)
{
	struct fixture *f = *state;

	map_ring(f);
	map(f, BUFFER_IOVA, 0x8000, PAGE, IOTLB_READ);
	open_ring(f);
	offer(f, BUFFER_IOVA, 64, false);
	assert_int_equal(pop(f), 1);
	map_user(f, RING_IOVA, NOWHERE, RING_BYTES, IOTLB_READ_WRITE);
	assert_int_equal(ring_fault(f->ring), RING_FAULT_IOVA);
	assert_int_equal(pop(f), -1);
	ring_push(f->ring, f->chain.head, 0);
	assert_false(ring_flush(f->ring));
	assert_int_equal(ring_in_flight(f->ring), 0);
}

#define IOVA_TEST(fn)                                          \
	cmocka_unit_test_setup_teardown(fn, setup, teardown),  \
	{                                                      \
#fn " (packed)", fn, setup, teardown, "packed" \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IOVA_TEST(buffers_are_translated),
		IOVA_TEST(buffer_in_pages_that_lie_apart),
		IOVA_TEST(miss_consumes_nothing),
		IOVA_TEST(chains_come_back_while_a_buffer_is_missing),
		IOVA_TEST(access_that_is_not_permitted_is_a_miss),
		IOVA_TEST(range_outside_of_the_front_end_is_a_fault),
		IOVA_TEST(buffer_that_wraps_is_a_fault),
		IOVA_TEST(guest_physical_address_means_nothing),
		IOVA_TEST(indirect_table_in_pages_that_lie_apart),
		IOVA_TEST(misses_are_found_ahead),
		IOVA_TEST(only_what_is_missing_is_found),
		IOVA_TEST(indirect_tables_are_looked_into),
		IOVA_TEST(a_look_ahead_is_bounded),
		IOVA_TEST(a_long_buffer_does_not_take_long),
		IOVA_TEST(a_page_in_many_chains_is_found_once),
		IOVA_TEST(faults_end_a_look_ahead),
		IOVA_TEST(a_look_ahead_is_due_in_good_time),
		IOVA_TEST(a_look_ahead_that_was_cut_is_due_later),
		IOVA_TEST(a_fault_ahead_is_looked_at_once),
		IOVA_TEST(ring_waits_for_its_own_answer),
		IOVA_TEST(ring_that_is_not_mapped_yet_waits),
		IOVA_TEST(ring_in_pages_that_lie_apart_is_refused),
		IOVA_TEST(ring_outside_of_the_front_end_is_refused),
		IOVA_TEST(ring_whose_pages_are_taken_away_waits),
		IOVA_TEST(ring_that_moves),
		IOVA_TEST(ring_that_moves_outside_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
