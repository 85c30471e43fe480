/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio-net header (VIRTIO 1.2 section 5.1.6): reading it from and writing
 * it to any layout of segments, and checking it. What it asks for is done in
 * checksum.c and super_frame.c.
 */
#pragma once

#include "atomic.h"
#include <guestwire/driver.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Helper for feature words: bits go by number, never by mask. */
static inline bool virtio_has(uint64_t features, unsigned int bit)
{
	return features >> bit & 1;
}

/* 12 with VERSION_1 or MRG_RXBUF, else 10 (section 5.1.6.1). */
unsigned int net_header_len(uint64_t features);

/*
 * Copies the first len bytes of seg into header (the rest of it zeroed) and takes
 * them off the segments: on return seg[*first] is where the frame begins.
 * Returns false if the segments are not longer than len.
 */
static inline bool net_header_strip(struct iovec *seg, unsigned int count, unsigned int len,
				    struct virtio_net_hdr_v1 *header, unsigned int *first);

/*
 * Whether a transmit header asks only for what was negotiated and what can be
 * true of a frame of frame_len bytes (sections 5.1.6.2, 5.1.6.2.1): flags,
 * gso_type, gso_size, csum_start, csum_offset. hdr_len is a hint that a device
 * must not rely on (5.1.6.2.2), so that it is not judged. Whether gso_type is the
 * packet's is for those who read the packet, in their private copy of it.
 */
static inline bool net_header_valid(const struct virtio_net_hdr_v1 *header, uint64_t features,
				    uint32_t frame_len);

/*
 * Makes of a valid header what others may go by: fields that mean nothing are 0, a
 * super-frame that is one segment anyway is none any more, and hdr_len of a
 * super-frame lies between its smallest headers and the largest, and inside it.
 */
static inline void net_header_tidy(struct virtio_net_hdr_v1 *header, uint32_t frame_len);

/*
 * ---- inline: most frames ----
 *
 * Header and frame begin in one buffer, and the header asks for nothing. What else there
 * is, these do.
 */

bool net_header_strip_parts(struct iovec *seg, unsigned int count, unsigned int len,
			    struct virtio_net_hdr_v1 *header, unsigned int *first);
bool net_header_offload_valid(const struct virtio_net_hdr_v1 *header, uint64_t features,
			      uint32_t frame_len);
void net_header_offload_tidy(struct virtio_net_hdr_v1 *header, uint32_t frame_len);

static inline bool net_header_asks(const struct virtio_net_hdr_v1 *header)
{
	return header->flags | header->gso_type;
}

/* The same of one where the guest has it, who may change it: it asks for nothing, then, or not. */
static inline bool net_header_asks_at(const uint8_t *header)
{
	uint16_t flags_and_type;

	_Static_assert(offsetof(struct virtio_net_hdr_v1, flags) == 0 &&
			       offsetof(struct virtio_net_hdr_v1, gso_type) == 1,
		       "one word");
	gw_copy_once(&flags_and_type, header, sizeof(flags_and_type));
	return flags_and_type;
}

static inline bool net_header_strip(struct iovec *seg, unsigned int count, unsigned int len,
				    struct virtio_net_hdr_v1 *header, unsigned int *first)
{
	if (!count || len != sizeof(*header) || seg->iov_len <= len)
		return net_header_strip_parts(seg, count, len, header, first);
	gw_copy_once(header, seg->iov_base, sizeof(*header));
	seg->iov_base = (uint8_t *)seg->iov_base + sizeof(*header);
	seg->iov_len -= sizeof(*header);
	*first = 0;
	return true;
}

static inline bool net_header_valid(const struct virtio_net_hdr_v1 *header, uint64_t features,
				    uint32_t frame_len)
{
	return !net_header_asks(header) || net_header_offload_valid(header, features, frame_len);
}

static inline void net_header_tidy(struct virtio_net_hdr_v1 *header, uint32_t frame_len)
{
	if (net_header_asks(header))
		net_header_offload_tidy(header, frame_len);
	else
		*header = (struct virtio_net_hdr_v1){ 0 };
}
