/* SPDX-License-Identifier: BSD-2-Clause */
/* The wire to the back-end: requests, answers, and descriptors beside them. */
#include "vm_inside.h"

#include "vhost_user_spec.h"
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

void vm_wait_readable(int fd, const char *what)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	if (poll(&pollfd, 1, VM_DEADLINE_MS) != 1)
		fail_msg("nothing came within %u ms: %s", VM_DEADLINE_MS, what);
}

void vm_say(struct vm *vm, struct vm_request *request, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = { 0 };
	struct iovec iov = { request, VHOST_USER_HEADER_BYTES + request->size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	request->flags |= VHOST_USER_VERSION;
	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	}
	assert_int_equal(sendmsg(vm->fd, &msg, MSG_NOSIGNAL), iov.iov_len);
}

void vm_hear(struct vm *vm, struct vm_request *reply)
{
	char control[CMSG_SPACE(8 * sizeof(int))];
	struct iovec iov = { reply, sizeof(*reply) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };

	vm_wait_readable(vm->fd, "a reply");
	assert_in_range(recvmsg(vm->fd, &msg, 0), VHOST_USER_HEADER_BYTES, sizeof(*reply));
	vm->reply_fds += CMSG_FIRSTHDR(&msg) != NULL;
	assert_true(reply->flags & VHOST_USER_REPLY);
}

uint64_t vm_ask_u64(struct vm *vm, uint32_t number)
{
	struct vm_request request = { .request = number };

	vm_say(vm, &request, -1);
	vm_hear(vm, &request);
	assert_int_equal(request.size, 8);
	return request.payload.u64;
}

void vm_tell(struct vm *vm, struct vm_request *request, int fd)
{
	request->flags = VHOST_USER_NEED_REPLY;
	vm_say(vm, request, fd);
	vm_hear(vm, request);
	assert_int_equal(request->payload.u64, 0);
}

void vm_tell_u64(struct vm *vm, uint32_t number, uint64_t value, int fd)
{
	struct vm_request request = { .request = number, .size = 8, .payload.u64 = value };

	vm_tell(vm, &request, fd);
}

void vm_tell_state(struct vm *vm, uint32_t number, uint32_t index, uint32_t num)
{
	struct vm_request request = { .request = number,
				      .size = 8,
				      .payload.state = { index, num } };

	vm_tell(vm, &request, -1);
}
