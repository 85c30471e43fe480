/* SPDX-License-Identifier: BSD-2-Clause */
/* The played world: from nothing to a running guest, and back. */
#include "world_inside.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TX        1u
#define END_MS    300u
/* Steps of one run to rest: more would be a run that never does. */
#define STEPS_MAX 20000u
/* Of the other memory tables: each shorter by this. */
#define SHRINK    0x10000ull
#define MINUTE_NS 60000000000ull

struct world world;
static char folder[] = "/tmp/gw-interleave-XXXXXX"; /* of the socket */

/* ---- the guest's side: what waits for the back-end is done by the hand ---- */

static void job_begin_world(void *arg)
{
	struct gw_options options = { .size = sizeof(options),
				      .workers = world.play->spread ? 2 : 1,
				      .stop_ms = WORLD_STOP_MS };
	char spec[192], path[128];
	struct gw_error err = { 0 };

	options.log = arg;
	snprintf(path, sizeof(path), "%s/a", folder);
	snprintf(spec, sizeof(spec), "a=guest:%s,bounce=4,wait=sleep%s", path,
		 world.play->spread ? ",worker=1" : "");
	if (gw_open(&options, &world.context, &err) || gw_port_add(world.context, spec, &err))
		violation("%s", err.text);
	for (unsigned int d = 0; d < world.play->devices; d++) {
		snprintf(spec, sizeof(spec),
			 "d%u=loop:,hold=on,ring=8,segs=2,loans=6,bounce=4,wait=sleep", d);
		if (gw_port_add(world.context, spec, &err))
			violation("%s", err.text);
	}
	if (gw_start(world.context, &err))
		violation("%s", err.text);
	for (unsigned int d = 0; d < world.play->devices; d++) {
		snprintf(spec, sizeof(spec), "d%u", d);
		world.device[d] = loop_test_find(spec);
	}
	world.guest = world.device[0]->port->queue[0]->pair_from[0]->source;
	vm_connect(&world.vm, path);
	vm_share_memory(&world.vm);
	if (world.play->receives) {
		vm_start_rings(&world.vm);
		vm_offer_rx(&world.vm, WORLD_FRAMES_MAX);
	} else {
		vm_start_tx(&world.vm);
	}
	world.running = world.connected = true;
}

static void job_stop(void *arg)
{
	world.base = vm_stop_ring(&world.vm, TX);
}

static void job_start(void *arg)
{
	vm_start_tx(&world.vm);
	/* Frames that a device kept lie in the slots before. */
	world.vm.tx.next_slot = world.sent_count;
}

static void job_memory(void *arg)
{
	uint64_t bytes = world.vm.memory.region[0].bytes;

	world.vm.memory.region[0].bytes -= world.done[EVENT_MEMORY] * SHRINK;
	vm_share_memory(&world.vm);
	world.vm.memory.region[0].bytes = bytes;
}

static void job_move(void *arg)
{
	struct gw_error err = { 0 };

	world.moved = gw_move(world.context, "a", 0, world_move_to(), &err);
}

static void job_end(void *arg)
{
	world.held_at_end = gw_stop(world.context, END_MS);
}

static void job_close(void *arg)
{
	gw_close(world.context);
}

static void give(enum event_kind kind, void (*job)(void *arg))
{
	world.job = kind;
	world.job_waits = true;
	world.job_ns = strand_now_ns();
	strand_give(job, NULL);
}

void world_begin_job(enum event_kind kind)
{
	static void (*const jobs[EVENT_KINDS])(void *arg) = {
		[EVENT_STOP] = job_stop, [EVENT_START] = job_start, [EVENT_MEMORY] = job_memory,
		[EVENT_MOVE] = job_move, [EVENT_END] = job_end,
	};

	give(kind, jobs[kind]);
}

/* Back and forth: it begins with worker 1. */
unsigned int world_move_to(void)
{
	return (world.done[EVENT_MOVE] + 1) % 2;
}

/* What follows from the end of a job. The hand has not gone on since. */
static void look_at_job(void)
{
	if (!world.job_waits || !strand_idle())
		return;
	world.job_waits = false;
	if (world.job == EVENT_STOP) {
		world_check_stopped(world.base);
		world.running = false;
		world.frozen = true;
	} else if (world.job == EVENT_MEMORY) {
		world_check_changed();
	} else if (world.job == EVENT_START) {
		world.ring++;
		world.running = true;
		world.frozen = false;
	} else if (world.job == EVENT_MOVE) {
		world_check_moved();
	} else if (world.job == EVENT_END) {
		world.ended = true;
	}
}

/* The front-end's own side of the socket has no order that matters. */
void world_run_hand(void)
{
	strands_look();
	while (world.job != EVENT_END && strand_can_run(0)) {
		strand_run(0);
		strands_look();
	}
	look_at_job();
}

/* ---- running ---- */

static bool run_one(void)
{
	for (unsigned int i = 0; i < strand_count(); i++) {
		if (!strand_can_run(i))
			continue;
		strand_run(i);
		world_run_hand();
		world_check();
		return true;
	}
	return false;
}

/* Until nobody has anything to do; if the hand waits, time passes for it. */
static void run_to_rest(const char *what)
{
	uint64_t until_ns = strand_now_ns() + MINUTE_NS;

	strands_look();
	for (unsigned int steps = 0; steps < STEPS_MAX; steps++) {
		if (run_one())
			continue;
		if (strand_idle())
			return;
		if (!strand_deadline_ns() || strand_deadline_ns() > until_ns)
			violation("it never ends: %s", what);
		strand_advance(strand_deadline_ns());
		strands_look();
	}
	violation("it does not come to rest: %s", what);
}

static void do_job(enum event_kind kind, void (*job)(void *arg), const char *what)
{
	give(kind, job);
	run_to_rest(what);
}

/* ---- beginning and end ---- */

static unsigned int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	while (dir && readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Which lines, and how many of each: they tell the phases of what goes on. */
static void log_line(void *arg, int level, const char *line)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	if (getenv("GW_TEST_LOG"))
		printf("\t\t%s\n", line);
	for (; *line; line++)
		if (*line < '0' || *line > '9')
			hash = (hash ^ (uint8_t)*line) * 0x100000001b3ull;
	world.logs += hash;
}

/* Devices are asked about the guest's memory, and have it mapped. */
static void be_asked(void)
{
	world_send();
	run_to_rest("the first frame");
	world_complete_all();
	run_to_rest("the first frame's copy");
	if (!world.sent[0].used)
		violation("the first frame did not come back");
	/* It does not count. */
	world.sent_count = 0;
	world.vm.tx.next_slot = 0;
	for (unsigned int d = 0; d < world.play->devices; d++)
		world.has_last[d] = false;
}

void world_open(void)
{
	if (!mkdtemp(folder))
		violation("no folder for the socket");
}

void world_close(void)
{
	rmdir(folder);
}

void world_begin(const struct play *play)
{
	memset(&world, 0, sizeof(world));
	world.play = play;
	world.vm.fd = -1;
	strands_begin();
	world.ended = true; /* nothing to check yet */
	strand_give(job_begin_world, log_line);
	world.job = EVENT_STEP;
	run_to_rest("the start");
	world.ended = false;
	if (play->asked)
		be_asked();
	for (unsigned int i = 0; i < WORLD_OPENING_MAX && play->opening[i] != EVENT_STEP; i++) {
		world_do(&(struct event){ play->opening[i], 0 });
		run_to_rest("the opening");
	}
	/* Everybody had his turn: a device that lives was recalled, and gave its loans back. */
	for (unsigned int s = 0; s < world.sent_count; s++)
		if (world.sent[s].lost && !world.done[EVENT_DIE])
			violation("frame %u is lost, and no device has died", s);
	world.logs = 0;
}

void world_end(void)
{
	static unsigned int fds;

	run_to_rest("what is under way");
	if (!world.ended) {
		for (unsigned int d = 0; d < world.play->devices; d++)
			world_revive(d);
		world_complete_all();
		run_to_rest("late completions");
		/* What waited for room, or was asked about, is with a device now. */
		world_complete_all();
		run_to_rest("later completions");
		world_check_nothing_lost();
		world.frozen = world.frozen || !world.running;
		vm_disconnect(&world.vm);
		run_to_rest("the front-end's end");
		world_check_let_go();
		do_job(EVENT_END, job_end, "the end");
		if (world.held_at_end)
			violation("%d frames are held at the end", world.held_at_end);
	}
	world.job = EVENT_STEP;
	strand_give(job_close, NULL);
	run_to_rest("the closing");
	strands_end();
	vm_free(&world.vm);
	if (!fds)
		fds = open_fds();
	else if (open_fds() != fds)
		violation("%u descriptors are open, and were %u", open_fds(), fds);
}
