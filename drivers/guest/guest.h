/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's NIC as a port: what the files of this driver share.
 *
 *   guest.c       the driver table, options, start and stop
 *   connection.c  the socket: listening or connecting, reading, replying
 *   offloads.c    which offloads a guest is offered
 *   rings.c       what the session asks of rings and memory; draining
 *   lender.c      the guest's transmit ring: frames are lent out of it
 *   receiver.c    the guest's receive ring: frames are delivered into it
 *
 * Threads. The control loop owns the connection, the session, and the life of
 * lenders and receivers; the worker owns what is in them. A lender or receiver
 * is made by control, handed over with gw_port_apply, and taken back the same
 * way. Nothing here takes a lock.
 *
 * A lender is one run of the transmit ring, from kick to GET_VRING_BASE. Frames
 * point to the lender they came from, not to the port. So a lender whose ring
 * was stopped with loans still in some device stays behind as a ghost: its late
 * frames come home to it, are not completed, and when the last one has come it is
 * freed, and with it the last reference to that guest's memory.
 */
#pragma once

#include "atomic.h"
#include "list.h"
#include "loop.h"
#include "memmap.h"
#include "ring.h"
#include "session.h"
#include <guestwire/driver.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#define GUEST_RX            0u /* ring numbers of a queue pair (VIRTIO 1.2 section 5.1.2) */
#define GUEST_TX            1u
#define GUEST_RING_SIZE_MAX 4096u
/* Work of one visit: frames are bounded by the caller, bytes here. */
#define GUEST_VISIT_BYTES   (512u * 1024u)
/* Receive chains that one frame may spread over (MRG_RXBUF). */
#define GUEST_MERGE_MAX     64u

/* How often a ring without a kick descriptor is looked at. */
#define GUEST_POLL_US 50u

#define GUEST_FEATURES                                                      \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_INDIRECT_DESC | \
	 1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_F_ANY_LAYOUT |    \
	 1ull << VIRTIO_NET_F_MRG_RXBUF | 1ull << VHOST_USER_F_PROTOCOL_FEATURES)
#define GUEST_PROTOCOL_FEATURES (1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK)

/* offloads=auto|on|off, see offloads.c. */
enum guest_offloads { GUEST_OFFLOADS_AUTO, GUEST_OFFLOADS_ON, GUEST_OFFLOADS_OFF };

/* One run of the transmit ring. */
struct lender {
	/* fixed */
	struct gw_queue *queue;
	struct gw_memmap *memmap; /* the ring holds the reference */
	struct ring *ring;
	uint64_t features;
	unsigned int header_len;
	int event_fd;           /* the guest's: signalled when control should look */
	struct gw_frame *frame; /* one for each head */

	/* worker */
	int call_fd, err_fd;
	bool enabled, stopping, ghost;
	bool told; /* control knows that the ring or the memory is broken */
	bool unflushed;
	uint32_t out;                        /* frames lent and not home yet */
	struct iovec seg[GW_FRAME_SEGS_MAX]; /* the chain at hand, or the one long frame */

	/* control */
	struct gw_list node; /* among the ghosts */
};

/* One run of the receive ring. */
struct receiver {
	struct gw_queue *queue;
	struct ring *ring;
	struct gw_offloads offloads; /* what the guest takes */
	unsigned int header_len;
	bool mergeable;
	int event_fd;

	/* worker */
	int call_fd, err_fd;
	bool enabled, told;
	struct iovec seg[GW_FRAME_SEGS_MAX];
};

/* A ring's stop, from control's side. */
enum stop_phase {
	STOP_NONE = 0,
	STOP_DRAINING, /* waiting for loans */
	STOP_RECALLED, /* devices are being reopened for them */
	STOP_SETTLING, /* they were; what came free is on its way */
};

struct guest {
	struct gw_port *port;
	struct gw_loop *loop; /* set by the first start */

	/* ---- the owning worker ---- */
	struct lender *lender;     /* NULL: the transmit ring does not run */
	struct receiver *receiver; /* NULL: the receive ring does not run */
	uint32_t blocked; /* atomic: an eventfd of the front-end made us wait; control resets */

	/* ---- control loop ---- */
	bool client; /* mode=client: we connect */
	enum guest_offloads offloads;
	uint64_t acked; /* offload features that a front-end has ever acknowledged here */
	bool closing;   /* stop was called: no new connection */
	int listen_fd, fd;
	bool bound; /* the socket file is ours to remove */
	struct gw_watch listen_watch, watch, event_watch;
	struct gw_timer retry, look;
	struct session *session;
	bool session_ending; /* waits until it is not busy any more */
	bool in_session;     /* one of its functions is on the stack */
	struct gw_memmap *memmap;
	uint64_t discarded_bytes; /* of it, when last looked at */
	int event_fd;             /* from the worker: drained, or broken */
	enum stop_phase stop_phase;
	struct gw_timer stop_timer;
	struct gw_list ghosts;
	uint64_t connections;
	struct gw_error last_error; /* of connecting: logged when it changes */

	/* ---- stop: the chore waits for the loop ---- */
	int stopped_fd;
};

/* ---- lender.c ---- */
int lender_create(struct gw_queue *queue, const struct session_ring *ring, int event_fd,
		  struct lender **lender, struct gw_error *err);
void lender_free(struct lender *lender); /* NULL is fine; nothing may be out */
/* The driver's rx and release. */
unsigned int lender_rx(struct gw_queue *queue, struct gw_frame **frames, unsigned int max);
void lender_release(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count);

/* ---- receiver.c ---- */
int receiver_create(struct gw_queue *queue, const struct session_ring *ring, int event_fd,
		    struct receiver **receiver, struct gw_error *err);
void receiver_free(struct receiver *receiver);
/* The driver's tx. */
unsigned int receiver_tx(struct gw_queue *queue, struct gw_frame *const *frames,
			 unsigned int count);

/* Tells control and the front-end that a ring broke. Worker; once for each ring. */
void guest_tell_broken(struct gw_queue *queue, struct ring *ring, const char *which, bool *told,
		       int *err_fd, int event_fd);

/*
 * Signals an eventfd of the front-end. If it blocks (he can make it do so at any
 * time), it is forgotten and control is told. Worker.
 */
void guest_signal(struct gw_queue *queue, int *fd, int event_fd);

/* ---- offloads.c ---- */
/* Features for a front-end that connects now. Control loop. */
uint64_t guest_offered(struct guest *guest);
/* ---- rings.c ---- */
extern const struct session_ops guest_session_ops;
/* Control: the worker signalled event_fd. */
void rings_event(struct gw_watch *watch, uint32_t events);
/* Frees ghosts, at the end of the port. */
void rings_free_ghosts(struct guest *guest);

/* ---- connection.c; control loop ---- */
int connection_open(struct guest *guest, struct gw_error *err);
/* Ends the session; stopped_fd is signalled when that is complete. */
void connection_close(struct guest *guest);
/* The session may have become able to go on, or to end. */
void connection_resume(struct guest *guest);
/* A whole reply, now: -EAGAIN if the front-end does not read. */
int connection_send(struct guest *guest, const uint8_t *bytes, size_t len);
/* Ends the session because of something outside it (memory is broken). */
void connection_fail(struct guest *guest, const char *why);
