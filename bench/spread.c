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
 * the machine does is not in it. Both are medians of each worker, added up.
 *
 * A turn counts if the processors that it was on were as fast as ever before and after it
 * (pace.h): of two workers one is on a slow processor far more often than one alone is.
 *
 * bench/README.md says how to run it and how to read it.
 */
#include "pace.h"
#include "spread_setup.h"

#include "worker_threads.h"
#include <getopt.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX     501u
#define CONTENDERS_MAX 8u
#define BESIDE_MAX     4u
#define RING_MAX       4096u
#define WARM_MS        30u
/* So many times as many turns there are at most, for as many that count. */
#define TRIES_MAX      10u

static struct {
	unsigned int rounds, turn_ms;
	bool json;
	struct setup_options setup;
} options = { .rounds = 15, .turn_ms = 100, .setup = { .ring = RING_MAX, .len = 64, .pin = true } };

/* What a worker of a contender did in each round. */
struct figures {
	const struct setup *setup;
	unsigned int worker, processor;
	double clock_rate[ROUNDS_MAX], own_rate[ROUNDS_MAX];
	double waited[ROUNDS_MAX];  /* of the time, for others */
	double pace_ns[ROUNDS_MAX]; /* of its processor, the slower of before and after */
};

/* Setups that have their turns at the same time. */
struct contender {
	const char *word;
	struct setup setup[BESIDE_MAX];
	struct figures figures[BESIDE_MAX * WORKERS_MAX];
	unsigned int setup_count, worker_count;
};

static struct contender contenders[CONTENDERS_MAX];
static unsigned int contender_count, setup_count, rounds, processors;
/* Of each processor so far, and when it was looked at last. */
static double best_ns[PACE_MAX], pace_ns[PACE_MAX];
static char folder[] = "/tmp/gw-bench-XXXXXX";

/* ---- a turn ---- */

static void sleep_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

/* Of a worker, at one moment. */
struct mark {
	struct account account;
	uint64_t frames;
};

static struct mark mark_of(const struct figures *of)
{
	struct mark mark;

	if (!worker_thread_account(of->setup->tid[of->worker], &mark.account))
		setup_die("no schedstat of a worker");
	mark.frames = setup_frames(of->setup, of->worker);
	return mark;
}

/* What a worker did since `before`, in ns of the clock. */
static void sum_up(struct figures *of, const struct mark *before, uint64_t ns)
{
	struct mark now = mark_of(of);
	uint64_t ran_ns = now.account.ran_ns - before->account.ran_ns;
	double frames = (double)(now.frames - before->frames);

	/* On a busy machine it may not have run at all. */
	of->own_rate[rounds] = ran_ns ? frames * 1e9 / (double)ran_ns : 0;
	of->clock_rate[rounds] = frames * 1e9 / (double)ns;
	of->waited[rounds] =
		(double)(now.account.waited_ns - before->account.waited_ns) / (double)ns;
}

/* Nobody works meanwhile. */
static void look_at_processors(void)
{
	if (!options.setup.pin)
		return;
	pace_take(pace_ns);
	for (unsigned int i = 0; i < processors; i++)
		if (!best_ns[i] || pace_ns[i] < best_ns[i])
			best_ns[i] = pace_ns[i];
}

static void note_pace(struct contender *who)
{
	for (struct figures *of = who->figures; of < who->figures + who->worker_count; of++)
		if (pace_ns[of->processor] > of->pace_ns[rounds])
			of->pace_ns[rounds] = pace_ns[of->processor];
}

/* All that was made available is worked off at the end, and the workers sleep. */
static void turn(struct contender *who)
{
	struct mark before[BESIDE_MAX * WORKERS_MAX];
	uint64_t since, ns;

	note_pace(who);
	for (unsigned int i = 0; i < who->setup_count; i++)
		setup_begin(&who->setup[i]);
	sleep_ms(WARM_MS);
	since = setup_now_ns();
	for (unsigned int w = 0; w < who->worker_count; w++)
		before[w] = mark_of(&who->figures[w]);
	sleep_ms(options.turn_ms);
	ns = setup_now_ns() - since;
	for (unsigned int w = 0; w < who->worker_count; w++)
		sum_up(&who->figures[w], &before[w], ns);
	for (unsigned int i = 0; i < who->setup_count; i++)
		setup_end(&who->setup[i]);
	for (unsigned int i = 0; i < who->setup_count; i++)
		setup_wait(&who->setup[i]);
	look_at_processors();
	note_pace(who);
}

/* ---- the turns that count ---- */

/* What is the best so far may change with each turn, and with it what counts. */
static bool counts(const struct contender *who, unsigned int round)
{
	for (unsigned int w = 0; w < who->worker_count; w++) {
		const struct figures *of = &who->figures[w];

		if (of->pace_ns[round] > PACE_SPREAD_MAX * best_ns[of->processor])
			return false;
	}
	return true;
}

static unsigned int turns_that_count(const struct contender *who)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < rounds; i++)
		count += counts(who, i);
	return count;
}

static bool all_have_enough(void)
{
	for (unsigned int c = 0; c < contender_count; c++)
		if (turns_that_count(&contenders[c]) < options.rounds)
			return false;
	return true;
}

/* Rounds, until each contender has as many turns that count as are wanted. */
static void take_turns(void)
{
	unsigned int most = options.rounds * TRIES_MAX;

	look_at_processors();
	for (; rounds < ROUNDS_MAX && rounds < most && !all_have_enough(); rounds++)
		for (unsigned int c = 0; c < contender_count; c++)
			turn(&contenders[c]);
}

/* ---- the sum ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Sorts them; 0 of none. */
static double quantile(double *values, unsigned int count, double part)
{
	qsort(values, count, sizeof(*values), by_value);
	return count ? values[(unsigned int)(part * (count - 1) + 0.5)] : 0;
}

/* Of the turns of its contender that count. */
static double median_of(const struct contender *who, const double *each)
{
	double found[ROUNDS_MAX];
	unsigned int count = 0;

	for (unsigned int i = 0; i < rounds; i++)
		if (counts(who, i))
			found[count++] = each[i];
	return quantile(found, count, 0.5);
}

static const double *rates_of(const struct figures *of, bool own)
{
	return own ? of->own_rate : of->clock_rate;
}

/* Of all its workers. */
static double rate(const struct contender *who, bool own)
{
	double sum = 0;

	for (unsigned int w = 0; w < who->worker_count; w++)
		sum += median_of(who, rates_of(&who->figures[w], own));
	return sum;
}

static double rate_in(const struct contender *who, bool own, unsigned int round)
{
	double sum = 0;

	for (unsigned int w = 0; w < who->worker_count; w++)
		sum += rates_of(&who->figures[w], own)[round];
	return sum;
}

/* To the first contender: of what they are in all, and the quartiles of single rounds. */
static void show_ratio(const struct contender *who, bool own)
{
	double each[ROUNDS_MAX], low, high;
	unsigned int count = 0;

	for (unsigned int i = 0; i < rounds; i++)
		if (counts(who, i) && counts(contenders, i))
			each[count++] = rate_in(who, own, i) / rate_in(contenders, own, i);
	low = quantile(each, count, 0.25);
	high = quantile(each, count, 0.75);
	printf("  %6.3f (%5.3f to %5.3f)", rate(who, own) / rate(contenders, own), low, high);
}

/* Share of the time, of who waited longest. */
static double waited(const struct contender *who)
{
	double most = 0;

	for (unsigned int w = 0; w < who->worker_count; w++) {
		double one = median_of(who, who->figures[w].waited);

		most = one > most ? one : most;
	}
	return most;
}

static const char unsteady[] = "a processor changed its speed all the time";

static void report(void)
{
	printf("frames of %u bytes, rings of %u, %u rounds of %u ms\n", options.setup.len,
	       options.setup.ring, rounds, options.turn_ms);
	printf("%-24s %6s %10s %22s %23s\n", "setup", "count", "Mframes/s", "by the clock",
	       "by the workers' time");
	for (unsigned int c = 0; c < contender_count; c++) {
		const struct contender *who = &contenders[c];

		if (!turns_that_count(who) || !turns_that_count(contenders)) {
			printf("%-24s %6u  %s\n", who->word, turns_that_count(who), unsteady);
			continue;
		}
		printf("%-24s %6u %10.2f", who->word, turns_that_count(who), rate(who, true) / 1e6);
		show_ratio(who, false);
		show_ratio(who, true);
		printf("\n");
	}
}

/* In frames per second. */
static void report_json(void)
{
	printf("[");
	for (unsigned int c = 0; c < contender_count; c++) {
		const struct contender *who = &contenders[c];

		printf("%s{\"setup\":\"%s\",\"clock_rate\":%.0f,\"own_rate\":%.0f,"
		       "\"waited\":%.4f,\"rounds\":%u,\"turns\":%u}",
		       c ? "," : "", who->word, rate(who, false), rate(who, true), waited(who),
		       rounds, turns_that_count(who));
	}
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
	    setup->pairs > PAIRS_MAX || !setup->workers || setup->workers > WORKERS_MAX ||
	    setup->processor > PACE_MAX - setup->workers)
		misused();
	return word + (more ? more : len);
}

static void add_workers(struct contender *who, const struct setup *setup)
{
	unsigned int end = setup->processor + setup->workers;

	for (unsigned int w = 0; w < setup->workers; w++)
		who->figures[who->worker_count++] = (struct figures){
			.setup = setup, .worker = w, .processor = setup->processor + w
		};
	processors = end > processors ? end : processors;
}

/* Each setup begins on the processor after those of the one that it is beside. */
static void add_contender(const char *word)
{
	struct contender *who = &contenders[contender_count];
	const char *rest = word;
	unsigned int processor = 0;

	if (contender_count++ == CONTENDERS_MAX)
		misused();
	who->word = word;
	do {
		struct setup *setup = &who->setup[who->setup_count];

		if (who->setup_count++ == BESIDE_MAX || setup_count == REFILL_MAX / GUESTS_MAX)
			misused();
		*setup = (struct setup){ .number = setup_count++, .processor = processor };
		rest = read_setup(setup, rest);
		add_workers(who, setup);
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
			options.setup.ring = number(optarg, 64, RING_MAX);
		else if (c == 'l')
			options.setup.len = number(optarg, GW_FRAME_LEN_MIN, 9000);
		else if (c == 'p')
			options.setup.pin = false;
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
		add_contender(argv[optind++]);
	if (!contender_count) {
		add_contender("1:1:1");
		add_contender("1:2:1");
		add_contender("1:2:2");
	}
}

static void for_setups(void (*fn)(struct setup *setup))
{
	for (unsigned int c = 0; c < contender_count; c++)
		for (unsigned int i = 0; i < contenders[c].setup_count; i++)
			fn(&contenders[c].setup[i]);
}

static void start(struct setup *setup)
{
	setup_start(setup, &options.setup);
}

int main(int argc, char **argv)
{
	read_options(argc, argv);
	refill_init();
	options.setup.folder = mkdtemp(folder);
	if (!options.setup.folder)
		setup_die("no folder for sockets");
	if (options.setup.pin && !pace_start(processors))
		setup_die("a processor is not there, or not for us");
	for_setups(start);
	take_turns();
	for_setups(setup_check);
	if (options.json)
		report_json();
	else
		report();
	for_setups(setup_stop);
	if (options.setup.pin)
		pace_stop();
	rmdir(folder);
	return 0;
}
