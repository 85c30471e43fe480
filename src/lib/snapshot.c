/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshots: all counters, copied while workers run, and summed up over lanes. What only a
 * worker may look at is read there (read_answers).
 */
#include "context_state.h"

#include <errno.h>
#include <stdlib.h>

/* What is handed out, and what it points to. */
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
