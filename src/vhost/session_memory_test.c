/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory tables, good and bad; each bad one has a function named after it. */
#include "session.h"

#include "session_front.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static struct front front;

/* ---- tables that are good ---- */

static void memory_is_plugged(void **state)
{
	struct gw_memmap *before;

	front_connect(&front);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	front_start(&front, 0);
	before = session_memmap(front.session);
	/* The same table again: nothing moves. */
	assert_int_equal(front_memory(&front, 2, VHOST_USER_NEED_REPLY), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_SET_MEM_TABLE), 0);
	assert_ptr_equal(session_memmap(front.session), before);
	assert_int_equal(front.stops[0], 0);
	/* Another one: rings stop, and go on from where they were. */
	front.late = true;
	front.stop_base[0] = 11;
	front.stop_base[1] = 22;
	assert_int_equal(front_memory(&front, 1, VHOST_USER_NEED_REPLY), 0);
	assert_true(session_busy(front.session));
	assert_int_equal(front.reply_len, 0);
	assert_int_equal(front_stop_rings(&front), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_SET_MEM_TABLE), 0);
	assert_int_equal(front.memories, 2);
	for (unsigned int i = 0; i < FRONT_RINGS; i++) {
		assert_int_equal(front.starts[i], 2);
		assert_int_equal(front.ring[i].config.base, 11 * (i + 1));
		assert_true(session_ring_running(front.session, i));
	}
	front.late = false;
}

/* Only the rings that ran start again after new memory. */
static void memory_is_plugged_with_one_ring_stopped(void **state)
{
	front_connect_start(&front);
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 0, 0), 0);
	assert_int_equal(front_memory(&front, 1, 0), 0);
	assert_false(session_ring_running(front.session, 0));
	assert_true(session_ring_running(front.session, 1));
	assert_int_equal(front.stops[0], 1);
}

static void repeated_set_mem_table(void **state)
{
	front_connect_start(&front);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(front_memory(&front, 1 + i % 2, 0), 0);
	assert_int_equal(front.memories, 21);
	assert_int_equal(front.starts[0], 21);
	assert_true(session_ring_running(front.session, 1));
}

static void memory_table_change_while_running(void **state)
{
	front_connect_start(&front);
	front.late = true;
	assert_int_equal(front_memory(&front, 1, 0), 0);
	/* Until the last ring has stopped, everything stays as it is. */
	assert_int_equal(front.memories, 1);
	front.stopping[0] = false;
	session_ring_stopped(front.session, 0, 1);
	assert_true(session_busy(front.session));
	assert_int_equal(front.memories, 1);
	assert_int_equal(front_stop_rings(&front), 0);
	assert_int_equal(front.memories, 2);
}

/* ---- tables that are not ---- */

static void refused_region(struct message_region region)
{
	struct gw_memmap *memmap;

	front_connect_start(&front);
	memmap = session_memmap(front.session);
	front_expect_refused(&front, front_regions(&front, &region, 1, VHOST_USER_NEED_REPLY),
			     VHOST_USER_SET_MEM_TABLE);
	/* The table before is in force, and the rings never noticed. */
	assert_ptr_equal(session_memmap(front.session), memmap);
	assert_int_equal(front.stops[0], 0);
	front_expect_over(&front, front_regions(&front, &region, 1, 0));
}

static void region_of_size_0(void **state)
{
	refused_region((struct message_region){ 0, 0, FRONT_USER_ADDR, 0 });
}

static void region_guest_address_overflow(void **state)
{
	refused_region((struct message_region){ UINT64_MAX - 4095, 8192, FRONT_USER_ADDR, 0 });
}

static void region_user_address_overflow(void **state)
{
	refused_region((struct message_region){ 0, 8192, UINT64_MAX - 4095, 0 });
}

static void region_offset_overflow(void **state)
{
	refused_region((struct message_region){ 0, 8192, FRONT_USER_ADDR, UINT64_MAX - 4095 });
}

static void region_larger_than_the_file(void **state)
{
	refused_region(
		(struct message_region){ 0, 2 * FRONT_REGION_BYTES + 4096, FRONT_USER_ADDR, 0 });
}

static void region_beyond_the_end_of_the_file(void **state)
{
	refused_region((struct message_region){ 0, 4096, FRONT_USER_ADDR, 2 * FRONT_REGION_BYTES });
}

static void regions_that_overlap(void **state)
{
	struct message_region regions[2] = { front_region[0], front_region[1] };

	front_connect(&front);
	regions[1].guest_addr = FRONT_REGION_BYTES - 4096;
	front_expect_refused(&front, front_regions(&front, regions, 2, VHOST_USER_NEED_REPLY),
			     VHOST_USER_SET_MEM_TABLE);
	assert_null(session_memmap(front.session));
}

static void region_count_not_matching_the_payload(void **state)
{
	struct message_memory memory = { .count = 3, .region = { front_region[0] } };
	const int fd = dup(front.memory_fd);

	front_connect(&front);
	front_expect_over(&front,
			  front_send(&front, VHOST_USER_SET_MEM_TABLE, 0, &memory, 40, &fd, 1));
}

static void region_count_that_overflows(void **state)
{
	struct message_memory memory = { .count = 1u << 27 };

	front_connect(&front);
	front_expect_over(&front,
			  front_send(&front, VHOST_USER_SET_MEM_TABLE, 0, &memory, 8, NULL, 0));
}

static void no_region_at_all(void **state)
{
	front_connect(&front);
	front_expect_refused(&front, front_memory(&front, 0, VHOST_USER_NEED_REPLY),
			     VHOST_USER_SET_MEM_TABLE);
}

static void region_that_is_no_file(void **state)
{
	struct message_memory memory = { .count = 1, .region = { front_region[0] } };

	front_connect(&front);
	for (unsigned int kind = 0; kind < FRONT_OTHER_FDS; kind++) {
		const int fd = front_other_fd(kind);

		front_expect_refused(
			&front, front_ack(&front, VHOST_USER_SET_MEM_TABLE, &memory, 40, &fd, 1),
			VHOST_USER_SET_MEM_TABLE);
	}
}

/* The new table does not have the rings in it. */
static void memory_table_without_the_running_rings(void **state)
{
	front_connect_start(&front);
	front.start_ret = -EINVAL;
	front_expect_refused(&front, front_memory(&front, 1, VHOST_USER_NEED_REPLY),
			     VHOST_USER_SET_MEM_TABLE);
	assert_false(session_ring_running(front.session, 0));
	assert_int_equal(front.memories, 2);
	/* With memory that has them, they go on. */
	front.start_ret = 0;
	assert_int_equal(front_memory(&front, 2, 0), 0);
	assert_true(session_ring_running(front.session, 0));
	front.start_ret = -EINVAL;
	front_expect_over(&front, front_memory(&front, 1, 0));
}

/* SIGBUS said so: whatever comes next, the session is over. */
static void front_end_truncates_its_memory(void **state)
{
	volatile uint8_t *byte;

	front_connect_start(&front);
	byte = memmap_translate(session_memmap(front.session), 4096, 1);
	assert_non_null(byte);
	assert_int_equal(ftruncate(front.memory_fd, 0), 0);
	assert_true(memmap_fault((void *)byte));
	assert_int_equal(*byte, 0);
	front_expect_over(&front, front_empty(&front, VHOST_USER_GET_FEATURES));
}

#define TEST(name) FRONT_TEST(name, front_setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(memory_is_plugged),
		TEST(memory_is_plugged_with_one_ring_stopped),
		TEST(repeated_set_mem_table),
		TEST(memory_table_change_while_running),
		TEST(region_of_size_0),
		TEST(region_guest_address_overflow),
		TEST(region_user_address_overflow),
		TEST(region_offset_overflow),
		TEST(region_larger_than_the_file),
		TEST(region_beyond_the_end_of_the_file),
		TEST(regions_that_overlap),
		TEST(region_count_not_matching_the_payload),
		TEST(region_count_that_overflows),
		TEST(no_region_at_all),
		TEST(region_that_is_no_file),
		TEST(memory_table_without_the_running_rings),
		TEST(front_end_truncates_its_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
