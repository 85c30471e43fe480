/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asking, mapping, and letting go: that the driver is asked when it has to be and
 * no more often, that memory is lent only while it is mapped, and that nothing of
 * it is left when it is retired.
 */
#include "engine_rig.h"
#include "engine_state.h"

#include <sched.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/*
 * Fewer loans than the sender has frames: until a chore has had its turn, which may be late on
 * a busy machine, frames are sent to a device that keeps them all.
 */
static const char *const ports[] = { "a=fake:", "d=fake:,loans=64", NULL };

/* A device that wants memory mapped and completes at once. */
static int mapping_device(void **state)
{
	fake_template_reset();
	fake_template.answer.needs_map = true;
	fake_template.complete = UINT32_MAX;
	fake_template.copies_go = true;
	return 0;
}

struct on_loop {
	struct gw_port *port;
	struct gw_memmap *memmap;
	void (*fn)(struct gw_port *port, struct gw_memmap *memmap);
};

static void loop_fn(void *arg)
{
	struct on_loop *call = arg;

	call->fn(call->port, call->memmap);
}

/* What the guest driver does, on the control loop. */
static void retire(struct engine_rig *rig, struct gw_memmap *memmap)
{
	struct on_loop call = { rig_port(rig, 0), memmap, retire_memory };

	gw_loop_call(rig->engine->loop, loop_fn, &call);
}

static void discard(struct engine_rig *rig, struct gw_memmap *memmap)
{
	struct on_loop call = { rig_port(rig, 0), memmap, retire_stale };

	gw_loop_call(rig->engine->loop, loop_fn, &call);
}

static struct gw_memmap *memory;

static enum gw_reason wanted;

/* One frame at a time, until one is decided as wanted. */
static bool decided(struct engine_rig *rig)
{
	return rig_decides(rig, memory, wanted);
}

static void wait_decided(struct engine_rig *rig, struct gw_memmap *memmap, enum gw_reason reason)
{
	memory = memmap;
	wanted = reason;
	rig_wait(decided, rig, gw_reason_name(reason));
}

static bool nothing_mapped(struct engine_rig *rig)
{
	return rig_mappings("rig-memory") == 0;
}

static bool unmapped(struct engine_rig *rig)
{
	struct fake *fake = rig_fake(rig, 1);

	return gw_load_acquire(&fake->unmaps) == gw_load_acquire(&fake->maps);
}

static void asked_once_mapped_once_and_gone_when_retired(void **state)
{
	struct gw_memmap *memmap = rig_memory();
	struct engine_rig rig;

	rig_run(&rig, ports);
	wait_decided(&rig, memmap, GW_REASON_NONE);
	for (unsigned int i = 0; i < 50; i++)
		assert_true(rig_decides(&rig, memmap, GW_REASON_NONE));
	assert_int_equal(rig_count(&rig, 1, queries), 1);
	assert_int_equal(rig_count(&rig, 1, maps), 1);
	retire(&rig, memmap);
	memmap_put(memmap);
	rig_wait(nothing_mapped, &rig, "the memory to be unmapped");
	assert_int_equal(rig_count(&rig, 1, unmaps), 1);
	assert_false(rig_pair(&rig, 0, 1).answered);
	rig_free(&rig);
}

static bool one_is_lent(struct engine_rig *rig)
{
	return rig_pair(rig, 0, 1).loans_out == 1;
}

static bool two_are_lent(struct engine_rig *rig)
{
	return rig_pair(rig, 0, 1).loans_out == 2;
}

static void loans_hold_the_mapping(void **state)
{
	struct gw_memmap *memmap = rig_memory();
	struct engine_rig rig;

	rig_run(&rig, ports);
	wait_decided(&rig, memmap, GW_REASON_NONE);
	rig_complete(&rig, 1, 0);
	/* Both in one visit: a device that holds a loan for long is stalled, and gets copies. */
	rig_send(&rig, memmap, 2);
	rig_wait(two_are_lent, &rig, "two loans");
	retire(&rig, memmap);
	memmap_put(memmap);
	rig_complete(&rig, 1, 1);
	rig_wait(one_is_lent, &rig, "one of them to come home");
	assert_int_equal(rig_count(&rig, 1, unmaps), 0);
	assert_true(rig_mappings("rig-memory") > 0);
	rig_complete(&rig, 1, UINT32_MAX);
	rig_wait(nothing_mapped, &rig, "the memory to be unmapped");
	rig_free(&rig);
}

static void a_mapping_that_fails_is_a_reason_to_copy(void **state)
{
	struct gw_memmap *memmap = rig_memory();
	struct engine_rig rig;

	fake_template.fail_map = true;
	rig_run(&rig, ports);
	wait_decided(&rig, memmap, GW_COPY_MAPPING_FAILED);
	for (unsigned int i = 0; i < 10; i++)
		assert_true(rig_decides(&rig, memmap, GW_COPY_MAPPING_FAILED));
	assert_int_equal(rig_count(&rig, 1, maps), 1);
	assert_non_null(strstr(rig_pair(&rig, 0, 1).answer.text, "told to fail"));
	rig_fake(&rig, 1)->fail_map = false;
	gw_port_requery(rig_port(&rig, 1));
	wait_decided(&rig, memmap, GW_REASON_NONE);
	assert_int_equal(rig_count(&rig, 1, queries), 2);
	retire(&rig, memmap);
	memmap_put(memmap);
	rig_wait(nothing_mapped, &rig, "the memory to be unmapped");
	rig_free(&rig);
}

/* A device that was opened anew has no mapping, and says so. */
static void a_driver_that_lost_its_mapping_maps_again(void **state)
{
	struct gw_memmap *memmap = rig_memory();
	struct engine_rig rig;

	rig_run(&rig, ports);
	wait_decided(&rig, memmap, GW_REASON_NONE);
	gw_port_requery(rig_port(&rig, 1));
	assert_true(rig_decides(&rig, memmap, GW_COPY_QUERY_PENDING));
	wait_decided(&rig, memmap, GW_REASON_NONE);
	assert_int_equal(rig_count(&rig, 1, maps), 2);
	retire(&rig, memmap);
	memmap_put(memmap);
	rig_wait(nothing_mapped, &rig, "the memory to be unmapped");
	rig_free(&rig);
}

static uint32_t gate, inside;

static void wait_at_gate(void *arg)
{
	uint64_t end_ns = gw_now_ns() + 5000000000ull;

	gw_store_release(&inside, 1u);
	while (!gw_load_acquire(&gate) && gw_now_ns() < end_ns)
		sched_yield();
}

static bool is_inside(struct engine_rig *rig)
{
	return gw_load_acquire(&inside);
}

/* Frames and requeries go on while memory is being pinned: one question at a time. */
static void a_requery_while_mapping_waits_for_its_turn(void **state)
{
	struct gw_memmap *memmap = rig_memory();
	struct engine_rig rig;

	gate = inside = 0;
	fake_template.in_map = wait_at_gate;
	rig_run(&rig, ports);
	rig_send(&rig, memmap, 1);
	rig_wait(is_inside, &rig, "the mapping to begin");
	for (unsigned int i = 0; i < 20; i++) {
		gw_port_requery(rig_port(&rig, 1));
		rig_decides(&rig, memmap, GW_REASON_NONE);
	}
	assert_true(rig_pair(&rig, 0, 1).asking);
	assert_int_equal(rig_pair(&rig, 0, 1).ask_flag, 0);
	assert_int_equal(rig_count(&rig, 1, queries), 1);
	gw_store_release(&gate, 1u);
	wait_decided(&rig, memmap, GW_REASON_NONE);
	assert_int_equal(rig_count(&rig, 1, queries), 2);
	retire(&rig, memmap);
	memmap_put(memmap);
	rig_wait(nothing_mapped, &rig, "the memory to be unmapped: a reference is left");
	rig_free(&rig);
}

/* The interim word "discarded" ends no question that is on its way. */
static void memory_discarded_while_a_question_is_open_leaves_no_reference(void **state)
{
	struct gw_memmap *memmap = rig_memory();
	struct engine_rig rig;

	gate = inside = 0;
	fake_template.in_query = wait_at_gate;
	rig_run(&rig, ports);
	rig_send(&rig, memmap, 1);
	rig_wait(is_inside, &rig, "the query to begin");
	for (unsigned int i = 0; i < 10; i++) {
		discard(&rig, memmap);
		rig_decides(&rig, memmap, GW_REASON_NONE);
	}
	gw_store_release(&gate, 1u);
	wait_decided(&rig, memmap, GW_REASON_NONE);
	retire(&rig, memmap);
	memmap_put(memmap);
	rig_wait(nothing_mapped, &rig, "the memory to be unmapped: a reference is left");
	rig_free(&rig);
}

static void discarded_memory_is_not_lent_until_it_is_mapped_anew(void **state)
{
	struct gw_memmap *memmap = rig_memory();
	struct engine_rig rig;

	rig_run(&rig, ports);
	wait_decided(&rig, memmap, GW_REASON_NONE);
	rig_complete(&rig, 1, 0);
	assert_true(rig_decides(&rig, memmap, GW_REASON_NONE));
	discard(&rig, memmap);
	wait_decided(&rig, memmap, GW_COPY_MEMORY_DISCARDED);
	/* The driver asks to be asked: its pages are stale all the same. */
	gw_port_requery(rig_port(&rig, 1));
	wait_decided(&rig, memmap, GW_COPY_QUERY_PENDING);
	wait_decided(&rig, memmap, GW_COPY_MEMORY_DISCARDED);
	for (unsigned int i = 0; i < 10; i++)
		assert_true(rig_decides(&rig, memmap, GW_COPY_MEMORY_DISCARDED));
	assert_int_equal(rig_count(&rig, 1, unmaps), 0);
	rig_complete(&rig, 1, UINT32_MAX);
	wait_decided(&rig, memmap, GW_REASON_NONE);
	assert_int_equal(rig_count(&rig, 1, unmaps), 1);
	assert_int_equal(rig_count(&rig, 1, maps), 2);
	retire(&rig, memmap);
	memmap_put(memmap);
	rig_wait(nothing_mapped, &rig, "the memory to be unmapped");
	rig_free(&rig);
}

static void new_memory_is_mapped_when_the_old_one_has_gone(void **state)
{
	struct gw_memmap *old = rig_memory(), *new = rig_memory();
	struct engine_rig rig;

	rig_run(&rig, ports);
	wait_decided(&rig, old, GW_REASON_NONE);
	rig_complete(&rig, 1, 0);
	assert_true(rig_decides(&rig, old, GW_REASON_NONE));
	retire(&rig, old);
	wait_decided(&rig, new, GW_COPY_MEMORY_TAKEN);
	rig_complete(&rig, 1, UINT32_MAX);
	rig_wait(unmapped, &rig, "the old memory to be unmapped");
	/* Nobody asks for a requery. */
	wait_decided(&rig, new, GW_REASON_NONE);
	retire(&rig, new);
	memmap_put(old);
	memmap_put(new);
	rig_wait(nothing_mapped, &rig, "all memory to be unmapped");
	rig_free(&rig);
}

/* ---- a device that takes its time ---- */

#define SLOW_MAP_NS 100000000ull

static struct {
	uint64_t begin_ns[4], end_ns[4];
	unsigned int count;
} slow;

/* Busy, by the processor's time. The chore of one port: no two at a time. */
static void map_slowly(void *arg)
{
	uint64_t end_ns = renew_spent_ns() + SLOW_MAP_NS;

	slow.begin_ns[slow.count] = gw_now_ns();
	while (renew_spent_ns() < end_ns)
		;
	slow.end_ns[slow.count++] = gw_now_ns();
}

static void memory_that_changes_at_once_waits_as_long_as_mapping_took(void **state)
{
	struct gw_memmap *old = rig_memory(), *new = rig_memory();
	struct engine_rig rig;

	fake_template.in_map = map_slowly;
	slow.count = 0;
	rig_run(&rig, ports);
	wait_decided(&rig, old, GW_REASON_NONE);
	retire(&rig, old);
	wait_decided(&rig, new, GW_COPY_MAPPING_PENDING);
	/* Nobody asks for a requery. */
	wait_decided(&rig, new, GW_REASON_NONE);
	assert_int_equal(slow.count, 2);
	assert_true(slow.begin_ns[1] - slow.end_ns[0] >= SLOW_MAP_NS);
	retire(&rig, new);
	memmap_put(old);
	memmap_put(new);
	rig_wait(nothing_mapped, &rig, "all memory to be unmapped");
	rig_free(&rig);
}

static void started_apply(void *arg)
{
	struct holder *holder = arg;

	holder->started = !holder->started;
}

static void a_stopped_driver_is_not_asked(void **state)
{
	struct gw_memmap *memmap = rig_memory();
	struct engine_rig rig;

	rig_run(&rig, ports);
	started_apply(holder_of(rig_port(&rig, 1)));
	wait_decided(&rig, memmap, GW_COPY_DEVICE_DOWN);
	assert_int_equal(rig_count(&rig, 1, queries), 0);
	started_apply(holder_of(rig_port(&rig, 1)));
	gw_port_requery(rig_port(&rig, 1));
	wait_decided(&rig, memmap, GW_REASON_NONE);
	rig_free(&rig);
	memmap_put(memmap);
	assert_int_equal(rig_mappings("rig-memory"), 0);
}

/* Engines that end with a question open, and with memory mapped, give all references back. */
static void the_end_gives_everything_back(void **state)
{
	for (unsigned int round = 0; round < 20; round++) {
		struct gw_memmap *memmap = rig_memory();
		struct engine_rig rig;

		rig_run(&rig, ports);
		if (round % 2)
			wait_decided(&rig, memmap, GW_REASON_NONE);
		gw_port_requery(rig_port(&rig, 1));
		rig_send(&rig, memmap, 1);
		engine_stop(rig.engine, 500);
		memmap_put(memmap);
		assert_int_equal(rig_mappings("rig-memory"), 0);
		rig_free(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(asked_once_mapped_once_and_gone_when_retired,
				       mapping_device),
		cmocka_unit_test_setup(loans_hold_the_mapping, mapping_device),
		cmocka_unit_test_setup(a_mapping_that_fails_is_a_reason_to_copy, mapping_device),
		cmocka_unit_test_setup(a_driver_that_lost_its_mapping_maps_again, mapping_device),
		cmocka_unit_test_setup(a_requery_while_mapping_waits_for_its_turn, mapping_device),
		cmocka_unit_test_setup(
			memory_discarded_while_a_question_is_open_leaves_no_reference,
			mapping_device),
		cmocka_unit_test_setup(discarded_memory_is_not_lent_until_it_is_mapped_anew,
				       mapping_device),
		cmocka_unit_test_setup(new_memory_is_mapped_when_the_old_one_has_gone,
				       mapping_device),
		cmocka_unit_test_setup(memory_that_changes_at_once_waits_as_long_as_mapping_took,
				       mapping_device),
		cmocka_unit_test_setup(a_stopped_driver_is_not_asked, mapping_device),
		cmocka_unit_test_setup(the_end_gives_everything_back, mapping_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
