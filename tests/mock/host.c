/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports, and their life. */
#include "host_inside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

size_t host_arena_bytes = HOST_ARENA_BYTES;
static struct gw_arena *arena;

struct gw_arena *host_arena(void)
{
	struct gw_error err;

	if (!arena && arena_create(host_arena_bytes, &arena, &err))
		fail_msg("arena: %s", err.text);
	return arena;
}

void host_arena_free(void)
{
	arena_destroy(arena);
	arena = NULL;
}

int host_end(void **state)
{
	host_arena_free();
	return 0;
}

uint64_t host_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- ports ---- */

static bool option_known(const struct gw_driver *driver, const char *name)
{
	const struct gw_option *option;

	for (option = driver->options; option && option->name; option++)
		if (!strcmp(option->name, name))
			return true;
	return false;
}

/* Cuts "NAME=TARGET,OPTION=VALUE..." in place. */
static void spec_parse(struct gw_port *port)
{
	char *rest = strchr(port->spec, '='), *word, *value;

	assert_non_null(rest);
	*rest++ = 0;
	port->name = port->spec;
	word = strsep(&rest, ",");
	port->target = word;
	while ((word = strsep(&rest, ","))) {
		value = strchr(word, '=');
		assert_non_null(value);
		*value++ = 0;
		if (!option_known(port->driver, word))
			fail_msg("driver %s has no option %s", port->driver->name, word);
		assert_true(port->option_count < HOST_OPTIONS_MAX);
		port->option[port->option_count].name = word;
		port->option[port->option_count++].value = value;
	}
}

static void port_free(struct gw_port *port)
{
	while (port->run_count) {
		struct arena_run *run = &port->run[--port->run_count];

		arena_give(arena, run->base, run->count);
	}
	pthread_mutex_destroy(&port->lock);
	pthread_mutex_destroy(&port->record_lock);
	free(port->spec);
	free(port);
}

int host_open(const struct gw_driver *driver, const char *spec, struct gw_port **result,
	      struct gw_error *err)
{
	struct gw_port *port = calloc(1, sizeof(*port));
	pthread_mutexattr_t recursive;
	int rc;

	assert_non_null(port);
	host_arena();
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&port->lock, &recursive);
	pthread_mutex_init(&port->record_lock, NULL);
	port->driver = driver;
	port->spec = strdup(spec);
	assert_non_null(port->spec);
	spec_parse(port);
	port->queue.port = port;
	for (unsigned int i = 0; i < GW_QUEUE_FDS; i++)
		port->queue.fd[i].fd = -1;
	rc = driver->open(port, err);
	if (rc) {
		driver->close(port);
		port_free(port);
		port = NULL;
	}
	*result = port;
	return rc;
}

int host_start(struct gw_port *port, struct gw_error *err)
{
	return port->driver->start(port, err);
}

struct gw_port *host_run(const struct gw_driver *driver, const char *spec)
{
	struct gw_error err = { 0 };
	struct gw_port *port;

	if (host_open(driver, spec, &port, &err))
		fail_msg("open %s: %s", spec, err.text);
	if (host_start(port, &err))
		fail_msg("start %s: %s", spec, err.text);
	return port;
}

int host_stop(struct gw_port *port, unsigned int deadline_ms)
{
	return port->driver->stop(port, deadline_ms);
}

void host_close(struct gw_port *port)
{
	if (!port)
		return;
	port->driver->close(port);
	port_free(port);
}

struct host_record *host_record(struct gw_port *port)
{
	return &port->record;
}

struct gw_queue *host_queue(struct gw_port *port)
{
	return &port->queue;
}

void host_visit_begin(struct gw_port *port)
{
	pthread_mutex_lock(&port->lock);
}

void host_visit_end(struct gw_port *port)
{
	pthread_mutex_unlock(&port->lock);
}

bool host_paused(const struct gw_port *port)
{
	return port->paused;
}

struct gw_answer host_query(struct gw_port *port, struct gw_memmap *memmap)
{
	struct gw_answer answer;

	memset(&answer, 0, sizeof(answer));
	port->driver->query(port, memmap, &answer);
	return answer;
}

struct gw_answer host_lend(struct gw_port *port, struct gw_memmap *memmap)
{
	struct gw_answer answer = host_query(port, memmap);
	struct gw_error err = { 0 };

	if (answer.verdict == GW_NO)
		fail_msg("query: no, %s: %s", gw_reason_name(answer.reason), answer.text);
	if (answer.needs_map && port->driver->map(port, memmap, &err))
		fail_msg("map: %s", err.text);
	return answer;
}
