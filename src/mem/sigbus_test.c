/* SPDX-License-Identifier: BSD-2-Clause */
/* A front-end that shortens the memory which it shared. */
#include "memmap.h"

#include "atomic.h"
#include "fd.h"
#include "sigbus.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE       4096u
#define FILE_BYTES (16u * PAGE)
#define NO_ARENA   ((struct memmap_arena){ .fd = -1 })

/*
 * cmocka takes SIGBUS for itself at the beginning of each test. These stand for a
 * program with a handler of its own, which asks memmap_fault.
 */
static void on_own_sigbus(int number, siginfo_t *info, void *context)
{
	if (!memmap_fault(info->si_addr))
		abort();
}

static void use_own_handler(void)
{
	struct sigaction action = { .sa_sigaction = on_own_sigbus, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &action, NULL);
}

static struct gw_memmap *make(int *fds, unsigned int count)
{
	struct memmap_region regions[2];
	struct gw_memmap *memmap;

	for (unsigned int i = 0; i < count; i++) {
		fds[i] = memfd_create("test", MFD_CLOEXEC);
		assert_int_equal(ftruncate(fds[i], FILE_BYTES), 0);
		regions[i] = (struct memmap_region){ .guest_addr = (uint64_t)i << 32,
						     .size = FILE_BYTES,
						     .fd = fds[i] };
	}
	assert_int_equal(memmap_create(regions, count, NO_ARENA, &memmap, NULL), 0);
	return memmap;
}

static void truncated_memory_reads_as_zeros(void **state)
{
	volatile uint8_t *gone, *stays, *others;
	struct gw_memmap *memmap, *other;
	int fds[2], other_fd;

	assert_int_equal(memmap_install_sigbus(), 0);
	assert_int_equal(memmap_install_sigbus(), 0);
	memmap = make(fds, 2);
	other = make(&other_fd, 1);
	gone = memmap_translate(memmap, 0, FILE_BYTES);
	stays = memmap_translate(memmap, 1ull << 32, FILE_BYTES);
	others = memmap_translate(other, 0, FILE_BYTES);
	gone[3 * PAGE] = stays[3 * PAGE] = others[3 * PAGE] = 5;

	assert_int_equal(ftruncate(fds[0], 0), 0);
	assert_false(memmap_broken(memmap));
	assert_int_equal(gone[3 * PAGE], 0);
	gone[FILE_BYTES - 1] = 9;
	assert_int_equal(gone[FILE_BYTES - 1], 9);
	assert_true(memmap_broken(memmap));
	/* Only this region of this guest. */
	assert_int_equal(stays[3 * PAGE], 5);
	assert_int_equal(others[3 * PAGE], 5);
	assert_false(memmap_broken(other));

	memmap_put(memmap);
	memmap_put(other);
	gw_fds_close(fds, 2);
	gw_fd_close(&other_fd);
}

/* Broken memory must not be kept for a table that says the same again. */
static void truncated_memory_is_not_the_same_table(void **state)
{
	struct memmap_region region = { .size = FILE_BYTES };
	struct gw_memmap *memmap = make(&region.fd, 1);

	use_own_handler();
	assert_true(memmap_same(memmap, &region, 1));
	assert_int_equal(ftruncate(region.fd, 0), 0);
	assert_int_equal(*(volatile uint8_t *)memmap_translate(memmap, 0, 1), 0);
	assert_false(memmap_same(memmap, &region, 1));
	memmap_put(memmap);
	gw_fd_close(&region.fd);
}

static void a_new_memmap_begins_unbroken(void **state)
{
	struct gw_memmap *memmap;
	int fd;

	use_own_handler();
	for (int i = 0; i < 3; i++) {
		memmap = make(&fd, 1);
		assert_false(memmap_broken(memmap));
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(*(volatile uint8_t *)memmap_translate(memmap, 0, 1), 0);
		assert_true(memmap_broken(memmap));
		memmap_put(memmap);
		gw_fd_close(&fd);
	}
}

static bool churn_ends;

static void *churn(void *arg)
{
	struct gw_memmap *memmap;
	int fd;

	while (!gw_load_relaxed(&churn_ends)) {
		memmap = make(&fd, 1);
		memmap_put(memmap);
		gw_fd_close(&fd);
	}
	return NULL;
}

/* Other guests come and go while one is caught by the handler. */
static void faults_while_other_memory_changes(void **state)
{
	struct gw_memmap *memmap;
	pthread_t thread;
	int fd;

	use_own_handler();
	churn_ends = false;
	pthread_create(&thread, NULL, churn, NULL);
	for (int i = 0; i < 200; i++) {
		memmap = make(&fd, 1);
		*(volatile uint8_t *)memmap_translate(memmap, 0, 1) = 1;
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(*(volatile uint8_t *)memmap_translate(memmap, PAGE, 1), 0);
		assert_true(memmap_broken(memmap));
		memmap_put(memmap);
		gw_fd_close(&fd);
	}
	gw_store_relaxed(&churn_ends, true);
	pthread_join(thread, NULL);
}

static void addresses_elsewhere_are_not_ours(void **state)
{
	int fds[1], local;
	struct gw_memmap *memmap = make(fds, 1);
	uint8_t *begin = memmap_translate(memmap, 0, FILE_BYTES);

	assert_false(memmap_fault(&local));
	assert_false(memmap_fault(NULL));
	assert_false(memmap_fault(begin - 1));
	assert_false(memmap_fault(begin + FILE_BYTES));
	assert_false(memmap_broken(memmap));
	assert_true(memmap_fault(begin + FILE_BYTES - 1));
	assert_true(memmap_broken(memmap));
	memmap_put(memmap);
	assert_false(memmap_fault(begin));
	gw_fd_close(&fds[0]);
}

/* ---- SIGBUS that is none of ours: in children, which may die ---- */

/* Touches a page beyond the end of a file that is no guest memory. */
static void fault_elsewhere(void)
{
	int fd = memfd_create("elsewhere", MFD_CLOEXEC);
	volatile uint8_t *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	(void)*p;
}

static int in_child(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		fn();
		_exit(3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void die_by_default(void)
{
	signal(SIGBUS, SIG_DFL);
	memmap_install_sigbus();
	fault_elsewhere();
}

static void on_earlier(int number, siginfo_t *info, void *context)
{
	_exit(7);
}

static void earlier_handler(void)
{
	struct sigaction action = { .sa_sigaction = on_earlier, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &action, NULL);
	memmap_install_sigbus();
	fault_elsewhere();
}

/* First: the handler is installed once in the life of a process. */
static void other_faults_go_to_the_handler_before(void **state)
{
	int status = in_child(die_by_default);

	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	status = in_child(earlier_handler);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_faults_go_to_the_handler_before),
		cmocka_unit_test(truncated_memory_reads_as_zeros),
		cmocka_unit_test(truncated_memory_is_not_the_same_table),
		cmocka_unit_test(a_new_memmap_begins_unbroken),
		cmocka_unit_test(faults_while_other_memory_changes),
		cmocka_unit_test(addresses_elsewhere_are_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
