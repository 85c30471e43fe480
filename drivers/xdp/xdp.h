/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of an xdp port.
 *
 * Who writes what: `control` fields are the control functions' (never two at a
 * time); the rest is the worker's, and control functions touch it only inside
 * gw_port_apply(). Channels: channel.h.
 */
#pragma once

#include "channel.h"
#include "netdev.h"
#include "program.h"
#include "xdp_rules.h"
#include <guestwire/driver.h>

struct packet_rx;

/* What a query admits to, segments before they are split. */
#define XDP_COPY_SEGS     17u
/* How long another socket may hold our queue before we give up: the kernel lets go of a closed
   one in a work queue after some RCU grace periods. */
#define XDP_BIND_LIMIT_MS 1000u
/* The same where the socket that had it was ours: on a busy machine that takes longer. */
#define XDP_OWN_LIMIT_MS  5000u
/* Source ports that are told apart; a network has no more. A power of two. */
#define XDP_SOURCES       64u

enum xdp_promiscuous { XDP_PROMISC_AUTO, XDP_PROMISC_ON, XDP_PROMISC_OFF };
enum xdp_checksum { XDP_CHECKSUM_AUTO, XDP_CHECKSUM_DEVICE, XDP_CHECKSUM_SOFTWARE };
enum xdp_bind { XDP_BIND_AUTO, XDP_BIND_ZEROCOPY, XDP_BIND_COPY };

/*
 * A port whose frames leave through us. All of them take the same channel, lent or
 * copied, so that they leave in their order. When that changes, the new channel
 * waits for what the old ones still have (xdp_tx.behind).
 */
struct xdp_source {
	uint32_t out[RULES_CHANNELS_MAX]; /* frames in each channel */
	unsigned int channel;             /* that it has now */
};

struct xdp_port {
	struct gw_port *port;
	struct gw_queue *queue;
	struct iovec arena;

	/* control: options */
	bool queue_auto;
	unsigned int queue_first;
	enum xdp_bind bind;
	enum xdp_checksum checksum;
	bool receive;
	bool pass; /* zero-copy is possible: channels need buffers for what the host receives */
	enum xdp_promiscuous promiscuous;
	uint32_t tx_entries, rx_entries;

	/* control: the device */
	struct netdev_info netdev;
	struct program program;
	int promiscuous_fd;
	bool started;
	bool metadata;    /* sockets are opened for checksum requests, and in copy mode */
	bool pages_apart; /* huge pages are not contiguous for this device */
	bool no_program;  /* so the NIC would not send in zero-copy mode: why_copy */
	char why_packet[GW_ERROR_TEXT_BYTES]; /* no XDP program: why */
	char why_copy[GW_ERROR_TEXT_BYTES];   /* no zero-copy though the NIC has it: why */
	char trouble[GW_ERROR_TEXT_BYTES];    /* why the socket is gone */

	/* worker */
	int epoll_fd;             /* all sockets; what the worker sleeps on */
	bool unwatched;           /* they are not in there, since there is always work */
	unsigned int busy_visits; /* with frames, since it last was about to sleep */
	struct packet_rx *packet;
	struct xdp_source source[XDP_SOURCES];
	unsigned int lenders; /* channels that lend from a guest, and take frames */
	unsigned int rx_next; /* where the next visit begins to receive */
	uint32_t rx_len_max;  /* the longest frame that a wire could bring */
	uint32_t partial_warned, super_warned;

	unsigned int channel_count; /* from open on */
	struct xdp_channel channel[RULES_CHANNELS_MAX];
};

/* ---- dispatch.c: the worker functions of the driver's table ---- */

unsigned int xdp_tx(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count);
unsigned int xdp_reap(struct gw_queue *queue, struct gw_done *done, unsigned int max);
unsigned int xdp_rx(struct gw_queue *queue, struct gw_frame **frames, unsigned int max);
void xdp_release(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count);
void xdp_device_counts(struct gw_queue *queue, uint64_t counts[GW_DEVICE_COUNT]);
bool xdp_arm(struct gw_queue *queue, unsigned int wants, unsigned int *poll_us);
/* Completions of all channels, and frames that waited for them. */
void xdp_collect(struct xdp_port *p);

/* ---- watch.c: what wakes the worker ---- */

/* How long a worker sleeps that nobody would wake. */
#define XDP_UNWATCHED_US 1000u

/* A channel's socket is there, and is about to go. In apply. */
bool watch_add(struct xdp_channel *ch);
void watch_drop(struct xdp_channel *ch);
/* A visit with frames. Worker, as the next. */
void watch_busy(struct xdp_port *p);
/*
 * The worker may be about to sleep; what came before this wakes nobody. False if what comes
 * later would not either: the kernel refuses.
 */
bool watch_sleep(struct xdp_port *p);

/* ---- device.c: the interface as a whole ---- */

int device_start(struct xdp_port *p, struct gw_error *err);
/* Frames that the kernel has not let go of by the deadline. */
uint32_t device_stop(struct xdp_port *p, unsigned int deadline_ms);
/* Sockets in trouble are opened anew, without guest memory; who lends maps it again. */
void device_recover(struct xdp_port *p);
/* What the user is told after each change of a socket. */
void device_tell(struct xdp_port *p);
/* The longest frame that the interface and the socket take. */
uint32_t device_max_len(const struct xdp_port *p);

/* ---- answer.c ---- */

void xdp_query(struct gw_port *port, struct gw_memmap *memmap, struct gw_answer *answer);
