/* SPDX-License-Identifier: BSD-2-Clause */
/* The running port: opened, offered frames, reaped, stopped. */
#include "conformance.h"
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define GUEST_BYTES (8u << 20)

unsigned int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

struct rig *rig_open(void)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct gw_error err = { 0 };

	assert_non_null(rig);
	rig->parcel = calloc(PARCELS, sizeof(*rig->parcel));
	assert_non_null(rig->parcel);
	rig->port = host_run(subject.driver, subject.host_spec);
	rig->queue = host_queue(rig->port);
	host_memory_create(&rig->memory, GUEST_BYTES, 0);
	rig->answer = host_query(rig->port, rig->memory.memmap);
	rig->arena_answer = host_query(rig->port, NULL);
	if (rig->answer.verdict != GW_NO && rig->answer.needs_map) {
		if (subject.driver->map(rig->port, rig->memory.memmap, &err))
			fail_msg("map: %s", err.text);
		rig->mapped = true;
	}
	if (!subject.driver->bounce) {
		rig->arena = gw_port_arena_take(rig->port, ARENA_BUFFERS, &err);
		if (!rig->arena)
			fail_msg("arena: %s", err.text);
	}
	rig->far = subject.far_end->open ? subject.far_end->open(subject.far_arg) : NULL;
	return rig;
}

static void account(struct rig *rig, const struct gw_done *done)
{
	for (unsigned int i = 0; i < rig->parcels; i++) {
		struct parcel *parcel = &rig->parcel[i];

		if (parcel->frame != done->frame || !parcel->out)
			continue;
		parcel->out = false;
		parcel->over = true;
		parcel->status = done->status;
		rig->out--;
		return;
	}
	fail_msg("reap reported a frame that is not in the device");
}

void rig_reap(struct rig *rig)
{
	struct gw_done done[GW_BATCH];
	unsigned int count;

	if (!subject.driver->reap)
		return;
	host_visit_begin(rig->port);
	count = subject.driver->reap(rig->queue, done, GW_BATCH);
	assert_true(count <= GW_BATCH);
	for (unsigned int i = 0; i < count; i++)
		account(rig, &done[i]);
	host_visit_end(rig->port);
}

void rig_reap_all(struct rig *rig)
{
	uint64_t end_ms = host_now_ms() + DEADLINE_MS;

	for (;;) {
		unsigned int before = rig->out;

		rig_reap(rig);
		if (!rig->out)
			return;
		if (host_now_ms() >= end_ms)
			fail_msg("%u frames did not come back", rig->out);
		if (rig->out == before)
			host_wait(rig->port, GW_WANT_REAP, 10);
	}
}

struct worker {
	struct rig *rig;
	bool quit;
};

static void *worker_main(void *arg)
{
	struct worker *worker = arg;

	while (!__atomic_load_n(&worker->quit, __ATOMIC_ACQUIRE)) {
		rig_reap(worker->rig);
		host_wait(worker->rig->port, GW_WANT_REAP, 1);
	}
	return NULL;
}

int rig_stop(struct rig *rig, unsigned int deadline_ms)
{
	struct worker worker = { rig, false };
	uint64_t begin_ms = host_now_ms();
	pthread_t thread;
	int held;

	assert_int_equal(pthread_create(&thread, NULL, worker_main, &worker), 0);
	held = host_stop(rig->port, deadline_ms);
	__atomic_store_n(&worker.quit, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	assert_true(held >= 0);
	/* As much again for closing and waiting is generous; for ever is not. */
	assert_true(host_now_ms() - begin_ms <= 2 * deadline_ms + 1000);
	return held;
}

void rig_close(struct rig *rig)
{
	if (rig->far)
		subject.far_end->close(rig->far);
	assert_int_equal(rig_stop(rig, DEADLINE_MS), 0);
	rig_reap_all(rig);
	if (rig->mapped)
		subject.driver->unmap(rig->port, rig->memory.memmap);
	host_close(rig->port);
	host_memory_destroy(&rig->memory);
	free(rig->parcel);
	free(rig);
}

/* ---- offering ---- */

/* Those that were not accepted: given back, last first. */
static void unpack(struct rig *rig, unsigned int count)
{
	while (count--) {
		struct parcel *parcel = &rig->parcel[--rig->parcels];

		if (parcel->frame != &parcel->own)
			subject.driver->unbounce(rig->queue, parcel->frame);
		parcel->frame = NULL;
	}
}

static unsigned int offer(struct rig *rig, unsigned int count)
{
	struct gw_frame *frames[GW_BATCH];
	unsigned int first = rig->parcels - count, taken;

	assert_true(count && count <= GW_BATCH);
	for (unsigned int i = 0; i < count; i++)
		frames[i] = rig->parcel[first + i].frame;
	host_visit_begin(rig->port);
	rig->queue->refusal = GW_REASON_NONE;
	taken = subject.driver->tx(rig->queue, frames, count);
	assert_true(taken <= count);
	if (taken < count && !gw_reason_is_drop(rig->queue->refusal))
		fail_msg("tx took %u of %u and does not say why", taken, count);
	for (unsigned int i = 0; i < taken; i++) {
		rig->parcel[first + i].out = subject.driver->reap != NULL;
		rig->parcel[first + i].over = !subject.driver->reap;
	}
	if (subject.driver->reap)
		rig->out += taken;
	host_visit_end(rig->port);
	return taken;
}

unsigned int rig_offer(struct rig *rig, unsigned int count)
{
	unsigned int taken = offer(rig, count);

	host_visit_begin(rig->port);
	unpack(rig, count - taken);
	host_visit_end(rig->port);
	return taken;
}

void rig_send(struct rig *rig)
{
	uint64_t end_ms = host_now_ms() + DEADLINE_MS;

	while (!offer(rig, 1)) {
		if (host_now_ms() >= end_ms)
			fail_msg("tx takes nothing: %s", gw_reason_name(rig->queue->refusal));
		rig_reap(rig);
		host_wait(rig->port, GW_WANT_TX | GW_WANT_REAP, 10);
	}
}
