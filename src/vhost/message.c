/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of vhost-user requests, and the codec that works from it.
 *
 * A front-end's message is hostile until it has passed here. The header is
 * checked against the table before a byte of payload is waited for, so that the
 * longest wait is MESSAGE_PAYLOAD_MAX bytes. A row has a check of its own where
 * sizes or descriptors depend on what the payload says.
 *
 * Two kinds of no: -EPROTO is malformed (the two sides disagree about what the
 * bytes mean, so the connection must end), -EINVAL is well-formed but asks for
 * the impossible (an empty region): whoever holds the state decides what then.
 *
 * The table holds all requests of the specification, also those that this
 * release does not offer: a refusal that was decoded first can name what it
 * refuses, and the checks are in place when the feature comes.
 */
#include "message.h"

#include "fd.h"
#include <errno.h>
#include <string.h>

#define LOG_U64_BYTES     8u /* SET_LOG_BASE without LOG_SHMFD: an address only */
#define INFLIGHT_BYTES    20u
#define CONFIG_MIN_BYTES  offsetof(struct message_config, bytes)
#define CONFIG_MAX_BYTES  sizeof(struct message_config)
#define MEMORY_HEAD_BYTES offsetof(struct message_memory, region)
#define FLAGS_KNOWN       (VHOST_USER_VERSION_MASK | VHOST_USER_REPLY | VHOST_USER_NEED_REPLY)

struct row {
	const char *name;
	uint16_t size_min, size_max; /* payload bytes */
	uint8_t fds_min, fds_max;
	bool reply; /* has a reply of its own */
	int (*check)(const struct message *message, struct gw_error *err);
};

static int check_vring_fd(const struct message *message, struct gw_error *err);
static int check_memory(const struct message *message, struct gw_error *err);
static int check_mem_reg(const struct message *message, struct gw_error *err);
static int check_log(const struct message *message, struct gw_error *err);
static int check_inflight(const struct message *message, struct gw_error *err);
static int check_config(const struct message *message, struct gw_error *err);

/* Payload structures in short, for the table. */
#define NONE     0, 0
#define U64      8, 8
#define STATE    sizeof(struct message_vring_state), sizeof(struct message_vring_state)
#define ADDR     sizeof(struct message_vring_addr), sizeof(struct message_vring_addr)
#define MEMORY   MEMORY_HEAD_BYTES, sizeof(struct message_memory)
#define MEM_REG  sizeof(struct message_mem_reg), sizeof(struct message_mem_reg)
#define LOG      LOG_U64_BYTES, sizeof(struct message_log)
#define CONFIG   CONFIG_MIN_BYTES, CONFIG_MAX_BYTES
#define IOTLB    sizeof(struct message_iotlb), sizeof(struct message_iotlb)
#define UUID     16, 16
#define TRANSFER sizeof(struct message_transfer), sizeof(struct message_transfer)
#define ANY      0, MESSAGE_PAYLOAD_MAX
/* The structure ends in two u16; some front-ends send the padding after them too. */
#define INFLIGHT INFLIGHT_BYTES, sizeof(struct message_inflight)

/* clang-format off */
#define ROW(request, ...) [VHOST_USER_##request] = { #request, __VA_ARGS__ }

static const struct row rows[] = {
	/*  request               payload   fds   reply  check */
	ROW(GET_FEATURES,           NONE,     0, 0, true,  NULL),
	ROW(SET_FEATURES,           U64,      0, 0, false, NULL),
	ROW(SET_OWNER,              NONE,     0, 0, false, NULL),
	ROW(RESET_OWNER,            NONE,     0, 0, false, NULL),
	ROW(SET_MEM_TABLE,          MEMORY,   0, 8, false, check_memory),
	ROW(SET_LOG_BASE,           LOG,      0, 1, false, check_log),
	ROW(SET_LOG_FD,             NONE,     1, 1, false, NULL),
	ROW(SET_VRING_NUM,          STATE,    0, 0, false, NULL),
	ROW(SET_VRING_ADDR,         ADDR,     0, 0, false, NULL),
	ROW(SET_VRING_BASE,         STATE,    0, 0, false, NULL),
	ROW(GET_VRING_BASE,         STATE,    0, 0, true,  NULL),
	ROW(SET_VRING_KICK,         U64,      0, 1, false, check_vring_fd),
	ROW(SET_VRING_CALL,         U64,      0, 1, false, check_vring_fd),
	ROW(SET_VRING_ERR,          U64,      0, 1, false, check_vring_fd),
	ROW(GET_PROTOCOL_FEATURES,  NONE,     0, 0, true,  NULL),
	ROW(SET_PROTOCOL_FEATURES,  U64,      0, 0, false, NULL),
	ROW(GET_QUEUE_NUM,          NONE,     0, 0, true,  NULL),
	ROW(SET_VRING_ENABLE,       STATE,    0, 0, false, NULL),
	ROW(SEND_RARP,              U64,      0, 0, false, NULL),
	ROW(NET_SET_MTU,            U64,      0, 0, false, NULL),
	ROW(SET_BACKEND_REQ_FD,     NONE,     1, 1, false, NULL),
	ROW(IOTLB_MSG,              IOTLB,    0, 0, false, NULL),
	ROW(SET_VRING_ENDIAN,       STATE,    0, 0, false, NULL),
	ROW(GET_CONFIG,             CONFIG,   0, 0, true,  check_config),
	ROW(SET_CONFIG,             CONFIG,   0, 0, false, check_config),
	ROW(CREATE_CRYPTO_SESSION,  ANY,      0, 0, true,  NULL),
	ROW(CLOSE_CRYPTO_SESSION,   U64,      0, 0, false, NULL),
	ROW(POSTCOPY_ADVISE,        NONE,     0, 0, true,  NULL),
	ROW(POSTCOPY_LISTEN,        NONE,     0, 0, false, NULL),
	ROW(POSTCOPY_END,           NONE,     0, 0, true,  NULL),
	ROW(GET_INFLIGHT_FD,        INFLIGHT, 0, 0, true,  check_inflight),
	ROW(SET_INFLIGHT_FD,        INFLIGHT, 1, 1, false, check_inflight),
	ROW(GPU_SET_SOCKET,         NONE,     1, 1, false, NULL),
	ROW(RESET_DEVICE,           NONE,     0, 0, false, NULL),
	ROW(VRING_KICK,             STATE,    0, 0, false, NULL),
	ROW(GET_MAX_MEM_SLOTS,      NONE,     0, 0, true,  NULL),
	ROW(ADD_MEM_REG,            MEM_REG,  1, 1, false, check_mem_reg),
	ROW(REM_MEM_REG,            MEM_REG,  0, 1, false, check_mem_reg),
	ROW(SET_STATUS,             U64,      0, 0, false, NULL),
	ROW(GET_STATUS,             NONE,     0, 0, true,  NULL),
	ROW(GET_SHARED_OBJECT,      UUID,     0, 0, true,  NULL),
	ROW(SET_DEVICE_STATE_FD,    TRANSFER, 1, 1, true,  NULL),
	ROW(CHECK_DEVICE_STATE,     NONE,     0, 0, true,  NULL),
	ROW(GET_SHMEM_CONFIG,       NONE,     0, 0, true,  NULL),
	ROW(GET_VRING_BASE_SKIP_DRAIN, STATE, 0, 0, true,  NULL),
};
/* clang-format on */

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

_Static_assert(sizeof(struct message_vring_state) == 8, "wire format");
_Static_assert(sizeof(struct message_vring_addr) == 40, "wire format");
_Static_assert(sizeof(struct message_region) == 32, "wire format");
_Static_assert(sizeof(struct message_mem_reg) == 40, "wire format");
_Static_assert(sizeof(struct message_memory) == 8 + 8 * 32, "wire format");
_Static_assert(sizeof(struct message_iotlb) == 32, "wire format");
_Static_assert(sizeof(struct message_config) == 12 + 256, "wire format");
_Static_assert(VHOST_USER_MAX_REGIONS == 8, "one descriptor each: SET_MEM_TABLE above");
_Static_assert(sizeof(struct message_memory) <= MESSAGE_PAYLOAD_MAX, "the buffer holds it");
_Static_assert(CONFIG_MAX_BYTES <= MESSAGE_PAYLOAD_MAX, "the buffer holds it");

/* NULL for a number that is in no table. */
static const struct row *row_of(uint32_t request)
{
	if (request >= ROW_COUNT || !rows[request].name)
		return NULL;
	return &rows[request];
}

const char *message_name(uint32_t request)
{
	const struct row *row = row_of(request);

	return row ? row->name : NULL;
}

bool message_has_reply(uint32_t request)
{
	const struct row *row = row_of(request);

	return row && row->reply;
}

static int check_flags(uint32_t request, uint32_t flags, struct gw_error *err)
{
	if ((flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION)
		return gw_error_set(err, -EPROTO,
				    "vhost-user request %u: version %u, only version %u is known",
				    request, flags & VHOST_USER_VERSION_MASK, VHOST_USER_VERSION);
	if (flags & VHOST_USER_REPLY)
		return gw_error_set(err, -EPROTO,
				    "vhost-user request %u: marked as a reply, but it is the "
				    "back-end that replies",
				    request);
	if (flags & ~FLAGS_KNOWN)
		return gw_error_set(err, -EPROTO, "vhost-user request %u: unknown flags 0x%x",
				    request, flags & ~FLAGS_KNOWN);
	return 0;
}

int message_decode_header(const uint8_t *bytes, struct message *message, uint32_t *payload_bytes,
			  struct gw_error *err)
{
	uint32_t word[3]; /* request, flags, size */
	const struct row *row;
	uint32_t min, max;
	int ret;

	_Static_assert(sizeof(word) == VHOST_USER_HEADER_BYTES, "wire format");
	memcpy(word, bytes, sizeof(word));
	ret = check_flags(word[0], word[1], err);
	if (ret)
		return ret;
	row = row_of(word[0]);
	min = row ? row->size_min : 0;
	max = row ? row->size_max : MESSAGE_PAYLOAD_MAX;
	if (word[2] < min || word[2] > max)
		return gw_error_set(err, -EPROTO,
				    "vhost-user request %u (%s): payload of %u bytes, must be %u "
				    "to %u",
				    word[0], row ? row->name : "unknown", word[2], min, max);
	message->request = word[0];
	message->need_reply = word[1] & VHOST_USER_NEED_REPLY;
	message->size = word[2];
	*payload_bytes = word[2];
	if (!row)
		return gw_error_set(err, -EOPNOTSUPP, "vhost-user request %u: not known", word[0]);
	return 0;
}

int message_decode_payload(struct message *message, const uint8_t *bytes, struct gw_error *err)
{
	const struct row *row = row_of(message->request);

	if (!row || message->size < row->size_min || message->size > row->size_max)
		return gw_error_set(err, -EPROTO, "vhost-user request %u: header not decoded",
				    message->request);
	memset(&message->payload, 0, sizeof(message->payload));
	if (message->size)
		memcpy(&message->payload, bytes, message->size);
	if (message->fd_count < row->fds_min || message->fd_count > row->fds_max)
		return gw_error_set(err, -EPROTO,
				    "vhost-user %s: %u file descriptors beside it, must be %u to "
				    "%u (lost if this process has too many open files)",
				    row->name, message->fd_count, row->fds_min, row->fds_max);
	return row->check ? row->check(message, err) : 0;
}

static int check_vring_fd(const struct message *message, struct gw_error *err)
{
	uint64_t value = message->payload.u64;
	unsigned int wanted = value & VHOST_USER_VRING_NOFD ? 0 : 1;

	if (value & ~(uint64_t)(VHOST_USER_VRING_IDX_MASK | VHOST_USER_VRING_NOFD))
		return gw_error_set(err, -EPROTO,
				    "vhost-user %s: 0x%llx has bits above the ring index and the "
				    "no-descriptor flag",
				    message_name(message->request), (unsigned long long)value);
	if (message->fd_count != wanted)
		return gw_error_set(err, -EPROTO,
				    "vhost-user %s: %u file descriptors beside it, must be %u "
				    "(lost if this process has too many open files)",
				    message_name(message->request), message->fd_count, wanted);
	return 0;
}

/* One region by itself; overlap and the file's length are for whoever maps it. */
static int check_region(const char *name, unsigned int i, const struct message_region *region,
			struct gw_error *err)
{
	if (!region->size)
		return gw_error_set(err, -EINVAL, "vhost-user %s: region %u is empty", name, i);
	if (region->size - 1 > UINT64_MAX - region->guest_addr ||
	    region->size - 1 > UINT64_MAX - region->user_addr || region->size > INT64_MAX ||
	    region->mmap_offset > (uint64_t)INT64_MAX - region->size)
		return gw_error_set(err, -EINVAL,
				    "vhost-user %s: region %u (guest 0x%llx, user 0x%llx, offset "
				    "0x%llx, size 0x%llx) wraps around",
				    name, i, (unsigned long long)region->guest_addr,
				    (unsigned long long)region->user_addr,
				    (unsigned long long)region->mmap_offset,
				    (unsigned long long)region->size);
	return 0;
}

static int check_memory(const struct message *message, struct gw_error *err)
{
	const struct message_memory *memory = &message->payload.memory;
	int ret;

	if (memory->count > VHOST_USER_MAX_REGIONS ||
	    message->size != MEMORY_HEAD_BYTES + memory->count * sizeof(memory->region[0]))
		return gw_error_set(err, -EPROTO,
				    "vhost-user SET_MEM_TABLE: %u regions in a payload of %u bytes",
				    memory->count, message->size);
	if (message->fd_count != memory->count)
		return gw_error_set(err, -EPROTO,
				    "vhost-user SET_MEM_TABLE: %u regions, but %u file descriptors",
				    memory->count, message->fd_count);
	if (!memory->count)
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_MEM_TABLE: no region (is the guest's memory "
				    "shared? QEMU: memory-backend-memfd,share=on)");
	for (unsigned int i = 0; i < memory->count; i++) {
		ret = check_region("SET_MEM_TABLE", i, &memory->region[i], err);
		if (ret)
			return ret;
	}
	return 0;
}

static int check_mem_reg(const struct message *message, struct gw_error *err)
{
	return check_region(message_name(message->request), 0, &message->payload.mem_reg.region,
			    err);
}

/* The area [offset, offset + size) of a file that is mapped as a whole. */
static int check_area(const char *name, uint64_t offset, uint64_t size, struct gw_error *err)
{
	if (size > INT64_MAX || offset > (uint64_t)INT64_MAX - size)
		return gw_error_set(err, -EINVAL,
				    "vhost-user %s: offset 0x%llx and size 0x%llx overflow", name,
				    (unsigned long long)offset, (unsigned long long)size);
	return 0;
}

static int check_log(const struct message *message, struct gw_error *err)
{
	const struct message_log *log = &message->payload.log;

	if (message->size == LOG_U64_BYTES)
		return 0;
	if (message->size != sizeof(*log))
		return gw_error_set(err, -EPROTO,
				    "vhost-user SET_LOG_BASE: payload of %u bytes, must be %u or "
				    "%zu",
				    message->size, LOG_U64_BYTES, sizeof(*log));
	return check_area("SET_LOG_BASE", log->offset, log->size, err);
}

static int check_inflight(const struct message *message, struct gw_error *err)
{
	const struct message_inflight *inflight = &message->payload.inflight;
	const char *name = message_name(message->request);

	if (!inflight->num_queues || !inflight->queue_size)
		return gw_error_set(err, -EINVAL, "vhost-user %s: %u queues of %u entries", name,
				    inflight->num_queues, inflight->queue_size);
	return check_area(name, inflight->mmap_offset, inflight->mmap_size, err);
}

static int check_config(const struct message *message, struct gw_error *err)
{
	const struct message_config *config = &message->payload.config;

	if (message->size - CONFIG_MIN_BYTES == config->size)
		return 0;
	return gw_error_set(err, -EPROTO, "vhost-user %s: %u bytes in a payload of %u",
			    message_name(message->request), config->size, message->size);
}

static size_t encode(uint32_t request, uint32_t flags, const void *payload, uint32_t size,
		     uint8_t *out, size_t out_bytes)
{
	const uint32_t word[3] = { request, VHOST_USER_VERSION | flags, size };

	if (out_bytes < sizeof(word) || size > out_bytes - sizeof(word))
		return 0;
	memcpy(out, word, sizeof(word));
	if (size)
		memcpy(out + sizeof(word), payload, size);
	return sizeof(word) + size;
}

size_t message_encode_reply(uint32_t request, const void *payload, uint32_t size, uint8_t *out,
			    size_t out_bytes)
{
	return encode(request, VHOST_USER_REPLY, payload, size, out, out_bytes);
}

size_t message_encode_request(enum vhost_user_backend_request request, const void *payload,
			      uint32_t size, uint8_t *out, size_t out_bytes)
{
	return encode(request, 0, payload, size, out, out_bytes);
}

int message_take_fd(struct message *message, unsigned int i)
{
	int fd;

	if (i >= message->fd_count)
		return -1;
	fd = message->fds[i];
	message->fds[i] = -1;
	return fd;
}

void message_drop_fds(struct message *message)
{
	gw_fds_close(message->fds, message->fd_count);
	message->fd_count = 0;
}
