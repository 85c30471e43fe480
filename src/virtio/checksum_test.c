/* SPDX-License-Identifier: BSD-2-Clause */
/* Checksums over any layout of segments, against a sum that goes byte by byte. */
#include "checksum.h"

#include "mock_super.h"
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define BYTES 70000u
#define SEGS  64u

static uint8_t bytes[BYTES + 64];

static void fill(uint64_t seed)
{
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)mock_random(&seed);
}

static uint16_t in_memory(uint16_t network)
{
	return (uint16_t)(*(const uint8_t *)"\1" == 1 ? __builtin_bswap16(network) : network);
}

/* 0 and 0xffff are one number; which of the two it is nobody may rely on. */
static uint16_t canonical(uint16_t sum)
{
	return sum == 0xffff ? 0 : sum;
}

static void assert_sum(const struct iovec *seg, unsigned int count, uint32_t from, uint32_t len,
		       uint16_t naive)
{
	assert_int_equal(canonical(in_memory(checksum_sum(seg, count, from, len, 0))),
			 canonical(naive));
}

/* ---- checksum_sum ---- */

/* At an odd address, and ends where the bytes do: a sanitizer sees each byte too far. */
static uint8_t *alloc_odd(size_t len)
{
	uint8_t *p = malloc(len + 1);

	assert_non_null(p);
	return p + 1;
}

static void every_length_at_every_alignment(void **state)
{
	fill(1);
	for (uint32_t at = 0; at < 33; at++) {
		for (uint32_t len = 0; len < 300; len++) {
			uint8_t *copy = alloc_odd(at + len);
			const struct iovec seg = { copy + at, len };

			memcpy(copy + at, bytes + at, len);
			assert_sum(&seg, 1, 0, len, mock_sum(bytes + at, len, 0));
			free(copy - 1);
		}
	}
}

/* Carries that pile up: the largest frame, all bits set. */
static void the_largest_sums(void **state)
{
	for (uint32_t len = GW_FRAME_LEN_MAX - 40; len <= GW_FRAME_LEN_MAX; len++) {
		const struct iovec seg = { bytes + len % 7, len };

		memset(bytes, 0xff, sizeof(bytes));
		assert_sum(&seg, 1, 0, len, mock_sum(bytes, len, 0));
		fill(len);
		assert_sum(&seg, 1, 0, len, mock_sum(bytes + len % 7, len, 0));
	}
}

/* Cuts bytes at random places, many of them odd, some segments empty. */
static unsigned int scatter(uint64_t *random, struct iovec *seg, uint32_t len)
{
	unsigned int count = 0;
	uint32_t at = 0;

	while (at < len && count < SEGS - 1) {
		uint32_t part = (uint32_t)(mock_random(random) % (count % 3 ? 9 : 3000));

		if (part > len - at)
			part = len - at;
		seg[count++] = (struct iovec){ bytes + at, part };
		at += part;
	}
	if (at < len)
		seg[count++] = (struct iovec){ bytes + at, len - at };
	return count;
}

static void pieces_of_any_length(void **state)
{
	uint64_t random = 7;

	fill(2);
	for (unsigned int i = 0; i < 5000; i++) {
		uint32_t all = (uint32_t)(1 + mock_random(&random) % (i % 10 ? 4000 : 65000));
		uint32_t from = (uint32_t)(mock_random(&random) % all);
		uint32_t len = (uint32_t)(mock_random(&random) % (all - from + 1));
		struct iovec seg[SEGS];
		unsigned int count = scatter(&random, seg, all);

		assert_sum(seg, count, from, len, mock_sum(bytes + from, len, 0));
		/* To the end, however much is asked for; and from beyond it nothing. */
		assert_sum(seg, count, from, UINT32_MAX, mock_sum(bytes + from, all - from, 0));
		assert_int_equal(checksum_sum(seg, count, all + from, UINT32_MAX, 0), 0);
	}
}

static void a_sum_goes_on_from_another(void **state)
{
	fill(3);
	for (uint32_t first = 0; first < 200; first += 2) {
		const struct iovec seg[] = { { bytes, first }, { bytes + first, 333 } };
		uint16_t sum = checksum_sum(seg, 1, 0, first, 0);

		sum = checksum_sum(seg + 1, 1, 0, 333, sum);
		assert_int_equal(canonical(in_memory(sum)),
				 canonical(mock_sum(bytes, first + 333, 0)));
	}
}

/* ---- checksum_store ---- */

static void a_field_over_two_segments_is_written(void **state)
{
	for (uint32_t cut = 0; cut <= 10; cut++) {
		for (uint32_t at = 0; at + 2 <= 10; at++) {
			uint8_t place[12] = { 0 }, expected[12] = { 0 };
			const struct iovec seg[] = { { place, cut }, { place + cut, 10 - cut } };

			memcpy(expected + at, &(uint16_t){ 0x1234 }, 2);
			checksum_store(seg, 2, at, 0x1234);
			assert_memory_equal(place, expected, sizeof(place));
		}
	}
}

/* ---- checksum_complete ---- */

static bool complete(uint32_t len, struct virtio_net_hdr_v1 *header, unsigned int cut)
{
	const struct iovec seg[] = { { bytes, cut }, { bytes + cut, len - cut } };

	return checksum_complete(seg, 2, len, header);
}

static struct virtio_net_hdr_v1 asks(uint16_t start, uint16_t offset)
{
	return (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					   .csum_start = start,
					   .csum_offset = offset };
}

/* Whatever is in the field takes part: all words of what is covered sum up to 0xffff then. */
static void a_partial_checksum_is_completed(void **state)
{
	const uint16_t start = 34, offset = 16;

	for (uint32_t len = start + offset + 2; len < 400; len++) {
		struct virtio_net_hdr_v1 header = asks(start, offset);
		uint32_t field;
		uint16_t before;

		fill(len);
		field = start + offset;
		before = (uint16_t)~mock_sum(bytes + start, len - start, 0);
		assert_true(complete(len, &header, len / 2));
		assert_int_equal(header.flags, 0);
		assert_int_equal(bytes[field] << 8 | bytes[field + 1], before ? before : 0xffff);
	}
}

/* 0 would say "no checksum" in UDP. */
static void a_checksum_of_zero_becomes_ones(void **state)
{
	struct virtio_net_hdr_v1 header = asks(14, 6);

	memset(bytes, 0, 64);
	bytes[30] = bytes[31] = 0xff;
	assert_true(complete(64, &header, 20));
	assert_int_equal(bytes[20] << 8 | bytes[21], 0xffff);
}

static void nothing_asked_nothing_done(void **state)
{
	struct virtio_net_hdr_v1 header = asks(14, 6);
	uint8_t before[64];

	fill(5);
	memcpy(before, bytes, sizeof(before));
	header.flags = 0;
	assert_true(complete(64, &header, 20));
	assert_memory_equal(bytes, before, sizeof(before));
}

static void a_field_outside_is_refused(void **state)
{
	static const struct {
		uint16_t start, offset;
		bool inside;
	} table[] = {
		{ 64, 0, false },      { 63, 0, false },     { 62, 0, true },
		{ 14, 48, true },      { 14, 49, false },    { 14, 50, false },
		{ 14, 0xffff, false }, { 0xffff, 0, false }, { 0xffff, 0xffff, false },
	};
	uint8_t before[64];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct virtio_net_hdr_v1 header = asks(table[i].start, table[i].offset);

		fill(i);
		memcpy(before, bytes, sizeof(before));
		assert_int_equal(complete(64, &header, 30), table[i].inside);
		if (table[i].inside)
			continue;
		assert_memory_equal(bytes, before, sizeof(before));
		assert_int_equal(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	}
}

/* ---- checksum_find_partial ---- */

static struct mock_super made;

/* What a sender on this host left partial is recognised by its value, and completed rightly. */
static void partial_checksums_are_found(void **state)
{
	uint64_t random = 99;
	unsigned int found = 0;

	for (unsigned int i = 0; i < 2000; i++) {
		struct mock_super_shape shape = mock_super_any(&random);
		struct virtio_net_hdr_v1 header = { 0 };
		const struct iovec seg = { made.bytes, 0 };
		struct iovec all = seg;

		shape.whole = true;
		shape.payload %= 3000;
		memset(shape.extension, 0, sizeof(shape.extension));
		mock_super_make(&made, &shape);
		all.iov_len = made.len;
		assert_true(checksum_find_partial(made.bytes, made.len, made.len, &header));
		assert_int_equal(header.csum_start, made.header.csum_start);
		assert_int_equal(header.csum_offset, made.header.csum_offset);
		assert_true(checksum_complete(&all, 1, made.len, &header));
		/* Now it is complete; that it looks partial still is a chance of 1 in 65536. */
		found += checksum_find_partial(made.bytes, made.len, made.len, &header);
	}
	assert_true(found < 3);
}

/* Any length of what can be looked at, and lengths that lie: no byte beyond is read. */
static void cut_off_headers_are_not_partial(void **state)
{
	const struct mock_super_shape shapes[] = {
		{ .whole = true, .payload = 100, .vlan_tags = 2, .ip_options = 3 },
		{ .whole = true, .ipv6 = true, .udp = true, .payload = 100 },
	};

	for (unsigned int s = 0; s < 2; s++) {
		mock_super_make(&made, &shapes[s]);
		for (uint32_t linear = 0; linear < made.check_at + 2; linear++) {
			struct virtio_net_hdr_v1 header = { 0 };
			uint8_t *copy = alloc_odd(linear);

			memcpy(copy, made.bytes, linear);
			assert_false(checksum_find_partial(copy, linear, made.len, &header));
			assert_false(checksum_find_partial(copy, linear, linear, &header));
			assert_int_equal(header.flags, 0);
			free(copy - 1);
		}
		/* A length in the IP header that is longer than the frame. */
		assert_false(checksum_find_partial(made.bytes, made.len - 1, made.len - 1,
						   &(struct virtio_net_hdr_v1){ 0 }));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_at_every_alignment),
		cmocka_unit_test(the_largest_sums),
		cmocka_unit_test(pieces_of_any_length),
		cmocka_unit_test(a_sum_goes_on_from_another),
		cmocka_unit_test(a_field_over_two_segments_is_written),
		cmocka_unit_test(a_partial_checksum_is_completed),
		cmocka_unit_test(a_checksum_of_zero_becomes_ones),
		cmocka_unit_test(nothing_asked_nothing_done),
		cmocka_unit_test(a_field_outside_is_refused),
		cmocka_unit_test(partial_checksums_are_found),
		cmocka_unit_test(cut_off_headers_are_not_partial),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
