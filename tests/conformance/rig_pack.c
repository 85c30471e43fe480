/* SPDX-License-Identifier: BSD-2-Clause */
/* Packing: a frame in the guest's memory, in bounce memory, or in both, as the desk has it. */
#include "conformance.h"
#include <linux/if_ether.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define PAGE_BYTES 4096u
/* Between two segments, so that none lies where a whole copy of the frame would have it. */
#define GAP_MAX    61u

uint32_t rig_max_len(const struct rig *rig)
{
	uint32_t max_len = host_record(rig->port)->max_len;

	assert_true(max_len >= GW_FRAME_LEN_MIN && max_len <= GW_FRAME_LEN_MAX);
	if (subject.far_end == &far_end_interface && max_len > subject.mtu + ETH_HLEN)
		return subject.mtu + ETH_HLEN;
	return max_len;
}

unsigned int rig_segs(const struct rig *rig, uint32_t len, unsigned int wanted)
{
	unsigned int max = rig->answer.max_segs;

	if (rig->answer.verdict == GW_NO)
		return 1;
	/*
	 * Each segment may cross a page boundary wherever it lies, and each page of
	 * the frame does.
	 */
	if (rig->answer.single_page_segs)
		max = max / 2 > len / PAGE_BYTES ? max / 2 - len / PAGE_BYTES : 1;
	if (wanted > max)
		wanted = max;
	return wanted > len ? len : wanted;
}

static struct parcel *next_parcel(struct rig *rig)
{
	if (!rig->out && rig->parcels == PARCELS)
		rig->parcels = 0;
	assert_true(rig->parcels < PARCELS);
	memset(&rig->parcel[rig->parcels].own, 0, sizeof(rig->parcel->own));
	rig->parcel[rig->parcels].out = rig->parcel[rig->parcels].over = false;
	return &rig->parcel[rig->parcels++];
}

static void finish_frame(struct parcel *parcel, struct gw_memmap *memmap, const uint8_t *bytes,
			 uint32_t len, unsigned int segs)
{
	struct gw_frame *frame = &parcel->own;

	frame->memmap = memmap;
	frame->seg = parcel->seg;
	frame->seg_count = (uint16_t)segs;
	frame->len = len;
	memcpy(frame->snapshot, bytes, GW_FRAME_SNAPSHOT);
	parcel->frame = frame;
}

/* Where segment number index of a frame of len bytes in segs segments begins. */
static uint32_t cut_at(uint32_t len, unsigned int segs, unsigned int index)
{
	return (uint32_t)((uint64_t)len * index / segs);
}

static struct parcel *pack_guest(struct rig *rig, const uint8_t *bytes, uint32_t len,
				 unsigned int segs, unsigned int variant)
{
	struct parcel *parcel = next_parcel(rig);

	if (rig->cursor + len + (size_t)segs * (GAP_MAX + 1) > rig->memory.bytes) {
		assert_int_equal(rig->out, 0);
		rig->cursor = 0;
	}
	for (unsigned int i = 0; i < segs; i++) {
		uint32_t from = cut_at(len, segs, i), part = cut_at(len, segs, i + 1) - from;

		rig->cursor += 1 + (len + i * 7 + variant) % GAP_MAX;
		memcpy(rig->memory.guest + rig->cursor, bytes + from, part);
		parcel->seg[i].iov_base = host_memory_at(&rig->memory, rig->cursor);
		parcel->seg[i].iov_len = part;
		rig->cursor += part;
	}
	finish_frame(parcel, rig->memory.memmap, bytes, len, segs);
	return parcel;
}

/* What the desk does with a driver that has bounce memory of its own. */
static struct parcel *pack_bounce(struct rig *rig, const uint8_t *bytes, uint32_t len)
{
	struct gw_frame *frame;
	struct parcel *parcel;
	uint32_t done = 0;

	host_visit_begin(rig->port);
	frame = subject.driver->bounce(rig->queue, len);
	host_visit_end(rig->port);
	if (!frame)
		return NULL;
	assert_true(frame->seg_count >= 1);
	for (unsigned int i = 0; i < frame->seg_count; i++) {
		assert_true(frame->seg[i].iov_len <= len - done);
		memcpy(frame->seg[i].iov_base, bytes + done, frame->seg[i].iov_len);
		done += (uint32_t)frame->seg[i].iov_len;
	}
	assert_int_equal(done, len);
	assert_int_equal(frame->len, len);
	parcel = next_parcel(rig);
	memcpy(frame->snapshot, bytes, GW_FRAME_SNAPSHOT);
	memset(&frame->header, 0, sizeof(frame->header));
	parcel->frame = frame;
	return parcel;
}

/* The next bounce memory where the driver has none; NULL: none now. */
static uint8_t *arena_next(struct rig *rig, unsigned int buffers)
{
	uint8_t *memory;

	if (rig->arena_at + buffers > ARENA_BUFFERS) {
		if (rig->out)
			return NULL;
		rig->arena_at = 0;
	}
	memory = rig->arena + (size_t)rig->arena_at * GW_ARENA_BUFFER_BYTES;
	rig->arena_at += buffers;
	return memory;
}

/* [private header | payload where the guest has it], as the core makes them. */
static struct parcel *pack_private(struct rig *rig, const uint8_t *bytes, uint32_t len,
				   uint32_t head, unsigned int segs, unsigned int variant)
{
	uint8_t *room = arena_next(rig, 1);
	struct parcel *parcel;

	if (!room)
		return NULL;
	if (segs + 1 > rig->answer.max_segs)
		segs = rig->answer.max_segs - 1u;
	assert_true(segs && head <= GW_HEADER_MAX);
	parcel = pack_guest(rig, bytes + head, len - head, segs, variant);
	memmove(parcel->seg + 1, parcel->seg, segs * sizeof(*parcel->seg));
	parcel->seg[0] = (struct iovec){ room + GW_HEADER_ROOM, head };
	memcpy(parcel->seg[0].iov_base, bytes, head);
	finish_frame(parcel, rig->memory.memmap, bytes, len, segs + 1);
	return parcel;
}

struct parcel *rig_pack_private(struct rig *rig, uint32_t len, uint32_t head, unsigned int segs,
				unsigned int variant)
{
	uint8_t bytes[GW_FRAME_LEN_MAX];

	frame_fill(bytes, len, variant);
	return pack_private(rig, bytes, len, head, segs, variant);
}

struct parcel *rig_pack_ip(struct rig *rig, const struct ip_frame *frame, unsigned int segs,
			   bool private)
{
	static uint8_t bytes[IP_FRAME_BYTES_MAX];
	struct virtio_net_hdr_v1 header;
	uint32_t len = ip_frame_make(frame, bytes, &header);
	struct ip_frame_layout layout;
	struct parcel *parcel;

	assert_true(ip_frame_parse(bytes, len, &layout));
	segs = rig_segs(rig, len, segs);
	if (rig->answer.verdict == GW_NO)
		parcel = pack_bounce(rig, bytes, len);
	else if (private || host_record(rig->port)->offloads.header_private)
		parcel = pack_private(rig, bytes, len, layout.payload, segs, frame->number);
	else
		parcel = pack_guest(rig, bytes, len, segs, frame->number);
	if (parcel)
		parcel->frame->header = header;
	return parcel;
}

struct parcel *rig_pack_arena(struct rig *rig, uint32_t len, unsigned int variant)
{
	unsigned int buffers = (len + GW_ARENA_BUFFER_BYTES - 1) / GW_ARENA_BUFFER_BYTES;
	uint8_t bytes[GW_FRAME_LEN_MAX], *room;
	struct parcel *parcel;

	frame_fill(bytes, len, variant);
	if (subject.driver->bounce)
		return pack_bounce(rig, bytes, len);
	room = arena_next(rig, buffers);
	if (!room)
		return NULL;
	parcel = next_parcel(rig);
	for (unsigned int i = 0; i < buffers; i++) {
		uint32_t from = i * GW_ARENA_BUFFER_BYTES;
		uint32_t part =
			len - from < GW_ARENA_BUFFER_BYTES ? len - from : GW_ARENA_BUFFER_BYTES;

		parcel->seg[i].iov_base = room + from;
		parcel->seg[i].iov_len = part;
		memcpy(parcel->seg[i].iov_base, bytes + from, part);
	}
	finish_frame(parcel, NULL, bytes, len, buffers);
	return parcel;
}

struct parcel *rig_pack(struct rig *rig, uint32_t len, unsigned int segs, unsigned int variant)
{
	uint8_t bytes[GW_FRAME_LEN_MAX];

	if (rig->answer.verdict == GW_NO)
		return rig_pack_arena(rig, len, variant);
	frame_fill(bytes, len, variant);
	return pack_guest(rig, bytes, len, segs, variant);
}
