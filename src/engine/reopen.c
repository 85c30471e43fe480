/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stopping a device to get loans back, and starting it again.
 *
 * A guest that stops a ring waits for its loans. If they do not come home in
 * time it recalls them: every device that holds some is stopped (the driver
 * drains, closes the device's handle and waits until the kernel has let go) and
 * started again. What a driver still holds after that is in quarantine: its
 * memory stays mapped, its chains are not completed, and the port lends from
 * nobody until the last one has come back after all.
 *
 * A port that cannot be started again is tried every REOPEN_RETRY_MS; one whose
 * interface is gone when that is there again (links.c).
 */
#include "engine_state.h"

#include "log.h"
#include <stdlib.h>

/* Of the time that a ring may drain: the front-end waits for both, one after the other. */
#define REOPEN_PART     2u
#define REOPEN_RETRY_MS 2000u

struct up_request {
	struct gw_port *port;
	bool up;
};

static void up_apply(void *arg)
{
	struct up_request *request = arg;

	struct gw_port *port = request->port;

	for (unsigned int i = 0; i < port->lanes; i++)
		port_queue_count_device(port->queue[i]); /* before it goes */
	port->up = request->up;
	for (unsigned int i = 0; i < port->lanes; i++)
		port->queue[i]->full = false;
	for (unsigned int i = 0; i < port->lanes && !port->up; i++)
		desk_abandon(port->queue[i], GW_DROP_EGRESS_DOWN);
}

/* Tells the worker whether rx and tx may be called. */
static void port_set_up(struct holder *holder, bool up)
{
	struct up_request request = { holder->port, up };

	gw_port_apply(holder->port, up_apply, &request);
}

/* ---- quarantine ---- */

struct held_request {
	struct gw_port *port;
	uint32_t held;
};

/*
 * Worker: takes what has been let go. What is left after a stop that says that
 * nothing is left would be a driver's mistake; what it admits to is quarantined.
 */
static void held_apply(void *arg)
{
	struct held_request *request = arg;

	for (unsigned int i = 0; i < request->port->lanes; i++) {
		struct port_queue *queue = request->port->queue[i];

		while (desk_reap(queue))
			;
		queue->untrusted = queue->held_loans > 0;
		gw_store_relaxed(&queue->quarantined, (uint64_t)queue->held);
		request->held += queue->held;
	}
}

unsigned int reopen_stop(struct holder *holder, unsigned int deadline_ms, struct gw_parcel *left)
{
	struct gw_port *port = holder->port;
	struct held_request request = { .port = port };

	port_set_state(port, GW_PORT_STOPPING);
	port_set_up(holder, false);
	if (left && port->driver->leave)
		port->driver->leave(port, deadline_ms, left);
	else
		port->driver->stop(port, deadline_ms);
	holder->started = false;
	gw_port_apply(port, held_apply, &request);
	if (request.held)
		gw_log(LOG_ERR,
		       "port %s: the device did not give back %u frames: quarantined; it lends no "
		       "more until they come home",
		       port->name, request.held);
	return request.held;
}

int reopen_start(struct holder *holder, struct gw_error *err)
{
	struct gw_port *port = holder->port;
	int ret;

	port_set_state(port, GW_PORT_STARTING);
	ret = port->driver->start(port, err);
	if (ret) {
		port_set_state(port, GW_PORT_FAILED);
		return ret;
	}
	holder->started = true;
	gw_port_requery(port);
	port_set_up(holder, true);
	port_set_state(port, GW_PORT_RUNNING);
	return 0;
}

/* ---- recall ---- */

/* One guest's wait for several devices. */
struct recall {
	struct gw_port *source;
	void (*fn)(void *arg);
	void *arg;
	unsigned int missing; /* reopens that have not finished */
};

/* A device's part in a recall. */
struct recall_part {
	struct recall *recall;
	struct gw_list node;
};

static void recall_part_done(struct recall *recall)
{
	if (--recall->missing)
		return;
	recall->fn(recall->arg);
	free(recall);
}

static void reopen_retry(struct gw_timer *timer);
static void reopen(struct holder *holder);

static bool may_start(const struct holder *holder)
{
	return !gw_load_acquire(&holder->closing) && port_link(holder->port) != GW_LINK_GONE;
}

void reopen_later(void *arg)
{
	struct holder *holder = arg;

	/* Chores write `started`: before they do, `reopening` or `closing` is set here. */
	if (!holder->reopening && may_start(holder) && !holder->started)
		gw_timer_start(holder->engine->loop, &holder->retry, REOPEN_RETRY_MS, reopen_retry);
}

/* Control: a reopen has finished, well or badly. */
static void reopened(void *arg)
{
	struct holder *holder = arg;
	struct gw_list done, *pos, *tmp;

	holder->reopening = false;
	if (holder->again && !gw_load_acquire(&holder->closing))
		reopen(holder);
	else
		reopen_later(holder);
	gw_list_init(&done);
	gw_list_splice(&done, &holder->recalls);
	gw_list_for_each_safe(pos, tmp, &done) {
		struct recall_part *part = gw_container_of(pos, struct recall_part, node);

		recall_part_done(part->recall);
		free(part);
	}
}

static void reopen_job(struct chore_job *job)
{
	struct holder *holder = gw_container_of(job, struct holder, reopen_job);
	struct gw_error err = { 0 };

	if (holder->started)
		reopen_stop(holder, holder->engine->config.stop_ms / REOPEN_PART, NULL);
	if (!may_start(holder))
		port_set_state(holder->port, GW_PORT_FAILED);
	else if (reopen_start(holder, &err))
		gw_port_log(holder->port, LOG_ERR, "cannot be started again: %s", err.text);
	if (gw_loop_post(holder->engine->loop, reopened, holder))
		gw_log(LOG_ERR, "port %s: out of memory after a reopen", holder->port->name);
}

static void reopen(struct holder *holder)
{
	if (holder->reopening)
		return;
	holder->reopening = true;
	holder->again = false;
	gw_timer_stop(holder->engine->loop, &holder->retry);
	chore_add(&holder->chores, &holder->reopen_job, reopen_job);
}

static void reopen_retry(struct gw_timer *timer)
{
	reopen(gw_container_of(timer, struct holder, retry));
}

void reopen_for_link(struct holder *holder, unsigned int delay_ms)
{
	if (gw_load_acquire(&holder->closing))
		return;
	if (holder->reopening)
		holder->again = true;
	else if (delay_ms)
		gw_timer_start(holder->engine->loop, &holder->retry, delay_ms, reopen_retry);
	else
		reopen(holder);
}

void reopen_retry_now(struct holder *holder)
{
	if (holder->retry.due_ns)
		reopen_for_link(holder, 0);
}

static bool recall_from(struct recall *recall, struct gw_port *egress)
{
	struct holder *holder = holder_of(egress);
	struct recall_part *part = calloc(1, sizeof(*part));

	if (!part)
		return false;
	part->recall = recall;
	recall->missing++;
	gw_list_add_tail(&holder->recalls, &part->node);
	gw_log(LOG_WARNING, "port %s: stopped and started to bring home loans of port %s",
	       egress->name, recall->source->name);
	reopen(holder);
	return true;
}

struct look {
	const struct gw_port *source, *egress;
	bool needed;
};

/*
 * Worker: what no device has taken comes home at once. A device in quarantine has
 * been stopped for its loans already.
 */
static void look_apply(void *arg)
{
	struct look *look = arg;

	network_take_back(holder_of(look->source)->network, look->source, look->egress);
	for (unsigned int i = 0; i < look->source->lanes; i++) {
		struct port_queue *egress = look->egress->queue[i];

		look->needed |=
			egress->pair_from[look->source->slot]->loans_out && !egress->untrusted;
	}
}

void reopen_recall(struct gw_port *port, void (*fn)(void *arg), void *arg)
{
	struct network *network = holder_of(port)->network;
	struct recall *recall = calloc(1, sizeof(*recall));

	if (!recall) {
		fn(arg);
		return;
	}
	*recall = (struct recall){ .source = port, .fn = fn, .arg = arg, .missing = 1 };
	for (unsigned int i = 0; i < network->port_count; i++) {
		struct look look = { .source = port, .egress = network->port[i] };

		if (look.egress == port)
			continue;
		gw_port_apply(port, look_apply, &look);
		if (look.needed)
			recall_from(recall, network->port[i]);
	}
	recall_part_done(recall);
}
