/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a hostile or broken front-end sends. One function for each bad input,
 * named after it. Three outcomes: ENDS (the session is over, and stays over),
 * REFUSED (a failed REPLY_ACK, the session goes on), or nothing happens but a
 * note. That no descriptor is lost is checked after each by the fixture.
 */
#include "session.h"

#include "fd.h"
#include "session_front.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cmocka.h>

#define REQUEST_LAST VHOST_USER_GET_STATUS

static struct front front;

static int setup(void **state)
{
	front_open(&front);
	return 0;
}

static int teardown(void **state)
{
	front_close(&front);
	return 0;
}

/* The session is over, says why, and takes nothing any more. */
static void expect_over(int ret)
{
	assert_int_equal(ret, -EPROTO);
	assert_int_equal(front.err.code, -EPROTO);
	assert_true(strlen(front.err.text) > 10);
	assert_int_equal(session_want(front.session), 0);
	assert_int_equal(front_empty(&front, VHOST_USER_GET_FEATURES), -EPROTO);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_CALL, 0), -EPROTO);
	assert_int_equal(front.reply_len, 0);
}

static void expect_alive(void)
{
	assert_int_equal(front_empty(&front, VHOST_USER_GET_FEATURES), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_GET_FEATURES), FRONT_FEATURES);
}

/* The front-end asked: a failed acknowledgement, and the session goes on. */
static void expect_refused(int ret, uint32_t request)
{
	assert_int_equal(ret, 0);
	front_expect_refused(&front, request);
	assert_int_equal(front.notes, 1);
	front.notes = 0;
	expect_alive();
}

/* It did not ask, and can be lived with: a note for people. */
static void expect_noted(int ret)
{
	assert_int_equal(ret, 0);
	assert_int_equal(front.reply_len, 0);
	assert_int_equal(front.notes, 1);
	front.notes = 0;
	expect_alive();
}

static int send_ack(uint32_t request, const void *payload, uint32_t size, const int *fds,
		    unsigned int fd_count)
{
	return front_send(&front, request, VHOST_USER_NEED_REPLY, payload, size, fds, fd_count);
}

static int raw_header(uint32_t request, uint32_t flags, uint32_t size)
{
	const uint32_t word[3] = { request, flags, size };

	return front_bytes(&front, word, sizeof(word), NULL, 0);
}

static int ring_fd(uint32_t request, uint64_t value, int fd)
{
	return front_send(&front, request, 0, &value, sizeof(value), &fd, 1);
}

/* ---- the header and the stream ---- */

static void wrong_version(void **state)
{
	expect_over(raw_header(VHOST_USER_GET_FEATURES, 2, 0));
}

static void version_0(void **state)
{
	expect_over(raw_header(VHOST_USER_GET_FEATURES, 0, 0));
}

static void reply_flag_from_the_peer(void **state)
{
	expect_over(raw_header(VHOST_USER_GET_FEATURES, 5, 0));
}

static void unknown_flag(void **state)
{
	expect_over(raw_header(VHOST_USER_GET_FEATURES, 0x11, 0));
}

static void payload_too_big(void **state)
{
	expect_over(raw_header(VHOST_USER_SET_FEATURES, 1, 9));
}

static void payload_of_4_gib(void **state)
{
	expect_over(raw_header(VHOST_USER_SET_MEM_TABLE, 1, UINT32_MAX));
}

static void payload_of_an_unknown_request_too_big(void **state)
{
	expect_over(raw_header(99, 1, MESSAGE_PAYLOAD_MAX + 1));
}

static void payload_too_small(void **state)
{
	expect_over(raw_header(VHOST_USER_SET_VRING_ADDR, 1, 8));
}

/* Nothing happens until the rest is there; and if it never comes, nothing is left behind. */
static void truncated_message(void **state)
{
	const int fd = gw_eventfd();

	front_connect(&front);
	assert_int_equal(front_bytes(&front, "\x0c\0\0", 3, &fd, 1), 0);
	assert_int_equal(front.reply_len, 0);
}

static void disconnect_in_mid_message(void **state)
{
	const uint32_t word[3] = { VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, 40 };
	int fds[2] = { dup(0), dup(0) };

	front_connect_start(&front);
	assert_int_equal(front_bytes(&front, word, sizeof(word), fds, 2), 0);
	session_close(front.session);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_CALL, 0), -EPROTO);
}

static void more_bytes_than_any_message(void **state)
{
	static const uint8_t zeros[SESSION_INPUT_MAX + 1];

	expect_over(front_bytes(&front, zeros, sizeof(zeros), NULL, 0));
}

static void front_end_that_takes_no_reply(void **state)
{
	front.send_ret = -EAGAIN;
	expect_over(front_empty(&front, VHOST_USER_GET_FEATURES));
}

/* The reply that fails comes later, out of session_ring_stopped. */
static void front_end_that_takes_no_late_reply(void **state)
{
	front_connect_start(&front);
	front.late = true;
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 0, 0), 0);
	front.send_ret = -EPIPE;
	expect_over(front_stop_rings(&front));
}

static void unknown_request(void **state)
{
	const uint64_t value = 0;

	front_connect(&front);
	expect_noted(front_u64(&front, 99, 0));
	expect_noted(front_u64(&front, UINT32_MAX, 0));
	expect_noted(front_u64(&front, 0, 0));
	expect_refused(send_ack(99, &value, 8, NULL, 0), 99);
}

static void unknown_request_with_fds(void **state)
{
	const int fds[2] = { dup(0), dup(0) };

	front_connect(&front);
	expect_noted(front_send(&front, 99, 0, NULL, 0, fds, 2));
}

/* Acknowledgements are given only once they were negotiated. */
static void need_reply_without_negotiation(void **state)
{
	assert_int_equal(send_ack(VHOST_USER_SET_OWNER, NULL, 0, NULL, 0), 0);
	assert_int_equal(front.reply_len, 0);
}

/* ---- descriptors ---- */

static void fds_beyond_the_limit(void **state)
{
	int fds[VHOST_USER_MAX_FDS + 3];

	for (unsigned int i = 0; i < VHOST_USER_MAX_FDS + 3; i++)
		fds[i] = dup(0);
	expect_over(front_send(&front, VHOST_USER_GET_FEATURES, 0, NULL, 0, fds,
			       VHOST_USER_MAX_FDS + 3));
}

/* A few beside each byte: in no call too many, but in the message. */
static void fds_beyond_the_limit_byte_by_byte(void **state)
{
	const uint32_t word[3] = { VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, 40 };
	int fds[3], ret = 0;

	for (unsigned int byte = 0; byte < 3; byte++) {
		for (unsigned int i = 0; i < 3; i++)
			fds[i] = dup(0);
		assert_int_equal(ret, 0);
		ret = front_bytes(&front, (const uint8_t *)word + byte, 1, fds, 3);
	}
	expect_over(ret);
}

/* Two descriptors beside whatever: with one region or none, no request takes as many. */
static void extra_fds_on_any_message(void **state)
{
	static const uint8_t zeros[MESSAGE_PAYLOAD_MAX];
	static const uint16_t sizes[] = { 0, 8, 16, 20, 32, 40, 12 };

	for (uint32_t request = 1; request <= REQUEST_LAST; request++) {
		int ret = 0;

		/* One of these sizes is the request's; the others end the session as well. */
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			int fds[2] = { dup(0), dup(0) };

			ret = front_send(&front, request, 0, zeros, sizes[i], fds, 2);
			assert_int_equal(ret, -EPROTO);
			front_close(&front);
			front_open(&front);
		}
	}
}

static void missing_fds_on_mem_table(void **state)
{
	struct message_memory memory = { .count = 2,
					 .region = { front_region[0], front_region[1] } };
	const int fd = dup(front.memory_fd);

	front_connect(&front);
	expect_over(front_send(&front, VHOST_USER_SET_MEM_TABLE, 0, &memory, 8 + 2 * 32, &fd, 1));
}

/* EMFILE: the kernel dropped what came beside the message. */
static void emfile_lost_the_kick(void **state)
{
	front_connect_start(&front);
	expect_over(front_u64(&front, VHOST_USER_SET_VRING_KICK, 0));
}

static void kick_with_fd_and_nofd(void **state)
{
	front_connect(&front);
	expect_over(ring_fd(VHOST_USER_SET_VRING_KICK, VHOST_USER_VRING_NOFD, gw_eventfd()));
}

static int open_pipe(void)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	return fds[1];
}

static int open_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int open_file(void)
{
	return memfd_create("no eventfd", 0);
}

static int open_timer(void)
{
	return timerfd_create(CLOCK_MONOTONIC, 0);
}

static int open_epoll(void)
{
	return epoll_create1(0);
}

/* A descriptor that could make a worker wait, for each use of it. */
static void fd_that_is_no_eventfd(void **state)
{
	static int (*const open_other[])(void) = { open_pipe, open_socket, open_file, open_timer,
						   open_epoll };
	static const uint32_t requests[] = { VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_CALL,
					     VHOST_USER_SET_VRING_ERR };

	front_connect_start(&front);
	for (size_t i = 0; i < sizeof(open_other) / sizeof(open_other[0]); i++)
		for (size_t j = 0; j < sizeof(requests) / sizeof(requests[0]); j++) {
			const uint64_t index = 0;
			const int fd = open_other[i]();

			assert_true(fd >= 0);
			expect_refused(send_ack(requests[j], &index, 8, &fd, 1), requests[j]);
		}
	assert_int_equal(front.fd_changes[0], 1);
	expect_over(ring_fd(VHOST_USER_SET_VRING_KICK, 0, open_pipe()));
}

/* A blocking eventfd is taken, but made non-blocking. */
static void eventfd_that_blocks(void **state)
{
	const int fd = gw_eventfd();

	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	front_connect_start(&front);
	assert_int_equal(ring_fd(VHOST_USER_SET_VRING_CALL, 0, fd), 0);
	assert_true(fcntl(front.ring[0].call_fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(front.ring[0].call_fd, F_GETFD) & FD_CLOEXEC);
}

/* ---- order ---- */

static void message_before_set_owner(void **state)
{
	static const uint32_t requests[] = { VHOST_USER_SET_VRING_NUM, VHOST_USER_SET_VRING_BASE,
					     VHOST_USER_GET_VRING_BASE,
					     VHOST_USER_SET_VRING_ENABLE };

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		expect_over(front_state(&front, requests[i], 0, 1));
		front_close(&front);
		front_open(&front);
	}
	expect_over(front_addr(&front, 0, FRONT_USER_ADDR, 0));
	front_close(&front);
	front_open(&front);
	expect_over(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0));
}

static void mem_table_before_set_owner(void **state)
{
	expect_over(front_memory(&front, 2, 0));
	assert_int_equal(front.memories, 0);
}

static void features_that_were_not_offered(void **state)
{
	for (unsigned int bit = 0; bit < 64; bit++) {
		uint64_t features = FRONT_FEATURES | 1ull << bit;
		int ret = front_u64(&front, VHOST_USER_SET_FEATURES, features);

		assert_int_equal(ret, features == FRONT_FEATURES ? 0 : -EPROTO);
		if (!ret)
			continue;
		assert_int_equal(front.features & 1ull << bit, 0);
		front_close(&front);
		front_open(&front);
	}
}

static void protocol_features_that_were_not_offered(void **state)
{
	expect_over(front_u64(&front, VHOST_USER_SET_PROTOCOL_FEATURES,
			      1ull << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD));
}

static void features_change_while_running(void **state)
{
	const uint64_t features = FRONT_FEATURES & ~(1ull << 28);

	front_connect_start(&front);
	expect_refused(send_ack(VHOST_USER_SET_FEATURES, &features, 8, NULL, 0),
		       VHOST_USER_SET_FEATURES);
	assert_true(session_ring_running(front.session, 0));
	expect_over(front_u64(&front, VHOST_USER_SET_FEATURES, features));
}

static void rarp_and_mtu_without_negotiation(void **state)
{
	assert_int_equal(front_empty(&front, VHOST_USER_SET_OWNER), 0);
	expect_noted(front_u64(&front, VHOST_USER_SEND_RARP, 1));
	expect_noted(front_u64(&front, VHOST_USER_NET_SET_MTU, 1500));
	assert_int_equal(session_mtu(front.session), 0);
}

static void mtu_out_of_range(void **state)
{
	static const uint64_t mtus[] = { 0, 67, 65536, 1ull << 32 | 1500, UINT64_MAX };

	front_connect(&front);
	for (size_t i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++)
		expect_refused(send_ack(VHOST_USER_NET_SET_MTU, &mtus[i], 8, NULL, 0),
			       VHOST_USER_NET_SET_MTU);
	assert_int_equal(session_mtu(front.session), 0);
}

/* ---- not offered: decoded, checked, refused ---- */

static void log_base_size_plus_offset_overflow(void **state)
{
	const struct message_log log = { .size = 0x1000, .offset = UINT64_MAX - 0x7ff };
	const int fd = dup(front.memory_fd);

	front_connect(&front);
	expect_refused(send_ack(VHOST_USER_SET_LOG_BASE, &log, sizeof(log), &fd, 1),
		       VHOST_USER_SET_LOG_BASE);
	assert_non_null(strstr(front.note, "overflow"));
}

static void log_base_is_not_offered(void **state)
{
	const struct message_log log = { .size = 0x1000 };
	const int fd = dup(front.memory_fd), log_fd = dup(front.memory_fd);

	front_connect(&front);
	expect_refused(send_ack(VHOST_USER_SET_LOG_BASE, &log, sizeof(log), &fd, 1),
		       VHOST_USER_SET_LOG_BASE);
	assert_non_null(strstr(front.note, "not offered"));
	expect_noted(front_send(&front, VHOST_USER_SET_LOG_FD, 0, NULL, 0, &log_fd, 1));
}

static void get_inflight_fd(void **state)
{
	const struct message_inflight inflight = { 0, 0, 2, 256 };

	front_connect(&front);
	expect_over(front_send(&front, VHOST_USER_GET_INFLIGHT_FD, 0, &inflight, 24, NULL, 0));
}

static void repeated_get_inflight_fd(void **state)
{
	const struct message_inflight inflight = { 0, 0, 2, 256 };

	front_connect(&front);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(
			front_send(&front, VHOST_USER_GET_INFLIGHT_FD, 0, &inflight, 24, NULL, 0),
			-EPROTO);
	assert_int_equal(front.reply_len, 0);
}

static void inflight_queue_count_not_matching(void **state)
{
	const struct message_inflight inflight = { 4096, 0, 600, 256 };
	const int fd = dup(front.memory_fd);

	front_connect(&front);
	expect_refused(send_ack(VHOST_USER_SET_INFLIGHT_FD, &inflight, 24, &fd, 1),
		       VHOST_USER_SET_INFLIGHT_FD);
}

static void inflight_descriptor_count_not_matching(void **state)
{
	const struct message_inflight inflight = { 4096, 0, 2, 0 };
	const int fd = dup(front.memory_fd);

	front_connect(&front);
	expect_refused(send_ack(VHOST_USER_SET_INFLIGHT_FD, &inflight, 24, &fd, 1),
		       VHOST_USER_SET_INFLIGHT_FD);
}

/* The rings go on with the pointers they have: there is no IOTLB to be wrong. */
static void iotlb_invalidate_with_cached_ring_pointers(void **state)
{
	static const uint8_t invalidate[32] = { [25] = 3 };
	struct gw_memmap *memmap;

	front_connect_start(&front);
	memmap = session_memmap(front.session);
	expect_refused(send_ack(VHOST_USER_IOTLB_MSG, invalidate, sizeof(invalidate), NULL, 0),
		       VHOST_USER_IOTLB_MSG);
	assert_true(session_ring_running(front.session, 0));
	assert_ptr_equal(session_memmap(front.session), memmap);
	expect_over(front_send(&front, VHOST_USER_IOTLB_MSG, 0, invalidate, sizeof(invalidate),
			       NULL, 0));
}

static void get_config_is_not_offered(void **state)
{
	static const uint8_t config[12 + 8];

	front_connect(&front);
	expect_over(front_send(&front, VHOST_USER_GET_CONFIG, 0, config, sizeof(config), NULL, 0));
}

static void status_is_not_offered(void **state)
{
	front_connect(&front);
	expect_noted(front_u64(&front, VHOST_USER_SET_STATUS, 1));
	expect_over(front_empty(&front, VHOST_USER_GET_STATUS));
}

/* ---- rings ---- */

static void vring_index_above_8_bits(void **state)
{
	static const uint32_t by_state[] = { VHOST_USER_SET_VRING_NUM, VHOST_USER_SET_VRING_BASE,
					     VHOST_USER_GET_VRING_BASE,
					     VHOST_USER_SET_VRING_ENABLE };

	for (size_t i = 0; i < sizeof(by_state) / sizeof(by_state[0]); i++) {
		front_connect(&front);
		expect_over(front_state_ack(&front, by_state[i], 256, 0));
		front_close(&front);
		front_open(&front);
	}
	front_connect(&front);
	expect_over(ring_fd(VHOST_USER_SET_VRING_KICK, 0x200, gw_eventfd()));
}

static void vring_index_beyond_the_rings(void **state)
{
	static const uint32_t by_fd[] = { VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_CALL,
					  VHOST_USER_SET_VRING_ERR };

	for (size_t i = 0; i < sizeof(by_fd) / sizeof(by_fd[0]); i++) {
		front_connect(&front);
		expect_over(front_eventfd(&front, by_fd[i], 2));
		front_close(&front);
		front_open(&front);
		front_connect(&front);
		expect_over(front_u64(&front, by_fd[i], VHOST_USER_VRING_NOFD | 0xff));
		front_close(&front);
		front_open(&front);
	}
	front_connect(&front);
	expect_over(front_addr(&front, 2, FRONT_USER_ADDR, 0));
}

static void vring_num_that_cannot_be(void **state)
{
	static const uint32_t nums[] = { 0, 3, 255, 257, 1023, 2048, 65536, 1u << 31, UINT32_MAX };

	front_connect(&front);
	for (size_t i = 0; i < sizeof(nums) / sizeof(nums[0]); i++)
		expect_refused(front_state_ack(&front, VHOST_USER_SET_VRING_NUM, 0, nums[i]),
			       VHOST_USER_SET_VRING_NUM);
	expect_over(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, 3));
}

static void repeated_set_vring_num(void **state)
{
	front_connect(&front);
	for (uint32_t num = 1; num <= 1024; num *= 2)
		assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, num), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	front_start(&front, 0);
	assert_int_equal(front.ring[0].config.size, FRONT_RING_SIZE);
	expect_refused(front_state_ack(&front, VHOST_USER_SET_VRING_NUM, 0, 1024),
		       VHOST_USER_SET_VRING_NUM);
	assert_int_equal(front.ring[0].config.size, FRONT_RING_SIZE);
	expect_over(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, FRONT_RING_SIZE));
}

static void ring_address_change_while_running(void **state)
{
	const struct message_vring_addr addr = { .desc = FRONT_USER_ADDR + 0x40000,
						 .avail = FRONT_USER_ADDR + 0x41000,
						 .used = FRONT_USER_ADDR + 0x42000 };

	front_connect_start(&front);
	expect_refused(send_ack(VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0),
		       VHOST_USER_SET_VRING_ADDR);
	/* What was refused does not come into force at the next start either. */
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 0, 0), 0);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(front.ring[0].config.desc_addr, FRONT_USER_ADDR);
	expect_over(front_send(&front, VHOST_USER_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL, 0));
}

static void ring_base_change_while_running(void **state)
{
	front_connect_start(&front);
	expect_refused(front_state_ack(&front, VHOST_USER_SET_VRING_BASE, 1, 5),
		       VHOST_USER_SET_VRING_BASE);
	expect_over(front_state(&front, VHOST_USER_SET_VRING_BASE, 1, 5));
}

static void ring_base_beyond_16_bits(void **state)
{
	front_connect(&front);
	expect_refused(front_state_ack(&front, VHOST_USER_SET_VRING_BASE, 0, 65536),
		       VHOST_USER_SET_VRING_BASE);
	expect_over(front_state(&front, VHOST_USER_SET_VRING_BASE, 0, UINT32_MAX));
}

static void ring_address_misaligned(void **state)
{
	static const struct message_vring_addr addrs[] = {
		{ .desc = FRONT_USER_ADDR + 8, .avail = FRONT_USER_ADDR, .used = FRONT_USER_ADDR },
		{ .desc = FRONT_USER_ADDR, .avail = FRONT_USER_ADDR + 1, .used = FRONT_USER_ADDR },
		{ .desc = FRONT_USER_ADDR, .avail = FRONT_USER_ADDR, .used = FRONT_USER_ADDR + 2 },
		{ .flags = 2 },
	};

	front_connect(&front);
	for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++)
		expect_refused(
			send_ack(VHOST_USER_SET_VRING_ADDR, &addrs[i], sizeof(addrs[i]), NULL, 0),
			VHOST_USER_SET_VRING_ADDR);
}

static void ring_outside_guest_memory(void **state)
{
	const uint64_t index = 0;
	int fd = gw_eventfd();

	front_connect(&front);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	assert_int_equal(front_memory(&front, 2, 0), 0);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, 256), 0);
	assert_int_equal(front_addr(&front, 0, 0x1000, 0), 0);
	front.start_ret = -EINVAL; /* what ring_create says to such an address */
	expect_refused(send_ack(VHOST_USER_SET_VRING_KICK, &index, sizeof(index), &fd, 1),
		       VHOST_USER_SET_VRING_KICK);
	assert_false(session_ring_running(front.session, 0));
	expect_over(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0));
}

static void enable_with_neither_0_nor_1(void **state)
{
	front_connect(&front);
	expect_refused(front_state_ack(&front, VHOST_USER_SET_VRING_ENABLE, 0, 2),
		       VHOST_USER_SET_VRING_ENABLE);
}

/* ---- memory ---- */

static void refused_region(struct message_region region)
{
	struct gw_memmap *memmap;

	front_connect_start(&front);
	memmap = session_memmap(front.session);
	expect_refused(front_regions(&front, &region, 1, VHOST_USER_NEED_REPLY),
		       VHOST_USER_SET_MEM_TABLE);
	/* The table before is in force, and the rings never noticed. */
	assert_ptr_equal(session_memmap(front.session), memmap);
	assert_int_equal(front.stops[0], 0);
	expect_over(front_regions(&front, &region, 1, 0));
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
	expect_refused(front_regions(&front, regions, 2, VHOST_USER_NEED_REPLY),
		       VHOST_USER_SET_MEM_TABLE);
	assert_null(session_memmap(front.session));
}

static void region_count_not_matching_the_payload(void **state)
{
	struct message_memory memory = { .count = 3, .region = { front_region[0] } };
	const int fd = dup(front.memory_fd);

	front_connect(&front);
	expect_over(front_send(&front, VHOST_USER_SET_MEM_TABLE, 0, &memory, 40, &fd, 1));
}

static void region_count_that_overflows(void **state)
{
	struct message_memory memory = { .count = 1u << 27 };

	front_connect(&front);
	expect_over(front_send(&front, VHOST_USER_SET_MEM_TABLE, 0, &memory, 8, NULL, 0));
}

static void no_region_at_all(void **state)
{
	front_connect(&front);
	expect_refused(front_memory(&front, 0, VHOST_USER_NEED_REPLY), VHOST_USER_SET_MEM_TABLE);
}

static void region_that_is_no_file(void **state)
{
	struct message_memory memory = { .count = 1, .region = { front_region[0] } };
	static int (*const open_other[])(void) = { open_pipe, open_socket, open_timer, gw_eventfd };

	front_connect(&front);
	for (size_t i = 0; i < sizeof(open_other) / sizeof(open_other[0]); i++) {
		const int fd = open_other[i]();

		expect_refused(send_ack(VHOST_USER_SET_MEM_TABLE, &memory, 40, &fd, 1),
			       VHOST_USER_SET_MEM_TABLE);
	}
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

/* The new table does not have the rings in it. */
static void memory_table_without_the_running_rings(void **state)
{
	front_connect_start(&front);
	front.start_ret = -EINVAL;
	expect_refused(front_memory(&front, 1, VHOST_USER_NEED_REPLY), VHOST_USER_SET_MEM_TABLE);
	assert_false(session_ring_running(front.session, 0));
	assert_int_equal(front.memories, 2);
	/* With memory that has them, they go on. */
	front.start_ret = 0;
	assert_int_equal(front_memory(&front, 2, 0), 0);
	assert_true(session_ring_running(front.session, 0));
	front.start_ret = -EINVAL;
	expect_over(front_memory(&front, 1, 0));
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
	expect_over(front_empty(&front, VHOST_USER_GET_FEATURES));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(wrong_version),
		TEST(version_0),
		TEST(reply_flag_from_the_peer),
		TEST(unknown_flag),
		TEST(payload_too_big),
		TEST(payload_of_4_gib),
		TEST(payload_of_an_unknown_request_too_big),
		TEST(payload_too_small),
		TEST(truncated_message),
		TEST(disconnect_in_mid_message),
		TEST(more_bytes_than_any_message),
		TEST(front_end_that_takes_no_reply),
		TEST(front_end_that_takes_no_late_reply),
		TEST(unknown_request),
		TEST(unknown_request_with_fds),
		TEST(need_reply_without_negotiation),
		TEST(fds_beyond_the_limit),
		TEST(fds_beyond_the_limit_byte_by_byte),
		TEST(extra_fds_on_any_message),
		TEST(missing_fds_on_mem_table),
		TEST(emfile_lost_the_kick),
		TEST(kick_with_fd_and_nofd),
		TEST(fd_that_is_no_eventfd),
		TEST(eventfd_that_blocks),
		TEST(message_before_set_owner),
		TEST(mem_table_before_set_owner),
		TEST(features_that_were_not_offered),
		TEST(protocol_features_that_were_not_offered),
		TEST(features_change_while_running),
		TEST(rarp_and_mtu_without_negotiation),
		TEST(mtu_out_of_range),
		TEST(log_base_size_plus_offset_overflow),
		TEST(log_base_is_not_offered),
		TEST(get_inflight_fd),
		TEST(repeated_get_inflight_fd),
		TEST(inflight_queue_count_not_matching),
		TEST(inflight_descriptor_count_not_matching),
		TEST(iotlb_invalidate_with_cached_ring_pointers),
		TEST(get_config_is_not_offered),
		TEST(status_is_not_offered),
		TEST(vring_index_above_8_bits),
		TEST(vring_index_beyond_the_rings),
		TEST(vring_num_that_cannot_be),
		TEST(repeated_set_vring_num),
		TEST(ring_address_change_while_running),
		TEST(ring_base_change_while_running),
		TEST(ring_base_beyond_16_bits),
		TEST(ring_address_misaligned),
		TEST(ring_outside_guest_memory),
		TEST(enable_with_neither_0_nor_1),
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
		TEST(repeated_set_mem_table),
		TEST(memory_table_change_while_running),
		TEST(memory_table_without_the_running_rings),
		TEST(front_end_truncates_its_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
