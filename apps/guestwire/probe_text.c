/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A line for each path: what it is, the verdict, how that was found out, the text;
 * and below it, indented to the text, what would make it a yes. Where something was
 * tried its outcome takes the place of what was asked, and if the two do not agree
 * both are shown.
 */
#include "probe_text.h"

#include "human.h"

#include <guestwire/guestwire.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SUBJECT_COLUMN 25
/* Bits of block.said. */
#define LINES_MAX      64
#define TEXT_COLUMN    42

static bool same_thing(const struct gw_finding *a, const struct gw_finding *b)
{
	return !strcmp(a->path, b->path) && !strcmp(a->subject, b->subject);
}

/* What trying found, where asking found `finding`. */
static const struct gw_finding *finding_after(const struct gw_finding *finding,
					      const struct gw_finding *end)
{
	for (const struct gw_finding *later = finding + 1; later < end; later++)
		if (same_thing(later, finding))
			return later;
	return NULL;
}

static bool agree(const struct gw_finding *asked, const struct gw_finding *tried)
{
	return asked->found == tried->found || asked->found == GW_FOUND_UNKNOWN;
}

static void print_reason(FILE *out, const struct gw_finding *finding)
{
	human_print(out, finding->text);
	if (finding->remedy[0]) {
		fprintf(out, "\n%*s-> ", TEXT_COLUMN, "");
		human_print(out, finding->remedy);
	}
	fputc('\n', out);
}

/* A block of lines that is being printed. */
struct block {
	FILE *out;
	const struct gw_finding *findings, *end;
	uint64_t said; /* by index: those whose reason was printed in full */
};

/* What prevents one path often prevents several: which one said so already; NULL: none. */
static const struct gw_finding *said_before(const struct block *block,
					    const struct gw_finding *finding)
{
	for (const struct gw_finding *other = block->findings; other < block->end; other++)
		if (block->said >> (other - block->findings) & 1 &&
		    !strcmp(other->text, finding->text) && !strcmp(other->remedy, finding->remedy))
			return other;
	return NULL;
}

static void print_finding(struct block *block, const struct gw_finding *finding)
{
	const struct gw_finding *before = said_before(block, finding);
	bool host = !strcmp(finding->path, "host");
	int column = fprintf(block->out, "  %s%s%s", host ? "" : finding->path, host ? "" : " ",
			     finding->subject);

	fprintf(block->out, "%*s%-7s (%s)  ", SUBJECT_COLUMN - column, "",
		gw_found_name(finding->found), gw_found_how_name(finding->how));
	if (before) {
		fprintf(block->out, "as %s %s\n", before->path, before->subject);
		return;
	}
	print_reason(block->out, finding);
	block->said |= 1ull << (finding - block->findings);
}

static void print_findings(FILE *out, const struct gw_finding *findings, unsigned int count)
{
	struct block block = { .out = out, .findings = findings };
	const struct gw_finding *earlier, *later;

	block.end = findings + (count < LINES_MAX ? count : LINES_MAX);
	for (const struct gw_finding *finding = findings; finding < block.end; finding++) {
		for (earlier = findings; !same_thing(earlier, finding);)
			earlier++;
		if (earlier < finding)
			continue;
		later = finding_after(finding, block.end);
		if (!later || !agree(finding, later))
			print_finding(&block, finding);
		if (later)
			print_finding(&block, later);
	}
}

static void print_device(FILE *out, const struct gw_probe_device *device)
{
	fputc('\n', out);
	human_print(out, device->name);
	fprintf(out, ": MTU %" PRIu32 ", %s, driver ", device->mtu, device->up ? "up" : "down");
	human_print(out, device->driver[0] ? device->driver : "unknown");
	if (device->bus[0]) {
		fputs(" at ", out);
		human_print(out, device->bus);
	}
	fputc('\n', out);
	print_findings(out, device->findings, device->finding_count);
}

void probe_text(FILE *out, const struct gw_probe_report *report)
{
	const struct gw_probe_host *host = &report->host;

	fputs("this host: Linux ", out);
	human_print(out, host->kernel);
	fprintf(out, ", user %u%s\n", host->user, host->init_user_ns ? "" : " of a user namespace");
	print_findings(out, report->findings, report->finding_count);
	for (unsigned int i = 0; i < report->device_count; i++)
		print_device(out, &report->devices[i]);
	if (!report->attempted)
		fputs("\nNothing was tried; --try does.\n", out);
}
