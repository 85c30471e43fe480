/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long does a cache line take from one processor to another, now?
 *
 *	line_trip CPU CPU
 *
 * Two processes throw a number back and forth in memory that they share, each on a processor
 * of its own. On some machines, virtual ones above all, this changes by a factor of five
 * from one second to the next, and everything that goes through a ring with it: what was
 * measured before and after such a change must not be compared.
 *
 *	{"line_ns":34.5}
 *
 * It is half of a round, in the median of many short spans: one in which somebody else had a
 * processor says nothing.
 */
#include "atomic.h"

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define SPANS     101u
#define ROUNDS    200u
#define SECOND_NS 1000000000ull

struct court {
	_Alignas(128) uint32_t ball; /* odd: the other one has it */
};

static void die(const char *what)
{
	fprintf(stderr, "line_trip: %s\n", what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static void move_to(const char *word)
{
	cpu_set_t cpus;
	char *end;
	unsigned long cpu = strtoul(word, &end, 10);

	CPU_ZERO(&cpus);
	if (end == word || *end || cpu >= CPU_SETSIZE)
		die("CPU is the number of a processor");
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die("sched_setaffinity: no such processor, or not for us");
}

/* Until its parent has gone. */
static _Noreturn void throw_back(struct court *court)
{
	for (;;) {
		uint32_t ball = gw_load_acquire(&court->ball);

		if (ball % 2)
			gw_store_release(&court->ball, ball + 1);
	}
}

/* One there and back. */
static void serve(struct court *court)
{
	uint32_t ball = gw_load_relaxed(&court->ball);

	gw_store_release(&court->ball, ball + 1);
	while (gw_load_acquire(&court->ball) != ball + 2)
		;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double line_ns(struct court *court)
{
	uint64_t span[SPANS];

	serve(court); /* the other one is there */
	for (unsigned int i = 0; i < SPANS; i++) {
		span[i] = now_ns();
		for (unsigned int round = 0; round < ROUNDS; round++)
			serve(court);
		span[i] = now_ns() - span[i];
	}
	qsort(span, SPANS, sizeof(*span), by_size);
	return (double)span[SPANS / 2] / (2.0 * ROUNDS);
}

/* The other one ends only if it could not begin, and has said why. */
static void ended(int signal)
{
	(void)signal;
	_exit(1);
}

int main(int argc, char **argv)
{
	struct court *court = mmap(NULL, sizeof(*court), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t parent = getpid(), other;

	if (argc != 3)
		die("usage: line_trip CPU CPU");
	if (court == MAP_FAILED)
		die("mmap");
	signal(SIGCHLD, ended);
	other = fork();
	if (other < 0)
		die("fork");
	if (!other) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
			die("who was to throw has gone");
		move_to(argv[2]);
		throw_back(court);
	}
	move_to(argv[1]);
	printf("{\"line_ns\":%.1f}\n", line_ns(court));
	return 0;
}
