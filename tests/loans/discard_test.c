/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages that a guest gives back under a device that has pinned them: what lies there is not
 * lent until the memory was mapped anew, and what lies elsewhere is.
 */
#include "rig.h"

#include "loop.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static bool mapped_anew(void *arg)
{
	struct loop_test_counts counts = loop_test_counts(arg);

	return counts.maps == 2 && counts.unmaps == 1;
}

struct lent_wait {
	struct rig *rig;
	struct vm *vm;
	uint64_t before;
};

static bool lent_again(void *arg)
{
	struct lent_wait *wait = arg;

	rig_send(wait->vm, 0xd0, 0);
	vm_wait_used(wait->vm);
	return rig_pair(wait->rig, "a", "d").lent_frames > wait->before;
}

static bool unmapped_for_discard(void *arg)
{
	struct lent_wait *wait = arg;

	rig_send(wait->vm, 0xd0, 0);
	vm_wait_used(wait->vm);
	return mapped_anew(loop_test_find("d"));
}

/* cmocka takes SIGBUS for itself at the beginning of each test. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
	if (!gw_sigbus(info->si_addr))
		abort();
}

static void handle_sigbus(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &action, NULL);
}

static void need_userfaultfd(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0) {
		print_message("no userfaultfd here: %s\n", strerror(errno));
		skip();
	}
	close(fd);
}

/* Long enough for more than one look. */
#define LOOKS_NS 1500000000ull

/* A balloon: what it takes is not sent from, and what is sent from is lent. */
static void memory_given_back_elsewhere_is_no_reason_to_copy(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:", NULL };
	const struct mock_region *region;
	struct rig rig;
	struct vm vm;
	struct lent_wait wait = { &rig, &vm, 0 };
	uint64_t until_ns;

	need_userfaultfd();
	rig_start(&rig, ports);
	handle_sigbus();
	rig_guest(&rig, &vm, "a");
	region = &vm.memory.region[0];
	/* What pinning does to the memory of a guest: every page is there. */
	assert_int_equal(fallocate(region->fd, 0, 0, (off_t)region->bytes), 0);
	rig_settle(&rig, &vm, "a", "d");
	vm_wait(lent_again, &wait, "a loan");
	assert_int_equal(fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)region->bytes - 65536, 65536),
			 0);
	until_ns = gw_now_ns() + LOOKS_NS;
	while (gw_now_ns() < until_ns) {
		wait.before = rig_pair(&rig, "a", "d").lent_frames;
		assert_true(lent_again(&wait));
	}
	assert_int_equal(loop_test_counts(loop_test_find("d")).maps, 1);
	vm_free(&vm);
	rig_free(&rig);
}

/* Another page at the same place, before anybody has looked: the file is as full as ever. */
static void a_page_that_went_and_came_back_is_not_lent(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:", NULL };
	struct gw_pair_info before, after;
	const struct mock_region *region;
	struct rig rig;
	struct vm vm;
	struct lent_wait wait = { &rig, &vm, 0 };

	need_userfaultfd();
	rig_start(&rig, ports);
	handle_sigbus();
	rig_guest(&rig, &vm, "a");
	region = &vm.memory.region[0];
	rig_settle(&rig, &vm, "a", "d");
	vm_wait(lent_again, &wait, "a loan");
	before = rig_pair(&rig, "a", "d");
	assert_int_equal(fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)(vm.tx.slots_addr - VM_MEMORY_ADDR),
				   VM_SLOTS * VM_SLOT_BYTES),
			 0);
	assert_int_equal(fallocate(region->fd, 0, 0, (off_t)region->bytes), 0);
	rig_send(&vm, 0xd0, 0);
	vm_wait_used(&vm);
	after = rig_pair(&rig, "a", "d");
	assert_int_equal(after.lent_frames, before.lent_frames);
	assert_int_equal(after.reasons[GW_COPY_MEMORY_DISCARDED],
			 before.reasons[GW_COPY_MEMORY_DISCARDED] + 1);
	vm_wait(unmapped_for_discard, &wait, "the memory to be mapped anew");
	wait.before = rig_pair(&rig, "a", "d").lent_frames;
	vm_wait(lent_again, &wait, "a loan of the memory that was mapped anew");
	vm_free(&vm);
	rig_free(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_given_back_elsewhere_is_no_reason_to_copy),
		cmocka_unit_test(a_page_that_went_and_came_back_is_not_lent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
