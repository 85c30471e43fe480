/* SPDX-License-Identifier: BSD-2-Clause */
/* What a running engine does for its ports (struct port_host): each finds it by its holder. */
#include "engine_state.h"

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

const struct port_host engine_host = {
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
