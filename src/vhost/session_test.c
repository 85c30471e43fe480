/* SPDX-License-Identifier: BSD-2-Clause */
/* What well-behaved front-ends do, QEMU's order of messages first. */
#include "session.h"

#include "session_front.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct front front;

static void qemu_starts(void **state)
{
	front_connect_start(&front);
	assert_int_equal(front.features, FRONT_FEATURES);
	assert_int_equal(session_features(front.session), FRONT_FEATURES);
	for (unsigned int i = 0; i < FRONT_RINGS; i++) {
		const struct session_ring *ring = &front.ring[i];

		assert_int_equal(front.starts[i], 1);
		assert_true(ring->enabled);
		assert_int_equal(ring->config.size, FRONT_RING_SIZE);
		assert_int_equal(ring->config.base, 0);
		assert_int_equal(ring->config.features, FRONT_FEATURES);
		assert_int_equal(ring->config.desc_addr, FRONT_USER_ADDR + i * 0x10000);
		assert_int_equal(ring->config.avail_addr, ring->config.desc_addr + 4096);
		assert_int_equal(ring->config.used_addr, ring->config.desc_addr + 8192);
		assert_true(ring->kick_fd >= 0);
		assert_true(ring->call_fd >= 0);
		assert_true(fcntl(ring->kick_fd, F_GETFL) & O_NONBLOCK);
	}
	assert_int_equal(front.memories, 1);
	assert_int_equal(front.notes, 0);
}

static void qemu_stops(void **state)
{
	struct message_vring_state base;

	front_connect_start(&front);
	for (unsigned int i = 0; i < FRONT_RINGS; i++) {
		front.stop_base[i] = 40 + i;
		assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, i, 0), 0);
		base = front_reply_state(&front, VHOST_USER_GET_VRING_BASE);
		assert_int_equal(base.index, i);
		assert_int_equal(base.num, 40 + i);
		assert_false(session_ring_running(front.session, i));
	}
}

static void base_of_a_ring_that_never_ran(void **state)
{
	front_connect(&front);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_BASE, 1, 7), 0);
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 1, 0), 0);
	assert_int_equal(front_reply_state(&front, VHOST_USER_GET_VRING_BASE).num, 7);
	assert_int_equal(front.stops[1], 0);
}

/* The answer waits for loans; messages that came meanwhile wait too, and keep their order. */
static void qemu_stops_with_loans_out(void **state)
{
	front_connect_start(&front);
	front.late = true;
	front.stop_base[0] = 9;
	assert_int_equal(front_state_ack(&front, VHOST_USER_GET_VRING_BASE, 0, 0), 0);
	assert_true(session_busy(front.session));
	assert_int_equal(front.reply_len, 0);
	assert_int_equal(front_stop_rings(&front), 0);
	assert_int_equal(front_reply_state(&front, VHOST_USER_GET_VRING_BASE).num, 9);
	assert_true(session_ring_running(front.session, 1));
}

static void guest_reboots(void **state)
{
	front_connect_start(&front);
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < FRONT_RINGS; i++)
			assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, i, 0), 0);
		assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
		front_start(&front, 0);
	}
	assert_int_equal(front.starts[0], 4);
	assert_int_equal(front.memories, 1); /* the table stayed the same */
	assert_int_equal(front.feature_sets, 1);
}

/* A driver of another opinion: features change between two runs. */
static void driver_is_reloaded(void **state)
{
	const uint64_t fewer = FRONT_FEATURES & ~(1ull << 29);

	front_connect_start(&front);
	for (unsigned int i = 0; i < FRONT_RINGS; i++)
		assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, i, 0), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, fewer), 0);
	front_start(&front, 0);
	assert_int_equal(front.ring[0].config.features, fewer);
	assert_int_equal(front.features, fewer);
}

/* Stopped, and started by a new kick descriptor alone: goes on where it stopped. */
static void kick_restarts_where_it_stopped(void **state)
{
	front_connect_start(&front);
	front.stop_base[1] = 77;
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 1, 0), 0);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 1), 0);
	assert_true(session_ring_running(front.session, 1));
	assert_int_equal(front.ring[1].config.base, 77);
}

static void ring_without_memory_waits_for_it(void **state)
{
	front_connect(&front);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(front_addr(&front, 0, FRONT_USER_ADDR, 0), 0);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, FRONT_RING_SIZE), 0);
	assert_int_equal(front_memory(&front, 2, 0), 0);
	assert_false(session_ring_running(front.session, 0));
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	assert_true(session_ring_running(front.session, 0));
	assert_false(session_ring_running(front.session, 1));
}

static void front_end_comes_back(void **state)
{
	for (unsigned int i = 0; i < 3; i++) {
		front_connect_start(&front);
		front.late = i % 2;
		front_close(&front);
		assert_int_equal(front.stops[0], 1);
		assert_int_equal(front.stops[1], 1);
		assert_int_equal(front.memories_gone, 1);
		front_open(&front);
	}
}

/* The connection breaks while GET_VRING_BASE waits for loans: the other ring stops too. */
static void front_end_leaves_while_a_ring_stops(void **state)
{
	front_connect_start(&front);
	front.late = true;
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 0, 0), 0);
	session_close(front.session);
	assert_int_equal(front.stops[0], 1);
	assert_int_equal(front.stops[1], 1);
	assert_int_equal(front_stop_rings(&front), -EPROTO); /* closed: nothing to go on with */
	assert_int_equal(front.reply_len, 0);
}

static void front_end_leaves_while_memory_changes(void **state)
{
	front_connect_start(&front);
	front.late = true;
	assert_int_equal(front_memory(&front, 1, 0), 0);
	session_close(front.session);
	assert_int_equal(front_stop_rings(&front), -EPROTO);
	assert_int_equal(front.memories, 2); /* there, and gone; the new one never came */
	assert_int_equal(front.starts[0], 1);
}

static void reset_owner_stops_rings(void **state)
{
	const uint64_t none = 0;

	front_connect_start(&front);
	front.late = true;
	assert_int_equal(front_send(&front, VHOST_USER_RESET_OWNER, VHOST_USER_NEED_REPLY, &none, 0,
				    NULL, 0),
			 0);
	assert_true(session_busy(front.session));
	assert_int_equal(front_stop_rings(&front), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_RESET_OWNER), 0);
	assert_false(session_ring_running(front.session, 0));
	assert_false(session_ring_running(front.session, 1));
	front.late = false;
	front_start(&front, 0);
	assert_false(front.ring[0].enabled);
}

static void enable_before_and_after_start(void **state)
{
	front_connect(&front);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_ENABLE, 1, 0), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	front_start(&front, 0);
	assert_true(front.ring[0].enabled);
	assert_false(front.ring[1].enabled);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	assert_true(front.ring[1].enabled);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	assert_int_equal(front.enables[1], 1);
}

/* Without protocol features rings are enabled from the start, and nothing is acknowledged. */
static void without_protocol_features(void **state)
{
	assert_int_equal(front_empty(&front, VHOST_USER_GET_FEATURES), 0);
	assert_int_equal(front_empty(&front, VHOST_USER_SET_OWNER), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_VIRTIO_FEATURES), 0);
	assert_int_equal(front_memory(&front, 2, VHOST_USER_NEED_REPLY), 0);
	assert_int_equal(front.reply_len, 0);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, 64), 0);
	assert_int_equal(front_addr(&front, 0, FRONT_USER_ADDR, 0), 0);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_true(front.ring[0].enabled);
}

/* With them, and no SET_VRING_ENABLE, rings run disabled. */
static void rings_begin_disabled(void **state)
{
	assert_int_equal(front_u64(&front, VHOST_USER_SET_PROTOCOL_FEATURES, 0), 0);
	assert_int_equal(front_empty(&front, VHOST_USER_SET_OWNER), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	assert_int_equal(front_memory(&front, 2, 0), 0);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, 64), 0);
	assert_int_equal(front_addr(&front, 0, FRONT_USER_ADDR, 0), 0);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_true(session_ring_running(front.session, 0));
	assert_false(front.ring[0].enabled);
}

static void kick_without_descriptor_means_polling(void **state)
{
	front_connect_start(&front);
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 0, 0), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_VRING_KICK, VHOST_USER_VRING_NOFD | 0),
			 0);
	assert_true(session_ring_running(front.session, 0));
	assert_int_equal(front.ring[0].kick_fd, -1);
}

static void descriptors_change_while_running(void **state)
{
	front_connect_start(&front);
	assert_int_equal(front.fd_changes[1], 1); /* QEMU's call after its kick */
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 1), 0);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_CALL, 1), 0);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_ERR, 1), 0);
	assert_int_equal(front.fd_changes[1], 4);
	assert_true(front.ring[1].err_fd >= 0);
	assert_true(fcntl(front.ring[1].kick_fd, F_GETFD) >= 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_VRING_CALL, VHOST_USER_VRING_NOFD | 1),
			 0);
	assert_int_equal(front.ring[1].call_fd, -1);
	assert_int_equal(front.starts[1], 1);
	assert_int_equal(front.stops[1], 0);
}

/* QEMU switches the dirty log with the addresses that the ring has. */
static void same_addresses_while_running(void **state)
{
	front_connect_start(&front);
	assert_int_equal(front_addr(&front, 0, FRONT_USER_ADDR, 1), 0);
	assert_int_equal(front.stops[0], 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	assert_int_equal(front.feature_sets, 1);
}

static void one_queue_pair(void **state)
{
	assert_int_equal(front_empty(&front, VHOST_USER_GET_QUEUE_NUM), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_GET_QUEUE_NUM), 1);
}

static void rarp_and_mtu(void **state)
{
	const uint64_t mtu = 9000;

	front_connect(&front);
	assert_int_equal(front_u64(&front, VHOST_USER_SEND_RARP, 0x010203040506ull), 0);
	assert_int_equal(front_send(&front, VHOST_USER_NET_SET_MTU, VHOST_USER_NEED_REPLY, &mtu,
				    sizeof(mtu), NULL, 0),
			 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_NET_SET_MTU), 0);
	assert_int_equal(front.mtu, 9000);
	assert_int_equal(front.announcements, 1);
	assert_memory_equal(front.mac, "\6\5\4\3\2\1", 6);
}

/* One successful answer for each request that has none of its own, if asked, and no other. */
static void reply_ack(void **state)
{
	front_connect(&front);
	assert_int_equal(front_state_ack(&front, VHOST_USER_SET_VRING_NUM, 0, 256), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_SET_VRING_NUM), 0);
	assert_int_equal(front_state_ack(&front, VHOST_USER_GET_VRING_BASE, 0, 0), 0);
	front_reply_state(&front, VHOST_USER_GET_VRING_BASE);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, 256), 0);
	assert_int_equal(front.reply_len, 0);
}

#define TEST(name) FRONT_TEST(name, front_setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(qemu_starts),
		TEST(qemu_stops),
		TEST(base_of_a_ring_that_never_ran),
		TEST(qemu_stops_with_loans_out),
		TEST(guest_reboots),
		TEST(driver_is_reloaded),
		TEST(kick_restarts_where_it_stopped),
		TEST(ring_without_memory_waits_for_it),
		TEST(front_end_comes_back),
		TEST(front_end_leaves_while_a_ring_stops),
		TEST(front_end_leaves_while_memory_changes),
		TEST(reset_owner_stops_rings),
		TEST(enable_before_and_after_start),
		TEST(without_protocol_features),
		TEST(rings_begin_disabled),
		TEST(kick_without_descriptor_means_polling),
		TEST(descriptors_change_while_running),
		TEST(same_addresses_while_running),
		TEST(one_queue_pair),
		TEST(rarp_and_mtu),
		TEST(reply_ack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
