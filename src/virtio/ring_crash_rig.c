/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring_crash_rig.h"

#include "ring_record.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define RING_ADDR   0x1000ull
#define TABLE_ADDR  0x4000ull /* never the same one twice while a chain is out */
#define TABLE_BYTES 64u
#define TABLES      256u
#define BUFFER_ADDR 0x8000ull

/* ---- life ---- */

void crash_open(struct rig *rig, uint64_t features, uint32_t size, uint16_t start)
{
	const struct mock_region region = { .bytes = MEMORY_BYTES };

	mock_memory_open(&rig->memory, &region, 1, (struct memmap_arena){ .fd = -1 });
	rig->record =
		mmap(NULL, RECORD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(rig->record, MAP_FAILED);
	assert_true(ring_record_bytes(size, features & PACKED) <= RECORD_BYTES);
	mock_driver_open(&rig->guest.driver, &rig->memory, size, RING_ADDR, features | INDIRECT,
			 start);
}

void crash_close(struct rig *rig)
{
	mock_driver_close(&rig->guest.driver);
	munmap(rig->record, RECORD_BYTES);
	mock_memory_close(&rig->memory);
}

/* ---- the guest ---- */

static void *copy_of(const void *from, size_t bytes)
{
	void *copy = malloc(bytes);

	assert_non_null(copy);
	return memcpy(copy, from, bytes);
}

static void clone_guest(struct guest *to, const struct guest *from)
{
	const struct mock_driver *driver = &from->driver;
	size_t size = driver->size;

	*to = *from;
	to->driver.free_desc = copy_of(driver->free_desc, size * sizeof(driver->free_desc[0]));
	to->driver.chain_next = copy_of(driver->chain_next, size * sizeof(driver->chain_next[0]));
	to->driver.out = copy_of(driver->out, size * sizeof(driver->out[0]));
	if (driver->packed) {
		to->driver.desc = copy_of(driver->desc, size * sizeof(driver->desc[0]));
		to->driver.chain_len =
			copy_of(driver->chain_len, size * sizeof(driver->chain_len[0]));
		to->driver.chain_at = copy_of(driver->chain_at, size * sizeof(driver->chain_at[0]));
	}
}

bool crash_offer(struct guest *guest)
{
	unsigned int serial = guest->serial++;
	/* Most of them are what runs are made of. */
	unsigned int buffers_count = serial % 2 ? 1 : 1 + serial / 2 % 3;
	struct mock_buffer buffers[3];
	uint64_t table = TABLE_ADDR + serial % TABLES * TABLE_BYTES;
	int head;

	for (unsigned int i = 0; i < buffers_count; i++)
		buffers[i] = (struct mock_buffer){ BUFFER_ADDR + i * 0x1000u, 1 + serial, false };
	if (serial % 4 == 3)
		head = mock_chain_indirect(&guest->driver, buffers, buffers_count, 0, table);
	else
		head = mock_chain(&guest->driver, buffers, buffers_count);
	if (head < 0)
		return false;
	guest->bytes[head] = (uint64_t)buffers_count * (1 + serial);
	guest->offered[guest->count++] = (uint16_t)head;
	mock_offer(&guest->driver, (uint16_t)head);
	mock_publish(&guest->driver);
	return true;
}

void crash_collect(struct guest *guest)
{
	unsigned int i;
	uint32_t written;
	uint16_t head;

	while (mock_collect(&guest->driver, &head, &written)) {
		for (i = 0; i < guest->count && guest->offered[i] != head; i++)
			;
		if (i == guest->count)
			fail_msg("chain %u came back twice", head);
		guest->count--;
		memmove(&guest->offered[i], &guest->offered[i + 1],
			(guest->count - i) * sizeof(guest->offered[0]));
	}
}

/* ---- the device that goes on ---- */

struct ring *crash_ring(const struct rig *rig, const struct guest *guest)
{
	struct ring_config config = mock_driver_config(&guest->driver);
	struct gw_error err = { 0 };
	struct ring *ring;

	config.reads_only = true;
	/* What QEMU says after a back-end died: the used index; packed, nothing it knows. */
	config.base = guest->driver.packed ? MOCK_PLACE_FIRST | MOCK_PLACE_FIRST << 16
					   : guest->driver.used->idx;
	if (rig->based)
		config.base = MOCK_PLACE_SECOND | MOCK_PLACE_SECOND << 16;
	config.record = rig->record;
	if (ring_create(&config, &ring, &err))
		fail_msg("%s", err.text);
	return ring;
}

static void expect_pop(struct ring *ring, const struct guest *guest, uint16_t head)
{
	struct iovec seg[4];
	struct ring_chain chain;

	assert_int_equal(ring_pop(ring, &chain, seg, 4), 1);
	assert_int_equal(chain.head, head);
	assert_int_equal(chain.read_bytes, guest->bytes[head]);
}

/* All that the guest is owed, and nothing else, in its order; the next lap, too. */
static void expect_all_once(struct rig *rig, struct guest *guest)
{
	struct ring *ring = crash_ring(rig, guest);
	struct ring_chain chain;
	struct iovec seg[4];
	uint32_t again = ring_resubmitted(ring);
	bool in_order = guest->driver.features & IN_ORDER;

	if (ring_record_refused(ring))
		fail_msg("the record was refused: %s", ring_record_refused(ring));
	assert_true(again <= guest->count);
	for (unsigned int i = 0; i < guest->count; i++) {
		expect_pop(ring, guest, guest->offered[i]);
		assert_int_equal(ring_resubmit_left(ring), i < again ? again - i - 1 : 0);
	}
	assert_int_equal(ring_pop(ring, &chain, seg, 4), 0);
	/* Put back and popped once more, over the border between both kinds. */
	ring_unpop(ring, guest->count);
	for (unsigned int i = 0; i < guest->count; i++)
		expect_pop(ring, guest, guest->offered[i]);
	/* In another order; the guest looks each time, and sees none of an old batch. */
	for (unsigned int left = guest->count; left; left--) {
		assert_int_equal(guest->count, left);
		ring_push(ring, guest->offered[in_order ? 0 : left / 2], 0);
		ring_flush(ring);
		crash_collect(guest);
	}
	assert_int_equal(guest->count, 0);
	for (int i = 0; i < 6; i++) {
		assert_true(crash_offer(guest));
		expect_pop(ring, guest, guest->offered[0]);
		ring_push(ring, guest->offered[0], 0);
		ring_flush(ring);
		crash_collect(guest);
		assert_int_equal(guest->count, 0);
	}
	ring_destroy(ring);
	ring = crash_ring(rig, guest);
	assert_null(ring_record_refused(ring));
	assert_int_equal(ring_resubmitted(ring), 0);
	assert_int_equal(ring_pop(ring, &chain, seg, 4), 0);
	ring_destroy(ring);
}

void crash_look(struct rig *rig)
{
	struct guest guest;

	clone_guest(&guest, &rig->guest);
	crash_collect(&guest);
	expect_all_once(rig, &guest);
	mock_driver_close(&guest.driver);
}
