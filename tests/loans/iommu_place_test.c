/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest behind an IOMMU whose rings or buffers are mapped nowhere: what comes for it then
 * waits or is dropped, what it has in our hands goes home, and a run ends. Both layouts.
 */
#include "iommu_rig.h"

#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* With its header longer than a receive buffer, and no longer than what the device receives. */
#define LONG_LEN    4090u
#define UNTOUCHED   0xaau
#define FLUSHES     3u
/* Rounds that may be needed for so many: who waits for long is dropped after all. */
#define FLUSHES_MAX 20u

/* All that is mapped, as when a guest that is not strict drops what it has unmapped. */
static void flush_all(struct iommu_rig *s)
{
	vm_unmap_begin(&s->vm, 1, UINT64_MAX);
	vm_unmap_end(&s->vm);
}

struct fate {
	struct iommu_rig *setup;
	uint64_t dropped; /* before */
};

static uint64_t dropped_for_buffers(struct iommu_rig *s)
{
	return rig_pair(&s->rig, "d", "a").reasons[GW_DROP_NO_RX_BUFFERS];
}

/* It waits, or has waited for too long already (on a machine that is slow today). */
static bool waits_or_dropped(void *arg)
{
	struct fate *fate = arg;

	return loop_test_counts(fate->setup->loop).lent ||
	       dropped_for_buffers(fate->setup) > fate->dropped;
}

static bool has_left(void *arg)
{
	return !loop_test_counts(((struct fate *)arg)->setup->loop).lent;
}

/* A frame comes while the rings have no place, and then they have. True: it was received. */
static bool frame_without_a_place(struct iommu_rig *s, uint8_t fill)
{
	struct fate fate = { s, dropped_for_buffers(s) };
	uint8_t frame[IOMMU_LEN], bytes[IOMMU_LEN];

	flush_all(s);
	vm_frame(frame, IOMMU_LEN, 0xff, 0xd0, fill);
	assert_true(loop_test_receive(s->loop, frame, IOMMU_LEN, NULL));
	vm_wait(waits_or_dropped, &fate, "a frame to wait");
	assert_true(vm_nothing_received(&s->vm));
	vm_map(&s->vm, VM_MEMORY_ADDR, VM_MEMORY_BYTES);
	vm_wait(has_left, &fate, "a frame to be taken, or dropped");
	if (dropped_for_buffers(s) > fate.dropped)
		return false;
	assert_int_equal(vm_receive(&s->vm, bytes, IOMMU_LEN), IOMMU_LEN);
	assert_int_equal(bytes[IOMMU_LEN - 1], fill);
	return true;
}

/* What comes for the guest meanwhile waits, as it does for a ring without buffers. */
static void frames_wait_for_a_ring_without_a_place(void **state)
{
	unsigned int received = 0;
	struct gw_pair_info pair;
	struct iommu_rig s;

	iommu_start(&s, iommu_device_ports, *state);
	iommu_offer(&s);
	iommu_answer(&s);
	for (unsigned int i = 0; i < FLUSHES_MAX && received < FLUSHES; i++) {
		iommu_receive(&s, 1);
		received += frame_without_a_place(&s, (uint8_t)(0x80 + i));
	}
	assert_int_equal(received, FLUSHES);
	pair = rig_pair(&s.rig, "d", "a");
	for (unsigned int i = GW_DROP_FIRST; i < GW_REASON_COUNT; i++)
		if (i != GW_DROP_NO_RX_BUFFERS)
			assert_int_equal(pair.reasons[i], 0);
	iommu_end(&s);
}

static bool a_frame_is_dropped(void *arg)
{
	return rig_pair(arg, "d", "a").reasons[GW_DROP_NO_RX_BUFFERS] == 1;
}

/* In a network of three it does not; but the port is not down. */
static void frames_without_a_place_are_dropped_for_that(void **state)
{
	uint8_t frame[IOMMU_LEN];
	struct iommu_rig s;

	iommu_start(&s, iommu_three_ports, *state);
	iommu_offer(&s);
	iommu_answer(&s);
	flush_all(&s);
	vm_frame(frame, IOMMU_LEN, 0xff, 0xd0, 0);
	assert_true(loop_test_receive(s.loop, frame, IOMMU_LEN, NULL));
	vm_wait(a_frame_is_dropped, &s.rig, "a frame that found no place");
	assert_int_equal(rig_pair(&s.rig, "d", "a").reasons[GW_DROP_EGRESS_DOWN], 0);
	vm_map(&s.vm, VM_MEMORY_ADDR, VM_MEMORY_BYTES);
	iommu_receive(&s, 1);
	iommu_end(&s);
}

/*
 * CVE-2021-3748: QEMU wrote num_buffers into the first buffer of a frame when that had been
 * unmapped already. Here nothing is written before there is a place for all of it.
 */
static void half_a_place_for_a_frame_is_not_written_to(void **state)
{
	uint8_t frame[LONG_LEN], bytes[VM_SLOT_BYTES];
	const uint8_t *slot;
	struct iommu_rig s;
	uint64_t addr;

	iommu_start(&s, iommu_three_ports, *state);
	addr = s.vm.rx.slots_addr;
	slot = memset(mock_at(&s.vm.memory, addr), UNTOUCHED, 2 * VM_SLOT_BYTES);
	vm_offer_rx(&s.vm, 2);
	assert_int_equal(vm_wait_miss(&s.vm), addr);
	vm_map(&s.vm, addr, VM_SLOT_BYTES);
	assert_int_equal(vm_wait_miss(&s.vm), addr + VM_SLOT_BYTES);
	vm_frame(frame, LONG_LEN, 0xff, 0xd0, 1);
	assert_true(loop_test_receive(s.loop, frame, LONG_LEN, NULL));
	vm_wait(a_frame_is_dropped, &s.rig, "a frame that found half a place");
	vm_unmap_begin(&s.vm, addr, VM_SLOT_BYTES);
	vm_unmap_end(&s.vm);
	for (unsigned int i = 0; i < 2 * VM_SLOT_BYTES; i++)
		assert_int_equal(slot[i], UNTOUCHED);
	vm_map(&s.vm, addr, 2 * VM_SLOT_BYTES);
	assert_true(loop_test_receive(s.loop, frame, LONG_LEN, NULL));
	assert_int_equal(vm_receive(&s.vm, bytes, sizeof(bytes)), VM_SLOT_BYTES - VM_HEADER);
	assert_int_equal(slot[offsetof(struct virtio_net_hdr_v1, num_buffers)], 2);
	assert_memory_equal(bytes, frame, VM_SLOT_BYTES - VM_HEADER);
	iommu_end(&s);
}

/* The run ends before the front-end has said where its rings are: nothing is lost with it. */
static void a_run_ends_before_its_rings_have_a_place(void **state)
{
	uint16_t heads[IOMMU_LOANS];
	uint16_t base;
	struct iommu_rig s;

	iommu_start_patient(&s, iommu_device_ports, *state);
	iommu_offer(&s);
	iommu_answer(&s);
	iommu_receive(&s, 3);
	iommu_lend(&s);
	vm_unmap_begin(&s.vm, 1, UINT64_MAX);
	assert_false(vm_answered(&s.vm, IOMMU_SHORT_MS));
	loop_test_hold(s.loop, false);
	vm_unmap_end(&s.vm);
	/* Each was shown where the ring was until then. */
	assert_int_equal(vm_poll_used(&s.vm, heads, IOMMU_LOANS), IOMMU_LOANS);
	base = vm_stop_ring(&s.vm, 0);
	if (!*state)
		assert_int_equal(base, 3);
	base = vm_stop_ring(&s.vm, 1);
	if (!*state)
		assert_int_equal(base, IOMMU_LOANS + 1);
	iommu_end(&s);
}

/*
 * A process before this one had two buffers of each ring in its hands when it was killed;
 * those of the guest's have no address yet.
 */
static void start_with_two_in_flight(struct iommu_rig *s)
{
	const struct vm_options options = { .iommu = true, .inflight = true };
	uint8_t frame[IOMMU_LEN];
	char path[128];

	rig_start(&s->rig, iommu_device_ports);
	rig_guest_with(&s->rig, &s->vm, "a", &options);
	s->loop = loop_test_find("d");
	iommu_offer(s);
	vm_frame(frame, IOMMU_LEN, 0xd0, 0xe0, 0);
	vm_stop_ring(&s->vm, 0);
	vm_stop_ring(&s->vm, 1);
	for (unsigned int i = 0; i < 2; i++)
		vm_send(&s->vm, frame, IOMMU_LEN);
	for (unsigned int i = 0; i < 2; i++)
		vm_record(&s->vm, i, 2);
	snprintf(path, sizeof(path), "%s/a", s->rig.folder);
	vm_come_again(&s->vm, path);
}

/* They are given back, unseen: nobody can say where they are, and the base is behind them. */
static void a_run_ends_before_buffers_in_flight_have_an_address(void **state)
{
	struct iommu_rig s;

	start_with_two_in_flight(&s);
	for (unsigned int i = 0; i < 2; i++) {
		const struct vm_ring *ring = i ? &s.vm.tx : &s.vm.rx;

		assert_int_equal(vm_stop_ring(&s.vm, i), 2);
		assert_int_equal(ring->driver.used->idx, 2);
		assert_int_equal(vm_recorded(&s.vm, i), 0);
	}
	iommu_end(&s);
}

/* No more can they be given back where the ring itself has no place: the next run has them. */
static void a_run_ends_when_its_ring_with_buffers_in_flight_has_no_place(void **state)
{
	struct iommu_rig s;

	start_with_two_in_flight(&s);
	vm_unmap_begin(&s.vm, 1, UINT64_MAX);
	vm_unmap_end(&s.vm);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(vm_stop_ring(&s.vm, i), 2);
		assert_int_equal(vm_recorded(&s.vm, i), 2);
	}
	vm_map(&s.vm, VM_MEMORY_ADDR, VM_MEMORY_BYTES);
	for (unsigned int i = 0; i < 2; i++)
		vm_go_on(&s.vm, i, 2);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(vm_wait_used(&s.vm), s.vm.tx.driver.avail->ring[i]);
	iommu_receive(&s, 2);
	assert_int_equal(s.vm.rx.driver.used->idx, 2);
	iommu_end(&s);
}

/* The guest forgets all that it had, and so does the record. */
static void a_reset_of_rings_with_buffers_in_flight(void **state)
{
	struct iommu_rig s;

	start_with_two_in_flight(&s);
	flush_all(&s);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(vm_recorded(&s.vm, i), 2);
	vm_reset_owner(&s.vm);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(vm_recorded(&s.vm, i), 0);
	iommu_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(frames_wait_for_a_ring_without_a_place),
		BOTH(frames_without_a_place_are_dropped_for_that),
		BOTH(half_a_place_for_a_frame_is_not_written_to),
		BOTH(a_run_ends_before_its_rings_have_a_place),
		cmocka_unit_test(a_run_ends_before_buffers_in_flight_have_an_address),
		cmocka_unit_test(a_run_ends_when_its_ring_with_buffers_in_flight_has_no_place),
		cmocka_unit_test(a_reset_of_rings_with_buffers_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
