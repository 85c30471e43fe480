/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory of a pretended guest, and frames on their way through the driver. */
#include "host_inside.h"

#include "fd.h"
#include "memmap.h"
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#define HOST_SEND_LIMIT_MS 2000u

/* ---- guest memory ---- */

void host_memory_create(struct host_memory *memory, size_t bytes, unsigned int flags)
{
	struct memmap_arena view = { arena_fd(host_arena()), arena_range(host_arena()).iov_len };
	struct memmap_region region = { .size = bytes };
	struct gw_error err = { 0 };

	memory->bytes = bytes;
	memory->fd = memfd_create("pretended guest", MFD_CLOEXEC | flags);
	assert_true(memory->fd >= 0);
	assert_int_equal(ftruncate(memory->fd, (off_t)bytes), 0);
	memory->guest = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd, 0);
	assert_true(memory->guest != MAP_FAILED);
	region.fd = memory->fd;
	if (memmap_create(&region, 1, view, &memory->memmap, &err))
		fail_msg("memmap: %s", err.text);
}

void host_memory_destroy(struct host_memory *memory)
{
	memmap_put(memory->memmap);
	munmap(memory->guest, memory->bytes);
	gw_fd_close(&memory->fd);
}

void *host_memory_at(const struct host_memory *memory, size_t offset)
{
	void *p = memmap_translate(memory->memmap, offset, 1);

	assert_non_null(p);
	return p;
}

/* ---- frames ---- */

uint32_t host_frame_bytes(const struct gw_frame *frame, void *dst, size_t dst_bytes)
{
	uint32_t len = 0;

	for (unsigned int i = 0; i < frame->seg_count; i++) {
		size_t part = frame->seg[i].iov_len;

		assert_true(part <= dst_bytes - len);
		memcpy((uint8_t *)dst + len, frame->seg[i].iov_base, part);
		len += (uint32_t)part;
	}
	return len;
}

void host_frame(struct gw_frame *frame, struct gw_memmap *memmap, const struct iovec *seg,
		unsigned int count)
{
	uint8_t *snapshot = frame->snapshot;
	size_t left = GW_FRAME_SNAPSHOT;

	memset(frame, 0, sizeof(*frame));
	assert_true(count >= 1 && count <= GW_FRAME_SEGS);
	frame->memmap = memmap;
	frame->seg = frame->own;
	frame->seg_count = (uint16_t)count;
	for (unsigned int i = 0; i < count; i++) {
		size_t part = seg[i].iov_len < left ? seg[i].iov_len : left;

		frame->own[i] = seg[i];
		frame->len += (uint32_t)seg[i].iov_len;
		memcpy(snapshot, seg[i].iov_base, part);
		snapshot += part;
		left -= part;
	}
}

void host_wait(struct gw_port *port, unsigned int wants, unsigned int timeout_ms)
{
	struct pollfd poll_fd[GW_QUEUE_FDS];
	unsigned int poll_us = 0;
	bool busy;

	host_visit_begin(port);
	busy = port->driver->arm && port->driver->arm(&port->queue, wants, &poll_us);
	for (unsigned int i = 0; i < GW_QUEUE_FDS; i++) {
		poll_fd[i].fd = port->queue.fd[i].fd;
		poll_fd[i].events = (short)(port->queue.fd[i].events & (EPOLLIN | EPOLLOUT));
	}
	host_visit_end(port);
	if (busy)
		return;
	if (poll_us && poll_us / 1000 + 1 < timeout_ms)
		timeout_ms = poll_us / 1000 + 1;
	poll(poll_fd, GW_QUEUE_FDS, (int)timeout_ms);
	if (!port->driver->arm)
		return;
	host_visit_begin(port);
	port->driver->arm(&port->queue, 0, &poll_us);
	host_visit_end(port);
}

void host_send(struct gw_port *port, struct gw_frame *frame)
{
	uint64_t end_ms = host_now_ms() + HOST_SEND_LIMIT_MS;
	unsigned int taken = 0;

	while (!taken && host_now_ms() < end_ms) {
		host_visit_begin(port);
		if (!port->paused)
			taken = port->driver->tx(&port->queue, &frame, 1);
		host_visit_end(port);
		if (!taken)
			host_wait(port, GW_WANT_TX, 10);
	}
	if (!taken)
		fail_msg("%s: tx takes nothing: %s", port->name,
			 gw_reason_name(port->queue.refusal));
}

unsigned int host_reap(struct gw_port *port, struct gw_done *done, unsigned int count,
		       unsigned int timeout_ms)
{
	uint64_t end_ms = host_now_ms() + timeout_ms;
	struct gw_done batch[GW_BATCH];
	unsigned int sum = 0;

	for (;;) {
		unsigned int want = count - sum < GW_BATCH ? count - sum : GW_BATCH, n;

		host_visit_begin(port);
		n = port->driver->reap(&port->queue, batch, want);
		host_visit_end(port);
		assert_true(n <= want);
		if (done)
			memcpy(done + sum, batch, n * sizeof(*done));
		sum += n;
		if (sum == count || host_now_ms() >= end_ms)
			return sum;
		if (!n)
			host_wait(port, GW_WANT_REAP, 10);
	}
}

unsigned int host_receive(struct gw_port *port, struct gw_frame **frames, unsigned int count,
			  unsigned int timeout_ms)
{
	uint64_t end_ms = host_now_ms() + timeout_ms;
	unsigned int sum = 0;

	for (;;) {
		unsigned int want = count - sum < GW_BATCH ? count - sum : GW_BATCH, n = 0;

		host_visit_begin(port);
		if (!port->paused)
			n = port->driver->rx(&port->queue, frames + sum, want);
		host_visit_end(port);
		assert_true(n <= want);
		sum += n;
		if (sum == count || host_now_ms() >= end_ms)
			return sum;
		if (!n)
			host_wait(port, GW_WANT_RX, 10);
	}
}

void host_release(struct gw_port *port, struct gw_frame **frames, unsigned int count)
{
	host_visit_begin(port);
	port->driver->release(&port->queue, frames, count);
	host_visit_end(port);
}

void *host_arena_buffer(struct gw_port *port)
{
	struct gw_error err = { 0 };
	void *buffer = gw_port_arena_take(port, 1, &err);

	if (!buffer)
		fail_msg("arena buffer: %s", err.text);
	return buffer;
}
