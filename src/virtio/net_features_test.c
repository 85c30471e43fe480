/* SPDX-License-Identifier: BSD-2-Clause */
#include "net_features.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define BIT(name) (1ull << VIRTIO_NET_F_##name)

struct features_case {
	uint64_t features;
	const char *missing; /* in the text; NULL: fine */
};

static const struct features_case cases[] = {
	{ 0, NULL },
	{ NET_FEATURES_HOST, NULL },
	{ NET_FEATURES_GUEST, NULL },
	{ NET_FEATURES_HOST | NET_FEATURES_GUEST, NULL },
	{ BIT(CSUM), NULL },
	{ BIT(CSUM) | BIT(HOST_TSO4), NULL },
	{ BIT(HOST_TSO4), "HOST_TSO4 without CSUM" },
	{ BIT(HOST_TSO6), "HOST_TSO6 without CSUM" },
	{ BIT(HOST_UFO), "HOST_UFO without CSUM" },
	{ BIT(HOST_USO), "HOST_USO without CSUM" },
	{ BIT(HOST_TSO4) | BIT(GUEST_CSUM), "HOST_TSO4 without CSUM" },
	{ BIT(CSUM) | BIT(HOST_ECN), "HOST_ECN without HOST_TSO4 or HOST_TSO6" },
	{ BIT(CSUM) | BIT(HOST_ECN) | BIT(HOST_TSO6), NULL },
	{ BIT(GUEST_CSUM), NULL },
	{ BIT(GUEST_TSO4), "GUEST_TSO4 without GUEST_CSUM" },
	{ BIT(GUEST_TSO6) | BIT(CSUM), "GUEST_TSO6 without GUEST_CSUM" },
	{ BIT(GUEST_UFO), "GUEST_UFO without GUEST_CSUM" },
	{ BIT(GUEST_USO4), "GUEST_USO4 without GUEST_CSUM" },
	{ BIT(GUEST_USO6), "GUEST_USO6 without GUEST_CSUM" },
	{ BIT(GUEST_CSUM) | BIT(GUEST_ECN) | BIT(GUEST_USO4),
	  "GUEST_ECN without GUEST_TSO4 or GUEST_TSO6" },
	{ BIT(GUEST_CSUM) | BIT(GUEST_ECN) | BIT(GUEST_TSO4), NULL },
};

static void features_that_need_one_another(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gw_error err = { 0 };
		int ret = net_features_check(cases[i].features, &err);

		assert_int_equal(ret, cases[i].missing ? -EINVAL : 0);
		if (cases[i].missing && !strstr(err.text, cases[i].missing))
			fail_msg("'%s' does not say %s", err.text, cases[i].missing);
	}
}

static void what_a_guest_takes(void **state)
{
	assert_int_equal(net_features_takes(0).takes, 0);
	assert_int_equal(net_features_takes(NET_FEATURES_HOST).takes, 0);
	assert_int_equal(net_features_takes(NET_FEATURES_GUEST).takes, GW_OFFLOAD_ALL);
	assert_int_equal(net_features_takes(BIT(GUEST_CSUM)).takes, GW_OFFLOAD_CSUM);
	assert_int_equal(net_features_takes(BIT(GUEST_CSUM) | BIT(GUEST_TSO6)).takes,
			 GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO6);
	/* A datagram may be of either IP version, so that one of the two is none. */
	assert_int_equal(net_features_takes(BIT(GUEST_CSUM) | BIT(GUEST_USO4)).takes,
			 GW_OFFLOAD_CSUM);
	assert_int_equal(
		net_features_takes(BIT(GUEST_CSUM) | BIT(GUEST_USO4) | BIT(GUEST_USO6)).takes,
		GW_OFFLOAD_CSUM | GW_OFFLOAD_USO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(features_that_need_one_another),
		cmocka_unit_test(what_a_guest_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
