/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel that runs out of buffers in the middle of a burst: sendto is this test's, and
 * takes as many descriptors as it is told to before it says ENOBUFS.
 */
#include "xdp_fake.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#define GUEST_BYTES (1u << 20)
#define FRAMES      8u
#define TAKEN       3u

static struct {
	struct fake_kernel kernel;
	unsigned int room; /* descriptors that it has memory for */
	int code;          /* what it says beyond */
	unsigned int calls;
	uint64_t word[FRAMES];
	unsigned int words;
} world;

/* What sendto of an AF_XDP socket in copy mode does; linked in its place. */
ssize_t __wrap_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
		      socklen_t to_len);

ssize_t __wrap_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
		      socklen_t to_len)
{
	world.calls++;
	for (; !fake_idle(&world.kernel); world.room--) {
		if (!world.room) {
			errno = world.code;
			return -1;
		}
		world.word[world.words++] = fake_takes(&world.kernel).addr;
	}
	return 0;
}

static struct gw_port *open_port(struct host_memory *memory)
{
	struct gw_port *port = fake_open(false);
	struct xdp_channel *ch = &fake_port(port)->channel[0];

	host_memory_create(memory, GUEST_BYTES, 0);
	fake_init(&world.kernel, ch);
	world.kernel.tx.flags = XDP_RING_NEED_WAKEUP;
	world.kernel.xsk.multi_buffer = true;
	ch->reads = GW_READS_KERNEL_COPY;
	tx_attach(ch, memory->memmap);
	return port;
}

static void close_port(struct gw_port *port, struct host_memory *memory)
{
	fake_close(port);
	host_memory_destroy(memory);
}

/* All that it has taken is sent. */
static unsigned int complete_and_reap(struct gw_port *port, struct gw_done *done)
{
	for (unsigned int i = 0; i < world.words; i++)
		fake_completes(&world.kernel, world.word[i]);
	world.words = 0;
	return xdp_reap(host_queue(port), done, GW_BATCH);
}

/*
 * What was accepted stays accepted: nothing is dropped, nothing comes back before the
 * kernel has had it, and no call is made again and again meanwhile.
 */
static void buffers_that_run_out_in_mid_burst(void **state)
{
	static const int codes[] = { ENOBUFS, EAGAIN };
	static struct gw_frame frame[FRAMES];
	struct gw_frame *batch[FRAMES];
	struct gw_done done[GW_BATCH];

	for (size_t c = 0; c < sizeof(codes) / sizeof(codes[0]); c++) {
		struct host_memory memory;
		struct gw_port *port;
		unsigned int poll_us = 0;

		memset(&world, 0, sizeof(world));
		world.room = TAKEN;
		world.code = codes[c];
		port = open_port(&memory);
		for (unsigned int i = 0; i < FRAMES; i++) {
			struct iovec seg = { host_memory_at(&memory, 5000 * i), 400 };

			host_frame(&frame[i], memory.memmap, &seg, 1);
			batch[i] = &frame[i];
		}
		assert_int_equal(xdp_tx(host_queue(port), batch, FRAMES), FRAMES);
		assert_int_equal(world.calls, 2); /* one that took some, one that took none */
		assert_int_equal(complete_and_reap(port, done), TAKEN);
		/* It is tried again before the worker sleeps, and that is not to be for long. */
		assert_false(xdp_arm(host_queue(port), GW_WANT_TX, &poll_us));
		assert_true(poll_us > 0);
		assert_int_equal(complete_and_reap(port, done), 0);
		world.room = FRAMES;
		xdp_arm(host_queue(port), GW_WANT_TX, &poll_us);
		assert_int_equal(complete_and_reap(port, done), FRAMES - TAKEN);
		for (unsigned int i = 0; i < FRAMES - TAKEN; i++) {
			assert_ptr_equal(done[i].frame, &frame[TAKEN + i]);
			assert_int_not_equal(done[i].status, GW_DONE_FAILED);
		}
		for (unsigned int r = 0; r < GW_REASON_COUNT; r++)
			assert_int_equal(host_record(port)->drops[r], 0);
		close_port(port, &memory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_that_run_out_in_mid_burst),
	};

	return cmocka_run_group_tests(tests, NULL, host_end);
}
