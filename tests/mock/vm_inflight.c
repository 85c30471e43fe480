/* SPDX-License-Identifier: BSD-2-Clause */
/* The record of what is in flight, which outlives a back-end. */
#include "vm_inside.h"

#include "ring_record.h"
#include "vhost_user_spec.h"
#include <sys/mman.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static size_t record_bytes(void)
{
	return ring_record_bytes(VM_RING_SIZE, false);
}

static void open_inflight(struct vm *vm)
{
	vm->inflight_fd = memfd_create("vm-inflight", MFD_CLOEXEC);
	assert_int_equal(ftruncate(vm->inflight_fd, (off_t)(2 * record_bytes())), 0);
	vm->inflight = mmap(NULL, 2 * record_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED,
			    vm->inflight_fd, 0);
	assert_ptr_not_equal(vm->inflight, MAP_FAILED);
}

void vm_close_inflight(struct vm *vm)
{
	if (!vm->inflight)
		return;
	munmap(vm->inflight, 2 * record_bytes());
	close(vm->inflight_fd);
	vm->inflight = NULL;
}

void vm_share_inflight(struct vm *vm)
{
	struct vm_request request = { .request = VHOST_USER_SET_INFLIGHT_FD, .size = 20 };

	if (!vm->inflight)
		open_inflight(vm);
	request.payload.inflight.bytes = 2 * record_bytes();
	request.payload.inflight.queues = 2;
	request.payload.inflight.queue_size = VM_RING_SIZE;
	vm_tell(vm, &request, vm->inflight_fd);
}

/* vhost-user, "Inflight I/O tracking": QueueRegionSplit. */
struct record {
	uint64_t features;
	uint16_t version, desc_num, last_batch_head, used_idx;
	struct {
		uint8_t inflight, padding[5];
		uint16_t next;
		uint64_t counter;
	} desc[VM_RING_SIZE];
};

static struct record *record_of(const struct vm *vm, unsigned int index)
{
	return (struct record *)(vm->inflight + index * record_bytes());
}

unsigned int vm_recorded(const struct vm *vm, unsigned int index)
{
	const struct record *record = record_of(vm, index);
	unsigned int count = 0;

	for (unsigned int i = 0; i < VM_RING_SIZE && record->version; i++)
		count += record->desc[i].inflight == 1;
	return count;
}

void vm_record(struct vm *vm, unsigned int index, unsigned int count)
{
	const struct mock_driver *driver = index ? &vm->tx.driver : &vm->rx.driver;
	struct record *record = record_of(vm, index);

	/* What the back-end still does after an answer is done when the next one comes. */
	vm_ask_u64(vm, VHOST_USER_GET_FEATURES);
	*record = (struct record){ .version = 1,
				   .desc_num = VM_RING_SIZE,
				   .used_idx = driver->used->idx };
	for (unsigned int i = 0; i < count; i++) {
		uint16_t head = driver->avail->ring[(driver->used->idx + i) % VM_RING_SIZE];

		record->desc[head].inflight = 1;
		record->desc[head].counter = i;
	}
}
