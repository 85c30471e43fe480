/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the host share. */
#pragma once

#include "host.h"

#include "arena.h"

#define HOST_OPTIONS_MAX 16u
#define HOST_RUNS_MAX    16u

struct arena_run {
	void *base;
	unsigned int count;
};

struct gw_port {
	const struct gw_driver *driver;
	char *spec; /* name, target and options, cut apart */
	const char *name, *target;
	struct {
		const char *name, *value;
	} option[HOST_OPTIONS_MAX];
	unsigned int option_count;
	void *priv;
	struct gw_queue queue;
	struct host_record record;
	bool paused;
	struct arena_run run[HOST_RUNS_MAX];
	unsigned int run_count;
	pthread_mutex_t lock; /* a visit, or a function of gw_port_apply */
	pthread_mutex_t record_lock;
};

/* Made on first use. */
struct gw_arena *host_arena(void);
