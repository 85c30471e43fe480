/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop driver: a device under test control.
 *
 * It stands for a NIC that reads guest memory by DMA. The device itself is
 * simulated (loop_device.h): it gets addresses, reads bytes when it completes a
 * frame and not before, and can be told to hold, delay, reorder, lose, fail or
 * duplicate completions and to change its mind about the query, by options and
 * by a test in the same process (loop_test_api.h).
 *
 * Its driver is a complete one, as drivers go. Frames are the worker's (loop_queue.c),
 * and here is control:
 *
 *   - map and unmap keep the set of memmaps that the device may read, and a frame
 *     of another one is a mistake of ours (assert), as is an unmap of memory that
 *     the device still has addresses of;
 *   - stop transmits what is merely late and takes back what is lost; with
 *     `stubborn` it cannot, waits until the deadline and says how many are left.
 *
 * What the device transmits goes nowhere, or with `echo` is received again.
 *
 * Threads: the state of the device and of the slots is the worker's. Control
 * functions change it through gw_port_apply() only; the answer to the query is
 * control's own and has a lock.
 */
#include "fd.h"
#include "loop_port.h"
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* All loop ports of the process, for tests. */
static pthread_mutex_t ports_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gw_list ports = { &ports, &ports };

struct loop *loop_find(const char *port_name)
{
	struct loop *found = NULL;
	struct gw_list *node;

	pthread_mutex_lock(&ports_lock);
	gw_list_for_each(node, &ports) {
		struct loop *loop = gw_container_of(node, struct loop, node);

		if (strcmp(gw_port_name(loop->port), port_name) == 0)
			found = loop;
	}
	pthread_mutex_unlock(&ports_lock);
	return found;
}

/* ---- open and close ---- */

static void loop_close(struct gw_port *port)
{
	struct loop *loop = gw_port_priv(port);

	if (!loop)
		return;
	pthread_mutex_lock(&ports_lock);
	gw_list_del(&loop->node);
	pthread_mutex_unlock(&ports_lock);
	gw_port_set_priv(port, NULL);
	gw_port_queue(port, 0)->priv = NULL;
	loop_device_close(loop->device);
	rx_pool_close(loop->pool);
	gw_fd_close(&loop->wake_fd);
	gw_fd_close(&loop->home_fd);
	pthread_mutex_destroy(&loop->lock);
	free(loop->slot);
	free(loop->idle);
	free(loop);
}

static int allocate(struct loop *loop, const struct loop_faults *faults, struct gw_error *err)
{
	loop->device = loop_device_open(loop->ring, loop->segs);
	loop->slot = calloc(loop->ring, sizeof(*loop->slot));
	loop->idle = calloc(loop->ring, sizeof(*loop->idle));
	if (!loop->device || !loop->slot || !loop->idle)
		return gw_error_set(err, -ENOMEM, "port %s: no memory for a ring of %u frames",
				    gw_port_name(loop->port), loop->ring);
	for (uint32_t i = 0; i < loop->ring; i++)
		loop->idle[i] = loop->ring - 1 - i;
	loop->idle_count = loop->ring;
	*loop_device_faults(loop->device) = *faults;
	loop_device_set_wire(loop->device, (struct loop_wire){ loop_on_wire, loop });
	loop->wake_fd = gw_eventfd();
	loop->home_fd = gw_eventfd();
	if (loop->wake_fd < 0 || loop->home_fd < 0)
		return gw_error_sys(err, loop->wake_fd < 0 ? loop->wake_fd : loop->home_fd,
				    "port %s: cannot make an eventfd", gw_port_name(loop->port));
	return rx_pool_open(loop->port, LOOP_RX_BUFFERS, &loop->pool, err);
}

static int loop_check(struct gw_port *port, struct gw_error *err)
{
	struct loop loop = { .port = port };
	struct loop_faults faults = { 0 };

	return loop_read_options(&loop, &faults, err);
}

static unsigned int loop_arena_buffers(struct gw_port *port)
{
	return LOOP_RX_BUFFERS;
}

static int loop_open(struct gw_port *port, struct gw_error *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	struct loop_faults faults = { 0 };
	int ret;

	if (!loop)
		return gw_error_set(err, -ENOMEM, "port %s: no memory", gw_port_name(port));
	loop->port = port;
	loop->wake_fd = loop->home_fd = -1;
	pthread_mutex_init(&loop->lock, NULL);
	gw_list_init(&loop->node);
	gw_port_set_priv(port, loop);
	gw_port_queue(port, 0)->priv = loop;
	ret = loop_read_options(loop, &faults, err);
	if (!ret)
		ret = allocate(loop, &faults, err);
	if (ret) {
		loop_close(port);
		return ret;
	}
	pthread_mutex_lock(&ports_lock);
	gw_list_add_tail(&ports, &loop->node);
	pthread_mutex_unlock(&ports_lock);
	return 0;
}

/* ---- start and stop ---- */

static void apply_start(void *arg)
{
	struct loop *loop = arg;
	struct gw_queue *queue = gw_port_queue(loop->port, 0);

	loop->stopping = false;
	gw_eventfd_clear(loop->home_fd);
	queue->fd[0].fd = loop->wake_fd;
	queue->fd[0].events = EPOLLIN;
	queue->lend_max = LOOP_RX_BUFFERS;
}

static int loop_start(struct gw_port *port, struct gw_error *err)
{
	struct loop *loop = gw_port_priv(port);

	gw_port_apply(port, apply_start, loop);
	gw_port_set_max_len(port, loop->max_len);
	gw_port_set_offloads(port, &loop->offloads);
	gw_port_set_reads(port, loop->answer.reads);
	gw_port_set_status(port, "simulated device");
	return 0;
}

static void apply_stop(void *arg)
{
	struct loop *loop = arg;
	struct gw_queue *queue = gw_port_queue(loop->port, 0);
	struct gw_frame *frame;

	loop->stopping = true;
	if (!loop->stubborn)
		loop_device_drain(loop->device);
	while (loop_rx(queue, &frame, 1))
		rx_pool_put(loop->pool, frame);
	gw_eventfd_signal(loop->wake_fd);
}

static void apply_count_held(void *arg)
{
	struct loop *loop = ((void **)arg)[0];

	*(unsigned int *)((void **)arg)[1] = loop_device_held(loop->device);
}

static int loop_stop(struct gw_port *port, unsigned int deadline_ms)
{
	struct loop *loop = gw_port_priv(port);
	unsigned int held;
	void *arg[] = { loop, &held };

	gw_port_apply(port, apply_stop, loop);
	gw_port_apply(port, apply_count_held, arg);
	if (held) {
		struct pollfd home = { .fd = loop->home_fd, .events = POLLIN };

		poll(&home, 1, (int)deadline_ms);
		gw_port_apply(port, apply_count_held, arg);
	}
	gw_port_set_status(port, "stopped, the device holds %u frames", held);
	return (int)held;
}

/* ---- memory ---- */

bool loop_is_mapped(const struct loop *loop, const struct gw_memmap *memmap)
{
	for (unsigned int i = 0; i < loop->map_count; i++)
		if (loop->map[i] == memmap)
			return true;
	return false;
}

static void loop_query(struct gw_port *port, struct gw_memmap *memmap, struct gw_answer *answer)
{
	struct loop *loop = gw_port_priv(port);

	pthread_mutex_lock(&loop->lock);
	loop->queries++;
	*answer = loop->answer;
	/* Mappings change on this thread only, by way of the worker. */
	if (!memmap || loop_is_mapped(loop, memmap))
		answer->needs_map = false;
	pthread_mutex_unlock(&loop->lock);
}

struct map_change {
	struct loop *loop;
	struct gw_memmap *memmap;
	bool full;
};

static void apply_map(void *arg)
{
	struct map_change *change = arg;
	struct loop *loop = change->loop;

	change->full = loop->map_count == LOOP_MAPS_MAX;
	if (change->full)
		return;
	assert(!loop_is_mapped(loop, change->memmap));
	loop->map[loop->map_count++] = change->memmap;
	loop->maps++;
}

static int loop_map(struct gw_port *port, struct gw_memmap *memmap, struct gw_error *err)
{
	struct loop *loop = gw_port_priv(port);
	struct map_change change = { loop, memmap, false };
	bool fails;

	pthread_mutex_lock(&loop->lock);
	fails = loop->answer_map_fails;
	pthread_mutex_unlock(&loop->lock);
	if (fails)
		return gw_error_set(err, -ENOMEM, "port %s: the device was told to fail (map=fail)",
				    gw_port_name(port));
	gw_port_apply(port, apply_map, &change);
	if (change.full)
		return gw_error_set(err, -ENOSPC, "port %s: %u memmaps are mapped already",
				    gw_port_name(port), LOOP_MAPS_MAX);
	return 0;
}

static void apply_unmap(void *arg)
{
	struct map_change *change = arg;
	struct loop *loop = change->loop;

	for (unsigned int i = 0; i < loop->ring; i++)
		assert(!loop->slot[i].frame || loop->slot[i].frame->memmap != change->memmap);
	for (unsigned int i = 0; i < loop->map_count; i++) {
		if (loop->map[i] != change->memmap)
			continue;
		loop->map[i] = loop->map[--loop->map_count];
		loop->unmaps++;
		return;
	}
	assert(!"unmap of what was mapped");
}

static void loop_unmap(struct gw_port *port, struct gw_memmap *memmap)
{
	struct map_change change = { gw_port_priv(port), memmap, false };

	gw_port_apply(port, apply_unmap, &change);
}

const struct gw_driver gw_driver_loop = {
	.name = "loop",
	.help = "a simulated device for tests, with faults on demand",
	.options = loop_options,
	.check = loop_check,
	.arena_buffers = loop_arena_buffers,
	.open = loop_open,
	.start = loop_start,
	.stop = loop_stop,
	.close = loop_close,
	.query = loop_query,
	.map = loop_map,
	.unmap = loop_unmap,
	.rx = loop_rx,
	.release = loop_release,
	.tx = loop_tx,
	.reap = loop_reap,
	.arm = loop_arm,
};
