/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Completing what a frame's sender left to be done: the checksum of TCP or UDP,
 * and cutting a super-frame into frames of the wire's size (VIRTIO 1.2 section
 * 5.1.6.2).
 *
 * Only headers are made here. The payload stays where it is: a frame of the wire
 * is a header, written into memory of the caller's, and slices of the super-frame.
 *
 *	super_frame_begin(&super, frame)            reads the header, once
 *	while (super_frame_more(&super)) {
 *		super_frame_slices(&super, seg, max)      where the payload lies
 *		super_frame_header(&super, to, &header)   the bytes before it
 *		super_frame_checksum(&super, seg, count)  if it is not the device's
 *		super_frame_advance(&super)
 *	}
 *
 * A frame that needs a checksum only is a super-frame of one frame.
 *
 * The guest can rewrite its header at any time. So it is read once, into `first`;
 * everything is decided from that copy, and that copy is what the frames are made
 * of. Its Ethernet header is the frame's snapshot, which the egress was chosen by.
 *
 * What is written is what Linux's own segmentation writes: TCP's sequence number,
 * FIN and PSH in the last frame, CWR in the first; IPv4's length, identification
 * (counting up) and checksum; IPv6's payload length; UDP's length; checksums over
 * the pseudo header with the length of each frame.
 */
#pragma once

#include <guestwire/driver.h>
#include <stdbool.h>
#include <stdint.h>

/* Frames that one super-frame may be cut into: bounds the work of one descriptor chain. */
#define SUPER_FRAME_CUTS_MAX 1024u

enum super_frame_kind { SUPER_FRAME_CHECKSUM, SUPER_FRAME_TCP, SUPER_FRAME_UDP };

struct super_frame {
	const struct gw_frame *frame;
	enum super_frame_kind kind;
	bool ipv6;
	/* The caller's: the device computes it, the field gets the pseudo header's sum. */
	bool keep_checksum;
	uint16_t l3, l4;     /* offsets of the IP and of the TCP or UDP header */
	uint16_t check;      /* offset of the checksum field */
	uint16_t header_len; /* bytes of each frame that are private */
	uint16_t pseudo;     /* sum of the pseudo header without its length */
	uint16_t ip_sum;     /* sum of the IPv4 header without length, identification, checksum */
	uint32_t size;       /* payload bytes of each frame */
	uint32_t left;       /* payload bytes not cut off yet, the next frame's included */
	uint32_t at;         /* payload bytes before the next frame */
	uint16_t number;     /* of the next frame, from 0 */
	bool over;           /* the last one was made */
	unsigned int seg;    /* where the next frame's payload begins: segment, */
	size_t seg_off;      /* and byte in it */
	uint8_t first[GW_HEADER_MAX];
};

/*
 * What of a frame's header a device that takes these GW_OFFLOAD_ bits does not take;
 * 0: it can go as it is.
 */
uint32_t super_frame_missing(const struct virtio_net_hdr_v1 *header, uint32_t takes);

/*
 * Reads the header. GW_REASON_NONE; GW_DROP_BAD_HEADER: it is not what it says, or
 * would make more than SUPER_FRAME_CUTS_MAX frames; GW_COPY_PRIVATE_HEADER: the field
 * to complete lies beyond GW_HEADER_MAX, the frame has to be copied whole.
 */
enum gw_reason super_frame_begin(struct super_frame *super, const struct gw_frame *frame);

static inline bool super_frame_more(const struct super_frame *super)
{
	return !super->over;
}

/* Payload bytes of the next frame. */
static inline uint32_t super_frame_part(const struct super_frame *super)
{
	return super->left < super->size ? super->left : super->size;
}

/* Bytes of the next frame. */
static inline uint32_t super_frame_len(const struct super_frame *super)
{
	return super->header_len + super_frame_part(super);
}

/* The next frame's payload: segments of the super-frame. Their number, or max + 1 if too many. */
unsigned int super_frame_slices(const struct super_frame *super, struct iovec *seg,
				unsigned int max);
/*
 * The next frame's header: header_len bytes to `to`; *header is what is left to
 * the device.
 */
void super_frame_header(const struct super_frame *super, uint8_t *to,
			struct virtio_net_hdr_v1 *header);
/*
 * Completes the checksum of the next frame, whose bytes, header first, are in seg;
 * nothing if that is the device's.
 */
void super_frame_checksum(const struct super_frame *super, const struct iovec *seg,
			  unsigned int count);
/* On to the frame after this. */
void super_frame_advance(struct super_frame *super);
/* Frames that are left, the next one included. Divides: not for each frame. */
uint32_t super_frame_count(const struct super_frame *super);
