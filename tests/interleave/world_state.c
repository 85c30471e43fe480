/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A number for the state of the played world: two with the same number, in which the same
 * can happen, are taken for the same. What is left out is time, but for who waits how long,
 * and where things lie.
 */
#include "world_inside.h"

#include "engine_state.h"

static uint64_t add_word(uint64_t hash, uint64_t word)
{
	hash ^= word + 0x9e3779b97f4a7c15ull + (hash << 6) + (hash >> 2);
	hash *= 0xff51afd7ed558ccdull;
	return hash ^ hash >> 33;
}

static uint64_t pair_state(uint64_t hash, const struct pair *pair)
{
	const uint32_t words32[] = {
		pair->answered,
		pair->asking,
		pair->answer.verdict,
		pair->answer.reason,
		pair->loans_out,
		pair->bounce_out,
		pair->watch_zero,
		pair->ask_flag,
		pair->mapped != NULL,
		pair->witness != NULL,
		pair->answer_memmap == pair->mapped,
		pair->answer_stamp == pair->egress->answer_stamp,
	};

	for (unsigned int i = 0; i < sizeof(words32) / sizeof(words32[0]); i++)
		hash = add_word(hash, words32[i]);
	return hash;
}

static uint64_t queue_state(uint64_t hash, const struct port_queue *queue)
{
	const uint32_t words32[] = {
		queue->stalled,       queue->untrusted,
		queue->progress,      queue->refused,
		queue->lent_out,      queue->held,
		queue->held_loans,    queue->offer.count,
		queue->waiting_count, queue->waiting_next,
		queue->home_count,    queue->owing_since_ns != 0,
		queue->queue.dormant, (uint32_t)queue->quarantined,
	};

	for (unsigned int i = 0; i < sizeof(words32) / sizeof(words32[0]); i++)
		hash = add_word(hash, words32[i]);
	return hash;
}

static uint64_t port_state_of(uint64_t hash, const struct gw_port *port)
{
	hash = add_word(hash, port->up | port->resting << 1 | port->standing << 2);
	hash = add_word(hash, port->paused);
	hash = add_word(hash, port->state);
	for (unsigned int l = 0; l < port->lanes; l++)
		hash = queue_state(hash, port->queue[l]);
	return hash;
}

/* What is on its way from lane to lane. */
static uint64_t crossing_state(uint64_t hash, const struct lane *lane)
{
	if (!lane->crossing)
		return hash;
	hash = add_word(hash, crossing_is_clear(lane->crossing));
	return queue_state(hash, crossing_queue(lane->crossing));
}

static uint64_t device_state(uint64_t hash, unsigned int d)
{
	const struct loop *loop = world.device[d];

	hash = port_state_of(hash, loop->port);
	for (unsigned int l = 0; l < loop->port->lanes; l++)
		hash = pair_state(hash, loop->port->queue[l]->pair_from[world.guest->slot]);
	hash = add_word(hash, world.dead[d] | loop->stopping << 1 | world.has_last[d] << 2);
	hash = add_word(hash, loop->map_count);
	hash = add_word(hash, loop->bogus);
	hash = add_word(hash, loop->received_count);
	for (unsigned int i = 0; i < world_held(d); i++) {
		const struct gw_frame *frame = world_held_frame(d, i);

		hash = add_word(hash, world_serial(loop_device_peek(loop->device, i)->seg));
		hash = add_word(hash, frame->memmap != NULL);
	}
	/* What was completed and not reaped is told by slots that are not held. */
	for (unsigned int i = 0; i < loop->ring; i++)
		hash = add_word(hash, loop->slot[i].frame ? loop->slot[i].frame->id + 1 : 0);
	return hash;
}

uint64_t world_state(void)
{
	const struct mock_driver *driver = &world.vm.tx.driver;
	uint64_t hash = add_word(world.logs, world.ring);

	for (unsigned int k = 1; k < EVENT_KINDS; k++)
		hash = add_word(hash, world.done[k]);
	hash = add_word(hash, world.running | world.frozen << 1 | world.connected << 2 |
				      world.ended << 3 | world.job_waits << 4);
	for (unsigned int i = 0; i < strand_count(); i++) {
		hash = add_word(hash, strand_over(i) ? 0 : strand_place(i));
		hash = add_word(hash, strand_over(i) ? 0 : strand_patience(i));
	}
	if (world.ended)
		return hash;
	for (unsigned int s = 0; s < world.sent_count; s++)
		hash = add_word(hash, world.sent[s].used | world.sent[s].lost << 1 |
					      world.sent[s].was_lent << 2);
	if (driver->size)
		hash = add_word(hash, (uint64_t)driver->used->idx << 32 |
					      driver->used->ring[driver->size].id);
	hash = port_state_of(hash, world.guest);
	hash = add_word(hash, world.guest->place[0]);
	hash = add_word(hash, world.received);
	for (unsigned int l = 0; l < world.guest->lanes; l++)
		hash = crossing_state(hash, holder_of(world.guest)->network->lane[l]);
	for (unsigned int d = 0; d < world.play->devices; d++)
		hash = device_state(hash, d);
	return hash;
}
