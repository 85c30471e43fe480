/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port whose socket changes while the device has frames. To wait for them is no stall of the
 * device as long as the port is paused: looked at where the driver waits, bind_wait() being this
 * test's.
 */
#include "xdp_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct {
	struct gw_port *port; /* that is looked at */
	unsigned int waits, unpaused;
} world;

void __real_bind_wait(void);
void __wrap_bind_wait(void);

void __wrap_bind_wait(void)
{
	if (world.port) {
		world.waits++;
		world.unpaused += !host_paused(world.port);
	}
	__real_bind_wait();
}

/* Shown to the kernel, which nobody wakes: it holds the frame until its socket is closed. */
static void hold_one(struct fixture *f, struct gw_frame *frame)
{
	struct iovec seg = { host_memory_at(&f->memory, 100), 100 };

	host_frame(frame, f->memory.memmap, &seg, 1);
	*f->ch->xsk->tx.flags = 0;
	assert_int_equal(xdp_tx(host_queue(f->port), &frame, 1), 1);
}

static void port_pauses_before_it_waits_for_the_device(void **state)
{
	struct gw_error err = { 0 };
	struct gw_frame frame;
	struct gw_done done;
	struct fixture f;

	fixture_open(&f, "up=near,rxring=64", 1500);
	host_lend(f.port, f.memory.memmap);
	hold_one(&f, &frame);
	world.port = f.port;
	assert_int_equal(gw_driver_xdp.remap(f.port, f.memory.memmap, &err), 0);
	world.port = NULL;
	assert_true(world.waits > 0);
	assert_int_equal(world.unpaused, 0);
	assert_false(host_paused(f.port));
	assert_int_equal(host_reap(f.port, &done, 1, 0), 1);
	assert_ptr_equal(done.frame, &frame);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(port_pauses_before_it_waits_for_the_device, fixture_tidy),
	};

	return fixture_main(tests);
}
