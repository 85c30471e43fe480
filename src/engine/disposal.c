/* SPDX-License-Identifier: BSD-2-Clause */
#include "disposal.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#define DISPOSAL_STACK_BYTES (256u * 1024u)

struct disposal {
	pthread_mutex_t lock;
	bool running;   /* the thread */
	bool closing;   /* it is in close(2), with one that is not counted any more */
	bool forgotten; /* it frees this when it ends */
	unsigned int count;
	int fd[DISPOSAL_MAX];
};

struct disposal *disposal_create(void)
{
	struct disposal *disposal = calloc(1, sizeof(*disposal));

	if (disposal)
		pthread_mutex_init(&disposal->lock, NULL);
	return disposal;
}

static void destroy(struct disposal *disposal)
{
	pthread_mutex_destroy(&disposal->lock);
	free(disposal);
}

/* Until nothing is left. The lock is held, and let go of meanwhile. */
static void close_all(struct disposal *disposal)
{
	while (disposal->count) {
		int fd = disposal->fd[--disposal->count];

		disposal->closing = true;
		pthread_mutex_unlock(&disposal->lock);
		close(fd);
		pthread_mutex_lock(&disposal->lock);
		disposal->closing = false;
	}
	disposal->running = false;
}

static void *disposal_main(void *arg)
{
	struct disposal *disposal = arg;
	bool forgotten;

	pthread_setname_np(pthread_self(), "gw-disposal");
	pthread_mutex_lock(&disposal->lock);
	close_all(disposal);
	forgotten = disposal->forgotten;
	pthread_mutex_unlock(&disposal->lock);
	if (forgotten)
		destroy(disposal);
	return NULL;
}

static int start_thread(struct disposal *disposal)
{
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, DISPOSAL_STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	ret = pthread_create(&thread, &attr, disposal_main, disposal);
	pthread_attr_destroy(&attr);
	return ret;
}

void disposal_add(struct disposal *disposal, int fd)
{
	bool room;

	if (fd < 0)
		return;
	pthread_mutex_lock(&disposal->lock);
	room = disposal->count < DISPOSAL_MAX;
	if (room)
		disposal->fd[disposal->count++] = fd;
	if (!disposal->running) {
		disposal->running = true;
		/* Without a thread: here, and late, but not lost. */
		if (start_thread(disposal))
			close_all(disposal);
	}
	pthread_mutex_unlock(&disposal->lock);
	if (!room)
		close(fd);
}

unsigned int disposal_waiting(struct disposal *disposal)
{
	unsigned int waiting;

	pthread_mutex_lock(&disposal->lock);
	waiting = disposal->count + disposal->closing;
	pthread_mutex_unlock(&disposal->lock);
	return waiting;
}

void disposal_free(struct disposal *disposal)
{
	bool running;

	if (!disposal)
		return;
	pthread_mutex_lock(&disposal->lock);
	running = disposal->running;
	disposal->forgotten = true;
	pthread_mutex_unlock(&disposal->lock);
	if (!running)
		destroy(disposal);
}
