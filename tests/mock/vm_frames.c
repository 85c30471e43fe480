/* SPDX-License-Identifier: BSD-2-Clause */
/* What a guest without a machine sends and receives, once its rings run. */
#include "vm_inside.h"

#include "loop.h"
#include <sched.h>
#include <string.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static uint64_t slot_addr(const struct vm_ring *ring, unsigned int slot)
{
	return ring->slots_addr + (uint64_t)slot * VM_SLOT_BYTES;
}

static void kick(const struct vm_ring *ring)
{
	uint64_t one = 1;

	assert_int_equal(write(ring->kick_fd, &one, sizeof(one)), sizeof(one));
}

static uint16_t put(struct vm_ring *ring, uint32_t len, bool writable)
{
	unsigned int slot = ring->next_slot++ % VM_SLOTS;
	struct mock_buffer buffer = { slot_addr(ring, slot), len, writable };
	int head = mock_chain(&ring->driver, &buffer, 1);

	assert_true(head >= 0);
	ring->slot_of[head] = (uint16_t)slot;
	mock_offer(&ring->driver, (uint16_t)head);
	return (uint16_t)head;
}

static void publish(struct vm_ring *ring)
{
	if (mock_publish(&ring->driver))
		kick(ring);
}

int vm_send_buffers(struct vm *vm, const struct mock_buffer *buffers, unsigned int count)
{
	int head = mock_chain(&vm->tx.driver, buffers, count);

	if (head >= 0)
		mock_offer(&vm->tx.driver, (uint16_t)head);
	return head;
}

void vm_publish(struct vm *vm)
{
	publish(&vm->tx);
}

uint8_t *vm_sent_bytes(struct vm *vm, uint16_t head)
{
	return (uint8_t *)mock_at(&vm->memory, slot_addr(&vm->tx, vm->tx.slot_of[head])) +
	       VM_HEADER;
}

uint16_t vm_send_later(struct vm *vm, const uint8_t *frame, uint32_t len)
{
	uint8_t *slot = mock_at(&vm->memory, slot_addr(&vm->tx, vm->tx.next_slot % VM_SLOTS));

	memset(slot, 0, VM_HEADER);
	memcpy(slot + VM_HEADER, frame, len);
	return put(&vm->tx, VM_HEADER + len, false);
}

uint16_t vm_send(struct vm *vm, const uint8_t *frame, uint32_t len)
{
	uint16_t head = vm_send_later(vm, frame, len);

	vm_publish(vm);
	return head;
}

static uint32_t wait_collect(struct vm_ring *ring, uint16_t *head, const char *what)
{
	uint32_t written;

	while (!mock_collect(&ring->driver, head, &written)) {
		uint64_t count;

		if (mock_want_interrupt(&ring->driver))
			continue;
		vm_wait_readable(ring->call_fd, what);
		assert_int_equal(read(ring->call_fd, &count, sizeof(count)), sizeof(count));
	}
	return written;
}

uint16_t vm_wait_used(struct vm *vm)
{
	uint16_t head;

	wait_collect(&vm->tx, &head, "a transmit buffer to come back");
	return head;
}

unsigned int vm_poll_used(struct vm *vm, uint16_t *heads, unsigned int max)
{
	unsigned int count = 0;
	uint32_t written;

	while (count < max && mock_collect(&vm->tx.driver, &heads[count], &written))
		count++;
	return count;
}

void vm_offer_rx(struct vm *vm, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		put(&vm->rx, VM_SLOT_BYTES, true);
		publish(&vm->rx);
	}
}

void vm_publish_rx(struct vm *vm)
{
	publish(&vm->rx);
}

uint32_t vm_wait_received(struct vm *vm, uint16_t *head)
{
	return wait_collect(&vm->rx, head, "a received frame");
}

uint32_t vm_receive(struct vm *vm, uint8_t *bytes, uint32_t size)
{
	uint16_t head;
	uint32_t written = wait_collect(&vm->rx, &head, "a received frame");
	const uint8_t *slot = mock_at(&vm->memory, slot_addr(&vm->rx, vm->rx.slot_of[head]));

	assert_true(written > VM_HEADER);
	written -= VM_HEADER;
	memcpy(bytes, slot + VM_HEADER, written < size ? written : size);
	return written;
}

bool vm_nothing_received(struct vm *vm)
{
	uint32_t written;
	uint16_t head;

	return !mock_collect(&vm->rx.driver, &head, &written);
}

void vm_frame(uint8_t *frame, uint32_t len, uint8_t destination, uint8_t source, uint8_t fill)
{
	const uint8_t addresses[12] = { 2, 0, 0, 0, 0, destination, 2, 0, 0, 0, 0, source };

	memset(frame, fill, len);
	memcpy(frame, addresses, len < 12 ? len : 12);
	if (len >= 14) {
		frame[12] = 0x88;
		frame[13] = 0xb5;
	}
}

void vm_wait(bool (*check)(void *arg), void *arg, const char *what)
{
	uint64_t deadline_ns = gw_now_ns() + VM_DEADLINE_MS * 1000000ull;

	while (!check(arg)) {
		if (gw_now_ns() > deadline_ns)
			fail_msg("not within %u ms: %s", VM_DEADLINE_MS, what);
		sched_yield();
	}
}
