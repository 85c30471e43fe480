/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dirty log of a live migration (vhost-user, "Migration").
 *
 * A bitmap in memory that the front-end shares, a bit for each 4 KiB page of guest
 * physical memory. Whoever writes guest memory sets the bits of the pages, after
 * the write and with an atomic OR, since the front-end takes bits away meanwhile.
 * Written are: used rings, packed descriptors, event areas, and received frames.
 * What is only read is not marked.
 *
 * Addresses are guest physical, also behind an IOMMU: a mark is made from the
 * pointer that was written through, by the memmap it points into.
 *
 * The front-end can shorten the file: the mapping is covered by the SIGBUS handler
 * like guest memory, and dirty_log_broken says so afterwards. A page beyond the
 * bitmap's end is not marked, but counted (in pages).
 */
#pragma once

#include <guestwire/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIRTY_LOG_PAGE_BYTES 4096u

struct gw_memmap;
struct dirty_log;

/*
 * Maps size bytes of fd from offset (vhost-user SET_LOG_BASE): overflow, size 0,
 * beyond the end of the file, no shared memory are errors with a text. The fd stays
 * the caller's. Threads: control.
 */
int dirty_log_create(int fd, uint64_t size, uint64_t offset, struct dirty_log **log,
		     struct gw_error *err);
/* Counted, any thread; the last put unmaps: control. NULL is fine for put. */
struct dirty_log *dirty_log_get(struct dirty_log *log);
void dirty_log_put(struct dirty_log *log);

/*
 * len bytes at host, a pointer into the memmap's guest part, were written. Worker;
 * call only where a log is there.
 */
void dirty_log_mark(struct dirty_log *log, const struct gw_memmap *memmap, const void *host,
		    size_t len);

/* Its file was shortened: the session has to end. Threads: any. */
bool dirty_log_broken(const struct dirty_log *log);
/* Marks that did not fit into the bitmap. Threads: any. */
uint64_t dirty_log_missed(const struct dirty_log *log);
