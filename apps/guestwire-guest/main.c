/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guestwire-guest: a virtio-net guest without a virtual machine.
 *
 * It plays both parts that a back-end sees of a guest: the VMM's side of vhost-user
 * (front_end) and the driver's side of the rings (driver_ring, guest_nic), and sends and
 * verifies frames that describe themselves (pattern, tally). With --interface
 * the same frames go through a raw socket, for the far end of a veth.
 *
 * It shares no code with the back-end but the numbers of vhost_user_spec.h, so that a
 * misreading of a specification cannot hide on both sides; and it links nothing of
 * the tree, so that it can be pointed at any other back-end.
 *
 *	options -> memory -> rings -> front end -> run loop -> stop -> summary
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest_options.h"
#include "guest_summary.h"
#include "misbehave.h"
#include "pacer.h"
#include "run.h"
#include "tally.h"

void run_ready(const struct guest_options *options)
{
	static const char word[] = "ready\n";

	if (options->ready_fd == UINT64_MAX)
		return;
	if (write((int)options->ready_fd, word, sizeof(word) - 1) < 0)
		perror("guestwire-guest: cannot write to --ready-fd");
	if (options->ready_fd > STDERR_FILENO)
		close((int)options->ready_fd);
}

static void run(const struct guest_options *options, struct guest_summary *summary)
{
	struct pacer pacer;
	struct fail fail;

	if (pacer_open(&pacer, options, &fail) < 0) {
		summary_error(summary, EXIT_WRONG, "%s", fail.text);
		return;
	}
	if (options->misbehave)
		run_misbehave(options, &pacer, summary);
	else if (options->interface)
		run_interface(options, &pacer, summary);
	else
		run_guest(options, &pacer, summary);
	pacer_close(&pacer);
}

int main(int argc, char **argv)
{
	static struct tally tally;
	static struct guest_summary summary;
	struct guest_options options;
	enum guest_parse parsed = guest_options_parse(&options, argc, argv);

	if (parsed != PARSE_RUN)
		return parsed == PARSE_DONE ? EXIT_GOOD : EXIT_USAGE;
	if (options.misbehave && !strcmp(options.misbehave, "list")) {
		misbehave_list();
		return EXIT_GOOD;
	}
	if (options.misbehave && !misbehave_known(options.misbehave)) {
		fprintf(stderr, "guestwire-guest: no misbehaviour %s; see --misbehave list\n",
			options.misbehave);
		return EXIT_USAGE;
	}
	tally_open(&tally, (uint16_t)options.ethertype, options.verify);
	for (uint32_t i = 0; i < options.receive_streams.count; i++)
		tally_expect(&tally, options.receive_streams.values[i]);
	summary.options = &options;
	summary.tally = &tally;
	run(&options, &summary);
	summary_judge(&summary);
	summary_print(&summary);
	tally_close(&tally);
	return (int)summary.exit;
}
