/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings against the mock driver at random: whatever both sides do in which order,
 * each chain arrives with its bytes, comes back exactly once with what was written
 * to it, and nobody who asked to be woken sleeps on.
 *
 * A chain lies in a slot of memory of its own, and the slot's number decides all of
 * its bytes. The device holds chains for as long as it likes, puts some back, and now
 * and then is a new one that begins where the last one ended.
 */
#include "ring.h"

#include "mock_driver.h"
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FEATURE(bit) (1ull << (bit))
#define VERSION_1    FEATURE(VIRTIO_F_VERSION_1)
#define PACKED       FEATURE(VIRTIO_F_RING_PACKED)
#define EVENT_IDX    FEATURE(VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT     FEATURE(VIRTIO_RING_F_INDIRECT_DESC)
#define IN_ORDER     FEATURE(VIRTIO_F_IN_ORDER)

/* The border between the regions lies in the midst of the slots. */
#define LOW_BYTES   (128ull << 10)
#define HIGH_BYTES  (896ull << 10)
#define SLOT_ADDR   0x10000ull
#define SLOT_BYTES  1024u
#define TABLE_ADDR  0x80000ull
#define RING_ADDR   0xc0000ull
#define CHAINS_MAX  300u
#define BUFFERS_MAX 9u
#define LEN_MAX     100u
#define RUN_MAX     16u

struct slot {
	uint64_t serial;   /* of the chain, decides its bytes */
	uint32_t readable; /* bytes */
	uint32_t writable;
	struct mock_buffer buffer[BUFFERS_MAX];
	unsigned int count;
	bool indirect;
};

struct model {
	struct mock_memory memory;
	struct mock_driver driver;
	struct ring_config config;
	struct ring *ring;
	uint64_t random, serial, popped, in_runs, collected;

	struct slot slot[CHAINS_MAX];
	uint16_t free_slot[CHAINS_MAX], free_count;
	uint16_t slot_of[CHAINS_MAX]; /* by head, while it is offered or out */

	struct {
		uint16_t head;
		uint32_t written;
	} held[CHAINS_MAX]; /* by the device, in the order of pops */
	uint32_t held_count;
	uint32_t order[CHAINS_MAX]; /* IN_ORDER: heads to be collected, in a circle */
	uint32_t order_first, order_count;

	bool kick_owed;      /* the device sleeps: the next publish has to kick */
	bool interrupt_owed; /* the driver sleeps: the next used entry has to interrupt */
	bool any_offered;    /* since the last publish */
	bool any_pushed;     /* since the last flush, so that it shows something */
};

static uint32_t below(struct model *m, uint32_t limit)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return (uint32_t)((m->random >> 32) * limit >> 32);
}

static uint8_t byte_of(uint64_t serial, uint32_t i)
{
	return (uint8_t)(serial * 31 + i * 7 + (i >> 5));
}

/* ---- driver ---- */

static void make_buffers(struct model *m, uint16_t number, unsigned int count)
{
	struct slot *slot = &m->slot[number];
	uint64_t addr = SLOT_ADDR + (uint64_t)number * SLOT_BYTES;
	unsigned int readable = count == 1 ? below(m, 8) != 0 : below(m, count + 1);
	struct mock_buffer *buffer;

	if (m->config.reads_only)
		readable = count;

	slot->serial = ++m->serial;
	slot->count = count;
	slot->readable = slot->writable = 0;
	for (unsigned int i = 0; i < count; i++) {
		buffer = &slot->buffer[i];
		*buffer = (struct mock_buffer){ addr + below(m, 3), 1 + below(m, LEN_MAX),
						i >= readable };
		addr = buffer->addr + buffer->len;
		if (buffer->writable)
			slot->writable += buffer->len;
		else
			for (uint32_t k = 0; k < buffer->len; k++)
				*(uint8_t *)mock_at(&m->memory, buffer->addr + k) =
					byte_of(slot->serial, slot->readable++);
	}
}

static void offer_chain(struct model *m, unsigned int count)
{
	struct slot *slot;
	uint16_t number;
	int head = -1;

	if (!m->free_count)
		return;
	number = m->free_slot[m->free_count - 1];
	make_buffers(m, number, count);
	slot = &m->slot[number];
	slot->indirect = (m->driver.features & INDIRECT) && below(m, 3) == 0;
	if (slot->indirect)
		head = mock_chain_indirect(
			&m->driver, slot->buffer, count, m->driver.packed ? 0 : below(m, count),
			TABLE_ADDR + number * sizeof(struct vring_desc) * BUFFERS_MAX);
	else
		head = mock_chain(&m->driver, slot->buffer, count);
	if (head < 0)
		return;
	m->free_count--;
	m->slot_of[head] = number;
	mock_offer(&m->driver, (uint16_t)head);
	m->any_offered = true;
}

static void offer(struct model *m)
{
	offer_chain(m, 1 + below(m, m->driver.size < BUFFERS_MAX ? m->driver.size : BUFFERS_MAX));
}

/* Most of them are what runs are made of. */
static void offer_short(struct model *m)
{
	for (unsigned int i = below(m, RUN_MAX); i; i--)
		offer_chain(m, 1);
}

static void publish(struct model *m)
{
	bool kick = mock_publish(&m->driver);

	if (m->any_offered && m->kick_owed)
		assert_true(kick);
	if (m->any_offered)
		m->kick_owed = false;
	m->any_offered = false;
}

/* What the device wrote, byte for byte. */
static void check_written(struct model *m, const struct slot *slot, uint32_t written)
{
	uint32_t seen = 0;

	for (unsigned int i = 0; i < slot->count; i++) {
		if (!slot->buffer[i].writable)
			continue;
		for (uint32_t k = 0; k < slot->buffer[i].len && seen < written; k++, seen++)
			assert_int_equal(*(uint8_t *)mock_at(&m->memory, slot->buffer[i].addr + k),
					 byte_of(~slot->serial, seen));
	}
	assert_int_equal(seen, written);
}

static void collect(struct model *m)
{
	uint32_t written;
	uint16_t head;

	/* The mock knows which heads are out: a second time aborts. */
	while (mock_collect(&m->driver, &head, &written)) {
		if (m->driver.features & IN_ORDER) {
			assert_true(m->order_count);
			assert_int_equal(head, m->order[m->order_first]);
			m->order_first = (m->order_first + 1) % CHAINS_MAX;
			m->order_count--;
		}
		check_written(m, &m->slot[m->slot_of[head]], written);
		m->free_slot[m->free_count++] = m->slot_of[head];
		m->collected++;
	}
}

static void driver_sleeps(struct model *m)
{
	if (below(m, 2)) {
		mock_no_interrupt(&m->driver);
		m->interrupt_owed = false;
		return;
	}
	m->interrupt_owed = !mock_want_interrupt(&m->driver);
}

/* ---- device ---- */

static void check_read(struct model *m, const struct slot *slot, const struct ring_chain *chain,
		       const struct iovec *seg)
{
	uint32_t seen = 0;

	assert_int_equal(chain->read_bytes, slot->readable);
	assert_int_equal(chain->write_bytes, slot->writable);
	for (unsigned int i = 0; i < chain->read_count; i++)
		for (size_t k = 0; k < seg[i].iov_len; k++)
			assert_int_equal(((const uint8_t *)seg[i].iov_base)[k],
					 byte_of(slot->serial, seen++));
	assert_int_equal(seen, slot->readable);
}

static void write_some(const struct slot *slot, const struct ring_chain *chain,
		       const struct iovec *seg, uint32_t written)
{
	uint32_t done = 0;

	seg += chain->read_count;
	for (unsigned int i = 0; i < chain->write_count; i++)
		for (size_t k = 0; k < seg[i].iov_len && done < written; k++)
			((uint8_t *)seg[i].iov_base)[k] = byte_of(~slot->serial, done++);
}

static void note_pop(struct model *m, uint16_t head, uint32_t written)
{
	m->held[m->held_count].head = head;
	m->held[m->held_count++].written = written;
	m->order[(m->order_first + m->order_count++) % CHAINS_MAX] = head;
	m->popped++;
}

/* Returns the slot of what was popped; NULL: nothing was there. */
static const struct slot *pop_one(struct model *m)
{
	struct iovec seg[2 * BUFFERS_MAX];
	struct ring_chain chain;
	struct slot *slot;
	bool avail = ring_has_avail(m->ring);
	uint32_t written;
	int rc = ring_pop(m->ring, &chain, seg, 2 * BUFFERS_MAX);

	assert_int_equal(rc, avail);
	if (!rc)
		return NULL;
	slot = &m->slot[m->slot_of[chain.head]];
	check_read(m, slot, &chain, seg);
	written = below(m, slot->writable + 1);
	write_some(slot, &chain, seg, written);
	note_pop(m, chain.head, written);
	return slot;
}

static void pop(struct model *m)
{
	pop_one(m);
}

/* A buffer over the border between the regions is in two pieces for a run. */
static bool is_linear(const struct slot *slot)
{
	const struct mock_buffer *buffer = slot->buffer;

	return slot->count == 1 && !slot->indirect && !slot->writable &&
	       (buffer->addr >= LOW_BYTES || buffer->addr + buffer->len <= LOW_BYTES);
}

/* What a run leaves is no part of one, or was not there when it looked. */
static void pop_run(struct model *m)
{
	struct ring_linear run[RUN_MAX];
	unsigned int max = below(m, RUN_MAX + 1);
	unsigned int count = ring_pop_run(m->ring, run, max);
	const struct slot *next;

	assert_true(count <= max);
	for (unsigned int i = 0; i < count; i++) {
		const struct ring_chain chain = { .head = run[i].head,
						  .read_count = 1,
						  .read_bytes = run[i].len };
		const struct iovec seg = { run[i].base, run[i].len };
		const struct slot *slot = &m->slot[m->slot_of[run[i].head]];

		assert_true(is_linear(slot));
		check_read(m, slot, &chain, &seg);
		note_pop(m, run[i].head, 0);
	}
	m->in_runs += count;
	if (count || !max)
		return;
	next = pop_one(m);
	assert_false(next && is_linear(next));
}

static void unpop(struct model *m)
{
	uint32_t count = below(m, 4);

	/* Those popped last have to be held still. */
	for (uint32_t i = 0; i < count; i++) {
		if (!m->held_count || !m->order_count ||
		    m->held[m->held_count - 1].head !=
			    m->order[(m->order_first + m->order_count - 1) % CHAINS_MAX])
			return;
		ring_unpop(m->ring, 1);
		m->held_count--;
		m->order_count--;
		m->popped--;
	}
}

static void push(struct model *m)
{
	uint32_t i;

	if (!m->held_count)
		return;
	i = below(m, m->held_count);
	ring_push(m->ring, m->held[i].head, m->held[i].written);
	memmove(&m->held[i], &m->held[i + 1], (m->held_count - i - 1) * sizeof(m->held[0]));
	m->held_count--;
	m->any_pushed = true;
}

/* Those into which nothing was written, from any of them on. */
static void push_run(struct model *m)
{
	uint32_t from = m->held_count ? below(m, m->held_count) : 0, left = from;
	uint16_t head[RUN_MAX];
	unsigned int count = 0;

	for (uint32_t i = from; i < m->held_count; i++) {
		if (count < RUN_MAX && !m->held[i].written)
			head[count++] = m->held[i].head;
		else
			m->held[left++] = m->held[i];
	}
	m->held_count -= count;
	if (count > 1 && !below(m, 4)) {
		uint16_t first = head[0];

		head[0] = head[count - 1];
		head[count - 1] = first;
	}
	ring_push_run(m->ring, head, count);
	m->any_pushed |= count != 0;
}

static void flush(struct model *m)
{
	/* In order nothing is shown while the oldest one is out. */
	bool shown = m->any_pushed && !(m->driver.features & IN_ORDER);
	bool interrupt = ring_flush(m->ring);

	if (m->interrupt_owed && shown)
		assert_true(interrupt);
	if (shown || interrupt)
		m->interrupt_owed = false;
	m->any_pushed = false;
}

static void device_sleeps(struct model *m)
{
	if (below(m, 2)) {
		ring_no_kick(m->ring);
		m->kick_owed = false;
		return;
	}
	m->kick_owed = !ring_want_kick(m->ring);
}

/* GET_VRING_BASE after an orderly stop, and SET_VRING_BASE. */
static void restart(struct model *m)
{
	while (m->held_count)
		push(m);
	flush(m);
	assert_int_equal(ring_in_flight(m->ring), 0);
	m->config.base = ring_base(m->ring);
	ring_destroy(m->ring);
	assert_int_equal(ring_create(&m->config, &m->ring, NULL), 0);
	assert_int_equal(ring_base(m->ring), m->config.base);
	/* Nobody is owed anything by the old one, but the first interrupt comes anyway. */
	m->kick_owed = false;
	m->interrupt_owed = false;
}

/* ---- both ---- */

static void (*const steps[])(struct model *) = {
	offer,    offer,   offer_short, publish,       publish, pop,
	pop,      pop_run, pop_run,     push,          push,    push_run,
	push_run, flush,   collect,     driver_sleeps, unpop,   device_sleeps,
};

#define STEPS         (sizeof(steps) / sizeof(steps[0]))
#define RESTART_EVERY 2000u

/* What is offered is popped, what is popped is pushed, what is pushed is collected. */
static void drain(struct model *m)
{
	publish(m);
	while (m->free_count < m->driver.size) {
		pop(m);
		push(m);
		flush(m);
		collect(m);
	}
	assert_int_equal(ring_in_flight(m->ring), 0);
	assert_int_equal(ring_fault(m->ring), RING_FAULT_NONE);
	assert_int_equal(m->popped, m->collected);
	assert_int_equal(m->driver.free_count, m->driver.size);
}

#define OPERATIONS 60000u /* of each of 24 cells: more than a million */

static void run(uint64_t features, uint32_t size, uint16_t start, bool reads_only)
{
	static const struct mock_region regions[] = {
		{ .guest_addr = 0, .bytes = LOW_BYTES },
		{ .guest_addr = LOW_BYTES, .bytes = HIGH_BYTES },
	};
	struct model *m = calloc(1, sizeof(*m));

	m->random = 0x9e3779b97f4a7c15ull + size + features;
	mock_memory_open(&m->memory, regions, 2, (struct memmap_arena){ .fd = -1 });
	mock_driver_open(&m->driver, &m->memory, size, RING_ADDR, features | VERSION_1, start);
	m->config = mock_driver_config(&m->driver);
	m->config.reads_only = reads_only;
	assert_int_equal(ring_create(&m->config, &m->ring, NULL), 0);
	for (; m->free_count < size; m->free_count++)
		m->free_slot[m->free_count] = m->free_count;
	for (unsigned int i = 0; i < OPERATIONS; i++) {
		steps[below(m, STEPS)](m);
		if (!below(m, RESTART_EVERY))
			restart(m);
	}
	drain(m);
	/* It was no idle run: the smallest ring passes one chain in 60 steps. */
	assert_true(m->collected > OPERATIONS / 80 && m->in_runs > OPERATIONS / 200);
	ring_destroy(m->ring);
	mock_driver_close(&m->driver);
	mock_memory_close(&m->memory);
	free(m);
}

static void each_combination(uint64_t layout, const uint32_t *sizes, unsigned int count,
			     uint16_t start)
{
	static const struct {
		uint64_t features;
		bool reads_only;
	} ring[] = {
		{ 0, false },
		{ EVENT_IDX | INDIRECT, false },
		{ EVENT_IDX | IN_ORDER, false },
		{ EVENT_IDX | IN_ORDER | INDIRECT, true },
	};

	for (unsigned int i = 0; i < count; i++)
		for (unsigned int k = 0; k < sizeof(ring) / sizeof(ring[0]); k++)
			run(ring[k].features | layout, sizes[i], start, ring[k].reads_only);
}

static void split_ring(void **state)
{
	static const uint32_t sizes[] = { 2, 16, 256 };

	each_combination(0, sizes, 3, 65000);
}

static void packed_ring(void **state)
{
	static const uint32_t sizes[] = { 1, 17, 300 };

	each_combination(PACKED, sizes, 3, MOCK_PLACE_FIRST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_ring),
		cmocka_unit_test(packed_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
