/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Traces, end to end in one process: that a loan is named by the address that the
 * guest put into its descriptor, that questions are told of, and that a trace can
 * begin and end whatever else is going on.
 */
#include "rig.h"

#include "loop.h"
#include <errno.h>
#include <guestwire/trace.h>
#include <sched.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define LEN         1000u
#define FILL        0x77
#define DEADLINE_NS 5000000000ull

static const char *const ports[] = { "a=guest:%s/a", "d=loop:,copybreak=200", "n=null:,network=far",
				     NULL };

struct scene {
	struct rig rig;
	struct vm vm;
	struct loop *loop;
	struct gw_trace *trace;
};

static struct gw_trace *begin(struct scene *s, const char *port, bool queries)
{
	struct gw_trace_options options = { .size = sizeof(options) };
	struct gw_trace *trace;
	struct gw_error err;

	options.port = port;
	options.queries = queries;
	if (gw_trace_start(s->rig.context, &options, &trace, &err))
		fail_msg("%s", err.text);
	return trace;
}

static void open_scene(struct scene *s)
{
	memset(s, 0, sizeof(*s));
	rig_start(&s->rig, ports);
	s->loop = loop_test_find("d");
}

static void close_scene(struct scene *s)
{
	gw_trace_stop(s->trace);
	vm_free(&s->vm);
	rig_free(&s->rig);
}

/* The next event of this kind; others before it are passed over. */
static struct gw_trace_event await(struct gw_trace *trace, enum gw_trace_kind kind)
{
	uint64_t deadline_ns = gw_now_ns() + DEADLINE_NS, lost;
	struct gw_trace_event event;

	for (;;) {
		if (gw_trace_read(trace, &event, 1, &lost)) {
			assert_int_equal(lost, 0);
			if (event.kind == kind)
				return event;
			continue;
		}
		if (gw_now_ns() > deadline_ns)
			fail_msg("no event '%s'", gw_trace_kind_name(kind));
		sched_yield();
	}
}

static bool is_empty(struct gw_trace *trace)
{
	struct gw_trace_event event;
	uint64_t lost;

	return !gw_trace_read(trace, &event, 1, &lost);
}

static uint16_t send_one(struct scene *s, uint32_t len)
{
	uint8_t frame[VM_SLOT_BYTES];

	vm_frame(frame, len, 0xd0, 0xe0, FILL);
	return vm_send(&s->vm, frame, len);
}

/* Where the guest put the bytes of what it sent last. */
static uint64_t address_of(const struct scene *s, uint16_t head)
{
	return s->vm.tx.slots_addr + (uint64_t)s->vm.tx.slot_of[head] * VM_SLOT_BYTES + VM_HEADER;
}

static void a_loan_is_named_by_the_guests_address(void **state)
{
	struct gw_trace_event lend, home;
	struct scene s;
	uint16_t head;

	open_scene(&s);
	rig_guest(&s.rig, &s.vm, "a");
	rig_settle(&s.rig, &s.vm, "a", "d");
	loop_test_hold(s.loop, true);
	s.trace = begin(&s, "d", false);
	head = send_one(&s, LEN);
	lend = await(s.trace, GW_TRACE_LEND);
	assert_string_equal(lend.source, "a");
	assert_string_equal(lend.egress, "d");
	assert_int_equal(lend.frame.bytes, LEN);
	assert_int_equal(lend.frame.segment_count, 1);
	assert_int_equal(lend.frame.segment[0].guest_address, address_of(&s, head));
	assert_int_equal(lend.frame.segment[0].bytes, LEN);
	assert_true(is_empty(s.trace));
	loop_test_hold(s.loop, false);
	home = await(s.trace, GW_TRACE_HOME);
	assert_int_equal(home.frame.loan, lend.frame.loan);
	assert_true(home.time_ns >= lend.time_ns);
	close_scene(&s);
}

static void copies_and_their_reason(void **state)
{
	struct scene s;
	struct gw_trace_event copy;

	open_scene(&s);
	rig_guest(&s.rig, &s.vm, "a");
	rig_settle(&s.rig, &s.vm, "a", "d");
	s.trace = begin(&s, NULL, false);
	send_one(&s, 100);
	copy = await(s.trace, GW_TRACE_COPY);
	assert_int_equal(copy.frame.reason, GW_COPY_COPYBREAK);
	assert_int_equal(copy.frame.bytes, 100);
	assert_true(is_empty(s.trace));
	close_scene(&s);
}

/* From the first frame of a guest to its end. */
static void questions_are_told_of(void **state)
{
	struct gw_trace_event event;
	struct gw_answer answer;
	struct scene s;
	uint64_t memory;

	open_scene(&s);
	s.trace = begin(&s, "a", true);
	rig_guest(&s.rig, &s.vm, "a");
	rig_settle(&s.rig, &s.vm, "a", "d");
	event = await(s.trace, GW_TRACE_ASK);
	assert_int_equal(event.query.why, GW_TRACE_FIRST);
	memory = event.query.memory;
	assert_int_not_equal(memory, 0);
	event = await(s.trace, GW_TRACE_ANSWER);
	assert_int_equal(event.query.answer.reason, GW_COPY_MAPPING_PENDING);
	event = await(s.trace, GW_TRACE_MAP);
	assert_false(event.query.failed);
	assert_int_equal(event.query.memory, memory);
	assert_true(event.query.bytes > 0);
	event = await(s.trace, GW_TRACE_ANSWER);
	assert_int_equal(event.query.memory, memory);
	assert_int_equal(event.query.answer.verdict, GW_YES);
	answer = loop_test_current_answer(s.loop);
	answer.max_segs = 9;
	loop_test_answer(s.loop, &answer);
	send_one(&s, LEN);
	event = await(s.trace, GW_TRACE_ASK);
	assert_int_equal(event.query.why, GW_TRACE_REQUERY);
	event = await(s.trace, GW_TRACE_ANSWER);
	assert_int_equal(event.query.answer.max_segs, 9);
	vm_disconnect(&s.vm);
	event = await(s.trace, GW_TRACE_UNMAP);
	assert_int_equal(event.query.memory, memory);
	close_scene(&s);
}

static void only_what_was_asked_for(void **state)
{
	struct gw_trace *other;
	struct scene s;

	open_scene(&s);
	rig_guest(&s.rig, &s.vm, "a");
	rig_settle(&s.rig, &s.vm, "a", "d");
	s.trace = begin(&s, "a", true);
	other = begin(&s, "n", false);
	send_one(&s, LEN);
	vm_wait_used(&s.vm);
	assert_true(is_empty(s.trace));
	assert_true(is_empty(other));
	gw_trace_stop(other);
	close_scene(&s);
}

static void so_many_at_a_time(void **state)
{
	struct gw_trace_options options = { .size = sizeof(options), .port = "b" };
	struct gw_trace *traces[GW_TRACES_MAX], *more;
	struct gw_context *context;
	struct gw_error err;
	struct scene s;

	open_scene(&s);
	assert_int_equal(gw_trace_start(s.rig.context, &options, &more, &err), -ENOENT);
	options.port = NULL;
	for (unsigned int i = 0; i < GW_TRACES_MAX; i++)
		assert_int_equal(gw_trace_start(s.rig.context, &options, &traces[i], &err), 0);
	assert_int_equal(gw_trace_start(s.rig.context, &options, &more, &err), -EBUSY);
	gw_trace_stop(traces[1]);
	assert_int_equal(gw_trace_start(s.rig.context, &options, &traces[1], &err), 0);
	for (unsigned int i = 0; i < GW_TRACES_MAX; i++)
		gw_trace_stop(traces[i]);
	assert_int_equal(gw_open(NULL, &context, &err), 0);
	assert_int_equal(gw_trace_start(context, &options, &more, &err), -ENOTCONN);
	gw_close(context);
	close_scene(&s);
}

static void a_trace_outlives_the_stop(void **state)
{
	struct scene s;

	open_scene(&s);
	rig_guest(&s.rig, &s.vm, "a");
	rig_settle(&s.rig, &s.vm, "a", "d");
	s.trace = begin(&s, NULL, false);
	send_one(&s, LEN);
	vm_wait_used(&s.vm);
	rig_stop(&s.rig);
	await(s.trace, GW_TRACE_LEND);
	await(s.trace, GW_TRACE_HOME);
	close_scene(&s);
}

/* Nobody reads: frames go on as before, and what was not kept is counted. */
static void a_trace_that_is_not_read(void **state)
{
	struct gw_trace_event events[64];
	uint64_t lost = 0, all_lost = 0, count = 0;
	unsigned int got, frames = 2000;
	struct scene s;

	open_scene(&s);
	rig_guest(&s.rig, &s.vm, "a");
	rig_settle(&s.rig, &s.vm, "a", "d");
	s.trace = begin(&s, NULL, false);
	for (unsigned int i = 0; i < frames; i++) {
		send_one(&s, LEN);
		vm_wait_used(&s.vm);
	}
	do {
		got = gw_trace_read(s.trace, events, 64, &lost);
		all_lost += lost;
		count += got;
	} while (got);
	assert_true(all_lost > 0);
	assert_int_equal(count + all_lost, 2 * frames);
	close_scene(&s);
}

static void traces_come_and_go_under_traffic(void **state)
{
	struct gw_trace_event events[64];
	struct scene s;
	uint64_t lost;

	open_scene(&s);
	rig_guest(&s.rig, &s.vm, "a");
	rig_settle(&s.rig, &s.vm, "a", "d");
	for (unsigned int i = 0; i < 200; i++) {
		struct gw_trace *trace = begin(&s, i % 2 ? "a" : NULL, false);

		for (unsigned int k = 0; k < 10; k++)
			send_one(&s, LEN);
		gw_trace_read(trace, events, 64, &lost);
		gw_trace_stop(trace);
		for (unsigned int k = 0; k < 10; k++)
			vm_wait_used(&s.vm);
	}
	close_scene(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_loan_is_named_by_the_guests_address),
		cmocka_unit_test(copies_and_their_reason),
		cmocka_unit_test(questions_are_told_of),
		cmocka_unit_test(only_what_was_asked_for),
		cmocka_unit_test(so_many_at_a_time),
		cmocka_unit_test(a_trace_outlives_the_stop),
		cmocka_unit_test(a_trace_that_is_not_read),
		cmocka_unit_test(traces_come_and_go_under_traffic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
