/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All orders of a few events: loans and their completion against the stop of a ring,
 * a change of memory, the death of a device, of the front-end, of the engine.
 *
 * A run begins with nothing, repeats the steps that led to a state in which something
 * was not done yet, does that, goes on as long as there is something that was never
 * done in the state at hand, and is then brought to its end, where nothing may be
 * missing. It is over when everything was done in every state.
 *
 *     interleave_test [-d DEPTH] [-n RUNS] [-s SEED -w WALKS] [-p PART/PARTS] [PLAY...]
 *
 * -d: no states beyond so many steps from the opening (0: what the play says; more: hours).
 * -n: at most so many runs of each play. -w: instead of all orders, so many random ones.
 * -p: plays are dealt out in turn to so many programs; this is number PART, from 0 on.
 */
#include "world.h"

#include "strand.h"
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_MAX  400u
#define STATES_MAX 4000000u
#define SEEN_SIZE  8000009u
#define RUNS_MAX   100000000ul

static const struct play plays[] = {
	{ .name = "order",
	  .depth = 60,
	  .devices = 1,
	  .asked = true,
	  .budget = { [EVENT_SEND] = 2,
		      [EVENT_COMPLETE] = 2,
		      [EVENT_FAIL] = 1,
		      [EVENT_AGAIN] = 1 } },
	{ .name = "stop",
	  .depth = 13,
	  .devices = 1,
	  .asked = true,
	  .opening = { EVENT_SEND, EVENT_SEND },
	  .budget = { [EVENT_SEND] = 3,
		      [EVENT_COMPLETE] = 2,
		      [EVENT_STOP] = 1,
		      [EVENT_START] = 1,
		      [EVENT_DEADLINE] = 3 } },
	{ .name = "death",
	  .depth = 14,
	  .devices = 1,
	  .asked = true,
	  .opening = { EVENT_SEND, EVENT_SEND },
	  .budget = { [EVENT_SEND] = 2,
		      [EVENT_COMPLETE] = 2,
		      [EVENT_DIE] = 1,
		      [EVENT_REVIVE] = 1,
		      [EVENT_STOP] = 1,
		      [EVENT_DEADLINE] = 4 } },
	{ .name = "late",
	  .depth = 14,
	  .devices = 1,
	  .asked = true,
	  .opening = { EVENT_SEND, EVENT_DIE, EVENT_STOP },
	  .budget = { [EVENT_SEND] = 3,
		      [EVENT_DIE] = 1,
		      [EVENT_REVIVE] = 1,
		      [EVENT_COMPLETE] = 2,
		      [EVENT_AGAIN] = 1,
		      [EVENT_STOP] = 2,
		      [EVENT_START] = 1,
		      [EVENT_DEADLINE] = 2 } },
	{ .name = "recalled",
	  .depth = 14,
	  .devices = 1,
	  .asked = true,
	  .opening = { EVENT_SEND, EVENT_STOP },
	  .budget = { [EVENT_SEND] = 2,
		      [EVENT_STOP] = 2,
		      [EVENT_START] = 1,
		      [EVENT_COMPLETE] = 1,
		      [EVENT_DEADLINE] = 1 } },
	{ .name = "memory",
	  .depth = 13,
	  .devices = 1,
	  .asked = true,
	  .opening = { EVENT_SEND, EVENT_SEND },
	  .budget = { [EVENT_SEND] = 3,
		      [EVENT_COMPLETE] = 2,
		      [EVENT_MEMORY] = 1,
		      [EVENT_DEADLINE] = 3 } },
	{ .name = "memory-death",
	  .depth = 18,
	  .devices = 1,
	  .asked = true,
	  .opening = { EVENT_SEND, EVENT_DIE },
	  .budget = { [EVENT_SEND] = 2,
		      [EVENT_DIE] = 1,
		      [EVENT_REVIVE] = 1,
		      [EVENT_COMPLETE] = 1,
		      [EVENT_MEMORY] = 2,
		      [EVENT_DEADLINE] = 3 } },
	{ .name = "question",
	  .depth = 14,
	  .devices = 1,
	  .budget = { [EVENT_SEND] = 2,
		      [EVENT_COMPLETE] = 1,
		      [EVENT_MEMORY] = 1,
		      [EVENT_GONE] = 1 } },
	{ .name = "gone",
	  .depth = 60,
	  .devices = 1,
	  .asked = true,
	  .opening = { EVENT_SEND, EVENT_SEND },
	  .budget = { [EVENT_SEND] = 2,
		      [EVENT_COMPLETE] = 2,
		      [EVENT_DIE] = 1,
		      [EVENT_REVIVE] = 1,
		      [EVENT_GONE] = 1,
		      [EVENT_DEADLINE] = 1 } },
	{ .name = "flood",
	  .depth = 14,
	  .devices = 2,
	  .asked = true,
	  .opening = { EVENT_SEND },
	  .budget = { [EVENT_SEND] = 1,
		      [EVENT_COMPLETE] = 2,
		      [EVENT_STOP] = 1,
		      [EVENT_DIE] = 1,
		      [EVENT_DEADLINE] = 3 } },
	{ .name = "spread",
	  .depth = 10,
	  .devices = 1,
	  .asked = true,
	  .spread = true,
	  .opening = { EVENT_SEND },
	  .budget = { [EVENT_SEND] = 2,
		      [EVENT_COMPLETE] = 2,
		      [EVENT_STOP] = 1,
		      [EVENT_DEADLINE] = 2 } },
	{ .name = "move",
	  .depth = 14,
	  .devices = 1,
	  .asked = true,
	  .spread = true,
	  .opening = { EVENT_SEND },
	  .budget = { [EVENT_SEND] = 2, [EVENT_COMPLETE] = 2, [EVENT_MOVE] = 2 } },
	{ .name = "move-copies",
	  .depth = 9,
	  .devices = 1,
	  .spread = true,
	  .budget = { [EVENT_SEND] = 2, [EVENT_COMPLETE] = 1, [EVENT_MOVE] = 1 } },
	{ .name = "move-receives",
	  .depth = 18,
	  .devices = 1,
	  .spread = true,
	  .receives = true,
	  .budget = { [EVENT_ARRIVE] = 2, [EVENT_MOVE] = 1 } },
	{ .name = "end",
	  .depth = 14,
	  .devices = 1,
	  .asked = true,
	  .opening = { EVENT_SEND },
	  .budget = { [EVENT_SEND] = 1,
		      [EVENT_COMPLETE] = 1,
		      [EVENT_STOP] = 1,
		      [EVENT_END] = 1,
		      [EVENT_DEADLINE] = 2 } },
};

/* ---- where we are ---- */

static struct event path[DEPTH_MAX];
static unsigned int path_len;
static const struct play *current_play;
static unsigned long runs, steps;
static bool finished;
/* What can happen now: found out once in each state, since each look asks the kernel a lot. */
static struct event events[WORLD_EVENTS_MAX];
static unsigned int event_count;

static void print_path(void)
{
	char text[32];

	fprintf(stderr, "play '%s', after:", current_play ? current_play->name : "none");
	for (unsigned int i = 0; i < path_len; i++) {
		world_event_text(&path[i], text, sizeof(text));
		fprintf(stderr, " %s", text);
	}
	fprintf(stderr, "\n");
}

void violation(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "violated: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	print_path();
	_exit(1);
}

/* An assertion, or a byte that is not there any more. */
static void on_signal(int number)
{
	fprintf(stderr, "violated: signal %d (%s)\n", number, strsignal(number));
	print_path();
	_exit(1);
}

/* The mock of a guest ends the program by itself when nothing comes. */
static void on_exit_early(void)
{
	if (!finished)
		print_path();
}

static void begin(const struct play *play)
{
	path_len = 0;
	world_begin(play);
	event_count = world_events(events);
}

static void take(const struct event *event)
{
	if (path_len == DEPTH_MAX)
		violation("a run of more steps than this program has room for");
	path[path_len] = *event;
	steps++;
	world_do(&path[path_len++]);
	/* To look whether an epoll has something changes the order in which it tells it. */
	event_count = world_events(events);
}

/* ---- states ---- */

/* How it was reached first, and what was done from there. */
struct state {
	uint64_t number;
	struct event *way; /* the steps */
	uint16_t len;
	uint8_t count, taken;
};

static struct state *states;
static uint32_t *by_number; /* by hash, index + 1; 0: free */
static uint32_t state_count;

/* The state at hand: found, or new. */
static uint32_t look_up(void)
{
	uint64_t number = world_state();
	uint32_t at;

	for (unsigned int i = 0; i < event_count; i++)
		number = (number ^ (events[i].kind << 8 | events[i].which)) * 0x100000001b3ull;
	for (at = (uint32_t)(number >> 32) % SEEN_SIZE; by_number[at]; at = (at + 1) % SEEN_SIZE)
		if (states[by_number[at] - 1].number == number)
			return by_number[at] - 1;
	if (state_count == STATES_MAX)
		violation("more states than this program has room for");
	by_number[at] = state_count + 1;
	states[state_count] = (struct state){
		.number = number,
		.way = malloc((path_len + 1) * sizeof(path[0])),
		.len = (uint16_t)path_len,
		.count = (uint8_t)event_count,
	};
	if (!states[state_count].way)
		violation("no memory");
	memcpy(states[state_count].way, path, path_len * sizeof(path[0]));
	return state_count++;
}

/* ---- all orders ---- */

/* The same steps again: they have to bring the same states. */
static void repeat(uint32_t to)
{
	for (unsigned int i = 0; i < states[to].len; i++)
		take(&states[to].way[i]);
	if (look_up() != to)
		violation("the same steps brought another state");
}

/* From a state on: what was not done there yet, and so on in the state that this brings. */
static void go_on(uint32_t at, unsigned int depth)
{
	while (states[at].taken < states[at].count && path_len < depth) {
		take(&events[states[at].taken++]);
		at = look_up();
	}
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void explore(const struct play *play, unsigned int depth, unsigned long runs_max)
{
	double begin_s = seconds();
	uint32_t next = 0;

	memset(by_number, 0, SEEN_SIZE * sizeof(*by_number));
	runs = steps = state_count = 0;
	current_play = play;
	do {
		runs++;
		begin(play);
		if (state_count)
			repeat(next);
		else
			look_up();
		go_on(next, depth);
		world_end();
		while (next < state_count &&
		       (states[next].taken == states[next].count || states[next].len >= depth))
			next++;
	} while (next < state_count && runs < runs_max);
	for (uint32_t i = 0; i < state_count; i++)
		free(states[i].way);
	printf("%-13s %7u states, %8lu steps, %7lu runs, %.1f s%s\n", play->name, state_count,
	       steps, runs, seconds() - begin_s, next < state_count ? ", not to the end" : "");
	fflush(stdout);
}

/* ---- random orders ---- */

static void walk(const struct play *play, unsigned long walks)
{
	current_play = play;
	for (unsigned long i = 0; i < walks; i++) {
		begin(play);
		while (event_count && path_len < DEPTH_MAX)
			take(&events[(unsigned int)random() % event_count]);
		world_end();
	}
	printf("%-13s %lu random orders\n", play->name, walks);
}

static bool chosen(const char *name, char **names, int count)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(name, names[i]))
			return true;
	return !count;
}

int main(int argc, char **argv)
{
	unsigned long runs_max = RUNS_MAX, walks = 0;
	unsigned int depth = 0, played = 0, part = 0, parts = 1;
	int option;

	while ((option = getopt(argc, argv, "d:n:s:w:p:")) != -1) {
		if (option == 'd')
			depth = (unsigned int)strtoul(optarg, NULL, 10);
		else if (option == 'n')
			runs_max = strtoul(optarg, NULL, 10);
		else if (option == 's')
			srandom((unsigned int)strtoul(optarg, NULL, 10));
		else if (option == 'w')
			walks = strtoul(optarg, NULL, 10);
		else if (option != 'p' || sscanf(optarg, "%u/%u", &part, &parts) != 2 || !parts)
			return 2;
	}
	atexit(on_exit_early);
	world_open();
	states = calloc(STATES_MAX, sizeof(*states));
	by_number = calloc(SEEN_SIZE, sizeof(*by_number));
	if (!states || !by_number)
		violation("no memory");
	signal(SIGABRT, on_signal);
	signal(SIGSEGV, on_signal);
	for (unsigned int i = 0; i < sizeof(plays) / sizeof(plays[0]); i++) {
		if (i % parts != part || !chosen(plays[i].name, argv + optind, argc - optind))
			continue;
		played++;
		if (walks)
			walk(&plays[i], walks);
		else
			explore(&plays[i], depth ? depth : plays[i].depth, runs_max);
	}
	world_close();
	free(states);
	free(by_number);
	finished = true;
	return !played;
}
