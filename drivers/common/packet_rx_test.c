/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The AF_PACKET receiver on a veth pair: what comes in as the kernel changed it
 * (tags taken out, checksums left to a device, segments merged) is what a guest
 * can take when it goes out.
 */
#include "host.h"
#include "packet_rx.h"
#include "veth.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
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
#define ETH_BYTES 14u

static uint8_t in[70000], out[70000];

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

static void put16(uint8_t *p, unsigned int value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static uint32_t sum_words(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return sum;
}

/* Pseudo header's sum of the packet whose IP header is at ip and whose L4 has len bytes. */
static uint32_t pseudo(const uint8_t *ip, uint32_t len)
{
	bool ipv6 = ip[0] >> 4 == 6;

	return ipv6 ? sum_words(ip + 8, 32, ip[6] + len) : sum_words(ip + 12, 8, ip[9] + len);
}

struct packet {
	struct virtio_net_hdr header; /* 10 bytes, as the socket wants it */
	uint8_t frame[66000];
} __attribute__((packed));

static struct packet packet;

enum kind { TCP4, TCP6, UDP4 };

/* A super-frame with a payload that counts; returns the length of the frame. */
static uint32_t super_frame(enum kind kind, unsigned int tags, uint32_t payload,
			    unsigned int gso_size)
{
	uint32_t l3 = ETH_BYTES + 4 * tags, ip_bytes = kind == TCP6 ? 40 : 20;
	uint32_t l4 = l3 + ip_bytes, l4_bytes = kind == UDP4 ? 8 : 32;
	uint8_t *frame = packet.frame, *ip = frame + l3, *l4p = frame + l4;

	memset(&packet, 0, sizeof(packet));
	memset(frame, 0xff, 6);
	frame[6] = 2;
	for (unsigned int i = 0; i < tags; i++) {
		put16(frame + 12 + 4 * i, 0x8100);
		put16(frame + 14 + 4 * i, 0x2000 + 100 + i);
	}
	put16(frame + l3 - 2, kind == TCP6 ? 0x86dd : 0x0800);
	if (kind == TCP6) {
		ip[0] = 0x60;
		put16(ip + 4, l4_bytes + payload);
		ip[6] = IPPROTO_TCP;
		ip[7] = 64;
		ip[8] = ip[24] = 0xfd;
		ip[39] = 1;
	} else {
		ip[0] = 0x45;
		put16(ip + 2, 20 + l4_bytes + payload);
		put16(ip + 4, 0xfffe); /* the identification wraps */
		ip[8] = 64;
		ip[9] = kind == UDP4 ? IPPROTO_UDP : IPPROTO_TCP;
		ip[12] = ip[16] = 10;
		put16(ip + 10, ~sum_words(ip, 20, 0) & 0xffff);
	}
	put16(l4p, 1000);
	put16(l4p + 2, 2000);
	if (kind == UDP4) {
		put16(l4p + 4, l4_bytes + payload);
		put16(l4p + 6, pseudo(ip, l4_bytes + payload));
	} else {
		memset(l4p + 4, 0xff, 4); /* the sequence number wraps */
		l4p[12] = 8 << 4;
		l4p[13] = 0x80 | 0x18 | 0x01; /* CWR, ACK, PSH, FIN */
		memset(l4p + 20, 1, 12);      /* options: nothing */
		put16(l4p + 16, pseudo(ip, l4_bytes + payload));
	}
	for (uint32_t i = 0; i < payload; i++)
		l4p[l4_bytes + i] = (uint8_t)(i ^ i >> 8);
	packet.header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	packet.header.csum_start = (uint16_t)l4;
	packet.header.csum_offset = kind == UDP4 ? 6 : 16;
	packet.header.gso_type = kind == TCP4   ? VIRTIO_NET_HDR_GSO_TCPV4
				 : kind == TCP6 ? VIRTIO_NET_HDR_GSO_TCPV6
						: 5 /* UDP_L4 */;
	packet.header.gso_size = (uint16_t)gso_size;
	packet.header.hdr_len = (uint16_t)(l4 + l4_bytes);
	return l4 + l4_bytes + payload;
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

/* One frame that was cut from a packet: headers and checksums as on the wire. */
static uint32_t check_piece(const struct gw_frame *frame, enum kind kind, uint32_t l3,
			    uint32_t payload_at, bool last)
{
	uint32_t len = host_frame_bytes(frame, in, sizeof(in));
	uint32_t l4 = l3 + (kind == TCP6 ? 40 : 20), l4_bytes = kind == UDP4 ? 8 : 32;
	uint32_t payload = len - l4 - l4_bytes;
	const uint8_t *ip = in + l3, *l4p = in + l4;

	assert_int_equal(frame->header.flags, 0);
	assert_int_equal(frame->header.gso_type, 0);
	if (kind == TCP6) {
		assert_int_equal(get16(ip + 4), l4_bytes + payload);
	} else {
		assert_int_equal(get16(ip + 2), len - l3);
		assert_int_equal(sum_words(ip, 20, 0), 0xffff);
	}
	assert_int_equal(sum_words(l4p, l4_bytes + payload, pseudo(ip, l4_bytes + payload)),
			 0xffff);
	if (kind == UDP4) {
		assert_int_equal(get16(l4p + 4), 8 + payload);
	} else {
		uint32_t seq = 0xffffffffu + payload_at;

		assert_int_equal((uint32_t)get16(l4p + 4) << 16 | get16(l4p + 6), seq);
		assert_int_equal(l4p[13],
				 0x10 | (payload_at ? 0 : 0x80) | (last ? 0x08 | 0x01 : 0));
	}
	memcpy(out + payload_at, l4p + l4_bytes, payload);
	return payload;
}

static void cut(struct fixture *f, enum kind kind, unsigned int tags, uint32_t payload,
		unsigned int size)
{
	uint32_t len = super_frame(kind, tags, payload, size), at = 0;
	uint32_t l3 = ETH_BYTES + 4 * tags;
	const uint8_t *sent = packet.frame + packet.header.hdr_len;

	far_send(f->far, &packet, sizeof(packet.header) + len);
	for (unsigned int id = 0xfffe; at < payload; id = (id + 1) & 0xffff) {
		struct gw_frame *frame;
		uint32_t part;

		assert_int_equal(host_receive(f->port, &frame, 1, LIMIT_MS), 1);
		assert_true(frame->len <= packet.header.hdr_len + size);
		part = check_piece(frame, kind, l3, at, payload - at <= size);
		assert_int_equal(part, payload - at < size ? payload - at : size);
		if (kind != TCP6)
			assert_int_equal(get16(in + l3 + 4), id);
		at += part;
		host_release(f->port, &frame, 1);
	}
	assert_memory_equal(out, sent, payload);
	assert_int_equal(packet_rx_lent(f->rx), 0);
}

static void super_frames_are_cut(void **state)
{
	struct fixture *f = *state;

	cut(f, TCP4, 0, 60000, 1448);
	cut(f, TCP6, 0, 60000, 1428);
	cut(f, TCP4, 0, 1449, 1448);
	cut(f, TCP4, 0, 30001, 777); /* pieces begin at odd addresses */
	cut(f, TCP4, 1, 60000, 1448);
	cut(f, UDP4, 0, 30000, 1400);
	assert_int_equal(packet_rx_counts(f->rx)->segmented, 6);
}

/* A packet needs more buffers than are free: it goes on when frames come home. */
static void cutting_waits_for_buffers(void **state)
{
	struct fixture *f = *state;
	struct gw_frame *frame[BUFFERS];
	uint32_t payload = 60000, size = 200, got = 0, pieces = payload / size, n;
	uint32_t len = super_frame(TCP4, 0, payload, size);

	far_send(f->far, &packet, sizeof(packet.header) + len);
	n = host_receive(f->port, frame, BUFFERS, 100);
	assert_true(n < pieces && n > 0);
	while (n) {
		got += n;
		host_release(f->port, frame, n);
		n = host_receive(f->port, frame, 16, got < pieces ? LIMIT_MS : 1);
	}
	assert_int_equal(got, pieces);
	assert_int_equal(packet_rx_lent(f->rx), 0);
	/* Every buffer is back: jumbo frames need most of them. */
	for (unsigned int i = 0; i < 10; i++) {
		memset(&packet.header, 0, sizeof(packet.header));
		pattern_fill(packet.frame, 9014, i);
		far_send(f->far, &packet, sizeof(packet.header) + 9014);
	}
	assert_int_equal(host_receive(f->port, frame, 10, LIMIT_MS), 10);
	host_release(f->port, frame, 10);
}

static void order_is_kept(void **state)
{
	struct fixture *f = *state;
	struct gw_frame *frame;
	uint32_t len;

	len = super_frame(TCP4, 0, 2000, 1000);
	far_send(f->far, &packet, sizeof(packet.header) + len);
	memset(&packet.header, 0, sizeof(packet.header));
	pattern_fill(packet.frame, 333, 1);
	far_send(f->far, &packet, sizeof(packet.header) + 333);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(host_receive(f->port, &frame, 1, LIMIT_MS), 1);
		assert_int_equal(frame->len == 333, i == 2);
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

static int end(void **state)
{
	host_arena_free();
	return 0;
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(frames_of_every_size), TEST(vlan_tags_are_put_back),
		TEST(super_frames_are_cut), TEST(cutting_waits_for_buffers),
		TEST(order_is_kept),        TEST(lent_frames_outlive_shut),
	};
	char why[256];

	if (!veth_enter(why, sizeof(why))) {
		fprintf(stderr, "skipped: %s\n", why);
		return EXIT_SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, end);
}
