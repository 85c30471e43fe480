/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The xdp driver: a queue of a network interface through AF_XDP, with guest
 * memory as the memory that the device sends from.
 *
 * Goal. What a guest transmits goes out of the guest's own pages: by the NIC's DMA
 * where its driver has AF_XDP zero-copy, else with one copy by the kernel (and
 * none on virtio_net). Nothing is copied by us.
 *
 * Limits. One guest for each queue, since a queue has one UMEM and a UMEM is one
 * range of memory: others are bounced through the arena, which is part of it.
 * Frames bypass the queueing disciplines of the interface. No offloads.
 *
 * Life of the socket. start opens one on the arena alone; map replaces it by one
 * on the guest's window; unmap goes back (window.c). When the interface goes away,
 * or the kernel has met a descriptor that it calls invalid, the worker says so
 * (`broken`), asks to be queried, and the query opens the socket anew: the query
 * is the one control call that comes by itself.
 *
 * The pieces: xsk.c socket and rings, tx.c and rx.c the worker's side, window.c
 * which memory, device.c start and stop, answer.c the query, program.c the XDP
 * program, netdev.c what the interface says. README.md has what users must know.
 */
#include "xdp.h"

#include "fd.h"
#include "packet_rx.h"
#include "xdp_probe.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define RING_MIN 64u
#define RING_MAX 8192u

static const char *const bind_words[] = { "auto", "zerocopy", "copy", NULL };
static const char *const switch_words[] = { "on", "off", NULL };
static const char *const promisc_words[] = { "auto", "on", "off", NULL };

static const struct gw_option options[] = {
	{ "queue", "N", "0", "the interface's queue to take" },
	{ "bind", "auto|zerocopy|copy", "auto",
	  "zerocopy: the NIC reads guest memory itself or start fails; copy: the kernel copies" },
	{ "promisc", "auto|on|off", "auto",
	  "receive frames for all MAC addresses; auto: on, except for veth, which needs nothing" },
	{ "receive", "on|off", "on", "off: only send; no XDP program is attached" },
	{ "txring", "N", "2048", "descriptors of the transmit ring, a power of two" },
	{ "rxring", "N", "512", "receive buffers of 4 KiB, a power of two" },
	{ NULL, NULL, NULL, NULL },
};

/* ---- open and close ---- */

static int ring_option(struct gw_port *port, const char *name, uint32_t *entries,
		       struct gw_error *err)
{
	uint64_t value;
	int rc = gw_port_option_u64(port, name, RING_MIN, RING_MAX, &value, err);

	if (rc)
		return rc;
	if (value & (value - 1))
		return gw_error_set(err, -EINVAL, "port %s: %s=%lu: must be a power of two",
				    gw_port_name(port), name, (unsigned long)value);
	*entries = (uint32_t)value;
	return 0;
}

static int options_read(struct xdp_port *p, struct gw_error *err)
{
	struct gw_port *port = p->port;
	unsigned int word;
	uint64_t number;
	int rc;

	if ((rc = gw_port_option_u64(port, "queue", 0, UINT16_MAX, &number, err)))
		return rc;
	p->queue_index = (unsigned int)number;
	if ((rc = gw_port_option_word(port, "bind", bind_words, &word, err)))
		return rc;
	p->bind = (enum xdp_bind)word;
	if ((rc = gw_port_option_word(port, "promisc", promisc_words, &word, err)))
		return rc;
	p->promiscuous = (enum xdp_promiscuous)word;
	if ((rc = gw_port_option_word(port, "receive", switch_words, &word, err)))
		return rc;
	p->receive = word == 0;
	if ((rc = ring_option(port, "txring", &p->tx_entries, err)))
		return rc;
	return ring_option(port, "rxring", &p->rx_entries, err);
}

static unsigned int xdp_arena_buffers(struct gw_port *port)
{
	const char *receive = gw_port_option(port, "receive");
	uint64_t entries;

	if (!strcmp(receive, "off") ||
	    gw_port_option_u64(port, "rxring", RING_MIN, RING_MAX, &entries, NULL))
		return 0;
	return (unsigned int)entries;
}

static int xdp_open(struct gw_port *port, struct gw_error *err)
{
	struct xdp_port *p = calloc(1, sizeof(*p));
	const struct program none = PROGRAM_NONE;
	int rc;

	if (!p)
		return gw_error_set(err, -ENOMEM, "port %s: no memory", gw_port_name(port));
	p->port = port;
	p->queue = gw_port_queue(port, 0);
	p->queue->priv = p;
	p->arena = gw_port_arena(port);
	p->program = none;
	p->promiscuous_fd = -1;
	gw_port_set_priv(port, p);
	rc = options_read(p, err);
	if (rc)
		return rc;
	rc = netdev_read(gw_port_target(port), &p->netdev, err);
	if (rc)
		return rc;
	if (tx_init(p))
		return gw_error_set(err, -ENOMEM, "port %s: no memory for %u descriptors",
				    gw_port_name(port), p->tx_entries);
	rc = rx_init(p, err);
	if (rc)
		return rc;
	p->queue->lend_max = p->rx.count;
	return 0;
}

static void xdp_close(struct gw_port *port)
{
	struct xdp_port *p = gw_port_priv(port);

	if (!p)
		return;
	xsk_close(p->xsk);
	packet_rx_close(p->packet);
	program_detach(&p->program);
	gw_fd_close(&p->promiscuous_fd);
	tx_free(p);
	rx_free(p);
	p->queue->priv = NULL;
	gw_port_set_priv(port, NULL);
	free(p);
}

/* ---- start, stop, map, unmap ---- */

static int xdp_start(struct gw_port *port, struct gw_error *err)
{
	return device_start(gw_port_priv(port), err);
}

static int xdp_stop(struct gw_port *port, unsigned int deadline_ms)
{
	return (int)device_stop(gw_port_priv(port), deadline_ms);
}

static void back_to_arena(struct xdp_port *p)
{
	struct gw_error err = { 0 };

	if (window_set(p, NULL, &err)) {
		snprintf(p->trouble, sizeof(p->trouble), "%s", err.text);
		gw_port_log(p->port, LOG_ERR, "%s", err.text);
	}
}

static int xdp_map(struct gw_port *port, struct gw_memmap *memmap, struct gw_error *err)
{
	struct xdp_port *p = gw_port_priv(port);
	int rc;

	if (p->mapped == memmap)
		return 0;
	if (p->mapped)
		return gw_error_set(err, -EBUSY,
				    "port %s: queue %u lends from another guest already",
				    gw_port_name(port), p->queue_index);
	rc = window_set(p, memmap, err);
	if (rc && !p->xsk)
		back_to_arena(p);
	device_tell(p);
	if (!rc)
		gw_port_requery(port); /* for other guests the queue is taken now */
	return rc;
}

static void xdp_unmap(struct gw_port *port, struct gw_memmap *memmap)
{
	struct xdp_port *p = gw_port_priv(port);

	if (p->mapped != memmap)
		return;
	if (p->started)
		back_to_arena(p);
	device_tell(p);
	gw_port_requery(port);
}

/* ---- worker ---- */

static bool xdp_arm(struct gw_queue *queue, unsigned int wants, unsigned int *poll_us)
{
	struct xdp_port *p = queue->priv;
	bool busy = false;

	*poll_us = 0;
	if (wants & GW_WANT_RX)
		busy = rx_arm(p);
	if (wants)
		busy |= tx_arm(p, wants, poll_us);
	return busy;
}

const struct gw_driver gw_driver_xdp = {
	.name = "xdp",
	.target = "IFNAME",
	.help = "a queue of a network interface through AF_XDP, sending from guest memory",
	.options = options,
	.probe = xdp_probe,
	.arena_buffers = xdp_arena_buffers,
	.open = xdp_open,
	.start = xdp_start,
	.stop = xdp_stop,
	.close = xdp_close,
	.query = xdp_query,
	.map = xdp_map,
	.unmap = xdp_unmap,
	.rx = xdp_rx,
	.release = xdp_release,
	.tx = xdp_tx,
	.reap = xdp_reap,
	.arm = xdp_arm,
};
