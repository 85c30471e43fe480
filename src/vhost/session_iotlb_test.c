/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest behind an IOMMU: rings at I/O addresses, misses, updates, invalidations. */
#include "session.h"

#include "session_front.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE     4096ull
#define IOVA     0xffff0000ull /* of ring 0; ring 1 lies RING_GAP above */
#define RING_GAP 0x10000ull
#define FEATURES (FRONT_FEATURES | 1ull << VIRTIO_F_ACCESS_PLATFORM)
#define RW       (VHOST_USER_IOTLB_READ | VHOST_USER_IOTLB_WRITE)

static struct front front;

static void give_channel(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	close(fds[1]);
	assert_int_equal(front_send(&front, VHOST_USER_SET_BACKEND_REQ_FD, 0, NULL, 0, fds, 1), 0);
	assert_true(front.channel_fd >= 0);
}

static int setup(void **state)
{
	front_open_as(&front, FRONT_ALL_FEATURES, FRONT_ALL_PROTOCOL_FEATURES, 1);
	front_connect(&front);
	give_channel();
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FEATURES), 0);
	assert_int_equal(front_memory(&front, 2, 0), 0);
	return 0;
}

static int iotlb_msg(uint8_t type, uint64_t iova, uint64_t size, uint64_t user, uint8_t access)
{
	const struct message_iotlb payload = { iova, size, user, access, type, { 0 } };

	return front_ack(&front, VHOST_USER_IOTLB_MSG, &payload, sizeof(payload), NULL, 0);
}

static void update(uint64_t iova, uint64_t size, uint64_t user)
{
	assert_int_equal(iotlb_msg(VHOST_USER_IOTLB_UPDATE, iova, size, user, RW), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_IOTLB_MSG), 0);
}

static void invalidate(uint64_t iova, uint64_t size)
{
	assert_int_equal(iotlb_msg(VHOST_USER_IOTLB_INVALIDATE, iova, size, 0, 0), 0);
}

/* The last question on the channel; how many there were. */
static unsigned int asked(struct message_iotlb *miss)
{
	const size_t each = VHOST_USER_HEADER_BYTES + sizeof(*miss);
	uint32_t word[3];

	assert_int_equal(front.backend_len % each, 0);
	if (front.backend_len) {
		memcpy(word, front.backend + front.backend_len - each, sizeof(word));
		memcpy(miss, front.backend + front.backend_len - sizeof(*miss), sizeof(*miss));
		assert_int_equal(word[0], VHOST_USER_BACKEND_IOTLB_MSG);
		assert_int_equal(word[1], VHOST_USER_VERSION);
		assert_int_equal(miss->type, VHOST_USER_IOTLB_MISS);
	}
	return (unsigned int)(front.backend_len / each);
}

static void set_ring(uint32_t index)
{
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, index, FRONT_RING_SIZE), 0);
	assert_int_equal(front_addr(&front, index, IOVA + index * RING_GAP, 0), 0);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, index), 0);
}

static void start_rings(void)
{
	update(IOVA, 2 * RING_GAP, FRONT_USER_ADDR);
	set_ring(0);
	set_ring(1);
	assert_true(session_ring_running(front.session, 0));
	assert_true(session_ring_running(front.session, 1));
}

/* ---- rings ---- */

static void a_ring_waits_until_its_parts_are_mapped(void **state)
{
	struct message_iotlb miss;

	set_ring(0);
	assert_int_equal(front.starts[0], 0);
	/* Descriptors, available, used: 4 KiB apart. */
	assert_int_equal(asked(&miss), 3);
	assert_int_equal(miss.iova, IOVA + 2 * PAGE);
	assert_int_equal(miss.access, VHOST_USER_IOTLB_WRITE);
	update(IOVA, PAGE, FRONT_USER_ADDR + 7 * PAGE);
	update(IOVA + PAGE, PAGE, FRONT_USER_ADDR);
	assert_int_equal(front.starts[0], 0);
	assert_int_equal(asked(&miss), 3); /* each is asked for once */
	update(IOVA + 2 * PAGE, PAGE, FRONT_USER_ADDR + PAGE);
	assert_true(session_ring_running(front.session, 0));
	assert_int_equal(front.ring[0].config.desc_addr, IOVA);
	assert_ptr_equal(front.ring[0].config.iotlb, front.iotlb);
}

/* The used ring, which has 2054 bytes, lies across two pages that are mapped one by one. */
static void a_ring_across_pages(void **state)
{
	struct message_vring_addr addr = { .desc = IOVA,
					   .avail = IOVA + 0x1000,
					   .used = IOVA + 0x2f00 };
	struct message_iotlb miss;

	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, FRONT_RING_SIZE), 0);
	assert_int_equal(
		front_send(&front, VHOST_USER_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL, 0), 0);
	update(IOVA, 3 * PAGE, FRONT_USER_ADDR);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(front.starts[0], 0);
	assert_int_equal(asked(&miss), 1);
	assert_int_equal(miss.iova, IOVA + 3 * PAGE);
	update(IOVA + 3 * PAGE, PAGE, FRONT_USER_ADDR + 3 * PAGE);
	assert_int_equal(front.starts[0], 1);
}

/* ---- invalidation ---- */

static void iotlb_invalidate_with_cached_ring_pointers(void **state)
{
	struct message_iotlb miss;

	start_rings();
	front.late = true;
	front.stop_base[1] = 44;
	/* One page of ring 1. */
	invalidate(IOVA + RING_GAP + PAGE, PAGE);
	assert_true(session_busy(front.session));
	assert_int_equal(front.reply_len, 0);
	assert_int_equal(front.stops[0], 0);
	assert_int_equal(front.stops[1], 1);
	assert_int_equal(front_stop_rings(&front), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_IOTLB_MSG), 0);
	assert_int_equal(front.stale_bytes, PAGE);
	assert_false(session_ring_running(front.session, 1));
	assert_true(session_ring_running(front.session, 0));
	assert_int_equal(asked(&miss), 1);
	assert_int_equal(miss.iova, IOVA + RING_GAP + PAGE);
	/* Mapped again: it goes on where it was. */
	update(IOVA + RING_GAP + PAGE, PAGE, FRONT_USER_ADDR + RING_GAP + PAGE);
	assert_true(session_ring_running(front.session, 1));
	assert_int_equal(front.ring[1].config.base, 44);
}

/* It has lent nothing. What it misses is asked for at once, all of it. */
static void a_receive_ring_waits_where_it_is(void **state)
{
	struct message_iotlb miss;

	start_rings();
	invalidate(IOVA, RING_GAP);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_IOTLB_MSG), 0);
	assert_int_equal(front.stale_bytes, RING_GAP);
	assert_true(session_ring_running(front.session, 0));
	assert_int_equal(front.stops[0] + front.stops[1], 0);
	assert_int_equal(asked(&miss), 3);
	assert_int_equal(miss.iova, IOVA + 2 * PAGE);
	update(IOVA, RING_GAP, FRONT_USER_ADDR);
	assert_int_equal(front.starts[0], 1);
	assert_int_equal(asked(&miss), 3);
}

/* It goes on meanwhile: who waits for the loans to come home may be the one to take them. */
static void a_receive_ring_runs_until_all_loans_are_home(void **state)
{
	unsigned int before;

	start_rings();
	before = front.iotlbs;
	front.late = true;
	invalidate(IOVA, 2 * RING_GAP);
	assert_true(front.stopping[1]);
	assert_true(session_ring_running(front.session, 0));
	assert_int_equal(front.iotlbs, before);
	assert_int_equal(front_stop_rings(&front), 0);
	assert_int_equal(front.iotlbs, before + 1);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_IOTLB_MSG), 0);
	assert_int_equal(front.stops[0], 0);
}

/* Not before the owner says that nothing is read there any more. */
static void invalidation_with_loans_out(void **state)
{
	const uint64_t buffers = 0x40000000ull;

	start_rings();
	update(buffers, 16 * PAGE, FRONT_USER_ADDR + 100 * PAGE);
	front.late_iotlb = true;
	invalidate(buffers + 3 * PAGE, 2 * PAGE);
	assert_true(session_busy(front.session));
	assert_true(front.iotlb_waits);
	assert_int_equal(front.stale_count, 1);
	assert_int_equal(front.stale_bytes, 2 * PAGE);
	assert_int_equal(front.reply_len, 0);
	assert_int_equal(front.stops[0] + front.stops[1], 0);
	session_iotlb_done(front.session);
	assert_false(session_busy(front.session));
	assert_int_equal(session_continue(front.session, &front.err), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_IOTLB_MSG), 0);
}

static void what_nobody_has_goes_at_once(void **state)
{
	start_rings();
	front.late_iotlb = true;
	front.stale_count = 77;
	invalidate(0x123000, PAGE);
	assert_false(session_busy(front.session));
	assert_int_equal(front_reply_u64(&front, VHOST_USER_IOTLB_MSG), 0);
	assert_int_equal(front.stale_count, 77);
}

/* The same I/O address, other memory: the old place is taken away. */
static void update_to_another_place(void **state)
{
	const uint64_t buffers = 0x40000000ull;

	start_rings();
	update(buffers, 4 * PAGE, FRONT_USER_ADDR + 100 * PAGE);
	front.stale_bytes = 0;
	update(buffers, 4 * PAGE, FRONT_USER_ADDR + 100 * PAGE); /* said twice */
	assert_int_equal(front.stale_bytes, 0);
	update(buffers + PAGE, PAGE, FRONT_USER_ADDR + 200 * PAGE);
	assert_int_equal(front.stale_bytes, PAGE);
	/* Less permission is as good as none. */
	assert_int_equal(iotlb_msg(VHOST_USER_IOTLB_UPDATE, buffers + 2 * PAGE, 2 * PAGE,
				   FRONT_USER_ADDR + 102 * PAGE, VHOST_USER_IOTLB_READ),
			 0);
	assert_int_equal(front.stale_bytes, 2 * PAGE);
	assert_int_equal(front.stops[0] + front.stops[1], 0);
}

static void a_ring_that_moves(void **state)
{
	start_rings();
	update(IOVA + RING_GAP, RING_GAP, FRONT_USER_ADDR + FRONT_REGION_BYTES);
	assert_int_equal(front.stops[1], 1);
	assert_int_equal(front.starts[1], 2);
	assert_int_equal(front.stops[0], 0);
}

/* QEMU tells of no invalidation while the device is stopped, and its driver is another. */
static void rings_of_a_driver_that_is_loaded_again(void **state)
{
	struct message_iotlb miss;

	start_rings();
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 0, 0), 0);
	assert_int_equal(iotlb_count(front.iotlb), 1);
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 1, 0), 0);
	assert_int_equal(iotlb_count(front.iotlb), 0);
	assert_int_equal(asked(&miss), 0);
	set_ring(0);
	assert_int_equal(front.starts[0], 1);
	assert_int_equal(asked(&miss), 3);
	update(IOVA, RING_GAP, FRONT_USER_ADDR + FRONT_REGION_BYTES);
	assert_int_equal(front.starts[0], 2);
	assert_ptr_equal(front.ring[0].config.iotlb, front.iotlb);
}

/* The front-end leaves while loans are out in what it invalidated. */
static void front_end_leaves_while_an_invalidation_waits(void **state)
{
	start_rings();
	front.late_iotlb = true;
	invalidate(IOVA + 0xf000, PAGE);
	assert_true(session_busy(front.session));
	session_close(front.session);
	session_iotlb_done(front.session); /* late, and nobody waits */
	assert_false(session_busy(front.session));
}

static void front_end_leaves_while_rings_stop_for_an_invalidation(void **state)
{
	start_rings();
	front.late = true;
	invalidate(IOVA + RING_GAP, PAGE);
	session_close(front.session);
	assert_int_equal(front.stops[0], 1);
}

/* More pieces than are told one by one. */
static void everything_at_once(void **state)
{
	start_rings();
	for (unsigned int i = 0; i < 2000; i++)
		update(0x40000000ull + i * 2 * PAGE, 16, FRONT_USER_ADDR + i * 32);
	invalidate(1, UINT64_MAX);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_IOTLB_MSG), 0);
	assert_int_equal(front.stale_count, 2);
	assert_int_equal(front.stale_bytes, 2 * FRONT_REGION_BYTES);
	assert_int_equal(iotlb_count(front.iotlb), 0);
	assert_false(session_ring_running(front.session, 1));
}

/* ---- misses ---- */

static void misses_are_asked_for_once_and_not_without_bound(void **state)
{
	struct iotlb_miss miss = { 0x50000000ull, IOTLB_READ };
	struct message_iotlb last;

	session_iotlb_miss(front.session, &miss, 1);
	miss.iova += 5; /* the same page */
	session_iotlb_miss(front.session, &miss, 1);
	assert_int_equal(asked(&last), 1);
	assert_int_equal(last.iova, 0x50000000ull);
	assert_int_equal(last.access, VHOST_USER_IOTLB_READ);
	miss.access = IOTLB_WRITE; /* more than was asked for */
	session_iotlb_miss(front.session, &miss, 1);
	assert_int_equal(asked(&last), 2);
	for (unsigned int i = 0; i < 1000; i++) {
		miss.iova += PAGE;
		session_iotlb_miss(front.session, &miss, 1);
	}
	assert_int_equal(asked(&last), 256);
	/* An answer makes room for one. */
	front.backend_len = 0;
	update(0x50000000ull, PAGE, FRONT_USER_ADDR);
	miss.iova += PAGE;
	session_iotlb_miss(front.session, &miss, 1);
	assert_true(asked(&last) >= 1);
	assert_int_equal(last.iova, miss.iova);
}

static void many_misses_are_few_writes(void **state)
{
	struct iotlb_miss miss[64];
	struct message_iotlb last;

	for (unsigned int i = 0; i < 64; i++)
		miss[i] = (struct iotlb_miss){ 0x50000000ull + i * PAGE, IOTLB_WRITE };
	session_iotlb_miss(front.session, miss, 64);
	assert_int_equal(asked(&last), 64);
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
	assert_int_equal(asked(&last), 1);
	assert_int_equal(last.iova, miss.iova);
}

/* What is missed still after many other answers is asked for again. */
static void a_forgotten_answer_is_asked_for_again(void **state)
{
	const struct iotlb_miss miss = { 0x50000000ull, IOTLB_READ };
	struct message_iotlb last;

	session_iotlb_miss(front.session, &miss, 1);
	for (unsigned int i = 0; i < 1000; i++) {
		update(0x60000000ull + i * PAGE, PAGE, FRONT_USER_ADDR);
		session_iotlb_miss(front.session, &miss, 1);
	}
	assert_in_range(asked(&last), 3, 8);
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
	give_channel();
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

	start_rings();
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
	front_expect_refused(&front, iotlb_msg(VHOST_USER_IOTLB_UPDATE, 0, PAGE, 0, RW),
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

	update(IOVA, RING_GAP, 0x1000);
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
	give_channel(); /* another one takes its place */
	assert_int_equal(front.channels, 2);
}

#define TEST(name) FRONT_TEST(name, setup)

/* No room for one more: whoever reads the oldest has to end before it is forgotten. */
static void a_table_that_is_full(void **state)
{
	for (unsigned int i = 0; i < IOTLB_RANGES_MAX; i++)
		update(2 * i * PAGE, PAGE, FRONT_USER_ADDR + (i & 1) * 2 * PAGE);
	assert_int_equal(iotlb_count(front.iotlb), IOTLB_RANGES_MAX);
	front.stale_count = 0;
	front.late_iotlb = true;
	assert_int_equal(iotlb_msg(VHOST_USER_IOTLB_UPDATE, 2 * IOTLB_RANGES_MAX * PAGE, PAGE,
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

	start_rings();
	for (unsigned int i = 1; i < IOTLB_RANGES_MAX; i++)
		update(0x40000000ull + 2 * i * PAGE, PAGE, FRONT_USER_ADDR);
	assert_int_equal(front.stops[1], 0);
	update(0x10000000ull, PAGE, FRONT_USER_ADDR);
	assert_int_equal(front.stops[0], 0);
	assert_int_equal(front.stops[1], 1);
	assert_false(session_ring_running(front.session, 1));
	assert_int_equal(asked(&miss), 6);
}

/* ---- a run that ends while its ring waits for addresses ---- */

/* Its record must not be taken for that of the run to come. */
static void a_run_ends_while_its_ring_waits(void **state)
{
	static const struct {
		uint32_t request;
		bool reset;
	} cases[] = { { VHOST_USER_GET_VRING_BASE, false }, { VHOST_USER_RESET_DEVICE, true } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start_rings();
		invalidate(IOVA + RING_GAP, PAGE);
		assert_false(session_ring_running(front.session, 1));
		assert_int_equal(front.overs[1], 0);
		if (cases[i].reset)
			assert_int_equal(front_empty(&front, cases[i].request), 0);
		else
			assert_int_equal(front_state(&front, cases[i].request, 1, 0), 0);
		assert_int_equal(front.overs[1], 1);
		assert_int_equal(front.resets[1], cases[i].reset);
		/* Once is enough. */
		assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 1, 0), 0);
		assert_int_equal(front.overs[1], 1);
		front_close(&front);
		setup(NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_ring_waits_until_its_parts_are_mapped),
		TEST(a_ring_across_pages),
		TEST(iotlb_invalidate_with_cached_ring_pointers),
		TEST(a_receive_ring_waits_where_it_is),
		TEST(a_receive_ring_runs_until_all_loans_are_home),
		TEST(a_run_ends_while_its_ring_waits),
		TEST(invalidation_with_loans_out),
		TEST(what_nobody_has_goes_at_once),
		TEST(update_to_another_place),
		TEST(a_ring_that_moves),
		TEST(rings_of_a_driver_that_is_loaded_again),
		TEST(front_end_leaves_while_an_invalidation_waits),
		TEST(front_end_leaves_while_rings_stop_for_an_invalidation),
		TEST(everything_at_once),
		TEST(misses_are_asked_for_once_and_not_without_bound),
		TEST(many_misses_are_few_writes),
		TEST(what_could_not_be_written_is_asked_for_again),
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
