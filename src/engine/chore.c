/* SPDX-License-Identifier: BSD-2-Clause */
#include "chore.h"

#include <errno.h>
#include <time.h>

/* Enough for drivers' control functions; they use the heap for what is large. */
#define CHORE_STACK_BYTES (256u * 1024u)

void chores_init(struct chores *chores)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&chores->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&chores->idle, &attr);
	pthread_condattr_destroy(&attr);
	chores->threads = 0;
	chores->has_ended = false;
}

void chores_destroy(struct chores *chores)
{
	pthread_cond_destroy(&chores->idle);
	pthread_mutex_destroy(&chores->lock);
}

/* The lock is held, and let go of meanwhile. */
static void join_ended(struct chores *chores)
{
	while (chores->has_ended) {
		pthread_t ended = chores->ended;

		chores->has_ended = false;
		pthread_mutex_unlock(&chores->lock);
		pthread_join(ended, NULL);
		pthread_mutex_lock(&chores->lock);
	}
}

bool chores_wait(struct chores *chores, unsigned int timeout_ms)
{
	struct timespec until;
	int ret = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&chores->lock);
	while (chores->threads && ret != ETIMEDOUT)
		ret = pthread_cond_timedwait(&chores->idle, &chores->lock, &until);
	ret = !chores->threads;
	if (ret)
		join_ended(chores);
	pthread_mutex_unlock(&chores->lock);
	return ret;
}

void chore_queue_init(struct chore_queue *queue, struct chores *chores)
{
	queue->chores = chores;
	queue->running = false;
	gw_list_init(&queue->jobs);
}

/* The lock is held. */
static void run_jobs(struct chore_queue *queue)
{
	struct chores *chores = queue->chores;

	while (!gw_list_empty(&queue->jobs)) {
		struct chore_job *job = gw_container_of(queue->jobs.next, struct chore_job, node);
		void (*fn)(struct chore_job * job) = job->fn;

		gw_list_del(&job->node);
		job->queued = false;
		/* From here on it may be added again, with another fn. */
		pthread_mutex_unlock(&chores->lock);
		fn(job);
		pthread_mutex_lock(&chores->lock);
	}
	queue->running = false;
}

static void one_less(struct chores *chores)
{
	if (!--chores->threads)
		pthread_cond_broadcast(&chores->idle);
}

static void *chore_main(void *arg)
{
	struct chore_queue *queue = arg;
	struct chores *chores = queue->chores;

	pthread_setname_np(pthread_self(), "gw-chore");
	pthread_mutex_lock(&chores->lock);
	run_jobs(queue);
	join_ended(chores);
	chores->ended = pthread_self();
	chores->has_ended = true;
	one_less(chores);
	pthread_mutex_unlock(&chores->lock);
	return NULL;
}

static int start_thread(struct chore_queue *queue)
{
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, CHORE_STACK_BYTES);
	ret = pthread_create(&thread, &attr, chore_main, queue);
	pthread_attr_destroy(&attr);
	return ret;
}

static void run_inline(struct chore_queue *queue)
{
	struct chores *chores = queue->chores;

	pthread_mutex_lock(&chores->lock);
	run_jobs(queue);
	one_less(chores);
	pthread_mutex_unlock(&chores->lock);
}

void chore_add(struct chore_queue *queue, struct chore_job *job, void (*fn)(struct chore_job *job))
{
	struct chores *chores = queue->chores;
	bool inline_run = false;

	pthread_mutex_lock(&chores->lock);
	if (job->queued)
		gw_list_del(&job->node);
	job->fn = fn;
	job->queued = true;
	gw_list_add_tail(&queue->jobs, &job->node);
	if (!queue->running) {
		queue->running = true;
		chores->threads++;
		inline_run = start_thread(queue) != 0;
	}
	pthread_mutex_unlock(&chores->lock);
	if (inline_run)
		run_inline(queue);
}
