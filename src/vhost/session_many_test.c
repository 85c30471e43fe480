/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many queue pairs, and the protocol around them: status, reset, configuration.
 */
#include "session.h"

#include "fd.h"
#include "session_front.h"
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct front front;

static int setup(void **state)
{
	front_open_as(&front, FRONT_ALL_FEATURES, FRONT_ALL_PROTOCOL_FEATURES, SESSION_PAIRS_MAX);
	return 0;
}

/* ---- queues ---- */

static void each_of_256_rings(void **state)
{
	front.late = true;
	front_connect_start(&front);
	assert_int_equal(front_empty(&front, VHOST_USER_GET_QUEUE_NUM), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_GET_QUEUE_NUM), 128);
	for (unsigned int i = 0; i < SESSION_RINGS_MAX; i++) {
		assert_int_equal(front.starts[i], 1);
		assert_true(front.ring[i].enabled);
	}
	/* One stops, the others do not notice. */
	front.stop_base[255] = 11;
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 255, 0), 0);
	assert_true(session_busy(front.session));
	assert_int_equal(front_stop_rings(&front), 0);
	assert_int_equal(front_reply_state(&front, VHOST_USER_GET_VRING_BASE).num, 11);
	assert_int_equal(front.stops[254], 0);
	/* New memory stops the rest, and starts them. */
	assert_int_equal(front_memory(&front, 1, 0), 0);
	assert_int_equal(front_stop_rings(&front), 0);
	for (unsigned int i = 0; i < 255; i++) {
		assert_int_equal(front.stops[i], 1);
		assert_int_equal(front.starts[i], 2);
	}
	assert_int_equal(front.starts[255], 1);
}

static void queues_enabled_and_disabled_while_running(void **state)
{
	front_connect_start(&front);
	for (unsigned int i = 2; i < SESSION_RINGS_MAX; i++) {
		assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_ENABLE, i, 0), 0);
		assert_int_equal(front.enables[i], 1);
		assert_false(front.ring[i].enabled);
	}
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_ENABLE, 9, 1), 0);
	assert_true(front.ring[9].enabled);
	assert_int_equal(front.stops[9], 0);
}

static void ring_beyond_the_pairs(void **state)
{
	front_close(&front);
	for (unsigned int pairs = 1; pairs < SESSION_PAIRS_MAX; pairs = pairs * 2 + 1) {
		front_open_as(&front, FRONT_ALL_FEATURES, FRONT_ALL_PROTOCOL_FEATURES, pairs);
		front_connect(&front);
		assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 2 * pairs - 1, 64),
				 0);
		front_expect_over(&front,
				  front_state(&front, VHOST_USER_SET_VRING_NUM, 2 * pairs, 64));
		front_close(&front);
	}
	setup(NULL);
}

static void pairs_that_cannot_be(void **state)
{
	struct session_config config = { .ring_size_max = 1024 };
	struct session *session = NULL;

	assert_int_equal(session_create(&config, &session), -EINVAL);
	config.pairs_max = SESSION_PAIRS_MAX + 1;
	assert_int_equal(session_create(&config, &session), -EINVAL);
	assert_null(session);
}

/* ---- packed rings: sizes and bases of their own ---- */

static void packed_rings_have_rules_of_their_own(void **state)
{
	const uint64_t packed = FRONT_FEATURES | 1ull << VIRTIO_F_RING_PACKED;

	front_connect(&front);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, packed), 0);
	assert_int_equal(front_memory(&front, 2, 0), 0);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, 100), 0);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_BASE, 0, 0x80078005), 0);
	assert_int_equal(front_addr(&front, 0, FRONT_USER_ADDR, 0), 0);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(front.starts[0], 1);
	assert_int_equal(front.ring[0].config.size, 100);
	assert_int_equal(front.ring[0].config.base, 0x80078005);
	front.stop_base[0] = 0x80098007;
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 0, 0), 0);
	assert_int_equal(front_reply_state(&front, VHOST_USER_GET_VRING_BASE).num, 0x80098007);
}

/* Sizes came before features: the start finds out. */
static void split_rings_with_what_only_packed_ones_may_have(void **state)
{
	front_connect(&front);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, 100), 0);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 1, 128), 0);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_BASE, 1, 0x10000), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	assert_int_equal(front_memory(&front, 2, 0), 0);
	for (unsigned int i = 0; i < 2; i++) {
		const uint64_t value = i;
		const int fd = gw_eventfd();

		assert_int_equal(front_addr(&front, i, FRONT_USER_ADDR, 0), 0);
		front_expect_refused(
			&front, front_ack(&front, VHOST_USER_SET_VRING_KICK, &value, 8, &fd, 1),
			VHOST_USER_SET_VRING_KICK);
		assert_int_equal(front.starts[i], 0);
	}
}

/* ---- status ---- */

static uint64_t get_status(void)
{
	assert_int_equal(front_empty(&front, VHOST_USER_GET_STATUS), 0);
	return front_reply_u64(&front, VHOST_USER_GET_STATUS);
}

static void status_is_kept_and_features_ok_is_granted(void **state)
{
	const uint64_t bad = FRONT_ALL_FEATURES | 1ull << 40;

	front_connect(&front);
	assert_int_equal(get_status(), 0);
	/* Not before there are features, and not after they were refused. */
	assert_int_equal(front_u64(&front, VHOST_USER_SET_STATUS, 11), 0);
	assert_int_equal(get_status(), 3);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_STATUS, 15), 0);
	assert_int_equal(get_status(), 15);
	front_expect_refused(&front, front_ack(&front, VHOST_USER_SET_FEATURES, &bad, 8, NULL, 0),
			     VHOST_USER_SET_FEATURES);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_STATUS, 11), 0);
	assert_int_equal(get_status(), 3);
	front_expect_noted(&front, front_u64(&front, VHOST_USER_SET_STATUS, 0x100));
	assert_int_equal(get_status(), 3);
}

/* 0 is a reset: rings stop, and wait for a kick. */
static void status_0_stops_rings(void **state)
{
	const uint64_t zero = 0;

	front_connect_start(&front);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_STATUS, 15), 0);
	front.late = true;
	assert_int_equal(front_ack(&front, VHOST_USER_SET_STATUS, &zero, 8, NULL, 0), 0);
	assert_true(session_busy(front.session));
	assert_int_equal(front_stop_rings(&front), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_SET_STATUS), 0);
	assert_int_equal(get_status(), 0);
	for (unsigned int i = 0; i < front.rings; i++)
		assert_false(session_ring_running(front.session, i));
	front.late = false;
	front_start(&front, 0);
	assert_true(front.ring[0].enabled);
}

/* ---- reset ---- */

static void reset_device_keeps_memory_and_owner(void **state)
{
	front_connect_start(&front);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_STATUS, 15), 0);
	front.late = true;
	assert_int_equal(front_ack(&front, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	assert_int_equal(front_stop_rings(&front), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_RESET_DEVICE), 0);
	front.late = false;
	assert_int_equal(get_status(), 0);
	assert_int_equal(session_features(front.session), 0);
	assert_non_null(session_memmap(front.session));
	/* Nothing of a ring is left but its descriptors: all of it has to come again. */
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, 64), 0);
	assert_false(session_ring_running(front.session, 0));
	assert_int_equal(front_addr(&front, 0, FRONT_USER_ADDR, 0), 0);
	assert_true(session_ring_running(front.session, 0));
	assert_int_equal(front.ring[0].config.base, 0);
	assert_false(front.ring[0].enabled);
	assert_true(front.ring[0].call_fd >= 0);
}

/* ---- configuration space ---- */

static void configuration_space(void **state)
{
	struct message_config config = { .size = sizeof(struct virtio_net_config) };
	struct message_config reply;
	struct virtio_net_config net;

	front_connect(&front);
	assert_int_equal(front_u64(&front, VHOST_USER_NET_SET_MTU, 9000), 0);
	assert_int_equal(
		front_send(&front, VHOST_USER_GET_CONFIG, 0, &config, 12 + config.size, NULL, 0),
		0);
	front_reply_payload(&front, VHOST_USER_GET_CONFIG, &reply, 12 + config.size);
	memcpy(&net, reply.bytes, sizeof(net));
	assert_int_equal(net.max_virtqueue_pairs, 128);
	assert_int_equal(net.mtu, 9000);
	assert_int_equal(net.status, VIRTIO_NET_S_LINK_UP);
	/* A part, and what a migration brings. */
	config = (struct message_config){ .offset = 8, .size = 2, .flags = 1, .bytes = { 128 } };
	assert_int_equal(front_ack(&front, VHOST_USER_SET_CONFIG, &config, 14, NULL, 0), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_SET_CONFIG), 0);
	config.bytes[0] = 4;
	front_expect_refused(&front, front_ack(&front, VHOST_USER_SET_CONFIG, &config, 14, NULL, 0),
			     VHOST_USER_SET_CONFIG);
	config.bytes[0] = 128;
	config.flags = 0; /* a driver, who may write nothing */
	front_expect_refused(&front, front_ack(&front, VHOST_USER_SET_CONFIG, &config, 14, NULL, 0),
			     VHOST_USER_SET_CONFIG);
}

/* "zero length of payload to indicate an error" */
static void configuration_out_of_range(void **state)
{
	static const struct message_config cases[] = {
		{ .offset = sizeof(struct virtio_net_config), .size = 1 },
		{ .offset = 0, .size = 256 },
		{ .offset = UINT32_MAX, .size = 4 },
		{ .offset = UINT32_MAX - 3, .size = 8 },
	};
	uint8_t nothing[1];

	front_connect(&front);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(front_send(&front, VHOST_USER_GET_CONFIG, 0, &cases[i],
					    12 + cases[i].size, NULL, 0),
				 0);
		front_reply_payload(&front, VHOST_USER_GET_CONFIG, nothing, 0);
		front.notes = 0;
		front_expect_refused(&front,
				     front_ack(&front, VHOST_USER_SET_CONFIG, &cases[i],
					       12 + cases[i].size, NULL, 0),
				     VHOST_USER_SET_CONFIG);
	}
}

/* ---- announcements ---- */

static void rarp_of_no_station(void **state)
{
	static const uint64_t macs[] = { 0, 0xffffffffffffull, 0x1, 0x5e0001ull };

	front_connect(&front);
	for (size_t i = 0; i < sizeof(macs) / sizeof(macs[0]); i++)
		front_expect_refused(&front,
				     front_ack(&front, VHOST_USER_SEND_RARP, &macs[i], 8, NULL, 0),
				     VHOST_USER_SEND_RARP);
	assert_int_equal(front.announcements, 0);
}

#define TEST(name) FRONT_TEST(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_of_256_rings),
		TEST(queues_enabled_and_disabled_while_running),
		TEST(ring_beyond_the_pairs),
		TEST(pairs_that_cannot_be),
		TEST(packed_rings_have_rules_of_their_own),
		TEST(split_rings_with_what_only_packed_ones_may_have),
		TEST(status_is_kept_and_features_ok_is_granted),
		TEST(status_0_stops_rings),
		TEST(reset_device_keeps_memory_and_owner),
		TEST(configuration_space),
		TEST(configuration_out_of_range),
		TEST(rarp_of_no_station),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
