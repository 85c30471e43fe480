/* SPDX-License-Identifier: BSD-2-Clause */
#include "partial_rig.h"

#include "iov.h"
#include <stdlib.h>

struct sent *sent[SUPERS];
struct got got;

const struct mock_super_shape ten = { .payload = 10000, .gso_size = 1000, .seed = 3 };
const struct mock_super_shape one = { .payload = 1460, .whole = true, .seed = 4 };
const char *const two[] = { "a=fake:", "d=fake:", NULL };
const char *const two_of_four[] = { "a=fake:", "d=fake:,loans=4,bounce=4", NULL };

/* ---- the guest ---- */

struct gw_frame *super_of(struct rig *rig, const struct mock_super_shape *shape, uint32_t step)
{
	unsigned int id = rig->next_id++, count = 0;
	struct sent *s = calloc(1, sizeof(*s));
	struct gw_frame *frame;

	assert_non_null(s);
	assert_true(id < SUPERS);
	sent[id] = s;
	mock_super_make(&s->made, shape);
	s->made.bytes[11] = (uint8_t)id;
	s->bytes = malloc(s->made.len);
	memcpy(s->bytes, s->made.bytes, s->made.len);
	for (uint32_t at = 0; at < s->made.len; at += step) {
		if (!step || s->made.len - at < step)
			step = s->made.len - at;
		assert_true(count < PARTIAL_SEGS);
		s->seg[count++] = (struct iovec){ s->bytes + at, step };
	}
	frame = fake_frame(rig->source, id, MEMORY_A, s->seg, count);
	frame->header = s->made.header;
	desk_enter(rig->port[0]->queue[0], &frame, 1);
	return frame;
}

static unsigned int frames_of(const struct gw_frame *frame)
{
	return mock_super_frames(&sent[frame->id]->made);
}

enum desk_verdict offer_super(struct rig *rig, unsigned int egress, struct gw_frame *frame,
			      bool may_wait)
{
	enum desk_verdict verdict = desk_offer(rig->port[egress]->queue[0], frame, may_wait);

	if (verdict == DESK_TAKEN) {
		rig->offered += frames_of(frame);
		desk_put(frame);
	}
	return verdict;
}

void send_super(struct rig *rig, const struct mock_super_shape *shape, uint32_t step)
{
	assert_int_equal(offer_super(rig, 1, super_of(rig, shape, step), false), DESK_TAKEN);
	desk_flush(rig->port[1]->queue[0]);
}

void super_free(unsigned int id)
{
	if (sent[id])
		free(sent[id]->bytes);
	free(sent[id]);
	sent[id] = NULL;
}

/* ---- the device ---- */

void take(struct rig *rig, unsigned int egress, struct gw_offloads offloads)
{
	gw_port_set_offloads(rig->port[egress], &offloads);
}

static bool in_arena(const struct iovec *seg)
{
	struct iovec arena = gw_port_arena(got.rig->port[0]);

	return (uint8_t *)seg->iov_base >= (uint8_t *)arena.iov_base &&
	       (uint8_t *)seg->iov_base < (uint8_t *)arena.iov_base + arena.iov_len;
}

/* [private header | payload slices of the parent]; what is in front of it is the driver's. */
static void check_lent(const struct gw_frame *frame, const struct sent *s)
{
	assert_true(frame->memmap == MEMORY_A);
	assert_true(frame->seg_count <= GW_FRAME_SEGS);
	assert_true(in_arena(&frame->seg[0]));
	memset((uint8_t *)frame->seg[0].iov_base - GW_HEADER_ROOM, 0xee, GW_HEADER_ROOM);
	for (unsigned int i = 1; i < frame->seg_count; i++) {
		uint8_t *at = frame->seg[i].iov_base;

		assert_true(at >= s->bytes && at < s->bytes + s->made.len);
		assert_true(frame->seg[i].iov_len > 0);
		assert_true(frame->seg[i].iov_len <= (size_t)(s->bytes + s->made.len - at));
	}
}

static void check_copied(const struct gw_frame *frame)
{
	assert_null(frame->memmap);
	for (unsigned int i = 0; i < frame->seg_count; i++)
		assert_true(in_arena(&frame->seg[i]) || frame->seg_count == 1);
	/* One segment, unless it is longer than a bounce buffer. */
	assert_int_equal(frame->seg_count,
			 (frame->len + GW_ARENA_BUFFER_BYTES - 1) / GW_ARENA_BUFFER_BYTES);
}

/* Finds the frame's number where some may be missing; all there is right but that. */
static const char *judge(struct sent *s, unsigned int *number, const uint8_t *bytes, uint32_t len,
			 bool partial)
{
	const char *wrong = mock_super_wrong(&s->made, *number, bytes, len, partial);

	while (wrong && got.lossy && *number + 1 < mock_super_frames(&s->made))
		wrong = mock_super_wrong(&s->made, ++*number, bytes, len, partial);
	return wrong;
}

static void device_gets(unsigned int egress, const struct gw_frame *frame)
{
	static uint8_t bytes[MOCK_SUPER_BYTES];
	const struct iovec linear = { bytes, sizeof(bytes) };
	struct sent *s;
	const char *wrong;
	bool partial = frame->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

	gw_iov_copy(&linear, 0, frame->seg, 0, frame->len);
	assert_memory_equal(frame->snapshot, bytes, GW_FRAME_SNAPSHOT);
	s = sent[bytes[11]];
	assert_non_null(s);
	got.bytes += frame->len;
	got.partial += partial;
	if (frame->bounce)
		got.copied++;
	else
		got.lent++;
	if (frame->header.gso_type) {
		got.whole++;
		assert_memory_equal(bytes, s->made.bytes, s->made.len);
		assert_int_equal(frame->len, s->made.len);
		return;
	}
	wrong = judge(s, &got.next[egress][bytes[11]], bytes, frame->len, partial);
	if (wrong)
		fail_msg("frame %u: %s", got.next[egress][bytes[11]], wrong);
	got.next[egress][bytes[11]]++;
	if (frame->bounce)
		check_copied(frame);
	else if (frame->cut)
		check_lent(frame, s);
}

static void device_1_gets(void *arg, const struct gw_frame *frame)
{
	device_gets(1, frame);
}

static void device_2_gets(void *arg, const struct gw_frame *frame)
{
	device_gets(2, frame);
}

static void device_3_gets(void *arg, const struct gw_frame *frame)
{
	device_gets(3, frame);
}

/* ---- set up and judge ---- */

void partial_open(struct rig *rig, const char *const *specs)
{
	static void (*const gets[])(void *arg, const struct gw_frame *frame) = {
		NULL, device_1_gets, device_2_gets, device_3_gets
	};

	rig_open(rig, specs);
	memset(&got, 0, sizeof(got));
	got.rig = rig;
	for (unsigned int i = 1; i < rig->count && i < sizeof(gets) / sizeof(gets[0]); i++) {
		device(rig, i)->in_tx = gets[i];
		answer(rig, i, yes());
	}
}

void partial_close(struct rig *rig)
{
	rig_close(rig);
	for (unsigned int i = 0; i < SUPERS; i++)
		super_free(i);
}

/* All that was sent is in one of three sums. */
static void check_bytes(struct rig *rig, unsigned int egress)
{
	struct pair *pair = pair_to(rig, egress);

	assert_int_equal(pair->lent_bytes + pair->header_bytes_copied + pair->copied_bytes,
			 got.bytes);
	assert_int_equal(pair->lent_frames, got.lent);
	assert_int_equal(pair->copied_frames, got.copied);
}

void partial_end(struct rig *rig)
{
	desk_flush(rig->port[1]->queue[0]);
	complete_all(rig, 1);
	check_books(rig, 1);
	/* A test that took the judge off has nothing summed up. */
	if (device(rig, 1)->in_tx)
		check_bytes(rig, 1);
	partial_close(rig);
}

void check_dropped(struct rig *rig, enum gw_reason reason, unsigned int frames, uint64_t bytes)
{
	assert_int_equal(pair_to(rig, 1)->reasons[reason], frames);
	assert_int_equal(pair_to(rig, 1)->reason_bytes[reason], bytes);
}
