/* SPDX-License-Identifier: BSD-2-Clause */
/* The query, and map. */
#include "conformance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void check_answer(const struct gw_answer *answer)
{
	assert_non_null(memchr(answer->text, 0, sizeof(answer->text)));
	assert_true(*answer->text);
	assert_true(answer->verdict <= GW_YES);
	assert_true(answer->reads <= GW_READS_NOTHING);
	if (answer->verdict == GW_NO) {
		assert_true(answer->reason >= GW_COPY_FIRST && answer->reason < GW_COPY_REASON_END);
		return;
	}
	assert_int_equal(answer->reason, GW_REASON_NONE);
	assert_true(answer->max_segs >= 1 && answer->max_segs <= GW_FRAME_SEGS_MAX);
	if (answer->needs_map)
		assert_non_null(subject.driver->map);
	if (!subject.driver->reap)
		assert_true(answer->ends_in_tx);
}

static void answer_is_complete(void)
{
	struct rig *rig = rig_open();

	check_answer(&rig->answer);
	check_answer(&rig->arena_answer);
	/*
	 * Private memory has to be of use somehow: readable, or there is bounce memory
	 * of its own.
	 */
	if (!subject.driver->bounce)
		assert_int_not_equal(rig->arena_answer.verdict, GW_NO);
	rig_close(rig);
}

/* Every field is written: an answer over rubbish is the same as one over zeroes. */
static void answer_fills_every_field(void)
{
	struct rig *rig = rig_open();
	struct gw_answer over;

	memset(&over, 0xa5, sizeof(over));
	subject.driver->query(rig->port, NULL, &over);
	assert_int_equal(over.verdict, rig->arena_answer.verdict);
	assert_int_equal(over.reason, rig->arena_answer.reason);
	assert_int_equal(over.reads, rig->arena_answer.reads);
	assert_int_equal(over.ends_in_tx, rig->arena_answer.ends_in_tx);
	assert_int_equal(over.needs_map, rig->arena_answer.needs_map);
	assert_int_equal(over.single_page_segs, rig->arena_answer.single_page_segs);
	assert_int_equal(over.max_segs, rig->arena_answer.max_segs);
	assert_string_equal(over.text, rig->arena_answer.text);
	rig_close(rig);
}

static bool has_map(void)
{
	return subject.driver->map;
}

static void maps_again_after_unmap(void)
{
	struct rig *rig = rig_open();

	for (unsigned int i = 0; i < 3 && rig->mapped; i++) {
		struct gw_error err = { 0 };
		uint32_t len = 512;

		subject.driver->unmap(rig->port, rig->memory.memmap);
		if (subject.driver->map(rig->port, rig->memory.memmap, &err))
			fail_msg("map number %u: %s", i + 2, err.text);
		assert_non_null(rig_pack(rig, len, 1, i));
		rig_send(rig);
		rig_reap_all(rig);
		expect_far(rig, &len, 1, i);
	}
	rig_close(rig);
}

const struct conformance_case cases_query[] = {
	{ "answer_is_complete", answer_is_complete, NULL },
	{ "answer_fills_every_field", answer_fills_every_field, NULL },
	{ "maps_again_after_unmap", maps_again_after_unmap, has_map },
	{ NULL, NULL, NULL },
};
