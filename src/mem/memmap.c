/* SPDX-License-Identifier: BSD-2-Clause */
#include "memmap.h"

#include "atomic.h"
#include "backing.h"
#include "sigbus.h"
#include "span.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of the first region: so that huge pages of shared memory, if any, can be mapped as such. */
#define MEMMAP_ALIGN_BYTES (2u << 20)

/*
 * Immutable after memmap_create, but for the reference count, `shortened`, and
 * what is said to be protected by blocks_lock.
 */
struct gw_memmap {
	struct span_table spans;
	struct span *room; /* of spans */

	unsigned int count;
	struct gw_ref ref;
	uint64_t generation;
	struct gw_window window;
	uint64_t guest_bytes;
	int sigbus_slot;
	bool shortened; /* set by any thread that looks at the files */
	pthread_mutex_t blocks_lock;
	uint64_t discarded_bytes; /* by blocks_lock */
	struct backing backing[]; /* in the order of the table */
};

static uint64_t last_generation;

/* ---- checking a table ---- */

static int check_overlap(const struct memmap_region *regions, unsigned int i, struct gw_error *err)
{
	const struct memmap_region *a = &regions[i], *b;

	for (unsigned int j = 0; j < i; j++) {
		b = &regions[j];
		if (a->guest_addr - b->guest_addr < b->size ||
		    b->guest_addr - a->guest_addr < a->size)
			return gw_error_set(err, -EINVAL,
					    "memory regions %u and %u overlap in guest addresses",
					    j, i);
	}
	return 0;
}

/* It has its file with a region before it in common: one descriptor, and counted once. */
static bool shares_file(struct gw_memmap *memmap, unsigned int i)
{
	for (unsigned int j = 0; j < i; j++)
		if (backing_share(&memmap->backing[i], &memmap->backing[j]))
			return true;
	return false;
}

static int take_region(struct gw_memmap *memmap, const struct memmap_region *regions,
		       unsigned int i, struct gw_error *err)
{
	struct backing *backing = &memmap->backing[i];
	int rc = backing_open(backing, &regions[i], i, err);

	memmap->count = i + 1; /* memmap_free closes it */
	if (!rc)
		rc = check_overlap(regions, i, err);
	backing->first_of_file = !rc && !shares_file(memmap, i);
	memmap->guest_bytes += backing->given.size;
	return rc;
}

/* ---- the window ---- */

/* Table positions by page size, largest first; equal ones stay in table order. */
static void sort_by_page(const struct gw_memmap *memmap, unsigned int *order)
{
	unsigned int i, j;

	for (i = 0; i < memmap->count; i++) {
		for (j = i; j > 0; j--) {
			if (memmap->backing[order[j - 1]].page_bytes >=
			    memmap->backing[i].page_bytes)
				break;
			order[j] = order[j - 1];
		}
		order[j] = i;
	}
}

static int window_len(const struct gw_memmap *memmap, size_t arena_bytes, size_t *len)
{
	*len = arena_bytes;
	for (unsigned int i = 0; i < memmap->count; i++)
		if (__builtin_add_overflow(*len, memmap->backing[i].map_len, len))
			return -ENOMEM;
	return *len > SIZE_MAX / 4 ? -ENOMEM : 0;
}

/*
 * Reserves len bytes such that base + arena_bytes is a multiple of align: more is
 * taken, and what is too much at both ends given back.
 */
static int reserve(struct gw_window *window, size_t len, size_t align)
{
	uintptr_t start, base;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t slack = align - page;
	void *range;

	range = mmap(NULL, len + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		     0);
	if (range == MAP_FAILED)
		return -errno;
	start = (uintptr_t)range;
	base = ((start + window->arena_bytes + align - 1) & ~(align - 1)) - window->arena_bytes;
	if (base > start)
		munmap(range, base - start);
	if (base - start < slack)
		munmap((void *)(base + len), slack - (base - start));
	window->base = (void *)base;
	window->len = len;
	return 0;
}

static int map_view(uint8_t *at, size_t len, int fd, uint64_t offset)
{
	void *view = mmap(at, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
			  fd, (off_t)offset);

	return view == MAP_FAILED ? -errno : 0;
}

static int map_regions(struct gw_memmap *memmap, const unsigned int *order, struct gw_error *err)
{
	uint8_t *at = (uint8_t *)memmap->window.base + memmap->window.arena_bytes;
	struct backing *backing;
	int rc;

	for (unsigned int i = 0; i < memmap->count; i++) {
		backing = &memmap->backing[order[i]];
		rc = map_view(at, backing->map_len, backing->given.fd, backing->map_offset);
		if (rc)
			return gw_error_sys(err, rc, "memory region %u: mapping %" PRIu64 " MiB",
					    order[i], backing->map_len >> 20);
		/* A core file is no place for a guest's memory. */
		madvise(at, backing->map_len, MADV_DONTDUMP);
		backing->map = at;
		at += backing->map_len;
		memmap->window.file_backed |= backing->file_backed;
	}
	memmap->window.page_bytes = memmap->backing[order[memmap->count - 1]].page_bytes;
	return 0;
}

static int enter_sigbus(struct gw_memmap *memmap, const unsigned int *order, struct gw_error *err)
{
	uintptr_t begin = (uintptr_t)memmap->window.base + memmap->window.arena_bytes;
	uintptr_t end[MEMMAP_REGIONS_MAX];
	const struct backing *backing;

	for (unsigned int i = 0; i < memmap->count; i++) {
		backing = &memmap->backing[order[i]];
		end[i] = (uintptr_t)backing->map + backing->map_len;
	}
	memmap->sigbus_slot = sigbus_enter(begin, end, memmap->count);
	if (memmap->sigbus_slot < 0)
		return gw_error_set(err, -ENOSPC, "more than %u memory tables at one time",
				    SIGBUS_SLOTS);
	return 0;
}

static int build_window(struct gw_memmap *memmap, struct memmap_arena arena, struct gw_error *err)
{
	unsigned int order[MEMMAP_REGIONS_MAX] = { 0 };
	struct gw_window *window = &memmap->window;
	size_t len, align;
	int rc;

	sort_by_page(memmap, order);
	align = memmap->backing[order[0]].page_bytes;
	if (align < MEMMAP_ALIGN_BYTES)
		align = MEMMAP_ALIGN_BYTES;
	window->arena_bytes = arena.bytes;
	rc = window_len(memmap, arena.bytes, &len);
	if (!rc)
		rc = reserve(window, len, align);
	if (rc)
		return gw_error_sys(err, rc,
				    "reserving addresses for %" PRIu64 " MiB of guest memory",
				    memmap->guest_bytes >> 20);
	if (arena.bytes)
		rc = map_view(window->base, arena.bytes, arena.fd, 0);
	if (rc)
		return gw_error_sys(err, rc, "mapping bounce memory beside guest memory");
	rc = map_regions(memmap, order, err);
	return rc ? rc : enter_sigbus(memmap, order, err);
}

static int fill_spans(struct gw_memmap *memmap, struct gw_error *err)
{
	struct span spans[MEMMAP_REGIONS_MAX];

	memmap->room = calloc(3 * (size_t)memmap->count, sizeof(*memmap->room));
	if (!memmap->room)
		return gw_error_sys(err, -ENOMEM, "memory table of %u regions", memmap->count);
	for (unsigned int i = 0; i < memmap->count; i++) {
		const struct backing *backing = &memmap->backing[i];

		spans[i] = (struct span){
			.guest_addr = backing->given.guest_addr,
			.size = backing->given.size,
			.user_addr = backing->given.user_addr,
			.host = backing_host(backing),
		};
	}
	span_table_fill(&memmap->spans, spans, memmap->count, memmap->room);
	return 0;
}

const struct backing *memmap_backing(const struct gw_memmap *memmap, unsigned int *count)
{
	*count = memmap->count;
	return memmap->backing;
}

/* ---- life ---- */

/* Half-built ones too. */
static void memmap_free(struct gw_memmap *memmap)
{
	sigbus_leave(memmap->sigbus_slot);
	if (memmap->window.len)
		munmap(memmap->window.base, memmap->window.len);
	for (unsigned int i = 0; i < memmap->count; i++)
		backing_close(&memmap->backing[i]);
	pthread_mutex_destroy(&memmap->blocks_lock);
	free(memmap->room);
	free(memmap);
}

int memmap_create(const struct memmap_region *regions, unsigned int count,
		  struct memmap_arena arena, struct gw_memmap **result, struct gw_error *err)
{
	struct gw_memmap *memmap;
	int rc = 0;

	if (!count || count > MEMMAP_REGIONS_MAX)
		return gw_error_set(err, -EINVAL,
				    "memory table of %u regions; 1 to %u are possible", count,
				    MEMMAP_REGIONS_MAX);
	if (arena.bytes % (size_t)sysconf(_SC_PAGESIZE))
		return gw_error_set(err, -EINVAL, "bounce memory is not whole pages");
	memmap = calloc(1, sizeof(*memmap) + count * sizeof(memmap->backing[0]));
	if (!memmap)
		return gw_error_sys(err, -ENOMEM, "memory table of %u regions", count);
	memmap->sigbus_slot = -1;
	pthread_mutex_init(&memmap->blocks_lock, NULL);
	for (unsigned int i = 0; i < count && !rc; i++)
		rc = take_region(memmap, regions, i, err);
	if (!rc)
		rc = build_window(memmap, arena, err);
	if (!rc)
		rc = fill_spans(memmap, err);
	if (rc) {
		memmap_free(memmap);
		return rc;
	}
	gw_ref_init(&memmap->ref);
	memmap->generation = gw_atomic_add(&last_generation, 1) + 1;
	*result = memmap;
	return 0;
}

struct gw_memmap *memmap_get(struct gw_memmap *memmap)
{
	gw_ref_get(&memmap->ref);
	return memmap;
}

void memmap_put(struct gw_memmap *memmap)
{
	if (memmap && gw_ref_put(&memmap->ref))
		memmap_free(memmap);
}

bool memmap_same(const struct gw_memmap *memmap, const struct memmap_region *regions,
		 unsigned int count)
{
	if (count != memmap->count || memmap_broken(memmap))
		return false;
	for (unsigned int i = 0; i < count; i++)
		if (!backing_same(&memmap->backing[i], &regions[i]))
			return false;
	return true;
}

unsigned int memmap_regions(const struct gw_memmap *memmap, struct memmap_region *regions)
{
	for (unsigned int i = 0; i < memmap->count; i++)
		regions[i] = memmap->backing[i].given;
	return memmap->count;
}

/* ---- the translator ---- */

/* len bytes from offset on in the span, as many as there are; len is not 0. */
static uint8_t *part_of(const struct span *span, uint64_t offset, uint64_t len, uint64_t *part)
{
	*part = len <= span->size - offset ? len : span->size - offset;
	return span->host + offset;
}

void *memmap_translate(const struct gw_memmap *memmap, uint64_t addr, uint64_t len)
{
	const struct span *span = span_of_guest(&memmap->spans, addr);
	uint64_t offset;

	if (!span)
		return NULL;
	offset = addr - span->guest_addr;
	return len <= span->size - offset ? span->host + offset : NULL;
}

void *memmap_translate_part(const struct gw_memmap *memmap, uint64_t addr, uint64_t len,
			    uint64_t *part)
{
	const struct span *span = len ? span_of_guest(&memmap->spans, addr) : NULL;

	return span ? part_of(span, addr - span->guest_addr, len, part) : NULL;
}

bool memmap_range_of(const struct gw_memmap *memmap, uint64_t addr, struct memmap_range *range)
{
	const struct span *span = span_of_guest(&memmap->spans, addr);

	if (!span)
		return false;
	*range = (struct memmap_range){ span->guest_addr, span->size, span->host };
	return true;
}

void *memmap_translate_user(const struct gw_memmap *memmap, uint64_t user_addr, uint64_t len)
{
	const struct span *span = span_of_user(&memmap->spans, user_addr, len);
	uint64_t offset;

	if (!span)
		return NULL;
	offset = user_addr - span->user_addr;
	return len <= span->size - offset ? span->host + offset : NULL;
}

void *memmap_translate_user_part(const struct gw_memmap *memmap, uint64_t user_addr, uint64_t len,
				 uint64_t *part)
{
	const struct span *span = len ? span_of_user(&memmap->spans, user_addr, len) : NULL;

	return span ? part_of(span, user_addr - span->user_addr, len, part) : NULL;
}

bool memmap_guest_range(const struct gw_memmap *memmap, const void *host, uint64_t len,
			uint64_t *addr, uint64_t *part)
{
	const struct span *span = span_of_host(&memmap->spans, host);
	uint64_t offset;

	if (!span)
		return false;
	offset = (uint64_t)((uintptr_t)host - (uintptr_t)span->host);
	*addr = span->guest_addr + offset;
	*part = len <= span->size - offset ? len : span->size - offset;
	return true;
}

bool memmap_guest_address(const struct gw_memmap *memmap, const void *host, uint64_t *addr)
{
	uint64_t part;

	return memmap_guest_range(memmap, host, 1, addr, &part);
}

bool memmap_origin(const struct gw_memmap *memmap, const void *host, struct memmap_origin *origin)
{
	const struct backing *backing = memmap->backing;
	uint64_t offset;

	for (unsigned int i = 0; i < memmap->count; i++, backing++) {
		offset = (uint64_t)((uintptr_t)host - (uintptr_t)backing->map);
		if (offset >= backing->map_len)
			continue;
		*origin = (struct memmap_origin){ .dev = backing->dev,
						  .ino = backing->ino,
						  .offset = backing->map_offset + offset };
		return true;
	}
	return false;
}

/* ---- what became of the memory ---- */

bool memmap_broken(const struct gw_memmap *memmap)
{
	return gw_load_relaxed(&memmap->shortened) || sigbus_was_hit(memmap->sigbus_slot);
}

uint64_t memmap_discarded_bytes(struct gw_memmap *memmap)
{
	uint64_t lost, total;
	bool shortened = false;

	pthread_mutex_lock(&memmap->blocks_lock);
	for (unsigned int i = 0; i < memmap->count; i++) {
		lost = backing_lost_bytes(&memmap->backing[i], &shortened);
		if (memmap->backing[i].first_of_file)
			memmap->discarded_bytes += lost;
	}
	total = memmap->discarded_bytes;
	pthread_mutex_unlock(&memmap->blocks_lock);
	if (shortened)
		gw_store_relaxed(&memmap->shortened, true);
	return total;
}

uint64_t memmap_guest_bytes(const struct gw_memmap *memmap)
{
	return memmap->guest_bytes;
}

void gw_memmap_window(const struct gw_memmap *memmap, struct gw_window *window)
{
	*window = memmap->window;
}

uint64_t gw_memmap_generation(const struct gw_memmap *memmap)
{
	return memmap->generation;
}
