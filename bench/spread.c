/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What several workers make of several queue pairs, and one worker of many guests.
 *
 * Guests send to a sink (driver null) from transmit rings that were filled beforehand and
 * never run dry, since that sink makes their entries available again (refill.h). There is no
 * generator that needs a processor of its own: with two processors two workers can have one
 * each, and nothing else runs there.
 *
 * A setup is a number of guests, of queue pairs that each has, and of workers. Setups take
 * turns, each with a library context of its own which sleeps while it is not its turn. Some
 * may have theirs at the same time: they share no more than the process, so that two of one
 * worker are what the machine has for two workers.
 *
 * Two figures. By the clock: frames per second. By the workers' own time, as the kernel
 * accounts for it: frames of each worker for each second that it had a processor; what else
 * the machine does is not in it. Both are medians of each worker, added up, and not those
 * of sums: a processor of a virtual machine is slow for a while, whatever the other ones are,
 * so that of two workers one is slow far more often than of one.
 *
 * bench/README.md says how to run it and how to read it.
 */
#include "refill.h"

#include "atomic.h"
#include "worker_threads.h"
#include <getopt.h>
#include <guestwire/guestwire.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX  501u
#define GUESTS_MAX  64u
#define PAIRS_MAX   REFILL_RINGS_MAX
#define WORKERS_MAX REFILL_LANES_MAX
#define SETUPS_MAX  8u
#define RING_MAX    4096u
#define WARM_MS     30u
/* A busy machine may let the workers wait. */
#define DEADLINE_NS 60000000000ull

struct setup {
	unsigned int guests, pairs, workers;
	unsigned int processor; /* of its first worker; the others have the next ones */
	bool beside;            /* at the same time as the one before it */
	const char *word;       /* with those beside it */
	struct gw_context *context;
	struct guest {
		struct vm vm;
		struct vm_ring ring[PAIRS_MAX];
		struct refill *refill;
	} * guest;
	int tid[WORKERS_MAX];
	double clock_rate[WORKERS_MAX][ROUNDS_MAX], own_rate[WORKERS_MAX][ROUNDS_MAX];
	double waited[ROUNDS_MAX]; /* of the time, for others, by who waited longest */
};

static struct {
	unsigned int rounds, turn_ms, ring, len;
	bool pin, json;
} options = { .rounds = 15, .turn_ms = 100, .ring = RING_MAX, .len = 64, .pin = true };

static struct setup setups[SETUPS_MAX];
static unsigned int setup_count;
static char folder[] = "/tmp/gw-bench-XXXXXX";

static void die(const char *what)
{
	fprintf(stderr, "spread: %s\n", what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- setups ---- */

static void port_add(struct setup *setup, const char *spec)
{
	struct gw_error err = { 0 };

	if (gw_port_add(setup->context, spec, &err))
		die(err.text);
}

/* Number of a guest among those of all setups. */
static unsigned int guest_number(const struct setup *setup, unsigned int g)
{
	return (unsigned int)(setup - setups) * GUESTS_MAX + g;
}

static void guest_start(struct setup *setup, unsigned int g)
{
	const uint64_t room = refill_ring_room(options.ring, options.len);
	const struct vm_options how = {
		.features = 0,
		.memory_bytes = room * setup->pairs,
		.multiqueue = setup->pairs > 1,
	};
	struct guest *guest = &setup->guest[g];
	char path[80];

	snprintf(path, sizeof(path), "%s/%ug%u", folder, (unsigned int)(setup - setups), g);
	guest->vm = (struct vm){ .options = how, .fd = -1 };
	vm_connect(&guest->vm, path);
	vm_share_memory(&guest->vm);
	/* Pairs are dealt out in turn. */
	for (unsigned int p = 0; p < setup->pairs; p++)
		refill_add(&guest->refill->lane[p % setup->workers], &guest->vm, &guest->ring[p],
			   2 * p + 1, options.ring, VM_MEMORY_ADDR + p * room, options.len);
}

static void wait_for_workers(struct setup *setup)
{
	uint64_t deadline = now_ns() + DEADLINE_NS;

	while (!worker_threads_find(setup->tid, setup->workers)) {
		if (now_ns() > deadline)
			die("a worker's thread is not there");
		usleep(1000);
	}
	for (unsigned int w = 0; w < setup->workers && options.pin; w++)
		if (!worker_thread_pin(setup->tid[w], setup->processor + w))
			die("a thread cannot be pinned");
}

/* Each guest in a network of its own with a sink. */
static void setup_start(struct setup *setup)
{
	struct gw_options how = { .size = sizeof(how), .workers = setup->workers };
	struct gw_error err = { 0 };
	char spec[200];

	setup->guest = calloc(setup->guests, sizeof(*setup->guest));
	if (!setup->guest || gw_open(&how, &setup->context, &err))
		die(err.text);
	for (unsigned int g = 0; g < setup->guests; g++) {
		snprintf(spec, sizeof(spec), "g%u=guest:%s/%ug%u,network=n%u", g, folder,
			 (unsigned int)(setup - setups), g, g);
		port_add(setup, spec);
		setup->guest[g].refill = refill_of(guest_number(setup, g));
		snprintf(spec, sizeof(spec), "d%u=refill:%u,network=n%u", g, guest_number(setup, g),
			 g);
		port_add(setup, spec);
	}
	if (gw_start(setup->context, &err))
		die(err.text);
	wait_for_workers(setup);
	for (unsigned int g = 0; g < setup->guests; g++)
		guest_start(setup, g);
}

static void setup_stop(struct setup *setup)
{
	for (unsigned int g = 0; g < setup->guests; g++) {
		for (unsigned int p = 0; p < setup->pairs; p++)
			vm_close_ring(&setup->guest[g].ring[p]);
		vm_free(&setup->guest[g].vm);
	}
	gw_close(setup->context);
	free(setup->guest);
}

/* ---- a turn ---- */

/* A network's first lane is with another worker for each; false: it has no such lane. */
static struct refill_lane *lane_of(const struct setup *setup, unsigned int g, unsigned int worker)
{
	unsigned int lane = (worker + setup->workers - g % setup->workers) % setup->workers;

	return &setup->guest[g].refill->lane[lane];
}

static uint64_t frames_of(const struct setup *setup, unsigned int worker)
{
	uint64_t frames = 0;

	for (unsigned int g = 0; g < setup->guests; g++)
		frames += gw_load_relaxed(&lane_of(setup, g, worker)->frames);
	return frames;
}

static void for_lanes(const struct setup *setup, void (*fn)(struct refill_lane *lane))
{
	for (unsigned int g = 0; g < setup->guests; g++)
		for (unsigned int w = 0; w < setup->workers; w++)
			if (lane_of(setup, g, w)->ring_count)
				fn(lane_of(setup, g, w));
}

static void wait_until_over(struct refill_lane *lane)
{
	uint64_t deadline = now_ns() + DEADLINE_NS;

	while (!refill_is_over(lane)) {
		if (now_ns() > deadline)
			die("a ring is not worked off");
		usleep(100);
	}
}

static void sleep_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

/* Of a worker, at one moment. */
struct mark {
	struct account account;
	uint64_t frames;
};

static struct mark mark_of(const struct setup *setup, unsigned int worker)
{
	struct mark mark;

	if (!worker_thread_account(setup->tid[worker], &mark.account))
		die("no schedstat of a worker");
	mark.frames = frames_of(setup, worker);
	return mark;
}

/* What a worker did since `before`, in ns of the clock. */
static void sum_up(struct setup *setup, unsigned int round, unsigned int worker,
		   const struct mark *before, uint64_t ns)
{
	struct mark now = mark_of(setup, worker);
	uint64_t ran_ns = now.account.ran_ns - before->account.ran_ns;
	double frames = (double)(now.frames - before->frames);
	double waited = (double)(now.account.waited_ns - before->account.waited_ns) / (double)ns;

	/* On a busy machine it may not have run at all. */
	if (ran_ns)
		setup->own_rate[worker][round] = frames * 1e9 / (double)ran_ns;
	setup->clock_rate[worker][round] = frames * 1e9 / (double)ns;
	if (waited > setup->waited[round])
		setup->waited[round] = waited;
}

/* The first that is not beside this one. */
static struct setup *after(struct setup *setup)
{
	do
		setup++;
	while (setup < &setups[setup_count] && setup->beside);
	return setup;
}

/* All that was made available is worked off at the end, and the workers sleep. */
static void turn(struct setup *first, unsigned int round)
{
	struct mark before[SETUPS_MAX][WORKERS_MAX] = { 0 };
	struct setup *end = after(first), *setup;
	uint64_t since, ns;

	for (setup = first; setup < end; setup++)
		for_lanes(setup, refill_begin);
	sleep_ms(WARM_MS);
	since = now_ns();
	for (setup = first; setup < end; setup++)
		for (unsigned int w = 0; w < setup->workers; w++)
			before[setup - first][w] = mark_of(setup, w);
	sleep_ms(options.turn_ms);
	ns = now_ns() - since;
	for (setup = first; setup < end; setup++)
		for (unsigned int w = 0; w < setup->workers; w++)
			sum_up(setup, round, w, &before[setup - first][w], ns);
	for (setup = first; setup < end; setup++)
		for_lanes(setup, refill_end);
	for (setup = first; setup < end; setup++)
		for_lanes(setup, wait_until_over);
}

/* ---- the sum ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double quantile(const double *values, double part)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, values, options.rounds * sizeof(*values));
	qsort(sorted, options.rounds, sizeof(*sorted), by_value);
	return sorted[(unsigned int)(part * (options.rounds - 1) + 0.5)];
}

#define IN_ALL UINT32_MAX /* in no round, but in the median */

/* Of all its workers, and of those beside it. */
static double rate(struct setup *first, bool own, unsigned int round)
{
	double sum = 0;

	for (struct setup *setup = first; setup < after(first); setup++)
		for (unsigned int w = 0; w < setup->workers; w++) {
			const double *each = own ? setup->own_rate[w] : setup->clock_rate[w];

			sum += round == IN_ALL ? quantile(each, 0.5) : each[round];
		}
	return sum;
}

/* To the first setup: of what they are in all, and the quartiles of single rounds. */
static void show_ratio(struct setup *setup, bool own)
{
	double each[ROUNDS_MAX];

	for (unsigned int i = 0; i < options.rounds; i++)
		each[i] = rate(setup, own, i) / rate(setups, own, i);
	printf("  %6.3f (%5.3f to %5.3f)", rate(setup, own, IN_ALL) / rate(setups, own, IN_ALL),
	       quantile(each, 0.25), quantile(each, 0.75));
}

/* Share of the time, of who waited longest. */
static double waited(struct setup *first)
{
	double most = 0;

	for (struct setup *setup = first; setup < after(first); setup++) {
		double one = quantile(setup->waited, 0.5);

		most = one > most ? one : most;
	}
	return most;
}

static void check_ledger(const struct setup *setup)
{
	struct gw_snapshot *snapshot;

	if (gw_snapshot_take(setup->context, &snapshot))
		die("no snapshot");
	for (unsigned int i = 0; i < snapshot->pair_count; i++)
		for (unsigned int r = GW_DROP_FIRST; r < GW_REASON_COUNT; r++)
			if (snapshot->pairs[i].reasons[r])
				die("frames were dropped");
	gw_snapshot_free(snapshot);
}

static void report(void)
{
	printf("frames of %u bytes, rings of %u, %u rounds of %u ms\n", options.len, options.ring,
	       options.rounds, options.turn_ms);
	printf("%-24s %10s %22s %23s\n", "setup", "Mframes/s", "by the clock",
	       "by the workers' time");
	for (struct setup *s = setups; s < &setups[setup_count]; s = after(s)) {
		printf("%-24s %10.2f", s->word, rate(s, true, IN_ALL) / 1e6);
		show_ratio(s, false);
		show_ratio(s, true);
		printf("\n");
	}
}

/* In frames per second. */
static void report_json(void)
{
	printf("[");
	for (struct setup *s = setups; s < &setups[setup_count]; s = after(s))
		printf("%s{\"setup\":\"%s\",\"clock_rate\":%.0f,\"own_rate\":%.0f,\"waited\":%.4f}",
		       s == setups ? "" : ",", s->word, rate(s, false, IN_ALL),
		       rate(s, true, IN_ALL), waited(s));
	printf("]\n");
}

/* ---- options ---- */

static const char help[] =
	"usage: spread [--rounds N] [--turn MS] [--ring SIZE] [--len BYTES] [--no-pin]\n"
	"              [--json] SETUP...\n"
	"SETUP: GUESTS:PAIRS:WORKERS[@PROCESSOR], or several, joined by +, that have their\n"
	"turns at the same time\n";

static _Noreturn void misused(void)
{
	fputs(help, stderr);
	exit(2);
}

static unsigned int number(const char *text, unsigned long min, unsigned long max)
{
	char *after;
	unsigned long value = strtoul(text, &after, 10);

	if (*after || value < min || value > max) {
		fprintf(stderr, "spread: %s is not from %lu to %lu\n", text, min, max);
		exit(2);
	}
	return (unsigned int)value;
}

/* Reads one; returns what is behind it. */
static const char *read_setup(struct setup *setup, const char *word)
{
	int len = 0, more = 0;

	if (sscanf(word, "%u:%u:%u%n@%u%n", &setup->guests, &setup->pairs, &setup->workers, &len,
		   &setup->processor, &more) < 3 ||
	    !setup->guests || setup->guests > GUESTS_MAX || !setup->pairs ||
	    setup->pairs > PAIRS_MAX || !setup->workers || setup->workers > WORKERS_MAX)
		misused();
	return word + (more ? more : len);
}

/* Each begins on the processor after those of the one that it is beside. */
static void add_setups(const char *word)
{
	const char *rest = word;
	unsigned int processor = 0;

	do {
		struct setup *setup = &setups[setup_count];

		if (setup_count++ == SETUPS_MAX)
			misused();
		*setup = (struct setup){ .processor = processor, .beside = rest != word };
		setup->word = word;
		rest = read_setup(setup, rest);
		processor = setup->processor + setup->workers;
	} while (*rest++ == '+');
	if (rest[-1])
		misused();
}

static void read_options(int argc, char **argv)
{
	static const struct option table[] = {
		{ "rounds", 1, NULL, 'r' }, { "turn", 1, NULL, 't' },
		{ "ring", 1, NULL, 'n' },   { "len", 1, NULL, 'l' },
		{ "no-pin", 0, NULL, 'p' }, { "json", 0, NULL, 'j' },
		{ "help", 0, NULL, 'h' },   { 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == 'r')
			options.rounds = number(optarg, 1, ROUNDS_MAX);
		else if (c == 't')
			options.turn_ms = number(optarg, 1, 10000);
		else if (c == 'n')
			options.ring = number(optarg, 64, RING_MAX);
		else if (c == 'l')
			options.len = number(optarg, GW_FRAME_LEN_MIN, 9000);
		else if (c == 'p')
			options.pin = false;
		else if (c == 'j')
			options.json = true;
		else if (c == '?')
			misused();
		else {
			fputs(help, stdout);
			exit(0);
		}
	}
	while (optind < argc)
		add_setups(argv[optind++]);
	if (!setup_count) {
		add_setups("1:1:1");
		add_setups("1:2:1");
		add_setups("1:2:2");
	}
}

int main(int argc, char **argv)
{
	struct setup *end;

	read_options(argc, argv);
	end = &setups[setup_count];
	refill_init();
	if (!mkdtemp(folder))
		die("no folder for sockets");
	for (struct setup *setup = setups; setup < end; setup++)
		setup_start(setup);
	for (unsigned int i = 0; i < options.rounds; i++)
		for (struct setup *setup = setups; setup < end; setup = after(setup))
			turn(setup, i);
	for (struct setup *setup = setups; setup < end; setup++)
		check_ledger(setup);
	if (options.json)
		report_json();
	else
		report();
	for (struct setup *setup = setups; setup < end; setup++)
		setup_stop(setup);
	rmdir(folder);
	return 0;
}
