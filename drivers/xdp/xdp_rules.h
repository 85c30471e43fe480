/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What follows from an interface's facts: which binds are worth an attempt, how the
 * device will read, how long a frame can be. Pure functions, which the port goes by
 * and the probe foretells with.
 */
#pragma once

#include "netdev.h"
#include <guestwire/driver.h>

/* MTUs with which a frame fits into a zero-copy receive buffer: of any driver, and at most. */
#define RULES_ZEROCOPY_MTU_ANY  1774u
#define RULES_ZEROCOPY_MTU_MOST 3822u

/* Rings of a port with default options. */
#define RULES_TX_ENTRIES    2048u
#define RULES_RX_ENTRIES    512u
#define RULES_BIND_ATTEMPTS 4u
/* Queues of one interface that a port uses at most. */
#define RULES_CHANNELS_MAX  8u
/* Buffers with which a queue goes on receiving for the host, in zero-copy mode. */
#define RULES_PASS_BUFFERS  64u
/*
 * Descriptors of one frame in copy mode: the fragments of a kernel buffer, and its
 * linear part, which a frame that is not copied does not have.
 */
#define RULES_FRAGMENTS     17u
#define RULES_COPY_PIECES   (RULES_FRAGMENTS + 1)

/* Flags of bind(2), from the best to the plainest; the first that is accepted is it. */
extern const unsigned int rules_bind_attempts[RULES_BIND_ATTEMPTS];

/* Channels that a port can come to have on this interface. */
unsigned int rules_channels(const struct netdev_info *netdev, bool queue_auto);
/* Receive buffers of the channel of this index, of a port that has rx_entries. */
uint32_t rules_rx_entries(unsigned int index, uint32_t rx_entries);
/* What so many channels take from the arena; pass: zero-copy is possible. */
unsigned int rules_buffers(unsigned int count, uint32_t rx_entries, bool receive, bool pass);
/* The arena of a daemon with one such port, default options, and no other. */
size_t rules_arena_bytes(const struct netdev_info *netdev);
/* Whether to attempt a zero-copy bind: a refused one resets the link of some NICs. */
bool rules_zerocopy_worth_trying(const struct netdev_info *netdev);
/* How the device gets at the bytes, once it is bound. */
enum gw_reads rules_reads(const struct netdev_info *netdev, bool zerocopy);
/* Whether this kernel completes frames that pass pages on (fragments) when they are over. */
bool rules_fragments_are_safe(unsigned int kernel_major, unsigned int kernel_minor);
/* Descriptors that one frame can have. */
uint32_t rules_pieces_max(const struct netdev_info *netdev, enum gw_reads reads, bool multi_buffer);
/* The longest frame at this MTU. */
uint32_t rules_max_len(uint32_t mtu, uint32_t pieces_max);
/*
 * Whether an XDP program runs in the NIC's driver at this MTU. GW_PARTLY: it depends on
 * the driver; where it refuses, the program is of the generic kind.
 */
enum gw_verdict rules_native_xdp(const struct netdev_info *netdev);
/*
 * A zero-copy NIC receives a frame of the MTU into one chunk, unless it has
 * multi-buffer. GW_PARTLY: it depends on the driver.
 */
enum gw_verdict rules_zerocopy_mtu(const struct netdev_info *netdev);
/*
 * Drivers whose zero-copy queues send nothing while the interface has no XDP program:
 * all but those known to do it.
 */
bool rules_zerocopy_wants_program(const struct netdev_info *netdev);
