/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user messages: a table, and pure encoding and decoding.
 *
 * Nothing here knows sockets or state. Bytes come in, a checked message comes
 * out: every field that a handler uses was inside the payload, every size is the
 * one in the table, the number of file descriptors is what the request takes.
 */
#pragma once

#include "vhost_user_spec.h"
#include <guestwire/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Largest payload of any request that is in the table. */
#define MESSAGE_PAYLOAD_MAX 512u

struct message_vring_state {
	uint32_t index, num;
};

struct message_vring_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};

struct message_region {
	uint64_t guest_addr, size, user_addr, mmap_offset;
};

struct message_memory {
	uint32_t count, padding;
	struct message_region region[VHOST_USER_MAX_REGIONS];
};

/* ADD_MEM_REG, REM_MEM_REG */
struct message_mem_reg {
	uint64_t padding;
	struct message_region region;
};

struct message_log {
	uint64_t size, offset;
};

struct message_iotlb {
	uint64_t iova, size, user_addr;
	uint8_t access, type; /* VHOST_USER_IOTLB_..., enum vhost_user_iotlb_type */
	uint8_t padding[6];
};

/* GET_CONFIG, SET_CONFIG: size bytes follow, which is checked. */
struct message_config {
	uint32_t offset, size, flags;
	uint8_t bytes[VHOST_USER_CONFIG_BYTES];
};

/* SET_DEVICE_STATE_FD */
struct message_transfer {
	uint32_t direction, phase;
};

struct message_inflight {
	uint64_t mmap_size, mmap_offset;
	uint16_t num_queues, queue_size;
};

/* One decoded request. fds belong to the message until message_take_fd or message_drop_fds. */
struct message {
	uint32_t request; /* enum vhost_user_request, in the table */
	bool need_reply;
	uint32_t size; /* payload bytes */
	union {
		uint64_t u64;
		struct message_vring_state state;
		struct message_vring_addr addr;
		struct message_memory memory;
		struct message_mem_reg mem_reg;
		struct message_log log;
		struct message_inflight inflight;
		struct message_iotlb iotlb;
		struct message_config config;
		struct message_transfer transfer;
		uint8_t raw[MESSAGE_PAYLOAD_MAX];
	} payload;
	int fds[VHOST_USER_MAX_FDS];
	unsigned int fd_count;
	bool fds_prompt; /* they were looked at: to close them takes no time */
};

/* "SET_MEM_TABLE"; NULL for a number that is not in the table. */
const char *message_name(uint32_t request);
/* Whether the request has a reply of its own (GET_...), as opposed to REPLY_ACK. */
bool message_has_reply(uint32_t request);

/*
 * The header (VHOST_USER_HEADER_BYTES bytes): checks version, reply flag, known
 * request, payload size within the request's bounds. 0 and *payload_bytes, or
 * -EPROTO (malformed: the connection must end) or -EOPNOTSUPP (well-formed, not
 * known: skipped and, if it wants one, answered with an error).
 */
int message_decode_header(const uint8_t *bytes, struct message *message, uint32_t *payload_bytes,
			  struct gw_error *err);
/*
 * The payload, after the header: sizes against counts inside it, and the number
 * of fds. 0, or -EPROTO / -EINVAL with a text; fds stay with the message.
 */
int message_decode_payload(struct message *message, const uint8_t *bytes, struct gw_error *err);
/* A reply to `request` with a payload; returns bytes written to out (header and payload). */
size_t message_encode_reply(uint32_t request, const void *payload, uint32_t size, uint8_t *out,
			    size_t out_bytes);

/* A message of the back-end's own, with a payload; returns bytes written to out. */
size_t message_encode_request(enum vhost_user_backend_request request, const void *payload,
			      uint32_t size, uint8_t *out, size_t out_bytes);

/* Takes fd number i out of the message: the caller closes it. -1 if there is none. */
int message_take_fd(struct message *message, unsigned int i);
void message_drop_fds(struct message *message);
