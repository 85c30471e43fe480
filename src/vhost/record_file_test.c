/* SPDX-License-Identifier: BSD-2-Clause */
/* What a daemon finds in its file after it was killed, and when it goes on. */
#include "record_file.h"

#include "fd.h"
#include "memmap.h"
#include "mock_driver.h"
#include "record_rig.h"
#include "ring_record.h"
#include <errno.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PACKED (1ull << VIRTIO_F_RING_PACKED | 1ull << VIRTIO_F_VERSION_1)

/* ---- the run of a process that was killed ---- */

static void the_same_ring_goes_on(void **state)
{
	struct record_rig *f = *state;
	struct record_file *file;

	record_rig_die(f, NULL);
	file = record_rig_file(f);
	assert_int_equal(record_file_deaths(file), 1);
	assert_true(record_rig_continues(file, &f->config));
	record_file_close(file);
	record_rig_die(f, NULL);
	record_rig_die(f, NULL);
	file = record_rig_file(f);
	assert_int_equal(record_file_deaths(file), 3);
	assert_true(record_rig_continues(file, &f->config));
	assert_false(record_file_broken(file));
	record_file_close(file);
}

static void chains_of_a_killed_process_are_popped_again(void **state)
{
	struct record_rig *f = *state;
	struct ring_config config = f->config;
	struct record_file *file;
	struct ring_chain chain;
	struct iovec seg[2];
	struct ring *ring;
	int heads[5];
	bool known;

	record_rig_offer_five(f, heads);
	record_rig_die(f, record_rig_take_three);
	config.base = f->driver.used->idx;
	assert_int_equal(config.base, 1);

	file = record_rig_file(f);
	config.record = record_file_ring(file, 1, &config, &known, NULL);
	assert_true(known);
	assert_int_equal(ring_create(&config, &ring, NULL), 0);
	assert_int_equal(ring_resubmitted(ring), 2);
	for (int i = 0; i < 5; i++) {
		if (i == 1)
			continue;
		assert_int_equal(ring_pop(ring, &chain, seg, 2), 1);
		assert_int_equal(chain.head, heads[i]);
	}
	assert_int_equal(ring_pop(ring, &chain, seg, 2), 0);
	ring_destroy(ring);
	record_file_close(file);
}

/* ---- what is not the same ---- */

static void another_ring_begins_anew(void **state)
{
	struct record_rig *f = *state;
	struct ring_config config;
	struct record_file *file;

	for (int i = 0; i < 5; i++) {
		record_rig_die(f, NULL);
		config = f->config;
		switch (i) {
		case 0:
			config.size /= 2;
			break;
		case 1:
			config.features = PACKED;
			break;
		case 2:
			config.desc_addr += 16;
			break;
		case 3:
			config.avail_addr += 16;
			break;
		default:
			config.used_addr += 16;
		}
		file = record_rig_file(f);
		assert_false(record_rig_continues(file, &config));
		record_file_close(file);
		/* And that one is what is there now. */
		file = record_rig_file(f);
		assert_true(record_rig_continues(file, &config));
		assert_false(record_rig_continues(file, &f->config));
		record_file_close(file);
	}
}

/* QEMU was started anew: the same addresses, other files. */
static void another_guest_begins_anew(void **state)
{
	static const struct mock_region region = { .bytes = RECORD_RIG_MEMORY };
	struct record_rig *f = *state;
	struct ring_config config = f->config;
	struct mock_memory memory;
	struct record_file *file;

	record_rig_die(f, NULL);
	mock_memory_open(&memory, &region, 1, (struct memmap_arena){ .fd = -1 });
	config.memmap = memory.memmap;
	file = record_rig_file(f);
	assert_false(record_rig_continues(file, &config));
	record_file_close(file);
	mock_memory_close(&memory);
}

/* Memory was plugged in while nobody was there; the table has another order now. */
static void more_memory_is_the_same_guest(void **state)
{
	struct record_rig *f = *state;
	struct ring_config config = f->config;
	struct memmap_region table[] = {
		{ .guest_addr = 1ull << 32, .user_addr = 1ull << 32, .size = RECORD_RIG_MEMORY },
		{ .user_addr = MOCK_USER_OFFSET, .size = RECORD_RIG_MEMORY },
	};
	struct record_file *file;

	record_rig_die(f, NULL);
	table[0].fd = gw_memfd("dimm", RECORD_RIG_MEMORY);
	table[1].fd = f->memory.region[0].fd;
	assert_int_equal(
		memmap_create(table, 2, (struct memmap_arena){ .fd = -1 }, &config.memmap, NULL),
		0);
	file = record_rig_file(f);
	assert_true(record_rig_continues(file, &config));
	record_file_close(file);
	memmap_put(config.memmap);
	gw_fd_close(&table[0].fd);
}

/* ---- good order ---- */

static void a_run_that_was_ended_does_not_go_on(void **state)
{
	struct record_rig *f = *state;
	struct record_file *file = record_rig_file(f);
	char path[256];

	assert_false(record_rig_continues(file, &f->config));
	record_file_ring_stopped(file, 1);
	assert_false(record_rig_continues(file, &f->config));
	record_file_ring_stopped(file, 1);
	record_file_ring_stopped(file, RECORD_RIG_RINGS);
	record_file_close(file);
	assert_false(record_rig_find(f, path, sizeof(path)));
	record_file_close(NULL);
}

/* The daemon stops, the guest goes on: a packed ring's place is needed, nobody died. */
static void a_run_outlives_the_daemon_in_good_order(void **state)
{
	struct record_rig *f = *state;
	struct record_file *file = record_rig_file(f);

	assert_false(record_rig_continues(file, &f->config));
	record_file_close(file);
	file = record_rig_file(f);
	assert_int_equal(record_file_deaths(file), 0);
	assert_true(record_rig_continues(file, &f->config));
	record_file_close(file);
}

/* It stops before the guest has come again; or serves another ring of it only. */
static void a_run_waits_for_its_guest(void **state)
{
	struct record_rig *f = *state;
	struct record_file *file;
	char path[256];

	record_rig_die(f, NULL);
	for (unsigned int i = 0; i < 2; i++) {
		file = record_rig_file(f);
		if (i)
			record_file_ring_stopped(file, 0);
		record_file_close(file);
		assert_true(record_rig_find(f, path, sizeof(path)));
	}
	file = record_rig_file(f);
	assert_true(record_rig_continues(file, &f->config));
	record_file_close(file);
}

static void two_daemons_do_not_share(void **state)
{
	struct record_rig *f = *state;
	struct record_file *file = record_rig_file(f), *other;
	struct gw_error err;

	assert_int_equal(
		record_file_open(f->dir_fd, RECORD_RIG_SOCKET, RECORD_RIG_RINGS, &other, &err),
		-EBUSY);
	assert_non_null(strstr(err.text, "guest_a.sock-"));
	/* The same last name elsewhere. */
	assert_int_equal(
		record_file_open(f->dir_fd, "/run/guest a.sock", RECORD_RIG_RINGS, &other, NULL),
		0);
	record_file_close(other);
	assert_int_equal(
		record_file_open(f->dir_fd, "guest a.sock", RECORD_RIG_RINGS, &other, NULL), 0);
	record_file_close(other);
	record_file_close(file);
}

static void rings_beyond_are_refused(void **state)
{
	struct record_rig *f = *state;
	struct record_file *file, *none;
	struct gw_error err;
	bool known;

	assert_int_equal(record_file_open(f->dir_fd, RECORD_RIG_SOCKET, 0, &none, &err), -EINVAL);
	assert_int_equal(record_file_open(f->dir_fd, RECORD_RIG_SOCKET, RECORD_FILE_RINGS_MAX + 1,
					  &none, &err),
			 -EINVAL);
	file = record_rig_file(f);
	assert_null(record_file_ring(file, RECORD_RIG_RINGS, &f->config, &known, &err));
	assert_non_null(record_file_ring(file, RECORD_RIG_RINGS - 1, &f->config, &known, &err));
	record_file_close(file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, record_rig_setup, record_rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_same_ring_goes_on),
		TEST(chains_of_a_killed_process_are_popped_again),
		TEST(another_ring_begins_anew),
		TEST(another_guest_begins_anew),
		TEST(more_memory_is_the_same_guest),
		TEST(a_run_that_was_ended_does_not_go_on),
		TEST(a_run_outlives_the_daemon_in_good_order),
		TEST(a_run_waits_for_its_guest),
		TEST(two_daemons_do_not_share),
		TEST(rings_beyond_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
