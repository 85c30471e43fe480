/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages that go are seen to go, whether they come back or not. */
#include "witness.h"

#include "fd.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE       4096u
#define FILE_BYTES (64u * PAGE)
/* What goes with a page: 64 KiB. */
#define GRANULE    (16u * PAGE)
#define NO_ARENA   ((struct memmap_arena){ .fd = -1 })

struct fixture {
	int fd;
	struct gw_memmap *memmap;
	struct witness *witness;
	uint8_t *host;
	uint8_t *guest; /* the front-end's view */
};

/* cmocka takes SIGBUS for itself at the beginning of each test. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
	if (!memmap_fault(info->si_addr))
		abort();
}

static void open_witness(struct fixture *f)
{
	struct gw_error err = { 0 };
	int rc = witness_open(f->memmap, NULL, &f->witness, &err);

	if (rc == -ENOSYS || rc == -EPERM || rc == -EINVAL) {
		print_message("no witness here: %s\n", err.text);
		skip();
	}
	assert_int_equal(rc, 0);
}

static struct fixture *make(struct fixture *f)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	struct memmap_region regions[2];

	f->fd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(f->fd, FILE_BYTES), 0);
	regions[0] = (struct memmap_region){ .size = FILE_BYTES / 2, .fd = f->fd };
	regions[1] = (struct memmap_region){ .guest_addr = 1ull << 32,
					     .size = FILE_BYTES / 2,
					     .mmap_offset = FILE_BYTES / 2,
					     .fd = f->fd };
	f->guest = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	assert_ptr_not_equal(f->guest, MAP_FAILED);
	assert_int_equal(memmap_create(regions, 2, NO_ARENA, &f->memmap, NULL), 0);
	f->host = memmap_translate(f->memmap, 0, FILE_BYTES / 2);
	assert_int_equal(memmap_install_sigbus(), 0);
	sigaction(SIGBUS, &action, NULL);
	open_witness(f);
	return f;
}

static void drop(struct fixture *f)
{
	witness_close(f->witness);
	memmap_put(f->memmap);
	munmap(f->guest, FILE_BYTES);
	gw_fd_close(&f->fd);
}

static bool vouches(struct fixture *f, size_t offset, size_t len)
{
	struct iovec seg = { f->host + offset, len };

	return witness_vouches(f->witness, &seg, 1);
}

static void punch(struct fixture *f, size_t offset, size_t len)
{
	assert_int_equal(fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
				   (off_t)len),
			 0);
}

static void it_vouches_for_what_stays(void **state)
{
	struct fixture f;

	make(&f);
	assert_true(vouches(&f, 0, FILE_BYTES));
	memset(f.guest, 1, FILE_BYTES); /* written is not gone */
	assert_true(vouches(&f, 0, FILE_BYTES));
	assert_true(vouches(&f, 0, 0));
	assert_int_equal(memmap_discarded_bytes(f.memmap), 0);
	drop(&f);
}

static void a_hole_that_was_filled_again_is_seen(void **state)
{
	struct fixture f;
	uint64_t before;

	make(&f);
	before = memmap_discarded_bytes(f.memmap);
	punch(&f, 5 * PAGE, PAGE);
	memset(f.guest + 5 * PAGE, 1, PAGE);
	/* The file is as full as before, and the memory's own view has the new page. */
	assert_int_equal(memmap_discarded_bytes(f.memmap), before);
	assert_int_equal(f.host[5 * PAGE], 1);
	assert_true(vouches(&f, 0, 5 * PAGE));
	assert_true(vouches(&f, 6 * PAGE, PAGE));
	assert_false(vouches(&f, 5 * PAGE - 1, 2));
	assert_false(memmap_broken(f.memmap));
	drop(&f);
}

/* A guest that gives back pages all the time must not be copied all the time. */
static void what_lies_elsewhere_is_vouched_for_after_a_page_went(void **state)
{
	struct fixture f;

	make(&f);
	punch(&f, GRANULE + 5 * PAGE, PAGE);
	for (unsigned int i = 0; i < 3; i++) {
		assert_false(vouches(&f, GRANULE + 5 * PAGE, 1));
		assert_true(vouches(&f, 0, GRANULE));
		assert_true(vouches(&f, 2 * GRANULE, FILE_BYTES - 2 * GRANULE));
	}
	/* Neighbours went with it, and come back with the next witness. */
	assert_false(vouches(&f, GRANULE, 1));
	assert_false(vouches(&f, GRANULE - 1, 2));
	assert_false(vouches(&f, 0, FILE_BYTES));
	memset(f.guest + GRANULE, 1, GRANULE);
	assert_false(vouches(&f, GRANULE + 5 * PAGE, 1));
	drop(&f);
}

static void all_pages_can_go(void **state)
{
	struct fixture f;

	make(&f);
	punch(&f, 0, FILE_BYTES);
	for (size_t at = 0; at < FILE_BYTES; at += PAGE)
		assert_false(vouches(&f, at, 1));
	memset(f.guest, 1, FILE_BYTES);
	for (size_t at = 0; at < FILE_BYTES; at += PAGE)
		assert_false(vouches(&f, at, PAGE));
	drop(&f);
}

static void a_hole_in_the_other_region_is_seen(void **state)
{
	struct fixture f;
	uint8_t *second;
	struct iovec seg;

	make(&f);
	second = memmap_translate(f.memmap, 1ull << 32, FILE_BYTES / 2);
	seg = (struct iovec){ second + PAGE, 100 };
	punch(&f, FILE_BYTES / 2 + 2 * PAGE, PAGE);
	assert_true(witness_vouches(f.witness, &seg, 1));
	seg.iov_base = second + 2 * PAGE + 100;
	assert_false(witness_vouches(f.witness, &seg, 1));
	drop(&f);
}

static void a_private_header_is_passed_over(void **state)
{
	struct fixture f;
	uint8_t header[64];
	struct iovec seg[] = { { header, sizeof(header) }, { NULL, 100 } };

	make(&f);
	seg[1].iov_base = f.host;
	assert_true(witness_vouches(f.witness, seg, 2));
	punch(&f, 0, PAGE);
	assert_true(witness_vouches(f.witness, seg, 1));
	assert_false(witness_vouches(f.witness, seg, 2));
	drop(&f);
}

static void a_new_one_vouches_for_the_new_pages(void **state)
{
	struct fixture f;

	make(&f);
	punch(&f, 0, PAGE);
	assert_false(vouches(&f, 0, 1));
	witness_close(f.witness);
	open_witness(&f);
	assert_true(vouches(&f, 0, FILE_BYTES));
	drop(&f);
}

/* Nothing is brought in then, and nothing is left of it. */
static void one_that_is_given_up_ends_at_once(void **state)
{
	uint32_t given_up = 1;
	struct witness *other = NULL;
	struct gw_error err = { 0 };
	struct fixture f;

	make(&f);
	assert_int_equal(witness_open(f.memmap, &given_up, &other, &err), -ECANCELED);
	assert_null(other);
	given_up = 0;
	assert_int_equal(witness_open(f.memmap, &given_up, &other, &err), 0);
	assert_true(witness_vouches(other, &(struct iovec){ f.host, FILE_BYTES / 2 }, 1));
	witness_close(other);
	drop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_vouches_for_what_stays),
		cmocka_unit_test(a_hole_that_was_filled_again_is_seen),
		cmocka_unit_test(what_lies_elsewhere_is_vouched_for_after_a_page_went),
		cmocka_unit_test(all_pages_can_go),
		cmocka_unit_test(a_hole_in_the_other_region_is_seen),
		cmocka_unit_test(a_private_header_is_passed_over),
		cmocka_unit_test(a_new_one_vouches_for_the_new_pages),
		cmocka_unit_test(one_that_is_given_up_ends_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
