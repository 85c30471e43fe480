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
 * This file is the driver of that device, and as drivers go a complete one:
 *
 *   - each frame in the device has a slot with a generation; the cookie that the
 *     device returns is made of both, so that a completion that is bogus, or the
 *     second for its frame, is recognized, counted, and reported to nobody;
 *   - map and unmap keep the set of memmaps that the device may read, and a frame
 *     of another one is a mistake of ours (assert), as is an unmap of memory that
 *     the device still has addresses of;
 *   - a frame whose header asks for more than the device was said to take is a
 *     mistake of ours, too; what it takes is handed on with the header as it is;
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
#include "loop.h"
#include "loop_port.h"
#include <assert.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define NS_PER_US      1000u
#define GENERATION_BIT 32

/* Source address of what comes back when the destination cannot be one (multicast). */
static const uint8_t own_mac[ETH_ALEN] = { 0x02, 'l', 'o', 'o', 'p', 0 };

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

/* ---- receive ---- */

bool loop_receive(struct loop *loop, const uint8_t *bytes, uint32_t len,
		  const struct virtio_net_hdr_v1 *header)
{
	struct iovec room[RX_POOL_SEGS_MAX];
	unsigned int need = (len + GW_ARENA_BUFFER_BYTES - 1) / GW_ARENA_BUFFER_BYTES;
	struct gw_frame *frame;
	unsigned int at;

	assert(len >= GW_FRAME_LEN_MIN && len <= GW_FRAME_LEN_MAX);
	if (rx_pool_room(loop->pool, room, need) < need)
		return false;
	for (unsigned int i = 0; i < need; i++) {
		uint32_t done = i * GW_ARENA_BUFFER_BYTES;
		uint32_t left = len - done;

		memcpy(room[i].iov_base, bytes + done,
		       left < GW_ARENA_BUFFER_BYTES ? left : GW_ARENA_BUFFER_BYTES);
	}
	frame = rx_pool_take(loop->pool, gw_port_queue(loop->port, 0), len);
	if (header)
		frame->header = *header;
	at = (loop->received_head + loop->received_count++) % LOOP_RX_BUFFERS;
	loop->received[at] = frame;
	return true;
}

static void echo(struct loop *loop, const uint8_t *bytes, uint32_t len,
		 const struct virtio_net_hdr_v1 *header)
{
	uint8_t swapped[GW_FRAME_LEN_MAX];

	if (loop->echo == LOOP_ECHO_SWAP) {
		const uint8_t *destination = bytes, *source = bytes + ETH_ALEN;

		memcpy(swapped, source, ETH_ALEN);
		memcpy(swapped + ETH_ALEN, destination[0] & 1 ? own_mac : destination, ETH_ALEN);
		memcpy(swapped + 2 * ETH_ALEN, bytes + 2 * ETH_ALEN, len - 2 * ETH_ALEN);
		bytes = swapped;
	}
	if (!loop_receive(loop, bytes, len, header))
		gw_queue_rx_drop(gw_port_queue(loop->port, 0), GW_DROP_NO_RX_BUFFERS, 1);
}

/* The device transmits. */
static void on_wire(void *arg, const uint8_t *bytes, uint32_t len,
		    const struct virtio_net_hdr_v1 *header)
{
	struct loop *loop = arg;

	if (loop->wire.fn)
		loop->wire.fn(loop->wire.arg, bytes, len, header);
	if (loop->echo != LOOP_ECHO_OFF && !loop->stopping)
		echo(loop, bytes, len, header);
}

static unsigned int loop_rx(struct gw_queue *queue, struct gw_frame **frames, unsigned int max)
{
	struct loop *loop = queue->priv;
	unsigned int count = 0;

	while (count < max && loop->received_count) {
		frames[count++] = loop->received[loop->received_head];
		loop->received_head = (loop->received_head + 1) % LOOP_RX_BUFFERS;
		loop->received_count--;
	}
	return count;
}

static void loop_release(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count)
{
	struct loop *loop = queue->priv;

	for (unsigned int i = 0; i < count; i++)
		rx_pool_put(loop->pool, frames[i]);
}

/* ---- transmit ---- */

unsigned int loop_out(const struct loop *loop)
{
	return loop->ring - loop->idle_count;
}

static bool is_mapped(const struct loop *loop, const struct gw_memmap *memmap)
{
	for (unsigned int i = 0; i < loop->map_count; i++)
		if (loop->map[i] == memmap)
			return true;
	return false;
}

/* The bits that a frame needs a device to take. */
static uint32_t needs_of(const struct virtio_net_hdr_v1 *header)
{
	uint32_t needs = header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM ? GW_OFFLOAD_CSUM : 0;

	if (header->gso_type & VIRTIO_NET_HDR_GSO_ECN)
		needs |= GW_OFFLOAD_ECN;
	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return needs;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return needs | GW_OFFLOAD_TSO4;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return needs | GW_OFFLOAD_TSO6;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return needs | GW_OFFLOAD_USO;
	}
	return UINT32_MAX;
}

static bool is_private(const struct loop *loop, const struct iovec *seg)
{
	struct iovec arena = gw_port_arena(loop->port);
	size_t at = (size_t)((uint8_t *)seg->iov_base - (uint8_t *)arena.iov_base);

	return at < arena.iov_len && seg->iov_len <= arena.iov_len - at;
}

/* What a driver may rely on when its port has said what it takes. */
static void check_offloads(const struct loop *loop, const struct gw_frame *frame)
{
	uint32_t needs = needs_of(&frame->header);

	assert(!(needs & ~loop->offloads.takes));
	assert(!loop->offloads.one_segment || frame->seg_count == 1);
	if (!needs || !loop->offloads.header_private)
		return;
	assert(frame->seg[0].iov_len <= GW_HEADER_MAX && is_private(loop, &frame->seg[0]));
	memset((uint8_t *)frame->seg[0].iov_base - GW_HEADER_ROOM, LOOP_ROOM_FILL, GW_HEADER_ROOM);
}

static unsigned int loop_tx(struct gw_queue *queue, struct gw_frame *const *frames,
			    unsigned int count)
{
	struct loop *loop = queue->priv;
	uint64_t now = gw_now_ns();

	for (unsigned int i = 0; i < count; i++) {
		uint32_t index;
		struct loop_slot *slot;

		if (!loop->idle_count) {
			queue->refusal = GW_DROP_EGRESS_FULL;
			return i;
		}
		assert(!frames[i]->memmap || !loop->map_count ||
		       is_mapped(loop, frames[i]->memmap));
		check_offloads(loop, frames[i]);
		index = loop->idle[--loop->idle_count];
		slot = &loop->slot[index];
		slot->frame = frames[i];
		if (!loop_device_submit(loop->device,
					(uint64_t)slot->generation << GENERATION_BIT | index,
					frames[i], now))
			assert(!"the device has as many descriptors as there are slots");
	}
	return count;
}

/* The frame that a completion stands for; NULL for one that should not be. */
static struct gw_frame *take_frame(struct loop *loop, uint64_t cookie)
{
	uint32_t index = (uint32_t)cookie;
	struct loop_slot *slot;
	struct gw_frame *frame;

	if (index >= loop->ring)
		return NULL;
	slot = &loop->slot[index];
	if (!slot->frame || slot->generation != cookie >> GENERATION_BIT)
		return NULL;
	frame = slot->frame;
	slot->frame = NULL;
	slot->generation++;
	loop->idle[loop->idle_count++] = index;
	return frame;
}

static unsigned int loop_reap(struct gw_queue *queue, struct gw_done *done, unsigned int max)
{
	struct loop *loop = queue->priv;
	struct loop_completion completion;
	unsigned int count = 0;

	if (!loop->stopping)
		loop_device_run(loop->device, gw_now_ns());
	while (count < max && loop_device_next(loop->device, &completion)) {
		struct gw_frame *frame = take_frame(loop, completion.cookie);

		if (!frame) {
			loop->bogus++;
			continue;
		}
		loop->failed += completion.failed;
		done[count].frame = frame;
		done[count++].status = completion.failed ? GW_DONE_FAILED : GW_DONE_OK;
	}
	if (count && loop->stopping && !loop_out(loop))
		gw_eventfd_signal(loop->home_fd);
	return count;
}

static bool loop_arm(struct gw_queue *queue, unsigned int wants, unsigned int *poll_us)
{
	struct loop *loop = queue->priv;
	uint64_t now, due;

	if (!wants)
		return false;
	gw_eventfd_clear(loop->wake_fd);
	if ((wants & GW_WANT_RX && loop->received_count) ||
	    (wants & GW_WANT_TX && loop->idle_count))
		return true;
	if (!(wants & GW_WANT_REAP))
		return false;
	now = gw_now_ns();
	if (loop_device_has_work(loop->device, now, &due))
		return true;
	if (due && !loop->stopping)
		*poll_us = (unsigned int)((due - now + NS_PER_US - 1) / NS_PER_US);
	return false;
}

/* ---- control ---- */

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
	loop_device_set_wire(loop->device, (struct loop_wire){ on_wire, loop });
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

static void loop_query(struct gw_port *port, struct gw_memmap *memmap, struct gw_answer *answer)
{
	struct loop *loop = gw_port_priv(port);

	pthread_mutex_lock(&loop->lock);
	loop->queries++;
	*answer = loop->answer;
	/* Mappings change on this thread only, by way of the worker. */
	if (!memmap || is_mapped(loop, memmap))
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
	assert(!is_mapped(loop, change->memmap));
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
