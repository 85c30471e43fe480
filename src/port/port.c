/* SPDX-License-Identifier: BSD-2-Clause */
#include "port.h"

#include "log.h"
#include "loop.h"
#include "pair.h"
#include "text.h"
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct gw_option port_common_options[] = {
	{ "network", "NAME", "default", "ports of one network hear each other" },
	{ "copybreak", "BYTES", NULL, "shorter frames are copied, not lent (default 256)" },
	{ "loan", "auto|never", "auto", "never: copy every frame from or to this port" },
	{ "loans", "COUNT", NULL, "frames of one source that a device may hold (default 512)" },
	{ "worker", "N", NULL, "the worker of its device, or of the first queue pair" },
	{ "bounce", "COUNT", NULL, "bounce buffers of 4 KiB for each source (default 64)" },
	{ 0 },
};

static const struct gw_option *find_option(const struct gw_option *table, const char *name,
					   size_t name_len)
{
	for (; table && table->name; table++)
		if (strlen(table->name) == name_len && !memcmp(table->name, name, name_len))
			return table;
	return NULL;
}

/* The driver's options and the common ones, each with its value still unset. */
static void list_options(struct gw_port *port)
{
	const struct gw_option *tables[] = { port->driver->options, port_common_options };

	for (unsigned int t = 0; t < 2; t++)
		for (const struct gw_option *o = tables[t]; o && o->name; o++)
			if (port->option_count < PORT_OPTIONS_MAX)
				port->option[port->option_count++].option = o;
}

static int unknown_option(const struct gw_port *port, const char *spec, const char *name,
			  size_t name_len, struct gw_error *err)
{
	char known[160] = "";

	for (unsigned int i = 0; i < port->option_count; i++) {
		size_t used = strlen(known);

		snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "",
			 port->option[i].option->name);
	}
	return gw_error_set(err, -EINVAL,
			    "port %.80s: driver %s has no option '%.*s'; there are %s", spec,
			    port->driver->name, (int)name_len, name, known);
}

/*
 * Whether an option's values are a list of words, and if so, whether this is none of
 * them. One in capitals ("auto|N") stands for values that the driver looks at.
 */
static bool is_wrong_word(const struct gw_option *option, const char *value, size_t len)
{
	const char *word = option->values;

	if (!strchr(word, '|'))
		return false;
	for (; word; word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL)
		if (isupper((unsigned char)*word) ||
		    (strcspn(word, "|") == len && !memcmp(word, value, len)))
			return false;
	return true;
}

/* One OPTION=VALUE of len bytes. */
static int take_option(struct gw_port *port, const char *spec, const char *text, size_t len,
		       struct gw_error *err)
{
	const char *equals = memchr(text, '=', len);
	size_t name_len = equals ? (size_t)(equals - text) : len;

	if (!equals || equals + 1 == text + len)
		return gw_error_set(err, -EINVAL, "port %.80s: '%.*s' is no OPTION=VALUE", spec,
				    (int)len, text);
	for (unsigned int i = 0; i < port->option_count; i++) {
		const struct gw_option *option = port->option[i].option;

		if (option != find_option(option, text, name_len))
			continue;
		if (port->option[i].value)
			return gw_error_set(err, -EINVAL, "port %.80s: option '%s' is given twice",
					    spec, option->name);
		if (is_wrong_word(option, equals + 1, len - name_len - 1))
			return gw_error_set(err, -EINVAL, "port %.80s: %s has to be %s, not '%.*s'",
					    spec, option->name, option->values,
					    (int)(len - name_len - 1), equals + 1);
		port->option[i].value = strndup(equals + 1, len - name_len - 1);
		return port->option[i].value ? 0 : gw_error_sys(err, -ENOMEM, "port %s", spec);
	}
	return unknown_option(port, spec, text, name_len, err);
}

static int take_driver(struct gw_port *port, const char *spec, const char *word, size_t len,
		       const struct gw_driver *const *drivers, struct gw_error *err)
{
	char known[160] = "";

	for (const struct gw_driver *const *d = drivers; *d; d++) {
		size_t used = strlen(known);

		if (strlen((*d)->name) == len && !memcmp((*d)->name, word, len)) {
			port->driver = *d;
			return 0;
		}
		snprintf(known + used, sizeof(known) - used, "%s%s", d == drivers ? "" : ", ",
			 (*d)->name);
	}
	return gw_error_set(err, -EINVAL, "port %.80s: no driver named '%.*s'; there are %s", spec,
			    (int)len, word, known);
}

static int take_target(struct gw_port *port, const char *spec, const char *text, size_t len,
		       struct gw_error *err)
{
	if (!port->driver->target && len)
		return gw_error_set(err, -EINVAL, "port %.80s: driver %s takes no target", spec,
				    port->driver->name);
	if (port->driver->target && !len)
		return gw_error_set(err, -EINVAL, "port %.80s: %s is missing after '%s:'", spec,
				    port->driver->target, port->driver->name);
	port->target = strndup(text, len);
	return port->target ? 0 : gw_error_sys(err, -ENOMEM, "port %s", spec);
}

/* NAME=DRIVER:TARGET[,OPTION=VALUE...] */
static int take_spec(struct gw_port *port, const char *spec, const struct gw_driver *const *drivers,
		     struct gw_error *err)
{
	const char *equals = strchr(spec, '=');
	const char *colon = equals ? strchr(equals, ':') : NULL;
	const char *text, *end;
	int ret;

	if (!colon)
		return gw_error_set(err, -EINVAL,
				    "port %.80s: expected NAME=DRIVER:TARGET[,OPTION=VALUE...]",
				    spec);
	snprintf(port->name, sizeof(port->name), "%.*s", (int)(equals - spec), spec);
	if ((size_t)(equals - spec) >= sizeof(port->name) || !gw_text_is_name(port->name))
		return gw_error_set(err, -EINVAL,
				    "port %.80s: the name has to be 1 to %d of A-Z a-z 0-9 _ . -",
				    spec, GW_NAME_BYTES - 1);
	ret = take_driver(port, spec, equals + 1, (size_t)(colon - equals - 1), drivers, err);
	if (ret)
		return ret;
	list_options(port);
	text = colon + 1;
	end = strchrnul(text, ',');
	ret = take_target(port, spec, text, (size_t)(end - text), err);
	while (!ret && *end) {
		text = end + 1;
		end = strchrnul(text, ',');
		ret = take_option(port, spec, text, (size_t)(end - text), err);
	}
	return ret;
}

/* An optional number among the common options; -1 if it was not given. */
static int common_number(struct gw_port *port, const char *name, uint64_t min, uint64_t max,
			 int64_t *value, struct gw_error *err)
{
	uint64_t number = 0;
	int ret;

	*value = -1;
	if (!gw_port_option(port, name))
		return 0;
	ret = gw_port_option_u64(port, name, min, max, &number, err);
	if (!ret)
		*value = (int64_t)number;
	return ret;
}

static int take_common(struct gw_port *port, struct gw_error *err)
{
	static const char *const loans[] = { "auto", "never", NULL };
	const char *network = gw_port_option(port, "network");
	unsigned int loan = 0;
	int ret;

	if (!gw_text_is_name(network))
		return gw_error_set(err, -EINVAL, "port %s: network=%s is no name", port->name,
				    network);
	gw_text_copy(port->network, sizeof(port->network), network);
	ret = common_number(port, "copybreak", 0, GW_FRAME_LEN_MAX, &port->copybreak, err);
	if (!ret)
		ret = common_number(port, "loans", 0, 32768, &port->loans, err);
	if (!ret)
		ret = common_number(port, "bounce", 1, 4096, &port->bounce, err);
	if (!ret)
		ret = gw_port_option_word(port, "loan", loans, &loan, err);
	if (!ret)
		ret = common_number(port, "worker", 0, PORT_LANES_MAX - 1, &port->worker, err);
	port->loan_never = loan == 1;
	return ret;
}

/* ---- queues ---- */

static const struct gw_driver no_device = { .name = "none" };

static struct port_queue *queue_create(struct gw_port *port, unsigned int index)
{
	struct port_queue *queue = aligned_alloc(PORT_QUEUE_ALIGN, sizeof(*queue));

	if (!queue)
		return NULL;
	memset(queue, 0, sizeof(*queue));
	queue->port = port;
	queue->trace_loans = index;
	queue->queue.port = port;
	queue->queue.index = index;
	for (unsigned int i = 0; i < GW_QUEUE_FDS; i++)
		queue->queue.fd[i].fd = -1;
	return queue;
}

static void queues_free_from(struct gw_port *port, unsigned int first)
{
	while (port->lanes > first) {
		free(port->queue[--port->lanes]);
		port->queue[port->lanes] = NULL;
	}
}

/* A device of one queue has it in one lane. */
static void place_device(struct gw_port *port, unsigned int first)
{
	port->first_lane = first;
	for (unsigned int i = 0; i < port->lanes; i++) {
		struct port_queue *queue = port->queue[i];
		bool here = port->driver->several_queues || i == first;

		queue->driver = here ? port->driver : &no_device;
		queue->queue.deliver_to = here ? i : first;
	}
}

int port_set_lanes(struct gw_port *port, unsigned int lanes, unsigned int first,
		   struct gw_error *err)
{
	unsigned int before = port->lanes;

	for (; port->lanes < lanes; port->lanes++) {
		port->queue[port->lanes] = queue_create(port, port->lanes);
		if (port->queue[port->lanes])
			continue;
		queues_free_from(port, before);
		return gw_error_sys(err, -ENOMEM, "port %s: queues for %u workers", port->name,
				    lanes);
	}
	queues_free_from(port, lanes);
	place_device(port, first);
	return 0;
}

uint64_t port_quarantined(const struct gw_port *port)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < port->lanes; i++)
		sum += gw_counter_read(&port->queue[i]->quarantined);
	return sum;
}

int port_parse(const char *spec, const struct gw_driver *const *drivers, struct gw_port **out,
	       struct gw_error *err)
{
	struct gw_port *port = calloc(1, sizeof(*port));
	int ret;

	if (!port)
		return gw_error_sys(err, -ENOMEM, "port %s", spec);
	port->max_len = port->offloads.len_max = GW_FRAME_LEN_MAX;
	port->answer_stamp = 1;
	ret = take_spec(port, spec, drivers, err);
	if (!ret)
		ret = take_common(port, err);
	if (!ret)
		ret = port_set_lanes(port, 1, 0, err);
	if (!ret && port->driver->check)
		ret = port->driver->check(port, err);
	if (ret)
		port_free(port);
	else
		*out = port;
	return ret;
}

void port_free(struct gw_port *port)
{
	if (!port)
		return;
	if (port->arena_run)
		arena_give(port->arena, port->arena_run, port->arena_count);
	for (unsigned int i = 0; i < port->option_count; i++)
		free(port->option[i].value);
	queues_free_from(port, 0);
	free(port->target);
	free(port);
}

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

const char *gw_port_option(const struct gw_port *port, const char *name)
{
	for (unsigned int i = 0; i < port->option_count; i++) {
		const struct gw_option *option = port->option[i].option;

		if (!strcmp(option->name, name))
			return port->option[i].value ? port->option[i].value : option->fallback;
	}
	return NULL;
}

int gw_port_option_u64(const struct gw_port *port, const char *name, uint64_t min, uint64_t max,
		       uint64_t *value, struct gw_error *err)
{
	const char *text = gw_port_option(port, name);
	char what[GW_NAME_BYTES * 2 + 16];

	snprintf(what, sizeof(what), "port %s: option %s", port->name, name);
	if (!text)
		return gw_error_set(err, -EINVAL, "%s: not given", what);
	return gw_text_u64(what, text, min, max, value, err);
}

int gw_port_option_word(const struct gw_port *port, const char *name, const char *const *words,
			unsigned int *index, struct gw_error *err)
{
	const char *text = gw_port_option(port, name);
	char known[128] = "";

	for (unsigned int i = 0; words[i]; i++) {
		size_t used = strlen(known);

		if (text && !strcmp(text, words[i])) {
			*index = i;
			return 0;
		}
		snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "", words[i]);
	}
	return gw_error_set(err, -EINVAL, "port %s: %s=%s: expected one of %s", port->name, name,
			    text ? text : "", known);
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

void port_queue_count_device(struct port_queue *queue)
{
	uint64_t counts[GW_DEVICE_COUNT] = { 0 };

	if (!queue->port->up || !queue->driver->device_counts)
		return;
	queue->driver->device_counts(&queue->queue, counts);
	for (unsigned int i = 0; i < GW_DEVICE_COUNT; i++)
		gw_store_relaxed(&queue->device_counts[i], counts[i]);
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
