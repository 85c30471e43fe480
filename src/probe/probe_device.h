/* SPDX-License-Identifier: BSD-2-Clause */
/* Facts about network interfaces that belong to no driver, and what follows from them. */
#pragma once

#include "finding.h"

/* The interface of that name, in this network namespace. 0 or -errno. */
int probe_device_read(const char *ifname, struct gw_probe_device *device);
/* What an interface can do that is no port yet: UDP sent with MSG_ZEROCOPY. */
void probe_device_findings(const struct gw_probe_question *question);
