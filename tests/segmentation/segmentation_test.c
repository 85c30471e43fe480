/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * segmentation_test [COUNT [SEED]]
 *
 * Our segmentation against the kernel's: random super-frames are cut by both, and
 * what comes out is compared byte for byte. All of it: the standards leave a choice
 * only in the identification of IPv4, where we do as Linux does.
 *
 * Ends with 77 (skipped) where this user can have no tap or no network namespace.
 */
#include "host.h"
#include "ip_frame.h"
#include "kernel_cut.h"
#include "random_frame.h"
#include "super_frame.h"
#include "veth.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define EXIT_SKIP    77
#define TUN_PATH     "/dev/net/tun"
#define LIMIT_MS     5000u
#define FRAMES_USUAL 10000u
#define SEGMENTS_MAX GW_FRAME_SEGS
#define SLICES_MAX   GW_FRAME_SEGS
/* A super-frame, and room for a tag. */
#define BYTES_MAX    (IP_FRAME_BYTES_MAX + 8)

static uint64_t seed;
static unsigned int frames = FRAMES_USUAL;

static void describe(const struct ip_frame *f, unsigned int index)
{
	fprintf(stderr,
		"super-frame %u of seed %llu: %s over IPv%d, tags %u, IP options %u, extensions %u "
		"(routed %04x), TCP options %u, flags %02x, payload %u, gso_size %u, ecn %d\n",
		index, (unsigned long long)seed, f->udp ? "UDP" : "TCP", f->ipv6 ? 6 : 4, f->tags,
		f->ip_options_bytes, f->extensions, f->routed_sum, f->tcp_options_bytes,
		f->tcp_flags, f->payload, f->gso_size, f->ecn);
}

static void dump(const char *whose, const uint8_t *bytes, uint32_t len)
{
	fprintf(stderr, "%s: %u bytes:", whose, len);
	for (uint32_t i = 0; i < len && i < 140; i++)
		fprintf(stderr, "%s%02x", i % 2 ? "" : " ", bytes[i]);
	fprintf(stderr, "\n");
}

/* The next frame as the desk makes it: a private header, and slices of the payload. */
static uint32_t our_next(struct super_frame *super, uint8_t *bytes)
{
	struct iovec seg[1 + SLICES_MAX];
	uint8_t head[GW_HEADER_MAX];
	struct virtio_net_hdr_v1 header;
	unsigned int slices = super_frame_slices(super, seg + 1, SLICES_MAX);
	uint32_t len = 0;

	assert_true(slices <= SLICES_MAX);
	super_frame_header(super, head, &header);
	seg[0] = (struct iovec){ head, super->header_len };
	super_frame_checksum(super, seg, 1 + slices);
	for (unsigned int i = 0; i <= slices; i++) {
		memcpy(bytes + len, seg[i].iov_base, seg[i].iov_len);
		len += (uint32_t)seg[i].iov_len;
	}
	assert_int_equal(len, super_frame_len(super));
	assert_int_equal(header.flags, 0);
	assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	super_frame_advance(super);
	return len;
}

/*
 * 0 and 0xffff are the same sum. The kernel writes the one for frames that it cuts, and
 * the other for those that were to be cut and turn out to be short enough.
 */
static void one_zero(const struct super_frame *super, uint8_t *bytes)
{
	if (super->kind == SUPER_FRAME_TCP && bytes[super->check] == 0xff &&
	    bytes[super->check + 1] == 0xff)
		bytes[super->check] = bytes[super->check + 1] = 0;
}

static void compare(const struct ip_frame *frame, unsigned int index, struct super_frame *super)
{
	static uint8_t ours[BYTES_MAX], kernels[BYTES_MAX];
	unsigned int piece = 0;

	for (; super_frame_more(super); piece++) {
		uint32_t len = our_next(super, ours);
		uint32_t kernels_len = kernel_cut_receive(kernels, sizeof(kernels), LIMIT_MS);

		one_zero(super, ours);
		one_zero(super, kernels);
		if (len == kernels_len && memcmp(ours, kernels, len) == 0)
			continue;
		describe(frame, index);
		dump("kernel", kernels, kernels_len);
		dump("we", ours, len);
		fail_msg("frame %u is another than the kernel's", piece);
	}
	if (!kernel_cut_receive(kernels, sizeof(kernels), 0))
		return;
	describe(frame, index);
	fail_msg("the kernel cuts more than %u frames from it", piece);
}

static void we_cut_as_the_kernel_does(void **state)
{
	static uint8_t bytes[IP_FRAME_BYTES_MAX];
	uint64_t random = seed;
	unsigned int refused = 0;
	unsigned long long pieces = 0;

	for (unsigned int i = 0; i < frames; i++) {
		struct ip_frame frame;
		struct gw_frame ours = { 0 };
		struct super_frame super;
		uint32_t len;

		random_frame(&random, &frame);
		len = ip_frame_make(&frame, bytes, &ours.header);
		ours.seg = ours.own;
		ours.len = len;
		ours.seg_count =
			(uint16_t)random_segments(&random, bytes, len, ours.own, SEGMENTS_MAX);
		memcpy(ours.snapshot, bytes, GW_FRAME_SNAPSHOT);
		if (!kernel_cut_send(&ours.header, bytes, len)) {
			describe(&frame, i);
			refused++;
			continue;
		}
		if (super_frame_begin(&super, &ours) != GW_REASON_NONE) {
			describe(&frame, i);
			fail_msg("we refuse it");
		}
		pieces += super_frame_count(&super);
		compare(&frame, i, &super);
	}
	print_message("%u super-frames, %llu frames, %u refused by the kernel\n", frames, pieces,
		      refused);
	assert_int_equal(refused, 0);
}

static int setup(void **state)
{
	kernel_cut_open();
	return 0;
}

static int teardown(void **state)
{
	kernel_cut_close();
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(we_cut_as_the_kernel_does, setup, teardown),
	};
	char why[256];

	if (argc > 1)
		frames = (unsigned int)strtoul(argv[1], NULL, 10);
	seed = argc > 2 ? strtoull(argv[2], NULL, 10)
			: (uint64_t)time(NULL) * 2654435761u + (uint64_t)getpid();
	if (access(TUN_PATH, R_OK | W_OK)) {
		fprintf(stderr, "skipped: this user may not open %s\n", TUN_PATH);
		return EXIT_SKIP;
	}
	if (!veth_enter(why, sizeof(why))) {
		fprintf(stderr, "skipped: %s\n", why);
		return EXIT_SKIP;
	}
	if (!kernel_cut_possible()) {
		fprintf(stderr, "skipped: this user cannot make a bridge here\n");
		return EXIT_SKIP;
	}
	printf("seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
