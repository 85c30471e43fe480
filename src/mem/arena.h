/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bounce arena: the one piece of private memory that frames are copied to.
 *
 * A sealed memfd, allocated at start, mapped here and, as a second view, in
 * front of the guest regions of each memmap (memmap.h), so that a device that
 * has registered a guest's window reaches bounce buffers too. Its descriptor is
 * never passed on: no guest has a mapping of it.
 *
 * It is cut into buffers of GW_ARENA_BUFFER_BYTES; the first ARENA_PAD_BYTES are
 * never handed out, because AF_XDP drivers need that much room below the first
 * lendable byte (see drivers/xdp). Buffers are taken and given back in
 * contiguous runs by control threads; workers see only the runs they were given.
 */
#pragma once

#include <guestwire/driver.h>

#define ARENA_PAD_BYTES 65536u
/* The size of an arena for which `bytes` are asked, pad included. */
size_t arena_round(size_t bytes);

struct gw_arena;

/* bytes is rounded up to 2 MiB. 0 or -errno with a text. */
int arena_create(size_t bytes, struct gw_arena **arena, struct gw_error *err);
void arena_destroy(struct gw_arena *arena); /* NULL is fine */
int arena_fd(const struct gw_arena *arena);
struct iovec arena_range(const struct gw_arena *arena);
/* A run of count buffers, first fit; NULL if there is none. Threads: any (locked inside). */
void *arena_take(struct gw_arena *arena, unsigned int count);
void arena_give(struct gw_arena *arena, void *run, unsigned int count);
