/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a frame with a partial header, in any segments: raw, or a sound
 * super-frame of which some bytes are changed. What the cutter takes is cut into
 * frames that add up to the payload, as many as it may be at most; nothing is read
 * outside the segments, or written outside the header. Then the same at the desk,
 * to a device that takes this and that of it and has room now and then: everything
 * comes home.
 */
#include "fuzz.h"

#include "desk_rig.h"
#include "mock_super.h"
#include <stdlib.h>

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

#define SEGS_MAX    64u
#define PAYLOAD_MAX 6000u
#define FRAME_MAX   4096u /* raw */
#define PATCHES_MAX 8u
#define OFFERS_MAX  4000u
#define FRAME_LEAST GW_FRAME_LEN_MIN

struct guest {
	struct virtio_net_hdr_v1 header;
	uint32_t len;
	uint8_t *bytes; /* of the exact size */
	struct iovec seg[SEGS_MAX];
	unsigned int seg_count;
	bool sound; /* `made`, and nothing was changed */
};

static struct mock_super made;
static struct rig rig;

/* ---- the guest ---- */

static uint16_t any_u16(struct fuzz_input *input)
{
	uint16_t high = fuzz_u8(input);

	return (uint16_t)(high << 8 | fuzz_u8(input));
}

/* A field of the header as it may be: 0, 1, 0xffff, or anything. */
static void change_header(struct fuzz_input *input, struct virtio_net_hdr_v1 *header)
{
	static const uint16_t likely[] = { 0, 1, 2, 14, 34, 0xffff };
	uint8_t which = fuzz_u8(input), how = fuzz_u8(input);
	uint16_t value = how < 6 ? likely[how] : any_u16(input);

	switch (which % 6) {
	case 0:
		header->flags = (uint8_t)value;
		break;
	case 1:
		header->gso_type = (uint8_t)value;
		break;
	case 2:
		header->gso_size = value;
		break;
	case 3:
		header->csum_start = value;
		break;
	case 4:
		header->csum_offset = value;
		break;
	case 5:
		header->hdr_len = value;
	}
}

static void make_sound(struct fuzz_input *input, struct guest *guest)
{
	uint64_t random = fuzz_u8(input) << 8 | fuzz_u8(input);
	struct mock_super_shape shape = mock_super_any(&random);
	uint8_t changes = fuzz_u8(input) % PATCHES_MAX;

	shape.payload %= PAYLOAD_MAX;
	if (shape.payload > shape.gso_size * 400u)
		shape.payload = shape.gso_size * 400u;
	mock_super_make(&made, &shape);
	guest->sound = !changes;
	guest->len = made.len;
	for (unsigned int i = 0; i < changes; i++) {
		uint8_t what = fuzz_u8(input);

		if (what < 64)
			change_header(input, &made.header);
		else if (what < 72)
			guest->len = FRAME_LEAST + any_u16(input) % (made.len - FRAME_LEAST + 1);
		else
			made.bytes[any_u16(input) % (made.header_len + 8)] = fuzz_u8(input);
	}
	guest->header = made.header;
}

static void make_raw(struct fuzz_input *input, struct guest *guest)
{
	guest->header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	guest->header.gso_type = fuzz_u8(input) % 8;
	guest->header.gso_size = any_u16(input);
	guest->header.csum_start = fuzz_u8(input);
	guest->header.csum_offset = fuzz_u8(input) % 32;
	memset(made.bytes, 0, FRAME_LEAST);
	guest->len = (uint32_t)fuzz_take(input, made.bytes, FRAME_MAX);
	if (guest->len < FRAME_LEAST)
		guest->len = FRAME_LEAST;
}

static void make_segments(struct fuzz_input *input, struct guest *guest)
{
	uint32_t at = 0;

	guest->bytes = malloc(guest->len);
	CHECK(guest->bytes);
	memcpy(guest->bytes, made.bytes, guest->len);
	while (at < guest->len) {
		uint32_t part = fuzz_u8(input), left = guest->len - at;

		part = part < 128 ? part + 1 : part * 16;
		if (!input->len || guest->seg_count == SEGS_MAX - 1 || part > left)
			part = left;
		guest->seg[guest->seg_count++] = (struct iovec){ guest->bytes + at, part };
		at += part;
	}
}

/* ---- the cutter ---- */

/* Slices are the payload's bytes, one after the other. */
static uint32_t check_slices(const struct guest *guest, const struct iovec *seg, unsigned int count,
			     uint32_t at)
{
	uint32_t sum = 0;

	CHECK(count <= SEGS_MAX);
	for (unsigned int i = 0; i < count; i++) {
		CHECK((uint8_t *)seg[i].iov_base == guest->bytes + at + sum);
		CHECK(seg[i].iov_len && seg[i].iov_len <= guest->len - at - sum);
		sum += (uint32_t)seg[i].iov_len;
	}
	return sum;
}

static void check_frame(const struct guest *guest, const struct super_frame *super,
			const struct virtio_net_hdr_v1 *header, const struct iovec *seg,
			unsigned int count)
{
	static uint8_t bytes[MOCK_SUPER_BYTES];
	uint32_t len = 0;

	CHECK(header->gso_type == VIRTIO_NET_HDR_GSO_NONE);
	CHECK(super->keep_checksum == (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM));
	for (unsigned int i = 0; i < count; i++) {
		memcpy(bytes + len, seg[i].iov_base, seg[i].iov_len);
		len += (uint32_t)seg[i].iov_len;
	}
	CHECK(!memcmp(bytes, super->frame->snapshot, GW_FRAME_SNAPSHOT));
	CHECK(!guest->sound ||
	      !mock_super_wrong(&made, super->number, bytes, len, super->keep_checksum));
}

static void cut_all(const struct guest *guest, struct super_frame *super)
{
	uint8_t *room = malloc(super->header_len);
	uint32_t at = super->header_len;
	unsigned int number = 0;

	CHECK(room && super->header_len <= GW_HEADER_MAX && super->header_len <= guest->len);
	for (; super_frame_more(super); super_frame_advance(super), number++) {
		struct iovec seg[1 + SEGS_MAX] = { { room, super->header_len } };
		unsigned int count = super_frame_slices(super, seg + 1, SEGS_MAX);
		struct virtio_net_hdr_v1 header;

		CHECK(number < SUPER_FRAME_CUTS_MAX);
		CHECK(check_slices(guest, seg + 1, count, at) == super_frame_part(super));
		super_frame_header(super, room, &header);
		super_frame_checksum(super, seg, 1 + count);
		check_frame(guest, super, &header, seg, 1 + count);
		at += super_frame_part(super);
	}
	CHECK(at == guest->len);
	free(room);
}

static void cut(const struct guest *guest, const struct gw_frame *frame, bool keep)
{
	struct super_frame *super = malloc(sizeof(*super));
	enum gw_reason reason;

	CHECK(super);
	reason = super_frame_begin(super, frame);
	CHECK(reason == GW_REASON_NONE || reason == GW_DROP_BAD_HEADER ||
	      (reason == GW_COPY_PRIVATE_HEADER && !frame->header.gso_type));
	CHECK(!guest->sound || reason == GW_REASON_NONE);
	if (reason == GW_REASON_NONE) {
		super->keep_checksum = keep;
		cut_all(guest, super);
	}
	free(super);
}

/* ---- the desk ---- */

/* A device looks at all bytes, and at no more than its port takes. */
static void device_reads(void *arg, const struct gw_frame *frame)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < frame->seg_count; i++) {
		mock_sum(frame->seg[i].iov_base, (uint32_t)frame->seg[i].iov_len, 0);
		sum += (uint32_t)frame->seg[i].iov_len;
	}
	CHECK(sum == frame->len);
	CHECK(!super_frame_missing(&frame->header, rig.port[1]->offloads.takes));
	CHECK(frame->header.gso_type || frame->len <= rig.port[1]->max_len);
}

static void open_desk(void)
{
	static const char *const specs[] = { "a=fake:", "d=fake:,loans=6,bounce=5", NULL };

	rig_open(&rig, specs);
	device(&rig, 1)->in_tx = device_reads;
	answer(&rig, 1, yes());
}

static void offer_it(struct fuzz_input *input, const struct guest *guest, struct gw_frame *frame)
{
	uint8_t takes = fuzz_u8(input), segs = fuzz_u8(input);
	struct fake *fake = device(&rig, 1);
	struct gw_answer how = yes();
	bool may_wait = !(takes & 0x80);
	unsigned int tries = 0;

	gw_port_set_offloads(rig.port[1],
			     &(struct gw_offloads){ .takes = takes & GW_OFFLOAD_ALL,
						    .header_private = takes >> 5 & 1 });
	gw_port_set_max_len(rig.port[1], takes & 0x40 ? 1514 : GW_FRAME_LEN_MAX);
	how.max_segs = 1 + segs % 24;
	how.ends_in_tx = segs > 200;
	answer(&rig, 1, how);
	rig.port[1]->network_ports = may_wait ? 2 : 3;
	desk_enter(rig.port[0]->queue[0], &frame, 1);
	while (desk_offer(rig.port[1]->queue[0], frame, may_wait) == DESK_WAIT) {
		CHECK(may_wait && ++tries < OFFERS_MAX);
		fake->budget = 1 + fuzz_u8(input) % 8;
		desk_flush(rig.port[1]->queue[0]);
		fake->complete = 1 + fuzz_u8(input) % 8;
		desk_reap(rig.port[1]->queue[0]);
	}
	desk_put(frame);
	fake->budget = UINT32_MAX;
	desk_flush(rig.port[1]->queue[0]);
	complete_all(&rig, 1);
	desk_release(rig.port[0]->queue[0]);
}

static void check_home(const struct gw_frame *frame)
{
	struct pair *pair = pair_to(&rig, 1);

	CHECK(rig.source->came_home[frame->id] == 1);
	rig.source->came_home[frame->id] = 0;
	CHECK(!pair->loans_out && !pair->bounce_out && !rig.port[0]->queue[0]->lent_out);
	CHECK(!rig.port[1]->queue[0]->held && !rig.port[1]->queue[0]->offer.count);
	CHECK(pair->pieces.free_count == pair->pieces.max);
	CHECK(pair->bounce.free_buffers == pair->bounce.max);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz_input input = { bytes, len };
	struct guest guest = { 0 };
	struct gw_frame *frame;
	uint8_t mode = fuzz_u8(&input);

	if (!rig.count)
		open_desk();
	if (mode & 3)
		make_sound(&input, &guest);
	else
		make_raw(&input, &guest);
	make_segments(&input, &guest);
	frame = fake_frame(rig.source, 0, MEMORY_A, guest.seg, guest.seg_count);
	frame->header = guest.header;
	cut(&guest, frame, mode & 4);
	offer_it(&input, &guest, frame);
	check_home(frame);
	free(guest.bytes);
	return 0;
}
