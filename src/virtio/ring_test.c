/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings against a driver that keeps the rules, most of it for both layouts. A driver
 * that does not: ring_fault_test.c. What only packed rings have: ring_packed_test.c.
 */
#include "ring.h"

#include "atomic.h"
#include "fd.h"
#include "mock_driver.h"
#include <linux/virtio_config.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define FEATURE(bit) (1ull << (bit))
#define EVENT_IDX    FEATURE(VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT     FEATURE(VIRTIO_RING_F_INDIRECT_DESC)
#define PACKED       (FEATURE(VIRTIO_F_RING_PACKED) | FEATURE(VIRTIO_F_VERSION_1))

/* Two regions that touch in guest addresses, and a third one on its own. */
#define LOW_ADDR    0x0ull
#define LOW_BYTES   (1ull << 20)
#define HIGH_ADDR   (LOW_ADDR + LOW_BYTES)
#define HIGH_BYTES  (3ull << 20)
#define APART_ADDR  (1ull << 32)
#define APART_BYTES (1ull << 20)
#define RING_ADDR   APART_ADDR
#define TABLE_ADDR  (APART_ADDR + APART_BYTES / 2)

#define TEST_DEADLINE_MS 10000

struct fixture {
	struct mock_memory memory;
	struct mock_driver driver;
	uint64_t layout; /* features that choose it */
	struct ring *ring;
	struct iovec seg[GW_FRAME_SEGS_MAX];
	struct ring_chain chain;
};

static void open_ring_at(struct fixture *f, uint32_t size, uint64_t features, uint16_t start)
{
	struct ring_config config;
	struct gw_error err;

	mock_driver_open(&f->driver, &f->memory, size, RING_ADDR, features | f->layout, start);
	config = mock_driver_config(&f->driver);
	assert_int_equal(ring_create(&config, &f->ring, &err), 0);
}

static void open_ring(struct fixture *f, uint32_t size, uint64_t features)
{
	open_ring_at(f, size, features, f->layout ? MOCK_PLACE_FIRST : 0);
}

static int setup(void **state)
{
	static const struct mock_region regions[] = {
		{ .guest_addr = LOW_ADDR, .bytes = LOW_BYTES },
		{ .guest_addr = HIGH_ADDR, .bytes = HIGH_BYTES },
		{ .guest_addr = APART_ADDR, .bytes = APART_BYTES },
	};
	struct fixture *f = calloc(1, sizeof(*f));

	f->layout = *state ? PACKED : 0;
	mock_memory_open(&f->memory, regions, 3, (struct memmap_arena){ .fd = -1 });
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
	return ring_pop(f->ring, &f->chain, f->seg, GW_FRAME_SEGS_MAX);
}

/* Offers, publishes, and pops it again. */
static void pass(struct fixture *f, int head)
{
	assert_true(head >= 0);
	mock_offer(&f->driver, (uint16_t)head);
	mock_publish(&f->driver);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.head, head);
}

/* The base, count descriptors and count chains after the beginning. */
static uint32_t base_after(const struct fixture *f, uint32_t count)
{
	uint32_t place = MOCK_PLACE_FIRST | count;

	return f->layout ? place | place << 16 : count;
}

static void takes_one_chain_and_gives_it_back(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 12, false }, { 0x3001, 60, false } };
	struct fixture *f = *state;
	uint32_t written;
	uint16_t head;

	open_ring(f, 8, 0);
	assert_int_equal(pop(f), 0);
	assert_false(ring_has_avail(f->ring));
	memcpy(mock_at(&f->memory, 0x3001), "payload", 7);
	pass(f, mock_chain(&f->driver, buffers, 2));
	assert_int_equal(f->chain.read_count, 2);
	assert_int_equal(f->chain.write_count, 0);
	assert_int_equal(f->chain.read_bytes, 72);
	assert_int_equal(f->seg[1].iov_len, 60);
	assert_memory_equal(f->seg[1].iov_base, "payload", 7);
	assert_int_equal(ring_in_flight(f->ring), 1);

	ring_push(f->ring, f->chain.head, 0);
	assert_false(mock_collect(&f->driver, &head, &written)); /* not before the flush */
	assert_true(ring_flush(f->ring));
	assert_true(mock_collect(&f->driver, &head, &written));
	assert_int_equal(head, f->chain.head);
	assert_false(mock_collect(&f->driver, &head, &written));
	assert_int_equal(ring_in_flight(f->ring), 0);
	assert_int_equal(ring_base(f->ring), f->layout ? base_after(f, 2) : 1);
	assert_int_equal(ring_used_index(f->ring), f->layout ? MOCK_PLACE_FIRST | 2 : 1);
	assert_false(ring_flush(f->ring));
}

static void readable_before_writable(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 10, false },
					 { 0x2000, 20, true },
					 { 0x4000, 30, true } };
	struct fixture *f = *state;
	uint32_t written;
	uint16_t head;

	open_ring(f, 8, 0);
	pass(f, mock_chain(&f->driver, buffers, 3));
	assert_int_equal(f->chain.read_count, 1);
	assert_int_equal(f->chain.write_count, 2);
	assert_int_equal(f->chain.write_bytes, 50);
	memcpy(f->seg[1].iov_base, "answer", 6);
	ring_push(f->ring, f->chain.head, 50);
	ring_flush(f->ring);
	assert_true(mock_collect(&f->driver, &head, &written));
	assert_int_equal(written, 50);
	assert_memory_equal(mock_at(&f->memory, 0x2000), "answer", 6);
}

static void adjacent_buffers_of_one_direction_are_merged(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 100, false },
					 { 0x1064, 50, false },
					 { 0x1096, 10, true },
					 { 0x10a0, 10, true } };
	struct fixture *f = *state;

	open_ring(f, 8, 0);
	pass(f, mock_chain(&f->driver, buffers, 4));
	assert_int_equal(f->chain.read_count, 1);
	assert_int_equal(f->chain.write_count, 1);
	assert_int_equal(f->seg[0].iov_len, 150);
	assert_int_equal(f->seg[1].iov_len, 20);
}

static void indirect_table(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 10, false },
					 { 0x2000, 20, false },
					 { 0x4000, 30, true } };
	struct fixture *f = *state;

	open_ring(f, 4, INDIRECT);
	/* A packed list is all direct or all indirect (2.8.5). */
	for (unsigned int direct = 0; direct < (f->layout ? 1 : 3); direct++) {
		pass(f, mock_chain_indirect(&f->driver, buffers, 3, direct, TABLE_ADDR + 3));
		assert_int_equal(f->chain.read_count, 2);
		assert_int_equal(f->chain.write_count, 1);
		assert_int_equal(f->chain.read_bytes, 30);
		ring_push(f->ring, f->chain.head, 0);
		ring_flush(f->ring);
		assert_true(mock_collect(&f->driver, &(uint16_t){ 0 }, &(uint32_t){ 0 }));
	}
}

/* 2.7.5.3.2: the device ignores the write flag of the descriptor that refers to the table. */
static void write_flag_of_an_indirect_descriptor_is_ignored(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 10, false } };
	struct fixture *f = *state;
	int head;

	open_ring(f, 4, INDIRECT);
	head = mock_chain_indirect(&f->driver, buffers, 1, 0, TABLE_ADDR);
	mock_desc(&f->driver, (uint16_t)head)->flags |= VRING_DESC_F_WRITE;
	pass(f, head);
	assert_int_equal(f->chain.read_count, 1);
}

/* The table has more entries than the ring has descriptors. */
static void indirect_table_longer_than_the_ring(void **state)
{
	struct mock_buffer buffers[32];
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 32; i++)
		buffers[i] = (struct mock_buffer){ 0x1000 + i * 0x100, 1, false };
	open_ring(f, 2, INDIRECT);
	pass(f, mock_chain_indirect(&f->driver, buffers, 32, 0, TABLE_ADDR));
	assert_int_equal(f->chain.read_count, 32);
}

static void indirect_table_spanning_regions(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 10, false },
					 { 0x2000, 20, false },
					 { 0x4000, 30, true } };
	struct fixture *f = *state;

	open_ring(f, 4, INDIRECT);
	/* The border falls into the middle of the second descriptor. */
	pass(f, mock_chain_indirect(&f->driver, buffers, 3, 0, HIGH_ADDR - 24));
	assert_int_equal(f->chain.read_bytes, 30);
	assert_int_equal(f->chain.write_bytes, 30);
}

static void buffer_across_two_regions_is_split(void **state)
{
	struct mock_buffer buffer = { HIGH_ADDR - 100, 300, false };
	struct fixture *f = *state;
	uint8_t bytes[300], seen[300];
	size_t at = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	open_ring(f, 4, 0);
	mock_write(&f->memory, buffer.addr, bytes, sizeof(bytes));
	pass(f, mock_chain(&f->driver, &buffer, 1));
	assert_int_equal(f->chain.read_bytes, 300);
	for (unsigned int i = 0; i < f->chain.read_count; i++) {
		memcpy(seen + at, f->seg[i].iov_base, f->seg[i].iov_len);
		at += f->seg[i].iov_len;
	}
	assert_int_equal(at, 300);
	assert_memory_equal(seen, bytes, 300);
}

static void used_out_of_order(void **state)
{
	struct mock_buffer buffer = { 0x1000, 64, false };
	struct fixture *f = *state;
	uint16_t heads[4], head;
	uint32_t written;

	open_ring(f, 4, 0);
	for (int i = 0; i < 4; i++) {
		pass(f, mock_chain(&f->driver, &buffer, 1));
		heads[i] = f->chain.head;
	}
	for (int i = 3; i >= 0; i--)
		ring_push(f->ring, heads[i], (uint32_t)i);
	ring_flush(f->ring);
	for (int i = 3; i >= 0; i--) {
		assert_true(mock_collect(&f->driver, &head, &written));
		assert_int_equal(head, heads[i]);
		assert_int_equal(written, i);
	}
}

static void unpop_gives_the_same_chains_again(void **state)
{
	struct mock_buffer buffer = { 0x1000, 64, false };
	struct fixture *f = *state;
	uint16_t heads[3];

	open_ring(f, 4, 0);
	for (int i = 0; i < 3; i++)
		mock_offer(&f->driver, (uint16_t)mock_chain(&f->driver, &buffer, 1));
	mock_publish(&f->driver);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pop(f), 1);
		heads[i] = f->chain.head;
	}
	ring_unpop(f->ring, 2);
	assert_int_equal(ring_in_flight(f->ring), 1);
	assert_int_equal(ring_base(f->ring) & 0x7fff, 1);
	for (int i = 1; i < 3; i++) {
		assert_int_equal(pop(f), 1);
		assert_int_equal(f->chain.head, heads[i]);
	}
	assert_int_equal(pop(f), 0);
}

static void indices_wrap(void **state)
{
	struct mock_buffer buffer = { 0x1000, 64, false };
	struct fixture *f = *state;
	uint32_t written;
	uint16_t head;

	open_ring_at(f, 4, EVENT_IDX, 65530);
	assert_int_equal(ring_base(f->ring), 65530);
	for (int i = 0; i < 12; i++) {
		mock_want_interrupt(&f->driver);
		pass(f, mock_chain(&f->driver, &buffer, 1));
		ring_push(f->ring, f->chain.head, 0);
		assert_true(ring_flush(f->ring));
		assert_true(mock_collect(&f->driver, &head, &written));
	}
	assert_int_equal(ring_base(f->ring), 6);
	assert_int_equal(ring_used_index(f->ring), 6);
}

static void ring_of_one(void **state)
{
	struct mock_buffer buffer = { 0x1000, 64, false };
	struct fixture *f = *state;

	open_ring(f, 1, 0);
	for (int i = 0; i < 3; i++) {
		pass(f, mock_chain(&f->driver, &buffer, 1));
		ring_push(f->ring, 0, 0);
		ring_flush(f->ring);
		assert_true(mock_collect(&f->driver, &(uint16_t){ 0 }, &(uint32_t){ 0 }));
	}
}

/* ---- notifications ---- */

static void give(struct fixture *f, unsigned int count)
{
	struct mock_buffer buffer = { 0x1000, 64, false };

	for (unsigned int i = 0; i < count; i++) {
		pass(f, mock_chain(&f->driver, &buffer, 1));
		ring_push(f->ring, f->chain.head, 0);
	}
}

static void collect_all(struct fixture *f)
{
	while (mock_collect(&f->driver, &(uint16_t){ 0 }, &(uint32_t){ 0 }))
		;
}

static void interrupts_follow_the_flag(void **state)
{
	struct fixture *f = *state;

	open_ring(f, 16, 0);
	mock_no_interrupt(&f->driver);
	give(f, 1);
	assert_false(ring_flush(f->ring));
	mock_want_interrupt(&f->driver);
	give(f, 1);
	assert_true(ring_flush(f->ring));
}

static void interrupts_follow_the_event_index(void **state)
{
	struct fixture *f = *state;

	open_ring(f, 16, EVENT_IDX);
	mock_no_interrupt(&f->driver);
	give(f, 1);
	assert_true(ring_flush(f->ring)); /* the first of a run: nobody knows what was told */
	give(f, 2);
	assert_false(ring_flush(f->ring));
	collect_all(f);
	/* Interrupt when the entry after the next one has been used. */
	f->driver.avail->ring[16] = (uint16_t)(f->driver.used_next + 1);
	give(f, 1);
	assert_false(ring_flush(f->ring));
	give(f, 1);
	assert_true(ring_flush(f->ring));
	give(f, 1);
	assert_false(ring_flush(f->ring));
}

static void kicks(struct fixture *f, uint64_t features)
{
	struct mock_buffer buffer = { 0x1000, 64, false };

	open_ring(f, 16, features);
	mock_offer(&f->driver, (uint16_t)mock_chain(&f->driver, &buffer, 1));
	assert_true(mock_publish(&f->driver)); /* a new ring wants kicks */
	assert_true(ring_want_kick(f->ring));  /* one is there already */
	assert_int_equal(pop(f), 1);
	ring_no_kick(f->ring);
	mock_offer(&f->driver, (uint16_t)mock_chain(&f->driver, &buffer, 1));
	assert_false(mock_publish(&f->driver));
	assert_int_equal(pop(f), 1);
	assert_false(ring_want_kick(f->ring));
	mock_offer(&f->driver, (uint16_t)mock_chain(&f->driver, &buffer, 1));
	assert_true(mock_publish(&f->driver));
	assert_true(ring_has_avail(f->ring));
}

static void kicks_follow_the_flag(void **state)
{
	kicks(*state, 0);
}

static void kicks_follow_the_event_index(void **state)
{
	kicks(*state, EVENT_IDX);
}

/* ---- creation ---- */

static void used_index_is_taken_from_the_guest(void **state)
{
	struct fixture *f = *state;
	struct ring_config config;

	mock_driver_open(&f->driver, &f->memory, 4, RING_ADDR, 0, 0);
	f->driver.used->idx = f->driver.used_next = 77;
	config = mock_driver_config(&f->driver);
	assert_int_equal(ring_create(&config, &f->ring, NULL), 0);
	assert_int_equal(ring_used_index(f->ring), 77);
	give(f, 1);
	ring_flush(f->ring);
	assert_true(mock_collect(&f->driver, &(uint16_t){ 0 }, &(uint32_t){ 0 }));
	assert_int_equal(f->driver.used->idx, 78);
}

static void ring_keeps_the_memmap(void **state)
{
	struct fixture *f = *state;

	open_ring(f, 4, 0);
	memmap_put(f->memory.memmap);
	give(f, 1);
	ring_flush(f->ring);
	f->memory.memmap = NULL;
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
static int random_chain(struct fixture *f, unsigned int *seed, uint16_t slot, uint32_t *total)
{
	struct mock_buffer buffers[17];
	unsigned int count = 1 + below(seed, 17);
	uint64_t addr = HIGH_ADDR - 32 * SLOT_BYTES + slot * SLOT_BYTES;
	uint64_t table = TABLE_ADDR + slot * 17 * sizeof(struct vring_desc);

	*total = 0;
	for (unsigned int i = 0; i < count; i++) {
		buffers[i].len = 1 + below(seed, 200);
		buffers[i].addr = addr + below(seed, 3);
		buffers[i].writable = false;
		addr = buffers[i].addr + buffers[i].len;
		*total += buffers[i].len;
		*(uint8_t *)mock_at(&f->memory, buffers[i].addr) = (uint8_t)buffers[i].len;
	}
	if (below(seed, 2))
		return mock_chain(&f->driver, buffers, count);
	return mock_chain_indirect(&f->driver, buffers, count, f->layout ? 0 : below(seed, count),
				   table);
}

static void every_chain_comes_back_exactly_once_in_any_order(void **state)
{
	struct fixture *f = *state;
	unsigned int seed = 1, held_count = 0, offered = 0, collected = 0, i;
	uint32_t expect[MANY_RING] = { 0 }, written, total;
	uint16_t held[MANY_RING], head, slot;
	uint16_t free_slots[MANY_RING], free_count = MANY_RING, slot_of[MANY_RING];
	int made;

	for (slot = 0; slot < MANY_RING; slot++)
		free_slots[slot] = slot;
	open_ring(f, MANY_RING, INDIRECT | EVENT_IDX);
	while (collected < MANY_CHAINS) {
		slot = free_slots[free_count - 1];
		made = offered < MANY_CHAINS ? random_chain(f, &seed, slot, &total) : -1;
		if (made >= 0) {
			free_count--;
			slot_of[made] = slot;
			expect[made] = total;
			mock_offer(&f->driver, (uint16_t)made);
			offered++;
			if (below(&seed, 2))
				continue;
		}
		mock_publish(&f->driver);
		while (pop(f) == 1) {
			assert_int_equal(f->chain.read_bytes, expect[f->chain.head]);
			held[held_count++] = f->chain.head;
		}
		assert_int_equal(ring_fault(f->ring), RING_FAULT_NONE);
		while (held_count) {
			i = below(&seed, held_count);
			ring_push(f->ring, held[i], expect[held[i]]);
			held[i] = held[--held_count];
			if (!below(&seed, 8))
				break;
		}
		ring_flush(f->ring);
		while (mock_collect(&f->driver, &head, &written)) {
			assert_int_equal(written, expect[head]);
			free_slots[free_count++] = slot_of[head];
			collected++;
		}
	}
	assert_int_equal(ring_in_flight(f->ring), 0);
	assert_int_equal(f->driver.free_count, MANY_RING);
}

/* ---- two threads ---- */

#define THREAD_CHAINS 30000u

struct notify {
	struct fixture *f;
	int kick, call;
	bool late;
};

static bool wait_for(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	if (poll(&poll_fd, 1, TEST_DEADLINE_MS) != 1)
		return false;
	gw_eventfd_clear(fd);
	return true;
}

/* The device: sleeps whenever it may. A lost wake-up meets the deadline. */
static void *run_device(void *arg)
{
	struct notify *n = arg;
	struct ring_chain chain;
	struct iovec seg[4];
	unsigned int done = 0;

	while (done < THREAD_CHAINS && !n->late) {
		ring_no_kick(n->f->ring);
		while (ring_pop(n->f->ring, &chain, seg, 4) == 1) {
			ring_push(n->f->ring, chain.head, 0);
			done++;
			if (done % 3 == 0 && ring_flush(n->f->ring))
				gw_eventfd_signal(n->call);
		}
		if (ring_flush(n->f->ring))
			gw_eventfd_signal(n->call);
		if (done < THREAD_CHAINS && !ring_want_kick(n->f->ring) && !wait_for(n->kick))
			gw_store_relaxed(&n->late, true);
	}
	return NULL;
}

static void no_wakeup_is_lost(struct fixture *f, uint64_t features)
{
	struct mock_buffer buffers[] = { { 0x1000, 12, false }, { 0x2000, 64, false } };
	struct notify n = { .f = f, .kick = gw_eventfd(), .call = gw_eventfd() };
	unsigned int offered = 0, collected = 0;
	pthread_t device;
	uint32_t written;
	uint16_t head;
	int made = -1;

	mock_memory_one_view(&f->memory);
	open_ring(f, 8, features);
	pthread_create(&device, NULL, run_device, &n);
	while (collected < THREAD_CHAINS) {
		while (offered < THREAD_CHAINS &&
		       (made = mock_chain(&f->driver, buffers, 1 + offered % 2)) >= 0) {
			mock_offer(&f->driver, (uint16_t)made);
			offered++;
			if (mock_publish(&f->driver))
				gw_eventfd_signal(n.kick);
		}
		mock_no_interrupt(&f->driver);
		while (mock_collect(&f->driver, &head, &written))
			collected++;
		if (collected < offered && made < 0 && !mock_want_interrupt(&f->driver) &&
		    !wait_for(n.call))
			break;
	}
	if (collected < THREAD_CHAINS)
		gw_eventfd_signal(n.kick);
	pthread_join(device, NULL);
	gw_fd_close(&n.kick);
	gw_fd_close(&n.call);
	assert_int_equal(collected, THREAD_CHAINS);
	assert_false(n.late);
}

static void no_wakeup_is_lost_with_flags(void **state)
{
	no_wakeup_is_lost(*state, 0);
}

static void no_wakeup_is_lost_with_event_index(void **state)
{
	no_wakeup_is_lost(*state, EVENT_IDX);
}

/*
 * A driver that spins on the used ring and offers the next chain at once, just
 * when the device is about to sleep: only a kick can wake the device.
 */
static void no_kick_is_lost(struct fixture *f, uint64_t features)
{
	struct mock_buffer buffer = { 0x1000, 64, false };
	struct notify n = { .f = f, .kick = gw_eventfd(), .call = gw_eventfd() };
	unsigned int collected = 0, spins = 0;
	pthread_t device;
	uint32_t written;
	uint16_t head;

	mock_memory_one_view(&f->memory);
	open_ring(f, 1, features);
	pthread_create(&device, NULL, run_device, &n);
	mock_no_interrupt(&f->driver);
	for (; collected < THREAD_CHAINS && !gw_load_relaxed(&n.late); collected++) {
		mock_offer(&f->driver, (uint16_t)mock_chain(&f->driver, &buffer, 1));
		if (mock_publish(&f->driver))
			gw_eventfd_signal(n.kick);
		while (!mock_collect(&f->driver, &head, &written) && !gw_load_relaxed(&n.late))
			if (++spins % 256 == 0)
				sched_yield();
	}
	pthread_join(device, NULL);
	gw_fd_close(&n.kick);
	gw_fd_close(&n.call);
	assert_false(n.late);
	assert_int_equal(collected, THREAD_CHAINS);
}

static void no_kick_is_lost_with_flags(void **state)
{
	no_kick_is_lost(*state, 0);
}

static void no_kick_is_lost_with_event_index(void **state)
{
	no_kick_is_lost(*state, EVENT_IDX);
}

/* ---- speed: printed, not judged, machines differ ---- */

#define SPEED_RING  256u
#define SPEED_BATCH 64u
#define SPEED_NS    100000000u

/* Of this thread: other work on the machine does not count. */
static uint64_t cpu_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The driver's part is next to nothing: the same heads are offered again and again. */
static void speed_of_pop_and_push(void **state)
{
	struct mock_buffer buffers[] = { { 0x1000, 12, false }, { 0x2000, 1518, false } };
	struct fixture *f = *state;
	uint64_t begin_ns, spent_ns = 0, chains = 0;
	struct iovec seg[GW_FRAME_SEGS];
	uint16_t heads[SPEED_BATCH];

	open_ring(f, SPEED_RING, EVENT_IDX);
	for (unsigned int i = 0; i < SPEED_BATCH; i++)
		heads[i] = (uint16_t)mock_chain(&f->driver, buffers, 2);
	begin_ns = cpu_now_ns();
	while (spent_ns < SPEED_NS) {
		for (unsigned int i = 0; i < SPEED_BATCH; i++)
			mock_offer(&f->driver, heads[i]);
		mock_publish(&f->driver);
		for (unsigned int i = 0; i < SPEED_BATCH; i++) {
			assert_int_equal(ring_pop(f->ring, &f->chain, seg, GW_FRAME_SEGS), 1);
			heads[i] = f->chain.head;
		}
		for (unsigned int i = 0; i < SPEED_BATCH; i++)
			ring_push(f->ring, heads[i], 0);
		ring_flush(f->ring);
		chains += SPEED_BATCH;
		spent_ns = cpu_now_ns() - begin_ns;
	}
	print_message("%s: %.1f million chains of 2 descriptors a second\n",
		      f->layout ? "packed" : "split", (double)chains * 1e3 / (double)spent_ns);
	assert_int_equal(ring_in_flight(f->ring), 0);
}

#define SPLIT_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define PACKED_TEST(fn)                                                \
	{                                                              \
#fn " (packed)", fn, setup, teardown, (void *)"packed" \
	}
#define RING_TEST(fn) SPLIT_TEST(fn), PACKED_TEST(fn)

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
		RING_TEST(interrupts_follow_the_flag),
		SPLIT_TEST(interrupts_follow_the_event_index),
		RING_TEST(kicks_follow_the_flag),
		RING_TEST(kicks_follow_the_event_index),
		SPLIT_TEST(used_index_is_taken_from_the_guest),
		RING_TEST(ring_keeps_the_memmap),
		RING_TEST(every_chain_comes_back_exactly_once_in_any_order),
		RING_TEST(no_wakeup_is_lost_with_flags),
		RING_TEST(no_wakeup_is_lost_with_event_index),
		RING_TEST(no_kick_is_lost_with_flags),
		RING_TEST(no_kick_is_lost_with_event_index),
		RING_TEST(speed_of_pop_and_push),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
