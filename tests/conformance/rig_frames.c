/* SPDX-License-Identifier: BSD-2-Clause */
/* What frames are made of, and how they are known again at both ends of the device. */
#include "conformance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

void frame_fill(uint8_t *bytes, uint32_t len, unsigned int variant)
{
	static const uint8_t head[GW_FRAME_LEN_MIN] = {
		0x02,
		0x67,
		0x77,
		0x00,
		0x00,
		0x02,
		0x02,
		0x67,
		0x77,
		0x00,
		0x00,
		0x01,
		CONFORMANCE_ETHERTYPE >> 8,
		CONFORMANCE_ETHERTYPE & 0xff,
	};
	uint64_t state = 0x9e3779b97f4a7c15u ^ ((uint64_t)variant << 32 | len);

	memcpy(bytes, head, sizeof(head));
	for (uint32_t i = GW_FRAME_LEN_MIN; i < len; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		bytes[i] = (uint8_t)(state >> 24);
	}
}

bool is_ours(const struct gw_frame *frame)
{
	return frame->snapshot[12] == CONFORMANCE_ETHERTYPE >> 8 &&
	       frame->snapshot[13] == (CONFORMANCE_ETHERTYPE & 0xff);
}

void flush_far(struct rig *rig)
{
	uint8_t bytes[GW_FRAME_LEN_MAX];

	if (!subject.far_end->receive)
		return;
	while (subject.far_end->receive(rig->far, bytes, sizeof(bytes), 0))
		;
}

void take_far(struct rig *rig, const uint32_t *len, unsigned int count, unsigned int variant)
{
	static uint8_t bytes[GW_FRAME_LEN_MAX], wanted[GW_FRAME_LEN_MAX];
	bool seen[GW_BATCH] = { false };

	if (!subject.far_end->receive)
		return;
	for (unsigned int i = 0; i < count; i++) {
		uint32_t got =
			subject.far_end->receive(rig->far, bytes, sizeof(bytes), DEADLINE_MS);
		unsigned int match = 0;

		if (!got)
			fail_msg("frame %u of %u did not arrive (first: %u bytes)", i, count,
				 len[0]);
		while (match < count && (seen[match] || len[match] != got))
			match++;
		if (match == count)
			fail_msg("a frame of %u bytes arrived that was not sent, or twice", got);
		seen[match] = true;
		frame_fill(wanted, got, variant);
		assert_memory_equal(bytes, wanted, got);
	}
}

void expect_far(struct rig *rig, const uint32_t *len, unsigned int count, unsigned int variant)
{
	uint8_t bytes[GW_FRAME_LEN_MAX];

	take_far(rig, len, count, variant);
	if (subject.far_end->receive && subject.far_end->receive(rig->far, bytes, sizeof(bytes), 0))
		fail_msg("a frame arrived that nobody sent");
}

struct gw_frame *expect_near(struct rig *rig, uint32_t len, unsigned int variant)
{
	static uint8_t bytes[GW_FRAME_LEN_MAX], wanted[GW_FRAME_LEN_MAX];
	uint64_t end_ms = host_now_ms() + DEADLINE_MS;
	struct gw_frame *frame;

	while (host_now_ms() < end_ms) {
		if (!host_receive(rig->port, &frame, 1, 100))
			continue;
		if (!is_ours(frame)) {
			host_release(rig->port, &frame, 1);
			continue;
		}
		assert_ptr_equal(frame->home, rig->queue);
		assert_int_equal(frame->len, len);
		assert_true(frame->seg_count >= 1 && frame->seg_count <= GW_FRAME_SEGS_MAX);
		frame_fill(wanted, len, variant);
		assert_int_equal(host_frame_bytes(frame, bytes, sizeof(bytes)), len);
		assert_memory_equal(bytes, wanted, len);
		assert_memory_equal(frame->snapshot, wanted, GW_FRAME_SNAPSHOT);
		assert_int_equal(frame->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
		assert_int_equal(frame->header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		return frame;
	}
	fail_msg("a frame of %u bytes was sent to the port and not received", len);
	return NULL;
}
