/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which ranges of this process are memory that a front-end shares, for a SIGBUS handler:
 * guest memory, a view of it, a dirty log, a record of heads in flight.
 *
 * A front-end can shorten the file that it shared; the next access to a page
 * that is gone raises SIGBUS on whichever thread made it. The handler has to
 * find out, without a lock and without touching anything that may be freed,
 * whether the address is such memory and whose. So what it needs lies in a static
 * array of slots, one for each memmap or other mapping, each guarded by a sequence
 * number.
 *
 * A system call that meets such a page does not raise SIGBUS; it returns EFAULT.
 */
#pragma once

#include "memmap.h"

/* Memmaps and other shared mappings that can exist at one time in one process. */
#define SIGBUS_SLOTS 1024u

/*
 * Enters a mapping, as the guest part of a window: regions lie side by side from begin,
 * region i ends at end[i]. A slot number, or -ENOSPC. Threads: control.
 */
int sigbus_enter(uintptr_t begin, const uintptr_t *end, unsigned int count);
/*
 * Enters a view whose pages go one by one (witness.h): a fault maps zero pages over
 * one granule only (a power of two, and no smaller than the view's pages) and sets its
 * bit in `gone`, which is the caller's and has one for each, 64 to a word.
 */
int sigbus_enter_view(uintptr_t begin, uintptr_t end, size_t granule, uint64_t *gone);
/* No thread accesses the range any more. -1 is fine. Threads: control. */
void sigbus_leave(int slot);
/* Whether a fault met this slot since it was entered. Threads: any. */
bool sigbus_was_hit(int slot);
/* memmap_install_sigbus was called: an access that faults is survived. Threads: any. */
bool sigbus_is_handled(void);
