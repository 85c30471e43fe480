/* SPDX-License-Identifier: BSD-2-Clause */
#include "lanes_rig.h"

#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

const char *const two[] = { "a=fake:,loans=8", "b=fake:", NULL };
const char *const three[] = { "a=fake:,loans=8", "b=fake:", "c=fake:", NULL };
uint8_t bytes[LEN * 2];

static struct gw_error err;

void rig_open(struct rig *rig, const char *const *specs)
{
	memset(rig, 0, sizeof(*rig));
	fake_template_reset();
	assert_int_equal(arena_create(16u << 20, &rig->arena, &err), 0);
	for (; specs[rig->count]; rig->count++) {
		struct gw_port *port = fake_port_open_in(specs[rig->count], &fake_host, rig->arena,
							 2, rig->count ? NEAR : FAR);

		assert_int_equal(network_add(&rig->network, port, &err), 0);
	}
	assert_int_equal(network_connect(&rig->network, &err), 0);
}

void rig_close(struct rig *rig)
{
	network_disconnect(&rig->network);
	for (unsigned int i = 0; i < rig->count; i++)
		fake_port_close(rig->network.port[i]);
	arena_destroy(rig->arena);
}

struct fake *fake_at(struct rig *rig, unsigned int i)
{
	return fake_of(rig->network.port[i]);
}

struct port_queue *queue_at(struct rig *rig, unsigned int i, unsigned int lane)
{
	return rig->network.port[i]->queue[lane];
}

void answer_in(struct rig *rig, unsigned int egress, unsigned int lane)
{
	struct pair *pair = queue_at(rig, egress, lane)->pair_from[0];

	pair_set_answer(pair, &fake_template.answer, NULL, rig->network.port[egress]->answer_stamp);
}

void answer(struct rig *rig, unsigned int egress)
{
	answer_in(rig, egress, NEAR);
}

unsigned int visit_crossing(struct rig *rig, unsigned int number)
{
	struct lane *lane = rig->network.lane[number];
	struct port_queue *queue = crossing_queue(lane->crossing);
	unsigned int done;

	desk_reap(queue);
	if (!queue->waiting_count) {
		queue->waiting_count = queue->driver->rx(&queue->queue, queue->waiting, GW_BATCH);
		queue->waiting_next = 0;
		lane_enter(lane, queue, queue->waiting, queue->waiting_count);
	}
	done = lane_forward(lane, queue, queue->waiting + queue->waiting_next,
			    queue->waiting_count - queue->waiting_next);
	queue->waiting_next += done;
	if (queue->waiting_next == queue->waiting_count)
		queue->waiting_next = queue->waiting_count = 0;
	return done;
}

void settle(struct rig *rig, unsigned int number)
{
	struct lane *lane = rig->network.lane[number];

	for (unsigned int i = 0; i < lane->count; i++)
		if (port_queue_has_device(lane->queue[i])) {
			desk_flush(lane->queue[i]);
			desk_reap(lane->queue[i]);
		}
	for (unsigned int i = 0; i < lane->count; i++)
		desk_release(lane->queue[i]);
	desk_release(crossing_queue(lane->crossing));
	crossing_show(lane->crossing);
}

void address(uint8_t to, uint8_t from)
{
	memset(bytes, 0, 12);
	memcpy(bytes, (uint8_t[]){ to & 1, 0, 0, 0, 0, to }, 6);
	memcpy(bytes + 6, (uint8_t[]){ 2, 0, 0, 0, 0, from }, 6);
}

struct gw_frame *make_same(struct rig *rig, unsigned int id, unsigned int segs)
{
	static struct iovec seg[GW_FRAME_SEGS_MAX];

	for (unsigned int i = 0; i < segs; i++)
		seg[i] = (struct iovec){ bytes + i * (LEN / segs), LEN / segs };
	return fake_frame(fake_at(rig, 0), id, NULL, seg, segs);
}

struct gw_frame *make(struct rig *rig, unsigned int id, uint8_t to, uint8_t from, unsigned int segs)
{
	address(to, from);
	return make_same(rig, id, segs);
}

bool send_frame(struct rig *rig, struct gw_frame *frame)
{
	struct lane *lane = rig->network.lane[FAR];

	lane_enter(lane, lane->queue[0], &frame, 1);
	return lane_forward(lane, lane->queue[0], &frame, 1);
}
