/* SPDX-License-Identifier: BSD-2-Clause */
#include "record_file.h"

#include "atomic.h"
#include "fd.h"
#include "memmap.h"
#include "net_header.h"
#include "ring_record.h"
#include "sigbus.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC          "GWRECORD"
#define FORMAT_VERSION 1u
#define PAGE_BYTES     4096u
#define NAME_CHARS_MAX 64u /* of the readable part */
#define BOOT_ID_BYTES  36u
#define BOOT_ID_PATH   "/proc/sys/kernel/random/boot_id"
#define RING_PARTS     3u
/* Files that were removed between our open and our lock: somebody who stops has one. */
#define OPENS_MAX      16u

/* The first page. Numbers of an inode mean nothing after a boot. */
struct file_header {
	char magic[8];
	uint32_t version;
	uint32_t reserved;
	uint64_t stride;
	uint64_t deaths;
	char boot_id[BOOT_ID_BYTES];
	uint32_t used; /* a run went on: set by the first one, cleared never */
};

/* One of a ring's parts: the same for the same guest in the same front-end. */
struct part_identity {
	struct memmap_origin origin;
	uint64_t guest_addr;
};

struct slot {
	uint32_t running;
	uint32_t size;
	uint64_t packed;
	struct part_identity part[RING_PARTS];
};

_Static_assert(sizeof(struct file_header) <= PAGE_BYTES, "the header is one page");
_Static_assert(sizeof(struct slot) <= PAGE_BYTES, "a slot begins with one page");

struct record_file {
	int fd, dir_fd;
	char name[NAME_CHARS_MAX + 40];
	uint8_t *map;
	size_t bytes;
	uint64_t stride;
	unsigned int rings;
	int sigbus_slot;
	/*
	 * Slots of a run that goes on. Others are not touched: they may have no page, and
	 * none may be left in the file system.
	 */
	bool running[RECORD_FILE_RINGS_MAX];
};

/* ---- the directory ---- */

static int default_dir(char *path, size_t size, struct gw_error *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0)
		snprintf(path, size, "/run/guestwire");
	else if (runtime && *runtime == '/' && strlen(runtime) + 16 < size)
		snprintf(path, size, "%s/guestwire", runtime);
	else
		return gw_error_set(err, -ENOENT,
				    "no directory for state: XDG_RUNTIME_DIR is not set");
	return 0;
}

static int check_dir(int fd, const char *path, struct gw_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return gw_error_sys(err, -errno, "directory for state %s", path);
	if (st.st_uid != geteuid())
		return gw_error_set(err, -EPERM,
				    "directory for state %s: it belongs to user %u, and has to be "
				    "ours; name another with --state-dir",
				    path, st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return gw_error_set(err, -EPERM,
				    "directory for state %s: others can write there; it has to be "
				    "ours alone (mode 0700)",
				    path);
	return 0;
}

int record_dir_open(const char *path, struct gw_error *err)
{
	char buffer[PATH_MAX];
	int fd, rc;

	if (!path) {
		rc = default_dir(buffer, sizeof(buffer), err);
		if (rc)
			return rc;
		path = buffer;
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return gw_error_sys(err, -errno, "making the directory for state %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return gw_error_sys(err, -errno, "directory for state %s", path);
	rc = check_dir(fd, path, err);
	if (rc) {
		gw_fd_close(&fd);
		return rc;
	}
	return fd;
}

/* ---- the file ---- */

/* FNV-1a. */
static uint64_t hash(const char *text)
{
	uint64_t sum = 0xcbf29ce484222325ull;

	for (; *text; text++)
		sum = (sum ^ (uint8_t)*text) * 0x100000001b3ull;
	return sum;
}

static bool is_readable(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.';
}

/* The end of the path for people, the whole of it as a number. */
static int make_name(struct record_file *file, const char *socket_path)
{
	char path[PATH_MAX], readable[NAME_CHARS_MAX + 1];
	const char *end = strrchr(socket_path, '/');
	size_t len;

	path[0] = '\0';
	if (socket_path[0] != '/' && !getcwd(path, sizeof(path)))
		return -errno;
	len = strlen(path);
	if (len + 1 + strlen(socket_path) >= sizeof(path))
		return -ENAMETOOLONG;
	snprintf(path + len, sizeof(path) - len, "/%s", socket_path);
	snprintf(readable, sizeof(readable), "%s", end ? end + 1 : socket_path);
	for (char *c = readable; *c; c++)
		if (!is_readable(*c))
			*c = '_';
	snprintf(file->name, sizeof(file->name), "%s-%016" PRIx64 ".record", readable, hash(path));
	return 0;
}

static void read_boot_id(char *id)
{
	int fd = open(BOOT_ID_PATH, O_RDONLY | O_CLOEXEC);

	memset(id, 0, BOOT_ID_BYTES);
	if (fd >= 0 && read(fd, id, BOOT_ID_BYTES) != BOOT_ID_BYTES)
		memset(id, 0, BOOT_ID_BYTES);
	gw_fd_close(&fd);
}

static int open_ours(struct record_file *file, struct stat *st, struct gw_error *err)
{
	file->fd =
		openat(file->dir_fd, file->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file->fd < 0)
		return gw_error_sys(err, -errno, "record of heads in flight %s", file->name);
	if (fstat(file->fd, st) < 0 || !S_ISREG(st->st_mode) || st->st_uid != geteuid())
		return gw_error_set(err, -EPERM, "record of heads in flight %s is not our file",
				    file->name);
	return 0;
}

/* Whoever removes it has its lock until then: what we have now has a name, or never will. */
static int open_locked(struct record_file *file, struct gw_error *err)
{
	struct stat st;
	int rc;

	for (unsigned int i = 0; i < OPENS_MAX; i++) {
		rc = open_ours(file, &st, err);
		if (rc)
			return rc;
		if (flock(file->fd, LOCK_EX | LOCK_NB) < 0)
			break;
		if (fstat(file->fd, &st) == 0 && st.st_nlink)
			return 0;
		gw_fd_close(&file->fd);
	}
	return gw_error_set(err, -EBUSY,
			    "record of heads in flight %s: another port or daemon serves that "
			    "socket",
			    file->name);
}

static struct file_header *header_of(const struct record_file *file)
{
	return (struct file_header *)file->map;
}

static struct slot *slot_of(const struct record_file *file, unsigned int i)
{
	return (struct slot *)(file->map + PAGE_BYTES + i * file->stride);
}

static void *record_of(const struct record_file *file, unsigned int i)
{
	return (uint8_t *)slot_of(file, i) + PAGE_BYTES;
}

/* What it must begin with to be ours, and of this boot. */
static void expected_header(const struct record_file *file, struct file_header *header)
{
	*header = (struct file_header){ .version = FORMAT_VERSION, .stride = file->stride };
	memcpy(header->magic, MAGIC, sizeof(header->magic));
	read_boot_id(header->boot_id);
}

static bool goes_on(const struct record_file *file, struct file_header *header)
{
	struct file_header found = { .used = 0 };

	if (pread(file->fd, &found, sizeof(found), 0) != sizeof(found))
		return false;
	header->deaths = found.deaths;
	header->used = found.used;
	return !memcmp(&found, header, sizeof(found));
}

static int map_file(struct record_file *file, struct gw_error *err)
{
	uintptr_t begin, end;

	file->map = mmap(NULL, file->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			 file->fd, 0);
	if (file->map == MAP_FAILED)
		return gw_error_sys(err, -errno, "mapping the record of heads in flight %s",
				    file->name);
	begin = (uintptr_t)file->map;
	end = begin + file->bytes;
	file->sigbus_slot = sigbus_enter(begin, &end, 1);
	if (file->sigbus_slot < 0)
		return gw_error_set(err, -ENOSPC, "more than %u shared mappings at one time",
				    SIGBUS_SLOTS);
	return 0;
}

/* Pages are allocated here, where that can fail, and not when they are written. */
static int allocate(const struct record_file *file, uint64_t offset, uint64_t bytes,
		    struct gw_error *err)
{
	int rc = posix_fallocate(file->fd, (off_t)offset, (off_t)bytes);

	return rc ? gw_error_sys(err, -rc, "record of heads in flight %s: %" PRIu64 " bytes",
				 file->name, bytes)
		  : 0;
}

/* By reading, which makes no page where there is none. */
static void find_running(struct record_file *file)
{
	struct slot slot;

	for (unsigned int i = 0; i < file->rings; i++) {
		off_t at = (off_t)(PAGE_BYTES + i * file->stride);

		file->running[i] =
			pread(file->fd, &slot, sizeof(slot), at) == sizeof(slot) && slot.running;
	}
}

static int begin_file(struct record_file *file, struct gw_error *err)
{
	struct file_header header;
	bool known;
	int rc;

	expected_header(file, &header);
	known = goes_on(file, &header);
	if (!known && ftruncate(file->fd, 0) < 0)
		return gw_error_sys(err, -errno, "record of heads in flight %s", file->name);
	if (ftruncate(file->fd, (off_t)file->bytes) < 0)
		return gw_error_sys(err, -errno, "record of heads in flight %s: %zu bytes",
				    file->name, file->bytes);
	rc = allocate(file, 0, PAGE_BYTES, err);
	if (!rc)
		rc = map_file(file, err);
	if (rc)
		return rc;
	find_running(file);
	if (!known)
		header.deaths = header.used = 0;
	header.deaths += header.used;
	header.used = 0;
	*header_of(file) = header;
	return 0;
}

/* Half-built ones too. */
static void destroy(struct record_file *file)
{
	sigbus_leave(file->sigbus_slot);
	if (file->map != MAP_FAILED)
		munmap(file->map, file->bytes);
	gw_fd_close(&file->fd);
	free(file);
}

int record_file_open(int dir_fd, const char *socket_path, unsigned int rings,
		     struct record_file **result, struct gw_error *err)
{
	size_t largest = ring_record_bytes(RING_SIZE_MAX, true);
	struct record_file *file;
	int rc;

	if (!rings || rings > RECORD_FILE_RINGS_MAX)
		return gw_error_set(err, -EINVAL, "record of %u rings; 1 to %u are possible", rings,
				    RECORD_FILE_RINGS_MAX);
	file = calloc(1, sizeof(*file));
	if (!file)
		return gw_error_sys(err, -ENOMEM, "record of heads in flight");
	*file = (struct record_file){
		.fd = -1, .dir_fd = dir_fd, .map = MAP_FAILED, .rings = rings, .sigbus_slot = -1
	};
	file->stride = PAGE_BYTES + ((largest + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1));
	file->bytes = PAGE_BYTES + rings * file->stride;
	rc = make_name(file, socket_path);
	if (rc)
		gw_error_sys(err, rc, "record of heads in flight of %s", socket_path);
	if (!rc)
		rc = open_locked(file, err);
	if (!rc)
		rc = begin_file(file, err);
	if (rc) {
		destroy(file);
		return rc;
	}
	*result = file;
	return 0;
}

void record_file_close(struct record_file *file)
{
	bool running = false;

	if (!file)
		return;
	for (unsigned int i = 0; i < file->rings; i++)
		running |= file->running[i];
	/* A process that ends in good order did not die, whatever goes on. */
	gw_write_once(&header_of(file)->used, 0);
	if (!running)
		unlinkat(file->dir_fd, file->name, 0);
	destroy(file);
}

/* ---- a ring ---- */

static void identify_part(const struct gw_memmap *memmap, uint64_t addr, struct part_identity *part)
{
	const void *host = memmap_translate_user(memmap, addr, 1);

	*part = (struct part_identity){ .guest_addr = addr };
	/* Behind an IOMMU: the I/O address itself. */
	if (!host)
		return;
	memmap_origin(memmap, host, &part->origin);
	memmap_guest_address(memmap, host, &part->guest_addr);
}

static void identify(const struct ring_config *config, struct slot *slot)
{
	*slot = (struct slot){ .running = 1,
			       .size = config->size,
			       .packed = virtio_has(config->features, VIRTIO_F_RING_PACKED) };
	identify_part(config->memmap, config->desc_addr, &slot->part[0]);
	identify_part(config->memmap, config->avail_addr, &slot->part[1]);
	identify_part(config->memmap, config->used_addr, &slot->part[2]);
}

static void begin_slot(struct record_file *file, unsigned int i, const struct slot *identity)
{
	struct slot *slot = slot_of(file, i);

	gw_write_once(&slot->running, 0);
	gw_compiler_barrier();
	slot->size = identity->size;
	slot->packed = identity->packed;
	memcpy(slot->part, identity->part, sizeof(slot->part));
	ring_record_clear(record_of(file, i), slot->size, slot->packed);
	gw_compiler_barrier();
	gw_write_once(&slot->running, 1);
	gw_compiler_barrier();
}

void *record_file_ring(struct record_file *file, unsigned int i, const struct ring_config *config,
		       bool *continues, struct gw_error *err)
{
	struct slot identity, found;
	size_t bytes;

	*continues = false;
	if (i >= file->rings || !config->size || config->size > RING_SIZE_MAX) {
		gw_error_set(err, -EINVAL, "record of ring %u with %u descriptors: not foreseen", i,
			     config->size);
		return NULL;
	}
	identify(config, &identity);
	bytes = ring_record_bytes(identity.size, identity.packed);
	if (allocate(file, PAGE_BYTES + i * file->stride, PAGE_BYTES + bytes, err))
		return NULL;
	gw_copy_once(&found, slot_of(file, i), sizeof(found));
	*continues = !memcmp(&found, &identity, sizeof(found)) &&
		     ring_record_fits(record_of(file, i), bytes, identity.size, identity.packed);
	if (!*continues)
		begin_slot(file, i, &identity);
	file->running[i] = true;
	gw_write_once(&header_of(file)->used, 1);
	return record_of(file, i);
}

void record_file_ring_stopped(struct record_file *file, unsigned int i)
{
	if (i >= file->rings || !file->running[i])
		return;
	file->running[i] = false;
	gw_write_once(&slot_of(file, i)->running, 0);
}

uint64_t record_file_deaths(const struct record_file *file)
{
	return gw_read_once(&header_of(file)->deaths);
}

bool record_file_broken(const struct record_file *file)
{
	return sigbus_was_hit(file->sigbus_slot);
}
