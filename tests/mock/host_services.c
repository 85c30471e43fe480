/* SPDX-License-Identifier: BSD-2-Clause */
/* What a driver calls: the services of <guestwire/driver.h>. */
#include "host_inside.h"

#include "text.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

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
	const struct gw_option *option;

	for (unsigned int i = 0; i < port->option_count; i++)
		if (!strcmp(port->option[i].name, name))
			return port->option[i].value;
	for (option = port->driver->options; option && option->name; option++)
		if (!strcmp(option->name, name))
			return option->fallback;
	fail_msg("option %s is not in the table of %s", name, port->driver->name);
	return NULL;
}

int gw_port_option_u64(const struct gw_port *port, const char *name, uint64_t min, uint64_t max,
		       uint64_t *value, struct gw_error *err)
{
	const char *text = gw_port_option(port, name);

	assert_non_null(text);
	return gw_text_u64(name, text, min, max, value, err);
}

int gw_port_option_word(const struct gw_port *port, const char *name, const char *const *words,
			unsigned int *index, struct gw_error *err)
{
	const char *text = gw_port_option(port, name);

	assert_non_null(text);
	for (unsigned int i = 0; words[i]; i++) {
		if (strcmp(words[i], text))
			continue;
		*index = i;
		return 0;
	}
	return gw_error_set(err, -EINVAL, "%s=%s: no such word", name, text);
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
	return NULL;
}

unsigned int gw_port_queue_count(const struct gw_port *port)
{
	return 1;
}

unsigned int gw_port_first_queue(const struct gw_port *port)
{
	return 0;
}

void gw_queue_apply(struct gw_queue *queue, void (*fn)(void *arg), void *arg)
{
	gw_port_apply(queue->port, fn, arg);
}

struct gw_queue *gw_port_queue(struct gw_port *port, unsigned int index)
{
	assert_int_equal(index, 0);
	return &port->queue;
}

void gw_port_set_offloads(struct gw_port *port, const struct gw_offloads *offloads)
{
	port->record.offloads = *offloads;
}

void gw_port_set_max_len(struct gw_port *port, uint32_t len)
{
	port->record.max_len = len;
}

void gw_port_set_reads(struct gw_port *port, enum gw_reads reads)
{
	port->record.reads = reads;
}

void gw_port_set_place(struct gw_port *port, unsigned int pair, unsigned int index)
{
	assert_true(pair < GW_QUEUE_PAIRS_MAX);
	assert_int_equal(index, 0);
}

void gw_port_set_status(struct gw_port *port, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(port->record.status, sizeof(port->record.status), format, args);
	va_end(args);
}

void gw_port_apply(struct gw_port *port, void (*fn)(void *arg), void *arg)
{
	host_visit_begin(port);
	port->record.applies++;
	fn(arg);
	host_visit_end(port);
}

void gw_port_pause(struct gw_port *port)
{
	host_visit_begin(port);
	assert_false(port->paused);
	port->paused = true;
	port->record.pauses++;
	host_visit_end(port);
}

void gw_port_resume(struct gw_port *port)
{
	host_visit_begin(port);
	assert_true(port->paused);
	port->paused = false;
	port->record.resumes++;
	host_visit_end(port);
}

void gw_port_requery_refused(struct gw_port *port)
{
	__atomic_fetch_add(&port->record.requeries, 1, __ATOMIC_RELAXED);
}

void gw_port_requery(struct gw_port *port)
{
	__atomic_fetch_add(&port->record.requeries, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&port->record.doubts, 1, __ATOMIC_RELAXED);
}

/* Appends the line; the older half goes when the buffer is full. */
void gw_port_log(const struct gw_port *const_port, int level, const char *format, ...)
{
	struct gw_port *port = (struct gw_port *)const_port;
	struct host_record *record = &port->record;
	size_t used, half = sizeof(record->log) / 2;
	va_list args;

	pthread_mutex_lock(&port->record_lock);
	used = strlen(record->log);
	if (used > half) {
		used -= half;
		memmove(record->log, record->log + half, used + 1);
	}
	va_start(args, format);
	vsnprintf(record->log + used, sizeof(record->log) - used - 1, format, args);
	va_end(args);
	strcat(record->log, "\n");
	record->log_lines++;
	pthread_mutex_unlock(&port->record_lock);
	if (getenv("HOST_LOG"))
		print_message("%s <%d> %s", port->name, level, record->log + used);
}

void gw_queue_drop(struct gw_queue *queue, const struct gw_frame *frame, enum gw_reason reason)
{
	assert_true(reason < GW_REASON_COUNT);
	queue->port->record.drops[reason]++;
}

void gw_queue_rx_drop(struct gw_queue *queue, enum gw_reason reason, unsigned int n)
{
	assert_true(reason < GW_REASON_COUNT);
	queue->port->record.rx_drops[reason] += n;
}

struct iovec gw_port_arena(const struct gw_port *port)
{
	return arena_range(host_arena());
}

void *gw_port_arena_take(struct gw_port *port, unsigned int count, struct gw_error *err)
{
	struct arena_run *run = &port->run[port->run_count];

	assert_true(port->run_count < HOST_RUNS_MAX);
	run->base = arena_take(host_arena(), count);
	run->count = count;
	if (!run->base) {
		gw_error_set(err, -ENOMEM, "port %s: no %u buffers left in the arena", port->name,
			     count);
		return NULL;
	}
	port->run_count++;
	return run->base;
}
