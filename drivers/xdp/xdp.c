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
 * which memory, program.c the XDP program, netdev.c the interface. README.md has
 * what users must know.
 */
#include "xdp.h"

#include "fd.h"
#include "packet_rx.h"
#include <errno.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/utsname.h>
#include <syslog.h>

#define VLAN_TAG_BYTES 4u
#define RING_MIN       64u
#define RING_MAX       8192u

/*
 * What one socket can have registered: the kernel keeps some 120 bytes for each
 * page in one allocation, which must stay below 2 GiB.
 */
#define UMEM_MAX_BYTES (70ull << 30)

/*
 * Copy mode without a copy is safe where completions name what is really over:
 * since Linux 6.18 (commit 30f241fcf52a).
 */
#define FRAGMENTS_KERNEL_MAJOR 6
#define FRAGMENTS_KERNEL_MINOR 18

static const char *const bind_words[] = { "auto", "zerocopy", "copy", NULL };
static const char *const switch_words[] = { "on", "off", NULL };
static const char *const promisc_words[] = { "auto", "on", "off", NULL };
enum { PROMISC_AUTO, PROMISC_ON, PROMISC_OFF };

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
	if ((rc = gw_port_option_word(port, "promisc", promisc_words, &p->promiscuous, err)))
		return rc;
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

/* ---- start and stop ---- */

static void warn_own_address(const struct xdp_port *p)
{
	if (!p->netdev.own_address || (p->program.link_fd < 0 && !p->xsk->zerocopy))
		return;
	gw_port_log(
		p->port, LOG_WARNING,
		"port %s: %s has an IP address of this host; frames that arrive on its queue %u "
		"go to the network of this port now and not to the host",
		gw_port_name(p->port), gw_port_target(p->port), p->queue_index);
}

struct packet_call {
	struct xdp_port *p;
	struct gw_error *err;
	int rc;
};

static void packet_open_apply(void *arg)
{
	struct packet_call *call = arg;
	struct xdp_port *p = call->p;
	const struct packet_rx_config config = {
		.ifindex = (int)p->netdev.ifindex,
		.buffers = p->rx.count,
		.arena = p->rx.pool,
	};

	/* Frames of the AF_XDP socket are still lent: their buffers cannot change hands. */
	if (!p->packet && rx_lent(p)) {
		call->rc = gw_error_set(call->err, -EBUSY,
					"port %s: received frames are still in other ports",
					gw_port_name(p->port));
		return;
	}
	call->rc = p->packet ? packet_rx_reopen(p->packet, config.ifindex, call->err)
			     : packet_rx_open(p->port, &config, &p->packet, call->err);
	p->queue->fd[1].fd = p->packet ? packet_rx_fd(p->packet) : -1;
	p->queue->fd[1].events = EPOLLIN;
}

static void packet_shut_apply(void *arg)
{
	struct xdp_port *p = arg;

	p->queue->fd[1].fd = -1;
	if (p->packet)
		packet_rx_shut(p->packet);
}

/* Receives through AF_PACKET: what `why` says prevents the XDP program. */
static int receive_by_packet(struct xdp_port *p, const struct gw_error *why, struct gw_error *err)
{
	struct packet_call call = { .p = p, .err = err };

	gw_port_apply(p->port, packet_open_apply, &call);
	if (call.rc)
		return call.rc;
	if (!p->why_packet[0])
		gw_port_log(p->port, LOG_NOTICE,
			    "port %s: receiving through AF_PACKET, not AF_XDP: %s",
			    gw_port_name(p->port), why->text);
	if (why->text[0])
		snprintf(p->why_packet, sizeof(p->why_packet), "%s", why->text);
	return 0;
}

static int receive_start(struct xdp_port *p, struct gw_error *err)
{
	struct gw_error why = { 0 };

	if (!p->receive)
		return 0;
	if (!p->packet && !program_attach(&p->program, p->netdev.ifindex, p->queue_index, &why))
		return 0;
	return receive_by_packet(p, &why, err);
}

static void promiscuous_start(struct xdp_port *p)
{
	bool wanted =
		p->promiscuous == PROMISC_ON || (p->promiscuous == PROMISC_AUTO && p->receive &&
						 strcmp(p->netdev.driver, "veth") != 0);

	if (!wanted)
		return;
	p->promiscuous_fd = netdev_promiscuous(p->netdev.ifindex);
	if (p->promiscuous_fd < 0)
		gw_port_log(p->port, LOG_WARNING,
			    "port %s: %s not promiscuous (%s): it may not receive what is sent to "
			    "guests",
			    gw_port_name(p->port), gw_port_target(p->port),
			    strerror(-p->promiscuous_fd));
}

static void everything_off(struct xdp_port *p)
{
	program_detach(&p->program);
	gw_fd_close(&p->promiscuous_fd);
	gw_port_apply(p->port, packet_shut_apply, p);
}

static uint32_t max_len(const struct xdp_port *p)
{
	uint32_t len = p->netdev.mtu + ETH_HLEN + VLAN_TAG_BYTES;
	uint32_t most = p->tx.pieces_max * XSK_CHUNK_BYTES;

	if (most > GW_FRAME_LEN_MAX)
		most = GW_FRAME_LEN_MAX;
	return len < most ? len : most;
}

/* What the user is told after each change of the socket. */
static void tell(struct xdp_port *p)
{
	const char *receive = !p->receive         ? "off"
			      : p->packet         ? "AF_PACKET"
			      : p->program.native ? "XDP"
						  : "generic XDP";

	gw_port_set_reads(p->port, p->reads);
	gw_port_set_max_len(p->port, max_len(p));
	if (!p->xsk)
		gw_port_set_status(p->port, "no socket: %s", p->trouble);
	else
		gw_port_set_status(p->port, "queue %u, %s%s, receive %s%s%s%s", p->queue_index,
				   p->xsk->zerocopy ? "zero-copy" : "copy mode",
				   p->xsk->multi_buffer ? ", multi-buffer" : "", receive,
				   p->packet ? ": " : "", p->packet ? p->why_packet : "",
				   p->netdev.own_address ? "; the host's own address is here" : "");
}

static int xdp_start(struct gw_port *port, struct gw_error *err)
{
	struct xdp_port *p = gw_port_priv(port);
	int rc = netdev_read(gw_port_target(port), &p->netdev, err);

	if (rc)
		return rc;
	rc = receive_start(p, err);
	if (rc)
		goto fail;
	rc = window_set(p, NULL, err);
	if (rc)
		goto fail;
	promiscuous_start(p);
	warn_own_address(p);
	p->started = true;
	tell(p);
	return 0;
fail:
	everything_off(p);
	return rc;
}

static int xdp_stop(struct gw_port *port, unsigned int deadline_ms)
{
	struct xdp_port *p = gw_port_priv(port);
	uint32_t held;

	p->started = false;
	held = window_clear(p, deadline_ms);
	everything_off(p);
	if (held)
		gw_port_set_status(port, "stopped, the device still holds %u frames", held);
	else
		gw_port_set_status(port, "stopped");
	return (int)held;
}

/* ---- query ---- */

static void say_no(struct gw_answer *answer, enum gw_reason reason, const char *text)
{
	answer->verdict = GW_NO;
	answer->reason = reason;
	snprintf(answer->text, sizeof(answer->text), "%s", text);
}

/* The interface, which may be another of the same name by now, is brought up as in start. */
static int device_reopen(struct xdp_port *p, struct gw_error *err)
{
	unsigned int before = p->netdev.ifindex;
	int rc;

	window_clear(p, XDP_BIND_LIMIT_MS);
	rc = netdev_read(gw_port_target(p->port), &p->netdev, err);
	if (!rc && p->netdev.ifindex != before) {
		everything_off(p);
		rc = receive_start(p, err);
		promiscuous_start(p);
	}
	return rc ? rc : window_set(p, NULL, err);
}

/* Opens the socket anew, without guest memory: who lends will map it again. */
static void recover(struct xdp_port *p)
{
	struct gw_error err = { 0 };
	int rc;

	if (!p->started || !window_troubled(p))
		return;
	rc = device_reopen(p, &err);
	if (!rc)
		gw_port_log(p->port, LOG_WARNING, "port %s: the AF_XDP socket was opened anew",
			    gw_port_name(p->port));
	else if (!p->trouble[0])
		gw_port_log(p->port, LOG_ERR, "port %s: opening the AF_XDP socket anew: %s",
			    gw_port_name(p->port), err.text);
	snprintf(p->trouble, sizeof(p->trouble), "%s", rc ? err.text : "");
	tell(p);
}

static bool fragments_are_safe(void)
{
	struct utsname name;
	int major, minor;

	if (uname(&name) || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return false;
	return major > FRAGMENTS_KERNEL_MAJOR ||
	       (major == FRAGMENTS_KERNEL_MAJOR && minor >= FRAGMENTS_KERNEL_MINOR);
}

/* Whether this memory could be the UMEM; the reason if not. */
static bool window_fits(const struct xdp_port *p, struct gw_memmap *memmap,
			struct gw_answer *answer)
{
	struct gw_window window;

	gw_memmap_window(memmap, &window);
	if (window.file_backed) {
		say_no(answer, GW_COPY_MEMORY_FILE,
		       "guest memory lies in a file, which cannot be pinned for long; use "
		       "memory-backend-memfd");
		return false;
	}
	if (window.len > UMEM_MAX_BYTES) {
		say_no(answer, GW_COPY_MEMORY_LIMIT,
		       "more than 70 GiB: the kernel cannot register that for one queue");
		return false;
	}
	if (p->reads == GW_READS_FRAGMENTS && !fragments_are_safe()) {
		say_no(answer, GW_COPY_DEVICE_CANNOT,
		       "this kernel reports frames as sent that virtio_net still reads; needs "
		       "Linux 6.18");
		return false;
	}
	return true;
}

static void say_limits(const struct xdp_port *p, struct gw_answer *answer)
{
	/* A frame of max_segs segments still has to fit when long segments are split. */
	uint32_t splits = max_len(p) / XSK_CHUNK_BYTES, segs = p->tx.pieces_max;

	if (segs > 1 && !p->tx.split_pages)
		segs = segs > splits + 1 ? segs - splits : 1;
	if (segs > XDP_COPY_SEGS && !p->xsk->zerocopy)
		segs = XDP_COPY_SEGS;
	answer->verdict = GW_PARTLY;
	answer->max_segs = (uint16_t)segs;
	answer->single_page_segs = p->tx.split_pages;
	snprintf(answer->text, sizeof(answer->text), "queue %u, %s, up to %u segments%s",
		 p->queue_index,
		 p->xsk->zerocopy                 ? "zero-copy: the NIC reads guest memory"
		 : p->reads == GW_READS_FRAGMENTS ? "copy mode that passes pages on"
						  : "copy mode: the kernel copies each frame once",
		 segs, p->tx.split_pages ? ", each in one page" : "");
}

static void xdp_query(struct gw_port *port, struct gw_memmap *memmap, struct gw_answer *answer)
{
	struct xdp_port *p = gw_port_priv(port);

	memset(answer, 0, sizeof(*answer));
	recover(p);
	answer->reads = p->reads;
	answer->max_segs = 1;
	if (!p->xsk) {
		say_no(answer, GW_COPY_DEVICE_DOWN,
		       p->trouble[0] ? p->trouble : "the port is not running");
		return;
	}
	if (memmap && p->mapped && p->mapped != memmap) {
		say_no(answer, GW_COPY_MEMORY_TAKEN,
		       "the queue lends from another guest already; give this guest a queue of its "
		       "own (another port with queue=N)");
		return;
	}
	if (memmap && !window_fits(p, memmap, answer))
		return;
	say_limits(p, answer);
	answer->needs_map = memmap && p->mapped != memmap;
	if (!memmap)
		answer->verdict = GW_YES;
}

/* ---- map and unmap ---- */

static void back_to_arena(struct xdp_port *p)
{
	struct gw_error err = { 0 };

	if (window_set(p, NULL, &err)) {
		snprintf(p->trouble, sizeof(p->trouble), "%s", err.text);
		gw_port_log(p->port, LOG_ERR, "port %s: %s", gw_port_name(p->port), err.text);
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
	tell(p);
	/* Other guests' answers are "taken" now. */
	gw_port_requery(port);
	return rc;
}

static void xdp_unmap(struct gw_port *port, struct gw_memmap *memmap)
{
	struct xdp_port *p = gw_port_priv(port);

	if (p->mapped != memmap)
		return;
	if (p->started)
		back_to_arena(p);
	tell(p);
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
