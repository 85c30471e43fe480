/* SPDX-License-Identifier: BSD-2-Clause */
/* The packet driver on a veth pair: what only this one can get wrong. */
#include "host.h"
#include "ip_frame.h"
#include "packet.h"
#include "veth.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

extern const struct gw_driver gw_driver_packet;

#define EXIT_SKIP 77
#define LIMIT_MS  3000u
#define BATCH     16u
#define LEN       400u

struct fixture {
	struct gw_port *port;
	struct gw_queue *queue;
	int far;
	uint32_t number; /* of the next frame */
};

static void fixture_open(struct fixture *f, const char *spec)
{
	memset(f, 0, sizeof(*f));
	veth_add("near", "far", 1500);
	f->far = far_open("far", VETH_TYPE, false);
	f->port = host_run(&gw_driver_packet, spec);
	f->queue = host_queue(f->port);
}

static void fixture_close(struct fixture *f)
{
	assert_int_equal(host_stop(f->port, LIMIT_MS), 0);
	host_reap(f->port, NULL, BATCH, 0);
	host_close(f->port);
	close(f->far);
	veth_run("ip link del near 2>/dev/null || true");
}

/* Copies frames to slots, as the desk does, and offers them. */
static void send_batch(struct fixture *f, unsigned int count, int bad)
{
	struct gw_frame *frames[BATCH];

	for (unsigned int i = 0; i < count; i++) {
		frames[i] = gw_driver_packet.bounce(f->queue, LEN);
		assert_non_null(frames[i]);
		pattern_fill(frames[i]->seg[0].iov_base, LEN, f->number + i);
		memset(&frames[i]->header, 0, sizeof(frames[i]->header));
		if ((int)i != bad)
			continue;
		/* Asks for a checksum beyond the frame: the kernel refuses it. */
		frames[i]->header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		frames[i]->header.csum_start = LEN + 100;
	}
	f->number += count;
	assert_int_equal(gw_driver_packet.tx(f->queue, frames, count), count);
}

static void expect_frame(struct fixture *f, uint32_t number)
{
	uint8_t bytes[2048];

	assert_int_equal(far_receive(f->far, bytes, sizeof(bytes), LIMIT_MS), LEN);
	if (!pattern_holds(bytes, LEN, number))
		fail_msg("this is not frame %u", number);
}

/* Each frame of a batch in turn is one that the kernel refuses, and no other is lost. */
static void refused_frame_leaves_no_gap(void **state)
{
	struct fixture f;

	fixture_open(&f, "up=near,txring=16");
	for (int bad = 0; bad < 5; bad++) {
		struct gw_done done[5];
		bool seen[5] = { false };
		unsigned int failed = 0;
		uint32_t first = f.number;

		send_batch(&f, 5, bad);
		assert_int_equal(host_reap(f.port, done, 5, LIMIT_MS), 5);
		for (unsigned int i = 0; i < 5; i++) {
			for (unsigned int j = 0; j < i; j++)
				assert_ptr_not_equal(done[i].frame, done[j].frame);
			failed += done[i].status == GW_DONE_FAILED;
		}
		assert_int_equal(failed, 1);
		/* The last one may have overtaken others, into the gap. */
		for (unsigned int i = 0; i < 4; i++) {
			uint8_t bytes[2048];
			unsigned int n = 0;

			assert_int_equal(far_receive(f.far, bytes, sizeof(bytes), LIMIT_MS), LEN);
			while (n < 5 && (seen[n] || !pattern_holds(bytes, LEN, first + n)))
				n++;
			assert_true(n < 5 && (int)n != bad);
			seen[n] = true;
		}
	}
	fixture_close(&f);
}

static void all_frames_refused(void **state)
{
	struct fixture f;

	fixture_open(&f, "up=near,txring=16");
	for (unsigned int i = 0; i < 40; i++) {
		struct gw_done done;

		send_batch(&f, 1, 0);
		assert_int_equal(host_reap(f.port, &done, 1, LIMIT_MS), 1);
		assert_int_equal(done.status, GW_DONE_FAILED);
	}
	send_batch(&f, 1, -1);
	assert_int_equal(host_reap(f.port, NULL, 1, LIMIT_MS), 1);
	expect_frame(&f, 40);
	fixture_close(&f);
}

/* One frame of ip_frame.h to a slot and on its way; what became of it. */
static enum gw_done_status send_ip(struct fixture *f, const struct ip_frame *frame)
{
	static uint8_t bytes[IP_FRAME_BYTES_MAX];
	struct virtio_net_hdr_v1 header;
	uint32_t len = ip_frame_make(frame, bytes, &header);
	struct gw_frame *slot = gw_driver_packet.bounce(f->queue, len);
	struct gw_done done;

	assert_non_null(slot);
	memcpy(slot->seg[0].iov_base, bytes, len);
	slot->header = header;
	host_send(f->port, slot);
	assert_int_equal(host_reap(f->port, &done, 1, LIMIT_MS), 1);
	return done.status;
}

/*
 * A super-frame that is none, or whose pieces are too long, and a long frame: a veth
 * drops them, and the kernel would be told to send them for ever. Other frames pass.
 */
static void frame_that_the_device_drops_blocks_nobody(void **state)
{
	const struct ip_frame none = { .payload = 3000, .gso_size = 4000 };
	const struct ip_frame pieces = { .payload = 9000, .gso_size = 4000, .ipv6 = true };
	const struct ip_frame datagrams = { .payload = 9000, .gso_size = 4000, .udp = true };
	const struct ip_frame whole = { .payload = 3000 };
	struct fixture f;

	fixture_open(&f, "up=near,txring=16");
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(send_ip(&f, &none), GW_DONE_OK);
		assert_int_equal(send_ip(&f, &pieces), GW_DONE_OK);
		assert_int_equal(send_ip(&f, &datagrams), GW_DONE_OK);
		assert_int_equal(host_record(f.port)->drops[GW_DROP_TOO_LONG], 3 * (i + 1));
	}
	/* The core does not offer such; the kernel's word for it is that of a full queue. */
	assert_int_equal(send_ip(&f, &whole), GW_DONE_FAILED);
	send_batch(&f, 1, -1);
	assert_int_equal(host_reap(f.port, NULL, 1, LIMIT_MS), 1);
	expect_frame(&f, 0);
	fixture_close(&f);
}

static void what_is_taken_goes_by_the_options(void **state)
{
	static const struct {
		const char *spec;
		uint32_t takes, len_max;
	} table[] = {
		{ "up=near", GW_OFFLOAD_ALL, 65494 },
		{ "up=near,offloads=checksum", GW_OFFLOAD_CSUM, 2006 },
		{ "up=near,qdisc=off", GW_OFFLOAD_CSUM, 2006 },
		{ "up=near,offloads=off", 0, 2006 },
	};

	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct fixture f;
		const struct gw_offloads *offloads;

		fixture_open(&f, table[i].spec);
		offloads = &host_record(f.port)->offloads;
		/* Before Linux 6.2: none of UDP. */
		assert_int_equal(offloads->takes | (table[i].takes & GW_OFFLOAD_USO),
				 table[i].takes);
		assert_int_equal(offloads->len_max, table[i].len_max);
		fixture_close(&f);
	}
}

static void interface_down_is_counted_and_recovers(void **state)
{
	struct fixture f;
	unsigned int sent = 0;

	fixture_open(&f, "up=near,txring=16");
	veth_run("ip link set near down");
	for (unsigned int round = 0; round < 10; round++) {
		send_batch(&f, 5, -1);
		sent += 5;
		assert_int_equal(host_reap(f.port, NULL, 5, LIMIT_MS), 5);
		assert_int_equal(host_record(f.port)->drops[GW_DROP_EGRESS_DOWN], sent);
	}
	veth_run("ip link set near up");
	send_batch(&f, 5, -1);
	assert_int_equal(host_reap(f.port, NULL, 5, LIMIT_MS), 5);
	assert_int_equal(host_record(f.port)->drops[GW_DROP_EGRESS_DOWN], sent);
	for (unsigned int i = 0; i < 5; i++)
		expect_frame(&f, sent + i);
	fixture_close(&f);
}

static void interface_gone_is_counted(void **state)
{
	struct gw_error err = { 0 };
	struct fixture f;

	fixture_open(&f, "up=near,txring=16");
	veth_run("ip link del near");
	send_batch(&f, 5, -1);
	assert_int_equal(host_record(f.port)->drops[GW_DROP_EGRESS_DOWN], 5);
	assert_int_equal(host_reap(f.port, NULL, 5, LIMIT_MS), 5);
	assert_int_equal(host_stop(f.port, LIMIT_MS), 0);
	assert_int_equal(host_start(f.port, &err), -ENODEV);
	assert_non_null(strstr(err.text, "near"));
	fixture_close(&f);
}

static void full_ring_has_no_bounce_memory(void **state)
{
	struct gw_frame *frame[17];
	struct fixture f;
	unsigned int count = 0;

	fixture_open(&f, "up=near,txring=16");
	while (count < 17 && (frame[count] = gw_driver_packet.bounce(f.queue, 1000)))
		count++;
	assert_int_equal(count, 16);
	assert_null(gw_driver_packet.bounce(f.queue, 1000));
	while (count)
		gw_driver_packet.unbounce(f.queue, frame[--count]);
	assert_null(gw_driver_packet.bounce(f.queue, 65536 - 41));
	send_batch(&f, 16, -1);
	assert_int_equal(host_reap(f.port, NULL, 16, LIMIT_MS), 16);
	for (unsigned int i = 0; i < 16; i++)
		expect_frame(&f, i);
	fixture_close(&f);
}

/* From the kernel's place in the ring on, a ring's worth; each is one, in its turn. */
static void send_whole_ring(struct fixture *f, unsigned int slots)
{
	for (unsigned int sent = 0; sent < slots; sent += BATCH) {
		uint32_t first = f->number;

		send_batch(f, BATCH, -1);
		for (unsigned int i = 0; i < BATCH; i++)
			expect_frame(f, first + i);
	}
	assert_null(gw_driver_packet.bounce(f->queue, LEN));
	assert_int_equal(host_reap(f->port, NULL, slots, LIMIT_MS), slots);
}

/* Which 100 slots would not: 2^32 is no multiple of 100. */
static void positions_keep_their_slots_across_2_32(void **state)
{
	struct packet *packet;
	struct fixture f;

	fixture_open(&f, "up=near,txring=100");
	packet = f.queue->priv;
	assert_int_equal(packet->slots, 64);
	send_batch(&f, 10, -1);
	assert_int_equal(host_reap(f.port, NULL, 10, LIMIT_MS), 10);
	for (unsigned int i = 0; i < 10; i++)
		expect_frame(&f, i);
	/* As after 2^32 frames, less a ring's: the kernel is at the slot where it was. */
	packet->done = packet->sent = packet->head = packet->head - packet->slots;
	send_whole_ring(&f, 64);
	assert_int_equal(packet->head, 10);
	send_whole_ring(&f, 64);
	fixture_close(&f);
}

/* Frames that were reaped neither before nor after a stop: start does not lose them. */
static void start_waits_for_reap(void **state)
{
	struct gw_error err = { 0 };
	struct fixture f;

	fixture_open(&f, "up=near,txring=16");
	send_batch(&f, 3, -1);
	assert_int_equal(host_stop(f.port, LIMIT_MS), 0);
	assert_int_equal(host_start(f.port, &err), -EBUSY);
	assert_int_equal(host_reap(f.port, NULL, 4, 0), 3);
	assert_int_equal(host_start(f.port, &err), 0);
	fixture_close(&f);
}

static void veth_is_a_kernel_copy(void **state)
{
	struct gw_done done;
	struct fixture f;

	fixture_open(&f, "up=near");
	send_batch(&f, 1, -1);
	assert_int_equal(host_reap(f.port, &done, 1, LIMIT_MS), 1);
	assert_int_equal(done.status, GW_DONE_KERNEL_COPIED);
	fixture_close(&f);
}

static void tagged_frame_of_full_size_passes(void **state)
{
	struct gw_frame *frame;
	uint8_t bytes[2048];
	struct fixture f;
	size_t len;

	fixture_open(&f, "up=near");
	assert_int_equal(host_record(f.port)->max_len, 1518);
	frame = gw_driver_packet.bounce(f.queue, 1518);
	assert_non_null(frame);
	pattern_fill(frame->seg[0].iov_base, 1518, 1);
	memcpy((uint8_t *)frame->seg[0].iov_base + 12, "\x81\x00\x00\x05\x88\xb5", 6);
	memset(&frame->header, 0, sizeof(frame->header));
	host_send(f.port, frame);
	assert_int_equal(host_reap(f.port, NULL, 1, LIMIT_MS), 1);
	/* The kernel takes the tag off before a raw socket has it. */
	len = far_receive(f.far, bytes, sizeof(bytes), LIMIT_MS);
	assert_true(len == 1514 || len == 1518);
	fixture_close(&f);
}

static void not_ethernet_is_refused(void **state)
{
	struct gw_error err = { 0 };
	struct gw_port *port;

	if (access("/dev/net/tun", R_OK | W_OK)) {
		print_message("no access to /dev/net/tun, so no interface that is not Ethernet\n");
		skip();
	}
	veth_run("ip tuntap add dev tun9 mode tun");
	assert_true(host_open(&gw_driver_packet, "up=tun9", &port, &err) < 0);
	assert_non_null(strstr(err.text, "tun9"));
	veth_run("ip link del tun9");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_frame_leaves_no_gap),
		cmocka_unit_test(all_frames_refused),
		cmocka_unit_test(frame_that_the_device_drops_blocks_nobody),
		cmocka_unit_test(what_is_taken_goes_by_the_options),
		cmocka_unit_test(interface_down_is_counted_and_recovers),
		cmocka_unit_test(interface_gone_is_counted),
		cmocka_unit_test(full_ring_has_no_bounce_memory),
		cmocka_unit_test(positions_keep_their_slots_across_2_32),
		cmocka_unit_test(start_waits_for_reap),
		cmocka_unit_test(veth_is_a_kernel_copy),
		cmocka_unit_test(tagged_frame_of_full_size_passes),
		cmocka_unit_test(not_ethernet_is_refused),
	};
	char why[256];

	if (!veth_enter(why, sizeof(why))) {
		fprintf(stderr, "skipped: %s\n", why);
		return EXIT_SKIP;
	}
	return cmocka_run_group_tests(tests, NULL, host_end);
}
