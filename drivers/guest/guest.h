/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's NIC as a port: what the files of this driver share.
 *
 *   guest.c       the driver table, options, start and stop
 *   arrival.c     how front-ends come: listening, or connecting
 *   connection.c  one front-end's connection: reading, replying, its end
 *   offer.c       features and protocol features that a guest is offered
 *   rings.c       starting rings, and what changes while they run
 *   wake.c        kicks, interrupts, and news for control
 *   place.c       which worker has which queue pair, and moving one
 *   drain.c       stopping them: loans come home, or do not
 *   iommu.c       I/O addresses, and asking for them ahead
 *   memory.c      the memory table, and pages that go away
 *   lender.c      a transmit ring: frames are lent out of it
 *   receiver.c    a receive ring: frames are delivered into it
 *   receive_run.c the same for many frames at once, of the usual kind
 *   steering.c    which of several receive rings a frame goes to
 *   announce.c    a frame of our own that says where the guest is now
 *   carry.c       all of it, to another process and from one
 *   record.c      what is in flight, written down for the case that we die
 *
 * Threads. The control loop owns the connection, the session, and the life of
 * lenders and receivers; the worker owns what is in them. A lender or receiver
 * is made by control, handed over with gw_port_apply, and taken back the same
 * way. Nothing here takes a lock.
 *
 * A lender is one run of a transmit ring, from kick to GET_VRING_BASE. Frames
 * point to the lender they came from, not to the port. So a lender whose ring
 * was stopped with loans still in some device stays behind as a ghost: its late
 * frames come home to it, are not completed, and when the last one has come it is
 * freed, and with it the last reference to that guest's memory.
 *
 * A guest has up to GUEST_PAIRS_MAX queue pairs. Each is in one queue of the port, so
 * one worker's: pairs are dealt out in turn (guest_queue). The kick descriptors of those
 * that a worker has are in one epoll set, which is what it sleeps on.
 */
#pragma once

#include "atomic.h"
#include "frame_pool.h"
#include "list.h"
#include "loop.h"
#include "memmap.h"
#include "record_file.h"
#include "ring.h"
#include "session.h"
#include "steering.h"
#include <guestwire/driver.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#define GUEST_PAIRS_MAX     SESSION_PAIRS_MAX
#define GUEST_RING_SIZE_MAX 4096u
/* Work of one visit: frames are bounded by the caller, bytes here. */
#define GUEST_VISIT_BYTES   (512u * 1024u)
/* Receive chains that one frame may spread over (MRG_RXBUF). */
#define GUEST_MERGE_MAX     64u

/*
 * What front-ends of this port gave and is not closed yet (port_dispose): with more than
 * that a session ends, and none begins. The rest is for what a session's end adds.
 */
#define GUEST_DISPOSING_MAX   64u
#define GUEST_DISPOSING_BEGIN 16u

/* How often a ring without a kick descriptor is looked at. */
#define GUEST_POLL_US 50u

/* Ring numbers of a queue pair (VIRTIO 1.2 section 5.1.2): even ones receive. */
static inline bool ring_transmits(unsigned int index)
{
	return index & 1;
}

/* offloads=auto|on|off, see offer.c. */
enum guest_offloads { GUEST_OFFLOADS_AUTO, GUEST_OFFLOADS_ON, GUEST_OFFLOADS_OFF };

/* Where the frame of a head is, kept where frames may have to be called back (IOMMU). */
enum { HEAD_HOME = 0, HEAD_OUT, HEAD_STALE };

/* The worker's frames, which are taken first, and the lender's own. */
enum { FROM_SHARED = 0, FROM_OWN, FROM_COUNT };

/* Who lent a frame, and out of which pool: its tag. */
struct lent_from {
	struct lender *lender;
	struct frame_pool *pool;
};

/* One run of a transmit ring. */
struct lender {
	/* fixed */
	struct gw_queue *queue;
	struct gw_memmap *memmap; /* the ring holds the reference */
	struct ring *ring;
	uint64_t features;
	unsigned int header_len;
	unsigned int pair;         /* queue pair */
	void *kept;                /* the record, if the front-end keeps it; NULL: it does not */
	int event_fd;              /* the guest's: signalled when control should look */
	uint8_t *head;             /* HEAD_..., one for each head; NULL: no IOMMU */
	struct gw_frame **of_head; /* that one's frame, while it is out; NULL: no IOMMU */

	/* worker */
	int call_fd, err_fd;
	int kick_fd; /* -1: it has to be polled */
	bool enabled, stopping, ghost;
	bool parted; /* takes no more, since it is to move */
	bool told;   /* control knows that the ring or the memory is broken */
	bool asking; /* control is to ask for I/O addresses, or has, and the ring waits */
	bool unflushed;
	uint32_t out;   /* frames lent and not home yet */
	uint32_t stale; /* of these, with bytes that an IOMMU took away */
	struct lent_from from[FROM_COUNT];
	struct frame_pool own; /* as many as heads */

	/* control */
	struct gw_list node; /* among the ghosts */
	bool handed;         /* a ghost whose frames are in the front-end's record still */
};

/* One run of a receive ring. */
struct receiver {
	/* fixed */
	struct gw_queue *queue;
	struct gw_memmap *memmap; /* the ring holds the reference */
	struct ring *ring;
	struct gw_offloads offloads; /* what the guest takes */
	unsigned int header_len;
	unsigned int pair;
	void *kept;
	bool mergeable, iommu;
	int event_fd;

	/* worker */
	int call_fd, err_fd, kick_fd;
	bool enabled, told, asking, unflushed;
	unsigned int reach;    /* buffers that are looked for at once (receive_run.c) */
	struct dirty_log *log; /* the ring holds the reference */
};

/* Loans that have to come home, from control's side. */
enum drain_phase {
	DRAIN_NONE = 0,
	DRAIN_WAITING,  /* for devices to give them back */
	DRAIN_RECALLED, /* devices are being reopened for them */
	DRAIN_SETTLING, /* they were; what came free is on its way */
};

/* A frame of our own (announce.c). */
struct announcement {
	struct gw_frame frame;
	uint8_t *bytes; /* in the arena */
	bool out;       /* worker: it is on its way */
};

/*
 * What one worker has of a guest: queue->priv. It is the worker's own, and control reads
 * it, and changes it by gw_port_apply.
 */
struct guest_queue {
	struct guest *guest;
	int kick_fd; /* an epoll set of the kick descriptors; control */
	/* Transmit rings that run, and receive rings that run and are enabled. */
	struct lender *lending[GUEST_PAIRS_MAX];
	struct receiver *receiving[GUEST_PAIRS_MAX];
	unsigned int lending_count, receiving_count;
	unsigned int turn;                 /* in lending: who is asked first */
	struct announcement *announcement; /* wanted; only in the first queue. NULL: none is */
	struct steering steering;
	struct iovec seg[GW_FRAME_SEGS_MAX];      /* the chain at hand */
	struct iovec long_seg[GW_FRAME_SEGS_MAX]; /* of the one long frame that is in the core */
};

struct guest {
	struct gw_port *port;
	struct gw_loop *loop; /* set by the first start */

	struct guest_queue **queue; /* by number, as many as the port has; fixed */
	unsigned int queue_count;

	/* ---- control, by gw_port_apply; workers read ---- */
	struct lender *lender[GUEST_PAIRS_MAX];     /* NULL: that ring does not run */
	struct receiver *receiver[GUEST_PAIRS_MAX]; /* the same */
	struct announcement announcement;           /* the first worker's */
	uint32_t blocked; /* atomic: an eventfd of the front-end made us wait; control resets */

	/* ---- control loop ---- */
	bool client; /* mode=client: we connect */
	bool in_order, config_space;
	unsigned int pairs_max;         /* queues= */
	uint8_t place[GUEST_PAIRS_MAX]; /* number of the queue that a pair is in, or will be */
	enum guest_offloads offloads;
	uint64_t acked; /* offload features that a front-end has ever acknowledged here */
	bool closing;   /* stop was called: no new connection */
	int listen_fd, fd;
	int backend_fd; /* the channel for our own requests; -1: none */
	bool bound;     /* the socket file is ours to remove */
	struct gw_watch listen_watch, watch, event_watch;
	struct gw_timer retry, look;
	struct session *session;
	bool session_ending; /* waits until it is not busy any more */
	bool leaving;        /* the session is to be paused, for another process */
	bool session_paused; /* it was told so */
	bool paused;         /* it is (or there is none), or has come so from another process */
	struct gw_parcel parcel;
	bool in_session; /* one of its functions is on the stack */
	struct gw_memmap *memmap;
	struct dirty_log *log;    /* our reference, NULL: none in force */
	struct iotlb *iotlb;      /* the same */
	bool iotlb_waits;         /* session_iotlb_done is owed */
	uint64_t discarded_bytes; /* of it, when last looked at */
	int event_fd;             /* from the worker: drained, broken, or missing an address */
	enum drain_phase drain_phase;
	struct gw_timer drain_timer;
	struct gw_list ghosts;
	uint64_t connections;
	struct record_file *record;            /* of our own; NULL: there is none */
	bool record_left[2 * GUEST_PAIRS_MAX]; /* by ring: what it names is to be taken again */
	bool record_broken;                    /* and that was said */
	int record_dir;
	/* Front-ends that came since then, those that were turned away too; control. */
	uint64_t coming_since_ms;
	unsigned int coming;
	struct gw_error last_error; /* of connecting: logged when it changes */

	/* ---- stop: the chore waits for the loop ---- */
	int stopped_fd;
};

/* ---- lender.c ---- */
int lender_create(struct gw_queue *queue, unsigned int pair, const struct session_ring *ring,
		  int event_fd, struct lender **lender, struct gw_error *err);
void lender_free(struct lender *lender); /* NULL is fine; nothing may be out */
/* It is in this queue from now on; nothing may be out. Before it begins, or by gw_port_apply. */
void lender_place(struct lender *lender, struct gw_queue *queue);
/* The driver's rx and release. */
unsigned int lender_rx(struct gw_queue *queue, struct gw_frame **frames, unsigned int max);
void lender_release(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count);

/* ---- receiver.c ---- */
int receiver_create(struct gw_queue *queue, unsigned int pair, const struct session_ring *ring,
		    int event_fd, struct receiver **receiver, struct gw_error *err);
void receiver_free(struct receiver *receiver);
/* If its ring waits for I/O addresses, or will soon, control is told, once. Worker. */
void receiver_look(struct receiver *receiver);
/* The driver's tx. */
unsigned int receiver_tx(struct gw_queue *queue, struct gw_frame *const *frames,
			 unsigned int count);

/* What a guest reads before a frame that takes so many chains. */
struct virtio_net_hdr_v1 receiver_header(const struct gw_frame *frame, unsigned int chains);

/* ---- receive_run.c ---- */
/* As many of the first frames as have a buffer each: they are delivered. Not flushed. */
unsigned int receive_run(struct receiver *receiver, struct gw_frame *const *frames,
			 unsigned int count);

/* ---- announce.c ---- */
/* Control, at open: takes the arena's buffer. */
int announce_open(struct guest *guest, struct gw_error *err);
/* Control: the guest with this address is here now. */
void announce(struct guest *guest, const uint8_t mac[6]);
/* Worker: the frame, if one is wanted; and when it is home. */
struct gw_frame *announce_take(struct guest_queue *queue);
void announce_home(struct guest_queue *queue);

/* ---- rings.c ---- */
extern const struct session_ops guest_session_ops;
/* By gw_port_apply: which rings run has changed. */
void rings_list(struct guest *guest);
void rings_show_state(struct guest *guest);
/* Control: of rings that start and stop. */
int rings_log_level(const struct guest *guest);

/* ---- wake.c ---- */
/* Control: the queue sleeps on this kick descriptor, too, and does not any more. -1: none. */
void wake_watch(const struct gw_queue *queue, int fd);
void wake_forget(const struct gw_queue *queue, int fd);
/* Worker: sleep or wake for rings; the driver's arm. */
bool wake_arm(struct gw_queue *queue, unsigned int wants, unsigned int *poll_us);
/* Control: the worker signalled event_fd. */
void wake_event(struct gw_watch *watch, uint32_t events);
/*
 * Tells control and the front-end that a ring broke. Worker; once for each ring.
 */
void guest_tell_broken(struct gw_queue *queue, struct ring *ring, const char *which,
		       unsigned int pair, bool *told, int *err_fd, int event_fd);
/*
 * Signals an eventfd of the front-end. If it blocks (he can make it do so at any
 * time), it is forgotten and control is told. Worker.
 */
void guest_signal(struct gw_queue *queue, int *fd, int event_fd);

/* ---- place.c ---- */
/* In open. */
void place_begin(struct guest *guest);
/* The queue that a pair is in, or will be. Control. */
struct gw_queue *place_of(const struct guest *guest, unsigned int pair);
/* The pair is used: the user sees where it and those before it are. */
void place_show(const struct guest *guest, unsigned int pair);
/* The driver's part and move. */
int place_part(struct gw_port *port, unsigned int pair, unsigned int deadline_ms,
	       struct gw_error *err);
int place_move(struct gw_port *port, unsigned int pair, struct gw_queue *to, struct gw_error *err);

/* ---- drain.c; control loop ---- */
/* ops->ring_stop of a transmit ring: ends in session_ring_stopped. */
void drain_ring(struct guest *guest, unsigned int pair);
/* A run of this pair was handed over (session_hands_runs), and a dead device has some yet. */
bool drain_holds(struct guest *guest, unsigned int pair);
/* Frames with stale bytes are out: ends in session_iotlb_done. */
void drain_stale(struct guest *guest);
/* The worker has news: something may have come home. */
void drain_look(struct guest *guest);
/* Frees ghosts, at the end of the port. */
void drain_free_ghosts(struct guest *guest);

/* ---- iommu.c; control loop ---- */
/* ops->iotlb. */
void iommu_change(void *arg, struct iotlb *iotlb, const struct session_stale *stale);
/* The worker may have rings that are to be looked at. */
void iommu_look(struct guest *guest);

/* ---- memory.c; control loop ---- */
void memory_change(struct guest *guest, struct gw_memmap *memmap);
/* Ends the session if the front-end has shortened what it shares. */
void memory_check(struct guest *guest);

/* ---- offer.c; control loop ---- */
/* Features for a front-end that connects now. */
uint64_t guest_offered(struct guest *guest);
uint64_t guest_offered_protocol(const struct guest *guest);
/* ops->state_save and state_load: what a guest was offered moves with it. */
size_t offer_save(void *arg, uint8_t *bytes, size_t room);
int offer_load(void *arg, const uint8_t *bytes, size_t len, struct gw_error *err);

/* ---- record.c; control loop, and open and close ---- */
/* Opens the port's file. Without a directory for it there is none, and that is said. */
int record_open(struct guest *guest, struct gw_error *err);
void record_close(struct guest *guest);
/* Now and then: says it if the file was shortened. */
void record_look(struct guest *guest);
/* Forgets what the front-end's record says of a run of ours: it is not to be taken again. */
void record_strike(struct guest *guest, unsigned int index, void *kept);
/* The record that a ring will go by, into config->record, if the front-end keeps none. */
void record_begin(struct guest *guest, unsigned int index, struct ring_config *config);
/* A ring was made: what it found in the record. */
void record_tell(struct guest *guest, unsigned int index, const struct ring *ring);
/*
 * A ring has stopped. clean: nothing is out. Its run is over only if the front-end ends it:
 * with a reset here, with GET_VRING_BASE in record_over.
 */
void record_end(struct guest *guest, unsigned int index, const struct ring *ring, void *kept,
		bool clean);
/* A run is over: see ops->ring_over. */
void record_over(struct guest *guest, unsigned int index, void *kept, bool reset);

/* ---- carry.c ---- */
/* The driver's leave. */
int carry_leave(struct gw_port *port, unsigned int deadline_ms, struct gw_parcel *parcel);
/* What was left becomes this port's: all descriptors are taken. In open. */
int carry_take(struct guest *guest, struct gw_parcel *parcel, struct gw_error *err);
void carry_drop(struct guest *guest);

/* ---- arrival.c; control loop ---- */
/* Front-ends may come; in an open, or after a hand-over. */
int arrival_open(struct guest *guest, struct gw_error *err);
/* The one that was here has gone: the next one may come, at once or in a while. */
void arrival_next(struct guest *guest);
/* None comes; the listening socket and its backlog stay. And: they go. */
void arrival_pause(struct guest *guest);
void arrival_close(struct guest *guest);

/* ---- connection.c; control loop ---- */
/* A front-end is there: the descriptor is taken, or closed. */
void connection_begin(struct guest *guest, int fd);
/* Once more whenever the session has become less busy, until it is gone. */
void connection_end(struct guest *guest);
/* What a session goes by. */
struct session_config connection_config(struct guest *guest, uint64_t features);
/* Stops listening, reading and all rings, and keeps everything; stopped_fd is signalled then. */
void connection_pause(struct guest *guest);
int connection_open(struct guest *guest, struct gw_error *err);
/* Ends the session; stopped_fd is signalled when that is complete. */
void connection_close(struct guest *guest);
/* The session may have become able to go on, or to end. */
void connection_resume(struct guest *guest);
/* A whole reply, now, and a descriptor (-1: none): -EAGAIN if the front-end does not read. */
int connection_send(struct guest *guest, const uint8_t *bytes, size_t len, int fd);
/* The same on the channel of our own requests. */
int connection_send_backend(struct guest *guest, const uint8_t *bytes, size_t len);
void connection_set_backend(struct guest *guest, int fd);
/* A socket with a front-end at the other end: what nobody read of it goes, too. */
void connection_dispose(struct guest *guest, int *fd);
/* Ends the session because of something outside it (memory is broken). */
void connection_fail(struct guest *guest, const char *why);
