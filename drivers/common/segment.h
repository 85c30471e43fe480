/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cutting a segmentation-offload packet that was received into private memory.
 *
 * A sender on the same host, or a NIC that merges what it receives, gives an
 * AF_PACKET socket packets of up to 64 KiB, and a guest that did not negotiate
 * offloads can take only frames of the wire's size. Each of those gets a header of
 * its own, written into a buffer; the payload is not copied, the frames name the
 * packet's bytes.
 */
#pragma once

#include <guestwire/driver.h>
#include <stdbool.h>
#include <stdint.h>

/* Ethernet to TCP with all options that can be. */
#define SEGMENT_HEADER_MAX 256u

struct segment_job {
	const struct gw_frame *packet; /* NULL: nothing to do */
	uint32_t l3, l4, payload;      /* offsets in the packet */
	uint32_t size;                 /* payload bytes of each frame */
	uint32_t at;                   /* offset of the next payload byte */
	uint16_t number;               /* of the next frame, from 0 */
	bool ipv6, udp;
};

/*
 * Takes a packet whose virtio-net header asks for TCP or UDP (L4) segmentation.
 * False if the header does not fit the packet, or the kind is another.
 */
bool segment_begin(struct segment_job *job, const struct gw_frame *packet);
/* Header buffers that are still needed. */
uint32_t segment_left(const struct segment_job *job);
/*
 * Makes the next frame: header into buffer (SEGMENT_HEADER_MAX bytes are enough),
 * segments and len into frame. The last one ends the job (packet is NULL then).
 */
void segment_next(struct segment_job *job, uint8_t *buffer, struct gw_frame *frame);
