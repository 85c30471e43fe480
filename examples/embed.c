/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guestwire inside another program: a VMM that wants no second process, or a daemon
 * that has other things to do as well.
 *
 *     cc -o embed embed.c $(pkg-config --cflags --libs --static guestwire)
 *     ./embed vm1=guest:/run/vm1.sock up=xdp:eth1
 *
 * Each word is a port, as after guestwired --port. It runs until SIGINT or SIGTERM, and
 * then says, for each pair of ports, what was lent, what was copied, and why.
 */
#include <guestwire/guestwire.h>

#include <signal.h>
#include <stdint.h>
#include <stdio.h>

#define STOP_MS 2000u

/* Called by threads of the library too. */
static void log_line(void *arg, int level, const char *line)
{
	fprintf(stderr, "embed: %s\n", line);
}

static void print_pair(const struct gw_pair_info *pair)
{
	printf("%s -> %s: %ju frames lent, %ju copied\n", pair->source, pair->egress,
	       (uintmax_t)pair->lent_frames, (uintmax_t)pair->copied_frames);
	if (pair->asked)
		printf("    can the device read this memory? %s: %s\n",
		       gw_verdict_name(pair->answer.verdict), pair->answer.text);
	for (int i = 0; i < GW_REASON_COUNT; i++)
		if (pair->reasons[i])
			printf("    %s: %ju\n", gw_reason_name((enum gw_reason)i),
			       (uintmax_t)pair->reasons[i]);
}

static void print_ledger(struct gw_context *gw)
{
	struct gw_snapshot *snapshot;

	if (gw_snapshot_take(gw, &snapshot))
		return;
	for (unsigned int i = 0; i < snapshot->pair_count; i++)
		print_pair(&snapshot->pairs[i]);
	gw_snapshot_free(snapshot);
}

/* Negative: err says why. */
static int run(struct gw_context *gw, char **ports, const sigset_t *ends, struct gw_error *err)
{
	int number, held, rc = 0;

	for (; *ports && !rc; ports++)
		rc = gw_port_add(gw, *ports, err);
	if (!rc)
		rc = gw_start(gw, err);
	if (rc)
		return rc;
	fprintf(stderr, "embed: running\n");
	sigwait(ends, &number);
	print_ledger(gw);
	held = gw_stop(gw, STOP_MS);
	if (held)
		fprintf(stderr, "embed: %d frames were never given back by their device\n", held);
	return 0;
}

int main(int argc, char **argv)
{
	struct gw_options options = { .size = sizeof(options), .log = log_line };
	struct gw_context *gw = NULL;
	struct gw_error err = { 0 };
	sigset_t ends;
	int rc;

	if (argc < 2) {
		fprintf(stderr, "usage: embed NAME=DRIVER:TARGET[,OPTION=VALUE...] ...\n");
		return 2;
	}
	/* Before the library starts its threads, which inherit it: these signals are for us. */
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	rc = gw_open(&options, &gw, &err);
	if (!rc)
		rc = run(gw, argv + 1, &ends, &err);
	if (rc)
		fprintf(stderr, "embed: %s\n", err.text);
	gw_close(gw);
	return rc != 0;
}
