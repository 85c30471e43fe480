/* SPDX-License-Identifier: BSD-2-Clause */
/* An IOMMU before the guest's memory: what is mapped, taken away, asked for. */
#include "vm_inside.h"

#include "vhost_user_spec.h"
#include <sys/socket.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

void vm_share_channel(struct vm *vm)
{
	struct vm_request request = { .request = VHOST_USER_SET_BACKEND_REQ_FD };
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	vm->channel_fd = fds[0];
	vm_tell(vm, &request, fds[1]);
	close(fds[1]);
}

static struct vm_request iotlb_request(uint8_t type, uint64_t addr, uint64_t bytes)
{
	return (struct vm_request){
		.request = VHOST_USER_IOTLB_MSG,
		.size = sizeof(((struct vm_request *)NULL)->payload.iotlb),
		.payload.iotlb = { addr,
				   bytes,
				   addr + MOCK_USER_OFFSET,
				   VHOST_USER_IOTLB_READ | VHOST_USER_IOTLB_WRITE,
				   type,
				   { 0 } },
	};
}

void vm_map(struct vm *vm, uint64_t addr, uint64_t bytes)
{
	struct vm_request request = iotlb_request(VHOST_USER_IOTLB_UPDATE, addr, bytes);

	vm_tell(vm, &request, -1);
}

void vm_unmap_begin(struct vm *vm, uint64_t addr, uint64_t bytes)
{
	struct vm_request request = iotlb_request(VHOST_USER_IOTLB_INVALIDATE, addr, bytes);

	request.flags = VHOST_USER_NEED_REPLY;
	vm_say(vm, &request, -1);
}

void vm_unmap_end(struct vm *vm)
{
	struct vm_request reply;

	vm_hear(vm, &reply);
	assert_int_equal(reply.request, VHOST_USER_IOTLB_MSG);
	assert_int_equal(reply.payload.u64, 0);
}

uint64_t vm_wait_miss(struct vm *vm)
{
	struct vm_request question = { 0 };
	size_t len = VHOST_USER_HEADER_BYTES + sizeof(question.payload.iotlb);

	vm_wait_readable(vm->channel_fd, "a question for an I/O address");
	assert_int_equal(recv(vm->channel_fd, &question, len, MSG_WAITALL), len);
	assert_int_equal(question.request, VHOST_USER_BACKEND_IOTLB_MSG);
	assert_int_equal(question.payload.iotlb.type, VHOST_USER_IOTLB_MISS);
	return question.payload.iotlb.iova;
}
