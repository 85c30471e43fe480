/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packet driver: any Ethernet interface, through AF_PACKET.
 *
 * It stands for devices that cannot read guest memory. What is sent lies in a
 * PACKET_TX_RING, memory of the kernel that is mapped here: the loan desk gets
 * slots of it as bounce memory (bounce, unbounce), copies each frame straight into
 * one, and tx only marks them and calls the kernel once for a batch. So there is
 * one copy of ours, and a NIC reads the slots' pages. Where a frame ends in this
 * host the kernel copies it out of the slot before it says that it is sent (since
 * Linux 4.20); of veth that is known, so there it is admitted in reap.
 *
 * Slots, three positions that only count up:
 *
 *      done          sent          head
 *       | in the ring | handed out  |         done <= sent <= head <= done + slots
 *
 * The desk gets slots in ring order, offers them in that order, and gives back the
 * last ones first: our own rule, asserted. The kernel takes them in that order too
 * and stops at one it refuses; that gap is closed with the last one that waits,
 * because no later frame may come to fill it.
 *
 * What a guest left to be done is left to the kernel, by the virtio-net header in the
 * slot: checksums, and super-frames, for which slots are 64 KiB long. That is 8 MiB for
 * a ring of 128 instead of 512 KiB for one of 256; measured on a veth, a super-frame
 * costs 12 us of a core so, 35 us where the kernel has to cut it, and as 45 frames of
 * the wire 75 us; frames that are short cost the same in either ring.
 *
 * An interface that is down, or gone: what waits is taken back out of the ring and
 * counted (egress_down); the next frames try again, so it recovers by itself.
 *
 * Slots and ring positions are in packet_tx.c, the ring itself in tx_ring.c;
 * receiving is drivers/common/packet_rx.
 *
 * Threads: ring and slots are the worker's while the port runs; start and stop put
 * them in place and take them away through gw_port_apply().
 */
#include "packet.h"
#include "loop.h"
#include "packet_probe.h"
#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define SLOTS_MAX 4096u
#define NS_PER_MS 1000000u

enum { WORD_AUTO = 0, WORD_ON, WORD_OFF };
static const char *const auto_words[] = { "auto", "on", "off", NULL };
static const char *const switch_words[] = { "off", "on", NULL };
enum { OFFLOADS_OFF = 0, OFFLOADS_CHECKSUM, OFFLOADS_ON };
static const char *const offload_words[] = { "off", "checksum", "on", NULL };

static const struct gw_option packet_options[] = {
	{ "promisc", "auto|on|off", "auto",
	  "receive frames for all MAC addresses; auto: on, except for veth, which needs nothing" },
	{ "offloads", "on|checksum|off", "on",
	  "what is left to the kernel; on: super-frames, too, in slots of 64 KiB" },
	{ "qdisc", "on|off", "on", "off: past the queueing disciplines (tc) of the interface" },
	{ "txring", "N", "256",
	  "frames in the transmit ring, 16 to 4096, rounded down to a power of two" },
	{ NULL, NULL, NULL, NULL },
};

/* ---- receive ---- */

static unsigned int packet_receive(struct gw_queue *queue, struct gw_frame **frames,
				   unsigned int max)
{
	struct packet *packet = queue->priv;

	return packet_rx_read(packet->rx, queue, frames, max);
}

static void packet_release(struct gw_queue *queue, struct gw_frame *const *frames,
			   unsigned int count)
{
	struct packet *packet = queue->priv;

	packet_rx_release(packet->rx, frames, count);
}

static void packet_device_counts(struct gw_queue *queue, uint64_t counts[GW_DEVICE_COUNT])
{
	struct packet *packet = queue->priv;

	counts[GW_DEVICE_RX_DROPPED] = packet_rx_dropped(packet->rx);
}

/* ---- control ---- */

static void packet_close(struct gw_port *port)
{
	struct packet *packet = gw_port_priv(port);

	if (!packet)
		return;
	gw_port_set_priv(port, NULL);
	gw_port_queue(port, 0)->priv = NULL;
	packet_rx_close(packet->rx);
	tx_ring_close(&packet->ring);
	free(packet->slot);
	free(packet->frames);
	free(packet);
}

/*
 * Past the queueing disciplines the kernel cuts nothing: a super-frame that the device
 * itself does not take would be lost.
 */
static uint32_t packet_takes(const struct packet *packet, const struct packet_interface *interface)
{
	if (packet->offloads == OFFLOADS_OFF)
		return 0;
	if (packet->offloads == OFFLOADS_CHECKSUM || packet->qdisc_bypass)
		return GW_OFFLOAD_CSUM;
	return interface->uso ? GW_OFFLOAD_ALL : GW_OFFLOAD_ALL & ~GW_OFFLOAD_USO;
}

static const char *takes_text(uint32_t takes)
{
	switch (takes) {
	case 0:
		return "off";
	case GW_OFFLOAD_CSUM:
		return "checksum";
	case GW_OFFLOAD_ALL:
		return "on";
	}
	return "on, but none for UDP";
}

static int read_options(struct packet *packet, struct gw_error *err)
{
	unsigned int qdisc;
	int ret =
		gw_port_option_word(packet->port, "promisc", auto_words, &packet->promiscuous, err);

	if (!ret)
		ret = gw_port_option_word(packet->port, "offloads", offload_words,
					  &packet->offloads, err);
	if (!ret)
		ret = gw_port_option_word(packet->port, "qdisc", switch_words, &qdisc, err);
	if (!ret)
		ret = gw_port_option_u64(packet->port, "txring", TX_RING_SLOTS_MIN, SLOTS_MAX,
					 &packet->slots_wanted, err);
	if (!ret)
		packet->qdisc_bypass = !qdisc;
	return ret;
}

static int packet_check(struct gw_port *port, struct gw_error *err)
{
	struct packet packet = { .port = port };

	return read_options(&packet, err);
}

static unsigned int packet_arena_buffers(struct gw_port *port)
{
	return PACKET_RX_BUFFERS_DEFAULT;
}

static int packet_open(struct gw_port *port, struct gw_error *err)
{
	struct packet *packet = calloc(1, sizeof(*packet));
	int ret;

	if (!packet)
		return gw_error_set(err, -ENOMEM, "port %s: no memory", gw_port_name(port));
	packet->port = port;
	packet->ring.fd = -1;
	gw_port_set_priv(port, packet);
	gw_port_queue(port, 0)->priv = packet;
	ret = read_options(packet, err);
	if (!ret)
		ret = packet_interface_read(port, &packet->interface, err);
	if (ret)
		packet_close(port);
	return ret;
}

static int open_receive(struct packet *packet, const struct packet_interface *interface,
			struct gw_error *err)
{
	struct packet_rx_config config = {
		.ifindex = interface->index,
		.promiscuous = packet->promiscuous == WORD_ON ||
			       (packet->promiscuous == WORD_AUTO && !interface->veth),
		.buffers = PACKET_RX_BUFFERS_DEFAULT,
	};

	/* The structs of frames that others may still hold live in it: kept from run to run. */
	if (packet->rx)
		return packet_rx_reopen(packet->rx, interface->index, err);
	return packet_rx_open(packet->port, &config, &packet->rx, err);
}

/* A run's parts, made by start, and put in the place of the last run's by the worker. */
struct run {
	struct packet *packet;
	struct packet_interface interface;
	struct tx_ring ring;
	uint32_t takes;
	struct packet_slot *slot;
	struct gw_frame *frames;
	bool busy; /* reap has not reported all of the last run */
};

static void apply_start(void *arg)
{
	struct run *run = arg;
	struct packet *packet = run->packet;
	struct gw_queue *queue = gw_port_queue(packet->port, 0);
	struct packet_slot *old_slot = packet->slot;
	struct gw_frame *old_frames = packet->frames;

	run->busy = packet->done != packet->head;
	if (run->busy)
		return;
	packet->interface = run->interface;
	packet->ring = run->ring;
	packet->takes = run->takes;
	packet->slot = run->slot;
	packet->frames = run->frames;
	packet->slots = run->ring.slots;
	packet_slots_init(packet);
	packet->running = true;
	packet->down = false;
	packet->stuck_ns = 0;
	queue->fd[0].fd = packet_rx_fd(packet->rx);
	queue->fd[0].events = EPOLLIN;
	/* Always writable; the edge is a frame that the device is done with. */
	queue->fd[1].fd = packet->ring.fd;
	queue->fd[1].events = EPOLLOUT | EPOLLET;
	queue->lend_max = PACKET_RX_BUFFERS_DEFAULT;
	run->slot = old_slot;
	run->frames = old_frames;
}

static int make_run(struct packet *packet, struct run *run, struct gw_error *err)
{
	struct tx_ring_config config = { .qdisc_bypass = packet->qdisc_bypass,
					 .slots = (uint32_t)packet->slots_wanted };
	int ret = packet_interface_read(packet->port, &run->interface, err);

	if (ret)
		return ret;
	config.ifindex = run->interface.index;
	config.max_len = packet_interface_max_len(&run->interface);
	run->takes = packet_takes(packet, &run->interface);
	config.super = run->takes & GW_OFFLOAD_TSO4;
	ret = tx_ring_open(packet->port, &config, &run->ring, err);
	if (ret)
		return ret;
	run->slot = calloc(run->ring.slots, sizeof(*run->slot));
	run->frames = calloc(run->ring.slots, sizeof(*run->frames));
	if (!run->slot || !run->frames)
		return gw_error_set(err, -ENOMEM, "port %s: no memory for %u frames",
				    gw_port_name(packet->port), run->ring.slots);
	return open_receive(packet, &run->interface, err);
}

static void report_started(struct packet *packet)
{
	const struct gw_offloads offloads = { .takes = packet->takes,
					      .len_max = packet->ring.len_max };

	gw_port_set_offloads(packet->port, &offloads);
	gw_port_set_max_len(packet->port, packet_interface_max_len(&packet->interface));
	gw_port_set_reads(packet->port, GW_READS_BOUNCE);
	gw_port_set_status(packet->port, "interface %s, MTU %u, ring of %u, offloads %s",
			   gw_port_target(packet->port), packet->interface.mtu, packet->slots,
			   takes_text(packet->takes));
}

static int packet_start(struct gw_port *port, struct gw_error *err)
{
	struct packet *packet = gw_port_priv(port);
	struct run run = { .packet = packet, .ring.fd = -1 };
	int ret = make_run(packet, &run, err);

	if (!ret) {
		gw_port_apply(port, apply_start, &run);
		if (run.busy)
			ret = gw_error_set(err, -EBUSY,
					   "port %s: frames of its last run are not home yet",
					   gw_port_name(port));
	}
	/* The new run's, if it did not come to it, or else the last one's. */
	free(run.slot);
	free(run.frames);
	if (ret) {
		tx_ring_close(&run.ring);
		if (packet->rx)
			packet_rx_shut(packet->rx);
		return ret;
	}
	report_started(packet);
	return 0;
}

struct stop_state {
	struct packet *packet;
	bool busy; /* the kernel has frames of ours */
};

static void apply_look(void *arg)
{
	struct stop_state *state = arg;
	struct packet *packet = state->packet;

	state->busy = false;
	if (!packet->running)
		return;
	if (packet_is_waiting(packet))
		packet_kick(packet);
	for (uint32_t at = packet->done; at != packet->sent; at++) {
		enum slot_status status = tx_ring_status(&packet->ring, packet_index(packet, at));

		state->busy |= status == SLOT_SENDING || (status == SLOT_WAITING && !packet->down);
	}
}

/* From here on reap goes by what is noted here, because the ring is closed. */
static void apply_stop(void *arg)
{
	struct packet *packet = arg;
	struct gw_queue *queue = gw_port_queue(packet->port, 0);

	for (uint32_t at = packet->done; packet->running && at != packet->sent; at++)
		packet->slot[packet_index(packet, at)].failed =
			tx_ring_status(&packet->ring, packet_index(packet, at)) != SLOT_IDLE;
	packet->running = false;
	queue->fd[0].fd = queue->fd[1].fd = -1;
}

/*
 * The ring is no guest's memory, so there is nothing to wait for but good manners:
 * what was accepted gets its time to go out. The kernel keeps the pages of what it
 * still sends after the socket is closed.
 */
static int packet_stop(struct gw_port *port, unsigned int deadline_ms)
{
	struct packet *packet = gw_port_priv(port);
	struct stop_state state = { packet, false };
	uint64_t end_ns = gw_now_ns() + (uint64_t)deadline_ms * NS_PER_MS;

	gw_port_apply(port, apply_look, &state);
	while (state.busy && gw_now_ns() < end_ns) {
		poll(NULL, 0, 1);
		gw_port_apply(port, apply_look, &state);
	}
	gw_port_apply(port, apply_stop, packet);
	tx_ring_close(&packet->ring);
	if (packet->rx)
		packet_rx_shut(packet->rx);
	gw_port_set_status(port, "stopped");
	return 0;
}

static void packet_query(struct gw_port *port, struct gw_memmap *memmap, struct gw_answer *answer)
{
	const struct packet *packet = gw_port_priv(port);

	*answer = (struct gw_answer){
		.verdict = GW_NO,
		.reason = GW_COPY_DEVICE_CANNOT,
		.reads = GW_READS_BOUNCE,
		.max_segs = 1,
	};
	snprintf(
		answer->text, sizeof(answer->text),
		"the device sends from a ring of the kernel's own memory only%s; an xdp port on %s "
		"could read guest memory",
		packet->interface.veth ? ", and on veth the kernel copies from there" : "",
		gw_port_target(port));
}

/* Its sockets are opened anew when it is started over. */
static const struct gw_needs packet_needs = {
	.start_capabilities = 1ull << CAP_NET_RAW,
	.capabilities = 1ull << CAP_NET_RAW,
	.families = 1ull << AF_PACKET | 1ull << AF_INET,
};

const struct gw_driver gw_driver_packet = {
	.name = "packet",
	.target = "IFNAME",
	.target_is_interface = true,
	.help = "any Ethernet interface through a packet socket; frames are copied",
	.options = packet_options,
	.needs = &packet_needs,
	.probe = packet_probe,
	.check = packet_check,
	.arena_buffers = packet_arena_buffers,
	.open = packet_open,
	.start = packet_start,
	.stop = packet_stop,
	.close = packet_close,
	.query = packet_query,
	.rx = packet_receive,
	.release = packet_release,
	.tx = packet_tx,
	.reap = packet_reap,
	.arm = packet_arm,
	.device_counts = packet_device_counts,
	.bounce = packet_bounce,
	.unbounce = packet_unbounce,
};
