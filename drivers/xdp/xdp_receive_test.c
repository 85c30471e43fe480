/* SPDX-License-Identifier: BSD-2-Clause */
/* Receiving, from a kernel that this test plays: what no real one does on purpose. */
#include "xdp_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MTU_LEN 1522u

struct fixture {
	struct gw_port *port;
	struct xdp_port *p;
	struct xdp_channel *ch;
	struct fake_kernel kernel;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->port = fake_open(true);
	f->p = fake_port(f->port);
	f->p->rx_len_max = MTU_LEN;
	f->ch = &f->p->channel[0];
	fake_init(&f->kernel, f->ch);
	f->ch->reads = GW_READS_KERNEL_COPY;
	tx_attach(f->ch, NULL);
	rx_attach(f->ch);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_close(f->port);
	free(f);
	return 0;
}

/* The kernel puts bytes into the next buffer of the fill ring. */
static uint64_t kernel_receives(struct fixture *f, uint32_t len, bool goes_on)
{
	struct fake_ring *fill = &f->kernel.fill, *rx = &f->kernel.rx;
	struct xdp_desc *desc = &rx->entry[rx->producer % FAKE_ENTRIES];

	assert_true(fill->consumer != fill->producer);
	desc->addr = ((uint64_t *)fill->entry)[fill->consumer++ % FAKE_ENTRIES];
	desc->len = len;
	desc->options = goes_on ? XDP_PKT_CONTD : 0;
	memset((uint8_t *)f->p->arena.iov_base + desc->addr, 0x5a, len);
	rx->producer++;
	return desc->addr;
}

static unsigned int receive(struct fixture *f, struct gw_frame **frames)
{
	return xdp_rx(host_queue(f->port), frames, GW_BATCH);
}

static void buffers_go_round(void **state)
{
	struct gw_frame *frame[GW_BATCH];
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 1000; i++) {
		kernel_receives(f, 60 + i, false);
		assert_int_equal(receive(f, frame), 1);
		assert_int_equal(frame[0]->len, 60 + i);
		xdp_release(host_queue(f->port), frame, 1);
	}
	assert_int_equal(rx_lent(f->ch), 0);
	assert_int_equal(f->ch->rx.bogus, 0);
}

static void frame_longer_than_the_wire_is_said(void **state)
{
	struct gw_frame *frame[GW_BATCH];
	struct fixture *f = *state;

	kernel_receives(f, MTU_LEN, false);
	assert_int_equal(receive(f, frame), 1);
	assert_int_equal(f->ch->rx.super, 0);
	xdp_release(host_queue(f->port), frame, 1);
	for (unsigned int i = 1; i <= 2; i++) {
		kernel_receives(f, 4096, true);
		kernel_receives(f, 904, false);
		assert_int_equal(receive(f, frame), 1);
		assert_int_equal(frame[0]->len, 5000);
		assert_int_equal(f->ch->rx.super, i);
		xdp_release(host_queue(f->port), frame, 1);
	}
	assert_non_null(strstr(host_record(f->port)->log, "tso off"));
	assert_int_equal(host_record(f->port)->log_lines, 1);
}

/* Buffers that it does not have, or too long: counted, and nothing is read there. */
static void what_the_kernel_cannot_have_is_not_believed(void **state)
{
	struct fake_ring *rx;
	struct gw_frame *frame[GW_BATCH];
	struct fixture *f = *state;
	struct xdp_desc *desc;
	uint64_t at;

	rx = &f->kernel.rx;
	at = kernel_receives(f, 60, false);
	rx->entry[0].addr = (1ull << 47) + 5;
	assert_int_equal(receive(f, frame), 0);
	desc = &rx->entry[rx->producer++ % FAKE_ENTRIES];
	*desc = (struct xdp_desc){ .addr = at, .len = 4097 };
	assert_int_equal(receive(f, frame), 0);
	desc = &rx->entry[rx->producer++ % FAKE_ENTRIES];
	*desc = (struct xdp_desc){ .addr = at, .len = 60 };
	assert_int_equal(receive(f, frame), 1);
	desc = &rx->entry[rx->producer++ % FAKE_ENTRIES];
	*desc = (struct xdp_desc){ .addr = at, .len = 60 }; /* lent already */
	assert_int_equal(receive(f, frame + 1), 0);
	assert_int_equal(f->ch->rx.bogus, 3);
	xdp_release(host_queue(f->port), frame, 1);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(buffers_go_round),
		TEST(frame_longer_than_the_wire_is_said),
		TEST(what_the_kernel_cannot_have_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, host_end);
}
