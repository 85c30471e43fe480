/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of the port's queues a queue pair is in, and moving it to another one while it
 * runs.
 *
 * A frame comes home to the queue that lent it, and its ring is that worker's. So a pair
 * moves when nothing of its transmit ring is out: the worker takes no more of it, its
 * frames come home, and then, while nobody sends and nothing is on its way in the network,
 * it is in another queue's lists. What the guest makes available meanwhile waits in its
 * ring. A device that keeps a frame for longer keeps the pair where it is.
 */
#include "guest.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define LOOK_US 100u

_Static_assert(GUEST_PAIRS_MAX <= GW_QUEUE_PAIRS_MAX, "all can be shown");

void place_begin(struct guest *guest)
{
	unsigned int first = gw_port_first_queue(guest->port);

	for (unsigned int i = 0; i < GUEST_PAIRS_MAX; i++)
		guest->place[i] = (uint8_t)((first + i) % guest->queue_count);
}

struct gw_queue *place_of(const struct guest *guest, unsigned int pair)
{
	return gw_port_queue(guest->port, guest->place[pair]);
}

/* A guest may have 128 pairs, and most have one. */
void place_show(const struct guest *guest, unsigned int pair)
{
	for (unsigned int i = 0; i <= pair; i++)
		gw_port_set_place(guest->port, i, guest->place[i]);
}

/* ---- taking no more ---- */

struct parting {
	struct guest *guest;
	unsigned int pair;
	bool parted;
	uint32_t out;
};

/* Worker. */
static void part_apply(void *arg)
{
	struct parting *parting = arg;
	struct lender *lender = parting->guest->lender[parting->pair];

	lender->parted = parting->parted;
	parting->out = lender->out;
}

/* Control. One that does not run, or is about to end, has nothing to wait for. */
static void part_call(void *arg)
{
	struct parting *parting = arg;
	struct lender *lender = parting->guest->lender[parting->pair];

	parting->out = 0;
	if (lender && !lender->stopping)
		gw_queue_apply(lender->queue, part_apply, parting);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool is_home_by(struct parting *parting, uint64_t deadline_ns)
{
	const struct timespec pause = { .tv_nsec = LOOK_US * 1000 };

	for (;;) {
		gw_loop_call(parting->guest->loop, part_call, parting);
		if (!parting->out)
			return true;
		if (now_ns() > deadline_ns)
			return false;
		nanosleep(&pause, NULL);
	}
}

int place_part(struct gw_port *port, unsigned int pair, unsigned int deadline_ms,
	       struct gw_error *err)
{
	struct guest *guest = gw_port_priv(port);
	struct parting parting = { .guest = guest, .pair = pair, .parted = true };
	uint32_t out;

	if (pair >= guest->pairs_max)
		return gw_error_set(err, -EINVAL, "port %s has queue pairs 0 to %u",
				    gw_port_name(port), guest->pairs_max - 1);
	if (is_home_by(&parting, now_ns() + deadline_ms * 1000000ull))
		return 0;
	out = parting.out;
	parting.parted = false;
	gw_loop_call(guest->loop, part_call, &parting);
	return gw_error_set(
		err, -EBUSY,
		"port %s: devices keep %u frames of queue pair %u: it stays where it is",
		gw_port_name(port), out, pair);
}

/* ---- moving ---- */

struct moving {
	struct guest *guest;
	unsigned int pair;
	struct gw_queue *to;
	int ret;
};

/* While all workers stand still. */
static void move_apply(void *arg)
{
	struct moving *moving = arg;
	struct guest *guest = moving->guest;
	struct lender *lender = guest->lender[moving->pair];
	struct receiver *receiver = guest->receiver[moving->pair];

	if (lender)
		lender->parted = false;
	/* A run that was begun since. */
	if (lender && lender->out && lender->queue != moving->to) {
		moving->ret = -EBUSY;
		return;
	}
	if (lender && lender->queue != moving->to)
		lender_place(lender, moving->to);
	if (receiver)
		receiver->queue = moving->to;
	guest->place[moving->pair] = (uint8_t)moving->to->index;
	place_show(guest, moving->pair);
	rings_list(guest);
}

static void move_call(void *arg)
{
	struct moving *moving = arg;
	struct guest *guest = moving->guest;
	struct gw_queue *from = place_of(guest, moving->pair);
	const struct lender *lender = guest->lender[moving->pair];
	const struct receiver *receiver = guest->receiver[moving->pair];

	if (!moving->to)
		moving->to = from;
	/* First there, then no more here: no kick falls between the two. */
	if (lender)
		wake_watch(moving->to, lender->kick_fd);
	if (receiver)
		wake_watch(moving->to, receiver->kick_fd);
	gw_port_apply(guest->port, move_apply, moving);
	if (moving->ret)
		from = moving->to;
	if (from == place_of(guest, moving->pair))
		return;
	if (lender)
		wake_forget(from, lender->kick_fd);
	if (receiver)
		wake_forget(from, receiver->kick_fd);
}

int place_move(struct gw_port *port, unsigned int pair, struct gw_queue *to, struct gw_error *err)
{
	struct moving moving = { .guest = gw_port_priv(port), .pair = pair, .to = to };

	gw_loop_call(moving.guest->loop, move_call, &moving);
	return moving.ret ? gw_error_set(err, moving.ret,
					 "port %s: queue pair %u was started anew meanwhile",
					 gw_port_name(port), pair)
			  : 0;
}
