/* SPDX-License-Identifier: BSD-2-Clause */
#include "pace.h"

#include "worker_threads.h"
#include <pthread.h>
#include <stdint.h>
#include <time.h>

/* Spans are short, and the fastest counts: somebody who has the processor for a moment is
 * not in all of them. */
#define SPANS 20u
#define STEPS 20000u

static struct {
	unsigned int count;
	bool over;
	pthread_barrier_t begin, end;
	pthread_t thread[PACE_MAX];
	bool missing[PACE_MAX]; /* a processor that is not there */
	double ns[PACE_MAX];
} pace;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Each step waits for the one before it. */
static uint64_t work(uint64_t x)
{
	for (unsigned int i = 0; i < STEPS; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	return x;
}

static double fastest_span_ns(void)
{
	uint64_t x = 1, best = UINT64_MAX;

	for (unsigned int i = 0; i < SPANS; i++) {
		uint64_t since = now_ns(), ns;

		x = work(x);
		__asm__ volatile("" : : "r"(x));
		ns = now_ns() - since;
		best = ns < best ? ns : best;
	}
	return (double)best;
}

static void *on_a_processor(void *arg)
{
	unsigned int processor = (unsigned int)(uintptr_t)arg;

	pace.missing[processor] = !worker_thread_pin(0, processor);
	for (;;) {
		pthread_barrier_wait(&pace.begin);
		if (pace.over)
			return NULL;
		pace.ns[processor] = fastest_span_ns();
		pthread_barrier_wait(&pace.end);
	}
}

bool pace_start(unsigned int count)
{
	double ns[PACE_MAX];

	if (count > PACE_MAX || pthread_barrier_init(&pace.begin, NULL, count + 1) ||
	    pthread_barrier_init(&pace.end, NULL, count + 1))
		return false;
	for (; pace.count < count; pace.count++)
		if (pthread_create(&pace.thread[pace.count], NULL, on_a_processor,
				   (void *)(uintptr_t)pace.count))
			return false;
	pace_take(ns); /* all of them are where they belong, or have said that they are not */
	for (unsigned int i = 0; i < count; i++)
		if (pace.missing[i])
			return false;
	return true;
}

void pace_take(double *ns)
{
	pthread_barrier_wait(&pace.begin);
	pthread_barrier_wait(&pace.end);
	for (unsigned int i = 0; i < pace.count; i++)
		ns[i] = pace.ns[i];
}

void pace_stop(void)
{
	pace.over = true;
	pthread_barrier_wait(&pace.begin);
	for (unsigned int i = 0; i < pace.count; i++)
		pthread_join(pace.thread[i], NULL);
}
