/* SPDX-License-Identifier: BSD-2-Clause */
/* Chores: in order for each port, side by side across ports, and no thread left over. */
#include "chore.h"

#include "atomic.h"
#include "loop.h"
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define DEADLINE_MS 5000u

struct job {
	struct chore_job job;
	unsigned int number;
	pthread_barrier_t *barrier;
	struct job *next; /* queued from within */
	struct chore_queue *queue;
	uint32_t gate; /* atomic: waits for it if `gated` */
	bool gated;
	pthread_t thread;
};

static unsigned int order[16];
static uint32_t order_count, inside;

static void run(struct chore_job *chore)
{
	struct job *job = gw_container_of(chore, struct job, job);
	uint64_t end_ns = gw_now_ns() + DEADLINE_MS * 1000000ull;

	assert_int_equal(gw_atomic_add(&inside, 1u), 0);
	job->thread = pthread_self();
	while (job->gated && !gw_load_acquire(&job->gate) && gw_now_ns() < end_ns)
		sched_yield();
	if (job->next)
		chore_add(job->queue, &job->next->job, run);
	order[order_count++] = job->number;
	gw_atomic_add(&inside, -1u);
}

static int reset(void **state)
{
	order_count = inside = 0;
	return 0;
}

static void jobs_of_one_port_keep_their_order(void **state)
{
	struct chores chores;
	struct chore_queue queue;
	struct job job[8] = { 0 };

	chores_init(&chores);
	chore_queue_init(&queue, &chores);
	job[0].gated = true;
	for (unsigned int i = 0; i < 8; i++) {
		job[i].number = i;
		chore_add(&queue, &job[i].job, run);
	}
	gw_store_release(&job[0].gate, 1u);
	assert_true(chores_wait(&chores, DEADLINE_MS));
	assert_int_equal(order_count, 8);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(order[i], i);
	chores_destroy(&chores);
}

/*
 * Memory is retired (0), a question is put about the next guest's memory (1), and that
 * is retired too (0 again): the question comes first, or it maps what is gone.
 */
static void a_job_that_is_queued_again_overtakes_nothing(void **state)
{
	struct chores chores;
	struct chore_queue queue;
	struct job first = { .number = 9, .gated = true }, job[2] = { 0 };

	chores_init(&chores);
	chore_queue_init(&queue, &chores);
	job[1].number = 1;
	chore_add(&queue, &first.job, run);
	chore_add(&queue, &job[0].job, run);
	chore_add(&queue, &job[1].job, run);
	chore_add(&queue, &job[0].job, run);
	gw_store_release(&first.gate, 1u);
	assert_true(chores_wait(&chores, DEADLINE_MS));
	assert_int_equal(order_count, 3);
	assert_int_equal(order[0], 9);
	assert_int_equal(order[1], 1);
	assert_int_equal(order[2], 0);
	chores_destroy(&chores);
}

static void a_job_may_be_queued_while_it_runs(void **state)
{
	struct chores chores;
	struct chore_queue queue;
	struct job first = { .number = 1 }, second = { .number = 2 };

	chores_init(&chores);
	chore_queue_init(&queue, &chores);
	first.queue = &queue;
	first.next = &second;
	chore_add(&queue, &first.job, run);
	assert_true(chores_wait(&chores, DEADLINE_MS));
	assert_int_equal(order_count, 2);
	assert_int_equal(order[1], 2);
	chores_destroy(&chores);
}

static void meet(struct chore_job *chore)
{
	pthread_barrier_wait(gw_container_of(chore, struct job, job)->barrier);
}

/* Both have to be inside at the same time for either to come out. */
static void ports_do_not_wait_for_each_other(void **state)
{
	pthread_barrier_t barrier;
	struct chores chores;
	struct chore_queue queue[2];
	struct job job[2] = { { .barrier = &barrier }, { .barrier = &barrier } };

	pthread_barrier_init(&barrier, NULL, 2);
	chores_init(&chores);
	for (unsigned int i = 0; i < 2; i++) {
		chore_queue_init(&queue[i], &chores);
		chore_add(&queue[i], &job[i].job, meet);
	}
	assert_true(chores_wait(&chores, DEADLINE_MS));
	chores_destroy(&chores);
	pthread_barrier_destroy(&barrier);
}

static void waiting_has_an_end(void **state)
{
	struct chores chores;
	struct chore_queue queue;
	struct job job = { .gated = true };

	chores_init(&chores);
	chore_queue_init(&queue, &chores);
	chore_add(&queue, &job.job, run);
	assert_false(chores_wait(&chores, 20));
	gw_store_release(&job.gate, 1u);
	assert_true(chores_wait(&chores, DEADLINE_MS));
	chores_destroy(&chores);
}

static pthread_key_t key;
static uint32_t ended;

/* Runs when a thread ends, after everything that it ran of ours. */
static void at_thread_end(void *arg)
{
	uint64_t end_ns = gw_now_ns() + 200000;

	while (gw_now_ns() < end_ns)
		sched_yield();
	gw_atomic_add(&ended, 1u);
}

static void note_end(struct chore_job *chore)
{
	pthread_setspecific(key, chore);
}

/* Not "about to end": a program may unload the library now. */
static void no_thread_is_left_when_all_is_done(void **state)
{
	pthread_key_create(&key, at_thread_end);
	for (unsigned int round = 0; round < 50; round++) {
		struct chores chores;
		struct chore_queue queue[4];
		struct job job[4] = { 0 };

		gw_store_release(&ended, 0u);
		chores_init(&chores);
		for (unsigned int i = 0; i < 4; i++) {
			chore_queue_init(&queue[i], &chores);
			chore_add(&queue[i], &job[i].job, note_end);
		}
		assert_true(chores_wait(&chores, DEADLINE_MS));
		assert_int_equal(gw_load_acquire(&ended), 4);
		chores_destroy(&chores);
	}
	pthread_key_delete(key);
}

/* The linker puts this in pthread_create's place (meson.build). */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg);
static bool no_threads;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg)
{
	return no_threads ? EAGAIN : __real_pthread_create(thread, attr, fn, arg);
}

/* No thread can be made: the job runs on the caller's, late but not lost. */
static void without_a_thread_the_caller_runs_it(void **state)
{
	struct chores chores;
	struct chore_queue queue;
	struct job job = { .number = 7 };

	chores_init(&chores);
	chore_queue_init(&queue, &chores);
	no_threads = true;
	chore_add(&queue, &job.job, run);
	no_threads = false;
	assert_int_equal(order_count, 1);
	assert_true(pthread_equal(job.thread, pthread_self()));
	assert_true(chores_wait(&chores, DEADLINE_MS));
	/* And the next one has a thread again. */
	chore_add(&queue, &job.job, run);
	assert_true(chores_wait(&chores, DEADLINE_MS));
	assert_int_equal(order_count, 2);
	assert_false(pthread_equal(job.thread, pthread_self()));
	chores_destroy(&chores);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(jobs_of_one_port_keep_their_order, reset),
		cmocka_unit_test_setup(a_job_that_is_queued_again_overtakes_nothing, reset),
		cmocka_unit_test_setup(a_job_may_be_queued_while_it_runs, reset),
		cmocka_unit_test_setup(ports_do_not_wait_for_each_other, reset),
		cmocka_unit_test_setup(waiting_has_an_end, reset),
		cmocka_unit_test_setup(no_thread_is_left_when_all_is_done, reset),
		cmocka_unit_test_setup(without_a_thread_the_caller_runs_it, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
