/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated device does what it is told, and its driver notices what it should. */
#include "host.h"
#include "ip_frame.h"
#include "loop_test_api.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

extern const struct gw_driver gw_driver_loop;

#define FRAMES      8u
#define FRAME_BYTES 600u
#define LIMIT_MS    2000u

struct fixture {
	struct gw_port *port;
	struct loop *loop;
	struct host_memory memory;
	struct gw_frame frame[FRAMES];
	uint8_t wire[GW_FRAME_LEN_MAX]; /* what was transmitted last */
	struct virtio_net_hdr_v1 wire_header;
	unsigned int wire_frames;
};

static void on_wire(void *arg, const uint8_t *bytes, uint32_t len,
		    const struct virtio_net_hdr_v1 *header)
{
	struct fixture *f = arg;

	memcpy(f->wire, bytes, len);
	f->wire_header = *header;
	f->wire_frames++;
}

/* A running port, and FRAMES frames in the guest's memory, frame number i full of i + 1. */
static void fixture_open(struct fixture *f, const char *spec)
{
	memset(f, 0, sizeof(*f));
	host_memory_create(&f->memory, 1 << 20, 0);
	f->port = host_run(&gw_driver_loop, spec);
	f->loop = loop_test_find("dev");
	assert_non_null(f->loop);
	loop_test_wire(f->loop, (struct loop_wire){ on_wire, f });
	host_lend(f->port, f->memory.memmap);
	for (unsigned int i = 0; i < FRAMES; i++) {
		struct iovec seg = { host_memory_at(&f->memory, i * 1000), FRAME_BYTES };

		memset(f->memory.guest + i * 1000, (int)i + 1, FRAME_BYTES);
		host_frame(&f->frame[i], f->memory.memmap, &seg, 1);
	}
}

static void fixture_close(struct fixture *f)
{
	assert_int_equal(host_stop(f->port, LIMIT_MS), 0);
	host_reap(f->port, NULL, FRAMES, 0);
	host_close(f->port);
	assert_null(loop_test_find("dev"));
	host_memory_destroy(&f->memory);
}

static void send_all(struct fixture *f)
{
	for (unsigned int i = 0; i < FRAMES; i++)
		host_send(f->port, &f->frame[i]);
}

static void reads_when_it_completes(void **state)
{
	struct fixture f;
	struct loop_test_view view;
	uint8_t bytes[FRAME_BYTES];

	fixture_open(&f, "dev=,hold=on");
	host_send(f.port, &f.frame[0]);
	assert_int_equal(host_reap(f.port, NULL, 1, 0), 0);
	assert_int_equal(f.wire_frames, 0);
	f.memory.guest[100] = 0x77;
	loop_test_peek(f.loop, 0, &view, bytes, sizeof(bytes));
	assert_ptr_equal(view.frame, &f.frame[0]);
	assert_ptr_equal(view.seg[0].iov_base, host_memory_at(&f.memory, 0));
	assert_int_equal(bytes[100], 0x77);
	f.memory.guest[101] = 0x78;
	assert_int_equal(loop_test_release(f.loop, 9), 1);
	assert_int_equal(f.wire[100], 0x77);
	assert_int_equal(f.wire[101], 0x78);
	assert_int_equal(host_reap(f.port, NULL, 1, LIMIT_MS), 1);
	fixture_close(&f);
}

static void completes_in_any_order(void **state)
{
	static const unsigned int pick[] = { 5, 0, 3, 3 }, expected[] = { 5, 0, 4, 6 };
	struct gw_done done[FRAMES];
	struct fixture f;

	fixture_open(&f, "dev=,hold=on");
	send_all(&f);
	for (unsigned int i = 0; i < 4; i++)
		loop_test_complete(f.loop, pick[i], i == 1);
	assert_int_equal(loop_test_held(f.loop), FRAMES - 4);
	assert_int_equal(host_reap(f.port, done, FRAMES, 0), 4);
	for (unsigned int i = 0; i < 4; i++) {
		assert_ptr_equal(done[i].frame, &f.frame[expected[i]]);
		assert_int_equal(done[i].status, i == 1 ? GW_DONE_FAILED : GW_DONE_OK);
	}
	assert_int_equal(f.wire_frames, 3);
	fixture_close(&f);
}

static void order_reverse(void **state)
{
	struct gw_done done[FRAMES];
	struct fixture f;

	fixture_open(&f, "dev=,order=reverse");
	send_all(&f);
	assert_int_equal(host_reap(f.port, done, FRAMES, LIMIT_MS), FRAMES);
	for (unsigned int i = 0; i < FRAMES; i++)
		assert_ptr_equal(done[i].frame, &f.frame[FRAMES - 1 - i]);
	fixture_close(&f);
}

static void bogus_completions_reach_nobody(void **state)
{
	struct loop_test_view view;
	struct fixture f;

	fixture_open(&f, "dev=,hold=on");
	send_all(&f);
	loop_test_peek(f.loop, 0, &view, NULL, 0);
	loop_test_bogus(f.loop, view.cookie + (1ull << 32), 2); /* a later generation */
	loop_test_bogus(f.loop, 0xffffffffu, 1);                /* no such slot */
	assert_int_equal(host_reap(f.port, NULL, FRAMES, 0), 0);
	assert_int_equal(loop_test_release(f.loop, 1), 1);
	loop_test_bogus(f.loop, view.cookie, 1); /* a second time */
	assert_int_equal(host_reap(f.port, NULL, FRAMES, 0), 1);
	assert_int_equal(loop_test_counts(f.loop).bogus, 4);
	fixture_close(&f);
}

static void duplicates_are_reported_once(void **state)
{
	struct fixture f;

	fixture_open(&f, "dev=,duplicate=1");
	for (unsigned int round = 0; round < 100; round++) {
		send_all(&f);
		assert_int_equal(host_reap(f.port, NULL, FRAMES, LIMIT_MS), FRAMES);
	}
	assert_int_equal(host_reap(f.port, NULL, 1, 0), 0);
	assert_int_equal(loop_test_counts(f.loop).bogus, 100 * FRAMES);
	fixture_close(&f);
}

static void lost_frames_come_back_at_stop(void **state)
{
	struct gw_done done[FRAMES];
	struct fixture f;

	fixture_open(&f, "dev=,lose=4");
	send_all(&f);
	assert_int_equal(host_reap(f.port, NULL, FRAMES, 20), FRAMES - 2);
	assert_int_equal(loop_test_held(f.loop), 2);
	assert_int_equal(host_stop(f.port, LIMIT_MS), 0);
	assert_int_equal(host_reap(f.port, done, FRAMES, 0), 2);
	assert_ptr_equal(done[0].frame, &f.frame[3]);
	assert_int_equal(done[0].status, GW_DONE_FAILED);
	fixture_close(&f);
}

static void held_frames_are_transmitted_at_stop(void **state)
{
	struct fixture f;

	fixture_open(&f, "dev=,delay=3600000");
	send_all(&f);
	assert_int_equal(host_stop(f.port, LIMIT_MS), 0);
	assert_int_equal(f.wire_frames, FRAMES);
	assert_int_equal(host_reap(f.port, NULL, FRAMES, 0), FRAMES);
	fixture_close(&f);
}

static void stubborn_device_keeps_frames(void **state)
{
	uint64_t begin_ms = host_now_ms();
	struct fixture f;

	fixture_open(&f, "dev=,hold=on,stubborn=on");
	send_all(&f);
	assert_int_equal(host_stop(f.port, 50), FRAMES);
	assert_true(host_now_ms() - begin_ms >= 50);
	assert_non_null(strstr(host_record(f.port)->status, "holds 8 frames"));
	assert_int_equal(host_reap(f.port, NULL, 1, 0), 0);
	/* They come home late. */
	assert_int_equal(loop_test_release(f.loop, FRAMES), FRAMES);
	assert_int_equal(host_reap(f.port, NULL, FRAMES, 0), FRAMES);
	fixture_close(&f);
}

static void delay_is_announced_and_kept(void **state)
{
	uint64_t begin_ms = host_now_ms();
	unsigned int poll_us = 0;
	struct fixture f;

	fixture_open(&f, "dev=,delay=30");
	host_send(f.port, &f.frame[0]);
	assert_false(gw_driver_loop.arm(host_queue(f.port), GW_WANT_REAP, &poll_us));
	assert_in_range(poll_us, 1, 30000);
	assert_int_equal(host_reap(f.port, NULL, 1, LIMIT_MS), 1);
	assert_true(host_now_ms() - begin_ms >= 29);
	fixture_close(&f);
}

static void full_ring_refuses(void **state)
{
	struct gw_frame *frames[FRAMES];
	struct fixture f;

	fixture_open(&f, "dev=,hold=on,ring=5");
	for (unsigned int i = 0; i < FRAMES; i++)
		frames[i] = &f.frame[i];
	assert_int_equal(gw_driver_loop.tx(host_queue(f.port), frames, FRAMES), 5);
	assert_int_equal(host_queue(f.port)->refusal, GW_DROP_EGRESS_FULL);
	loop_test_release(f.loop, 2);
	assert_int_equal(host_reap(f.port, NULL, 2, 0), 2);
	assert_int_equal(gw_driver_loop.tx(host_queue(f.port), frames + 5, 3), 2);
	fixture_close(&f);
}

static void answer_can_be_changed(void **state)
{
	struct gw_answer answer;
	struct fixture f;

	fixture_open(&f, "dev=");
	assert_int_equal(loop_test_queries(f.loop), 1);
	answer = loop_test_current_answer(f.loop);
	assert_int_equal(answer.verdict, GW_YES);
	answer.verdict = GW_NO;
	answer.reason = GW_COPY_MEMORY_DISCARDED;
	loop_test_answer(f.loop, &answer);
	assert_int_equal(host_record(f.port)->requeries, 1);
	assert_int_equal(host_query(f.port, f.memory.memmap).reason, GW_COPY_MEMORY_DISCARDED);
	assert_int_equal(loop_test_queries(f.loop), 2);
	fixture_close(&f);
}

static void echo_swaps_addresses(void **state)
{
	struct gw_frame *back;
	struct fixture f;
	uint8_t bytes[FRAME_BYTES];

	fixture_open(&f, "dev=,echo=swap");
	memcpy(f.memory.guest, "\x02\x00\x00\x00\x00\x0a\x02\x00\x00\x00\x00\x0b", 12);
	memcpy(f.memory.guest + 1000, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x0b", 12);
	host_send(f.port, &f.frame[0]);
	host_send(f.port, &f.frame[1]);
	assert_int_equal(host_reap(f.port, NULL, 2, LIMIT_MS), 2);
	assert_int_equal(host_receive(f.port, &back, 1, LIMIT_MS), 1);
	assert_int_equal(host_frame_bytes(back, bytes, sizeof(bytes)), FRAME_BYTES);
	assert_memory_equal(bytes, "\x02\x00\x00\x00\x00\x0b\x02\x00\x00\x00\x00\x0a\x01", 13);
	host_release(f.port, &back, 1);
	assert_int_equal(host_receive(f.port, &back, 1, LIMIT_MS), 1);
	/* A broadcast address is nobody's source. */
	assert_memory_equal(back->snapshot, "\x02\x00\x00\x00\x00\x0b\x02loop", 11);
	host_release(f.port, &back, 1);
	assert_int_equal(loop_test_counts(f.loop).lent, 0);
	fixture_close(&f);
}

static void echo_without_buffers_is_counted(void **state)
{
	struct gw_frame *back[128];
	unsigned int got;
	struct fixture f;

	fixture_open(&f, "dev=,echo=on");
	for (unsigned int i = 0; i < 10; i++) {
		send_all(&f);
		assert_int_equal(host_reap(f.port, NULL, FRAMES, LIMIT_MS), FRAMES);
	}
	got = host_receive(f.port, back, 128, 0);
	assert_int_equal(got, 64);
	assert_int_equal(host_record(f.port)->rx_drops[GW_DROP_NO_RX_BUFFERS], 80 - 64);
	host_release(f.port, back, got);
	fixture_close(&f);
}

static void bad_options_are_refused(void **state)
{
	static const char *const bad[] = {
		"dev=,answer=maybe", "dev=,segs=0",   "dev=,ring=4097",
		"dev=,delay=-1",     "dev=,echo=yes", "dev=,max_len=13"
	};

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct gw_error err = { 0 };
		struct gw_port *port;

		assert_int_equal(host_open(&gw_driver_loop, bad[i], &port, &err), -EINVAL);
		assert_true(*err.text);
	}
}

static void map_can_fail(void **state)
{
	struct gw_error err = { 0 };
	struct host_memory memory;
	struct gw_port *port = host_run(&gw_driver_loop, "dev=,map=fail");

	host_memory_create(&memory, 1 << 20, 0);
	assert_true(host_query(port, memory.memmap).needs_map);
	assert_int_equal(gw_driver_loop.map(port, memory.memmap, &err), -ENOMEM);
	assert_non_null(strstr(err.text, "dev"));
	assert_int_equal(host_stop(port, LIMIT_MS), 0);
	host_close(port);
	host_memory_destroy(&memory);
}

/* [private header | payload in guest memory], and a super-frame's header as it is. */
static void private_header_is_written_before(void **state)
{
	const struct ip_frame super = { .payload = 30000, .gso_size = 1000 };
	static uint8_t bytes[IP_FRAME_BYTES_MAX];
	struct virtio_net_hdr_v1 header;
	uint32_t len = ip_frame_make(&super, bytes, &header);
	struct fixture f;
	struct iovec seg[2];
	struct gw_frame frame;
	uint8_t *room;

	fixture_open(&f, "dev=,offloads=all,header_private=on");
	assert_int_equal(host_record(f.port)->offloads.takes, GW_OFFLOAD_ALL);
	assert_true(host_record(f.port)->offloads.header_private);
	room = host_arena_buffer(f.port);
	memset(room, 0, GW_HEADER_ROOM + 1);
	seg[0] = (struct iovec){ room + GW_HEADER_ROOM, header.hdr_len };
	memcpy(seg[0].iov_base, bytes, header.hdr_len);
	seg[1] = (struct iovec){ host_memory_at(&f.memory, 5000), super.payload };
	memcpy(f.memory.guest + 5000, bytes + header.hdr_len, super.payload);
	host_frame(&frame, f.memory.memmap, seg, 2);
	frame.header = header;
	host_send(f.port, &frame);
	assert_int_equal(room[0], 0xa5);
	assert_int_equal(room[GW_HEADER_ROOM - 1], 0xa5);
	assert_int_equal(host_reap(f.port, NULL, 1, LIMIT_MS), 1);
	assert_memory_equal(f.wire, bytes, len);
	assert_memory_equal(&f.wire_header, &header, sizeof(header));
	fixture_close(&f);
}

static void offloads_can_be_changed(void **state)
{
	const struct gw_offloads offloads = { .takes = GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO6 };
	struct fixture f;

	fixture_open(&f, "dev=,one_segment=on,segs=1");
	assert_int_equal(host_record(f.port)->offloads.takes, 0);
	assert_true(host_record(f.port)->offloads.one_segment);
	loop_test_offloads(f.loop, &offloads);
	assert_int_equal(host_record(f.port)->offloads.takes, offloads.takes);
	assert_false(host_record(f.port)->offloads.one_segment);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_when_it_completes),
		cmocka_unit_test(completes_in_any_order),
		cmocka_unit_test(order_reverse),
		cmocka_unit_test(bogus_completions_reach_nobody),
		cmocka_unit_test(duplicates_are_reported_once),
		cmocka_unit_test(lost_frames_come_back_at_stop),
		cmocka_unit_test(held_frames_are_transmitted_at_stop),
		cmocka_unit_test(stubborn_device_keeps_frames),
		cmocka_unit_test(delay_is_announced_and_kept),
		cmocka_unit_test(full_ring_refuses),
		cmocka_unit_test(answer_can_be_changed),
		cmocka_unit_test(echo_swaps_addresses),
		cmocka_unit_test(echo_without_buffers_is_counted),
		cmocka_unit_test(bad_options_are_refused),
		cmocka_unit_test(map_can_fail),
		cmocka_unit_test(private_header_is_written_before),
		cmocka_unit_test(offloads_can_be_changed),
	};

	return cmocka_run_group_tests(tests, NULL, host_end);
}
