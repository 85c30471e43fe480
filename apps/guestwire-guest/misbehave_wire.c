/* SPDX-License-Identifier: BSD-2-Clause */
/* Misdeeds of the front-end: messages that no front-end should send. */
#include "misbehave.h"

#include <linux/vhost_types.h>
#include <string.h>
#include <unistd.h>

#include "vhost_user_spec.h"

#define HUGE_PAYLOAD 0x7fffffffu
#define PAGE         4096ull
#define MAX_REGIONS  32u

/* Sends a header as given, and len bytes of payload, whatever the header says. */
static void wire(struct guest_run *run, uint32_t request, uint32_t flags, uint32_t size,
		 const void *payload, size_t len, const int *fds, uint32_t fd_count)
{
	uint8_t bytes[VHOST_USER_HEADER_BYTES + 2048];
	uint32_t header[3] = { request, flags, size };

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, header, sizeof(header));
	if (payload)
		memcpy(bytes + sizeof(header), payload, len);
	front_end_send_bytes(&run->fe, bytes, sizeof(header) + len, fds, fd_count);
}

/* A well-formed message that asks for an acknowledgement where it may. */
static void message(struct guest_run *run, uint32_t request, const void *payload, uint32_t size,
		    const int *fds, uint32_t fd_count)
{
	bool ack = run->fe.protocol >> VHOST_USER_PROTOCOL_F_REPLY_ACK & 1;

	wire(run, request, VHOST_USER_VERSION | (ack ? VHOST_USER_NEED_REPLY : 0), size, payload,
	     size, fds, fd_count);
}

static void header_flags(struct guest_run *run, uint64_t arg)
{
	wire(run, VHOST_USER_GET_FEATURES, (uint32_t)arg, 0, NULL, 0, NULL, 0);
}

static void half_closed(struct guest_run *run)
{
	close(run->fe.sock);
	run->fe.sock = -1;
}

/* The first arg bytes of SET_FEATURES, then nothing more, or the end. */
static void cut_short(struct guest_run *run, uint64_t arg)
{
	uint8_t bytes[VHOST_USER_HEADER_BYTES + 8] = { 0 };
	uint32_t header[3] = { VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 8 };

	memcpy(bytes, header, sizeof(header));
	front_end_send_bytes(&run->fe, bytes, arg & 0xff, NULL, 0);
	if (arg >> 8)
		half_closed(run);
}

static void sized_payload(struct guest_run *run, uint64_t arg)
{
	/* low half: size claimed, and sent where it is small; high half: request */
	uint32_t size = (uint32_t)arg;

	wire(run, (uint32_t)(arg >> 32), VHOST_USER_VERSION, size, NULL, size > 2048 ? 64 : size,
	     NULL, 0);
}

static void early_table(struct guest_run *run, uint64_t arg)
{
	(void)arg;
	front_end_set_memory(&run->fe, &run->memory);
}

/* low byte: how many fds; above: the request. Payload: ring 0. */
static void with_fds(struct guest_run *run, uint64_t arg)
{
	int fds[VHOST_USER_MAX_FDS * 2];
	uint32_t count = (uint32_t)arg & 0xff, request = (uint32_t)(arg >> 8);
	uint64_t payload = 0;

	for (size_t i = 0; i < VHOST_USER_MAX_FDS * 2; i++)
		fds[i] = run->nic->rx.ring.kick_fd;
	message(run, request, &payload, request == VHOST_USER_GET_FEATURES ? 0 : sizeof(payload),
		fds, count);
}

/* low word: index; above: the request */
static void ring_index(struct guest_run *run, uint64_t arg)
{
	struct vhost_vring_state state = { (uint32_t)arg, 256 };
	uint64_t value = (uint32_t)arg;
	uint32_t request = (uint32_t)(arg >> 32);

	if (request == VHOST_USER_SET_VRING_KICK || request == VHOST_USER_SET_VRING_CALL)
		message(run, request, &value, sizeof(value), &run->nic->rx.ring.kick_fd, 1);
	else
		message(run, request, &state, sizeof(state), NULL, 0);
}

static void ring_number(struct guest_run *run, uint64_t arg)
{
	struct vhost_vring_state state = { 0, (uint32_t)arg };

	message(run, VHOST_USER_SET_VRING_NUM, &state, sizeof(state), NULL, 0);
}

static void ring_addr(struct guest_run *run, uint64_t arg)
{
	struct vhost_vring_addr addr = { .desc_user_addr = arg,
					 .avail_user_addr = arg + PAGE,
					 .used_user_addr = arg + 2 * PAGE };

	if (!front_end_set_memory(&run->fe, &run->memory))
		message(run, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

struct table {
	uint32_t count, padding;
	struct {
		uint64_t gpa, size, user, offset;
	} regions[MAX_REGIONS];
};

enum {
	REGION_SIZE_0,
	REGION_OVERFLOW,
	REGION_USER_OVERFLOW,
	REGION_BEYOND_FILE,
	REGION_OFFSET_OVERFLOW,
	REGION_OVERLAP,
	REGION_HUGE,
	REGION_UNALIGNED,
	REGION_NO_MEMORY,
	REGION_NO_FD,
	REGION_NONE,
	REGION_MANY,
	REGION_COUNT_MAX,
};

static void region(struct guest_run *run, uint64_t arg)
{
	const struct guest_region *r = &run->memory.regions[0];
	struct table t = { .count = 1 };
	int fds[VHOST_USER_MAX_FDS + 1];
	uint32_t count = 1, size, fd_count;

	for (size_t i = 0; i < VHOST_USER_MAX_FDS + 1; i++)
		fds[i] = arg == REGION_NO_MEMORY ? run->nic->rx.ring.kick_fd : run->memory.fd;
	if (arg == REGION_OVERLAP)
		count = 2;
	if (arg == REGION_MANY)
		count = VHOST_USER_MAX_REGIONS + 1;
	for (uint32_t i = 0; i < count; i++) {
		t.regions[i].gpa = arg == REGION_OVERLAP ? PAGE * i : i * r->size;
		t.regions[i].size = r->size;
		t.regions[i].user = (uintptr_t)r->host + i * r->size;
	}
	if (arg == REGION_SIZE_0)
		t.regions[0].size = 0;
	if (arg == REGION_OVERFLOW)
		t.regions[0].gpa = UINT64_MAX - PAGE + 1;
	if (arg == REGION_USER_OVERFLOW)
		t.regions[0].user = UINT64_MAX - PAGE + 1;
	if (arg == REGION_BEYOND_FILE)
		t.regions[0].size = run->memory.size + (64ull << 20);
	if (arg == REGION_OFFSET_OVERFLOW)
		t.regions[0].offset = UINT64_MAX - PAGE + 1;
	if (arg == REGION_HUGE)
		t.regions[0].size = UINT64_MAX - PAGE + 1;
	if (arg == REGION_UNALIGNED)
		t.regions[0].offset = 123, t.regions[0].size = 4567;
	size = 8 + count * sizeof(t.regions[0]);
	fd_count = arg == REGION_NO_FD ? 0 : count;
	t.count = arg == REGION_COUNT_MAX ? UINT32_MAX : count;
	if (arg == REGION_NONE)
		t.count = fd_count = 0, size = 8;
	message(run, VHOST_USER_SET_MEM_TABLE, &t, size, fds, fd_count);
}

static void log_base(struct guest_run *run, uint64_t arg)
{
	uint64_t log[2] = { UINT64_MAX - PAGE + 1, 2 * PAGE }; /* size, offset: wraps */

	if (arg)
		log[0] = UINT64_MAX, log[1] = 0;
	message(run, VHOST_USER_SET_LOG_BASE, log, sizeof(log), &run->memory.fd, 1);
}

struct inflight {
	uint64_t mmap_size, mmap_offset;
	uint16_t queues, queue_size;
};

static void inflight(struct guest_run *run, uint64_t arg)
{
	struct inflight d = { run->memory.size, 0, 0xffff, 0xffff };
	uint32_t request = (uint32_t)arg;

	if (arg >> 32)
		d = (struct inflight){ PAGE, UINT64_MAX - PAGE + 1, 2, 256 };
	message(run, request, &d, 20, &run->memory.fd, request == VHOST_USER_SET_INFLIGHT_FD);
	if (request == VHOST_USER_GET_INFLIGHT_FD)
		message(run, request, &d, 20, NULL, 0);
}

static void features(struct guest_run *run, uint64_t arg)
{
	message(run, (uint32_t)arg, &(uint64_t){ UINT64_MAX }, 8, NULL, 0);
}

#define C                     STAGE_CONNECTED
#define N                     STAGE_NEGOTIATED
#define SIZED(request, size)  ((uint64_t)(request) << 32 | (size))
#define FDS(request, count)   ((uint64_t)(request) << 8 | (count))
#define INDEX(request, index) ((uint64_t)(request) << 32 | (uint32_t)(index))

/* clang-format off */
const struct misdeed misdeeds_wire[] = {
	{ "message-wrong-version", C, 0, header_flags, 2, "a message of protocol version 2" },
	{ "message-reply-flag", C, 0, header_flags, VHOST_USER_VERSION | VHOST_USER_REPLY, "a request that says it is a reply" },
	{ "message-flags-all", C, 0, header_flags, UINT32_MAX, "a message with all flags" },
	{ "message-unknown", C, 0, sized_payload, SIZED(200, 8), "request 200" },
	{ "message-zero", C, 0, sized_payload, SIZED(0, 0), "request 0" },
	{ "message-truncated", C, 0, cut_short, 0x100 | 16, "half a payload, then the end" },
	{ "message-header-part", C, 0, cut_short, 0x100 | 6, "half a header, then the end" },
	{ "message-stalled", C, 0, cut_short, 6, "half a header, and then nothing at all" },
	{ "message-payload-huge", C, 0, sized_payload, SIZED(VHOST_USER_SET_FEATURES, HUGE_PAYLOAD), "a payload of 2 GiB" },
	{ "message-payload-max", C, 0, sized_payload, SIZED(VHOST_USER_SET_FEATURES, UINT32_MAX), "a payload of 4 GiB" },
	{ "message-payload-big", N, 0, sized_payload, SIZED(VHOST_USER_SET_FEATURES, 2048), "SET_FEATURES with 2048 bytes" },
	{ "message-payload-small", N, 0, sized_payload, SIZED(VHOST_USER_SET_FEATURES, 4), "SET_FEATURES with 4 bytes" },
	{ "message-payload-none", N, 0, sized_payload, SIZED(VHOST_USER_SET_VRING_ADDR, 0), "SET_VRING_ADDR without its payload" },
	{ "message-before-owner", C, 0, early_table, 0, "SET_MEM_TABLE before SET_OWNER and features" },
	{ "features-all", N, 0, features, VHOST_USER_SET_FEATURES, "SET_FEATURES with every bit" },
	{ "protocol-features-all", N, 0, features, VHOST_USER_SET_PROTOCOL_FEATURES, "SET_PROTOCOL_FEATURES with every bit" },
	{ "fds-extra", N, 0, with_fds, FDS(VHOST_USER_SET_FEATURES, 8), "SET_FEATURES with 8 descriptors" },
	{ "fds-extra-on-get", N, 0, with_fds, FDS(VHOST_USER_GET_FEATURES, 3), "GET_FEATURES with 3 descriptors" },
	{ "fds-extra-kick", N, 0, with_fds, FDS(VHOST_USER_SET_VRING_KICK, 4), "SET_VRING_KICK with 4 descriptors" },
	{ "fds-too-many", N, 0, with_fds, FDS(VHOST_USER_SET_VRING_KICK, 16), "SET_VRING_KICK with 16 descriptors" },
	{ "fds-missing-kick", N, 0, with_fds, FDS(VHOST_USER_SET_VRING_KICK, 0), "SET_VRING_KICK without its descriptor" },
	{ "fds-missing-call", N, 0, with_fds, FDS(VHOST_USER_SET_VRING_CALL, 0), "SET_VRING_CALL without its descriptor" },
	{ "index-255", N, 0, ring_index, INDEX(VHOST_USER_SET_VRING_NUM, 255), "ring 255" },
	{ "index-256", N, 0, ring_index, INDEX(VHOST_USER_SET_VRING_NUM, 256), "ring 256" },
	{ "index-max", N, 0, ring_index, INDEX(VHOST_USER_SET_VRING_NUM, UINT32_MAX), "ring 2^32 - 1" },
	{ "index-enable", N, 0, ring_index, INDEX(VHOST_USER_SET_VRING_ENABLE, 0x10000), "enable ring 65536" },
	{ "index-get-base", N, 0, ring_index, INDEX(VHOST_USER_GET_VRING_BASE, 77), "GET_VRING_BASE of ring 77" },
	{ "index-kick", N, 0, ring_index, INDEX(VHOST_USER_SET_VRING_KICK, 254), "a kick descriptor for ring 254" },
	{ "num-0", N, 0, ring_number, 0, "a ring of size 0" },
	{ "num-odd", N, 0, ring_number, 100, "a ring size that is no power of two" },
	{ "num-huge", N, 0, ring_number, 65536, "a ring of size 65536" },
	{ "num-max", N, 0, ring_number, UINT32_MAX, "a ring of size 2^32 - 1" },
	{ "addr-0", N, 0, ring_addr, 0, "rings at address 0" },
	{ "addr-unmapped", N, 0, ring_addr, 1ull << 46, "rings at an address that no region has" },
	{ "addr-wrapping", N, 0, ring_addr, UINT64_MAX - PAGE, "rings at the end of the address space" },
	{ "region-size-0", N, 0, region, REGION_SIZE_0, "a region of size 0" },
	{ "region-overflow", N, 0, region, REGION_OVERFLOW, "a region whose guest address wraps" },
	{ "region-user-overflow", N, 0, region, REGION_USER_OVERFLOW, "a region whose user address wraps" },
	{ "region-beyond-file", N, 0, region, REGION_BEYOND_FILE, "a region larger than its file" },
	{ "region-offset-overflow", N, 0, region, REGION_OFFSET_OVERFLOW, "a region whose offset wraps" },
	{ "region-overlap", N, 0, region, REGION_OVERLAP, "two regions that overlap" },
	{ "region-huge", N, 0, region, REGION_HUGE, "a region of nearly 2^64 bytes" },
	{ "region-unaligned", N, 0, region, REGION_UNALIGNED, "a region at an odd offset, of an odd size" },
	{ "region-not-memory", N, 0, region, REGION_NO_MEMORY, "a region that is an eventfd" },
	{ "region-no-fd", N, 0, region, REGION_NO_FD, "SET_MEM_TABLE without descriptors" },
	{ "region-none", N, 0, region, REGION_NONE, "SET_MEM_TABLE without regions" },
	{ "region-9", N, 0, region, REGION_MANY, "SET_MEM_TABLE with one region too many" },
	{ "region-count-max", N, 0, region, REGION_COUNT_MAX, "SET_MEM_TABLE that claims 2^32 - 1 regions" },
	{ "log-overflow", N, 0, log_base, 0, "SET_LOG_BASE whose size and offset wrap" },
	{ "log-huge", N, 0, log_base, 1, "SET_LOG_BASE of 2^64 - 1 bytes" },
	{ "inflight-get-huge", N, 0, inflight, VHOST_USER_GET_INFLIGHT_FD, "GET_INFLIGHT_FD for 65535 rings of 65535, twice" },
	{ "inflight-mismatch", N, 0, inflight, VHOST_USER_SET_INFLIGHT_FD, "SET_INFLIGHT_FD that does not match its size" },
	{ "inflight-overflow", N, 0, inflight, 1ull << 32 | VHOST_USER_SET_INFLIGHT_FD, "SET_INFLIGHT_FD whose offset wraps" },
	{ 0 },
};
/* clang-format on */
