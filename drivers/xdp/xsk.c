/* SPDX-License-Identifier: BSD-2-Clause */
#include "xsk.h"

#include "apart.h"
#include "fd.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* Descriptors that one sendto may work off in copy mode; 32 where the kernel has no option. */
#define XSK_TX_BUDGET    256
/* Bytes of kernel buffers in flight in copy mode: the default holds 20 jumbo frames. */
#define XSK_SNDBUF_BYTES (4 << 20)

static int umem_error(const struct iovec *umem, int code, struct gw_error *err)
{
	unsigned long mib = (unsigned long)(umem->iov_len >> 20);
	struct rlimit limit = { 0 };

	switch (code) {
	case ENOBUFS:
		getrlimit(RLIMIT_MEMLOCK, &limit);
		return gw_error_set(err, -ENOBUFS,
				    "pinning %lu MiB for AF_XDP: more than the limit on locked "
				    "memory (%lu KiB for this user); raise it (ulimit -l, "
				    "LimitMEMLOCK=) or give the daemon CAP_IPC_LOCK",
				    mib, (unsigned long)(limit.rlim_cur >> 10));
	case EINVAL:
	case EFAULT:
	case EOPNOTSUPP:
		return gw_error_sys(err, -code,
				    "pinning %lu MiB for AF_XDP: the kernel refuses memory of this "
				    "kind; use memory-backend-memfd",
				    mib);
	default:
		return gw_error_sys(err, -code, "pinning %lu MiB for AF_XDP", mib);
	}
}

static int umem_register(struct xsk *xsk, struct gw_error *err)
{
	struct xdp_umem_registration reg = {
		.addr = (uintptr_t)xsk->umem.iov_base,
		.len = xsk->umem.iov_len,
		.chunk_size = XSK_CHUNK_BYTES,
		.flags = XDP_UMEM_UNALIGNED_CHUNK_FLAG,
	};
	int code;

	if (xsk->metadata) {
		reg.flags |= XDP_UMEM_TX_METADATA_LEN;
		reg.tx_metadata_len = sizeof(struct xdp_request);
	}
	if (!setsockopt(xsk->fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)))
		return 0;
	code = errno;
	if (code == EINVAL && xsk->metadata)
		return gw_error_set(err, -EOPNOTSUPP,
				    "this kernel takes no checksum requests through AF_XDP (Linux "
				    "6.11 does); use checksum=auto or checksum=software");
	return umem_error(&xsk->umem, code, err);
}

static int ring_map(struct xsk *xsk, struct xsk_ring *ring, const struct xdp_ring_offset *offset,
		    uint32_t entries, size_t entry_bytes, off_t page)
{
	uint8_t *map;

	ring->map_bytes = offset->desc + entries * entry_bytes;
	map = mmap(NULL, ring->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		   xsk->fd, page);
	if (map == MAP_FAILED)
		return -errno;
	ring->map = map;
	ring->producer = (uint32_t *)(map + offset->producer);
	ring->consumer = (uint32_t *)(map + offset->consumer);
	ring->flags = (uint32_t *)(map + offset->flags);
	ring->entry = map + offset->desc;
	ring->size = entries;
	ring->mask = entries - 1;
	return 0;
}

static int rings_map(struct xsk *xsk, const struct xsk_config *config)
{
	uint32_t tx = config->tx_entries, rx = config->rx_entries;
	const size_t desc = sizeof(struct xdp_desc), addr = sizeof(uint64_t);
	struct xdp_mmap_offsets at;
	socklen_t len = sizeof(at);
	int rc;

	if (setsockopt(xsk->fd, SOL_XDP, XDP_UMEM_FILL_RING, &rx, sizeof(rx)) ||
	    setsockopt(xsk->fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &tx, sizeof(tx)) ||
	    setsockopt(xsk->fd, SOL_XDP, XDP_RX_RING, &rx, sizeof(rx)) ||
	    setsockopt(xsk->fd, SOL_XDP, XDP_TX_RING, &tx, sizeof(tx)) ||
	    getsockopt(xsk->fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &len))
		return -errno;
	rc = ring_map(xsk, &xsk->tx, &at.tx, tx, desc, XDP_PGOFF_TX_RING);
	if (!rc)
		rc = ring_map(xsk, &xsk->cq, &at.cr, tx, addr, XDP_UMEM_PGOFF_COMPLETION_RING);
	if (!rc)
		rc = ring_map(xsk, &xsk->fill, &at.fr, rx, addr, XDP_UMEM_PGOFF_FILL_RING);
	if (!rc)
		rc = ring_map(xsk, &xsk->rx, &at.rx, rx, desc, XDP_PGOFF_RX_RING);
	return rc;
}

/* Only for speed: each may fail on older kernels or without privilege. */
static void tune(struct xsk *xsk)
{
	int budget = XSK_TX_BUDGET, bytes = XSK_SNDBUF_BYTES;

	(void)setsockopt(xsk->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
	if (setsockopt(xsk->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		(void)setsockopt(xsk->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

int xsk_open(const struct xsk_config *config, struct xsk **result, struct gw_error *err)
{
	struct xsk *xsk = gw_alloc_apart(sizeof(*xsk));
	int rc;

	*result = NULL;
	if (!xsk)
		return gw_error_set(err, -ENOMEM, "no memory for an AF_XDP socket");
	xsk->umem = config->umem;
	xsk->metadata = config->metadata;
	xsk->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (xsk->fd < 0) {
		rc = gw_error_sys(err, -errno,
				  "AF_XDP socket (needs CAP_NET_RAW in the network namespace)");
		goto fail;
	}
	rc = umem_register(xsk, err);
	if (rc)
		goto fail;
	rc = rings_map(xsk, config);
	if (rc) {
		gw_error_sys(err, rc, "AF_XDP rings of %u and %u entries", config->tx_entries,
			     config->rx_entries);
		goto fail;
	}
	tune(xsk);
	*result = xsk;
	return 0;
fail:
	xsk_close(xsk);
	return rc;
}

int xsk_bind(struct xsk *xsk, unsigned int ifindex, unsigned int queue, unsigned int flags)
{
	struct sockaddr_xdp address = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = (uint16_t)(flags | XDP_USE_NEED_WAKEUP),
		.sxdp_ifindex = ifindex,
		.sxdp_queue_id = queue,
	};
	struct xdp_options options = { 0 };
	socklen_t len = sizeof(options);

	if (bind(xsk->fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	if (getsockopt(xsk->fd, SOL_XDP, XDP_OPTIONS, &options, &len))
		options.flags = 0;
	xsk->zerocopy = options.flags & XDP_OPTIONS_ZEROCOPY;
	xsk->multi_buffer = flags & XDP_USE_SG;
	return 0;
}

static void ring_unmap(struct xsk_ring *ring)
{
	if (ring->map)
		munmap(ring->map, ring->map_bytes);
}

void xsk_close(struct xsk *xsk)
{
	if (!xsk)
		return;
	ring_unmap(&xsk->tx);
	ring_unmap(&xsk->cq);
	ring_unmap(&xsk->fill);
	ring_unmap(&xsk->rx);
	gw_fd_close(&xsk->fd);
	free(xsk);
}

/* All 0 if the kernel does not tell, or knows only of the first three. */
static struct xdp_statistics statistics_of(const struct xsk *xsk)
{
	struct xdp_statistics statistics = { 0 };
	socklen_t len = sizeof(statistics);

	(void)getsockopt(xsk->fd, SOL_XDP, XDP_STATISTICS, &statistics, &len);
	return statistics;
}

void xsk_count(const struct xsk *xsk, uint64_t counts[GW_DEVICE_COUNT])
{
	const struct xdp_statistics statistics = statistics_of(xsk);

	counts[GW_DEVICE_RX_DROPPED] += statistics.rx_dropped;
	counts[GW_DEVICE_RX_RING_FULL] += statistics.rx_ring_full;
	counts[GW_DEVICE_RX_FILL_EMPTY] += statistics.rx_fill_ring_empty_descs;
	counts[GW_DEVICE_RX_INVALID] += statistics.rx_invalid_descs;
	counts[GW_DEVICE_TX_INVALID] += statistics.tx_invalid_descs;
	counts[GW_DEVICE_TX_RING_EMPTY] += statistics.tx_ring_empty_descs;
}

bool xsk_invalid_seen(struct xsk *xsk)
{
	const struct xdp_statistics statistics = statistics_of(xsk);

	if (statistics.tx_invalid_descs <= xsk->invalid)
		return false;
	xsk->invalid = statistics.tx_invalid_descs;
	return true;
}
