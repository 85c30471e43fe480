/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A test's hands on a loop port of its own process.
 *
 * The functions find a running port by its name and act on its simulated device
 * through gw_port_apply(): between two visits of the worker, and done when they
 * return. So a test sees a steady state, and needs no lock of its own.
 *
 * Frames in the device are numbered in order of submission, from 0; the numbers
 * move up as frames before them are completed. What must be there and is not
 * (port, frame) ends the process: the test is wrong.
 *
 * Threads: any that is not a worker, one at a time for one port.
 */
#pragma once

#include "loop_device.h"
#include <guestwire/driver.h>

struct loop;

/* NULL if there is no such loop port. Valid until the port is closed. */
struct loop *loop_test_find(const char *port_name);

/* ---- completions ---- */

/*
 * Holds what is submitted from now on, and what has not been completed. off: all that
 * is due goes.
 */
void loop_test_hold(struct loop *loop, bool hold);
/* Frames in the device now. */
unsigned int loop_test_held(struct loop *loop);
/* Completes up to count frames from the front; returns how many. The bytes are read now. */
unsigned int loop_test_release(struct loop *loop, unsigned int count);
/* Completes the one frame with that number; failed: without reading it. */
void loop_test_complete(struct loop *loop, unsigned int index, bool failed);
/* The device answers with a cookie that it was not given, count times. */
void loop_test_bogus(struct loop *loop, uint64_t cookie, unsigned int count);

/* What the device has been given: addresses (valid until it is completed) and header. */
struct loop_test_view {
	uint64_t cookie;
	const struct gw_frame *frame;
	const struct gw_memmap *memmap;
	struct iovec seg[GW_FRAME_SEGS_MAX];
	unsigned int seg_count;
	uint32_t len;
	struct virtio_net_hdr_v1 header;
};
/* What is in the device. bytes: what lies at those addresses now (up to size; may be NULL). */
void loop_test_peek(struct loop *loop, unsigned int index, struct loop_test_view *view,
		    uint8_t *bytes, uint32_t size);

/* ---- the wire ---- */

/* Calls wire.fn on the worker for each frame that the device transmits; fn NULL: no more. */
void loop_test_wire(struct loop *loop, struct loop_wire wire);
/* A frame arrives from the wire. header may be NULL. False: the device has no receive buffer. */
bool loop_test_receive(struct loop *loop, const uint8_t *bytes, uint32_t len,
		       const struct virtio_net_hdr_v1 *header);

/* ---- offloads ---- */

/* Takes these from now on; the port says so (gw_port_set_offloads). */
void loop_test_offloads(struct loop *loop, const struct gw_offloads *offloads);

/* ---- the query ---- */

/* Answers so from now on, and asks to be asked again (gw_port_requery). */
void loop_test_answer(struct loop *loop, const struct gw_answer *answer);
struct gw_answer loop_test_current_answer(struct loop *loop);
/* How often the driver was asked. */
unsigned int loop_test_queries(struct loop *loop);

struct loop_test_counts {
	uint64_t bogus;  /* completions that were nobody's, or not the first of their frame */
	uint64_t failed; /* frames */
	uint64_t maps, unmaps;
	unsigned int mapped; /* memmaps now */
	unsigned int lent;   /* received frames that are lent to others now */
};
struct loop_test_counts loop_test_counts(struct loop *loop);
