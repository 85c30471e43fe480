/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that goes in the wrong moment: nothing of it is left. (More is in question_test.c.) */
#include "engine_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char *const ports[] = { "a=fake:", "d=fake:", NULL };

/* A device that wants memory mapped and completes at once. */
static int mapping_device(void **state)
{
	fake_template_reset();
	fake_template.answer.needs_map = true;
	fake_template.complete = UINT32_MAX;
	fake_template.copies_go = true;
	return 0;
}

static bool nothing_mapped(struct engine_rig *rig)
{
	return rig_mappings("rig-memory") == 0;
}

static bool is_asking(struct engine_rig *rig)
{
	return rig_pair(rig, 0, 1).asking;
}

struct late {
	struct engine_rig *rig;
	struct gw_memmap *memmap;
	bool asked;
};

/* On the control loop: while this runs it hears no question. */
static void ask_and_retire(void *arg)
{
	struct late *late = arg;

	rig_send(late->rig, late->memmap, 1);
	late->asked = rig_comes(is_asking, late->rig);
	retire_memory(rig_port(late->rig, 0), late->memmap);
}

/* Or what nobody retires any more would be mapped. */
static void a_question_comes_before_the_end_of_its_memory(void **state)
{
	struct engine_rig rig;
	struct late late = { .rig = &rig, .memmap = rig_memory() };

	rig_run(&rig, ports);
	gw_loop_call(rig.engine->loop, ask_and_retire, &late);
	/* Here, not on the loop: who fails there leaves it standing. */
	assert_true(late.asked);
	memmap_put(late.memmap);
	rig_wait(nothing_mapped, &rig, "the memory to be unmapped");
	assert_int_equal(rig_count(&rig, 1, unmaps), rig_count(&rig, 1, maps));
	rig_free(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_question_comes_before_the_end_of_its_memory,
				       mapping_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
