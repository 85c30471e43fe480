/* SPDX-License-Identifier: BSD-2-Clause */
/* Made-up hosts and devices, and what is found out about them. */
#include "probe_device.h"
#include "probe_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static const struct gw_probe_host root = {
	.kernel = "6.18.0",
	.kernel_major = 6,
	.kernel_minor = 18,
	.init_user_ns = true,
	.net_admin = true,
	.net_raw = true,
	.bpf = true,
	.ipc_lock = true,
	.af_xdp = true,
	.memlock_bytes = 8 << 20,
	.page_size_count = 1,
	.hugepages = { { .page_bytes = 2 << 20, .total = 4, .free = 1 } },
};

static struct finding_list list;

static const struct gw_finding *host_finding(const struct gw_probe_host *host, const char *subject)
{
	const struct gw_probe_question question = { .host = host,
						    .sink = &list,
						    .found = finding_keep };
	const struct gw_finding *finding;

	list.count = 0;
	probe_host_findings(&question);
	finding = finding_last(list.finding, list.count, "host", subject);
	assert_non_null(finding);
	assert_int_equal(finding->how, GW_FOUND_BY_ASKING);
	return finding;
}

static void expect_host(const struct gw_probe_host *host, const char *subject, enum gw_found found,
			const char *word)
{
	const struct gw_finding *finding = host_finding(host, subject);

	if (finding->found != found || !strstr(finding->text, word))
		fail_msg("%s: %s, %s", subject, gw_found_name(finding->found), finding->text);
	/* A no has a remedy, a yes needs none. */
	assert_int_equal(finding->remedy[0] == 0, found == GW_FOUND_YES);
}

static const char *const host_subjects[] = { "af_xdp",       "raw sockets",   "interfaces",
					     "xdp programs", "locked memory", "hugepages" };
#define HOST_SUBJECTS (sizeof(host_subjects) / sizeof(host_subjects[0]))

static void root_may_do_all(void **state)
{
	for (size_t i = 0; i < HOST_SUBJECTS; i++)
		expect_host(&root, host_subjects[i], GW_FOUND_YES, "");
	expect_host(&root, "locked memory", GW_FOUND_YES, "CAP_IPC_LOCK");
	expect_host(&root, "hugepages", GW_FOUND_YES, "2 MiB: 1 free of 4");
}

static void nobody_may_do_nothing(void **state)
{
	static const struct gw_probe_host nobody = {
		.kernel = "5.4.0", .user = 1000, .init_user_ns = true, .memlock_bytes = 65536
	};

	for (size_t i = 0; i < HOST_SUBJECTS; i++)
		expect_host(&nobody, host_subjects[i], GW_FOUND_NO, "");
	expect_host(&nobody, "locked memory", GW_FOUND_NO, "64 KiB");
	expect_host(&nobody, "raw sockets", GW_FOUND_NO, "user 1000");
}

static void root_of_a_user_namespace_is_half_a_root(void **state)
{
	struct gw_probe_host host = root;

	host.init_user_ns = host.bpf = host.ipc_lock = false;
	expect_host(&host, "raw sockets", GW_FOUND_YES, "user namespace");
	expect_host(&host, "xdp programs", GW_FOUND_NO, "user namespace");
	expect_host(&host, "locked memory", GW_FOUND_NO, "does not count");
	host.memlock_bytes = GW_PROBE_NO_LIMIT;
	expect_host(&host, "locked memory", GW_FOUND_YES, "infinite");
}

static void many_page_sizes_fit(void **state)
{
	struct gw_probe_host host = root;

	host.page_size_count = GW_PROBE_PAGE_SIZES;
	for (unsigned int i = 0; i < GW_PROBE_PAGE_SIZES; i++) {
		host.hugepages[i].page_bytes = 1ull << 62;
		host.hugepages[i].total = host.hugepages[i].free = UINT64_MAX;
	}
	assert_int_equal(strlen(host_finding(&host, "hugepages")->text), GW_PROBE_TEXT_BYTES - 1);
}

/* ---- devices ---- */

static void udp_goes_by_what_the_device_is(void **state)
{
	static const struct {
		struct gw_probe_device device;
		enum gw_found found;
		uint32_t reads;
	} rows[] = {
		{ { .loopback = true, .scatter_gather = true },
		  GW_FOUND_NO,
		  GW_READS_BIT(GW_READS_KERNEL_COPY) },
		{ { .bus = "0000:00:03.0" }, GW_FOUND_NO, GW_READS_BIT(GW_READS_KERNEL_COPY) },
		{ { .bus = "0000:00:03.0", .scatter_gather = true },
		  GW_FOUND_YES,
		  GW_READS_BIT(GW_READS_FRAGMENTS) },
		{ { .driver = "veth", .scatter_gather = true },
		  GW_FOUND_UNKNOWN,
		  GW_READS_BIT(GW_READS_FRAGMENTS) | GW_READS_BIT(GW_READS_KERNEL_COPY) },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct gw_probe_question question = { .host = &root,
							    .device = &rows[i].device,
							    .sink = &list,
							    .found = finding_keep };
		list.count = 0;
		probe_device_findings(&question);
		assert_int_equal(list.count, 1);
		assert_int_equal(list.finding[0].found, rows[i].found);
		assert_int_equal(list.finding[0].reads, rows[i].reads);
	}
}

/* ---- the list ---- */

static void the_last_finding_counts(void **state)
{
	struct gw_finding finding = { .path = "a", .subject = "b", .found = GW_FOUND_NO };

	list.count = 0;
	for (unsigned int i = 0; i < FINDINGS_MAX + 2; i++) {
		finding.code = (int)i;
		finding_keep(&list, &finding);
	}
	assert_int_equal(list.count, FINDINGS_MAX);
	assert_int_equal(finding_last(list.finding, list.count, "a", "b")->code, FINDINGS_MAX - 1);
	assert_null(finding_last(list.finding, list.count, "b", "a"));
}

static void kernels_compare(void **state)
{
	assert_true(probe_kernel_is(&root, 6, 18));
	assert_true(probe_kernel_is(&root, 5, 19));
	assert_false(probe_kernel_is(&root, 6, 19));
	assert_false(probe_kernel_is(&root, 7, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_may_do_all),
		cmocka_unit_test(nobody_may_do_nothing),
		cmocka_unit_test(root_of_a_user_namespace_is_half_a_root),
		cmocka_unit_test(many_page_sizes_fit),
		cmocka_unit_test(udp_goes_by_what_the_device_is),
		cmocka_unit_test(the_last_finding_counts),
		cmocka_unit_test(kernels_compare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
