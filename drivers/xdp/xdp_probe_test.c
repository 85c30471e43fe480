/* SPDX-License-Identifier: BSD-2-Clause */
/* Made-up interfaces on made-up hosts, and what the probe foretells. */
#include "xdp_probe.h"

#include "xdp_rules.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define DMA       GW_READS_BIT(GW_READS_DMA)
#define FRAGMENTS GW_READS_BIT(GW_READS_FRAGMENTS)
#define COPY      GW_READS_BIT(GW_READS_KERNEL_COPY)

enum { NO = GW_FOUND_NO, YES = GW_FOUND_YES, UNSURE = GW_FOUND_UNKNOWN };

static struct finding_list list;

static struct gw_probe_host root_on(unsigned int major, unsigned int minor)
{
	return (struct gw_probe_host){
		.kernel = "x",
		.kernel_major = major,
		.kernel_minor = minor,
		.init_user_ns = true,
		.net_admin = true,
		.net_raw = true,
		.bpf = true,
		.ipc_lock = true,
		.af_xdp = true,
		.memlock_bytes = 65536,
	};
}

static struct xdp_facts nic(const char *driver, uint32_t segs, uint32_t mtu)
{
	struct xdp_facts facts = {
		.netdev = { .mtu = mtu,
			    .up = true,
			    .scatter_gather = true,
			    .features_known = true,
			    .zerocopy = segs > 0,
			    .zerocopy_segs = segs ? segs : 1,
			    .native_xdp = true },
		.use = { .queue_known = true },
		.platform_dma = true,
	};

	strcpy(facts.netdev.driver, driver);
	return facts;
}

static void judge(const struct gw_probe_host *host, const struct xdp_facts *facts)
{
	static const struct gw_probe_device device = { .name = "eth1" };
	const struct gw_probe_question question = {
		.host = host, .device = &device, .sink = &list, .found = finding_keep
	};

	list.count = 0;
	xdp_probe_judge(&question, facts);
	for (unsigned int i = 0; i < list.count; i++) {
		const struct gw_finding *f = &list.finding[i];

		assert_int_equal(f->how, GW_FOUND_BY_ASKING);
		assert_true(f->text[0]);
		if (f->found == GW_FOUND_NO && !f->remedy[0])
			fail_msg("no remedy: %s: %s", f->subject, f->text);
	}
}

static const struct gw_finding *about(const char *subject)
{
	const struct gw_finding *finding = finding_last(list.finding, list.count, "xdp", subject);

	if (!finding)
		fail_msg("nothing about %s", subject);
	return finding;
}

static void expect(const char *subject, int found)
{
	const struct gw_finding *finding = about(subject);

	if ((int)finding->found != found)
		fail_msg("%s: %s (%s)", subject, gw_found_name(finding->found), finding->text);
}

/* What was seen on these devices; the laboratory's table, as it were. */
static void known_devices(void **state)
{
	static const struct {
		const char *driver;
		uint32_t segs, mtu;
		unsigned int major, minor;
		bool no_gather, no_platform_dma;
		int zerocopy, multi_buffer, copy;
		uint32_t reads, max_len;
	} rows[] = {
		{ "igb", 1, 1500, 6, 16, false, false, YES, NO, YES, DMA, 1518 },
		{ "igb", 1, 3000, 6, 16, false, false, UNSURE, UNSURE, YES, DMA | COPY, 0 },
		{ "igb", 1, 9000, 6, 16, false, false, NO, YES, YES, COPY, 9018 },
		{ "igb", 0, 1500, 6, 12, false, false, NO, YES, YES, COPY, 1518 },
		{ "ice", 5, 9000, 6, 16, false, false, YES, YES, YES, DMA, 9018 },
		{ "ice", 5, 9000, 6, 5, false, false, YES, NO, YES, DMA, 4096 },
		{ "virtio_net", 1, 1500, 6, 18, false, false, YES, NO, YES, DMA, 1518 },
		{ "virtio_net", 1, 1500, 6, 18, false, true, NO, YES, YES, FRAGMENTS, 1518 },
		{ "virtio_net", 1, 1500, 6, 18, true, true, NO, YES, YES, COPY, 1518 },
		{ "virtio_net", 0, 1500, 6, 12, false, false, NO, YES, NO, FRAGMENTS, 1518 },
		{ "virtio_net", 1, 65000, 6, 18, false, false, NO, YES, YES, FRAGMENTS, 65018 },
		{ "veth", 0, 65535, 6, 18, false, false, NO, YES, YES, COPY, 65553 },
		{ "veth", 0, 9000, 6, 1, false, false, NO, NO, YES, COPY, 4096 },
		{ "", 0, 65536, 6, 18, false, false, NO, YES, YES, COPY, 65554 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct xdp_facts facts = nic(rows[i].driver, rows[i].segs, rows[i].mtu);
		struct gw_probe_host host = root_on(rows[i].major, rows[i].minor);

		facts.netdev.scatter_gather = !rows[i].no_gather;
		facts.platform_dma = !rows[i].no_platform_dma;
		judge(&host, &facts);
		print_message("row %zu\n", i);
		expect("zero-copy", rows[i].zerocopy);
		expect("multi-buffer", rows[i].multi_buffer);
		expect("copy", rows[i].copy);
		expect("start", YES);
		assert_int_equal(about("start")->reads, rows[i].reads);
		assert_int_equal(about("start")->max_len, rows[i].max_len);
	}
}

static void expect_remedy(const char *subject, const char *words)
{
	if (!strstr(about(subject)->remedy, words))
		fail_msg("%s: %s", subject, about(subject)->remedy);
}

static void remedies_fit_the_device(void **state)
{
	struct gw_probe_host host = root_on(6, 12);
	struct xdp_facts facts = nic("igb", 0, 1500);

	judge(&host, &facts);
	expect_remedy("zero-copy", "Linux 6.14");
	facts = nic("veth", 0, 1500);
	judge(&host, &facts);
	expect_remedy("zero-copy", "a NIC with it");
	facts = nic("virtio_net", 1, 1500);
	facts.platform_dma = false;
	judge(&host, &facts);
	expect_remedy("zero-copy", "iommu_platform=on");
	facts = nic("igb", 1, 9000);
	judge(&host, &facts);
	expect_remedy("zero-copy", "ip link set eth1 mtu 1500");
	facts = nic("virtio_net", 0, 1500);
	judge(&host, &facts);
	expect_remedy("copy", "Linux 6.18");
}

static void what_prevents_a_start_prevents_all(void **state)
{
	static const char *const subjects[] = { "start", "zero-copy", "copy", "receive",
						"multi-buffer" };
	const struct xdp_facts facts = nic("igb", 1, 1500);
	const struct gw_probe_host good = root_on(6, 18);
	struct xdp_facts taken = facts;
	struct gw_probe_host bad[3] = { good, good, good };

	taken.use.queue_taken = true;
	bad[0].af_xdp = false;
	bad[1].net_raw = false;
	bad[2].ipc_lock = false;
	for (size_t i = 0; i < 4; i++) {
		judge(i < 3 ? &bad[i] : &good, i < 3 ? &facts : &taken);
		for (size_t s = 0; s < sizeof(subjects) / sizeof(subjects[0]); s++)
			expect(subjects[s], NO);
		assert_int_equal(about("start")->reads, 0);
		assert_null(about("receive")->via);
	}
	bad[2].memlock_bytes = GW_PROBE_NO_LIMIT;
	judge(&bad[2], &facts);
	expect("start", YES);
}

static void old_kernels_do_not_tell(void **state)
{
	struct gw_probe_host host = root_on(6, 1);
	struct xdp_facts facts = nic("ice", 0, 1500);

	facts.netdev.features_known = false;
	facts.netdev.native_xdp = false;
	facts.use.queue_known = false;
	judge(&host, &facts);
	expect("zero-copy", UNSURE);
	expect("multi-buffer", NO);
	expect("checksum", NO);
	expect("start", YES);
	assert_int_equal(about("start")->reads, DMA | COPY);
	assert_null(about("receive")->via);
	assert_non_null(strstr(about("start")->text, "shows at the bind"));
}

static void receiving(void **state)
{
	struct gw_probe_host host = root_on(6, 18);
	struct xdp_facts facts = nic("veth", 0, 1500);

	judge(&host, &facts);
	assert_string_equal(about("receive")->via, "XDP");
	facts.netdev.mtu = 9000;
	judge(&host, &facts);
	assert_null(about("receive")->via);
	facts.netdev.native_xdp_long = true;
	judge(&host, &facts);
	assert_string_equal(about("receive")->via, "XDP");
	facts.netdev.native_xdp = false;
	judge(&host, &facts);
	assert_string_equal(about("receive")->via, "generic XDP");
	facts.use.program = true;
	judge(&host, &facts);
	assert_string_equal(about("receive")->via, "AF_PACKET");
	facts.use.program = false;
	host.bpf = false;
	judge(&host, &facts);
	assert_string_equal(about("receive")->via, "AF_PACKET");
}

static void some_nics_send_with_a_program_only(void **state)
{
	struct gw_probe_host host = root_on(6, 18);
	struct xdp_facts igb = nic("igb", 1, 1500), virtio = nic("virtio_net", 1, 1500);

	igb.use.program = virtio.use.program = true;
	judge(&host, &igb);
	expect("zero-copy", NO);
	expect_remedy("zero-copy", "xdp off");
	assert_int_equal(about("start")->reads, COPY);
	judge(&host, &virtio);
	expect("zero-copy", YES);
	igb.use.program = false;
	judge(&host, &igb);
	expect("zero-copy", YES);
	host.bpf = false;
	judge(&host, &igb);
	expect("zero-copy", NO);
	expect_remedy("zero-copy", "CAP_BPF");
	expect("receive", YES);
}

static void checksums(void **state)
{
	struct gw_probe_host host = root_on(6, 18), older = root_on(6, 10);
	struct xdp_facts facts = nic("mlx5_core", 5, 1500);

	judge(&host, &facts);
	expect("checksum", NO);
	assert_non_null(strstr(about("checksum")->text, "has no tx-checksum"));
	facts.netdev.tx_checksum = true;
	judge(&host, &facts);
	expect("checksum", NO);
	expect_remedy("checksum", "bind=copy");
	facts = nic("veth", 0, 1500);
	judge(&host, &facts);
	expect("checksum", YES);
	assert_non_null(strstr(about("checksum")->text, "checksum=device"));
	judge(&older, &facts);
	expect("checksum", NO);
	expect_remedy("checksum", "Linux 6.11");
}

static void the_mtu_of_zero_copy(void **state)
{
	static const struct {
		uint32_t segs, mtu;
		enum gw_verdict verdict;
	} rows[] = {
		{ 1, 1500, GW_YES },    { 1, 1774, GW_YES }, { 1, 1775, GW_PARTLY },
		{ 1, 3822, GW_PARTLY }, { 1, 3823, GW_NO },  { 1, UINT32_MAX - 20, GW_NO },
		{ 2, 9000, GW_YES },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct xdp_facts facts = nic("igb", rows[i].segs, rows[i].mtu);

		assert_int_equal(rules_zerocopy_mtu(&facts.netdev), rows[i].verdict);
	}
}

/* 512 buffers, a quarter for further queues, 64 for the host in zero-copy mode; 2 MiB steps. */
static void more_queues_take_more_memory(void **state)
{
	static const struct {
		unsigned int queues;
		uint32_t segs;
		unsigned int channels;
		size_t mib;
	} rows[] = {
		{ 0, 0, 1, 4 }, { 1, 0, 1, 4 }, { 8, 0, 8, 6 }, { 8, 1, 8, 8 }, { 128, 1, 8, 8 },
	};
	struct gw_probe_host host = root_on(6, 18);

	host.ipc_lock = false;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct xdp_facts facts = nic("igb", rows[i].segs, 1500);

		facts.netdev.queues = rows[i].queues;
		assert_int_equal(rules_channels(&facts.netdev, true), rows[i].channels);
		assert_int_equal(rules_channels(&facts.netdev, false), 1);
		assert_int_equal(rules_arena_bytes(&facts.netdev), rows[i].mib << 20);
		host.memlock_bytes = rows[i].mib << 20;
		judge(&host, &facts);
		expect("start", YES);
		host.memlock_bytes--;
		judge(&host, &facts);
		expect("start", NO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_devices),
		cmocka_unit_test(remedies_fit_the_device),
		cmocka_unit_test(what_prevents_a_start_prevents_all),
		cmocka_unit_test(old_kernels_do_not_tell),
		cmocka_unit_test(receiving),
		cmocka_unit_test(some_nics_send_with_a_program_only),
		cmocka_unit_test(checksums),
		cmocka_unit_test(the_mtu_of_zero_copy),
		cmocka_unit_test(more_queues_take_more_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
