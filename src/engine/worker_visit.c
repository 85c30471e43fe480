/* SPDX-License-Identifier: BSD-2-Clause */
#include "worker_state.h"

/*
 * What a visit left for any port. In a large network most have nothing, and this comes
 * after each visit of each of them: so it looks before it calls.
 */
static void lane_settle(struct lane *lane)
{
	for (unsigned int i = 0; i < lane->count; i++)
		if (lane->queue[i]->offer.count)
			desk_flush(lane->queue[i]);
	for (unsigned int i = 0; i < lane->count; i++)
		if (lane->queue[i]->home_count)
			desk_release(lane->queue[i]);
	if (lane->crossing) {
		desk_release(crossing_queue(lane->crossing));
		crossing_show(lane->crossing);
	}
}

/* Frames that found no room come before new ones. Returns true if all are gone. */
static bool forward_waiting(struct lane *lane, struct port_queue *queue)
{
	if (!queue->waiting_count)
		return true;
	queue->waiting_next += lane_forward(lane, queue, queue->waiting + queue->waiting_next,
					    queue->waiting_count - queue->waiting_next);
	if (queue->waiting_next < queue->waiting_count)
		return false;
	queue->waiting_next = queue->waiting_count = 0;
	return true;
}

/* Returns how many frames the port lent. */
static unsigned int take_frames(struct lane *lane, struct port_queue *queue)
{
	struct gw_frame **frames = queue->waiting;
	unsigned int count;

	if (!port_usable(queue->port) || port_rests(queue->port) || !queue->driver->rx)
		return 0;
	/* Its own queue is never behind: what comes out of it is what others wait for. */
	if (lane->crossing && queue != crossing_queue(lane->crossing) &&
	    crossing_is_behind(lane->crossing))
		return 0;
	queue->found_ns = queue->clock->now_ns;
	count = queue->driver->rx(&queue->queue, frames, GW_BATCH);
	lane_enter(lane, queue, frames, count);
	queue->waiting_next = 0;
	queue->waiting_count = count;
	if (count)
		forward_waiting(lane, queue);
	return count;
}

bool worker_visit(struct seat *seat)
{
	struct port_queue *queue = seat->queue;
	struct lane *lane = seat->lane;
	uint64_t now_ns = queue->clock->now_ns;
	unsigned int work, before = queue->waiting_count - queue->waiting_next;

	queue->clock->visits++;
	queue->clock->done_ns = 0;
	work = desk_reap(queue);
	lane->now_s = (uint32_t)(now_ns / 1000000000ull);
	desk_check_stall(queue, now_ns);
	if (forward_waiting(lane, queue))
		work += before + take_frames(lane, queue);
	else
		work += before - (queue->waiting_count - queue->waiting_next);
	work += queue->home_count;
	lane_settle(lane);
	return work > 0;
}
