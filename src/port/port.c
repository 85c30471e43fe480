/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port's state, and what its driver asks the core and tells it (driver.h, gw_port_... and
 * gw_queue_...). What was given on its command line is port_parse.c's.
 */
#include "port.h"

#include "log.h"
#include "loop.h"
#include "pair.h"
#include "text.h"
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- state and status ---- */

void port_set_state(struct gw_port *port, enum gw_port_state state)
{
	gw_store_release(&port->state, (uint32_t)state);
}

enum gw_port_state port_state(const struct gw_port *port)
{
	return (enum gw_port_state)gw_load_acquire(&port->state);
}

/* Held for a copy of PORT_STATUS_BYTES, at control-plane rate; no worker takes it. */
static void status_lock(struct gw_port *port)
{
	while (gw_atomic_exchange(&port->status_lock, 1u))
		;
}

static void status_unlock(struct gw_port *port)
{
	gw_store_release(&port->status_lock, 0u);
}

void gw_port_set_status(struct gw_port *port, const char *format, ...)
{
	char text[PORT_STATUS_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	status_lock(port);
	memcpy(port->status, text, sizeof(text));
	status_unlock(port);
}

void port_status(struct gw_port *port, char *text, size_t bytes)
{
	int used = 0;

	switch (port_link(port)) {
	case GW_LINK_NONE:
	case GW_LINK_UP:
		break;
	case GW_LINK_DOWN:
		used = snprintf(text, bytes, "interface %s is down; ", port->target);
		break;
	case GW_LINK_NO_CARRIER:
		used = snprintf(text, bytes, "interface %s has no carrier; ", port->target);
		break;
	case GW_LINK_GONE:
		used = snprintf(text, bytes, "interface %s: there is none of that name now; ",
				port->target);
		break;
	}
	if (used < 0 || (size_t)used >= bytes)
		return;
	status_lock(port);
	gw_text_copy(text + used, bytes - (size_t)used, port->status);
	status_unlock(port);
}

/* ---- what drivers ask (driver.h) ---- */

const char *gw_port_name(const struct gw_port *port)
{
	return port->name;
}

const char *gw_port_target(const struct gw_port *port)
{
	return port->target;
}

void *gw_port_priv(const struct gw_port *port)
{
	return port->priv;
}

void gw_port_set_priv(struct gw_port *port, void *priv)
{
	port->priv = priv;
}

struct gw_parcel *gw_port_parcel(const struct gw_port *port)
{
	return port->parcel;
}

unsigned int gw_port_queue_count(const struct gw_port *port)
{
	return port->driver->several_queues ? port->lanes : 1;
}

unsigned int gw_port_first_queue(const struct gw_port *port)
{
	return port->driver->several_queues ? port->first_lane : 0;
}

struct gw_queue *gw_port_queue(struct gw_port *port, unsigned int index)
{
	if (!port->driver->several_queues)
		return index ? NULL : &port->queue[port->first_lane]->queue;
	return index < port->lanes ? &port->queue[index]->queue : NULL;
}

void gw_port_set_offloads(struct gw_port *port, const struct gw_offloads *offloads)
{
	port->offloads = *offloads;
	if (offloads->header_private)
		port->offloads.takes &= GW_OFFLOAD_CSUM;
	if (!offloads->len_max || offloads->len_max > GW_FRAME_LEN_MAX)
		port->offloads.len_max = GW_FRAME_LEN_MAX;
	gw_store_relaxed(&port->one_segment, (uint32_t)offloads->one_segment);
}

void gw_port_set_max_len(struct gw_port *port, uint32_t len)
{
	gw_store_relaxed(&port->max_len, len < GW_FRAME_LEN_MAX ? len : GW_FRAME_LEN_MAX);
}

void gw_port_set_reads(struct gw_port *port, enum gw_reads reads)
{
	gw_store_relaxed(&port->reads, (uint32_t)reads);
}

void gw_port_set_place(struct gw_port *port, unsigned int pair, unsigned int index)
{
	assert(pair < GW_QUEUE_PAIRS_MAX && index < PORT_LANES_MAX);
	gw_store_relaxed(&port->place[pair], (uint8_t)index);
	if (pair >= port->place_count)
		gw_store_release(&port->place_count, pair + 1);
}

void gw_port_apply(struct gw_port *port, void (*fn)(void *arg), void *arg)
{
	if (port->host)
		port->host->apply(port, fn, arg);
	else
		fn(arg);
}

void gw_queue_apply(struct gw_queue *queue, void (*fn)(void *arg), void *arg)
{
	const struct port_host *host = queue->port->host;

	if (host && host->apply_queue)
		host->apply_queue(queue, fn, arg);
	else
		gw_port_apply(queue->port, fn, arg);
}

static void pause_apply(void *arg)
{
	((struct gw_port *)arg)->paused++;
}

static void resume_apply(void *arg)
{
	((struct gw_port *)arg)->paused--;
}

void gw_port_pause(struct gw_port *port)
{
	gw_port_apply(port, pause_apply, port);
}

void gw_port_resume(struct gw_port *port)
{
	gw_port_apply(port, resume_apply, port);
}

void gw_port_requery(struct gw_port *port)
{
	gw_atomic_add(&port->answer_stamp, PORT_DOUBT);
}

void gw_port_requery_refused(struct gw_port *port)
{
	gw_atomic_add(&port->answer_stamp, 1ull);
}

static void log_suppressed(const struct gw_port *port, bool debug, uint32_t count)
{
	gw_log(debug ? LOG_DEBUG : LOG_WARNING,
	       "port %s: %u lines were suppressed: there were too many", port->name, count);
}

/* What nobody may want to see must not use up what somebody does. */
void gw_port_log(const struct gw_port *port, int level, const char *format, ...)
{
	const bool debug = level >= LOG_DEBUG;
	char text[GW_ERROR_TEXT_BYTES];
	uint32_t suppressed;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!log_limit_pass(&((struct gw_port *)port)->log_limit[debug], gw_now_ns(), &suppressed))
		return;
	if (suppressed)
		log_suppressed(port, debug, suppressed);
	gw_log(level, "port %s: %s", port->name, text);
}

void port_log_rest(struct gw_port *port, uint64_t now_ns)
{
	for (unsigned int debug = 0; debug < 2; debug++) {
		uint32_t suppressed = log_limit_rest(&port->log_limit[debug], now_ns);

		if (suppressed)
			log_suppressed(port, debug, suppressed);
	}
}

void gw_queue_drop(struct gw_queue *queue, const struct gw_frame *frame, enum gw_reason reason)
{
	struct pair *pair = port_queue_of(queue)->pair_from[frame->pair];

	gw_counter_add(&pair->reasons[reason], 1);
	gw_counter_add(&pair->reason_bytes[reason], frame->len);
	if (pair->trace.on)
		trace_drop(pair, reason, frame->len, 1);
	/* The flag is the core's; const is a promise of the driver, not of the frame. */
	((struct gw_frame *)(uintptr_t)frame)->dropped = 1;
	port_queue_of(queue)->undelivered = true;
}

void gw_queue_rx_drop(struct gw_queue *queue, enum gw_reason reason, unsigned int n)
{
	struct port_queue *source = port_queue_of(queue);

	gw_counter_add(&source->rx_drops[reason], n);
	if (source->trace.on)
		trace_port_drop(source, reason, n);
}

struct iovec gw_port_arena(const struct gw_port *port)
{
	return arena_range(port->arena);
}

void *gw_port_arena_take(struct gw_port *port, unsigned int count, struct gw_error *err)
{
	if (port->arena_run || !count) {
		gw_error_set(err, -EINVAL, "port %s: receive buffers are taken already",
			     port->name);
		return NULL;
	}
	port->arena_run = arena_take(port->arena, count);
	port->arena_count = count;
	if (!port->arena_run)
		gw_error_set(err, -ENOMEM,
			     "port %s: no room for %u receive buffers in the bounce arena; raise "
			     "the bounce memory",
			     port->name, count);
	return port->arena_run;
}

/* ---- names ---- */

const char *gw_port_state_name(enum gw_port_state state)
{
	static const char *const names[] = { "closed", "starting", "running", "stopping",
					     "failed" };

	return (unsigned int)state < 5 ? names[state] : "unknown";
}

const char *gw_link_name(enum gw_link link)
{
	static const char *const names[] = { NULL, "up", "down", "no carrier", "gone" };

	return (unsigned int)link < 5 ? names[link] : NULL;
}

const char *gw_reads_name(enum gw_reads reads)
{
	static const char *const names[] = { "bounce", "kernel-copy", "fragments",
					     "dma",    "delivery",    "nothing" };

	return (unsigned int)reads < 6 ? names[reads] : "unknown";
}

const char *gw_verdict_name(enum gw_verdict verdict)
{
	static const char *const names[] = { "no", "partly", "yes" };

	return (unsigned int)verdict < 3 ? names[verdict] : "unknown";
}
