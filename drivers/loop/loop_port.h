/* SPDX-License-Identifier: BSD-2-Clause */
/* What loop_driver.c, loop_queue.c and loop_test_api.c share: one loop port. */
#pragma once

#include "list.h"
#include "loop_device.h"
#include "rx_pool.h"
#include <guestwire/driver.h>
#include <pthread.h>

enum loop_echo { LOOP_ECHO_OFF = 0, LOOP_ECHO_ON, LOOP_ECHO_SWAP };
enum loop_map { LOOP_MAP_ON = 0, LOOP_MAP_OFF, LOOP_MAP_FAIL };

/* Memmaps that are mapped at the same time. */
#define LOOP_MAPS_MAX   64u
/* Buffers for what is received; each frame takes one for every 4096 bytes. */
#define LOOP_RX_BUFFERS 64u

/* A frame in the device: `cookie` is generation << 32 | slot. */
struct loop_slot {
	struct gw_frame *frame; /* NULL: free */
	uint32_t generation;
};

struct loop {
	struct gw_port *port;
	struct gw_list node; /* in the list of loop ports; protected by its mutex */

	/* Control, and the test: protected by `lock`. */
	pthread_mutex_t lock;
	struct gw_answer answer;
	bool answer_map_fails;
	unsigned int queries;

	/* Set in open, constant. */
	unsigned int ring, segs;
	uint32_t max_len;
	enum loop_echo echo;
	bool stubborn;
	int wake_fd; /* signalled by the test's hand */
	int home_fd; /* signalled by the worker when a stopping port has nothing out any more */

	/* The worker's, or changed through gw_port_apply. */
	bool stopping;
	struct gw_offloads offloads;
	struct loop_device *device;
	struct loop_slot *slot; /* [ring] */
	uint32_t *idle;         /* stack of free slots */
	unsigned int idle_count;
	const struct gw_memmap *map[LOOP_MAPS_MAX];
	unsigned int map_count;
	struct rx_pool *pool;
	struct gw_frame *received[LOOP_RX_BUFFERS]; /* a ring, not yet lent */
	unsigned int received_head, received_count;
	struct loop_wire wire; /* the test's */
	uint64_t bogus, failed, maps, unmaps;
};

/* What is written in front of private headers, where they are asked for. */
#define LOOP_ROOM_FILL 0xa5

extern const struct gw_option loop_options[];
/* Reads them all, also into what the device's faults are to be. Control. */
int loop_read_options(struct loop *loop, struct loop_faults *faults, struct gw_error *err);

/* The port of that name, or NULL. */
struct loop *loop_find(const char *port_name);
/* Whether the device may read this memory. Worker; and control, which alone maps and unmaps. */
bool loop_is_mapped(const struct loop *loop, const struct gw_memmap *memmap);

/* ---- loop_queue.c; worker ---- */

unsigned int loop_rx(struct gw_queue *queue, struct gw_frame **frames, unsigned int max);
void loop_release(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count);
unsigned int loop_tx(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count);
unsigned int loop_reap(struct gw_queue *queue, struct gw_done *done, unsigned int max);
bool loop_arm(struct gw_queue *queue, unsigned int wants, unsigned int *poll_us);
/* Frames in the device; tests/interleave asks for them, too. */
unsigned int loop_out(const struct loop *loop);
/* A frame arrives from the wire. False: no buffer. */
bool loop_receive(struct loop *loop, const uint8_t *bytes, uint32_t len,
		  const struct virtio_net_hdr_v1 *header);
/* The device transmits; arg is the loop (struct loop_wire). */
void loop_on_wire(void *arg, const uint8_t *bytes, uint32_t len,
		  const struct virtio_net_hdr_v1 *header);
