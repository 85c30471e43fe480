/* SPDX-License-Identifier: BSD-2-Clause */
#include "loop_test_api.h"
#include "fd.h"
#include "loop_port.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One request, to be run between two visits of the worker. Only what it needs is set. */
struct request {
	struct loop *loop;
	void (*fn)(struct request *request);
	unsigned int index, count;
	bool flag;
	uint64_t cookie;
	struct loop_wire wire;
	struct loop_test_view *view;
	uint8_t *bytes;
	uint32_t size;
	const uint8_t *received;
	const struct virtio_net_hdr_v1 *header;
	struct loop_test_counts *counts;
	const struct gw_offloads *offloads;
};

static void run(void *arg)
{
	struct request *request = arg;

	request->fn(request);
	/* Whatever was done, it may be work: the worker looks. */
	gw_eventfd_signal(request->loop->wake_fd);
}

static void ask(struct request *request)
{
	gw_port_apply(request->loop->port, run, request);
}

static const struct loop_descriptor *must_peek(struct request *request)
{
	const struct loop_descriptor *descriptor =
		loop_device_peek(request->loop->device, request->index);

	if (!descriptor) {
		fprintf(stderr, "loop port %s: frame %u of %u is not there\n",
			gw_port_name(request->loop->port), request->index,
			loop_device_held(request->loop->device));
		abort();
	}
	return descriptor;
}

struct loop *loop_test_find(const char *port_name)
{
	return loop_find(port_name);
}

static void do_hold(struct request *request)
{
	loop_device_faults(request->loop->device)->hold = request->flag;
}

void loop_test_hold(struct loop *loop, bool hold)
{
	ask(&(struct request){ .loop = loop, .fn = do_hold, .flag = hold });
}

static void do_held(struct request *request)
{
	request->count = loop_device_held(request->loop->device);
}

unsigned int loop_test_held(struct loop *loop)
{
	struct request request = { .loop = loop, .fn = do_held };

	ask(&request);
	return request.count;
}

static void do_release(struct request *request)
{
	unsigned int held = loop_device_held(request->loop->device);

	if (request->count > held)
		request->count = held;
	for (unsigned int i = 0; i < request->count; i++)
		loop_device_complete(request->loop->device, 0, false);
}

unsigned int loop_test_release(struct loop *loop, unsigned int count)
{
	struct request request = { .loop = loop, .fn = do_release, .count = count };

	ask(&request);
	return request.count;
}

static void do_complete(struct request *request)
{
	must_peek(request);
	loop_device_complete(request->loop->device, request->index, request->flag);
}

void loop_test_complete(struct loop *loop, unsigned int index, bool failed)
{
	ask(&(struct request){ .loop = loop, .fn = do_complete, .index = index, .flag = failed });
}

static void do_bogus(struct request *request)
{
	for (unsigned int i = 0; i < request->count; i++)
		loop_device_bogus(request->loop->device, request->cookie);
}

void loop_test_bogus(struct loop *loop, uint64_t cookie, unsigned int count)
{
	ask(&(struct request){ .loop = loop, .fn = do_bogus, .cookie = cookie, .count = count });
}

static void do_peek(struct request *request)
{
	const struct loop_descriptor *descriptor = must_peek(request);
	const struct loop_slot *slot = &request->loop->slot[(uint32_t)descriptor->cookie];
	struct loop_test_view *view = request->view;
	uint32_t done = 0;

	view->cookie = descriptor->cookie;
	view->frame = slot->frame;
	view->memmap = slot->frame->memmap;
	view->seg_count = descriptor->seg_count;
	view->len = descriptor->len;
	view->header = descriptor->header;
	memcpy(view->seg, descriptor->seg, descriptor->seg_count * sizeof(*view->seg));
	for (unsigned int i = 0; i < descriptor->seg_count && done < request->size; i++) {
		size_t left = request->size - done;
		size_t part = descriptor->seg[i].iov_len < left ? descriptor->seg[i].iov_len : left;

		memcpy(request->bytes + done, descriptor->seg[i].iov_base, part);
		done += (uint32_t)part;
	}
}

void loop_test_peek(struct loop *loop, unsigned int index, struct loop_test_view *view,
		    uint8_t *bytes, uint32_t size)
{
	ask(&(struct request){ .loop = loop,
			       .fn = do_peek,
			       .index = index,
			       .view = view,
			       .bytes = bytes,
			       .size = bytes ? size : 0 });
}

static void do_wire(struct request *request)
{
	request->loop->wire = request->wire;
}

void loop_test_wire(struct loop *loop, struct loop_wire wire)
{
	ask(&(struct request){ .loop = loop, .fn = do_wire, .wire = wire });
}

static void do_receive(struct request *request)
{
	request->flag =
		loop_receive(request->loop, request->received, request->size, request->header);
}

bool loop_test_receive(struct loop *loop, const uint8_t *bytes, uint32_t len,
		       const struct virtio_net_hdr_v1 *header)
{
	struct request request = {
		.loop = loop, .fn = do_receive, .received = bytes, .size = len, .header = header
	};

	ask(&request);
	return request.flag;
}

static void do_offloads(struct request *request)
{
	request->loop->offloads = *request->offloads;
	gw_port_set_offloads(request->loop->port, request->offloads);
}

void loop_test_offloads(struct loop *loop, const struct gw_offloads *offloads)
{
	ask(&(struct request){ .loop = loop, .fn = do_offloads, .offloads = offloads });
}

void loop_test_answer(struct loop *loop, const struct gw_answer *answer)
{
	pthread_mutex_lock(&loop->lock);
	loop->answer = *answer;
	pthread_mutex_unlock(&loop->lock);
	gw_port_requery(loop->port);
}

struct gw_answer loop_test_current_answer(struct loop *loop)
{
	struct gw_answer answer;

	pthread_mutex_lock(&loop->lock);
	answer = loop->answer;
	pthread_mutex_unlock(&loop->lock);
	return answer;
}

unsigned int loop_test_queries(struct loop *loop)
{
	unsigned int queries;

	pthread_mutex_lock(&loop->lock);
	queries = loop->queries;
	pthread_mutex_unlock(&loop->lock);
	return queries;
}

static void do_counts(struct request *request)
{
	const struct loop *loop = request->loop;

	*request->counts = (struct loop_test_counts){
		.bogus = loop->bogus,
		.failed = loop->failed,
		.maps = loop->maps,
		.unmaps = loop->unmaps,
		.mapped = loop->map_count,
		.lent = rx_pool_lent(loop->pool) - loop->received_count,
	};
}

struct loop_test_counts loop_test_counts(struct loop *loop)
{
	struct loop_test_counts counts;

	ask(&(struct request){ .loop = loop, .fn = do_counts, .counts = &counts });
	return counts;
}
