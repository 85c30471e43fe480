/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What changes under an xdp port while it runs: its queue, its interface, what the kernel
 * makes of its frames; and what is left when it is gone. (xdp_memory_test.c: memory)
 */
#include "xdp_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- a queue that is taken ---- */

struct holder {
	struct xsk *xsk;
	unsigned int after_ms;
};

static void *holder_run(void *arg)
{
	struct holder *holder = arg;
	struct timespec pause = { .tv_nsec = holder->after_ms * 1000000l };

	nanosleep(&pause, NULL);
	xsk_close(holder->xsk);
	return NULL;
}

static struct xsk *hold_queue(void *umem)
{
	struct xsk_config config = { .umem = { umem, 8192 }, .tx_entries = 2, .rx_entries = 2 };
	struct gw_error err = { 0 };
	uint64_t end_ms = host_now_ms() + LIMIT_MS;
	struct netdev_info info;
	struct xsk *xsk;

	assert_int_equal(netdev_read("near", &info, &err), 0);
	assert_int_equal(xsk_open(&config, &xsk, &err), 0);
	/* The one before may be on its way out. */
	while (xsk_bind(xsk, info.ifindex, 0, XDP_COPY))
		assert_true(host_now_ms() < end_ms);
	return xsk;
}

static void busy_queue_is_waited_for(void **state)
{
	struct holder holder = { .after_ms = 100 };
	struct gw_error err = { 0 };
	void *umem = aligned_alloc(4096, 8192);
	struct gw_port *port;
	pthread_t thread;

	veth_add("near", "far", 1500);
	holder.xsk = hold_queue(umem);
	assert_int_equal(host_open(&gw_driver_xdp, "up=near,rxring=64", &port, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, holder_run, &holder), 0);
	assert_int_equal(host_start(port, &err), 0);
	pthread_join(thread, NULL);
	assert_int_equal(host_stop(port, 1000), 0);
	/* Held for ever: a clear word, and nothing left behind. */
	holder.xsk = hold_queue(umem);
	assert_int_equal(host_start(port, &err), -EBUSY);
	assert_non_null(strstr(err.text, "queue 0"));
	assert_int_equal(host_query(port, NULL).verdict, GW_NO);
	xsk_close(holder.xsk);
	assert_int_equal(host_start(port, &err), 0);
	assert_int_equal(host_stop(port, 1000), 0);
	host_close(port);
	veth_delete("near");
	free(umem);
}

/* ---- devices that go ---- */

static void link_goes_down_and_comes_up(void **state)
{
	struct gw_frame frame, *offer = &frame;
	struct iovec seg;
	struct fixture f;
	uint64_t end_ms = host_now_ms() + LIMIT_MS;
	unsigned int taken;

	fixture_open(&f, "up=near,rxring=64", 1500);
	host_lend(f.port, f.memory.memmap);
	send_one(&f, 1, 100);
	veth_run("ip link set near down");
	seg = (struct iovec){ host_memory_at(&f.memory, 5000), 200 };
	pattern_fill(f.memory.guest + 5000, 200, 1);
	host_frame(&frame, f.memory.memmap, &seg, 1);
	/* The first finds out, the ones after it are refused. */
	taken = xdp_tx(host_queue(f.port), &offer, 1);
	if (taken) {
		struct gw_frame next = frame, *second = &next;

		next.seg = next.own;
		assert_int_equal(xdp_tx(host_queue(f.port), &second, 1), 0);
	}
	assert_int_equal(host_queue(f.port)->refusal, GW_DROP_EGRESS_DOWN);
	veth_run("ip link set near up");
	assert_int_equal(host_reap(f.port, NULL, taken, LIMIT_MS), taken);
	while (far_receive(f.far, fixture_bytes, sizeof(fixture_bytes), 1) &&
	       host_now_ms() < end_ms)
		;
	close(f.far);
	f.far = far_open("far", VETH_TYPE, false);
	send_one(&f, 12345, 1514);
	fixture_close(&f);
}

static void interface_is_deleted_and_made_again(void **state)
{
	struct gw_frame frame, *offer = &frame;
	struct gw_answer answer;
	struct fixture f;
	struct iovec seg;

	fixture_open(&f, "up=near,rxring=64", 1500);
	host_lend(f.port, f.memory.memmap);
	send_one(&f, 1, 100);
	close(f.far);
	veth_delete("near");
	seg = (struct iovec){ host_memory_at(&f.memory, 5000), 200 };
	host_frame(&frame, f.memory.memmap, &seg, 1);
	if (xdp_tx(host_queue(f.port), &offer, 1) == 1) {
		answer = host_query(f.port, f.memory.memmap);
		assert_int_equal(answer.verdict, GW_NO);
		assert_int_equal(host_reap(f.port, NULL, 1, LIMIT_MS), 1);
	}
	answer = host_query(f.port, f.memory.memmap);
	assert_int_equal(answer.verdict, GW_NO);
	assert_int_equal(answer.reason, GW_COPY_DEVICE_DOWN);
	assert_non_null(strstr(answer.text, "near"));
	assert_int_equal(xdp_tx(host_queue(f.port), &offer, 1), 0);
	veth_add("near", "far", 1500);
	f.far = far_open("far", VETH_TYPE, false);
	answer = host_query(f.port, f.memory.memmap);
	assert_int_equal(answer.verdict, GW_PARTLY);
	assert_true(answer.needs_map);
	host_lend(f.port, f.memory.memmap);
	send_one(&f, 4321, 1514);
	pattern_fill(fixture_bytes, 300, 5);
	far_send(f.far, fixture_bytes, 300);
	if (veth_privileged()) {
		struct gw_frame *got;

		assert_int_equal(host_receive(f.port, &got, 1, LIMIT_MS), 1);
		host_release(f.port, &got, 1);
	}
	fixture_close(&f);
}

static void submit_invalid(struct fixture *f)
{
	struct xsk_ring *tx = &f->ch->xsk->tx;

	*xsk_desc(tx, tx->mine) = (struct xdp_desc){ .addr = 1ull << 47, .len = 64 };
	xsk_produce(tx, tx->mine + 1);
}

/* The kernel counts an invalid descriptor: nobody knows whose; all is opened anew. */
static void invalid_descriptor_opens_anew(void **state)
{
	struct fixture f;

	fixture_open(&f, "up=near,rxring=64", 1500);
	host_lend(f.port, f.memory.memmap);
	send_one(&f, 1, 100);
	submit_invalid(&f);
	send_one(&f, 5000, 100);
	assert_true(host_query(f.port, f.memory.memmap).needs_map);
	assert_non_null(strstr(host_record(f.port)->log, "opened anew"));
	host_lend(f.port, f.memory.memmap);
	send_one(&f, 9000, 1514);
	fixture_close(&f);
}

/*
 * A kernel that does not complete what it finds invalid: seen too while other frames
 * come back all the time, and the port never comes to rest.
 */
static void invalid_descriptor_is_noticed_under_traffic(void **state)
{
	static struct gw_frame frame[GW_BATCH];
	struct gw_frame *batch[GW_BATCH];
	struct fixture f;
	uint64_t end_ms = host_now_ms() + LIMIT_MS;

	fixture_open(&f, "up=near,rxring=64", 1500);
	host_lend(f.port, f.memory.memmap);
	submit_invalid(&f);
	for (unsigned int i = 0; i < GW_BATCH; i++) {
		struct iovec seg = { host_memory_at(&f.memory, 2000 * i), 100 };

		host_frame(&frame[i], f.memory.memmap, &seg, 1);
		batch[i] = &frame[i];
	}
	while (!gw_load_relaxed(&f.ch->broken)) {
		struct gw_done done[GW_BATCH];
		unsigned int out = xdp_tx(host_queue(f.port), batch, GW_BATCH);

		for (; out; assert_true(host_now_ms() < end_ms))
			out -= xdp_reap(host_queue(f.port), done, out);
		assert_true(host_now_ms() < end_ms);
	}
	assert_true(host_query(f.port, f.memory.memmap).needs_map);
	host_lend(f.port, f.memory.memmap);
	close(f.far);
	f.far = far_open("far", VETH_TYPE, false);
	send_one(&f, 9000, 1514);
	fixture_close(&f);
}

static void starts_again_after_a_stop_with_frames_out(void **state)
{
	struct gw_done done[4];
	struct gw_error err = { 0 };
	struct gw_frame frame;
	struct fixture f;
	struct iovec seg;

	fixture_open(&f, "up=near,rxring=64", 1500);
	host_lend(f.port, f.memory.memmap);
	seg = (struct iovec){ host_memory_at(&f.memory, 100), 100 };
	for (unsigned int round = 0; round < 3; round++) {
		host_frame(&frame, f.memory.memmap, &seg, 1);
		host_send(f.port, &frame);
		assert_int_equal(host_stop(f.port, 500), 0);
		assert_int_equal(host_reap(f.port, done, 1, 0), 1);
		assert_ptr_equal(done[0].frame, &frame);
		assert_int_equal(host_query(f.port, f.memory.memmap).verdict, GW_NO);
		assert_int_equal(host_start(f.port, &err), 0);
		host_lend(f.port, f.memory.memmap);
	}
	while (far_receive(f.far, fixture_bytes, sizeof(fixture_bytes), 1))
		;
	send_one(&f, 1, 1000);
	fixture_close(&f);
}

/*
 * A port that stops with a frame in a device that does not let go: played by a second
 * descriptor of the socket, which keeps it open and is returned, and by clearing the flag
 * that makes the driver wake the kernel.
 */
static int stop_with_one_held(struct fixture *f, struct gw_frame *frame)
{
	struct iovec seg;
	int second;

	fixture_open(f, "up=near,rxring=64", 1500);
	host_lend(f->port, f->memory.memmap);
	seg = (struct iovec){ host_memory_at(&f->memory, 100), 100 };
	host_frame(frame, f->memory.memmap, &seg, 1);
	*f->ch->xsk->tx.flags = 0;
	assert_int_equal(xdp_tx(host_queue(f->port), &frame, 1), 1);
	f->ch->reads = GW_READS_DMA;
	second = dup(f->ch->xsk->fd);
	assert_int_equal(host_stop(f->port, 200), 1);
	return second;
}

static void what_is_not_let_go_is_said(void **state)
{
	struct gw_error err = { 0 };
	struct gw_frame frame;
	struct gw_done done;
	struct fixture f;
	int second;

	second = stop_with_one_held(&f, &frame);
	assert_int_equal(host_reap(f.port, &done, 1, 0), 0);
	assert_int_equal(host_query(f.port, f.memory.memmap).verdict, GW_NO);
	assert_int_equal(host_start(f.port, &err), -EBUSY);
	assert_int_equal(host_reap(f.port, &done, 1, 0), 0);
	close(second);
	assert_int_equal(host_start(f.port, &err), 0);
	assert_int_equal(host_reap(f.port, &done, 1, 0), 1);
	assert_ptr_equal(done.frame, &frame);
	assert_int_equal(done.status, GW_DONE_FAILED);
	host_lend(f.port, f.memory.memmap);
	send_one(&f, 1, 1000);
	fixture_close(&f);
}

/* The same, and then another interface has the name: that its queue is free says nothing. */
static void what_another_interface_holds_is_not_let_go(void **state)
{
	struct gw_error err = { 0 };
	struct gw_frame frame;
	struct gw_done done;
	struct fixture f;
	int second;

	second = stop_with_one_held(&f, &frame);
	veth_run("ip link set near down && ip link set near name other");
	close(f.far);
	veth_run("ip link set far down && ip link set far name farther");
	veth_add("near", "far", 1500);
	f.far = far_open("far", VETH_TYPE, false);
	assert_int_equal(host_start(f.port, &err), -EBUSY);
	assert_int_equal(host_reap(f.port, &done, 1, 0), 0);
	close(second);
	assert_int_equal(host_start(f.port, &err), 0);
	assert_int_equal(host_reap(f.port, &done, 1, 0), 1);
	assert_int_equal(done.status, GW_DONE_FAILED);
	host_lend(f.port, f.memory.memmap);
	send_one(&f, 1, 1000);
	veth_delete("other");
	fixture_close(&f);
}

/* ---- what must not survive ---- */

static void nothing_survives_sigkill(void **state)
{
	uint64_t end_ms = host_now_ms() + LIMIT_MS;
	int ready[2], status;
	char c;
	pid_t child;

	veth_add("near", "far", 1500);
	assert_int_equal(pipe(ready), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct gw_error err;
		struct gw_port *port;

		host_arena_free();
		if (host_open(&gw_driver_xdp, "up=near,rxring=64,promisc=on", &port, &err) ||
		    host_start(port, &err) || write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_true(link_shows("promiscuity 1"));
	assert_int_equal(link_shows("prog/xdp"), veth_privileged());
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	while ((link_shows("promiscuity 1") || link_shows("prog/xdp")) && host_now_ms() < end_ms)
		;
	assert_true(link_shows("promiscuity 0"));
	assert_false(link_shows("prog/xdp"));
	close(ready[0]);
	veth_delete("near");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_teardown(fn, fixture_tidy)
	const struct CMUnitTest tests[] = {
		TEST(busy_queue_is_waited_for),
		TEST(link_goes_down_and_comes_up),
		TEST(interface_is_deleted_and_made_again),
		TEST(invalid_descriptor_opens_anew),
		TEST(invalid_descriptor_is_noticed_under_traffic),
		TEST(starts_again_after_a_stop_with_frames_out),
		TEST(what_is_not_let_go_is_said),
		TEST(what_another_interface_holds_is_not_let_go),
		TEST(nothing_survives_sigkill),
	};

	return fixture_main(tests);
}
