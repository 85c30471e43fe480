/* SPDX-License-Identifier: BSD-2-Clause */
#include "show_text.h"
#include "human.h"
#include "member.h"
#include "show_times.h"

#include <guestwire/reason.h>
#include <stdbool.h>
#include <string.h>

#define CELL_BYTES  128
/* The reply is another program's: no more than can be. */
#define WORKERS_MAX 64u

/* ---- the table of ports ---- */

enum cell_kind { CELL_TEXT, CELL_COUNT };

static const struct {
	const char *title;
	const char *member;
	enum cell_kind kind;
} columns[] = {
	{ "PORT", "name", CELL_TEXT },     { "DRIVER", "driver", CELL_TEXT },
	{ "TARGET", "target", CELL_TEXT }, { "NETWORK", "network", CELL_TEXT },
	{ "STATE", "state", CELL_TEXT },   { "DEVICE READS", "device_reads", CELL_TEXT },
	{ "IN", "rx_frames", CELL_COUNT }, { "OUT", "tx_frames", CELL_COUNT },
	{ "STATUS", "status", CELL_TEXT },
};
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

static void format_cell(char *cell, const json_t *port, size_t column)
{
	const char *text = member_text(port, columns[column].member);
	struct human count;

	if (columns[column].kind == CELL_COUNT) {
		count = human_count(member_count(port, columns[column].member));
		text = count.text;
	}
	human_clean(cell, CELL_BYTES, text[0] ? text : "-");
}

static void print_cell(FILE *out, size_t column, const size_t *widths, const char *cell)
{
	if (column + 1 < COLUMN_COUNT)
		fprintf(out, "%-*s  ", (int)widths[column], cell);
	else
		fprintf(out, "%s\n", cell);
}

static void print_ports(FILE *out, const json_t *ports)
{
	size_t widths[COLUMN_COUNT], i;
	char cell[CELL_BYTES];
	const json_t *port;

	for (size_t c = 0; c < COLUMN_COUNT; c++) {
		widths[c] = strlen(columns[c].title);
		json_array_foreach(ports, i, port)
		{
			format_cell(cell, port, c);
			if (strlen(cell) > widths[c])
				widths[c] = strlen(cell);
		}
	}
	for (size_t c = 0; c < COLUMN_COUNT; c++)
		print_cell(out, c, widths, columns[c].title);
	json_array_foreach(ports, i, port)
	{
		for (size_t c = 0; c < COLUMN_COUNT; c++) {
			format_cell(cell, port, c);
			print_cell(out, c, widths, cell);
		}
	}
}

/* ---- reasons ---- */

static const char *reason_text(const char *name)
{
	for (unsigned int i = GW_COPY_FIRST; i < GW_REASON_COUNT; i++)
		if (strcmp(gw_reason_name(i), name) == 0)
			return gw_reason_text(i);
	return "";
}

/* bytes: the same in bytes; NULL: they are not counted. */
static void print_reasons(FILE *out, const char *title, const json_t *reasons, const json_t *bytes)
{
	const char *name;
	json_t *count;

	if (json_object_size(reasons) == 0)
		return;
	fprintf(out, "  %s\n", title);
	json_object_foreach((json_t *)reasons, name, count)
	{
		uint64_t frames = (uint64_t)json_integer_value(count);

		fprintf(out, "    %-20s %8s  ", name, human_count(frames).text);
		if (bytes)
			fprintf(out, "%10s  ", human_bytes(member_count(bytes, name)).text);
		human_print(out, reason_text(name));
		fputc('\n', out);
	}
}

/* ---- pairs ---- */

/* What "lent" means on this device: said each time, because a loan is not always free of copies. */
static const struct {
	const char *reads;
	const char *meaning;
} meanings[] = {
	{ "dma", "the device fetches lent frames from guest memory itself; nobody copies them" },
	{ "fragments", "the kernel passes lent pages on to the device; nobody copies them" },
	{ "kernel-copy", "the kernel copies each lent frame once" },
	{ "delivery", "each lent frame is copied once, into the receiving guest's buffers" },
	{ "bounce", "the device reads private memory only; each frame is copied once" },
	{ "nothing", "nobody reads lent frames" },
};

static const char *meaning_of(const char *reads)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (strcmp(meanings[i].reads, reads) == 0)
			return meanings[i].meaning;
	return reads;
}

static void print_answer(FILE *out, const json_t *query)
{
	const char *verdict = member_text(query, "verdict"), *text = member_text(query, "text");
	const char *reason = member_text(query, "reason");

	if (!json_is_true(json_object_get(query, "asked"))) {
		fputs("  can the device read this memory? not asked yet\n", out);
		return;
	}
	fputs("  can the device read this memory? ", out);
	human_print(out, verdict);
	if (strcmp(verdict, "no") == 0) {
		fputs(": ", out);
		human_print(out, reason);
		fprintf(out, ", %s", reason_text(reason));
	} else if (strcmp(verdict, "partly") == 0) {
		fprintf(out, ", up to %s segments a frame",
			human_count(member_count(query, "max_segs")).text);
		if (json_is_true(json_object_get(query, "single_page_segs")))
			fputs(" that end at pages", out);
	}
	fputc('\n', out);
	if (text[0]) {
		fputs("    ", out);
		human_print(out, text);
		fputc('\n', out);
	}
	if (strcmp(verdict, "no") != 0)
		fprintf(out, "    %s\n", meaning_of(member_text(query, "device_reads")));
}

static void print_row(FILE *out, const char *title, uint64_t frames, uint64_t all_frames,
		      uint64_t bytes, uint64_t all_bytes)
{
	fprintf(out, "  %-20s %8s frames %8s %10s %8s\n", title, human_count(frames).text,
		human_percent(frames, all_frames).text, human_bytes(bytes).text,
		human_percent(bytes, all_bytes).text);
}

static void print_use(FILE *out, const char *title, const json_t *pair, const char *now,
		      const char *peak, const char *max)
{
	fprintf(out, "  %-20s %8s now    %8s at most of %s\n", title,
		human_count(member_count(pair, now)).text,
		human_count(member_count(pair, peak)).text,
		human_count(member_count(pair, max)).text);
}

/* What was done in software to headers that the guest left partial. */
static void print_headers(FILE *out, const json_t *pair)
{
	static const struct {
		const char *title, *member;
	} rows[] = {
		{ "super-frames cut", "supers_cut" },
		{ "checksums made", "checksums_made" },
		{ "headers made", "headers_made" },
	};
	uint64_t bytes = member_count(pair, "header_bytes_copied");

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (member_count(pair, rows[i].member))
			fprintf(out, "  %-20s %8s\n", rows[i].title,
				human_count(member_count(pair, rows[i].member)).text);
	if (bytes)
		fprintf(out, "  %-20s %8s of frames that were lent\n", "headers copied",
			human_bytes(bytes).text);
}

static void print_pair(FILE *out, const json_t *pair)
{
	uint64_t lent = member_count(pair, "lent_frames"),
		 copied = member_count(pair, "copied_frames");
	uint64_t lent_bytes = member_count(pair, "lent_bytes");
	uint64_t copied_bytes = member_count(pair, "copied_bytes");

	fputc('\n', out);
	human_print(out, member_text(pair, "source"));
	fputs(" -> ", out);
	human_print(out, member_text(pair, "egress"));
	fputc('\n', out);
	print_answer(out, json_object_get(pair, "query"));
	print_row(out, "lent", lent, lent + copied, lent_bytes, lent_bytes + copied_bytes);
	print_row(out, "copied by guestwire", copied, lent + copied, copied_bytes,
		  lent_bytes + copied_bytes);
	print_row(out, "copied by the kernel", member_count(pair, "kernel_copied_frames"),
		  lent + copied, member_count(pair, "kernel_copied_bytes"),
		  lent_bytes + copied_bytes);
	print_headers(out, pair);
	print_use(out, "loans", pair, "loans_out", "loans_peak", "loans_max");
	print_use(out, "bounce buffers", pair, "bounce_out", "bounce_peak", "bounce_max");
	print_reasons(out, "copied because", json_object_get(pair, "copied_by_reason"),
		      json_object_get(pair, "copied_bytes_by_reason"));
	print_reasons(out, "dropped because", json_object_get(pair, "drops_by_reason"), NULL);
}

static bool has_traffic(const json_t *pair)
{
	return member_count(pair, "lent_frames") || member_count(pair, "copied_frames") ||
	       member_count(pair, "dropped_frames");
}

/* ---- all of it ---- */

/* Not what is counted while all is well. */
static uint64_t device_count(const json_t *port, unsigned int i)
{
	return i == GW_DEVICE_TX_RING_EMPTY ? 0
					    : member_count(json_object_get(port, "device_counts"),
							   gw_device_count_name(i));
}

static bool has_device_counts(const json_t *port)
{
	bool has = false;

	for (unsigned int i = 0; i < GW_DEVICE_COUNT; i++)
		has |= device_count(port, i) > 0;
	return has;
}

static void print_device_counts(FILE *out, const json_t *port)
{
	if (!has_device_counts(port))
		return;
	fputs("  counted by the kernel at its device\n", out);
	for (unsigned int i = 0; i < GW_DEVICE_COUNT; i++)
		if (device_count(port, i))
			fprintf(out, "    %-24s %8s  %s\n", gw_device_count_name(i),
				human_count(device_count(port, i)).text, gw_device_count_text(i));
}

static unsigned int places_of(const json_t *queue_pairs, uint64_t worker)
{
	unsigned int count = 0;
	const json_t *pair;
	size_t i;

	json_array_foreach(queue_pairs, i, pair) count += member_count(pair, "worker") == worker;
	return count;
}

/* Which worker has which queue pair, as `guestwire move` names both. */
static void print_places(FILE *out, const json_t *queue_pairs, uint64_t workers)
{
	const json_t *pair;
	size_t i;

	for (uint64_t worker = 0; worker < workers; worker++) {
		unsigned int count = places_of(queue_pairs, worker);

		if (!count)
			continue;
		fprintf(out, "  queue pair%s", count == 1 ? "" : "s");
		json_array_foreach(queue_pairs, i, pair)
		{
			if (member_count(pair, "worker") == worker)
				fprintf(out, " %zu", i);
		}
		fprintf(out, ": worker %llu\n", (unsigned long long)worker);
	}
}

/* Where there is one worker nobody asks. */
static bool has_places(const json_t *port, uint64_t workers)
{
	return workers > 1 && workers <= WORKERS_MAX &&
	       json_array_size(json_object_get(port, "queue_pairs"));
}

static void print_port(FILE *out, const json_t *port, uint64_t workers)
{
	const json_t *drops = json_object_get(port, "drops");
	uint64_t quarantined = member_count(port, "quarantined");
	uint64_t again = member_count(port, "taken_again");

	if (json_object_size(drops) == 0 && quarantined == 0 && again == 0 &&
	    !has_device_counts(port) && !show_times_has(port) && !has_places(port, workers))
		return;
	fputc('\n', out);
	human_print(out, member_text(port, "name"));
	fputc('\n', out);
	if (quarantined)
		fprintf(out, "  %s frames were never given back by the device (quarantine)\n",
			human_count(quarantined).text);
	if (again)
		fprintf(out,
			"  %s frames had been taken by a process before, and were taken again\n",
			human_count(again).text);
	if (has_places(port, workers))
		print_places(out, json_object_get(port, "queue_pairs"), workers);
	show_times_print(out, port);
	print_reasons(out, "dropped where they came in, because", drops, NULL);
	print_device_counts(out, port);
}

void show_text(FILE *out, const json_t *reply)
{
	const json_t *ports = json_object_get(reply, "ports"), *json;
	uint64_t workers = member_count(reply, "workers");
	bool quiet = true;
	size_t i;

	fputs("guestwired ", out);
	human_print(out, member_text(reply, "version"));
	fprintf(out, ", pid %llu: %s worker%s, %s for copies\n",
		(unsigned long long)member_count(reply, "pid"), human_count(workers).text,
		workers == 1 ? "" : "s", human_bytes(member_count(reply, "arena_bytes")).text);
	show_workers(out, json_object_get(reply, "work"));
	fputc('\n', out);
	print_ports(out, ports);
	json_array_foreach(ports, i, json) print_port(out, json, workers);
	json_array_foreach(json_object_get(reply, "pairs"), i, json)
	{
		if (!has_traffic(json))
			continue;
		quiet = false;
		print_pair(out, json);
	}
	if (quiet)
		fputs("\nNo frames between ports yet.\n", out);
}
