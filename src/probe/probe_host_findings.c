/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe_host.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct gw_finding about(const char *subject, bool yes)
{
	return (struct gw_finding){ .path = "host",
				    .subject = subject,
				    .found = yes ? GW_FOUND_YES : GW_FOUND_NO };
}

static const char *where(const struct gw_probe_host *host)
{
	return host->init_user_ns ? "" : " (in a user namespace)";
}

static void say_af_xdp(const struct gw_probe_question *question)
{
	const struct gw_probe_host *host = question->host;
	struct gw_finding finding = about("af_xdp", host->af_xdp);

	finding_say(&finding, host->af_xdp ? "Linux %s has it" : "Linux %s was built without it",
		    host->kernel);
	if (!host->af_xdp)
		finding_remedy(&finding, "a kernel with CONFIG_XDP_SOCKETS");
	finding_tell(question, &finding);
}

static void say_sockets(const struct gw_probe_question *question)
{
	const struct gw_probe_host *host = question->host;
	struct gw_finding finding = about("raw sockets", host->net_raw);

	finding_say(&finding, "user %u%s %s CAP_NET_RAW in this network namespace", host->user,
		    where(host), host->net_raw ? "has" : "does not have");
	if (!host->net_raw)
		finding_remedy(&finding, "run as root, or give the daemon CAP_NET_RAW "
					 "(AmbientCapabilities=CAP_NET_RAW)");
	finding_tell(question, &finding);
}

static void say_admin(const struct gw_probe_question *question)
{
	const struct gw_probe_host *host = question->host;
	struct gw_finding finding = about("interfaces", host->net_admin);

	finding_say(&finding, "user %u%s %s CAP_NET_ADMIN in this network namespace", host->user,
		    where(host), host->net_admin ? "has" : "does not have");
	if (!host->net_admin)
		finding_remedy(&finding, "run as root, or give the daemon CAP_NET_ADMIN; needed to "
					 "make taps and to attach XDP programs");
	finding_tell(question, &finding);
}

static void say_bpf(const struct gw_probe_question *question)
{
	const struct gw_probe_host *host = question->host;
	struct gw_finding finding = about("xdp programs", host->bpf);

	if (host->bpf)
		finding_say(&finding, "CAP_BPF and CAP_NET_ADMIN");
	else if (!host->init_user_ns)
		finding_say(&finding, "capabilities of a user namespace do not count for BPF; "
				      "xdp ports receive through AF_PACKET");
	else
		finding_say(&finding, "CAP_BPF or CAP_NET_ADMIN is missing; xdp ports receive "
				      "through AF_PACKET");
	if (!host->bpf)
		finding_remedy(&finding, "run as root of the host, or give the daemon CAP_BPF and "
					 "CAP_NET_ADMIN there");
	finding_tell(question, &finding);
}

/* What a device reads by itself is pinned, all of a guest's memory. */
static void say_memlock(const struct gw_probe_question *question)
{
	const struct gw_probe_host *host = question->host;
	bool unlimited = host->memlock_bytes == GW_PROBE_NO_LIMIT;
	struct gw_finding finding = about("locked memory", host->ipc_lock || unlimited);

	if (host->ipc_lock)
		finding_say(&finding, "no limit: CAP_IPC_LOCK");
	else if (unlimited)
		finding_say(&finding, "no limit: RLIMIT_MEMLOCK is infinite");
	else
		finding_say(&finding,
			    "%" PRIu64 " KiB for all of this user%s: larger guests on xdp ports "
			    "are copied (mapping_failed)",
			    host->memlock_bytes >> 10,
			    host->init_user_ns
				    ? ""
				    : "; CAP_IPC_LOCK of a user namespace does not count");
	if (finding.found == GW_FOUND_NO)
		finding_remedy(&finding, "raise it above the guests' memory (ulimit -l, "
					 "LimitMEMLOCK=), or give the daemon CAP_IPC_LOCK");
	finding_tell(question, &finding);
}

static int size_text(char *text, size_t text_bytes, uint64_t bytes)
{
	if (bytes >> 30)
		return snprintf(text, text_bytes, "%" PRIu64 " GiB", bytes >> 30);
	if (bytes >> 20)
		return snprintf(text, text_bytes, "%" PRIu64 " MiB", bytes >> 20);
	return snprintf(text, text_bytes, "%" PRIu64 " KiB", bytes >> 10);
}

static void say_hugepages(const struct gw_probe_question *question)
{
	const struct gw_probe_host *host = question->host;
	struct gw_finding finding = about("hugepages", false);
	size_t used = 0;

	finding_say(&finding, "this kernel has none");
	for (unsigned int i = 0; i < host->page_size_count; i++) {
		char size[32];

		size_text(size, sizeof(size), host->hugepages[i].page_bytes);
		if (used < sizeof(finding.text))
			used += (size_t)snprintf(finding.text + used, sizeof(finding.text) - used,
						 "%s%s: %" PRIu64 " free of %" PRIu64,
						 i ? ", " : "", size, host->hugepages[i].free,
						 host->hugepages[i].total);
		if (host->hugepages[i].free)
			finding.found = GW_FOUND_YES;
	}
	if (finding.found == GW_FOUND_NO)
		finding_remedy(&finding,
			       "sysctl vm.nr_hugepages=N; they spare guests on one-segment NICs "
			       "the copies for frames that cross a page");
	finding_tell(question, &finding);
}

void probe_host_findings(const struct gw_probe_question *question)
{
	say_af_xdp(question);
	say_sockets(question);
	say_admin(question);
	say_bpf(question);
	say_memlock(question);
	say_hugepages(question);
}
