/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any sequence of messages, descriptors, cuts and late answers to a session.
 *
 * The input is a list of steps. Most steps are a message that is nearly right,
 * out of small sets of values, so that rings do start, stop and lose their memory;
 * the rest is raw bytes, and the owner misbehaving in the ways it may (slow to
 * stop, rings that do not start, replies that cannot be sent). The fixture's
 * asserts are the properties: no ring runs while memory changes, a ring starts
 * only in the memmap that was announced, everything is given back on close, and
 * no descriptor is lost.
 */
#include "fuzz.h"

#include "fd.h"
#include "session_front.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define STEPS_MAX 200u /* of one input */

enum step {
	STEP_MESSAGE,
	STEP_MESSAGE_TOO, /* more of them than of the rest */
	STEP_MESSAGE_AGAIN,
	STEP_MEMORY,
	STEP_RAW,
	STEP_STOPPED,
	STEP_LATE,
	STEP_START_FAILS,
	STEP_SEND_FAILS,
	STEP_TRUNCATE,
	STEP_RECONNECT,
	STEP_COUNT,
};

static struct front front;

/* Descriptors to go with a message: of a kind, and mostly as many as wanted. */
static unsigned int make_fds(struct fuzz_input *input, int *fds, unsigned int wanted)
{
	uint8_t shape = fuzz_u8(input);
	unsigned int count = shape & 0xf0 ? wanted : shape % (VHOST_USER_MAX_FDS + 3);

	for (unsigned int i = 0; i < count; i++) {
		if ((shape & 0xf) < 10)
			fds[i] = gw_eventfd();
		else if ((shape & 0xf) < 14)
			fds[i] = dup(front.memory_fd);
		else
			fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		assert_true(fds[i] >= 0);
	}
	return count;
}

static uint32_t pick_index(struct fuzz_input *input)
{
	uint8_t byte = fuzz_u8(input);

	return byte > 250 ? (uint32_t)fuzz_u64(input) : byte % 16 == 15 ? 2 : byte & 1;
}

static uint32_t pick_num(struct fuzz_input *input)
{
	static const uint32_t nums[] = { 0, 1, 2, 3, 64, 256, 1024, 2048, 65535, 65536 };
	uint8_t byte = fuzz_u8(input);

	if (byte > 250)
		return (uint32_t)fuzz_u64(input);
	return nums[byte % (sizeof(nums) / sizeof(nums[0]))];
}

static uint64_t pick_u64(struct fuzz_input *input, uint32_t request, unsigned int *fd_count)
{
	uint8_t byte = fuzz_u8(input);

	*fd_count = 0;
	if (byte > 250)
		return fuzz_u64(input);
	switch (request) {
	case VHOST_USER_SET_FEATURES:
		return byte & 1 ? FRONT_FEATURES : FRONT_FEATURES & fuzz_u64(input);
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		return byte & 1 ? FRONT_PROTOCOL_FEATURES : FRONT_PROTOCOL_FEATURES & byte;
	case VHOST_USER_SET_VRING_KICK:
	case VHOST_USER_SET_VRING_CALL:
	case VHOST_USER_SET_VRING_ERR:
		*fd_count = byte & 8 ? 0 : 1;
		return (byte & 8 ? VHOST_USER_VRING_NOFD : 0) | pick_index(input);
	default:
		return byte * 64;
	}
}

static void send_message(struct fuzz_input *input)
{
	uint8_t byte = fuzz_u8(input);
	uint32_t request = 1 + fuzz_u8(input) % (byte & 0xc0 ? VHOST_USER_NET_SET_MTU : 44);
	uint32_t size = byte & 0x38 ? 8 : byte & 0x20 ? 0 : 40;
	int fds[VHOST_USER_MAX_FDS + 3];
	unsigned int fd_count = 0;
	union {
		uint64_t u64;
		struct message_vring_state state;
		struct message_vring_addr addr;
	} payload = { 0 };

	switch (request) {
	case VHOST_USER_GET_FEATURES:
	case VHOST_USER_GET_PROTOCOL_FEATURES:
	case VHOST_USER_SET_OWNER:
	case VHOST_USER_RESET_OWNER:
	case VHOST_USER_GET_QUEUE_NUM:
		size = 0;
		break;
	case VHOST_USER_SET_VRING_ADDR:
		size = sizeof(payload.addr);
		payload.addr.index = pick_index(input);
		payload.addr.desc = FRONT_USER_ADDR + (uint64_t)fuzz_u8(input) * 16;
		break;
	case VHOST_USER_SET_VRING_NUM:
	case VHOST_USER_SET_VRING_BASE:
	case VHOST_USER_GET_VRING_BASE:
	case VHOST_USER_SET_VRING_ENABLE:
		payload.state.index = pick_index(input);
		payload.state.num = pick_num(input);
		break;
	default:
		payload.u64 = pick_u64(input, request, &fd_count);
		break;
	}
	fd_count = make_fds(input, fds, fd_count);
	front_send(&front, request, byte & VHOST_USER_NEED_REPLY, &payload, size, fds, fd_count);
}

static void send_memory(struct fuzz_input *input)
{
	struct message_region regions[2] = { front_region[0], front_region[1] };
	uint8_t byte = fuzz_u8(input);

	if (byte > 200) {
		regions[0].guest_addr += fuzz_u8(input) * 4096ull;
		regions[0].mmap_offset += fuzz_u8(input) * 4096ull;
		regions[1].size = fuzz_u64(input) >> fuzz_u8(input) % 64;
	}
	front_regions(&front, regions, byte & 1 ? 2 : 1, byte & VHOST_USER_NEED_REPLY);
}

static void send_raw(struct fuzz_input *input)
{
	uint8_t bytes[256];
	int fds[VHOST_USER_MAX_FDS + 3];
	size_t len = fuzz_take(input, bytes, fuzz_u8(input));
	unsigned int fd_count = make_fds(input, fds, 0);

	front_bytes(&front, bytes, len, fds, fd_count);
}

/* Only where nothing is lent out: the file is made long again at once. */
static void truncate_memory(void)
{
	void *byte = NULL;

	if (session_memmap(front.session))
		byte = memmap_translate(session_memmap(front.session), 0, 1);
	if (byte)
		memmap_fault(byte);
}

static void one_step(struct fuzz_input *input)
{
	enum step step = fuzz_u8(input) % STEP_COUNT;

	/* An owner does not feed a session that is busy. */
	if (session_busy(front.session) && step != STEP_RECONNECT)
		step = STEP_STOPPED;
	switch (step) {
	case STEP_MESSAGE:
	case STEP_MESSAGE_TOO:
	case STEP_MESSAGE_AGAIN:
		send_message(input);
		break;
	case STEP_MEMORY:
		send_memory(input);
		break;
	case STEP_RAW:
		if (fuzz_u8(input) < 64) /* it desynchronizes, and ends the session soon */
			send_raw(input);
		break;
	case STEP_STOPPED:
		front.stop_base[0]++;
		if (session_busy(front.session))
			front_stop_rings(&front);
		break;
	case STEP_LATE:
		front.late = !front.late;
		break;
	case STEP_START_FAILS:
		front.start_ret = front.start_ret ? 0 : -EINVAL;
		break;
	case STEP_SEND_FAILS:
		front.send_ret = fuzz_u8(input) < 16 ? -EPIPE : 0;
		break;
	case STEP_TRUNCATE:
		if (fuzz_u8(input) < 16)
			truncate_memory();
		break;
	case STEP_RECONNECT:
		front_close(&front);
		front_open(&front);
		front_connect(&front);
		break;
	case STEP_COUNT:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz_input input = { bytes, len };
	uint8_t start = fuzz_u8(&input);

	front_open(&front);
	if (start % 4 == 1)
		front_connect(&front);
	if (start % 4 > 1)
		front_connect_start(&front);
	for (unsigned int i = 0; i < STEPS_MAX && input.len; i++)
		one_step(&input);
	front_close(&front);
	return 0;
}
