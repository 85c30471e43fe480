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
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define STEPS_MAX 200u /* of one input */
#define PAIRS     2u
#define PAGE      4096u

enum step {
	STEP_MESSAGE,
	STEP_MESSAGE_TOO, /* more of them than of the rest */
	STEP_MESSAGE_AGAIN,
	STEP_MEMORY,
	STEP_SLOT,
	STEP_IOTLB,
	STEP_IOTLB_AGAIN,
	STEP_AREA,
	STEP_FEATURES,
	STEP_MISS,
	STEP_CARRY,
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

/* What goes from one process to the other. */
static uint8_t carry_bytes[SESSION_CARRY_BYTES_MAX];
static int carry_fds[SESSION_CARRY_FDS_MAX];

static void open_front(void)
{
	front_open_as(&front, FRONT_ALL_FEATURES, FRONT_ALL_PROTOCOL_FEATURES, PAIRS);
}

static int make_fd(uint8_t kind)
{
	int fd = -1;

	switch (kind % 16) {
	case 10:
	case 11:
	case 12:
		fd = dup(front.memory_fd);
		break;
	case 13:
	case 14:
	case 15:
		fd = front_other_fd(kind / 16 % FRONT_OTHER_FDS);
		break;
	default:
		fd = gw_eventfd();
	}
	assert_true(fd >= 0);
	return fd;
}

/* Descriptors to go with a message: of a kind, and mostly as many as wanted. */
static unsigned int make_fds(struct fuzz_input *input, int *fds, unsigned int wanted)
{
	uint8_t shape = fuzz_u8(input);
	unsigned int count = shape & 0xf0 ? wanted : shape % (VHOST_USER_MAX_FDS + 3);

	for (unsigned int i = 0; i < count; i++)
		fds[i] = make_fd(shape);
	return count;
}

static uint32_t pick_index(struct fuzz_input *input)
{
	uint8_t byte = fuzz_u8(input);

	return byte > 250 ? (uint32_t)fuzz_u64(input) : byte % 16 == 15 ? 2 * PAIRS : byte & 3;
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
		return byte & 1 ? FRONT_FEATURES : FRONT_ALL_FEATURES & fuzz_u64(input);
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		return FRONT_ALL_PROTOCOL_FEATURES & (byte & 1 ? ~0ull : fuzz_u64(input));
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
	uint32_t request = 1 + fuzz_u8(input) % (byte & 0xc0 ? VHOST_USER_NET_SET_MTU : 47);
	uint32_t size = byte & 0x38 ? 8 : byte & 0x20 ? 0 : 40;
	int fds[VHOST_USER_MAX_FDS + 3];
	unsigned int fd_count = 0;
	union {
		uint64_t u64;
		struct message_vring_state state;
		struct message_vring_addr addr;
		struct message_transfer transfer;
		struct message_config config;
	} payload = { 0 };

	switch (request) {
	case VHOST_USER_GET_FEATURES:
	case VHOST_USER_GET_PROTOCOL_FEATURES:
	case VHOST_USER_SET_OWNER:
	case VHOST_USER_RESET_OWNER:
	case VHOST_USER_GET_QUEUE_NUM:
	case VHOST_USER_RESET_DEVICE:
	case VHOST_USER_GET_STATUS:
	case VHOST_USER_GET_MAX_MEM_SLOTS:
	case VHOST_USER_CHECK_DEVICE_STATE:
		size = 0;
		break;
	case VHOST_USER_SET_LOG_FD:
	case VHOST_USER_SET_BACKEND_REQ_FD:
		size = 0;
		fd_count = 1;
		break;
	case VHOST_USER_SET_DEVICE_STATE_FD:
		size = sizeof(payload.transfer);
		payload.transfer.direction = byte & 1;
		fd_count = 1;
		break;
	case VHOST_USER_GET_CONFIG:
	case VHOST_USER_SET_CONFIG:
		payload.config.offset = fuzz_u8(input) % 32;
		payload.config.size = fuzz_u8(input) % 32;
		payload.config.flags = byte & 1;
		size = 12 + payload.config.size;
		break;
	case VHOST_USER_SET_VRING_ADDR:
		size = sizeof(payload.addr);
		payload.addr.index = pick_index(input);
		payload.addr.desc = FRONT_USER_ADDR + (uint64_t)fuzz_u8(input) * 16;
		break;
	case VHOST_USER_SET_VRING_NUM:
	case VHOST_USER_SET_VRING_BASE:
	case VHOST_USER_GET_VRING_BASE:
	case VHOST_USER_GET_VRING_BASE_SKIP_DRAIN:
	case VHOST_USER_SET_VRING_ENABLE:
		size = sizeof(payload.state);
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

/* A memory slot, out of sixteen, with the file behind it or another one. */
static void send_slot(struct fuzz_input *input)
{
	uint8_t byte = fuzz_u8(input), at = fuzz_u8(input);
	uint32_t request = byte & 1 ? VHOST_USER_ADD_MEM_REG : VHOST_USER_REM_MEM_REG;
	struct message_mem_reg slot = { .region = front_region[at % 2] };
	int fd = -1;

	if (at & 0xe0) {
		slot.region.guest_addr += FRONT_REGION_BYTES + at % 16 * PAGE * 2;
		slot.region.user_addr += FRONT_REGION_BYTES * 2 + at % 16 * PAGE * 2;
		slot.region.size = byte > 240 ? fuzz_u64(input) : PAGE;
	}
	if (byte & 1)
		fd = byte > 230 ? make_fd(at) : dup(front.memory_fd);
	front_send(&front, request, byte & VHOST_USER_NEED_REPLY, &slot, sizeof(slot), &fd,
		   fd >= 0);
}

/* Sixteen pages of I/O addresses, where the rings of FEATURES with an IOMMU lie, too. */
static void send_iotlb(struct fuzz_input *input)
{
	uint8_t byte = fuzz_u8(input), at = fuzz_u8(input), to = fuzz_u8(input);
	struct message_iotlb msg = {
		.iova = FRONT_USER_ADDR + at % 16 * (uint64_t)PAGE,
		.size = (1 + at / 16) * (uint64_t)PAGE,
		.user_addr = FRONT_USER_ADDR + to * (uint64_t)PAGE,
		.access = 3,
		.type = byte % 4 ? VHOST_USER_IOTLB_UPDATE : VHOST_USER_IOTLB_INVALIDATE,
	};

	if (to < 128) /* mostly as it was, so that rings run */
		msg.user_addr = msg.iova;
	if (byte > 240)
		msg.access = to;
	if (byte > 245)
		msg.size = fuzz_u64(input);
	if (byte > 250)
		msg.type = at;
	front_send(&front, VHOST_USER_IOTLB_MSG, byte & VHOST_USER_NEED_REPLY, &msg, sizeof(msg),
		   NULL, 0);
}

/* The log and the record of heads in flight: files that the front-end shares. */
static void send_area(struct fuzz_input *input)
{
	uint8_t byte = fuzz_u8(input), size = fuzz_u8(input);
	const struct message_log log = { size * 512ull, byte > 240 ? fuzz_u64(input) : 0 };
	const struct message_inflight inflight = { size * 512ull, 0, byte / 4 % 6,
						   1u << size % 12 };
	int fd = byte > 230 ? make_fd(size) : dup(front.memory_fd);
	uint32_t flags = byte & VHOST_USER_NEED_REPLY;

	if (byte % 4 == 0) {
		close(fd);
		front_send(&front, VHOST_USER_GET_INFLIGHT_FD, 0, &inflight, 24, NULL, 0);
	} else if (byte % 4 == 1) {
		front_send(&front, VHOST_USER_SET_INFLIGHT_FD, flags, &inflight, 24, &fd, 1);
	} else {
		front_send(&front, VHOST_USER_SET_LOG_BASE, flags, &log, sizeof(log), &fd, 1);
	}
}

static void send_features(struct fuzz_input *input)
{
	uint8_t byte = fuzz_u8(input);
	uint64_t features = FRONT_FEATURES;

	if (byte & 1)
		features |= 1ull << VHOST_F_LOG_ALL_BIT;
	if (byte & 2)
		features |= 1ull << VIRTIO_F_ACCESS_PLATFORM;
	if (byte & 4)
		features |= 1ull << VIRTIO_F_RING_PACKED;
	front_send(&front, VHOST_USER_SET_FEATURES, VHOST_USER_NEED_REPLY, &features,
		   sizeof(features), NULL, 0);
}

static void miss(struct fuzz_input *input)
{
	const struct iotlb_miss missed = { fuzz_u8(input) * (uint64_t)PAGE,
					   1 + fuzz_u8(input) % 3 };

	session_iotlb_miss(front.session, &missed, 1);
}

/* To another process and on there, or not: whole, or cut short on the way. */
static void carry(struct fuzz_input *input)
{
	uint8_t byte = fuzz_u8(input);
	struct session *session = NULL;
	unsigned int count = 0;
	size_t len = 0;
	int ret;

	session_pause(front.session, byte & 1);
	if (session_busy(front.session))
		front_stop_rings(&front);
	ret = session_export(front.session, carry_bytes, sizeof(carry_bytes), &len, carry_fds,
			     SESSION_CARRY_FDS_MAX, &count, &front.err);
	assert_true(ret == 0 || ret == -EAGAIN);
	for (unsigned int i = 0; !ret && i < count; i++) {
		carry_fds[i] = fcntl(carry_fds[i], F_DUPFD_CLOEXEC, 0);
		assert_true(carry_fds[i] >= 0);
	}
	if (!ret && byte > 200)
		len -= len > byte ? byte : len;
	if (!ret)
		ret = session_import(front_config(&front), carry_bytes, len, carry_fds, count,
				     &session, &front.err);
	if (!ret) {
		bool late = front.late;

		front.late = false;
		session_close(front.session);
		session_destroy(front.session);
		front.session = session;
		front.late = late;
	}
	session_resume(front.session, &front.err);
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
	case STEP_SLOT:
		send_slot(input);
		break;
	case STEP_IOTLB:
	case STEP_IOTLB_AGAIN:
		send_iotlb(input);
		break;
	case STEP_AREA:
		send_area(input);
		break;
	case STEP_FEATURES:
		send_features(input);
		break;
	case STEP_MISS:
		miss(input);
		break;
	case STEP_CARRY:
		if (fuzz_u8(input) < 64)
			carry(input);
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
		front.late_iotlb = fuzz_u8(input) & 1;
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
		open_front();
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

	open_front();
	if (start % 4 == 1)
		front_connect(&front);
	if (start % 4 > 1)
		front_connect_start(&front);
	for (unsigned int i = 0; i < STEPS_MAX && input.len; i++)
		one_step(&input);
	front_close(&front);
	return 0;
}
