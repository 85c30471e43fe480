/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Witnesses: is a page still the one that a device has pinned?
 *
 * A guest can give pages back: balloon, free-page reporting, virtio-mem. The
 * front-end then punches a hole into the memory file, and a later access of the
 * guest fills it with another page. A device that pinned the file's pages before
 * that goes on reading the old ones, and what it sends is stale. The number of the
 * file's blocks tells of holes, but not of those that were filled again between
 * two looks; and between two looks a frame can be sent.
 *
 * A witness is one more view of guest memory, of whole pages, read-only. Every page
 * is there when it is opened, which is before the device pins. A hole takes its
 * pages out of all views (that is how the kernel makes a hole), and they do not come
 * back into this one by themselves: userfaultfd makes the first access a SIGBUS, on
 * the thread that makes it, whether the hole was filled or not. So the worker reads
 * one byte of each page of a frame before it lends it, and an access that met no
 * SIGBUS proves that the page is the one that was pinned. Measured: 3 ns for a page
 * that was read lately, 20 to 30 at random in 64 MiB, 70 at random in 2 GiB.
 *
 * A SIGBUS takes the granule that the page is in out of the view for good: 64 KiB, or
 * a huge page, or a 4096th of the memory, whichever is most. For the rest the witness
 * goes on to vouch. So a guest that gives back pages all the time is lent from all the
 * time, and has copied what lies where pages went, until a new witness is opened.
 *
 * The proof holds because a guest can use a page that it gave back only when it knows
 * that the front-end took it: the hole comes before the frame. A guest that gives
 * a page back with a frame in it on its way has that frame sent from either.
 *
 * It may see what did not happen (the kernel takes pinned pages of shared memory out
 * of views when it is short of memory and has swap); that costs copies.
 *
 * Limits: Linux 5.14, and userfaultfd (user mode only, so no privilege is needed).
 * Each costs address space as large as the guest, and its page tables, 2 MiB for
 * each GiB of small pages; and two of the process's mappings for each granule that went.
 */
#pragma once

#include "memmap.h"
#include <sys/uio.h>

struct witness;

/*
 * Brings every page into memory: this takes as long as pinning, a second for a gigabyte
 * or two. If *given_up is set meanwhile, by any thread, it ends soon, with -ECANCELED;
 * NULL: nobody will. -errno with a text, the common ones -ENOSYS, -EPERM and -EINVAL: no
 * userfaultfd here, or too old; and -ENOTSUP: without memmap_install_sigbus a page that
 * goes would kill the process. Holds no reference; has to be closed before the memmap
 * goes. Threads: any, blocking.
 */
int witness_open(struct gw_memmap *memmap, const uint32_t *given_up, struct witness **witness,
		 struct gw_error *err);
/* No thread asks it any more. NULL is fine. Threads: any, blocking. */
void witness_close(struct witness *witness);
/*
 * True if every page of guest memory that these bytes are in is the same since
 * witness_open. Segments elsewhere (private headers) are passed over. Threads: workers.
 */
bool witness_vouches(const struct witness *witness, const struct iovec *seg, unsigned int count);
