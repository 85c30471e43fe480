/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One AF_XDP socket: a range of memory registered as its UMEM, and four rings
 * shared with the kernel.
 *
 *     ring   entries            written by   read by
 *     tx     descriptors        us           kernel    frames to send
 *     cq     address words      kernel       us        what of them is over
 *     fill   addresses          us           kernel    empty receive buffers
 *     rx     descriptors        kernel       us        received frames
 *
 * The socket never grows and its memory never changes: other memory is another
 * socket. xsk_open pins all pages of the range and may take seconds; it does not
 * disturb anybody. xsk_bind takes the device's queue.
 *
 * Memory order. A producer fills entries, then stores `producer`; a consumer
 * reads `producer`, then entries, then stores `consumer`; the producer reads that
 * before it uses the entries again. Hence two pairs for each ring:
 *     (A) our release of producer   - the kernel's acquire: it never sees an entry
 *         that is not written yet;
 *     (B) the kernel's release of consumer - our acquire: we never overwrite an
 *         entry that it still reads;
 *     (C) the kernel's release of producer - our acquire: as A, the other way;
 *     (D) our release of consumer   - the kernel's acquire: as B, the other way.
 */
#pragma once

#include "atomic.h"
#include "xdp_compat.h"
#include <guestwire/error.h>
#include <guestwire/reason.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Longest piece of a frame that one descriptor can name, and the size of a receive buffer. */
#define XSK_CHUNK_BYTES 4096u

struct xsk_ring {
	uint32_t *producer, *consumer, *flags; /* shared with the kernel */
	void *entry;                           /* shared: struct xdp_desc or uint64_t */
	uint32_t size, mask;
	uint32_t mine;   /* our position: stored to producer or consumer by commit */
	uint32_t theirs; /* the other side's, as last read */
	void *map;
	size_t map_bytes;
};

struct xsk {
	int fd;
	struct iovec umem;
	struct xsk_ring tx, cq, fill, rx;
	bool zerocopy;     /* after bind: the device reads and writes the pages itself */
	bool multi_buffer; /* after bind: frames of several descriptors */
	bool metadata;     /* frames may have a struct xdp_request in front */
	uint64_t invalid;  /* tx_invalid_descs as last read */
};

struct xsk_config {
	struct iovec umem;
	uint32_t tx_entries, rx_entries; /* powers of two */
	bool metadata;                   /* -EOPNOTSUPP if the kernel has none */
};

/* Makes the socket and pins the memory. *xsk is NULL on failure. */
int xsk_open(const struct xsk_config *config, struct xsk **xsk, struct gw_error *err);
/*
 * Binds to a queue, flags being XDP_ZEROCOPY or XDP_COPY and XDP_USE_SG. -errno;
 * may be tried again with other flags.
 */
int xsk_bind(struct xsk *xsk, unsigned int ifindex, unsigned int queue, unsigned int flags);
/* NULL is fine. The kernel lets go of queue and memory some time after. */
void xsk_close(struct xsk *xsk);
/* Adds what the kernel has counted. */
void xsk_count(const struct xsk *xsk, uint64_t counts[GW_DEVICE_COUNT]);
/* True if the kernel has met invalid descriptors since the last call. Any thread that owns xsk. */
bool xsk_invalid_seen(struct xsk *xsk);

static inline struct xdp_desc *xsk_desc(const struct xsk_ring *ring, uint32_t at)
{
	return (struct xdp_desc *)ring->entry + (at & ring->mask);
}

static inline uint64_t *xsk_addr(const struct xsk_ring *ring, uint32_t at)
{
	return (uint64_t *)ring->entry + (at & ring->mask);
}

/* Entries that can be written, at least up to want; looks at the kernel's side only if needed. */
static inline uint32_t xsk_room(struct xsk_ring *ring, uint32_t want)
{
	uint32_t room = ring->size - (ring->mine - ring->theirs);

	if (room >= want)
		return room;
	ring->theirs = gw_load_acquire(ring->consumer); /* (B) */
	return ring->size - (ring->mine - ring->theirs);
}

/* Entries that can be read, at least up to want. */
static inline uint32_t xsk_ready(struct xsk_ring *ring, uint32_t want)
{
	uint32_t ready = ring->theirs - ring->mine;

	if (ready >= want)
		return ready;
	ring->theirs = gw_load_acquire(ring->producer); /* (C) */
	return ring->theirs - ring->mine;
}

/* Entries up to position `to` are written. */
static inline void xsk_produce(struct xsk_ring *ring, uint32_t to)
{
	ring->mine = to;
	gw_store_release(ring->producer, to); /* (A) */
}

/* Entries up to position `to` have been read. */
static inline void xsk_consume(struct xsk_ring *ring, uint32_t to)
{
	ring->mine = to;
	gw_store_release(ring->consumer, to); /* (D) */
}

/* Entries that we wrote and the kernel has not taken yet. */
static inline uint32_t xsk_untaken(struct xsk_ring *ring)
{
	ring->theirs = gw_load_acquire(ring->consumer);
	return ring->mine - ring->theirs;
}

static inline bool xsk_wants_wakeup(const struct xsk_ring *ring)
{
	return gw_load_relaxed(ring->flags) & XDP_RING_NEED_WAKEUP;
}
