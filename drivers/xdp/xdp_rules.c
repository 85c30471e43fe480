/* SPDX-License-Identifier: BSD-2-Clause */
#include "xdp_rules.h"

#include "arena.h"
#include "xsk.h"
#include <assert.h>
#include <linux/if_ether.h>
#include <string.h>

#define VLAN_TAG_BYTES         4u
/*
 * Copy mode without a copy is safe where completions name what is really over:
 * since Linux 6.18 (commit 30f241fcf52a).
 */
#define FRAGMENTS_KERNEL_MAJOR 6
#define FRAGMENTS_KERNEL_MINOR 18
/* Further channels have this part of the receive buffers: they are there to send. */
#define FURTHER_PART           4u
#define FURTHER_ENTRIES        64u
/* What the kernel keeps free before a received frame in its chunk (XDP_PACKET_HEADROOM). */
#define HEADROOM_BYTES         256u
/* The smallest buffer that zero-copy drivers use: what fits is taken by all of them. */
#define BUFFER_BYTES_MIN       2048u

static_assert(RULES_ZEROCOPY_MTU_ANY + ETH_HLEN + VLAN_TAG_BYTES ==
		      BUFFER_BYTES_MIN - HEADROOM_BYTES,
	      "the MTU that any driver takes");
static_assert(RULES_ZEROCOPY_MTU_MOST + ETH_HLEN + VLAN_TAG_BYTES ==
		      XSK_CHUNK_BYTES - HEADROOM_BYTES,
	      "the longest MTU");

const unsigned int rules_bind_attempts[RULES_BIND_ATTEMPTS] = {
	XDP_ZEROCOPY | XDP_USE_SG,
	XDP_ZEROCOPY,
	XDP_COPY | XDP_USE_SG,
	XDP_COPY,
};

unsigned int rules_channels(const struct netdev_info *netdev, bool queue_auto)
{
	if (!queue_auto || netdev->queues < 2)
		return 1;
	return netdev->queues < RULES_CHANNELS_MAX ? netdev->queues : RULES_CHANNELS_MAX;
}

uint32_t rules_rx_entries(unsigned int index, uint32_t rx_entries)
{
	uint32_t further = rx_entries / FURTHER_PART;

	if (!index)
		return rx_entries;
	return further > FURTHER_ENTRIES ? further : FURTHER_ENTRIES;
}

unsigned int rules_buffers(unsigned int count, uint32_t rx_entries, bool receive, bool pass)
{
	unsigned int buffers = pass ? count * RULES_PASS_BUFFERS : 0;

	for (unsigned int i = 0; i < count && receive; i++)
		buffers += rules_rx_entries(i, rx_entries);
	return buffers;
}

size_t rules_arena_bytes(const struct netdev_info *netdev)
{
	unsigned int buffers = rules_buffers(rules_channels(netdev, true), RULES_RX_ENTRIES, true,
					     netdev->zerocopy);

	return arena_round(ARENA_PAD_BYTES + (size_t)buffers * GW_ARENA_BUFFER_BYTES);
}

bool rules_zerocopy_worth_trying(const struct netdev_info *netdev)
{
	return netdev->zerocopy || !netdev->features_known;
}

/*
 * virtio_net alone sends the pages themselves in copy mode, as page fragments
 * (IFF_TX_SKB_NO_LINEAR, which no kernel tells), if its host takes them.
 */
enum gw_reads rules_reads(const struct netdev_info *netdev, bool zerocopy)
{
	if (zerocopy)
		return GW_READS_DMA;
	if (!strcmp(netdev->driver, "virtio_net") && netdev->scatter_gather)
		return GW_READS_FRAGMENTS;
	return GW_READS_KERNEL_COPY;
}

bool rules_fragments_are_safe(unsigned int kernel_major, unsigned int kernel_minor)
{
	return kernel_major > FRAGMENTS_KERNEL_MAJOR ||
	       (kernel_major == FRAGMENTS_KERNEL_MAJOR && kernel_minor >= FRAGMENTS_KERNEL_MINOR);
}

uint32_t rules_pieces_max(const struct netdev_info *netdev, enum gw_reads reads, bool multi_buffer)
{
	if (!multi_buffer)
		return 1;
	if (reads == GW_READS_DMA)
		return netdev->zerocopy_segs;
	return reads == GW_READS_FRAGMENTS ? RULES_FRAGMENTS : RULES_COPY_PIECES;
}

uint32_t rules_max_len(uint32_t mtu, uint32_t pieces_max)
{
	uint32_t len = mtu + ETH_HLEN + VLAN_TAG_BYTES, most = pieces_max * XSK_CHUNK_BYTES;

	if (most > GW_FRAME_LEN_MAX)
		most = GW_FRAME_LEN_MAX;
	return len < most ? len : most;
}

/* A frame at this MTU fits into any driver's receive buffer. */
static bool fits_any_buffer(const struct netdev_info *netdev)
{
	return netdev->mtu + ETH_HLEN + VLAN_TAG_BYTES <= BUFFER_BYTES_MIN - HEADROOM_BYTES;
}

enum gw_verdict rules_native_xdp(const struct netdev_info *netdev)
{
	if (!netdev->native_xdp)
		return GW_NO;
	return netdev->native_xdp_long || fits_any_buffer(netdev) ? GW_YES : GW_PARTLY;
}

enum gw_verdict rules_zerocopy_mtu(const struct netdev_info *netdev)
{
	uint32_t len = netdev->mtu + ETH_HLEN + VLAN_TAG_BYTES;

	if (netdev->zerocopy_segs > 1 || fits_any_buffer(netdev))
		return GW_YES;
	return len <= XSK_CHUNK_BYTES - HEADROOM_BYTES ? GW_PARTLY : GW_NO;
}

bool rules_zerocopy_wants_program(const struct netdev_info *netdev)
{
	return strcmp(netdev->driver, "virtio_net") != 0;
}
