/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine_rig.h"

#include "fd.h"
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define DEADLINE_NS  8000000000ull
#define MEMORY_BYTES 65536u
#define GUEST_ADDR   0x100000ull

void rig_create(struct engine_rig *rig, const char *const *specs)
{
	struct engine_config config = { .workers = 1, .stop_ms = 200 };
	struct gw_error err = { 0 };

	memset(rig, 0, sizeof(*rig));
	assert_int_equal(engine_create(&config, &rig->engine, &err), 0);
	for (; *specs; specs++) {
		struct gw_port *port;

		if (port_parse(*specs, fake_drivers, &port, &err) ||
		    engine_add_port(rig->engine, port, &err))
			fail_msg("%s", err.text);
	}
}

void rig_run(struct engine_rig *rig, const char *const *specs)
{
	struct gw_error err = { 0 };

	rig_create(rig, specs);
	if (engine_start(rig->engine, &err))
		fail_msg("%s", err.text);
}

void rig_free(struct engine_rig *rig)
{
	engine_free(rig->engine);
}

struct gw_port *rig_port(struct engine_rig *rig, unsigned int i)
{
	return engine_port(rig->engine, i);
}

struct fake *rig_fake(struct engine_rig *rig, unsigned int i)
{
	return fake_of(rig_port(rig, i));
}

struct pair_copy {
	const struct pair *from;
	struct pair to;
};

static void pair_apply(void *arg)
{
	struct pair_copy *copy = arg;

	/* Not what control has in its middle, nor the witness, which it sets and unsets. */
	memcpy(&copy->to, copy->from, offsetof(struct pair, witness));
	memcpy(&copy->to.watch_zero, &copy->from->watch_zero,
	       offsetof(struct pair, ask_memmap) - offsetof(struct pair, watch_zero));
	memcpy(&copy->to.lent_frames, &copy->from->lent_frames,
	       sizeof(copy->to) - offsetof(struct pair, lent_frames));
	copy->to.ask_flag = gw_load_acquire(&copy->from->ask_flag);
}

struct pair rig_pair(struct engine_rig *rig, unsigned int s, unsigned int e)
{
	struct pair_copy copy = {
		.from = rig_port(rig, e)->queue[0]->pair_from[rig_port(rig, s)->slot]
	};

	gw_port_apply(rig_port(rig, e), pair_apply, &copy);
	return copy.to;
}

struct send {
	struct engine_rig *rig;
	struct gw_memmap *memmap;
	unsigned int count, sent;
};

/* The next frame that nobody holds; FAKE_FRAMES: there is none. */
static unsigned int idle_frame(struct engine_rig *rig)
{
	struct fake *fake = rig_fake(rig, 0);

	for (unsigned int i = 0; i < FAKE_FRAMES; i++) {
		unsigned int id = rig->next_id++ % FAKE_FRAMES;

		if (!fake->frame[id].holders)
			return id;
	}
	return FAKE_FRAMES;
}

static void send_apply(void *arg)
{
	struct send *send = arg;
	static uint8_t private_bytes[RIG_LEN];
	void *bytes = private_bytes;
	struct iovec seg;

	memset(private_bytes, 0xff, sizeof(private_bytes));
	if (send->memmap)
		bytes = memmap_translate(send->memmap, GUEST_ADDR, RIG_LEN);
	seg = (struct iovec){ bytes, RIG_LEN };
	for (; send->sent < send->count; send->sent++) {
		unsigned int id = idle_frame(send->rig);

		if (id == FAKE_FRAMES)
			return;
		fake_frame(rig_fake(send->rig, 0), id, send->memmap, &seg, 1);
		rig_fake(send->rig, 0)->frame[id].holders = 1;
		fake_lend(rig_fake(send->rig, 0), id);
	}
}

void rig_send(struct engine_rig *rig, struct gw_memmap *memmap, unsigned int count)
{
	struct send send = { .rig = rig, .memmap = memmap, .count = count };

	gw_port_apply(rig_port(rig, 0), send_apply, &send);
	/* Here, not on the worker: who waits for it would wait for ever. */
	if (send.sent < count)
		fail_msg("all %u frames of the sender are held", FAKE_FRAMES);
}

struct home {
	struct engine_rig *rig;
	bool all, too_often;
};

static void home_apply(void *arg)
{
	struct home *home = arg;
	const struct fake *fake = rig_fake(home->rig, 0);

	for (unsigned int i = 0; i < FAKE_FRAMES; i++) {
		int8_t more = (int8_t)(fake->came_home[i] - fake->went_out[i]);

		home->all &= !more;
		home->too_often |= more > 0;
	}
}

bool rig_decides(struct engine_rig *rig, struct gw_memmap *memmap, enum gw_reason reason)
{
	struct pair before = rig_pair(rig, 0, 1), after;
	uint64_t end_ns = rig_end_ns();

	rig_send(rig, memmap, 1);
	for (;;) {
		after = rig_pair(rig, 0, 1);
		if (after.lent_frames + after.copied_frames !=
		    before.lent_frames + before.copied_frames)
			break;
		rig_yield(end_ns, "a frame to be lent or copied");
	}
	if (reason == GW_REASON_NONE)
		return after.lent_frames > before.lent_frames;
	return after.reasons[reason] > before.reasons[reason];
}

bool rig_all_home(struct engine_rig *rig)
{
	struct home home = { .rig = rig, .all = true };

	gw_port_apply(rig_port(rig, 0), home_apply, &home);
	assert_false(home.too_often);
	return home.all;
}

struct completion {
	struct fake *fake;
	unsigned int count;
};

static void complete_apply(void *arg)
{
	struct completion *completion = arg;

	completion->fake->complete = completion->count;
}

void rig_complete(struct engine_rig *rig, unsigned int i, unsigned int count)
{
	struct completion completion = { rig_fake(rig, i), count };

	gw_port_apply(rig_port(rig, i), complete_apply, &completion);
}

uint64_t rig_end_ns(void)
{
	return gw_now_ns() + DEADLINE_NS;
}

void rig_yield(uint64_t end_ns, const char *what)
{
	if (gw_now_ns() > end_ns)
		fail_msg("waited in vain for %s", what);
	sched_yield();
}

bool rig_comes(bool (*check)(struct engine_rig *rig), struct engine_rig *rig)
{
	uint64_t end_ns = rig_end_ns();

	while (!check(rig)) {
		if (gw_now_ns() > end_ns)
			return false;
		sched_yield();
	}
	return true;
}

void rig_wait(bool (*check)(struct engine_rig *rig), struct engine_rig *rig, const char *what)
{
	if (!rig_comes(check, rig))
		fail_msg("waited in vain for %s", what);
}

struct gw_memmap *rig_memory(void)
{
	struct memmap_region region = { .guest_addr = GUEST_ADDR, .size = MEMORY_BYTES };
	struct memmap_arena none = { -1, 0 };
	struct gw_error err = { 0 };
	struct gw_memmap *memmap;
	int fd = gw_memfd("rig-memory", MEMORY_BYTES);

	assert_true(fd >= 0);
	region.fd = fd;
	if (memmap_create(&region, 1, none, &memmap, &err))
		fail_msg("%s", err.text);
	gw_fd_close(&fd);
	memset(memmap_translate(memmap, GUEST_ADDR, MEMORY_BYTES), 0xff, MEMORY_BYTES);
	return memmap;
}

/* ---- what a process has ---- */

static unsigned int entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

unsigned int rig_fds(void)
{
	return entries("/proc/self/fd");
}

/* Threads of this process that carry one of our names. */
static unsigned int our_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned int count = 0;
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char path[300], name[16] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		count += fgets(name, sizeof(name), file) && !strncmp(name, "gw-", 3);
		fclose(file);
	}
	closedir(dir);
	return count;
}

/* One that was joined is seen in /proc for a moment longer. */
void rig_no_threads(void)
{
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS;

	while (our_threads())
		if (gw_now_ns() > end_ns)
			fail_msg("%u threads are left", our_threads());
}

unsigned int rig_mappings(const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int count = 0;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, name) != NULL;
	fclose(maps);
	return count;
}
