/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames with a partial header at the desk: what of them is lent and what copied,
 * what waits and what is dropped, and that each piece and each parent comes home.
 * Each frame that a device takes is judged, while it has it (tests/mock/mock_super.h).
 */
#include "desk_rig.h"

#include "checksum.h"
#include "iov.h"
#include "mock_super.h"
#include <stdlib.h>

#define SUPERS 128u
#define SEGS   1200u

/* A super-frame of a guest, in memory of its exact size. */
struct sent {
	struct mock_super made;
	uint8_t *bytes;
	unsigned int next; /* frame of the wire that each device has to get, by egress */
	struct iovec seg[SEGS];
};

static struct sent *sent[SUPERS]; /* by id of the frame, which is in its source address */

/* What devices got. */
static struct {
	struct rig *rig;
	unsigned int next[RIG_PORTS][SUPERS];
	unsigned int lent, copied, whole, partial;
	uint32_t seg_count; /* of the last */
	bool lossy;         /* some may be missing, in order they are */
	uint64_t bytes;
} got;

/* ---- the guest ---- */

/* A frame of the source with these bytes, in segments of `step` bytes; 0: one. */
static struct gw_frame *super_of(struct rig *rig, const struct mock_super_shape *shape,
				 uint32_t step)
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
		assert_true(count < SEGS);
		s->seg[count++] = (struct iovec){ s->bytes + at, step };
	}
	frame = fake_frame(rig->source, id, MEMORY_A, s->seg, count);
	frame->header = s->made.header;
	desk_enter(rig->port[0], frame);
	return frame;
}

static unsigned int frames_of(const struct gw_frame *frame)
{
	return mock_super_frames(&sent[frame->id]->made);
}

static enum desk_verdict offer_super(struct rig *rig, unsigned int egress, struct gw_frame *frame,
				     bool may_wait)
{
	enum desk_verdict verdict = desk_offer(rig->port[egress], frame, may_wait);

	if (verdict == DESK_TAKEN) {
		rig->offered += frames_of(frame);
		desk_put(frame);
	}
	return verdict;
}

/* ---- the device ---- */

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
	got.seg_count = frame->seg_count;
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

static void open_rig(struct rig *rig, const char *const *specs)
{
	static void (*const gets[])(void *arg, const struct gw_frame *frame) = {
		NULL, device_1_gets, device_2_gets, device_3_gets
	};

	rig_open(rig, specs);
	memset(&got, 0, sizeof(got));
	got.rig = rig;
	for (unsigned int i = 1; i < rig->count; i++) {
		device(rig, i)->in_tx = gets[i];
		answer(rig, i, yes());
	}
}

static void close_rig(struct rig *rig)
{
	rig_close(rig);
	for (unsigned int i = 0; i < SUPERS; i++) {
		if (sent[i])
			free(sent[i]->bytes);
		free(sent[i]);
		sent[i] = NULL;
	}
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

static void end(struct rig *rig)
{
	desk_flush(rig->port[1]);
	complete_all(rig, 1);
	check_books(rig, 1);
	check_bytes(rig, 1);
	close_rig(rig);
}

/* Ten frames, the last as long as the others. */
static const struct mock_super_shape ten = { .payload = 10000, .gso_size = 1000, .seed = 3 };
static const struct mock_super_shape one = { .payload = 1460, .whole = true, .seed = 4 };

static const char *const two[] = { "a=fake:", "d=fake:", NULL };
static const char *const two_of_four[] = { "a=fake:", "d=fake:,loans=4,bounce=4", NULL };
static const char *const three_of_four[] = { "a=fake:", "d=fake:,loans=4,bounce=4",
					     "e=sink:", NULL };

/* ---- lent or copied ---- */

static void pieces_are_lent_with_private_headers(void **state)
{
	struct gw_frame *frame;
	struct pair *pair;
	struct rig rig;

	open_rig(&rig, two);
	pair = pair_to(&rig, 1);
	frame = super_of(&rig, &ten, 1500);
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
	desk_flush(rig.port[1]);
	assert_int_equal(got.lent, 10);
	assert_int_equal(pair->loans_out, 10);
	assert_int_equal(rig.port[0]->lent_out, 1);
	assert_int_equal(frame->holders, 10);
	assert_int_equal(pair->lent_bytes, 10000);
	assert_int_equal(pair->header_bytes_copied, 10 * 54);
	assert_int_equal(pair->copied_bytes, 0);
	assert_int_equal(pair->supers_cut, 1);
	assert_int_equal(pair->headers_made, 10);
	assert_int_equal(pair->checksums_made, 10);
	assert_int_equal(pair->loans_peak, 10);
	device(&rig, 1)->complete = 9;
	desk_reap(rig.port[1]);
	desk_release(rig.port[0]);
	assert_int_equal(rig.source->came_home[0], 0);
	assert_int_equal(rig.port[0]->lent_out, 1);
	end(&rig);
}

/* For each rule: who decides it, and that the copy is header and payload, completed. */
struct reason_case {
	const char *name, *spec;
	struct gw_answer answer;
	uint32_t step;
	unsigned int copied; /* of ten */
	enum gw_reason reason;
	uint32_t last; /* payload of the last frame; 0: as the others */
	bool stalled, untrusted, unanswered;
};

#define YES(segs, ends)                                                     \
	{                                                                   \
		.verdict = GW_YES, .max_segs = (segs), .ends_in_tx = (ends) \
	}

static const struct reason_case reason_cases[] = {
	{ .name = "lent", .spec = "d=fake:", .answer = YES(64, false), .step = 0 },
	{ .name = "one segment",
	  .spec = "d=fake:",
	  .answer = YES(1, false),
	  .copied = 10,
	  .reason = GW_COPY_PRIVATE_HEADER },
	{ .name = "two segments", .spec = "d=fake:", .answer = YES(2, false) },
	{ .name = "two segments, more slices",
	  .spec = "d=fake:",
	  .answer = YES(2, false),
	  .step = 700,
	  .copied = 10,
	  .reason = GW_COPY_SEGMENTS },
	{ .name = "as many slices as a frame has room for",
	  .spec = "d=fake:",
	  .answer = YES(64, false),
	  .step = 56,
	  .copied = 0 },
	{ .name = "one slice more",
	  .spec = "d=fake:",
	  .answer = YES(64, false),
	  .step = 50,
	  .copied = 10,
	  .reason = GW_COPY_SEGMENTS },
	{ .name = "one slice more, to a device that ends loans in tx",
	  .spec = "d=sink:",
	  .answer = YES(64, true),
	  .step = 50,
	  .copied = 10,
	  .reason = GW_COPY_SEGMENTS },
	{ .name = "a last frame below copybreak",
	  .spec = "d=fake:",
	  .answer = YES(64, false),
	  .last = 201,
	  .copied = 1,
	  .reason = GW_COPY_COPYBREAK },
	{ .name = "a last frame that is not",
	  .spec = "d=fake:",
	  .answer = YES(64, false),
	  .last = 202 },
	{ .name = "the same where loans end in tx",
	  .spec = "d=sink:",
	  .answer = YES(64, true),
	  .last = 201 },
	{ .name = "never",
	  .spec = "d=fake:,loan=never",
	  .answer = YES(64, false),
	  .copied = 10,
	  .reason = GW_COPY_LOAN_NEVER },
	{ .name = "the driver says no",
	  .spec = "d=fake:",
	  .answer = { .verdict = GW_NO, .reason = GW_COPY_MEMORY_FILE },
	  .copied = 10,
	  .reason = GW_COPY_MEMORY_FILE },
	{ .name = "not answered yet",
	  .spec = "d=fake:",
	  .answer = YES(64, false),
	  .unanswered = true,
	  .copied = 10,
	  .reason = GW_COPY_QUERY_PENDING },
	{ .name = "loans used up",
	  .spec = "d=fake:,loans=4",
	  .answer = YES(64, false),
	  .copied = 6,
	  .reason = GW_COPY_LOANS_OUT },
	{ .name = "no loans",
	  .spec = "d=fake:,loans=0",
	  .answer = YES(64, false),
	  .copied = 10,
	  .reason = GW_COPY_LOANS_OUT },
	{ .name = "stalled",
	  .spec = "d=fake:",
	  .answer = YES(64, false),
	  .stalled = true,
	  .copied = 10,
	  .reason = GW_COPY_DEVICE_STALLED },
	{ .name = "quarantine",
	  .spec = "d=fake:",
	  .answer = YES(64, false),
	  .untrusted = true,
	  .copied = 10,
	  .reason = GW_COPY_QUARANTINE },
};

static void each_reason_to_copy_a_piece(void **state)
{
	for (size_t i = 0; i < sizeof(reason_cases) / sizeof(reason_cases[0]); i++) {
		const struct reason_case *c = &reason_cases[i];
		const char *const specs[] = { "a=fake:", c->spec, NULL };
		struct mock_super_shape shape = ten;
		struct pair *pair;
		struct rig rig;

		open_rig(&rig, specs);
		pair = pair_to(&rig, 1);
		answer(&rig, 1, c->answer);
		rig.port[1]->stalled = c->stalled;
		rig.port[1]->untrusted = c->untrusted;
		pair->answered = !c->unanswered;
		if (c->last)
			shape.payload = 9 * shape.gso_size + c->last;
		offer_super(&rig, 1, super_of(&rig, &shape, c->step), false);
		desk_flush(rig.port[1]);
		if (got.copied != c->copied || got.lent != 10 - c->copied)
			fail_msg("%s: %u lent, %u copied", c->name, got.lent, got.copied);
		assert_int_equal(pair->reasons[c->reason], c->copied);
		assert_int_equal(pair->headers_made, got.lent);
		assert_int_equal(pair->checksums_made, 10);
		assert_int_equal(asked, c->unanswered);
		end(&rig);
	}
}

/* A piece's header lies in one page, but its payload may not. */
static void pages_are_counted_with_the_header(void **state)
{
	struct gw_answer pages = yes();
	struct rig rig;

	open_rig(&rig, two);
	pages.single_page_segs = true;
	pages.max_segs = 2;
	answer(&rig, 1, pages);
	offer_super(&rig, 1, super_of(&rig, &ten, 0), false);
	desk_flush(rig.port[1]);
	/* 10000 bytes have two page ends in them, or three. */
	assert_in_range(pair_to(&rig, 1)->reasons[GW_COPY_PAGES], 1, 3);
	assert_int_equal(got.lent + got.copied, 10);
	end(&rig);
}

/* Longer than a bounce buffer: header and payload go on in the next one. */
static void copies_longer_than_a_buffer(void **state)
{
	static const char *const never[] = { "a=fake:", "d=fake:,loan=never", NULL };
	const struct mock_super_shape jumbo = { .payload = 40000, .gso_size = 8946 };
	struct rig rig;

	open_rig(&rig, never);
	offer_super(&rig, 1, super_of(&rig, &jumbo, 777), false);
	desk_flush(rig.port[1]);
	assert_int_equal(got.copied, 5);
	end(&rig);
}

static void any_super_frame_any_answer(void **state)
{
	static const char *const specs[][4] = {
		{ "a=fake:", "d=fake:,loans=20000,bounce=600", NULL },
		{ "a=fake:", "d=fake:,loan=never,bounce=1200", NULL },
		{ "a=fake:", "d=fake:,loans=700,bounce=1000,copybreak=600", NULL },
		{ "a=fake:", "d=sink:", NULL },
	};
	static const uint32_t steps[] = { 0, 0, 60, 100, 777, 1500, 4096, 32768 };
	uint64_t random = 17;

	for (unsigned int i = 0; i < 400; i++) {
		struct mock_super_shape shape = mock_super_any(&random);
		uint32_t step = steps[mock_random(&random) % 8];
		struct gw_answer how = yes();
		struct rig rig;

		open_rig(&rig, specs[i % 4]);
		/* The fake holds 512. */
		if (shape.gso_size < 130)
			shape.gso_size = 130;
		how.max_segs = (uint16_t)(1 + mock_random(&random) % 24);
		how.ends_in_tx = i % 4 == 3;
		answer(&rig, 1, how);
		if (mock_random(&random) % 3 == 0)
			gw_port_set_offloads(rig.port[1],
					     &(struct gw_offloads){ .takes = GW_OFFLOAD_CSUM,
								    .header_private = i % 2 });
		assert_int_equal(offer_super(&rig, 1, super_of(&rig, &shape, step), false),
				 DESK_TAKEN);
		desk_flush(rig.port[1]);
		assert_int_equal(got.lent + got.copied, rig.offered);
		end(&rig);
	}
}

/* ---- what the device takes ---- */

static void take(struct rig *rig, unsigned int egress, struct gw_offloads offloads)
{
	gw_port_set_offloads(rig->port[egress], &offloads);
}

static void a_device_that_takes_it_all_gets_it_whole(void **state)
{
	struct pair *pair;
	struct rig rig;

	open_rig(&rig, two);
	pair = pair_to(&rig, 1);
	take(&rig, 1, (struct gw_offloads){ .takes = GW_OFFLOAD_ALL });
	gw_port_set_max_len(rig.port[1], 1514);
	desk_offer(rig.port[1], super_of(&rig, &ten, 0), false);
	desk_put(&rig.source->frame[0]);
	offer_super(&rig, 1, super_of(&rig, &one, 0), false);
	rig.offered++;
	desk_flush(rig.port[1]);
	assert_int_equal(got.whole, 1);
	assert_int_equal(got.partial, 2);
	assert_int_equal(pair->lent_frames, 2);
	assert_int_equal(pair->supers_cut + pair->headers_made + pair->checksums_made, 0);
	assert_int_equal(pair->header_bytes_copied, 0);
	end(&rig);
}

/* What it could not hold, or a copy could not, is cut; one byte less is not. */
static void super_frames_that_do_not_fit_are_cut(void **state)
{
	static const struct {
		const char *spec;
		uint32_t takes, len_max;
		unsigned int whole;
	} table[] = {
		{ "d=fake:", GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO4, 0, 1 },
		{ "d=fake:", GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO4, 10054, 1 },
		{ "d=fake:", GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO4, 10053, 0 },
		{ "d=fake:,bounce=3", GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO4, 0, 1 },
		{ "d=fake:,bounce=2", GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO4, 0, 0 },
		{ "d=fake:", GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO6, 0, 0 },
		{ "d=fake:", GW_OFFLOAD_CSUM, 0, 0 },
		{ "d=fake:", GW_OFFLOAD_TSO4, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *const specs[] = { "a=fake:", table[i].spec, NULL };
		uint32_t takes = table[i].takes;
		struct rig rig;

		open_rig(&rig, specs);
		take(&rig, 1, (struct gw_offloads){ .takes = takes, .len_max = table[i].len_max });
		desk_offer(rig.port[1], super_of(&rig, &ten, 0), false);
		desk_put(&rig.source->frame[0]);
		rig.offered = table[i].whole ? 1 : 10;
		desk_flush(rig.port[1]);
		assert_int_equal(got.whole, table[i].whole);
		/* Cut frames keep their checksum partial where the device completes it. */
		assert_int_equal(got.partial, takes & GW_OFFLOAD_CSUM ? rig.offered : 0);
		end(&rig);
	}
}

/* Such a device wants room before the header, which a bounce buffer has not. */
static void private_headers_only_of_what_is_lent(void **state)
{
	struct rig rig;

	for (unsigned int i = 0; i < 2; i++) {
		open_rig(&rig, two_of_four);
		take(&rig, 1,
		     (struct gw_offloads){ .takes = GW_OFFLOAD_ALL, .header_private = true });
		if (i)
			answer(&rig, 1, (struct gw_answer){ .reason = GW_COPY_DEVICE_CANNOT });
		for (unsigned int n = 0; n < 4; n++)
			offer_super(&rig, 1, super_of(&rig, &one, 0), false);
		desk_flush(rig.port[1]);
		assert_int_equal(got.lent, i ? 0 : 4);
		assert_int_equal(got.partial, got.lent);
		assert_int_equal(pair_to(&rig, 1)->checksums_made, got.copied);
		assert_int_equal(pair_to(&rig, 1)->headers_made, got.lent);
		assert_int_equal(pair_to(&rig, 1)->supers_cut, 0);
		end(&rig);
	}
}

/* A frame of which nothing is asked has nothing made, whatever the device wants. */
static void whole_frames_stay_as_they_are(void **state)
{
	struct gw_frame *frame;
	struct rig rig;

	open_rig(&rig, two);
	device(&rig, 1)->in_tx = NULL;
	take(&rig, 1, (struct gw_offloads){ .takes = GW_OFFLOAD_ALL, .header_private = true });
	frame = frame_of(&rig, LEN, 1);
	assert_int_equal(offer_frame(&rig, 1, frame, false), DESK_TAKEN);
	assert_true(rig.port[1]->offer.frame[0] == frame);
	desk_flush(rig.port[1]);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	close_rig(&rig);
}

static void a_flood_to_devices_of_all_kinds(void **state)
{
	static const char *const four[] = { "a=fake:", "d=fake:", "e=fake:", "f=fake:,loans=3",
					    NULL };
	struct gw_frame *frame;
	struct rig rig;

	open_rig(&rig, four);
	take(&rig, 2, (struct gw_offloads){ .takes = GW_OFFLOAD_ALL });
	take(&rig, 3, (struct gw_offloads){ .takes = GW_OFFLOAD_CSUM });
	frame = super_of(&rig, &ten, 0);
	for (unsigned int e = 1; e < 4; e++)
		assert_int_equal(desk_offer(rig.port[e], frame, false), DESK_TAKEN);
	desk_put(frame);
	/* Ten pieces, the whole, and three pieces; one chain of the ring. */
	assert_int_equal(frame->holders, 14);
	assert_int_equal(frame->loans, 14);
	assert_int_equal(rig.port[0]->lent_out, 1);
	for (unsigned int e = 1; e < 4; e++)
		desk_flush(rig.port[e]);
	assert_int_equal(got.whole, 1);
	assert_int_equal(got.partial, 11);
	for (unsigned int e = 1; e < 4; e++) {
		desk_release(rig.port[0]);
		assert_int_equal(rig.source->came_home[0], 0);
		complete_all(&rig, e);
	}
	for (unsigned int e = 1; e < 4; e++) {
		rig.offered = e == 2 ? 1 : 10;
		check_books(&rig, e);
	}
	close_rig(&rig);
}

/* ---- checksums only ---- */

/* The field lies beyond what may be private: the frame is copied, and completed there. */
static void a_deep_field_is_completed_in_a_copy(void **state)
{
	struct gw_frame *frame;
	uint16_t check;
	struct rig rig;

	open_rig(&rig, two);
	device(&rig, 1)->in_tx = NULL;
	for (unsigned int i = 0; i < 3; i++) {
		struct iovec from;

		if (i == 1)
			answer(&rig, 1, (struct gw_answer){ .reason = GW_COPY_MEMORY_FILE });
		if (i == 2)
			take(&rig, 1,
			     (struct gw_offloads){ .takes = GW_OFFLOAD_CSUM,
						   .header_private = true });
		frame = super_of(&rig, &one, 100);
		frame->header.csum_start = 800;
		assert_int_equal(offer_super(&rig, 1, frame, false), DESK_TAKEN);
		frame = rig.port[1]->offer.frame[0];
		assert_int_equal(frame->bounce, 1);
		assert_int_equal(frame->header.flags, 0);
		from = frame->seg[0];
		check = checksum_sum(&from, 1, 800, UINT32_MAX, 0);
		/* The field was in the sum before it was overwritten. */
		memcpy(&check, (uint8_t *)from.iov_base + 816, 2);
		memcpy((uint8_t *)from.iov_base + 816, sent[i]->bytes + 816, 2);
		assert_int_equal((uint16_t)~checksum_sum(&from, 1, 800, UINT32_MAX, 0), check);
		desk_flush(rig.port[1]);
	}
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_PRIVATE_HEADER], 1);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_MEMORY_FILE], 2);
	assert_int_equal(pair_to(&rig, 1)->checksums_made, 3);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	close_rig(&rig);
}

/* The desk's batch has an end for these, too. */
static void deep_fields_beyond_a_batch_wait(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=fake:,bounce=200", NULL };
	struct gw_frame *frame;
	struct rig rig;

	open_rig(&rig, specs);
	device(&rig, 1)->in_tx = NULL;
	device(&rig, 1)->budget = 0;
	for (unsigned int i = 0; i < GW_BATCH + 1; i++) {
		frame = super_of(&rig, &one, 0);
		frame->header.csum_start = 800;
		assert_int_equal(offer_super(&rig, 1, frame, true),
				 i < GW_BATCH ? DESK_TAKEN : DESK_WAIT);
	}
	assert_int_equal(rig.port[1]->offer.count, GW_BATCH);
	device(&rig, 1)->budget = 200;
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
	desk_flush(rig.port[1]);
	complete_all(&rig, 1);
	check_books(&rig, 1);
	close_rig(&rig);
}

static void frames_too_long_for_the_port(void **state)
{
	static const struct {
		struct mock_super_shape shape;
		uint16_t csum_start;
		bool too_long;
		uint32_t takes;
	} table[] = {
		{ { .payload = 10000, .gso_size = 1460 }, 0, false, 0 },
		{ { .payload = 10000, .gso_size = 1461 }, 0, true, 0 },
		{ { .payload = 10000, .gso_size = 1460 }, 0, false, GW_OFFLOAD_ALL },
		{ { .payload = 10000, .gso_size = 1461 }, 0, true, GW_OFFLOAD_ALL },
		{ { .payload = 1460, .whole = true }, 0, false, 0 },
		{ { .payload = 1461, .whole = true }, 0, true, 0 },
		{ { .payload = 1461, .whole = true }, 900, true, 0 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct gw_frame *frame;
		struct rig rig;

		open_rig(&rig, two);
		gw_port_set_max_len(rig.port[1], 1514);
		take(&rig, 1, (struct gw_offloads){ .takes = table[i].takes });
		frame = super_of(&rig, &table[i].shape, 0);
		if (table[i].csum_start)
			frame->header.csum_start = table[i].csum_start;
		assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
		desk_flush(rig.port[1]);
		if (table[i].takes)
			rig.offered = 1;
		if (table[i].too_long) {
			struct pair *pair = pair_to(&rig, 1);

			assert_int_equal(pair->reasons[GW_DROP_TOO_LONG], 1);
			assert_int_equal(pair->reason_bytes[GW_DROP_TOO_LONG], frame->len);
			assert_int_equal(pair->supers_cut, 0);
			assert_int_equal(device(&rig, 1)->taken, 0);
			rig.offered = 1;
		}
		end(&rig);
	}
}

static void bad_headers_are_dropped_and_counted(void **state)
{
	struct gw_frame *frame;
	struct pair *pair;
	struct rig rig;

	open_rig(&rig, two);
	pair = pair_to(&rig, 1);
	frame = super_of(&rig, &ten, 0);
	frame->header.gso_size = 0;
	offer_super(&rig, 1, frame, true);
	rig.offered = 1;
	assert_int_equal(pair->reasons[GW_DROP_BAD_HEADER], 1);
	assert_int_equal(pair->reason_bytes[GW_DROP_BAD_HEADER], frame->len);
	assert_int_equal(pair->supers_cut, 0);
	/* The next one is not the worse for it. */
	offer_super(&rig, 1, super_of(&rig, &ten, 0), true);
	end(&rig);
}

/* ---- no room in the middle ---- */

/* The place is kept: nothing is lost and nothing is repeated, wherever it stops. */
static void a_super_frame_waits_and_goes_on(void **state)
{
	const struct mock_super_shape many = { .payload = 60001, .gso_size = 600, .seed = 9 };
	struct gw_frame *frame;
	unsigned int waits = 0;
	uint64_t random = 3;
	struct rig rig;

	open_rig(&rig, two_of_four);
	frame = super_of(&rig, &many, 5000);
	device(&rig, 1)->budget = 0;
	while (offer_super(&rig, 1, frame, true) == DESK_WAIT) {
		assert_int_equal(frame->cut, CUT_BEGUN);
		assert_true(frame->holders >= 1);
		device(&rig, 1)->budget = (unsigned int)(mock_random(&random) % 5);
		desk_flush(rig.port[1]);
		device(&rig, 1)->complete = (unsigned int)(mock_random(&random) % 4);
		desk_reap(rig.port[1]);
		waits++;
	}
	assert_true(waits > 10);
	assert_int_equal(frame->cut, CUT_NOT);
	assert_int_equal(pair_to(&rig, 1)->supers_cut, 1);
	/* Others go after it, in order. */
	device(&rig, 1)->budget = 1000;
	desk_flush(rig.port[1]);
	complete_all(&rig, 1);
	assert_int_equal(got.next[1][0], 101);
	offer_super(&rig, 1, super_of(&rig, &one, 0), true);
	end(&rig);
}

/* Where others must not wait for it, what finds no room is dropped: frames and bytes. */
static void with_three_ports_the_rest_is_dropped(void **state)
{
	struct gw_frame *frame;
	struct pair *pair;
	struct rig rig;

	open_rig(&rig, three_of_four);
	pair = pair_to(&rig, 1);
	frame = super_of(&rig, &ten, 0);
	assert_int_equal(offer_super(&rig, 1, frame, false), DESK_TAKEN);
	assert_int_equal(frame->cut, CUT_NOT);
	desk_flush(rig.port[1]);
	assert_int_equal(got.lent, 4);
	assert_int_equal(got.copied, 4);
	assert_int_equal(pair->reasons[GW_DROP_EGRESS_FULL], 2);
	assert_int_equal(pair->reason_bytes[GW_DROP_EGRESS_FULL], 2 * 1054);
	end(&rig);
}

/* A stalled device makes nobody wait. */
static void a_stalled_device_drops_the_rest(void **state)
{
	struct gw_frame *frame;
	struct rig rig;

	open_rig(&rig, two_of_four);
	frame = super_of(&rig, &ten, 0);
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_WAIT);
	desk_flush(rig.port[1]);
	rig.port[1]->stalled = true;
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_FULL], 2);
	assert_int_equal(pair_to(&rig, 1)->reason_bytes[GW_DROP_EGRESS_FULL], 2 * 1054);
	end(&rig);
}

/* What tx refuses, and nobody keeps: headers and parents come back. */
static void refused_pieces_are_dropped_with_three_ports(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=fake:", "e=sink:", NULL };
	struct rig rig;

	open_rig(&rig, specs);
	got.lossy = true;
	device(&rig, 1)->budget = 3;
	offer_super(&rig, 1, super_of(&rig, &ten, 0), false);
	desk_flush(rig.port[1]);
	assert_int_equal(got.lent, 3);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_FULL], 7);
	assert_int_equal(pair_to(&rig, 1)->reason_bytes[GW_DROP_EGRESS_FULL], 7 * 1054);
	assert_int_equal(pair_to(&rig, 1)->loans_out, 3);
	end(&rig);
}

/* A piece that the whole bounce share could not hold would wait for nothing. */
static void a_piece_that_no_share_can_hold_does_not_wait(void **state)
{
	static const char *const never[] = { "a=fake:", "d=fake:,loan=never,bounce=2", NULL };
	const struct mock_super_shape jumbo = { .payload = 40000, .gso_size = 8192 };
	struct rig rig;

	open_rig(&rig, never);
	assert_int_equal(offer_super(&rig, 1, super_of(&rig, &jumbo, 0), true), DESK_TAKEN);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_TOO_LONG], 5);
	assert_int_equal(pair_to(&rig, 1)->reason_bytes[GW_DROP_TOO_LONG], 40000 + 5 * 54);
	/* Nothing is owed: the device is not to blame. */
	assert_false(rig.port[1]->refused);
	end(&rig);
}

/* But one that is lent needs no bounce buffer: it waits for room in the batch. */
static void a_long_piece_that_is_lent_waits(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=fake:,bounce=2", NULL };
	const struct mock_super_shape jumbo = { .payload = 60000, .gso_size = 8192 };
	struct gw_frame *frame[9];
	struct rig rig;

	open_rig(&rig, specs);
	device(&rig, 1)->budget = 0;
	for (unsigned int i = 0; i < 9; i++) {
		frame[i] = super_of(&rig, &jumbo, 0);
		assert_int_equal(offer_super(&rig, 1, frame[i], true),
				 i < 8 ? DESK_TAKEN : DESK_WAIT);
	}
	device(&rig, 1)->budget = 200;
	assert_int_equal(offer_super(&rig, 1, frame[8], true), DESK_TAKEN);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_TOO_LONG], 0);
	desk_flush(rig.port[1]);
	assert_int_equal(got.lent, 72);
	end(&rig);
}

/* A visit later the device takes more, or less: what was begun is finished as it was begun. */
static void what_was_begun_is_cut_to_the_end(void **state)
{
	struct gw_frame *frame;
	struct rig rig;

	open_rig(&rig, two_of_four);
	frame = super_of(&rig, &ten, 0);
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_WAIT);
	desk_flush(rig.port[1]);
	complete_all(&rig, 1);
	take(&rig, 1, (struct gw_offloads){ .takes = GW_OFFLOAD_ALL });
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
	desk_flush(rig.port[1]);
	assert_int_equal(got.whole, 0);
	assert_int_equal(got.next[1][0], 10);
	/* From here on it is whole. */
	offer_super(&rig, 1, super_of(&rig, &ten, 0), true);
	rig.offered -= 9;
	desk_flush(rig.port[1]);
	assert_int_equal(got.whole, 1);
	end(&rig);
}

static void a_port_that_shrinks_in_the_middle(void **state)
{
	struct gw_frame *frame;
	struct rig rig;

	open_rig(&rig, two_of_four);
	frame = super_of(&rig, &ten, 0);
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_WAIT);
	desk_flush(rig.port[1]);
	complete_all(&rig, 1);
	gw_port_set_max_len(rig.port[1], 1053);
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_TOO_LONG], 2);
	assert_int_equal(pair_to(&rig, 1)->reason_bytes[GW_DROP_TOO_LONG], 2 * 1054);
	end(&rig);
}

static void a_port_that_pauses_or_goes_down_in_the_middle(void **state)
{
	struct gw_frame *frame;
	struct rig rig;

	open_rig(&rig, two_of_four);
	frame = super_of(&rig, &ten, 0);
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_WAIT);
	desk_flush(rig.port[1]);
	complete_all(&rig, 1);
	rig.port[1]->paused = 1;
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_WAIT);
	assert_int_equal(frame->cut, CUT_BEGUN);
	rig.port[1]->paused = 0;
	rig.port[1]->up = false;
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_EGRESS_DOWN], 2);
	assert_int_equal(pair_to(&rig, 1)->reason_bytes[GW_DROP_EGRESS_DOWN], 2 * 1054);
	end(&rig);
}

/* ---- shares ---- */

/* A chain of the ring counts once, however many pieces of it are out. */
static void the_ring_share_counts_parents(void **state)
{
	struct rig rig;

	open_rig(&rig, two);
	rig.port[0]->queue.lend_max = 4;
	for (unsigned int i = 0; i < 4; i++)
		offer_super(&rig, 1, super_of(&rig, &ten, 0), false);
	desk_flush(rig.port[1]);
	assert_int_equal(rig.port[0]->lent_out, 3);
	/* All of the third, which used the share up, and none of the fourth. */
	assert_int_equal(got.lent, 30);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_LOANS_OUT], 10);
	end(&rig);
}

/* Headers are as many as loans, and a loan that ends in tx takes one as well. */
static void headers_never_run_out(void **state)
{
	static const char *const specs[][3] = { { "a=fake:", "d=fake:,loans=1", NULL },
						{ "a=fake:", "d=sink:,loans=1", NULL },
						{ "a=fake:", "d=ring:", NULL } };
	const struct mock_super_shape many = { .payload = 60000, .gso_size = 300 };

	for (unsigned int i = 0; i < 3; i++) {
		struct gw_answer how = yes();
		struct gw_frame *frame;
		struct rig rig;

		open_rig(&rig, specs[i]);
		how.ends_in_tx = i == 1;
		if (i == 2)
			how = (struct gw_answer){ .reason = GW_COPY_DEVICE_CANNOT };
		answer(&rig, 1, how);
		frame = super_of(&rig, &many, 0);
		while (offer_super(&rig, 1, frame, true) == DESK_WAIT) {
			desk_flush(rig.port[1]);
			complete_all(&rig, 1);
			device(&rig, 1)->slots_used = 0;
		}
		assert_int_equal(i == 1 ? got.lent : 0, i == 1 ? 192 : 0);
		desk_flush(rig.port[1]);
		device(&rig, 1)->slots_used = 0;
		assert_int_equal(got.next[1][0], 200);
		end(&rig);
	}
}

/* More loans than there can be headers: the last one is kept for frames that are copied. */
static void the_last_header_is_not_lent(void **state)
{
	struct piece *taken[PIECES_MAX];
	unsigned int count = 0;
	struct pieces *pieces;
	struct rig rig;

	open_rig(&rig, two);
	pieces = &pair_to(&rig, 1)->pieces;
	while (pieces->free_count > 4)
		taken[count++] = piece_get(pieces, &rig.source->frame[0]);
	offer_super(&rig, 1, super_of(&rig, &ten, 0), false);
	desk_flush(rig.port[1]);
	assert_int_equal(got.lent, 3);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_LOANS_OUT], 7);
	while (count)
		piece_put(pieces, taken[--count]);
	end(&rig);
}

/* ---- the way back ---- */

static void shuffle(struct fake *fake, uint64_t *random)
{
	for (unsigned int i = fake->held_count; i > 1; i--) {
		unsigned int k = (unsigned int)(mock_random(random) % i);
		struct gw_frame *frame = fake->held[k];

		fake->held[k] = fake->held[i - 1];
		fake->held[i - 1] = frame;
	}
}

static void parents_come_home_after_their_last_piece_in_any_order(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=fake:,loans=200", NULL };
	uint64_t random = 5;

	for (unsigned int round = 0; round < 20; round++) {
		unsigned int out[8] = { 0 };
		struct rig rig;

		open_rig(&rig, specs);
		for (unsigned int i = 0; i < 8; i++)
			offer_super(&rig, 1, super_of(&rig, &ten, 0), false);
		desk_flush(rig.port[1]);
		shuffle(device(&rig, 1), &random);
		while (device(&rig, 1)->held_count) {
			struct gw_frame *first = device(&rig, 1)->held[0];

			out[piece_of(first)->parent->id]++;
			device(&rig, 1)->complete = 1;
			desk_reap(rig.port[1]);
			desk_release(rig.port[0]);
			for (unsigned int i = 0; i < 8; i++)
				assert_int_equal(rig.source->came_home[i], out[i] == 10);
		}
		end(&rig);
	}
}

static void failed_pieces_are_counted_by_frame(void **state)
{
	struct rig rig;

	open_rig(&rig, two);
	offer_super(&rig, 1, super_of(&rig, &ten, 0), false);
	desk_flush(rig.port[1]);
	device(&rig, 1)->status = GW_DONE_FAILED;
	device(&rig, 1)->complete = 3;
	desk_reap(rig.port[1]);
	device(&rig, 1)->status = GW_DONE_KERNEL_COPIED;
	complete_all(&rig, 1);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_DROP_DEVICE_ERROR], 3);
	assert_int_equal(pair_to(&rig, 1)->reason_bytes[GW_DROP_DEVICE_ERROR], 3 * 1054);
	assert_int_equal(pair_to(&rig, 1)->kernel_copied_frames, 7);
	assert_int_equal(pair_to(&rig, 1)->kernel_copied_bytes, 7 * 1054);
	end(&rig);
}

/* Some pieces with the device, some in the batch, the rest not made: as a worker keeps them. */
static struct gw_frame *stop_in_the_middle(struct rig *rig)
{
	struct gw_frame *frame;

	open_rig(rig, two_of_four);
	device(rig, 1)->budget = 2;
	frame = super_of(rig, &ten, 0);
	assert_int_equal(offer_super(rig, 1, frame, true), DESK_WAIT);
	desk_flush(rig->port[1]);
	rig->port[0]->waiting[0] = frame;
	rig->port[0]->waiting_count = 1;
	return frame;
}

static void taking_back_in_the_middle(void **state)
{
	struct gw_frame *frame;
	struct pair *pair;
	struct rig rig;

	frame = stop_in_the_middle(&rig);
	pair = pair_to(&rig, 1);
	desk_take_back(rig.port[0], rig.port[1]);
	assert_int_equal(rig.port[0]->waiting_count, 0);
	/* Two were lent and not taken; two were never made. Four copies stay. */
	assert_int_equal(rig.port[1]->offer.count, 4);
	assert_int_equal(pair->reasons[GW_DROP_EGRESS_FULL], 4);
	assert_int_equal(pair->reason_bytes[GW_DROP_EGRESS_FULL], 4 * 1054);
	assert_int_equal(pair->loans_out, 2);
	assert_int_equal(frame->holders, 2);
	rig.offered = 10;
	got.lossy = true;
	device(&rig, 1)->budget = 100;
	end(&rig);
}

static void abandoning_in_the_middle(void **state)
{
	struct gw_frame *frame;
	struct pair *pair;
	struct rig rig;

	frame = stop_in_the_middle(&rig);
	pair = pair_to(&rig, 1);
	desk_abandon(rig.port[1], GW_DROP_EGRESS_DOWN);
	assert_int_equal(pair->reasons[GW_DROP_EGRESS_DOWN], 6);
	assert_int_equal(frame->holders, 3);
	desk_abandon(rig.port[0], GW_DROP_EGRESS_DOWN);
	assert_int_equal(rig.port[0]->rx_drops[GW_DROP_EGRESS_DOWN], 1);
	assert_int_equal(frame->holders, 2);
	rig.offered = 8;
	end(&rig);
}

/* The same struct, with the guest's next frame in it: it begins at its beginning. */
static void a_frame_struct_that_is_used_again(void **state)
{
	const struct mock_super_shape other = { .payload = 3000, .gso_size = 500, .seed = 8 };
	struct gw_frame *frame;
	struct rig rig;

	for (unsigned int i = 0; i < 2; i++) {
		frame = stop_in_the_middle(&rig);
		got.lossy = true;
		if (i)
			desk_abandon(rig.port[0], GW_DROP_EGRESS_DOWN);
		else
			desk_take_back(rig.port[0], rig.port[1]);
		device(&rig, 1)->budget = 100;
		desk_flush(rig.port[1]);
		complete_all(&rig, 1);
		desk_release(rig.port[0]);
		assert_int_equal(rig.source->came_home[0], 1);
		/* Its number again, and other bytes. */
		rig.source->came_home[0] = 0;
		rig.next_id = 0;
		free(sent[0]->bytes);
		free(sent[0]);
		got.next[1][0] = 0;
		got.lossy = false;
		assert_true(super_of(&rig, &other, 0) == frame);
		assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
		desk_flush(rig.port[1]);
		assert_int_equal(got.next[1][0], 6);
		rig.offered = 10 + 6 - (i ? 2 : 0);
		end(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_lent_with_private_headers),
		cmocka_unit_test(each_reason_to_copy_a_piece),
		cmocka_unit_test(pages_are_counted_with_the_header),
		cmocka_unit_test(copies_longer_than_a_buffer),
		cmocka_unit_test(any_super_frame_any_answer),
		cmocka_unit_test(a_device_that_takes_it_all_gets_it_whole),
		cmocka_unit_test(super_frames_that_do_not_fit_are_cut),
		cmocka_unit_test(private_headers_only_of_what_is_lent),
		cmocka_unit_test(whole_frames_stay_as_they_are),
		cmocka_unit_test(a_flood_to_devices_of_all_kinds),
		cmocka_unit_test(a_deep_field_is_completed_in_a_copy),
		cmocka_unit_test(deep_fields_beyond_a_batch_wait),
		cmocka_unit_test(frames_too_long_for_the_port),
		cmocka_unit_test(bad_headers_are_dropped_and_counted),
		cmocka_unit_test(a_super_frame_waits_and_goes_on),
		cmocka_unit_test(with_three_ports_the_rest_is_dropped),
		cmocka_unit_test(a_stalled_device_drops_the_rest),
		cmocka_unit_test(refused_pieces_are_dropped_with_three_ports),
		cmocka_unit_test(a_piece_that_no_share_can_hold_does_not_wait),
		cmocka_unit_test(a_long_piece_that_is_lent_waits),
		cmocka_unit_test(what_was_begun_is_cut_to_the_end),
		cmocka_unit_test(a_port_that_shrinks_in_the_middle),
		cmocka_unit_test(a_port_that_pauses_or_goes_down_in_the_middle),
		cmocka_unit_test(the_ring_share_counts_parents),
		cmocka_unit_test(headers_never_run_out),
		cmocka_unit_test(the_last_header_is_not_lent),
		cmocka_unit_test(parents_come_home_after_their_last_piece_in_any_order),
		cmocka_unit_test(failed_pieces_are_counted_by_frame),
		cmocka_unit_test(taking_back_in_the_middle),
		cmocka_unit_test(abandoning_in_the_middle),
		cmocka_unit_test(a_frame_struct_that_is_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
