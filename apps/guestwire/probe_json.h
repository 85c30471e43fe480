/* SPDX-License-Identifier: BSD-2-Clause */
/* `guestwire probe --json`: guestwire(1) has the members. */
#pragma once

#include <guestwire/probe.h>
#include <stdio.h>

void probe_json(FILE *out, const struct gw_probe_report *report);
