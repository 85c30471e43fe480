/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator, and how long a memmap lives. */
#include "memmap.h"

#include "fd.h"
#include "memmap_fixture.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* ---- the translator ---- */

static void translates_within_a_region(void **state)
{
	struct fixture *f = *state;
	uint8_t *p;

	fixture_make(f, &f->region, 1);
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

	fixture_make(f, &f->region, 1);
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

	fixture_make(f, &f->region, 1);
	assert_null(memmap_translate(f->memmap, 0, 1));
	assert_null(memmap_translate(f->memmap, 0xfffff, 1));
	assert_null(memmap_translate(f->memmap, 0x100000 + FILE_BYTES, 1));
	assert_null(memmap_translate(f->memmap, UINT64_MAX, 1));
	assert_null(memmap_translate_user(f->memmap, 0x100000, 1));
	assert_null(memmap_translate_user(f->memmap, USER_OFFSET - 1, 1));
}

/* CVE-2018-1059: DPDK translated the beginning, and took the rest for granted. */
static void address_range_half_mapped(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0x100000 + FILE_BYTES - 1, part = 0;

	fixture_make(f, &f->region, 1);
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

	fixture_make(f, &f->region, 1);
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
	fixture_make(f, regions, 2);
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
	fixture_make(f, regions, MEMMAP_REGIONS_MAX);
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
	fixture_make(f, &f->region, 1);
	p = memmap_translate(f->memmap, 0x100000 + PAGE + 0x134, 1);
	assert_int_equal(*p, 77);
	assert_null(memmap_translate(f->memmap, 0x100000 + PAGE + 0x200, 1));
}

/* ---- life ---- */

static void descriptors_are_its_own(void **state)
{
	struct fixture *f = *state;

	fixture_make(f, &f->region, 1);
	gw_fd_close(&f->fd);
	assert_int_equal(*(uint8_t *)memmap_translate(f->memmap, 0x100000 + PAGE, 1), 1);
	assert_int_equal(memmap_discarded_bytes(f->memmap), 0);
}

static void lives_as_long_as_anything_holds_it(void **state)
{
	struct fixture *f = *state;

	fixture_make(f, &f->region, 1);
	assert_ptr_equal(memmap_get(f->memmap), f->memmap);
	memmap_put(f->memmap);
	assert_non_null(memmap_translate(f->memmap, 0x100000, 1));
	memmap_put(NULL);
}

static void generations_count_up(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	fixture_make(f, &f->region, 1);
	before = gw_memmap_generation(f->memmap);
	assert_true(before > 0);
	memmap_put(f->memmap);
	fixture_make(f, &f->region, 1);
	assert_true(gw_memmap_generation(f->memmap) > before);
}

/* More than there are slots for SIGBUS, one after the other. */
static void many_tables_in_a_row(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 1100; i++) {
		fixture_make(f, &f->region, 1);
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
	fixture_make(f, regions, 2);
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
	fixture_make(f, regions, 2);
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

	fixture_make(f, &f->region, 1);
	memmap_discarded_bytes(f->memmap);
	assert_false(memmap_broken(f->memmap));
	assert_int_equal(ftruncate(f->fd, FILE_BYTES - 1), 0);
	memmap_discarded_bytes(f->memmap);
	assert_true(memmap_broken(f->memmap));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MEMMAP_TEST(translates_within_a_region),
		MEMMAP_TEST(the_way_back),
		MEMMAP_TEST(address_range_unmapped),
		MEMMAP_TEST(address_range_half_mapped),
		MEMMAP_TEST(address_range_wraps),
		MEMMAP_TEST(address_range_across_two_regions),
		MEMMAP_TEST(as_many_regions_as_there_are_slots),
		MEMMAP_TEST(region_within_pages),
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
