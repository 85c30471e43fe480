/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory tables that are refused, and what is said. */
#include "memmap.h"

#include "fd.h"
#include "memmap_fixture.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static void no_regions(void **state)
{
	struct fixture *f = *state;

	fixture_refused(f, &f->region, 0, "0 regions");
}

static void too_many_regions(void **state)
{
	struct memmap_region regions[MEMMAP_REGIONS_MAX + 1] = { 0 };

	fixture_refused(*state, regions, MEMMAP_REGIONS_MAX + 1, "510 regions");
}

static void region_size_zero(void **state)
{
	struct fixture *f = *state;

	f->region.size = 0;
	fixture_refused(f, &f->region, 1, "size is 0");
}

static void region_guest_address_overflow(void **state)
{
	struct fixture *f = *state;

	f->region.guest_addr = UINT64_MAX - FILE_BYTES + 1;
	fixture_refused(f, &f->region, 1, "guest address");
	f->region.guest_addr--;
	fixture_make(f, &f->region, 1);
}

static void region_user_address_overflow(void **state)
{
	struct fixture *f = *state;

	f->region.user_addr = UINT64_MAX - FILE_BYTES + 1;
	fixture_refused(f, &f->region, 1, "user address");
}

static void region_offset_overflow(void **state)
{
	struct fixture *f = *state;

	f->region.mmap_offset = UINT64_MAX - PAGE + 1;
	fixture_refused(f, &f->region, 1, "overflows");
	f->region.mmap_offset = INT64_MAX;
	fixture_refused(f, &f->region, 1, "overflows");
}

static void region_larger_than_its_file(void **state)
{
	struct fixture *f = *state;

	f->region.size = FILE_BYTES + 1;
	fixture_refused(f, &f->region, 1, "end of its file");
	f->region.size = INT64_MAX;
	fixture_refused(f, &f->region, 1, "end of its file");
}

static void region_offset_beyond_its_file(void **state)
{
	struct fixture *f = *state;

	f->region.mmap_offset = 1;
	fixture_refused(f, &f->region, 1, "end of its file");
	f->region.mmap_offset = 1ull << 40;
	fixture_refused(f, &f->region, 1, "end of its file");
}

static void region_without_descriptor(void **state)
{
	struct fixture *f = *state;

	f->region.fd = -1;
	fixture_refused(f, &f->region, 1, "without a file descriptor");
}

static void region_descriptor_is_no_memory(void **state)
{
	struct fixture *f = *state;
	int pipe_fd[2];

	assert_int_equal(pipe(pipe_fd), 0);
	f->region.fd = pipe_fd[0];
	fixture_refused(f, &f->region, 1, "not a regular file");
	gw_fds_close(pipe_fd, 2);
}

/* A page of a file that somebody serves comes when he likes: workers do not wait for it. */
static void region_on_a_served_file_system(void **state)
{
	struct fixture *f = *state;

	f->region.fd = open("/sys/kernel/uevent_seqnum", O_RDONLY | O_CLOEXEC);
	assert_true(f->region.fd >= 0);
	f->region.size = 4096;
	fixture_refused(f, &f->region, 1, "is not shared memory");
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

/* Nor may it be written through the descriptor of another region of the same file. */
static void one_of_two_descriptors_is_read_only(void **state)
{
	struct fixture *f = *state;
	struct memmap_region regions[] = { f->region, f->region };
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	regions[1].fd = open(path, O_RDONLY | O_CLOEXEC);
	regions[1].guest_addr += 1ull << 30;
	regions[1].user_addr += 1ull << 30;
	assert_true(regions[1].fd >= 0);
	assert_int_equal(memmap_create(regions, 2, NO_ARENA, &f->memmap, &f->err), -EACCES);
	gw_fd_close(&regions[1].fd);
}

static void regions_overlap(void **state)
{
	struct fixture *f = *state;
	struct memmap_region regions[] = { f->region, f->region };

	for (int64_t shift = 1 - (int64_t)FILE_BYTES; shift < (int64_t)FILE_BYTES;
	     shift += PAGE - 1) {
		regions[1].guest_addr = f->region.guest_addr + (uint64_t)shift;
		fixture_refused(f, regions, 2, "0 and 1 overlap");
	}
	regions[1].guest_addr = f->region.guest_addr + FILE_BYTES;
	fixture_make(f, regions, 2);
}

static void arena_of_broken_pages(void **state)
{
	struct fixture *f = *state;
	struct memmap_arena arena = { .fd = f->fd, .bytes = 100 };

	assert_int_equal(memmap_create(&f->region, 1, arena, &f->memmap, &f->err), -EINVAL);
}

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
		MEMMAP_TEST(one_of_two_descriptors_is_read_only),
		MEMMAP_TEST(regions_overlap),
		MEMMAP_TEST(arena_of_broken_pages),
		MEMMAP_TEST(region_on_a_served_file_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
