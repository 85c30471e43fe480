/* SPDX-License-Identifier: BSD-2-Clause */
#include "memmap.h"

#include "arena.h"
#include "fd.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE        4096u
#define FILE_BYTES  (64u * PAGE)
#define HUGE_BYTES  (2u << 20)
#define USER_OFFSET 0x7f1200000000ull
#define NO_ARENA    ((struct memmap_arena){ .fd = -1 })

/* A file of FILE_BYTES in which every page begins with its number. */
struct fixture {
	int fd;
	uint8_t *view;
	struct memmap_region region;
	struct gw_memmap *memmap;
	struct gw_error err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(f->fd, FILE_BYTES), 0);
	f->view = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	assert_ptr_not_equal(f->view, MAP_FAILED);
	for (unsigned int i = 0; i < FILE_BYTES / PAGE; i++)
		f->view[i * PAGE] = (uint8_t)i;
	f->region = (struct memmap_region){
		.guest_addr = 0x100000, .size = FILE_BYTES, .user_addr = USER_OFFSET, .fd = f->fd
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	memmap_put(f->memmap);
	munmap(f->view, FILE_BYTES);
	gw_fd_close(&f->fd);
	free(f);
	return 0;
}

static void make(struct fixture *f, const struct memmap_region *regions, unsigned int count)
{
	if (memmap_create(regions, count, NO_ARENA, &f->memmap, &f->err))
		fail_msg("%s", f->err.text);
}

static void refused(struct fixture *f, const struct memmap_region *regions, unsigned int count,
		    const char *why)
{
	f->err.text[0] = 0;
	assert_int_equal(memmap_create(regions, count, NO_ARENA, &f->memmap, &f->err), -EINVAL);
	if (!strstr(f->err.text, why))
		fail_msg("'%s' does not say '%s'", f->err.text, why);
	assert_null(f->memmap);
}

/* ---- tables that are refused ---- */

static void no_regions(void **state)
{
	struct fixture *f = *state;

	refused(f, &f->region, 0, "0 regions");
}

static void too_many_regions(void **state)
{
	struct memmap_region regions[MEMMAP_REGIONS_MAX + 1] = { 0 };

	refused(*state, regions, MEMMAP_REGIONS_MAX + 1, "510 regions");
}

static void region_size_zero(void **state)
{
	struct fixture *f = *state;

	f->region.size = 0;
	refused(f, &f->region, 1, "size is 0");
}

static void region_guest_address_overflow(void **state)
{
	struct fixture *f = *state;

	f->region.guest_addr = UINT64_MAX - FILE_BYTES + 1;
	refused(f, &f->region, 1, "guest address");
	f->region.guest_addr--;
	make(f, &f->region, 1);
}

static void region_user_address_overflow(void **state)
{
	struct fixture *f = *state;

	f->region.user_addr = UINT64_MAX - FILE_BYTES + 1;
	refused(f, &f->region, 1, "user address");
}

static void region_offset_overflow(void **state)
{
	struct fixture *f = *state;

	f->region.mmap_offset = UINT64_MAX - PAGE + 1;
	refused(f, &f->region, 1, "overflows");
	f->region.mmap_offset = INT64_MAX;
	refused(f, &f->region, 1, "overflows");
}

static void region_larger_than_its_file(void **state)
{
	struct fixture *f = *state;

	f->region.size = FILE_BYTES + 1;
	refused(f, &f->region, 1, "end of its file");
	f->region.size = INT64_MAX;
	refused(f, &f->region, 1, "end of its file");
}

static void region_offset_beyond_its_file(void **state)
{
	struct fixture *f = *state;

	f->region.mmap_offset = 1;
	refused(f, &f->region, 1, "end of its file");
	f->region.mmap_offset = 1ull << 40;
	refused(f, &f->region, 1, "end of its file");
}

static void region_without_descriptor(void **state)
{
	struct fixture *f = *state;

	f->region.fd = -1;
	refused(f, &f->region, 1, "without a file descriptor");
}

static void region_descriptor_is_no_memory(void **state)
{
	struct fixture *f = *state;
	int pipe_fd[2];

	assert_int_equal(pipe(pipe_fd), 0);
	f->region.fd = pipe_fd[0];
	refused(f, &f->region, 1, "not a regular file");
	gw_fds_close(pipe_fd, 2);
}

/* A page of a file that somebody serves comes when he likes: workers do not wait for it. */
static void region_on_a_served_file_system(void **state)
{
	struct fixture *f = *state;

	f->region.fd = open("/sys/kernel/uevent_seqnum", O_RDONLY | O_CLOEXEC);
	assert_true(f->region.fd >= 0);
	f->region.size = 4096;
	refused(f, &f->region, 1, "is not shared memory");
	gw_fd_close(&f->region.fd);
}

static void region_descriptor_is_closed(void **state)
{
	struct fixture *f = *state;

	f->region.fd = 9999;
	assert_int_equal(memmap_create(&f->region, 1, NO_ARENA, &f->memmap, &f->err), -EBADF);
}

static void region_descriptor_is_read_only(void **state)
{
	struct fixture *f = *state;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	f->region.fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(f->region.fd >= 0);
	assert_int_equal(memmap_create(&f->region, 1, NO_ARENA, &f->memmap, &f->err), -EACCES);
	gw_fd_close(&f->region.fd);
}

static void regions_overlap(void **state)
{
	struct fixture *f = *state;
	struct memmap_region regions[] = { f->region, f->region };

	for (int64_t shift = 1 - (int64_t)FILE_BYTES; shift < (int64_t)FILE_BYTES;
	     shift += PAGE - 1) {
		regions[1].guest_addr = f->region.guest_addr + (uint64_t)shift;
		refused(f, regions, 2, "0 and 1 overlap");
	}
	regions[1].guest_addr = f->region.guest_addr + FILE_BYTES;
	make(f, regions, 2);
}

static void arena_of_broken_pages(void **state)
{
	struct fixture *f = *state;
	struct memmap_arena arena = { .fd = f->fd, .bytes = 100 };

	assert_int_equal(memmap_create(&f->region, 1, arena, &f->memmap, &f->err), -EINVAL);
}

/* ---- the translator ---- */

static void translates_within_a_region(void **state)
{
	struct fixture *f = *state;
	uint8_t *p;

	make(f, &f->region, 1);
	p = memmap_translate(f->memmap, 0x100000 + 5 * PAGE, PAGE);
	assert_non_null(p);
	assert_int_equal(*p, 5);
	p[1] = 99;
	assert_int_equal(f->view[5 * PAGE + 1], 99);
	assert_ptr_equal(memmap_translate_user(f->memmap, USER_OFFSET + 5 * PAGE, PAGE), p);
	assert_int_equal(memmap_guest_bytes(f->memmap), FILE_BYTES);
}

static void the_way_back(void **state)
{
	struct fixture *f = *state;
	uint8_t *first, *last;
	uint64_t addr;

	make(f, &f->region, 1);
	first = memmap_translate(f->memmap, 0x100000, 1);
	last = first + FILE_BYTES - 1;
	assert_true(memmap_guest_address(f->memmap, first, &addr));
	assert_int_equal(addr, 0x100000);
	assert_true(memmap_guest_address(f->memmap, last, &addr));
	assert_int_equal(addr, 0x100000 + FILE_BYTES - 1);
	assert_false(memmap_guest_address(f->memmap, first - 1, &addr));
	assert_false(memmap_guest_address(f->memmap, last + 1, &addr));
	assert_false(memmap_guest_address(f->memmap, NULL, &addr));
}

static void address_range_unmapped(void **state)
{
	struct fixture *f = *state;

	make(f, &f->region, 1);
	assert_null(memmap_translate(f->memmap, 0, 1));
	assert_null(memmap_translate(f->memmap, 0xfffff, 1));
	assert_null(memmap_translate(f->memmap, 0x100000 + FILE_BYTES, 1));
	assert_null(memmap_translate(f->memmap, UINT64_MAX, 1));
	assert_null(memmap_translate_user(f->memmap, 0x100000, 1));
	assert_null(memmap_translate_user(f->memmap, USER_OFFSET - 1, 1));
}

static void address_range_half_mapped(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0x100000 + FILE_BYTES - 1, part = 0;

	make(f, &f->region, 1);
	assert_non_null(memmap_translate(f->memmap, last, 1));
	assert_null(memmap_translate(f->memmap, last, 2));
	assert_null(memmap_translate(f->memmap, 0x100000, FILE_BYTES + 1));
	assert_null(memmap_translate(f->memmap, 0xfffff, 2));
	assert_non_null(memmap_translate_part(f->memmap, last, 100, &part));
	assert_int_equal(part, 1);
	assert_null(memmap_translate_part(f->memmap, last + 1, 100, &part));
	assert_null(memmap_translate_part(f->memmap, last, 0, &part));
	assert_null(memmap_translate_user(f->memmap, USER_OFFSET + FILE_BYTES - 1, 2));
}

static void address_range_wraps(void **state)
{
	struct fixture *f = *state;

	make(f, &f->region, 1);
	assert_null(memmap_translate(f->memmap, 0x100000, UINT64_MAX));
	assert_null(memmap_translate(f->memmap, UINT64_MAX - 10, 0x100000 + 20));
	assert_null(memmap_translate_user(f->memmap, USER_OFFSET, UINT64_MAX));
}

static void address_range_across_two_regions(void **state)
{
	struct fixture *f = *state;
	struct memmap_region regions[] = { f->region, f->region };
	uint64_t border = 0x100000 + FILE_BYTES, part;
	uint8_t *p;

	regions[1].guest_addr = border;
	regions[1].size = 2 * PAGE;
	regions[1].mmap_offset = 7 * PAGE;
	make(f, regions, 2);
	assert_null(memmap_translate(f->memmap, border - 10, 20));
	assert_non_null(memmap_translate_part(f->memmap, border - 10, 20, &part));
	assert_int_equal(part, 10);
	p = memmap_translate_part(f->memmap, border, 10, &part);
	assert_int_equal(part, 10);
	assert_int_equal(*p, 7);
}

/* A front-end with all its memory slots in use, in an order of no kind. */
static void as_many_regions_as_there_are_slots(void **state)
{
	struct fixture *f = *state;
	struct memmap_region regions[MEMMAP_REGIONS_MAX], back[MEMMAP_REGIONS_MAX];
	uint64_t part, addr;
	int fd_before, fd_after;
	uint8_t *p;

	for (unsigned int i = 0; i < MEMMAP_REGIONS_MAX; i++)
		regions[i] = (struct memmap_region){
			.guest_addr = (i * 100ull % MEMMAP_REGIONS_MAX) << 20,
			.size = PAGE,
			.user_addr = USER_OFFSET + i * 2 * PAGE,
			.mmap_offset = i % 64 * PAGE,
			.fd = f->fd,
		};
	fd_before = dup(f->fd);
	close(fd_before);
	make(f, regions, MEMMAP_REGIONS_MAX);
	fd_after = dup(f->fd);
	close(fd_after);
	assert_int_equal(fd_after, fd_before + 1); /* one descriptor for one file */
	assert_int_equal(memmap_regions(f->memmap, back), MEMMAP_REGIONS_MAX);
	for (unsigned int i = 0; i < MEMMAP_REGIONS_MAX; i++) {
		p = memmap_translate(f->memmap, regions[i].guest_addr, PAGE);
		assert_non_null(p);
		assert_int_equal(*p, i % 64);
		assert_ptr_equal(memmap_translate_user(f->memmap, regions[i].user_addr + 8, 8),
				 p + 8);
		assert_ptr_equal(memmap_translate_user_part(
					 f->memmap, regions[i].user_addr + PAGE - 2, 8, &part),
				 p + PAGE - 2);
		assert_int_equal(part, 2);
		assert_true(memmap_guest_address(f->memmap, p + 5, &addr));
		assert_int_equal(addr, regions[i].guest_addr + 5);
		assert_int_equal(back[i].guest_addr, regions[i].guest_addr);
	}
}

/* Offsets and sizes that are no whole pages: virtio-user and others send such. */
static void region_within_pages(void **state)
{
	struct fixture *f = *state;
	uint8_t *p;

	f->view[3 * PAGE + 0x234] = 77;
	f->region.mmap_offset = 2 * PAGE + 0x100;
	f->region.size = PAGE + 0x200;
	make(f, &f->region, 1);
	p = memmap_translate(f->memmap, 0x100000 + PAGE + 0x134, 1);
	assert_int_equal(*p, 77);
	assert_null(memmap_translate(f->memmap, 0x100000 + PAGE + 0x200, 1));
}

/* ---- the window ---- */

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
	make(f, regions, 2);
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
	refused(f, regions, 2, "end of its file");
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
	make(f, &f->region, 1);
	fclose(file);
	gw_memmap_window(f->memmap, &window);
	assert_true(window.file_backed);
}

/* ---- life ---- */

static void descriptors_are_its_own(void **state)
{
	struct fixture *f = *state;

	make(f, &f->region, 1);
	gw_fd_close(&f->fd);
	assert_int_equal(*(uint8_t *)memmap_translate(f->memmap, 0x100000 + PAGE, 1), 1);
	assert_int_equal(memmap_discarded_bytes(f->memmap), 0);
}

/* CVE-2021-3748: QEMU wrote num_buffers where memory had been unmapped already. */
static void lives_as_long_as_anything_holds_it(void **state)
{
	struct fixture *f = *state;

	make(f, &f->region, 1);
	assert_ptr_equal(memmap_get(f->memmap), f->memmap);
	memmap_put(f->memmap);
	assert_non_null(memmap_translate(f->memmap, 0x100000, 1));
	memmap_put(NULL);
}

static void generations_count_up(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	make(f, &f->region, 1);
	before = gw_memmap_generation(f->memmap);
	assert_true(before > 0);
	memmap_put(f->memmap);
	make(f, &f->region, 1);
	assert_true(gw_memmap_generation(f->memmap) > before);
}

/* More than there are slots for SIGBUS, one after the other. */
static void many_tables_in_a_row(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 1100; i++) {
		make(f, &f->region, 1);
		memmap_put(f->memmap);
		f->memmap = NULL;
	}
}

static void same_table_is_recognized(void **state)
{
	struct fixture *f = *state;
	struct memmap_region regions[] = { f->region, f->region }, changed[2];
	int copy = dup(f->fd), other = gw_memfd("other", FILE_BYTES);

	regions[1].guest_addr = 1ull << 32;
	make(f, regions, 2);
	regions[1].fd = copy; /* another descriptor of the same file */
	assert_true(memmap_same(f->memmap, regions, 2));
	assert_false(memmap_same(f->memmap, regions, 1));
	memcpy(changed, regions, sizeof(regions));
	changed[1].fd = other;
	assert_false(memmap_same(f->memmap, changed, 2));
	memcpy(changed, regions, sizeof(regions));
	changed[0].user_addr++;
	assert_false(memmap_same(f->memmap, changed, 2));
	memcpy(changed, regions, sizeof(regions));
	changed[0].size--;
	assert_false(memmap_same(f->memmap, changed, 2));
	memcpy(changed, regions, sizeof(regions));
	changed[0].fd = -1;
	assert_false(memmap_same(f->memmap, changed, 2));
	gw_fd_close(&copy);
	gw_fd_close(&other);
}

static void discarded_pages_are_noticed(void **state)
{
	struct fixture *f = *state;
	struct memmap_region regions[] = { f->region, f->region };

	regions[1].guest_addr = 1ull << 32; /* the same file: counted once */
	make(f, regions, 2);
	assert_int_equal(memmap_discarded_bytes(f->memmap), 0);
	assert_int_equal(fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4 * PAGE),
			 0);
	assert_int_equal(memmap_discarded_bytes(f->memmap), 4 * PAGE);
	memset(f->view, 1, 4 * PAGE);
	assert_int_equal(memmap_discarded_bytes(f->memmap), 4 * PAGE);
	assert_int_equal(fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), 0);
	assert_int_equal(memmap_discarded_bytes(f->memmap), 5 * PAGE);
}

/* Before anybody has touched it. */
static void a_shortened_file_is_noticed(void **state)
{
	struct fixture *f = *state;

	make(f, &f->region, 1);
	memmap_discarded_bytes(f->memmap);
	assert_false(memmap_broken(f->memmap));
	assert_int_equal(ftruncate(f->fd, FILE_BYTES - 1), 0);
	memmap_discarded_bytes(f->memmap);
	assert_true(memmap_broken(f->memmap));
}

#define MEMMAP_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MEMMAP_TEST(no_regions),
		MEMMAP_TEST(too_many_regions),
		MEMMAP_TEST(region_size_zero),
		MEMMAP_TEST(region_guest_address_overflow),
		MEMMAP_TEST(region_user_address_overflow),
		MEMMAP_TEST(region_offset_overflow),
		MEMMAP_TEST(region_larger_than_its_file),
		MEMMAP_TEST(region_offset_beyond_its_file),
		MEMMAP_TEST(region_without_descriptor),
		MEMMAP_TEST(region_descriptor_is_no_memory),
		MEMMAP_TEST(region_descriptor_is_closed),
		MEMMAP_TEST(region_descriptor_is_read_only),
		MEMMAP_TEST(regions_overlap),
		MEMMAP_TEST(arena_of_broken_pages),
		MEMMAP_TEST(translates_within_a_region),
		MEMMAP_TEST(the_way_back),
		MEMMAP_TEST(address_range_unmapped),
		MEMMAP_TEST(address_range_half_mapped),
		MEMMAP_TEST(address_range_wraps),
		MEMMAP_TEST(address_range_across_two_regions),
		MEMMAP_TEST(as_many_regions_as_there_are_slots),
		MEMMAP_TEST(region_within_pages),
		MEMMAP_TEST(window_has_the_arena_first_and_no_holes),
		MEMMAP_TEST(hugetlb_regions_come_first_and_aligned),
		MEMMAP_TEST(region_on_a_served_file_system),
		MEMMAP_TEST(file_backed_memory_is_told),
		MEMMAP_TEST(descriptors_are_its_own),
		MEMMAP_TEST(lives_as_long_as_anything_holds_it),
		MEMMAP_TEST(generations_count_up),
		MEMMAP_TEST(many_tables_in_a_row),
		MEMMAP_TEST(same_table_is_recognized),
		MEMMAP_TEST(discarded_pages_are_noticed),
		MEMMAP_TEST(a_shortened_file_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
