/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Super-frames of any shape, cut and judged by code that shares nothing with the
 * cutter (tests/mock/mock_super.h); and guests that change their mind meanwhile.
 */
#include "super_rig.h"

#include "iov.h"
#include "mock_super.h"
#include <stdlib.h>

#define ANY_FRAMES 3000u

static struct mock_super made;

/* ---- cutting ---- */

/* All of `made`, in segments of `step` bytes. */
static void begin(struct super_frame *super, struct sent *sent, uint32_t step)
{
	sent_open(sent, &made, made.len, step);
	assert_int_equal(super_frame_begin(super, &sent->frame), GW_REASON_NONE);
}

static uint8_t out[MOCK_SUPER_BYTES];

/* The next frame of the wire, made and put together in `out`. */
static uint32_t make_next(struct super_frame *super, struct virtio_net_hdr_v1 *header)
{
	static struct iovec seg[1 + SEGS_MAX];
	uint8_t *room = malloc(super->header_len);
	const struct iovec linear = { out, sizeof(out) };
	uint32_t len = super_frame_len(super), sum = super->header_len;
	unsigned int count;

	seg[0] = (struct iovec){ room, super->header_len };
	count = 1 + super_frame_slices(super, seg + 1, SEGS_MAX);
	assert_true(count <= 1 + SEGS_MAX);
	for (unsigned int i = 1; i < count; i++) {
		assert_true(seg[i].iov_len > 0);
		sum += (uint32_t)seg[i].iov_len;
	}
	assert_int_equal(sum, len);
	super_frame_header(super, room, header);
	super_frame_checksum(super, seg, count);
	gw_iov_copy(&linear, 0, seg, 0, len);
	free(room);
	return len;
}

/* Completes `out` as any device would that is left to do it. */
static void complete_out(const struct virtio_net_hdr_v1 *header, uint32_t len)
{
	uint32_t start = header->csum_start, at = start + header->csum_offset;
	uint16_t check = (uint16_t)~mock_sum(out + start, len - start, 0);

	if (!check && (made.shape.udp || made.shape.whole))
		check = 0xffff;
	out[at] = (uint8_t)(check >> 8);
	out[at + 1] = (uint8_t)check;
}

/* What frame `number`, in `out`, is: wrong in this, or NULL. */
static const char *judge(const struct virtio_net_hdr_v1 *header, unsigned int number, uint32_t len,
			 bool keep)
{
	const char *wrong = NULL;

	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE || header->gso_size)
		return "asks for more cutting";
	if (header->flags != (keep ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0))
		return "flags";
	if (keep) {
		wrong = mock_super_wrong(&made, number, out, len, true);
		complete_out(header, len);
	}
	return wrong ? wrong : mock_super_wrong(&made, number, out, len, false);
}

/* Cuts `made`, in segments of `step` bytes. */
static void cut_and_judge(uint32_t step, bool keep)
{
	struct super_frame *super = malloc(sizeof(*super));
	unsigned int count = mock_super_frames(&made), number = 0;
	struct virtio_net_hdr_v1 header;
	static struct sent sent;

	memset(super, 0xa5, sizeof(*super));
	begin(super, &sent, step);
	super->keep_checksum = keep;
	assert_true(super->header_len <= made.header_len);
	for (; super_frame_more(super); super_frame_advance(super), number++) {
		const char *wrong;
		uint32_t len;

		assert_int_equal(super_frame_count(super), count - number);
		len = make_next(super, &header);
		wrong = judge(&header, number, len, keep);
		if (wrong)
			fail_msg("seed %u, frame %u of %u: %s", made.shape.seed, number, count,
				 wrong);
	}
	assert_int_equal(number, count);
	assert_int_equal(super_frame_count(super), 0);
	/* Nobody writes into what the guest has. */
	assert_memory_equal(sent.bytes, made.bytes, made.len);
	sent_close(&sent);
	free(super);
}

static void any_super_frame_is_cut_right(void **state)
{
	static const uint32_t steps[] = { 0, 0, 1, 13, 64, 66, 1000, 1448, 4096 };
	uint64_t random = 4711;

	for (unsigned int i = 0; i < ANY_FRAMES; i++) {
		const struct mock_super_shape shape = mock_super_any(&random);

		mock_super_make(&made, &shape);
		cut_and_judge(steps[mock_random(&random) % 9], mock_random(&random) % 3 == 0);
	}
}

/* Shapes at borders, each with the checksum made and left. */
static void borders_are_cut_right(void **state)
{
	static const struct mock_super_shape shapes[] = {
		{ .payload = 0, .gso_size = 1000, .tcp_flags = 0x19 },
		{ .payload = 1, .gso_size = 1000, .tcp_flags = 0x19 },
		{ .payload = 1000, .gso_size = 1000, .tcp_flags = 0x99 },
		{ .payload = 1001, .gso_size = 1000, .tcp_flags = 0xff },
		{ .payload = 1024, .gso_size = 1, .tcp_flags = 0x10 },
		{ .payload = 999, .gso_size = 333, .seq = 0xfffffe00, .id = 0xffff },
		{ .payload = 65535 - 40, .gso_size = 0xffff },
		{ .payload = 65535 - 40, .gso_size = 1448 },
		{ .ipv6 = true, .payload = 65400, .gso_size = 0xffff },
		{ .ipv6 = true, .udp = true, .payload = 65400, .gso_size = 1452 },
		{ .ipv6 = true, .payload = 9000, .gso_size = 700, .extension = { 43 } },
		{ .ipv6 = true,
		  .udp = true,
		  .payload = 9000,
		  .gso_size = 701,
		  .extension = { 43 } },
		{ .ipv6 = true,
		  .payload = 9000,
		  .gso_size = 700,
		  .extension = { MOCK_SUPER_HOP_BY_HOP, 43, 60 } },
		{ .udp = true, .payload = 0, .gso_size = 100 },
		{ .payload = 3000,
		  .gso_size = 500,
		  .ip_options = 10,
		  .tcp_options = 10,
		  .vlan_tags = 2 },
		{ .whole = true, .payload = 1460 },
		{ .whole = true, .udp = true, .payload = 0 },
		{ .whole = true, .ipv6 = true, .tcp_options = 10, .payload = 1 },
	};

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		mock_super_make(&made, &shapes[i]);
		cut_and_judge(0, false);
		cut_and_judge(0, true);
		cut_and_judge(77, false);
	}
}

/* The first frame of `made`, in `out`. */
static void make_first(void)
{
	struct virtio_net_hdr_v1 header;
	struct super_frame super;
	static struct sent sent;

	begin(&super, &sent, 0);
	make_next(&super, &header);
	sent_close(&sent);
}

/* A sum of 0xffff, whose checksum is 0: "none" in UDP, a number like others in TCP. */
static void checksums_of_zero(void **state)
{
	static const struct mock_super_shape shapes[] = {
		{ .udp = true, .payload = 2000, .gso_size = 1000 },
		{ .payload = 2000, .gso_size = 1000 },
		{ .payload = 2000, .whole = true },
		{ .udp = true, .payload = 2000, .whole = true },
	};
	static const uint16_t field[] = { 0xffff, 0, 0xffff, 0xffff };

	for (unsigned int i = 0; i < 4; i++) {
		uint8_t *word;

		mock_super_make(&made, &shapes[i]);
		word = made.bytes + made.header_len;
		/* What the sum lacks of 0xffff is the checksum: into a word that was 0. */
		word[0] = word[1] = 0;
		make_first();
		memcpy(word, out + made.check_at, 2);
		make_first();
		assert_int_equal(out[made.check_at] << 8 | out[made.check_at + 1], field[i]);
	}
}

/* ---- the guest changes its mind ---- */

/* What comes after begin is made of what begin has read, whatever the guest writes. */
static void the_header_is_read_once(void **state)
{
	static const struct mock_super_shape shapes[] = {
		{ .payload = 3000, .gso_size = 1000, .tcp_flags = 0x99, .vlan_tags = 1 },
		{ .ipv6 = true, .payload = 3000, .gso_size = 1000, .extension = { 43, 60 } },
		{ .udp = true, .payload = 3000, .gso_size = 1000 },
		{ .whole = true, .payload = 3000, .tcp_options = 3 },
	};

	for (unsigned int i = 0; i < 4; i++) {
		struct virtio_net_hdr_v1 header;
		struct super_frame super;
		static struct sent sent;
		unsigned int number = 0;

		mock_super_make(&made, &shapes[i]);
		begin(&super, &sent, 0);
		for (; super_frame_more(&super); super_frame_advance(&super), number++) {
			uint32_t len;

			memset(sent.bytes, 0xff - (int)number, made.header_len);
			len = make_next(&super, &header);
			assert_null(mock_super_wrong(&made, number, out, len, false));
		}
		assert_int_equal(number, mock_super_frames(&made));
		sent_close(&sent);
	}
}

/* The egress was chosen by the snapshot: these addresses are sent, and no others. */
static void the_ethernet_header_is_the_snapshots(void **state)
{
	const struct mock_super_shape shape = { .payload = 3000, .gso_size = 1000 };
	struct virtio_net_hdr_v1 header;
	struct super_frame super;
	static struct sent sent;

	for (uint32_t step = 0; step < 2; step++) {
		mock_super_make(&made, &shape);
		sent_open(&sent, &made, made.len, step);
		memset(sent.bytes, 0xdd, GW_FRAME_SNAPSHOT);
		assert_int_equal(super_frame_begin(&super, &sent.frame), GW_REASON_NONE);
		for (; super_frame_more(&super); super_frame_advance(&super)) {
			make_next(&super, &header);
			assert_memory_equal(out, made.bytes, GW_FRAME_SNAPSHOT);
		}
		sent_close(&sent);
	}
}

/* More slices than the caller has room for are told, and not written. */
static void slices_are_bounded(void **state)
{
	const struct mock_super_shape shape = { .payload = 2000, .gso_size = 1000 };
	struct super_frame super;
	static struct sent sent;
	struct iovec seg[20];

	mock_super_make(&made, &shape);
	begin(&super, &sent, 100);
	memset(seg, 0, sizeof(seg));
	/* 46 bytes of the first segment, 9 whole ones, 54 of the last. */
	assert_int_equal(super_frame_slices(&super, seg, 20), 11);
	assert_int_equal(super_frame_slices(&super, seg, 11), 11);
	memset(seg, 0, sizeof(seg));
	assert_int_equal(super_frame_slices(&super, seg, 10), 11);
	assert_null(seg[10].iov_base);
	assert_int_equal(super_frame_slices(&super, seg, 0), 1);
	sent_close(&sent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_super_frame_is_cut_right),
		cmocka_unit_test(borders_are_cut_right),
		cmocka_unit_test(checksums_of_zero),
		cmocka_unit_test(the_header_is_read_once),
		cmocka_unit_test(the_ethernet_header_is_the_snapshots),
		cmocka_unit_test(slices_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
