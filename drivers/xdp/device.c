/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interface as a whole: starting, stopping, and starting over.
 *
 * Order: the way of receiving first (some NICs send nothing in zero-copy mode while
 * they have no XDP program), then the socket, then promiscuous mode. When the
 * interface has gone, or the socket cannot be trusted any more, device_recover does
 * it again; an interface of the same name may be another one by then.
 */
#include "xdp.h"

#include "contiguity.h"
#include "fd.h"
#include "loop.h"
#include "packet_rx.h"
#include "text.h"
#include "xdp_rules.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <syslog.h>

/* Of a frame beyond the MTU: Ethernet header and two VLAN tags. */
#define RX_EXTRA_BYTES 22u

/* ---- receiving ---- */

static void warn_own_address(const struct xdp_port *p)
{
	if (!p->netdev.own_address || (p->program.link_fd < 0 && !p->channel[0].xsk->zerocopy))
		return;
	gw_port_log(p->port, LOG_WARNING,
		    "%s has an IP address of this host; frames that arrive on its queue %u "
		    "go to the network of this port now and not to the host",
		    gw_port_target(p->port), p->queue_first);
}

struct packet_call {
	struct xdp_port *p;
	struct gw_error *err;
	int rc;
};

static bool any_lent(const struct xdp_port *p)
{
	bool lent = false;

	for (unsigned int i = 0; i < p->channel_count; i++)
		lent |= rx_lent(&p->channel[i]) > 0;
	return lent;
}

static void packet_open_apply(void *arg)
{
	struct packet_call *call = arg;
	struct xdp_port *p = call->p;
	const struct packet_rx_config config = {
		.ifindex = (int)p->netdev.ifindex,
		.buffers = p->channel[0].rx.count,
		.arena = p->channel[0].rx.pool,
	};

	/* Frames of AF_XDP sockets are still lent: their buffers cannot change hands. */
	if (!p->packet && any_lent(p)) {
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
		gw_port_log(p->port, LOG_NOTICE, "receiving through AF_PACKET, not AF_XDP: %s",
			    why->text);
	if (why->text[0])
		snprintf(p->why_packet, sizeof(p->why_packet), "%s", why->text);
	return 0;
}

/* Where the kernel does not tell whether the NIC can, only if zero-copy was asked for. */
static bool sending_wants_program(const struct xdp_port *p)
{
	bool can = p->netdev.features_known ? p->netdev.zerocopy : p->bind == XDP_BIND_ZEROCOPY;

	return can && bind_zerocopy_wanted(p) && rules_zerocopy_wants_program(&p->netdev);
}

/* The NIC would take frames in zero-copy mode and send none: copy mode, or an error. */
static int program_missing(struct xdp_port *p, const struct gw_error *why, struct gw_error *err)
{
	struct gw_error copy;

	if (p->bind == XDP_BIND_ZEROCOPY)
		return gw_error_set(err, -EOPNOTSUPP,
				    "interface %s: driver %s sends in zero-copy mode only with an "
				    "XDP program (%s); use bind=auto or bind=copy",
				    gw_port_target(p->port), p->netdev.driver, why->text);
	p->no_program = true;
	gw_error_set(&copy, -EOPNOTSUPP, "zero-copy needs an XDP program: %s", why->text);
	gw_text_copy(p->why_copy, sizeof(p->why_copy), copy.text);
	gw_port_log(p->port, LOG_NOTICE, "%s: copy mode: %s", gw_port_target(p->port), copy.text);
	return 0;
}

static int receive_start(struct xdp_port *p, struct gw_error *err)
{
	struct gw_error why = { 0 };
	int rc;

	p->no_program = false;
	if (!p->receive && !sending_wants_program(p))
		return 0;
	/* What a port does not receive passes it: no socket is in the program's map. */
	if (!p->packet && !program_attach(&p->program, p->netdev.ifindex,
					  p->queue_first + p->channel_count, &why))
		return 0;
	rc = sending_wants_program(p) ? program_missing(p, &why, err) : 0;
	if (rc)
		return rc;
	return p->receive ? receive_by_packet(p, &why, err) : 0;
}

static void promiscuous_start(struct xdp_port *p)
{
	bool wanted = p->promiscuous == XDP_PROMISC_ON ||
		      (p->promiscuous == XDP_PROMISC_AUTO && p->receive &&
		       strcmp(p->netdev.driver, "veth") != 0);

	if (!wanted)
		return;
	p->promiscuous_fd = netdev_promiscuous(p->netdev.ifindex);
	if (p->promiscuous_fd < 0)
		gw_port_log(p->port, LOG_WARNING,
			    "%s not promiscuous (%s): it may not receive what is sent to "
			    "guests",
			    gw_port_target(p->port), strerror(-p->promiscuous_fd));
}

static void everything_off(struct xdp_port *p)
{
	program_detach(&p->program);
	gw_fd_close(&p->promiscuous_fd);
	gw_port_apply(p->port, packet_shut_apply, p);
}

/* ---- what the user is told ---- */

uint32_t device_max_len(const struct xdp_port *p)
{
	uint32_t pieces = RULES_COPY_PIECES;

	for (unsigned int i = 0; i < p->channel_count; i++)
		if (p->channel[i].xsk && p->channel[i].tx.pieces_max < pieces)
			pieces = p->channel[i].tx.pieces_max;
	return rules_max_len(p->netdev.mtu, pieces);
}

/* The worst of all channels: nothing is to be called better than it is. */
static enum gw_reads device_reads(const struct xdp_port *p)
{
	enum gw_reads reads = p->channel[0].reads;

	for (unsigned int i = 1; i < p->channel_count; i++)
		if (p->channel[i].xsk && p->channel[i].reads < reads)
			reads = p->channel[i].reads;
	return reads;
}

static void limits_apply(void *arg)
{
	struct xdp_port *p = arg;
	const struct gw_offloads offloads = {
		.takes = p->metadata ? GW_OFFLOAD_CSUM : 0,
		.header_private = p->metadata,
		.one_segment = p->channel[0].tx.pieces_max == 1,
	};

	p->rx_len_max = p->netdev.mtu + RX_EXTRA_BYTES;
	gw_port_set_max_len(p->port, device_max_len(p));
	gw_port_set_offloads(p->port, &offloads);
}

/* "queue 0" or "queues 0 and 2", and how many there are. */
static void say_queues(const struct xdp_port *p, char *text, size_t size)
{
	unsigned int used = 0;
	size_t at;

	snprintf(text, size, "queue %u", p->queue_first);
	for (unsigned int i = 1; i < p->channel_count; i++) {
		if (!p->channel[i].xsk)
			continue;
		at = strlen(text);
		snprintf(text + at, size - at, used++ ? ", %u" : " and %u",
			 p->channel[i].queue_index);
	}
	at = strlen(text);
	if (p->queue_auto && p->netdev.queues > 1)
		snprintf(text + at, size - at, " of %u", p->netdev.queues);
}

void device_tell(struct xdp_port *p)
{
	const struct xsk *xsk = p->channel[0].xsk;
	char queues[128];
	const char *receive = !p->receive         ? "off"
			      : p->packet         ? "AF_PACKET"
			      : p->program.native ? "XDP"
						  : "generic XDP";

	if (!xsk) {
		gw_port_set_status(p->port, "no socket: %s", p->trouble);
		return;
	}
	say_queues(p, queues, sizeof(queues));
	gw_port_set_reads(p->port, device_reads(p));
	gw_port_apply(p->port, limits_apply, p);
	gw_port_set_status(p->port, "%s, %s%s%s%s, receive %s%s%s%s", queues,
			   xsk->zerocopy ? "zero-copy" : "copy mode",
			   xsk->multi_buffer ? ", multi-buffer" : "", p->why_copy[0] ? ": " : "",
			   p->why_copy, receive, p->packet ? ": " : "",
			   p->packet ? p->why_packet : "",
			   p->netdev.own_address ? "; the host's own address is here" : "");
}

/* ---- start, stop, recover ---- */

/*
 * The first socket, and from how it is bound: who fills in checksums. A device that
 * passes pages on takes requests for them with the page; where the kernel copies, its
 * stack would fill them in for a NIC, but leave them open on a veth, so that is
 * done only if asked for. In zero-copy mode the kernel refuses each descriptor whose
 * room for a request lies in another page, and so whatever begins with a page.
 */
static int first_socket(struct xdp_port *p, struct gw_error *err)
{
	struct gw_error ignored;
	int rc;

	p->metadata = p->checksum == XDP_CHECKSUM_DEVICE;
	rc = window_set(&p->channel[0], NULL, err);
	if (rc || p->checksum != XDP_CHECKSUM_AUTO || p->channel[0].reads != GW_READS_FRAGMENTS)
		return rc;
	p->metadata = true;
	if (!window_set(&p->channel[0], NULL, &ignored))
		return 0;
	/* No such kernel. */
	p->metadata = false;
	return p->channel[0].xsk ? 0 : window_set(&p->channel[0], NULL, err);
}

/*
 * A daemon that was killed leaves sockets behind for a moment, on any of these queues,
 * and they may still be reading the memory of guests, who will be told that their
 * buffers are free as soon as they are served again. That a queue can be bound proves
 * that the socket which had it is gone. No guest is served before all ports have started.
 */
static void wait_for_the_dead(struct xdp_port *p)
{
	uint64_t deadline_ns = gw_now_ns() + XDP_BIND_LIMIT_MS * 1000000ull;

	for (unsigned int i = 1; i < p->channel_count; i++)
		if (p->channel[i].queue_index < p->netdev.queues &&
		    !bind_released(&p->channel[i], p->netdev.ifindex, deadline_ns))
			p->channel[i].elsewhere = true;
}

int device_start(struct xdp_port *p, struct gw_error *err)
{
	int rc = netdev_read(gw_port_target(p->port), &p->netdev, err);

	if (rc)
		return rc;
	p->pages_apart = contiguity_translated(&p->netdev);
	rc = receive_start(p, err);
	if (rc)
		goto fail;
	rc = first_socket(p, err);
	if (rc)
		goto fail;
	wait_for_the_dead(p);
	promiscuous_start(p);
	warn_own_address(p);
	p->started = true;
	device_tell(p);
	return 0;
fail:
	everything_off(p);
	return rc;
}

uint32_t device_stop(struct xdp_port *p, unsigned int deadline_ms)
{
	uint64_t end_ns = gw_now_ns() + (uint64_t)deadline_ms * 1000000, now_ns;
	uint32_t held = 0;

	p->started = false;
	for (unsigned int i = 0; i < p->channel_count; i++) {
		now_ns = gw_now_ns();
		held += window_clear(&p->channel[i],
				     now_ns < end_ns ? (unsigned int)((end_ns - now_ns) / 1000000)
						     : 0);
	}
	everything_off(p);
	if (held)
		gw_port_set_status(p->port, "stopped, the device still holds %u frames", held);
	else
		gw_port_set_status(p->port, "stopped");
	return held;
}

static bool any_troubled(struct xdp_port *p)
{
	bool troubled = false;

	for (unsigned int i = 0; i < p->channel_count; i++)
		troubled |= window_troubled(&p->channel[i]);
	return troubled;
}

/*
 * A socket that cannot be trusted goes. Whoever comes upon it (the look at another guest's
 * memory will do), the guest that it lent from has been told yes, and must be asked
 * about again: its frames have nowhere to go.
 */
static void socket_away(struct xdp_channel *ch, unsigned int limit_ms)
{
	if (ch->mapped)
		gw_port_requery(ch->p->port);
	window_clear(ch, limit_ms);
}

/* The interface of this name is another one now: nothing of the old is of use. */
static int move_over(struct xdp_port *p, struct gw_error *err)
{
	int rc;

	for (unsigned int i = 0; i < p->channel_count; i++)
		socket_away(&p->channel[i], 0);
	everything_off(p);
	p->pages_apart = contiguity_translated(&p->netdev);
	rc = receive_start(p, err);
	if (rc)
		p->netdev.ifindex = 0; /* all of it again, next time */
	else
		promiscuous_start(p);
	return rc;
}

/*
 * A NIC that reads huge pages met an invalid descriptor: the likely cause is an IOMMU
 * that nobody told us of. It will not happen twice.
 */
static void doubt_pages(struct xdp_channel *ch)
{
	struct xdp_port *p = ch->p;

	if (p->pages_apart || !ch->xsk || !ch->xsk->invalid ||
	    ch->page_bytes == CONTIGUOUS_BYTES_LEAST)
		return;
	p->pages_apart = true;
	gw_port_log(p->port, LOG_WARNING,
		    "%s refused a frame from huge pages: is there an IOMMU? From now on no frame "
		    "is lent across a page of 4096 bytes",
		    gw_port_target(p->port));
}

/* Channels in trouble lose their sockets; the first gets another one. */
static int reopen(struct xdp_port *p, struct gw_error *err)
{
	unsigned int before = p->netdev.ifindex;
	int rc;

	for (unsigned int i = 0; i < p->channel_count; i++)
		if (window_troubled(&p->channel[i])) {
			doubt_pages(&p->channel[i]);
			socket_away(&p->channel[i], XDP_BIND_LIMIT_MS);
		}
	rc = netdev_read(gw_port_target(p->port), &p->netdev, err);
	if (!rc && p->netdev.ifindex != before)
		rc = move_over(p, err);
	if (rc || p->channel[0].xsk)
		return rc;
	return first_socket(p, err);
}

void device_recover(struct xdp_port *p)
{
	struct gw_error err = { 0 };
	int rc;

	if (!p->started || !any_troubled(p))
		return;
	rc = reopen(p, &err);
	if (!rc)
		gw_port_log(p->port, LOG_WARNING, "the AF_XDP socket was opened anew");
	else if (!p->trouble[0])
		gw_port_log(p->port, LOG_ERR, "opening the AF_XDP socket anew: %s", err.text);
	snprintf(p->trouble, sizeof(p->trouble), "%s", rc ? err.text : "");
	device_tell(p);
}
