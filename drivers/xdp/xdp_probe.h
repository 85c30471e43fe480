/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a port xdp:IFNAME with default options would do, before there is one.
 *
 * xdp_probe.c judges facts that were asked for; it goes by xdp_rules.h, as the port
 * does. xdp_probe_try.c does what start does, on a queue that it holds for some
 * milliseconds, and lets go of everything.
 */
#pragma once

#include "finding.h"
#include "netdev.h"

/* The queue of a port with default options. */
#define PROBE_QUEUE 0u

struct xdp_facts {
	struct netdev_info netdev;
	struct netdev_use use;
	bool platform_dma; /* netdev_platform_dma() */
};

/* Findings from facts. */
void xdp_probe_judge(const struct gw_probe_question *question, const struct xdp_facts *facts);
/* Findings from doing it. */
void xdp_probe_try(const struct gw_probe_question *question, const struct xdp_facts *facts);
/* struct gw_driver.probe */
void xdp_probe(const struct gw_probe_question *question);
