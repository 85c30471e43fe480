/* SPDX-License-Identifier: BSD-2-Clause */
#include "packet_probe.h"

#include "finding.h"
#include "packet_interface.h"
#include "tx_ring.h"
#include <errno.h>
#include <string.h>

#define SLOTS_TRIED 64u

static struct gw_finding about(enum gw_found found)
{
	return (struct gw_finding){ .path = "packet", .subject = "start", .found = found };
}

static void say_yes(const struct gw_probe_device *device, struct gw_finding *finding,
		    const char *text)
{
	const struct packet_interface interface = { .mtu = device->mtu };

	finding->found = GW_FOUND_YES;
	finding->reads = GW_READS_BIT(GW_READS_BOUNCE);
	finding->max_len = packet_interface_max_len(&interface);
	finding_say(finding, "%s", text);
}

static void judge(const struct gw_probe_question *question)
{
	struct gw_finding finding = about(GW_FOUND_NO);

	if (!question->device->ethernet) {
		finding_say(&finding, "not an Ethernet interface");
		finding_remedy(&finding, "an Ethernet interface");
	} else if (!question->host->net_raw) {
		finding_say(&finding, "packet sockets need CAP_NET_RAW in this network namespace");
		finding_remedy(&finding, "run as root, or give the daemon CAP_NET_RAW");
	} else {
		say_yes(question->device, &finding,
			"each frame is copied once, by us, into the kernel's ring");
	}
	finding_tell(question, &finding);
}

/* A ring, smaller than a port's, bound to the interface and closed again. */
static void try_ring(const struct gw_probe_question *question)
{
	struct gw_finding finding = about(GW_FOUND_NO);
	struct packet_interface interface;
	struct tx_ring ring = { .fd = -1 };
	int rc = packet_interface_ask(question->device->name, &interface);

	finding.how = GW_FOUND_BY_TRYING;
	if (!rc) {
		const struct tx_ring_config config = { .ifindex = interface.index,
						       .max_len =
							       packet_interface_max_len(&interface),
						       .slots = SLOTS_TRIED };

		rc = tx_ring_make(&config, &ring);
		tx_ring_close(&ring);
	}
	finding.code = rc;
	if (rc) {
		finding_say(&finding, "transmit ring: %s (%s)", strerrorname_np(-rc),
			    strerrordesc_np(-rc));
		finding_remedy(&finding, "%s",
			       rc == -EPERM        ? "CAP_NET_RAW in this network namespace"
			       : rc == -EPROTOTYPE ? "an Ethernet interface"
						   : "see ip link");
	} else {
		say_yes(question->device, &finding, "a transmit ring was bound");
	}
	finding_tell(question, &finding);
}

void packet_probe(const struct gw_probe_question *question)
{
	if (!question->device)
		return;
	judge(question);
	if (question->attempt)
		try_ring(question);
}
