/* SPDX-License-Identifier: BSD-2-Clause */
#include "spread_setup.h"

#include "atomic.h"
#include "worker_threads.h"
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A busy machine may let the workers wait. */
#define DEADLINE_NS 60000000000ull

struct guest {
	struct vm vm;
	struct vm_ring ring[PAIRS_MAX];
	struct refill *refill;
};

_Noreturn void setup_die(const char *what)
{
	fprintf(stderr, "spread: %s\n", what);
	exit(1);
}

uint64_t setup_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void port_add(struct setup *setup, const char *spec)
{
	struct gw_error err = { 0 };

	if (gw_port_add(setup->context, spec, &err))
		setup_die(err.text);
}

/* Number of a guest among those of all setups. */
static unsigned int guest_number(const struct setup *setup, unsigned int g)
{
	return setup->number * GUESTS_MAX + g;
}

static void guest_start(struct setup *setup, unsigned int g, const struct setup_options *options)
{
	const uint64_t room = refill_ring_room(options->ring, options->len);
	const struct vm_options how = {
		.features = 0,
		.memory_bytes = room * setup->pairs,
		.multiqueue = setup->pairs > 1,
	};
	struct guest *guest = &setup->guest[g];
	char path[80];

	snprintf(path, sizeof(path), "%s/%ug%u", options->folder, setup->number, g);
	guest->vm = (struct vm){ .options = how, .fd = -1 };
	vm_connect(&guest->vm, path);
	vm_share_memory(&guest->vm);
	/* Pairs are dealt out in turn. */
	for (unsigned int p = 0; p < setup->pairs; p++)
		refill_add(&guest->refill->lane[p % setup->workers], &guest->vm, &guest->ring[p],
			   2 * p + 1, options->ring, VM_MEMORY_ADDR + p * room, options->len);
}

static void wait_for_workers(struct setup *setup, bool pin)
{
	uint64_t deadline = setup_now_ns() + DEADLINE_NS;

	while (!worker_threads_find(setup->tid, setup->workers)) {
		if (setup_now_ns() > deadline)
			setup_die("a worker's thread is not there");
		usleep(1000);
	}
	for (unsigned int w = 0; w < setup->workers && pin; w++)
		if (!worker_thread_pin(setup->tid[w], setup->processor + w))
			setup_die("a thread cannot be pinned");
}

/* Each guest in a network of its own with a sink. */
void setup_start(struct setup *setup, const struct setup_options *options)
{
	struct gw_options how = { .size = sizeof(how), .workers = setup->workers };
	struct gw_error err = { 0 };
	char spec[200];

	setup->guest = calloc(setup->guests, sizeof(*setup->guest));
	if (!setup->guest || gw_open(&how, &setup->context, &err))
		setup_die(err.text);
	for (unsigned int g = 0; g < setup->guests; g++) {
		snprintf(spec, sizeof(spec), "g%u=guest:%s/%ug%u,network=n%u", g, options->folder,
			 setup->number, g, g);
		port_add(setup, spec);
		setup->guest[g].refill = refill_of(guest_number(setup, g));
		snprintf(spec, sizeof(spec), "d%u=refill:%u,network=n%u", g, guest_number(setup, g),
			 g);
		port_add(setup, spec);
	}
	if (gw_start(setup->context, &err))
		setup_die(err.text);
	wait_for_workers(setup, options->pin);
	for (unsigned int g = 0; g < setup->guests; g++)
		guest_start(setup, g, options);
}

void setup_stop(struct setup *setup)
{
	for (unsigned int g = 0; g < setup->guests; g++) {
		for (unsigned int p = 0; p < setup->pairs; p++)
			vm_close_ring(&setup->guest[g].ring[p]);
		vm_free(&setup->guest[g].vm);
	}
	gw_close(setup->context);
	free(setup->guest);
}

/* A network's first lane is with another worker for each; false: it has no such lane. */
static struct refill_lane *lane_of(const struct setup *setup, unsigned int g, unsigned int worker)
{
	unsigned int lane = (worker + setup->workers - g % setup->workers) % setup->workers;

	return &setup->guest[g].refill->lane[lane];
}

uint64_t setup_frames(const struct setup *setup, unsigned int worker)
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
	uint64_t deadline = setup_now_ns() + DEADLINE_NS;

	while (!refill_is_over(lane)) {
		if (setup_now_ns() > deadline)
			setup_die("a ring is not worked off");
		usleep(100);
	}
}

void setup_check(struct setup *setup)
{
	struct gw_snapshot *snapshot;

	if (gw_snapshot_take(setup->context, &snapshot))
		setup_die("no snapshot");
	for (unsigned int i = 0; i < snapshot->pair_count; i++)
		for (unsigned int r = GW_DROP_FIRST; r < GW_REASON_COUNT; r++)
			if (snapshot->pairs[i].reasons[r])
				setup_die("frames were dropped");
	gw_snapshot_free(snapshot);
}

void setup_begin(const struct setup *setup)
{
	for_lanes(setup, refill_begin);
}

void setup_end(const struct setup *setup)
{
	for_lanes(setup, refill_end);
}

void setup_wait(const struct setup *setup)
{
	for_lanes(setup, wait_until_over);
}
