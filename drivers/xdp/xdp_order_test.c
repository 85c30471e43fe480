/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two channels, two guests, and a kernel that does what the test says: which frame
 * takes which channel, in which order, and who pays when one of them is full.
 */
#include "xdp_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define GUEST_BYTES (1u << 20)
#define GUESTS      2u

struct fixture {
	struct gw_port *port;
	struct xdp_port *p;
	struct host_memory memory[GUESTS];
	struct fake_kernel kernel[GUESTS];
	uint8_t *copies; /* where copies lie */
	struct gw_frame frame[128];
	unsigned int frames;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->port = fake_open(false);
	f->p = fake_port(f->port);
	fake_second_channel(f->port);
	for (unsigned int i = 0; i < GUESTS; i++) {
		struct xdp_channel *ch = &f->p->channel[i];

		host_memory_create(&f->memory[i], GUEST_BYTES, 0);
		fake_init(&f->kernel[i], ch);
		ch->reads = GW_READS_KERNEL_COPY;
		tx_attach(ch, f->memory[i].memmap);
	}
	f->p->lenders = GUESTS;
	f->copies = host_arena_buffer(f->port);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_close(f->port);
	for (unsigned int i = 0; i < GUESTS; i++)
		host_memory_destroy(&f->memory[i]);
	free(f);
	return 0;
}

/* A frame of a guest, lent or copied, with its length for a name. */
static struct gw_frame *frame_of(struct fixture *f, unsigned int guest, size_t len, bool lent)
{
	struct gw_frame *frame = &f->frame[f->frames++];
	struct iovec seg = { lent ? host_memory_at(&f->memory[guest], 0) : f->copies, len };

	assert_true(f->frames <= sizeof(f->frame) / sizeof(f->frame[0]));
	host_frame(frame, lent ? f->memory[guest].memmap : NULL, &seg, 1);
	frame->pair = guest + 1;
	return frame;
}

static unsigned int sends(struct fixture *f, unsigned int guest, size_t len, bool lent)
{
	struct gw_frame *frame = frame_of(f, guest, len, lent);

	return xdp_tx(host_queue(f->port), &frame, 1);
}

static unsigned int reap(struct fixture *f)
{
	struct gw_done done[GW_BATCH];

	return xdp_reap(host_queue(f->port), done, GW_BATCH);
}

static void copies_take_the_channel_of_loans(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(sends(f, 0, 100, true), 1);
	assert_int_equal(sends(f, 0, 101, false), 1);
	assert_int_equal(sends(f, 1, 200, true), 1);
	assert_int_equal(sends(f, 1, 201, false), 1);
	assert_int_equal(sends(f, 1, 202, true), 1);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(fake_takes(&f->kernel[0]).len, 100 + i);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(fake_takes(&f->kernel[1]).len, 200 + i);
	assert_true(fake_idle(&f->kernel[0]));
	assert_true(fake_idle(&f->kernel[1]));
}

/* Copied first, while its memory was being pinned; lent then, through another queue. */
static void source_that_moves_keeps_its_order(void **state)
{
	struct fixture *f = *state;
	struct xdp_desc copied[2];

	assert_int_equal(sends(f, 1, 60, false), 1);
	assert_int_equal(sends(f, 1, 61, false), 1);
	copied[0] = fake_takes(&f->kernel[0]);
	copied[1] = fake_takes(&f->kernel[0]);
	assert_int_equal(sends(f, 1, 62, true), 1);
	assert_int_equal(sends(f, 1, 63, false), 1);
	assert_int_equal(sends(f, 0, 64, true), 1);
	assert_true(fake_idle(&f->kernel[1]));
	/* Nobody else waits for that. */
	assert_int_equal(fake_takes(&f->kernel[0]).len, 64);
	fake_completes(&f->kernel[0], copied[1].addr);
	assert_int_equal(reap(f), 1);
	assert_true(fake_idle(&f->kernel[1]));
	fake_completes(&f->kernel[0], copied[0].addr);
	assert_int_equal(reap(f), 1);
	assert_int_equal(fake_takes(&f->kernel[1]).len, 62);
	assert_int_equal(fake_takes(&f->kernel[1]).len, 63);
}

/* Frames that wait are over, too, when their socket is closed. */
static void what_waits_is_abandoned_with_its_socket(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(sends(f, 1, 60, false), 1);
	fake_takes(&f->kernel[0]);
	assert_int_equal(sends(f, 1, 62, true), 1);
	assert_true(fake_idle(&f->kernel[1]));
	tx_abandon(&f->p->channel[1]);
	assert_int_equal(reap(f), 1);
	assert_int_equal(f->p->source[2].out[1], 0);
	assert_int_equal(f->p->source[2].out[0], 1);
}

static void full_queue_stops_no_other_guest(void **state)
{
	struct fixture *f = *state;
	struct gw_frame *batch[2];

	for (unsigned int i = 0; i < FAKE_ENTRIES; i++)
		assert_int_equal(sends(f, 0, 100, true), 1);
	batch[0] = frame_of(f, 0, 101, true);
	batch[1] = frame_of(f, 1, 200, true);
	assert_int_equal(xdp_tx(host_queue(f->port), batch, 2), 2);
	assert_int_equal(host_record(f->port)->drops[GW_DROP_EGRESS_FULL], 1);
	assert_int_equal(reap(f), 1);
	assert_int_equal(fake_takes(&f->kernel[1]).len, 200);
}

/* With one guest there is nobody to be stopped: his frames wait. */
static void single_lender_waits(void **state)
{
	struct fixture *f = *state;

	f->p->lenders = 1;
	for (unsigned int i = 0; i < FAKE_ENTRIES; i++)
		assert_int_equal(sends(f, 0, 100, true), 1);
	assert_int_equal(sends(f, 0, 100, true), 0);
	assert_int_equal(host_queue(f->port)->refusal, GW_DROP_EGRESS_FULL);
	assert_int_equal(host_record(f->port)->drops[GW_DROP_EGRESS_FULL], 0);
}

static void broken_queue_stops_no_other_guest(void **state)
{
	struct fixture *f = *state;

	gw_store_relaxed(&f->p->channel[0].broken, 1);
	assert_int_equal(sends(f, 0, 100, true), 1);
	assert_int_equal(host_record(f->port)->drops[GW_DROP_EGRESS_DOWN], 1);
	assert_int_equal(sends(f, 1, 200, true), 1);
	assert_int_equal(fake_takes(&f->kernel[1]).len, 200);
	assert_int_equal(reap(f), 1);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(copies_take_the_channel_of_loans),
		TEST(source_that_moves_keeps_its_order),
		TEST(what_waits_is_abandoned_with_its_socket),
		TEST(full_queue_stops_no_other_guest),
		TEST(single_lender_waits),
		TEST(broken_queue_stops_no_other_guest),
	};

	return cmocka_run_group_tests(tests, NULL, host_end);
}
