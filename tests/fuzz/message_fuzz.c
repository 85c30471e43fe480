/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as vhost-user messages. What the decoder lets through must be as its
 * header promises: sizes within the payload's buffer, counts that the size
 * covers, descriptors as many as the request takes.
 */
#include "fuzz.h"

#include "message.h"
#include <errno.h>
#include <stdlib.h>

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

/* A number in the table more often than chance has it, and the right version. */
static void shape_header(struct fuzz_input *input, uint8_t *header)
{
	uint8_t shape = fuzz_u8(input);
	uint32_t word[3];

	memcpy(word, header, sizeof(word));
	if (shape & 1)
		word[0] %= VHOST_USER_GET_VRING_BASE_SKIP_DRAIN + 2;
	if (shape & 2)
		word[1] = VHOST_USER_VERSION | (word[1] & VHOST_USER_NEED_REPLY);
	if (shape & 4)
		word[2] = word[2] % 16 * 8;
	memcpy(header, word, sizeof(word));
}

static void check_region(const struct message_region *region)
{
	CHECK(region->size);
	CHECK(region->guest_addr + (region->size - 1) >= region->guest_addr);
	CHECK(region->user_addr + (region->size - 1) >= region->user_addr);
	CHECK(region->mmap_offset + region->size > region->mmap_offset);
}

static void check_memory(const struct message *message)
{
	const struct message_memory *memory = &message->payload.memory;

	CHECK(memory->count >= 1 && memory->count <= VHOST_USER_MAX_REGIONS);
	CHECK(memory->count == message->fd_count);
	for (unsigned int i = 0; i < memory->count; i++)
		check_region(&memory->region[i]);
}

static void check_payload(const struct message *message)
{
	const struct message_inflight *inflight = &message->payload.inflight;
	const struct message_config *config = &message->payload.config;

	CHECK(message_name(message->request));
	switch (message->request) {
	case VHOST_USER_SET_MEM_TABLE:
		check_memory(message);
		break;
	case VHOST_USER_ADD_MEM_REG:
		CHECK(message->fd_count == 1);
		check_region(&message->payload.mem_reg.region);
		break;
	case VHOST_USER_REM_MEM_REG:
		check_region(&message->payload.mem_reg.region);
		break;
	case VHOST_USER_GET_CONFIG:
	case VHOST_USER_SET_CONFIG:
		CHECK(config->size <= VHOST_USER_CONFIG_BYTES);
		CHECK(message->size == offsetof(struct message_config, bytes) + config->size);
		break;
	case VHOST_USER_GET_INFLIGHT_FD:
	case VHOST_USER_SET_INFLIGHT_FD:
		CHECK(inflight->num_queues && inflight->queue_size);
		CHECK(inflight->mmap_offset + inflight->mmap_size >= inflight->mmap_offset);
		break;
	case VHOST_USER_SET_LOG_BASE:
		CHECK(message->size == 8 || message->size == sizeof(message->payload.log));
		break;
	case VHOST_USER_SET_DEVICE_STATE_FD:
	case VHOST_USER_SET_BACKEND_REQ_FD:
	case VHOST_USER_SET_LOG_FD:
		CHECK(message->fd_count == 1);
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz_input input = { bytes, len };
	struct message message = { 0 };
	struct gw_error err;

	while (input.len) {
		uint8_t header[VHOST_USER_HEADER_BYTES] = { 0 };
		uint32_t payload_bytes = 0;
		uint8_t *payload;
		int ret;

		fuzz_take(&input, header, sizeof(header));
		shape_header(&input, header);
		ret = message_decode_header(header, &message, &payload_bytes, &err);
		CHECK(ret == 0 || ret == -EPROTO || ret == -EOPNOTSUPP);
		if (ret == -EPROTO)
			continue;
		CHECK(payload_bytes <= MESSAGE_PAYLOAD_MAX);
		payload = calloc(1, payload_bytes ? payload_bytes : 1);
		CHECK(payload);
		message.fd_count = fuzz_u8(&input) % (VHOST_USER_MAX_FDS + 1);
		fuzz_take(&input, payload, payload_bytes);
		ret = message_decode_payload(&message, payload, &err);
		CHECK(ret == 0 || ret == -EPROTO || ret == -EINVAL);
		if (!ret)
			check_payload(&message);
		free(payload);
	}
	return 0;
}
