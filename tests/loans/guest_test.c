/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two guests and no device: each is the other's egress, and its receive buffers
 * are what frames wait for.
 */
#include "rig.h"

#include "loop.h"
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char *const ports[] = { "a=guest:%s/a", "b=guest:%s/b", NULL };

#define LONG_SEGS 30u
#define SEG_LEN   40u
#define LONG_LEN  (LONG_SEGS * SEG_LEN)
#define LEN       600u
/* Descriptors of VM_SLOT_BYTES that make more than GW_FRAME_LEN_MAX. */
#define HUGE_SEGS 17u

/* One frame in LONG_SEGS descriptors, and its header in one more. */
static void send_long(struct vm *vm, uint8_t fill)
{
	struct mock_buffer buffer[LONG_SEGS + 1];
	unsigned int slot = vm->tx.next_slot++ % VM_SLOTS;
	uint64_t addr = vm->tx.slots_addr + slot * VM_SLOT_BYTES;
	uint8_t frame[LONG_LEN], header[VM_HEADER] = { 0 };
	uint64_t one = 1;
	int head;

	vm_frame(frame, LONG_LEN, 0xd0, 0xe0, fill);
	mock_write(&vm->memory, addr, header, VM_HEADER);
	mock_write(&vm->memory, addr + VM_HEADER, frame, LONG_LEN);
	buffer[0] = (struct mock_buffer){ addr, VM_HEADER, false };
	for (unsigned int i = 0; i < LONG_SEGS; i++)
		buffer[i + 1] =
			(struct mock_buffer){ addr + VM_HEADER + i * SEG_LEN, SEG_LEN, false };
	head = mock_chain(&vm->tx.driver, buffer, LONG_SEGS + 1);
	assert_true(head >= 0);
	vm->tx.slot_of[head] = (uint16_t)slot;
	mock_offer(&vm->tx.driver, (uint16_t)head);
	if (mock_publish(&vm->tx.driver))
		assert_int_equal(write(vm->tx.kick_fd, &one, sizeof(one)), sizeof(one));
}

static void send_short(struct vm *vm, uint8_t fill)
{
	uint8_t frame[LEN];

	vm_frame(frame, LEN, 0xd0, 0xe0, fill);
	vm_send(vm, frame, LEN);
}

static void check_frame(const uint8_t *bytes, uint32_t len)
{
	uint8_t fill = bytes[len - 1];

	assert_int_equal(len, fill & 1 ? LONG_LEN : LEN);
	for (uint32_t i = 14; i < len; i++)
		assert_int_equal(bytes[i], fill);
}

/*
 * A frame with more segments than it can carry waits for a receive buffer, and its
 * guest sends on: what comes behind must not be mistaken for it.
 */
static void long_frames_that_wait_stay_what_they_are(void **state)
{
	uint8_t bytes[VM_SLOT_BYTES];
	uint64_t received = 0, sent = 1, delivered;
	struct vm a, b;
	struct rig rig;

	rig_start(&rig, ports);
	rig_guest(&rig, &a, "a");
	rig_guest(&rig, &b, "b");
	vm_offer_rx(&b, 1);
	rig_settle(&rig, &a, "a", "b");
	vm_receive(&b, bytes, sizeof(bytes));
	received++;
	for (unsigned int round = 0; round < 40; round++) {
		send_long(&a, 0x11);
		send_short(&a, 0x22);
		send_long(&a, 0x33);
		send_short(&a, 0x44);
		sent += 4;
		if (round % 2) /* sometimes the worker has looked before, sometimes not */
			rig_port(&rig, "a");
		vm_offer_rx(&b, 4);
		rig_wait_decided(&rig, "a", "b", sent);
		delivered = rig_pair(&rig, "a", "b").lent_frames +
			    rig_pair(&rig, "a", "b").copied_frames;
		for (; received < delivered; received++)
			check_frame(bytes, vm_receive(&b, bytes, sizeof(bytes)));
		for (unsigned int i = 0; i < 4; i++)
			vm_wait_used(&a);
	}
	assert_true(vm_nothing_received(&b));
	vm_free(&a);
	vm_free(&b);
	rig_free(&rig);
}

/* Like send_long, but its header and its first bytes are one descriptor. */
static void send_long_joined(struct vm *vm, uint8_t fill)
{
	struct mock_buffer buffer[LONG_SEGS];
	unsigned int slot = vm->tx.next_slot++ % VM_SLOTS;
	uint64_t addr = vm->tx.slots_addr + slot * VM_SLOT_BYTES, at;
	uint8_t frame[LONG_LEN], header[VM_HEADER] = { 0 };

	vm_frame(frame, LONG_LEN, 0xd0, 0xe0, fill);
	mock_write(&vm->memory, addr, header, VM_HEADER);
	for (unsigned int i = 0; i < LONG_SEGS; i++) {
		/* With gaps, or they would be one segment. */
		at = addr + VM_HEADER + i * (SEG_LEN + 1);
		mock_write(&vm->memory, at, frame + i * SEG_LEN, SEG_LEN);
		buffer[i] = (struct mock_buffer){ at, SEG_LEN, false };
	}
	buffer[0] = (struct mock_buffer){ addr, VM_HEADER + SEG_LEN, false };
	assert_true(vm_send_buffers(vm, buffer, LONG_SEGS) >= 0);
	vm_publish(vm);
}

static uint64_t delivered(struct rig *rig)
{
	struct gw_pair_info pair = rig_pair(rig, "a", "b");

	return pair.lent_frames + pair.copied_frames;
}

/*
 * A long frame of a waits for b's buffers, while a receives; `sent` counts what a has
 * sent. False: it had to wait for too long (on a machine that is slow today).
 */
static bool receive_while_one_waits(struct rig *rig, struct vm *a, struct vm *b, uint64_t *sent)
{
	uint64_t before = delivered(rig);
	uint8_t bytes[VM_SLOT_BYTES];

	send_long_joined(a, 0x11);
	/* Each of these is a visit later than the one before. */
	vm_offer_rx(a, 3);
	for (unsigned int i = 0; i < 3; i++) {
		send_short(b, 0x22);
		check_frame(bytes, vm_receive(a, bytes, sizeof(bytes)));
	}
	vm_offer_rx(b, 1);
	rig_wait_decided(rig, "a", "b", ++*sent);
	if (delivered(rig) == before) {
		send_short(a, 0x22); /* for b's buffer */
		++*sent;
	}
	check_frame(bytes, vm_receive(b, bytes, sizeof(bytes)));
	return delivered(rig) > before && bytes[LEN - 1] == 0x11;
}

/* Buffers for what it receives must not take the place of the segments that wait. */
static void long_frames_that_wait_survive_what_their_guest_receives(void **state)
{
	uint8_t bytes[VM_SLOT_BYTES];
	unsigned int tries = 20;
	uint64_t sent = 1;
	struct vm a, b;
	struct rig rig;

	rig_start(&rig, ports);
	rig_guest(&rig, &a, "a");
	rig_guest(&rig, &b, "b");
	vm_offer_rx(&a, 1);
	vm_offer_rx(&b, 1);
	rig_settle(&rig, &a, "a", "b");
	rig_settle(&rig, &b, "b", "a");
	vm_receive(&a, bytes, sizeof(bytes));
	vm_receive(&b, bytes, sizeof(bytes));
	while (!receive_while_one_waits(&rig, &a, &b, &sent))
		assert_true(--tries);
	vm_free(&a);
	vm_free(&b);
	rig_free(&rig);
}

/* Its peer takes nothing: a guest that stops its ring costs the peer no connection. */
static void stopping_a_ring_leaves_a_slow_peer_connected(void **state)
{
	uint8_t bytes[VM_SLOT_BYTES];
	struct vm a, b;
	struct rig rig;
	uint16_t base;

	rig_start(&rig, ports);
	rig_guest(&rig, &a, "a");
	rig_guest(&rig, &b, "b");
	rig_settle(&rig, &a, "a", "b");
	for (unsigned int i = 0; i < 150; i++)
		send_short(&a, 0x22);
	base = vm_stop_ring(&a, 1);
	assert_int_equal(a.tx.driver.used->idx, base);
	/* The peer is there, and hears its network. */
	assert_int_equal(rig_port(&rig, "b").state, GW_PORT_RUNNING);
	vm_start_tx(&a);
	while (!vm_nothing_received(&b))
		vm_receive(&b, bytes, sizeof(bytes));
	vm_offer_rx(&b, 100);
	send_short(&a, 0x66);
	do {
		vm_receive(&b, bytes, sizeof(bytes));
	} while (bytes[LEN - 1] != 0x66);
	vm_free(&a);
	vm_free(&b);
	rig_free(&rig);
}

static bool too_small_are_dropped(void *arg)
{
	return rig_pair(arg, "d", "a").reasons[GW_DROP_RX_TOO_SMALL] == 2;
}

/*
 * VIRTIO 1.2 section 5.1.6.3.1: the header has to fit into the first buffer. Where it does
 * not, nothing is written, however many of them there are.
 */
static void receive_buffers_too_small_for_a_header(void **state)
{
	static const char *const device[] = { "a=guest:%s/a", "d=loop:", NULL };
	static const uint32_t sizes[] = { 1, VM_HEADER - 1 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint8_t frame[LEN], *slot;
		struct rig rig;
		struct vm vm;

		rig_start(&rig, device);
		rig_guest(&rig, &vm, "a");
		slot = memset(mock_at(&vm.memory, vm.rx.slots_addr), 0xaa, 64 * VM_HEADER);
		for (unsigned int n = 0; n < 64; n++) {
			const struct mock_buffer buffer = {
				vm.rx.slots_addr + (uint64_t)n * VM_HEADER, sizes[i], true
			};

			mock_offer(&vm.rx.driver, (uint16_t)mock_chain(&vm.rx.driver, &buffer, 1));
		}
		mock_publish(&vm.rx.driver);
		vm_frame(frame, LEN, 0xff, 0xd0, 1);
		for (unsigned int n = 0; n < 2; n++)
			assert_true(loop_test_receive(loop_test_find("d"), frame, LEN, NULL));
		vm_wait(too_small_are_dropped, &rig, "frames without room for their header");
		assert_true(vm_nothing_received(&vm));
		for (unsigned int n = 0; n < 64 * VM_HEADER; n++)
			assert_int_equal(slot[n], 0xaa);
		vm_free(&vm);
		rig_free(&rig);
	}
}

static uint64_t refused(struct rig *rig, enum gw_reason reason)
{
	return rig_port(rig, "a").rx_drops[reason];
}

/* More than a frame may have, in descriptors of the same 4096; the header is the first. */
static void send_huge(struct vm *vm)
{
	struct mock_buffer buffer[HUGE_SEGS + 1];
	uint64_t addr = vm->tx.slots_addr;

	mock_write(&vm->memory, addr, (const uint8_t[VM_HEADER]){ 0 }, VM_HEADER);
	buffer[0] = (struct mock_buffer){ addr, VM_HEADER, false };
	for (unsigned int i = 1; i <= HUGE_SEGS; i++)
		buffer[i] = (struct mock_buffer){ addr, VM_SLOT_BYTES, false };
	assert_true(vm_send_buffers(vm, buffer, HUGE_SEGS + 1) >= 0);
	vm_publish(vm);
}

/* Each comes back, counted for what it is, and the ring goes on. */
static void chains_that_are_no_frames(void **state)
{
	static const char *const device[] = { "a=guest:%s/a", "d=loop:", NULL };
	uint8_t frame[LEN] = { 0 };
	struct rig rig;
	struct vm vm;

	rig_start(&rig, device);
	rig_guest(&rig, &vm, "a");
	vm_send(&vm, frame, 1);
	vm_wait_used(&vm);
	vm_send(&vm, frame, GW_FRAME_LEN_MIN - 1);
	vm_wait_used(&vm);
	assert_int_equal(refused(&rig, GW_DROP_TOO_SHORT), 2);
	send_huge(&vm);
	vm_wait_used(&vm);
	assert_int_equal(refused(&rig, GW_DROP_TOO_LONG), 1);
	/* VIRTIO's rings are drained, but what is in a disabled one is discarded. */
	vm_enable(&vm, 1, false);
	send_short(&vm, 2);
	vm_wait_used(&vm);
	assert_int_equal(refused(&rig, GW_DROP_RING_DISABLED), 1);
	vm_enable(&vm, 1, true);
	send_short(&vm, 2);
	vm_wait_used(&vm);
	rig_wait_decided(&rig, "a", "d", 1);
	assert_int_equal(refused(&rig, GW_DROP_RING_DISABLED), 1);
	vm_free(&vm);
	rig_free(&rig);
}

static bool broken_are_dropped(void *arg)
{
	return rig_pair(arg, "d", "a").reasons[GW_DROP_RING_BROKEN] == 2;
}

/* What comes for a guest whose receive ring broke a rule is counted, and its front-end told. */
static void frames_for_a_broken_ring(void **state)
{
	static const char *const device[] = { "a=guest:%s/a", "d=loop:", NULL };
	const struct mock_buffer nowhere = { 1, VM_SLOT_BYTES, true };
	struct pollfd error = { .events = POLLIN };
	uint8_t frame[LEN];
	struct rig rig;
	struct vm vm;

	rig_start(&rig, device);
	rig_guest(&rig, &vm, "a");
	mock_offer(&vm.rx.driver, (uint16_t)mock_chain(&vm.rx.driver, &nowhere, 1));
	mock_publish(&vm.rx.driver);
	vm_frame(frame, LEN, 0xff, 0xd0, 1);
	for (unsigned int n = 0; n < 2; n++)
		assert_true(loop_test_receive(loop_test_find("d"), frame, LEN, NULL));
	vm_wait(broken_are_dropped, &rig, "frames for a broken ring");
	error.fd = vm.rx.err_fd;
	assert_int_equal(poll(&error, 1, VM_DEADLINE_MS), 1);
	/* Its other ring is in order. */
	send_short(&vm, 2);
	vm_wait_used(&vm);
	vm_free(&vm);
	rig_free(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(long_frames_that_wait_stay_what_they_are),
		cmocka_unit_test(long_frames_that_wait_survive_what_their_guest_receives),
		cmocka_unit_test(receive_buffers_too_small_for_a_header),
		cmocka_unit_test(chains_that_are_no_frames),
		cmocka_unit_test(frames_for_a_broken_ring),
		cmocka_unit_test(stopping_a_ring_leaves_a_slow_peer_connected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
