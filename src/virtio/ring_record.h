/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The record of heads in flight, for a back-end that dies with loans out
 * (vhost-user, "Inflight I/O tracking"): one ring's part of it, in the layout of the
 * specification, in memory that outlives the process: a file of ours, or one that
 * the front-end keeps (INFLIGHT_SHMFD).
 *
 * Each chain is entered when it is popped, with a counter that gives the order, and
 * taken out when it is pushed; a flush makes both steps of the specification, so that
 * at every instruction the record and the used ring together tell what is in flight.
 * A packed ring's record also keeps copies of the descriptors, since those in the
 * ring may be overwritten by used ones of other chains.
 *
 * It may be shared with a hostile front-end: what is read from it is checked, and
 * after ring_record_open nothing is decided from it any more.
 */
#pragma once

#include <guestwire/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of one ring's record, a multiple of 64 (vhost-user: queue regions are aligned). */
size_t ring_record_bytes(uint32_t ring_size, bool packed);

/* A fresh one: zeroed memory becomes a record of nothing in flight. */
void ring_record_init(void *record, uint32_t ring_size, bool packed, uint64_t features);

/* True if it was ever begun and fits a ring of this size and kind (version, size, features). */
bool ring_record_fits(const void *record, size_t bytes, uint32_t ring_size, bool packed);
