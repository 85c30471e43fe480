/* SPDX-License-Identifier: BSD-2-Clause */
/* Several workers that stand still while something is changed. */
#include "worker.h"

#include "atomic.h"
#include "fake_device.h"
#include "loop.h"
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define WORKERS 3u
#define CALLS   200u
#define STARTS  40u
/* A visit is far shorter, so one that goes on is seen. */
#define LOOK_NS 50000ull

/* A network of one port for each worker: its device counts the visits. */
struct rig {
	struct worker *worker[WORKERS];
	struct network network[WORKERS];
	struct fake *fake[WORKERS];
	unsigned int shared; /* changed while all stand still, and nowhere else */
	bool moved;
};

static struct gw_error err;

static void rig_open(struct rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	fake_template_reset();
	for (unsigned int i = 0; i < WORKERS; i++) {
		struct gw_port *port = fake_port_open("a=fake:", &fake_host, NULL);

		assert_int_equal(network_add(&rig->network[i], port, &err), 0);
		assert_int_equal(network_connect(&rig->network[i], &err), 0);
		assert_int_equal(worker_create(i, &rig->worker[i], &err), 0);
		assert_int_equal(worker_add_lane(rig->worker[i], rig->network[i].lane[0], &err), 0);
		rig->fake[i] = fake_of(port);
	}
}

static void rig_start(struct rig *rig)
{
	for (unsigned int i = 0; i < WORKERS; i++)
		assert_int_equal(worker_start(rig->worker[i], &err), 0);
}

static void rig_close(struct rig *rig)
{
	for (unsigned int i = 0; i < WORKERS; i++) {
		worker_free(rig->worker[i]);
		network_disconnect(&rig->network[i]);
		fake_port_close(rig->network[i].port[0]);
	}
}

static uint64_t visits(const struct rig *rig)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < WORKERS; i++)
		sum += gw_counter_read(&rig->fake[i]->rx_calls);
	return sum;
}

/* None of them visits anything meanwhile. */
static void look_apply(void *arg)
{
	struct rig *rig = arg;
	uint64_t before = visits(rig), end_ns = gw_now_ns() + LOOK_NS;

	while (gw_now_ns() < end_ns)
		sched_yield();
	rig->moved |= visits(rig) != before;
	rig->shared++;
}

static void all_stand_still(void **state)
{
	struct rig rig;

	rig_open(&rig);
	worker_apply_all(rig.worker, WORKERS, look_apply, &rig);
	rig_start(&rig);
	/* Awake and asleep. */
	for (unsigned int i = 0; i < CALLS; i++)
		worker_apply_all(rig.worker, WORKERS, look_apply, &rig);
	for (unsigned int i = 0; i < WORKERS; i++)
		worker_stop(rig.worker[i]);
	worker_apply_all(rig.worker, WORKERS, look_apply, &rig);
	assert_int_equal(rig.shared, CALLS + 2);
	assert_false(rig.moved);
	rig_close(&rig);
}

/* One who holds some of them does not wait for one who holds others. */
struct caller {
	struct rig *rig;
	unsigned int first, count;
};

static void count_apply(void *arg)
{
	((struct rig *)arg)->shared++;
}

static void *call_many(void *arg)
{
	struct caller *caller = arg;

	for (unsigned int i = 0; i < CALLS; i++)
		worker_apply_all(caller->rig->worker + caller->first, caller->count, count_apply,
				 caller->rig);
	return NULL;
}

static void many_threads_hold_them_one_after_the_other(void **state)
{
	/* All have worker 1 in common, so that `shared` has one writer at a time. */
	static const struct caller shapes[] = { { NULL, 0, 3 }, { NULL, 1, 2 }, { NULL, 0, 2 },
						{ NULL, 1, 1 }, { NULL, 0, 3 }, { NULL, 1, 2 } };
	enum { THREADS = sizeof(shapes) / sizeof(shapes[0]) };
	struct caller caller[THREADS];
	pthread_t thread[THREADS];
	struct rig rig;

	rig_open(&rig);
	for (unsigned int i = 0; i < THREADS; i++)
		caller[i] = (struct caller){ &rig, shapes[i].first, shapes[i].count };
	rig_start(&rig);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, call_many, &caller[i]), 0);
	/* They are stopped in the middle of it. */
	for (unsigned int i = 0; i < WORKERS; i++)
		worker_stop(rig.worker[i]);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(rig.shared, THREADS * CALLS);
	rig_close(&rig);
}

struct looker {
	struct rig *rig;
	unsigned int end;
};

static void *look_many(void *arg)
{
	struct looker *looker = arg;

	while (!gw_load_acquire(&looker->end))
		worker_apply_all(looker->rig->worker, WORKERS, look_apply, looker->rig);
	return NULL;
}

/* What is done in the place of one that does not run is over before it does. */
static void workers_do_not_start_in_the_middle(void **state)
{
	struct looker looker = { 0 };
	pthread_t thread;
	struct rig rig;

	rig_open(&rig);
	looker.rig = &rig;
	assert_int_equal(pthread_create(&thread, NULL, look_many, &looker), 0);
	for (unsigned int i = 0; i < STARTS; i++) {
		rig_start(&rig);
		for (unsigned int k = 0; k < WORKERS; k++)
			worker_stop(rig.worker[k]);
	}
	gw_store_release(&looker.end, 1u);
	pthread_join(thread, NULL);
	assert_false(rig.moved);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_stand_still),
		cmocka_unit_test(many_threads_hold_them_one_after_the_other),
		cmocka_unit_test(workers_do_not_start_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
