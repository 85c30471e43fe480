/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A crossing before its first frame and after its last: made, joined with the other lanes',
 * freed. No worker has it then.
 */
#include "crossing_inside.h"

#include "apart.h"
#include "fd.h"
#include "text.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

static void queue_init(struct crossing *crossing)
{
	struct port_queue *queue = &crossing->queue;

	gw_text_copy(crossing->port.name, sizeof(crossing->port.name), "crossing");
	crossing->port.driver = &crossing_driver;
	crossing->port.up = true;
	crossing->port.lanes = 1;
	crossing->port.queue[0] = queue;
	queue->port = queue->queue.port = &crossing->port;
	queue->driver = &crossing_driver;
	queue->clock = &queue->own_clock;
	for (unsigned int i = 1; i < GW_QUEUE_FDS; i++)
		queue->queue.fd[i].fd = -1;
	queue->queue.fd[0].fd = gw_eventfd();
	queue->queue.fd[0].events = EPOLLIN;
}

static bool allocate(struct crossing *crossing)
{
	crossing->handed = calloc(CROSSING_HANDED, sizeof(*crossing->handed));
	crossing->idle = calloc(CROSSING_HANDED, sizeof(*crossing->idle));
	crossing->segs = calloc(CROSSING_LONG, sizeof(*crossing->segs));
	if (!crossing->handed || !crossing->idle || !crossing->segs)
		return false;
	for (; crossing->idle_count < CROSSING_HANDED; crossing->idle_count++)
		crossing->idle[crossing->idle_count] =
			&crossing->handed[CROSSING_HANDED - 1 - crossing->idle_count];
	for (; crossing->segs_count < CROSSING_LONG; crossing->segs_count++)
		crossing->segs_idle[crossing->segs_count] = crossing->segs_count;
	for (unsigned int i = 0; i < crossing->count; i++) {
		if (i == crossing->index)
			continue;
		crossing->to[i] = gw_alloc_apart(sizeof(*crossing->to[i]));
		if (!crossing->to[i])
			return false;
	}
	return true;
}

int crossing_create(unsigned int index, unsigned int count, struct crossing **out,
		    struct gw_error *err)
{
	struct crossing *crossing = gw_alloc_apart(sizeof(*crossing));

	if (!crossing)
		return gw_error_sys(err, -ENOMEM, "a crossing of %u lanes", count);
	crossing->index = index;
	crossing->count = count;
	queue_init(crossing);
	if (!allocate(crossing) || crossing->queue.queue.fd[0].fd < 0) {
		crossing_free(crossing);
		return gw_error_sys(err, -ENOMEM, "a crossing of %u lanes", count);
	}
	*out = crossing;
	return 0;
}

void crossing_free(struct crossing *crossing)
{
	if (!crossing)
		return;
	gw_fd_close(&crossing->queue.queue.fd[0].fd);
	for (unsigned int i = 0; i < crossing->count; i++)
		free(crossing->to[i]);
	free(crossing->handed);
	free(crossing->idle);
	free(crossing->segs);
	free(crossing);
}

void crossing_connect(struct crossing *const *crossings, unsigned int count)
{
	for (unsigned int x = 0; x < count; x++) {
		for (unsigned int y = 0; y < count; y++) {
			struct way *way = crossings[x]->to[y];

			crossings[y]->from[x] = way;
			if (!way)
				continue;
			way->near_lane = x;
			way->near_fd = crossings[x]->queue.queue.fd[0].fd;
			way->far_fd = crossings[y]->queue.queue.fd[0].fd;
		}
	}
}
