/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moving a port's queue pair to another worker.
 *
 * No frame is lost, and none overtakes another: first the pair's frames come home, then all
 * sources of the network rest until nothing is on its way between its lanes and ports, and
 * then it moves. What cannot be had in time is no reason to lose a frame: the pair stays.
 */
#include "engine_state.h"

#include "log.h"
#include <errno.h>
#include <string.h>
#include <time.h>

/* How long all may rest: a guest without receive buffers is not waited for. */
#define REST_MS      50u
#define REST_LOOK_US 50u

struct move {
	struct chore_job job;
	struct engine *engine;
	struct gw_port *port;
	unsigned int pair, worker;
	struct gw_error *err;
	int ret;
	/* the caller waits for the chore */
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool is_over;
};

struct rest {
	struct network *network;
	bool resting, clear;
};

/* All lanes stand still. */
static void rest_apply(void *arg)
{
	struct rest *rest = arg;

	for (unsigned int i = 0; i < rest->network->port_count; i++)
		rest->network->port[i]->standing = rest->resting;
	rest->clear = network_is_clear(rest->network);
}

static bool rest_network(struct network *network, bool resting)
{
	struct rest rest = { network, resting, false };

	gw_port_apply(network->port[0], rest_apply, &rest);
	return rest.clear;
}

static bool clear_network(struct network *network)
{
	const struct timespec pause = { .tv_nsec = REST_LOOK_US * 1000 };
	uint64_t deadline_ns = gw_now_ns() + REST_MS * 1000000ull;

	while (!rest_network(network, true)) {
		if (gw_now_ns() > deadline_ns)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* The port's queue with that worker; NULL: there is none. */
static struct gw_queue *queue_with(const struct move *move)
{
	const struct holder *holder = holder_of(move->port);

	for (unsigned int i = 0; i < gw_port_queue_count(move->port); i++)
		if (lane_worker(move->engine, holder->network, i) == move->worker)
			return gw_port_queue(move->port, i);
	return NULL;
}

static int move_pair(struct move *move)
{
	struct network *network = holder_of(move->port)->network;
	const struct gw_driver *driver = move->port->driver;
	struct gw_queue *to = queue_with(move);
	bool clear;
	int ret;

	if (!driver->move)
		return gw_error_set(move->err, -EINVAL,
				    "port %s: to be moved there are queue pairs of guests only",
				    move->port->name);
	if (!to)
		return gw_error_set(move->err, -EINVAL,
				    "port %s: to move it to worker %u: there are %u workers, "
				    "from 0 on (--workers)",
				    move->port->name, move->worker, move->engine->config.workers);
	if (!holder_of(move->port)->started)
		return gw_error_set(move->err, -ENOTCONN, "port %s does not run", move->port->name);
	ret = driver->part(move->port, move->pair, move->engine->config.stop_ms, move->err);
	if (ret)
		return ret;
	clear = clear_network(network);
	ret = driver->move(move->port, move->pair, clear ? to : NULL, move->err);
	rest_network(network, false);
	if (ret || clear)
		return ret;
	return gw_error_set(
		move->err, -EBUSY,
		"network %s: frames wait for a guest that offers no receive buffers, or "
		"for a device: queue pair %u of port %s stays where it is",
		network->name, move->pair, move->port->name);
}

static void move_job(struct chore_job *job)
{
	struct move *move = gw_container_of(job, struct move, job);

	move->ret = move_pair(move);
	pthread_mutex_lock(&move->lock);
	move->is_over = true;
	pthread_cond_signal(&move->over);
	pthread_mutex_unlock(&move->lock);
}

static void run(struct move *move)
{
	pthread_mutex_init(&move->lock, NULL);
	pthread_cond_init(&move->over, NULL);
	chore_add(&holder_of(move->port)->chores, &move->job, move_job);
	pthread_mutex_lock(&move->lock);
	while (!move->is_over)
		pthread_cond_wait(&move->over, &move->lock);
	pthread_mutex_unlock(&move->lock);
	pthread_cond_destroy(&move->over);
	pthread_mutex_destroy(&move->lock);
}

int engine_move(struct engine *engine, const char *port, unsigned int pair, unsigned int worker,
		struct gw_error *err)
{
	struct move move = { .engine = engine, .pair = pair, .worker = worker, .err = err };

	if (!engine->running)
		return gw_error_set(err, -ENOTCONN, "move: the ports are not running");
	for (unsigned int i = 0; i < engine->port_count; i++)
		if (!strcmp(engine->holder[i]->port->name, port))
			move.port = engine->holder[i]->port;
	if (!move.port)
		return gw_error_set(err, -ENOENT, "move: no port named '%.40s'", port);
	run(&move);
	if (!move.ret)
		gw_log(LOG_INFO, "port %s: queue pair %u is with worker %u now", port, pair,
		       worker);
	return move.ret;
}
