/* SPDX-License-Identifier: BSD-2-Clause */
/* `guestwire probe` for people: a block for the host and for each interface. */
#pragma once

#include <guestwire/probe.h>
#include <stdio.h>

void probe_text(FILE *out, const struct gw_probe_report *report);
