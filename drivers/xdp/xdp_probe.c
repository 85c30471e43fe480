/* SPDX-License-Identifier: BSD-2-Clause */
#include "xdp_probe.h"

#include "probe_host.h"
#include "xdp_rules.h"
#include <inttypes.h>
#include <string.h>

/* Frames of several descriptors. */
#define MULTI_BUFFER_KERNEL_MAJOR 6
#define MULTI_BUFFER_KERNEL_MINOR 6
/* Requests before the frame, checksums among them, as xsk.c registers room for them. */
#define METADATA_KERNEL_MAJOR     6
#define METADATA_KERNEL_MINOR     11

/* For those who have the NIC and not the kernel: since when its driver has zero-copy. */
static const struct {
	const char *driver;
	unsigned int major, minor;
} zerocopy_since[] = {
	{ "i40e", 4, 20 }, { "ixgbe", 4, 20 }, { "mlx5_core", 5, 3 },   { "ice", 5, 5 },
	{ "igc", 5, 14 },  { "igb", 6, 14 },   { "virtio_net", 6, 16 },
};

struct judgement {
	const struct gw_probe_question *question;
	const struct xdp_facts *facts;
	enum gw_found start, zerocopy; /* judged so far */
};

static struct gw_finding about(const char *subject, enum gw_found found)
{
	return (struct gw_finding){ .path = "xdp", .subject = subject, .found = found };
}

/* ---- can there be a port at all? ---- */

/* The first obstacle, in the order in which start would meet them; false if there is none. */
static bool obstacle(const struct judgement *j, struct gw_finding *finding)
{
	const struct gw_probe_host *host = j->question->host;
	size_t arena_bytes = rules_arena_bytes(&j->facts->netdev);

	if (!host->af_xdp) {
		finding_say(finding, "this kernel has no AF_XDP");
		finding_remedy(finding, "a kernel with CONFIG_XDP_SOCKETS");
		return true;
	}
	if (!host->net_raw) {
		finding_say(finding, "AF_XDP sockets need CAP_NET_RAW in this network namespace");
		finding_remedy(finding, "run as root, or give the daemon CAP_NET_RAW");
		return true;
	}
	if (!host->ipc_lock && host->memlock_bytes < arena_bytes) {
		finding_say(finding,
			    "the limit on locked memory is %" PRIu64 " KiB; the port's own memory "
			    "alone is %zu",
			    host->memlock_bytes >> 10, arena_bytes >> 10);
		finding_remedy(finding, "ulimit -l, LimitMEMLOCK=, or CAP_IPC_LOCK");
		return true;
	}
	if (j->facts->use.queue_taken) {
		finding_say(finding, "another AF_XDP socket has queue %u", PROBE_QUEUE);
		finding_remedy(finding, "stop that program, or take another queue (queue=N)");
		return true;
	}
	return false;
}

/* ---- zero-copy ---- */

static void no_zerocopy_driver(const struct judgement *j, struct gw_finding *finding)
{
	const struct gw_probe_host *host = j->question->host;
	const char *driver = j->facts->netdev.driver;

	finding_say(finding, "%s%s has none on Linux %u.%u", driver[0] ? "driver " : "its driver",
		    driver, host->kernel_major, host->kernel_minor);
	finding_remedy(finding, "a NIC with it: igb, igc, i40e, ice, ixgbe, mlx5, gve, stmmac, "
				"virtio_net ...");
	for (size_t i = 0; i < sizeof(zerocopy_since) / sizeof(zerocopy_since[0]); i++)
		if (!strcmp(zerocopy_since[i].driver, driver) &&
		    !probe_kernel_is(host, zerocopy_since[i].major, zerocopy_since[i].minor))
			finding_remedy(finding, "Linux %u.%u or newer", zerocopy_since[i].major,
				       zerocopy_since[i].minor);
}

static void judge_zerocopy_mtu(const struct judgement *j, struct gw_finding *finding)
{
	const struct netdev_info *netdev = &j->facts->netdev;

	switch (rules_zerocopy_mtu(netdev)) {
	case GW_YES:
		finding->found = GW_FOUND_YES;
		finding_say(finding, "driver %s advertises it, %u descriptor%s for a frame",
			    netdev->driver, netdev->zerocopy_segs,
			    netdev->zerocopy_segs == 1 ? "" : "s");
		break;
	case GW_PARTLY:
		finding->found = GW_FOUND_UNKNOWN;
		finding_say(finding,
			    "driver %s advertises it, one descriptor for a frame; whether it takes "
			    "MTU %u shows at the bind",
			    netdev->driver, netdev->mtu);
		finding_remedy(finding, "--try; or ip link set %s mtu 1500",
			       j->question->device->name);
		break;
	case GW_NO:
		finding_say(finding,
			    "driver %s advertises it, but one descriptor for a frame: too few for "
			    "MTU %u",
			    netdev->driver, netdev->mtu);
		finding_remedy(
			finding, "MTU %u at most, %u with any driver: ip link set %s mtu 1500",
			RULES_ZEROCOPY_MTU_MOST, RULES_ZEROCOPY_MTU_ANY, j->question->device->name);
		break;
	}
}

/* Some NICs send nothing in zero-copy mode without an XDP program: true if there can be none. */
static bool lacks_program(const struct judgement *j)
{
	return rules_zerocopy_wants_program(&j->facts->netdev) &&
	       (!j->question->host->bpf || j->facts->use.program);
}

static struct gw_finding judge_zerocopy(const struct judgement *j)
{
	const struct netdev_info *netdev = &j->facts->netdev;
	struct gw_finding finding = about("zero-copy", GW_FOUND_NO);

	finding.reads = GW_READS_BIT(GW_READS_DMA);
	if (j->start == GW_FOUND_NO) {
		(void)obstacle(j, &finding);
	} else if (!netdev->features_known) {
		finding.found = GW_FOUND_UNKNOWN;
		finding_say(&finding, "Linux %s does not tell", j->question->host->kernel);
		finding_remedy(&finding, "--try; Linux 6.3 tells");
	} else if (!netdev->zerocopy) {
		no_zerocopy_driver(j, &finding);
	} else if (!j->facts->platform_dma) {
		finding_say(&finding,
			    "driver %s advertises it, but the device ignores the "
			    "platform's DMA addresses: the bind ends with EINVAL",
			    netdev->driver);
		finding_remedy(&finding, "in the VM's configuration: iommu_platform=on,"
					 "disable-legacy=on for this device");
	} else if (lacks_program(j)) {
		finding_say(&finding,
			    "driver %s sends in zero-copy mode only with an XDP program, and %s",
			    netdev->driver,
			    j->facts->use.program ? "there is another one"
						  : "this user may not load any");
		finding_remedy(&finding,
			       j->facts->use.program
				       ? "ip link set %s xdp off"
				       : "CAP_BPF and CAP_NET_ADMIN of the host, for %s",
			       j->question->device->name);
	} else {
		judge_zerocopy_mtu(j, &finding);
	}
	return finding;
}

/* ---- copy mode ---- */

static void judge_copy(const struct judgement *j)
{
	const struct gw_probe_host *host = j->question->host;
	const struct netdev_info *netdev = &j->facts->netdev;
	enum gw_reads reads = rules_reads(netdev, false);
	struct gw_finding finding = about("copy", j->start);

	finding.reads = GW_READS_BIT(reads);
	if (j->start == GW_FOUND_NO) {
		(void)obstacle(j, &finding);
	} else if (reads == GW_READS_KERNEL_COPY) {
		finding_say(&finding, "the kernel copies each frame once");
	} else if (rules_fragments_are_safe(host->kernel_major, host->kernel_minor)) {
		finding_say(&finding, "driver %s passes pages on: nobody copies", netdev->driver);
	} else {
		finding.found = GW_FOUND_NO;
		finding_say(&finding,
			    "Linux %s reports frames as sent that %s still reads: the daemon "
			    "copies them all",
			    host->kernel, netdev->driver);
		finding_remedy(&finding, "Linux 6.18");
	}
	finding_tell(j->question, &finding);
}

static void judge_multi_buffer(const struct judgement *j)
{
	const struct gw_probe_host *host = j->question->host;
	struct gw_finding finding = about("multi-buffer", GW_FOUND_NO);

	if (j->start == GW_FOUND_NO) {
		(void)obstacle(j, &finding);
	} else if (!probe_kernel_is(host, MULTI_BUFFER_KERNEL_MAJOR, MULTI_BUFFER_KERNEL_MINOR)) {
		finding_say(&finding, "Linux %s has no frames of several descriptors",
			    host->kernel);
		finding_remedy(&finding, "Linux 6.6 or newer");
	} else if (j->zerocopy == GW_FOUND_NO || j->facts->netdev.zerocopy_segs > 1) {
		finding.found = GW_FOUND_YES;
		finding_say(&finding, "%u descriptors for a frame",
			    rules_pieces_max(
				    &j->facts->netdev,
				    rules_reads(&j->facts->netdev, j->zerocopy == GW_FOUND_YES),
				    true));
	} else {
		finding.found = j->zerocopy == GW_FOUND_YES ? GW_FOUND_NO : GW_FOUND_UNKNOWN;
		finding_say(&finding, "in zero-copy mode the NIC takes one descriptor for a frame: "
				      "what crosses a page is copied, unless guests are on "
				      "hugepages");
		finding_remedy(&finding, "hugepages for the guests; bind=copy has it");
	}
	finding_tell(j->question, &finding);
}

/* Who fills in a checksum that the guest left, with checksum=auto or device. */
static void judge_checksum(const struct judgement *j)
{
	const struct gw_probe_host *host = j->question->host;
	const struct netdev_info *netdev = &j->facts->netdev;
	struct gw_finding finding = about("checksum", GW_FOUND_NO);

	if (j->start == GW_FOUND_NO) {
		(void)obstacle(j, &finding);
	} else if (!probe_kernel_is(host, METADATA_KERNEL_MAJOR, METADATA_KERNEL_MINOR)) {
		finding_say(&finding,
			    "Linux %u.%u takes no requests for them (TX metadata); it is "
			    "done in software",
			    host->kernel_major, host->kernel_minor);
		finding_remedy(&finding, "Linux %u.%u or newer", METADATA_KERNEL_MAJOR,
			       METADATA_KERNEL_MINOR);
	} else if (j->zerocopy != GW_FOUND_NO) {
		finding.found = j->zerocopy == GW_FOUND_YES ? GW_FOUND_NO : GW_FOUND_UNKNOWN;
		finding_say(&finding,
			    "driver %s has %s tx-checksum, but in zero-copy mode with TX metadata "
			    "the kernel refuses frames that begin with a page; it is done in "
			    "software",
			    netdev->driver, netdev->tx_checksum ? "a" : "no");
		finding_remedy(&finding, "checksum=device,bind=copy, at the price of copies");
	} else if (rules_reads(netdev, false) == GW_READS_FRAGMENTS) {
		finding.found = GW_FOUND_YES;
		finding_say(&finding, "TX metadata: the device fills them in");
	} else {
		finding.found = GW_FOUND_YES;
		finding_say(&finding, "TX metadata: with checksum=device the kernel leaves them to "
				      "the NIC (on a veth, to nobody); else in software");
	}
	finding_tell(j->question, &finding);
}

/* ---- receiving, and the whole ---- */

/* An XDP program: of which kind. */
static void say_program(const struct judgement *j, struct gw_finding *finding)
{
	const struct netdev_info *netdev = &j->facts->netdev;

	if (!netdev->features_known) {
		finding_say(finding, "an XDP program; Linux %u.%u does not tell of which kind",
			    j->question->host->kernel_major, j->question->host->kernel_minor);
		return;
	}
	switch (rules_native_xdp(netdev)) {
	case GW_YES:
		finding->via = "XDP";
		finding_say(finding, "an XDP program in the driver");
		break;
	case GW_PARTLY:
		finding_say(finding,
			    "an XDP program in the driver, if that takes MTU %u; else of the "
			    "generic kind, on copies",
			    netdev->mtu);
		break;
	case GW_NO:
		finding->via = "generic XDP";
		finding_say(finding, "an XDP program of the generic kind, on copies");
		break;
	}
}

static void judge_receive(const struct judgement *j)
{
	const struct gw_probe_host *host = j->question->host;
	struct gw_finding finding = about("receive", j->start);

	if (j->start == GW_FOUND_NO) {
		(void)obstacle(j, &finding);
	} else if (j->facts->use.program) {
		finding.via = "AF_PACKET";
		finding_say(&finding, "through AF_PACKET: the interface has an XDP program");
		finding_remedy(&finding, "to use AF_XDP: ip link set %s xdp off",
			       j->question->device->name);
	} else if (!host->bpf) {
		finding.via = "AF_PACKET";
		finding_say(&finding, "through AF_PACKET: this user may not load XDP programs");
		finding_remedy(&finding, "to use AF_XDP: CAP_BPF and CAP_NET_ADMIN of the host");
	} else {
		say_program(j, &finding);
	}
	finding_tell(j->question, &finding);
}

static void judge_start(const struct judgement *j)
{
	const struct netdev_info *netdev = &j->facts->netdev;
	struct gw_finding finding = about("start", j->start);
	enum gw_reads copy = rules_reads(netdev, false);
	bool several = probe_kernel_is(j->question->host, MULTI_BUFFER_KERNEL_MAJOR,
				       MULTI_BUFFER_KERNEL_MINOR);

	if (j->start == GW_FOUND_NO) {
		(void)obstacle(j, &finding);
		finding_tell(j->question, &finding);
		return;
	}
	if (j->zerocopy != GW_FOUND_NO)
		finding.reads |= GW_READS_BIT(GW_READS_DMA);
	if (j->zerocopy != GW_FOUND_YES)
		finding.reads |= GW_READS_BIT(copy);
	if (j->zerocopy == GW_FOUND_YES)
		finding.max_len =
			rules_max_len(netdev->mtu, rules_pieces_max(netdev, GW_READS_DMA, several));
	if (j->zerocopy == GW_FOUND_NO)
		finding.max_len =
			rules_max_len(netdev->mtu, rules_pieces_max(netdev, copy, several));
	finding_say(&finding, "queue %u of %u, %s%s", PROBE_QUEUE, rules_channels(netdev, true),
		    j->zerocopy == GW_FOUND_YES  ? "zero-copy: the NIC reads guest memory"
		    : j->zerocopy == GW_FOUND_NO ? "copy mode"
						 : "zero-copy or copy mode",
		    j->facts->use.queue_known ? ""
					      : "; whether the queue is free shows at the bind");
	finding_tell(j->question, &finding);
}

void xdp_probe_judge(const struct gw_probe_question *question, const struct xdp_facts *facts)
{
	struct judgement j = { .question = question, .facts = facts, .start = GW_FOUND_YES };
	struct gw_finding any = about("start", GW_FOUND_NO), zerocopy;

	if (obstacle(&j, &any))
		j.start = GW_FOUND_NO;
	zerocopy = judge_zerocopy(&j);
	j.zerocopy = zerocopy.found;
	judge_start(&j);
	finding_tell(question, &zerocopy);
	judge_copy(&j);
	judge_multi_buffer(&j);
	judge_checksum(&j);
	judge_receive(&j);
}

void xdp_probe(const struct gw_probe_question *question)
{
	struct xdp_facts facts;

	if (!question->device || netdev_read(question->device->name, &facts.netdev, NULL))
		return;
	netdev_use_read(facts.netdev.ifindex, PROBE_QUEUE, &facts.use);
	facts.platform_dma = netdev_platform_dma(&facts.netdev);
	xdp_probe_judge(question, &facts);
	if (question->attempt)
		xdp_probe_try(question, &facts);
}
