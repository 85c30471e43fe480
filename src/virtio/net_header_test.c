/* SPDX-License-Identifier: BSD-2-Clause */
#include "net_header.h"

#include "super_frame.h"
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define FEATURE(bit) (1ull << (bit))
#define CSUM         FEATURE(VIRTIO_NET_F_CSUM)
#define TSO4         FEATURE(VIRTIO_NET_F_HOST_TSO4)
#define ALL_OFFLOADS                                                                      \
	(CSUM | TSO4 | FEATURE(VIRTIO_NET_F_HOST_TSO6) | FEATURE(VIRTIO_NET_F_HOST_UFO) | \
	 FEATURE(VIRTIO_NET_F_HOST_ECN))

static void header_length_follows_the_features(void **state)
{
	assert_int_equal(net_header_len(0), 10);
	assert_int_equal(net_header_len(FEATURE(VIRTIO_F_VERSION_1)), 12);
	assert_int_equal(net_header_len(FEATURE(VIRTIO_NET_F_MRG_RXBUF)), 12);
}

/* ---- stripping ---- */

#define FRAME_BYTES 60u

/*
 * Header and frame in pieces of piece bytes: any layout gives the same. CVE-2022-2132: DPDK
 * took it for granted that the header lies in two descriptors at most.
 */
static void header_split_over_several_descriptors(void **state)
{
	uint8_t bytes[12 + FRAME_BYTES], frame[sizeof(bytes)];
	struct virtio_net_hdr_v1 header;
	struct iovec seg[sizeof(bytes)];
	unsigned int count, first, at;

	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i + 1);
	for (unsigned int piece = 1; piece <= sizeof(bytes); piece++) {
		count = 0;
		for (at = 0; at < sizeof(bytes); at += piece)
			seg[count++] = (struct iovec){ bytes + at, piece < sizeof(bytes) - at
									   ? piece
									   : sizeof(bytes) - at };
		assert_true(net_header_strip(seg, count, 12, &header, &first));
		assert_memory_equal(&header, bytes, 12);
		at = 0;
		for (unsigned int i = first; i < count; i++) {
			assert_true(seg[i].iov_len > 0);
			memcpy(frame + at, seg[i].iov_base, seg[i].iov_len);
			at += (unsigned int)seg[i].iov_len;
		}
		assert_int_equal(at, FRAME_BYTES);
		assert_memory_equal(frame, bytes + 12, FRAME_BYTES);
	}
}

static void short_header_is_filled_with_zeros(void **state)
{
	uint8_t bytes[10 + 14];
	struct iovec seg = { bytes, sizeof(bytes) };
	struct virtio_net_hdr_v1 header;
	unsigned int first;

	memset(bytes, 0xff, sizeof(bytes));
	memset(&header, 0xff, sizeof(header));
	assert_true(net_header_strip(&seg, 1, 10, &header, &first));
	assert_int_equal(header.csum_offset, 0xffff);
	assert_int_equal(header.num_buffers, 0);
	assert_int_equal(seg.iov_len, 14);
}

static void chain_no_longer_than_its_header(void **state)
{
	uint8_t bytes[12] = { 0 };
	struct iovec seg[] = { { bytes, 5 }, { bytes + 5, 7 } };
	struct virtio_net_hdr_v1 header;
	unsigned int first;

	assert_false(net_header_strip(seg, 2, 12, &header, &first));
	assert_false(net_header_strip(seg, 1, 12, &header, &first));
	assert_false(net_header_strip(seg, 0, 12, &header, &first));
	assert_int_equal(seg[0].iov_len, 5);
	assert_false(net_header_strip(seg, 2, 13, &header, &first));
}

/* ---- checking ---- */

struct header_case {
	const char *name;
	struct virtio_net_hdr_v1 header;
	uint64_t features;
	bool valid;
};

#define NEEDS_CSUM VIRTIO_NET_HDR_F_NEEDS_CSUM
#define HDR(flags_, type_, hdr_len_, size_, start_, offset_)                          \
	{                                                                             \
		.flags = (flags_), .gso_type = (type_), .hdr_len = (hdr_len_),        \
		.gso_size = (size_), .csum_start = (start_), .csum_offset = (offset_) \
	}

static const struct header_case cases[] = {
	{ "nothing asked", HDR(0, 0, 0, 0, 0, 0), 0, true },
	{ "unused fields are not looked at", HDR(0, 0, 999, 9, 0xffff, 0xffff), 0, true },
	{ "unknown flags are ignored", HDR(0x80, 0, 0, 0, 0, 0), 0, true },
	{ "data valid is for receivers", HDR(VIRTIO_NET_HDR_F_DATA_VALID, 0, 0, 0, 0, 0),
	  ALL_OFFLOADS, false },
	{ "rsc info is for receivers", HDR(VIRTIO_NET_HDR_F_RSC_INFO, 0, 0, 0, 0, 0), ALL_OFFLOADS,
	  false },
	{ "checksum", HDR(NEEDS_CSUM, 0, 0, 0, 34, 16), CSUM, true },
	{ "checksum not negotiated", HDR(NEEDS_CSUM, 0, 0, 0, 34, 16), 0, false },
	{ "csum_start + csum_offset at the end", HDR(NEEDS_CSUM, 0, 0, 0, 34, 64), CSUM, true },
	{ "csum_start + csum_offset beyond the end", HDR(NEEDS_CSUM, 0, 0, 0, 34, 65), CSUM,
	  false },
	{ "csum_start beyond the end", HDR(NEEDS_CSUM, 0, 0, 0, 0xffff, 0), CSUM, false },
	{ "csum_start + csum_offset wrap", HDR(NEEDS_CSUM, 0, 0, 0, 0xffff, 0xffff), CSUM, false },
	{ "csum_start in the Ethernet header", HDR(NEEDS_CSUM, 0, 0, 0, 13, 2), CSUM, false },
	{ "tso", HDR(NEEDS_CSUM, 1, 54, 40, 34, 16), CSUM | TSO4, true },
	{ "tso not negotiated", HDR(NEEDS_CSUM, 1, 54, 40, 34, 16), CSUM, false },
	{ "tso6 not negotiated", HDR(NEEDS_CSUM, 4, 74, 20, 54, 16), CSUM | TSO4, false },
	{ "tso6", HDR(NEEDS_CSUM, 4, 74, 20, 54, 16), ALL_OFFLOADS, true },
	{ "ufo", HDR(NEEDS_CSUM, 3, 42, 20, 34, 6), ALL_OFFLOADS, true },
	{ "uso not negotiated", HDR(NEEDS_CSUM, 5, 42, 20, 34, 6), ALL_OFFLOADS, false },
	{ "uso", HDR(NEEDS_CSUM, 5, 42, 20, 34, 6), ALL_OFFLOADS | FEATURE(56), true },
	{ "tso with ecn", HDR(NEEDS_CSUM, 0x81, 54, 40, 34, 16), ALL_OFFLOADS, true },
	{ "ecn not negotiated", HDR(NEEDS_CSUM, 0x81, 54, 40, 34, 16), CSUM | TSO4, false },
	{ "ecn alone", HDR(NEEDS_CSUM, 0x80, 54, 40, 34, 16), ALL_OFFLOADS, false },
	{ "ecn on udp", HDR(NEEDS_CSUM, 0x83, 42, 20, 34, 6), ALL_OFFLOADS, false },
	{ "gso_size 0", HDR(NEEDS_CSUM, 1, 54, 0, 34, 16), ALL_OFFLOADS, false },
	{ "gso_size 0xffff is one segment", HDR(NEEDS_CSUM, 1, 54, 0xffff, 34, 16), ALL_OFFLOADS,
	  true },
	{ "gso_type unknown", HDR(NEEDS_CSUM, 2, 54, 40, 34, 16), ALL_OFFLOADS, false },
	{ "gso_type unknown, high", HDR(NEEDS_CSUM, 0x7f, 54, 40, 34, 16), ALL_OFFLOADS, false },
	{ "gso without partial checksum", HDR(0, 1, 54, 40, 34, 16), ALL_OFFLOADS, false },
	{ "gso_size 1", HDR(NEEDS_CSUM, 1, 54, 1, 34, 16), ALL_OFFLOADS, true },
	{ "header beyond the data is a hint", HDR(NEEDS_CSUM, 1, 101, 40, 34, 16), ALL_OFFLOADS,
	  true },
	{ "no header at all, as a hint", HDR(NEEDS_CSUM, 1, 0, 40, 34, 16), ALL_OFFLOADS, true },
	{ "tso with the checksum of udp", HDR(NEEDS_CSUM, 1, 54, 40, 34, 6), ALL_OFFLOADS, false },
	{ "uso with the checksum of tcp", HDR(NEEDS_CSUM, 5, 42, 20, 34, 16),
	  ALL_OFFLOADS | FEATURE(56), false },
	{ "tso without room for an IPv4 header", HDR(NEEDS_CSUM, 1, 53, 40, 33, 16), ALL_OFFLOADS,
	  false },
	{ "tso6 without room for an IPv6 header", HDR(NEEDS_CSUM, 4, 73, 20, 53, 16), ALL_OFFLOADS,
	  false },
	{ "tso without payload", HDR(NEEDS_CSUM, 1, 100, 40, 80, 16), ALL_OFFLOADS, false },
	{ "tso with a byte of payload", HDR(NEEDS_CSUM, 1, 99, 40, 79, 16), ALL_OFFLOADS, true },
	{ "uso without payload", HDR(NEEDS_CSUM, 5, 100, 40, 92, 6), ALL_OFFLOADS | FEATURE(56),
	  false },
};

/* CVE-2024-11614: DPDK read a packet where a header said it should be. */
static void headers_that_ask_for_what_cannot_be(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (net_header_valid(&cases[i].header, cases[i].features, 100) != cases[i].valid)
			fail_msg("%s", cases[i].name);
}

/* 64 KiB, byte by byte, are more frames than any sender needs. */
static void a_super_frame_is_not_cut_to_dust(void **state)
{
	struct virtio_net_hdr_v1 header = HDR(NEEDS_CSUM, 1, 54, 1, 34, 16);

	assert_true(net_header_valid(&header, ALL_OFFLOADS, SUPER_FRAME_CUTS_MAX - 1));
	assert_false(net_header_valid(&header, ALL_OFFLOADS, SUPER_FRAME_CUTS_MAX));
	header.gso_size = 64;
	assert_false(net_header_valid(&header, ALL_OFFLOADS, GW_FRAME_LEN_MAX));
	header.gso_size = 65;
	assert_true(net_header_valid(&header, ALL_OFFLOADS, GW_FRAME_LEN_MAX));
}

struct tidy_case {
	const char *name;
	struct virtio_net_hdr_v1 from, to;
};

static const struct tidy_case tidy_cases[] = {
	{ "nothing asked", HDR(0, 0, 7, 8, 9, 10), HDR(0, 0, 0, 0, 0, 0) },
	{ "unknown flags", HDR(0x78, 0, 0, 0, 9, 10), HDR(0, 0, 0, 0, 0, 0) },
	{ "checksum", HDR(NEEDS_CSUM | 0x80, 0, 54, 10, 34, 16), HDR(NEEDS_CSUM, 0, 0, 0, 34, 16) },
	{ "super-frame", HDR(NEEDS_CSUM, 1, 66, 40, 34, 16), HDR(NEEDS_CSUM, 1, 66, 40, 34, 16) },
	{ "hint too short", HDR(NEEDS_CSUM, 1, 0, 40, 34, 16), HDR(NEEDS_CSUM, 1, 54, 40, 34, 16) },
	{ "hint too long", HDR(NEEDS_CSUM, 1, 5000, 40, 34, 16),
	  HDR(NEEDS_CSUM, 1, 94, 40, 34, 16) },
	{ "hint beyond the frame", HDR(NEEDS_CSUM, 1, 0xffff, 9, 70, 16),
	  HDR(NEEDS_CSUM, 1, 100, 9, 70, 16) },
	{ "one segment", HDR(NEEDS_CSUM, 1, 54, 0xffff, 34, 16), HDR(NEEDS_CSUM, 0, 0, 0, 34, 16) },
	{ "one segment, just", HDR(NEEDS_CSUM, 0x81, 54, 46, 34, 16),
	  HDR(NEEDS_CSUM, 0, 0, 0, 34, 16) },
	{ "two segments, just", HDR(NEEDS_CSUM, 0x81, 54, 45, 34, 16),
	  HDR(NEEDS_CSUM, 0x81, 54, 45, 34, 16) },
	{ "uso", HDR(NEEDS_CSUM, 5, 99, 20, 34, 6), HDR(NEEDS_CSUM, 5, 42, 20, 34, 6) },
};

static void headers_become_what_others_may_go_by(void **state)
{
	for (size_t i = 0; i < sizeof(tidy_cases) / sizeof(tidy_cases[0]); i++) {
		struct virtio_net_hdr_v1 header = tidy_cases[i].from;

		header.num_buffers = 3;
		net_header_tidy(&header, 100);
		if (memcmp(&header, &tidy_cases[i].to, sizeof(header)))
			fail_msg("%s", tidy_cases[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_length_follows_the_features),
		cmocka_unit_test(header_split_over_several_descriptors),
		cmocka_unit_test(short_header_is_filled_with_zeros),
		cmocka_unit_test(chain_no_longer_than_its_header),
		cmocka_unit_test(headers_that_ask_for_what_cannot_be),
		cmocka_unit_test(a_super_frame_is_not_cut_to_dust),
		cmocka_unit_test(headers_become_what_others_may_go_by),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
