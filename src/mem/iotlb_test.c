/* SPDX-License-Identifier: BSD-2-Clause */
#include "iotlb.h"

#include "fd.h"
#include "memmap.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE       4096ull
#define PAGES      64u /* of the guest's memory, and of the I/O addresses that the model has */
#define FILE_BYTES (PAGES * PAGE)
#define USER       0x7f1200000000ull
#define ROUNDS     20000u

struct fixture {
	int fd;
	struct gw_memmap *memmap;
	struct iotlb *iotlb;
	struct gw_error err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct memmap_region region[2] = {
		{ .guest_addr = 0, .size = FILE_BYTES / 2, .user_addr = USER },
		{ .guest_addr = 1ull << 32,
		  .size = FILE_BYTES / 2,
		  .user_addr = USER + FILE_BYTES / 2,
		  .mmap_offset = FILE_BYTES / 2 },
	};

	f->fd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(f->fd, FILE_BYTES), 0);
	region[0].fd = region[1].fd = f->fd;
	assert_int_equal(
		memmap_create(region, 2, (struct memmap_arena){ -1, 0 }, &f->memmap, &f->err), 0);
	f->iotlb = iotlb_create();
	assert_non_null(f->iotlb);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	iotlb_put(f->iotlb);
	memmap_put(f->memmap);
	gw_fd_close(&f->fd);
	free(f);
	return 0;
}

static void replace(struct fixture *f, struct iotlb *with)
{
	if (!with)
		fail_msg("%s", f->err.text);
	iotlb_put(f->iotlb);
	f->iotlb = with;
}

static void add(struct fixture *f, uint64_t iova, uint64_t size, uint64_t user, uint8_t access)
{
	const struct iotlb_range range = { iova, size, user, access };

	replace(f, iotlb_with(f->iotlb, &range, &f->err));
}

static void cut(struct fixture *f, uint64_t iova, uint64_t size)
{
	replace(f, iotlb_without(f->iotlb, iova, size, &f->err));
}

/* The part that is mapped there; 0: none. */
static uint64_t part_at(struct fixture *f, uint64_t iova, uint64_t len, uint8_t access,
			bool *missing)
{
	uint64_t part = 0;
	void *host = iotlb_translate(f->iotlb, f->memmap, iova, len, access, &part, missing);

	return host ? part : 0;
}

/* ---- what is refused ---- */

static void ranges_that_cannot_be(void **state)
{
	static const struct iotlb_range bad[] = {
		{ 0, 0, USER, IOTLB_READ },
		{ UINT64_MAX, 2, USER, IOTLB_READ },
		{ 2, UINT64_MAX, USER, IOTLB_READ },
		{ 0, 2, UINT64_MAX, IOTLB_READ },
		{ 0, PAGE, USER, 0 },
		{ 0, PAGE, USER, 4 },
		{ 0, PAGE, USER, 0xff },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		f->err.code = 0;
		assert_null(iotlb_with(f->iotlb, &bad[i], &f->err));
		assert_int_equal(f->err.code, -EINVAL);
	}
	assert_null(iotlb_without(f->iotlb, 0, 0, &f->err));
	assert_null(iotlb_without(f->iotlb, UINT64_MAX, 2, &f->err));
	/* The last byte of the address space is one. */
	add(f, UINT64_MAX, 1, USER, IOTLB_READ);
	add(f, UINT64_MAX - PAGE + 1, PAGE, USER, IOTLB_READ);
	assert_int_equal(iotlb_count(f->iotlb), 1);
	cut(f, 0, UINT64_MAX);
	assert_int_equal(iotlb_count(f->iotlb), 1);
	cut(f, 1, UINT64_MAX);
	assert_int_equal(iotlb_count(f->iotlb), 0);
}

/* ---- translation ---- */

static void what_is_not_there_is_missing(void **state)
{
	struct fixture *f = *state;
	bool missing = false;

	assert_int_equal(part_at(f, 0, 1, IOTLB_READ, &missing), 0);
	assert_true(missing);
	add(f, 0x10000, PAGE, USER, IOTLB_READ);
	assert_int_equal(part_at(f, 0x10000, 8, IOTLB_READ, &missing), 8);
	assert_false(missing);
	assert_int_equal(part_at(f, 0x10ffe, 8, IOTLB_READ, &missing), 2);
	assert_int_equal(part_at(f, 0x11000, 8, IOTLB_READ, &missing), 0);
	assert_true(missing);
	assert_int_equal(part_at(f, 0xffff, 8, IOTLB_READ, &missing), 0);
	assert_true(missing);
	/* It may be read only. */
	assert_int_equal(part_at(f, 0x10000, 8, IOTLB_WRITE, &missing), 0);
	assert_true(missing);
	assert_int_equal(part_at(f, 0x10000, 8, IOTLB_READ_WRITE, &missing), 0);
	assert_true(missing);
	assert_int_equal(part_at(f, 0x10000, 0, IOTLB_READ, &missing), 0);
	assert_false(missing);
}

static void an_address_outside_of_memory_is_a_fault(void **state)
{
	struct fixture *f = *state;
	bool missing = true;

	add(f, 0, PAGE, USER + FILE_BYTES, IOTLB_READ_WRITE);
	add(f, PAGE, PAGE, USER - 1, IOTLB_READ_WRITE);
	add(f, 2 * PAGE, 2 * PAGE, USER + FILE_BYTES - PAGE, IOTLB_READ_WRITE);
	assert_int_equal(part_at(f, 0, 1, IOTLB_READ, &missing), 0);
	assert_false(missing);
	assert_int_equal(part_at(f, PAGE, 1, IOTLB_READ, &missing), 0);
	assert_false(missing);
	assert_int_equal(part_at(f, 2 * PAGE, 2 * PAGE, IOTLB_READ, &missing), PAGE);
}

/* A guest's ring of several pages, mapped page by page. */
static void pages_that_lie_together_are_one_piece(void **state)
{
	struct fixture *f = *state;
	bool missing;

	for (unsigned int i = 0; i < 8; i++)
		add(f, 0x40000 + i * PAGE, PAGE, USER + i * PAGE, IOTLB_READ);
	assert_int_equal(iotlb_count(f->iotlb), 8);
	assert_int_equal(part_at(f, 0x40010, 8 * PAGE, IOTLB_READ, &missing), 8 * PAGE - 0x10);
	/* Not where the permission is another, or the memory. */
	add(f, 0x43000, PAGE, USER + 3 * PAGE, IOTLB_WRITE);
	assert_int_equal(part_at(f, 0x40000, 8 * PAGE, IOTLB_READ, &missing), 3 * PAGE);
	add(f, 0x43000, PAGE, USER + 5 * PAGE, IOTLB_READ);
	assert_int_equal(part_at(f, 0x40000, 8 * PAGE, IOTLB_READ, &missing), 3 * PAGE);
}

/* ---- a model: one byte for each page ---- */

struct model_page {
	uint8_t access;
	uint64_t user;
};

static void check_model(struct fixture *f, const struct model_page *model)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		for (uint8_t access = 1; access <= 3; access++) {
			uint64_t part = 0;
			bool missing, there = (model[i].access & access) == access;
			void *host = iotlb_translate(f->iotlb, f->memmap, i * PAGE + 5, 7, access,
						     &part, &missing);

			assert_int_equal(missing, !there);
			if (there)
				assert_ptr_equal(host, memmap_translate_user(f->memmap,
									     model[i].user + 5, 7));
		}
	}
}

static void check_order(const struct iotlb *iotlb)
{
	for (unsigned int i = 1; i < iotlb_count(iotlb); i++) {
		const struct iotlb_range *a = iotlb_range(iotlb, i - 1);

		assert_true(a->size > 0);
		assert_true(a->iova + a->size <= iotlb_range(iotlb, i)->iova);
		assert_int_equal(iotlb_find(iotlb, a->iova + a->size - 1), i - 1);
	}
}

static void updates_and_invalidations_in_any_order(void **state)
{
	struct fixture *f = *state;
	struct model_page model[PAGES] = { 0 };

	srandom(1);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		unsigned int first = (unsigned int)random() % PAGES;
		unsigned int count = 1 + (unsigned int)random() % (PAGES - first);
		unsigned int user = (unsigned int)random() % (PAGES - count + 1);
		uint8_t access = (uint8_t)(random() % 4);

		if (random() % 2)
			count = 1;
		if (access)
			add(f, first * PAGE, count * PAGE, USER + user * PAGE, access);
		else
			cut(f, first * PAGE, count * PAGE);
		for (unsigned int i = 0; i < count; i++)
			model[first + i] = (struct model_page){ access, USER + (user + i) * PAGE };
		if (round % 16)
			continue;
		check_order(f->iotlb);
		check_model(f, model);
	}
}

/* ---- limits ---- */

static void a_full_table_gives_up_the_oldest(void **state)
{
	struct fixture *f = *state;
	bool missing;

	for (unsigned int i = 0; i < IOTLB_RANGES_MAX; i++)
		add(f, (IOTLB_RANGES_MAX - i) * 2 * PAGE, PAGE, USER, IOTLB_READ);
	assert_int_equal(iotlb_count(f->iotlb), IOTLB_RANGES_MAX);
	add(f, 0, PAGE, USER, IOTLB_READ);
	assert_int_equal(iotlb_count(f->iotlb), IOTLB_RANGES_MAX);
	assert_int_equal(part_at(f, 0, 1, IOTLB_READ, &missing), 1);
	assert_int_equal(part_at(f, IOTLB_RANGES_MAX * 2 * PAGE, 1, IOTLB_READ, &missing), 0);
	assert_true(missing);
	/* The second oldest is cut in two: it is the oldest now, and one half goes. */
	cut(f, (IOTLB_RANGES_MAX - 1) * 2 * PAGE + 16, 16);
	assert_int_equal(iotlb_count(f->iotlb), IOTLB_RANGES_MAX);
	check_order(f->iotlb);
}

static void a_table_in_use_does_not_change(void **state)
{
	struct fixture *f = *state;
	struct iotlb *before;
	uint64_t part;
	bool missing;

	add(f, 0, PAGE, USER, IOTLB_READ);
	before = iotlb_get(f->iotlb);
	cut(f, 0, PAGE);
	assert_int_equal(part_at(f, 0, 1, IOTLB_READ, &missing), 0);
	assert_non_null(iotlb_translate(before, f->memmap, 0, 1, IOTLB_READ, &part, &missing));
	iotlb_put(before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ranges_that_cannot_be),
		TEST(what_is_not_there_is_missing),
		TEST(an_address_outside_of_memory_is_a_fault),
		TEST(pages_that_lie_together_are_one_piece),
		TEST(updates_and_invalidations_in_any_order),
		TEST(a_full_table_gives_up_the_oldest),
		TEST(a_table_in_use_does_not_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
