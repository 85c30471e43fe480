/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors that came from somebody untrusted, closed on a thread of their own.
 *
 * close(2) can take as long as he likes: of a socket with SO_LINGER, until the other end
 * has its data; of a pipe, until whoever has its lock lets go of it (a splice(2) that waits
 * for a socket); of a file of FUSE, until its server answers. A queue with messages that
 * nobody read closes what was sent with them. Nothing tells beforehand, and most of it
 * cannot be interrupted.
 *
 * So each port has a thread for that while it has something to close. If it is stuck, what
 * this port's front-ends give piles up, for which there is a limit; nobody else notices.
 */
#pragma once

#include "services.h"

/* Waiting at one time; whoever adds looks how many there are, and stays below. */
#define DISPOSAL_MAX PORT_DISPOSAL_MAX

struct disposal;

/* NULL: no memory. */
struct disposal *disposal_create(void);
/* A thread that is stuck keeps what it needs. NULL is fine. */
void disposal_free(struct disposal *disposal);
/* The descriptor is closed soon; -1 is fine. Threads: any but a worker. */
void disposal_add(struct disposal *disposal, int fd);
/* How many are not closed yet. Threads: any. */
unsigned int disposal_waiting(struct disposal *disposal);
