/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a ring marks in the dirty log of a migration: used entries and indices, packed
 * descriptors, event areas; and only when it has written them.
 */
#include "ring_test_rig.h"

#include "dirty_log.h"
#include "fd.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* So large that its parts have pages of their own. */
#define SIZE      1024u
#define LOG_BYTES (RIG_END / DIRTY_LOG_PAGE_BYTES / 8)
/* Pages that are looked at one by one: all of the ring. */
#define FIRST     (RIG_RING / DIRTY_LOG_PAGE_BYTES)
#define PAGES     16u

struct logged {
	struct rig *rig;
	struct dirty_log *log;
	uint8_t *bits;
	unsigned int at; /* the next used entry, or descriptor */
};

static void begin(struct logged *l, struct rig *rig, uint64_t features)
{
	int fd = gw_memfd("dirty-log", LOG_BYTES);

	assert_true(fd >= 0);
	*l = (struct logged){ .rig = rig };
	assert_int_equal(dirty_log_create(fd, LOG_BYTES, 0, &l->log, NULL), 0);
	l->bits = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(l->bits != MAP_FAILED);
	close(fd);
	rig_open(rig, SIZE, features);
	ring_set_log(rig->ring, l->log);
}

static void end(struct logged *l)
{
	dirty_log_put(l->log);
	munmap(l->bits, LOG_BYTES);
}

/* Pages of the ring that are marked, a bit for each; takes the marks away. No others are. */
static uint32_t marked(struct logged *l)
{
	uint32_t pages = 0;

	for (unsigned int i = 0; i < LOG_BYTES * 8; i++) {
		if (!(l->bits[i / 8] >> i % 8 & 1))
			continue;
		assert_in_range(i, FIRST, FIRST + PAGES - 1);
		pages |= 1u << (i - FIRST);
	}
	memset(l->bits, 0, LOG_BYTES);
	return pages;
}

static uint32_t pages_of(uint64_t addr, uint64_t bytes)
{
	uint32_t pages = 0;

	for (uint64_t i = addr / DIRTY_LOG_PAGE_BYTES;
	     i <= (addr + bytes - 1) / DIRTY_LOG_PAGE_BYTES; i++)
		pages |= 1u << (i - FIRST);
	return pages;
}

/* Where the next count used entries lie, and what says that they are there. */
static uint32_t pages_of_used(const struct logged *l, unsigned int count)
{
	const struct mock_driver *driver = &l->rig->driver;
	uint32_t pages = l->rig->packed ? 0 : pages_of(driver->used_addr, 4);

	for (unsigned int i = 0; i < count; i++) {
		unsigned int at = (l->at + i) % SIZE;

		pages |= l->rig->packed ? pages_of(driver->desc_addr + 16 * at, 16)
					: pages_of(driver->used_addr + 4 + 8 * at, 8);
	}
	return pages;
}

static void give(struct logged *l, unsigned int count)
{
	rig_give(l->rig, count);
	ring_flush(l->rig->ring);
	rig_collect_all(l->rig);
}

/* One entry, up to the end of the ring, over it, all of it at once. */
static void used_entries_are_marked_when_they_are_shown(void **state)
{
	static const unsigned int counts[] = { 1, 250, 273, 300, 200, 700, SIZE, 400, SIZE };
	struct logged l;
	uint32_t pages;

	begin(&l, *state, EVENT_IDX);
	for (unsigned int i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		pages = pages_of_used(&l, counts[i]);
		give(&l, counts[i]);
		assert_int_equal(marked(&l), pages);
		l.at = (l.at + counts[i]) % SIZE;
	}
	end(&l);
}

static void kicks_are_marked_where_they_are_asked_for(void **state)
{
	const struct mock_driver *driver;
	struct rig *rig = *state;
	struct logged l;
	uint64_t event;

	begin(&l, rig, EVENT_IDX);
	driver = &rig->driver;
	/* Behind the used ring (section 2.7.8); or the device's event area. */
	event = rig->packed ? driver->used_addr : driver->used_addr + 4 + 8 * SIZE;
	give(&l, 1);
	ring_no_kick(rig->ring);
	marked(&l);
	ring_want_kick(rig->ring);
	assert_int_equal(marked(&l), pages_of(event, 2));
	end(&l);
}

/* The same without EVENT_IDX: flags. */
static void flags_are_marked_where_they_change(void **state)
{
	struct rig *rig = *state;
	struct logged l;

	begin(&l, rig, 0);
	ring_no_kick(rig->ring);
	assert_int_equal(marked(&l), pages_of(rig->driver.used_addr, 4));
	ring_no_kick(rig->ring);
	assert_int_equal(marked(&l), 0);
	ring_want_kick(rig->ring);
	assert_int_equal(marked(&l), pages_of(rig->driver.used_addr, 4));
	end(&l);
}

static void what_is_only_read_is_not_marked(void **state)
{
	struct rig *rig = *state;
	struct logged l;

	begin(&l, rig, EVENT_IDX);
	rig_take(rig, 3);
	assert_int_equal(marked(&l), 0);
	ring_unpop(rig->ring, 1);
	assert_int_equal(marked(&l), 0);
	end(&l);
}

static void who_has_no_log_marks_nothing(void **state)
{
	struct rig *rig = *state;
	struct logged l;

	begin(&l, rig, EVENT_IDX);
	ring_set_log(rig->ring, NULL);
	give(&l, 5);
	ring_want_kick(rig->ring);
	assert_int_equal(marked(&l), 0);
	end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(used_entries_are_marked_when_they_are_shown),
		RING_TEST(kicks_are_marked_where_they_are_asked_for),
		RING_TEST(flags_are_marked_where_they_change),
		RING_TEST(what_is_only_read_is_not_marked),
		RING_TEST(who_has_no_log_marks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
