/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's own record of heads in flight, for front-ends that keep none.
 *
 * QEMU does not offer INFLIGHT_SHMFD for network devices. When its back-end dies it
 * connects anew (reconnect=1) and sends the same memory, the same rings, and a base:
 * of a split ring the used index, of a packed one what it was when the ring first
 * started, since it cannot know more. So each port has a file, in a directory that
 * outlives the process (tmpfs), with a ring_record for each of its rings:
 *
 *     | header | slot 0: identity, state, record | slot 1 | ...        sparse
 *
 * A slot is believed if its run was not ended and if the ring that starts now is the
 * same: the same bytes of the same files (device, inode, offset) hold its three parts,
 * at the same guest addresses, with the same size and layout. That is so for the same
 * guest in the same QEMU, whatever memory was plugged meanwhile. Another guest, or this
 * one after QEMU was started anew, has other files. A guest that was reset while nobody
 * looked has the same files: ring_create finds out by looking at the ring
 * (ring_record_refused).
 *
 * The life of a slot:
 *
 *     record_file_ring           as the ring is about to be made: ring_config.record
 *     ... the ring keeps it ...
 *     record_file_ring_stopped   the front-end ended the run: GET_VRING_BASE was
 *                                answered, RESET_DEVICE, RESET_OWNER, another session
 *                                with a ring of its own (INFLIGHT_SHMFD)
 *
 * A connection that breaks ends no run, and neither does the daemon's own stop: a
 * packed ring's place is known to the record alone.
 *
 * The file belongs to whoever runs the daemon and has mode 0600; it is checked all the
 * same. It is locked: two daemons do not serve one socket. If it is shortened, the
 * session goes on without a record (record_file_broken).
 */
#pragma once

#include "ring.h"
#include <guestwire/error.h>
#include <stdbool.h>
#include <stdint.h>

#define RECORD_FILE_RINGS_MAX 256u

struct record_file;

/*
 * The directory: path, or NULL for /run/guestwire (root) or $XDG_RUNTIME_DIR/guestwire.
 * Made if it is missing; it must be ours alone. A descriptor; -ENOENT with a text if
 * there is no default; or -errno. Threads: control, at start.
 */
int record_dir_open(const char *path, struct gw_error *err);

/*
 * The file of the port that listens on (or connects to) socket_path, for so many rings.
 * A file that does not make sense begins anew. -EBUSY: another daemon has it. dir_fd
 * stays the caller's and open until record_file_close. Threads: control, all of them.
 */
int record_file_open(int dir_fd, const char *socket_path, unsigned int rings,
		     struct record_file **file, struct gw_error *err);
/* Removes the file if no run goes on in it. NULL is fine. After the rings are gone. */
void record_file_close(struct record_file *file);

/*
 * The record of ring number i, for ring_config.record. config: memmap, size, addresses
 * and features are looked at. *continues: it is that of the run before; else it is
 * begun anew. NULL and a text: no room, or the number is beyond.
 */
void *record_file_ring(struct record_file *file, unsigned int i, const struct ring_config *config,
		       bool *continues, struct gw_error *err);
void record_file_ring_stopped(struct record_file *file, unsigned int i);

/* How often a process died with runs going on, since the file was begun. */
uint64_t record_file_deaths(const struct record_file *file);
bool record_file_broken(const struct record_file *file);
