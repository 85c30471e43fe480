/* SPDX-License-Identifier: BSD-2-Clause */
#include "witness.h"

#include "atomic.h"
#include "backing.h"
#include "fd.h"
#include "sigbus.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/* Each granule that goes can cost two mappings of the 65530 that a process may have. */
#define GRANULES_MAX      4096u
/* Brought in at a time: some 50 ms. */
#define BRING_IN_BYTES    ((size_t)64 << 20)
/* Pages rarely go alone. */
#define GRANULE_LEAST_LOG 16u

struct witness {
	uintptr_t begin; /* of guest memory in the window */
	size_t len;
	const uint8_t *view; /* of the same pages, in the same order */
	size_t page_bytes;
	unsigned int granule_shift;
	int uffd, sigbus_slot;
	uint64_t gone[GRANULES_MAX / 64]; /* a bit for each; SIGBUS handlers set them */
};

/* Huge pages can be mapped at their own multiples only; the window begins at one, too. */
static size_t align_of(const struct gw_memmap *memmap)
{
	unsigned int count;
	const struct backing *backing = memmap_backing(memmap, &count);
	size_t align = (size_t)sysconf(_SC_PAGESIZE);

	for (unsigned int i = 0; i < count; i++)
		if (backing[i].page_bytes > align)
			align = backing[i].page_bytes;
	return align;
}

/* Address space for the view; what is too much at both ends is given back. */
static int reserve(struct witness *witness, size_t align, struct gw_error *err)
{
	size_t slack = align - (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *range = mmap(NULL, witness->len + slack, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before = -(uintptr_t)range & (align - 1);

	if (range == MAP_FAILED)
		return gw_error_sys(err, -errno, "reserving addresses for a witness");
	if (before)
		munmap(range, before);
	if (slack > before)
		munmap(range + before + witness->len, slack - before);
	witness->view = range + before;
	return 0;
}

static int bring_in(uint8_t *at, size_t len, const uint32_t *given_up, struct gw_error *err)
{
	while (len) {
		size_t part = len < BRING_IN_BYTES ? len : BRING_IN_BYTES;

		if (given_up && gw_load_acquire(given_up))
			return gw_error_set(err, -ECANCELED, "given up");
		if (madvise(at, part, MADV_POPULATE_READ) < 0)
			return gw_error_sys(err, -errno, "bringing guest memory in for a witness");
		at += part;
		len -= part;
	}
	return 0;
}

static int map_view(struct witness *witness, const struct gw_memmap *memmap,
		    const uint32_t *given_up, struct gw_error *err)
{
	unsigned int count;
	const struct backing *backing = memmap_backing(memmap, &count);
	const struct backing *end = backing + count;
	int rc = reserve(witness, align_of(memmap), err);

	for (; !rc && backing < end; backing++) {
		uint8_t *at = (uint8_t *)witness->view + ((uintptr_t)backing->map - witness->begin);

		if (mmap(at, backing->map_len, PROT_READ, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
			 backing->given.fd, (off_t)backing->map_offset) == MAP_FAILED)
			return gw_error_sys(err, -errno, "mapping guest memory for a witness");
		madvise(at, backing->map_len, MADV_DONTDUMP);
		rc = bring_in(at, backing->map_len, given_up, err);
	}
	return rc;
}

/* From now on a page that is not there is a SIGBUS, and stays away. */
static int arm(struct witness *witness, struct gw_error *err)
{
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MINOR_SHMEM |
					      UFFD_FEATURE_MINOR_HUGETLBFS };
	struct uffdio_register range = {
		.range = { (uintptr_t)witness->view, witness->len },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR,
	};

	witness->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (witness->uffd < 0)
		return gw_error_sys(err, -errno, "userfaultfd");
	if (ioctl(witness->uffd, UFFDIO_API, &api) < 0)
		return gw_error_sys(err, -errno, "userfaultfd for shared memory");
	if (ioctl(witness->uffd, UFFDIO_REGISTER, &range) < 0)
		return gw_error_sys(err, -errno, "userfaultfd for guest memory");
	return 0;
}

static int enter_sigbus(struct witness *witness, struct gw_error *err)
{
	uintptr_t begin = (uintptr_t)witness->view, end = begin + witness->len;

	witness->sigbus_slot =
		sigbus_enter_view(begin, end, (size_t)1 << witness->granule_shift, witness->gone);
	return witness->sigbus_slot >= 0
		       ? 0
		       : gw_error_set(err, -ENOSPC, "more than %u views of guest memory",
				      SIGBUS_SLOTS);
}

/* Whole pages of any size that backs this memory, and not too many of them. */
static unsigned int granule_shift(const struct witness *witness, const struct gw_memmap *memmap)
{
	unsigned int shift = GRANULE_LEAST_LOG;
	size_t align = align_of(memmap);

	while (align >> shift > 1 || (witness->len - 1) >> shift >= GRANULES_MAX)
		shift++;
	return shift;
}

int witness_open(struct gw_memmap *memmap, const uint32_t *given_up, struct witness **result,
		 struct gw_error *err)
{
	struct witness *witness;
	struct gw_window window;
	int rc;

	if (!sigbus_is_handled())
		return gw_error_set(err, -ENOTSUP, "SIGBUS is the program's own");
	witness = calloc(1, sizeof(*witness));
	if (!witness)
		return gw_error_sys(err, -ENOMEM, "a witness");
	gw_memmap_window(memmap, &window);
	*witness = (struct witness){
		.begin = (uintptr_t)window.base + window.arena_bytes,
		.len = window.len - window.arena_bytes,
		.page_bytes = window.page_bytes,
		.uffd = -1,
		.sigbus_slot = -1,
	};
	witness->granule_shift = granule_shift(witness, memmap);
	rc = map_view(witness, memmap, given_up, err);
	if (!rc)
		rc = enter_sigbus(witness, err);
	if (!rc)
		rc = arm(witness, err);
	if (rc) {
		witness_close(witness);
		return rc;
	}
	*result = witness;
	return 0;
}

void witness_close(struct witness *witness)
{
	if (!witness)
		return;
	sigbus_leave(witness->sigbus_slot);
	if (witness->view)
		munmap((void *)witness->view, witness->len);
	gw_fd_close(&witness->uffd);
	free(witness);
}

/* Reads a byte there. The handler of the SIGBUS runs before the bit is looked at. */
static inline bool is_there(const struct witness *witness, size_t at)
{
	size_t granule = at >> witness->granule_shift;

	(void)*(const volatile uint8_t *)(witness->view + at);
	return !(gw_read_once(&witness->gone[granule / 64]) >> granule % 64 & 1);
}

bool witness_vouches(const struct witness *witness, const struct iovec *seg, unsigned int count)
{
	const size_t mask = witness->page_bytes - 1;

	for (unsigned int i = 0; i < count; i++) {
		size_t at = (uintptr_t)seg[i].iov_base - witness->begin;
		size_t end = at + seg[i].iov_len;

		if (at >= witness->len || end > witness->len)
			continue;
		for (; at < end; at = (at | mask) + 1)
			if (!is_there(witness, at))
				return false;
	}
	return true;
}
