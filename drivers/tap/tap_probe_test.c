/* SPDX-License-Identifier: BSD-2-Clause */
/* Made-up taps, and what the probe foretells. */
#include "tap_probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static struct finding_list list;
static const struct gw_probe_device device = { .name = "tap0", .mtu = 1500, .up = true };

static const struct gw_finding *judge(const struct gw_probe_host *host,
				      const struct tap_facts *facts)
{
	const struct gw_probe_question question = {
		.host = host, .device = facts ? &device : NULL, .sink = &list, .found = finding_keep
	};

	list.count = 0;
	tap_probe_judge(&question, facts);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.finding[0].subject, facts ? "start" : "new");
	assert_int_equal(list.finding[0].remedy[0] == 0, list.finding[0].found == GW_FOUND_YES);
	return list.finding;
}

static void who_may_attach(void **state)
{
	static const struct {
		struct tap_facts facts;
		bool admin, yes;
		const char *words;
	} rows[] = {
		{ { .tap = true }, false, true, "copies" },
		{ { .tap = false }, true, false, "not a tap" },
		{ { .tap = true, .has_owner = true, .owner = 7 }, false, true, "" },
		{ { .tap = true, .has_owner = true, .owner = 8 }, false, false, "another user" },
		{ { .tap = true, .has_owner = true, .owner = 8 }, true, true, "" },
		{ { .tap = true, .has_group = true }, false, false, "another user" },
		{ { .tap = true, .has_group = true, .in_group = true }, false, true, "" },
		{ { .tap = true, .carrier = true }, true, false, "another program" },
		{ { .tap = true, .carrier = true, .multi_queue = true }, true, true, "" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct gw_probe_host host = {
			.user = 7, .net_admin = rows[i].admin, .tun_exists = true, .tun_open = true
		};
		const struct gw_finding *finding = judge(&host, &rows[i].facts);

		print_message("row %zu: %s\n", i, finding->text);
		assert_int_equal(finding->found, rows[i].yes ? GW_FOUND_YES : GW_FOUND_NO);
		assert_non_null(strstr(finding->text, rows[i].words));
		assert_int_equal(finding->max_len, rows[i].yes ? 1518 : 0);
	}
}

static void without_the_device_file_there_is_nothing(void **state)
{
	static const struct tap_facts tap = { .tap = true };
	struct gw_probe_host host = { .net_admin = true };

	assert_non_null(strstr(judge(&host, &tap)->text, "there is no"));
	assert_non_null(strstr(judge(&host, NULL)->remedy, "modprobe"));
	host.tun_exists = true;
	assert_non_null(strstr(judge(&host, &tap)->text, "may not open"));
	host.tun_open = true;
	assert_int_equal(judge(&host, NULL)->found, GW_FOUND_YES);
	host.net_admin = false;
	assert_non_null(strstr(judge(&host, NULL)->remedy, "ip tuntap add"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_may_attach),
		cmocka_unit_test(without_the_device_file_there_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
