/* SPDX-License-Identifier: BSD-2-Clause */
/* A context, for context.c and snapshot.c. */
#pragma once

#include <guestwire/guestwire.h>

#include "engine.h"
#include <pthread.h>

struct gw_context {
	/* Held while starting and stopping, and while a snapshot is taken. */
	pthread_mutex_t lock;
	struct engine *engine;
	int handover_fd; /* gw_take: gw_start answers there; -1: none */
	int (*prepared)(void *arg, struct gw_error *err);
	void *prepared_arg;
	bool no_sigbus_handler;
};
