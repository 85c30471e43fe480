/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session as bytes and descriptors, for another process of ours.
 *
 * The bytes are structures one after the other: a head, rings, regions, I/O addresses;
 * native, since both processes run on one machine, and with a version, since they may
 * be of two releases. Descriptors stand in a row beside them, in the order in which
 * the bytes speak of them. What comes in was written by ourselves; it is checked all the
 * same, as far as a mistake would do harm.
 */
#include "session_state.h"

#include "fd.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CARRY_MAGIC   0x67777373u
#define CARRY_VERSION 2u

struct carry_head {
	uint32_t magic, version;
	uint32_t rings, regions, ranges;
	uint32_t mtu;
	uint64_t features, protocol_features;
	uint64_t log_size, log_offset;
	uint64_t inflight_bytes, inflight_offset;
	uint16_t inflight_queues, inflight_size;
	uint16_t input_len, input_fds; /* of a message that is not complete */
	uint8_t status;
	uint8_t has_features, features_refused, owned, has_channel, state_bad;
	uint8_t has_log, has_inflight, has_iotlb, has_load;
	uint8_t padding[6];
};

struct carry_ring {
	uint64_t desc_addr, avail_addr, used_addr;
	uint32_t size, base;
	uint8_t has_addr, has_kick, enabled;
	uint8_t kick, call, err; /* whether a descriptor is there */
	uint8_t padding[2];
};

struct carry_region {
	uint64_t guest_addr, size, user_addr, mmap_offset;
};

_Static_assert(sizeof(struct carry_head) + SESSION_INPUT_MAX +
			       SESSION_RINGS_MAX * sizeof(struct carry_ring) +
			       MEMMAP_REGIONS_MAX * sizeof(struct carry_region) +
			       IOTLB_RANGES_MAX * sizeof(struct iotlb_range) <=
		       SESSION_CARRY_BYTES_MAX,
	       "the most that a session has fits");

/* Both ways: what is left of the bytes, and of the descriptors. */
struct carry {
	uint8_t *out;
	const uint8_t *in;
	size_t left;
	int *fd_out;
	const int *fd_in;
	unsigned int fds_left;
	bool failed; /* something did not fit */
};

/* ---- pausing ---- */

void session_pause(struct session *session, bool handed)
{
	session->paused = true;
	session->op_handed = handed;
	session_choose_all(session);
	session_op_begin(session, SESSION_OP_PAUSE);
}

/* What another process's owner knew. */
static void tell(struct session *session)
{
	const struct session_ops *ops = session->config.ops;

	session->carried = false;
	if (session->has_features)
		ops->features(session->config.arg, session->features);
	if (session->mtu)
		ops->mtu(session->config.arg, session->mtu);
	if (session->memmap)
		ops->memory(session->config.arg, session->memmap);
	if (session->iotlb)
		ops->iotlb(session->config.arg, session->iotlb, NULL);
	session_log_apply(session);
}

int session_resume(struct session *session, struct gw_error *err)
{
	session->paused = false;
	if (session->carried)
		tell(session);
	return session_rings_try_start(session, err);
}

/* ---- out ---- */

static void put_bytes(struct carry *carry, const void *bytes, size_t len)
{
	carry->failed |= len > carry->left;
	if (carry->failed)
		return;
	memcpy(carry->out, bytes, len);
	carry->out += len;
	carry->left -= len;
}

static bool put_fd(struct carry *carry, int fd)
{
	if (fd < 0)
		return false;
	carry->failed |= !carry->fds_left;
	if (carry->failed)
		return false;
	*carry->fd_out++ = fd;
	carry->fds_left--;
	return true;
}

static void put_head(struct carry *carry, const struct session *session)
{
	struct memmap_region regions[MEMMAP_REGIONS_MAX], area = { .fd = -1 };
	struct carry_head head = {
		.magic = CARRY_MAGIC,
		.version = CARRY_VERSION,
		.rings = session->rings,
		.regions = session->memmap ? memmap_regions(session->memmap, regions) : 0,
		.ranges = session->iotlb ? iotlb_count(session->iotlb) : 0,
		.mtu = session->mtu,
		.features = session->features,
		.protocol_features = session->protocol_features,
		.log_size = session->log_size,
		.log_offset = session->log_offset,
		.inflight_bytes = session->inflight_bytes,
		.inflight_queues = session->inflight_queues,
		.inflight_size = session->inflight_size,
		.status = session->status,
		.has_features = session->has_features,
		.features_refused = session->features_refused,
		.owned = session->owned,
		.has_channel = session->has_channel,
		.state_bad = session->state_bad,
		.has_log = session->log != NULL,
		.has_inflight = session->inflight != NULL,
		.has_iotlb = session->iotlb != NULL,
		.has_load = session->load_fd >= 0,
		.input_len = (uint16_t)session->input_len,
		.input_fds = (uint16_t)session->message.fd_count,
	};

	if (session->inflight)
		memmap_regions(session->inflight, &area);
	head.inflight_offset = area.mmap_offset;
	put_bytes(carry, &head, sizeof(head));
	put_fd(carry, session->log ? session->log_fd : -1);
	put_fd(carry, area.fd);
	put_fd(carry, session->load_fd);
}

static void put_input(struct carry *carry, const struct session *session)
{
	put_bytes(carry, session->input, session->input_len);
	for (unsigned int i = 0; i < session->message.fd_count; i++)
		put_fd(carry, session->message.fds[i]);
}

static void put_rings(struct carry *carry, const struct session *session)
{
	for (unsigned int i = 0; i < session->rings; i++) {
		const struct session_ring_state *ring = &session->ring[i];
		const struct ring_config *config = &ring->set.config;
		const struct carry_ring as = {
			.desc_addr = config->desc_addr,
			.avail_addr = config->avail_addr,
			.used_addr = config->used_addr,
			.size = config->size,
			.base = config->base,
			.has_addr = ring->has_addr,
			.has_kick = ring->has_kick,
			.enabled = ring->set.enabled,
			.kick = put_fd(carry, ring->set.kick_fd),
			.call = put_fd(carry, ring->set.call_fd),
			.err = put_fd(carry, ring->set.err_fd),
		};

		put_bytes(carry, &as, sizeof(as));
	}
}

static void put_memory(struct carry *carry, const struct session *session)
{
	struct memmap_region regions[MEMMAP_REGIONS_MAX];
	unsigned int count = session->memmap ? memmap_regions(session->memmap, regions) : 0;

	for (unsigned int i = 0; i < count; i++) {
		const struct carry_region as = {
			.guest_addr = regions[i].guest_addr,
			.size = regions[i].size,
			.user_addr = regions[i].user_addr,
			.mmap_offset = regions[i].mmap_offset,
		};

		put_bytes(carry, &as, sizeof(as));
		put_fd(carry, regions[i].fd);
	}
	for (unsigned int i = 0; session->iotlb && i < iotlb_count(session->iotlb); i++)
		put_bytes(carry, iotlb_range(session->iotlb, i), sizeof(struct iotlb_range));
}

int session_export(const struct session *session, uint8_t *bytes, size_t room, size_t *len,
		   int *fds, unsigned int fd_room, unsigned int *fd_count, struct gw_error *err)
{
	struct carry carry = { .out = bytes, .left = room, .fd_out = fds, .fds_left = fd_room };

	if (session_busy(session) || !session->paused || session->dead || session->closed)
		return gw_error_set(err, -EAGAIN,
				    "handing over a vhost-user session: it is not at rest");
	put_head(&carry, session);
	put_input(&carry, session);
	put_rings(&carry, session);
	put_memory(&carry, session);
	if (carry.failed)
		return gw_error_set(err, -ENOSPC,
				    "handing over a vhost-user session: no room in %zu bytes and "
				    "%u descriptors",
				    room, fd_room);
	*len = room - carry.left;
	*fd_count = fd_room - carry.fds_left;
	return 0;
}

/* ---- in ---- */

static void get_bytes(struct carry *carry, void *bytes, size_t len)
{
	memset(bytes, 0, len);
	carry->failed |= len > carry->left;
	if (carry->failed)
		return;
	memcpy(bytes, carry->in, len);
	carry->in += len;
	carry->left -= len;
}

/* The next descriptor, which is the caller's now; -1 if none is meant, or none is left. */
static int get_fd(struct carry *carry, bool there)
{
	if (!there)
		return -1;
	carry->failed |= !carry->fds_left;
	if (carry->failed)
		return -1;
	carry->fds_left--;
	return *carry->fd_in++;
}

static int get_log(struct carry *carry, struct session *session, const struct carry_head *head,
		   struct gw_error *err)
{
	session->log_fd = get_fd(carry, head->has_log);
	session->log_size = head->log_size;
	session->log_offset = head->log_offset;
	if (session->log_fd < 0)
		return 0;
	return dirty_log_create(session->log_fd, head->log_size, head->log_offset, &session->log,
				err);
}

static int get_inflight(struct carry *carry, struct session *session, const struct carry_head *head,
			struct gw_error *err)
{
	const struct message_inflight area = {
		.mmap_size = head->inflight_bytes,
		.mmap_offset = head->inflight_offset,
		.num_queues = head->inflight_queues,
		.queue_size = head->inflight_size,
	};
	int fd = get_fd(carry, head->has_inflight);
	int ret = fd < 0 ? 0 : session_inflight_map(session, fd, &area, err);

	gw_fd_close(&fd);
	return ret;
}

static int get_head(struct carry *carry, struct session *session, struct carry_head *head,
		    struct gw_error *err)
{
	int ret;

	get_bytes(carry, head, sizeof(*head));
	if (carry->failed || head->magic != CARRY_MAGIC || head->version != CARRY_VERSION)
		return gw_error_set(err, -EPROTO,
				    "taking over a vhost-user session: version %u, must be %u",
				    head->version, CARRY_VERSION);
	if (head->rings > session->rings || head->regions > MEMMAP_REGIONS_MAX ||
	    head->ranges > IOTLB_RANGES_MAX || head->input_len > SESSION_INPUT_MAX ||
	    head->input_fds > VHOST_USER_MAX_FDS || head->features & ~session->config.features ||
	    head->protocol_features & ~session->config.protocol_features)
		return gw_error_set(err, -EPROTO,
				    "taking over a vhost-user session: it has %u rings, features "
				    "0x%llx and 0x%llx, and not all of that is offered here",
				    head->rings, (unsigned long long)head->features,
				    (unsigned long long)head->protocol_features);
	session->features = head->features;
	session->protocol_features = head->protocol_features;
	session->mtu = head->mtu;
	session->status = head->status;
	session->has_features = head->has_features;
	session->features_refused = head->features_refused;
	session->owned = head->owned;
	session->has_channel = head->has_channel;
	session->state_bad = head->state_bad;
	ret = get_log(carry, session, head, err);
	if (!ret)
		ret = get_inflight(carry, session, head, err);
	if (!ret)
		session->load_fd = get_fd(carry, head->has_load);
	return ret;
}

/* The rest of the message comes by the connection, to whoever has it. */
static void get_input(struct carry *carry, struct session *session, const struct carry_head *head)
{
	get_bytes(carry, session->input, head->input_len);
	session->input_len = head->input_len;
	for (unsigned int i = 0; i < head->input_fds; i++)
		session->message.fds[session->message.fd_count++] = get_fd(carry, true);
}

static void get_rings(struct carry *carry, struct session *session, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct session_ring_state *ring = &session->ring[i];
		struct carry_ring as;

		get_bytes(carry, &as, sizeof(as));
		ring->set.config = (struct ring_config){
			.desc_addr = as.desc_addr,
			.avail_addr = as.avail_addr,
			.used_addr = as.used_addr,
			.size = as.size,
			.base = as.base,
		};
		ring->has_addr = as.has_addr;
		ring->has_kick = ring->begun = as.has_kick;
		ring->set.enabled = as.enabled;
		ring->set.kick_fd = get_fd(carry, as.kick);
		ring->set.call_fd = get_fd(carry, as.call);
		ring->set.err_fd = get_fd(carry, as.err);
	}
}

static int get_memory(struct carry *carry, struct session *session, unsigned int count,
		      struct gw_error *err)
{
	struct memmap_region regions[MEMMAP_REGIONS_MAX];
	int ret = 0;

	for (unsigned int i = 0; i < count; i++) {
		struct carry_region as;

		get_bytes(carry, &as, sizeof(as));
		regions[i] = (struct memmap_region){ as.guest_addr, as.size, as.user_addr,
						     as.mmap_offset, get_fd(carry, true) };
	}
	if (count && !carry->failed)
		ret = memmap_create(regions, count, session->config.arena, &session->memmap, err);
	for (unsigned int i = 0; i < count; i++)
		gw_fd_close(&regions[i].fd);
	return ret;
}

static int get_ranges(struct carry *carry, struct session *session, unsigned int count,
		      struct gw_error *err)
{
	struct iotlb_range range;
	struct iotlb *with;

	session->iotlb = iotlb_create();
	for (unsigned int i = 0; i < count && session->iotlb; i++) {
		get_bytes(carry, &range, sizeof(range));
		if (carry->failed)
			break;
		with = iotlb_with(session->iotlb, &range, err);
		iotlb_put(session->iotlb);
		session->iotlb = with;
		if (!with)
			return -EPROTO;
	}
	return session->iotlb ? 0 : gw_error_sys(err, -ENOMEM, "an I/O address table");
}

static int get_all(struct carry *carry, struct session *session, struct gw_error *err)
{
	struct carry_head head;
	int ret = get_head(carry, session, &head, err);

	if (ret)
		return ret;
	get_input(carry, session, &head);
	get_rings(carry, session, head.rings);
	ret = get_memory(carry, session, head.regions, err);
	if (!ret && head.has_iotlb)
		ret = get_ranges(carry, session, head.ranges, err);
	if (!ret && (carry->failed || carry->left || carry->fds_left))
		ret = gw_error_set(err, -EPROTO,
				   "taking over a vhost-user session: bytes and descriptors do not "
				   "belong together");
	return ret;
}

int session_import(const struct session_config *config, const uint8_t *bytes, size_t len,
		   const int *fds, unsigned int fd_count, struct session **session,
		   struct gw_error *err)
{
	struct carry carry = { .in = bytes, .left = len, .fd_in = fds, .fds_left = fd_count };
	struct session *new = NULL;
	int ret = session_create(config, &new);

	if (ret)
		gw_error_sys(err, ret, "taking over a vhost-user session");
	else
		ret = get_all(&carry, new, err);
	/* Those that nothing spoke of. */
	for (; carry.fds_left; carry.fds_left--) {
		int fd = *carry.fd_in++;

		gw_fd_close(&fd);
	}
	if (ret) {
		session_destroy(new);
		return ret;
	}
	new->paused = new->carried = true;
	*session = new;
	return 0;
}
