/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's memory, as far as a port has to do with it: devices are told when it
 * is not lent from any more, and it is looked at once a second, since a front-end
 * can shorten what it shares and a guest can give pages back.
 */
#include "guest.h"

#include "log.h"
#include "services.h"

#define LOOK_MS 1000u

static void look_at_memory(struct gw_timer *timer);

void memory_change(struct guest *guest, struct gw_memmap *memmap)
{
	struct gw_memmap *before = guest->memmap;

	guest->memmap = memmap ? memmap_get(memmap) : NULL;
	if (before) {
		port_retire_memory(guest->port, before);
		memmap_put(before);
	}
	gw_timer_stop(guest->loop, &guest->look);
	if (!memmap)
		return;
	guest->discarded_bytes = memmap_discarded_bytes(memmap);
	gw_timer_start(guest->loop, &guest->look, LOOK_MS, look_at_memory);
}

void memory_check(struct guest *guest)
{
	if (guest->memmap && memmap_broken(guest->memmap))
		connection_fail(guest, "the front-end shortened the memory that it shared");
	else if (guest->session && session_broken(guest->session))
		connection_fail(guest, "the front-end shortened a file that it shared");
}

static void look_at_memory(struct gw_timer *timer)
{
	struct guest *guest = gw_container_of(timer, struct guest, look);
	uint64_t gone;

	/* Before anything ends: a session that does stops this timer. */
	gw_timer_start(guest->loop, &guest->look, LOOK_MS, look_at_memory);
	gone = memmap_discarded_bytes(guest->memmap);
	if (gone > guest->discarded_bytes && !memmap_broken(guest->memmap)) {
		gw_port_log(guest->port, LOG_NOTICE, "the guest gave back %llu KiB",
			    (unsigned long long)(gone - guest->discarded_bytes) >> 10);
		guest->discarded_bytes = gone;
		port_discarded_memory(guest->port, guest->memmap);
	}
	record_look(guest);
	memory_check(guest);
}
