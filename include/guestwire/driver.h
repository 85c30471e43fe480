/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver API: what the code for one kind of port implements.
 *
 * One idea carries all of it: a port is a port, and frames are lent. `rx` lends
 * frames out of a port, `tx` borrows them into another, `reap` says which loans
 * are over, in any order, and `release` gives frames home. Whether anything is
 * copied on the way is not decided here: the loan desk asks the egress driver
 * (`query`) and, where the answer is no, hands the driver a frame whose bytes
 * were copied into private memory first. A driver treats both alike.
 *
 * Life of a port
 *
 *   1. open(port)    reads the port's options (check has found no fault with them),
 *                    allocates, checks the target.
 *   2. start(port)   brings the device up. Worker functions may be called from
 *                    now on.
 *   3. query(port, memmap)        when the first frame of a guest's memory
 *                    arrives, and after each gw_port_requery().
 *   4. map(port, memmap)          if query said yes or partly and needs_map;
 *                    before the first loan of that memory.
 *   5. rx, release, tx, reap, arm ...
 *      remap(port, memmap)        if the guest gave back pages of it.
 *   6. unmap(port, memmap)        after the last loan of that memory.
 *   7. stop(port)    ends all loans it can; start may follow (3 to 7 again).
 *   8. close(port)   frees; NULL-safe and safe after a failed open or start.
 *
 * Threads
 *
 *   The control functions (check, open, start, stop, close, query, map, remap, unmap) of one
 *   port never overlap. They may block and may run on any thread that is not a
 *   worker. On failure they leave nothing behind and the error says why.
 *   The worker functions (rx, release, tx, reap, arm, device_counts, bounce,
 *   unbounce) of one queue are called by the one worker that owns it. They never block, allocate
 *   or log per frame. Between start and stop both kinds run at the same time:
 *   what both touch is changed through gw_port_apply(), on the owning worker. A port
 *   has one queue, unless its driver can serve several at the same time (several_queues).
 *
 * Contract
 *
 *   - Frames that tx accepts belong to the driver until reap reports them,
 *     exactly once each.
 *   - After stop has returned 0, the device reads no guest byte any more, and
 *     all accepted frames have been, or will be at the next call, reported by
 *     reap (which is still called on a stopped port).
 *   - What stop could not end (its return value, in frames) is quarantined: the
 *     core keeps the memory mapped and tells the guest nothing.
 *   - A memmap is unmapped when its loans are zero, never before.
 *
 * drivers/null is the smallest driver, drivers/loop the one that shows every
 * call; CONTRIBUTING.md has the recipe for a new one.
 */
#ifndef GUESTWIRE_DRIVER_H
#define GUESTWIRE_DRIVER_H

#include <guestwire/error.h>
#include <guestwire/reason.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct gw_port;
struct gw_queue;
struct gw_memmap;
struct gw_probe_question;

/* Segments that a frame carries in itself, and at most (its home then keeps the array). */
#define GW_FRAME_SEGS     20u
#define GW_FRAME_SEGS_MAX 1024u
/* Bytes of one frame: Ethernet header up to a 64 KiB segmentation-offload packet. */
#define GW_FRAME_LEN_MIN  14u
#define GW_FRAME_LEN_MAX  65562u
/* Frames in one call of a worker function. */
#define GW_BATCH          64u
/* Bytes that are snapshotted of each frame's beginning: enough for learning. */
#define GW_FRAME_SNAPSHOT 14u
/*
 * A private header (struct gw_offloads) is at most this long, and this many bytes in
 * front of it are the driver's to write until reap has reported the frame.
 */
#define GW_HEADER_MAX     448u
#define GW_HEADER_ROOM    64u

/*
 * One Ethernet frame: a snapshot of its virtio-net header, and segments.
 *
 * Written by the home queue's driver in rx, read by everybody until it is home
 * again. The segments may lie in guest memory: the guest can change the bytes
 * at any time, so nothing may be decided from them that is not read once into a
 * local copy. `snapshot` is such a copy (destination, source, type).
 *
 * `header` says what the frame's sender left to be done (VIRTIO 1.2 section
 * 5.1.6.2): a partial checksum, or a super-frame to be cut. A driver's tx meets
 * only what its port takes (gw_port_set_offloads); all else the core has done
 * before. A frame of which the core completed the header has seg[0] in the
 * arena, also if `memmap` is a guest's, and the other segments where the guest
 * has them: `[private header | payload slices]`.
 */
struct gw_frame {
	struct gw_queue *home;    /* who lent it */
	struct gw_memmap *memmap; /* whose memory; NULL: the daemon's private arena */
	struct iovec *seg;        /* `own`, or an array kept by the home until release */
	uint32_t len;             /* bytes in all segments */
	uint16_t seg_count;       /* 1 to GW_FRAME_SEGS_MAX */
	uint16_t holders;         /* the core's: ports that hold it now; drivers keep off */
	uint16_t loans;           /* the core's: of holders, the loans; drivers keep off */
	uint8_t bounce;           /* the core's: bounce buffers, 0: lent; drivers keep off */
	uint8_t dropped;          /* the core's: gw_queue_drop was called; drivers keep off */
	uint8_t cut;              /* the core's: made of another frame; drivers keep off */
	uint8_t trace_on;         /* the core's: traces that know of the loan; drivers keep off */
	uint8_t snapshot[GW_FRAME_SNAPSHOT];
	struct virtio_net_hdr_v1 header; /* private copy; num_buffers is not used */
	uint32_t id;                     /* the home's: descriptor head, slot number ... */
	uint32_t pair;                   /* the core's: slot of the source port */
	uint64_t found_ns;               /* the core's: when it was found; drivers keep off */
	void *tag;                       /* the home's: ring instance, batch ... */
	struct iovec own[GW_FRAME_SEGS];
	/* What is rarely written comes last: the first segments are beside all else then. */
	uint64_t trace_ns;   /* the core's, if trace_on: when it began */
	uint32_t trace_loan; /* the core's, if trace_on: number of the loan */
};

/* How a port's device gets at the bytes of a frame that was lent to it. */
enum gw_reads {
	GW_READS_BOUNCE = 0,  /* only from private memory: everything is copied by us */
	GW_READS_KERNEL_COPY, /* the kernel copies each frame once */
	GW_READS_FRAGMENTS,   /* the kernel passes page fragments on, no copy */
	GW_READS_DMA,         /* the device itself, straight from the pages */
	GW_READS_DELIVERY,    /* another guest: one copy, into its receive buffers */
	GW_READS_NOTHING,     /* a sink: nobody reads */
};

/*
 * What can be left to a port's device: bits. The sender's side of it are the
 * features VIRTIO_NET_F_CSUM, HOST_TSO4, HOST_TSO6, HOST_ECN, HOST_USO.
 */
enum {
	GW_OFFLOAD_CSUM = 1 << 0, /* a partial checksum, at csum_start + csum_offset */
	GW_OFFLOAD_TSO4 = 1 << 1, /* super-frames to cut: TCP over IPv4 */
	GW_OFFLOAD_TSO6 = 1 << 2, /* TCP over IPv6 */
	GW_OFFLOAD_ECN = 1 << 3,  /* these also with the ECN bit */
	GW_OFFLOAD_USO = 1 << 4,  /* UDP (L4), IPv4 and IPv6 */
	GW_OFFLOAD_ALL = (1 << 5) - 1,
};

/* What a port takes of partial headers; see gw_port_set_offloads. */
struct gw_offloads {
	uint32_t takes;      /* GW_OFFLOAD_ bits; the core does the rest in software */
	uint32_t len_max;    /* longest super-frame that is taken; 0: GW_FRAME_LEN_MAX */
	bool header_private; /* takes them only behind a private header (GW_HEADER_ROOM);
				of the bits GW_OFFLOAD_CSUM alone is used then */
	bool one_segment;    /* a frame is one segment: lent payload can have no private
				header, so guests of this network are offered no offloads */
};

enum gw_verdict {
	GW_NO = 0, /* cannot borrow this memory: reason says why */
	GW_PARTLY, /* can, within the limits below */
	GW_YES,    /* can, any frame the port takes */
};

/*
 * A driver's answer to the query: can this port's device read this memmap's
 * pages by itself? Filled completely by query; the core copies it.
 */
struct gw_answer {
	enum gw_verdict verdict;
	enum gw_reason reason;          /* when GW_NO: a GW_COPY_ reason */
	enum gw_reads reads;            /* how lent bytes are read */
	bool ends_in_tx;                /* loans are over when tx returns: never worth a bounce */
	bool needs_map;                 /* map must succeed before the first loan; false as
				   long as this memmap is mapped (a reopen may undo that) */
	bool single_page_segs;          /* a segment must not cross a page: the driver splits, and
				   each piece counts against max_segs */
	uint32_t page_bytes;            /* which page that is, a power of two; 0: 4096 */
	uint16_t max_segs;              /* segments of one frame, 1 to GW_FRAME_SEGS_MAX; a
				   private header is one of them */
	char text[GW_ERROR_TEXT_BYTES]; /* for people: what was found, what would change it */
};

/* What became of a frame, in reap. */
enum gw_done_status {
	GW_DONE_OK = 0,
	GW_DONE_KERNEL_COPIED, /* read, but the kernel admits to a copy (reads said otherwise) */
	GW_DONE_FAILED,        /* not transmitted */
};

struct gw_done {
	struct gw_frame *frame;
	enum gw_done_status status;
};

/* What a worker sleeps for on a queue (arm). */
enum {
	GW_WANT_RX = 1 << 0,   /* frames to lend */
	GW_WANT_TX = 1 << 1,   /* room to accept frames: something waits for this port */
	GW_WANT_REAP = 1 << 2, /* loans are out */
};

/* Queue pairs of one guest. */
#define GW_QUEUE_PAIRS_MAX 128u

#define GW_QUEUE_FDS 4u

/*
 * The worker-owned part of a port. The driver sets priv and the fds in start or
 * through gw_port_apply(); the rest is the core's.
 */
struct gw_queue {
	struct gw_port *port;
	void *priv; /* the driver's */
	unsigned int index;
	/*
	 * Number of the port's queue whose tx gets the frames for it that turn up with the
	 * worker of this one: its own, or another. A driver with several queues changes it
	 * by gw_port_apply.
	 */
	unsigned int deliver_to;
	/* Descriptors whose readiness means work. -1: none. Changed in start, or by a
	   function run through gw_port_apply(); the worker looks again after each. */
	struct {
		int fd;
		uint32_t events; /* EPOLLIN, EPOLLOUT, EPOLLET ... */
	} fd[GW_QUEUE_FDS];
	/* Why the last tx accepted less than it was offered: a GW_DROP_ reason. */
	enum gw_reason refusal;
	/* Frames this queue can have lent at the same time (ring size); 0: no limit. */
	uint32_t lend_max;
	/* Its frames have to come home in order: they are lent only where loans end in tx. */
	bool in_order;
	/* Nothing can come of it now (no ring runs, say): no worker need be awake for it. */
	bool dormant;
};

/*
 * What a port leaves to the process that takes over from this one (guestwire/handover.h):
 * bytes in the driver's own words, and descriptors beside them.
 */
#define GW_PARCEL_BYTES_MAX (256u * 1024u)
#define GW_PARCEL_FDS_MAX   2048u
struct gw_parcel {
	uint8_t *bytes;
	size_t len;
	int *fds;
	unsigned int fd_count;
};

/* One option of a driver, for parsing, --help and the manual. */
struct gw_option {
	const char *name;
	const char *values;   /* "server|client", "N", "BYTES" ... as shown in help */
	const char *fallback; /* value when not given; NULL: none */
	const char *help;
};

/*
 * What a driver's ports ask of the system, for a program that confines itself before
 * the threads start (gw_options.prepared): it leaves them this much and no more.
 * "Later" is after the start, when guests come, memory changes, or a port is stopped
 * and started again.
 */
struct gw_needs {
	uint64_t start_capabilities; /* to be opened and started: bits 1 << CAP_... */
	uint64_t capabilities;       /* later */
	uint64_t families;           /* sockets that are made later: bits 1 << AF_... */
	const char *const *reads;    /* files and folders read later, NULL at the end; NULL: none */
	const char *const *devices;  /* device files opened later, the same */
	bool target_is_socket;       /* makes and removes the file TARGET at any time */
};

/*
 * The table of functions. Order of members is the order of life. A member that
 * may be NULL says so, with the meaning of its absence.
 */
struct gw_driver {
	const char *name;   /* the word in NAME=DRIVER:TARGET */
	const char *target; /* what TARGET is ("IFNAME"); NULL: none is taken */
	/*
	 * TARGET is the name of a network interface: a port is stopped when there is none of
	 * that name any more, and started when there is one again. That may be another
	 * interface: start looks at all of it anew.
	 */
	bool target_is_interface;
	/*
	 * A port can have several queues, whose worker functions are called by several
	 * workers at the same time.
	 */
	bool several_queues;
	const char *help;                /* one line */
	const struct gw_option *options; /* ended by a NULL name; NULL: none */
	const struct gw_needs *needs;    /* NULL: nothing but memory and eventfds */

	/*
	 * What a port could do on this host and on one of its interfaces: adds findings
	 * (guestwire/probe.h). No port is open, nothing is changed unless the question
	 * says so, and then it is undone. NULL: nothing to tell. Threads: any.
	 */
	void (*probe)(const struct gw_probe_question *question);

	/* ---- control ---- */
	/*
	 * Whether the port's options can be, each by itself and all together; words of a list
	 * have been looked at before. Called when the port is added, as guestwired --check
	 * does it: goes by nothing but options, changes nothing. open reads them again.
	 * NULL: there is nothing more to look at.
	 */
	int (*check)(struct gw_port *port, struct gw_error *err);
	/*
	 * Receive buffers that this port will take from the arena (gw_port_arena_take),
	 * going by its options; called before open. NULL: none.
	 */
	unsigned int (*arena_buffers)(struct gw_port *port);
	int (*open)(struct gw_port *port, struct gw_error *err);
	int (*start)(struct gw_port *port, struct gw_error *err);
	/*
	 * Ends loans: drain, then close the device's handle and wait for its release,
	 * until deadline_ms from now. Returns the number of frames still held (>= 0).
	 * The worker goes on calling reap and release meanwhile, tx and rx no more.
	 */
	int (*stop)(struct gw_port *port, unsigned int deadline_ms);
	/*
	 * Hand-over to another process, which opens a port of this name. As stop, but what is
	 * behind the port does not notice, and the parcel is filled: it stays the driver's
	 * until start (the other process did not take it: all goes on here), stop, or close.
	 * open finds it there with gw_port_parcel(). NULL: this port is stopped and that one
	 * started, and nothing goes from one to the other.
	 */
	int (*leave)(struct gw_port *port, unsigned int deadline_ms, struct gw_parcel *parcel);
	void (*close)(struct gw_port *port);
	/*
	 * Answers for frames of `memmap` (NULL: frames in the private arena). NULL
	 * member: not allowed, each driver is really asked.
	 */
	void (*query)(struct gw_port *port, struct gw_memmap *memmap, struct gw_answer *answer);
	/* Pin, register or DMA-map. NULL: this driver never answers needs_map. */
	int (*map)(struct gw_port *port, struct gw_memmap *memmap, struct gw_error *err);
	/*
	 * Pages of a memmap that is mapped have been replaced by others: registers it once
	 * more. Frames of it are offered and lent meanwhile, none from such a page. If it
	 * fails, what was mapped stays, or the driver calls gw_port_requery() and answers
	 * needs_map again. NULL: it is unmapped when its loans are home, and mapped.
	 */
	int (*remap)(struct gw_port *port, struct gw_memmap *memmap, struct gw_error *err);
	void (*unmap)(struct gw_port *port, struct gw_memmap *memmap);

	/*
	 * Queue pair number `pair` is to be served by another of the port's queues. part: no more
	 * is taken out of it, and its frames come home within deadline_ms; or else -EBUSY, and
	 * it goes on. After that move, while nothing is on its way in the network and nobody
	 * sends: it goes on in that queue; NULL: where it was, since that did not come to pass.
	 * NULL (both members): nothing of a port is moved.
	 */
	int (*part)(struct gw_port *port, unsigned int pair, unsigned int deadline_ms,
		    struct gw_error *err);
	int (*move)(struct gw_port *port, unsigned int pair, struct gw_queue *to,
		    struct gw_error *err);

	/* ---- worker ---- */
	/* Lends up to max frames, returns how many. NULL: a sink. */
	unsigned int (*rx)(struct gw_queue *queue, struct gw_frame **frames, unsigned int max);
	/* Frames lent by rx come home, in any order. NULL only where rx is NULL. */
	void (*release)(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count);
	/*
	 * Accepts a prefix of the batch and returns its length; if shorter than count,
	 * queue->refusal says why: after GW_DROP_EGRESS_DOWN frames are dropped, after
	 * GW_DROP_EGRESS_PAUSED a batch waits in any network. A frame that is accepted but
	 * turns out to be undeliverable is counted with gw_queue_drop().
	 */
	unsigned int (*tx)(struct gw_queue *queue, struct gw_frame *const *frames,
			   unsigned int count);
	/* Loans that are over, up to max. NULL: all loans end within tx. */
	unsigned int (*reap)(struct gw_queue *queue, struct gw_done *done, unsigned int max);
	/*
	 * About to sleep: ask for wake-ups for `wants`, then look again. Returns true
	 * if there is work already (the worker does not sleep). *poll_us: call again
	 * after that time even if no fd fires (0: no need). `wants` 0: the worker is
	 * busy again, wake-ups are a waste. NULL: the fds need no arming.
	 */
	bool (*arm)(struct gw_queue *queue, unsigned int wants, unsigned int *poll_us);
	/*
	 * What the kernel has counted at the device since open, by enum gw_device_count:
	 * fills in what this driver knows of, all others are 0. A few system calls, for
	 * whoever looks at the port; each call says as much as the one before, or more.
	 * NULL: the kernel counts nothing that `ip -s link show IFNAME` does not tell.
	 */
	void (*device_counts)(struct gw_queue *queue, uint64_t counts[GW_DEVICE_COUNT]);
	/*
	 * Bounce memory of the driver's own, for devices that read a ring of theirs:
	 * a frame with segments of len bytes in all, to be filled by the desk and then
	 * passed to tx, or given back with unbounce if that did not accept it. After
	 * reap has reported such a frame it is the driver's again; no unbounce then.
	 * NULL (both): the desk uses the arena.
	 */
	struct gw_frame *(*bounce)(struct gw_queue *queue, uint32_t len);
	void (*unbounce)(struct gw_queue *queue, struct gw_frame *frame);
};

/* ---- what the core offers to drivers ---- */

/* The port's name, for messages. Valid while the port is. Threads: any. */
const char *gw_port_name(const struct gw_port *port);
/* The TARGET text; "" if none. */
const char *gw_port_target(const struct gw_port *port);
/* An option's value, or its fallback (NULL if it has none). Name must be in the driver's table. */
const char *gw_port_option(const struct gw_port *port, const char *name);
/* The same as a number in [min, max]; -EINVAL with a text otherwise. Threads: control. */
int gw_port_option_u64(const struct gw_port *port, const char *name, uint64_t min, uint64_t max,
		       uint64_t *value, struct gw_error *err);
/* The same as an index into words, a NULL-ended list. */
int gw_port_option_word(const struct gw_port *port, const char *name, const char *const *words,
			unsigned int *index, struct gw_error *err);

/* The driver's own data of a port. Set in open. */
void *gw_port_priv(const struct gw_port *port);
void gw_port_set_priv(struct gw_port *port, void *priv);
/*
 * What another process left for this port; NULL: nothing. In open: a descriptor that is
 * taken is set to -1 there, the others are closed afterwards. Its bytes come from
 * another build of this program, at best.
 */
struct gw_parcel *gw_port_parcel(const struct gw_port *port);
/*
 * A port has one queue, or with gw_driver.several_queues as many as there are workers
 * that serve it: fixed from open to close. The queue of number index < count.
 */
unsigned int gw_port_queue_count(const struct gw_port *port);
/* The queue that a driver with several uses if one is enough. */
unsigned int gw_port_first_queue(const struct gw_port *port);
struct gw_queue *gw_port_queue(struct gw_port *port, unsigned int index);

/*
 * Longest frame this port takes, bytes without FCS; set in start, changed with
 * gw_port_apply. Longer frames are dropped before tx (too_long).
 */
void gw_port_set_max_len(struct gw_port *port, uint32_t len);
/*
 * What this port takes of partial headers. Set in start, changed with gw_port_apply;
 * if never set: nothing is taken, and private headers are possible.
 */
void gw_port_set_offloads(struct gw_port *port, const struct gw_offloads *offloads);
/* How this port's device reads lent frames; shown to the user. */
void gw_port_set_reads(struct gw_port *port, enum gw_reads reads);
/*
 * Queue pair number `pair`, less than GW_QUEUE_PAIRS_MAX, is in the port's queue number
 * `index`; shown to the user, up to the last pair that was said. Threads: any, one at a time.
 */
void gw_port_set_place(struct gw_port *port, unsigned int pair, unsigned int index);
/* One line for the user about the port's state ("listening", "connected", "link down"). Control. */
void gw_port_set_status(struct gw_port *port, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Runs fn(arg) on the worker that owns the port's queue, between two visits, and
 * returns when it has run. If several workers own queues of the port, all of them
 * stand still between two visits meanwhile. At once, on the calling thread, if no
 * worker owns the port. fn must be short. Threads: control; never a worker.
 */
void gw_port_apply(struct gw_port *port, void (*fn)(void *arg), void *arg);
/* The same for one queue: workers that own other queues of the port go on. */
void gw_queue_apply(struct gw_queue *queue, void (*fn)(void *arg), void *arg);
/*
 * While paused, rx and tx of the port's queues are not called (reap and release are). A batch
 * of frames for it waits, as copies; more only at sources with no other port. Control.
 */
void gw_port_pause(struct gw_port *port);
void gw_port_resume(struct gw_port *port);

/* The answer to the query may have changed: it is asked again. Threads: any, worker included. */
void gw_port_requery(struct gw_port *port);
/*
 * The same, but what was answered yes or partly for a memmap is as true as before: it is
 * lent from, and not asked about. Threads: any, worker included.
 */
void gw_port_requery_refused(struct gw_port *port);
/*
 * Log for people, one line, at control-plane rate. Levels as in syslog (3 error ... 7
 * debug). A port that logs without end is cut short. Threads: any.
 */
void gw_port_log(const struct gw_port *port, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Counts a frame that tx accepts but cannot deliver, against its pair. Only inside
 * that tx; reap then reports it as GW_DONE_OK, or it would be counted twice. Worker.
 */
void gw_queue_drop(struct gw_queue *queue, const struct gw_frame *frame, enum gw_reason reason);
/* Counts n frames that rx could not turn into frames (bad header, too short ...). Worker. */
void gw_queue_rx_drop(struct gw_queue *queue, enum gw_reason reason, unsigned int n);

/*
 * The private arena: the whole of it, as mapped in this process, for devices that must
 * register it.
 */
struct iovec gw_port_arena(const struct gw_port *port);
/*
 * Receive buffers for a port, out of the arena: count buffers of
 * GW_ARENA_BUFFER_BYTES, page aligned, contiguous. NULL if it is full. Once for a
 * port's life; given back after close. Control, in open or start.
 */
#define GW_ARENA_BUFFER_BYTES 4096u
void *gw_port_arena_take(struct gw_port *port, unsigned int count, struct gw_error *err);

/* ---- memmaps ---- */

/*
 * The window of a memmap: one contiguous, hole-free range of this process that
 * has the private arena first and then all regions of the guest side by side.
 * `arena_bytes` (>= 64 KiB, a multiple of the page) is the length of the arena's
 * part; a pointer p into gw_port_arena() is found again in the window at
 * base + (p - arena.iov_base).
 */
struct gw_window {
	void *base;
	size_t len;
	size_t arena_bytes;
	size_t page_bytes; /* smallest page that backs guest memory: 4096, 2 MiB, 1 GiB */
	bool file_backed;  /* not anonymous shared memory: long-term pins are refused */
};
void gw_memmap_window(const struct gw_memmap *memmap, struct gw_window *window);
/* Counts up with each memory table of each guest; never 0. */
uint64_t gw_memmap_generation(const struct gw_memmap *memmap);

#endif
