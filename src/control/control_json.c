/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Field names are an interface that other people's scripts hold on to: they are
 * described in guestwire(1), and are added to, never renamed. Maps by reason list
 * only reasons that have counted something; absent means 0.
 */
#include "control_json.h"

#include <stdlib.h>
#include <string.h>

/* JSON's integers, as jansson has them, are signed. */
static json_t *number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

json_t *control_json_text(const char *text)
{
	static const char bad[] = "\xef\xbf\xbd";
	size_t len = strlen(text), in = 0, out = 0;
	json_t *json = json_stringn(text, len);
	char *clean;

	if (json)
		return json;
	clean = malloc(len * (sizeof(bad) - 1) + 1);
	while (clean && in < len) {
		size_t step = len - in < 4 ? len - in : 4;

		/* The longest sequence of up to 4 bytes from here that jansson takes. */
		for (; step > 0; step--) {
			json_t *part = json_stringn(text + in, step);

			json_decref(part);
			if (part)
				break;
		}
		memcpy(clean + out, step ? text + in : bad, step ? step : sizeof(bad) - 1);
		out += step ? step : sizeof(bad) - 1;
		in += step ? step : 1;
	}
	json = clean ? json_stringn(clean, out) : NULL;
	free(clean);
	return json;
}

static json_t *reason_name(enum gw_reason reason)
{
	return reason == GW_REASON_NONE ? json_null() : json_string(gw_reason_name(reason));
}

/* Counts of reasons first to end - 1 that are not 0, by name. */
static json_t *reasons_map(const uint64_t *counts, unsigned int first, unsigned int end)
{
	json_t *map = json_object();

	for (unsigned int i = first; i < end; i++)
		if (counts[i])
			json_object_set_new(map, gw_reason_name(i), number(counts[i]));
	return map;
}

/* The same of what the kernel counted at a port's device. */
static json_t *device_map(const uint64_t *counts)
{
	json_t *map = json_object();

	for (unsigned int i = 0; i < GW_DEVICE_COUNT; i++)
		if (counts[i])
			json_object_set_new(map, gw_device_count_name(i), number(counts[i]));
	return map;
}

void control_json_answer(json_t *json, const struct gw_answer *answer)
{
	json_object_set_new(json, "verdict", json_string(gw_verdict_name(answer->verdict)));
	json_object_set_new(
		json, "reason",
		reason_name(answer->verdict == GW_NO ? answer->reason : GW_REASON_NONE));
	json_object_set_new(json, "text", control_json_text(answer->text));
	json_object_set_new(json, "device_reads", json_string(gw_reads_name(answer->reads)));
	json_object_set_new(json, "ends_in_tx", json_boolean(answer->ends_in_tx));
	json_object_set_new(json, "needs_map", json_boolean(answer->needs_map));
	json_object_set_new(json, "single_page_segs", json_boolean(answer->single_page_segs));
	json_object_set_new(json, "page_bytes", json_integer(answer->page_bytes));
	json_object_set_new(json, "max_segs", json_integer(answer->max_segs));
}

static json_t *query_json(const struct gw_pair_info *pair)
{
	const struct gw_answer *answer = &pair->answer;
	json_t *query = json_object();

	json_object_set_new(query, "asked", json_boolean(pair->asked));
	json_object_set_new(query, "current", json_boolean(pair->asked && pair->current));
	if (!pair->asked) {
		json_object_set_new(query, "verdict", json_null());
		json_object_set_new(query, "reason", json_null());
		json_object_set_new(query, "text", json_string(""));
		return query;
	}
	control_json_answer(query, answer);
	return query;
}

/* What this port's driver answered, one element for each source that it was asked about. */
static json_t *port_answers(const struct gw_snapshot *snapshot, const struct gw_port_info *port)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < snapshot->pair_count; i++) {
		const struct gw_pair_info *pair = &snapshot->pairs[i];
		json_t *answer;

		if (!pair->asked || strcmp(pair->egress, port->name) != 0)
			continue;
		answer = query_json(pair);
		json_object_set_new(answer, "source", control_json_text(pair->source));
		json_array_append_new(list, answer);
	}
	return list;
}

/* Buckets that counted something, as [where it ends, count]; null: there is no end. */
static json_t *buckets(const struct gw_latency *latency)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < GW_LATENCY_BUCKETS; i++) {
		uint64_t bound_ns = gw_latency_bound_ns(i);
		json_t *bucket;

		if (!latency->bucket[i])
			continue;
		bucket = json_array();
		json_array_append_new(bucket,
				      bound_ns == UINT64_MAX ? json_null() : number(bound_ns));
		json_array_append_new(bucket, number(latency->bucket[i]));
		json_array_append_new(list, bucket);
	}
	return list;
}

static json_t *latency_json(const struct gw_latency *latency)
{
	uint64_t count = latency->count;
	json_t *json = json_object();

	json_object_set_new(json, "count", number(count));
	json_object_set_new(json, "mean_ns", number(count ? latency->sum_ns / count : 0));
	json_object_set_new(json, "p50_ns", number(gw_latency_quantile_ns(latency, 50, 100)));
	json_object_set_new(json, "p99_ns", number(gw_latency_quantile_ns(latency, 99, 100)));
	json_object_set_new(json, "p999_ns", number(gw_latency_quantile_ns(latency, 999, 1000)));
	json_object_set_new(json, "max_ns", number(latency->max_ns));
	json_object_set_new(json, "buckets", buckets(latency));
	return json;
}

static json_t *port_latency(const struct gw_port_info *port)
{
	json_t *json = json_object();

	json_object_set_new(json, "forward", latency_json(&port->forward));
	json_object_set_new(json, "back", latency_json(&port->back));
	return json;
}

static json_t *queue_pairs(const struct gw_port_info *port)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < port->queue_pair_count; i++) {
		json_t *pair = json_object();

		json_object_set_new(pair, "worker", number(port->queue_pair_worker[i]));
		json_array_append_new(list, pair);
	}
	return list;
}

static json_t *port_json(const struct gw_snapshot *snapshot, const struct gw_port_info *port)
{
	const char *link = gw_link_name(port->link);
	json_t *json = json_object();

	json_object_set_new(json, "name", control_json_text(port->name));
	json_object_set_new(json, "driver", control_json_text(port->driver));
	json_object_set_new(json, "target", control_json_text(port->target));
	json_object_set_new(json, "network", control_json_text(port->network));
	json_object_set_new(json, "state", json_string(gw_port_state_name(port->state)));
	json_object_set_new(json, "link", link ? json_string(link) : json_null());
	json_object_set_new(json, "status", control_json_text(port->status));
	json_object_set_new(json, "device_reads", json_string(gw_reads_name(port->reads)));
	json_object_set_new(json, "max_len", number(port->max_len));
	json_object_set_new(json, "worker", number(port->worker));
	json_object_set_new(json, "queue_pairs", queue_pairs(port));
	json_object_set_new(json, "queries", number(port->queries));
	json_object_set_new(json, "query", port_answers(snapshot, port));
	json_object_set_new(json, "rx_frames", number(port->rx_frames));
	json_object_set_new(json, "rx_bytes", number(port->rx_bytes));
	json_object_set_new(json, "tx_frames", number(port->tx_frames));
	json_object_set_new(json, "tx_bytes", number(port->tx_bytes));
	json_object_set_new(json, "quarantined", number(port->quarantined));
	json_object_set_new(json, "taken_again", number(port->taken_again));
	json_object_set_new(json, "drops",
			    reasons_map(port->rx_drops, GW_COPY_FIRST, GW_REASON_COUNT));
	json_object_set_new(json, "device_counts", device_map(port->device_counts));
	json_object_set_new(json, "latency", port_latency(port));
	return json;
}

static uint64_t sum_drops(const struct gw_pair_info *pair)
{
	uint64_t sum = 0;

	for (unsigned int i = GW_DROP_FIRST; i < GW_REASON_COUNT; i++)
		sum += pair->reasons[i];
	return sum;
}

/* The counters that are shown as they are, in the order of the output. */
static const struct {
	const char *name;
	size_t offset;
} pair_counters[] = {
#define COUNTER(name)                                      \
	{                                                  \
#name, offsetof(struct gw_pair_info, name) \
	}
	COUNTER(lent_frames),         COUNTER(lent_bytes),          COUNTER(copied_frames),
	COUNTER(copied_bytes),        COUNTER(header_bytes_copied), COUNTER(kernel_copied_frames),
	COUNTER(kernel_copied_bytes), COUNTER(loans_out),           COUNTER(loans_peak),
	COUNTER(loans_max),           COUNTER(bounce_out),          COUNTER(bounce_peak),
	COUNTER(bounce_max),          COUNTER(supers_cut),          COUNTER(checksums_made),
	COUNTER(headers_made),        COUNTER(copybreak),
#undef COUNTER
};

static json_t *pair_json(const struct gw_pair_info *pair)
{
	json_t *json = json_object();

	json_object_set_new(json, "source", control_json_text(pair->source));
	json_object_set_new(json, "egress", control_json_text(pair->egress));
	json_object_set_new(json, "query", query_json(pair));
	/* What went this way, lent or copied. */
	json_object_set_new(json, "frames", number(pair->lent_frames + pair->copied_frames));
	json_object_set_new(
		json, "bytes",
		number(pair->lent_bytes + pair->copied_bytes + pair->header_bytes_copied));
	for (size_t i = 0; i < sizeof(pair_counters) / sizeof(pair_counters[0]); i++) {
		uint64_t value;

		memcpy(&value, (const char *)pair + pair_counters[i].offset, sizeof(value));
		json_object_set_new(json, pair_counters[i].name, number(value));
	}
	json_object_set_new(json, "copied_by_reason",
			    reasons_map(pair->reasons, GW_COPY_FIRST, GW_DROP_FIRST));
	json_object_set_new(json, "copied_bytes_by_reason",
			    reasons_map(pair->reason_bytes, GW_COPY_FIRST, GW_DROP_FIRST));
	json_object_set_new(json, "dropped_frames", number(sum_drops(pair)));
	json_object_set_new(json, "drops_by_reason",
			    reasons_map(pair->reasons, GW_DROP_FIRST, GW_REASON_COUNT));
	json_object_set_new(json, "dropped_bytes_by_reason",
			    reasons_map(pair->reason_bytes, GW_DROP_FIRST, GW_REASON_COUNT));
	return json;
}

static json_t *worker_json(const struct gw_worker_info *work)
{
	json_t *json = json_object();

	json_object_set_new(json, "busy_ns", number(work->busy_ns));
	json_object_set_new(json, "polling_ns", number(work->polling_ns));
	json_object_set_new(json, "asleep_ns", number(work->asleep_ns));
	json_object_set_new(json, "rounds", number(work->rounds));
	json_object_set_new(json, "rounds_worked", number(work->rounds_worked));
	json_object_set_new(json, "sleeps", number(work->sleeps));
	json_object_set_new(json, "wakes_worked", number(work->wakes_worked));
	json_object_set_new(json, "polls", json_boolean(work->polls));
	json_object_set_new(json, "window_ns", number(work->window_ns));
	json_object_set_new(json, "sleep_cost_ns", number(work->sleep_cost_ns));
	json_object_set_new(json, "round", latency_json(&work->round));
	return json;
}

json_t *control_json_snapshot(const struct gw_snapshot *snapshot, const char *port)
{
	json_t *json = json_object(), *ports = json_array(), *pairs = json_array();
	json_t *work = json_array();

	for (unsigned int i = 0; i < snapshot->port_count; i++)
		if (!port || strcmp(port, snapshot->ports[i].name) == 0)
			json_array_append_new(ports, port_json(snapshot, &snapshot->ports[i]));
	for (unsigned int i = 0; i < snapshot->pair_count; i++) {
		const struct gw_pair_info *pair = &snapshot->pairs[i];

		if (!port || strcmp(port, pair->source) == 0 || strcmp(port, pair->egress) == 0)
			json_array_append_new(pairs, pair_json(pair));
	}
	for (unsigned int i = 0; i < snapshot->workers; i++)
		json_array_append_new(work, worker_json(&snapshot->work[i]));
	json_object_set_new(json, "workers", number(snapshot->workers));
	json_object_set_new(json, "work", work);
	json_object_set_new(json, "arena_bytes", number(snapshot->arena_bytes));
	json_object_set_new(json, "ports", ports);
	json_object_set_new(json, "pairs", pairs);
	return json;
}
