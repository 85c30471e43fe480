/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The AF_PACKET receiver on a veth pair: frames as they were sent (tags that the
 * kernel took out are put back), super-frames whole and with their header.
 */
#include "host.h"
#include "ip_frame.h"
#include "net_bytes.h"
#include "packet_rx.h"
#include "veth.h"

#include <errno.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <cmocka.h>

#define EXIT_SKIP 77
#define LIMIT_MS  3000u
#define BUFFERS   256u

static uint8_t in[70000];

/* ---- the smallest driver around it ---- */

static int fake_open(struct gw_port *port, struct gw_error *err)
{
	const struct packet_rx_config config = {
		.ifindex = (int)if_nametoindex(gw_port_target(port)),
		.promiscuous = true,
		.buffers = BUFFERS,
	};
	struct gw_queue *queue = gw_port_queue(port, 0);
	struct packet_rx *rx;
	int rc = packet_rx_open(port, &config, &rx, err);

	if (rc)
		return rc;
	queue->priv = rx;
	queue->fd[0].fd = packet_rx_fd(rx);
	queue->fd[0].events = EPOLLIN;
	gw_port_set_priv(port, rx);
	return 0;
}

static int fake_start(struct gw_port *port, struct gw_error *err)
{
	return 0;
}

static void fake_close(struct gw_port *port)
{
	packet_rx_close(gw_port_priv(port));
}

static unsigned int fake_rx(struct gw_queue *queue, struct gw_frame **frames, unsigned int max)
{
	return packet_rx_read(queue->priv, queue, frames, max);
}

static void fake_release(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count)
{
	packet_rx_release(queue->priv, frames, count);
}

static const struct gw_driver fake_driver = {
	.name = "fake",
	.target = "IFNAME",
	.open = fake_open,
	.start = fake_start,
	.close = fake_close,
	.rx = fake_rx,
	.release = fake_release,
};

struct fixture {
	struct gw_port *port;
	struct packet_rx *rx;
	int far;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	veth_add("near", "far", 9000);
	f->port = host_run(&fake_driver, "up=near");
	f->rx = gw_port_priv(f->port);
	/* Of all types, or the kernel would take that of the socket for its packets' type. */
	f->far = far_open("far", 0, true);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	host_close(f->port);
	close(f->far);
	veth_delete("near");
	free(f);
	return 0;
}

/* ---- packets ---- */

struct packet {
	struct virtio_net_hdr header; /* 10 bytes, as the socket wants it */
	uint8_t frame[66000];
} __attribute__((packed));

static struct packet packet;

/* What the socket is sent; returns the length of the frame in it. */
static uint32_t packet_make(const struct ip_frame *frame)
{
	struct virtio_net_hdr_v1 header;
	uint32_t len = ip_frame_make(frame, packet.frame, &header);

	memcpy(&packet.header, &header, sizeof(packet.header));
	return len;
}

/* ---- tests ---- */

static void frames_of_every_size(void **state)
{
	struct fixture *f = *state;
	struct gw_frame *frame;

	for (uint32_t len = 14; len <= 9014; len += len < 1514 ? 1 : 500) {
		memset(&packet.header, 0, sizeof(packet.header));
		pattern_fill(packet.frame, len, len);
		far_send(f->far, &packet, sizeof(packet.header) + len);
		assert_int_equal(host_receive(f->port, &frame, 1, LIMIT_MS), 1);
		assert_int_equal(frame->len, len);
		assert_int_equal(host_frame_bytes(frame, in, sizeof(in)), len);
		assert_true(pattern_holds(in, len, len));
		host_release(f->port, &frame, 1);
	}
	assert_int_equal(packet_rx_lent(f->rx), 0);
}

static void vlan_tags_are_put_back(void **state)
{
	struct fixture *f = *state;
	struct gw_frame *frame;

	for (unsigned int tags = 1; tags <= 2; tags++) {
		uint32_t len = 200 + 4 * tags;

		memset(&packet.header, 0, sizeof(packet.header));
		pattern_fill(packet.frame, len, 9);
		for (unsigned int i = 0; i < tags; i++) {
			put16(packet.frame + 12 + 4 * i, i + 1 < tags ? 0x88a8 : 0x8100);
			put16(packet.frame + 14 + 4 * i, 0x6000 + 42 + i);
		}
		put16(packet.frame + 12 + 4 * tags, VETH_TYPE);
		far_send(f->far, &packet, sizeof(packet.header) + len);
		assert_int_equal(host_receive(f->port, &frame, 1, LIMIT_MS), 1);
		assert_int_equal(host_frame_bytes(frame, in, sizeof(in)), len);
		assert_memory_equal(in, packet.frame, len);
		assert_memory_equal(frame->snapshot, in, GW_FRAME_SNAPSHOT);
		host_release(f->port, &frame, 1);
	}
}

/* As it was sent: bytes, and what the header says of it. */
static void expect_as_sent(struct fixture *f, uint32_t len)
{
	struct gw_frame *frame;

	assert_int_equal(host_receive(f->port, &frame, 1, LIMIT_MS), 1);
	assert_int_equal(frame->len, len);
	assert_int_equal(host_frame_bytes(frame, in, sizeof(in)), len);
	assert_memory_equal(in, packet.frame, len);
	assert_memory_equal(frame->snapshot, in, GW_FRAME_SNAPSHOT);
	assert_int_equal(frame->header.flags, packet.header.flags);
	assert_int_equal(frame->header.gso_type, packet.header.gso_type);
	assert_int_equal(frame->header.gso_size, packet.header.gso_size);
	assert_int_equal(frame->header.csum_start, packet.header.csum_start);
	assert_int_equal(frame->header.csum_offset, packet.header.csum_offset);
	host_release(f->port, &frame, 1);
	assert_int_equal(packet_rx_lent(f->rx), 0);
}

static void partial_headers_are_passed_on(void **state)
{
	static const struct ip_frame frame[] = {
		{ .payload = 1000 },
		{ .payload = 1000, .ipv6 = true, .udp = true },
		{ .payload = 1000, .tags = 1 },
		{ .payload = 60000, .gso_size = 1448, .tcp_options_bytes = 12 },
		{ .payload = 60000, .gso_size = 1428, .ipv6 = true },
		{ .payload = 1449, .gso_size = 1448 },
		{ .payload = 60000, .gso_size = 1448, .tags = 1 },
		{ .payload = 60000, .gso_size = 1448, .tags = 2 },
		{ .payload = 30000, .gso_size = 1400, .udp = true },
		{ .payload = 30000, .gso_size = 1400, .udp = true, .ipv6 = true },
		{ .payload = 65535 - 54, .gso_size = 8960 },
	};
	struct fixture *f = *state;

	for (unsigned int i = 0; i < sizeof(frame) / sizeof(frame[0]); i++) {
		uint32_t len = packet_make(&frame[i]);

		far_send(f->far, &packet, sizeof(packet.header) + len);
		expect_as_sent(f, len);
	}
}

/* Super-frames take up all buffers; when they come home every buffer is good again. */
static void receiving_waits_for_buffers(void **state)
{
	const struct ip_frame super = { .payload = 60000, .gso_size = 1448 };
	struct fixture *f = *state;
	struct gw_frame *frame[BUFFERS];
	uint32_t len = packet_make(&super);
	unsigned int lent;

	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < BUFFERS / 15 + 1; i++)
			far_send(f->far, &packet, sizeof(packet.header) + len);
		lent = host_receive(f->port, frame, BUFFERS, 50);
		assert_true(lent > 1 && lent <= BUFFERS / 15);
		assert_true(packet_rx_counts(f->rx)->no_buffers);
		host_release(f->port, frame, lent);
		while ((lent = host_receive(f->port, frame, 1, 50)))
			host_release(f->port, frame, lent);
		assert_int_equal(packet_rx_lent(f->rx), 0);
	}
}

static void order_is_kept(void **state)
{
	struct fixture *f = *state;
	struct gw_frame *frame;
	const struct ip_frame super = { .payload = 2000, .gso_size = 1000 };
	uint32_t len = packet_make(&super);

	far_send(f->far, &packet, sizeof(packet.header) + len);
	memset(&packet.header, 0, sizeof(packet.header));
	pattern_fill(packet.frame, 333, 1);
	far_send(f->far, &packet, sizeof(packet.header) + 333);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(host_receive(f->port, &frame, 1, LIMIT_MS), 1);
		assert_int_equal(frame->len, i ? 333 : len);
		host_release(f->port, &frame, 1);
	}
}

static void lent_frames_outlive_shut(void **state)
{
	struct fixture *f = *state;
	struct gw_frame *frame;
	struct gw_error err;

	memset(&packet.header, 0, sizeof(packet.header));
	pattern_fill(packet.frame, 1000, 3);
	far_send(f->far, &packet, sizeof(packet.header) + 1000);
	assert_int_equal(host_receive(f->port, &frame, 1, LIMIT_MS), 1);
	packet_rx_shut(f->rx);
	assert_int_equal(packet_rx_fd(f->rx), -1);
	assert_int_equal(packet_rx_read(f->rx, host_queue(f->port), &frame, 0), 0);
	assert_int_equal(host_frame_bytes(frame, in, sizeof(in)), 1000);
	assert_true(pattern_holds(in, 1000, 3));
	host_release(f->port, &frame, 1);
	assert_int_equal(packet_rx_reopen(f->rx, (int)if_nametoindex("near"), &err), 0);
	far_send(f->far, &packet, sizeof(packet.header) + 1000);
	assert_int_equal(host_receive(f->port, &frame, 1, LIMIT_MS), 1);
	host_release(f->port, &frame, 1);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(frames_of_every_size),
		TEST(vlan_tags_are_put_back),
		TEST(partial_headers_are_passed_on),
		TEST(receiving_waits_for_buffers),
		TEST(order_is_kept),
		TEST(lent_frames_outlive_shut),
	};
	char why[256];

	if (!veth_enter(why, sizeof(why))) {
		fprintf(stderr, "skipped: %s\n", why);
		return EXIT_SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, host_end);
}
