/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_guestwire.h"
#include "atomic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct taken {
	struct gw_snapshot snapshot;
	struct gw_context *context;
};

const char *gw_version(void)
{
	return "9.8.7";
}

int gw_snapshot_take(struct gw_context *context, struct gw_snapshot **snapshot)
{
	int rc = gw_load_relaxed(&context->take_rc);
	struct taken *taken;

	if (rc < 0)
		return rc;
	taken = calloc(1, sizeof(*taken));
	taken->snapshot = context->snapshot;
	taken->context = context;
	gw_atomic_add(&context->taken, 1);
	*snapshot = &taken->snapshot;
	return 0;
}

void gw_snapshot_free(struct gw_snapshot *snapshot)
{
	struct taken *taken = (struct taken *)snapshot;

	gw_atomic_add(&taken->context->freed, 1);
	free(taken);
}

const char *gw_link_name(enum gw_link link)
{
	return link == GW_LINK_UP ? "up" : NULL;
}

const char *gw_port_state_name(enum gw_port_state state)
{
	return state == GW_PORT_RUNNING ? "running" : "other";
}

const char *gw_reads_name(enum gw_reads reads)
{
	switch (reads) {
	case GW_READS_BOUNCE:
		return "bounce";
	case GW_READS_KERNEL_COPY:
		return "kernel-copy";
	case GW_READS_FRAGMENTS:
		return "fragments";
	case GW_READS_DMA:
		return "dma";
	case GW_READS_DELIVERY:
		return "delivery";
	case GW_READS_NOTHING:
		return "nothing";
	}
	return "unknown";
}

const char *gw_verdict_name(enum gw_verdict verdict)
{
	return verdict == GW_YES ? "yes" : verdict == GW_PARTLY ? "partly" : "no";
}

/* Port a has queue pairs 0 and 1, and there are workers 0 and 1. */
int gw_move(struct gw_context *context, const char *port, unsigned int pair, unsigned int worker,
	    struct gw_error *err)
{
	if (strcmp(port, "a") != 0)
		return gw_error_set(err, -ENOENT, "no port named '%.40s'", port);
	if (pair > 1 || worker > 1)
		return gw_error_set(err, -EINVAL, "there is no such thing");
	if (context->move_rc)
		return gw_error_set(err, context->move_rc, "it stays where it is");
	context->moved_pair = pair;
	context->moved_to = worker;
	return 0;
}

/* ---- traces ---- */

struct gw_trace {
	struct gw_context *context;
	uint64_t next, lost;
};

int gw_trace_start(struct gw_context *context, const struct gw_trace_options *options,
		   struct gw_trace **trace, struct gw_error *err)
{
	if (options->port && strcmp(options->port, "a") != 0)
		return gw_error_set(err, -ENOENT, "no port named '%.40s'", options->port);
	if (gw_load_relaxed(&context->traces) == GW_TRACES_MAX)
		return gw_error_set(err, -EBUSY, "enough traces are on");
	*trace = calloc(1, sizeof(**trace));
	(*trace)->context = context;
	gw_atomic_add(&context->traces, 1);
	return 0;
}

unsigned int gw_trace_read(struct gw_trace *trace, struct gw_trace_event *events, unsigned int max,
			   uint64_t *lost)
{
	uint64_t end = gw_load_relaxed(&trace->context->events);
	uint64_t all_lost = gw_load_relaxed(&trace->context->lost);
	unsigned int count = 0;

	while (count < max && trace->next < end)
		events[count++] = fake_event(trace->next++);
	*lost = all_lost - trace->lost;
	trace->lost = all_lost;
	return count;
}

void gw_trace_stop(struct gw_trace *trace)
{
	if (!trace)
		return;
	gw_atomic_add(&trace->context->traces, -1);
	free(trace);
}

const char *gw_trace_kind_name(enum gw_trace_kind kind)
{
	static const char *const names[] = { "ask",  "answer", "map",  "unmap",
					     "lend", "copy",   "drop", "home" };

	return names[kind];
}

const char *gw_trace_why_name(enum gw_trace_why why)
{
	return why == GW_TRACE_FIRST ? "first" : "requery";
}

/* All kinds in turn; the time counts up. */
struct gw_trace_event fake_event(uint64_t i)
{
	struct gw_trace_event event = {
		.time_ns = 1000 + i,
		.kind = (enum gw_trace_kind)(i % (GW_TRACE_HOME + 1)),
		.source = "a",
		.egress = i % 16 == GW_TRACE_DROP ? NULL : "up",
	};

	if (event.kind < GW_TRACE_LEND) {
		event.query = (struct gw_trace_query){
			.memory = 7,
			.bytes = 64u << 20,
			.duration_ns = 3200000,
			.answer = { .verdict = GW_PARTLY,
				    .reads = GW_READS_DMA,
				    .max_segs = 17,
				    .text = "queue 0, zero-copy" },
		};
		return event;
	}
	event.frame = (struct gw_trace_frame){
		.loan = (uint32_t)i,
		.bytes = 1514,
		.header_bytes = 54,
		.count = 1,
		.reason = event.kind == GW_TRACE_COPY ? GW_COPY_COPYBREAK : GW_DROP_EGRESS_FULL,
		.duration_ns = 12345,
		.segment_count = 2,
		.segment = { { 0x12345000, 1460 }, { GW_TRACE_NO_ADDRESS, 10 } },
	};
	return event;
}

/* ---- drivers ---- */

static const struct gw_option tube_options[] = {
	{ "mode", "server|client", "server", "who listens" },
	{ "depth", "N", NULL, "how deep" },
	{ 0 },
};
static const struct gw_driver tube = {
	.name = "tube", .target = "SOCKET", .help = "a tube", .options = tube_options
};
static const struct gw_driver sink = { .name = "sink", .help = "a hole in the floor" };

const struct gw_driver *const *gw_drivers(void)
{
	static const struct gw_driver *const drivers[] = { &tube, &sink, NULL };

	return drivers;
}

const struct gw_option *gw_port_options(void)
{
	static const struct gw_option options[] = {
		{ "network", "NAME", "default", "who hears whom" },
		{ "copybreak", "BYTES", "0", "shorter frames are copied" },
		{ 0 },
	};

	return options;
}

/* ---- a snapshot ---- */

void fake_context_fill(struct gw_context *context)
{
	static struct gw_port_info ports[3];
	static struct gw_pair_info pairs[3];
	static struct gw_worker_info work[1];

	*context = (struct gw_context){ 0 };
	ports[0] = (struct gw_port_info){ .name = "a",
					  .driver = "guest",
					  .target = "/run/a.sock",
					  .network = "red",
					  .state = GW_PORT_RUNNING,
					  .status = "connected",
					  .reads = GW_READS_DELIVERY,
					  .max_len = 65562,
					  .queue_pair_count = 3,
					  .queue_pair_worker = { 0, 1, 0 },
					  .rx_frames = 1100,
					  .rx_bytes = 1510000 };
	ports[0].rx_drops[GW_DROP_BAD_HEADER] = 3;
	ports[0].forward =
		(struct gw_latency){ .count = 1000, .sum_ns = 4000000, .max_ns = 150000 };
	ports[0].forward.bucket[18] = 995; /* below 3584 ns */
	ports[0].forward.bucket[40] = 5;   /* below 163840 ns */
	ports[1] = (struct gw_port_info){ .name = "up",
					  .driver = "xdp",
					  .target = "eth1",
					  .network = "red",
					  .state = GW_PORT_RUNNING,
					  .status = "queue 0, copy bind",
					  .reads = GW_READS_KERNEL_COPY,
					  .max_len = 1514,
					  .queries = 2,
					  .tx_frames = 1000,
					  .tx_bytes = 1500000 };
	ports[2] = (struct gw_port_info){ .name = "raw",
					  .driver = "packet",
					  .target = "eth2",
					  .network = "red",
					  .state = GW_PORT_RUNNING,
					  .status = "",
					  .reads = GW_READS_BOUNCE,
					  .max_len = 1514,
					  .queries = 1 };
	pairs[0] = (struct gw_pair_info){ .source = "a",
					  .egress = "up",
					  .asked = true,
					  .current = true,
					  .answer = { .verdict = GW_PARTLY,
						      .reads = GW_READS_KERNEL_COPY,
						      .max_segs = 17,
						      .needs_map = true,
						      .text = "eth1: copy bind on veth" },
					  .lent_frames = 990,
					  .lent_bytes = 1498000,
					  .copied_frames = 10,
					  .copied_bytes = 2000,
					  .kernel_copied_frames = 990,
					  .kernel_copied_bytes = 1498000,
					  .loans_out = 12,
					  .loans_peak = 64,
					  .loans_max = 128,
					  .bounce_peak = 3,
					  .bounce_max = 64,
					  .copybreak = 256 };
	pairs[0].reasons[GW_COPY_COPYBREAK] = 8;
	pairs[0].reasons[GW_COPY_LOANS_OUT] = 2;
	pairs[0].reason_bytes[GW_COPY_COPYBREAK] = 800;
	pairs[0].reason_bytes[GW_COPY_LOANS_OUT] = 1200;
	pairs[0].reasons[GW_DROP_EGRESS_FULL] = 5;
	pairs[1] =
		(struct gw_pair_info){ .source = "a",
				       .egress = "raw",
				       .asked = true,
				       .answer = { .verdict = GW_NO,
						   .reason = GW_COPY_DEVICE_CANNOT,
						   .max_segs = 1,
						   .text = "eth2: the device reads its own ring" },
				       .copied_frames = 100,
				       .copied_bytes = 10000,
				       .bounce_max = 64 };
	pairs[1].reasons[GW_COPY_DEVICE_CANNOT] = 100;
	pairs[1].reason_bytes[GW_COPY_DEVICE_CANNOT] = 10000;
	pairs[2] = (struct gw_pair_info){ .source = "up", .egress = "raw", .loans_max = 128 };
	work[0] = (struct gw_worker_info){ .busy_ns = 3000000000,
					   .polling_ns = 1000000000,
					   .asleep_ns = 96000000000,
					   .rounds = 90000,
					   .rounds_worked = 20000,
					   .sleeps = 15000,
					   .wakes_worked = 14000,
					   .window_ns = 4096,
					   .sleep_cost_ns = 2000,
					   .round = { .count = 1, .max_ns = 5000 } };
	work[0].round.bucket[20] = 1;
	context->snapshot = (struct gw_snapshot){ .workers = 1,
						  .work = work,
						  .arena_bytes = 8u << 20,
						  .port_count = 3,
						  .pair_count = 3,
						  .ports = ports,
						  .pairs = pairs };
}
