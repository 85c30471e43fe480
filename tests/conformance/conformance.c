/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conformance DRIVER:TARGET[,OPTION=VALUE...] FAR[:ARG] [MTU]
 *
 * Runs all cases on one driver, in a network namespace of its own. Ends with 77
 * (skipped) and the reason where no such namespace can be had.
 */
#include "conformance.h"
#include "driver_table.h"
#include "veth.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define CASES_MAX   64u
#define ARENA_BYTES (16u << 20)
#define MTU_USUAL   1500u
#define EXIT_SKIP   77
#define TUN_PATH    "/dev/net/tun"

struct subject subject;

static const struct far_end *const far_ends[] = { &far_end_none, &far_end_interface,
						  &far_end_loop };

static int parse_subject(const char *spec, const char *far)
{
	size_t driver_len = strcspn(spec, ":"), far_len = strcspn(far, ":");

	for (unsigned int i = 0; gw_driver_table[i]; i++)
		if (strlen(gw_driver_table[i]->name) == driver_len &&
		    strncmp(gw_driver_table[i]->name, spec, driver_len) == 0)
			subject.driver = gw_driver_table[i];
	for (unsigned int i = 0; i < sizeof(far_ends) / sizeof(far_ends[0]); i++)
		if (strlen(far_ends[i]->name) == far_len &&
		    strncmp(far_ends[i]->name, far, far_len) == 0)
			subject.far_end = far_ends[i];
	if (!subject.driver || !subject.far_end || !spec[driver_len]) {
		fprintf(stderr, "conformance: no driver, or no far end: %s %s\n", spec, far);
		return -1;
	}
	subject.far_arg = far[far_len] ? far + far_len + 1 : "";
	snprintf(subject.host_spec, sizeof(subject.host_spec), "dev=%s", spec + driver_len + 1);
	return 0;
}

static void run_case(void **state)
{
	const struct conformance_case *conformance_case = *state;

	conformance_case->run();
}

/* The cast of interfaces; they end with the namespace, and that with the process. */
static int make_interfaces(void **state)
{
	veth_add("gw0", "gw1", subject.mtu);
	if (strcmp(subject.driver->name, "tap") == 0)
		veth_run("ip tuntap add dev gwtap0 mode tap vnet_hdr && "
			 "ip link set gwtap0 mtu %u up",
			 subject.mtu);
	return 0;
}

static unsigned int add_cases(struct CMUnitTest *tests, unsigned int count,
			      const struct conformance_case *cases)
{
	for (; cases->name && count < CASES_MAX; cases++) {
		if (cases->applies && !cases->applies())
			continue;
		tests[count++] = (struct CMUnitTest){
			.name = cases->name,
			.test_func = run_case,
			.initial_state = (void *)cases,
		};
	}
	return count;
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[CASES_MAX];
	unsigned int count = 0;
	char why[256];

	if (argc < 3) {
		fprintf(stderr, "usage: conformance DRIVER:TARGET[,...] FAR[:ARG] [MTU]\n");
		return 2;
	}
	if (parse_subject(argv[1], argv[2]))
		return 2;
	subject.mtu = argc > 3 ? (unsigned int)strtoul(argv[3], NULL, 10) : MTU_USUAL;
	if (strcmp(subject.driver->name, "tap") == 0 && access(TUN_PATH, R_OK | W_OK)) {
		fprintf(stderr, "skipped: this user may not open %s\n", TUN_PATH);
		return EXIT_SKIP;
	}
	if (!veth_enter(why, sizeof(why))) {
		fprintf(stderr, "skipped: %s\n", why);
		return EXIT_SKIP;
	}
	host_arena_bytes = ARENA_BYTES;
	count = add_cases(tests, count, cases_life);
	count = add_cases(tests, count, cases_query);
	count = add_cases(tests, count, cases_tx);
	count = add_cases(tests, count, cases_rx);
	count = add_cases(tests, count, cases_offload);
	return _cmocka_run_group_tests(argv[1], tests, count, make_interfaces, host_end);
}
