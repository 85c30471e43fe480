/* SPDX-License-Identifier: BSD-2-Clause */
#include "iommu_rig.h"

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

const char *const iommu_device_ports[] = { "a=guest:%s/a", "d=loop:", NULL };
const char *const iommu_stubborn_ports[] = { "a=guest:%s/a", "d=loop:,stubborn=on,ring=4096",
					     NULL };
const char *const iommu_three_ports[] = { "a=guest:%s/a", "d=loop:", "e=loop:", NULL };

static void start(struct iommu_rig *s, const char *const *ports, const void *packed,
		  unsigned int stop_ms)
{
	const struct vm_options options = {
		.iommu = true,
		.features = 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |
			    (packed ? 1ull << VIRTIO_F_RING_PACKED : 0),
	};

	rig_start_with(&s->rig, ports, stop_ms);
	rig_guest_with(&s->rig, &s->vm, "a", &options);
	s->loop = loop_test_find("d");
}

void iommu_start(struct iommu_rig *s, const char *const *ports, const void *packed)
{
	start(s, ports, packed, RIG_STOP_MS);
}

void iommu_start_patient(struct iommu_rig *s, const char *const *ports, const void *packed)
{
	start(s, ports, packed, RIG_STOP_MAX_MS);
}

void iommu_end(struct iommu_rig *s)
{
	vm_free(&s->vm);
	rig_free(&s->rig);
}

void iommu_lend(struct iommu_rig *s)
{
	struct vm *vm = &s->vm;
	uint8_t frame[IOMMU_LEN];

	vm_map(vm, vm->tx.slots_addr, VM_SLOTS * VM_SLOT_BYTES);
	rig_settle(&s->rig, vm, "a", "d");
	s->first_addr = vm->tx.slots_addr + vm->tx.next_slot * VM_SLOT_BYTES;
	loop_test_hold(s->loop, true);
	vm_frame(frame, IOMMU_LEN, 0xd0, 0xe0, 0);
	for (unsigned int i = 0; i < IOMMU_LOANS; i++)
		vm_send_later(vm, frame, IOMMU_LEN);
	vm_publish(vm);
	rig_wait_held(s->loop, IOMMU_LOANS);
	assert_int_equal(rig_pair(&s->rig, "a", "d").loans_out, IOMMU_LOANS);
}

void iommu_offer(struct iommu_rig *s)
{
	vm_offer_rx(&s->vm, IOMMU_BUFFERS);
}

void iommu_answer(struct iommu_rig *s)
{
	for (unsigned int i = 0; i < IOMMU_BUFFERS; i++) {
		uint64_t addr = s->vm.rx.slots_addr + (uint64_t)i * VM_SLOT_BYTES;

		assert_int_equal(vm_wait_miss(&s->vm), addr);
		vm_map(&s->vm, addr, VM_SLOT_BYTES);
	}
}

void iommu_receive(struct iommu_rig *s, unsigned int count)
{
	uint8_t frame[IOMMU_LEN], bytes[IOMMU_LEN];

	for (unsigned int i = 0; i < count; i++) {
		vm_frame(frame, IOMMU_LEN, 0xff, 0xd0, (uint8_t)i);
		assert_true(loop_test_receive(s->loop, frame, IOMMU_LEN, NULL));
		assert_int_equal(vm_receive(&s->vm, bytes, IOMMU_LEN), IOMMU_LEN);
		assert_int_equal(bytes[IOMMU_LEN - 1], (uint8_t)i);
	}
}
