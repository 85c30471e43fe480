/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel counts at an xdp port: what it dropped before a frame was ours, what
 * passed to the host while a queue had no socket, and what it did not send after all.
 */
#include "xdp_fixture.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define FRAMES 50u
#define RING   64u
#define LEN    100u

static uint64_t count_of(struct fixture *f, enum gw_device_count which)
{
	uint64_t counts[GW_DEVICE_COUNT] = { 0 };

	xdp_device_counts(host_queue(f->port), counts);
	return counts[which];
}

static void far_sends(struct fixture *f, unsigned int count)
{
	pattern_fill(fixture_bytes, LEN, 1);
	for (unsigned int i = 0; i < count; i++)
		far_send(f->far, fixture_bytes, LEN);
}

static bool has_program(const struct fixture *f)
{
	return f->p->program.link_fd >= 0;
}

/* Nobody reads: what the ring cannot hold is dropped, and told of after the socket went. */
static void what_finds_no_buffer_is_counted(void **state)
{
	uint64_t end_ms = host_now_ms() + LIMIT_MS;
	struct fixture f;
	uint64_t dropped;

	fixture_open(&f, "up=near,rxring=64", 1500);
	if (!has_program(&f)) {
		fixture_close(&f);
		skip(); /* an AF_PACKET socket holds more than a test likes to send */
	}
	assert_int_equal(count_of(&f, GW_DEVICE_RX_DROPPED), 0);
	far_sends(&f, RING + FRAMES);
	while (count_of(&f, GW_DEVICE_RX_DROPPED) < FRAMES)
		assert_true(host_now_ms() < end_ms);
	dropped = count_of(&f, GW_DEVICE_RX_DROPPED);
	host_lend(f.port, f.memory.memmap);
	assert_true(count_of(&f, GW_DEVICE_RX_DROPPED) >= dropped);
	fixture_close(&f);
}

static void what_passes_to_the_host_is_counted(void **state)
{
	uint64_t end_ms = host_now_ms() + LIMIT_MS;
	struct fixture f;

	fixture_open(&f, "up=near,rxring=64", 1500);
	if (!has_program(&f)) {
		fixture_close(&f);
		skip(); /* nobody may load one here */
	}
	/* As in the middle of a change of memory. */
	f.ch->passed = program_passed(&f.p->program, 0);
	f.ch->passes = true;
	assert_int_equal(program_forget(&f.p->program, 0), 0);
	far_sends(&f, FRAMES);
	while (program_passed(&f.p->program, 0) < f.ch->passed + FRAMES)
		assert_true(host_now_ms() < end_ms);
	assert_int_equal(count_of(&f, GW_DEVICE_RX_PASSED), 0);
	host_lend(f.port, f.memory.memmap);
	assert_true(count_of(&f, GW_DEVICE_RX_PASSED) >= FRAMES);
	assert_false(f.ch->passes);
	/* The queue is ours again. */
	receive_one(&f, LEN, 1);
	fixture_close(&f);
}

/* Nobody reads, so that all of it is there when the socket goes, and 10 ms later. */
static void what_is_not_read_is_counted(void **state)
{
	uint64_t end_ms = host_now_ms() + LIMIT_MS;
	struct fixture f;

	fixture_open(&f, "up=near,rxring=64", 1500);
	if (!has_program(&f)) {
		fixture_close(&f);
		skip(); /* packets are in a ring that stays */
	}
	assert_int_equal(count_of(&f, GW_DEVICE_RX_UNREAD), 0);
	for (unsigned int round = 1; round <= 2; round++) {
		far_sends(&f, FRAMES);
		while (rx_unread(f.ch) < FRAMES)
			assert_true(host_now_ms() < end_ms);
		if (round == 1)
			host_lend(f.port, f.memory.memmap);
		else
			assert_int_equal(window_clear(f.ch, LIMIT_MS), 0);
		assert_true(count_of(&f, GW_DEVICE_RX_UNREAD) >= round * FRAMES);
	}
	fixture_close(&f);
}

/* The other end of the wire is down: all is taken, and nothing is sent. */
static void what_is_not_sent_is_counted(void **state)
{
	struct gw_frame frame;
	struct gw_done done;
	struct fixture f;
	struct iovec seg;

	fixture_open(&f, "up=near,rxring=64", 1500);
	host_lend(f.port, f.memory.memmap);
	send_one(&f, 100, LEN);
	assert_int_equal(count_of(&f, GW_DEVICE_TX_DROPPED), 0);
	veth_run("ip link set far down");
	seg = (struct iovec){ host_memory_at(&f.memory, 100), LEN };
	for (unsigned int i = 0; i < FRAMES; i++) {
		host_frame(&frame, f.memory.memmap, &seg, 1);
		host_send(f.port, &frame);
		assert_int_equal(host_reap(f.port, &done, 1, LIMIT_MS), 1);
	}
	assert_int_equal(count_of(&f, GW_DEVICE_TX_DROPPED), FRAMES);
	/* The socket goes, the count does not. */
	gw_driver_xdp.unmap(f.port, f.memory.memmap);
	assert_int_equal(count_of(&f, GW_DEVICE_TX_DROPPED), FRAMES);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_finds_no_buffer_is_counted, fixture_tidy),
		cmocka_unit_test_teardown(what_passes_to_the_host_is_counted, fixture_tidy),
		cmocka_unit_test_teardown(what_is_not_read_is_counted, fixture_tidy),
		cmocka_unit_test_teardown(what_is_not_sent_is_counted, fixture_tidy),
	};

	return fixture_main(tests);
}
