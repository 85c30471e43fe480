/* SPDX-License-Identifier: BSD-2-Clause */
/* Marks of what was written, in a bitmap that a front-end shares. */
#include "dirty_log.h"

#include "atomic.h"
#include "fd.h"
#include "memmap.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE       4096u
#define LOG_BYTES  16u /* 128 pages of the guest */
#define FILE_BYTES (2u * PAGE)
#define NO_ARENA   ((struct memmap_arena){ .fd = -1 })

/*
 * Two regions that lie side by side in the window, and far apart where the guest sees
 * them: pages 0 to 15, and 64 to 79.
 */
#define REGION_PAGES  16u
#define SECOND_PAGE   64u
#define SECOND_REGION (SECOND_PAGE * PAGE)

struct rig {
	int memory_fd, log_fd;
	struct gw_memmap *memmap;
	struct dirty_log *log;
	uint8_t *bits; /* the front-end's view */
	uint64_t offset;
};

static void open_rig(struct rig *rig, uint64_t offset)
{
	struct memmap_region regions[2];

	rig->memory_fd = gw_memfd("guest", 2ull * REGION_PAGES * PAGE);
	for (unsigned int i = 0; i < 2; i++)
		regions[i] = (struct memmap_region){ .guest_addr = i * SECOND_REGION,
						     .user_addr = i * SECOND_REGION,
						     .size = REGION_PAGES * PAGE,
						     .mmap_offset = i * REGION_PAGES * PAGE,
						     .fd = rig->memory_fd };
	assert_int_equal(memmap_create(regions, 2, NO_ARENA, &rig->memmap, NULL), 0);
	rig->log_fd = memfd_create("log", MFD_CLOEXEC);
	assert_int_equal(ftruncate(rig->log_fd, FILE_BYTES), 0);
	rig->offset = offset;
	rig->bits = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, rig->log_fd, 0);
	assert_ptr_not_equal(rig->bits, MAP_FAILED);
	assert_int_equal(dirty_log_create(rig->log_fd, LOG_BYTES, offset, &rig->log, NULL), 0);
}

static void close_rig(struct rig *rig)
{
	dirty_log_put(rig->log);
	memmap_put(rig->memmap);
	munmap(rig->bits, FILE_BYTES);
	gw_fd_close(&rig->memory_fd);
	gw_fd_close(&rig->log_fd);
}

static void mark(struct rig *rig, uint64_t guest_addr, size_t len)
{
	dirty_log_mark(rig->log, rig->memmap, memmap_translate(rig->memmap, guest_addr, 1), len);
}

/* Whether exactly pages first to last are set; takes them away. */
static void expect_pages(struct rig *rig, unsigned int first, unsigned int last)
{
	for (unsigned int page = 0; page < LOG_BYTES * 8; page++) {
		bool set = rig->bits[rig->offset + page / 8] >> page % 8 & 1;

		if (set != (page >= first && page <= last))
			fail_msg("page %u is %s", page, set ? "marked" : "not marked");
	}
	memset(rig->bits, 0, FILE_BYTES);
}

static void marks_are_pages_of_the_guest(void **state)
{
	struct rig rig;

	open_rig(&rig, 0);
	mark(&rig, 0, 1);
	expect_pages(&rig, 0, 0);
	mark(&rig, PAGE - 1, 1);
	expect_pages(&rig, 0, 0);
	mark(&rig, PAGE - 1, 2);
	expect_pages(&rig, 0, 1);
	mark(&rig, 3 * PAGE + 5, 7 * PAGE);
	expect_pages(&rig, 3, 10);
	mark(&rig, 7 * PAGE, 2 * PAGE);
	expect_pages(&rig, 7, 8);
	mark(&rig, 0, 0);
	expect_pages(&rig, 1, 0);
	mark(&rig, SECOND_REGION + PAGE, PAGE);
	expect_pages(&rig, SECOND_PAGE + 1, SECOND_PAGE + 1);
	mark(&rig, 0, REGION_PAGES * PAGE);
	expect_pages(&rig, 0, REGION_PAGES - 1);
	assert_int_equal(dirty_log_missed(rig.log), 0);
	close_rig(&rig);
}

/* Bits of others in the same byte stay. */
static void marks_add_to_what_is_there(void **state)
{
	struct rig rig;

	open_rig(&rig, 0);
	mark(&rig, 0, 1);
	mark(&rig, 2 * PAGE, 1);
	assert_int_equal(rig.bits[0], 0x5);
	close_rig(&rig);
}

/* Regions side by side in the window, a piece of iovec across both. */
static void a_range_over_two_regions_is_two_ranges_of_the_guest(void **state)
{
	struct rig rig;

	open_rig(&rig, 0);
	assert_ptr_equal((uint8_t *)memmap_translate(rig.memmap, 0, 1) + REGION_PAGES * PAGE,
			 memmap_translate(rig.memmap, SECOND_REGION, 1));
	mark(&rig, (REGION_PAGES - 1) * PAGE, 2 * PAGE);
	assert_int_equal(rig.bits[1], 0x80);
	assert_int_equal(rig.bits[SECOND_PAGE / 8], 0x01);
	rig.bits[1] = rig.bits[SECOND_PAGE / 8] = 0;
	expect_pages(&rig, 1, 0);
	close_rig(&rig);
}

static void the_log_begins_anywhere_in_its_file(void **state)
{
	struct rig rig;

	open_rig(&rig, PAGE + 13);
	mark(&rig, 9 * PAGE, 1);
	assert_int_equal(rig.bits[PAGE + 13 + 1], 0x2);
	expect_pages(&rig, 9, 9);
	close_rig(&rig);
}

/* A guest with more memory than the front-end's bitmap covers. */
static void pages_beyond_the_end_are_counted(void **state)
{
	struct dirty_log *log;
	struct rig rig;

	open_rig(&rig, 0);
	assert_int_equal(dirty_log_create(rig.log_fd, 1, 0, &log, NULL), 0);
	dirty_log_put(rig.log);
	rig.log = log;
	mark(&rig, 7 * PAGE, PAGE);
	assert_int_equal(dirty_log_missed(log), 0);
	expect_pages(&rig, 7, 7);
	mark(&rig, 6 * PAGE, 4 * PAGE);
	assert_int_equal(dirty_log_missed(log), 2);
	expect_pages(&rig, 6, 7);
	mark(&rig, 8 * PAGE, 1);
	assert_int_equal(dirty_log_missed(log), 3);
	mark(&rig, SECOND_REGION, 1);
	assert_int_equal(dirty_log_missed(log), 4);
	expect_pages(&rig, 1, 0);
	/* No guest memory at all. */
	dirty_log_mark(log, rig.memmap, &rig, 1);
	assert_int_equal(dirty_log_missed(log), 5);
	close_rig(&rig);
}

/* ---- what a front-end can send (offset + size: CVE-2020-10722 of DPDK) ---- */

static void refuse(int fd, uint64_t size, uint64_t offset, const char *word)
{
	struct dirty_log *log;
	struct gw_error err = { 0 };

	assert_true(dirty_log_create(fd, size, offset, &log, &err) < 0);
	if (!strstr(err.text, word))
		fail_msg("\"%s\" does not say \"%s\"", err.text, word);
}

static void numbers_that_cannot_be_are_refused(void **state)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	int pipes[2];

	assert_int_equal(ftruncate(fd, FILE_BYTES), 0);
	refuse(fd, 0, 0, "size is 0");
	refuse(fd, UINT64_MAX, 1, "overflow");
	refuse(fd, 1, UINT64_MAX, "overflow");
	refuse(fd, PAGE, -(uint64_t)PAGE + 1, "overflow");
	refuse(fd, UINT64_MAX / 2, UINT64_MAX / 2, "up to");
	refuse(fd, FILE_BYTES + 1, 0, "beyond the end");
	refuse(fd, 1, FILE_BYTES, "beyond the end");
	refuse(fd, 1, INT64_MAX, "beyond the end");
	refuse(fd, FILE_BYTES, 1, "beyond the end");
	refuse(-1, 1, 0, "file");
	assert_int_equal(pipe(pipes), 0);
	refuse(pipes[0], 1, 0, "not memory");
	gw_fds_close(pipes, 2);
	gw_fd_close(&fd);
}

static void a_log_that_cannot_be_written_is_refused(void **state)
{
	int fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, FILE_BYTES), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	refuse(fd, PAGE, 0, "mapping");
	gw_fd_close(&fd);
}

/* ---- a front-end that shortens the file ---- */

/* cmocka takes SIGBUS for itself at the beginning of each test. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
	if (!memmap_fault(info->si_addr))
		abort();
}

static void a_shortened_log_breaks_alone(void **state)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	struct rig rig, other;

	sigaction(SIGBUS, &action, NULL);
	open_rig(&rig, 0);
	open_rig(&other, 0);
	mark(&rig, 0, 1);
	assert_int_equal(ftruncate(rig.log_fd, 0), 0);
	assert_false(dirty_log_broken(rig.log));
	mark(&rig, PAGE, 1);
	assert_true(dirty_log_broken(rig.log));
	mark(&rig, 0, REGION_PAGES * PAGE);
	/* Neither its memory nor anybody else's log. */
	assert_false(memmap_broken(rig.memmap));
	mark(&other, 0, 1);
	expect_pages(&other, 0, 0);
	assert_false(dirty_log_broken(other.log));
	munmap(rig.bits, FILE_BYTES);
	rig.bits = mmap(NULL, FILE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	close_rig(&rig);
	close_rig(&other);
}

static void a_reference_keeps_it(void **state)
{
	struct rig rig;

	open_rig(&rig, 0);
	assert_ptr_equal(dirty_log_get(rig.log), rig.log);
	dirty_log_put(rig.log);
	mark(&rig, 0, 1);
	expect_pages(&rig, 0, 0);
	dirty_log_put(NULL);
	close_rig(&rig);
}

/* ---- the front-end takes bits away meanwhile ---- */

#define ROUNDS 300000u

struct taker {
	struct rig *rig;
	uint32_t *page; /* in guest memory: what the worker wrote */
	uint32_t copy;  /* what the front-end sent to the other host */
	uint32_t begins, ends;
};

static void take(struct taker *taker)
{
	if (gw_atomic_exchange(&taker->rig->bits[0], 0) & 1)
		taker->copy = gw_load_relaxed(taker->page);
}

static void *take_away(void *arg)
{
	struct taker *taker = arg;

	gw_store_release(&taker->begins, 1);
	while (!gw_load_acquire(&taker->ends))
		take(taker);
	return NULL;
}

/*
 * No write may go unseen: when all is done, what the front-end copied last is what was
 * written last. Its neighbour in the same byte, another worker's, never gets lost either.
 */
static void no_write_is_lost_to_a_front_end_that_clears(void **state)
{
	struct taker taker;
	pthread_t thread;
	struct rig rig;

	open_rig(&rig, 0);
	taker = (struct taker){ .rig = &rig, .page = memmap_translate(rig.memmap, 0, PAGE) };
	assert_int_equal(pthread_create(&thread, NULL, take_away, &taker), 0);
	while (!gw_load_acquire(&taker.begins))
		sched_yield();
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		gw_store_relaxed(taker.page, i);
		mark(&rig, 0, sizeof(*taker.page));
	}
	gw_store_release(&taker.ends, 1);
	pthread_join(thread, NULL);
	take(&taker);
	assert_int_equal(taker.copy, ROUNDS);
	close_rig(&rig);
}

static void *mark_neighbour(void *arg)
{
	struct taker *taker = arg;

	while (!gw_load_acquire(&taker->ends)) {
		mark(taker->rig, PAGE, 1);
		gw_store_release(&taker->begins, 1);
	}
	return NULL;
}

/* Two workers, one byte: a bit that is taken away is there again every time. */
static void workers_do_not_take_marks_from_each_other(void **state)
{
	struct taker taker = { .ends = 0 };
	pthread_t thread;
	uint8_t bits;
	struct rig rig;

	open_rig(&rig, 0);
	taker.rig = &rig;
	assert_int_equal(pthread_create(&thread, NULL, mark_neighbour, &taker), 0);
	while (!gw_load_acquire(&taker.begins))
		sched_yield();
	for (unsigned int i = 0; i < ROUNDS; i++) {
		mark(&rig, 0, 1);
		bits = gw_atomic_exchange(&rig.bits[0], 0);
		assert_true(bits & 1);
		gw_atomic_or(&rig.bits[0], bits & 2);
	}
	gw_store_release(&taker.ends, 1);
	pthread_join(thread, NULL);
	assert_int_equal(rig.bits[0], 0x2);
	close_rig(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marks_are_pages_of_the_guest),
		cmocka_unit_test(marks_add_to_what_is_there),
		cmocka_unit_test(a_range_over_two_regions_is_two_ranges_of_the_guest),
		cmocka_unit_test(the_log_begins_anywhere_in_its_file),
		cmocka_unit_test(pages_beyond_the_end_are_counted),
		cmocka_unit_test(numbers_that_cannot_be_are_refused),
		cmocka_unit_test(a_log_that_cannot_be_written_is_refused),
		cmocka_unit_test(a_shortened_log_breaks_alone),
		cmocka_unit_test(a_reference_keeps_it),
		cmocka_unit_test(no_write_is_lost_to_a_front_end_that_clears),
		cmocka_unit_test(workers_do_not_take_marks_from_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
