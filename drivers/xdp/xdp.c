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
 * range of memory: with queue=auto each guest gets a queue of its own while there are
 * any; others are bounced through the arena, which is part of every UMEM. Frames
 * bypass the queueing disciplines of the interface.
 *
 * Life of the sockets. start opens one on the arena alone; map replaces it by one
 * on the guest's window, or opens another queue; unmap goes back (channel.c,
 * window.c). When the interface goes away, or the kernel has met a descriptor that it
 * calls invalid, the worker says so (`broken`), asks to be queried, and the query
 * opens the socket anew: the query is the one control call that comes by itself.
 *
 * The pieces: xsk.c socket and rings, channel.c the queues that are used, window.c
 * which memory a socket has, dispatch.c the worker functions, with describe.c, tx.c
 * and rx.c behind them, device.c start and stop, answer.c the query, program.c the
 * XDP program, netdev.c what the interface says, xdp_rules.c what follows from that.
 * README.md has what users must know.
 */
#include "xdp.h"

#include "fd.h"
#include "packet_rx.h"
#include "xdp_probe.h"
#include "xdp_rules.h"
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define RING_MIN 64u
#define RING_MAX 8192u

static const char *const bind_words[] = { "auto", "zerocopy", "copy", NULL };
static const char *const checksum_words[] = { "auto", "device", "software", NULL };
static const char *const switch_words[] = { "on", "off", NULL };
static const char *const promisc_words[] = { "auto", "on", "off", NULL };

static const struct gw_option options[] = {
	{ "queue", "auto|N", "auto",
	  "the interface's queue to take; auto: queue 0, and more for guests that want to lend" },
	{ "bind", "auto|zerocopy|copy", "auto",
	  "zerocopy: the NIC reads guest memory itself or start fails; copy: the kernel copies" },
	{ "checksum", "auto|device|software", "auto",
	  "who fills in checksums that guests leave; auto: the device if nobody else would see "
	  "them open" },
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

	p->queue_auto = !strcmp(gw_port_option(port, "queue"), "auto");
	if (!p->queue_auto) {
		if ((rc = gw_port_option_u64(port, "queue", 0, UINT16_MAX, &number, err)))
			return rc;
		p->queue_first = (unsigned int)number;
	}
	if ((rc = gw_port_option_word(port, "bind", bind_words, &word, err)))
		return rc;
	p->bind = (enum xdp_bind)word;
	if ((rc = gw_port_option_word(port, "checksum", checksum_words, &word, err)))
		return rc;
	p->checksum = (enum xdp_checksum)word;
	if (p->checksum == XDP_CHECKSUM_DEVICE && p->bind == XDP_BIND_ZEROCOPY)
		return gw_error_set(err, -EINVAL,
				    "port %s: checksum=device is for copy mode: with checksum "
				    "requests, zero-copy takes no frame that begins with a page",
				    gw_port_name(port));
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

static int xdp_check(struct gw_port *port, struct gw_error *err)
{
	struct xdp_port probe = { .port = port };

	return options_read(&probe, err);
}

/* Zero-copy may take a queue's receive side from the host, which has not been asked for. */
static bool host_receives(const struct xdp_port *p)
{
	return p->bind != XDP_BIND_COPY && p->netdev.zerocopy;
}

static unsigned int xdp_arena_buffers(struct gw_port *port)
{
	struct xdp_port probe = { .port = port };

	if (options_read(&probe, NULL) || netdev_read(gw_port_target(port), &probe.netdev, NULL))
		return 0;
	return rules_buffers(rules_channels(&probe.netdev, probe.queue_auto), probe.rx_entries,
			     probe.receive, host_receives(&probe));
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
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	gw_port_set_priv(port, p);
	if (p->epoll_fd < 0)
		return gw_error_sys(err, -errno, "port %s: epoll", gw_port_name(port));
	rc = options_read(p, err);
	if (rc)
		return rc;
	rc = netdev_read(gw_port_target(port), &p->netdev, err);
	if (rc)
		return rc;
	p->pass = host_receives(p);
	p->channel_count = rules_channels(&p->netdev, p->queue_auto);
	rc = channels_init(p, err);
	if (rc)
		return rc;
	p->queue->lend_max = p->channel[0].rx.count;
	return 0;
}

static void xdp_close(struct gw_port *port)
{
	struct xdp_port *p = gw_port_priv(port);

	if (!p)
		return;
	channels_free(p);
	packet_rx_close(p->packet);
	program_detach(&p->program);
	gw_fd_close(&p->promiscuous_fd);
	gw_fd_close(&p->epoll_fd);
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

static int xdp_map(struct gw_port *port, struct gw_memmap *memmap, struct gw_error *err)
{
	struct xdp_port *p = gw_port_priv(port);
	int rc;

	if (channel_of(p, memmap))
		return 0;
	rc = channel_map(p, memmap, err);
	device_tell(p);
	if (!rc)
		gw_port_requery_refused(port); /* for other guests there is one queue less now */
	return rc;
}

/* The new socket pins the pages of now while the old one goes on. */
static int xdp_remap(struct gw_port *port, struct gw_memmap *memmap, struct gw_error *err)
{
	struct xdp_port *p = gw_port_priv(port);
	struct xdp_channel *ch = channel_of(p, memmap);
	int rc;

	if (!ch)
		return gw_error_set(err, -ENOENT, "port %s: this memory is not mapped",
				    gw_port_name(port));
	rc = channel_remap(ch, memmap, err);
	device_tell(p);
	return rc;
}

static void xdp_unmap(struct gw_port *port, struct gw_memmap *memmap)
{
	struct xdp_port *p = gw_port_priv(port);
	struct xdp_channel *ch = channel_of(p, memmap);

	if (!ch)
		return;
	if (p->started)
		channel_unmap(ch);
	device_tell(p);
	gw_port_requery_refused(port);
}

/* The bus is where an interface's IOMMU and virtio features are found, behind links. */
static const char *const read_later[] = { "/sys/bus", "/sys/devices", "/sys/kernel/iommu_groups",
					  "/proc/self/pagemap", NULL };
/* Sockets are opened, and memory pinned, for each guest that comes; programs when it moves. */
#define XDP_CAPABILITIES \
	(1ull << CAP_NET_ADMIN | 1ull << CAP_NET_RAW | 1ull << CAP_BPF | 1ull << CAP_IPC_LOCK)
static const struct gw_needs xdp_needs = {
	.start_capabilities = XDP_CAPABILITIES,
	.capabilities = XDP_CAPABILITIES,
	.families = 1ull << AF_XDP | 1ull << AF_PACKET | 1ull << AF_NETLINK | 1ull << AF_INET |
		    1ull << AF_UNIX,
	.reads = read_later,
};

const struct gw_driver gw_driver_xdp = {
	.name = "xdp",
	.target = "IFNAME",
	.target_is_interface = true,
	.help = "a queue of a network interface through AF_XDP, sending from guest memory",
	.options = options,
	.needs = &xdp_needs,
	.probe = xdp_probe,
	.check = xdp_check,
	.arena_buffers = xdp_arena_buffers,
	.open = xdp_open,
	.start = xdp_start,
	.stop = xdp_stop,
	.close = xdp_close,
	.query = xdp_query,
	.map = xdp_map,
	.remap = xdp_remap,
	.unmap = xdp_unmap,
	.rx = xdp_rx,
	.release = xdp_release,
	.tx = xdp_tx,
	.reap = xdp_reap,
	.arm = xdp_arm,
	.device_counts = xdp_device_counts,
};
