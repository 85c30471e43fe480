/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port, seen from inside: what the core keeps beside a driver's own data.
 *
 * Fields are grouped by who writes them. The engine makes ports and gives them a
 * host (the services behind driver.h that need threads). What belongs to a worker
 * is in the port's queues (port_queue.h), one for each lane of its network.
 */
#pragma once

#include "arena.h"
#include "atomic.h"
#include "list.h"
#include "log_limit.h"
#include <guestwire/guestwire.h>

/* Ports of one network: bounds the pair tables and the work of a flood. */
#define PORT_NETWORK_MAX  64u
/* Lanes of one network: a worker has one at most. */
#define PORT_LANES_MAX    64u
#define PORT_STATUS_BYTES 320
#define PORT_OPTIONS_MAX  24u

/*
 * In answer_stamp: what gw_port_requery adds; gw_port_requery_refused adds 1. So one
 * compare tells that something has happened, and the upper half what.
 */
#define PORT_DOUBT (1ull << 32)

/* None is too short to be lent: docs/performance.md, "When a copy beats a loan". */
#define PORT_COPYBREAK_DEFAULT 0u
/* A super-frame of 64 KiB at an MTU of 1500 is 45 loans: room for eleven. */
#define PORT_LOANS_DEFAULT     512u
#define PORT_BOUNCE_DEFAULT    64u
#define PORT_POLL_US_MAX       1000u

struct pair;
struct port_queue;
struct gw_loop;

/* wait=: how a worker is to wait for it. In the order of the option's words. */
enum port_wait { PORT_WAIT_ADAPTIVE, PORT_WAIT_POLL, PORT_WAIT_SLEEP };

/* What the engine does for drivers and the desk; see driver.h for the contracts. */
struct port_host {
	void (*apply)(struct gw_port *port, void (*fn)(void *arg), void *arg);
	/* gw_queue_apply; NULL: as apply. */
	void (*apply_queue)(struct gw_queue *queue, void (*fn)(void *arg), void *arg);
	/* The desk met memory that it has no answer for. Worker; must not block. */
	void (*ask)(struct pair *pair);
	/* A pair that was watched (pair->watch_zero) has no loans any more. Worker. */
	void (*drained)(struct pair *pair);

	/* ---- for ports whose frames lie in memory that comes and goes; control loop ---- */

	struct gw_loop *(*loop)(struct gw_port *port);
	unsigned int (*stop_ms)(struct gw_port *port);
	const char *(*state_dir)(struct gw_port *port); /* as in gw_options */
	/*
	 * This memory will not be lent from any more: unmapped from every device as soon
	 * as its loans are home. Devices keep their own references until then.
	 */
	void (*retire)(struct gw_port *port, struct gw_memmap *memmap);
	/* Pages of it were given back under a device: stop lending, map it anew. */
	void (*discarded)(struct gw_port *port, struct gw_memmap *memmap);
	/* services.h: port_offloads_pay. Threads: any. */
	bool (*offloads_pay)(struct gw_port *port);
	/*
	 * Loans of this port do not come home: every device that holds some is stopped
	 * and started again. fn(arg) runs on the loop when that is over; what is still
	 * out then is quarantined.
	 */
	void (*recall)(struct gw_port *port, void (*fn)(void *arg), void *arg);
	/* services.h: port_dispose, port_disposing. */
	void (*dispose)(struct gw_port *port, int fd);
	unsigned int (*disposing)(struct gw_port *port);
};

struct gw_port {
	/*
	 * ---- what frames are judged by: read by all lanes, and written by nobody else than
	 * control, while they hold still (gw_port_apply), or as an atomic ----
	 */
	const struct gw_driver *driver;
	uint64_t answer_stamp; /* atomic: counts up with each gw_port_requery (PORT_DOUBT) */
	uint32_t reads;        /* enum gw_reads; control writes, all read */
	uint32_t max_len;      /* control writes, workers read */
	struct gw_offloads offloads;
	unsigned int slot, network_ports; /* place and number of ports in the network; fixed */
	unsigned int paused;              /* counts gw_port_pause */
	bool up;                          /* started: rx, tx allowed */
	bool resting;  /* nothing is taken out of it: a hand-over is about to begin */
	bool standing; /* the same: a queue pair of the network is about to move */

	/* ---- fixed once the port was made ---- */
	char name[GW_NAME_BYTES];
	char network[GW_NAME_BYTES];
	char *target;
	struct {
		const struct gw_option *option;
		char *value; /* NULL: not given */
	} option[PORT_OPTIONS_MAX];
	unsigned int option_count;
	bool loan_never;
	/* -1: not given, then the other port's word counts (pair_create) */
	int64_t copybreak, loans, bounce;
	enum port_wait wait;
	uint32_t poll_us; /* for PORT_WAIT_ADAPTIVE: at most so long before each sleep */
	int64_t worker;   /* that it was told to begin with; -1: none */

	struct gw_parcel *parcel; /* from another process, while it is opened; NULL: none */

	/* ---- fixed at start ---- */
	const struct port_host *host; /* NULL: no threads, everything runs inline */
	struct gw_arena *arena;
	void *engine;                             /* the engine's record of this port */
	struct port_queue *queue[PORT_LANES_MAX]; /* by lane; the first is always there */
	unsigned int lanes;                       /* at least 1 */
	unsigned int first_lane; /* that its device is in, or the first queue pair */

	/* ---- control, on the port's own chore at a time ---- */
	void *priv;
	void *arena_run;
	unsigned int arena_count;
	uint32_t state;                 /* enum gw_port_state; atomic, read by snapshots */
	char status[PORT_STATUS_BYTES]; /* under status_lock, a spin flag */
	uint32_t status_lock;
	uint32_t link; /* enum gw_link; atomic: the control loop writes */
	/* atomic: the queue of each queue pair, and how many have been told */
	uint8_t place[GW_QUEUE_PAIRS_MAX];
	uint32_t place_count;
	uint32_t one_segment;          /* offloads.one_segment, for all threads */
	struct log_limit log_limit[2]; /* any thread: of lines for all, of those for debugging */

	/* ---- counters; control writes ---- */
	gw_counter queries;
	gw_counter taken_again;
};

/* Options of every port, for parsing and help. */
extern const struct gw_option port_common_options[];

/*
 * Makes a port from NAME=DRIVER:TARGET[,OPTION=VALUE...]; `drivers` is a
 * NULL-ended list. Nothing is opened. port_free takes NULL and frees everything
 * but what the driver holds (close comes first).
 */
int port_parse(const char *spec, const struct gw_driver *const *drivers, struct gw_port **port,
	       struct gw_error *err);
void port_free(struct gw_port *port);

/* The text of set_status, behind what the link is like if not up. Threads: any. */
void port_status(struct gw_port *port, char *text, size_t bytes);
/* Now and then: tells of lines that gw_port_log suppressed, if there is room again. */
void port_log_rest(struct gw_port *port, uint64_t now_ns);
void port_set_state(struct gw_port *port, enum gw_port_state state);
enum gw_port_state port_state(const struct gw_port *port);

static inline enum gw_link port_link(const struct gw_port *port)
{
	return (enum gw_link)gw_load_acquire(&port->link);
}

static inline bool port_rests(const struct gw_port *port)
{
	return port->resting || port->standing;
}

static inline bool port_usable(const struct gw_port *port)
{
	return port->up && !port->paused;
}
