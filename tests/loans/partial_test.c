/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that leaves its headers partial, end to end in one process: its
 * super-frames lie in a memfd, go through its ring, and what the device transmits
 * is judged byte by byte (tests/mock/mock_super.h).
 */
#include "rig.h"

#include "mock_super.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SUPERS 16u         /* places in the guest's memory; with SEGS, what its ring holds */
#define STRIDE (68u << 10) /* from one to the next */
#define SEGS   15u
#define ROUNDS 6u

struct place {
	struct mock_super made;
	unsigned int next; /* frame of the wire that has to come */
	bool out;
	int head;
};

struct setup {
	struct rig rig;
	struct vm vm;
	struct loop *loop;
	struct place *place; /* SUPERS */
	unsigned int right;  /* frames of the wire, right and in order */
	unsigned int made;   /* orders `place`: a sanitizer does not see the guest's ring do it */
	const char *wrong;
};

/* Runs on the worker: the source address says which super-frame it is of. */
static void on_wire(void *arg, const uint8_t *bytes, uint32_t len,
		    const struct virtio_net_hdr_v1 *header)
{
	struct setup *s = arg;
	struct place *place = &s->place[bytes[11] % SUPERS];
	const char *wrong;

	if (bytes[12] == 0x88 && bytes[13] == 0xb5)
		return; /* what settled the rig */
	__atomic_load_n(&s->made, __ATOMIC_ACQUIRE);
	wrong = mock_super_wrong(&place->made, place->next, bytes, len, header->flags);
	if (wrong || header->gso_type)
		__atomic_store_n(&s->wrong, wrong ? wrong : "not cut", __ATOMIC_RELAXED);
	place->next++;
	__atomic_add_fetch(&s->right, 1, __ATOMIC_RELEASE);
}

static void setup(struct setup *s, const char *const *ports)
{
	const struct vm_options guest = {
		.features = 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |
			    1ull << VIRTIO_NET_F_HOST_TSO6 | 1ull << VIRTIO_NET_F_HOST_ECN |
			    1ull << 56 /* VIRTIO_NET_F_HOST_USO */,
		.memory_bytes = VM_MEMORY_BYTES + SUPERS * STRIDE,
	};
	char path[128];

	memset(s, 0, sizeof(*s));
	s->place = calloc(SUPERS, sizeof(*s->place));
	rig_start_with(&s->rig, ports, RIG_STOP_MAX_MS);
	snprintf(path, sizeof(path), "%s/a", s->rig.folder);
	vm_start_with(&s->vm, path, &guest);
	assert_int_equal(s->vm.features & guest.features, guest.features);
	s->loop = loop_test_find("d");
	assert_non_null(s->loop);
	rig_settle(&s->rig, &s->vm, "a", "d");
	loop_test_wire(s->loop, (struct loop_wire){ on_wire, s });
}

static void teardown(struct setup *s)
{
	vm_free(&s->vm);
	rig_free(&s->rig);
	free(s->place);
}

static uint64_t place_addr(unsigned int n)
{
	return VM_MEMORY_ADDR + VM_MEMORY_BYTES + (uint64_t)n * STRIDE;
}

static uint8_t *place_bytes(struct setup *s, unsigned int n)
{
	return (uint8_t *)mock_at(&s->vm.memory, place_addr(n)) + VM_HEADER;
}

/* Sends a super-frame of that shape from place n, in buffers of `step` bytes. */
static void send_super(struct setup *s, unsigned int n, const struct mock_super_shape *shape,
		       uint32_t step)
{
	struct place *place = &s->place[n];
	struct mock_buffer buffer[SEGS];
	unsigned int count = 0;
	uint32_t len;

	mock_super_make(&place->made, shape);
	place->made.bytes[0] = 0x02;
	place->made.bytes[5] = 0xd0;
	place->made.bytes[6] = 0x02;
	place->made.bytes[11] = (uint8_t)n;
	place->next = 0;
	len = VM_HEADER + place->made.len;
	mock_write(&s->vm.memory, place_addr(n), &place->made.header, VM_HEADER);
	mock_write(&s->vm.memory, place_addr(n) + VM_HEADER, place->made.bytes, place->made.len);
	if (step * SEGS < len)
		step = len / SEGS + 1;
	for (uint32_t at = 0; at < len; at += step)
		buffer[count++] = (struct mock_buffer){ place_addr(n) + at,
							step < len - at ? step : len - at, false };
	place->head = vm_send_buffers(&s->vm, buffer, count);
	assert_true(place->head >= 0);
	place->out = true;
	__atomic_add_fetch(&s->made, 1, __ATOMIC_RELEASE);
	vm_publish(&s->vm);
}

static bool wire_quiet(void *arg)
{
	struct setup *s = arg;
	unsigned int sum = 0;

	for (unsigned int n = 0; n < SUPERS; n++)
		if (s->place[n].made.len)
			sum += mock_super_frames(&s->place[n].made);
	return __atomic_load_n(&s->right, __ATOMIC_ACQUIRE) >= sum;
}

static void assert_right(struct setup *s)
{
	const char *wrong = __atomic_load_n(&s->wrong, __ATOMIC_RELAXED);

	if (wrong)
		fail_msg("%s", wrong);
}

static const struct mock_super_shape ten = { .payload = 10000, .gso_size = 1000, .seed = 3 };

/* ---- tests ---- */

/* Lent is the payload: what the guest writes there later is sent; of the header it is not. */
static void the_payload_is_the_guests_the_header_is_not(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:", NULL };
	uint8_t bytes[2048], before[64];
	struct loop_test_view view;
	struct gw_pair_info info;
	uint16_t used[4];
	struct setup s;

	setup(&s, ports);
	loop_test_wire(s.loop, (struct loop_wire){ 0 });
	loop_test_hold(s.loop, true);
	send_super(&s, 0, &ten, 4096);
	rig_wait_held(s.loop, 10);
	memcpy(before, s.place[0].made.bytes, 54);
	memset(place_bytes(&s, 0), 0x55, s.place[0].made.len);
	for (unsigned int i = 0; i < 10; i++) {
		loop_test_peek(s.loop, i, &view, bytes, sizeof(bytes));
		assert_int_equal(view.len, 1054);
		assert_memory_equal(bytes, before, 14);
		assert_int_equal(bytes[53], before[53]);
		assert_int_equal(bytes[54], 0x55);
		assert_int_equal(bytes[1053], 0x55);
		assert_non_null(view.memmap);
	}
	/* The chain comes back with the last piece, whichever that is. */
	for (unsigned int i = 0; i < 9; i++)
		loop_test_complete(s.loop, i % 2 ? 0 : 9 - i, false);
	assert_int_equal(vm_poll_used(&s.vm, used, 4), 0);
	loop_test_complete(s.loop, 0, false);
	assert_int_equal(vm_wait_used(&s.vm), s.place[0].head);
	info = rig_pair(&s.rig, "a", "d");
	assert_int_equal(info.lent_bytes, 10000);
	assert_int_equal(info.header_bytes_copied, 540);
	assert_int_equal(info.supers_cut, 1);
	teardown(&s);
}

/* A super-frame of any shape in each place; all chains come back, and all frames are sent. */
static void run_round(struct setup *s, uint64_t *random, uint32_t payload_max)
{
	memset(s->place, 0, SUPERS * sizeof(*s->place));
	__atomic_store_n(&s->right, 0, __ATOMIC_RELAXED);
	for (unsigned int n = 0; n < SUPERS; n++) {
		struct mock_super_shape shape = mock_super_any(random);

		if (shape.gso_size < 200)
			shape.gso_size += 200;
		if (shape.gso_size > payload_max)
			shape.gso_size = (uint16_t)payload_max;
		if (shape.whole)
			shape.payload %= payload_max;
		/* The guest's port takes no super-frame of nothing. */
		if (!shape.payload)
			shape.payload = 1;
		send_super(s, n, &shape, (uint32_t)(1000 + mock_random(random) % 9000));
	}
	for (unsigned int back = 0; back < SUPERS; back++) {
		uint16_t head = vm_wait_used(&s->vm);
		unsigned int n = 0;

		while (n < SUPERS && !(s->place[n].out && s->place[n].head == head))
			n++;
		assert_true(n < SUPERS);
		s->place[n].out = false;
	}
	vm_wait(wire_quiet, s, "the wire");
	assert_right(s);
}

/* To devices of all kinds: each frame right and in order, each chain back once. */
static void any_super_frames_to_any_device(void **state)
{
	enum { ONE_SEGMENT = 5 };
	static const char *const ports[][3] = {
		{ "a=guest:%s/a", "d=loop:", NULL },
		{ "a=guest:%s/a", "d=loop:,loan=never", NULL },
		{ "a=guest:%s/a", "d=loop:,loans=7,bounce=40", NULL },
		{ "a=guest:%s/a", "d=loop:,offloads=checksum", NULL },
		{ "a=guest:%s/a", "d=loop:,offloads=checksum,header_private=on", NULL },
		{ "a=guest:%s/a,offloads=on", "d=loop:,one_segment=on,segs=1,max_len=4096", NULL },
		{ "a=guest:%s/a", "d=loop:,ring=5,segs=4", NULL },
	};
	uint64_t random = 11;

	for (size_t p = 0; p < sizeof(ports) / sizeof(ports[0]); p++) {
		struct setup s;

		setup(&s, ports[p]);
		for (unsigned int round = 0; round < ROUNDS; round++)
			run_round(&s, &random, p == ONE_SEGMENT ? 3500 : 0xffff);
		assert_int_equal(vm_stop_ring(&s.vm, 1), (uint16_t)(ROUNDS * SUPERS + 1));
		assert_int_equal(rig_pair(&s.rig, "a", "d").loans_out, 0);
		teardown(&s);
	}
}

/* A guest that goes in the middle of it: what was lent comes home, the rest is forgotten. */
static void a_guest_that_leaves_in_the_middle(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:,loans=4,bounce=2", NULL };
	struct setup s;
	char path[128];

	setup(&s, ports);
	loop_test_hold(s.loop, true);
	send_super(&s, 0, &ten, 4096);
	send_super(&s, 1, &ten, 4096);
	rig_wait_held(s.loop, 6);
	vm_stop_begin(&s.vm, 1);
	assert_false(vm_answered(&s.vm, 20));
	loop_test_hold(s.loop, false);
	vm_stop_end(&s.vm, 1);
	vm_free(&s.vm);
	/* The next guest begins anew. */
	memset(s.place, 0, SUPERS * sizeof(*s.place));
	__atomic_store_n(&s.right, 0, __ATOMIC_RELAXED);
	snprintf(path, sizeof(path), "%s/a", s.rig.folder);
	vm_start_with(&s.vm, path,
		      &(struct vm_options){ .features = 1ull << VIRTIO_NET_F_CSUM |
							1ull << VIRTIO_NET_F_HOST_TSO4,
					    .memory_bytes = VM_MEMORY_BYTES + SUPERS * STRIDE });
	send_super(&s, 2, &ten, 4096);
	vm_wait_used(&s.vm);
	vm_wait(wire_quiet, &s, "the wire");
	assert_int_equal(s.place[2].next, 10);
	assert_right(&s);
	assert_int_equal(rig_pair(&s.rig, "a", "d").loans_out, 0);
	teardown(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_payload_is_the_guests_the_header_is_not),
		cmocka_unit_test(any_super_frames_to_any_device),
		cmocka_unit_test(a_guest_that_leaves_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
