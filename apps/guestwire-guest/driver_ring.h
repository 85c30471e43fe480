/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a split virtqueue (VIRTIO 1.2 section 2.7).
 *
 * It trusts the device as little as a device must trust a driver: which heads are
 * out, and how long their chains are, is kept in private memory; what the device
 * writes into the used ring is checked against that. A head that comes back
 * twice, one that was never given, a used index that runs ahead of what is out:
 * each is counted, and reported once by the reap that met it.
 *
 * Life of a head: add (descriptors and avail element written) -> publish (avail
 * index moved; the device may read) -> reap (used element seen; the buffer is
 * ours again). Between publish and reap the buffer belongs to the device.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "fail.h"
#include "guest_memory.h"

#define DRIVER_RING_MAX_SIZE 32768u
#define DRIVER_RING_MIN_SIZE 2u
#define DRIVER_RING_NO_TOKEN UINT32_MAX

struct ring_segment {
	uint8_t *host;
	uint64_t gpa;
	uint32_t len;
};

struct ring_flight {
	uint32_t token; /* DRIVER_RING_NO_TOKEN: this head is not out */
	uint16_t descriptors;
};

struct driver_ring {
	uint16_t size;
	uint16_t free_head;
	uint16_t free_count;
	uint16_t avail_idx; /* private: written, perhaps not published */
	uint16_t published;
	uint16_t kicked; /* avail index at the last kick decision */
	uint16_t used_seen;
	bool event_idx;
	bool broken; /* the used ring made no sense; nothing is reaped any more */

	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t *used_event;  /* ours to write */
	uint16_t *avail_event; /* the device's */
	uint16_t *next;        /* free list; the shared copy is never read back */
	struct ring_flight *flight;

	struct guest_span desc_span, avail_span, used_span;
	int kick_fd, call_fd, err_fd;

	uint64_t kicks;
	uint64_t calls;
	uint64_t double_completions;
	uint64_t unknown_ids;
	uint64_t index_jumps;
};

enum ring_reaped { RING_NOTHING, RING_DONE, RING_BAD };

int driver_ring_open(struct driver_ring *ring, struct guest_memory *memory, uint16_t size,
		     struct fail *fail);
void driver_ring_close(struct driver_ring *ring);

/*
 * Adds one chain; device_writes says in which direction, for all of it. table, if
 * not NULL, is guest memory for count descriptors: the chain becomes one indirect
 * descriptor (2.7.5.3). Returns the head, or -ENOSPC.
 */
int driver_ring_add(struct driver_ring *ring, const struct ring_segment *segments, uint16_t count,
		    bool device_writes, const struct guest_span *table, uint32_t token);

/* Makes all added chains available; driver_ring_kick then tells the device if it
 * wants to be told. */
void driver_ring_publish(struct driver_ring *ring);
void driver_ring_kick(struct driver_ring *ring);
void driver_ring_kick_always(struct driver_ring *ring);

enum ring_reaped driver_ring_reap(struct driver_ring *ring, uint32_t *token, uint32_t *len);

/* Asks for an interrupt once `after` more buffers are used (1: the next). True if
 * so many are used already: do not sleep. */
bool driver_ring_want_call(struct driver_ring *ring, uint16_t after);
void driver_ring_refuse_call(struct driver_ring *ring);

static inline uint16_t driver_ring_out(const struct driver_ring *ring)
{
	return (uint16_t)(ring->published - ring->used_seen);
}

uint16_t driver_ring_used_idx(const struct driver_ring *ring);
