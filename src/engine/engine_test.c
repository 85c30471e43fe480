/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Start, stop, and start again; devices that are stopped for their loans; what is
 * left of an engine that could not start.
 */
#include "engine_rig.h"

#include <errno.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define DEADLINE_MS 5000u

/* Asks for nothing, holds what it gets, gives it back when it is stopped. */
static int holding_device(void **state)
{
	fake_template_reset();
	fake_template.copies_go = true;
	return 0;
}

static struct gw_memmap *memory;

static bool lent(struct engine_rig *rig)
{
	return rig_decides(rig, memory, GW_REASON_NONE);
}

static unsigned int egress;

static bool egress_lends(struct engine_rig *rig)
{
	struct pair before = rig_pair(rig, 0, egress);
	uint64_t end_ns = rig_end_ns();

	rig_send(rig, memory, 1);
	while (rig_pair(rig, 0, egress).lent_frames + rig_pair(rig, 0, egress).copied_frames ==
	       before.lent_frames + before.copied_frames)
		rig_yield(end_ns, "a frame to be lent or copied");
	return rig_pair(rig, 0, egress).lent_frames > before.lent_frames;
}

static unsigned int loans_wanted;

static bool loans_are_out(struct engine_rig *rig)
{
	return rig_pair(rig, 0, 1).loans_out >= loans_wanted;
}

static void wait_loans(struct engine_rig *rig, unsigned int count)
{
	loans_wanted = count;
	rig_wait(loans_are_out, rig, "loans");
}

/*
 * So many loans at once, in a device that has none: between one and the next it would be
 * stalled if this process did something else for 200 ms.
 */
static void lend(struct engine_rig *rig, unsigned int count)
{
	rig_wait(lent, rig, "a loan");
	rig_complete(rig, 1, UINT32_MAX);
	rig_wait(rig_all_home, rig, "what it holds to come home");
	rig_complete(rig, 1, 0);
	rig_send(rig, memory, count);
	wait_loans(rig, count);
}

static bool running(struct engine_rig *rig)
{
	return port_state(rig_port(rig, 1)) == GW_PORT_RUNNING;
}

/* ---- start and stop ---- */

static const char *const two[] = { "a=fake:", "d=fake:", NULL };

static void a_start_that_fails_leaves_nothing(void **state)
{
	static const char *const specs[] = { "a=fake:", "b=fake:", "c=sink:", NULL };
	struct gw_error err = { 0 };
	struct engine_rig rig;
	unsigned int fds;

	rig_create(&rig, specs);
	fds = rig_fds();
	for (unsigned int which = 0; which < 2; which++) {
		/* All three fail, the first at once: what it has opened is closed. */
		fake_template.fail_open = which == 0;
		fake_template.fail_start = which == 1;
		assert_int_equal(engine_start(rig.engine, &err), -EIO);
		assert_non_null(strstr(err.text, "port a"));
		assert_int_equal(rig_fds(), fds);
		rig_no_threads();
		assert_int_equal(rig_mappings("bounce"), 0);
		for (unsigned int i = 0; i < 3; i++) {
			assert_null(rig_fake(&rig, i));
			assert_null(rig_port(&rig, i)->queue[0]->pair_from[0]);
			assert_int_equal(port_state(rig_port(&rig, i)), GW_PORT_CLOSED);
		}
	}
	/* Too little bounce memory for the pairs: before anything is opened. */
	fake_template_reset();
	rig.engine->config.arena_bytes = 1;
	rig_port(&rig, 0)->bounce = rig_port(&rig, 1)->bounce = 4096;
	assert_int_equal(engine_start(rig.engine, &err), -ENOMEM);
	assert_int_equal(rig_fds(), fds);
	rig.engine->config.arena_bytes = 0;
	rig_port(&rig, 0)->bounce = rig_port(&rig, 1)->bounce = 8;
	assert_int_equal(engine_start(rig.engine, &err), 0);
	assert_int_equal(engine_start(rig.engine, &err), -EBUSY);
	assert_int_equal(engine_stop(rig.engine, 100), 0);
	assert_int_equal(rig_fds(), fds);
	rig_no_threads();
	rig_free(&rig);
}

static void leave_fd_apply(void *arg)
{
	struct gw_queue *queue = arg;

	queue->fd[3].fd = 0;
	queue->lend_max = 1;
}

static void it_starts_and_stops_again_and_again(void **state)
{
	struct gw_error err = { 0 };
	struct engine_rig rig;

	memory = rig_memory();
	rig_create(&rig, two);
	assert_int_equal(engine_stop(rig.engine, 100), 0);
	for (unsigned int round = 1; round <= 5; round++) {
		assert_int_equal(engine_start(rig.engine, &err), 0);
		rig_wait(lent, &rig, "a loan");
		rig_send(&rig, memory, 100);
		gw_port_apply(rig_port(&rig, 0), leave_fd_apply,
			      &rig_port(&rig, 0)->queue[0]->queue);
		assert_int_equal(engine_stop(rig.engine, 500), 0);
		assert_int_equal(engine_stop(rig.engine, 500), 0);
		assert_int_equal(rig_port(&rig, 0)->queue[0]->queue.fd[3].fd, -1);
		assert_int_equal(rig_port(&rig, 0)->queue[0]->queue.lend_max, 0);
		/* Nothing of this run is counted in the next. */
		assert_int_equal(rig_port(&rig, 0)->queue[0]->lent_out, 0);
		assert_int_equal(rig_port(&rig, 1)->queue[0]->held, 0);
		assert_int_equal(rig_port(&rig, 0)->queue[0]->home_count, 0);
		assert_int_equal(rig_port(&rig, 0)->queue[0]->waiting_count, 0);
	}
	rig_free(&rig);
	memmap_put(memory);
	assert_int_equal(rig_mappings("rig-memory"), 0);
}

/* Frames that a device never gave back are told, and are no burden to the next run. */
static void quarantine_ends_with_the_run(void **state)
{
	struct gw_error err = { 0 };
	struct engine_rig rig;

	memory = rig_memory();
	fake_template.keep_at_stop = true;
	rig_run(&rig, two);
	lend(&rig, 2);
	assert_true(engine_stop(rig.engine, 100) >= 2);
	assert_int_equal(rig_port(&rig, 1)->queue[0]->quarantined, 0);
	assert_false(rig_port(&rig, 1)->queue[0]->untrusted);
	fake_template.keep_at_stop = false;
	assert_int_equal(engine_start(rig.engine, &err), 0);
	rig_wait(lent, &rig, "a loan");
	assert_int_equal(engine_stop(rig.engine, 500), 0);
	rig_free(&rig);
	memmap_put(memory);
}

/* More than one call of reap reports. */
static void all_that_a_device_lets_go_of_is_taken_at_its_stop(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=fake:,loans=300", NULL };
	struct engine_rig rig;

	memory = rig_memory();
	rig_run(&rig, specs);
	lend(&rig, 3 * GW_BATCH);
	assert_int_equal(engine_stop(rig.engine, 500), 0);
	rig_free(&rig);
	memmap_put(memory);
}

/* ---- recall ---- */

static unsigned int recalled;

static void count_recall(void *arg)
{
	gw_atomic_add(&recalled, 1u);
}

static void recall_apply(void *arg)
{
	reopen_recall(rig_port(arg, 0), count_recall, NULL);
}

static bool recall_over(struct engine_rig *rig)
{
	return gw_load_acquire(&recalled) == 1;
}

static void recall(struct engine_rig *rig)
{
	recalled = 0;
	gw_loop_call(rig->engine->loop, recall_apply, rig);
}

static void a_recall_without_loans_is_over_at_once(void **state)
{
	struct engine_rig rig;

	rig_run(&rig, two);
	recall(&rig);
	assert_int_equal(recalled, 1);
	assert_int_equal(rig_count(&rig, 1, stops), 0);
	rig_free(&rig);
}

static bool both_hold_loans(struct engine_rig *rig)
{
	return rig_pair(rig, 0, 1).loans_out && rig_pair(rig, 0, 2).loans_out;
}

static void a_recall_brings_loans_home_from_all_devices(void **state)
{
	static const char *const three[] = { "a=fake:", "d=fake:", "e=fake:", NULL };
	struct engine_rig rig;

	memory = rig_memory();
	rig_run(&rig, three);
	for (egress = 1; egress < 3; egress++)
		rig_wait(egress_lends, &rig, "a loan");
	rig_wait(both_hold_loans, &rig, "a loan to each");
	recall(&rig);
	rig_wait(recall_over, &rig, "the recall to end");
	rig_wait(rig_all_home, &rig, "all frames to come home");
	for (unsigned int i = 1; i < 3; i++) {
		assert_int_equal(rig_count(&rig, i, stops), 1);
		assert_int_equal(rig_count(&rig, i, starts), 2);
		assert_int_equal(port_state(rig_port(&rig, i)), GW_PORT_RUNNING);
	}
	assert_int_equal(rig_count(&rig, 0, stops), 0);
	assert_int_equal(recalled, 1);
	/* They are asked anew, and lend again. */
	egress = 1;
	rig_wait(egress_lends, &rig, "a loan");
	assert_true(rig_count(&rig, 1, queries) >= 2);
	rig_free(&rig);
	memmap_put(memory);
}

static void starts_fail_apply(void *arg)
{
	((struct fake *)arg)->fail_start = 1;
}

static void a_device_that_does_not_start_is_tried_again(void **state)
{
	struct engine_rig rig;

	memory = rig_memory();
	rig_run(&rig, two);
	rig_wait(lent, &rig, "a loan");
	wait_loans(&rig, 1);
	gw_port_apply(rig_port(&rig, 1), starts_fail_apply, rig_fake(&rig, 1));
	recall(&rig);
	rig_wait(recall_over, &rig, "the recall to end");
	assert_int_equal(port_state(rig_port(&rig, 1)), GW_PORT_FAILED);
	rig_wait(rig_all_home, &rig, "all frames to come home");
	rig_wait(running, &rig, "the device to be started again");
	assert_int_equal(rig_count(&rig, 1, starts), 3);
	assert_int_equal(rig_count(&rig, 1, stops), 1);
	rig_wait(lent, &rig, "a loan");
	rig_free(&rig);
	memmap_put(memory);
}

/* Stopped by a recall, dead, not startable: what it holds is told at the end all the same. */
static void frames_of_a_failed_device_are_told_at_the_end(void **state)
{
	struct engine_rig rig;
	unsigned int held;

	memory = rig_memory();
	fake_template.keep_at_stop = true;
	rig_run(&rig, two);
	rig_wait(lent, &rig, "a loan");
	wait_loans(&rig, 1);
	gw_port_apply(rig_port(&rig, 1), starts_fail_apply, rig_fake(&rig, 1));
	recall(&rig);
	rig_wait(recall_over, &rig, "the recall to end");
	held = (unsigned int)gw_counter_read(&rig_port(&rig, 1)->queue[0]->quarantined);
	assert_true(held > 0);
	assert_int_equal(engine_stop(rig.engine, 100), held);
	rig_free(&rig);
	memmap_put(memory);
}

/* Stopped for its loans, it has not given them back: to stop it again would help nobody. */
static void a_device_in_quarantine_is_not_stopped_again(void **state)
{
	struct engine_rig rig;

	memory = rig_memory();
	fake_template.keep_at_stop = true;
	rig_run(&rig, two);
	rig_wait(lent, &rig, "a loan");
	wait_loans(&rig, 1);
	recall(&rig);
	rig_wait(recall_over, &rig, "the recall to end");
	assert_true(port_quarantined(rig_port(&rig, 1)) > 0);
	recall(&rig);
	rig_wait(recall_over, &rig, "the second recall to end");
	assert_int_equal(rig_count(&rig, 1, stops), 1);
	rig_free(&rig);
	memmap_put(memory);
}

static void no_room_apply(void *arg)
{
	((struct fake *)arg)->budget = 0;
}

struct waiting {
	struct gw_port *port;
	unsigned int count;
};

static void waiting_apply(void *arg)
{
	struct waiting *waiting = arg;

	waiting->count = waiting->port->queue[0]->waiting_count;
}

static bool source_waits(struct engine_rig *rig)
{
	struct waiting waiting = { .port = rig_port(rig, 0) };

	gw_port_apply(waiting.port, waiting_apply, &waiting);
	return waiting.count > 0;
}

/*
 * A port that takes nothing just now, but holds nothing either, as a guest that is
 * slow: its peer's frames come home, and it is not stopped for them.
 */
static void a_recall_does_not_stop_whoever_holds_nothing(void **state)
{
	static const char *const specs[] = { "a=fake:", "b=sink:,bounce=4", NULL };
	struct engine_rig rig;

	memory = rig_memory();
	fake_template.answer.ends_in_tx = true;
	rig_run(&rig, specs);
	rig_wait(lent, &rig, "a loan");
	gw_port_apply(rig_port(&rig, 1), no_room_apply, rig_fake(&rig, 1));
	rig_send(&rig, memory, 150);
	rig_wait(source_waits, &rig, "frames to wait");
	recall(&rig);
	rig_wait(recall_over, &rig, "the recall to end");
	assert_int_equal(rig_count(&rig, 1, stops), 0);
	assert_int_equal(port_state(rig_port(&rig, 1)), GW_PORT_RUNNING);
	rig_free(&rig);
	memmap_put(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_start_that_fails_leaves_nothing, holding_device),
		cmocka_unit_test_setup(it_starts_and_stops_again_and_again, holding_device),
		cmocka_unit_test_setup(quarantine_ends_with_the_run, holding_device),
		cmocka_unit_test_setup(all_that_a_device_lets_go_of_is_taken_at_its_stop,
				       holding_device),
		cmocka_unit_test_setup(a_recall_without_loans_is_over_at_once, holding_device),
		cmocka_unit_test_setup(a_recall_brings_loans_home_from_all_devices, holding_device),
		cmocka_unit_test_setup(a_device_that_does_not_start_is_tried_again, holding_device),
		cmocka_unit_test_setup(a_device_in_quarantine_is_not_stopped_again, holding_device),
		cmocka_unit_test_setup(frames_of_a_failed_device_are_told_at_the_end,
				       holding_device),
		cmocka_unit_test_setup(a_recall_does_not_stop_whoever_holds_nothing,
				       holding_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
