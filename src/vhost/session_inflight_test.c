/* SPDX-License-Identifier: BSD-2-Clause */
#include "session.h"

#include "fd.h"
#include "ring_record.h"
#include "session_front.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct front front;
static const struct message_inflight two_queues = { .num_queues = 2, .queue_size = 256 };

static int setup(void **state)
{
	front_open_as(&front, FRONT_FEATURES, FRONT_ALL_PROTOCOL_FEATURES, 1);
	front_connect(&front);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	return 0;
}

/* GET_INFLIGHT_FD; the descriptor is the caller's. */
static struct message_inflight get(struct message_inflight area, int *fd)
{
	struct message_inflight reply;

	assert_int_equal(front_send(&front, VHOST_USER_GET_INFLIGHT_FD, 0, &area, 24, NULL, 0), 0);
	front_reply_payload(&front, VHOST_USER_GET_INFLIGHT_FD, &reply, 24);
	*fd = dup(front.reply_fd);
	assert_true(*fd >= 0);
	return reply;
}

static int set(const struct message_inflight *area, int fd)
{
	return front_ack(&front, VHOST_USER_SET_INFLIGHT_FD, area, 24, &fd, 1);
}

static int memfd(size_t bytes)
{
	int fd = memfd_create("inflight", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static void the_area_has_records_of_no_ring(void **state)
{
	struct message_inflight area;
	struct stat st;
	uint8_t *records;
	int fd;

	area = get(two_queues, &fd);
	assert_int_equal(area.mmap_size, 2 * ring_record_bytes(256, false));
	assert_int_equal(area.mmap_offset, 0);
	assert_int_equal(area.num_queues, 2);
	assert_int_equal(area.queue_size, 256);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, area.mmap_size);
	/* Nor of ours a single page: he may ask again and again, and keep them all. */
	assert_int_equal(st.st_blocks, 0);
	assert_int_equal(ftruncate(fd, 0), -1); /* sealed */
	records = mmap(NULL, area.mmap_size, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(records, MAP_FAILED);
	/* Of no ring yet: the one that begins with it has its own base. */
	for (uint64_t i = 0; i < area.mmap_size; i++)
		assert_int_equal(records[i], 0);
	munmap(records, area.mmap_size);
	close(fd);
}

/* Rings are started with their piece of what comes back. */
static void rings_get_their_records(void **state)
{
	struct message_inflight area;
	uint8_t *first;
	int fd;

	area = get(two_queues, &fd);
	assert_int_equal(set(&area, fd), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_SET_INFLIGHT_FD), 0);
	front_start(&front, 0);
	first = front.ring[0].config.record;
	assert_non_null(first);
	assert_ptr_equal(front.ring[1].config.record, first + area.mmap_size / 2);
	first[100] = 7; /* ours to write */
}

static void without_an_area_there_is_no_record(void **state)
{
	front_start(&front, 0);
	assert_null(front.ring[0].config.record);
}

/* CVE-2020-10726: DPDK made an area for each, and kept all. */
static void repeated_get_inflight_fd(void **state)
{
	unsigned int open_fds;
	int fd;

	get(two_queues, &fd);
	close(fd);
	open_fds = front_count_fds();
	for (unsigned int i = 0; i < 100; i++) {
		get(two_queues, &fd);
		close(fd);
	}
	assert_int_equal(front_count_fds(), open_fds);
}

static void repeated_set_inflight_fd(void **state)
{
	struct message_inflight area;
	unsigned int open_fds;
	int fd;

	for (unsigned int i = 0; i < 20; i++) {
		area = get(two_queues, &fd);
		assert_int_equal(set(&area, fd), 0);
		assert_int_equal(front_reply_u64(&front, VHOST_USER_SET_INFLIGHT_FD), 0);
		if (i == 0)
			open_fds = front_count_fds();
		assert_int_equal(front_count_fds(), open_fds);
	}
}

static void inflight_set_while_a_ring_runs(void **state)
{
	struct message_inflight area;
	void *record;
	int fd, again;

	area = get(two_queues, &fd);
	again = dup(fd);
	assert_int_equal(set(&area, fd), 0);
	front_start(&front, 0);
	record = front.ring[0].config.record;
	front_expect_refused(&front, set(&area, again), VHOST_USER_SET_INFLIGHT_FD);
	assert_ptr_equal(front.ring[0].config.record, record);
}

/*
 * One field of a good area is wrong in each. CVE-2021-3839: DPDK believed the number of
 * queues.
 */
static void areas_that_cannot_be(void **state)
{
	const uint64_t bytes = 2 * ring_record_bytes(256, false);
	const struct {
		struct message_inflight area;
		uint64_t file;
	} cases[] = {
		{ { bytes, 0, 600, 256 }, bytes }, /* more queues than there are */
		{ { bytes, 0, 3, 256 }, bytes },
		{ { bytes, 0, 2, 2048 }, bytes }, /* longer than any ring */
		{ { bytes, 0, 2, 512 }, bytes },  /* descriptors not matching */
		{ { bytes, 0, 2, 0 }, bytes },
		{ { bytes, 0, 0, 256 }, bytes },
		{ { bytes - 1, 0, 2, 256 }, bytes },
		{ { 0, 0, 2, 256 }, bytes },
		{ { bytes, 0, 2, 256 }, bytes - 1 }, /* beyond the end of the file */
		{ { bytes, 4096, 2, 256 }, bytes },
		{ { bytes, INT64_MAX - 4096, 2, 256 }, bytes },
		{ { bytes, UINT64_MAX - 10, 2, 256 }, bytes },
		{ { UINT64_MAX, 0, 2, 256 }, bytes },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		front_expect_refused(&front, set(&cases[i].area, memfd(cases[i].file)),
				     VHOST_USER_SET_INFLIGHT_FD);
	for (unsigned int kind = 0; kind < FRONT_OTHER_FDS; kind++) {
		const struct message_inflight good = { bytes, 0, 2, 256 };

		front_expect_refused(&front, set(&good, front_other_fd(kind)),
				     VHOST_USER_SET_INFLIGHT_FD);
	}
	front_start(&front, 0);
	assert_null(front.ring[0].config.record);
}

static void questions_that_cannot_be(void **state)
{
	static const struct message_inflight cases[] = {
		{ 0, 0, 3, 256 },
		{ 0, 0, 65535, 256 },
		{ 0, 0, 2, 1025 },
		{ 0, 0, 2, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		front_expect_over(&front, front_send(&front, VHOST_USER_GET_INFLIGHT_FD, 0,
						     &cases[i], 24, NULL, 0));
		front_close(&front);
		setup(NULL);
	}
}

/* The layout of a record is that of its ring, so features come first. */
static void inflight_before_features(void **state)
{
	front_close(&front);
	front_open_as(&front, FRONT_FEATURES, FRONT_ALL_PROTOCOL_FEATURES, 1);
	front_connect(&front);
	front_expect_over(&front, front_send(&front, VHOST_USER_GET_INFLIGHT_FD, 0, &two_queues, 24,
					     NULL, 0));
}

/* No ring can start, and none is asked for what it needs to. */
static int forget_memory(void)
{
	int ret = 0;

	for (unsigned int i = 0; i < 2 && !ret; i++) {
		const struct message_mem_reg slot = { .region = front_region[i] };

		ret = front_send(&front, VHOST_USER_REM_MEM_REG, 0, &slot, sizeof(slot), NULL, 0);
	}
	return ret;
}

static void a_ring_that_is_longer_than_its_record(void **state)
{
	struct message_inflight area = { .num_queues = 2, .queue_size = 128 };
	const uint64_t value = 0;
	int fd, kick = gw_eventfd();

	area = get(area, &fd);
	assert_int_equal(set(&area, fd), 0);
	assert_int_equal(front_memory(&front, 2, 0), 0);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, 256), 0);
	assert_int_equal(front_addr(&front, 0, FRONT_USER_ADDR, 0), 0);
	front_expect_refused(&front,
			     front_ack(&front, VHOST_USER_SET_VRING_KICK, &value, 8, &kick, 1),
			     VHOST_USER_SET_VRING_KICK);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, 64), 0);
	assert_non_null(front.ring[0].config.record);
}

/* It was large enough for what the features were when it came. */
static void an_area_for_the_other_layout(void **state)
{
	const uint64_t packed = FRONT_FEATURES | 1ull << VIRTIO_F_RING_PACKED, value = 1;
	struct message_inflight area;
	int fd, kick;

	front_close(&front);
	front_open_as(&front, FRONT_ALL_FEATURES, FRONT_ALL_PROTOCOL_FEATURES, 1);
	front_connect(&front);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	area = get(two_queues, &fd);
	assert_int_equal(set(&area, fd), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, packed), 0);
	assert_int_equal(front_memory(&front, 2, 0), 0);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 1, 256), 0);
	assert_int_equal(front_addr(&front, 1, FRONT_USER_ADDR, 0), 0);
	kick = gw_eventfd();
	front_expect_refused(&front,
			     front_ack(&front, VHOST_USER_SET_VRING_KICK, &value, 8, &kick, 1),
			     VHOST_USER_SET_VRING_KICK);
}

/* The record is where it was: by these numbers it would come out of the area. */
static void a_run_that_ends_with_other_numbers(void **state)
{
	const uint64_t packed = FRONT_FEATURES | 1ull << VIRTIO_F_RING_PACKED;
	struct message_inflight area;
	int fd;

	for (unsigned int i = 0; i < 2; i++) {
		front_close(&front);
		front_open_as(&front, FRONT_ALL_FEATURES, FRONT_ALL_PROTOCOL_FEATURES, 1);
		front_connect(&front);
		assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
		area = get(two_queues, &fd);
		assert_int_equal(set(&area, fd), 0);
		front_start(&front, 0);
		assert_int_equal(forget_memory(), 0);
		if (i)
			assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 1, 1024), 0);
		else
			assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, packed), 0);
		assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 1, 0), 0);
		assert_int_equal(front.overs[1], 1);
		assert_ptr_equal(front.over.record, front.ring[1].config.record);
	}
}

/* Its session ends, and nothing else. */
static void front_end_truncates_the_inflight_file(void **state)
{
	const struct message_inflight area = { 2 * ring_record_bytes(256, false), 0, 2, 256 };
	int fd = memfd(area.mmap_size), mine = dup(fd);
	volatile uint8_t *record;

	assert_int_equal(set(&area, fd), 0);
	front_start(&front, 0);
	record = front.ring[1].config.record;
	assert_false(session_broken(front.session));
	assert_int_equal(ftruncate(mine, 0), 0);
	close(mine);
	assert_true(memmap_fault((void *)record));
	assert_int_equal(*record, 0);
	assert_true(session_broken(front.session));
	front_expect_over(&front, front_empty(&front, VHOST_USER_GET_FEATURES));
}

/* ---- a ring that stops without its loans ---- */

static void base_without_a_drain(void **state)
{
	static const struct {
		uint64_t without; /* protocol features */
		uint32_t request;
		bool handed;
	} cases[] = {
		{ 0, VHOST_USER_GET_VRING_BASE, false },
		{ 0, VHOST_USER_GET_VRING_BASE_SKIP_DRAIN, true },
		{ 1ull << VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN,
		  VHOST_USER_GET_VRING_BASE, true },
		{ 3ull << VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT |
			  1ull << VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN,
		  VHOST_USER_GET_VRING_BASE, false },
	};
	struct message_inflight area;
	int fd;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(front_u64(&front, VHOST_USER_SET_PROTOCOL_FEATURES,
					   front.protocol_offered & ~cases[i].without),
				 0);
		area = get(two_queues, &fd);
		assert_int_equal(set(&area, fd), 0);
		front_start(&front, 0);
		front.stop_base[0] = 5;
		assert_int_equal(front_state(&front, cases[i].request, 0, 0), 0);
		assert_int_equal(front.handed[0], cases[i].handed);
		assert_int_equal(front_reply_state(&front, cases[i].request).num, 5);
		/* What comes after it drains again. */
		assert_int_equal(front_memory(&front, 1, 0), 0);
		assert_false(front.handed[1]);
		front_close(&front);
		setup(NULL);
	}
}

/* Until it is answered, however long that takes; and not for what comes after it. */
static void base_without_a_drain_that_takes_time(void **state)
{
	struct message_inflight area;
	int fd;

	area = get(two_queues, &fd);
	assert_int_equal(set(&area, fd), 0);
	front_start(&front, 0);
	front.late = true;
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE_SKIP_DRAIN, 0, 0), 0);
	assert_true(session_busy(front.session));
	assert_true(session_hands_runs(front.session));
	assert_false(session_ends_runs(front.session));
	assert_int_equal(front_stop_rings(&front), 0);
	assert_false(session_hands_runs(front.session));
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 1, 0), 0);
	assert_false(session_hands_runs(front.session));
	assert_true(session_ends_runs(front.session));
	assert_int_equal(front_stop_rings(&front), 0);
}

/* A connection that ends meanwhile hands nothing to anybody. */
static void close_during_a_base_without_a_drain(void **state)
{
	struct message_inflight area;
	int fd;

	area = get(two_queues, &fd);
	assert_int_equal(set(&area, fd), 0);
	front_start(&front, 0);
	front.late = true;
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE_SKIP_DRAIN, 1, 0), 0);
	session_close(front.session);
	assert_false(session_hands_runs(front.session));
	assert_false(session_ends_runs(front.session));
}

/* There is nowhere to leave them. */
static void base_without_a_drain_needs_a_record(void **state)
{
	front_start(&front, 0);
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE_SKIP_DRAIN, 0, 0), 0);
	assert_false(front.handed[0]);
	front_reply_state(&front, VHOST_USER_GET_VRING_BASE_SKIP_DRAIN);
}

/* ---- when the record of a run is forgotten ---- */

/*
 * Not before the front-end has the base: of a packed ring the record alone knows it, should
 * the process die. A ring that runs, and one that memory has stopped.
 */
static void a_run_is_over_when_its_base_was_answered(void **state)
{
	static const uint32_t requests[] = { VHOST_USER_GET_VRING_BASE,
					     VHOST_USER_GET_VRING_BASE_SKIP_DRAIN };
	struct message_inflight area;
	int fd;

	for (size_t i = 0; i < 4; i++) {
		area = get(two_queues, &fd);
		assert_int_equal(set(&area, fd), 0);
		front_start(&front, 0);
		if (i < 2)
			assert_int_equal(forget_memory(), 0);
		front.stop_base[1] = 5;
		assert_int_equal(front.overs[1], 0);
		assert_int_equal(front_state(&front, requests[i % 2], 1, 0), 0);
		front_reply_state(&front, requests[i % 2]);
		assert_int_equal(front.overs[1], 1);
		assert_int_equal(front.resets[1], 0);
		assert_int_equal(front.over_reply_len, front.reply_len);
		front_close(&front);
		setup(NULL);
	}
}

static void a_base_that_cannot_be_sent_ends_no_run(void **state)
{
	front_start(&front, 0);
	front.send_ret = -EAGAIN;
	front_expect_over(&front, front_state(&front, VHOST_USER_GET_VRING_BASE, 1, 0));
	assert_int_equal(front.stops[1], 1);
	assert_int_equal(front.overs[1], 0);
	assert_false(session_ends_runs(front.session));
}

#define TEST(name) FRONT_TEST(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_area_has_records_of_no_ring),
		TEST(rings_get_their_records),
		TEST(without_an_area_there_is_no_record),
		TEST(repeated_get_inflight_fd),
		TEST(repeated_set_inflight_fd),
		TEST(inflight_set_while_a_ring_runs),
		TEST(areas_that_cannot_be),
		TEST(questions_that_cannot_be),
		TEST(inflight_before_features),
		TEST(a_ring_that_is_longer_than_its_record),
		TEST(an_area_for_the_other_layout),
		TEST(a_run_that_ends_with_other_numbers),
		TEST(front_end_truncates_the_inflight_file),
		TEST(base_without_a_drain),
		TEST(base_without_a_drain_that_takes_time),
		TEST(close_during_a_base_without_a_drain),
		TEST(base_without_a_drain_needs_a_record),
		TEST(a_run_is_over_when_its_base_was_answered),
		TEST(a_base_that_cannot_be_sent_ends_no_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
