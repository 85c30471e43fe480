/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's parts, put together and taken apart: for run_guest and for misbehaviour. */
#pragma once

#include "front_end.h"
#include "guest_memory.h"
#include "guest_nic.h"
#include "guest_summary.h"

struct guest_run {
	struct guest_memory memory;
	struct guest_nic nic;
	struct front_end_config config;
	struct front_end fe;
	struct guest_summary *summary;
	bool lost; /* the connection is gone */
};

/* Memory, rings, connection. On failure the summary has the error; close all the same. */
int guest_run_open(struct guest_run *run, const struct guest_options *options,
		   struct guest_summary *summary);
/* Negotiation, buffers, rings running. */
int guest_run_start(struct guest_run *run);
void guest_run_stop(struct guest_run *run);
/* Counts and ring errors into the summary. */
void guest_run_report(struct guest_run *run);
void guest_run_close(struct guest_run *run);
