/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's parts, put together and taken apart: for run_guest and for misbehaviour.
 *
 *	guest_run.c	opens, starts, stops and closes
 *	run_guest.c	exchanges frames meanwhile
 *	guest_queues.c	disables and enables pairs of queues meanwhile
 *	guest_migration.c	has what the device writes logged
 *	guest_plug.c	plugs and unplugs memory meanwhile
 *	guest_stops.c	stops the rings and lets them go on, or resets the device
 *	guest_iommu.c	tells I/O addresses that are missed, and takes them away
 *	guest_restart.c	goes on with another back-end when one has died
 *	guest_report.c	says what it came to
 */
#pragma once

#include <stdint.h>

#include "front_end.h"
#include "guest_memory.h"
#include "guest_nic.h"
#include "guest_summary.h"
#include "pacer.h"

/* One pair after the other is taken out of use, and put back. */
struct guest_toggle {
	int64_t next_ns;
	uint32_t pair; /* the last one, or the one at hand */
};

/* The front-end's side of an IOMMU: the back-end's channel, and what was said on it. */
struct guest_iommu {
	int fd; /* our end; -1: none */
	int64_t next_ns;
	uint64_t turn;
};

struct guest_run {
	struct guest_memory memory;
	struct guest_nic *nic; /* pairs of them; who wants one takes the first */
	uint32_t pairs;
	struct front_end_rings rings; /* of all of them */
	struct front_end_config config;
	struct front_end_inflight inflight;
	struct front_end fe;
	struct guest_summary *summary;
	struct guest_log log;
	int64_t next_log_ns;
	struct pollfd *wait; /* what a nap waits for */
	struct guest_toggle toggle;
	int64_t next_plug_ns, next_suspend_ns, next_reset_ns;
	struct guest_iommu iommu;
	bool lost; /* the connection is gone */
};

/* Memory, rings, connection. On failure the summary has the error; close all the same. */
int guest_run_open(struct guest_run *run, const struct guest_options *options,
		   struct guest_summary *summary);
/* Negotiation, buffers, rings running. */
int guest_run_start(struct guest_run *run);
/* Stops the rings, unless the connection is lost (then, or before). */
void guest_run_stop(struct guest_run *run);
void guest_run_close(struct guest_run *run);

/* Rings run: the first kicks. */
void guest_run_kick(struct guest_run *run);
/* Chains that are out on all TX rings. */
uint32_t guest_run_sending(const struct guest_run *run);

/* What a message came to: true if 0; else the connection is lost, or the error is noted. */
bool guest_run_said(struct guest_run *run, int rc, const char *what);

/* Sums for the pacer; then, once, all counts and errors. */
void guest_run_counts(struct guest_run *run);
void guest_run_report(struct guest_run *run);

/* --log: switches it on, takes what is in it now and then, and says what it came to.
 * False: the connection is lost, or the back-end cannot. */
bool guest_migration_begin(struct guest_run *run);
void guest_migration_tick(struct guest_run *run, int64_t now_ns);
void guest_migration_end(struct guest_run *run);

/* --plug. False: the connection is lost, or the back-end does not want it. */
bool guest_plug_tick(struct guest_run *run, int64_t now_ns);

/* --suspend, --reset. False: the connection is lost, or the back-end cannot. */
bool guest_stops_tick(struct guest_run *run, int64_t now_ns);

/* --iommu: a channel for a new connection, before it starts. 0 or a negative errno, told. */
int guest_iommu_open(struct guest_run *run);
void guest_iommu_close(struct guest_run *run);
/* Tells what was missed; takes something away, when it is time. False: as above. */
bool guest_iommu_serve(struct guest_run *run);
bool guest_iommu_tick(struct guest_run *run, int64_t now_ns);

/* --toggle-queues. False: the connection is lost. */
bool guest_queues_tick(struct guest_run *run, int64_t now_ns);

/* --reconnect: goes on with the next back-end; false (and an error) if none comes. */
bool guest_restart(struct guest_run *run, struct pacer *pacer);
