/* SPDX-License-Identifier: BSD-2-Clause */
/* Transmit: bit-exact, in any layout, each frame over exactly once. */
#include "conformance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define WIRE_LEN_MAX 1514u
#define SEGS_USUAL   17u
#define BATCH        16u

/* Sends frames of all these lengths, and checks that each ends and arrives, once. */
static void send_all(struct rig *rig, const uint32_t *len, unsigned int count, unsigned int segs,
		     unsigned int variant, bool arena)
{
	unsigned int first = rig->parcels;

	for (unsigned int i = 0; i < count; i++) {
		struct parcel *parcel;

		do {
			parcel =
				arena ? rig_pack_arena(rig, len[i], variant)
				      : rig_pack(rig, len[i], rig_segs(rig, len[i], segs), variant);
			if (!parcel)
				rig_reap_all(rig);
		} while (!parcel);
		rig_send(rig);
	}
	rig_reap_all(rig);
	for (unsigned int i = first; i < rig->parcels; i++) {
		assert_true(rig->parcel[i].over);
		assert_int_not_equal(rig->parcel[i].status, GW_DONE_FAILED);
	}
	expect_far(rig, len, count, variant);
	rig->parcels = 0;
}

static void every_size(struct rig *rig, bool arena)
{
	uint32_t max = rig_max_len(rig) < WIRE_LEN_MAX ? rig_max_len(rig) : WIRE_LEN_MAX;
	uint32_t batch[BATCH];
	unsigned int count = 0;

	for (uint32_t len = GW_FRAME_LEN_MIN; len <= max; len++) {
		batch[count++] = len;
		if (count < BATCH && len < max)
			continue;
		send_all(rig, batch, count, 1 + len / BATCH % SEGS_USUAL, 1, arena);
		count = 0;
	}
}

static void every_size_arrives(void)
{
	struct rig *rig = rig_open();

	every_size(rig, false);
	rig_close(rig);
}

static void every_size_arrives_from_private_memory(void)
{
	struct rig *rig = rig_open();

	every_size(rig, true);
	rig_close(rig);
}

static void every_count_of_segments_arrives(void)
{
	struct rig *rig = rig_open();
	const uint32_t len[] = { 17, 64, 333, 1514 };

	for (unsigned int segs = 1; segs <= SEGS_USUAL; segs++)
		send_all(rig, len, 4, segs, 2, false);
	rig_close(rig);
}

/* As many as the answer allows, down to segments of one byte. */
static void most_segments_arrive(void)
{
	struct rig *rig = rig_open();
	uint32_t len = rig_max_len(rig) < WIRE_LEN_MAX ? rig_max_len(rig) : WIRE_LEN_MAX;

	send_all(rig, &len, 1, GW_FRAME_SEGS_MAX, 3, false);
	len = rig_segs(rig, len, GW_FRAME_SEGS_MAX) < GW_FRAME_LEN_MIN
		      ? GW_FRAME_LEN_MIN
		      : rig_segs(rig, len, GW_FRAME_SEGS_MAX);
	send_all(rig, &len, 1, GW_FRAME_SEGS_MAX, 3, false);
	rig_close(rig);
}

static void longest_frame_arrives(void)
{
	struct rig *rig = rig_open();
	const uint32_t max = rig_max_len(rig);
	const uint32_t len[] = { max, max - 1, max / 2 + 7 };

	for (unsigned int segs = 1; segs <= SEGS_USUAL; segs += 4)
		send_all(rig, len, 3, segs, 4, false);
	send_all(rig, len, 3, 1, 5, true);
	rig_close(rig);
}

/* A page boundary at each place of a frame, in one segment. */
static void frames_across_pages_arrive(void)
{
	struct rig *rig = rig_open();
	const uint32_t len = 200;

	for (unsigned int i = 1; i < len; i += 3) {
		size_t boundary = (rig->cursor / 4096 + 2) * 4096;

		/* rig_pack moves on by 1 + (len + variant) % 61 before it writes. */
		rig->cursor = boundary - i - 1 - (len + 6) % 61;
		send_all(rig, &len, 1, 1, 6, false);
	}
	rig_close(rig);
}

/*
 * Frames are offered and none is taken home until the device refuses: what it has
 * accepted is a prefix, it says why it takes no more, and all comes back once.
 */
static void full_device_refuses_and_recovers(void)
{
	struct rig *rig = rig_open();
	const uint32_t len = 60;

	for (unsigned int round = 0; round < 2; round++) {
		bool refused = false;

		while (!refused && rig->parcels + GW_BATCH < PARCELS) {
			unsigned int packed = 0;

			while (packed < GW_BATCH && rig_pack(rig, len, 1, 7))
				packed++;
			refused = packed < GW_BATCH;
			if (packed)
				refused |= rig_offer(rig, packed) < packed;
		}
		rig_reap_all(rig);
		rig->parcels = 0;
		rig->arena_at = 0;
		flush_far(rig);
	}
	send_all(rig, &len, 1, 1, 8, false);
	rig_close(rig);
}

static bool has_bounce(void)
{
	return subject.driver->bounce;
}

/* Bounce frames that tx did not accept are given back last first, and are good again. */
static void bounce_memory_can_be_given_back(void)
{
	struct rig *rig = rig_open();
	uint32_t len[BATCH];

	for (unsigned int i = 0; i < BATCH; i++)
		len[i] = 100 + i;
	for (unsigned int round = 0; round < 200; round++) {
		struct gw_frame *frame[BATCH];
		unsigned int count = 0;

		host_visit_begin(rig->port);
		while (count < 1 + round % BATCH &&
		       (frame[count] = subject.driver->bounce(rig->queue, 1000)))
			count++;
		while (count)
			subject.driver->unbounce(rig->queue, frame[--count]);
		host_visit_end(rig->port);
		send_all(rig, len, 1 + round % 5, 1, 9, true);
	}
	rig_close(rig);
}

/*
 * When a loan is over, the memory is the guest's again: what it writes there, or
 * what the next frame in that bounce buffer is, does not change a frame that its
 * receiver has not read yet. Shared pages of a ring on a veth did.
 */
static void reaped_frames_are_settled(void)
{
	struct rig *rig = rig_open();
	uint32_t len[GW_BATCH];

	for (unsigned int i = 0; i < GW_BATCH; i++) {
		len[i] = 300 + i;
		while (!rig_pack(rig, len[i], 1, 12))
			rig_reap_all(rig);
		rig_send(rig);
	}
	rig_reap_all(rig);
	memset(rig->memory.guest, 0xee, rig->memory.bytes);
	/* Over the whole bounce memory, however much that is; what is not read is lost. */
	for (unsigned int i = 0; i < PARCELS - GW_BATCH; i++) {
		while (!rig_pack_arena(rig, 1000, 13))
			rig_reap_all(rig);
		rig_send(rig);
		if (i % BATCH == 0)
			rig_reap_all(rig);
	}
	rig_reap_all(rig);
	take_far(rig, len, GW_BATCH, 12);
	flush_far(rig);
	rig_close(rig);
}

/* Nothing is left behind by a stop, and what was accepted is reported, each once. */
static void stop_ends_all_loans(void)
{
	struct rig *rig = rig_open();

	for (unsigned int round = 0; round < 3; round++) {
		struct gw_error err = { 0 };

		for (unsigned int i = 0; i < BATCH && rig_pack(rig, 300 + i, 1, 10); i++)
			rig_send(rig);
		assert_int_equal(rig_stop(rig, DEADLINE_MS), 0);
		rig_reap_all(rig);
		rig->parcels = 0;
		if (host_start(rig->port, &err))
			fail_msg("start after stop: %s", err.text);
		if (rig->mapped && host_query(rig->port, rig->memory.memmap).verdict == GW_NO)
			fail_msg("after stop and start the answer is no");
	}
	rig_close(rig);
}

/* What was refused is announced: host_wait() returns when tx would accept again. */
static void room_wakes_the_worker(void)
{
	struct rig *rig = rig_open();
	uint64_t end_ms = host_now_ms() + DEADLINE_MS;

	for (unsigned int i = 0; i < 4 * GW_BATCH; i++) {
		while (!rig_pack(rig, 1000, 1, 11)) {
			assert_true(host_now_ms() < end_ms);
			host_wait(rig->port, GW_WANT_TX | GW_WANT_REAP, DEADLINE_MS);
			rig_reap(rig);
		}
		rig_send(rig);
	}
	rig_reap_all(rig);
	rig_close(rig);
}

const struct conformance_case cases_tx[] = {
	{ "every_size_arrives", every_size_arrives, NULL },
	{ "every_size_arrives_from_private_memory", every_size_arrives_from_private_memory, NULL },
	{ "every_count_of_segments_arrives", every_count_of_segments_arrives, NULL },
	{ "most_segments_arrive", most_segments_arrive, NULL },
	{ "longest_frame_arrives", longest_frame_arrives, NULL },
	{ "frames_across_pages_arrive", frames_across_pages_arrive, NULL },
	{ "full_device_refuses_and_recovers", full_device_refuses_and_recovers, NULL },
	{ "bounce_memory_can_be_given_back", bounce_memory_can_be_given_back, has_bounce },
	{ "reaped_frames_are_settled", reaped_frames_are_settled, NULL },
	{ "stop_ends_all_loans", stop_ends_all_loans, NULL },
	{ "room_wakes_the_worker", room_wakes_the_worker, NULL },
	{ NULL, NULL, NULL },
};
