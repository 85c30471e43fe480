/* SPDX-License-Identifier: BSD-2-Clause */
#include "backing.h"

#include "fd.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BLOCK_BYTES 512u /* unit of st_blocks */

static int refuse(struct gw_error *err, unsigned int i, const char *why)
{
	return gw_error_set(err, -EINVAL, "memory region %u: %s", i, why);
}

static int check_numbers(const struct memmap_region *given, unsigned int i, struct gw_error *err)
{
	if (!given->size)
		return refuse(err, i, "its size is 0");
	if (given->size > UINT64_MAX - given->guest_addr)
		return refuse(err, i, "guest address + size overflows");
	if (given->size > UINT64_MAX - given->user_addr)
		return refuse(err, i, "user address + size overflows");
	if (given->size > INT64_MAX || given->mmap_offset > INT64_MAX - given->size)
		return refuse(err, i, "offset + size overflows");
	if (given->fd < 0)
		return refuse(err, i, "it came without a file descriptor");
	return 0;
}

static bool is_inside(const struct memmap_region *given, uint64_t file_len)
{
	return given->size <= file_len && given->mmap_offset <= file_len - given->size;
}

static int check_length(const struct memmap_region *given, uint64_t file_len, unsigned int i,
			struct gw_error *err)
{
	if (is_inside(given, file_len))
		return 0;
	return gw_error_set(err, -EINVAL,
			    "memory region %u: offset %" PRIu64 " + size %" PRIu64
			    " is beyond the end of its file (%" PRIu64 " bytes)",
			    i, given->mmap_offset, given->size, file_len);
}

/*
 * A page of shared memory that is not there yet is a matter of microseconds, one of
 * a file on a disk of milliseconds. On a file system that somebody serves (FUSE,
 * network) it takes as long as he likes, and a worker would wait for it.
 */
bool backing_is_prompt(const struct statfs *fs)
{
	static const unsigned int kinds[] = { TMPFS_MAGIC, HUGETLBFS_MAGIC, EXT4_SUPER_MAGIC,
					      XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC };

	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if ((unsigned int)fs->f_type == kinds[i])
			return true;
	return false;
}

/* Which file it is, and what kind of pages it has. */
static int inspect_file(struct backing *backing, int fd, unsigned int i, struct gw_error *err)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return gw_error_sys(err, -errno, "memory region %u: looking at its file", i);
	if (!S_ISREG(st.st_mode))
		return refuse(err, i, "its descriptor is not memory (not a regular file)");
	if (!backing_is_prompt(&fs))
		return refuse(
			err, i,
			"its file is not shared memory (memfd, tmpfs, hugetlbfs) nor on ext4, "
			"xfs or btrfs");
	backing->dev = st.st_dev;
	backing->ino = st.st_ino;
	backing->blocks = (uint64_t)st.st_blocks;
	backing->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	if (fs.f_type == HUGETLBFS_MAGIC)
		backing->page_bytes = (uint64_t)fs.f_bsize;
	backing->file_backed = fs.f_type != HUGETLBFS_MAGIC && fs.f_type != TMPFS_MAGIC;
	return check_length(&backing->given, (uint64_t)st.st_size, i, err);
}

int backing_open(struct backing *backing, const struct memmap_region *given, unsigned int i,
		 struct gw_error *err)
{
	uint64_t mask;
	int rc;

	*backing = (struct backing){ .given = *given };
	backing->given.fd = -1;
	rc = check_numbers(given, i, err);
	if (rc)
		return rc;
	/* First: to close another descriptor of a file that somebody serves can take long. */
	rc = inspect_file(backing, given->fd, i, err);
	if (rc)
		return rc;
	backing->given.fd = fcntl(given->fd, F_DUPFD_CLOEXEC, 0);
	if (backing->given.fd < 0)
		return gw_error_sys(err, -errno, "memory region %u: its file descriptor", i);
	mask = backing->page_bytes - 1;
	backing->map_offset = given->mmap_offset & ~mask;
	backing->map_len =
		((given->mmap_offset + given->size + mask) & ~mask) - backing->map_offset;
	return 0;
}

void backing_close(struct backing *backing)
{
	if (!backing->shares_fd)
		gw_fd_close(&backing->given.fd);
}

bool backing_share(struct backing *backing, const struct backing *other)
{
	int *fd = &backing->given.fd;

	if (backing->dev != other->dev || backing->ino != other->ino || *fd < 0)
		return false;
	/* What may not be written through one descriptor is not written through another. */
	if (((fcntl(*fd, F_GETFL) ^ fcntl(other->given.fd, F_GETFL)) & O_ACCMODE) == 0) {
		gw_fd_close(fd);
		*fd = other->given.fd;
		backing->shares_fd = true;
	}
	return true;
}

bool backing_same(const struct backing *backing, const struct memmap_region *region)
{
	const struct memmap_region *given = &backing->given;
	struct stat st;

	/* An inode number is not used anew while our descriptor keeps the file. */
	return given->guest_addr == region->guest_addr && given->size == region->size &&
	       given->user_addr == region->user_addr && given->mmap_offset == region->mmap_offset &&
	       fstat(region->fd, &st) == 0 && st.st_dev == backing->dev &&
	       st.st_ino == backing->ino;
}

uint8_t *backing_host(const struct backing *backing)
{
	return backing->map + (backing->given.mmap_offset - backing->map_offset);
}

uint64_t backing_lost_bytes(struct backing *backing, bool *shortened)
{
	uint64_t before = backing->blocks;
	struct stat st;

	if (fstat(backing->given.fd, &st) < 0)
		return 0;
	backing->blocks = (uint64_t)st.st_blocks;
	*shortened |= !is_inside(&backing->given, (uint64_t)st.st_size);
	return before > backing->blocks ? (before - backing->blocks) * BLOCK_BYTES : 0;
}
