/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The start: lanes, memory, workers, networks, ports, and threads last. What fails midway is
 * undone by the stop.
 */
#include "engine_state.h"

#include <assert.h>
#include <errno.h>

/* Least and most stack that the control thread gets: sessions decode small messages. */
#define CONTROL_STACK_BYTES (256u * 1024u)

static size_t arena_need(struct engine *engine)
{
	size_t buffers = 0;

	if (engine->config.arena_bytes)
		return engine->config.arena_bytes;
	for (unsigned int i = 0; i < engine->port_count; i++) {
		struct gw_port *egress = engine->holder[i]->port;
		struct network *network = engine->holder[i]->network;

		if (egress->driver->arena_buffers)
			buffers += egress->driver->arena_buffers(egress);
		for (unsigned int s = 0; s < network->port_count; s++)
			if (network->port[s] != egress)
				buffers += (size_t)gw_port_queue_count(egress) *
					   pair_arena_buffers(network->port[s], egress);
	}
	return ARENA_PAD_BYTES + buffers * GW_ARENA_BUFFER_BYTES;
}

/*
 * A network has a lane on each worker if one of its ports can lend in several. Devices
 * with one queue have it in the first lane.
 */
static unsigned int lanes_of(const struct engine *engine, const struct network *network)
{
	for (unsigned int i = 0; i < network->port_count; i++) {
		const struct gw_driver *driver = network->port[i]->driver;

		if (driver->several_queues && driver->rx)
			return engine->config.workers;
	}
	return 1;
}

static int plan_port(const struct engine *engine, struct holder *holder, struct gw_error *err)
{
	unsigned int lanes = lanes_of(engine, holder->network), workers = engine->config.workers;
	struct gw_port *port = holder->port;
	unsigned int lane = 0;

	if (port->worker >= (int64_t)workers)
		return gw_error_set(err, -EINVAL, "port %s: worker=%d: there are %u, from 0 on",
				    port->name, (int)port->worker, workers);
	while (port->worker >= 0 && lane < lanes &&
	       lane_worker(engine, holder->network, lane) != (unsigned int)port->worker)
		lane++;
	if (lane == lanes)
		return gw_error_set(
			err, -EINVAL, "port %s: worker=%d: its network is on worker %u alone",
			port->name, (int)port->worker, lane_worker(engine, holder->network, 0));
	return port_set_lanes(port, lanes, lane, err);
}

static int plan_lanes(struct engine *engine, struct gw_error *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < engine->port_count && !ret; i++)
		ret = plan_port(engine, engine->holder[i], err);
	return ret;
}

static int make_workers(struct engine *engine, struct gw_error *err)
{
	int ret = 0;

	assert(engine->config.workers > 0);
	for (unsigned int w = 0; w < engine->config.workers && !ret; w++)
		ret = worker_create(w, &engine->worker[w], err);
	for (unsigned int i = 0; i < engine->port_count && !ret; i++) {
		struct holder *holder = engine->holder[i];

		holder->port->host = &engine_host;
		holder->port->arena = engine->arena;
	}
	return ret;
}

static int give_lanes(struct engine *engine, struct network *network, struct gw_error *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < network->lane_count && !ret; i++)
		ret = worker_add_lane(engine->worker[lane_worker(engine, network, i)],
				      network->lane[i], err);
	return ret;
}

static int connect_networks(struct engine *engine, struct gw_error *err)
{
	int ret = 0;

	for (unsigned int n = 0; n < engine->network_count && !ret; n++)
		ret = network_connect(engine->network[n], err);
	for (unsigned int n = 0; n < engine->network_count && !ret; n++)
		ret = give_lanes(engine, engine->network[n], err);
	return ret;
}

static int start_ports(struct engine *engine, struct gw_error *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < engine->port_count && !ret; i++) {
		struct holder *holder = engine->holder[i];

		/* A driver's close cleans up after a failed open too. */
		holder->opened = true;
		holder->port->parcel = holder->parcel.bytes ? &holder->parcel : NULL;
		ret = holder->port->driver->open(holder->port, err);
		holder->port->parcel = NULL;
		holder->taken = holder->parcel.bytes;
		handover_forget(holder);
		if (!ret)
			ret = reopen_start(holder, err);
	}
	return ret;
}

/* Four times a second, for a call that should take microseconds; and for other things
   that are looked at now and then. */
#define NUDGE_MS 250u

static void nudge(struct gw_timer *timer)
{
	struct engine *engine = gw_container_of(timer, struct engine, nudge);

	for (unsigned int w = 0; w < engine->config.workers; w++)
		worker_nudge(engine->worker[w]);
	renew_look(engine);
	for (unsigned int i = 0; i < engine->port_count; i++)
		port_log_rest(engine->holder[i]->port, gw_now_ns());
	gw_timer_start(engine->loop, timer, NUDGE_MS, nudge);
}

static void *control_main(void *arg)
{
	pthread_setname_np(pthread_self(), "gw-control");
	gw_loop_run(((struct engine *)arg)->loop);
	return NULL;
}

static int start_threads(struct engine *engine, struct gw_error *err)
{
	pthread_attr_t attr;
	int ret = 0;

	ret = worker_install_signal();
	if (ret)
		return gw_error_sys(err, ret, "handler of SIGURG");
	for (unsigned int w = 0; w < engine->config.workers && !ret; w++)
		ret = worker_start(engine->worker[w], err);
	if (ret)
		return ret;
	gw_timer_start(engine->loop, &engine->nudge, NUDGE_MS, nudge);
	handover_begin(engine);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, CONTROL_STACK_BYTES);
	ret = pthread_create(&engine->control, &attr, control_main, engine);
	pthread_attr_destroy(&attr);
	if (ret)
		return gw_error_sys(err, -ret, "control thread");
	engine->control_running = true;
	return 0;
}

int engine_start(struct engine *engine, struct gw_error *err)
{
	int ret;

	if (engine->running)
		return gw_error_set(err, -EBUSY, "the engine is running");
	engine->running = true;
	ret = plan_lanes(engine, err);
	if (!ret)
		ret = arena_create(arena_need(engine), &engine->arena, err);
	if (!ret)
		ret = make_workers(engine, err);
	if (!ret)
		ret = connect_networks(engine, err);
	if (!ret)
		ret = questions_open(engine, err);
	if (!ret)
		ret = start_ports(engine, err);
	if (!ret)
		links_open(engine);
	if (!ret && engine->config.prepared)
		ret = engine->config.prepared(engine->config.prepared_arg, err);
	if (!ret)
		ret = start_threads(engine, err);
	if (ret)
		engine_stop(engine, 1000);
	else
		engine_trace_allow(engine, true);
	return ret;
}
