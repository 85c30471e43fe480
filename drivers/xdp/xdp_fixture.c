/* SPDX-License-Identifier: BSD-2-Clause */
#include "xdp_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

uint8_t fixture_bytes[70000];

void fixture_open(struct fixture *f, const char *spec, unsigned int mtu)
{
	fixture_open_queues(f, spec, mtu, 1);
}

void fixture_open_queues(struct fixture *f, const char *spec, unsigned int mtu, unsigned int queues)
{
	memset(f, 0, sizeof(*f));
	veth_add_queues("near", "far", mtu, queues);
	f->far = far_open("far", VETH_TYPE, false);
	host_memory_create(&f->memory, GUEST_BYTES, 0);
	f->port = host_run(&gw_driver_xdp, spec);
	f->p = gw_port_priv(f->port);
	f->ch = &f->p->channel[0];
}

void fixture_close(struct fixture *f)
{
	assert_int_equal(host_stop(f->port, 1000), 0);
	host_close(f->port);
	host_memory_destroy(&f->memory);
	close(f->far);
	veth_delete("near");
}

void send_one(struct fixture *f, size_t offset, size_t len)
{
	struct iovec seg = { host_memory_at(&f->memory, offset), len };
	struct gw_done done = { 0 };
	struct gw_frame frame;

	pattern_fill(f->memory.guest + offset, len, ++f->number);
	host_frame(&frame, f->memory.memmap, &seg, 1);
	host_send(f->port, &frame);
	assert_int_equal(far_receive(f->far, fixture_bytes, sizeof(fixture_bytes), LIMIT_MS), len);
	assert_true(pattern_holds(fixture_bytes, len, f->number));
	assert_int_equal(host_reap(f->port, &done, 1, LIMIT_MS), 1);
	assert_ptr_equal(done.frame, &frame);
	assert_int_equal(done.status, GW_DONE_OK);
}

void receive_one(struct fixture *f, size_t len, unsigned int segs_min)
{
	struct gw_frame *frame;

	pattern_fill(fixture_bytes, len, ++f->number);
	far_send(f->far, fixture_bytes, len);
	assert_int_equal(host_receive(f->port, &frame, 1, LIMIT_MS), 1);
	assert_int_equal(frame->len, len);
	assert_null(frame->memmap);
	assert_true(frame->seg_count >= segs_min);
	assert_int_equal(host_frame_bytes(frame, fixture_bytes, sizeof(fixture_bytes)), len);
	assert_true(pattern_holds(fixture_bytes, len, f->number));
	assert_memory_equal(frame->snapshot, fixture_bytes, GW_FRAME_SNAPSHOT);
	host_release(f->port, &frame, 1);
}

bool link_shows(const char *word)
{
	char line[1024];
	FILE *ip = popen("ip -d link show near", "r");
	bool found = false;

	assert_non_null(ip);
	while (fgets(line, sizeof(line), ip))
		found |= strstr(line, word) != NULL;
	pclose(ip);
	return found;
}

bool fixture_enter(void)
{
	char why[256];

	host_arena_bytes = 2 << 20;
	if (veth_enter(why, sizeof(why)))
		return true;
	fprintf(stderr, "skipped: %s\n", why);
	return false;
}

int fixture_tidy(void **state)
{
	int rc = system("ip link delete near 2>/dev/null");

	(void)rc;
	return 0;
}
