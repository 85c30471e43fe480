/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conformance suite: what every driver has to do, tried on one of them.
 *
 * A driver is put through it with one line in its meson.build:
 *
 *     conformance_runs += [['tap', ['tap:gwtap0', 'interface:gwtap0']]]
 *
 * the name of the run, the port as on the command line, and the far end: what
 * stands at the other side of the device and sees what it transmits, and sends
 * what it receives. The suite runs the driver in the mock host (tests/mock) and
 * in a network namespace of its own, where there are a veth pair gw0 - gw1 and, for
 * tap, a persistent tap device gwtap0, all up.
 *
 * The suite plays the loan desk: it asks the query, maps, lends from a pretended
 * guest's memory where the answer allows, and copies to bounce memory where it
 * does not. Cases are in cases_*.c; what they share is here, and in rig*.c.
 */
#pragma once

#include "host.h"
#include "ip_frame.h"
#include <guestwire/driver.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long anything may take that should happen at once. */
#define DEADLINE_MS           3000u
/* Frames that a case has in a device at most. */
#define PARCELS               2048u
/* Bounce memory of the suite: four frames of 64 KiB. */
#define ARENA_BUFFERS         68u
/* The EtherType of all frames here: IEEE 802 local experimental. */
#define CONFORMANCE_ETHERTYPE 0x88b5

/* ---- far ends ---- */

struct far_end {
	const char *name;
	/* arg: what stands behind the colon; "" if nothing. Fails the test if it cannot. */
	void *(*open)(const char *arg);
	void (*close)(void *far);
	/*
	 * The next frame that the device transmitted, its length; 0 after timeout_ms.
	 * NULL: nobody sees.
	 */
	uint32_t (*receive)(void *far, uint8_t *bytes, size_t size, unsigned int timeout_ms);
	/* Sends a frame to the device. NULL: nothing ever arrives there. */
	void (*send)(void *far, const uint8_t *bytes, uint32_t len);
	/*
	 * The same for frames of ip_frame.h, with their headers, once open_partial was
	 * called; NULL: nobody sees. A far end may get complete what was sent partial, in
	 * several frames what was sent as one.
	 */
	void (*open_partial)(void *far);
	uint32_t (*receive_partial)(void *far, uint8_t *bytes, size_t size,
				    struct virtio_net_hdr_v1 *header, unsigned int timeout_ms);
	void (*send_partial)(void *far, const uint8_t *bytes, uint32_t len,
			     const struct virtio_net_hdr_v1 *header);
};

extern const struct far_end far_end_none;
extern const struct far_end far_end_interface; /* far_end_interface.c: an interface's name */
extern const struct far_end far_end_loop;      /* far_end_loop.c: the port's name */

/* ---- the driver under test ---- */

struct subject {
	const struct gw_driver *driver;
	char host_spec[128]; /* for host_open: "dev=TARGET,OPTION=VALUE" */
	const struct far_end *far_end;
	const char *far_arg;
	unsigned int mtu; /* of the interfaces in the namespace */
};
extern struct subject subject;

/* ---- a running port, and frames on their way ---- */

/* One frame that was offered to the device. */
struct parcel {
	struct gw_frame own; /* unless the driver's bounce memory is used */
	struct gw_frame *frame;
	struct iovec seg[GW_FRAME_SEGS_MAX];
	bool out;  /* accepted, not reaped */
	bool over; /* reaped, or over in tx */
	enum gw_done_status status;
};

struct rig {
	struct gw_port *port;
	struct gw_queue *queue;
	void *far;
	struct host_memory memory;
	struct gw_answer answer;       /* for the guest's memory */
	struct gw_answer arena_answer; /* for private memory */
	bool mapped;
	struct parcel *parcel; /* [PARCELS] */
	unsigned int parcels;  /* used by the case so far */
	unsigned int out;      /* in the device */
	size_t cursor;         /* next free byte of the guest's memory */
	uint8_t *arena;        /* bounce memory where the driver has none */
	unsigned int arena_at;
};

/* Opens, starts, asks, maps; fails the test if any does not work. */
struct rig *rig_open(void);
/* Stops (0 frames may be left), unmaps, closes. */
void rig_close(struct rig *rig);
/* The driver's stop, with a worker that goes on reaping meanwhile. */
int rig_stop(struct rig *rig, unsigned int deadline_ms);

/*
 * A parcel of len bytes in segs segments, at odd addresses of the guest's memory;
 * or, where this driver cannot lend, in bounce memory. NULL: no bounce memory now.
 */
struct parcel *rig_pack(struct rig *rig, uint32_t len, unsigned int segs, unsigned int variant);
/* The same in private memory of the arena. */
struct parcel *rig_pack_arena(struct rig *rig, uint32_t len, unsigned int variant);
/*
 * The same for a frame of ip_frame.h with its header; behind a private header in the
 * arena if `private` is set, or the port wants that.
 */
struct parcel *rig_pack_ip(struct rig *rig, const struct ip_frame *frame, unsigned int segs,
			   bool private);
/* A parcel of [head bytes in the arena | the rest in the guest's memory]. */
struct parcel *rig_pack_private(struct rig *rig, uint32_t len, uint32_t head, unsigned int segs,
				unsigned int variant);
/*
 * Offers the last count parcels; those that tx did not take are unpacked. Returns how
 * many it took.
 */
unsigned int rig_offer(struct rig *rig, unsigned int count);
/* Offers the last parcel until it is taken, within the deadline. */
void rig_send(struct rig *rig);
/*
 * Reaps what is over, waiting until all is or DEADLINE_MS has passed; fails if
 * something comes twice.
 */
void rig_reap_all(struct rig *rig);
/* One round of reap, without waiting. */
void rig_reap(struct rig *rig);
/* How many segments a frame of len bytes can have here, wanted at most. */
unsigned int rig_segs(const struct rig *rig, uint32_t len, unsigned int wanted);
/* Longest frame to try: what the port takes, and an interface does if it has no VLAN tag. */
uint32_t rig_max_len(const struct rig *rig);

/* Fills len bytes (14 or more) so that they are known by len and variant. */
void frame_fill(uint8_t *bytes, uint32_t len, unsigned int variant);
/*
 * Takes count frames at the far end and checks that they are len[0..count), each once,
 * any order.
 */
void expect_far(struct rig *rig, const uint32_t *len, unsigned int count, unsigned int variant);
/* The same, and more may follow. */
void take_far(struct rig *rig, const uint32_t *len, unsigned int count, unsigned int variant);
/* Throws away what has arrived there. */
void flush_far(struct rig *rig);
/* Receives one frame of ours at the port and checks it; other traffic is released. */
struct gw_frame *expect_near(struct rig *rig, uint32_t len, unsigned int variant);
/* True if the frame is ours, not the kernel's own traffic. */
bool is_ours(const struct gw_frame *frame);

/* Descriptors that this process has open. */
unsigned int open_fds(void);

/* ---- cases: arrays ended by a NULL name; see conformance.c ---- */

struct conformance_case {
	const char *name;
	void (*run)(void);
	bool (*applies)(void); /* NULL: to every driver */
};

extern const struct conformance_case cases_life[];
extern const struct conformance_case cases_query[];
extern const struct conformance_case cases_tx[];
extern const struct conformance_case cases_rx[];
extern const struct conformance_case cases_offload[];
