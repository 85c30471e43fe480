/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the guest without a machine share. */
#pragma once

#include "vm.h"

/* A message, as the specification has it. */
struct vm_request {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			uint32_t count, padding;
			uint64_t guest_addr, bytes, user_addr, offset;
		} memory;
		struct {
			uint64_t bytes, offset;
			uint16_t queues, queue_size;
		} inflight;
		struct {
			uint64_t iova, bytes, user_addr;
			uint8_t access, type, padding[6];
		} iotlb;
	} payload;
} __attribute__((packed));

/* The descriptor has something, within VM_DEADLINE_MS; otherwise the test fails. */
void vm_wait_readable(int fd, const char *what);
/* fd: goes along; -1: none does. */
void vm_say(struct vm *vm, struct vm_request *request, int fd);
/* A reply; counts descriptors that came beside it. */
void vm_hear(struct vm *vm, struct vm_request *reply);
uint64_t vm_ask_u64(struct vm *vm, uint32_t number);
/* With a REPLY_ACK, which has to say yes. */
void vm_tell(struct vm *vm, struct vm_request *request, int fd);
void vm_tell_u64(struct vm *vm, uint32_t number, uint64_t value, int fd);
void vm_tell_state(struct vm *vm, uint32_t number, uint32_t index, uint32_t num);

/* SET_BACKEND_REQ_FD: where the back-end asks for I/O addresses. */
void vm_share_channel(struct vm *vm);
void vm_close_inflight(struct vm *vm);
