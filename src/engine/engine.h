/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine: threads, and the order in which things start and stop.
 *
 * Threads
 *   control   runs the loop: sessions' sockets, timers, questions from workers.
 *             Never blocks for longer than a worker's visit (engine_apply).
 *   worker    one or more; each owns whole networks and all that their ports'
 *             queues hold. Takes no lock per frame.
 *   chore     one per port while it has something to do that blocks (query, map,
 *             unmap, reopen, stop): so the control functions of one port never
 *             overlap, and a slow device holds up nobody else's.
 *
 * Life: engine_create, engine_add_port ..., engine_start, engine_stop,
 * engine_free. Start: arena, pairs, open and start of each port on the caller's
 * thread, then the caller's "prepared", then workers, then control. Stop: the other way round.
 */
#pragma once

#include "network.h"

struct engine;

#define ENGINE_PORTS_MAX   256u
#define ENGINE_WORKERS_MAX 64u
/* A longer deadline is as good as this one, and milliseconds do not overflow. */
#define ENGINE_STOP_MS_MAX 60000u

struct engine_config {
	unsigned int workers;
	size_t arena_bytes; /* 0: what the ports need */
	unsigned int stop_ms;
	const char *state_dir; /* as in gw_options; the engine copies it */
	/* Called when all ports are started and no thread is; NULL: nothing. */
	int (*prepared)(void *arg, struct gw_error *err);
	void *prepared_arg;
};

int engine_create(const struct engine_config *config, struct engine **engine, struct gw_error *err);
/* Takes the port over, on success. -EEXIST: the name is taken; -EBUSY: running. */
int engine_add_port(struct engine *engine, struct gw_port *port, struct gw_error *err);
int engine_start(struct engine *engine, struct gw_error *err);
unsigned int engine_stop(struct engine *engine, unsigned int deadline_ms);

/*
 * Hand-over to another process. leave: all ports are left (gw_driver leave, or stop), and fn
 * is called for each parcel, on this thread; the first that returns other than 0
 * ends the round, and is returned. Then engine_stop (the other has it all), or
 * engine_return (it has not): all ports are started again.
 */
int engine_leave(struct engine *engine, unsigned int deadline_ms,
		 int (*fn)(void *arg, struct gw_port *port, const struct gw_parcel *parcel),
		 void *arg);
void engine_return(struct engine *engine);
/*
 * Before engine_start: what another process left for the port of this name. Copied but
 * for the descriptors, which are the engine's from here on. -ENOENT: no such port, or of
 * another driver.
 */
int engine_take(struct engine *engine, const char *name, const char *driver,
		const struct gw_parcel *parcel, struct gw_error *err);
void engine_free(struct engine *engine);

/*
 * Moves a queue pair of a port to another worker, without losing a frame. -EBUSY: devices
 * keep frames of it, or the network does not come to rest; it stays where it is. Blocks for
 * the stop time at most. Threads: the program's own.
 */
int engine_move(struct engine *engine, const char *port, unsigned int pair, unsigned int worker,
		struct gw_error *err);

/* For snapshots: ports in the order they were added. Any thread until engine_free. */
unsigned int engine_port_count(const struct engine *engine);
struct gw_port *engine_port(const struct engine *engine, unsigned int i);
unsigned int engine_port_worker(const struct engine *engine, unsigned int i);
/* The same of one of its queues, by number. */
unsigned int engine_queue_worker(const struct engine *engine, unsigned int i, unsigned int queue);
unsigned int engine_worker_count(const struct engine *engine);
/* Zeros while it does not run. */
void engine_worker_read(const struct engine *engine, unsigned int i, struct gw_worker_info *info);
size_t engine_arena_bytes(const struct engine *engine);
