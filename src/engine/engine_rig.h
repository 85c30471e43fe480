/* SPDX-License-Identifier: BSD-2-Clause */
/* An engine with fake devices, for its tests; and a pretended guest's memory. */
#pragma once

#include "engine_state.h"
#include "fake_device.h"
#include "memmap.h"

#define RIG_LEN 1000u

struct engine_rig {
	struct engine *engine;
	unsigned int next_id;
};

/* An engine with these ports, not started. stop_ms 0: 200. */
void rig_create(struct engine_rig *rig, const char *const *specs);
/* The same and started. */
void rig_run(struct engine_rig *rig, const char *const *specs);
void rig_free(struct engine_rig *rig);

struct gw_port *rig_port(struct engine_rig *rig, unsigned int i);
struct fake *rig_fake(struct engine_rig *rig, unsigned int i);
/* How often a control function of port i was called. */
#define rig_count(rig, i, what) gw_load_acquire(&rig_fake((rig), (i))->what)
/* A copy of the worker's part of the pair from port s to port e, made on the worker. */
struct pair rig_pair(struct engine_rig *rig, unsigned int s, unsigned int e);

/*
 * Port 0 lends count frames of RIG_LEN bytes to all, out of `memmap`; NULL: private memory.
 * It has FAKE_FRAMES, and the test fails if all are held.
 */
void rig_send(struct engine_rig *rig, struct gw_memmap *memmap, unsigned int count);
/* Sends one such frame, and waits for port 1's verdict: whether it was this one. NONE: lent. */
bool rig_decides(struct engine_rig *rig, struct gw_memmap *memmap, enum gw_reason reason);
/* Whether all frames that port 0 lent have come home, none of them twice. */
bool rig_all_home(struct engine_rig *rig);
/* The device of port i: reports `count` frames at its next reaps (UINT32_MAX: all for ever). */
void rig_complete(struct engine_rig *rig, unsigned int i, unsigned int count);

/* For a loop that waits: its deadline, and each time round; fails, naming what, after it. */
uint64_t rig_end_ns(void);
void rig_yield(uint64_t end_ns, const char *what);
/* Until check() is true; false after that deadline. A test fails on its own thread alone. */
bool rig_comes(bool (*check)(struct engine_rig *rig), struct engine_rig *rig);
/* The same on that thread: it fails, naming what. */
void rig_wait(bool (*check)(struct engine_rig *rig), struct engine_rig *rig, const char *what);

/* Memory of one region; its bytes are broadcast frames. The caller holds one reference. */
struct gw_memmap *rig_memory(void);

unsigned int rig_fds(void);
void rig_no_threads(void);
unsigned int rig_mappings(const char *name);
