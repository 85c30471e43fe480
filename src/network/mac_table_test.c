/* SPDX-License-Identifier: BSD-2-Clause */
/* The address table: what is learned, for how long, and what a hostile port cannot do to it. */
#include "mac_table.h"

#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define MAC(n) (0x020000000000ull + (n))

static struct mac_table table;

static int clear(void **state)
{
	memset(&table, 0, sizeof(table));
	return 0;
}

static unsigned int entries_of(unsigned int port)
{
	unsigned int count = 0;

	for (unsigned int set = 0; set < MAC_SETS; set++)
		for (unsigned int way = 0; way < MAC_WAYS; way++)
			count += table.entry[set][way].mac && table.entry[set][way].port == port;
	return count;
}

static void bytes_are_read_in_order(void **state)
{
	const uint8_t bytes[] = { 0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e };

	assert_true(mac_read(bytes) == 0x0180c200000eull);
	assert_true(mac_is_multicast(mac_read(bytes)));
	assert_true(mac_is_multicast(0xffffffffffffull));
	assert_false(mac_is_multicast(MAC(1)));
}

static void an_address_is_found_behind_its_port(void **state)
{
	assert_int_equal(mac_lookup(&table, MAC(1), 5), MAC_NONE);
	mac_learn(&table, MAC(1), 3, 5);
	mac_learn(&table, MAC(2), 63, 5);
	assert_int_equal(mac_lookup(&table, MAC(1), 5), 3);
	assert_int_equal(mac_lookup(&table, MAC(2), 5), 63);
	assert_int_equal(table.per_port[3], 1);
}

static void multicast_and_zero_are_not_learned(void **state)
{
	mac_learn(&table, 0, 1, 5);
	mac_learn(&table, 0xffffffffffffull, 1, 5);
	mac_learn(&table, 0x01005e000001ull, 1, 5);
	assert_int_equal(entries_of(1), 0);
	assert_int_equal(mac_lookup(&table, 0, 5), MAC_NONE);
}

static void an_address_ages_unless_it_is_seen(void **state)
{
	mac_learn(&table, MAC(1), 3, 100);
	assert_int_equal(mac_lookup(&table, MAC(1), 100 + MAC_AGE_S), 3);
	assert_int_equal(mac_lookup(&table, MAC(1), 101 + MAC_AGE_S), MAC_NONE);
	mac_learn(&table, MAC(1), 3, 100 + MAC_AGE_S);
	assert_int_equal(mac_lookup(&table, MAC(1), 100 + 2 * MAC_AGE_S), 3);
	assert_int_equal(table.per_port[3], 1);
}

/* The clock is 32 bits of seconds: an address that was learned before it wraps is still fresh. */
static void the_clock_may_wrap(void **state)
{
	mac_learn(&table, MAC(1), 3, UINT32_MAX - 10);
	assert_int_equal(mac_lookup(&table, MAC(1), UINT32_MAX - 5), 3);
	assert_int_equal(mac_lookup(&table, MAC(1), 20), 3);
	assert_int_equal(mac_lookup(&table, MAC(1), MAC_AGE_S), MAC_NONE);
}

static void a_station_moves_to_where_it_was_seen_last(void **state)
{
	mac_learn(&table, MAC(1), 3, 5);
	mac_learn(&table, MAC(1), 4, 6);
	assert_int_equal(mac_lookup(&table, MAC(1), 6), 4);
	assert_int_equal(table.per_port[3], 0);
	assert_int_equal(table.per_port[4], 1);
}

static void one_port_has_its_share_and_no_more(void **state)
{
	for (unsigned int i = 0; i < 100000; i++)
		mac_learn(&table, MAC(i * 7919), 1, 5);
	assert_int_equal(entries_of(1), MAC_PER_PORT);
	assert_int_equal(table.per_port[1], MAC_PER_PORT);
	assert_int_equal(table.refused, 100000 - MAC_PER_PORT);
}

/* What is in use cannot be pushed out by somebody who invents addresses. */
static void fresh_addresses_are_not_pushed_out(void **state)
{
	for (unsigned int i = 0; i < 20; i++)
		mac_learn(&table, MAC(i), 0, 5);
	for (unsigned int port = 1; port < MAC_PORTS; port++)
		for (unsigned int i = 0; i < 2000; i++)
			mac_learn(&table, MAC(1000 + port * 100003 + i * 31), port, 5);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(mac_lookup(&table, MAC(i), 5), 0);
}

/* A port that has had its share of addresses long ago may learn others. */
static void aged_addresses_do_not_count(void **state)
{
	unsigned int learned = 0;

	for (unsigned int i = 0; i < 100000; i++)
		mac_learn(&table, MAC(i * 7919), 1, 5);
	for (unsigned int i = 0; i < 200; i++)
		mac_learn(&table, MAC(0x10000000 + i), 1, 6 + MAC_AGE_S);
	for (unsigned int i = 0; i < 200; i++)
		learned += mac_lookup(&table, MAC(0x10000000 + i), 6 + MAC_AGE_S) == 1;
	assert_int_equal(learned, 200);
	assert_int_equal(entries_of(1), table.per_port[1]);
	assert_int_equal(entries_of(1), 200);
}

/* It is flooded then, and not sent to where it is no more. */
static void a_station_that_moves_to_a_full_port_is_forgotten(void **state)
{
	for (unsigned int i = 0; i < 100000; i++)
		mac_learn(&table, MAC(i * 7919), 1, 5);
	mac_learn(&table, MAC(1), 2, 5);
	assert_int_equal(mac_lookup(&table, MAC(1), 5), 2);
	mac_learn(&table, MAC(1), 1, 5);
	assert_int_equal(mac_lookup(&table, MAC(1), 5), MAC_NONE);
	assert_int_equal(table.per_port[2], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(bytes_are_read_in_order, clear),
		cmocka_unit_test_setup(an_address_is_found_behind_its_port, clear),
		cmocka_unit_test_setup(multicast_and_zero_are_not_learned, clear),
		cmocka_unit_test_setup(an_address_ages_unless_it_is_seen, clear),
		cmocka_unit_test_setup(the_clock_may_wrap, clear),
		cmocka_unit_test_setup(a_station_moves_to_where_it_was_seen_last, clear),
		cmocka_unit_test_setup(one_port_has_its_share_and_no_more, clear),
		cmocka_unit_test_setup(fresh_addresses_are_not_pushed_out, clear),
		cmocka_unit_test_setup(aged_addresses_do_not_count, clear),
		cmocka_unit_test_setup(a_station_that_moves_to_a_full_port_is_forgotten, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
