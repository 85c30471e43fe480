/* SPDX-License-Identifier: BSD-2-Clause */
/* The window: what lies in it, in which order, and of which pages. */
#include "memmap.h"

#include "arena.h"
#include "fd.h"
#include "memmap_fixture.h"
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#define HUGE_BYTES (2u << 20)

/* Every byte of the range is mapped with some permission: a device can register it as one. */
static bool has_no_hole(const void *base, size_t len)
{
	uintptr_t at = (uintptr_t)base, end = at + len, from, to;
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], perms[8];

	assert_non_null(maps);
	while (at < end && fgets(line, sizeof(line), maps)) {
		assert_int_equal(sscanf(line, "%lx-%lx %7s", &from, &to, perms), 3);
		if (from <= at && at < to && perms[0] == 'r')
			at = to;
	}
	fclose(maps);
	return at >= end;
}

static void window_has_the_arena_first_and_no_holes(void **state)
{
	struct fixture *f = *state;
	struct memmap_region regions[] = { f->region, f->region, f->region };
	struct gw_window window;
	struct gw_arena *arena;
	uint8_t *bounce;

	regions[1].guest_addr = 1ull << 32;
	regions[1].mmap_offset = PAGE + 5;
	regions[1].size = PAGE;
	regions[2].guest_addr = 1ull << 33;
	assert_int_equal(arena_create(1, &arena, NULL), 0);
	assert_int_equal(
		memmap_create(regions, 3,
			      (struct memmap_arena){ arena_fd(arena), arena_range(arena).iov_len },
			      &f->memmap, &f->err),
		0);
	gw_memmap_window(f->memmap, &window);
	assert_int_equal(window.arena_bytes, arena_range(arena).iov_len);
	assert_int_equal(window.len, window.arena_bytes + 2 * FILE_BYTES + 2 * PAGE);
	assert_int_equal(window.page_bytes, PAGE);
	assert_false(window.file_backed);
	assert_int_equal(((uintptr_t)window.base + window.arena_bytes) % HUGE_BYTES, 0);
	assert_true(has_no_hole(window.base, window.len));
	/* What is written to a bounce buffer is found again in the window. */
	bounce = arena_take(arena, 1);
	*bounce = 42;
	bounce = (uint8_t *)window.base + (bounce - (uint8_t *)arena_range(arena).iov_base);
	assert_int_equal(*bounce, 42);
	/* No guest address leads into the arena. */
	for (int i = 0; i < 3; i++)
		assert_true((uint8_t *)memmap_translate(f->memmap, regions[i].guest_addr, 1) >=
			    (uint8_t *)window.base + window.arena_bytes);
	arena_destroy(arena);
}

static void hugetlb_regions_come_first_and_aligned(void **state)
{
	struct fixture *f = *state;
	struct memmap_region regions[] = { f->region, f->region };
	struct gw_window window;
	void *huge;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);

	if (fd < 0 || ftruncate(fd, 2 * HUGE_BYTES) < 0) {
		print_message("skipped: no 2 MiB hugetlb memfd on this machine\n");
		gw_fd_close(&fd);
		skip();
	}
	regions[1].guest_addr = 1ull << 32;
	regions[1].fd = fd;
	regions[1].size = HUGE_BYTES;
	regions[1].mmap_offset = HUGE_BYTES / 2; /* the pages around it are mapped, too */
	fixture_make(f, regions, 2);
	gw_memmap_window(f->memmap, &window);
	assert_int_equal(window.page_bytes, PAGE);
	assert_int_equal(window.len, 2 * HUGE_BYTES + FILE_BYTES);
	huge = memmap_translate(f->memmap, 1ull << 32, HUGE_BYTES);
	assert_ptr_equal(huge, (uint8_t *)window.base + HUGE_BYTES / 2);
	assert_int_equal((uintptr_t)window.base % HUGE_BYTES, 0);
	assert_int_equal(*(uint8_t *)memmap_translate(f->memmap, 0x100000 + 9 * PAGE, 1), 9);
	memmap_put(f->memmap);
	f->memmap = NULL;
	regions[1].size += HUGE_BYTES / 2 + 1;
	fixture_refused(f, regions, 2, "end of its file");
	gw_fd_close(&fd);
}

static void file_backed_memory_is_told(void **state)
{
	struct fixture *f = *state;
	struct gw_window window;
	struct statfs fs;
	FILE *file = tmpfile();

	assert_non_null(file);
	assert_int_equal(fstatfs(fileno(file), &fs), 0);
	if (fs.f_type == TMPFS_MAGIC) {
		fclose(file);
		print_message("skipped: the directory for temporary files is a tmpfs\n");
		skip();
	}
	assert_int_equal(ftruncate(fileno(file), FILE_BYTES), 0);
	f->region.fd = fileno(file);
	fixture_make(f, &f->region, 1);
	fclose(file);
	gw_memmap_window(f->memmap, &window);
	assert_true(window.file_backed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MEMMAP_TEST(window_has_the_arena_first_and_no_holes),
		MEMMAP_TEST(hugetlb_regions_come_first_and_aligned),
		MEMMAP_TEST(file_backed_memory_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
