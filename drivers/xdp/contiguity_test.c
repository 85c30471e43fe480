/* SPDX-License-Identifier: BSD-2-Clause */
#include "contiguity.h"

#include "host.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

#define HUGE_BYTES  (2u << 20)
#define GUEST_BYTES (2 * HUGE_BYTES)

static uint32_t contiguous(const struct host_memory *memory)
{
	struct gw_window window;

	gw_memmap_window(memory->memmap, &window);
	return contiguity_of_window(&window);
}

static void small_pages_are_not(void **state)
{
	struct host_memory memory;

	host_memory_create(&memory, GUEST_BYTES, 0);
	assert_int_equal(contiguous(&memory), 4096);
	/* Populated, but with small pages (unless the machine does otherwise). */
	memset(memory.guest, 1, 4096);
	assert_int_equal(contiguous(&memory), 4096);
	host_memory_destroy(&memory);
}

/* One huge page of two is not enough; with both, it is known. */
static void transparent_huge_pages_are(void **state)
{
	struct host_memory memory;
	uint8_t *at;
	int rc;

	host_memory_create(&memory, GUEST_BYTES, 0);
	memset(memory.guest, 1, GUEST_BYTES);
	at = host_memory_at(&memory, 0);
	assert_int_equal((uintptr_t)at % HUGE_BYTES, 0);
	rc = madvise(at, HUGE_BYTES, MADV_COLLAPSE);
	if (rc) {
		print_message("skipped: MADV_COLLAPSE: %s\n", strerror(errno));
		host_memory_destroy(&memory);
		skip();
	}
	assert_int_equal(contiguous(&memory), 4096);
	assert_int_equal(madvise(at + HUGE_BYTES, HUGE_BYTES, MADV_COLLAPSE), 0);
	assert_int_equal(contiguous(&memory), HUGE_BYTES);
	host_memory_destroy(&memory);
}

static void hugetlb_is_by_nature(void **state)
{
	const struct gw_window window = { .page_bytes = 1u << 30 };

	assert_int_equal(contiguity_of_window(&window), 1u << 30);
}

static void what_has_no_iommu_is_not_translated(void **state)
{
	struct netdev_info netdev = { .bus = "" };

	assert_false(contiguity_translated(&netdev));
	strcpy(netdev.bus, "0000:ff:1f.7");
	assert_false(contiguity_translated(&netdev));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_pages_are_not),
		cmocka_unit_test(transparent_huge_pages_are),
		cmocka_unit_test(hugetlb_is_by_nature),
		cmocka_unit_test(what_has_no_iommu_is_not_translated),
	};

	return cmocka_run_group_tests(tests, NULL, host_end);
}
