/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a hostile or broken front-end asks for. One function for each bad input,
 * named after it. Three outcomes: over (the session has ended, and stays so),
 * refused (a failed REPLY_ACK, the session goes on), noted (nothing happens but a
 * line for people).
 */
#include "session.h"

#include "fd.h"
#include "session_front.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct front front;

/* ---- order and negotiation ---- */

static void message_before_set_owner(void **state)
{
	static const uint32_t requests[] = { VHOST_USER_SET_VRING_NUM, VHOST_USER_SET_VRING_BASE,
					     VHOST_USER_GET_VRING_BASE,
					     VHOST_USER_SET_VRING_ENABLE };

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		front_expect_over(&front, front_state(&front, requests[i], 0, 1));
		front_close(&front);
		front_open(&front);
	}
	front_expect_over(&front, front_addr(&front, 0, FRONT_USER_ADDR, 0));
	front_close(&front);
	front_open(&front);
	front_expect_over(&front, front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0));
}

static void mem_table_before_set_owner(void **state)
{
	front_expect_over(&front, front_memory(&front, 2, 0));
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

/* VIRTIO 1.2 section 5.1.3.1: bit 11 is VIRTIO_NET_F_HOST_TSO4, and bit 0 CSUM. */
static void features_without_the_one_they_need(void **state)
{
	const uint64_t features = FRONT_FEATURES & ~1ull;

	front_expect_over(&front, front_u64(&front, VHOST_USER_SET_FEATURES, features));
	assert_non_null(strstr(front.err.text, "VIRTIO_NET_F_HOST_TSO4 without CSUM"));
	assert_int_equal(session_features(front.session), 0);
}

static void protocol_features_that_were_not_offered(void **state)
{
	front_expect_over(&front, front_u64(&front, VHOST_USER_SET_PROTOCOL_FEATURES,
					    1ull << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD));
}

static void features_change_while_running(void **state)
{
	const uint64_t features = FRONT_FEATURES & ~(1ull << 28);

	front_connect_start(&front);
	front_expect_refused(&front,
			     front_ack(&front, VHOST_USER_SET_FEATURES, &features, 8, NULL, 0),
			     VHOST_USER_SET_FEATURES);
	assert_true(session_ring_running(front.session, 0));
	front_expect_over(&front, front_u64(&front, VHOST_USER_SET_FEATURES, features));
}

static void rarp_and_mtu_without_negotiation(void **state)
{
	assert_int_equal(front_empty(&front, VHOST_USER_SET_OWNER), 0);
	front_expect_noted(&front, front_u64(&front, VHOST_USER_SEND_RARP, 1));
	front_expect_noted(&front, front_u64(&front, VHOST_USER_NET_SET_MTU, 1500));
	assert_int_equal(front.mtu, 0);
}

static void mtu_out_of_range(void **state)
{
	static const uint64_t mtus[] = { 0, 67, 65536, 1ull << 32 | 1500, UINT64_MAX };

	front_connect(&front);
	for (size_t i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++)
		front_expect_refused(
			&front, front_ack(&front, VHOST_USER_NET_SET_MTU, &mtus[i], 8, NULL, 0),
			VHOST_USER_NET_SET_MTU);
	assert_int_equal(front.mtu, 0);
}

/* ---- not offered: decoded, checked, refused ---- */

/* CVE-2020-10722: DPDK mapped less of the log than it went on to write. */
static void log_base_size_plus_offset_overflow(void **state)
{
	const struct message_log log = { .size = 0x1000, .offset = UINT64_MAX - 0x7ff };
	const int fd = dup(front.memory_fd);

	front_connect(&front);
	front_expect_refused(&front,
			     front_ack(&front, VHOST_USER_SET_LOG_BASE, &log, sizeof(log), &fd, 1),
			     VHOST_USER_SET_LOG_BASE);
	assert_non_null(strstr(front.note, "overflow"));
}

/* Every request whose feature was not negotiated: refused by a sentence, and why. */
static void requests_without_their_feature(void **state)
{
	static const struct {
		uint32_t request, size;
		unsigned int fds;
	} cases[] = {
		{ VHOST_USER_SET_LOG_BASE, 16, 1 },    { VHOST_USER_SET_BACKEND_REQ_FD, 0, 1 },
		{ VHOST_USER_IOTLB_MSG, 32, 0 },       { VHOST_USER_SET_CONFIG, 12, 0 },
		{ VHOST_USER_SET_INFLIGHT_FD, 24, 1 }, { VHOST_USER_RESET_DEVICE, 0, 0 },
		{ VHOST_USER_ADD_MEM_REG, 40, 1 },     { VHOST_USER_REM_MEM_REG, 40, 0 },
		{ VHOST_USER_SET_STATUS, 8, 0 },
	};
	union {
		struct message_inflight inflight;
		struct message_mem_reg mem_reg;
		struct message_log log;
		uint8_t raw[64];
	} payload;

	front_connect(&front);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = cases[i].fds ? dup(front.memory_fd) : -1;

		memset(&payload, 0, sizeof(payload));
		if (cases[i].request == VHOST_USER_SET_INFLIGHT_FD)
			payload.inflight = (struct message_inflight){ 65536, 0, 2, 256 };
		if (cases[i].size == sizeof(payload.mem_reg))
			payload.mem_reg.region = front_region[0];
		front_expect_refused(&front,
				     front_ack(&front, cases[i].request, &payload, cases[i].size,
					       &fd, cases[i].fds),
				     cases[i].request);
		assert_non_null(strstr(front.note, "not negotiated"));
	}
}

/* Whoever waits for a reply of another kind cannot be told: the session ends. */
static void questions_without_their_feature(void **state)
{
	static const struct {
		uint32_t request, size;
		unsigned int fds;
	} cases[] = {
		{ VHOST_USER_GET_CONFIG, 12, 0 },
		{ VHOST_USER_GET_INFLIGHT_FD, 24, 0 },
		{ VHOST_USER_GET_STATUS, 0, 0 },
		{ VHOST_USER_GET_MAX_MEM_SLOTS, 0, 0 },
		{ VHOST_USER_SET_DEVICE_STATE_FD, 8, 1 },
		{ VHOST_USER_CHECK_DEVICE_STATE, 0, 0 },
		{ VHOST_USER_GET_VRING_BASE_SKIP_DRAIN, 8, 0 },
	};
	union {
		struct message_inflight inflight;
		uint8_t raw[64];
	} payload;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = cases[i].fds ? dup(front.memory_fd) : -1;

		memset(&payload, 0, sizeof(payload));
		if (cases[i].request == VHOST_USER_GET_INFLIGHT_FD)
			payload.inflight = (struct message_inflight){ 0, 0, 2, 256 };
		front_connect(&front);
		front_expect_over(&front, front_ack(&front, cases[i].request, &payload,
						    cases[i].size, &fd, cases[i].fds));
		assert_non_null(strstr(front.err.text, "not negotiated"));
		front_close(&front);
		front_open(&front);
	}
}

/* What is not spoken: the sentence says why, so that people need not guess. */
static void what_cannot_be_is_refused_with_its_reason(void **state)
{
	static const struct {
		uint32_t request, size;
		unsigned int fds;
		bool over;
		const char *why;
	} cases[] = {
		{ VHOST_USER_POSTCOPY_ADVISE, 0, 0, true, "pinned" },
		{ VHOST_USER_POSTCOPY_LISTEN, 0, 0, false, "pinned" },
		{ VHOST_USER_POSTCOPY_END, 0, 0, true, "pinned" },
		{ VHOST_USER_SET_VRING_ENDIAN, 8, 0, false, "byte order" },
		{ VHOST_USER_CREATE_CRYPTO_SESSION, 64, 0, true, "network device" },
		{ VHOST_USER_CLOSE_CRYPTO_SESSION, 8, 0, false, "network device" },
		{ VHOST_USER_GPU_SET_SOCKET, 0, 1, false, "network device" },
		{ VHOST_USER_VRING_KICK, 8, 0, false, "eventfd" },
		{ VHOST_USER_GET_SHARED_OBJECT, 16, 0, true, "shared objects" },
		{ VHOST_USER_GET_SHMEM_CONFIG, 0, 0, true, "shared memory" },
	};
	static const uint8_t payload[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = cases[i].fds ? dup(front.memory_fd) : -1, ret;

		front_connect(&front);
		ret = front_ack(&front, cases[i].request, payload, cases[i].size, &fd,
				cases[i].fds);
		if (cases[i].over) {
			front_expect_over(&front, ret);
			assert_non_null(strstr(front.err.text, cases[i].why));
		} else {
			front_expect_refused(&front, ret, cases[i].request);
			assert_non_null(strstr(front.note, cases[i].why));
		}
		front_close(&front);
		front_open(&front);
	}
}

/* ---- rings ---- */

/* CVE-2020-10723: DPDK cut the index off, and went by the rest. */
static void vring_index_above_8_bits(void **state)
{
	static const uint32_t by_state[] = { VHOST_USER_SET_VRING_NUM, VHOST_USER_SET_VRING_BASE,
					     VHOST_USER_GET_VRING_BASE,
					     VHOST_USER_SET_VRING_ENABLE };

	for (size_t i = 0; i < sizeof(by_state) / sizeof(by_state[0]); i++) {
		front_connect(&front);
		front_expect_over(&front, front_state_ack(&front, by_state[i], 256, 0));
		front_close(&front);
		front_open(&front);
	}
	front_connect(&front);
	front_expect_over(&front,
			  front_ring_fd(&front, VHOST_USER_SET_VRING_KICK, 0x200, gw_eventfd()));
}

static void vring_index_beyond_the_rings(void **state)
{
	static const uint32_t by_fd[] = { VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_CALL,
					  VHOST_USER_SET_VRING_ERR };

	for (size_t i = 0; i < sizeof(by_fd) / sizeof(by_fd[0]); i++) {
		front_connect(&front);
		front_expect_over(&front, front_eventfd(&front, by_fd[i], 2));
		front_close(&front);
		front_open(&front);
		front_connect(&front);
		front_expect_over(&front,
				  front_u64(&front, by_fd[i], VHOST_USER_VRING_NOFD | 0xff));
		front_close(&front);
		front_open(&front);
	}
	front_connect(&front);
	front_expect_over(&front, front_addr(&front, 2, FRONT_USER_ADDR, 0));
}

static void vring_num_that_cannot_be(void **state)
{
	static const uint32_t nums[] = { 0, 3, 255, 257, 1023, 2048, 65536, 1u << 31, UINT32_MAX };

	front_connect(&front);
	for (size_t i = 0; i < sizeof(nums) / sizeof(nums[0]); i++)
		front_expect_refused(&front,
				     front_state_ack(&front, VHOST_USER_SET_VRING_NUM, 0, nums[i]),
				     VHOST_USER_SET_VRING_NUM);
	front_expect_over(&front, front_state(&front, VHOST_USER_SET_VRING_NUM, 0, 3));
}

/* CVE-2019-14818: DPDK allocated anew for each, and kept all. */
static void repeated_set_vring_num(void **state)
{
	front_connect(&front);
	for (uint32_t num = 1; num <= 1024; num *= 2)
		assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, num), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	front_start(&front, 0);
	assert_int_equal(front.ring[0].config.size, FRONT_RING_SIZE);
	front_expect_refused(&front, front_state_ack(&front, VHOST_USER_SET_VRING_NUM, 0, 1024),
			     VHOST_USER_SET_VRING_NUM);
	assert_int_equal(front.ring[0].config.size, FRONT_RING_SIZE);
	front_expect_over(&front,
			  front_state(&front, VHOST_USER_SET_VRING_NUM, 0, FRONT_RING_SIZE));
}

static void ring_address_change_while_running(void **state)
{
	/* Each of the three by itself; all else as front_start has it. */
	static const struct message_vring_addr addrs[] = {
		{ .desc = 0x40000, .avail = 0x1000, .used = 0x2000 },
		{ .desc = 0, .avail = 0x41000, .used = 0x2000 },
		{ .desc = 0, .avail = 0x1000, .used = 0x42000 },
	};
	struct message_vring_addr addr;

	front_connect_start(&front);
	for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
		addr = addrs[i];
		addr.desc += FRONT_USER_ADDR;
		addr.avail += FRONT_USER_ADDR;
		addr.used += FRONT_USER_ADDR;
		front_expect_refused(
			&front,
			front_ack(&front, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0),
			VHOST_USER_SET_VRING_ADDR);
	}
	/* What was refused does not come into force at the next start either. */
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 0, 0), 0);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(front.ring[0].config.desc_addr, FRONT_USER_ADDR);
	assert_int_equal(front.ring[0].config.used_addr, FRONT_USER_ADDR + 0x2000);
	front_expect_over(&front, front_send(&front, VHOST_USER_SET_VRING_ADDR, 0, &addr,
					     sizeof(addr), NULL, 0));
}

static void ring_base_change_while_running(void **state)
{
	front_connect_start(&front);
	front_expect_refused(&front, front_state_ack(&front, VHOST_USER_SET_VRING_BASE, 1, 5),
			     VHOST_USER_SET_VRING_BASE);
	front_expect_over(&front, front_state(&front, VHOST_USER_SET_VRING_BASE, 1, 5));
}

static void ring_base_beyond_16_bits(void **state)
{
	front_connect(&front);
	front_expect_refused(&front, front_state_ack(&front, VHOST_USER_SET_VRING_BASE, 0, 65536),
			     VHOST_USER_SET_VRING_BASE);
	front_expect_over(&front, front_state(&front, VHOST_USER_SET_VRING_BASE, 0, UINT32_MAX));
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
		front_expect_refused(&front,
				     front_ack(&front, VHOST_USER_SET_VRING_ADDR, &addrs[i],
					       sizeof(addrs[i]), NULL, 0),
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
	front_expect_refused(
		&front, front_ack(&front, VHOST_USER_SET_VRING_KICK, &index, sizeof(index), &fd, 1),
		VHOST_USER_SET_VRING_KICK);
	assert_false(session_ring_running(front.session, 0));
	front_expect_over(&front, front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0));
}

static void enable_with_neither_0_nor_1(void **state)
{
	front_connect(&front);
	front_expect_refused(&front, front_state_ack(&front, VHOST_USER_SET_VRING_ENABLE, 0, 2),
			     VHOST_USER_SET_VRING_ENABLE);
}

#define TEST(name) FRONT_TEST(name, front_setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(message_before_set_owner),
		TEST(mem_table_before_set_owner),
		TEST(features_that_were_not_offered),
		TEST(features_without_the_one_they_need),
		TEST(protocol_features_that_were_not_offered),
		TEST(features_change_while_running),
		TEST(rarp_and_mtu_without_negotiation),
		TEST(mtu_out_of_range),
		TEST(log_base_size_plus_offset_overflow),
		TEST(requests_without_their_feature),
		TEST(questions_without_their_feature),
		TEST(what_cannot_be_is_refused_with_its_reason),
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
