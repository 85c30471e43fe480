/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The embedding API: everything the daemon does, for a VMM or another program.
 *
 *     struct gw_context *gw;
 *     gw_open(NULL, &gw, &err);
 *     gw_port_add(gw, "a=guest:/run/a.sock,network=red", &err);
 *     gw_port_add(gw, "up=xdp:eth1,network=red", &err);
 *     gw_start(gw, &err);
 *     ...
 *     gw_stop(gw, 2000);
 *     gw_close(gw);
 *
 * Threads: calls on one context are serialized by the caller, except where a
 * function says otherwise. The library starts its own threads in gw_start (one
 * for control, one for each worker, one for a port while it does something that
 * blocks) and has ended them when gw_stop returns. It does not write to stdout or
 * stderr, and does not exit. It touches signal dispositions in two ways only: SIGBUS
 * as gw_options says, and SIGURG gets a handler that does nothing, unless the
 * program has one (a worker that is stuck in a system call is sent that signal).
 */
#ifndef GUESTWIRE_GUESTWIRE_H
#define GUESTWIRE_GUESTWIRE_H

#include <guestwire/driver.h>
#include <guestwire/error.h>
#include <guestwire/reason.h>

#ifdef __cplusplus
extern "C" {
#endif

/* MAJOR.MINOR.PATCH of the library that runs, not of the header. */
const char *gw_version(void);

struct gw_context;

/* Begins with its size, so that it can grow: set it to sizeof(struct gw_options). */
struct gw_options {
	size_t size;
	unsigned int workers;    /* data threads, 1 to 64; 0: 1 */
	unsigned int bounce_mib; /* the private arena; 0: as the ports need */
	unsigned int stop_ms;    /* how long a ring may drain, 100 to 2000; 0: 1000 */
	/* Leave SIGBUS alone: a front-end that truncates its memory then kills the process
	   unless the program calls gw_sigbus(). */
	bool no_sigbus_handler;
	/*
	 * A directory that outlives the process, best on tmpfs: what is in flight is recorded
	 * there, so that guests go on if the process is killed and started anew. NULL: none.
	 */
	const char *state_dir;
	/* Where log lines go; NULL: nowhere. Level as in syslog. Called from any thread, workers
	   too: it must not wait for long, nor call functions of the library. */
	void (*log)(void *arg, int level, const char *line);
	void *log_arg;
	/* Called by gw_start when all ports are up and before the first thread is started: the
	   time to give up rights, since threads inherit what is left (gw_driver.needs says what
	   that must be). It must not call functions of the library. An error ends the start.
	   NULL: nothing is to be done. */
	int (*prepared)(void *arg, struct gw_error *err);
	void *prepared_arg;
};

int gw_open(const struct gw_options *options, struct gw_context **context, struct gw_error *err);

/*
 * Adds a port: NAME=DRIVER:TARGET[,OPTION=VALUE...]. Before gw_start only
 * (-EBUSY afterwards). -EINVAL: the text says which word and what would be right;
 * -EEXIST: the name is taken.
 */
int gw_port_add(struct gw_context *context, const char *spec, struct gw_error *err);

/* Starts all ports; on failure none runs. */
int gw_start(struct gw_context *context, struct gw_error *err);
/*
 * Stops all ports: rings are drained, loans brought home, at most deadline_ms in
 * all. Returns the number of frames that devices never gave back.
 */
int gw_stop(struct gw_context *context, unsigned int deadline_ms);
/* Frees; stops first if need be. NULL is fine. */
void gw_close(struct gw_context *context);

/*
 * Moves a queue pair of a guest to another worker while it runs; no frame is lost. It blocks
 * for as long as frames of the pair are in devices, stop_ms at most. -EBUSY: they do not come
 * home, or frames wait in its network; -EINVAL: nothing like that can be moved. It stays
 * where it is then. Not at the same time as gw_start, gw_stop or gw_leave.
 */
int gw_move(struct gw_context *context, const char *port, unsigned int pair, unsigned int worker,
	    struct gw_error *err);

/* Drivers that this library was built with, ended by NULL. */
const struct gw_driver *const *gw_drivers(void);
/* Options that every port has (network, copybreak, loan, ...), ended by a NULL name. */
const struct gw_option *gw_port_options(void);

/*
 * For programs with no_sigbus_handler: call from their own handler. Returns true
 * if the address was guest memory and the access can be repeated. Async-signal-safe.
 */
bool gw_sigbus(void *address);

/* ---- what is going on: a snapshot ---- */

#define GW_NAME_BYTES 32

enum gw_port_state {
	GW_PORT_CLOSED = 0,
	GW_PORT_STARTING,
	GW_PORT_RUNNING,
	GW_PORT_STOPPING, /* draining or being reopened */
	GW_PORT_FAILED,
};

/*
 * How long something took, as a histogram. Buckets are four to each power of two; times
 * below gw_latency_bound_ns(i), and not below that of the bucket before, are in bucket i.
 */
#define GW_LATENCY_BUCKETS 100u
struct gw_latency {
	uint64_t count; /* things that took time: mostly frames */
	uint64_t sum_ns, max_ns;
	uint64_t bucket[GW_LATENCY_BUCKETS];
};

/* The network interface that a port is named after. */
enum gw_link {
	GW_LINK_NONE = 0, /* the target is none, or it was not looked at yet */
	GW_LINK_UP,
	GW_LINK_DOWN,
	GW_LINK_NO_CARRIER,
	GW_LINK_GONE, /* there is none of that name; the port is started when there is */
};

struct gw_port_info {
	const char *name;
	const char *driver;
	const char *target;
	const char *network;
	enum gw_port_state state;
	enum gw_link link;
	const char *status; /* one line by the driver, behind what is wrong with the link */
	enum gw_reads reads;
	uint32_t max_len;
	unsigned int worker; /* of its device, or that a guest's pairs are dealt out from on */
	/*
	 * Of a guest, otherwise none: the worker that has queue pair i now (gw_move). Up to the
	 * last that a front-end has started, or that was moved.
	 */
	unsigned int queue_pair_count;
	unsigned int queue_pair_worker[GW_QUEUE_PAIRS_MAX];
	uint64_t queries;                   /* how often the driver was asked */
	uint64_t rx_frames, rx_bytes;       /* entered the network here */
	uint64_t tx_frames, tx_bytes;       /* left the network here */
	uint64_t quarantined;               /* frames now */
	uint64_t taken_again;               /* frames that a process before this one had taken */
	uint64_t rx_drops[GW_REASON_COUNT]; /* by reason; before an egress was known */
	uint64_t device_counts[GW_DEVICE_COUNT]; /* what the kernel counted at its device */
	/*
	 * Of frames that came in here, lent or copied: from when the worker found it until
	 * the device of another port took it (or a guest's ring, or its driver dropped it).
	 * What came before is not in it: the worker's wake-up, or its round.
	 */
	struct gw_latency forward;
	/*
	 * Of lent frames that came in here: from when the worker saw that the device was done
	 * with it until its buffer was given back (to a guest: it is in the used ring, and the
	 * guest was interrupted if it asks for that).
	 */
	struct gw_latency back;
};

/*
 * A data thread, since it was started. A round is one look at all of its ports. All time
 * is one of busy (rounds that found work), polling (rounds that found none) and asleep;
 * of a sleep it is counted when it is over, which a snapshot sees to.
 */
struct gw_worker_info {
	uint64_t busy_ns, polling_ns, asleep_ns;
	uint64_t rounds, rounds_worked;
	uint64_t sleeps, wakes_worked; /* the latter: and there was work then */
	bool polls;                    /* it never sleeps now: some port has wait=poll */
	uint64_t window_ns;            /* now: it looks for work for so long before it sleeps */
	uint64_t sleep_cost_ns;        /* of the processor, measured */
	/* How long rounds with work took: for at most that long a frame lay in a ring before it
	   was found, if the worker was awake. */
	struct gw_latency round;
};

/* One ordered pair of ports: frames from `source` that leave through `egress`. */
struct gw_pair_info {
	const char *source;
	const char *egress;
	/* What the egress driver said about the source's memory, last. */
	bool asked;
	bool current; /* it is about the memory of now; false: of a guest that has gone */
	struct gw_answer answer;
	uint64_t lent_frames, lent_bytes;
	uint64_t copied_frames, copied_bytes; /* by us */
	/* Partial headers that were completed here, in software; frames as they leave. */
	uint64_t supers_cut;          /* super-frames that were cut up */
	uint64_t checksums_made;      /* frames whose checksum was computed */
	uint64_t headers_made;        /* frames lent behind a private header */
	uint64_t header_bytes_copied; /* of these; not in lent_bytes */
	uint64_t kernel_copied_frames, kernel_copied_bytes;
	uint64_t loans_out, loans_peak, loans_max;
	uint64_t bounce_out, bounce_peak, bounce_max;
	uint64_t reasons[GW_REASON_COUNT];      /* copies and drops, frames */
	uint64_t reason_bytes[GW_REASON_COUNT]; /* the same in bytes */
	uint64_t copybreak;                     /* that counts for this pair */
};

struct gw_snapshot {
	unsigned int workers;
	uint64_t arena_bytes;
	unsigned int port_count, pair_count;
	const struct gw_port_info *ports;
	const struct gw_pair_info *pairs;
	const struct gw_worker_info *work; /* of each worker */
};

/*
 * A copy of all counters and states; free with gw_snapshot_free. Counters are
 * read one by one while workers run, so sums may be off by what is in flight.
 * Threads: any, at the same time as everything but gw_close.
 */
int gw_snapshot_take(struct gw_context *context, struct gw_snapshot **snapshot);
void gw_snapshot_free(struct gw_snapshot *snapshot);

/* Where bucket i ends; UINT64_MAX for the last. Threads: any. */
uint64_t gw_latency_bound_ns(unsigned int bucket);
/*
 * A time that part of `of` did not exceed (99 of 100: p99), rounded up to the end of its
 * bucket, or to the longest of all. 0 if nothing was counted. Threads: any.
 */
uint64_t gw_latency_quantile_ns(const struct gw_latency *latency, uint64_t part, uint64_t of);

/* "running", "dma", "kernel-copy", "yes" ...: the words of the JSON output. Threads: any. */
const char *gw_port_state_name(enum gw_port_state state);
/* NULL for GW_LINK_NONE. */
const char *gw_link_name(enum gw_link link);
const char *gw_reads_name(enum gw_reads reads);
const char *gw_verdict_name(enum gw_verdict verdict);

#ifdef __cplusplus
}
#endif

#endif
