/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames that are described by runs (tx_put_run), against the same frames one by one (tx_put): two
 * channels that are given the same, at random. What the kernel is shown has to be alike to the
 * bit, and so does what is refused, what is dropped, and what is left when all came back.
 */
#include "xdp_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define GUEST_BYTES (1u << 20)
#define SEEDS       60u
#define STEPS       200u
#define BATCH       24u
#define SEGS        5u
#define OF_SOURCE   7u /* frames side by side */

enum { RUNS, SINGLES, WAYS };

struct fixture {
	struct gw_port *port;
	struct xdp_port *p;
	struct host_memory memory;
	struct fake_kernel kernel[WAYS];
	uint8_t *private;
	uint64_t out[FAKE_ENTRIES]; /* words that the kernel has */
	unsigned int out_count, longest;
};

static unsigned int below(unsigned int n)
{
	return (unsigned int)rand() % n;
}

/* The kinds of devices: the kernel copies, one descriptor in one page, several in huge pages. */
static void attach(struct fixture *f)
{
	unsigned int kind = below(3);

	for (unsigned int i = 0; i < WAYS; i++) {
		struct xdp_channel *ch = &f->p->channel[i];

		fake_init(&f->kernel[i], ch);
		f->kernel[i].xsk.zerocopy = kind;
		f->kernel[i].xsk.multi_buffer = kind != 1;
		ch->reads = kind ? GW_READS_DMA : GW_READS_KERNEL_COPY;
		ch->page_bytes = kind == 2 ? 1u << 16 : 4096;
		f->p->netdev.zerocopy_segs = 3;
		tx_attach(ch, f->memory.memmap);
	}
	f->out_count = 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->port = fake_open(false);
	f->p = fake_port(f->port);
	fake_second_channel(f->port);
	host_memory_create(&f->memory, GUEST_BYTES, 0);
	f->private = host_arena_buffer(f->port);
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

/* Mostly what goes by runs; and whatever may end one. */
static void make_frame(struct fixture *f, struct gw_frame *frame)
{
	static const size_t lens[] = { 0, 1, 60, 1500, 4096, 4097, 9000 };
	unsigned int count = below(2) ? 1 : 1 + below(SEGS);
	bool copied = !below(4);
	struct iovec seg[SEGS];

	for (unsigned int i = 0; i < count; i++) {
		seg[i].iov_len = below(3) ? 100 : lens[below(copied ? 4 : 7)];
		seg[i].iov_base = copied ? f->private : host_memory_at(&f->memory, below(1u << 19));
		if (!below(60))
			seg[i].iov_base = f; /* nobody's */
	}
	host_frame(frame, copied ? NULL : f->memory.memmap, seg, count);
	if (!below(30))
		frame->header.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	if (!below(30))
		frame->header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
}

static unsigned int put_singly(struct fixture *f, struct gw_frame *const *frames)
{
	struct xdp_channel *ch = &f->p->channel[SINGLES];
	unsigned int n = 0;

	while (n < BATCH && tx_put(ch, frames[n]) != PUT_FULL)
		n++;
	tx_publish(ch);
	return n;
}

/* The kernel takes all that it is shown, which is the same on both sides. */
static void compare_shown(struct fixture *f)
{
	while (!fake_idle(&f->kernel[RUNS])) {
		struct xdp_desc a = fake_takes(&f->kernel[RUNS]),
				b = fake_takes(&f->kernel[SINGLES]);

		assert_memory_equal(&a, &b, sizeof(a));
		f->out[f->out_count++] = a.addr;
	}
	assert_true(fake_idle(&f->kernel[SINGLES]));
}

static void complete_some(struct fixture *f, unsigned int count)
{
	while (count-- && f->out_count) {
		unsigned int which = below(f->out_count);

		for (unsigned int i = 0; i < WAYS; i++)
			fake_completes(&f->kernel[i], f->out[which]);
		f->out[which] = f->out[--f->out_count];
	}
}

static void reap_all(struct fixture *f)
{
	struct gw_done done[GW_BATCH];

	while (xdp_reap(host_queue(f->port), done, GW_BATCH))
		;
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(f->p->source[i].out[RUNS], f->p->source[i].out[SINGLES]);
	assert_int_equal(f->p->channel[RUNS].tx.held, f->p->channel[SINGLES].tx.held);
	assert_int_equal(f->p->channel[RUNS].tx.free_count, f->p->channel[SINGLES].tx.free_count);
}

static void runs_are_as_one_by_one(void **state)
{
	static struct gw_frame frame[BATCH];
	struct fixture *f = *state;
	struct gw_frame *batch[BATCH];

	for (unsigned int seed = 0; seed < SEEDS; seed++) {
		srand(seed);
		attach(f);
		for (unsigned int step = 0; step < STEPS; step++) {
			unsigned int n;

			for (unsigned int i = 0; i < BATCH; i++) {
				make_frame(f, &frame[i]);
				frame[i].pair = i / OF_SOURCE % 2;
				batch[i] = &frame[i];
			}
			n = xdp_tx(host_queue(f->port), batch, BATCH);
			assert_int_equal(n, put_singly(f, batch));
			f->longest = n > f->longest ? n : f->longest;
			compare_shown(f);
			/* Of a frame that is out only its source is looked at. */
			complete_some(f, below(FAKE_ENTRIES));
			reap_all(f);
		}
		complete_some(f, FAKE_ENTRIES);
		reap_all(f);
		assert_int_equal(f->p->channel[RUNS].tx.free_count, FAKE_ENTRIES);
		assert_int_equal(f->p->channel[RUNS].tx.held, 0);
	}
	assert_int_equal(f->longest, BATCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(runs_are_as_one_by_one, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, host_end);
}
