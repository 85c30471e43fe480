/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory slots: regions that come and go one by one. */
#include "session.h"

#include "session_front.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SLOT_BYTES 4096ull

static struct front front;

static int setup(void **state)
{
	front_open_as(&front, FRONT_FEATURES, FRONT_ALL_PROTOCOL_FEATURES, 1);
	front_connect(&front);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	return 0;
}

static int mem_reg(uint32_t request, const struct message_region *region, unsigned int fd_count)
{
	const struct message_mem_reg payload = { .region = *region };
	int fd = fd_count ? dup(front.memory_fd) : -1;

	return front_ack(&front, request, &payload, sizeof(payload), &fd, fd_count);
}

static void add(const struct message_region *region)
{
	assert_int_equal(mem_reg(VHOST_USER_ADD_MEM_REG, region, 1), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_ADD_MEM_REG), 0);
}

static void rem(const struct message_region *region)
{
	assert_int_equal(mem_reg(VHOST_USER_REM_MEM_REG, region, 0), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_REM_MEM_REG), 0);
}

static void start_ring(void)
{
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, 256), 0);
	assert_int_equal(front_addr(&front, 0, FRONT_USER_ADDR, 0), 0);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0), 0);
}

static struct message_region small(unsigned int i)
{
	return (struct message_region){ FRONT_HIGH_ADDR + i * 2 * SLOT_BYTES, SLOT_BYTES,
					FRONT_USER_ADDR + FRONT_REGION_BYTES + i * 2 * SLOT_BYTES,
					FRONT_REGION_BYTES + i % 16 * SLOT_BYTES };
}

static void memory_comes_and_goes_while_a_ring_runs(void **state)
{
	add(&front_region[0]);
	start_ring();
	assert_int_equal(front.starts[0], 1);
	assert_null(memmap_translate(session_memmap(front.session), FRONT_HIGH_ADDR, 1));
	front.stop_base[0] = 33;
	front.late = true;
	assert_int_equal(mem_reg(VHOST_USER_ADD_MEM_REG, &front_region[1], 1), 0);
	assert_int_equal(front.reply_len, 0); /* not before loans are home */
	assert_int_equal(front_stop_rings(&front), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_ADD_MEM_REG), 0);
	assert_int_equal(front.starts[0], 2);
	assert_int_equal(front.ring[0].config.base, 33);
	assert_non_null(memmap_translate(session_memmap(front.session), FRONT_HIGH_ADDR, 1));
	front.late = false;
	rem(&front_region[1]);
	assert_int_equal(front.starts[0], 3);
	assert_null(memmap_translate(session_memmap(front.session), FRONT_HIGH_ADDR, 1));
}

static void the_last_region_goes(void **state)
{
	add(&front_region[0]);
	start_ring();
	rem(&front_region[0]);
	assert_null(session_memmap(front.session));
	assert_int_equal(front.memories_gone, 1);
	assert_false(session_ring_running(front.session, 0));
	add(&front_region[0]);
	assert_true(session_ring_running(front.session, 0));
}

static void a_region_that_comes_again_changes_nothing(void **state)
{
	struct gw_memmap *memmap;

	add(&front_region[0]);
	add(&front_region[1]);
	memmap = session_memmap(front.session);
	start_ring();
	add(&front_region[0]);
	assert_ptr_equal(session_memmap(front.session), memmap);
	assert_int_equal(front.stops[0], 0);
}

/* QEMU sends none; the specification has one that is of no use. The offset is ignored. */
static void rem_with_a_descriptor_and_another_offset(void **state)
{
	struct message_region region = front_region[1];

	add(&front_region[0]);
	add(&front_region[1]);
	region.mmap_offset = 0;
	assert_int_equal(mem_reg(VHOST_USER_REM_MEM_REG, &region, 1), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_REM_MEM_REG), 0);
	assert_null(memmap_translate(session_memmap(front.session), FRONT_HIGH_ADDR, 1));
}

static void rem_of_what_is_not_there(void **state)
{
	struct message_region region = front_region[0];

	front_expect_refused(&front, mem_reg(VHOST_USER_REM_MEM_REG, &region, 0),
			     VHOST_USER_REM_MEM_REG);
	add(&front_region[0]);
	region.size -= 4096;
	front_expect_refused(&front, mem_reg(VHOST_USER_REM_MEM_REG, &region, 0),
			     VHOST_USER_REM_MEM_REG);
	region = front_region[0];
	region.user_addr++;
	front_expect_refused(&front, mem_reg(VHOST_USER_REM_MEM_REG, &region, 0),
			     VHOST_USER_REM_MEM_REG);
	assert_non_null(session_memmap(front.session));
}

/* What is there stays as it was. */
static void regions_that_cannot_be_added(void **state)
{
	struct message_region cases[] = {
		{ 4096, 8192, FRONT_USER_ADDR + (1ull << 40), 0 }, /* overlaps */
		{ 1ull << 40, 0, FRONT_USER_ADDR, 0 },             /* empty */
		{ UINT64_MAX - 4096, 8192, FRONT_USER_ADDR, 0 },   /* wraps */
		{ 1ull << 40, 8192, UINT64_MAX - 4096, 0 },
		{ 1ull << 40, 8192, FRONT_USER_ADDR, 1ull << 40 }, /* beyond its file */
		{ 1ull << 40, 8192, FRONT_USER_ADDR, UINT64_MAX },
		{ 1ull << 40, 1ull << 40, FRONT_USER_ADDR, 0 },
	};
	struct gw_memmap *memmap;

	add(&front_region[0]);
	memmap = session_memmap(front.session);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		front_expect_refused(&front, mem_reg(VHOST_USER_ADD_MEM_REG, &cases[i], 1),
				     VHOST_USER_ADD_MEM_REG);
		assert_ptr_equal(session_memmap(front.session), memmap);
	}
	for (unsigned int kind = 0; kind < FRONT_OTHER_FDS; kind++) {
		const struct message_mem_reg payload = { .region = front_region[1] };
		int fd = front_other_fd(kind);

		front_expect_refused(&front,
				     front_ack(&front, VHOST_USER_ADD_MEM_REG, &payload,
					       sizeof(payload), &fd, 1),
				     VHOST_USER_ADD_MEM_REG);
	}
	front_expect_over(&front, mem_reg(VHOST_USER_ADD_MEM_REG, &front_region[1], 0));
}

static void as_many_as_there_are(void **state)
{
	struct message_region region = front_region[0];

	assert_int_equal(front_empty(&front, VHOST_USER_GET_MAX_MEM_SLOTS), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_GET_MAX_MEM_SLOTS), 509);
	add(&region);
	start_ring();
	for (unsigned int i = 1; i < 509; i++) {
		region = small(i);
		add(&region);
	}
	assert_int_equal(front.starts[0], 509);
	region = small(509);
	front_expect_refused(&front, mem_reg(VHOST_USER_ADD_MEM_REG, &region, 1),
			     VHOST_USER_ADD_MEM_REG);
	region = small(100);
	assert_non_null(memmap_translate(session_memmap(front.session), region.guest_addr, 1));
	rem(&region);
	assert_null(memmap_translate(session_memmap(front.session), region.guest_addr, 1));
	region = small(508);
	assert_non_null(memmap_translate(session_memmap(front.session), region.guest_addr, 1));
	/* A table takes the place of all of them. */
	assert_int_equal(front_memory(&front, 2, 0), 0);
	assert_int_equal(memmap_guest_bytes(session_memmap(front.session)), 2 * FRONT_REGION_BYTES);
}

#define TEST(name) FRONT_TEST(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(memory_comes_and_goes_while_a_ring_runs),
		TEST(the_last_region_goes),
		TEST(a_region_that_comes_again_changes_nothing),
		TEST(rem_with_a_descriptor_and_another_offset),
		TEST(rem_of_what_is_not_there),
		TEST(regions_that_cannot_be_added),
		TEST(as_many_as_there_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
