/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which port a MAC address was last seen behind: bounded, aged, one owner.
 *
 * A set-associative table: an address has MAC_WAYS possible places, so a look-up
 * and a learning step are bounded, and there is nothing to rehash. A new address
 * takes a free or an aged place; if all are fresh it is not learned, so a peer
 * that invents addresses cannot push out those that are in use. On top of that
 * one port may have no more than MAC_PER_PORT addresses; those that have aged do
 * not count.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MAC_BYTES    6u
#define MAC_SETS     512u
#define MAC_WAYS     4u
#define MAC_PER_PORT 512u
#define MAC_PORTS    64u
#define MAC_AGE_S    300u
#define MAC_NONE     0xffffu
/* Who is told of an address is told again after so long: well before it has aged. */
#define MAC_TELL_S   64u

struct mac_entry {
	uint64_t mac; /* 48 bits; 0: free */
	uint32_t seen_s;
	uint16_t port;
	uint16_t told; /* when mac_learn last returned true, in MAC_TELL_S */
};

struct mac_table {
	struct mac_entry entry[MAC_SETS][MAC_WAYS];
	uint16_t per_port[MAC_PORTS];
	uint32_t swept_s; /* when aged entries were last cleared */
	uint64_t refused; /* addresses not learned for want of room */
};

/* Six bytes of a private snapshot as a number. */
static inline uint64_t mac_read(const uint8_t *bytes)
{
	uint32_t high;
	uint16_t low;

	/* Two loads: the compiler makes six of a loop. */
	memcpy(&high, bytes, sizeof(high));
	memcpy(&low, bytes + sizeof(high), sizeof(low));
	return (uint64_t)__builtin_bswap32(high) << 16 | __builtin_bswap16(low);
}

static inline bool mac_is_multicast(uint64_t mac)
{
	return mac >> 40 & 1;
}

/* Port that mac was seen behind within MAC_AGE_S, or MAC_NONE. */
unsigned int mac_lookup(const struct mac_table *table, uint64_t mac, uint32_t now_s);
/*
 * Multicast and all-zero addresses are not learned. True if it is news: a new address or
 * place, or one that has not been told of for a while.
 */
bool mac_learn(struct mac_table *table, uint64_t mac, unsigned int port, uint32_t now_s);
