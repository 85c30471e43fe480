/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver on a veth pair, against the kernel: near is its interface, far a raw
 * socket at the other end. What every driver has to do is in tests/conformance;
 * here is what only this one can get wrong. Frames that go and come are here,
 * changes while they do in xdp_memory_test.c and xdp_change_test.c.
 *
 * Run by root, the process moves to a network namespace of its own; by a user, into
 * a user namespace as well, where no BPF program may be loaded: frames are received
 * through AF_PACKET then, as in the demo of an ordinary user.
 */
#include "xdp_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define JUMBO_MTU 9000u

static void frames_go_out_of_guest_memory(void **state)
{
	struct fixture f;
	struct gw_answer answer;

	fixture_open(&f, "up=near,rxring=64", 1500);
	answer = host_query(f.port, f.memory.memmap);
	assert_int_equal(answer.verdict, GW_PARTLY);
	assert_int_equal(answer.reads, GW_READS_KERNEL_COPY);
	assert_true(answer.needs_map);
	assert_int_equal(answer.max_segs, 17);
	answer = host_query(f.port, NULL);
	assert_int_equal(answer.verdict, GW_YES);
	assert_false(answer.needs_map);
	host_lend(f.port, f.memory.memmap);
	assert_false(host_query(f.port, f.memory.memmap).needs_map);
	for (size_t len = 14; len <= 1514; len++)
		send_one(&f, (len * 4999) % (GUEST_BYTES - 2000), len);
	send_one(&f, GUEST_BYTES - 1514, 1514); /* the window's last byte */
	assert_int_equal(f.ch->tx.bogus, 0);
	fixture_close(&f);
}

static void jumbo_frames_in_any_segments(void **state)
{
	struct fixture f;

	fixture_open(&f, "up=near,rxring=64", JUMBO_MTU);
	host_lend(f.port, f.memory.memmap);
	send_one(&f, 4096 - 701, 9014);
	for (unsigned int n = 1; n <= 16; n++) {
		struct iovec seg[17];
		struct gw_frame frame;
		size_t part = 9014 / n, at = 0;

		pattern_fill(fixture_bytes, 9014, ++f.number);
		for (unsigned int i = 0; i < n; i++) {
			size_t len = i == n - 1 ? 9014 - at : part, to = i * 12289 + 3 * n;

			memcpy(f.memory.guest + to, fixture_bytes + at, len);
			seg[i] = (struct iovec){ host_memory_at(&f.memory, to), len };
			at += len;
		}
		host_frame(&frame, f.memory.memmap, seg, n);
		host_send(f.port, &frame);
		assert_int_equal(far_receive(f.far, fixture_bytes, sizeof(fixture_bytes), LIMIT_MS),
				 9014);
		assert_true(pattern_holds(fixture_bytes, 9014, f.number));
		assert_int_equal(host_reap(f.port, NULL, 1, LIMIT_MS), 1);
	}
	assert_int_equal(host_query(f.port, f.memory.memmap).max_segs, 16);
	fixture_close(&f);
}

/* Headers that were completed in private memory, payload that stays in the guest's. */
static void private_headers_leave_with_guest_payload(void **state)
{
	struct gw_frame frame;
	struct fixture f;
	uint8_t *header;

	fixture_open(&f, "up=near,rxring=64", 1500);
	assert_false(host_record(f.port)->offloads.one_segment);
	assert_int_equal(host_record(f.port)->offloads.takes, 0);
	host_lend(f.port, f.memory.memmap);
	header = (uint8_t *)host_arena_buffer(f.port) + GW_HEADER_ROOM;
	for (size_t len = 100; len <= 1514; len += 101) {
		struct iovec seg[] = { { header, 54 },
				       { host_memory_at(&f.memory, 4096 - len / 2), len - 64 },
				       { host_memory_at(&f.memory, 3 * len + 9000), 10 } };

		pattern_fill(fixture_bytes, len, ++f.number);
		memcpy(header, fixture_bytes, 54);
		memcpy(f.memory.guest + 4096 - len / 2, fixture_bytes + 54, len - 64);
		memcpy(f.memory.guest + 3 * len + 9000, fixture_bytes + len - 10, 10);
		host_frame(&frame, f.memory.memmap, seg, 3);
		host_send(f.port, &frame);
		assert_int_equal(far_receive(f.far, fixture_bytes, sizeof(fixture_bytes), LIMIT_MS),
				 len);
		assert_true(pattern_holds(fixture_bytes, len, f.number));
		assert_int_equal(host_reap(f.port, NULL, 1, LIMIT_MS), 1);
	}
	fixture_close(&f);
}

/* One call takes 32 descriptors, as on kernels before 6.18: none is left in the ring. */
static void calls_go_on_until_the_ring_is_empty(void **state)
{
	static struct gw_frame frame[256];
	struct gw_frame *batch[GW_BATCH];
	const int budget = 32;
	struct fixture f;

	fixture_open(&f, "up=near,rxring=64", 1500);
	host_lend(f.port, f.memory.memmap);
	(void)setsockopt(f.ch->xsk->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
	for (unsigned int i = 0; i < 256; i++) {
		struct iovec seg = { host_memory_at(&f.memory, 2000 * i), 1000 };

		pattern_fill(f.memory.guest + 2000 * i, 1000, i);
		host_frame(&frame[i], f.memory.memmap, &seg, 1);
		batch[i % GW_BATCH] = &frame[i];
		if (i % GW_BATCH == GW_BATCH - 1)
			assert_int_equal(xdp_tx(host_queue(f.port), batch, GW_BATCH), GW_BATCH);
	}
	assert_true(f.ch->tx.kicks >= 256 / 32);
	for (unsigned int i = 0; i < 256; i++) {
		assert_int_equal(far_receive(f.far, fixture_bytes, sizeof(fixture_bytes), LIMIT_MS),
				 1000);
		assert_true(pattern_holds(fixture_bytes, 1000, i));
	}
	assert_int_equal(host_reap(f.port, NULL, 256, LIMIT_MS), 256);
	fixture_close(&f);
}

/* ---- receiving ---- */

static void frames_are_received(void **state)
{
	struct fixture f;

	fixture_open(&f, "up=near,rxring=128", JUMBO_MTU);
	assert_int_equal(f.p->packet != NULL, !veth_privileged());
	for (size_t len = 14; len <= 1514; len += 7)
		receive_one(&f, len, 1);
	for (unsigned int i = 0; i < 100; i++)
		receive_one(&f, 9014, 3);
	host_lend(f.port, f.memory.memmap);
	receive_one(&f, 1514, 1);
	receive_one(&f, 9014, 3);
	fixture_close(&f);
}

/* Lent frames stay valid and their buffers out of the ring while sockets change. */
static void lent_frames_outlive_the_socket(void **state)
{
	struct gw_frame *frame[8];
	struct fixture f;

	fixture_open(&f, "up=near,rxring=64", 1500);
	for (unsigned int i = 0; i < 8; i++) {
		pattern_fill(fixture_bytes, 500, 100 + i);
		far_send(f.far, fixture_bytes, 500);
	}
	assert_int_equal(host_receive(f.port, frame, 8, LIMIT_MS), 8);
	host_lend(f.port, f.memory.memmap);
	for (unsigned int i = 0; i < 200; i++)
		receive_one(&f, 600, 1);
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(host_frame_bytes(frame[i], fixture_bytes, sizeof(fixture_bytes)),
				 500);
		assert_true(pattern_holds(fixture_bytes, 500, 100 + i));
	}
	host_release(f.port, frame, 8);
	for (unsigned int i = 0; i < 200; i++)
		receive_one(&f, 600, 1);
	fixture_close(&f);
}

/* ---- errors that users make ---- */

/* A kernel that completes nothing of what it finds invalid: nothing else comes, and it is seen. */
static void invalid_descriptor_is_noticed_at_rest(void **state)
{
	uint64_t end_ms = host_now_ms() + LIMIT_MS;
	struct gw_frame frame;
	struct fixture f;
	struct iovec seg;
	unsigned int us;

	fixture_open(&f, "up=near,rxring=64", 1500);
	host_lend(f.port, f.memory.memmap);
	seg = (struct iovec){ host_memory_at(&f.memory, 100), 100 };
	host_frame(&frame, f.memory.memmap, &seg, 1);
	assert_int_equal(tx_put(f.ch, &frame), PUT_OK);
	xsk_desc(&f.ch->xsk->tx, f.ch->xsk->tx.mine - 1)->addr = 1ull << 47;
	tx_publish(f.ch);
	while (!gw_load_relaxed(&f.ch->broken)) {
		assert_false(tx_arm(f.ch, &us));
		assert_true(host_now_ms() < end_ms);
	}
	/* Opened anew: the frame is over, not sent. */
	assert_true(host_query(f.port, f.memory.memmap).needs_map);
	assert_int_equal(host_reap(f.port, NULL, 1, LIMIT_MS), 1);
	host_lend(f.port, f.memory.memmap);
	send_one(&f, 9000, 1514);
	fixture_close(&f);
}

static void errors_say_what_to_do(void **state)
{
	static const struct {
		const char *spec;
		int rc;
		const char *word;
	} wrong[] = {
		{ "up=nosuch", -ENODEV, "nosuch" },
		{ "up=near,queue=99999", -EINVAL, "queue" },
		{ "up=near,bind=both", -EINVAL, "both" },
		{ "up=near,checksum=device,bind=zerocopy", -EINVAL, "copy mode" },
		{ "up=near,txring=1000", -EINVAL, "power of two" },
		{ "up=near,rxring=16", -EINVAL, "rxring" },
	};
	struct gw_error err;
	struct gw_port *port;

	veth_add("near", "far", 1500);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memset(&err, 0, sizeof(err));
		assert_int_equal(host_open(&gw_driver_xdp, wrong[i].spec, &port, &err),
				 wrong[i].rc);
		assert_non_null(strstr(err.text, wrong[i].word));
	}
	assert_int_equal(host_open(&gw_driver_xdp, "up=near,rxring=64,bind=zerocopy", &port, &err),
			 0);
	assert_int_equal(host_start(port, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "bind=auto"));
	host_close(port);
	assert_int_equal(host_open(&gw_driver_xdp, "up=near,rxring=64,queue=7", &port, &err), 0);
	assert_int_equal(host_start(port, &err), -EINVAL);
	assert_non_null(strstr(err.text, "ethtool -l near"));
	host_close(port);
	assert_false(link_shows("prog/xdp"));
	veth_delete("near");
}

static void own_address_is_warned_of(void **state)
{
	struct gw_port *port;

	veth_add("near", "far", 1500);
	veth_run("ip address add 192.0.2.1/24 dev near");
	port = host_run(&gw_driver_xdp, "up=near,rxring=64");
	if (veth_privileged())
		assert_non_null(strstr(host_record(port)->log, "IP address of this host"));
	assert_non_null(strstr(host_record(port)->status, "own address"));
	assert_int_equal(host_stop(port, 500), 0);
	host_close(port);
	veth_delete("near");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_teardown(fn, fixture_tidy)
	const struct CMUnitTest tests[] = {
		TEST(frames_go_out_of_guest_memory),
		TEST(jumbo_frames_in_any_segments),
		TEST(private_headers_leave_with_guest_payload),
		TEST(calls_go_on_until_the_ring_is_empty),
		TEST(frames_are_received),
		TEST(lent_frames_outlive_the_socket),
		TEST(invalid_descriptor_is_noticed_at_rest),
		TEST(errors_say_what_to_do),
		TEST(own_address_is_warned_of),
	};

	return fixture_main(tests);
}
