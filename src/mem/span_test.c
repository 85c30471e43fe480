/* SPDX-License-Identifier: BSD-2-Clause */
#include "span.h"

#include "memmap.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define LOOKS     2000000u
#define ADDRESSES 1024u
#define SIZE      0x10000ull
#define GUEST     0x100000000ull
#define USER      0x7f0000000000ull
#define SPANS_MAX MEMMAP_REGIONS_MAX

static struct span spans[SPANS_MAX], room[3 * SPANS_MAX];
static struct span_table table;

/* With a gap behind each, in an order of no kind, and the three orders differ. */
static void fill(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		unsigned int at = i * 173 % count, host = i * 61 % count; /* both odd primes */

		spans[i] = (struct span){
			.guest_addr = GUEST + at * 2 * SIZE,
			.size = SIZE - (i % 7) * 0x1000,
			.user_addr = USER + i * 2 * SIZE,
			/* NOLINTNEXTLINE(performance-no-int-to-ptr): never looked at */
			.host = (uint8_t *)(uintptr_t)(0x10000000 + host * SIZE),
		};
	}
	span_table_fill(&table, spans, count, room);
}

static void each_address_by_each_key(void **state)
{
	for (unsigned int count = 1; count <= SPANS_MAX; count += count < 9 ? 1 : 50) {
		fill(count);
		for (unsigned int i = 0; i < count; i++) {
			const struct span *want = &spans[i];
			const uint64_t at[] = { 0, 1, want->size / 2, want->size - 1 };

			for (unsigned int j = 0; j < 4; j++) {
				const struct span *by_guest =
					span_of_guest(&table, want->guest_addr + at[j]);
				const struct span *by_user =
					span_of_user(&table, want->user_addr + at[j], 1);
				const struct span *by_host =
					span_of_host(&table, want->host + at[j]);

				assert_memory_equal(by_guest, want, sizeof(*want));
				assert_memory_equal(by_user, want, sizeof(*want));
				assert_memory_equal(by_host, want, sizeof(*want));
			}
			assert_null(span_of_guest(&table, want->guest_addr + want->size));
			assert_null(span_of_user(&table, want->user_addr + want->size, 1));
		}
		assert_null(span_of_guest(&table, 0));
		assert_null(span_of_guest(&table, GUEST - 1));
		assert_null(span_of_guest(&table, UINT64_MAX));
		assert_null(span_of_user(&table, USER - 1, 1));
		assert_null(span_of_user(&table, UINT64_MAX, 1));
		assert_null(span_of_host(&table, NULL));
	}
}

/* The guest has the same memory twice (an alias): the longer piece is found. */
static void user_addresses_that_overlap(void **state)
{
	fill(20);
	spans[5].user_addr = spans[4].user_addr + 0x100;
	spans[5].size = 2 * SIZE;
	span_table_fill(&table, spans, 20, room);
	assert_true(table.user_overlaps);
	assert_int_equal(span_of_user(&table, spans[4].user_addr, SIZE)->guest_addr,
			 spans[4].guest_addr);
	assert_int_equal(span_of_user(&table, spans[4].user_addr + 0x200, 2 * SIZE)->guest_addr,
			 spans[5].guest_addr);
	assert_null(span_of_user(&table, USER - 1, 1));
	/* Also where it begins before the shorter one, and neither has all of it. */
	spans[5].size = 0x800;
	span_table_fill(&table, spans, 20, room);
	assert_int_equal(span_of_user(&table, spans[4].user_addr + 0x200, 2 * SIZE)->guest_addr,
			 spans[4].guest_addr);
}

/* For people who change it: what a look-up takes. Nothing is asserted of a machine's speed. */
static void figures(void **state)
{
	static const unsigned int counts[] = { 1, 8, 509 };
	struct timespec begin, end;
	uint64_t addr[ADDRESSES], found = 0;

	for (unsigned int c = 0; c < 3; c++) {
		double ns;

		fill(counts[c]);
		for (unsigned int i = 0; i < ADDRESSES; i++)
			addr[i] = GUEST + (i * 7919ull % counts[c]) * 2 * SIZE;
		clock_gettime(CLOCK_MONOTONIC, &begin);
		for (unsigned int i = 0; i < LOOKS; i++)
			found += span_of_guest(&table, addr[i % ADDRESSES]) != NULL;
		clock_gettime(CLOCK_MONOTONIC, &end);
		ns = (double)(end.tv_sec - begin.tv_sec) * 1e9 +
		     (double)(end.tv_nsec - begin.tv_nsec);
		print_message("%u regions: %.1f ns\n", counts[c], ns / LOOKS);
	}
	assert_int_equal(found, 3ull * LOOKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_address_by_each_key),
		cmocka_unit_test(user_addresses_that_overlap),
		cmocka_unit_test(figures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
