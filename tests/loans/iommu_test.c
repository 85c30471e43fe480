/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest behind an IOMMU, whose front-end maps and takes away pages while devices
 * hold frames: nothing is given back while a device may read it. Both layouts.
 */
#include "iommu_rig.h"

#include "mock_super.h"
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* More than GW_FRAME_SEGS; divides IOMMU_LEN. */
#define MANY     25u
/* For what is answered whatever a device does; without a bound it would be for ever. */
#define BOUND_MS 8000u

/* A frame in more buffers than it can carry, all in one page, and not side by side. */
static void send_in_pieces(struct vm *vm, const struct virtio_net_hdr_v1 *header,
			   const uint8_t *bytes, uint32_t len)
{
	struct mock_buffer buffer[MANY + 1];
	uint64_t addr = vm->tx.slots_addr + vm->tx.next_slot++ * VM_SLOT_BYTES;
	uint32_t step = len / MANY;

	assert_int_equal(len % MANY, 0);
	mock_write(&vm->memory, addr, header, VM_HEADER);
	buffer[0] = (struct mock_buffer){ addr, VM_HEADER, false };
	addr += VM_HEADER + 1;
	for (unsigned int i = 0; i < MANY; i++, addr += step + 1) {
		mock_write(&vm->memory, addr, bytes + i * step, step);
		buffer[i + 1] = (struct mock_buffer){ addr, step, false };
	}
	assert_true(vm_send_buffers(vm, buffer, MANY + 1) >= 0);
	vm_publish(vm);
}

static void take_away(struct iommu_rig *s, unsigned int first, unsigned int count)
{
	vm_unmap_begin(&s->vm, s->first_addr + first * VM_SLOT_BYTES,
		       (uint64_t)count * VM_SLOT_BYTES);
}

/* ---- taken away under loans ---- */

/* The pages of two frames: the answer comes when these two are home, and not before. */
static void invalidation_waits_for_the_loans_it_touches(void **state)
{
	struct iommu_rig s;

	iommu_start_patient(&s, iommu_device_ports, *state);
	iommu_lend(&s);
	take_away(&s, 5, 2);
	assert_false(vm_answered(&s.vm, IOMMU_SHORT_MS));
	loop_test_release(s.loop, 5); /* what lies before them */
	assert_false(vm_answered(&s.vm, IOMMU_SHORT_MS));
	loop_test_complete(s.loop, 1, false);
	assert_false(vm_answered(&s.vm, IOMMU_SHORT_MS));
	loop_test_complete(s.loop, 0, false);
	vm_unmap_end(&s.vm);
	/* All others are where they were. */
	assert_int_equal(loop_test_held(s.loop), IOMMU_LOANS - 7);
	assert_int_equal(rig_pair(&s.rig, "a", "d").loans_out, IOMMU_LOANS - 7);
	iommu_end(&s);
}

/* Where the segments of its parent were listed, those of another frame may be by now. */
static void invalidation_waits_for_pieces_of_a_frame_in_many_buffers(void **state)
{
	static const struct mock_super_shape shape = { .payload = 2446, .gso_size = 1000 };
	static const struct virtio_net_hdr_v1 plain;
	static struct mock_super super;
	uint8_t frame[IOMMU_LEN];
	struct iommu_rig s;

	iommu_start_patient(&s, iommu_device_ports, *state);
	vm_map(&s.vm, s.vm.tx.slots_addr, VM_SLOTS * VM_SLOT_BYTES);
	rig_settle(&s.rig, &s.vm, "a", "d");
	s.first_addr = s.vm.tx.slots_addr + s.vm.tx.next_slot * VM_SLOT_BYTES;
	loop_test_hold(s.loop, true);
	mock_super_make(&super, &shape);
	send_in_pieces(&s.vm, &super.header, super.bytes, super.len);
	rig_wait_held(s.loop, 3);
	assert_int_equal(rig_pair(&s.rig, "a", "d").loans_out, 3);
	vm_frame(frame, IOMMU_LEN, 0xd0, 0xe0, 0);
	send_in_pieces(&s.vm, &plain, frame, IOMMU_LEN);
	rig_wait_held(s.loop, 4); /* a copy */
	take_away(&s, 0, 1);
	assert_false(vm_answered(&s.vm, IOMMU_SHORT_MS));
	loop_test_release(s.loop, 2);
	assert_false(vm_answered(&s.vm, IOMMU_SHORT_MS));
	loop_test_complete(s.loop, 0, false);
	vm_unmap_end(&s.vm);
	iommu_end(&s);
}

static void invalidation_beside_loans_waits_for_none(void **state)
{
	struct iommu_rig s;

	iommu_start(&s, iommu_device_ports, *state);
	iommu_lend(&s);
	take_away(&s, IOMMU_LOANS, 3);
	vm_unmap_end(&s.vm);
	assert_int_equal(loop_test_held(s.loop), IOMMU_LOANS);
	iommu_end(&s);
}

/* With its pages a ring stops, and so it waits for all that it has lent. */
static void rings_taken_away_stop_with_their_loans(void **state)
{
	struct iommu_rig s;

	iommu_start_patient(&s, iommu_device_ports, *state);
	iommu_lend(&s);
	vm_unmap_begin(&s.vm, VM_MEMORY_ADDR, 1u << 20);
	assert_false(vm_answered(&s.vm, IOMMU_SHORT_MS));
	loop_test_hold(s.loop, false);
	vm_unmap_end(&s.vm);
	assert_int_equal(rig_pair(&s.rig, "a", "d").loans_out, 0);
	iommu_end(&s);
}

/* It is stopped and started for the sake of the answer, and has let go by then. */
static void held_device_is_recalled_for_an_invalidation(void **state)
{
	uint64_t begin_ns;
	struct iommu_rig s;

	iommu_start(&s, iommu_device_ports, *state);
	iommu_lend(&s);
	begin_ns = gw_now_ns();
	take_away(&s, 0, 1);
	assert_true(vm_answered(&s.vm, BOUND_MS));
	assert_true(gw_now_ns() - begin_ns > IOMMU_SHORT_MS * 1000000ull);
	vm_unmap_end(&s.vm);
	assert_int_equal(rig_pair(&s.rig, "a", "d").loans_out, 0);
	assert_int_equal(rig_port(&s.rig, "d").quarantined, 0);
	iommu_end(&s);
}

static bool all_quarantined(void *arg)
{
	return rig_port(arg, "d").quarantined == IOMMU_LOANS;
}

/* What a dead device may read still is counted; the front-end has its answer. */
static void dead_device_holds_up_no_invalidation(void **state)
{
	uint16_t heads[IOMMU_LOANS];
	struct iommu_rig s;

	iommu_start(&s, iommu_stubborn_ports, *state);
	iommu_lend(&s);
	take_away(&s, 0, 1);
	assert_true(vm_answered(&s.vm, BOUND_MS));
	vm_unmap_end(&s.vm);
	vm_wait(all_quarantined, &s.rig, "the loans to be quarantined");
	assert_int_equal(vm_poll_used(&s.vm, heads, IOMMU_LOANS), 0);
	iommu_end(&s);
}

/* ---- asked for ahead ---- */

/* Nothing has been sent to the guest yet. */
static void receive_buffers_are_asked_for_before_a_frame_comes(void **state)
{
	struct iommu_rig s;

	iommu_start(&s, iommu_device_ports, *state);
	iommu_offer(&s);
	iommu_answer(&s);
	iommu_receive(&s, IOMMU_BUFFERS);
	iommu_end(&s);
}

/* The worker sleeps meanwhile, or is about to, and nothing but a kick wakes it. */
static void each_receive_buffer_is_asked_for_when_it_comes(void **state)
{
	struct iommu_rig s;

	iommu_start(&s, iommu_device_ports, *state);
	vm_map(&s.vm, s.vm.rx.slots_addr, VM_SLOT_BYTES);
	vm_offer_rx(&s.vm, 1);
	for (unsigned int i = 1; i < IOMMU_BUFFERS; i++) {
		uint64_t addr = s.vm.rx.slots_addr + (uint64_t)i * VM_SLOT_BYTES;

		vm_offer_rx(&s.vm, 1);
		assert_int_equal(vm_wait_miss(&s.vm), addr);
		vm_map(&s.vm, addr, VM_SLOT_BYTES);
	}
	iommu_receive(&s, IOMMU_BUFFERS);
	iommu_end(&s);
}

/* In a network of three nothing waits for a guest: the answers have to be there before. */
static void no_frame_is_dropped_for_an_address_that_was_to_be_had(void **state)
{
	struct iommu_rig s;

	iommu_start(&s, iommu_three_ports, *state);
	iommu_offer(&s);
	iommu_answer(&s);
	iommu_receive(&s, IOMMU_BUFFERS);
	assert_int_equal(rig_pair(&s.rig, "d", "a").reasons[GW_DROP_NO_RX_BUFFERS], 0);
	iommu_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(invalidation_waits_for_the_loans_it_touches),
		BOTH(invalidation_waits_for_pieces_of_a_frame_in_many_buffers),
		BOTH(invalidation_beside_loans_waits_for_none),
		BOTH(rings_taken_away_stop_with_their_loans),
		BOTH(held_device_is_recalled_for_an_invalidation),
		BOTH(dead_device_holds_up_no_invalidation),
		BOTH(receive_buffers_are_asked_for_before_a_frame_comes),
		BOTH(each_receive_buffer_is_asked_for_when_it_comes),
		BOTH(no_frame_is_dropped_for_an_address_that_was_to_be_had),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
