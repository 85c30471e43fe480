/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The books of a channel: what is out, and what is not. A slot that is free believes no
 * completion, what was refused half described leaves no trace, there is an end to
 * frames that are over and not asked for, and what a socket leaves when it is closed is known.
 */
#include "xdp_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define GUEST_BYTES (1u << 20)
#define SEGS        3u

struct fixture {
	struct gw_port *port;
	struct xdp_channel *ch;
	struct host_memory memory;
	struct fake_kernel kernel;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->port = fake_open(false);
	f->ch = &fake_port(f->port)->channel[0];
	host_memory_create(&f->memory, GUEST_BYTES, 0);
	fake_init(&f->kernel, f->ch);
	f->kernel.xsk.multi_buffer = true;
	f->ch->reads = GW_READS_KERNEL_COPY;
	tx_attach(f->ch, f->memory.memmap);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_close(f->port);
	host_memory_destroy(&f->memory);
	free(f);
	return 0;
}

static unsigned int offer(struct fixture *f, struct gw_frame *frame)
{
	return xdp_tx(host_queue(f->port), &frame, 1);
}

static unsigned int reap(struct fixture *f, struct gw_done *done)
{
	return xdp_reap(host_queue(f->port), done, GW_BATCH);
}

/* Three segments, of which the last is where nothing can be sent from, or is not. */
static void make_frame(struct fixture *f, struct gw_frame *frame, bool good)
{
	struct iovec seg[SEGS];

	for (unsigned int i = 0; i < SEGS; i++)
		seg[i] = (struct iovec){ host_memory_at(&f->memory, 5000 * i), 60 };
	host_frame(frame, f->memory.memmap, seg, SEGS);
	if (!good)
		frame->seg[SEGS - 1].iov_base = f; /* no guest's */
}

static void check_nothing_out(struct fixture *f)
{
	struct gw_done done[GW_BATCH];

	assert_int_equal(tx_out(f->ch), 0);
	assert_int_equal(f->ch->tx.free_count, f->ch->tx.slot_count);
	tx_abandon(f->ch);
	assert_int_equal(reap(f, done), 0);
	assert_int_equal(f->ch->tx.free_count, f->ch->tx.slot_count);
}

/* The word of a free slot is 0, and a kernel that has lost its way may say that. */
static void a_free_slot_believes_nothing(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 4; i++)
		fake_completes(&f->kernel, i);
	xdp_collect(f->ch->p);
	assert_int_equal(f->ch->tx.bogus, 4);
	check_nothing_out(f);
}

static void what_was_half_described_leaves_no_trace(void **state)
{
	struct fixture *f = *state;
	struct gw_done done[GW_BATCH];
	struct gw_frame bad, good;

	make_frame(f, &bad, false);
	assert_int_equal(offer(f, &bad), 1);
	assert_int_equal(reap(f, done), 1);
	assert_ptr_equal(done[0].frame, &bad);
	assert_true(fake_idle(&f->kernel));
	check_nothing_out(f);
	make_frame(f, &good, true);
	assert_int_equal(offer(f, &good), 1);
	for (unsigned int i = 0; i < SEGS; i++)
		fake_completes(&f->kernel, fake_takes(&f->kernel).addr);
	assert_int_equal(reap(f, done), 1);
	assert_ptr_equal(done[0].frame, &good);
	check_nothing_out(f);
}

/* It counts the others. It was free with its own descriptor once, for the next frame. */
static void a_heads_slot_is_kept_until_its_frame_is_over(void **state)
{
	struct fixture *f = *state;
	struct gw_done done[GW_BATCH];
	struct gw_frame first, second;
	uint64_t rest[SEGS];

	make_frame(f, &first, true);
	make_frame(f, &second, true);
	assert_int_equal(offer(f, &first), 1);
	for (unsigned int i = 0; i < SEGS; i++)
		rest[i] = fake_takes(&f->kernel).addr;
	fake_completes(&f->kernel, rest[0]);
	assert_int_equal(offer(f, &second), 1);
	for (unsigned int i = 0; i < SEGS; i++)
		fake_completes(&f->kernel, fake_takes(&f->kernel).addr);
	assert_int_equal(reap(f, done), 1);
	assert_ptr_equal(done[0].frame, &second);
	fake_completes(&f->kernel, rest[1]);
	assert_int_equal(reap(f, done), 0);
	fake_completes(&f->kernel, rest[2]);
	assert_int_equal(reap(f, done), 1);
	assert_ptr_equal(done[0].frame, &first);
	check_nothing_out(f);
}

/* Each is over as soon as it is taken; nobody asks for them. */
static void there_is_an_end_to_what_is_not_reaped(void **state)
{
	struct fixture *f = *state;
	struct gw_done done[GW_BATCH];
	struct gw_frame frame;
	unsigned int taken = 0, got, limit = 2 * f->ch->tx.slot_count;

	make_frame(f, &frame, false);
	while (offer(f, &frame))
		assert_true(++taken <= limit);
	assert_int_equal(taken, limit);
	assert_int_equal(host_queue(f->port)->refusal, GW_DROP_EGRESS_FULL);
	for (; (got = reap(f, done)); taken -= got)
		for (unsigned int i = 0; i < got; i++)
			assert_ptr_equal(done[i].frame, &frame);
	assert_int_equal(taken, 0);
	assert_int_equal(offer(f, &frame), 1);
}

/* Of four one has come back, one was taken, one was taken in part, and one is in the ring. */
static void leave_four(struct fixture *f, struct gw_frame *frame)
{
	for (unsigned int i = 0; i < 4; i++) {
		make_frame(f, &frame[i], true);
		assert_int_equal(offer(f, &frame[i]), 1);
	}
	for (unsigned int i = 0; i < SEGS; i++)
		fake_completes(&f->kernel, fake_takes(&f->kernel).addr);
	for (unsigned int i = 0; i < SEGS + 1; i++)
		fake_takes(&f->kernel);
	xdp_collect(f->ch->p);
}

static void check_four(struct fixture *f, const struct gw_frame *frame, enum gw_done_status taken)
{
	const enum gw_done_status wanted[] = { GW_DONE_OK, taken, GW_DONE_FAILED, GW_DONE_FAILED };
	struct gw_done done[GW_BATCH];

	assert_int_equal(reap(f, done), 4);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(done[i].status, wanted[done[i].frame - frame]);
	check_nothing_out(f);
}

/* The kernel has a copy of what it has taken, and the device sends that. */
static void what_a_kernel_that_copies_has_taken_goes_out(void **state)
{
	struct fixture *f = *state;
	struct gw_frame frame[4];

	leave_four(f, frame);
	tx_settle(f->ch);
	assert_int_equal(f->ch->tx.abandoned, 2);
	check_four(f, frame, GW_DONE_OK);
	/* Nothing of that is left for a frame that has the same slots. */
	f->kernel.taken = f->kernel.tx.consumer = f->kernel.tx.producer;
	leave_four(f, frame);
	tx_settle(f->ch);
	check_four(f, frame, GW_DONE_OK);
}

/* Unless it has lost its way: then nobody knows. */
static void what_a_broken_socket_has_taken_is_lost(void **state)
{
	struct fixture *f = *state;
	struct gw_frame frame[4];

	leave_four(f, frame);
	gw_store_relaxed(&f->ch->broken, 1);
	tx_settle(f->ch);
	gw_store_relaxed(&f->ch->broken, 0);
	check_four(f, frame, GW_DONE_FAILED);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_free_slot_believes_nothing),
		TEST(what_was_half_described_leaves_no_trace),
		TEST(a_heads_slot_is_kept_until_its_frame_is_over),
		TEST(there_is_an_end_to_what_is_not_reaped),
		TEST(what_a_kernel_that_copies_has_taken_goes_out),
		TEST(what_a_broken_socket_has_taken_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, host_end);
}
