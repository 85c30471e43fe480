/* SPDX-License-Identifier: BSD-2-Clause */
/* What can happen in the played world. */
#include "world_inside.h"

#include "fd.h"
#include <stdio.h>

#define LEN 1000u

static const char *const words[] = {
#define EVENT_WORD(id, word) word,
	EVENTS(EVENT_WORD)
#undef EVENT_WORD
};

void world_send(void)
{
	unsigned int serial = world.sent_count++;
	uint8_t frame[LEN];

	vm_frame(frame, LEN, 0xd0, 0xe0, 0);
	frame[SERIAL_AT] = (uint8_t)serial;
	world.sent[serial] = (struct sent){ .ring = world.ring };
	world.sent[serial].head = vm_send(&world.vm, frame, LEN);
}

/* It has its number, too. */
void world_arrive(void)
{
	struct loop *loop = world.device[0];
	uint8_t frame[LEN];

	vm_frame(frame, LEN, 0xe0, 0xd0, 0);
	frame[SERIAL_AT] = (uint8_t)(world.done[EVENT_ARRIVE] - 1);
	if (!loop_receive(loop, frame, LEN, NULL))
		violation("the device has no room for a frame from the wire");
	gw_eventfd_signal(loop->wake_fd);
}

void world_complete(unsigned int d, unsigned int i, bool failed)
{
	struct loop *loop = world.device[d];

	world.last_cookie[d] = loop_device_peek(loop->device, i)->cookie;
	world.has_last[d] = true;
	loop_device_complete(loop->device, i, failed);
	gw_eventfd_signal(loop->wake_fd);
}

void world_complete_all(void)
{
	for (unsigned int d = 0; d < world.play->devices; d++)
		while (world_held(d))
			world_complete(d, 0, false);
}
void world_revive(unsigned int d)
{
	world.dead[d] = false;
	world.device[d]->stubborn = false;
	gw_eventfd_signal(world.device[d]->wake_fd);
}

/* ---- what is possible ---- */

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
	case EVENT_ARRIVE:
		return world.connected && !world.ended;
	case EVENT_STOP:
	case EVENT_MEMORY:
		return hand && (kind == EVENT_MEMORY || world.running);
	case EVENT_START:
		return hand && !world.running;
	case EVENT_GONE:
	case EVENT_MOVE:
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
	for (unsigned int i = 0; left(EVENT_COMPLETE) && i < world_held(d); i++)
		n = add(events, n, EVENT_COMPLETE, first + i);
	if (left(EVENT_FAIL) && world_held(d))
		n = add(events, n, EVENT_FAIL, first);
	if (left(EVENT_AGAIN) && world.has_last[d])
		n = add(events, n, EVENT_AGAIN, first);
	if (left(EVENT_DIE))
		n = add(events, n, EVENT_DIE, first);
	return n;
}

unsigned int world_events(struct event *events)
{
	static const enum event_kind others[] = { EVENT_SEND,  EVENT_ARRIVE, EVENT_STOP,
						  EVENT_START, EVENT_MEMORY, EVENT_MOVE,
						  EVENT_GONE,  EVENT_END,    EVENT_DEADLINE };
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
		world_send();
		break;
	case EVENT_ARRIVE:
		world_arrive();
		break;
	case EVENT_COMPLETE:
	case EVENT_FAIL:
		world_complete(d, i, event->kind == EVENT_FAIL);
		break;
	case EVENT_AGAIN:
		loop_device_bogus(world.device[d]->device, world.last_cookie[d]);
		gw_eventfd_signal(world.device[d]->wake_fd);
		break;
	case EVENT_DIE:
		world.dead[d] = world.device[d]->stubborn = true;
		break;
	case EVENT_REVIVE:
		world_revive(d);
		break;
	case EVENT_STOP:
		world_begin_job(EVENT_STOP);
		break;
	case EVENT_START:
		world_begin_job(EVENT_START);
		break;
	case EVENT_MEMORY:
		world_begin_job(EVENT_MEMORY);
		break;
	case EVENT_GONE:
		vm_disconnect(&world.vm);
		world.connected = world.running = false;
		break;
	case EVENT_MOVE:
		world_begin_job(EVENT_MOVE);
		break;
	case EVENT_END:
		world_begin_job(EVENT_END);
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
	world_run_hand();
	world_check();
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
