/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stop, of whatever there is: a start that failed ends here, too. Devices first, then
 * threads, then what they worked on.
 */
#include "engine_state.h"

#include "log.h"

static void stop_job(struct chore_job *job)
{
	struct holder *holder = gw_container_of(job, struct holder, stop_job);

	if (holder->started || holder->left.len)
		reopen_stop(holder, holder->stop_deadline_ms, NULL);
	holder->left = (struct gw_parcel){ 0 };
	/* Also of a port that a recall has stopped, or that could not be started again. */
	holder->stop_held = (unsigned int)port_quarantined(holder->port);
}

/* Control: no port is reopened from here on. */
void engine_closing_call(void *arg)
{
	struct engine *engine = arg;

	for (unsigned int i = 0; i < engine->port_count; i++) {
		gw_store_release(&engine->holder[i]->closing, 1u);
		gw_timer_stop(engine->loop, &engine->holder[i]->retry);
	}
}

static void nothing_call(void *arg)
{
}

static void wait_for_chores(struct engine *engine, unsigned int patience_ms)
{
	while (!chores_wait(&engine->chores, patience_ms))
		gw_log(LOG_WARNING, "still waiting for a driver to stop its device");
}

/*
 * All at the same time, each on its own chore: guests wait for their loans while
 * devices give them back, so no order between ports is needed.
 */
void engine_on_all(struct engine *engine, void (*fn)(struct chore_job *job),
		   unsigned int deadline_ms)
{
	for (unsigned int i = 0; i < engine->port_count; i++) {
		struct holder *holder = engine->holder[i];

		holder->stop_deadline_ms = deadline_ms;
		holder->stop_held = 0;
		chore_add(&holder->chores, &holder->stop_job, fn);
	}
	wait_for_chores(engine, deadline_ms + 1000);
	/* What chores have posted has run when this returns. */
	gw_loop_call(engine->loop, nothing_call, NULL);
}

static unsigned int stop_ports(struct engine *engine, unsigned int deadline_ms)
{
	unsigned int held = 0;

	engine_on_all(engine, stop_job, deadline_ms);
	for (unsigned int i = 0; i < engine->port_count; i++)
		held += engine->holder[i]->stop_held;
	return held;
}

static void stop_threads(struct engine *engine)
{
	if (engine->control_running) {
		gw_loop_quit(engine->loop);
		pthread_join(engine->control, NULL);
		gw_timer_stop(engine->loop, &engine->nudge);
		gw_timer_stop(engine->loop, &engine->wake);
		engine->control_running = false;
	}
	/* Control may have heard a question at the last moment; nobody adds chores now. */
	wait_for_chores(engine, 1000);
	for (unsigned int w = 0; w < engine->config.workers; w++)
		if (engine->worker[w])
			worker_stop(engine->worker[w]);
}

static void close_ports(struct engine *engine)
{
	for (unsigned int i = 0; i < engine->port_count; i++) {
		struct holder *holder = engine->holder[i];
		struct gw_port *port = holder->port;

		if (holder->opened)
			port->driver->close(port);
		holder->opened = false;
		holder->closing = 0;
		port_set_state(port, GW_PORT_CLOSED);
		if (port->arena_run)
			arena_give(port->arena, port->arena_run, port->arena_count);
		port->arena_run = NULL;
		port->up = false;
		port->paused = 0;
		for (unsigned int q = 0; q < port->lanes; q++)
			desk_reset(port->queue[q]);
	}
}

unsigned int engine_stop(struct engine *engine, unsigned int deadline_ms)
{
	unsigned int held;

	if (!engine->running)
		return 0;
	if (deadline_ms > ENGINE_STOP_MS_MAX)
		deadline_ms = ENGINE_STOP_MS_MAX;
	gw_loop_call(engine->loop, engine_closing_call, engine);
	held = stop_ports(engine, deadline_ms);
	stop_threads(engine);
	links_close(engine);
	engine_trace_allow(engine, false);
	if (engine->pair)
		questions_close(engine);
	close_ports(engine);
	/* Workers first: they take clock and frames back from the queues that they had. */
	for (unsigned int w = 0; w < engine->config.workers; w++) {
		worker_free(engine->worker[w]);
		engine->worker[w] = NULL;
	}
	for (unsigned int n = 0; n < engine->network_count; n++)
		network_disconnect(engine->network[n]);
	arena_destroy(engine->arena);
	engine->arena = NULL;
	engine->running = false;
	return held;
}
