/* SPDX-License-Identifier: BSD-2-Clause */
#include "worker_rig.h"

#include "loop.h"
#include <sched.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct worker *the_worker;
struct gw_error err;

static void ask_nobody(struct pair *pair)
{
}

static void apply_there(struct gw_port *port, void (*fn)(void *arg), void *arg)
{
	worker_apply(the_worker, fn, arg);
}

static const struct port_host host = { .apply = apply_there, .ask = ask_nobody };

struct rig *rig_open(const char *a, const char *b)
{
	static struct rig rig;
	const char *const specs[] = { a, b };

	memset(&rig, 0, sizeof(rig));
	fake_template_reset();
	assert_int_equal(arena_create(4u << 20, &rig.arena, &err), 0);
	assert_int_equal(worker_create(0, &the_worker, &err), 0);
	for (unsigned int i = 0; i < 2; i++) {
		struct gw_port *port = fake_port_open(specs[i], &host, rig.arena);

		assert_int_equal(network_add(&rig.network, port, &err), 0);
	}
	assert_int_equal(network_connect(&rig.network, &err), 0);
	assert_int_equal(worker_add_lane(the_worker, rig.network.lane[0], &err), 0);
	return &rig;
}

void rig_close(struct rig *rig)
{
	worker_free(the_worker);
	the_worker = NULL;
	network_disconnect(&rig->network);
	for (unsigned int i = 0; i < 2; i++)
		fake_port_close(rig->network.port[i]);
	arena_destroy(rig->arena);
}

struct fake *fake_at(struct rig *rig, unsigned int i)
{
	return fake_of(rig->network.port[i]);
}

static void look_apply(void *arg)
{
	struct look *look = arg;

	look->rx_calls = look->fake->rx_calls;
	look->taken = look->fake->taken;
	look->arms = look->fake->arms;
	look->waiting = look->fake->port->queue[0]->waiting_count -
			look->fake->port->queue[0]->waiting_next;
}

struct look look_at(struct fake *fake)
{
	struct look look = { .fake = fake };

	worker_apply(the_worker, look_apply, &look);
	return look;
}

void wait_for_sleep(struct fake *fake)
{
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS, before, still_ns;

	do {
		before = gw_load_relaxed(&fake->arms);
		still_ns = gw_now_ns() + 2000000;
		while (gw_now_ns() < still_ns)
			sched_yield();
		assert_true(gw_now_ns() < end_ns);
	} while (!before || gw_load_relaxed(&fake->arms) != before);
}

void wait_for_rx(struct fake *fake, uint64_t more_than)
{
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS;

	while (gw_load_relaxed(&fake->rx_calls) <= more_than) {
		if (gw_now_ns() > end_ns)
			fail_msg("the worker was not woken");
		sched_yield();
	}
}

static struct gw_frame *frame_of(struct fake *fake, unsigned int id)
{
	static uint8_t bytes[64];
	struct iovec seg = { bytes, sizeof(bytes) };

	memset(bytes, 0xff, 6);
	return fake_frame(fake, id, NULL, &seg, 1);
}

void lend_apply(void *arg)
{
	struct lend *lend = arg;

	for (unsigned int i = 0; i < lend->count; i++) {
		frame_of(lend->fake, i);
		fake_lend(lend->fake, i);
	}
}

bool wait_for_taken(struct fake *fake, uint64_t count)
{
	uint64_t end_ns = gw_now_ns() + DEADLINE_NS;

	while (look_at(fake).taken < count)
		if (gw_now_ns() > end_ns)
			return false;
	return true;
}

void down_apply(void *arg)
{
	struct gw_port *port = arg;

	port->up = false;
	desk_abandon(port->queue[0], GW_DROP_EGRESS_DOWN);
}

void wait_a_moment(void *arg)
{
	uint64_t end_ns = gw_now_ns() + MOMENT_NS;

	while (gw_now_ns() < end_ns)
		sched_yield();
}
