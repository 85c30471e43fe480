/* SPDX-License-Identifier: BSD-2-Clause */
/* What must be true of the played world (world.h). */
#include "world_inside.h"

#include <errno.h>

/* ---- looking ---- */

unsigned int world_held(unsigned int d)
{
	return loop_device_held(world.device[d]->device);
}

const struct gw_frame *world_held_frame(unsigned int d, unsigned int i)
{
	const struct loop_descriptor *descriptor = loop_device_peek(world.device[d]->device, i);

	return world.device[d]->slot[(uint32_t)descriptor->cookie].frame;
}

unsigned int world_serial(const struct iovec *seg)
{
	unsigned int serial = ((const uint8_t *)seg[0].iov_base)[SERIAL_AT];

	if (serial >= world.sent_count)
		violation("a device holds a frame that nobody sent");
	return serial;
}

/* Loans of frame `serial` that devices hold. */
static unsigned int lent(unsigned int serial)
{
	unsigned int count = 0;

	for (unsigned int d = 0; d < world.play->devices; d++)
		for (unsigned int i = 0; i < world_held(d); i++)
			count += world_held_frame(d, i)->memmap &&
				 world_serial(loop_device_peek(world.device[d]->device, i)->seg) ==
					 serial;
	return count;
}

/* ---- what must be true ---- */

static struct sent *by_head(uint16_t head)
{
	for (unsigned int s = 0; s < world.sent_count; s++)
		if (world.sent[s].ring == world.ring && world.sent[s].head == head &&
		    !world.sent[s].used)
			return &world.sent[s];
	return NULL;
}

static void check_used(void)
{
	struct mock_driver *driver = &world.vm.tx.driver;

	while (driver->size && driver->used_next != driver->used->idx) {
		uint16_t head = (uint16_t)driver->used->ring[driver->used_next % driver->size].id;
		struct sent *sent = by_head(head);
		uint16_t collected;

		if (world.frozen)
			violation("head %u came back after the stop was answered", head);
		if (!sent)
			violation("head %u came back, and is not out", head);
		sent->used = true;
		vm_poll_used(&world.vm, &collected, 1);
	}
	for (unsigned int s = 0; s < world.sent_count; s++)
		if (world.sent[s].used && lent(s))
			violation("frame %u came back, and a device may still read it", s);
}

/* What arrived, one after the other. */
static void check_received(void)
{
	struct mock_driver *driver = &world.vm.rx.driver;
	uint8_t bytes[SERIAL_AT + 1];

	while (driver->size && driver->used_next != driver->used->idx) {
		vm_receive(&world.vm, bytes, sizeof(bytes));
		if (bytes[SERIAL_AT] != world.received)
			violation("the guest received frame %u from the wire, not %u",
				  bytes[SERIAL_AT], world.received);
		world.received++;
	}
}

static void check_books(unsigned int d)
{
	struct loop *loop = world.device[d];
	unsigned int slots = 0, loans = 0, booked = 0;

	for (unsigned int i = 0; i < loop->ring; i++) {
		slots += loop->slot[i].frame != NULL;
		loans += loop->slot[i].frame && !loop->slot[i].frame->bounce;
	}
	for (unsigned int i = 0; i < loop->port->queue[0]->offer.count; i++)
		loans += !loop->port->queue[0]->offer.frame[i]->bounce;
	for (unsigned int l = 0; l < loop->port->lanes; l++)
		for (unsigned int s = 0; s < loop->port->network_ports; s++)
			if (loop->port->queue[l]->pair_from[s])
				booked += loop->port->queue[l]->pair_from[s]->loans_out;
	if (slots != loop->port->queue[0]->held)
		violation("device %u holds %u frames, its port says %u", d, slots,
			  loop->port->queue[0]->held);
	if (loans != booked)
		violation("device %u has %u loans, the pairs say %u", d, loans, booked);
}

/* As they came: none overtakes another, however it was carried. */
static void check_order(unsigned int d)
{
	for (unsigned int i = 1; i < world_held(d); i++) {
		unsigned int one =
			world_serial(loop_device_peek(world.device[d]->device, i - 1)->seg);
		unsigned int next = world_serial(loop_device_peek(world.device[d]->device, i)->seg);

		if (next <= one)
			violation("device %u has frame %u behind frame %u", d, next, one);
	}
}

/* Whether a driver has a loan of frame `serial`, over or not, of memory before `generation`. */
static bool with_driver(unsigned int serial, uint64_t generation)
{
	for (unsigned int d = 0; d < world.play->devices; d++)
		for (unsigned int i = 0; i < world.device[d]->ring; i++) {
			const struct gw_frame *frame = world.device[d]->slot[i].frame;

			if (frame && frame->memmap &&
			    gw_memmap_generation(frame->memmap) < generation &&
			    world_serial(frame->seg) == serial)
				return true;
		}
	return false;
}

/*
 * A loan that is over brings its chain back at once. It does not, if the ring was ended
 * meanwhile: nobody waits longer for it than the stop time. And where there are two
 * workers it is on its way to the other one for a while.
 */
static void check_ways(void)
{
	for (unsigned int s = 0; s < world.sent_count; s++) {
		struct sent *sent = &world.sent[s];
		bool is_with_driver = with_driver(s, UINT64_MAX);

		sent->was_lent |= is_with_driver;
		if (!world.play->spread && sent->was_lent && !is_with_driver && !sent->used &&
		    !sent->lost && sent->ring == world.ring && world.running &&
		    strand_now_ns() - world.job_ns < WORLD_STOP_NS)
			violation("the loan of frame %u is over, and its chain did not come back",
				  s);
	}
}

static void lose(struct sent *sent)
{
	if (!sent->lost && strand_now_ns() - world.job_ns < WORLD_STOP_NS)
		violation("a chain was given up before the stop time was over");
	sent->lost = true;
}

void world_check_moved(void)
{
	unsigned int lane = world.guest->place[0];

	if (world.moved && world.moved != -EBUSY && world.moved != -ENOTCONN)
		violation("a move failed: %d", world.moved);
	if (!world.moved && lane != world_move_to())
		violation("the pair was moved to worker %u, and is in lane %u", world_move_to(),
			  lane);
	for (unsigned int l = 0; !world.moved && l < world.guest->lanes; l++)
		if (l != lane && world.guest->queue[l]->lent_out)
			violation("the pair was moved, and worker %u has frames of it", l);
	if (world.moved == -EBUSY && strand_now_ns() - world.job_ns < WORLD_REST_NS)
		violation("a move was given up before its time was over");
}

/* The memory was changed: what a device keeps of the one before is never completed. */
void world_check_changed(void)
{
	/* The guest's own memmap came first, the back-end's follow. */
	uint64_t now = gw_memmap_generation(world.vm.memory.memmap) + 1 + world.done[EVENT_MEMORY];

	check_used();
	for (unsigned int s = 0; s < world.sent_count; s++)
		if (!world.sent[s].used && world.sent[s].was_lent &&
		    (with_driver(s, now) || !with_driver(s, UINT64_MAX)))
			lose(&world.sent[s]);
}

/* The answer to GET_VRING_BASE: what is not back is with devices, or was when the time was over. */
void world_check_stopped(uint16_t base)
{
	const struct mock_driver *driver = &world.vm.tx.driver;
	unsigned int missing = (uint16_t)(base - driver->used->idx), lost = 0;

	check_used();
	for (unsigned int s = 0; s < world.sent_count; s++) {
		if (world.sent[s].ring != world.ring || world.sent[s].used)
			continue;
		if (world.sent[s].was_lent)
			lose(&world.sent[s]);
		lost += world.sent[s].lost;
	}
	if (missing != lost)
		violation("the ring stopped at %u, used index %u, and devices had %u", base,
			  driver->used->idx, lost);
}

void world_check(void)
{
	if (world.ended)
		return;
	check_used();
	check_received();
	check_ways();
	for (unsigned int d = 0; d < world.play->devices; d++)
		check_books(d);
	for (unsigned int d = 0; d < world.play->devices; d++)
		check_order(d);
}

/* Its pair with the guest in a lane. */
static const struct pair *pair_of(unsigned int d, unsigned int lane)
{
	return world.device[d]->port->queue[lane]->pair_from[world.guest->slot];
}

/* Memory that was changed, or whose front-end has gone, is unmapped once its loans are home. */
static void check_current(void)
{
	uint64_t now = gw_memmap_generation(world.vm.memory.memmap) + 1 + world.done[EVENT_MEMORY];

	for (unsigned int d = 0; d < world.play->devices; d++) {
		const struct pair *pair = pair_of(d, 0);

		if (pair->mapped && (!world.connected || gw_memmap_generation(pair->mapped) < now))
			violation("device %u keeps memory of which no loan is out", d);
	}
}

/* Each frame is back, or was never taken, or its ring stopped while a device kept it. */
void world_check_nothing_lost(void)
{
	for (unsigned int s = 0; s < world.sent_count; s++) {
		const struct sent *sent = &world.sent[s];
		bool taken_back = sent->ring != world.ring || !world.running;

		if (!sent->used && !sent->lost && !taken_back)
			violation("frame %u is lost", s);
	}
	if (world.connected && world.received != world.done[EVENT_ARRIVE])
		violation("%u frames came from the wire, and the guest received %u",
			  world.done[EVENT_ARRIVE], world.received);
	check_current();
}

void world_check_let_go(void)
{
	for (unsigned int d = 0; d < world.play->devices; d++) {
		for (unsigned int l = 0; l < world.guest->lanes; l++)
			if (pair_of(d, l)->loans_out || pair_of(d, l)->bounce_out)
				violation("device %u keeps a frame for ever", d);
		if (loop_out(world.device[d]))
			violation("device %u keeps a frame for ever", d);
		if (pair_of(d, 0)->mapped || world.device[d]->map_count)
			violation("device %u keeps memory of a guest that has gone", d);
	}
}
