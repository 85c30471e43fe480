/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest driver: its table, options, start and stop. The rest is in guest.h. */
#include "guest.h"

#include "fd.h"
#include "services.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static const struct gw_option guest_options[] = {
	{ "mode", "server|client", "server", "listen on the socket, or connect to it" },
	{ "offloads", "auto|on|off", "auto",
	  "offer checksum and segmentation offloads; auto: unless a device of the network "
	  "takes one segment only" },
	{ 0 },
};

static const struct gw_needs guest_needs = {
	.families = 1ull << AF_UNIX,
	.target_is_socket = true,
};

static void guest_close(struct gw_port *port)
{
	struct guest *guest = gw_port_priv(port);

	if (!guest)
		return;
	rings_free_ghosts(guest);
	gw_fd_close(&guest->event_fd);
	gw_fd_close(&guest->stopped_fd);
	gw_port_set_priv(port, NULL);
	gw_port_queue(port, 0)->priv = NULL;
	free(guest);
}

static int guest_open(struct gw_port *port, struct gw_error *err)
{
	static const char *const modes[] = { "server", "client", NULL };
	static const char *const offers[] = { "auto", "on", "off", NULL };
	unsigned int mode, offloads;
	struct guest *guest;
	int ret = gw_port_option_word(port, "mode", modes, &mode, err);

	if (!ret)
		ret = gw_port_option_word(port, "offloads", offers, &offloads, err);
	if (ret)
		return ret;
	guest = calloc(1, sizeof(*guest));
	if (!guest)
		return gw_error_sys(err, -ENOMEM, "port %s", gw_port_name(port));
	guest->port = port;
	guest->client = mode == 1;
	guest->offloads = (enum guest_offloads)offloads;
	guest->fd = guest->listen_fd = -1;
	guest->watch.fd = guest->listen_watch.fd = guest->event_watch.fd = -1;
	gw_list_init(&guest->ghosts);
	guest->event_fd = gw_eventfd();
	guest->stopped_fd = gw_eventfd();
	gw_port_set_priv(port, guest);
	gw_port_queue(port, 0)->priv = guest;
	if (guest->event_fd < 0 || guest->stopped_fd < 0) {
		guest_close(port);
		return gw_error_sys(err, -EMFILE, "port %s: eventfd", gw_port_name(port));
	}
	return 0;
}

/* ---- start and stop, on the control loop ---- */

struct start_request {
	struct guest *guest;
	struct gw_error *err;
	int ret;
};

static void start_call(void *arg)
{
	struct start_request *request = arg;
	struct guest *guest = request->guest;

	request->ret = gw_watch_start(guest->loop, &guest->event_watch, guest->event_fd, EPOLLIN,
				      rings_event);
	if (request->ret)
		gw_error_sys(request->err, request->ret, "port %s: watch",
			     gw_port_name(guest->port));
	else
		request->ret = connection_open(guest, request->err);
	if (request->ret)
		gw_watch_stop(guest->loop, &guest->event_watch);
}

static int guest_start(struct gw_port *port, struct gw_error *err)
{
	struct start_request request = { .guest = gw_port_priv(port), .err = err };

	gw_eventfd_clear(request.guest->stopped_fd);
	request.guest->loop = port_loop(port);
	gw_port_set_max_len(port, GW_FRAME_LEN_MAX);
	gw_port_set_reads(port, GW_READS_DELIVERY);
	gw_loop_call(request.guest->loop, start_call, &request);
	return request.ret;
}

static void close_call(void *arg)
{
	connection_close(arg);
}

static void unwatch_call(void *arg)
{
	struct guest *guest = arg;

	gw_watch_stop(guest->loop, &guest->event_watch);
}

/*
 * Ends the session, which drains the rings; that is bounded by the stop time
 * whatever devices do, so the deadline only adds to it.
 */
static int guest_stop(struct gw_port *port, unsigned int deadline_ms)
{
	struct guest *guest = gw_port_priv(port);
	struct pollfd stopped = { .fd = guest->stopped_fd, .events = POLLIN };

	gw_loop_call(guest->loop, close_call, guest);
	while (poll(&stopped, 1, (int)(deadline_ms + 2 * port_stop_ms(port))) < 0 && errno == EINTR)
		;
	gw_loop_call(guest->loop, unwatch_call, guest);
	return 0;
}

static void guest_query(struct gw_port *port, struct gw_memmap *memmap, struct gw_answer *answer)
{
	*answer = (struct gw_answer){
		.verdict = GW_YES,
		.reads = GW_READS_DELIVERY,
		.ends_in_tx = true,
		.max_segs = GW_FRAME_SEGS_MAX,
	};
	snprintf(answer->text, sizeof(answer->text),
		 "copied once, straight into the guest's receive buffers");
}

static bool guest_arm(struct gw_queue *queue, unsigned int wants, unsigned int *poll_us)
{
	struct guest *guest = queue->priv;
	struct lender *lender = guest->lender;
	struct receiver *receiver = guest->receiver;
	bool work = false;

	if (lender && !lender->stopping && !lender->told) {
		if (wants & GW_WANT_RX)
			work |= ring_want_kick(lender->ring);
		else
			ring_no_kick(lender->ring);
		if (wants & GW_WANT_RX && queue->fd[GUEST_TX].fd < 0)
			*poll_us = GUEST_POLL_US;
	}
	if (receiver && !receiver->told) {
		if (wants & GW_WANT_TX)
			work |= ring_want_kick(receiver->ring);
		else
			ring_no_kick(receiver->ring);
		if (wants & GW_WANT_TX && queue->fd[GUEST_RX].fd < 0)
			*poll_us = GUEST_POLL_US;
	}
	return work;
}

const struct gw_driver gw_driver_guest = {
	.name = "guest",
	.target = "SOCKET",
	.help = "a virtual machine's NIC: virtio-net over a vhost-user socket",
	.options = guest_options,
	.needs = &guest_needs,
	.open = guest_open,
	.start = guest_start,
	.stop = guest_stop,
	.close = guest_close,
	.query = guest_query,
	.rx = lender_rx,
	.release = lender_release,
	.tx = receiver_tx,
	.arm = guest_arm,
};
