/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A host for one driver under test: the services of <guestwire/driver.h> in
 * their simplest form, without ports, desk or engine.
 *
 * There is no worker thread. The test calls the worker functions itself, and
 * gw_port_apply() runs its function at once; both under the port's lock, so that
 * a test may play the worker on a thread of its own (host_visit_begin/end) while
 * control functions run on another.
 *
 * The arena is one for all ports of the process, made on first use. Memory of a
 * pretended guest comes from host_memory_create(): a memfd, the memmap made from
 * it, and the guest's own view of it.
 *
 * Everything fails loudly through cmocka; there are no error returns to check
 * but those that a test is about.
 */
#pragma once

#include <guestwire/driver.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Set before the first port is opened to have another size than this. */
#define HOST_ARENA_BYTES (4u << 20)
extern size_t host_arena_bytes;
/* Frees the arena; no port may be open. */
void host_arena_free(void);
/* The same as a group teardown, which each program of tests has to have (leak checkers). */
int host_end(void **state);

/* What the driver told its host. Read it between visits. */
struct host_record {
	uint64_t drops[GW_REASON_COUNT];    /* gw_queue_drop, frames */
	uint64_t rx_drops[GW_REASON_COUNT]; /* gw_queue_rx_drop, frames */
	unsigned int requeries, doubts;     /* of either kind; gw_port_requery alone */
	unsigned int pauses, resumes;       /* gw_port_pause, gw_port_resume */
	unsigned int applies;
	uint32_t max_len;
	struct gw_offloads offloads;
	enum gw_reads reads;
	char status[GW_ERROR_TEXT_BYTES];
	unsigned int log_lines;
	char log[4096]; /* the last lines, newest at the end, '\n' between them */
};

/*
 * Makes a port: spec is "NAME=TARGET[,OPTION=VALUE...]" ("up=veth0,queue=0").
 * Runs the driver's open; on failure everything is freed, *port is NULL, and the
 * driver's return value and text are passed on. An option that is not in the
 * driver's table fails the test.
 */
int host_open(const struct gw_driver *driver, const char *spec, struct gw_port **port,
	      struct gw_error *err);
/* The same and start; failure of either fails the test. */
struct gw_port *host_run(const struct gw_driver *driver, const char *spec);
int host_start(struct gw_port *port, struct gw_error *err);
/* The driver's stop; the result is its return value. */
int host_stop(struct gw_port *port, unsigned int deadline_ms);
/* close, and frees the port. NULL is fine. */
void host_close(struct gw_port *port);

struct host_record *host_record(struct gw_port *port);
struct gw_queue *host_queue(struct gw_port *port);

/* A worker's visit on the test's own thread: excludes gw_port_apply. May nest. */
void host_visit_begin(struct gw_port *port);
void host_visit_end(struct gw_port *port);
/* True while the driver has the port paused: rx and tx must not be called. */
bool host_paused(const struct gw_port *port);

/* query with a cleared answer. */
struct gw_answer host_query(struct gw_port *port, struct gw_memmap *memmap);
/* query, and map if needed; fails the test if the answer is no or map fails. */
struct gw_answer host_lend(struct gw_port *port, struct gw_memmap *memmap);

/* ---- a pretended guest's memory ---- */

struct host_memory {
	struct gw_memmap *memmap; /* includes the arena's view */
	uint8_t *guest;           /* the guest's own mapping of the same bytes */
	size_t bytes;
	int fd;
};

/* flags: MFD_HUGETLB or 0. One region, guest physical address 0. */
void host_memory_create(struct host_memory *memory, size_t bytes, unsigned int flags);
void host_memory_destroy(struct host_memory *memory);
/* The address at which the driver sees guest byte number offset. */
void *host_memory_at(const struct host_memory *memory, size_t offset);

/* ---- frames ---- */

/* A frame of count segments (len, snapshot and all filled in), lent by nobody. */
void host_frame(struct gw_frame *frame, struct gw_memmap *memmap, const struct iovec *seg,
		unsigned int count);
/* Offers one frame until it is taken (reaping nothing) or 2 s are over: then fails the test. */
void host_send(struct gw_port *port, struct gw_frame *frame);
/* Reaps until count loans are over or timeout_ms has passed; returns how many. done may be NULL. */
unsigned int host_reap(struct gw_port *port, struct gw_done *done, unsigned int count,
		       unsigned int timeout_ms);
/* Receives until count frames were lent to the test or timeout_ms has passed. */
unsigned int host_receive(struct gw_port *port, struct gw_frame **frames, unsigned int count,
			  unsigned int timeout_ms);
void host_release(struct gw_port *port, struct gw_frame **frames, unsigned int count);
/* Copies the frame's bytes out; returns its length. */
uint32_t host_frame_bytes(const struct gw_frame *frame, void *dst, size_t dst_bytes);
/* A buffer in the arena, for frames with memmap NULL (bounced ones). Given back with the port. */
void *host_arena_buffer(struct gw_port *port);

/* Sleeps on the queue's descriptors, or until poll_us / timeout_ms; the way a worker does. */
void host_wait(struct gw_port *port, unsigned int wants, unsigned int timeout_ms);
/* CLOCK_MONOTONIC, milliseconds: for deadlines. */
uint64_t host_now_ms(void);
