/* SPDX-License-Identifier: BSD-2-Clause */
/* Interfaces that go and come, and the ports that are named after them. */
#include "engine_rig.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Of no interface of this host, so that the kernel says nothing about it but that. */
#define NAME "gw-nowhere"

static const char *const specs[] = { "a=fake:", "d=nic:" NAME, NULL };
static struct gw_memmap *memory;
static struct engine_rig rig;

struct call {
	struct link_news news;
	struct engine *engine;
};

static void hear_call(void *arg)
{
	struct call *call = arg;

	links_heard(call->engine, &call->news);
}

static void hear(unsigned int ifindex, const char *name, bool gone, bool up)
{
	struct call call = { .engine = rig.engine,
			     .news = {
				     .ifindex = ifindex, .gone = gone, .up = up, .carrier = up } };

	snprintf(call.news.name, sizeof(call.news.name), "%s", name);
	gw_loop_call(rig.engine->loop, hear_call, &call);
}

static bool failed(struct engine_rig *r)
{
	return port_state(rig_port(r, 1)) == GW_PORT_FAILED;
}

static unsigned int starts_wanted;

static bool started(struct engine_rig *r)
{
	return rig_count(r, 1, starts) == starts_wanted &&
	       port_state(rig_port(r, 1)) == GW_PORT_RUNNING;
}

static bool status_says(const char *text)
{
	char status[PORT_STATUS_BYTES];

	port_status(rig_port(&rig, 1), status, sizeof(status));
	return strstr(status, text);
}

/* Lent, copied, or dropped because the port is just being started over. */
static uint64_t seen(const struct pair *pair)
{
	return pair->lent_frames + pair->copied_frames + pair->reasons[GW_DROP_EGRESS_DOWN];
}

static bool is_lent(struct engine_rig *r)
{
	struct pair before = rig_pair(r, 0, 1), after;
	uint64_t end_ns = rig_end_ns();

	if (port_state(rig_port(r, 1)) != GW_PORT_RUNNING)
		return false;
	rig_send(r, memory, 1);
	for (;;) {
		after = rig_pair(r, 0, 1);
		if (seen(&after) != seen(&before))
			break;
		rig_yield(end_ns, "a frame to be lent, copied or dropped");
	}
	return after.lent_frames > before.lent_frames;
}

/* Its interface went before the engine looked: the port is stopped until there is one. */
static int begin(void **state)
{
	fake_template_reset();
	fake_template.copies_go = true;
	memory = rig_memory();
	rig_run(&rig, specs);
	rig_wait(failed, &rig, "the port without an interface to be stopped");
	assert_int_equal(port_link(rig_port(&rig, 1)), GW_LINK_GONE);
	assert_int_equal(rig_count(&rig, 1, stops), 1);
	starts_wanted = 2;
	hear(7, NAME, false, true);
	rig_wait(started, &rig, "a start");
	assert_int_equal(port_link(rig_port(&rig, 1)), GW_LINK_UP);
	return 0;
}

static int end(void **state)
{
	rig_free(&rig);
	memmap_put(memory);
	return 0;
}

static void loans_come_home_when_the_interface_goes(void **state)
{
	rig_wait(is_lent, &rig, "a loan");
	hear(7, NAME, true, false);
	rig_wait(failed, &rig, "the port to be stopped");
	rig_wait(rig_all_home, &rig, "all frames to come home");
	assert_true(status_says("there is none of that name now"));
	rig_send(&rig, memory, 3);
	rig_wait(rig_all_home, &rig, "frames to be dropped");
	assert_true(rig_pair(&rig, 0, 1).reasons[GW_DROP_EGRESS_DOWN] >= 3);
	/* What else there is to hear is of others. */
	hear(7, NAME, true, false);
	hear(8, "gw-elsewhere", false, true);
	assert_int_equal(rig_count(&rig, 1, starts), 2);
	starts_wanted = 3;
	hear(9, NAME, false, true);
	rig_wait(started, &rig, "a start");
	assert_false(status_says("there is none"));
	rig_wait(is_lent, &rig, "a loan");
}

static void a_renamed_interface_is_gone(void **state)
{
	hear(7, "gw-elsewhere", false, true);
	rig_wait(failed, &rig, "the port to be stopped");
	assert_int_equal(port_link(rig_port(&rig, 1)), GW_LINK_GONE);
	starts_wanted = 3;
	hear(7, NAME, false, true);
	rig_wait(started, &rig, "a start");
}

/* More has happened than the kernel could tell: the name is another interface's now. */
static void another_one_of_that_name_is_started_on(void **state)
{
	starts_wanted = 3;
	hear(8, NAME, false, true);
	rig_wait(started, &rig, "a start");
	assert_int_equal(rig_count(&rig, 1, stops), 2);
}

static void down_is_shown_and_nothing_else(void **state)
{
	hear(7, NAME, false, false);
	assert_int_equal(port_link(rig_port(&rig, 1)), GW_LINK_DOWN);
	assert_true(status_says("interface " NAME " is down"));
	hear(7, NAME, false, true);
	assert_int_equal(port_link(rig_port(&rig, 1)), GW_LINK_UP);
	assert_int_equal(rig_count(&rig, 1, starts), 2);
	assert_int_equal(rig_count(&rig, 1, stops), 1);
	assert_int_equal(port_state(rig_port(&rig, 1)), GW_PORT_RUNNING);
}

struct list {
	struct engine *engine;
	bool has_it;
};

/* All there is, as the kernel tells it once more when more has happened than it keeps. */
static void list_call(void *arg)
{
	const struct list *list = arg;
	const struct link_news news = { .ifindex = 7, .name = NAME, .up = true, .carrier = true };

	links_whole(list->engine, false);
	if (list->has_it)
		links_heard(list->engine, &news);
	links_whole(list->engine, true);
}

static void who_is_in_the_list_stays_and_who_is_not_is_gone(void **state)
{
	struct list list = { rig.engine, true };

	for (unsigned int i = 0; i < 2; i++) {
		gw_loop_call(rig.engine->loop, list_call, &list);
		assert_int_equal(port_link(rig_port(&rig, 1)), GW_LINK_UP);
	}
	list.has_it = false;
	gw_loop_call(rig.engine->loop, list_call, &list);
	assert_int_equal(port_link(rig_port(&rig, 1)), GW_LINK_GONE);
	rig_wait(failed, &rig, "the port to be stopped");
	assert_int_equal(rig_count(&rig, 1, stops), 2);
}

/* It comes back while it is still being stopped: the last word counts. */
static void it_goes_and_comes_faster_than_the_port_can_stop(void **state)
{
	for (unsigned int i = 0; i < 50; i++) {
		hear(7 + i, NAME, true, false);
		hear(8 + i, NAME, false, true);
	}
	rig_wait(is_lent, &rig, "a loan");
	assert_int_equal(port_link(rig_port(&rig, 1)), GW_LINK_UP);
}

static uint32_t gate, inside;

static void wait_at_gate(void *arg)
{
	uint64_t end_ns = gw_now_ns() + 10000000000ull;

	gw_store_release(&inside, 1u);
	while (!gw_load_acquire(&gate) && gw_now_ns() < end_ns)
		sched_yield();
}

static bool is_inside(struct engine_rig *r)
{
	return gw_load_acquire(&inside);
}

static void reopening_call(void *arg)
{
	*(bool *)arg = rig.engine->holder[1]->reopening;
}

static bool is_reopening(struct engine_rig *r)
{
	bool reopening = false;

	gw_loop_call(r->engine->loop, reopening_call, &reopening);
	return reopening;
}

/* Which of both it was started on nobody knows: it is started once more. */
static void one_that_comes_during_a_start_counts(void **state)
{
	gate = inside = 0;
	rig_fake(&rig, 1)->in_query = wait_at_gate;
	rig_send(&rig, memory, 1);
	rig_wait(is_inside, &rig, "a query that takes its time");
	hear(8, NAME, false, true);
	rig_wait(is_reopening, &rig, "a start to be due");
	hear(9, NAME, false, true);
	gw_store_release(&gate, 1u);
	starts_wanted = 4;
	rig_wait(started, &rig, "two starts");
	assert_int_equal(rig_count(&rig, 1, stops), 3);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(loans_come_home_when_the_interface_goes),
		TEST(a_renamed_interface_is_gone),
		TEST(another_one_of_that_name_is_started_on),
		TEST(down_is_shown_and_nothing_else),
		TEST(who_is_in_the_list_stays_and_who_is_not_is_gone),
		TEST(one_that_comes_during_a_start_counts),
		TEST(it_goes_and_comes_faster_than_the_port_can_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
