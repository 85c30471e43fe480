/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's side of sending, on rings whose other side is this test: what no
 * kernel can be made to do on purpose.
 */
#include "xdp_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define GUEST_BYTES (1u << 20)

struct fixture {
	struct gw_port *port;
	struct xdp_port *p;
	struct xdp_channel *ch; /* the first */
	struct host_memory memory;
	struct fake_kernel kernel;
};

static void attach(struct fixture *f, bool zerocopy, bool multi_buffer)
{
	f->kernel.xsk.zerocopy = zerocopy;
	f->kernel.xsk.multi_buffer = multi_buffer;
	f->ch->reads = zerocopy ? GW_READS_DMA : GW_READS_KERNEL_COPY;
	f->p->netdev.zerocopy_segs = 4;
	tx_attach(f->ch, f->memory.memmap);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->port = fake_open(false);
	f->p = fake_port(f->port);
	f->ch = &f->p->channel[0];
	host_memory_create(&f->memory, GUEST_BYTES, 0);
	fake_init(&f->kernel, f->ch);
	attach(f, false, true);
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

/* ---- frames ---- */

static void guest_frame(struct fixture *f, struct gw_frame *frame, size_t offset, size_t len)
{
	struct iovec seg = { host_memory_at(&f->memory, offset), len };

	host_frame(frame, f->memory.memmap, &seg, 1);
}

static unsigned int offer(struct fixture *f, struct gw_frame *frame)
{
	return xdp_tx(host_queue(f->port), &frame, 1);
}

static unsigned int reap(struct fixture *f, struct gw_done *done)
{
	return xdp_reap(host_queue(f->port), done, GW_BATCH);
}

/* ---- tests ---- */

static void descriptor_names_the_byte(void **state)
{
	struct fixture *f = *state;
	struct gw_window window;
	struct gw_frame frame[3];
	struct xdp_desc desc;

	gw_memmap_window(f->memory.memmap, &window);
	for (unsigned int i = 0; i < 3; i++) {
		size_t at = 4096 * i + 777 * i + 1;

		guest_frame(f, &frame[i], at, 100 + i);
		assert_int_equal(offer(f, &frame[i]), 1);
		desc = fake_takes(&f->kernel);
		assert_ptr_equal((uint8_t *)window.base + fake_offset(desc.addr),
				 host_memory_at(&f->memory, at));
		assert_int_equal(desc.len, 100 + i);
		assert_int_equal(desc.options, 0);
	}
}

static void arena_frames_have_the_arenas_offset(void **state)
{
	struct fixture *f = *state;
	uint8_t *buffer = host_arena_buffer(f->port);
	struct iovec seg = { buffer + 13, 60 };
	struct gw_frame frame;
	struct xdp_desc desc;

	host_frame(&frame, NULL, &seg, 1);
	assert_int_equal(offer(f, &frame), 1);
	desc = fake_takes(&f->kernel);
	assert_ptr_equal((uint8_t *)gw_port_arena(f->port).iov_base + fake_offset(desc.addr),
			 buffer + 13);
}

/* A header that the core completed lies in the arena, the payload where the guest has it. */
static void private_header_goes_before_guest_payload(void **state)
{
	struct fixture *f = *state;
	uint8_t *buffer = host_arena_buffer(f->port);
	struct iovec seg[] = { { buffer + GW_HEADER_ROOM, 54 },
			       { host_memory_at(&f->memory, 8100), 700 } };
	struct gw_window window;
	struct gw_frame frame;
	struct xdp_desc desc;

	gw_memmap_window(f->memory.memmap, &window);
	host_frame(&frame, f->memory.memmap, seg, 2);
	assert_int_equal(offer(f, &frame), 1);
	desc = fake_takes(&f->kernel);
	assert_ptr_equal((uint8_t *)gw_port_arena(f->port).iov_base + fake_offset(desc.addr),
			 seg[0].iov_base);
	assert_int_equal(desc.len, 54);
	assert_int_equal(desc.options, XDP_PKT_CONTD);
	desc = fake_takes(&f->kernel);
	assert_ptr_equal((uint8_t *)window.base + fake_offset(desc.addr), seg[1].iov_base);
	assert_int_equal(desc.len, 700);
	assert_int_equal(desc.options, 0);
}

/* The kernel counts the room for a request to each descriptor. */
static void checksum_request_lies_before_the_header(void **state)
{
	struct fixture *f = *state;
	uint8_t *header = (uint8_t *)host_arena_buffer(f->port) + GW_HEADER_ROOM;
	struct iovec seg[] = { { header, 54 }, { host_memory_at(&f->memory, 4096), 4096 } };
	struct xdp_request request;
	struct gw_frame frame;
	struct xdp_desc desc;

	f->kernel.xsk.metadata = true;
	attach(f, false, true);
	host_frame(&frame, f->memory.memmap, seg, 2);
	frame.header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	frame.header.csum_start = 34;
	frame.header.csum_offset = 16;
	assert_int_equal(offer(f, &frame), 1);
	desc = fake_takes(&f->kernel);
	assert_int_equal(desc.options, XDP_PKT_CONTD | XDP_TX_METADATA);
	memcpy(&request, header - sizeof(request), sizeof(request));
	assert_int_equal(request.flags, XDP_TXMD_FLAGS_CHECKSUM);
	assert_int_equal(request.csum_start, 34);
	assert_int_equal(request.csum_offset, 16);
	assert_int_equal(fake_takes(&f->kernel).len, 4096 - sizeof(request));
	desc = fake_takes(&f->kernel);
	assert_int_equal(desc.len, sizeof(request));
	assert_int_equal(desc.options, 0);
}

static void completions_in_any_order(void **state)
{
	struct fixture *f = *state;
	struct gw_frame frame[8];
	struct gw_done done[GW_BATCH];
	uint64_t word[8];

	for (unsigned int i = 0; i < 8; i++) {
		guest_frame(f, &frame[i], 5000 * i, 64);
		assert_int_equal(offer(f, &frame[i]), 1);
		word[i] = fake_takes(&f->kernel).addr;
	}
	for (unsigned int i = 8; i-- > 0;)
		fake_completes(&f->kernel, word[i]);
	assert_int_equal(reap(f, done), 8);
	for (unsigned int i = 0; i < 8; i++)
		assert_ptr_equal(done[i].frame, &frame[7 - i]);
	assert_int_equal(f->ch->tx.held, 0);
}

/* Linux 6.18 gives odd addresses back even. */
static void completion_without_its_lowest_bit(void **state)
{
	struct fixture *f = *state;
	struct gw_done done[GW_BATCH];
	struct gw_frame frame;
	uint64_t word;

	for (unsigned int i = 0; i < 2; i++) {
		guest_frame(f, &frame, 4096 + i, 64);
		assert_int_equal(offer(f, &frame), 1);
		word = fake_takes(&f->kernel).addr;
		fake_completes(&f->kernel, word & ~1ull);
		assert_int_equal(reap(f, done), 1);
	}
	assert_int_equal(f->ch->tx.bogus, 0);
}

static void bogus_and_duplicate_completions_are_counted(void **state)
{
	struct fixture *f = *state;
	struct gw_done done[GW_BATCH];
	struct gw_frame frame, again;
	uint64_t word;

	guest_frame(f, &frame, 123, 64);
	assert_int_equal(offer(f, &frame), 1);
	word = fake_takes(&f->kernel).addr;
	fake_completes(&f->kernel, 0);
	fake_completes(&f->kernel, 1);
	fake_completes(&f->kernel, ~0ull);
	fake_completes(&f->kernel, word + 64);
	fake_completes(&f->kernel, word ^ 1ull << XSK_UNALIGNED_BUF_OFFSET_SHIFT);
	assert_int_equal(reap(f, done), 0);
	fake_completes(&f->kernel, word);
	fake_completes(&f->kernel, word);
	assert_int_equal(reap(f, done), 1);
	assert_int_equal(f->ch->tx.bogus, 6);
	/* The same slot and the same byte again: the old word is not the new frame's. */
	guest_frame(f, &again, 123, 64);
	assert_int_equal(offer(f, &again), 1);
	assert_true(fake_takes(&f->kernel).addr != word);
	fake_completes(&f->kernel, word);
	assert_int_equal(reap(f, done), 0);
	assert_int_equal(f->ch->tx.bogus, 7);
}

static void frame_is_over_with_its_last_descriptor(void **state)
{
	struct fixture *f = *state;
	struct gw_done done[GW_BATCH];
	struct iovec seg[3];
	struct gw_frame frame;
	uint64_t word[3];

	for (unsigned int i = 0; i < 3; i++) {
		seg[i].iov_base = host_memory_at(&f->memory, 9000 * i + 3);
		seg[i].iov_len = 500;
	}
	host_frame(&frame, f->memory.memmap, seg, 3);
	assert_int_equal(offer(f, &frame), 1);
	for (unsigned int i = 0; i < 3; i++) {
		struct xdp_desc desc = fake_takes(&f->kernel);

		word[i] = desc.addr;
		assert_int_equal(desc.options, i < 2 ? XDP_PKT_CONTD : 0);
	}
	fake_completes(&f->kernel, word[0]);
	fake_completes(&f->kernel, word[2]);
	assert_int_equal(reap(f, done), 0);
	fake_completes(&f->kernel, word[1]);
	assert_int_equal(reap(f, done), 1);
	assert_ptr_equal(done[0].frame, &frame);
	assert_int_equal(f->ch->tx.free_count, FAKE_ENTRIES);
}

static void full_ring_takes_whole_frames_or_none(void **state)
{
	struct fixture *f = *state;
	struct gw_frame small[FAKE_ENTRIES], large;
	struct gw_done done[GW_BATCH];
	struct iovec seg[3];
	unsigned int n;

	for (n = 0; n < FAKE_ENTRIES - 2; n++) {
		guest_frame(f, &small[n], 100 * n, 64);
		assert_int_equal(offer(f, &small[n]), 1);
	}
	for (unsigned int i = 0; i < 3; i++) {
		seg[i].iov_base = host_memory_at(&f->memory, 300000 + i * 5000);
		seg[i].iov_len = 64;
	}
	host_frame(&large, f->memory.memmap, seg, 3);
	assert_int_equal(offer(f, &large), 0);
	assert_int_equal(host_queue(f->port)->refusal, GW_DROP_EGRESS_FULL);
	assert_int_equal(f->kernel.tx.producer, FAKE_ENTRIES - 2);
	assert_int_equal(f->ch->tx.free_count, 2);
	/* Room comes with completions, not with descriptors that were only taken. */
	fake_completes(&f->kernel, fake_takes(&f->kernel).addr);
	assert_int_equal(reap(f, done), 1);
	assert_int_equal(offer(f, &large), 1);
	assert_int_equal(f->kernel.tx.producer, FAKE_ENTRIES + 1);
}

static void zero_copy_pieces_stay_in_their_page(void **state)
{
	struct fixture *f = *state;
	struct gw_frame frame;
	struct xdp_desc desc[2];

	attach(f, true, true);
	guest_frame(f, &frame, 8192 - 700, 1514);
	assert_int_equal(offer(f, &frame), 1);
	desc[0] = fake_takes(&f->kernel);
	desc[1] = fake_takes(&f->kernel);
	assert_int_equal(desc[0].len, 700);
	assert_int_equal(desc[1].len, 814);
	assert_int_equal(desc[0].options, XDP_PKT_CONTD);
	assert_int_equal(fake_offset(desc[1].addr) % 4096, 0);
}

/* What is known to be contiguous is not cut, but for its end and a chunk's length. */
static void huge_pages_are_cut_at_their_ends(void **state)
{
	struct fixture *f = *state;
	struct gw_frame frame;

	f->ch->page_bytes = 64 << 10;
	attach(f, true, true);
	guest_frame(f, &frame, 8192 - 700, 1514);
	assert_int_equal(offer(f, &frame), 1);
	assert_int_equal(fake_takes(&f->kernel).len, 1514);
	guest_frame(f, &frame, 8192 - 700, 4100);
	assert_int_equal(offer(f, &frame), 1);
	assert_int_equal(fake_takes(&f->kernel).len, 4096);
	assert_int_equal(fake_takes(&f->kernel).len, 4);
	guest_frame(f, &frame, (64 << 10) - 700, 1514);
	assert_int_equal(offer(f, &frame), 1);
	assert_int_equal(fake_takes(&f->kernel).len, 700);
	assert_int_equal(fake_takes(&f->kernel).len, 814);
}

static void copy_pieces_cross_pages_and_fit_a_chunk(void **state)
{
	struct fixture *f = *state;
	struct gw_frame frame;

	guest_frame(f, &frame, 8192 - 701, 9014);
	assert_int_equal(offer(f, &frame), 1);
	assert_int_equal(fake_takes(&f->kernel).len, 4096);
	assert_int_equal(fake_takes(&f->kernel).len, 4096);
	assert_int_equal(fake_takes(&f->kernel).len, 822);
}

/* Accepted, so it must come back; not transmitted, so it must be counted. */
static void expect_dropped(struct fixture *f, struct gw_frame *frame)
{
	uint64_t before = host_record(f->port)->drops[GW_DROP_DEVICE_ERROR];
	struct gw_done done[GW_BATCH];
	uint32_t producer = f->kernel.tx.producer;

	assert_int_equal(offer(f, frame), 1);
	assert_int_equal(f->kernel.tx.producer, producer);
	assert_int_equal(host_record(f->port)->drops[GW_DROP_DEVICE_ERROR], before + 1);
	assert_int_equal(reap(f, done), 1);
	assert_ptr_equal(done[0].frame, frame);
	/* Counted once: reap does not say failed as well. */
	assert_int_equal(done[0].status, GW_DONE_OK);
	assert_int_equal(f->ch->tx.free_count, FAKE_ENTRIES);
}

static void what_cannot_be_described_is_dropped(void **state)
{
	struct fixture *f = *state;
	struct iovec arena = gw_port_arena(f->port), seg[20];
	struct gw_window window;
	struct gw_frame frame;

	gw_memmap_window(f->memory.memmap, &window);
	/* too many pieces */
	for (unsigned int i = 0; i < 19; i++)
		seg[i] = (struct iovec){ host_memory_at(&f->memory, 5000 * i), 60 };
	host_frame(&frame, f->memory.memmap, seg, 19);
	expect_dropped(f, &frame);
	/* beyond the window, by one byte and by far */
	guest_frame(f, &frame, GUEST_BYTES - 60, 60);
	frame.seg[0].iov_base = (uint8_t *)window.base + window.len - 59;
	expect_dropped(f, &frame);
	frame.seg[0].iov_base = (uint8_t *)window.base + window.len + (1 << 20);
	expect_dropped(f, &frame);
	frame.seg[0].iov_base = (uint8_t *)window.base - 1;
	expect_dropped(f, &frame);
	frame.seg[0].iov_base = window.base;
	frame.seg[0].iov_len = SIZE_MAX;
	expect_dropped(f, &frame);
	/* where the cookie has no room */
	guest_frame(f, &frame, 0, 60);
	frame.memmap = NULL;
	frame.seg[0].iov_base = (uint8_t *)arena.iov_base + 0xffff;
	expect_dropped(f, &frame);
	/* an unfinished checksum, segmentation */
	guest_frame(f, &frame, 0, 60);
	frame.header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	expect_dropped(f, &frame);
	guest_frame(f, &frame, 0, 60);
	frame.header.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	expect_dropped(f, &frame);
	/* another guest's memory */
	guest_frame(f, &frame, 0, 60);
	tx_attach(f->ch, NULL);
	expect_dropped(f, &frame);
}

/* A field beyond the first descriptor, a header that is not ours to write before. */
static void bad_checksum_requests_are_dropped(void **state)
{
	struct fixture *f = *state;
	uint8_t *header = (uint8_t *)host_arena_buffer(f->port) + GW_HEADER_ROOM;
	struct iovec seg[] = { { header, 54 }, { host_memory_at(&f->memory, 4096), 100 } };
	struct gw_frame frame;

	f->kernel.xsk.metadata = true;
	attach(f, false, true);
	host_frame(&frame, f->memory.memmap, seg, 2);
	frame.header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	frame.header.csum_start = 40;
	frame.header.csum_offset = 13;
	expect_dropped(f, &frame);
	frame.header.csum_start = 0xffff;
	frame.header.csum_offset = 0xffff;
	expect_dropped(f, &frame);
	guest_frame(f, &frame, 5000, 100);
	frame.header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	expect_dropped(f, &frame);
}

static void abandoned_frames_come_back_once(void **state)
{
	struct fixture *f = *state;
	struct gw_done done[GW_BATCH];
	struct gw_frame frame[3];
	struct iovec seg[2];
	uint64_t word;

	for (unsigned int i = 0; i < 3; i++) {
		seg[0] = (struct iovec){ host_memory_at(&f->memory, 9000 * i), 60 };
		seg[1] = (struct iovec){ host_memory_at(&f->memory, 9000 * i + 5000), 60 };
		host_frame(&frame[i], f->memory.memmap, seg, 2);
		assert_int_equal(offer(f, &frame[i]), 1);
	}
	fake_completes(&f->kernel, fake_takes(&f->kernel).addr);
	word = fake_takes(&f->kernel).addr;
	fake_completes(&f->kernel, word);
	fake_completes(&f->kernel, fake_takes(&f->kernel).addr); /* half of the second */
	tx_collect(f->ch);
	tx_abandon(f->ch);
	tx_abandon(f->ch);
	assert_int_equal(reap(f, done), 3);
	assert_int_equal(done[0].status, GW_DONE_OK);
	assert_int_equal(done[1].status, GW_DONE_FAILED);
	assert_int_equal(done[2].status, GW_DONE_FAILED);
	assert_int_equal(f->ch->tx.held, 0);
	assert_int_equal(f->ch->tx.free_count, FAKE_ENTRIES);
	fake_completes(&f->kernel, word);
	assert_int_equal(reap(f, done), 0);
	assert_int_equal(f->ch->tx.bogus, 1);
}

/* A slot is used more often than its generation can count. */
static void cookies_wrap(void **state)
{
	struct fixture *f = *state;
	struct gw_done done[GW_BATCH];
	struct gw_frame frame;

	for (unsigned int i = 0; i < 70000; i++) {
		guest_frame(f, &frame, i % 4096, 60);
		assert_int_equal(offer(f, &frame), 1);
		fake_completes(&f->kernel, fake_takes(&f->kernel).addr);
		assert_int_equal(reap(f, done), 1);
		assert_ptr_equal(done[0].frame, &frame);
	}
	assert_int_equal(f->ch->tx.bogus, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(descriptor_names_the_byte),
		TEST(arena_frames_have_the_arenas_offset),
		TEST(private_header_goes_before_guest_payload),
		TEST(checksum_request_lies_before_the_header),
		TEST(completions_in_any_order),
		TEST(completion_without_its_lowest_bit),
		TEST(bogus_and_duplicate_completions_are_counted),
		TEST(frame_is_over_with_its_last_descriptor),
		TEST(full_ring_takes_whole_frames_or_none),
		TEST(zero_copy_pieces_stay_in_their_page),
		TEST(huge_pages_are_cut_at_their_ends),
		TEST(copy_pieces_cross_pages_and_fit_a_chunk),
		TEST(what_cannot_be_described_is_dropped),
		TEST(bad_checksum_requests_are_dropped),
		TEST(abandoned_frames_come_back_once),
		TEST(cookies_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, host_end);
}
