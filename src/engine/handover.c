/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hand-over to another process: ports are left instead of stopped, and what they leave
 * goes to whoever starts ports of the same names.
 *
 * The engine goes on running meanwhile, with its threads and its arena, so that all can
 * be started again if the other process does not take what it was given.
 */
#include "engine_state.h"

#include "fd.h"
#include "log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- leaving ---- */

/*
 * How long frames may take to get where they are going, before ports are left: a guest
 * without receive buffers is not waited for.
 */
#define CLEAR_MS      50u
#define CLEAR_LOOK_US 200u

struct rest {
	struct gw_port *port;
	bool resting;
	bool clear; /* nothing is on its way in its network */
};

/* Worker. */
static void rest_apply(void *arg)
{
	struct rest *rest = arg;
	struct gw_port *port = rest->port;

	port->resting = rest->resting;
	rest->clear = network_is_clear(holder_of(port)->network);
}

/* True if nothing was on its way any more. */
static bool rest_all(struct engine *engine, bool resting)
{
	bool clear = true;

	for (unsigned int i = 0; i < engine->port_count; i++) {
		struct rest rest = { .port = engine->holder[i]->port, .resting = resting };

		gw_port_apply(rest.port, rest_apply, &rest);
		clear &= rest.clear;
	}
	return clear;
}

/* Receivers are there until all senders rest: no frame falls between two ports. */
static void clear_the_way(struct engine *engine)
{
	const struct timespec pause = { .tv_nsec = CLEAR_LOOK_US * 1000 };
	uint64_t deadline_ns = gw_now_ns() + CLEAR_MS * 1000000ull;

	while (!rest_all(engine, true) && gw_now_ns() < deadline_ns)
		nanosleep(&pause, NULL);
}

static void leave_job(struct chore_job *job)
{
	struct holder *holder = gw_container_of(job, struct holder, stop_job);

	holder->left = (struct gw_parcel){ 0 };
	if (holder->started)
		reopen_stop(holder, holder->stop_deadline_ms, &holder->left);
}

/* The other process may have a device, or a lock, for a moment yet: tried again and again. */
static void return_job(struct chore_job *job)
{
	struct holder *holder = gw_container_of(job, struct holder, stop_job);
	struct gw_error err = { 0 };

	holder->left = (struct gw_parcel){ 0 };
	if (holder->started || !reopen_start(holder, &err))
		return;
	gw_log(LOG_ERR, "port %s: cannot be started again yet: %s", holder->port->name, err.text);
	if (gw_loop_post(holder->engine->loop, reopen_later, holder))
		gw_log(LOG_ERR, "port %s: out of memory after a hand-over", holder->port->name);
}

static void open_call(void *arg)
{
	struct engine *engine = arg;

	for (unsigned int i = 0; i < engine->port_count; i++)
		gw_store_release(&engine->holder[i]->closing, 0u);
}

int engine_leave(struct engine *engine, unsigned int deadline_ms,
		 int (*fn)(void *arg, struct gw_port *port, const struct gw_parcel *parcel),
		 void *arg)
{
	int ret = 0;

	if (!engine->running)
		return -EINVAL;
	gw_loop_call(engine->loop, engine_closing_call, engine);
	clear_the_way(engine);
	engine_on_all(engine, leave_job, deadline_ms);
	for (unsigned int i = 0; i < engine->port_count && !ret; i++)
		if (engine->holder[i]->left.len)
			ret = fn(arg, engine->holder[i]->port, &engine->holder[i]->left);
	return ret;
}

void engine_return(struct engine *engine)
{
	gw_loop_call(engine->loop, open_call, engine);
	engine_on_all(engine, return_job, ENGINE_STOP_MS_MAX);
	rest_all(engine, false);
}

/* ---- taking ---- */

/* Sessions go on at once, when the loop runs, one after the other. */
#define WAKE_MS 1u

static void wake(struct gw_timer *timer)
{
	rest_all(gw_container_of(timer, struct engine, wake), false);
}

void handover_begin(struct engine *engine)
{
	bool taken = false;

	for (unsigned int i = 0; i < engine->port_count; i++)
		taken |= engine->holder[i]->taken;
	if (!taken)
		return;
	rest_all(engine, true);
	gw_timer_start(engine->loop, &engine->wake, WAKE_MS, wake);
}

static struct holder *find(struct engine *engine, const char *name)
{
	for (unsigned int i = 0; i < engine->port_count; i++)
		if (!strcmp(engine->holder[i]->port->name, name))
			return engine->holder[i];
	return NULL;
}

static int copy_parcel(struct gw_parcel *to, const struct gw_parcel *from)
{
	*to = *from;
	to->bytes = malloc(from->len + 1);
	to->fds = calloc(from->fd_count + 1, sizeof(int));
	if (!to->bytes || !to->fds) {
		free(to->bytes);
		free(to->fds);
		*to = (struct gw_parcel){ 0 };
		return -ENOMEM;
	}
	memcpy(to->bytes, from->bytes, from->len);
	memcpy(to->fds, from->fds, from->fd_count * sizeof(int));
	return 0;
}

int engine_take(struct engine *engine, const char *name, const char *driver,
		const struct gw_parcel *parcel, struct gw_error *err)
{
	struct holder *holder = find(engine, name);
	int ret;

	if (!holder || !holder->port->driver->leave)
		ret = gw_error_set(err, -ENOENT, "there is no port %s any more to take over", name);
	else if (strcmp(holder->port->driver->name, driver) != 0)
		ret = gw_error_set(err, -ENOENT,
				   "port %s is %s: now, and was %s: there is nothing to take over",
				   name, holder->port->driver->name, driver);
	else if (engine->running || holder->parcel.bytes)
		ret = gw_error_set(err, -EBUSY, "port %s was left twice", name);
	else if ((ret = copy_parcel(&holder->parcel, parcel)))
		gw_error_sys(err, ret, "port %s", name);
	if (ret)
		gw_fds_close(parcel->fds, parcel->fd_count);
	return ret;
}

void handover_forget(struct holder *holder)
{
	gw_fds_close(holder->parcel.fds, holder->parcel.fd_count);
	free(holder->parcel.bytes);
	free(holder->parcel.fds);
	holder->parcel = (struct gw_parcel){ 0 };
}
