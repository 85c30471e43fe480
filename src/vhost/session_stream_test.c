/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes and descriptors: how they are cut, and what they must not be. Each bad
 * input has a function named after it.
 */
#include "session.h"

#include "fd.h"
#include "session_front.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct front front;

/* ---- how bytes arrive ---- */

static size_t put(uint8_t *bytes, size_t at, uint32_t request, const void *payload, uint32_t size)
{
	const uint32_t word[3] = { request, VHOST_USER_VERSION, size };

	memcpy(bytes + at, word, sizeof(word));
	memcpy(bytes + at + sizeof(word), payload, size);
	return at + sizeof(word) + size;
}

/* All that needs no descriptor, in one piece. */
static size_t many_messages(uint8_t *bytes)
{
	const uint64_t features = FRONT_FEATURES, protocol = FRONT_PROTOCOL_FEATURES;
	const struct message_vring_state num = { 0, 512 }, base = { 0, 3 }, none = { 0, 0 };
	size_t len = 0;

	len = put(bytes, len, VHOST_USER_GET_FEATURES, "", 0);
	len = put(bytes, len, VHOST_USER_SET_PROTOCOL_FEATURES, &protocol, sizeof(protocol));
	len = put(bytes, len, VHOST_USER_SET_OWNER, "", 0);
	len = put(bytes, len, VHOST_USER_SET_FEATURES, &features, sizeof(features));
	len = put(bytes, len, VHOST_USER_SET_VRING_NUM, &num, sizeof(num));
	len = put(bytes, len, VHOST_USER_SET_VRING_BASE, &base, sizeof(base));
	return put(bytes, len, VHOST_USER_GET_VRING_BASE, &none, sizeof(none));
}

static void everything_in_one_buffer(void **state)
{
	uint8_t bytes[256];
	struct message_vring_state base;

	assert_int_equal(front_bytes(&front, bytes, many_messages(bytes), NULL, 0), 0);
	assert_int_equal(front.reply_len, 2 * VHOST_USER_HEADER_BYTES + 16);
	memcpy(&base, front.reply + 2 * VHOST_USER_HEADER_BYTES + 8, sizeof(base));
	assert_int_equal(base.num, 3);
}

static void byte_at_a_time(void **state)
{
	uint8_t bytes[256];
	size_t len = many_messages(bytes), replied = 0;

	for (size_t i = 0; i < len; i++) {
		assert_true(session_want(front.session) > 0);
		assert_int_equal(front_bytes(&front, bytes + i, 1, NULL, 0), 0);
		replied += front.reply_len;
	}
	assert_int_equal(replied, 2 * VHOST_USER_HEADER_BYTES + 16);
	assert_int_equal(session_want(front.session), VHOST_USER_HEADER_BYTES);
}

/* What session_want says leads from header to payload to header. */
static void wants_what_is_missing(void **state)
{
	const uint64_t features = FRONT_FEATURES;
	uint8_t bytes[64];

	put(bytes, 0, VHOST_USER_SET_FEATURES, &features, sizeof(features));
	assert_int_equal(session_want(front.session), 12);
	assert_int_equal(front_bytes(&front, bytes, 5, NULL, 0), 0);
	assert_int_equal(session_want(front.session), 7);
	assert_int_equal(front_bytes(&front, bytes + 5, 7, NULL, 0), 0);
	assert_int_equal(session_want(front.session), 8);
	assert_int_equal(front_bytes(&front, bytes + 12, 8, NULL, 0), 0);
	assert_int_equal(session_want(front.session), 12);
	assert_int_equal(front.feature_sets, 1);
}

/* Descriptors beside any part of a message are that message's. */
static void descriptor_in_the_middle_of_the_payload(void **state)
{
	const uint64_t index = 0;
	uint8_t bytes[64];
	size_t len = put(bytes, 0, VHOST_USER_SET_VRING_KICK, &index, sizeof(index));
	int fd = gw_eventfd();

	front_connect(&front);
	assert_int_equal(front_bytes(&front, bytes, 15, NULL, 0), 0);
	assert_int_equal(front_bytes(&front, bytes + 15, 1, &fd, 1), 0);
	assert_int_equal(front_bytes(&front, bytes + 16, len - 16, NULL, 0), 0);
	assert_int_equal(front.notes, 0);
}

/* Messages behind one that waits are kept until it has been answered. */
static void input_behind_a_waiting_message(void **state)
{
	const struct message_vring_state first = { 0, 0 }, second = { 1, 0 };
	uint8_t bytes[64];
	size_t len = put(bytes, 0, VHOST_USER_GET_VRING_BASE, &first, sizeof(first));

	len = put(bytes, len, VHOST_USER_GET_VRING_BASE, &second, sizeof(second));
	front_connect_start(&front);
	front.late = true;
	assert_int_equal(front_bytes(&front, bytes, len, NULL, 0), 0);
	assert_int_equal(front.stops[1], 0);
	assert_int_equal(session_want(front.session), 0);
	assert_int_equal(front_stop_rings(&front), 0);
	assert_int_equal(front_reply_state(&front, VHOST_USER_GET_VRING_BASE).index, 0);
	front.reply_len = 0;
	assert_int_equal(front.stops[1], 1);
	assert_int_equal(front_stop_rings(&front), 0);
	assert_int_equal(front_reply_state(&front, VHOST_USER_GET_VRING_BASE).index, 1);
}

/* ---- headers ---- */

static int raw_header(uint32_t request, uint32_t flags, uint32_t size)
{
	const uint32_t word[3] = { request, flags, size };

	return front_bytes(&front, word, sizeof(word), NULL, 0);
}

static void wrong_version(void **state)
{
	front_expect_over(&front, raw_header(VHOST_USER_GET_FEATURES, 2, 0));
}

static void version_0(void **state)
{
	front_expect_over(&front, raw_header(VHOST_USER_GET_FEATURES, 0, 0));
}

static void reply_flag_from_the_peer(void **state)
{
	front_expect_over(&front, raw_header(VHOST_USER_GET_FEATURES, 5, 0));
}

static void unknown_flag(void **state)
{
	front_expect_over(&front, raw_header(VHOST_USER_GET_FEATURES, 0x11, 0));
}

static void payload_too_big(void **state)
{
	front_expect_over(&front, raw_header(VHOST_USER_SET_FEATURES, 1, 9));
}

static void payload_of_4_gib(void **state)
{
	front_expect_over(&front, raw_header(VHOST_USER_SET_MEM_TABLE, 1, UINT32_MAX));
}

static void payload_of_an_unknown_request_too_big(void **state)
{
	front_expect_over(&front, raw_header(99, 1, MESSAGE_PAYLOAD_MAX + 1));
}

static void payload_too_small(void **state)
{
	front_expect_over(&front, raw_header(VHOST_USER_SET_VRING_ADDR, 1, 8));
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

	front_expect_over(&front, front_bytes(&front, zeros, sizeof(zeros), NULL, 0));
	assert_non_null(strstr(front.err.text, "at once"));
}

static void front_end_that_takes_no_reply(void **state)
{
	front.send_ret = -EAGAIN;
	front_expect_over(&front, front_empty(&front, VHOST_USER_GET_FEATURES));
}

/* The reply that fails comes later, out of session_ring_stopped. */
static void front_end_that_takes_no_late_reply(void **state)
{
	front_connect_start(&front);
	front.late = true;
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 0, 0), 0);
	front.send_ret = -EPIPE;
	front_expect_over(&front, front_stop_rings(&front));
}

static void unknown_request(void **state)
{
	const uint64_t value = 0;

	front_connect(&front);
	front_expect_noted(&front, front_u64(&front, 99, 0));
	front_expect_noted(&front, front_u64(&front, UINT32_MAX, 0));
	front_expect_noted(&front, front_u64(&front, 0, 0));
	front_expect_refused(&front, front_ack(&front, 99, &value, 8, NULL, 0), 99);
}

static void unknown_request_with_fds(void **state)
{
	const int fds[2] = { dup(0), dup(0) };

	front_connect(&front);
	front_expect_noted(&front, front_send(&front, 99, 0, NULL, 0, fds, 2));
}

/* Acknowledgements are given only once they were negotiated. */
static void need_reply_without_negotiation(void **state)
{
	assert_int_equal(front_ack(&front, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0), 0);
	assert_int_equal(front.reply_len, 0);
}

/* ---- descriptors ---- */

static void fds_beyond_the_limit(void **state)
{
	int fds[VHOST_USER_MAX_FDS + 3];

	for (unsigned int i = 0; i < VHOST_USER_MAX_FDS + 3; i++)
		fds[i] = dup(0);
	front_expect_over(&front, front_send(&front, VHOST_USER_GET_FEATURES, 0, NULL, 0, fds,
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
	front_expect_over(&front, ret);
}

/*
 * Two descriptors beside whatever: with one region or none, no request takes as many.
 * CVE-2019-14818, and CVE-2022-0669 for the messages about in-flight areas: DPDK did not close
 * what nobody had asked for.
 */
static void extra_fds_on_any_message(void **state)
{
	static const uint8_t zeros[MESSAGE_PAYLOAD_MAX];
	static const uint16_t sizes[] = { 0, 8, 16, 20, 32, 40, 12 };

	for (uint32_t request = 1; request <= VHOST_USER_GET_STATUS; request++) {
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
	front_expect_over(&front, front_send(&front, VHOST_USER_SET_MEM_TABLE, 0, &memory,
					     8 + 2 * 32, &fd, 1));
}

/* EMFILE: the kernel dropped what came beside the message. */
static void emfile_lost_the_kick(void **state)
{
	front_connect_start(&front);
	front_expect_over(&front, front_u64(&front, VHOST_USER_SET_VRING_KICK, 0));
}

static void kick_with_fd_and_nofd(void **state)
{
	front_connect(&front);
	front_expect_over(&front, front_ring_fd(&front, VHOST_USER_SET_VRING_KICK,
						VHOST_USER_VRING_NOFD, gw_eventfd()));
}

/* A descriptor that could make a worker wait, for each use of it. */
static void fd_that_is_no_eventfd(void **state)
{
	static const uint32_t requests[] = { VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_CALL,
					     VHOST_USER_SET_VRING_ERR };
	const uint64_t index = 0;

	front_connect_start(&front);
	for (unsigned int kind = 0; kind < FRONT_OTHER_FDS; kind++)
		for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
			const int fd = front_other_fd(kind);

			front_expect_refused(&front,
					     front_ack(&front, requests[i], &index, 8, &fd, 1),
					     requests[i]);
		}
	assert_int_equal(front.fd_changes[0], 1);
	front_expect_over(&front,
			  front_ring_fd(&front, VHOST_USER_SET_VRING_KICK, 0, front_other_fd(0)));
}

/* A blocking eventfd is taken, but made non-blocking. */
static void eventfd_that_blocks(void **state)
{
	const int fd = gw_eventfd();

	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	front_connect_start(&front);
	assert_int_equal(front_ring_fd(&front, VHOST_USER_SET_VRING_CALL, 0, fd), 0);
	assert_true(fcntl(front.ring[0].call_fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(front.ring[0].call_fd, F_GETFD) & FD_CLOEXEC);
}

/* To close them may take as long as he likes: that is the owner's. */
static void fds_that_nobody_looked_at_are_the_owners_to_close(void **state)
{
	uint8_t half[VHOST_USER_HEADER_BYTES / 2] = { VHOST_USER_SET_LOG_FD };
	unsigned int before;
	int fd, fds[VHOST_USER_MAX_FDS + 2];

	front_connect(&front);
	assert_int_equal(front_memory(&front, 2, 0), 0);
	assert_int_equal(front_memory(&front, 2, 0), 0); /* the same again */
	assert_int_equal(front_memory(&front, 1, 0), 0);
	assert_int_equal(front.disposals, 0);
	for (unsigned int kind = 0; kind < FRONT_OTHER_FDS; kind++) {
		before = front.disposals;
		fd = front_other_fd(kind);
		assert_int_equal(front_send(&front, VHOST_USER_SET_LOG_FD, 0, NULL, 0, &fd, 1), 0);
		assert_int_equal(front.disposals, before + 1);
	}
	/* Part of a message, behind one whose descriptors were fine. */
	before = front.disposals;
	assert_int_equal(front_memory(&front, 2, 0), 0);
	fd = front_other_fd(0);
	assert_int_equal(front_bytes(&front, half, sizeof(half), &fd, 1), 0);
	assert_int_equal(front.disposals, before);
	for (unsigned int i = 0; i < VHOST_USER_MAX_FDS + 2; i++)
		fds[i] = front_other_fd(0);
	front_expect_over(&front, front_bytes(&front, NULL, 0, fds, VHOST_USER_MAX_FDS + 2));
	session_close(front.session);
	assert_int_equal(front.disposals, before + VHOST_USER_MAX_FDS + 4);
}

#define TEST(name) FRONT_TEST(name, front_setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(everything_in_one_buffer),
		TEST(byte_at_a_time),
		TEST(wants_what_is_missing),
		TEST(descriptor_in_the_middle_of_the_payload),
		TEST(input_behind_a_waiting_message),
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
		TEST(fds_that_nobody_looked_at_are_the_owners_to_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
