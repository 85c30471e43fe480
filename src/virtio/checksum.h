/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Partial checksums of frames that were received into private memory.
 *
 * A sender on the same host (the other end of a veth, a local TCP socket) leaves
 * the checksum of TCP and UDP to the device: the field has the pseudo header's
 * sum only. Where the receive path tells (a virtio-net header) it is completed;
 * where it cannot tell (AF_XDP) it is recognised by exactly that value.
 */
#pragma once

#include <guestwire/driver.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * The Internet checksum's sum (RFC 1071), not complemented, over len bytes that
 * begin `from` bytes into the segments, added to sum; folded to 16 bits, in the
 * byte order of memory. Stops at the segments' end.
 */
uint16_t checksum_sum(const struct iovec *seg, unsigned int count, uint32_t from, uint32_t len,
		      uint16_t sum);

/* Writes a sum, as it is, to `offset` bytes into the segments. */
void checksum_store(const struct iovec *seg, unsigned int count, uint32_t offset, uint16_t check);

/*
 * Completes a partial checksum of a frame of len bytes in private segments: the
 * sum from csum_start on, to csum_start + csum_offset; a 0 becomes 0xffff, as 0
 * says "none" in UDP. True if header asked for nothing, or it is done and the
 * flag cleared; false (and nothing changed) if these two lie outside.
 */
bool checksum_complete(const struct iovec *seg, unsigned int count, uint32_t len,
		       struct virtio_net_hdr_v1 *header);

/*
 * Looks whether a frame of len bytes, its first `linear` bytes at frame, has a
 * TCP or UDP checksum field that equals the sum of its pseudo header; if so fills
 * in flags, csum_start and csum_offset of header and returns true.
 *
 * A complete checksum has that value by chance once in 65536 frames. Completing
 * it again gives the same value then, so that nothing is damaged by a wrong guess.
 */
bool checksum_find_partial(const uint8_t *frame, uint32_t linear, uint32_t len,
			   struct virtio_net_hdr_v1 *header);
