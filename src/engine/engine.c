/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine_state.h"

#include "log.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Least and most stack that the control thread gets: sessions decode small messages. */
#define CONTROL_STACK_BYTES (256u * 1024u)

/* ---- services for ports ---- */

/* Workers in the order of their numbers, whatever the port: see worker_apply_all. */
static void host_apply(struct gw_port *port, void (*fn)(void *arg), void *arg)
{
	const struct holder *holder = holder_of(port);
	const struct engine *engine = holder->engine;
	struct worker *workers[ENGINE_WORKERS_MAX];
	uint64_t set = 0;
	unsigned int count = 0;

	for (unsigned int i = 0; i < port->lanes; i++)
		set |= 1ull << lane_worker(engine, holder->network, i);
	for (; set; set &= set - 1)
		workers[count++] = engine->worker[__builtin_ctzll(set)];
	worker_apply_all(workers, count, fn, arg);
}

static void host_apply_queue(struct gw_queue *queue, void (*fn)(void *arg), void *arg)
{
	const struct holder *holder = holder_of(queue->port);
	unsigned int w = lane_worker(holder->engine, holder->network, queue->index);

	worker_apply(holder->engine->worker[w], fn, arg);
}

static struct gw_loop *host_loop(struct gw_port *port)
{
	return holder_of(port)->engine->loop;
}

static unsigned int host_stop_ms(struct gw_port *port)
{
	return holder_of(port)->engine->config.stop_ms;
}

static const char *host_state_dir(struct gw_port *port)
{
	return holder_of(port)->engine->state_dir;
}

static bool host_offloads_pay(struct gw_port *port)
{
	const struct network *network = holder_of(port)->network;

	for (unsigned int i = 0; i < network->port_count; i++)
		if (network->port[i] != port && gw_load_relaxed(&network->port[i]->one_segment))
			return false;
	return true;
}

static void host_dispose(struct gw_port *port, int fd)
{
	disposal_add(holder_of(port)->disposal, fd);
}

static unsigned int host_disposing(struct gw_port *port)
{
	return disposal_waiting(holder_of(port)->disposal);
}

static const struct port_host engine_host = {
	.apply = host_apply,
	.apply_queue = host_apply_queue,
	.ask = question_ask,
	.drained = retire_drained,
	.loop = host_loop,
	.stop_ms = host_stop_ms,
	.state_dir = host_state_dir,
	.retire = retire_memory,
	.discarded = retire_stale,
	.offloads_pay = host_offloads_pay,
	.recall = reopen_recall,
	.dispose = host_dispose,
	.disposing = host_disposing,
};

/* ---- making ---- */

int engine_create(const struct engine_config *config, struct engine **out, struct gw_error *err)
{
	struct engine *engine = calloc(1, sizeof(*engine));
	int ret;

	if (!engine)
		return gw_error_sys(err, -ENOMEM, "engine");
	engine->config = *config;
	if (config->state_dir)
		engine->state_dir = strdup(config->state_dir);
	engine->ask_fd = -1;
	engine->ask_watch.fd = engine->links.fd = -1;
	pthread_mutex_init(&engine->lock, NULL);
	pthread_mutex_init(&engine->trace_lock, NULL);
	chores_init(&engine->chores);
	ret = gw_loop_create(&engine->loop);
	if (ret) {
		engine_free(engine);
		return gw_error_sys(err, ret, "control loop");
	}
	*out = engine;
	return 0;
}

static struct network *find_network(struct engine *engine, const char *name)
{
	for (unsigned int i = 0; i < engine->network_count; i++)
		if (!strcmp(engine->network[i]->name, name))
			return engine->network[i];
	return NULL;
}

static struct network *need_network(struct engine *engine, const char *name)
{
	struct network *network = find_network(engine, name);

	if (network)
		return network;
	network = calloc(1, sizeof(*network));
	if (!network)
		return NULL;
	snprintf(network->name, sizeof(network->name), "%s", name);
	network->number = engine->network_count;
	engine->network[engine->network_count++] = network;
	return network;
}

int engine_add_port(struct engine *engine, struct gw_port *port, struct gw_error *err)
{
	struct network *network;
	struct holder *holder;
	int ret;

	if (engine->running)
		return gw_error_set(err, -EBUSY, "port %s: ports are added before the start",
				    port->name);
	if (engine->port_count == ENGINE_PORTS_MAX)
		return gw_error_set(err, -ENOSPC, "port %s: more than %u ports", port->name,
				    ENGINE_PORTS_MAX);
	for (unsigned int i = 0; i < engine->port_count; i++)
		if (!strcmp(engine->holder[i]->port->name, port->name))
			return gw_error_set(err, -EEXIST, "port %s: the name is taken", port->name);
	holder = calloc(1, sizeof(*holder));
	network = holder ? need_network(engine, port->network) : NULL;
	if (network)
		holder->disposal = disposal_create();
	if (!network || !holder->disposal) {
		free(holder);
		return gw_error_sys(err, -ENOMEM, "port %s", port->name);
	}
	ret = network_add(network, port, err);
	if (ret) {
		disposal_free(holder->disposal);
		free(holder);
		return ret;
	}
	holder->engine = engine;
	holder->port = port;
	holder->network = network;
	gw_list_init(&holder->recalls);
	chore_queue_init(&holder->chores, &engine->chores);
	port->engine = holder;
	engine->holder[engine->port_count++] = holder;
	return 0;
}

void engine_free(struct engine *engine)
{
	if (!engine)
		return;
	engine_stop(engine, 1000);
	for (unsigned int i = 0; i < engine->port_count; i++) {
		port_free(engine->holder[i]->port);
		handover_forget(engine->holder[i]);
		disposal_free(engine->holder[i]->disposal);
		free(engine->holder[i]);
	}
	for (unsigned int i = 0; i < engine->network_count; i++)
		free(engine->network[i]);
	free(engine->state_dir);
	gw_loop_destroy(engine->loop);
	chores_destroy(&engine->chores);
	pthread_mutex_destroy(&engine->lock);
	pthread_mutex_destroy(&engine->trace_lock);
	free(engine);
}

/* ---- start ---- */

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

/* ---- stop ---- */

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
	/* Workers first: they take their clock back from the queues that they had. */
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

/* ---- for snapshots ---- */

unsigned int engine_port_count(const struct engine *engine)
{
	return engine->port_count;
}

struct gw_port *engine_port(const struct engine *engine, unsigned int i)
{
	return engine->holder[i]->port;
}

unsigned int engine_port_worker(const struct engine *engine, unsigned int i)
{
	return engine_queue_worker(engine, i, engine->holder[i]->port->first_lane);
}

unsigned int engine_queue_worker(const struct engine *engine, unsigned int i, unsigned int queue)
{
	return lane_worker(engine, engine->holder[i]->network, queue);
}

unsigned int engine_worker_count(const struct engine *engine)
{
	return engine->config.workers;
}

void engine_worker_read(const struct engine *engine, unsigned int i, struct gw_worker_info *info)
{
	*info = (struct gw_worker_info){ 0 };
	if (engine->worker[i])
		worker_read(engine->worker[i], info);
}

size_t engine_arena_bytes(const struct engine *engine)
{
	return engine->arena ? arena_range(engine->arena).iov_len : 0;
}
