/* SPDX-License-Identifier: BSD-2-Clause */
#include "show_times.h"
#include "human.h"
#include "member.h"

static const struct {
	const char *member, *title;
} ways[] = {
	{ "forward", "handed on within" },
	{ "back", "given back within" },
};
#define WAY_COUNT (sizeof(ways) / sizeof(ways[0]))

static const struct {
	const char *member, *title;
} marks[] = {
	{ "p50_ns", "50 %" },
	{ "p99_ns", "99 %" },
	{ "p999_ns", "99.9 %" },
	{ "max_ns", "all" },
};
#define MARK_COUNT (sizeof(marks) / sizeof(marks[0]))

static const json_t *way_of(const json_t *port, size_t way)
{
	return json_object_get(json_object_get(port, "latency"), ways[way].member);
}

bool show_times_has(const json_t *port)
{
	bool has = false;

	for (size_t i = 0; i < WAY_COUNT; i++)
		has |= member_count(way_of(port, i), "count") > 0;
	return has;
}

static void print_way(FILE *out, const json_t *latency, const char *title)
{
	fprintf(out, "  %-20s", title);
	for (size_t i = 0; i < MARK_COUNT; i++)
		fprintf(out, "   %s %s", marks[i].title,
			human_time(member_count(latency, marks[i].member)).text);
	fputc('\n', out);
}

void show_times_print(FILE *out, const json_t *port)
{
	for (size_t i = 0; i < WAY_COUNT; i++)
		if (member_count(way_of(port, i), "count"))
			print_way(out, way_of(port, i), ways[i].title);
}

/* ---- workers ---- */

/* What it does when there is nothing to do. */
static void print_habit(FILE *out, const json_t *worker)
{
	uint64_t window_ns = member_count(worker, "window_ns");

	if (json_is_true(json_object_get(worker, "polls")))
		fputs("never sleeps", out);
	else if (window_ns)
		fprintf(out, "polls %s before it sleeps", human_time(window_ns).text);
	else
		fputs("sleeps at once", out);
}

static void print_worker(FILE *out, size_t index, const json_t *worker)
{
	uint64_t busy = member_count(worker, "busy_ns");
	uint64_t polling = member_count(worker, "polling_ns");
	uint64_t all = busy + polling + member_count(worker, "asleep_ns");

	if (!all)
		return;
	fprintf(out, "worker %zu: %s busy, %s polling, %s asleep; ", index,
		human_percent(busy, all).text, human_percent(polling, all).text,
		human_percent(all - busy - polling, all).text);
	print_habit(out, worker);
	fprintf(out, "; %s sleeps, longest round %s\n",
		human_count(member_count(worker, "sleeps")).text,
		human_time(member_count(json_object_get(worker, "round"), "max_ns")).text);
}

void show_workers(FILE *out, const json_t *work)
{
	const json_t *worker;
	size_t i;

	json_array_foreach(work, i, worker) print_worker(out, i, worker);
}
