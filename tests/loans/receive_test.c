/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Batches of frames from one guest to another whose receive buffers are of all shapes, in
 * any order: each frame arrives whole and behind the one before it, and nothing is
 * written beside it.
 */
#include "rig.h"

#include "net_header.h"
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char *const ports[] = { "a=guest:%s/a", "b=guest:%s/b", NULL };

#define BATCH        48u /* frames; no more chains than a ring has descriptors */
#define ROUNDS       40u
#define LEN_MIN      60u
#define LEN_MAX      3000u
#define LONG_MIN     1500u
#define PARTS_MAX    3u
#define LANDINGS_MAX 8u /* made available again, for each frame */
#define UNTOUCHED    0xaa
#define CSUM_START   34u
#define GAP          16u /* between buffers of a frame */
#define CSUM_AT      16u

static uint32_t seed;

static uint32_t dice(uint32_t sides)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % sides;
}

/* ---- receive buffers ---- */

struct landing {
	struct mock_buffer part[PARTS_MAX];
	unsigned int parts;
};

struct receiving {
	struct vm *vm;
	struct landing landing[VM_RING_SIZE]; /* by head */
	unsigned int slot;
	bool plain; /* one buffer for each frame, and each fits */
};

static struct landing make_landing(uint64_t at, bool plain)
{
	uint32_t first = VM_HEADER + dice(2) * dice(LONG_MIN);

	switch (plain ? 0 : dice(5)) {
	case 0:
		return (struct landing){ { { at, VM_SLOT_BYTES, true } }, 1 };
	case 1: /* mostly one of several that a frame takes */
		return (struct landing){ { { at, VM_HEADER + dice(LONG_MIN), true } }, 1 };
	case 2: /* exact */
		return (struct landing){ { { at, VM_HEADER + LONG_MIN, true } }, 1 };
	case 3:
		return (struct landing){ { { at, first, true }, { at + first, 1000, true } }, 2 };
	}
	return (struct landing){
		{ { at, first, true }, { at + 2000, 500, true }, { at + 2600, 900, true } }, 3
	};
}

static void offer_landings(struct receiving *r, unsigned int count)
{
	struct mock_driver *driver = &r->vm->rx.driver;

	for (unsigned int i = 0; i < count; i++) {
		uint64_t at = r->vm->rx.slots_addr + r->slot % VM_SLOTS * VM_SLOT_BYTES;
		struct landing landing = make_landing(at, r->plain);
		int head = mock_chain(driver, landing.part, landing.parts);

		if (head < 0)
			break;
		memset(mock_at(&r->vm->memory, at), UNTOUCHED, VM_SLOT_BYTES);
		r->slot++;
		r->landing[head] = landing;
		mock_offer(driver, (uint16_t)head);
	}
	vm_publish_rx(r->vm);
}

/* Appends what was written to one chain to `bytes`; the rest of it is as it was. */
static uint32_t read_landing(struct receiving *r, uint8_t *bytes, uint32_t len)
{
	uint16_t head = 0;
	uint32_t written = vm_wait_received(r->vm, &head), left = written, part;
	const struct landing *landing = &r->landing[head];

	for (unsigned int i = 0; i < landing->parts; i++) {
		const uint8_t *at = mock_at(&r->vm->memory, landing->part[i].addr);

		part = left < landing->part[i].len ? left : landing->part[i].len;
		memcpy(bytes + len, at, part);
		len += part;
		left -= part;
		for (; part < landing->part[i].len; part++)
			assert_int_equal(at[part], UNTOUCHED);
	}
	assert_int_equal(left, 0);
	return len;
}

static uint32_t read_frame(struct receiving *r, uint8_t *bytes)
{
	struct virtio_net_hdr_v1 header;
	uint32_t len = read_landing(r, bytes, 0);

	assert_true(len >= sizeof(header));
	memcpy(&header, bytes, sizeof(header));
	for (unsigned int i = 1; i < header.num_buffers; i++)
		len = read_landing(r, bytes, len);
	return len;
}

/* ---- frames ---- */

struct frame {
	uint32_t len;
	bool partial;
};

static void fill_frame(uint8_t *bytes, const struct frame *frame, unsigned int number)
{
	struct virtio_net_hdr_v1 header = { 0 };

	if (frame->partial) {
		header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		header.csum_start = CSUM_START;
		header.csum_offset = CSUM_AT;
	}
	memcpy(bytes, &header, sizeof(header));
	vm_frame(bytes + VM_HEADER, frame->len, 0xd0, 0xe0, (uint8_t)number);
	for (uint32_t i = 14; i < frame->len; i++)
		bytes[VM_HEADER + i] = (uint8_t)(number * 7 + i * 13 + (i >> 8));
}

/* In one buffer, or in two that do not touch. */
static void send_frame(struct vm *vm, const struct frame *frame, unsigned int number)
{
	uint64_t at = vm->tx.slots_addr + number % VM_SLOTS * VM_SLOT_BYTES;
	uint32_t cut = VM_HEADER + dice(2) * dice(LEN_MIN), all = VM_HEADER + frame->len;
	struct mock_buffer one = { at, all, false };
	struct mock_buffer two[] = { { at, cut, false }, { at + cut + GAP, all - cut, false } };
	uint8_t *bytes = mock_at(&vm->memory, at);

	fill_frame(bytes, frame, number);
	if (dice(2)) {
		assert_true(vm_send_buffers(vm, &one, 1) >= 0);
		return;
	}
	memmove(bytes + cut + GAP, bytes + cut, all - cut);
	assert_true(vm_send_buffers(vm, two, 2) >= 0);
}

static void arrives(struct receiving *r, const struct frame *frame, unsigned int number)
{
	uint8_t bytes[GW_FRAME_LEN_MAX], wanted[VM_SLOT_BYTES];
	struct virtio_net_hdr_v1 header;

	assert_int_equal(read_frame(r, bytes), VM_HEADER + frame->len);
	memcpy(&header, bytes, sizeof(header));
	assert_true(header.num_buffers >= 1);
	header.num_buffers = 0;
	fill_frame(wanted, frame, number);
	assert_memory_equal(&header, wanted, sizeof(header));
	assert_memory_equal(bytes + VM_HEADER, wanted + VM_HEADER, frame->len);
}

static void pass_batch(struct vm *a, struct receiving *r, uint32_t len_max, bool partial)
{
	struct frame frames[BATCH];

	for (unsigned int i = 0; i < BATCH; i++) {
		frames[i].len = LEN_MIN + dice(len_max - LEN_MIN + 1);
		frames[i].partial = partial && !dice(4);
		send_frame(a, &frames[i], i);
	}
	offer_landings(r, VM_RING_SIZE);
	vm_publish(a);
	for (unsigned int i = 0; i < BATCH; i++) {
		offer_landings(r, dice(LANDINGS_MAX));
		arrives(r, &frames[i], i);
	}
	for (unsigned int i = 0; i < BATCH; i++)
		vm_wait_used(a);
}

static void whatever_the_buffers(uint64_t features)
{
	const struct vm_options options = { .features = features | 1ull << VIRTIO_NET_F_CSUM |
							1ull << VIRTIO_NET_F_GUEST_CSUM };
	uint8_t bytes[VM_SLOT_BYTES];
	struct receiving r;
	struct rig rig;
	struct vm a, b;
	bool partial;

	seed = 7;
	rig_start(&rig, ports);
	rig_guest_with(&rig, &a, "a", &options);
	rig_guest_with(&rig, &b, "b", &options);
	vm_offer_rx(&b, 1);
	rig_settle(&rig, &a, "a", "b");
	vm_receive(&b, bytes, sizeof(bytes));
	partial = a.features >> VIRTIO_NET_F_CSUM & 1;
	assert_true(partial);
	r = (struct receiving){ .vm = &b };
	for (unsigned int round = 0; round < ROUNDS; round++) {
		r.plain = round % 2;
		pass_batch(&a, &r, round % 4 < 2 ? LEN_MAX : LONG_MIN, partial);
	}
	vm_free(&a);
	vm_free(&b);
	rig_free(&rig);
}

static void each_frame_arrives_whole(void **state)
{
	whatever_the_buffers(0);
	whatever_the_buffers(1ull << VIRTIO_RING_F_EVENT_IDX);
}

static void each_frame_arrives_whole_packed(void **state)
{
	whatever_the_buffers(1ull << VIRTIO_F_RING_PACKED | 1ull << VIRTIO_F_VERSION_1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_frame_arrives_whole),
		cmocka_unit_test(each_frame_arrives_whole_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
