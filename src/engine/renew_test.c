/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that loses pages under a device: the rest is lent, and it is mapped anew. */
#include "engine_rig.h"

#include "memmap.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char *const live_ports[] = { "a=fake:", "d=live:", NULL };
static const char *const plain_ports[] = { "a=fake:", "d=fake:", NULL };

/* cmocka takes SIGBUS for itself at the beginning of each test. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
	if (!memmap_fault(info->si_addr))
		abort();
}

static int device_that_maps(void **state)
{
	fake_template_reset();
	fake_template.answer.needs_map = true;
	fake_template.copies_go = true;
	return 0;
}

static void need_witness(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0) {
		print_message("no userfaultfd here: %s\n", strerror(errno));
		skip();
	}
	close(fd);
}

static struct gw_memmap *memory;

static bool one_lent(struct engine_rig *rig)
{
	return rig_decides(rig, memory, GW_REASON_NONE);
}

/* The guest gives all of it back, and has other pages there at once. */
static void replace_pages(void)
{
	struct gw_window window;

	gw_memmap_window(memory, &window);
	assert_int_equal(madvise(window.base, window.len, MADV_REMOVE), 0);
	memset(window.base, 0xff, window.len);
}

static void begin(struct engine_rig *rig, const char *const *ports)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	need_witness();
	assert_int_equal(memmap_install_sigbus(), 0);
	sigaction(SIGBUS, &action, NULL);
	memory = rig_memory();
	rig_run(rig, ports);
	rig_wait(one_lent, rig, "a loan");
}

static void end(struct engine_rig *rig)
{
	rig_complete(rig, 1, UINT32_MAX);
	memmap_put(memory);
	rig_free(rig);
}

static uint64_t stale_copies(struct engine_rig *rig)
{
	return rig_pair(rig, 0, 1).reasons[GW_COPY_MEMORY_DISCARDED];
}

/* A device that holds loans is stalled after a while, and the first copies may be for that. */
static bool copied_as_stale(struct engine_rig *rig)
{
	assert_false(one_lent(rig));
	return stale_copies(rig) > 0;
}

/* Nothing waits for loans to come home, and nobody is asked. */
static void the_rest_goes_on_while_it_is_mapped_anew(void **state)
{
	struct engine_rig rig;
	struct pair pair;

	begin(&rig, live_ports);
	pair = rig_pair(&rig, 0, 1);
	assert_true(pair.loans_out > 0);
	replace_pages();
	rig_wait(copied_as_stale, &rig, "a copy of what was replaced");
	rig_wait(one_lent, &rig, "a loan of the memory that was mapped anew");
	assert_true(rig_count(&rig, 1, remaps) >= 1);
	assert_int_equal(rig_count(&rig, 1, maps), 1);
	assert_int_equal(rig_count(&rig, 1, unmaps), 0);
	assert_int_equal(rig_count(&rig, 1, queries), 1);
	assert_int_equal(rig_pair(&rig, 0, 1).reasons[GW_COPY_QUERY_PENDING],
			 pair.reasons[GW_COPY_QUERY_PENDING]);
	assert_int_equal(rig_pair(&rig, 0, 1).reasons[GW_COPY_MAPPING_PENDING],
			 pair.reasons[GW_COPY_MAPPING_PENDING]);
	end(&rig);
}

static bool tried_twice(struct engine_rig *rig)
{
	assert_false(one_lent(rig));
	return rig_count(rig, 1, remaps) >= 2;
}

static void what_cannot_be_mapped_anew_is_copied_and_tried_again(void **state)
{
	struct engine_rig rig;

	begin(&rig, live_ports);
	gw_store_relaxed(&rig_fake(&rig, 1)->fail_remap, true);
	replace_pages();
	rig_wait(tried_twice, &rig, "another attempt");
	gw_store_relaxed(&rig_fake(&rig, 1)->fail_remap, false);
	rig_wait(one_lent, &rig, "a loan of the memory that was mapped anew");
	assert_int_equal(rig_count(&rig, 1, unmaps), 0);
	end(&rig);
}

static bool unmapped_once(struct engine_rig *rig)
{
	assert_false(one_lent(rig));
	rig_complete(rig, 1, UINT32_MAX);
	return rig_count(rig, 1, unmaps) == 1;
}

static void a_device_that_cannot_is_waited_for(void **state)
{
	struct engine_rig rig;

	begin(&rig, plain_ports);
	replace_pages();
	rig_wait(unmapped_once, &rig, "the memory to be unmapped");
	rig_wait(one_lent, &rig, "a loan of the memory that was mapped anew");
	assert_int_equal(rig_count(&rig, 1, maps), 2);
	end(&rig);
}

static void discard(void *arg)
{
	retire_stale(rig_port(arg, 0), memory);
}

static void what_is_not_sent_from_is_no_reason(void **state)
{
	uint64_t until_ns = gw_now_ns() + 1000000000;
	struct engine_rig rig;

	begin(&rig, live_ports);
	rig_complete(&rig, 1, UINT32_MAX);
	while (gw_now_ns() < until_ns) {
		gw_loop_call(rig.engine->loop, discard, &rig);
		assert_true(one_lent(&rig));
	}
	assert_int_equal(rig_count(&rig, 1, remaps), 0);
	assert_int_equal(rig_count(&rig, 1, maps), 1);
	end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_rest_goes_on_while_it_is_mapped_anew, device_that_maps),
		cmocka_unit_test_setup(what_cannot_be_mapped_anew_is_copied_and_tried_again,
				       device_that_maps),
		cmocka_unit_test_setup(a_device_that_cannot_is_waited_for, device_that_maps),
		cmocka_unit_test_setup(what_is_not_sent_from_is_no_reason, device_that_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
