/* SPDX-License-Identifier: BSD-2-Clause */
/* Receive: bit-exact, lent until released, and never asleep over a frame. */
#include "conformance.h"
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define WIRE_LEN_MAX 1514u
#define BATCH        16u

static bool receives(void)
{
	return subject.driver->rx && subject.far_end->send;
}

static void send_far(struct rig *rig, uint32_t len, unsigned int variant)
{
	static uint8_t bytes[GW_FRAME_LEN_MAX];

	frame_fill(bytes, len, variant);
	subject.far_end->send(rig->far, bytes, len);
}

static void every_size_is_received(void)
{
	struct rig *rig = rig_open();
	uint32_t max = rig_max_len(rig) < WIRE_LEN_MAX ? rig_max_len(rig) : WIRE_LEN_MAX;

	for (uint32_t len = GW_FRAME_LEN_MIN; len <= max; len += BATCH) {
		struct gw_frame *frame[BATCH];
		unsigned int count = max + 1 - len < BATCH ? max + 1 - len : BATCH;

		for (unsigned int i = 0; i < count; i++)
			send_far(rig, len + i, 1);
		for (unsigned int i = 0; i < count; i++)
			frame[i] = expect_near(rig, len + i, 1);
		/* Home in another order than lent: the odd ones, then the even ones backwards. */
		for (unsigned int i = 1; i < count; i += 2)
			host_release(rig->port, &frame[i], 1);
		for (unsigned int i = (count - 1) / 2 * 2 + 2; i >= 2; i -= 2)
			host_release(rig->port, &frame[i - 2], 1);
	}
	rig_close(rig);
}

static void longest_frame_is_received(void)
{
	struct rig *rig = rig_open();
	uint32_t max = rig_max_len(rig);

	for (uint32_t len = max - 2; len <= max; len++) {
		struct gw_frame *frame;

		send_far(rig, len, 2);
		frame = expect_near(rig, len, 2);
		host_release(rig->port, &frame, 1);
	}
	rig_close(rig);
}

/* A frame that is lent keeps its bytes whatever arrives after it. */
static void lent_frame_is_left_alone(void)
{
	struct rig *rig = rig_open();
	static uint8_t bytes[WIRE_LEN_MAX], wanted[WIRE_LEN_MAX];
	struct gw_frame *kept, *frame;

	send_far(rig, 700, 3);
	kept = expect_near(rig, 700, 3);
	for (unsigned int i = 0; i < 600; i++) {
		send_far(rig, 700, 4);
		frame = expect_near(rig, 700, 4);
		assert_ptr_not_equal(frame, kept);
		host_release(rig->port, &frame, 1);
	}
	frame_fill(wanted, 700, 3);
	assert_int_equal(host_frame_bytes(kept, bytes, sizeof(bytes)), 700);
	assert_memory_equal(bytes, wanted, 700);
	host_release(rig->port, &kept, 1);
	rig_close(rig);
}

/* All that the port can lend is lent; frames beyond that may be lost, the port is not. */
static void all_lent_and_home_again(void)
{
	struct rig *rig = rig_open();
	struct gw_frame **frame = calloc(PARCELS, sizeof(struct gw_frame *));

	assert_non_null(frame);
	for (unsigned int round = 0; round < 3; round++) {
		unsigned int lent = 0, got;

		do {
			for (unsigned int i = 0; i < BATCH; i++)
				send_far(rig, 900, 5);
			got = host_receive(rig->port, frame + lent, BATCH, 20);
			lent += got;
		} while (got && lent + BATCH <= PARCELS);
		assert_true(lent);
		for (unsigned int i = 0; i < lent; i++)
			host_release(rig->port, &frame[round % 2 ? i : lent - 1 - i], 1);
		/* What waited meanwhile is let go, then it works as ever. */
		while ((got = host_receive(rig->port, frame, 1, 20)))
			host_release(rig->port, frame, got);
		send_far(rig, 901, 5);
		frame[0] = expect_near(rig, 901, 5);
		host_release(rig->port, frame, 1);
	}
	free(frame);
	rig_close(rig);
}

/*
 * Sleeps as a worker does, not looking again before it is woken. True if it was, or
 * need not sleep.
 */
static bool sleep_for_rx(struct rig *rig, void (*meanwhile)(struct rig *rig))
{
	struct pollfd fd[GW_QUEUE_FDS];
	unsigned int poll_us = 0;

	if (subject.driver->arm && subject.driver->arm(rig->queue, GW_WANT_RX, &poll_us)) {
		if (meanwhile)
			meanwhile(rig);
		return true;
	}
	if (meanwhile)
		meanwhile(rig);
	for (unsigned int i = 0; i < GW_QUEUE_FDS; i++)
		fd[i] = (struct pollfd){ .fd = rig->queue->fd[i].fd,
					 .events = (short)(rig->queue->fd[i].events &
							   (POLLIN | POLLOUT)) };
	return poll(fd, GW_QUEUE_FDS, poll_us ? (int)(poll_us / 1000 + 1) : (int)DEADLINE_MS) > 0 ||
	       poll_us;
}

static void send_one(struct rig *rig)
{
	send_far(rig, 800, 6);
}

static void drain_near(struct rig *rig)
{
	struct gw_frame *frame;

	while (host_receive(rig->port, &frame, 1, 0))
		host_release(rig->port, &frame, 1);
}

static void frame_wakes_the_worker(void)
{
	struct rig *rig = rig_open();

	for (unsigned int i = 0; i < 50; i++) {
		struct gw_frame *frame;
		unsigned int poll_us;

		drain_near(rig);
		/* In turn: before it goes to sleep, and after it has asked to be woken. */
		if (i % 2)
			send_one(rig);
		if (!sleep_for_rx(rig, i % 2 ? NULL : send_one))
			fail_msg("a frame is there and nothing woke the worker (round %u)", i);
		if (subject.driver->arm)
			subject.driver->arm(rig->queue, 0, &poll_us);
		frame = expect_near(rig, 800, 6);
		host_release(rig->port, &frame, 1);
	}
	rig_close(rig);
}

/* Frames that are lent to others when the port is stopped come home later. */
static void release_after_stop(void)
{
	struct rig *rig = rig_open();
	struct gw_frame *frame[2];
	struct gw_error err = { 0 };

	send_far(rig, 100, 7);
	frame[0] = expect_near(rig, 100, 7);
	send_far(rig, 101, 7);
	frame[1] = expect_near(rig, 101, 7);
	assert_int_equal(rig_stop(rig, DEADLINE_MS), 0);
	host_release(rig->port, frame, 2);
	if (host_start(rig->port, &err))
		fail_msg("start after stop: %s", err.text);
	rig_close(rig);
}

const struct conformance_case cases_rx[] = {
	{ "every_size_is_received", every_size_is_received, receives },
	{ "longest_frame_is_received", longest_frame_is_received, receives },
	{ "lent_frame_is_left_alone", lent_frame_is_left_alone, receives },
	{ "all_lent_and_home_again", all_lent_and_home_again, receives },
	{ "frame_wakes_the_worker", frame_wakes_the_worker, receives },
	{ "release_after_stop", release_after_stop, receives },
	{ NULL, NULL, NULL },
};
