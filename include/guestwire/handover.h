/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hand-over: a process goes on with the guests of another one, which do not notice but
 * for a pause of some ten milliseconds. For upgrades: old and new may be of different
 * builds, as long as both know the same version of what is handed over.
 *
 *     old:  gw_leave(old, socket, 1000, &err)    ports are left: rings stopped, devices free
 *     new:  gw_open, gw_port_add ...
 *           gw_take(new, socket, &err)           what was left, for ports of the same names
 *           gw_start(new, &err)                  ports are up: says so, waits for the old one's
 *                                                word that they are his now, and goes on
 *     old:  gw_leave returns 0: gw_close. Otherwise all has gone on here as before, and
 *           gw_start there fails: at no time do both serve a guest.
 *
 * What is handed over: front-ends' connections with all that they negotiated, guests' memory,
 * taps. Devices that belong to nobody (an AF_XDP socket) are closed here and opened
 * there. Counters begin anew. Ports that the new process does not have, or has of
 * another driver, end their connections, as in a stop.
 *
 * The socket is a connected unix stream socket; whoever has the other end gets guests'
 * memory. Threads: as in guestwire.h.
 */
#ifndef GUESTWIRE_HANDOVER_H
#define GUESTWIRE_HANDOVER_H

#include <guestwire/guestwire.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How long the other process may take to start its ports. */
#define GW_HANDOVER_PATIENCE_MS 10000

/*
 * Leaves all ports (rings drain for at most deadline_ms), sends what is needed to go on,
 * and waits until the other process has started. 0: it has; nothing runs here any more.
 * Otherwise -errno with a text, and all ports were started again here. The socket
 * stays the caller's.
 */
int gw_leave(struct gw_context *context, int socket, unsigned int deadline_ms,
	     struct gw_error *err);
/*
 * Receives what the other process left; after the ports were added, before gw_start,
 * which answers. The socket is the context's from here on, whatever this returns.
 */
int gw_take(struct gw_context *context, int socket, struct gw_error *err);

#ifdef __cplusplus
}
#endif

#endif
