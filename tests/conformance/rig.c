/* SPDX-License-Identifier: BSD-2-Clause */
#include "conformance.h"
#include <dirent.h>
#include <linux/if_ether.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define GUEST_BYTES   (8u << 20)
#define PAGE_BYTES    4096u
#define ARENA_BUFFERS 68u /* bounce memory of the suite: four frames of 64 KiB */
/* Between two segments, so that none lies where a whole copy of the frame would have it. */
#define GAP_MAX       61u

/* ---- patterns ---- */

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

unsigned int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* ---- the running port ---- */

struct rig *rig_open(void)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct gw_error err = { 0 };

	assert_non_null(rig);
	rig->parcel = calloc(PARCELS, sizeof(*rig->parcel));
	assert_non_null(rig->parcel);
	rig->port = host_run(subject.driver, subject.host_spec);
	rig->queue = host_queue(rig->port);
	host_memory_create(&rig->memory, GUEST_BYTES, 0);
	rig->answer = host_query(rig->port, rig->memory.memmap);
	rig->arena_answer = host_query(rig->port, NULL);
	if (rig->answer.verdict != GW_NO && rig->answer.needs_map) {
		if (subject.driver->map(rig->port, rig->memory.memmap, &err))
			fail_msg("map: %s", err.text);
		rig->mapped = true;
	}
	if (!subject.driver->bounce) {
		rig->arena = gw_port_arena_take(rig->port, ARENA_BUFFERS, &err);
		if (!rig->arena)
			fail_msg("arena: %s", err.text);
	}
	rig->far = subject.far_end->open ? subject.far_end->open(subject.far_arg) : NULL;
	return rig;
}

static void account(struct rig *rig, const struct gw_done *done)
{
	for (unsigned int i = 0; i < rig->parcels; i++) {
		struct parcel *parcel = &rig->parcel[i];

		if (parcel->frame != done->frame || !parcel->out)
			continue;
		parcel->out = false;
		parcel->over = true;
		parcel->status = done->status;
		rig->out--;
		return;
	}
	fail_msg("reap reported a frame that is not in the device");
}

void rig_reap(struct rig *rig)
{
	struct gw_done done[GW_BATCH];
	unsigned int count;

	if (!subject.driver->reap)
		return;
	host_visit_begin(rig->port);
	count = subject.driver->reap(rig->queue, done, GW_BATCH);
	assert_true(count <= GW_BATCH);
	for (unsigned int i = 0; i < count; i++)
		account(rig, &done[i]);
	host_visit_end(rig->port);
}

void rig_reap_all(struct rig *rig)
{
	uint64_t end_ms = host_now_ms() + DEADLINE_MS;

	for (;;) {
		unsigned int before = rig->out;

		rig_reap(rig);
		if (!rig->out)
			return;
		if (host_now_ms() >= end_ms)
			fail_msg("%u frames did not come back", rig->out);
		if (rig->out == before)
			host_wait(rig->port, GW_WANT_REAP, 10);
	}
}

struct worker {
	struct rig *rig;
	bool quit;
};

static void *worker_main(void *arg)
{
	struct worker *worker = arg;

	while (!__atomic_load_n(&worker->quit, __ATOMIC_ACQUIRE)) {
		rig_reap(worker->rig);
		host_wait(worker->rig->port, GW_WANT_REAP, 1);
	}
	return NULL;
}

int rig_stop(struct rig *rig, unsigned int deadline_ms)
{
	struct worker worker = { rig, false };
	uint64_t begin_ms = host_now_ms();
	pthread_t thread;
	int held;

	assert_int_equal(pthread_create(&thread, NULL, worker_main, &worker), 0);
	held = host_stop(rig->port, deadline_ms);
	__atomic_store_n(&worker.quit, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	assert_true(held >= 0);
	/* As much again for closing and waiting is generous; for ever is not. */
	assert_true(host_now_ms() - begin_ms <= 2 * deadline_ms + 1000);
	return held;
}

void rig_close(struct rig *rig)
{
	if (rig->far)
		subject.far_end->close(rig->far);
	assert_int_equal(rig_stop(rig, DEADLINE_MS), 0);
	rig_reap_all(rig);
	if (rig->mapped)
		subject.driver->unmap(rig->port, rig->memory.memmap);
	host_close(rig->port);
	host_memory_destroy(&rig->memory);
	free(rig->parcel);
	free(rig);
}

/* ---- packing ---- */

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

/* ---- offering ---- */

/* Those that were not accepted: given back, last first. */
static void unpack(struct rig *rig, unsigned int count)
{
	while (count--) {
		struct parcel *parcel = &rig->parcel[--rig->parcels];

		if (parcel->frame != &parcel->own)
			subject.driver->unbounce(rig->queue, parcel->frame);
		parcel->frame = NULL;
	}
}

static unsigned int offer(struct rig *rig, unsigned int count)
{
	struct gw_frame *frames[GW_BATCH];
	unsigned int first = rig->parcels - count, taken;

	assert_true(count && count <= GW_BATCH);
	for (unsigned int i = 0; i < count; i++)
		frames[i] = rig->parcel[first + i].frame;
	host_visit_begin(rig->port);
	rig->queue->refusal = GW_REASON_NONE;
	taken = subject.driver->tx(rig->queue, frames, count);
	assert_true(taken <= count);
	if (taken < count && !gw_reason_is_drop(rig->queue->refusal))
		fail_msg("tx took %u of %u and does not say why", taken, count);
	for (unsigned int i = 0; i < taken; i++) {
		rig->parcel[first + i].out = subject.driver->reap != NULL;
		rig->parcel[first + i].over = !subject.driver->reap;
	}
	if (subject.driver->reap)
		rig->out += taken;
	host_visit_end(rig->port);
	return taken;
}

unsigned int rig_offer(struct rig *rig, unsigned int count)
{
	unsigned int taken = offer(rig, count);

	host_visit_begin(rig->port);
	unpack(rig, count - taken);
	host_visit_end(rig->port);
	return taken;
}

void rig_send(struct rig *rig)
{
	uint64_t end_ms = host_now_ms() + DEADLINE_MS;

	while (!offer(rig, 1)) {
		if (host_now_ms() >= end_ms)
			fail_msg("tx takes nothing: %s", gw_reason_name(rig->queue->refusal));
		rig_reap(rig);
		host_wait(rig->port, GW_WANT_TX | GW_WANT_REAP, 10);
	}
}

/* ---- both ends ---- */

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
