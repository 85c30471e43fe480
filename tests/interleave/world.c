/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

#include "fd.h"
#include "loop_port.h"
#include "loop_test_api.h"
#include "pair.h"
#include "strand.h"
#include "vm.h"
#include <dirent.h>
#include <guestwire/guestwire.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEN        1000u
#define SERIAL_AT  20u
#define TX         1u
#define STOP_MS    100u
#define STOP_NS    (STOP_MS * 1000000ull)
#define END_MS     300u
/* Steps of one run to rest: more would be a run that never does. */
#define STEPS_MAX  20000u
/* Of the other memory tables: each shorter by this. */
#define SHRINK     0x10000ull
#define MINUTE_NS  60000000000ull
#define FDS_STEADY 50u

struct sent {
	uint16_t head;
	unsigned int ring; /* which run of the ring */
	bool was_lent, used;
	bool lost; /* its ring was stopped while a device kept it */
};

static char folder[] = "/tmp/gw-interleave-XXXXXX"; /* of the socket */

static struct {
	const struct play *play;
	unsigned int done[EVENT_KINDS];
	struct gw_context *context;
	struct vm vm;
	struct loop *device[WORLD_DEVICES_MAX];
	bool dead[WORLD_DEVICES_MAX];
	uint64_t last_cookie[WORLD_DEVICES_MAX];
	bool has_last[WORLD_DEVICES_MAX];
	struct gw_port *guest;

	struct sent sent[WORLD_FRAMES_MAX];
	unsigned int sent_count;
	unsigned int ring;    /* counts runs of the transmit ring */
	bool running, frozen; /* frozen: its stop was answered, nothing may come back */
	bool connected, ended;
	enum event_kind job;
	bool job_waits;  /* its end was not looked at yet */
	uint64_t job_ns; /* when it began */
	uint16_t base;
	int held_at_end;
	uint64_t logs;
} world;

static const char *const words[] = {
#define EVENT_WORD(id, word) word,
	EVENTS(EVENT_WORD)
#undef EVENT_WORD
};

/* ---- looking ---- */

static unsigned int held(unsigned int d)
{
	return loop_device_held(world.device[d]->device);
}

static const struct gw_frame *held_frame(unsigned int d, unsigned int i)
{
	const struct loop_descriptor *descriptor = loop_device_peek(world.device[d]->device, i);

	return world.device[d]->slot[(uint32_t)descriptor->cookie].frame;
}

static unsigned int serial_in(const struct iovec *seg)
{
	unsigned int serial = ((const uint8_t *)seg[0].iov_base)[SERIAL_AT];

	if (serial >= world.sent_count)
		violation("a device holds a frame that nobody sent");
	return serial;
}

/* Loans of frame `serial` that devices hold. */
static unsigned int lent(unsigned int serial)
{
	unsigned int count = 0;

	for (unsigned int d = 0; d < world.play->devices; d++)
		for (unsigned int i = 0; i < held(d); i++)
			count += held_frame(d, i)->memmap &&
				 serial_in(loop_device_peek(world.device[d]->device, i)->seg) ==
					 serial;
	return count;
}

/* ---- what must be true ---- */

static struct sent *by_head(uint16_t head)
{
	for (unsigned int s = 0; s < world.sent_count; s++)
		if (world.sent[s].ring == world.ring && world.sent[s].head == head &&
		    !world.sent[s].used)
			return &world.sent[s];
	return NULL;
}

static void check_used(void)
{
	struct mock_driver *driver = &world.vm.tx.driver;

	while (driver->size && driver->used_next != driver->used->idx) {
		uint16_t head = (uint16_t)driver->used->ring[driver->used_next % driver->size].id;
		struct sent *sent = by_head(head);
		uint16_t collected;

		if (world.frozen)
			violation("head %u came back after the stop was answered", head);
		if (!sent)
			violation("head %u came back, and is not out", head);
		sent->used = true;
		vm_poll_used(&world.vm, &collected, 1);
	}
	for (unsigned int s = 0; s < world.sent_count; s++)
		if (world.sent[s].used && lent(s))
			violation("frame %u came back, and a device may still read it", s);
}

static void check_books(unsigned int d)
{
	struct loop *loop = world.device[d];
	unsigned int slots = 0, loans = 0, booked = 0;

	for (unsigned int i = 0; i < loop->ring; i++) {
		slots += loop->slot[i].frame != NULL;
		loans += loop->slot[i].frame && !loop->slot[i].frame->bounce;
	}
	for (unsigned int i = 0; i < loop->port->offer.count; i++)
		loans += !loop->port->offer.frame[i]->bounce;
	for (unsigned int s = 0; s < loop->port->network_ports; s++)
		if (loop->port->pair_from[s])
			booked += loop->port->pair_from[s]->loans_out;
	if (slots != loop->port->held)
		violation("device %u holds %u frames, its port says %u", d, slots,
			  loop->port->held);
	if (loans != booked)
		violation("device %u has %u loans, the pairs say %u", d, loans, booked);
}

/* Whether a driver has a loan of frame `serial`, over or not, of memory before `generation`. */
static bool with_driver(unsigned int serial, uint64_t generation)
{
	for (unsigned int d = 0; d < world.play->devices; d++)
		for (unsigned int i = 0; i < world.device[d]->ring; i++) {
			const struct gw_frame *frame = world.device[d]->slot[i].frame;

			if (frame && frame->memmap &&
			    gw_memmap_generation(frame->memmap) < generation &&
			    serial_in(frame->seg) == serial)
				return true;
		}
	return false;
}

/*
 * A loan that is over brings its chain back at once. It does not, if the ring was ended
 * meanwhile: nobody waits longer for it than the stop time.
 */
static void check_ways(void)
{
	for (unsigned int s = 0; s < world.sent_count; s++) {
		struct sent *sent = &world.sent[s];
		bool is_with_driver = with_driver(s, UINT64_MAX);

		sent->was_lent |= is_with_driver;
		if (sent->was_lent && !is_with_driver && !sent->used && !sent->lost &&
		    sent->ring == world.ring && world.running &&
		    strand_now_ns() - world.job_ns < STOP_NS)
			violation("the loan of frame %u is over, and its chain did not come back",
				  s);
	}
}

static void lose(struct sent *sent)
{
	if (!sent->lost && strand_now_ns() - world.job_ns < STOP_NS)
		violation("a chain was given up before the stop time was over");
	sent->lost = true;
}

/* The memory was changed: what a device keeps of the one before is never completed. */
static void check_changed(void)
{
	/* The guest's own memmap came first, the back-end's follow. */
	uint64_t now = gw_memmap_generation(world.vm.memory.memmap) + 1 + world.done[EVENT_MEMORY];

	check_used();
	for (unsigned int s = 0; s < world.sent_count; s++)
		if (!world.sent[s].used && world.sent[s].was_lent &&
		    (with_driver(s, now) || !with_driver(s, UINT64_MAX)))
			lose(&world.sent[s]);
}

/* The answer to GET_VRING_BASE: what is not back is with devices, or was when the time was over. */
static void check_stopped(uint16_t base)
{
	const struct mock_driver *driver = &world.vm.tx.driver;
	unsigned int missing = (uint16_t)(base - driver->used->idx), lost = 0;

	check_used();
	for (unsigned int s = 0; s < world.sent_count; s++) {
		if (world.sent[s].ring != world.ring || world.sent[s].used)
			continue;
		if (world.sent[s].was_lent)
			lose(&world.sent[s]);
		lost += world.sent[s].lost;
	}
	if (missing != lost)
		violation("the ring stopped at %u, used index %u, and devices had %u", base,
			  driver->used->idx, lost);
}

static void check(void)
{
	if (world.ended)
		return;
	check_used();
	check_ways();
	for (unsigned int d = 0; d < world.play->devices; d++)
		check_books(d);
}

/* ---- the guest's side: what waits for the back-end is done by the hand ---- */

static void job_begin_world(void *arg)
{
	struct gw_options options = { .size = sizeof(options), .stop_ms = STOP_MS };
	char spec[160], path[128];
	struct gw_error err = { 0 };

	options.log = arg;
	snprintf(path, sizeof(path), "%s/a", folder);
	snprintf(spec, sizeof(spec), "a=guest:%s,bounce=4", path);
	if (gw_open(&options, &world.context, &err) || gw_port_add(world.context, spec, &err))
		violation("%s", err.text);
	for (unsigned int d = 0; d < world.play->devices; d++) {
		snprintf(spec, sizeof(spec), "d%u=loop:,hold=on,ring=8,segs=2,loans=6,bounce=4", d);
		if (gw_port_add(world.context, spec, &err))
			violation("%s", err.text);
	}
	if (gw_start(world.context, &err))
		violation("%s", err.text);
	for (unsigned int d = 0; d < world.play->devices; d++) {
		snprintf(spec, sizeof(spec), "d%u", d);
		world.device[d] = loop_test_find(spec);
	}
	world.guest = world.device[0]->port->pair_from[0]->source;
	vm_connect(&world.vm, path);
	vm_share_memory(&world.vm);
	vm_start_tx(&world.vm);
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

/* What follows from the end of a job. The hand has not gone on since. */
static void look_at_job(void)
{
	if (!world.job_waits || !strand_idle())
		return;
	world.job_waits = false;
	if (world.job == EVENT_STOP) {
		check_stopped(world.base);
		world.running = false;
		world.frozen = true;
	} else if (world.job == EVENT_MEMORY) {
		check_changed();
	} else if (world.job == EVENT_START) {
		world.ring++;
		world.running = true;
		world.frozen = false;
	} else if (world.job == EVENT_END) {
		world.ended = true;
	}
}

/* The front-end's own side of the socket has no order that matters. */
static void run_hand(void)
{
	while (world.job != EVENT_END && strand_can_run(0))
		strand_run(0);
	look_at_job();
}

/* ---- running ---- */

static bool run_one(void)
{
	for (unsigned int i = 0; i < strand_count(); i++) {
		if (!strand_can_run(i))
			continue;
		strand_run(i);
		run_hand();
		check();
		return true;
	}
	return false;
}

/* Until nobody has anything to do; if the hand waits, time passes for it. */
static void run_to_rest(const char *what)
{
	uint64_t until_ns = strand_now_ns() + MINUTE_NS;

	for (unsigned int steps = 0; steps < STEPS_MAX; steps++) {
		if (run_one())
			continue;
		if (strand_idle())
			return;
		if (!strand_deadline_ns() || strand_deadline_ns() > until_ns)
			violation("it never ends: %s", what);
		strand_advance(strand_deadline_ns());
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

static void do_send(void)
{
	unsigned int serial = world.sent_count++;
	uint8_t frame[LEN];

	vm_frame(frame, LEN, 0xd0, 0xe0, 0);
	frame[SERIAL_AT] = (uint8_t)serial;
	world.sent[serial] = (struct sent){ .ring = world.ring };
	world.sent[serial].head = vm_send(&world.vm, frame, LEN);
}

static void do_complete(unsigned int d, unsigned int i, bool failed)
{
	struct loop *loop = world.device[d];

	world.last_cookie[d] = loop_device_peek(loop->device, i)->cookie;
	world.has_last[d] = true;
	loop_device_complete(loop->device, i, failed);
	gw_eventfd_signal(loop->wake_fd);
}

static void complete_all(void)
{
	for (unsigned int d = 0; d < world.play->devices; d++)
		while (held(d))
			do_complete(d, 0, false);
}

/* Devices are asked about the guest's memory, and have it mapped. */
static void be_asked(void)
{
	do_send();
	run_to_rest("the first frame");
	complete_all();
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

static void revive(unsigned int d)
{
	world.dead[d] = false;
	world.device[d]->stubborn = false;
	gw_eventfd_signal(world.device[d]->wake_fd);
}

/* Each frame is back, or was never taken, or its ring stopped while a device kept it. */
static void check_nothing_lost(void)
{
	for (unsigned int s = 0; s < world.sent_count; s++) {
		const struct sent *sent = &world.sent[s];
		bool taken_back = sent->ring != world.ring || !world.running;

		if (!sent->used && !sent->lost && !taken_back)
			violation("frame %u is lost", s);
	}
}

/* Memory that was changed, or whose front-end has gone, is unmapped once its loans are home. */
static void check_current(void)
{
	uint64_t now = gw_memmap_generation(world.vm.memory.memmap) + 1 + world.done[EVENT_MEMORY];

	for (unsigned int d = 0; d < world.play->devices; d++) {
		const struct pair *pair = world.device[d]->port->pair_from[world.guest->slot];

		if (pair->mapped && (!world.connected || gw_memmap_generation(pair->mapped) < now))
			violation("device %u keeps memory of which no loan is out", d);
	}
}

static void check_let_go(void)
{
	for (unsigned int d = 0; d < world.play->devices; d++) {
		const struct pair *pair = world.device[d]->port->pair_from[world.guest->slot];

		if (pair->loans_out || pair->bounce_out || loop_out(world.device[d]))
			violation("device %u keeps a frame for ever", d);
		if (pair->mapped || world.device[d]->map_count)
			violation("device %u keeps memory of a guest that has gone", d);
	}
}

void world_end(void)
{
	static unsigned int fds;

	run_to_rest("what is under way");
	if (!world.ended) {
		for (unsigned int d = 0; d < world.play->devices; d++)
			revive(d);
		complete_all();
		run_to_rest("late completions");
		/* What waited for room, or was asked about, is with a device now. */
		complete_all();
		run_to_rest("later completions");
		check_nothing_lost();
		check_current();
		world.frozen = world.frozen || !world.running;
		vm_disconnect(&world.vm);
		run_to_rest("the front-end's end");
		check_let_go();
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

/* ---- events ---- */

static bool left(enum event_kind kind)
{
	return world.done[kind] < world.play->budget[kind];
}

static bool possible(enum event_kind kind)
{
	bool hand = strand_idle() && world.connected && !world.ended;

	if (!left(kind))
		return false;
	switch (kind) {
	case EVENT_SEND:
		/* Also while it is being stopped: a guest that is not paused first. */
		return world.vm.tx.driver.size && !world.frozen && !world.ended &&
		       world.sent_count < WORLD_FRAMES_MAX &&
		       !(world.job_waits && world.job == EVENT_START);
	case EVENT_STOP:
	case EVENT_MEMORY:
		return hand && (kind == EVENT_MEMORY || world.running);
	case EVENT_START:
		return hand && !world.running;
	case EVENT_GONE:
		return hand;
	case EVENT_END:
		return strand_idle() && !world.ended;
	case EVENT_DEADLINE:
		return !strand_idle() && strand_deadline_ns();
	case EVENT_STEP:
	case EVENT_COMPLETE:
	case EVENT_FAIL:
	case EVENT_AGAIN:
	case EVENT_DIE:
	case EVENT_REVIVE:
	case EVENT_KINDS:
		break;
	}
	return false;
}

static unsigned int add(struct event *events, unsigned int n, enum event_kind kind,
			unsigned int which)
{
	events[n] = (struct event){ kind, which };
	return n + 1;
}

static unsigned int device_events(struct event *events, unsigned int n, unsigned int d)
{
	unsigned int first = d * WORLD_FRAMES_MAX;

	if (world.dead[d])
		return left(EVENT_REVIVE) ? add(events, n, EVENT_REVIVE, first) : n;
	for (unsigned int i = 0; left(EVENT_COMPLETE) && i < held(d); i++)
		n = add(events, n, EVENT_COMPLETE, first + i);
	if (left(EVENT_FAIL) && held(d))
		n = add(events, n, EVENT_FAIL, first);
	if (left(EVENT_AGAIN) && world.has_last[d])
		n = add(events, n, EVENT_AGAIN, first);
	if (left(EVENT_DIE))
		n = add(events, n, EVENT_DIE, first);
	return n;
}

unsigned int world_events(struct event *events)
{
	static const enum event_kind others[] = { EVENT_SEND,    EVENT_STOP, EVENT_START,
						  EVENT_MEMORY,  EVENT_GONE, EVENT_END,
						  EVENT_DEADLINE };
	unsigned int n = 0;

	for (unsigned int i = 0; i < strand_count(); i++)
		if (strand_can_run(i))
			n = add(events, n, EVENT_STEP, i);
	for (unsigned int d = 0; !world.ended && d < world.play->devices; d++)
		n = device_events(events, n, d);
	for (unsigned int k = 0; k < sizeof(others) / sizeof(others[0]); k++)
		if (possible(others[k]))
			n = add(events, n, others[k], 0);
	return n;
}

static void act(const struct event *event)
{
	unsigned int d = event->which / WORLD_FRAMES_MAX, i = event->which % WORLD_FRAMES_MAX;

	switch (event->kind) {
	case EVENT_STEP:
		strand_run(event->which);
		break;
	case EVENT_SEND:
		do_send();
		break;
	case EVENT_COMPLETE:
	case EVENT_FAIL:
		do_complete(d, i, event->kind == EVENT_FAIL);
		break;
	case EVENT_AGAIN:
		loop_device_bogus(world.device[d]->device, world.last_cookie[d]);
		gw_eventfd_signal(world.device[d]->wake_fd);
		break;
	case EVENT_DIE:
		world.dead[d] = world.device[d]->stubborn = true;
		break;
	case EVENT_REVIVE:
		revive(d);
		break;
	case EVENT_STOP:
		give(EVENT_STOP, job_stop);
		break;
	case EVENT_START:
		give(EVENT_START, job_start);
		break;
	case EVENT_MEMORY:
		give(EVENT_MEMORY, job_memory);
		break;
	case EVENT_GONE:
		vm_disconnect(&world.vm);
		world.connected = world.running = false;
		break;
	case EVENT_END:
		give(EVENT_END, job_end);
		break;
	case EVENT_DEADLINE:
		strand_advance(strand_deadline_ns());
		break;
	case EVENT_KINDS:
		break;
	}
}

void world_do(const struct event *event)
{
	world.done[event->kind]++;
	act(event);
	run_hand();
	check();
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
	world.logs = 0;
}

void world_event_text(const struct event *event, char *text, unsigned int bytes)
{
	static const char *const roles[] = { "hand", "control", "worker", "chore" };
	unsigned int d = event->which / WORLD_FRAMES_MAX, i = event->which % WORLD_FRAMES_MAX;

	if (event->kind == EVENT_STEP)
		snprintf(text, bytes, "%s(%u)", roles[strand_role(event->which)], event->which);
	else if (event->kind == EVENT_COMPLETE)
		snprintf(text, bytes, "complete(%u,%u)", d, i);
	else
		snprintf(text, bytes, "%s", words[event->kind]);
}

/* ---- states ---- */

static uint64_t add_word(uint64_t hash, uint64_t word)
{
	hash ^= word + 0x9e3779b97f4a7c15ull + (hash << 6) + (hash >> 2);
	hash *= 0xff51afd7ed558ccdull;
	return hash ^ hash >> 33;
}

static uint64_t pair_state(uint64_t hash, const struct pair *pair)
{
	const uint32_t words32[] = {
		pair->answered,
		pair->asking,
		pair->answer.verdict,
		pair->answer.reason,
		pair->loans_out,
		pair->bounce_out,
		pair->watch_zero,
		pair->ask_flag,
		pair->mapped != NULL,
		pair->witness != NULL,
		pair->answer_memmap == pair->mapped,
		pair->answer_stamp == pair->egress->answer_stamp,
	};

	for (unsigned int i = 0; i < sizeof(words32) / sizeof(words32[0]); i++)
		hash = add_word(hash, words32[i]);
	return hash;
}

static uint64_t port_state_of(uint64_t hash, const struct gw_port *port)
{
	const uint32_t words32[] = {
		port->up,
		port->paused,
		port->stalled,
		port->untrusted,
		port->progress,
		port->refused,
		port->lent_out,
		port->held,
		port->held_loans,
		port->offer.count,
		port->waiting_count,
		port->waiting_next,
		port->home_count,
		port->state,
		port->owing_since_ns != 0,
		(uint32_t)port->quarantined,
	};

	for (unsigned int i = 0; i < sizeof(words32) / sizeof(words32[0]); i++)
		hash = add_word(hash, words32[i]);
	return hash;
}

static uint64_t device_state(uint64_t hash, unsigned int d)
{
	const struct loop *loop = world.device[d];

	hash = port_state_of(hash, loop->port);
	hash = pair_state(hash, loop->port->pair_from[world.guest->slot]);
	hash = add_word(hash, world.dead[d] | loop->stopping << 1 | world.has_last[d] << 2);
	hash = add_word(hash, loop->map_count);
	hash = add_word(hash, loop->bogus);
	for (unsigned int i = 0; i < held(d); i++) {
		const struct gw_frame *frame = held_frame(d, i);

		hash = add_word(hash, serial_in(loop_device_peek(loop->device, i)->seg));
		hash = add_word(hash, frame->memmap != NULL);
	}
	/* What was completed and not reaped is told by slots that are not held. */
	for (unsigned int i = 0; i < loop->ring; i++)
		hash = add_word(hash, loop->slot[i].frame ? loop->slot[i].frame->id + 1 : 0);
	return hash;
}

uint64_t world_state(void)
{
	const struct mock_driver *driver = &world.vm.tx.driver;
	uint64_t hash = add_word(world.logs, world.ring);

	for (unsigned int k = 1; k < EVENT_KINDS; k++)
		hash = add_word(hash, world.done[k]);
	hash = add_word(hash, world.running | world.frozen << 1 | world.connected << 2 |
				      world.ended << 3 | world.job_waits << 4);
	for (unsigned int i = 0; i < strand_count(); i++) {
		hash = add_word(hash, strand_over(i) ? 0 : strand_place(i));
		hash = add_word(hash, strand_can_run(i));
		hash = add_word(hash, strand_over(i) ? 0 : strand_patience(i));
	}
	if (world.ended)
		return hash;
	for (unsigned int s = 0; s < world.sent_count; s++)
		hash = add_word(hash, world.sent[s].used | world.sent[s].lost << 1 |
					      world.sent[s].was_lent << 2);
	if (driver->size)
		hash = add_word(hash, (uint64_t)driver->used->idx << 32 |
					      driver->used->ring[driver->size].id);
	hash = port_state_of(hash, world.guest);
	for (unsigned int d = 0; d < world.play->devices; d++)
		hash = device_state(hash, d);
	return hash;
}
