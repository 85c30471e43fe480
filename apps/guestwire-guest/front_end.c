/* SPDX-License-Identifier: BSD-2-Clause */
#include "front_end.h"

#include <errno.h>
#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vhost_user_spec.h"

/* Newer than some kernel headers (VIRTIO 1.2 section 5.1.3). */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO   56
#endif

const struct front_end_feature front_end_features[] = {
	{ "version_1", VIRTIO_F_VERSION_1, FEATURE_VIRTIO },
	{ "indirect_desc", VIRTIO_RING_F_INDIRECT_DESC, FEATURE_VIRTIO },
	{ "event_idx", VIRTIO_RING_F_EVENT_IDX, FEATURE_VIRTIO },
	{ "mrg_rxbuf", VIRTIO_NET_F_MRG_RXBUF, FEATURE_VIRTIO },
	{ "protocol_features", VHOST_USER_F_PROTOCOL_FEATURES, FEATURE_VIRTIO },
	{ "mq", VHOST_USER_PROTOCOL_F_MQ, FEATURE_PROTOCOL },
	{ "reply_ack", VHOST_USER_PROTOCOL_F_REPLY_ACK, FEATURE_PROTOCOL },
	{ "status", VHOST_USER_PROTOCOL_F_STATUS, FEATURE_PROTOCOL },
	{ "ring_packed", VIRTIO_F_RING_PACKED, FEATURE_CHOSEN },
	{ "in_order", VIRTIO_F_IN_ORDER, FEATURE_CHOSEN },
	{ "access_platform", VIRTIO_F_ACCESS_PLATFORM, FEATURE_CHOSEN },
	{ "net_mq", VIRTIO_NET_F_MQ, FEATURE_CHOSEN },
	{ "log_shmfd", VHOST_USER_PROTOCOL_F_LOG_SHMFD, FEATURE_PROTOCOL_CHOSEN },
	{ "configure_mem_slots", VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
	  FEATURE_PROTOCOL_CHOSEN },
	{ "inflight_shmfd", VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD, FEATURE_PROTOCOL_CHOSEN },
	{ "skip_drain", VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN, FEATURE_PROTOCOL_CHOSEN },
	{ "base_inflight", VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT, FEATURE_PROTOCOL_CHOSEN },
	{ "reset_device", VHOST_USER_PROTOCOL_F_RESET_DEVICE, FEATURE_PROTOCOL_CHOSEN },
	{ "backend_req", VHOST_USER_PROTOCOL_F_BACKEND_REQ, FEATURE_PROTOCOL_CHOSEN },
	{ "csum", VIRTIO_NET_F_CSUM, FEATURE_HOST_OFFLOAD },
	{ "host_tso4", VIRTIO_NET_F_HOST_TSO4, FEATURE_HOST_OFFLOAD },
	{ "host_tso6", VIRTIO_NET_F_HOST_TSO6, FEATURE_HOST_OFFLOAD },
	{ "host_ecn", VIRTIO_NET_F_HOST_ECN, FEATURE_HOST_OFFLOAD },
	{ "host_uso", VIRTIO_NET_F_HOST_USO, FEATURE_HOST_OFFLOAD },
	{ "guest_csum", VIRTIO_NET_F_GUEST_CSUM, FEATURE_GUEST_OFFLOAD },
	{ "guest_tso4", VIRTIO_NET_F_GUEST_TSO4, FEATURE_GUEST_OFFLOAD },
	{ "guest_tso6", VIRTIO_NET_F_GUEST_TSO6, FEATURE_GUEST_OFFLOAD },
	{ "guest_ecn", VIRTIO_NET_F_GUEST_ECN, FEATURE_GUEST_OFFLOAD },
	{ "guest_uso4", VIRTIO_NET_F_GUEST_USO4, FEATURE_GUEST_OFFLOAD },
	{ "guest_uso6", VIRTIO_NET_F_GUEST_USO6, FEATURE_GUEST_OFFLOAD },
	{ NULL, -1, FEATURE_VIRTIO },
};

/* Slot 0, wrap counter 1, for both halves: where packed rings begin. */
#define PACKED_FIRST_BASE 0x80008000u

/* The specification ends with queue_size; QEMU sends the padding, too. */
#define INFLIGHT_LEAST 20u
#define INFLIGHT_BLOCK 4096u

struct inflight_wire {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t queues;
	uint16_t queue_size;
	uint32_t padding;
};

int front_end_request(struct front_end *fe, uint32_t request, const void *payload, uint32_t size,
		      const int *fds, uint32_t fd_count, bool want_ack)
{
	uint8_t bytes[VHOST_USER_HEADER_BYTES + FRONT_END_MAX_PAYLOAD];
	bool ack = front_end_has(fe, VHOST_USER_PROTOCOL_F_REPLY_ACK) &&
		   (want_ack || fe->config->ack_all);
	uint32_t header[3] = { request, VHOST_USER_VERSION | (ack ? VHOST_USER_NEED_REPLY : 0),
			       size };
	uint64_t result;
	int rc;

	if (fe->config->trace)
		fprintf(stderr, "guestwire-guest: > request %u, %u bytes, %u fds%s\n", request,
			size, fd_count, ack ? ", ack" : "");
	memcpy(bytes, header, sizeof(header));
	if (size)
		memcpy(bytes + sizeof(header), payload, size);
	rc = front_end_send_bytes(fe, bytes, sizeof(header) + size, fds, fd_count);
	if (rc || !ack)
		return rc;
	rc = front_end_receive(fe, request, &result, sizeof(result));
	if (!rc && result)
		rc = fail_set(&fe->fail, -EPROTO, "the back-end refused request %u with %llu",
			      request, (unsigned long long)result);
	return rc;
}

int front_end_get_u64(struct front_end *fe, uint32_t request, uint64_t *value)
{
	uint32_t header[3] = { request, VHOST_USER_VERSION, 0 };
	int rc = front_end_send_bytes(fe, header, sizeof(header), NULL, 0);

	return rc ? rc : front_end_receive(fe, request, value, sizeof(*value));
}

int front_end_set_u64(struct front_end *fe, uint32_t request, uint64_t value)
{
	return front_end_request(fe, request, &value, sizeof(value), NULL, 0, false);
}

int front_end_set_state(struct front_end *fe, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_vring_state state = { index, num };

	return front_end_request(fe, request, &state, sizeof(state), NULL, 0, false);
}

int front_end_set_fd(struct front_end *fe, uint32_t request, uint32_t index, int fd)
{
	uint64_t value = index | (fd < 0 ? VHOST_USER_VRING_NOFD : 0);

	return front_end_request(fe, request, &value, sizeof(value), &fd, fd >= 0, false);
}

int front_end_set_addr(struct front_end *fe, uint32_t index, const struct driver_ring *ring,
		       uint32_t flags)
{
	bool iommu = fe->features >> VIRTIO_F_ACCESS_PLATFORM & 1;
	const struct guest_span *desc = &ring->desc_span, *used = &ring->used_span,
				*avail = &ring->avail_span;
	struct vhost_vring_addr addr = {
		.index = index,
		.flags = flags,
		.desc_user_addr = iommu ? desc->gpa : (uintptr_t)desc->host,
		.used_user_addr = iommu ? used->gpa : (uintptr_t)used->host,
		.avail_user_addr = iommu ? avail->gpa : (uintptr_t)avail->host,
		.log_guest_addr = used->gpa - (iommu ? GUEST_IOVA_BASE : 0),
	};

	return front_end_request(fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0,
				 false);
}

static int negotiate_protocol(struct front_end *fe)
{
	int rc = front_end_get_u64(fe, VHOST_USER_GET_PROTOCOL_FEATURES, &fe->offered_protocol);
	uint64_t chosen = fe->offered_protocol & fe->config->wanted_protocol;

	if (!rc)
		rc = front_end_set_u64(fe, VHOST_USER_SET_PROTOCOL_FEATURES, chosen);
	if (rc)
		return rc;
	fe->protocol = chosen;
	if (front_end_has(fe, VHOST_USER_PROTOCOL_F_MQ))
		rc = front_end_get_u64(fe, VHOST_USER_GET_QUEUE_NUM, &fe->queue_count);
	return rc;
}

/* The eventfds that are there before the guest starts. */
static int announce_ring(struct front_end *fe, uint32_t index, const struct driver_ring *ring)
{
	int rc = front_end_set_fd(fe, VHOST_USER_SET_VRING_CALL, index, ring->call_fd);

	return rc ? rc : front_end_set_fd(fe, VHOST_USER_SET_VRING_ERR, index, ring->err_fd);
}

/* Says by name what is missing of features that have to be there. */
static int check_features(struct front_end *fe, bool protocol, uint64_t missing)
{
	for (const struct front_end_feature *f = front_end_features; missing && f->name; f++)
		if (front_end_is_protocol(f->kind) == protocol && missing >> f->bit & 1)
			return fail_set(&fe->fail, -ENOTSUP, "the back-end does not offer %s",
					f->name);
	return 0;
}

static int check_required(struct front_end *fe, uint32_t pairs)
{
	int rc = check_features(fe, false, fe->config->required & ~fe->features);

	if (!rc)
		rc = check_features(fe, true, fe->config->required_protocol & ~fe->protocol);
	if (!rc && pairs > 1 && fe->queue_count < pairs)
		rc = fail_set(&fe->fail, -ENOTSUP, "the back-end has %llu pairs of queues, not %u",
			      (unsigned long long)fe->queue_count, pairs);
	return rc;
}

int front_end_negotiate(struct front_end *fe, const struct front_end_rings *rings)
{
	int rc = front_end_get_u64(fe, VHOST_USER_GET_FEATURES, &fe->offered);

	if (rc)
		return rc;
	fe->features = fe->offered & fe->config->wanted;
	if (fe->features >> VHOST_USER_F_PROTOCOL_FEATURES & 1)
		rc = negotiate_protocol(fe);
	if (!rc)
		rc = front_end_request(fe, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0, false);
	if (!rc)
		rc = front_end_get_u64(fe, VHOST_USER_GET_FEATURES, &fe->offered);
	if (!rc)
		rc = check_required(fe, rings->count / 2);
	for (uint32_t i = 0; !rc && i < rings->count; i++) {
		rc = announce_ring(fe, i, rings->ring[i]);
		rings->ring[i]->event_idx = fe->features >> VIRTIO_RING_F_EVENT_IDX & 1;
		rings->ring[i]->in_order = fe->features >> VIRTIO_F_IN_ORDER & 1;
	}
	return rc;
}

int front_end_enable_ring(struct front_end *fe, uint32_t index, bool enable, bool want_ack)
{
	struct vhost_vring_state state = { index, enable };

	return front_end_request(fe, VHOST_USER_SET_VRING_ENABLE, &state, sizeof(state), NULL, 0,
				 want_ack);
}

static int enable_rings(struct front_end *fe, uint32_t count)
{
	int rc = 0;

	if (!(fe->features >> VHOST_USER_F_PROTOCOL_FEATURES & 1))
		return 0; /* the rings start enabled ("Ring states") */
	for (uint32_t i = 0; !rc && i < count; i++)
		rc = front_end_enable_ring(fe, i, true, false);
	return rc;
}

static uint32_t ring_base(const struct front_end *fe, const struct driver_ring *ring)
{
	if (ring->kind == DRIVER_RING_PACKED && fe->config->resume == RESUME_QEMU)
		return PACKED_FIRST_BASE;
	return driver_ring_base(ring);
}

static int start_ring(struct front_end *fe, uint32_t index, const struct driver_ring *ring,
		      uint32_t base)
{
	int rc = front_end_set_state(fe, VHOST_USER_SET_VRING_NUM, index, ring->size);

	if (!rc)
		rc = front_end_set_state(fe, VHOST_USER_SET_VRING_BASE, index, base);
	if (!rc)
		rc = front_end_set_addr(fe, index, ring, 0);
	if (!rc)
		rc = front_end_set_fd(fe, VHOST_USER_SET_VRING_KICK, index, ring->kick_fd);
	if (!rc)
		rc = front_end_set_fd(fe, VHOST_USER_SET_VRING_CALL, index, ring->call_fd);
	return rc;
}

/* A request with an answer of its own. */
static int front_end_send(struct front_end *fe, uint32_t request, const void *payload,
			  uint32_t size, const int *fd)
{
	uint8_t bytes[VHOST_USER_HEADER_BYTES + FRONT_END_MAX_PAYLOAD];
	uint32_t header[3] = { request, VHOST_USER_VERSION, size };

	memcpy(bytes, header, sizeof(header));
	memcpy(bytes + sizeof(header), payload, size);
	return front_end_send_bytes(fe, bytes, sizeof(header) + size, fd, fd != NULL);
}

static int get_inflight(struct front_end *fe, struct front_end_inflight *inflight)
{
	struct inflight_wire wire = { .queues = inflight->queues,
				      .queue_size = inflight->queue_size };
	int rc = front_end_send(fe, VHOST_USER_GET_INFLIGHT_FD, &wire, sizeof(wire), NULL);

	if (!rc)
		rc = front_end_receive_fd(fe, VHOST_USER_GET_INFLIGHT_FD, &wire, INFLIGHT_LEAST,
					  sizeof(wire), &inflight->fd);
	if (!rc && inflight->fd < 0)
		rc = fail_set(&fe->fail, -EPROTO, "GET_INFLIGHT_FD brought no descriptor");
	inflight->mmap_size = wire.mmap_size;
	inflight->mmap_offset = wire.mmap_offset;
	return rc;
}

/* A file of ours with what is in the back-end's. */
static int copy_inflight(struct front_end *fe, struct front_end_inflight *inflight)
{
	uint64_t end = inflight->mmap_offset + inflight->mmap_size;
	int own = memfd_create("guestwire-guest-inflight", MFD_CLOEXEC);
	uint8_t block[INFLIGHT_BLOCK];
	uint64_t at = 0;
	ssize_t got = 0;

	if (own < 0 || ftruncate(own, (off_t)end) < 0)
		return fail_set(&fe->fail, -errno, "cannot make an in-flight file: %s",
				strerror(errno));
	while (at < end && (got = pread(inflight->fd, block, sizeof(block), (off_t)at)) > 0) {
		if (pwrite(own, block, (size_t)got, (off_t)at) != got)
			break;
		at += (uint64_t)got;
	}
	close(inflight->fd);
	inflight->fd = own;
	return 0;
}

/* As QEMU does it for disks: features first, since they say how rings look; the file is
 * asked for once, and given to each back-end. */
static int share_inflight(struct front_end *fe, uint32_t count)
{
	struct front_end_inflight *inflight = fe->config->inflight;
	struct inflight_wire wire;
	int rc = 0;

	if (!inflight || !front_end_has(fe, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD))
		return 0;
	inflight->queues = (uint16_t)count;
	if (inflight->fd < 0) {
		rc = get_inflight(fe, inflight);
		if (!rc && fe->config->inflight_own)
			rc = copy_inflight(fe, inflight);
	}
	wire = (struct inflight_wire){ inflight->mmap_size, inflight->mmap_offset, inflight->queues,
				       inflight->queue_size, 0 };
	if (!rc)
		rc = front_end_request(fe, VHOST_USER_SET_INFLIGHT_FD, &wire, sizeof(wire),
				       &inflight->fd, 1, false);
	return rc;
}

/* Reads the status, adds bits, writes it; nothing where it was not negotiated. */
static int add_status(struct front_end *fe, uint64_t bits)
{
	uint64_t status;
	int rc;

	if (!front_end_has(fe, VHOST_USER_PROTOCOL_F_STATUS))
		return 0;
	rc = front_end_get_u64(fe, VHOST_USER_GET_STATUS, &status);
	return rc ? rc : front_end_set_u64(fe, VHOST_USER_SET_STATUS, status | bits);
}

int front_end_start(struct front_end *fe, const struct guest_memory *memory,
		    const struct front_end_rings *rings)
{
	int rc = fe->config->enable_last ? 0 : enable_rings(fe, rings->count);

	if (!rc)
		rc = front_end_set_u64(fe, VHOST_USER_SET_FEATURES, fe->features);
	if (!rc)
		rc = share_inflight(fe, rings->count);
	if (!rc)
		rc = add_status(fe, VIRTIO_CONFIG_S_FEATURES_OK);
	if (!rc && memory)
		rc = front_end_set_memory(fe, memory);
	for (uint32_t i = 0; !rc && i < rings->count; i++)
		rc = start_ring(fe, i, rings->ring[i], ring_base(fe, rings->ring[i]));
	if (!rc && fe->config->enable_last)
		rc = enable_rings(fe, rings->count);
	if (!rc)
		rc = add_status(fe, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
					    VIRTIO_CONFIG_S_DRIVER_OK);
	return rc;
}

int front_end_go_on(struct front_end *fe, const struct front_end_rings *rings,
		    const uint32_t *bases)
{
	int rc = share_inflight(fe, rings->count);

	for (uint32_t i = 0; !rc && i < rings->count; i++)
		rc = start_ring(fe, i, rings->ring[i], bases[i]);
	return rc;
}

int front_end_reset(struct front_end *fe)
{
	uint64_t none;
	int rc = front_end_request(fe, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0, true);

	/* Behind an answer all is done. */
	return rc ? rc : front_end_get_u64(fe, VHOST_USER_GET_FEATURES, &none);
}

int front_end_log(struct front_end *fe, const struct front_end_log *log,
		  const struct front_end_rings *rings)
{
	uint64_t area[] = { log->bytes, 0 }, none;
	int fd, rc;

	if (!front_end_has(fe, VHOST_USER_PROTOCOL_F_LOG_SHMFD))
		return fail_set(&fe->fail, -ENOTSUP, "the back-end does not offer log_shmfd");
	if (!(fe->offered >> VHOST_F_LOG_ALL_BIT & 1))
		return fail_set(&fe->fail, -ENOTSUP, "the back-end does not offer log_all");
	rc = front_end_send(fe, VHOST_USER_SET_LOG_BASE, area, sizeof(area), &log->fd);
	if (!rc)
		rc = front_end_receive_fd(fe, VHOST_USER_SET_LOG_BASE, &none, 0, sizeof(none), &fd);
	if (!rc)
		rc = front_end_set_u64(fe, VHOST_USER_SET_FEATURES,
				       fe->features | 1ull << VHOST_F_LOG_ALL_BIT);
	for (uint32_t i = 0; !rc && i < rings->count; i++)
		rc = front_end_set_addr(fe, i, rings->ring[i], 1u << VHOST_VRING_F_LOG);
	/* Messages are done one after the other: behind an answer all of them are. */
	return rc ? rc : front_end_get_u64(fe, VHOST_USER_GET_FEATURES, &none);
}

int front_end_stop(struct front_end *fe)
{
	if (!front_end_has(fe, VHOST_USER_PROTOCOL_F_STATUS))
		return 0;
	return front_end_set_u64(fe, VHOST_USER_SET_STATUS, 0);
}

static int get_base(struct front_end *fe, uint32_t request, uint32_t index, uint32_t *base)
{
	struct vhost_vring_state state = { index, 0 };
	int rc = front_end_send(fe, request, &state, sizeof(state), NULL);

	if (!rc)
		rc = front_end_receive(fe, request, &state, sizeof(state));
	if (!rc && state.index != index)
		rc = fail_set(&fe->fail, -EPROTO, "GET_VRING_BASE of ring %u answered for ring %u",
			      index, state.index);
	*base = state.num;
	return rc;
}

int front_end_stop_ring(struct front_end *fe, uint32_t index, uint32_t *base)
{
	return get_base(fe, VHOST_USER_GET_VRING_BASE, index, base);
}

int front_end_suspend_ring(struct front_end *fe, uint32_t index, uint32_t *base)
{
	bool skip = front_end_has(fe, VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN);

	return get_base(fe, skip ? VHOST_USER_GET_VRING_BASE_SKIP_DRAIN : VHOST_USER_GET_VRING_BASE,
			index, base);
}
