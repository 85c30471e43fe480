/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine without its threads: made, given ports, read, and freed. */
#include "engine_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
