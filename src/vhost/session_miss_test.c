/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest behind an IOMMU: what is asked for, what is refused, and a table that is full. */
#include "session.h"

#include "session_iommu_rig.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- misses ---- */

static void misses_are_asked_for_once_and_not_without_bound(void **state)
{
	struct iotlb_miss miss = { 0x50000000ull, IOTLB_READ };
	struct message_iotlb last;

	session_iotlb_miss(front.session, &miss, 1);
	miss.iova += 5; /* the same page */
	session_iotlb_miss(front.session, &miss, 1);
	assert_int_equal(iommu_asked(&last), 1);
	assert_int_equal(last.iova, 0x50000000ull);
	assert_int_equal(last.access, VHOST_USER_IOTLB_READ);
	miss.access = IOTLB_WRITE; /* more than was asked for */
	session_iotlb_miss(front.session, &miss, 1);
	assert_int_equal(iommu_asked(&last), 2);
	for (unsigned int i = 0; i < 1000; i++) {
		miss.iova += PAGE;
		session_iotlb_miss(front.session, &miss, 1);
	}
	assert_int_equal(iommu_asked(&last), 256);
	/* An answer makes room for one. */
	front.backend_len = 0;
	iommu_update(0x50000000ull, PAGE, FRONT_USER_ADDR);
	miss.iova += PAGE;
	session_iotlb_miss(front.session, &miss, 1);
	assert_true(iommu_asked(&last) >= 1);
	assert_int_equal(last.iova, miss.iova);
}

static void many_misses_are_few_writes(void **state)
{
	struct iotlb_miss miss[64];
	struct message_iotlb last;

	for (unsigned int i = 0; i < 64; i++)
		miss[i] = (struct iotlb_miss){ 0x50000000ull + i * PAGE, IOTLB_WRITE };
	session_iotlb_miss(front.session, miss, 64);
	assert_int_equal(iommu_asked(&last), 64);
	assert_int_equal(last.iova, miss[63].iova);
	assert_int_equal(front.backend_writes, 2);
	/* Nothing new: nothing is written. */
	session_iotlb_miss(front.session, miss, 64);
	session_iotlb_miss(front.session, miss, 0);
	assert_int_equal(front.backend_writes, 2);
}

/* A channel that takes nothing more: what was not asked is asked for later. */
static void what_could_not_be_written_is_asked_for_again(void **state)
{
	struct iotlb_miss miss = { 0x50000000ull, IOTLB_READ };
	struct message_iotlb last;

	front.backend_len = sizeof(front.backend);
	session_iotlb_miss(front.session, &miss, 1);
	assert_int_equal(front.backend_writes, 0);
	assert_int_equal(front.notes, 1);
	front.backend_len = 0;
	session_iotlb_miss(front.session, &miss, 1);
	assert_int_equal(iommu_asked(&last), 1);
	assert_int_equal(last.iova, miss.iova);
}

/* What was asked before an invalidation of it may be answered by what is void now. */
static void what_is_taken_away_is_asked_for_again(void **state)
{
	const struct iotlb_miss miss = { 0x50000000ull, IOTLB_READ };
	struct message_iotlb last;

	session_iotlb_miss(front.session, &miss, 1);
	iommu_invalidate(0x50001000ull, PAGE); /* beside it */
	session_iotlb_miss(front.session, &miss, 1);
	assert_int_equal(iommu_asked(&last), 1);
	iommu_invalidate(0x4ffff000ull, 2 * PAGE);
	session_iotlb_miss(front.session, &miss, 1);
	assert_int_equal(iommu_asked(&last), 2);
}

/* What is missed still after many other answers is asked for again. */
static void a_forgotten_answer_is_asked_for_again(void **state)
{
	const struct iotlb_miss miss = { 0x50000000ull, IOTLB_READ };
	struct message_iotlb last;

	session_iotlb_miss(front.session, &miss, 1);
	for (unsigned int i = 0; i < 1000; i++) {
		iommu_update(0x60000000ull + i * PAGE, PAGE, FRONT_USER_ADDR);
		session_iotlb_miss(front.session, &miss, 1);
	}
	assert_in_range(iommu_asked(&last), 3, 8);
}

static void no_channel_is_noted_once(void **state)
{
	struct iotlb_miss miss = { 0x50000000ull, IOTLB_READ };

	front_close(&front);
	front_open_as(&front, FRONT_ALL_FEATURES, FRONT_ALL_PROTOCOL_FEATURES, 1);
	front_connect(&front);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FEATURES), 0);
	for (unsigned int i = 0; i < 10; i++, miss.iova += PAGE)
		session_iotlb_miss(front.session, &miss, 1);
	assert_int_equal(front.notes, 1);
	iommu_give_channel();
	session_iotlb_miss(front.session, &miss, 1);
	assert_int_equal(front.backend_len, 44);
}

/* ---- what is refused ---- */

static void messages_that_cannot_be(void **state)
{
	static const struct message_iotlb cases[] = {
		{ 0, PAGE, FRONT_USER_ADDR, RW, 0, { 0 } },
		{ 0, PAGE, FRONT_USER_ADDR, RW, VHOST_USER_IOTLB_MISS, { 0 } },
		{ 0, PAGE, FRONT_USER_ADDR, RW, VHOST_USER_IOTLB_ACCESS_FAIL, { 0 } },
		{ 0, PAGE, FRONT_USER_ADDR, RW, 255, { 0 } },
		{ 0, 0, FRONT_USER_ADDR, RW, VHOST_USER_IOTLB_UPDATE, { 0 } },
		{ 0, 0, 0, 0, VHOST_USER_IOTLB_INVALIDATE, { 0 } },
		{ 0, PAGE, FRONT_USER_ADDR, 0, VHOST_USER_IOTLB_UPDATE, { 0 } },
		{ 0, PAGE, FRONT_USER_ADDR, 4, VHOST_USER_IOTLB_UPDATE, { 0 } },
		{ UINT64_MAX, 2, FRONT_USER_ADDR, RW, VHOST_USER_IOTLB_UPDATE, { 0 } },
		{ 0, 2, UINT64_MAX, RW, VHOST_USER_IOTLB_UPDATE, { 0 } },
		{ UINT64_MAX, 2, 0, 0, VHOST_USER_IOTLB_INVALIDATE, { 0 } },
	};

	iommu_start_rings();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		front_expect_refused(&front,
				     front_ack(&front, VHOST_USER_IOTLB_MSG, &cases[i],
					       sizeof(cases[i]), NULL, 0),
				     VHOST_USER_IOTLB_MSG);
	assert_true(session_ring_running(front.session, 0));
	front_expect_over(&front, front_send(&front, VHOST_USER_IOTLB_MSG, 0, &cases[0],
					     sizeof(cases[0]), NULL, 0));
}

static void iotlb_without_the_feature(void **state)
{
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	assert_null(front.iotlb);
	front_expect_refused(&front, iommu_msg(VHOST_USER_IOTLB_UPDATE, 0, PAGE, 0, RW),
			     VHOST_USER_IOTLB_MSG);
	/* Addresses are the front-end's again. */
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, FRONT_RING_SIZE), 0);
	assert_int_equal(front_addr(&front, 0, FRONT_USER_ADDR, 0), 0);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_true(session_ring_running(front.session, 0));
	assert_null(front.ring[0].config.iotlb);
}

/* An address that is mapped to no memory: whoever makes the ring says so. */
static void a_ring_mapped_outside_of_memory(void **state)
{
	const uint64_t value = 0;
	int fd;

	iommu_update(IOVA, RING_GAP, 0x1000);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, FRONT_RING_SIZE), 0);
	assert_int_equal(front_addr(&front, 0, IOVA, 0), 0);
	front.start_ret = -EINVAL;
	fd = front_other_fd(0);
	close(fd);
	front_expect_refused(&front,
			     front_ack(&front, VHOST_USER_SET_VRING_KICK,
				       &(uint64_t){ value | VHOST_USER_VRING_NOFD }, 8, NULL, 0),
			     VHOST_USER_SET_VRING_KICK);
	assert_int_equal(front.backend_len, 0);
}

static void a_channel_that_is_no_socket(void **state)
{
	int fds[2];

	for (unsigned int kind = 0; kind < FRONT_OTHER_FDS; kind++) {
		int fd = front_other_fd(kind);

		if (kind == 1) { /* that one is */
			close(fd);
			continue;
		}
		front_expect_refused(
			&front, front_ack(&front, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &fd, 1),
			VHOST_USER_SET_BACKEND_REQ_FD);
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
	close(fds[1]);
	front_expect_refused(&front,
			     front_ack(&front, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, fds, 1),
			     VHOST_USER_SET_BACKEND_REQ_FD);
	assert_int_equal(front.channels, 1);
	iommu_give_channel(); /* another one takes its place */
	assert_int_equal(front.channels, 2);
}

/* ---- a full table ---- */

/* No room for one more: whoever reads the oldest has to end before it is forgotten. */
static void a_table_that_is_full(void **state)
{
	for (unsigned int i = 0; i < IOTLB_RANGES_MAX; i++)
		iommu_update(2 * i * PAGE, PAGE, FRONT_USER_ADDR + (i & 1) * 2 * PAGE);
	assert_int_equal(iotlb_count(front.iotlb), IOTLB_RANGES_MAX);
	front.stale_count = 0;
	front.late_iotlb = true;
	assert_int_equal(iommu_msg(VHOST_USER_IOTLB_UPDATE, 2 * IOTLB_RANGES_MAX * PAGE, PAGE,
				   FRONT_USER_ADDR, RW),
			 0);
	assert_int_equal(iotlb_count(front.iotlb), IOTLB_RANGES_MAX);
	assert_int_equal(front.stale_count, 1);
	assert_int_equal(front.stale_bytes, PAGE);
	assert_true(session_busy(front.session));
	session_iotlb_done(front.session);
	assert_int_equal(session_continue(front.session, &front.err), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_IOTLB_MSG), 0);
}

/* What the table has no room for any more may be a ring's own place. */
static void a_table_that_gives_up_a_ring(void **state)
{
	struct message_iotlb miss;

	iommu_start_rings();
	for (unsigned int i = 1; i < IOTLB_RANGES_MAX; i++)
		iommu_update(0x40000000ull + 2 * i * PAGE, PAGE, FRONT_USER_ADDR);
	assert_int_equal(front.stops[1], 0);
	iommu_update(0x10000000ull, PAGE, FRONT_USER_ADDR);
	assert_int_equal(front.stops[0], 0);
	assert_int_equal(front.stops[1], 1);
	assert_false(session_ring_running(front.session, 1));
	assert_int_equal(iommu_asked(&miss), 6);
}

#define TEST(name) FRONT_TEST(name, iommu_setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(misses_are_asked_for_once_and_not_without_bound),
		TEST(many_misses_are_few_writes),
		TEST(what_could_not_be_written_is_asked_for_again),
		TEST(what_is_taken_away_is_asked_for_again),
		TEST(a_forgotten_answer_is_asked_for_again),
		TEST(no_channel_is_noted_once),
		TEST(a_table_that_is_full),
		TEST(a_table_that_gives_up_a_ring),
		TEST(messages_that_cannot_be),
		TEST(iotlb_without_the_feature),
		TEST(a_ring_mapped_outside_of_memory),
		TEST(a_channel_that_is_no_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
