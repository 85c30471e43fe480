/* SPDX-License-Identifier: BSD-2-Clause */
#include "arena.h"

#include "fd.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_ROUND_BYTES (2u << 20)
#define ARENA_PAD_BUFFERS (ARENA_PAD_BYTES / GW_ARENA_BUFFER_BYTES)

struct gw_arena {
	int fd;
	uint8_t *base; /* pages come into being when they are used: nothing clears them */
	size_t bytes;
	pthread_mutex_t lock;
	size_t buffer_count;
	uint8_t taken[]; /* by lock: one byte for each buffer; the pad's are never looked at */
};

/* 0 or -errno; arena_destroy cleans up either way. */
static int map_arena(struct gw_arena *arena)
{
	arena->fd = gw_memfd("guestwire-bounce", arena->bytes);
	if (arena->fd < 0)
		return arena->fd;
	arena->base = mmap(NULL, arena->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			   arena->fd, 0);
	return arena->base == MAP_FAILED ? -errno : 0;
}

size_t arena_round(size_t bytes)
{
	return (bytes + ARENA_ROUND_BYTES - 1) & ~(size_t)(ARENA_ROUND_BYTES - 1);
}

int arena_create(size_t bytes, struct gw_arena **result, struct gw_error *err)
{
	struct gw_arena *arena;
	size_t count;
	int rc;

	if (!bytes || bytes > SIZE_MAX / 2)
		return gw_error_set(err, -EINVAL, "bounce memory of %zu bytes makes no sense",
				    bytes);
	bytes = arena_round(bytes);
	count = bytes / GW_ARENA_BUFFER_BYTES;
	arena = calloc(1, sizeof(*arena) + count);
	if (!arena)
		return gw_error_sys(err, -ENOMEM, "bounce memory of %zu MiB", bytes >> 20);
	arena->bytes = bytes;
	arena->base = MAP_FAILED;
	arena->buffer_count = count;
	pthread_mutex_init(&arena->lock, NULL);
	rc = map_arena(arena);
	if (rc) {
		arena_destroy(arena);
		return gw_error_sys(err, rc, "mapping %zu MiB of bounce memory", bytes >> 20);
	}
	*result = arena;
	return 0;
}

void arena_destroy(struct gw_arena *arena)
{
	if (!arena)
		return;
	if (arena->base != MAP_FAILED)
		munmap(arena->base, arena->bytes);
	gw_fd_close(&arena->fd);
	pthread_mutex_destroy(&arena->lock);
	free(arena);
}

int arena_fd(const struct gw_arena *arena)
{
	return arena->fd;
}

struct iovec arena_range(const struct gw_arena *arena)
{
	return (struct iovec){ .iov_base = arena->base, .iov_len = arena->bytes };
}

/* First buffer of the first free run, or buffer_count. By lock. */
static size_t find_run(const struct gw_arena *arena, size_t count)
{
	size_t run = 0;

	for (size_t i = ARENA_PAD_BUFFERS; i < arena->buffer_count; i++) {
		run = arena->taken[i] ? 0 : run + 1;
		if (run == count)
			return i + 1 - count;
	}
	return arena->buffer_count;
}

void *arena_take(struct gw_arena *arena, unsigned int count)
{
	void *run = NULL;
	size_t first;

	if (!count)
		return NULL;
	pthread_mutex_lock(&arena->lock);
	first = find_run(arena, count);
	if (first < arena->buffer_count) {
		memset(arena->taken + first, 1, count);
		run = arena->base + first * GW_ARENA_BUFFER_BYTES;
	}
	pthread_mutex_unlock(&arena->lock);
	return run;
}

void arena_give(struct gw_arena *arena, void *run, unsigned int count)
{
	size_t offset = (size_t)((uint8_t *)run - arena->base);
	size_t first = offset / GW_ARENA_BUFFER_BYTES;

	if (!run)
		return;
	assert(offset % GW_ARENA_BUFFER_BYTES == 0 && first >= ARENA_PAD_BUFFERS &&
	       first <= arena->buffer_count && count <= arena->buffer_count - first);
	pthread_mutex_lock(&arena->lock);
	for (size_t i = first; i < first + count; i++) {
		assert(arena->taken[i]);
		arena->taken[i] = 0;
	}
	pthread_mutex_unlock(&arena->lock);
}
