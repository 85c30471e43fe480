/* SPDX-License-Identifier: BSD-2-Clause */
#include "message.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define REQUEST_LAST VHOST_USER_GET_VRING_BASE_SKIP_DRAIN

static int header(uint32_t request, uint32_t flags, uint32_t size, struct message *message,
		  uint32_t *payload_bytes)
{
	const uint32_t word[3] = { request, flags, size };
	uint8_t bytes[VHOST_USER_HEADER_BYTES];

	memset(message, 0, sizeof(*message));
	memcpy(bytes, word, sizeof(bytes));
	return message_decode_header(bytes, message, payload_bytes, NULL);
}

/* Header and payload; the descriptors are numbers that nobody uses. */
static int decode(uint32_t request, const void *payload, uint32_t size, unsigned int fd_count,
		  struct message *message)
{
	uint32_t payload_bytes;
	int ret = header(request, VHOST_USER_VERSION, size, message, &payload_bytes);

	if (ret)
		return ret;
	message->fd_count = fd_count;
	return message_decode_payload(message, payload, NULL);
}

static void every_request_has_a_name(void **state)
{
	for (uint32_t request = 1; request <= REQUEST_LAST; request++)
		assert_non_null(message_name(request));
	assert_null(message_name(0));
	assert_null(message_name(REQUEST_LAST + 1));
	assert_null(message_name(UINT32_MAX));
	assert_string_equal(message_name(VHOST_USER_SET_MEM_TABLE), "SET_MEM_TABLE");
}

static void own_replies(void **state)
{
	assert_true(message_has_reply(VHOST_USER_GET_FEATURES));
	assert_true(message_has_reply(VHOST_USER_GET_VRING_BASE));
	assert_false(message_has_reply(VHOST_USER_SET_MEM_TABLE));
	assert_false(message_has_reply(UINT32_MAX));
}

static void flags(void **state)
{
	struct message message;
	uint32_t size;

	assert_int_equal(header(VHOST_USER_GET_FEATURES, 0x1, 0, &message, &size), 0);
	assert_false(message.need_reply);
	assert_int_equal(header(VHOST_USER_GET_FEATURES, 0x9, 0, &message, &size), 0);
	assert_true(message.need_reply);
	for (uint32_t bit = 0; bit < 32; bit++)
		if (bit != 3)
			assert_int_equal(header(VHOST_USER_GET_FEATURES, 0x1 ^ 1u << bit, 0,
						&message, &size),
					 -EPROTO);
}

/* For each request: one byte below and above its payload's bounds is not waited for. */
static void payload_sizes(void **state)
{
	struct message message;
	uint32_t size, good = 0;

	for (uint32_t request = 1; request <= REQUEST_LAST; request++) {
		uint32_t taken = 0;

		for (size = 0; size <= 2 * MESSAGE_PAYLOAD_MAX; size++) {
			uint32_t payload_bytes = ~0u;
			int ret =
				header(request, VHOST_USER_VERSION, size, &message, &payload_bytes);

			assert_true(ret == 0 || ret == -EPROTO);
			assert_true(ret || (payload_bytes == size && size <= MESSAGE_PAYLOAD_MAX));
			taken += !ret;
		}
		assert_true(taken > 0);
		good += taken == 1;
		assert_int_equal(header(request, VHOST_USER_VERSION, UINT32_MAX, &message, &size),
				 -EPROTO);
	}
	assert_true(good > 25); /* most have exactly one size */
}

static void unknown_request(void **state)
{
	struct message message;
	uint32_t size;

	assert_int_equal(header(77, VHOST_USER_VERSION, 8, &message, &size), -EOPNOTSUPP);
	assert_int_equal(size, 8);
	assert_int_equal(message.request, 77);
	assert_int_equal(header(77, VHOST_USER_VERSION, MESSAGE_PAYLOAD_MAX + 1, &message, &size),
			 -EPROTO);
	assert_int_equal(header(77, 2, 8, &message, &size), -EPROTO);
}

static void vring_fd(void **state)
{
	static const struct {
		uint64_t value;
		unsigned int fds;
		int ret;
	} cases[] = {
		{ 0x0, 1, 0 },
		{ 0xff, 1, 0 },
		{ 0x100, 0, 0 },
		{ 0x1, 0, -EPROTO },
		{ 0x101, 1, -EPROTO },
		{ 0x200, 1, -EPROTO },
		{ 0x1, 2, -EPROTO },
		{ 1ull << 63, 1, -EPROTO },
		{ 1ull << 32, 1, -EPROTO },
	};
	struct message message;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(decode(VHOST_USER_SET_VRING_KICK, &cases[i].value, 8, cases[i].fds,
					&message),
				 cases[i].ret);
}

static void memory_table(void **state)
{
	struct message_memory memory = {
		.count = 2, .region = { { 0, 4096, 1 << 20, 0 }, { 4096, 4096, 2 << 20, 4096 } }
	};
	struct message message;
	const uint32_t two = 8 + 2 * 32;

	assert_int_equal(decode(VHOST_USER_SET_MEM_TABLE, &memory, two, 2, &message), 0);
	assert_int_equal(message.payload.memory.region[1].guest_addr, 4096);
	assert_int_equal(decode(VHOST_USER_SET_MEM_TABLE, &memory, two, 1, &message), -EPROTO);
	assert_int_equal(decode(VHOST_USER_SET_MEM_TABLE, &memory, two, 3, &message), -EPROTO);
	assert_int_equal(decode(VHOST_USER_SET_MEM_TABLE, &memory, two - 1, 2, &message), -EPROTO);
	assert_int_equal(decode(VHOST_USER_SET_MEM_TABLE, &memory, two + 32, 2, &message), -EPROTO);
	memory.count = UINT32_MAX;
	assert_int_equal(decode(VHOST_USER_SET_MEM_TABLE, &memory, two, 2, &message), -EPROTO);
	memory.count = 1u << 27; /* times 32 is 0 in 32 bits */
	assert_int_equal(decode(VHOST_USER_SET_MEM_TABLE, &memory, 8, 0, &message), -EPROTO);
	memory.count = 0;
	assert_int_equal(decode(VHOST_USER_SET_MEM_TABLE, &memory, 8, 0, &message), -EINVAL);
}

static void regions(void **state)
{
	static const struct {
		struct message_region region;
		int ret;
	} cases[] = {
		{ { 0, 1, 0, 0 }, 0 },
		{ { UINT64_MAX, 1, UINT64_MAX, 0 }, 0 },
		{ { 0, 0, 0, 0 }, -EINVAL },
		{ { UINT64_MAX, 2, 0, 0 }, -EINVAL },
		{ { 0, 2, UINT64_MAX, 0 }, -EINVAL },
		{ { 0, 1ull << 63, 0, 0 }, -EINVAL },
		{ { 0, UINT64_MAX, 0, 0 }, -EINVAL },
		{ { 0, 2, 0, INT64_MAX - 1 }, -EINVAL },
		{ { 0, 2, 0, UINT64_MAX }, -EINVAL },
		{ { 0, 4096, 0, INT64_MAX - 4096 }, 0 },
	};
	struct message message;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct message_memory memory = { .count = 1, .region = { cases[i].region } };
		struct message_mem_reg mem_reg = { .region = cases[i].region };

		assert_int_equal(decode(VHOST_USER_SET_MEM_TABLE, &memory, 40, 1, &message),
				 cases[i].ret);
		assert_int_equal(decode(VHOST_USER_ADD_MEM_REG, &mem_reg, 40, 1, &message),
				 cases[i].ret);
	}
}

static void log_area(void **state)
{
	struct message_log log = { 4096, 4096 };
	struct message message;

	assert_int_equal(decode(VHOST_USER_SET_LOG_BASE, &log, 16, 1, &message), 0);
	assert_int_equal(decode(VHOST_USER_SET_LOG_BASE, &log, 8, 0, &message), 0);
	assert_int_equal(decode(VHOST_USER_SET_LOG_BASE, &log, 12, 1, &message), -EPROTO);
	log.offset = UINT64_MAX - 100;
	assert_int_equal(decode(VHOST_USER_SET_LOG_BASE, &log, 16, 1, &message), -EINVAL);
	log = (struct message_log){ UINT64_MAX, 1 };
	assert_int_equal(decode(VHOST_USER_SET_LOG_BASE, &log, 16, 1, &message), -EINVAL);
}

static void inflight_area(void **state)
{
	struct message_inflight inflight = { 4096, 0, 2, 256 };
	struct message message;

	assert_int_equal(decode(VHOST_USER_SET_INFLIGHT_FD, &inflight, 24, 1, &message), 0);
	assert_int_equal(decode(VHOST_USER_SET_INFLIGHT_FD, &inflight, 20, 1, &message), 0);
	assert_int_equal(decode(VHOST_USER_SET_INFLIGHT_FD, &inflight, 24, 0, &message), -EPROTO);
	inflight.mmap_offset = UINT64_MAX;
	assert_int_equal(decode(VHOST_USER_SET_INFLIGHT_FD, &inflight, 24, 1, &message), -EINVAL);
	inflight = (struct message_inflight){ 0, 0, 0, 256 };
	assert_int_equal(decode(VHOST_USER_GET_INFLIGHT_FD, &inflight, 24, 0, &message), -EINVAL);
	inflight = (struct message_inflight){ 0, 0, 2, 0 };
	assert_int_equal(decode(VHOST_USER_GET_INFLIGHT_FD, &inflight, 24, 0, &message), -EINVAL);
}

static void config_space(void **state)
{
	struct message_config config = { .offset = 4, .size = 2 };
	struct message message;

	assert_int_equal(decode(VHOST_USER_GET_CONFIG, &config, 14, 0, &message), 0);
	assert_int_equal(decode(VHOST_USER_SET_CONFIG, &config, 14, 0, &message), 0);
	assert_int_equal(decode(VHOST_USER_GET_CONFIG, &config, 14, 1, &message), -EPROTO);
	assert_int_equal(decode(VHOST_USER_GET_CONFIG, &config, 12, 0, &message), -EPROTO);
	assert_int_equal(decode(VHOST_USER_GET_CONFIG, &config, 15, 0, &message), -EPROTO);
	config.size = UINT32_MAX;
	assert_int_equal(decode(VHOST_USER_SET_CONFIG, &config, 14, 0, &message), -EPROTO);
	config.size = 256;
	assert_int_equal(decode(VHOST_USER_GET_CONFIG, &config, 268, 0, &message), 0);
}

/* For each request that takes descriptors, or none: how many. */
static void descriptor_counts(void **state)
{
	static const struct {
		uint32_t request, size;
		unsigned int fds;
	} cases[] = {
		{ VHOST_USER_SET_LOG_FD, 0, 1 },
		{ VHOST_USER_SET_BACKEND_REQ_FD, 0, 1 },
		{ VHOST_USER_IOTLB_MSG, 32, 0 },
		{ VHOST_USER_SET_DEVICE_STATE_FD, 8, 1 },
		{ VHOST_USER_CHECK_DEVICE_STATE, 0, 0 },
		{ VHOST_USER_SET_STATUS, 8, 0 },
		{ VHOST_USER_GET_STATUS, 0, 0 },
		{ VHOST_USER_RESET_DEVICE, 0, 0 },
		{ VHOST_USER_GET_MAX_MEM_SLOTS, 0, 0 },
		{ VHOST_USER_SEND_RARP, 8, 0 },
		{ VHOST_USER_NET_SET_MTU, 8, 0 },
		{ VHOST_USER_GET_VRING_BASE_SKIP_DRAIN, 8, 0 },
		{ VHOST_USER_GET_SHARED_OBJECT, 16, 0 },
		{ VHOST_USER_POSTCOPY_ADVISE, 0, 0 },
	};
	static const uint8_t payload[64];
	struct message message;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (unsigned int fds = 0; fds <= VHOST_USER_MAX_FDS; fds++)
			assert_int_equal(
				decode(cases[i].request, payload, cases[i].size, fds, &message),
				fds == cases[i].fds ? 0 : -EPROTO);
}

/* What a shorter payload leaves open is zero, not what the message before left there. */
static void short_payload_is_zero_filled(void **state)
{
	struct message message;
	uint64_t value = 5;

	memset(&message, 0xff, sizeof(message));
	message.request = VHOST_USER_SET_FEATURES;
	message.size = 8;
	message.fd_count = 0;
	assert_int_equal(message_decode_payload(&message, (uint8_t *)&value, NULL), 0);
	assert_int_equal(message.payload.u64, 5);
	for (size_t i = 8; i < MESSAGE_PAYLOAD_MAX; i++)
		assert_int_equal(message.payload.raw[i], 0);
}

static void reply(void **state)
{
	uint64_t value = 0x1122334455667788ull;
	uint8_t out[20];
	uint32_t word[3];

	assert_int_equal(message_encode_reply(1, &value, 8, out, sizeof(out)), 20);
	memcpy(word, out, sizeof(word));
	assert_int_equal(word[0], 1);
	assert_int_equal(word[1], 0x5); /* version 1, reply: QEMU takes nothing else */
	assert_int_equal(word[2], 8);
	assert_memory_equal(out + 12, &value, 8);
	assert_int_equal(message_encode_reply(1, &value, 8, out, 19), 0);
	assert_int_equal(message_encode_reply(1, &value, UINT32_MAX, out, sizeof(out)), 0);
	assert_int_equal(message_encode_reply(1, NULL, 0, out, 11), 0);
	assert_int_equal(message_encode_reply(1, NULL, 0, out, 12), 12);
}

static void request_of_ours(void **state)
{
	const struct message_iotlb miss = { .iova = 0x1000, .type = VHOST_USER_IOTLB_MISS };
	uint8_t out[64];
	uint32_t word[3];

	assert_int_equal(message_encode_request(VHOST_USER_BACKEND_IOTLB_MSG, &miss, sizeof(miss),
						out, sizeof(out)),
			 44);
	memcpy(word, out, sizeof(word));
	assert_int_equal(word[0], 1);
	assert_int_equal(word[1], 1); /* version 1, no reply, none wanted */
	assert_int_equal(word[2], 32);
}

static void descriptors_are_taken_once(void **state)
{
	struct message message = { 0 };
	int fd, keep;

	message.fds[0] = dup(0);
	message.fds[1] = dup(0);
	message.fd_count = 2;
	keep = message.fds[1];
	fd = message_take_fd(&message, 0);
	assert_true(fd >= 0);
	assert_int_equal(message_take_fd(&message, 0), -1);
	assert_int_equal(message_take_fd(&message, 2), -1);
	message_drop_fds(&message);
	assert_int_equal(message.fd_count, 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(keep), -1);
	assert_int_equal(errno, EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_has_a_name),
		cmocka_unit_test(own_replies),
		cmocka_unit_test(flags),
		cmocka_unit_test(payload_sizes),
		cmocka_unit_test(unknown_request),
		cmocka_unit_test(vring_fd),
		cmocka_unit_test(memory_table),
		cmocka_unit_test(regions),
		cmocka_unit_test(log_area),
		cmocka_unit_test(inflight_area),
		cmocka_unit_test(config_space),
		cmocka_unit_test(descriptor_counts),
		cmocka_unit_test(short_payload_is_zero_filled),
		cmocka_unit_test(reply),
		cmocka_unit_test(request_of_ours),
		cmocka_unit_test(descriptors_are_taken_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
