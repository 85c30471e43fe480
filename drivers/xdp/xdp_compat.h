/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel has and the headers of Linux 6.1 (Debian 12) do not name yet. */
#pragma once

#include <linux/if_xdp.h>
#include <stdint.h>

#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4) /* bind: frames of several descriptors; Linux 6.6 */
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0) /* descriptor: the frame goes on in the next; Linux 6.6 */
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9 /* socket option: descriptors per sendto; Linux 6.18 */
#endif
#ifndef BPF_F_XDP_HAS_FRAGS
#define BPF_F_XDP_HAS_FRAGS (1U << 5) /* program: takes frames of several buffers; Linux 5.18 */
#endif

/*
 * Requests to the device that lie in front of a frame's first byte (TX metadata, Linux
 * 6.8). Before 6.11 there was no flag for it, and 6.11 and its stable kernels take no
 * other way: kernels in between are treated as if they had nothing of the kind.
 */
#ifndef XDP_UMEM_TX_METADATA_LEN
#define XDP_UMEM_TX_METADATA_LEN (1 << 2) /* registration: tx_metadata_len counts */
#endif
#ifndef XDP_TX_METADATA
#define XDP_TX_METADATA (1 << 1) /* descriptor: there is a request */
#endif
#ifndef XDP_TXMD_FLAGS_CHECKSUM
#define XDP_TXMD_FLAGS_CHECKSUM (1 << 1) /* request: fill in a checksum */
#endif

/* struct xdp_umem_reg as it is now. */
struct xdp_umem_registration {
	uint64_t addr, len;
	uint32_t chunk_size, headroom, flags, tx_metadata_len;
};

/* struct xsk_tx_metadata as it is now. */
struct xdp_request {
	uint64_t flags;
	uint16_t csum_start, csum_offset; /* from the frame's first byte */
	uint32_t unused;
	uint64_t launch_time;
};
