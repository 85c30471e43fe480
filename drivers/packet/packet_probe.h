/* SPDX-License-Identifier: BSD-2-Clause */
/* What a port packet:IFNAME would do, before there is one. */
#pragma once

#include <guestwire/probe.h>

/* struct gw_driver.probe */
void packet_probe(const struct gw_probe_question *question);
