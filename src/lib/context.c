/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The embedding API: options checked, the engine called. Nothing else is here.
 */
#include <guestwire/guestwire.h>
#include <guestwire/handover.h>
#include <guestwire/trace.h>

#include "driver_table.h"
#include "engine.h"
#include "engine_trace.h"
#include "fd.h"
#include "handover_wire.h"
#include "log.h"
#include "memmap.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define STOP_MS_DEFAULT 1000u
#define BOUNCE_MIB_MAX  4096u

struct gw_context {
	/* Held while starting and stopping, and while a snapshot is taken. */
	pthread_mutex_t lock;
	struct engine *engine;
	int handover_fd; /* gw_take: gw_start answers there; -1: none */
	int (*prepared)(void *arg, struct gw_error *err);
	void *prepared_arg;
	bool no_sigbus_handler;
};

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

/* ---- snapshots ---- */

/* One allocation: the structs, and behind them the status lines. */
struct snapshot_block {
	struct gw_snapshot snapshot;
	struct gw_port_info *ports;
	struct gw_pair_info *pairs;
	struct gw_worker_info *work;
	char (*status)[PORT_STATUS_BYTES];
};

static void add_counters(uint64_t *to, const gw_counter *from, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		to[i] += gw_counter_read(&from[i]);
}

static void add_queue(struct gw_port_info *info, const struct port_queue *queue)
{
	info->rx_frames += gw_counter_read(&queue->rx_frames);
	info->rx_bytes += gw_counter_read(&queue->rx_bytes);
	info->tx_frames += gw_counter_read(&queue->tx_frames);
	info->tx_bytes += gw_counter_read(&queue->tx_bytes);
	add_counters(info->rx_drops, queue->rx_drops, GW_REASON_COUNT);
	histogram_sum(&queue->forward, &info->forward);
	histogram_sum(&queue->back, &info->back);
}

static void read_port(struct gw_port_info *info, struct gw_port *port, unsigned int worker,
		      char *status)
{
	port_status(port, status, PORT_STATUS_BYTES);
	*info = (struct gw_port_info){
		.name = port->name,
		.driver = port->driver->name,
		.target = port->target,
		.network = port->network,
		.state = port_state(port),
		.link = port_link(port),
		.status = status,
		.reads = (enum gw_reads)gw_load_relaxed(&port->reads),
		.max_len = gw_load_relaxed(&port->max_len),
		.worker = worker,
		.queries = gw_counter_read(&port->queries),
		.quarantined = port_quarantined(port),
		.taken_again = gw_counter_read(&port->taken_again),
	};
	for (unsigned int i = 0; i < port->lanes; i++)
		add_queue(info, port->queue[i]);
}

static void read_places(struct gw_port_info *info, const struct engine *engine, unsigned int i)
{
	const struct gw_port *port = engine_port(engine, i);

	info->queue_pair_count = gw_load_acquire(&port->place_count);
	for (unsigned int pair = 0; pair < info->queue_pair_count; pair++)
		info->queue_pair_worker[pair] =
			engine_queue_worker(engine, i, gw_load_relaxed(&port->place[pair]));
}

static void add_pair(struct gw_pair_info *info, const struct pair *pair)
{
	info->lent_frames += gw_counter_read(&pair->lent_frames);
	info->lent_bytes += gw_counter_read(&pair->lent_bytes);
	info->copied_frames += gw_counter_read(&pair->copied_frames);
	info->copied_bytes += gw_counter_read(&pair->copied_bytes);
	info->supers_cut += gw_counter_read(&pair->supers_cut);
	info->checksums_made += gw_counter_read(&pair->checksums_made);
	info->headers_made += gw_counter_read(&pair->headers_made);
	info->header_bytes_copied += gw_counter_read(&pair->header_bytes_copied);
	info->kernel_copied_frames += gw_counter_read(&pair->kernel_copied_frames);
	info->kernel_copied_bytes += gw_counter_read(&pair->kernel_copied_bytes);
	info->loans_out += gw_counter_read(&pair->loans_now);
	info->loans_peak += gw_counter_read(&pair->loans_peak);
	info->loans_max += pair->loans_max;
	info->bounce_out += gw_counter_read(&pair->bounce_now);
	info->bounce_peak += gw_counter_read(&pair->bounce_peak);
	info->bounce_max += pair->bounce_max;
	add_counters(info->reasons, pair->reasons, GW_REASON_COUNT);
	add_counters(info->reason_bytes, pair->reason_bytes, GW_REASON_COUNT);
}

static void read_pair(struct gw_pair_info *info, const struct gw_port *egress, unsigned int source)
{
	const struct pair *first = egress->queue[0]->pair_from[source];

	*info = (struct gw_pair_info){
		.source = first->source->name,
		.egress = first->egress->name,
		.copybreak = first->copybreak,
	};
	for (unsigned int i = 0; i < egress->lanes; i++)
		add_pair(info, egress->queue[i]->pair_from[source]);
}

/*
 * The worker's own copies of the answers, and what the device has counted: read on the
 * worker, all of a port in one visit.
 */
struct answers_request {
	struct gw_port *egress;
	struct gw_pair_info *info;
};

/* Lanes ask for themselves, all the same; of one that has frames for it the answer is current. */
static void read_answer(struct gw_pair_info *info, const struct gw_port *egress,
			unsigned int source)
{
	for (unsigned int i = 0; i < egress->lanes; i++) {
		const struct pair *pair = egress->queue[i]->pair_from[source];

		if (!pair->was_answered || info->current)
			continue;
		info->asked = true;
		info->current = pair->answered;
		info->answer = pair->answer;
	}
}

static void read_answers(void *arg)
{
	struct answers_request *request = arg;
	struct gw_pair_info *info = request->info;

	for (unsigned int i = 0; i < request->egress->lanes; i++)
		port_queue_count_device(request->egress->queue[i]);
	for (unsigned int s = 0; s < PORT_NETWORK_MAX; s++)
		if (request->egress->queue[0]->pair_from[s])
			read_answer(info++, request->egress, s);
}

/* Returns how many pairs end at this port. */
static unsigned int read_pairs(struct gw_pair_info *info, struct gw_port *egress)
{
	struct answers_request request = { egress, info };
	unsigned int count = 0;

	for (unsigned int s = 0; s < PORT_NETWORK_MAX; s++)
		if (egress->queue[0]->pair_from[s])
			read_pair(&info[count++], egress, s);
	if (count)
		gw_port_apply(egress, read_answers, &request);
	return count;
}

static struct snapshot_block *block_create(unsigned int ports, unsigned int pairs,
					   unsigned int workers)
{
	struct snapshot_block *block = calloc(1, sizeof(*block));

	if (!block)
		return NULL;
	block->ports = calloc(ports + 1, sizeof(*block->ports));
	block->pairs = calloc(pairs + 1, sizeof(*block->pairs));
	block->work = calloc(workers, sizeof(*block->work));
	block->status = calloc(ports + 1, sizeof(*block->status));
	block->snapshot.ports = block->ports;
	block->snapshot.pairs = block->pairs;
	block->snapshot.work = block->work;
	if (block->ports && block->pairs && block->work && block->status)
		return block;
	gw_snapshot_free(&block->snapshot);
	return NULL;
}

static void fill(struct snapshot_block *block, const struct engine *engine)
{
	struct gw_snapshot *snapshot = &block->snapshot;

	snapshot->workers = engine_worker_count(engine);
	snapshot->arena_bytes = engine_arena_bytes(engine);
	for (unsigned int i = 0; i < engine_port_count(engine); i++) {
		struct gw_port *port = engine_port(engine, i);

		struct gw_port_info *info = &block->ports[snapshot->port_count];

		read_port(info, port, engine_port_worker(engine, i),
			  block->status[snapshot->port_count]);
		read_places(info, engine, i);
		snapshot->port_count++;
		snapshot->pair_count += read_pairs(&block->pairs[snapshot->pair_count], port);
		for (unsigned int q = 0; q < port->lanes; q++)
			add_counters(info->device_counts, port->queue[q]->device_counts,
				     GW_DEVICE_COUNT);
	}
	/* Behind the ports, for which they were woken. */
	for (unsigned int w = 0; w < snapshot->workers; w++)
		engine_worker_read(engine, w, &block->work[w]);
}

int gw_snapshot_take(struct gw_context *context, struct gw_snapshot **snapshot)
{
	struct snapshot_block *block;
	unsigned int pairs = 0;

	pthread_mutex_lock(&context->lock);
	for (unsigned int i = 0; i < engine_port_count(context->engine); i++)
		for (unsigned int s = 0; s < PORT_NETWORK_MAX; s++)
			pairs += engine_port(context->engine, i)->queue[0]->pair_from[s] != NULL;
	block = block_create(engine_port_count(context->engine), pairs,
			     engine_worker_count(context->engine));
	if (block)
		fill(block, context->engine);
	pthread_mutex_unlock(&context->lock);
	if (!block)
		return -ENOMEM;
	*snapshot = &block->snapshot;
	return 0;
}

void gw_snapshot_free(struct gw_snapshot *snapshot)
{
	struct snapshot_block *block = (struct snapshot_block *)snapshot;

	if (!block)
		return;
	free(block->ports);
	free(block->pairs);
	free(block->work);
	free(block->status);
	free(block);
}
