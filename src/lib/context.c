/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The embedding API: options checked, the engine called. Nothing else is here.
 */
#include "context_state.h"

#include <guestwire/handover.h>
#include <guestwire/trace.h>

#include "driver_table.h"
#include "engine_trace.h"
#include "fd.h"
#include "handover_wire.h"
#include "log.h"
#include "memmap.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STOP_MS_DEFAULT 1000u
#define BOUNCE_MIB_MAX  4096u

const char *gw_version(void)
{
	return GW_VERSION;
}

const struct gw_driver *const *gw_drivers(void)
{
	return gw_driver_table;
}

const struct gw_option *gw_port_options(void)
{
	return port_common_options;
}

bool gw_sigbus(void *address)
{
	return memmap_fault(address);
}

/* The caller's options, as far as its version of the struct goes. */
static int take_options(const struct gw_options *given, struct gw_options *options,
			struct gw_error *err)
{
	*options = (struct gw_options){ .size = sizeof(*options) };
	if (given) {
		if (given->size < sizeof(given->size) || given->size > sizeof(*options))
			return gw_error_set(err, -EINVAL, "gw_options.size is %zu; expected %zu",
					    given->size, sizeof(*options));
		memcpy(options, given, given->size);
	}
	if (!options->workers)
		options->workers = 1;
	if (!options->stop_ms)
		options->stop_ms = STOP_MS_DEFAULT;
	if (options->workers > ENGINE_WORKERS_MAX)
		return gw_error_set(err, -EINVAL, "%u workers; there can be 1 to %u",
				    options->workers, ENGINE_WORKERS_MAX);
	if (options->stop_ms < 100 || options->stop_ms > 2000)
		return gw_error_set(err, -EINVAL, "a stop time of %u ms; it can be 100 to 2000",
				    options->stop_ms);
	if (options->bounce_mib > BOUNCE_MIB_MAX)
		return gw_error_set(err, -EINVAL, "%u MiB of bounce memory; at most %u",
				    options->bounce_mib, BOUNCE_MIB_MAX);
	return 0;
}

/*
 * All ports are up, and nothing runs. Of a hand-over this is the last moment at which the
 * other process may still go on in our place: after it one of us serves the guests.
 */
static int on_prepared(void *arg, struct gw_error *err)
{
	struct gw_context *context = arg;
	int ret = 0;

	if (context->prepared)
		ret = context->prepared(context->prepared_arg, err);
	if (ret || context->handover_fd < 0)
		return ret;
	ret = handover_answer(context->handover_fd, err);
	return ret ? ret : handover_wait_agreed(context->handover_fd, err);
}

int gw_open(const struct gw_options *given, struct gw_context **out, struct gw_error *err)
{
	struct gw_context *context = calloc(1, sizeof(*context));
	struct engine_config config;
	struct gw_options options;
	int ret;

	if (!context)
		return gw_error_sys(err, -ENOMEM, "context");
	ret = take_options(given, &options, err);
	if (!ret) {
		config = (struct engine_config){
			.workers = options.workers,
			.arena_bytes = (size_t)options.bounce_mib << 20,
			.stop_ms = options.stop_ms,
			.state_dir = options.state_dir,
			.prepared = on_prepared,
			.prepared_arg = context,
		};
		ret = engine_create(&config, &context->engine, err);
	}
	if (ret) {
		free(context);
		return ret;
	}
	pthread_mutex_init(&context->lock, NULL);
	context->handover_fd = -1;
	context->prepared = options.prepared;
	context->prepared_arg = options.prepared_arg;
	context->no_sigbus_handler = options.no_sigbus_handler;
	if (options.log)
		gw_log_set_sink(options.log, options.log_arg);
	*out = context;
	return 0;
}

int gw_port_add(struct gw_context *context, const char *spec, struct gw_error *err)
{
	struct gw_port *port;
	int ret = port_parse(spec, gw_driver_table, &port, err);

	if (ret)
		return ret;
	pthread_mutex_lock(&context->lock);
	ret = engine_add_port(context->engine, port, err);
	pthread_mutex_unlock(&context->lock);
	if (ret)
		port_free(port);
	return ret;
}

int gw_start(struct gw_context *context, struct gw_error *err)
{
	int ret = 0;

	if (!context->no_sigbus_handler)
		ret = memmap_install_sigbus();
	if (ret)
		return gw_error_sys(err, ret, "SIGBUS handler");
	pthread_mutex_lock(&context->lock);
	ret = engine_start(context->engine, err);
	gw_fd_close(&context->handover_fd);
	pthread_mutex_unlock(&context->lock);
	return ret;
}

int gw_stop(struct gw_context *context, unsigned int deadline_ms)
{
	unsigned int held;

	pthread_mutex_lock(&context->lock);
	held = engine_stop(context->engine, deadline_ms);
	pthread_mutex_unlock(&context->lock);
	return (int)held;
}

void gw_close(struct gw_context *context)
{
	if (!context)
		return;
	engine_free(context->engine);
	gw_fd_close(&context->handover_fd);
	pthread_mutex_destroy(&context->lock);
	free(context);
}

int gw_move(struct gw_context *context, const char *port, unsigned int pair, unsigned int worker,
	    struct gw_error *err)
{
	int ret;

	pthread_mutex_lock(&context->lock);
	ret = engine_move(context->engine, port, pair, worker, err);
	pthread_mutex_unlock(&context->lock);
	return ret;
}

/* ---- hand-over ---- */

struct leaving {
	int socket;
	struct gw_error *err;
};

static int send_parcel(void *arg, struct gw_port *port, const struct gw_parcel *parcel)
{
	struct leaving *leaving = arg;

	return handover_send(leaving->socket, port->name, port->driver->name, parcel, leaving->err);
}

int gw_leave(struct gw_context *context, int socket, unsigned int deadline_ms, struct gw_error *err)
{
	struct leaving leaving = { socket, err };
	int ret = handover_patience(socket, GW_HANDOVER_PATIENCE_MS);

	if (ret)
		return gw_error_sys(err, ret, "hand-over");
	pthread_mutex_lock(&context->lock);
	ret = engine_leave(context->engine, deadline_ms, send_parcel, &leaving);
	if (!ret)
		ret = handover_send_end(socket, err);
	if (!ret)
		ret = handover_wait_answer(socket, err);
	if (!ret)
		ret = handover_agree(socket, err);
	if (ret)
		engine_return(context->engine);
	else
		engine_stop(context->engine, deadline_ms);
	pthread_mutex_unlock(&context->lock);
	return ret;
}

/* A port that is not there any more: its connections end, and that is said. */
static void take_parcel(struct gw_context *context, struct handover_parcel *parcel)
{
	struct gw_error err = { 0 };

	if (engine_take(context->engine, parcel->port, parcel->driver, &parcel->parcel, &err))
		gw_log(LOG_WARNING, "%s", err.text);
	parcel->parcel.fd_count = 0;
	handover_parcel_free(parcel);
}

int gw_take(struct gw_context *context, int socket, struct gw_error *err)
{
	struct handover_parcel parcel;
	int ret = handover_patience(socket, GW_HANDOVER_PATIENCE_MS);

	if (ret)
		gw_error_sys(err, ret, "hand-over");
	else
		while ((ret = handover_receive(socket, &parcel, err)) > 0)
			take_parcel(context, &parcel);
	context->handover_fd = socket;
	if (ret)
		gw_fd_close(&context->handover_fd);
	return ret;
}

/* ---- traces ---- */

int gw_trace_start(struct gw_context *context, const struct gw_trace_options *given,
		   struct gw_trace **trace, struct gw_error *err)
{
	struct gw_trace_options options = { 0 };

	if (given->size < sizeof(given->size) || given->size > sizeof(options))
		return gw_error_set(err, -EINVAL, "gw_trace_options.size is %zu; expected %zu",
				    given->size, sizeof(options));
	memcpy(&options, given, given->size);
	return engine_trace_start(context->engine, &options, trace, err);
}

unsigned int gw_trace_read(struct gw_trace *trace, struct gw_trace_event *events, unsigned int max,
			   uint64_t *lost)
{
	return engine_trace_read(trace, events, max, lost);
}

void gw_trace_stop(struct gw_trace *trace)
{
	if (trace)
		engine_trace_stop(trace);
}
