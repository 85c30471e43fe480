/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The channels of a port, and which guest gets one.
 *
 * A guest that wants to be lent from gets a channel that lends from nobody. A further
 * one is added without a change to those that are there, so these come first; the first,
 * which everybody else's copies take and which receives, is the last to get other memory.
 * When all are taken, later guests are copied; who leaves gives his channel back, and
 * since the port then asks to be queried again, one of the others gets it.
 */
#include "xdp.h"

#include "contiguity.h"
#include <errno.h>
#include <stdio.h>
#include <syslog.h>

/* A part of the port's buffers; NULL if it is of none (a port may have none at all). */
static uint8_t *part_of(uint8_t **pool, uint32_t buffers)
{
	uint8_t *part = *pool;

	if (!buffers)
		return NULL;
	*pool += (size_t)buffers * GW_ARENA_BUFFER_BYTES;
	return part;
}

/* Its part of the port's receive buffers begins at *pool, which moves on. */
static int channel_init(struct xdp_port *p, unsigned int index, uint8_t **pool,
			struct gw_error *err)
{
	struct xdp_channel *ch = &p->channel[index];
	uint32_t entries = p->receive ? rules_rx_entries(index, p->rx_entries) : 0;

	ch->p = p;
	ch->index = index;
	ch->page_bytes = CONTIGUOUS_BYTES_LEAST;
	ch->queue_index = p->queue_first + index;
	if (tx_init(ch, p->tx_entries))
		return gw_error_set(err, -ENOMEM, "port %s: no memory for %u descriptors",
				    gw_port_name(p->port), p->tx_entries);
	if (rx_init(ch, part_of(pool, entries), entries))
		return gw_error_set(err, -ENOMEM, "port %s: no memory for %u receive buffers",
				    gw_port_name(p->port), entries);
	if (p->pass)
		ch->rx.pass = part_of(pool, RULES_PASS_BUFFERS);
	return 0;
}

int channels_init(struct xdp_port *p, struct gw_error *err)
{
	unsigned int buffers = rules_buffers(p->channel_count, p->rx_entries, p->receive, p->pass);
	uint8_t *pool = buffers ? gw_port_arena_take(p->port, buffers, err) : NULL;
	int rc = buffers && !pool ? -ENOMEM : 0;

	for (unsigned int i = 0; i < p->channel_count && !rc; i++)
		rc = channel_init(p, i, &pool, err);
	return rc;
}

void channels_free(struct xdp_port *p)
{
	for (unsigned int i = 0; i < p->channel_count; i++) {
		xsk_close(p->channel[i].xsk);
		tx_free(&p->channel[i]);
		rx_free(&p->channel[i]);
	}
}

struct xdp_channel *channel_of(struct xdp_port *p, const struct gw_memmap *memmap)
{
	for (unsigned int i = 0; i < p->channel_count; i++)
		if (p->channel[i].mapped == memmap)
			return &p->channel[i];
	return NULL;
}

/* The interface may have fewer queues by now than it had at the start. */
static bool is_vacant(const struct xdp_channel *ch)
{
	if (ch->mapped || ch->elsewhere)
		return false;
	return !ch->index || ch->queue_index < ch->p->netdev.queues;
}

struct xdp_channel *channel_vacant(struct xdp_port *p)
{
	for (unsigned int i = 1; i < p->channel_count; i++)
		if (is_vacant(&p->channel[i]))
			return &p->channel[i];
	return is_vacant(&p->channel[0]) ? &p->channel[0] : NULL;
}

static void back_to_arena(struct xdp_channel *ch)
{
	struct xdp_port *p = ch->p;
	struct gw_error err = { 0 };

	if (window_set(ch, NULL, &err)) {
		snprintf(p->trouble, sizeof(p->trouble), "%s", err.text);
		gw_port_log(p->port, LOG_ERR, "%s", err.text);
	}
}

int channel_map(struct xdp_port *p, struct gw_memmap *memmap, struct gw_error *err)
{
	struct xdp_channel *ch;
	int rc = -EBUSY;

	gw_error_set(err, rc, "port %s: each queue lends from another guest already",
		     gw_port_name(p->port));
	while ((ch = channel_vacant(p))) {
		rc = window_set(ch, memmap, err);
		if (!rc)
			return 0;
		if (!ch->index && !ch->xsk)
			back_to_arena(ch);
		/* Of another program's queues this one was not told beforehand: the next. */
		if (!ch->index || (rc != -EBUSY && rc != -EINVAL))
			return rc;
		ch->elsewhere = true;
	}
	return rc;
}

int channel_remap(struct xdp_channel *ch, struct gw_memmap *memmap, struct gw_error *err)
{
	uint32_t page_bytes = ch->page_bytes;
	int rc = window_set(ch, memmap, err);

	if (!ch->xsk && !ch->index)
		back_to_arena(ch);
	if (ch->mapped != memmap || ch->page_bytes != page_bytes)
		gw_port_requery(ch->p->port);
	return rc;
}

void channel_unmap(struct xdp_channel *ch)
{
	struct xdp_port *p = ch->p;

	for (unsigned int i = 0; i < p->channel_count; i++)
		p->channel[i].elsewhere = false;
	if (ch->index)
		window_clear(ch, XDP_BIND_LIMIT_MS);
	else
		back_to_arena(ch);
}
