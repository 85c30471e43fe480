/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What several workers make of several queue pairs, and one worker of many guests.
 *
 * Guests send to a sink (driver null) from transmit rings that were filled beforehand and
 * never run dry: buffers come back in the order in which they were made available, so that
 * the same entries are good for ever, and all that is left to do is to move the available
 * index on. A thread does so that sleeps meanwhile. There is no generator that needs a
 * processor of its own: with two processors two workers can have one each.
 *
 * A setup is a number of guests, of queue pairs that each has, and of workers. Setups take
 * turns, each with a library context of its own which sleeps while it is not its turn.
 *
 * Two figures. By the clock: frames per second. By the workers' own time, as the kernel
 * accounts for it: frames of each worker for each second that it had a processor, added up;
 * what else the machine does is not in it. A worker that finds its rings empty spoils
 * both, so it is counted how often that was seen.
 *
 * bench/README.md says how to run it and how to read it.
 */
#include "vm.h"

#include "atomic.h"
#include <dirent.h>
#include <getopt.h>
#include <guestwire/guestwire.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX  501u
#define GUESTS_MAX  64u
#define PAIRS_MAX   8u
#define WORKERS_MAX 8u
#define SETUPS_MAX  8u
#define RING_MAX    4096u
/* Ring, and a slot for each of its frames. */
#define LOOK_NS     60000L
#define WARM_LOOKS  500u
/* A busy machine may let the workers wait. */
#define DEADLINE_NS 60000000000ull

struct setup {
	unsigned int guests, pairs, workers;
	struct gw_context *context;
	struct guest {
		struct vm vm;
		struct vm_ring ring[PAIRS_MAX];
	} * guest;
	int tid[WORKERS_MAX];
	double clock_rate[ROUNDS_MAX], own_rate[ROUNDS_MAX];
	double waited[ROUNDS_MAX]; /* of the time, for others, by who waited longest */
	uint64_t looks, dry;
};

static struct {
	unsigned int rounds, turn_ms, ring, len;
	bool pin, busy, json;
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

/* ---- threads of a setup: those that were not there before ---- */

static bool is_known(int tid)
{
	for (unsigned int s = 0; s < setup_count; s++)
		for (unsigned int w = 0; w < setups[s].workers; w++)
			if (setups[s].tid[w] == tid)
				return true;
	return false;
}

/* The number of the worker, or -1. */
static int worker_of(int tid)
{
	char path[64], name[32];
	unsigned int number;
	FILE *file;
	bool is;

	snprintf(path, sizeof(path), "/proc/self/task/%d/comm", tid);
	file = fopen(path, "r");
	is = file && fgets(name, sizeof(name), file) && sscanf(name, "gw-worker-%u", &number) == 1;
	if (file)
		fclose(file);
	return is && number < WORKERS_MAX ? (int)number : -1;
}

static bool find_workers(struct setup *setup)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	bool all = true;

	while (dir && (entry = readdir(dir))) {
		int tid = atoi(entry->d_name), worker = tid ? worker_of(tid) : -1;

		if (worker >= 0 && !is_known(tid))
			setup->tid[worker] = tid;
	}
	if (dir)
		closedir(dir);
	for (unsigned int w = 0; w < setup->workers; w++)
		all &= setup->tid[w] != 0;
	return all;
}

/* A thread names itself, soon after it was made. */
static void wait_for_workers(struct setup *setup)
{
	uint64_t deadline = now_ns() + DEADLINE_NS;

	while (!find_workers(setup)) {
		if (now_ns() > deadline)
			die("a worker's thread is not there");
		usleep(1000);
	}
}

static unsigned int processors(void)
{
	return (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* tid 0: this thread. */
static void pin(int tid, unsigned int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor % processors(), &set);
	if (sched_setaffinity(tid, sizeof(set), &set))
		die("a thread cannot be pinned");
}

/* Nanoseconds so far: on a processor, and waiting for one that others had. */
struct account {
	uint64_t ran_ns, waited_ns;
};

static struct account account_of(int tid)
{
	struct account account = { 0 };
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", tid);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%lu %lu", &account.ran_ns, &account.waited_ns) != 2)
		die("no schedstat of a worker");
	fclose(file);
	return account;
}

/* ---- rings ---- */

static uint32_t slot_bytes(void)
{
	return (VM_HEADER + options.len + 63) & ~63u;
}

static uint64_t ring_room(void)
{
	uint64_t bytes = mock_ring_bytes(options.ring) + (uint64_t)options.ring * slot_bytes();

	return (bytes + 4095) & ~4095ull;
}

/* Heads in their order, each with a frame of its own. */
static void fill(struct vm *vm, struct vm_ring *ring, uint64_t slots, uint8_t station)
{
	for (unsigned int i = 0; i < options.ring; i++) {
		uint64_t addr = slots + (uint64_t)i * slot_bytes();
		struct mock_buffer buffer = { addr, VM_HEADER + options.len, false };
		uint8_t *at = mock_at(&vm->memory, addr);

		memset(at, 0, VM_HEADER);
		vm_frame(at + VM_HEADER, options.len, 0xdd, station, 0x55);
		if (mock_chain(&ring->driver, &buffer, 1) != (int)i)
			die("heads are not in their order");
		ring->driver.avail->ring[i] = (uint16_t)i;
	}
}

static void kick(const struct vm_ring *ring)
{
	uint64_t one = 1;

	if (write(ring->kick_fd, &one, sizeof(one)) != sizeof(one))
		die("a kick is lost");
}

/* Whether the device sleeps, and for what (VIRTIO 1.2 section 2.7.10, EVENT_IDX). */
static bool wants_kick(const struct mock_driver *driver, uint16_t before, uint16_t now)
{
	const uint16_t *event = (const uint16_t *)&driver->used->ring[driver->size];

	gw_fence();
	return vring_need_event(gw_load_relaxed(event), now, before);
}

/*
 * The device has a whole ring before it, whatever it has taken. Returns what it has given
 * back.
 */
static uint16_t top_up(struct setup *setup, struct vm_ring *ring)
{
	uint16_t used = gw_load_acquire(&ring->driver.used->idx), before = ring->driver.avail->idx;
	uint16_t now = (uint16_t)(used + options.ring);

	gw_store_release(&ring->driver.avail->idx, now);
	if (wants_kick(&ring->driver, before, now))
		kick(ring);
	setup->looks++;
	setup->dry += used == before;
	return used;
}

/* ---- setups ---- */

static void port_add(struct setup *setup, const char *spec)
{
	struct gw_error err = { 0 };

	if (gw_port_add(setup->context, spec, &err))
		die(err.text);
}

static void guest_start(struct setup *setup, unsigned int g)
{
	const struct vm_options how = {
		.features = 0,
		.memory_bytes = ring_room() * setup->pairs,
		.multiqueue = setup->pairs > 1,
	};
	struct guest *guest = &setup->guest[g];
	char path[80];

	snprintf(path, sizeof(path), "%s/%ug%u", folder, (unsigned int)(setup - setups), g);
	guest->vm = (struct vm){ .options = how, .fd = -1 };
	vm_connect(&guest->vm, path);
	vm_share_memory(&guest->vm);
	for (unsigned int p = 0; p < setup->pairs; p++) {
		struct vm_ring *ring = &guest->ring[p];
		uint64_t addr = VM_MEMORY_ADDR + p * ring_room();
		uint64_t slots = addr + ((mock_ring_bytes(options.ring) + 63) & ~63ull);

		vm_start_ring(&guest->vm, ring, 2 * p + 1, options.ring, addr);
		fill(&guest->vm, ring, slots, (uint8_t)g);
	}
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
		snprintf(spec, sizeof(spec), "d%u=null:,network=n%u", g, g);
		port_add(setup, spec);
	}
	if (gw_start(setup->context, &err))
		die(err.text);
	wait_for_workers(setup);
	for (unsigned int w = 0; w < setup->workers && options.pin; w++)
		pin(setup->tid[w], w);
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

struct count {
	uint64_t frames[WORKERS_MAX];
	uint16_t used[GUESTS_MAX][PAIRS_MAX];
};

/* Pairs are dealt out in turn, from another worker on for each network. */
static unsigned int owner(const struct setup *setup, unsigned int g, unsigned int p)
{
	return (g + p) % setup->workers;
}

static void look(struct setup *setup, struct count *count)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };

	if (!options.busy)
		nanosleep(&pause, NULL);
	for (unsigned int g = 0; g < setup->guests; g++)
		for (unsigned int p = 0; p < setup->pairs; p++) {
			uint16_t used = top_up(setup, &setup->guest[g].ring[p]);

			count->frames[owner(setup, g, p)] += (uint16_t)(used - count->used[g][p]);
			count->used[g][p] = used;
		}
}

static void begin(struct setup *setup, struct count *count)
{
	for (unsigned int g = 0; g < setup->guests; g++)
		for (unsigned int p = 0; p < setup->pairs; p++)
			count->used[g][p] = top_up(setup, &setup->guest[g].ring[p]);
	for (unsigned int i = 0; i < WARM_LOOKS; i++)
		look(setup, count);
	memset(count->frames, 0, sizeof(count->frames));
	setup->looks = setup->dry = 0;
}

/* All that was made available is worked off, and the workers sleep. */
static void end(struct setup *setup)
{
	for (unsigned int g = 0; g < setup->guests; g++)
		for (unsigned int p = 0; p < setup->pairs; p++) {
			const struct mock_driver *driver = &setup->guest[g].ring[p].driver;
			uint64_t deadline = now_ns() + DEADLINE_NS;

			while (gw_load_acquire(&driver->used->idx) != driver->avail->idx)
				if (now_ns() > deadline)
					die("a ring is not worked off");
				else
					usleep(100);
		}
}

/* Whether it shares the processor of the thread that moves indices on. */
static bool is_beside_us(unsigned int worker)
{
	return options.pin && worker % processors() == processors() - 1;
}

/* What a worker did since `before`, in ns of the clock, in which this thread ran ours_ns. */
static void sum_up(struct setup *setup, unsigned int round, unsigned int worker,
		   const struct account *before, uint64_t frames, uint64_t ns, uint64_t ours_ns)
{
	struct account now = account_of(setup->tid[worker]);
	uint64_t ran_ns = now.ran_ns - before->ran_ns;
	double waited = (double)(now.waited_ns - before->waited_ns) -
			(is_beside_us(worker) ? (double)ours_ns : 0);

	waited /= (double)ns;

	/* On a busy machine it may not have run at all. */
	if (ran_ns)
		setup->own_rate[round] += (double)frames * 1e9 / (double)ran_ns;
	setup->clock_rate[round] += (double)frames * 1e9 / (double)ns;
	if (waited > setup->waited[round])
		setup->waited[round] = waited;
}

static void turn(struct setup *setup, unsigned int round)
{
	struct account before[WORKERS_MAX] = { 0 };
	struct count count = { 0 };
	uint64_t since, ns, ours_ns;

	begin(setup, &count);
	since = now_ns();
	ours_ns = account_of(getpid()).ran_ns;
	for (unsigned int w = 0; w < setup->workers; w++)
		before[w] = account_of(setup->tid[w]);
	do {
		look(setup, &count);
		ns = now_ns() - since;
	} while (ns < options.turn_ms * 1000000ull);
	ours_ns = account_of(getpid()).ran_ns - ours_ns;
	for (unsigned int w = 0; w < setup->workers; w++)
		sum_up(setup, round, w, &before[w], count.frames[w], ns, ours_ns);
	end(setup);
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

/* To the first setup, round by round. */
static double ratio(const struct setup *setup, bool own, double part)
{
	double each[ROUNDS_MAX];

	for (unsigned int i = 0; i < options.rounds; i++)
		each[i] = own ? setup->own_rate[i] / setups[0].own_rate[i]
			      : setup->clock_rate[i] / setups[0].clock_rate[i];
	return quantile(each, part);
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

static double dry_share(const struct setup *setup)
{
	return (double)setup->dry / (double)(setup->looks ? setup->looks : 1);
}

static void report(void)
{
	printf("frames of %u bytes, rings of %u, %u rounds of %u ms\n", options.len, options.ring,
	       options.rounds, options.turn_ms);
	printf("%-8s %6s %8s %10s %6s %22s %22s\n", "guests", "pairs", "workers", "Mframes/s",
	       "dry", "by the clock", "by the workers' time");
	for (unsigned int s = 0; s < setup_count; s++) {
		const struct setup *setup = &setups[s];

		check_ledger(setup);
		printf("%-8u %6u %8u %10.2f %5.2f%%", setup->guests, setup->pairs, setup->workers,
		       quantile(setup->own_rate, 0.5) / 1e6, 100 * dry_share(setup));
		printf("  %6.3f (%5.3f to %5.3f)", ratio(setup, false, 0.5),
		       ratio(setup, false, 0.25), ratio(setup, false, 0.75));
		printf("  %6.3f (%5.3f to %5.3f)\n", ratio(setup, true, 0.5),
		       ratio(setup, true, 0.25), ratio(setup, true, 0.75));
	}
}

/* Medians, in frames per second. */
static void report_json(void)
{
	printf("[");
	for (unsigned int s = 0; s < setup_count; s++) {
		const struct setup *setup = &setups[s];

		check_ledger(setup);
		printf("%s{\"guests\":%u,\"pairs\":%u,\"workers\":%u,\"clock_rate\":%.0f,"
		       "\"own_rate\":%.0f,\"waited\":%.4f,\"dry\":%.4f}",
		       s ? "," : "", setup->guests, setup->pairs, setup->workers,
		       quantile(setup->clock_rate, 0.5), quantile(setup->own_rate, 0.5),
		       quantile(setup->waited, 0.5), dry_share(setup));
	}
	printf("]\n");
}

/* ---- options ---- */

static const char help[] =
	"usage: spread [--rounds N] [--turn MS] [--ring SIZE] [--len BYTES] [--no-pin] [--busy]\n"
	"              [--json] GUESTS:PAIRS:WORKERS...\n";

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

static void add_setup(const char *word)
{
	struct setup *setup = &setups[setup_count];

	if (setup_count == SETUPS_MAX ||
	    sscanf(word, "%u:%u:%u", &setup->guests, &setup->pairs, &setup->workers) != 3 ||
	    !setup->guests || setup->guests > GUESTS_MAX || !setup->pairs ||
	    setup->pairs > PAIRS_MAX || !setup->workers || setup->workers > WORKERS_MAX) {
		fputs(help, stderr);
		exit(2);
	}
	setup_count++;
}

static void read_options(int argc, char **argv)
{
	static const struct option table[] = {
		{ "rounds", 1, NULL, 'r' }, { "turn", 1, NULL, 't' },   { "ring", 1, NULL, 'n' },
		{ "len", 1, NULL, 'l' },    { "no-pin", 0, NULL, 'p' }, { "busy", 0, NULL, 'b' },
		{ "json", 0, NULL, 'j' },   { "help", 0, NULL, 'h' },   { 0 },
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
		else if (c == 'b')
			options.busy = true;
		else if (c == 'j')
			options.json = true;
		else {
			fputs(help, c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
	while (optind < argc)
		add_setup(argv[optind++]);
	if (!setup_count) {
		add_setup("1:1:1");
		add_setup("1:2:1");
		add_setup("1:2:2");
	}
}

int main(int argc, char **argv)
{
	unsigned int count;

	read_options(argc, argv);
	prctl(PR_SET_TIMERSLACK, 1ul);
	if (!mkdtemp(folder))
		die("no folder for sockets");
	/* Not beside the first worker: what there is to pay, more workers pay. */
	if (options.pin)
		pin(0, processors() - 1);
	count = setup_count;
	for (setup_count = 0; setup_count < count; setup_count++)
		setup_start(&setups[setup_count]);
	for (unsigned int i = 0; i < options.rounds; i++)
		for (unsigned int s = 0; s < setup_count; s++)
			turn(&setups[s], i);
	if (options.json)
		report_json();
	else
		report();
	for (unsigned int s = 0; s < setup_count; s++)
		setup_stop(&setups[s]);
	rmdir(folder);
	return 0;
}
