/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Facts about this process and its kernel, and what follows from them.
 *
 * Capabilities are only half of a right. Those of a user namespace count for what
 * that namespace owns: a network namespace made in it or below, but never for BPF
 * programs and for the limit on locked memory, which belong to the whole machine.
 */
#pragma once

#include "finding.h"

#define PROBE_TUN_PATH "/dev/net/tun"

/* What cannot be found out is left at "no". */
void probe_host_read(struct gw_probe_host *host);
/* True if this kernel is at least that. */
bool probe_kernel_is(const struct gw_probe_host *host, unsigned int major, unsigned int minor);
/* What follows from the facts alone. */
void probe_host_findings(const struct gw_probe_question *question);
