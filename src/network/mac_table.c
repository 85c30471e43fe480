/* SPDX-License-Identifier: BSD-2-Clause */
#include "mac_table.h"

#include <stddef.h>

/* Fibonacci hashing: guests choose addresses, but a full set costs only themselves. */
static unsigned int mac_set(uint64_t mac)
{
	return (unsigned int)(mac * 0x9e3779b97f4a7c15ull >> 55) % MAC_SETS;
}

static bool entry_fresh(const struct mac_entry *entry, uint32_t now_s)
{
	return entry->mac && now_s - entry->seen_s <= MAC_AGE_S;
}

unsigned int mac_lookup(const struct mac_table *table, uint64_t mac, uint32_t now_s)
{
	const struct mac_entry *set = table->entry[mac_set(mac)];

	for (unsigned int way = 0; way < MAC_WAYS; way++)
		if (set[way].mac == mac && entry_fresh(&set[way], now_s))
			return set[way].port;
	return MAC_NONE;
}

static void entry_clear(struct mac_table *table, struct mac_entry *entry)
{
	if (entry->mac)
		table->per_port[entry->port]--;
	entry->mac = 0;
}

/* The address's own place, or else one to take; NULL if all are fresh. */
static struct mac_entry *find_place(struct mac_table *table, uint64_t mac, uint32_t now_s)
{
	struct mac_entry *set = table->entry[mac_set(mac)], *free_place = NULL;

	for (unsigned int way = 0; way < MAC_WAYS; way++) {
		if (set[way].mac == mac)
			return &set[way];
		if (!free_place && !entry_fresh(&set[way], now_s))
			free_place = &set[way];
	}
	return free_place;
}

/*
 * Entries that have aged weigh on nobody. They are cleared when a port is at its
 * limit, once a second: a peer that invents addresses cannot have it done for each.
 */
static bool port_has_room(struct mac_table *table, unsigned int port, uint32_t now_s)
{
	if (table->per_port[port] < MAC_PER_PORT)
		return true;
	if (table->swept_s == now_s)
		return false;
	table->swept_s = now_s;
	for (unsigned int set = 0; set < MAC_SETS; set++)
		for (unsigned int way = 0; way < MAC_WAYS; way++)
			if (!entry_fresh(&table->entry[set][way], now_s))
				entry_clear(table, &table->entry[set][way]);
	return table->per_port[port] < MAC_PER_PORT;
}

static bool is_due(struct mac_entry *entry, uint32_t now_s)
{
	uint16_t tick = (uint16_t)(now_s / MAC_TELL_S);
	bool due = entry->told != tick;

	entry->told = tick;
	return due;
}

bool mac_learn(struct mac_table *table, uint64_t mac, unsigned int port, uint32_t now_s)
{
	struct mac_entry *entry;

	if (!mac || mac_is_multicast(mac))
		return false;
	entry = find_place(table, mac, now_s);
	if (entry && entry->mac == mac && entry->port == port) {
		if (entry->seen_s == now_s)
			return false;
		entry->seen_s = now_s;
		return is_due(entry, now_s);
	}
	if (!entry || !port_has_room(table, port, now_s)) {
		/* Where it was it is no more: flooding finds it, the old place would not. */
		if (entry && entry->mac == mac)
			entry_clear(table, entry);
		table->refused++;
		return false;
	}
	entry_clear(table, entry);
	entry->mac = mac;
	entry->port = (uint16_t)port;
	entry->seen_s = now_s;
	entry->told = (uint16_t)(now_s / MAC_TELL_S);
	table->per_port[port]++;
	return true;
}
