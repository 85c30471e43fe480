/* SPDX-License-Identifier: BSD-2-Clause */
/* The front-end: what it sends, and what it expects to hear. */
#include "session_front.h"

#include "fd.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- messages ---- */

const struct message_region front_region[2] = {
	{ 0, FRONT_REGION_BYTES, FRONT_USER_ADDR, 0 },
	{ FRONT_HIGH_ADDR, FRONT_REGION_BYTES, FRONT_USER_ADDR + FRONT_REGION_BYTES,
	  FRONT_REGION_BYTES },
};

int front_bytes(struct front *front, const void *bytes, size_t len, const int *fds,
		unsigned int fd_count)
{
	front->reply_len = 0;
	gw_fd_close(&front->reply_fd);
	return session_input(front->session, bytes, len, fds, fd_count, &front->err);
}

int front_send(struct front *front, uint32_t request, uint32_t flags, const void *payload,
	       uint32_t size, const int *fds, unsigned int fd_count)
{
	uint8_t bytes[VHOST_USER_HEADER_BYTES + MESSAGE_PAYLOAD_MAX];
	const uint32_t word[3] = { request, VHOST_USER_VERSION | flags, size };

	assert_true(size <= MESSAGE_PAYLOAD_MAX);
	memcpy(bytes, word, sizeof(word));
	if (size)
		memcpy(bytes + sizeof(word), payload, size);
	return front_bytes(front, bytes, sizeof(word) + size, fds, fd_count);
}

int front_empty(struct front *front, uint32_t request)
{
	return front_send(front, request, 0, NULL, 0, NULL, 0);
}

int front_u64(struct front *front, uint32_t request, uint64_t value)
{
	return front_send(front, request, 0, &value, sizeof(value), NULL, 0);
}

int front_state(struct front *front, uint32_t request, uint32_t index, uint32_t num)
{
	const struct message_vring_state state = { index, num };

	return front_send(front, request, 0, &state, sizeof(state), NULL, 0);
}

int front_ack(struct front *front, uint32_t request, const void *payload, uint32_t size,
	      const int *fds, unsigned int fd_count)
{
	return front_send(front, request, VHOST_USER_NEED_REPLY, payload, size, fds, fd_count);
}

int front_state_ack(struct front *front, uint32_t request, uint32_t index, uint32_t num)
{
	const struct message_vring_state state = { index, num };

	return front_ack(front, request, &state, sizeof(state), NULL, 0);
}

int front_addr(struct front *front, uint32_t index, uint64_t desc, uint32_t flags)
{
	const struct message_vring_addr addr = {
		.index = index,
		.flags = flags,
		.desc = desc,
		.avail = desc + FRONT_RING_SIZE * 16,
		.used = desc + FRONT_RING_SIZE * 32,
	};

	return front_send(front, VHOST_USER_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL, 0);
}

int front_ring_fd(struct front *front, uint32_t request, uint64_t value, int fd)
{
	assert_true(fd >= 0);
	return front_send(front, request, 0, &value, sizeof(value), &fd, 1);
}

int front_eventfd(struct front *front, uint32_t request, uint32_t index)
{
	return front_ring_fd(front, request, index, gw_eventfd());
}

int front_regions(struct front *front, const struct message_region *regions, unsigned int count,
		  uint32_t flags)
{
	struct message_memory memory = { .count = count };
	int fds[VHOST_USER_MAX_REGIONS];

	for (unsigned int i = 0; i < count; i++) {
		memory.region[i] = regions[i];
		fds[i] = dup(front->memory_fd);
		assert_true(fds[i] >= 0);
	}
	return front_send(front, VHOST_USER_SET_MEM_TABLE, flags, &memory,
			  offsetof(struct message_memory, region) +
				  count * (uint32_t)sizeof(memory.region[0]),
			  fds, count);
}

int front_memory(struct front *front, unsigned int count, uint32_t flags)
{
	return front_regions(front, front_region, count, flags);
}

/* ---- what QEMU does ---- */

void front_connect(struct front *front)
{
	assert_int_equal(front_empty(front, VHOST_USER_GET_FEATURES), 0);
	assert_int_equal(front_reply_u64(front, VHOST_USER_GET_FEATURES), front->offered);
	assert_int_equal(front_empty(front, VHOST_USER_GET_PROTOCOL_FEATURES), 0);
	assert_int_equal(front_reply_u64(front, VHOST_USER_GET_PROTOCOL_FEATURES),
			 front->protocol_offered);
	assert_int_equal(
		front_u64(front, VHOST_USER_SET_PROTOCOL_FEATURES, front->protocol_offered), 0);
	assert_int_equal(front_empty(front, VHOST_USER_SET_OWNER), 0);
	assert_int_equal(front_empty(front, VHOST_USER_GET_FEATURES), 0);
	for (unsigned int i = 0; i < front->rings; i++)
		assert_int_equal(front_eventfd(front, VHOST_USER_SET_VRING_CALL, i), 0);
	for (unsigned int i = 0; i < front->rings; i++)
		assert_int_equal(front_state(front, VHOST_USER_SET_VRING_ENABLE, i, 1), 0);
}

void front_start(struct front *front, uint16_t base)
{
	assert_int_equal(front_memory(front, 2, VHOST_USER_NEED_REPLY), 0);
	assert_int_equal(front_reply_u64(front, VHOST_USER_SET_MEM_TABLE), 0);
	for (unsigned int i = 0; i < front->rings; i++) {
		assert_int_equal(front_state(front, VHOST_USER_SET_VRING_NUM, i, FRONT_RING_SIZE),
				 0);
		assert_int_equal(front_state(front, VHOST_USER_SET_VRING_BASE, i, base), 0);
		assert_int_equal(front_addr(front, i, FRONT_USER_ADDR + i * 0x10000, 0), 0);
		assert_false(session_ring_running(front->session, i));
		assert_int_equal(front_eventfd(front, VHOST_USER_SET_VRING_KICK, i), 0);
		assert_true(session_ring_running(front->session, i));
		assert_int_equal(front_eventfd(front, VHOST_USER_SET_VRING_CALL, i), 0);
	}
}

void front_connect_start(struct front *front)
{
	front_connect(front);
	assert_int_equal(front_u64(front, VHOST_USER_SET_FEATURES, FRONT_FEATURES), 0);
	front_start(front, 0);
}

/* ---- replies ---- */

void front_reply_payload(const struct front *front, uint32_t request, void *payload, uint32_t size)
{
	uint32_t word[3];

	assert_int_equal(front->reply_len, sizeof(word) + size);
	memcpy(word, front->reply, sizeof(word));
	assert_int_equal(word[0], request);
	assert_int_equal(word[1], VHOST_USER_VERSION | VHOST_USER_REPLY);
	assert_int_equal(word[2], size);
	memcpy(payload, front->reply + sizeof(word), size);
}

uint64_t front_reply_u64(const struct front *front, uint32_t request)
{
	uint64_t value;

	front_reply_payload(front, request, &value, sizeof(value));
	return value;
}

struct message_vring_state front_reply_state(const struct front *front, uint32_t request)
{
	struct message_vring_state state;

	front_reply_payload(front, request, &state, sizeof(state));
	return state;
}

/* ---- outcomes ---- */

void front_expect_over(struct front *front, int ret)
{
	assert_int_equal(ret, -EPROTO);
	assert_int_equal(front->err.code, -EPROTO);
	assert_true(strlen(front->err.text) > 10);
	assert_int_equal(session_want(front->session), 0);
	assert_int_equal(front_empty(front, VHOST_USER_GET_FEATURES), -EPROTO);
	assert_int_equal(front_eventfd(front, VHOST_USER_SET_VRING_CALL, 0), -EPROTO);
	assert_int_equal(front->reply_len, 0);
}

static void expect_alive(struct front *front)
{
	assert_int_equal(front->notes, 1);
	front->notes = 0;
	assert_int_equal(front_empty(front, VHOST_USER_GET_FEATURES), 0);
	assert_int_equal(front_reply_u64(front, VHOST_USER_GET_FEATURES), front->offered);
}

void front_expect_refused(struct front *front, int ret, uint32_t request)
{
	assert_int_equal(ret, 0);
	assert_int_not_equal(front_reply_u64(front, request), 0);
	expect_alive(front);
}

void front_expect_noted(struct front *front, int ret)
{
	assert_int_equal(ret, 0);
	assert_int_equal(front->reply_len, 0);
	expect_alive(front);
}

/* ---- descriptors ---- */

int front_other_fd(unsigned int kind)
{
	int fd = -1, fds[2];

	switch (kind) {
	case 0:
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		close(fds[0]);
		fd = fds[1];
		break;
	case 1:
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		break;
	case 2:
		fd = memfd_create("empty", MFD_CLOEXEC);
		break;
	case 3:
		fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
		break;
	case 4:
		fd = epoll_create1(EPOLL_CLOEXEC);
		break;
	}
	assert_true(fd >= 0);
	return fd;
}
