/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The record of heads in flight, for a back-end that dies with loans out
 * (vhost-user, "Inflight I/O tracking"): one ring's part of it, in the layout of the
 * specification, in memory that outlives the process: a file of ours, or one that
 * the front-end keeps (INFLIGHT_SHMFD).
 *
 * Each chain is entered when it is popped, with a counter that gives the order, and
 * taken out when it was shown to the guest as used; a flush makes all steps of the
 * specification, so that at every instruction the record and the ring together tell
 * what is in flight. A packed ring's record also keeps copies of the descriptors, since
 * those in the ring may be overwritten by used ones of other chains.
 *
 * It may be shared with a hostile front-end: what is read from it is checked, and
 * after the ring was made nothing is decided from it any more.
 *
 * Whoever ends a run in good order (GET_VRING_BASE was answered, the guest may reset
 * its ring) calls ring_record_end afterwards: a record that fits is believed more than
 * the base that the front-end gives, since that one does not know what was in flight.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a record may begin; ring_record_bytes is a multiple. */
#define RING_RECORD_ALIGN 64u

/* Bytes of one ring's record (vhost-user: queue regions are aligned). */
size_t ring_record_bytes(uint32_t ring_size, bool packed);

/* Forgets all: a record of no ring, until one begins with it, at the base that it was given. */
void ring_record_clear(void *record, uint32_t ring_size, bool packed);
/*
 * A record of no ring from here on, of whatever size and kind it was. (One of nothing in
 * flight has a place of its own, which a packed ring goes by.) One store: the front-end may
 * have it copied by now, and no copy is half of one thing and half of another.
 */
void ring_record_end(void *record);

/* True if it was ever begun and fits a ring of this size and kind. */
bool ring_record_fits(const void *record, size_t bytes, uint32_t ring_size, bool packed);
