/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory of guests that comes, goes and changes under an xdp port while it runs, and the
 * sockets that change places for it; and memory that cannot be had.
 */
#include "xdp_fixture.h"

#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* Sockets that change places in the test of traffic, three a round. */
#define CHANGES 30u

/* ---- sockets that change places ---- */

struct worker {
	struct fixture *f;
	pthread_t thread;
	uint32_t stop;
	struct gw_frame frame[256];
	uint32_t out[256]; /* 1 while the driver has it */
	uint64_t sent;     /* read by the test too */
	unsigned long done, failed;
};

static void worker_reap(struct worker *w)
{
	struct gw_done done[GW_BATCH];
	unsigned int n = xdp_reap(host_queue(w->f->port), done, GW_BATCH);

	for (unsigned int i = 0; i < n; i++) {
		size_t index = (size_t)(done[i].frame - w->frame);

		if (index >= 256 || !w->out[index])
			abort(); /* twice, or never sent */
		w->out[index] = 0;
		w->done++;
		w->failed += done[i].status == GW_DONE_FAILED;
	}
}

static void worker_send(struct worker *w)
{
	for (unsigned int i = 0; i < 256; i++) {
		struct gw_frame *frame = &w->frame[i];

		if (w->out[i])
			continue;
		w->out[i] = 1;
		if (!xdp_tx(host_queue(w->f->port), &frame, 1)) {
			w->out[i] = 0;
			return;
		}
		gw_counter_add(&w->sent, 1);
	}
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;

	while (!gw_load_acquire(&w->stop)) {
		host_visit_begin(w->f->port);
		if (!host_paused(w->f->port))
			worker_send(w);
		worker_reap(w);
		host_visit_end(w->f->port);
		sched_yield();
	}
	return NULL;
}

/* The worker has sent some more since the last change. */
static void wait_for_traffic(struct worker *w)
{
	uint64_t end_ms = host_now_ms() + LIMIT_MS, from = gw_counter_read(&w->sent);

	while (gw_counter_read(&w->sent) < from + 300) {
		assert_true(host_now_ms() < end_ms);
		sched_yield();
	}
}

/* Private frames are sent all the time while a guest comes and goes. */
static void memory_changes_under_traffic(void **state)
{
	static struct worker w;
	struct gw_error err = { 0 };
	struct fixture f;
	uint8_t *buffer;
	uint64_t took_ms;

	fixture_open(&f, "up=near,rxring=64", 1500);
	memset(&w, 0, sizeof(w));
	w.f = &f;
	buffer = host_arena_buffer(f.port);
	pattern_fill(buffer, 1000, 7);
	for (unsigned int i = 0; i < 256; i++) {
		struct iovec seg = { buffer, 1000 };

		host_frame(&w.frame[i], NULL, &seg, 1);
	}
	assert_int_equal(pthread_create(&w.thread, NULL, worker_run, &w), 0);
	took_ms = host_now_ms();
	for (unsigned int i = 0; i < CHANGES; i += 3) {
		wait_for_traffic(&w);
		host_lend(f.port, f.memory.memmap);
		wait_for_traffic(&w);
		assert_int_equal(gw_driver_xdp.remap(f.port, f.memory.memmap, &err), 0);
		wait_for_traffic(&w);
		gw_driver_xdp.unmap(f.port, f.memory.memmap);
	}
	took_ms = host_now_ms() - took_ms;
	gw_store_release(&w.stop, 1);
	pthread_join(w.thread, NULL);
	while (w.done < w.sent) {
		struct gw_done done[GW_BATCH];
		unsigned int n = host_reap(f.port, done, 1, LIMIT_MS);

		assert_int_equal(n, 1);
		w.done += n;
	}
	assert_int_equal(f.ch->tx.held, 0);
	assert_int_equal(f.ch->tx.bogus, 0);
	assert_null(strstr(host_record(f.port)->log, "anew"));
	print_message("    %u changes in %lu ms, %lu frames, %lu of them ended by a change\n",
		      CHANGES, (unsigned long)took_ms, (unsigned long)w.sent, w.failed);
	fixture_close(&f);
}

/* The kernel sends from the pages that it has pinned: the guest has others there by now. */
static void pages_that_were_replaced_are_sent_from_when_mapped_anew(void **state)
{
	struct gw_error err = { 0 };
	unsigned int requeries;
	struct fixture f;

	fixture_open(&f, "up=near,rxring=64", 1500);
	host_lend(f.port, f.memory.memmap);
	send_one(&f, 77, 1000);
	requeries = host_record(f.port)->requeries;
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(madvise(f.memory.guest, f.memory.bytes, MADV_REMOVE), 0);
		assert_int_equal(gw_driver_xdp.remap(f.port, f.memory.memmap, &err), 0);
		send_one(&f, 77, 1000);
	}
	assert_int_equal(host_record(f.port)->requeries, requeries);
	gw_driver_xdp.unmap(f.port, f.memory.memmap);
	assert_int_equal(gw_driver_xdp.remap(f.port, f.memory.memmap, &err), -ENOENT);
	fixture_close(&f);
}

static void second_guest_is_refused_until_the_first_has_gone(void **state)
{
	struct host_memory other;
	struct gw_error err = { 0 };
	struct gw_answer answer;
	struct fixture f;
	unsigned int requeries;

	fixture_open(&f, "up=near,rxring=64", 1500);
	host_memory_create(&other, GUEST_BYTES, 0);
	host_lend(f.port, f.memory.memmap);
	answer = host_query(f.port, other.memmap);
	assert_int_equal(answer.verdict, GW_NO);
	assert_int_equal(answer.reason, GW_COPY_MEMORY_TAKEN);
	assert_int_equal(gw_driver_xdp.map(f.port, other.memmap, &err), -EBUSY);
	assert_non_null(strstr(err.text, "another guest"));
	requeries = host_record(f.port)->requeries;
	gw_driver_xdp.unmap(f.port, other.memmap); /* nobody's: nothing happens */
	assert_int_equal(host_record(f.port)->requeries, requeries);
	gw_driver_xdp.unmap(f.port, f.memory.memmap);
	assert_true(host_record(f.port)->requeries > requeries);
	assert_int_equal(host_query(f.port, other.memmap).verdict, GW_PARTLY);
	host_lend(f.port, other.memmap);
	host_memory_destroy(&f.memory);
	f.memory = other;
	send_one(&f, 77, 1000);
	fixture_close(&f);
}

/* ---- memory that cannot be had ---- */

/*
 * The limit is for all that the processes of one user have locked, and others of
 * ours may be running: so the child is a user of its own, with all capabilities but one.
 */
static bool be_limited(rlim_t bytes)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	const uid_t user = 10000 + (uid_t)getpid() % 50000;
	const struct rlimit limit = { bytes, bytes };
	struct __user_cap_data_struct caps[2];

	if (setrlimit(RLIMIT_MEMLOCK, &limit) || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) ||
	    setresuid(user, user, user) || syscall(SYS_capget, &header, caps))
		return false;
	caps[0].effective = caps[0].permitted;
	caps[1].effective = caps[1].permitted;
	caps[CAP_IPC_LOCK / 32].effective &= ~(1u << CAP_IPC_LOCK % 32);
	return !syscall(SYS_capset, &header, caps);
}

/* In a child: the test's exit code, 0 if all was as it should be. */
static int memlock_child(void)
{
	struct host_memory memory;
	struct gw_error err = { 0 };
	unsigned int requeries;
	struct gw_port *port;

	host_arena_free();
	if (!be_limited(3 << 20))
		return 2;
	if (host_open(&gw_driver_xdp, "up=near,rxring=64", &port, &err) || host_start(port, &err))
		return 4;
	host_memory_create(&memory, GUEST_BYTES, 0);
	requeries = host_record(port)->requeries;
	if (gw_driver_xdp.map(port, memory.memmap, &err) != -ENOBUFS)
		return 5;
	/* Nothing has changed: asked again, it would fail again, for ever. */
	if (host_record(port)->requeries != requeries)
		return 8;
	if (!strstr(err.text, "locked memory") || !strstr(err.text, "CAP_IPC_LOCK"))
		return 6;
	/* The port goes on with the arena alone. */
	if (host_query(port, NULL).verdict != GW_YES)
		return 7;
	return host_stop(port, 500);
}

static void memlock_limit_is_named(void **state)
{
	int status;
	pid_t child;

	veth_add("near", "far", 1500);
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(memlock_child());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	veth_delete("near");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_teardown(fn, fixture_tidy)
	const struct CMUnitTest tests[] = {
		TEST(memory_changes_under_traffic),
		TEST(pages_that_were_replaced_are_sent_from_when_mapped_anew),
		TEST(second_guest_is_refused_until_the_first_has_gone),
		TEST(memlock_limit_is_named),
	};

	return fixture_main(tests);
}
