/* SPDX-License-Identifier: BSD-2-Clause */
#include "worker_state.h"

#include "fd.h"

struct command {
	void (*fn)(void *arg); /* NULL: to stand still until `released` */
	void *arg;
	bool held, released, done;
	struct gw_list node;
};

/* The lock is free meanwhile: other commands may be queued. */
static void stand_still(struct worker *worker, struct command *command)
{
	command->held = true;
	pthread_cond_broadcast(&worker->done);
	/* Nobody need wake who does nothing (worker_nudge). */
	gw_store_relaxed(&worker->asleep, 1u);
	while (!command->released)
		pthread_cond_wait(&worker->done, &worker->lock);
	gw_store_relaxed(&worker->asleep, 0u);
}

void worker_run_commands(struct worker *worker)
{
	/*
	 * The lock first: a worker that is awake may come here between attention and the
	 * eventfd's signal, and what is signalled after it was cleared would keep this
	 * thread from sleeping until the next command.
	 */
	pthread_mutex_lock(&worker->lock);
	gw_eventfd_clear(worker->event_fd);
	gw_store_release(&worker->attention, 0u);
	while (!gw_list_empty(&worker->commands)) {
		struct command *command =
			gw_container_of(worker->commands.next, struct command, node);

		gw_list_del(&command->node);
		if (command->fn)
			command->fn(command->arg);
		else
			stand_still(worker, command);
		worker_watch(worker);
		command->done = true;
	}
	worker_wants(worker);
	pthread_cond_broadcast(&worker->done);
	pthread_mutex_unlock(&worker->lock);
}

/* Under the lock; the worker runs. */
static void queue_command(struct worker *worker, struct command *command)
{
	gw_list_add_tail(&worker->commands, &command->node);
	/* Pair A: whoever sees attention also sees the command (under the lock). */
	gw_store_release(&worker->attention, 1u);
	gw_eventfd_signal(worker->event_fd);
}

void worker_apply(struct worker *worker, void (*fn)(void *arg), void *arg)
{
	struct command command = { .fn = fn, .arg = arg };

	pthread_mutex_lock(&worker->lock);
	if (!worker->running) {
		fn(arg);
		worker_watch(worker);
	} else {
		queue_command(worker, &command);
		while (!command.done)
			pthread_cond_wait(&worker->done, &worker->lock);
	}
	pthread_mutex_unlock(&worker->lock);
}

/* One that does not run is kept from beginning to, by its lock. */
static void hold(struct worker *worker, struct command *command)
{
	pthread_mutex_lock(&worker->lock);
	if (!worker->running)
		return;
	queue_command(worker, command);
	while (!command->held)
		pthread_cond_wait(&worker->done, &worker->lock);
	pthread_mutex_unlock(&worker->lock);
}

static void release(struct worker *worker, struct command *command)
{
	if (!command->held) {
		worker_watch(worker);
		pthread_mutex_unlock(&worker->lock);
		return;
	}
	pthread_mutex_lock(&worker->lock);
	command->released = true;
	pthread_cond_broadcast(&worker->done);
	while (!command->done)
		pthread_cond_wait(&worker->done, &worker->lock);
	pthread_mutex_unlock(&worker->lock);
}

void worker_apply_all(struct worker *const *workers, unsigned int count, void (*fn)(void *arg),
		      void *arg)
{
	struct command command[PORT_LANES_MAX] = { 0 };

	if (count == 1) {
		worker_apply(workers[0], fn, arg);
		return;
	}
	for (unsigned int i = 0; i < count; i++)
		hold(workers[i], &command[i]);
	fn(arg);
	for (unsigned int i = count; i > 0; i--)
		release(workers[i - 1], &command[i - 1]);
}
