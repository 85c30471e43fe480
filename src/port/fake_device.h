/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device under a test's hands, for tests of what stands above drivers: it takes
 * as many frames as it was told to, completes when it is told to, and lends what
 * it was given. It notes how often each function was called.
 *
 * Its fields are the worker's: a test with threads changes them through
 * gw_port_apply(). Those marked "control" are used by control functions only, and
 * the counters among them are atomic.
 */
#pragma once

#include "pair.h"

#define FAKE_FRAMES 512u

struct fake {
	struct gw_port *port;

	/* ---- sending ---- */
	unsigned int budget;    /* frames that tx takes before it refuses */
	enum gw_reason refusal; /* what it says then */
	unsigned int drop;      /* of the next frames, so many are taken but not delivered */
	struct gw_frame *held[FAKE_FRAMES];
	unsigned int held_count;
	unsigned int complete; /* reap reports so many, from the front */
	bool copies_go;        /* and all that were copied */
	enum gw_done_status status;
	uint8_t last[64]; /* beginning of the last frame that tx took, read in tx */
	void (*in_tx)(void *arg, const struct gw_frame *frame); /* each that tx takes */
	gw_counter tx_calls, taken, arms;
	uint64_t taken_bytes;

	/* ---- lending ---- */
	struct gw_frame frame[FAKE_FRAMES];
	uint8_t went_out[FAKE_FRAMES], came_home[FAKE_FRAMES]; /* how often; they wrap */
	unsigned int home[FAKE_FRAMES], home_count, home_next; /* numbers, as they came home */
	unsigned int lend[FAKE_FRAMES], lend_count, lend_next;
	gw_counter rx_calls;

	/* ---- bounce memory of its own (fake_ring): slots go back last first ---- */
	struct gw_frame slot[8];
	uint8_t slot_bytes[8][2048];
	unsigned int slots_used;

	/* ---- control ---- */
	struct gw_answer answer;
	unsigned int fail_open, fail_start; /* the next so many fail */
	bool fail_map, fail_remap, keep_at_stop;
	void (*in_query)(void *arg); /* called from query, from map */
	void (*in_map)(void *arg);
	void *in_arg;
	uint32_t opens, closes, starts, stops, queries, maps, remaps, unmaps;
};

extern const struct gw_driver fake_device; /* loans end when they are completed */
extern const struct gw_driver fake_live;   /* the same, and can map anew meanwhile */
extern const struct gw_driver fake_sink;   /* loans end in tx */
extern const struct gw_driver fake_ring;   /* has bounce memory of its own, lends from nobody */
extern const struct gw_driver fake_nic;    /* named after an interface */
extern const struct gw_driver *const fake_drivers[];

/* A host without an engine: it does at once what is to be applied, and asks nobody. */
extern const struct port_host fake_host;

/* A port with a fake behind it, open and up; a slot and pairs are the caller's to give. */
struct gw_port *fake_port_open(const char *spec, const struct port_host *host,
			       struct gw_arena *arena);
/* The same, of which `first` is the lane that its queue is in, of so many. */
struct gw_port *fake_port_open_in(const char *spec, const struct port_host *host,
				  struct gw_arena *arena, unsigned int lanes, unsigned int first);
void fake_port_close(struct gw_port *port);

/* What the next fake that is opened begins with (a test that has no port yet). */
extern struct fake fake_template;
/* The same without a template: completes nothing, takes everything, says yes. */
void fake_template_reset(void);

static inline struct fake *fake_of(struct gw_port *port)
{
	return gw_port_priv(port);
}

/* Frame number id of this fake: count segments that share len bytes of `bytes`. */
struct gw_frame *fake_frame(struct fake *fake, unsigned int id, struct gw_memmap *memmap,
			    struct iovec *seg, unsigned int count);
/* Has rx lend it. */
void fake_lend(struct fake *fake, unsigned int id);
