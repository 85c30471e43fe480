/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checksums that somebody left open and packets that somebody left uncut, in both
 * directions of a veth pair.
 */
#include "ip_frame.h"
#include "xdp_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <cmocka.h>

#define JUMBO_MTU 9000u

/* ---- received ---- */

/* An IPv4 packet whose checksum is the pseudo header's sum, as a local sender leaves it. */
static size_t udp_packet(uint8_t *frame, size_t payload)
{
	static const uint8_t head[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0,  0,    0,
					1,    8,    0,    0x45, 0,    0,    0, 0, 1,  0x40, 0,
					64,   17,   0,    0,    10,   0,    0, 1, 10, 0,    0,
					2,    0x12, 0x34, 0x56, 0x78, 0,    0, 0, 0 };
	uint32_t sum = 0x0a00 + 1 + 0x0a00 + 2 + 17 + 8 + (uint32_t)payload;

	memcpy(frame, head, sizeof(head));
	for (size_t i = 0; i < payload; i++)
		frame[sizeof(head) + i] = (uint8_t)(i * 7 + 1);
	frame[16] = (uint8_t)((28 + payload) >> 8);
	frame[17] = (uint8_t)(28 + payload);
	frame[38] = (uint8_t)((8 + payload) >> 8);
	frame[39] = (uint8_t)(8 + payload);
	sum = (sum >> 16) + (sum & 0xffff);
	frame[40] = (uint8_t)(sum >> 8);
	frame[41] = (uint8_t)sum;
	return sizeof(head) + payload;
}

static void open_checksums_are_said(void **state)
{
	struct gw_frame *frame;
	struct fixture f;

	fixture_open(&f, "up=near,rxring=64", JUMBO_MTU);
	for (size_t payload = 1; payload < 8000; payload = payload * 3 + 1) {
		/* The driver has to see it with and without help: AF_PACKET gets the word. */
		uint8_t packet[9100] = { 0 };
		size_t len = udp_packet(packet + 10, payload);
		int far = far_open("far", VETH_TYPE, true);

		packet[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		packet[6] = 34; /* csum_start */
		packet[8] = 6;  /* csum_offset */
		far_send(far, packet, 10 + len);
		close(far);
		assert_int_equal(host_receive(f.port, &frame, 1, LIMIT_MS), 1);
		assert_int_equal(host_frame_bytes(frame, fixture_bytes, sizeof(fixture_bytes)),
				 len);
		assert_int_equal(frame->header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(frame->header.csum_start, 34);
		assert_int_equal(frame->header.csum_offset, 6);
		assert_memory_equal(fixture_bytes, packet + 10, len);
		host_release(f.port, &frame, 1);
	}
	if (!f.p->packet)
		assert_non_null(strstr(host_record(f.port)->log, "tx off"));
	fixture_close(&f);
}

/* The kernel cuts what a sender on this host left to a device, before AF_XDP sees it. */
static void super_frames_of_the_peer_arrive_cut(void **state)
{
	const struct ip_frame super = { .payload = 10000, .gso_size = 1000, .number = 3 };
	struct ip_frame_layout layout;
	struct virtio_net_hdr_v1 header;
	static uint8_t bytes[IP_FRAME_BYTES_MAX + 10];
	struct gw_frame *frame;
	struct fixture f;
	uint32_t len;
	int far;

	fixture_open(&f, "up=near,rxring=64", 1500);
	/* By its type the kernel knows how to cut it. */
	far = far_open("far", 0x0800, true);
	len = ip_frame_make(&super, bytes + 10, &header);
	memcpy(bytes, &header, 10);
	far_send(far, bytes, 10 + len);
	if (f.p->packet) { /* whole, with the word that it is to be cut */
		assert_int_equal(host_receive(f.port, &frame, 1, LIMIT_MS), 1);
		assert_int_equal(frame->len, len);
		assert_int_equal(frame->header.gso_size, 1000);
		host_release(f.port, &frame, 1);
	}
	for (unsigned int i = 0; i < 10 && !f.p->packet; i++) {
		assert_int_equal(host_receive(f.port, &frame, 1, LIMIT_MS), 1);
		len = host_frame_bytes(frame, fixture_bytes, sizeof(fixture_bytes));
		assert_true(ip_frame_parse(fixture_bytes, len, &layout));
		assert_int_equal(len - layout.payload, 1000);
		/* The sums stay open: a veth says that it fills them in. */
		assert_int_equal(frame->header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(frame->header.gso_type, 0);
		for (uint32_t at = 0; at < 1000; at++)
			assert_int_equal(fixture_bytes[layout.payload + at],
					 ip_frame_pattern(3, i * 1000 + at));
		host_release(f.port, &frame, 1);
	}
	close(far);
	fixture_close(&f);
}

/* ---- checksums that are left to the device ---- */

/* A UDP packet: header in private memory, payload of the guest's; the sum is left open. */
static void packet_leaves(struct fixture *f, uint8_t *header, const uint8_t *packet, size_t len)
{
	struct iovec seg[] = { { header, 42 }, { host_memory_at(&f->memory, 5001), len - 42 } };
	struct gw_frame frame;

	memcpy(header, packet, 42);
	memcpy(f->memory.guest + 5001, packet + 42, len - 42);
	host_frame(&frame, f->memory.memmap, seg, 2);
	frame.header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	frame.header.csum_start = 34;
	frame.header.csum_offset = 6;
	host_send(f->port, &frame);
	assert_int_equal(host_reap(f->port, NULL, 1, LIMIT_MS), 1);
}

static void checksum_is_left_to_the_device(void **state)
{
	uint8_t packet[9100], *header, got[9200];
	struct gw_answer answer;
	struct fixture f;
	int far;

	fixture_open(&f, "up=near,rxring=64,checksum=device", JUMBO_MTU);
	assert_int_equal(host_record(f.port)->offloads.takes, GW_OFFLOAD_CSUM);
	assert_true(host_record(f.port)->offloads.header_private);
	answer = host_lend(f.port, f.memory.memmap);
	assert_true(answer.max_segs >= 2);
	header = (uint8_t *)host_arena_buffer(f.port) + GW_HEADER_ROOM;
	far = far_open("far", 0x0800, true);
	for (size_t payload = 1; payload < 8900; payload = payload * 3 + 1) {
		size_t len = udp_packet(packet, payload);

		packet_leaves(&f, header, packet, len);
		/* The far end of a veth is told that the sum is open. */
		assert_int_equal(far_receive(far, got, sizeof(got), LIMIT_MS), 10 + len);
		assert_int_equal(got[0] & VIRTIO_NET_HDR_F_NEEDS_CSUM, 1);
		assert_int_equal(got[6], 34);
		assert_int_equal(got[8], 6);
		assert_memory_equal(got + 10, packet, len);
	}
	/* Frames without a request are as ever, and as long. */
	send_one(&f, 4096 - 701, 9014);
	send_one(&f, 1, 60);
	close(far);
	fixture_close(&f);
}

/* The kernel looks at this sum first. */
static void ipv4_header_sum(uint8_t *ip)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	ip[10] = (uint8_t)(~sum >> 8);
	ip[11] = (uint8_t)~sum;
}

/* The far end's own stack takes such a packet for good. */
static void open_checksum_is_taken_by_a_socket(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(0x5678) };
	struct timeval limit = { .tv_sec = LIMIT_MS / 1000 };
	uint8_t packet[1600], *header, got[1600];
	struct fixture f;
	size_t len;
	int fd;

	fixture_open(&f, "up=near,rxring=64,checksum=device", 1500);
	veth_run("ip link set lo up && ip address add 10.0.0.2/24 dev far");
	host_lend(f.port, f.memory.memmap);
	header = (uint8_t *)host_arena_buffer(f.port) + GW_HEADER_ROOM;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	len = udp_packet(packet, 1000);
	ipv4_header_sum(packet + 14);
	packet_leaves(&f, header, packet, len);
	assert_int_equal(recv(fd, got, sizeof(got), 0), 1000);
	assert_memory_equal(got, packet + 42, 1000);
	close(fd);
	fixture_close(&f);
}

/* On a veth the sum would stay open: it is not taken unless asked for. */
static void checksums_are_not_taken_on_a_veth(void **state)
{
	struct gw_frame frame, *offer = &frame;
	struct iovec seg;
	struct fixture f;

	fixture_open(&f, "up=near,rxring=64", 1500);
	assert_int_equal(host_record(f.port)->offloads.takes, 0);
	assert_false(host_record(f.port)->offloads.header_private);
	host_lend(f.port, f.memory.memmap);
	seg = (struct iovec){ host_memory_at(&f.memory, 100), 100 };
	host_frame(&frame, f.memory.memmap, &seg, 1);
	frame.header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	assert_int_equal(xdp_tx(host_queue(f.port), &offer, 1), 1);
	assert_int_equal(host_record(f.port)->drops[GW_DROP_DEVICE_ERROR], 1);
	assert_int_equal(host_reap(f.port, NULL, 1, LIMIT_MS), 1);
	fixture_close(&f);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_teardown(fn, fixture_tidy)
	const struct CMUnitTest tests[] = {
		TEST(open_checksums_are_said),           TEST(super_frames_of_the_peer_arrive_cut),
		TEST(checksum_is_left_to_the_device),    TEST(open_checksum_is_taken_by_a_socket),
		TEST(checksums_are_not_taken_on_a_veth),
	};

	return fixture_main(tests);
}
