/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest driver: its table, options, start and stop. The rest is in guest.h. */
#include "guest.h"

#include "apart.h"
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
	{ "queues", "N", "128", "queue pairs that a guest may have, at most" },
	{ "in_order", "on|off", "off",
	  "offer VIRTIO_F_IN_ORDER: such a guest is lent from only where loans end at once" },
	{ "config", "on|off", "off",
	  "offer the configuration space, for front-ends that have none of their own" },
	{ "offloads", "auto|on|off", "auto",
	  "offer checksum and segmentation offloads; auto: unless a device of the network "
	  "takes one segment only" },
	{ 0 },
};

/* A record of heads in flight says of which boot it is. */
static const char *const read_later[] = { "/proc/sys/kernel/random/boot_id", NULL };
static const struct gw_needs guest_needs = {
	.families = 1ull << AF_UNIX,
	.reads = read_later,
	.target_is_socket = true,
};

static void queues_close(struct guest *guest)
{
	for (unsigned int i = 0; i < guest->queue_count; i++) {
		gw_fd_close(&guest->queue[i]->kick_fd);
		free(guest->queue[i]);
		gw_port_queue(guest->port, i)->priv = NULL;
	}
	free(guest->queue);
}

static void guest_close(struct gw_port *port)
{
	struct guest *guest = gw_port_priv(port);

	if (!guest)
		return;
	carry_drop(guest);
	drain_free_ghosts(guest);
	/* Of a hand-over that failed after take. */
	session_destroy(guest->session);
	gw_fd_close(&guest->fd);
	gw_fd_close(&guest->listen_fd);
	gw_fd_close(&guest->backend_fd);
	record_close(guest);
	queues_close(guest);
	gw_fd_close(&guest->event_fd);
	gw_fd_close(&guest->stopped_fd);
	gw_port_set_priv(port, NULL);
	free(guest);
}

static int read_pairs(struct gw_port *port, uint64_t *pairs, struct gw_error *err)
{
	return gw_port_option_u64(port, "queues", 1, GUEST_PAIRS_MAX, pairs, err);
}

static int guest_check(struct gw_port *port, struct gw_error *err)
{
	uint64_t pairs;

	return read_pairs(port, &pairs, err);
}

static int read_options(struct gw_port *port, struct guest *guest, struct gw_error *err)
{
	static const char *const modes[] = { "server", "client", NULL };
	static const char *const offers[] = { "auto", "on", "off", NULL };
	static const char *const switches[] = { "off", "on", NULL };
	unsigned int mode = 0, offloads = 0, in_order = 0, config = 0;
	uint64_t pairs = 0;
	int ret = gw_port_option_word(port, "mode", modes, &mode, err);

	if (!ret)
		ret = gw_port_option_word(port, "offloads", offers, &offloads, err);
	if (!ret)
		ret = gw_port_option_word(port, "in_order", switches, &in_order, err);
	if (!ret)
		ret = gw_port_option_word(port, "config", switches, &config, err);
	if (!ret)
		ret = read_pairs(port, &pairs, err);
	guest->client = mode;
	guest->offloads = (enum guest_offloads)offloads;
	guest->in_order = in_order;
	guest->config_space = config;
	guest->pairs_max = (unsigned int)pairs;
	return ret;
}

/* What a worker sleeps on: one descriptor for all its rings. */
static int queue_open(struct guest *guest, struct gw_error *err)
{
	struct gw_queue *queue = gw_port_queue(guest->port, guest->queue_count);
	struct guest_queue *own = gw_alloc_apart(sizeof(*own));

	if (!own)
		return gw_error_sys(err, -ENOMEM, "port %s", gw_port_name(guest->port));
	guest->queue[guest->queue_count++] = own;
	own->guest = guest;
	own->kick_fd = epoll_create1(EPOLL_CLOEXEC);
	queue->priv = own;
	queue->fd[0].fd = own->kick_fd;
	queue->fd[0].events = EPOLLIN;
	queue->dormant = true;
	return own->kick_fd < 0 ? gw_error_sys(err, -errno, "port %s: a set of descriptors",
					       gw_port_name(guest->port))
				: 0;
}

static int queues_open(struct guest *guest, struct gw_error *err)
{
	unsigned int count = gw_port_queue_count(guest->port);
	int ret = 0;

	guest->queue = calloc(count, sizeof(*guest->queue));
	if (!guest->queue)
		return gw_error_sys(err, -ENOMEM, "port %s", gw_port_name(guest->port));
	for (unsigned int i = 0; i < count && !ret; i++)
		ret = queue_open(guest, err);
	return ret;
}

static int open_fds(struct guest *guest, struct gw_error *err)
{
	guest->event_fd = gw_eventfd();
	guest->stopped_fd = gw_eventfd();
	if (guest->event_fd < 0 || guest->stopped_fd < 0)
		return gw_error_sys(err, -EMFILE, "port %s: descriptors",
				    gw_port_name(guest->port));
	return queues_open(guest, err);
}

static unsigned int guest_arena_buffers(struct gw_port *port)
{
	return 1; /* announce.c */
}

static int guest_open(struct gw_port *port, struct gw_error *err)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	int ret;

	if (!guest)
		return gw_error_sys(err, -ENOMEM, "port %s", gw_port_name(port));
	guest->port = port;
	guest->fd = guest->listen_fd = guest->backend_fd = guest->record_dir = -1;
	guest->event_fd = guest->stopped_fd = -1;
	guest->watch.fd = guest->listen_watch.fd = guest->event_watch.fd = -1;
	gw_list_init(&guest->ghosts);
	gw_port_set_priv(port, guest);
	ret = read_options(port, guest, err);
	if (!ret)
		ret = open_fds(guest, err);
	if (!ret)
		place_begin(guest);
	if (!ret)
		ret = announce_open(guest, err);
	if (!ret && gw_port_parcel(port))
		ret = carry_take(guest, gw_port_parcel(port), err);
	if (ret)
		guest_close(port);
	return ret;
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
				      wake_event);
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

	request.ret = record_open(request.guest, err);
	if (request.ret)
		return request.ret;
	gw_eventfd_clear(request.guest->stopped_fd);
	request.guest->loop = port_loop(port);
	gw_port_set_max_len(port, GW_FRAME_LEN_MAX);
	gw_port_set_reads(port, GW_READS_DELIVERY);
	gw_loop_call(request.guest->loop, start_call, &request);
	if (request.ret)
		record_close(request.guest);
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
	record_close(guest);
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

const struct gw_driver gw_driver_guest = {
	.name = "guest",
	.target = "SOCKET",
	.several_queues = true,
	.help = "a virtual machine's NIC: virtio-net over a vhost-user socket",
	.options = guest_options,
	.needs = &guest_needs,
	.check = guest_check,
	.arena_buffers = guest_arena_buffers,
	.open = guest_open,
	.start = guest_start,
	.stop = guest_stop,
	.close = guest_close,
	.leave = carry_leave,
	.query = guest_query,
	.part = place_part,
	.move = place_move,
	.rx = lender_rx,
	.release = lender_release,
	.tx = receiver_tx,
	.arm = wake_arm,
};
